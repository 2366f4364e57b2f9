"""Snapshots: the states as of one time, in scratch tables that stay whatever is written meanwhile.

They are filled page by page, each in a read transaction of its own. What the log has up to a position
never changes, so that all of it is as of that position.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from postledger.findings import Finding
from postledger.log.as_of import Bounds
from postledger.projections import generations
from postledger.projections.generations import Generation
from postledger.projections.index import NOWHERE_ID
from postledger.projections.queries import BEGAN, Listing
from postledger.projections.reader import Reader
from postledger.state.row import EVENTS, HOUR

PAGE = 1_000
"""How many streams are read in one transaction."""

_STREAMS = """CREATE TABLE {} (
    id INTEGER PRIMARY KEY,
    space TEXT NOT NULL,
    chart TEXT NOT NULL,
    key TEXT NOT NULL
) STRICT"""


EVENTFUL = Finding.NODE_MISSING | Finding.UNRECOGNISED | Finding.UNFOLDED
"""What is found of a stream where some event of it may be unread, or lack a node."""


@contextmanager
def live_snapshot(reader: Reader) -> Iterator[LiveSnapshot]:
    """Tables for the live states of a period, to be filled in one read transaction."""
    store = reader.log.store
    with (
        store.scratch("states") as states,
        store.scratch("streams") as streams,
        store.scratch("eventful") as eventful,
    ):
        for sql in (*generations.states_tables(states).values(), _STREAMS.format(streams)):
            store.execute(sql)
        store.execute(f"CREATE TABLE {eventful} (id INTEGER PRIMARY KEY)")
        yield LiveSnapshot(reader, Listing(reader.definitions, states, streams, eventful))


@attrs.frozen
class LiveSnapshot:
    """The live states of the streams that began in a period, as of when they were copied."""

    reader: Reader
    listing: Listing

    def fill(self, live: Generation, since: int | None, until: int | None) -> None:
        """Copy them from the live generation; the caller holds a read transaction.

        Of other streams that may have unread events only the number is kept: these are counted by when
        they were received.
        """
        store, states, eventful = self.reader.log.store, self.listing.states, self.listing.eventful
        ends = ((f"{BEGAN} >= ?", since), (f"{BEGAN} < ?", until))
        within = " AND ".join(["1 = 1", *(sql for sql, end in ends if end is not None)])
        given = tuple(end for _, end in ends if end is not None)
        hours = (
            None if since is None else since // HOUR,
            None if until is None else -(-until // HOUR),
        )
        kinds = {kind for kind, *_ in live.tallies_of(store).sums(EVENTS, ["value"], *hours)}
        # One that began in another period may have an unread event that came in this one.
        others = int(EVENTFUL & ~Finding.NODE_MISSING) if "unrecognised" in kinds else 0
        store.execute(
            f"INSERT INTO {eventful} SELECT s.stream FROM {live.table} s"
            f" WHERE (s.findings & {others}) <> 0 OR {within}",
            given,
        )
        store.execute(
            f"INSERT INTO {states} SELECT s.* FROM {eventful} c"
            f" JOIN {live.table} s ON s.stream = c.id WHERE {within}",
            given,
        )
        store.execute(
            f"INSERT INTO {self.listing.streams} SELECT t.* FROM {states} s"
            f" JOIN {self.reader.index.streams_table} t ON t.id = s.stream"
        )
        store.execute(
            f"DELETE FROM {eventful} WHERE id IN (SELECT s.stream FROM {states} s"
            f" WHERE (s.findings & {int(EVENTFUL)}) = 0)"
        )
        if kinds - {"recognised"}:
            store.execute(f"INSERT INTO {eventful} VALUES ({NOWHERE_ID})")
        if "unrecognised" in kinds:
            self._add_stateless(live)

    def _add_stateless(self, live: Generation) -> None:
        """Look at the streams without a state, too: none of their events said what became of them."""
        store, streams = self.reader.log.store, self.reader.index.streams_table
        count = f"SELECT (SELECT count(*) FROM {live.table}), (SELECT count(*) FROM {streams})"
        stated, numbered = store.one(count) or (0, 0)
        # Stream 0 has none in any case.
        if stated < numbered - 1:
            store.execute(
                f"INSERT INTO {self.listing.eventful} SELECT t.id FROM {streams} t"
                f" WHERE t.id > {NOWHERE_ID} AND NOT EXISTS"
                f" (SELECT 1 FROM {live.table} s WHERE s.stream = t.id)"
            )


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
