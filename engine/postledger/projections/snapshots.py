"""Snapshots: the states as of one time, in scratch tables that stay whatever is written meanwhile.

They are filled page by page, each in a read transaction of its own. What the log has up to a position
never changes, so that all of it is as of that position.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from postledger.log.as_of import Bounds
from postledger.projections import generations
from postledger.projections.index import NOWHERE_ID
from postledger.projections.queries import Listing
from postledger.projections.reader import Reader

PAGE = 1_000
"""How many streams are read in one transaction."""

_STREAMS = """CREATE TABLE {} (
    id INTEGER PRIMARY KEY,
    space TEXT NOT NULL,
    chart TEXT NOT NULL,
    key TEXT NOT NULL
) STRICT"""


@contextmanager
def snapshot(reader: Reader, live: str | None, bounds: Bounds) -> Iterator[Listing]:
    """The states as of bounds, which name a position, and their streams.

    ``live`` is the table of the live states, where these are by the reader's definitions. Streams that
    lie whole within the bounds are copied from ``live``; the others are folded.
    """
    store, index = reader.log.store, reader.index
    with store.scratch("states") as states, store.scratch("streams") as streams:
        for sql in (*generations.states_tables(states).values(), _STREAMS.format(streams)):
            store.execute(sql)
        after, newest = NOWHERE_ID, index.newest()
        while after < newest:
            with store.read():
                # Streams that others begin meanwhile have nothing within the bounds.
                until = min(index.next(after, PAGE), newest)
                between = (after, until)
                store.execute(
                    f"INSERT INTO {streams} SELECT * FROM {index.streams_table}"
                    " WHERE id > ? AND id <= ?",
                    between,
                )
                if live is not None and not index.leaves_out(*between, bounds):
                    store.execute(
                        f"INSERT INTO {states} SELECT * FROM {live} WHERE stream > ? AND stream <= ?",
                        between,
                    )
                else:
                    rows = (row for *_, row in reader.rows(*between, bounds) if row is not None)
                    generations.put(store, states, rows)
            after = until
        yield Listing(reader.definitions, states, streams)
