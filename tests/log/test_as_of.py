"""As of: what was known at a time, and what had happened by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Ledger, Receipt, UnknownKey
from tests import strategies
from tests.conftest import ledger_of
from tests.samples import NEWCOMER, delivered, failed, first_outcome_stands, sent
from tests.states import rows, states
from tests.stores import both_stores, in_file

pytestmark = both_stores

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)


@settings(max_examples=30, deadline=None)
@given(st.lists(strategies.receipts(), min_size=1, max_size=6))
def test_as_of_a_position_equals_a_ledger_of_the_events_up_to_it(receipts: list[Receipt]) -> None:
    """For every prefix of a log, the past is what a ledger of that prefix says, row by row."""
    with ledger_of(receipts) as ledger, ledger_of([]) as past:
        for receipt in receipts:
            past.record_many([receipt])
            # A receipt may give several events.
            assert rows(ledger, as_of=past.head().size - 1) == rows(past)


@settings(max_examples=40, deadline=None)
@given(st.lists(strategies.receipts(), min_size=1, max_size=8), st.integers(0, 1000))
def test_as_of_a_moment_equals_a_ledger_of_what_was_received_by_then(
    receipts: list[Receipt], seconds: int
) -> None:
    """What was known at a moment are the receipts received by then, wherever they stand in the log."""
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    known = [r for r in receipts if r.received_at is not None and r.received_at <= moment]
    with ledger_of(receipts) as ledger, ledger_of(known) as past:
        assert states(ledger, as_of=moment) == states(past)


@settings(max_examples=30, deadline=None)
@given(st.lists(strategies.receipts(), min_size=1, max_size=8), st.data())
def test_a_single_delivery_of_the_past_equals_its_row_in_the_list(
    receipts: list[Receipt], data: st.DataObject
) -> None:
    """``delivery`` and ``deliveries`` agree about any moment."""
    position = data.draw(st.integers(0, len(receipts)))
    with ledger_of(receipts) as ledger:
        for delivery in ledger.deliveries(as_of=position):
            assert ledger.delivery(delivery.tracking_id, as_of=position) == delivery


def test_what_had_happened_goes_by_the_clock_of_the_provider(ledger: Ledger) -> None:
    """``occurred_by`` leaves out what happened later, however early it was received."""
    ledger.record_many([Receipt(sent("a"), None, NOON), Receipt(delivered("a"), None, NOON)])
    between = datetime(2013, 11, 5, 5, 41, 10, tzinfo=UTC)
    assert ledger.delivery("a", occurred_by=between).state == "sent"
    assert ledger.delivery("a").state == "delivered"
    with pytest.raises(UnknownKey):
        ledger.delivery("a", occurred_by=datetime(2013, 11, 5, 5, 41, tzinfo=UTC))


def test_an_event_without_a_time_had_happened_when_it_was_received(ledger: Ledger) -> None:
    """Nothing is guessed of an undated event but that it came after it happened."""
    ledger.record(sent("a", TIMESTAMP=None), received_at=NOON)
    assert ledger.delivery("a", occurred_by=NOON).state == "sent"
    with pytest.raises(UnknownKey):
        ledger.delivery("a", occurred_by=NOON - timedelta(seconds=1))


def test_the_timeline_of_the_past_has_no_later_steps(ledger: Ledger) -> None:
    """A timeline as of a position or moment holds neither later events nor later repeats."""
    receipts = [(sent("a"), 0), (delivered("a"), 1), (sent("a"), 2)]
    ledger.record_many(Receipt(b, None, NOON + timedelta(hours=h)) for b, h in receipts)
    assert [s.event.position for s in ledger.timeline("a")] == [1, 3, 2]
    assert [s.event.position for s in ledger.timeline("a", as_of=2)] == [1, 2]
    assert [s.event.position for s in ledger.timeline("a", as_of=NOON)] == [1]
    assert ledger.delivery("a", as_of=2).repeats == 0


def test_the_past_of_a_content_can_be_asked_for(ledger: Ledger, specification: list[bytes]) -> None:
    """A content as of a position says what was known of it there."""
    ledger.record_many(specification)
    assert ledger.content("35674", as_of=10).state == "saved"
    assert ledger.content("35674").state == "failed"
    with pytest.raises(UnknownKey, match="no content '35674'"):
        ledger.content("35674", as_of=9)


@in_file
def test_scratch_tables_are_gone_afterwards(ledger: Ledger) -> None:
    """A list of the past, read whole or left in the middle, leaves nothing behind."""
    ledger.record_many(sent(f"m{number}") for number in range(1100))
    assert len(list(ledger.deliveries(as_of=1050))) == 1050
    listing = ledger.deliveries(as_of=1050)
    next(listing)
    listing.close()
    store = ledger._connections._own().store
    assert store.one("SELECT count(*) FROM sqlite_temp_master") == (0,)


def test_repeat_of_what_had_not_happened(ledger: Ledger) -> None:
    """A repeat counts among what had happened by a moment only where what it repeats had happened."""
    bodies = (sent("a"), delivered("a"), delivered("a"))
    ledger.record_many([Receipt(body, None, NOON) for body in bodies])
    between = datetime(2013, 11, 5, 5, 41, 10, tzinfo=UTC)
    before = ledger.delivery("a", occurred_by=between)
    assert (before.state, before.repeats) == ("sent", 0)
    assert "repeated" not in before.findings
    assert len(ledger.timeline("a", occurred_by=between)) == 1
    assert ledger.delivery("a", occurred_by=NOON).repeats == 1


@in_file
@pytest.mark.parametrize("as_of", [1.0, "1", "2001-01-01", True, b"1"])
def test_what_is_no_moment_and_no_position_is_refused(ledger: Ledger, as_of: object) -> None:
    """The state of today would pass for that of then."""
    ledger.record(sent("a"))
    for asking in (
        lambda when: ledger.delivery("a", as_of=when),
        lambda when: ledger.timeline("a", as_of=when),
        lambda when: list(ledger.deliveries(as_of=when)),
        lambda when: ledger.audit(as_of=when),
        lambda when: ledger.delivery("a", occurred_by=when),
        lambda when: list(ledger.deliveries(since=when)),
        lambda when: ledger.audit(until=when),
        lambda when: ledger.record(sent("b"), received_at=when),
        lambda when: ledger.created("b", to="1", at=when),
    ):
        with pytest.raises(TypeError, match="timezone-aware datetime, got"):
            asking(as_of)
    assert ledger.head().size == 1 + 1


def test_a_moment_without_a_zone_is_refused(ledger: Ledger) -> None:
    """It would be another one on each machine."""
    ledger.record(sent("a"))
    naive = datetime(2026, 11, 25)
    for asking in (
        lambda: ledger.delivery("a", as_of=naive),
        lambda: ledger.delivery("a", occurred_by=naive),
        lambda: list(ledger.deliveries(since=naive)),
        lambda: ledger.audit(since=naive),
        lambda: ledger.audit(as_of=naive),
        lambda: ledger.record(sent("b"), received_at=naive),
        lambda: ledger.created("b", to="1", at=naive),
    ):
        with pytest.raises(ValueError, match="without a zone"):
            asking()
    assert ledger.head().size == 1 + 1


class Nowhere(tzinfo):
    """A zone that knows no offset."""

    def utcoffset(self, _: datetime | None) -> None:
        return None


@in_file
@pytest.mark.parametrize(
    "moment",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
        datetime(2026, 11, 25, tzinfo=Nowhere()),
    ],
    ids=["after all years", "before all years", "of no offset"],
)
def test_a_moment_that_can_not_be_told_in_utc_is_refused(ledger: Ledger, moment: datetime) -> None:
    """Recorded it would be there for good, and every list would fail with it."""
    ledger.record(sent("a"))
    for asking in (
        lambda: ledger.record(sent("b"), received_at=moment),
        lambda: ledger.record_many([Receipt(sent("b"), None, moment)]),
        lambda: ledger.created("b", to="1", at=moment),
        lambda: ledger.delivery("a", as_of=moment),
        lambda: list(ledger.deliveries(since=moment)),
        lambda: ledger.audit(until=moment),
    ):
        with pytest.raises(ValueError, match=r"in UTC|without a zone"):
            asking()
    assert ledger.head().size == 1 + 1


def test_a_position_below_all_knows_nothing(ledger: Ledger) -> None:
    """However far below."""
    ledger.record(sent("a"))
    for position in (0, -1, -(2**70)):
        with pytest.raises(UnknownKey, match="was known then"):
            ledger.delivery("a", as_of=position)


def test_a_delivery_that_was_not_known_yet(ledger: Ledger) -> None:
    """A delivery of which nothing was known yet is unknown, and the message says that it was then."""
    ledger.record(sent("a"))
    with pytest.raises(UnknownKey, match="no delivery 'a' was known then"):
        ledger.delivery("a", as_of=0)


def test_what_was_known_is_read_by_the_definitions_then(ledger: Ledger) -> None:
    """With ``definitions="then"`` by those in force at that time, else by those in force now."""
    ledger.record_many([failed("a"), delivered("a")])
    by_then = datetime.now(UTC)
    position = ledger.head().size - 1
    ledger.replay(first_outcome_stands())
    for as_of in (position, by_then):
        assert ledger.delivery("a", as_of=as_of).state == "failed"
        assert ledger.delivery("a", as_of=as_of, definitions="then").state == "delivered"
        (listed,) = ledger.deliveries(as_of=as_of, definitions="then")
        assert listed.state == "delivered"
        assert (
            ledger.timeline("a", as_of=as_of, definitions="then")[-1].after["delivery"]
            == "delivered"
        )
    assert ledger.delivery("a").state == "failed"
    assert ledger.delivery("a", definitions="then").state == "failed"


def test_a_vocabulary_that_was_not_known_then(ledger: Ledger, tmp_path: Path) -> None:
    """By the definitions then, its postbacks were not understood."""
    ledger.record(b'{"Id": "n1", "What": "gone out"}')
    words = tmp_path / "newcomer.toml"
    words.write_text(NEWCOMER)
    ledger.replay(ledger.definitions.with_files([], [words]))
    assert ledger.delivery("n1", as_of=1).state == "sent"
    with pytest.raises(UnknownKey):
        ledger.delivery("n1", as_of=1, definitions="then")
    assert list(ledger.deliveries(as_of=1, definitions="then")) == []
