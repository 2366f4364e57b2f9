"""Listings of deliveries: their order, and what meets them under way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Ledger, Receipt
from postledger.phone import digits_of
from postledger.projections.queries import Query, after_of, page_of
from tests.conftest import ledger_of, steps_of
from tests.samples import first_outcome_stands, sent
from tests.stores import both_stores, in_file

pytestmark = both_stores

EARLY = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_listing_that_meets_a_switch_neither_skips_nor_repeats(tmp_path: Path) -> None:
    """Each delivery is listed once, though other definitions are adopted between two pages."""
    keys = [f"m{number}" for number in range(2_500)]
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(sent(key) for key in keys)
        listed = ledger.deliveries()
        found = [delivery.tracking_id for delivery in islice(listed, 10)]
        ledger.replay(first_outcome_stands())
        ledger.replay(index=True)
        found += [delivery.tracking_id for delivery in listed]
        assert found == keys


SPELLINGS = st.builds(
    "{}{}".format,
    st.sampled_from(
        ["", "+", "00", "+00", "0", "000", "(0", "-", "tel:+", "a1+-.:", ":", "1:", "a_:", "a:b:"]
    ),
    st.sampled_from(["1", "1 1", "11", "(1)1", "0", "A1"]),
)


@settings(deadline=None)
@given(st.lists(SPELLINGS, max_size=8), SPELLINGS)
def test_a_recipient_is_found_in_every_spelling(given_: list[str], wanted: str) -> None:
    """What the file is asked for is what ``digits_of`` says, and nothing else."""
    receipts = [Receipt(sent(f"m{n}", TO=to)) for n, to in enumerate(given_)]
    with ledger_of(receipts) as ledger:
        every = [d for d in ledger.deliveries() if d.to is not None]
        found = [d.tracking_id for d in ledger.deliveries(to=wanted)]
        assert found == [d.tracking_id for d in every if digits_of(d.to or "") == digits_of(wanted)]


def test_a_listing_is_in_the_order_of_reception(tmp_path: Path) -> None:
    """Whatever the order of recording; of one time, in the order of the keys."""
    times = {"b": 1, "a": 1, "d": 0, "c": 2}
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(
            Receipt(sent(key), received_at=EARLY + timedelta(seconds=at))
            for key, at in times.items()
        )
        assert [delivery.tracking_id for delivery in ledger.deliveries()] == ["d", "a", "b", "c"]
        assert [d.tracking_id for d in ledger.deliveries(limit=2)] == ["d", "a"]


def test_a_time_that_cannot_be_true_is_a_finding_and_hides_no_delivery(tmp_path: Path) -> None:
    """Before 1990 or over a day after its reception: periods and ages count from the reception."""
    stamps = {
        "future": "2036-03-01T10:00:05Z",
        "past": "1989-12-31T23:59:59Z",
        "tomorrow": "2026-01-02T00:00:00Z",
        "after": "2026-01-02T00:00:01Z",
        "first": "1990-01-01T00:00:00Z",
    }
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(
            Receipt(sent(key, TIMESTAMP=stamp), received_at=EARLY) for key, stamp in stamps.items()
        )
        listed = ledger.deliveries(finding="timestamp_implausible")
        assert {d.tracking_id for d in listed} == {"future", "past", "after"}
        stuck = ledger.deliveries(stuck=timedelta(hours=12), now=EARLY + timedelta(hours=12))
        assert {d.tracking_id for d in stuck} == {"future", "past", "after", "first"}
        began = ledger.deliveries(since=EARLY, until=EARLY + timedelta(hours=1))
        assert {d.tracking_id for d in began} == {"future", "past", "after"}
        assert ledger.verify().ok
        rows = list(ledger.deliveries())
        ledger.replay(index=True)
        assert list(ledger.deliveries()) == rows
        # The first to be received of equal events counts: in an import it may come later.
        early = datetime(2036, 3, 1, tzinfo=UTC)
        ledger.record_many([Receipt(sent("x", TIMESTAMP=stamps["future"]), received_at=early)])
        assert "timestamp_implausible" not in ledger.delivery("x").findings
        ledger.record_many([Receipt(sent("x", TIMESTAMP=stamps["future"]), received_at=EARLY)])
        assert "timestamp_implausible" in ledger.delivery("x").findings


@in_file
def test_a_page_reads_no_more_of_a_larger_ledger(tmp_path: Path) -> None:
    """It is read in the order of an index, from its place on."""
    with Ledger(tmp_path / "test.db") as ledger:
        steps = []
        for first in (0, 300):
            ledger.record_many(sent(f"m{number:04}") for number in range(first, 10 * first + 300))
            with ledger._listing(None) as (store, listing):
                asked = partial(page_of, Query(), store, listing)
                after = after_of(asked(None, 10))
                for place in (None, after):
                    steps.append(steps_of(store, partial(asked, place, 10)))
        assert steps[:2] == steps[2:]
