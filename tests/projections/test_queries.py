"""Listings of deliveries: their order, and what meets them under way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from postledger import Ledger, Receipt
from tests.samples import first_outcome_stands, sent

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
