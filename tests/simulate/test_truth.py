"""Whatever goes wrong on the way, the ledger knows of each message what came of it."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from postledger import Ledger, Receipt
from postledger.definitions.chart_toml import load_chart
from postledger.definitions.definitions import builtin
from postledger.simulate import ALL, Disturbances, Truth, simulate
from tests.conftest import ledger_of
from tests.states import rows

# 100,000 are run by hand: POSTLEDGER_SIMULATED=100000 pytest tests/simulate
MESSAGES = int(os.environ.get("POSTLEDGER_SIMULATED", "5000"))


def told(
    truth: Truth, rows: dict[tuple[str, str], dict[str, Any]]
) -> tuple[str | None, str | None]:
    """State and route of the row of a message; ``None`` twice where there is no row."""
    row = rows.get((truth.chart, truth.key), {})
    return row.get("state"), row.get("route")


def traffic(count: int, **options: Any) -> tuple[list[Receipt], list[Truth]]:
    """Simulated receipts and the truths."""
    truths: list[Truth] = []
    receipts = simulate(count, witness=lambda message: truths.append(message.truth), **options)
    return list(receipts), truths


def test_truth_in_three_shuffles() -> None:
    """With every disturbance on, three ledgers in three orders know the truth, and are equal."""
    receipts, truths = traffic(MESSAGES, seed=7, disturbances=ALL)
    known = [truth for truth in truths if truth.told_state == truth.state]
    assert len(known) > 0.8 * len(truths)
    found = []
    for seed in range(3):
        random.Random(seed).shuffle(receipts)
        with ledger_of(receipts) as ledger:
            found.append(rows(ledger))
            assert ledger.verify().ok
        assert [told(truth, found[-1]) for truth in truths] == [
            (truth.told_state, truth.told_route) for truth in truths
        ]
        assert all(told(truth, found[-1])[0] == truth.state for truth in known)
    for of_one in found:
        for row in of_one.values():
            row["findings"] = [finding for finding in row["findings"] if finding != "late"]
    assert found[0] == found[1] == found[2]


def test_another_policy_is_told_apart(tmp_path: Path) -> None:
    """Where the chart lets no outcome override another, contradicted messages are not as told."""
    chart = builtin().charts["delivery"].source.splitlines(keepends=True)
    weaker = load_chart("".join(line for line in chart if "overrides = true" not in line))
    receipts, truths = traffic(150, seed=3, disturbances=Disturbances(contradicted=1.0))
    with Ledger(tmp_path / "test.db", definitions=builtin().with_charts([weaker])) as ledger:
        ledger.record_many(receipts)
        found = rows(ledger)
    wrong = [truth for truth in truths if told(truth, found)[0] != truth.told_state]
    assert 0 < len(wrong) < len(truths)


@pytest.mark.parametrize(
    "disturbances",
    [
        Disturbances(),
        Disturbances(repeats=0.5),
        Disturbances(reordered=0.5, window=3600),
        Disturbances(lost=0.3),
        Disturbances(malformed=0.3),
        Disturbances(bundled=1.0),
        Disturbances(contradicted=1.0),
        Disturbances(skewed=1.0),
        Disturbances(mixed=1.0),
        Disturbances(strangers=1.0),
        Disturbances(degraded=1.0),
    ],
    ids=str,
)
def test_each_disturbance(disturbances: Disturbances) -> None:
    """Each disturbance alone leaves every ledger with what was told."""
    receipts, truths = traffic(150, seed=3, disturbances=disturbances)
    with ledger_of(receipts) as ledger:
        found = rows(ledger)
    assert [told(truth, found) for truth in truths] == [
        (truth.told_state, truth.told_route) for truth in truths
    ]
    if not disturbances.lost and not disturbances.malformed:
        assert all(truth.told_state == truth.state and not truth.lost for truth in truths)


def test_undisturbed_has_no_findings() -> None:
    """Undisturbed traffic, of any generation, gives no finding but that an event has no time."""
    receipts, truths = traffic(400, seed=2)
    with ledger_of(receipts) as ledger:
        findings = {finding for row in rows(ledger).values() for finding in row["findings"]}
    assert {truth.generation for truth in truths} == {"g0", "g1", "g2", "g3"}
    assert findings == {"timestamp_missing"}
