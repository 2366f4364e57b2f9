"""Snapshots: the states as of one time, in scratch tables that stay whatever is written meanwhile.

They are filled page by page, each in a read transaction of its own. What the log has up to a position
never changes, so that all of it is as of that position.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager

import attrs

from postledger.log.as_of import Bounds
from postledger.projections import generations
from postledger.projections.generations import APART, BEGAN, Generation
from postledger.projections.index import NOWHERE_ID
from postledger.projections.queries import Listing
from postledger.projections.reader import Reader
from postledger.state.row import NEAR
from postledger.store.store import LARGEST, Store, unindexed

PAGE = 1_000
"""How many streams are read in one transaction."""

_STREAMS = """CREATE TABLE {} (
    id INTEGER PRIMARY KEY,
    space TEXT NOT NULL,
    chart TEXT NOT NULL,
    key TEXT NOT NULL
) STRICT"""


@contextmanager
def live_snapshot(reader: Reader) -> Iterator[LiveSnapshot]:
    """Tables for the live states of a period, to be filled in one read transaction."""
    with _tables(reader.log.store) as (states, streams):
        yield LiveSnapshot(reader, Listing(reader.definitions, states, streams))


@attrs.frozen
class LiveSnapshot:
    """The live states of the streams that began in a period, as of when they were copied."""

    reader: Reader
    listing: Listing

    def fill(
        self, live: Generation, damaged: Container[str], since: int | None, until: int | None
    ) -> None:
        """Copy them from the live generation; the caller holds a read transaction.

        ``damaged`` has the names of ``generations.damaged_indexes``, which are not read by.
        """
        store, states = self.reader.log.store, self.listing.states
        since, until = (-LARGEST if since is None else since, LARGEST if until is None else until)
        within = f"{BEGAN} >= ? AND {BEGAN} < ?"
        near = "s.first_received_at >= ? AND s.first_received_at < ?"
        store.execute(
            f"INSERT INTO {states} SELECT s.* FROM {live.table} s"
            f" WHERE {near} AND {within} AND NOT {APART}",
            (max(since - NEAR, -LARGEST), min(until + NEAR, LARGEST), since, until),
        )
        by_index, apart = generations.by_apart(store, live.table) or "", APART
        if generations.apart_of(live.table) in damaged:
            by_index, apart = "", unindexed(APART)
        store.execute(
            f"INSERT INTO {states} SELECT s.* FROM {live.table} s{by_index}"
            f" WHERE {apart} AND {within}",
            (since, until),
        )
        store.execute(
            f"INSERT INTO {self.listing.streams} SELECT t.* FROM {states} s"
            f" JOIN {self.reader.index.streams_table} t ON t.id = s.stream"
        )


@contextmanager
def snapshot(reader: Reader, live: str | None, bounds: Bounds) -> Iterator[Listing]:
    """The states as of bounds, which name a position, and their streams.

    ``live`` is the table of the live states, where these are by the reader's definitions. Streams that
    lie whole within the bounds are copied from ``live``; the others are folded.
    """
    store, index = reader.log.store, reader.index
    with _tables(store) as (states, streams):
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


@contextmanager
def _tables(store: Store) -> Iterator[tuple[str, str]]:
    """Scratch tables for states and their streams."""
    with store.scratch("states") as states, store.scratch("streams") as streams:
        for sql in (*generations.states_tables(states), _STREAMS.format(streams)):
            store.execute(sql)
        yield states, streams
