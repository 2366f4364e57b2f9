"""``postledger changes``."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from postledger import Ledger
from tests.cli import Run
from tests.samples import delivered, failed, sent

DAY = datetime(2024, 11, 5, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three deliveries, an event each hour; of the last one hears late that it was sent."""
    with Ledger(tmp_path / "l.db") as ledger:
        bodies = [sent("a"), failed("b"), delivered("a"), delivered("c"), sent("c")]
        for hour, body in enumerate(bodies):
            ledger.record(body, received_at=DAY + timedelta(hours=hour))
    return tmp_path / "l.db"


def test_what_changed_between_two_times_is_listed(run: Run, path: Path) -> None:
    """From what to what, with the event; what stayed is left out."""
    period = ("--since", "2024-11-05 01:30", "--until", "2024-11-05T05:00+01:00")
    lines = [line.split() for line in run("changes", path, *period).stdout.splitlines()]
    assert lines[0] == ["tracking", "id", "before", "after", "position", "received", "at"]
    assert lines[2:] == [
        ["a", "sent,", "sms", "delivered,", "sms", "3", "2024-11-05T02:00:00Z"],
        ["c", "delivered,", "sms", "4", "2024-11-05T03:00:00Z"],
    ]


def test_programs_get_a_field_for_each_state(run: Run, path: Path) -> None:
    """The same in JSON and CSV; what was not known before is empty."""
    rows = json.loads(run("changes", path, "--since", 1, "--until", 4, "--json").stdout)
    assert [(row["tracking_id"], row["before_state"], row["after_state"]) for row in rows] == [
        ("a", "sent", "delivered"),
        ("b", None, "failed"),
        ("c", None, "delivered"),
    ]
    assert [row["position"] for row in rows] == [3, 2, 4]
    table = csv.DictReader(
        io.StringIO(run("changes", path, "--since", 1, "--until", 4, "--csv").stdout)
    )
    assert list(table) == [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in rows
    ]
    assert run("changes", path, "--since", 5, "--json").stdout == "[]\n"
    assert len(run("changes", path, "--since", 0, "--limit", 2, "--nl").stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing option '--since'"),
        (["--since", 3, "--until", 3], "--since must be before --until"),
        (["--since", "today", "--until", "yesterday"], "--since must be before --until"),
        (["--since", 3, "--until", "now"], "must both be times, or both positions"),
    ],
)
def test_two_times_in_order_are_required(
    run: Run, path: Path, words: list[object], said: str
) -> None:
    """Or two positions."""
    done = run("changes", path, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
