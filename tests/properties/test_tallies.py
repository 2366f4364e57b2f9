"""Tallies: what is counted in each write is what going through everything counts, in any order."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import attrs
import pytest
from hypothesis import strategies as st

from postledger import Ledger, Receipt
from postledger.state.row import Tallied
from tests.properties.shown import falsified, folder, run
from tests.properties.worlds import MOMENT, Made, arrived, bodies, made
from tests.samples import delivered, sent
from tests.scan import scanned, tallied
from tests.stores import both_stores

QUICK, LONG = 60, 3_000
KEYS = ("k1", "k2", "k3")
STAMPS = (
    "2013-11-05T05:41:08Z", "2013-11-05T05:41:09Z", "2013-11-05T05:41:09.5Z", "2023-11-03T05:41:08Z",
    "2023-11-03T05:41:09Z", "0001-01-02T00:00:00Z", "9999-12-30T00:00:00Z",
)  # fmt: skip
"""Of some less than a second lies between, of some exactly ten years."""


def deliveries() -> st.SearchStrategy[bytes]:
    """Postbacks of few deliveries, of different carriers and at different times."""
    key, spid = st.sampled_from(KEYS), st.sampled_from(("1", "2", None))
    stamp = st.sampled_from((None, *STAMPS))
    made_by = st.sampled_from((sent, delivered))
    return st.builds(
        lambda said, key, spid, stamp: said(key, SPID=spid, TIMESTAMP=stamp),
        made_by, key, spid, stamp,
    )  # fmt: skip


def received() -> st.SearchStrategy[list[Receipt]]:
    """Receipts over several hours, some of them again."""
    found = arrived(st.one_of(deliveries(), deliveries(), bodies()), most=10)
    return found.map(lambda receipts: [_spread(receipt) for receipt in receipts])


def _spread(receipt: Receipt) -> Receipt:
    assert receipt.received_at is not None
    later = (receipt.received_at - MOMENT) * 1_700
    return attrs.evolve(receipt, received_at=MOMENT + later - timedelta(hours=2))


def counts_as_scanning(
    one: Made, other: Made, receipts: list[Receipt], size: int, adopted: int
) -> None:
    """In batches or one by one, before and after definitions are adopted, in this order and reversed."""
    with (
        folder() as path,
        Ledger(path / "1.db", definitions=one.definitions) as first,
        Ledger(path / "2.db", definitions=other.definitions) as second,
    ):
        for _ in first.record_batches(receipts[:adopted], size):
            assert tallied(first) == scanned(first)
        first.replay(other.definitions)
        for receipt in receipts[adopted:]:
            first.record(
                receipt.body,
                receipt.content_type,
                received_at=receipt.received_at,
                source=receipt.source,
                content_encoding=receipt.content_encoding,
                sender=receipt.sender,
                query=receipt.query,
            )
        assert tallied(first) == scanned(first)
        second.record_many(receipts[::-1])
        assert tallied(second) == tallied(first)
        assert first.verify().problems == second.verify().problems == ()
        first.replay()
        assert tallied(first) == tallied(second)


_WORLDS = (made(), made(), received(), st.integers(1, 5), st.integers(0, 10))


@both_stores
def test_tallies_count_as_scanning_does() -> None:
    """Any order, repeats, batches and adoption: the sums are the same."""
    run(counts_as_scanning, QUICK, *_WORLDS)


@pytest.mark.long
def test_tallies_count_as_scanning_does_at_length() -> None:
    """The same for longer."""
    run(counts_as_scanning, LONG, *_WORLDS)


def test_the_property_sees_what_is_not_subtracted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery that was counted stays counted: this must not pass."""
    monkeypatch.setattr(Tallied, "kept", lambda *_: None)
    assert falsified(counts_as_scanning, QUICK, *_WORLDS)


def test_a_write_that_is_undone_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether all of it is undone, or the index and the states alone."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record(sent("a"))
        before = tallied(ledger)
        with monkeypatch.context() as patch:
            patch.setattr("postledger.store.sqlite.SqliteStore._require_file", _failing)
            with pytest.raises(RuntimeError):
                ledger.record(delivered("a"))
        assert tallied(ledger) == before == scanned(ledger)
        with monkeypatch.context() as patch:
            patch.setattr("postledger.projections.generations.tally", _failing)
            ledger.record(delivered("a"))
        assert tallied(ledger) == before
        ledger.record(sent("b"))
        assert tallied(ledger) == scanned(ledger)


def _failing(*_: object) -> None:
    raise RuntimeError("a mistake")
