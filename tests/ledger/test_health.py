"""Health: how a ledger is, for those who embed it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from postledger import UNVERIFIED, AsyncLedger, Health, Ledger, StateChanged, SubscriptionFailed
from postledger.projections import generations
from postledger.times import now
from tests.samples import delivered, sent
from tests.stores import both_stores, shell

pytestmark = both_stores


def ages(health: Health) -> dict[int, int]:
    """How many deliveries are open, by the least age in hours."""
    return {age.least // 3600: age.deliveries for age in health.open if age.deliveries}


def test_a_new_ledger_is_well(ledger: Ledger) -> None:
    """Nothing was received, and nothing waits."""
    health = ledger.health()
    assert (health.size, health.last_received, health.behind, health.problems) == (1, None, 0, ())
    assert (health.ok, ages(health), health.checkpoints) == (True, {}, ())
    if isinstance(ledger.path, Path):
        assert health.bytes == ledger.path.stat().st_size
    else:
        assert health.bytes > 100_000


def test_open_deliveries_are_told_by_age(ledger: Ledger) -> None:
    """By the hour in which their first event was received; those with an outcome are not told."""
    for hours, key in ((0, "a"), (3, "b"), (30, "c"), (200, "d"), (300, "e")):
        ledger.record(sent(key), received_at=now() - timedelta(hours=hours, minutes=1))
    ledger.record(delivered("e"))
    # One that is stamped in the future is young.
    ledger.record(sent("f"), received_at=now() + timedelta(days=2))
    assert ages(ledger.health()) == {0: 2, 1: 1, 24: 1, 168: 1}


def test_the_last_reception_is_that_of_a_postback(ledger: Ledger) -> None:
    """What was adopted or imported later is not received."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    ledger.record(b"?", received_at=at)
    ledger.imported("0" * 64, 1)
    assert ledger.health().last_received == at


@pytest.mark.parametrize("year", [1960, 2026])
def test_the_last_reception_does_not_go_back(ledger: Ledger, year: int) -> None:
    """What is accepted, or stood in a file, was received before; replays tell the same."""
    at = datetime(year, 1, 1, tzinfo=UTC)
    ledger.record(sent("a"), received_at=at - timedelta(hours=2), sender=UNVERIFIED)
    ledger.record(sent("b"), received_at=at)
    assert ledger.accept(1, 2) == 1
    ledger.record(sent("c"), received_at=at - timedelta(minutes=1))
    for index in (False, True):
        assert ledger.health().last_received == at
        ledger.replay(index=index)
    assert ledger.health().last_received == at
    assert ledger.verify().problems == ()
    with shell(ledger.path) as db:
        db.execute("UPDATE tallies_3 SET n = n - 1 WHERE what = 'newest'")
    (problem,) = ledger.verify().problems
    assert problem == "the tallies of events differ from the index; run replay --index"


def test_states_that_are_behind_are_a_problem(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the number of events, and what to do."""
    ledger.record(sent("a"))

    def fail(*_: object) -> None:
        raise RuntimeError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(generations, "put", fail)
        ledger.record(sent("b"))
    health = ledger.health()
    assert (health.behind, health.ok) == (1, False)
    assert health.problems == ("the states are at size 2, the log at 3; run replay",)


def test_a_subscription_that_stopped_is_a_problem(ledger: Ledger) -> None:
    """With its name, its position and the reason."""
    ledger.record(sent("a"))

    def fail(_: StateChanged) -> None:
        raise ValueError("no such endpoint")

    with pytest.raises(SubscriptionFailed):
        ledger.subscribe("hooks", fail, live=False)
    (problem,) = ledger.health().problems
    assert problem.startswith("subscription 'hooks' stopped at position 1: its handler raised")
    assert "no such endpoint" in problem


def test_missing_states_are_a_problem_and_no_error(ledger: Ledger) -> None:
    """The log says what it can all the same."""
    ledger.record(sent("a"))
    with ledger._connections.write() as own:
        own.store.execute("UPDATE generations SET stage = 'replaced'")
    health = ledger.health()
    assert (health.size, health.open) == (2, ())
    assert health.problems == ("there are no live states; run replay",)


def test_health_is_read_without_writing(tmp_path: Path) -> None:
    """Of a ledger opened for reading, and by async programs."""

    async def read() -> Health:
        async with AsyncLedger(tmp_path / "l.db", readonly=True) as ledger:
            assert [one.count for one in await ledger.tallies()] == [1]
            return await ledger.health()

    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record(sent("a"))
    health = asyncio.run(read())
    assert health.size == 2
    assert json.loads(json.dumps(health.to_dict()))["ok"] is True
