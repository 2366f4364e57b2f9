"""What changed between two times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Ledger, Receipt
from postledger.projections import changes
from tests import strategies
from tests.conftest import ledger_of
from tests.samples import delivered, failed, sent
from tests.stores import both_stores

pytestmark = both_stores

DAY = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = st.integers(0, 4).map(lambda n: DAY + timedelta(hours=n))
RECEIPTS = st.lists(
    st.builds(Receipt, strategies.bodies() | strategies.postbacks(), received_at=HOURS), max_size=14
)
PAIRS = st.one_of(
    st.lists(HOURS, min_size=2, max_size=2, unique=True).map(sorted),
    st.lists(st.integers(-1, 15), min_size=2, max_size=2, unique=True).map(sorted),
)


def known(ledger: Ledger, as_of: Any) -> dict[tuple[str, str], Any]:
    """The deliveries as of a time."""
    found = ledger.deliveries(as_of=as_of)
    return {(one.space, one.tracking_id): one for one in found}


def states(one: Any) -> Any:
    """The states of a delivery, if there is one."""
    return one and (one.state, one.route, one.read, one.grade)


@settings(max_examples=60)
@given(RECEIPTS, PAIRS)
def test_what_changed_is_what_two_lists_differ_by(receipts: list[Receipt], pair: list[Any]) -> None:
    """Each delivery as known at both times, and the event without which it would not have changed so."""
    since, until = pair
    with ledger_of(receipts) as ledger:
        before, after = known(ledger, since), known(ledger, until)
        found = list(ledger.changes(since, until))
        differ = {
            key: (before.get(key), one)
            for key, one in after.items()
            if states(before.get(key)) != states(one)
        }
        assert {
            (c.after.space, c.after.tracking_id): (c.before, c.after) for c in found if c.after
        } == differ
        assert len(found) == len(differ)
        for change in found:
            event = change.event
            assert change.after is not None
            assert event.key == change.after.tracking_id
            if isinstance(since, int):
                assert since < event.position <= until
                key = (change.after.space, change.after.tracking_id)
                assert states(known(ledger, event.position).get(key)) == states(change.after)
                assert states(known(ledger, event.position - 1).get(key)) != states(change.after)
            else:
                assert since < event.received_at <= until


def test_without_an_end_it_is_what_changed_since(ledger: Ledger) -> None:
    """The events of which the log has so far."""
    ledger.record_many([sent("a"), sent("b")])
    at = ledger.head().size - 1
    ledger.record_many([delivered("a"), failed("b")])
    assert [change.position for change in ledger.changes(at)] == [3, 4]
    assert list(ledger.changes(10**30)) == []


def test_streams_are_looked_at_page_by_page(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page leaves any of them out."""
    monkeypatch.setattr(changes, "STREAMS", 3)
    ledger.record_many(sent(f"m{n}") for n in range(10))
    ledger.record_many(delivered(f"m{n}") for n in range(10))
    assert len(list(ledger.changes(10))) == 10
    assert len(list(ledger.changes(0))) == 10


@pytest.mark.parametrize(
    ("pair", "error"),
    [((3, 3), ValueError), ((DAY, 3), TypeError), ((DAY.replace(tzinfo=None), DAY), ValueError)],
)
def test_times_that_are_not_in_order_are_refused(
    ledger: Ledger, pair: tuple[Any, Any], error: type[Exception]
) -> None:
    """Before anything is read."""
    with pytest.raises(error, match=r"since|as_of"):
        ledger.changes(*pair)
