"""Verifications of the whole ledger, as the log states them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from postledger import Anchor, Ledger, Verification
from postledger.ledger import ledger as ledgers
from tests.audit.test_command import Run
from tests.audit.traffic import traffic
from tests.stores import both_stores, tamper

pytestmark = both_stores


@pytest.fixture
def busy(ledger: Ledger) -> Ledger:
    """A ledger with some hundred events."""
    ledger.record_many(traffic(60, seed=2))
    return ledger


def test_a_verification_is_an_event_that_changes_nothing_else(busy: Ledger) -> None:
    """Reports say of which head, and when; their figures stay."""
    before, calm, rows = busy.head(), busy.audit(), list(busy.deliveries())
    position = busy.verified(busy.verify())
    assert position == before.size
    (event,) = busy.events(after=position - 1)
    assert (event.kind, event.reading, event.key) == ("verification", "", None)
    report = busy.audit()
    last = report.integrity.last
    assert last is not None
    assert (last.anchor, last.at) == (before, event.received_at)
    assert f"at {before}" in report.to_markdown()
    assert (report.figures, report.as_of) == (calm.figures, calm.as_of)
    assert list(busy.deliveries()) == rows
    assert busy.verify(before).ok
    assert busy.audit(tracking_id=rows[0].tracking_id).integrity.last == last


def test_a_verification_is_not_written_again_without_need(
    busy: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One a day, as long as nothing else is recorded."""
    assert busy.verified(busy.verify()) is not None
    assert busy.verified(busy.verify()) is None
    busy.record(b"<new/>")
    assert busy.verified(busy.verify()) is not None
    monkeypatch.setattr(ledgers, "_DAY", timedelta())
    assert busy.verified(busy.verify()) is not None


def test_it_is_found_again_after_a_replay(busy: Ledger) -> None:
    """Of the states, or of the index: it follows from the log."""
    busy.verified(busy.verify())
    last = busy.audit().integrity.last
    for index in (False, True):
        busy.replay(index=index)
        assert busy.audit().integrity.last == last
        assert busy.verify().ok


def test_an_export_does_not_take_it_along(busy: Ledger, run: Run, tmp_path: Path) -> None:
    """What was verified is that ledger, and not the one that its events go to."""
    busy.verified(busy.verify())
    exported = tmp_path / "log.jsonl"
    assert run("export", busy.path, exported).exit_code == 0
    assert run("ingest", tmp_path / "other.db", exported).exit_code == 0
    with Ledger(tmp_path / "other.db") as other:
        assert other.audit().integrity.last is None
        assert not [event for event in other.events() if event.kind == "verification"]
        assert len(list(other.deliveries())) == len(list(busy.deliveries()))
        assert other.verify().ok


@pytest.mark.parametrize(
    ("sql", "value"), [("body = ?", b"{}"), ("received_at = received_at + ?", 86400000000)]
)
def test_a_verification_that_was_tampered_with_is_told(
    busy: Ledger, sql: str, value: object
) -> None:
    """By every report, and by verify."""
    position = busy.verified(busy.verify())
    tamper(busy.path, f"UPDATE events SET {sql} WHERE position = ?", value, position)
    with Ledger(busy.path, readonly=True) as ledger:
        report = ledger.audit()
        assert report.integrity.last is None
        assert report.integrity.problems == (
            f"position {position}: the verification is damaged; run verify",
        )
        assert not ledger.verify().ok


def test_a_verification_that_is_not_counted_is_told(busy: Ledger) -> None:
    """Where the tallies lead to none, or to an earlier one, verify says so."""
    busy.verified(busy.verify())
    table = busy.query("SELECT 'tallies_' || number AS name FROM generations")[0]["name"]
    tamper(busy.path, f"DELETE FROM {table} WHERE what = 'verified'")
    assert busy.verify().problems == (
        "the tallies of events differ from the index; run replay --index",
    )


def test_only_what_went_well_is_stated(busy: Ledger) -> None:
    """And only of this ledger."""
    head = busy.head()
    with pytest.raises(ValueError, match="verification must be ok, got position 3"):
        busy.verified(Verification(head.size, head, ("position 3 is missing",)))
    other = Anchor(head.size, "0" * 64)
    with pytest.raises(ValueError, match="verification must be of this ledger, got one at"):
        busy.verified(Verification(head.size, other, ()))
    assert busy.head() == head


def test_the_command_records_it(run: Run, busy: Ledger) -> None:
    """And ends as the verification does, whether it can be written or not."""
    size = busy.head().size
    assert run("verify", busy.path).exit_code == 0
    assert busy.head().size == size
    for _ in range(2):
        assert run("verify", busy.path, "--record").exit_code == 0
        assert busy.head().size == size + 1


def test_what_can_not_be_recorded_is_no_failure(
    run: Run, busy: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line on stderr says why."""
    from postledger.errors import LedgerError

    def refuses(*_: object) -> None:
        raise LedgerError("the disk is full")

    monkeypatch.setattr(Ledger, "verified", refuses)
    done = run("verify", busy.path, "--record")
    assert done.exit_code == 0
    assert "the verification is not recorded: the disk is full" in done.stderr
