"""An archive says what its ledger says: by any definitions, as of any time, and alone or with others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs
import pytest
from hypothesis import strategies as st

from postledger import Archive, Ledger, Ledgers, Receipt
from postledger.lake.files import Files
from postledger.lake.folding import ENGINES
from tests.lake.feeds import FEEDS
from tests.lake.test_archive import changed, told
from tests.properties.shown import falsified, folder, run
from tests.properties.worlds import Made, arrived, made, moments

QUICK, LONG = 20, 1_000
_DEALT = st.lists(st.integers(0, 1), min_size=40, max_size=40)
_WORLDS = (made(), made(), arrived(most=12), _DEALT, moments(), moments())


def rows(ledger: Ledger, **bounds: Any) -> dict[Any, Any]:
    """The rows of all charts of a ledger."""
    return {
        (chart, one.space, one.tracking_id): attrs.asdict(one)
        for chart in ledger.definitions.charts
        for one in ledger.deliveries(chart=chart, **bounds)
    }


def folded(archive: Archive, *given: Any, **bounds: Any) -> dict[Any, Any]:
    """The same of an archive."""
    found = [attrs.asdict(one) for one in archive.fold(*given, **bounds)]
    told = {(one["chart"], one["space"], one["tracking_id"]): one for one in found}
    assert len(told) == len(found)
    return told


def archives_alike(
    one: Made,
    other: Made,
    received: list[Receipt],
    dealt: Sequence[int],
    known: datetime,
    happened: datetime,
) -> None:
    """Rows of an archive, and of two as one, are those of the ledgers."""
    with folder() as path:
        parts = [path / "0.db", path / "1.db"]
        for number, part in enumerate(parts):
            with Ledger(part, definitions=one.definitions) as ledger:
                mine = [r for at, r in enumerate(received) if dealt[at % 40] == number]
                ledger.record_many(attrs.evolve(r, imported=False) for r in mine)
                ledger.archive(path / str(number), rows=3)
        with Ledgers(*parts) as ledgers, Archive(path / "0", path / "1") as together:
            assert folded(together) == rows(ledgers._merge.ledger)
        with Ledger(parts[0]) as ledger, Archive(path / "0") as archive:
            assert archive.verify(ledger.head()).problems == ()
            for bounds in ({}, {"as_of": known}, {"occurred_by": happened}, {"as_of": 2}):
                wanted = rows(ledger, **bounds)
                for engine in ENGINES:
                    assert folded(archive, engine=engine, **bounds) == wanted
                for fed_by in FEEDS:
                    assert folded(archive, statements=fed_by(path / "0"), **bounds) == wanted
            found = changed(path / "0")
            assert sorted(found, key=lambda row: (row["position"], row["member"])) == told(ledger)
            by_others = folded(archive, other.definitions)
            ledger.replay(other.definitions)
            assert by_others == rows(ledger)


def test_an_archive_says_what_its_ledger_says() -> None:
    """Whatever was received, and whoever reads it."""
    run(archives_alike, QUICK, *_WORLDS)


@pytest.mark.long
def test_an_archive_says_what_its_ledger_says_in_many_runs() -> None:
    """The same on many more examples."""
    run(archives_alike, LONG, *_WORLDS)


def test_a_lost_statement_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold that leaves out the last of what is said of a stream falsifies the property."""
    tables = Files.tables

    def lost(files: Files, bucket: int) -> Any:
        return (one.slice(0, one.num_rows - 1) for one in tables(files, bucket))

    monkeypatch.setattr(Files, "tables", lost)
    assert falsified(archives_alike, QUICK, *_WORLDS)
