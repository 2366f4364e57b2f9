"""Tables of a ledger's events in the order of the fold, as an archive has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from postledger.lake.layout import DELIVERIES, STATEMENTS, Said
from postledger.lake.rows import rows_of, state_of, table_of
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.projections.reader import Reader
from postledger.state.patterns import Stream
from postledger.state.streams import EventRow
from postledger.templates import texts_of

_UNDATED = 2**63 - 1


def streams_of(reader: Reader, bounds: Bounds) -> Iterator[tuple[Stream, list[EventRow]]]:
    """The streams of a ledger by their names, and their events within the bounds."""
    found = [
        (reader.index.stream_of(stream), rows)
        for stream, _, rows in reader.index.streams(bounds=bounds)
    ]
    return iter(sorted(found))


def statements_of(reader: Reader, bounds: Bounds = EVERYTHING) -> Any:
    """The members of all events that belong to streams, as far as the bounds have them."""
    told = [
        Said(
            *stream,
            None if row[1] == _UNDATED else row[1],
            *row[2:8],
            None if row[8] is None else texts_of(row[8]),
            *row[9:],
        )
        for stream, rows in streams_of(reader, bounds)
        for row in rows
    ]
    return table_of(STATEMENTS, told)


def plainly(reader: Reader, bounds: Bounds = EVERYTHING) -> list[tuple[Any, ...]]:
    """The deliveries of all streams, folded one by one without any plan."""
    rows = [(s, reader.plain_row(0, rows)) for s, rows in streams_of(reader, bounds)]
    return told([table_of(DELIVERIES, [state_of(stream, row) for stream, row in rows if row])])


def told(tables: Iterable[Any]) -> list[tuple[Any, ...]]:
    """The rows of tables."""
    return [row for table in tables for row in rows_of(table)]
