"""Search: the deliveries that have a text somewhere, the newest first.

The table of a generation leads from terms to streams, the newest first (``state.search``). It may lead to
too many: whether a delivery is found its row says. Without such a table, as for the states of another
time, all rows are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import attrs

from postledger.errors import IntegrityError
from postledger.model import DELIVERY
from postledger.projections import queries
from postledger.projections.generations import FIRST
from postledger.projections.index import chunks
from postledger.projections.queries import After, Listing, Query, after_of
from postledger.state.patterns import Stream
from postledger.state.row import Row
from postledger.state.search import (
    INSTANT,
    REASONS,
    WHOLE,
    Search,
    finds,
    reason_found,
    search_of,
    tails_of,
    whole_of,
)
from postledger.store.sqlite import LARGEST, Store

PAGE = 1_000
"""How many deliveries are looked at together."""

_MOST_TERMS = 1_000
"""How many terms are looked up one by one."""

_FEW = 2_000
"""So many entries are sorted by their times rather than read in that order."""

_ALIKE = 30

_FIRST, _MORE = 20, 3
"""How many entries more than a page are read at first, and how many times more each time."""

_NEVER = -LARGEST - 1

_Found = tuple[int, int]
"""The time of a delivery, in ``INSTANT``, and its stream."""


def page_of(
    query: Query, store: Store, listing: Listing, after: After | None, size: int
) -> list[tuple[Stream, Row]]:
    """The next streams and rows after ``after`` that a query asks for, with a search or without.

    See ``queries.page_of``; with a search the newest come first.
    """
    if query.search is None:
        return queries.page_of(query, store, listing, after, size)
    search = search_of(query.search)
    if listing.search is not None and query.chart == DELIVERY:
        queries.require_known(query, listing.definitions)
        places = _Places.of(search, store, listing, listing.search)
        if places is not None:
            return _led_to(query, search, places, after, size)
    found: list[tuple[Stream, Row]] = []
    while len(found) < size:
        page = queries.page_of(query, store, listing, after, PAGE)
        found += [(stream, row) for stream, row in page if finds(search, stream[2], row)]
        if len(page) < PAGE:
            break
        after = after_of(page)
    return found[:size]


def _led_to(
    query: Query, search: Search, places: _Places, after: After | None, size: int
) -> list[tuple[Stream, Row]]:
    """The page by the table: more and more entries are read until so many deliveries are found."""
    found: list[tuple[Stream, Row]] = []
    until, count = LARGEST if after is None else after[0] >> INSTANT, size + _FIRST
    while True:
        entries, least = places.newest(until, count)
        rows = _rows(query, places, after, [stream for at, stream in entries if at > least])
        found += [(stream, row) for stream, row in rows if finds(search, stream[2], row)]
        if len(found) >= size or least == _NEVER:
            break
        # Of one time there may be more than were read.
        more = count < _FEW or least == until
        until, count = least, count * _MORE if more else count
    found.sort(key=lambda one: (one[1][FIRST], one[0][2], one[0][0]), reverse=True)
    return found[:size]


def _rows(
    query: Query, places: _Places, after: After | None, streams: list[int]
) -> Iterator[tuple[Stream, Row]]:
    for chunk in chunks(streams):
        # Few different statements, so that they are parsed once.
        alike = [*chunk, *chunk[-1:] * (-len(chunk) % _ALIKE)]
        yield from queries.page_of(query, places.store, places.listing, after, LARGEST, alike)


@attrs.frozen
class _Places:
    """Where the deliveries of a search stand: terms of its table, and beginnings of keys."""

    store: Store
    listing: Listing
    table: str
    ranges: tuple[tuple[int, int], ...]
    keys: tuple[tuple[str, str | None], ...]

    @classmethod
    def of(cls, search: Search, store: Store, listing: Listing, table: str) -> _Places | None:
        """The places of a search; ``None`` where they are too many."""
        places = cls(store, listing, table, (), tuple((key, _behind(key)) for key in search.keys))
        whole = whole_of(search.whole)
        ranges = {(whole, whole)}
        for tails in map(tails_of, search.numbers):
            ranges.update(places._parted(*tails))
        if search.words:
            reasons = places._terms(REASONS, WHOLE - 1)
            if reasons is None:
                return None
            ranges.update((term, term) for term in places._reasons(search, reasons))
        return attrs.evolve(places, ranges=tuple(sorted(ranges)))

    def newest(self, until: int, count: int) -> tuple[set[_Found], int]:
        """The newest entries up to a time, and the time after which none is missing."""
        found: set[_Found] = set()
        least = _NEVER
        for rows in self._read(until, count):
            if not all(isinstance(value, int) for row in rows for value in row):
                raise IntegrityError("the search is damaged; run replay")
            found.update(rows)
            if len(rows) == count:
                least = max(least, rows[-1][0])
        return found, least

    def _read(self, until: int, count: int) -> Iterator[list[_Found]]:
        """The newest entries of each place, ``count`` of them at most."""
        for low, high in self.ranges:
            # One term alone is read in the order in which it stands.
            held = "term = ?" if low == high else "term >= ? AND term <= ?"
            terms = (low,) if low == high else (low, high)
            yield self.store.execute(
                f"SELECT at, stream FROM {self.table} WHERE {held} AND at <= ?"
                " ORDER BY at DESC LIMIT ?",
                (*terms, until, count),
            ).fetchall()
        for key, behind in self.keys:
            yield self._with_key(key, behind, until, count)

    def _with_key(self, begin: str, behind: str | None, until: int, count: int) -> list[_Found]:
        """The newest deliveries of which the key begins so."""
        held = "t.key >= ?" if behind is None else "t.key >= ? AND t.key < ?"
        key = (begin,) if behind is None else (begin, behind)
        streams, states = self.listing.streams, self.listing.states
        select = f"SELECT s.first_received_at >> {INSTANT}, s.stream FROM"
        newest = "ORDER BY s.first_received_at DESC LIMIT ?"
        end = min(((until + 1) << INSTANT) - 1, LARGEST)
        if self._is_many(streams, held.replace("t.key", "key"), key):
            # Among the newest deliveries there may be enough of those that begin so.
            first = self.store.one(
                f"SELECT first_received_at FROM {states} WHERE first_received_at <= ?"
                f" ORDER BY first_received_at DESC LIMIT 1 OFFSET {_FEW}",
                (end,),
            )
            rows: list[_Found] = self.store.execute(
                f"{select} {states} s CROSS JOIN {streams} t ON t.id = s.stream WHERE {held}"
                f" AND s.first_received_at <= ? AND s.first_received_at >= ? {newest}",
                (*key, end, first[0] if first else -LARGEST, count),
            ).fetchall()
            if len(rows) == count or first is None:
                return rows
        every: list[_Found] = self.store.execute(
            f"{select} {streams} t CROSS JOIN {states} s ON s.stream = t.id WHERE {held}"
            f" AND s.first_received_at <= ? {newest}",
            (*key, end, count),
        ).fetchall()
        return every

    def _is_many(self, table: str, held: str, given: tuple[object, ...]) -> bool:
        """Whether more than a few rows of a table hold."""
        sql = f"SELECT 1 FROM {table} WHERE {held} LIMIT 1 OFFSET {_FEW}"
        return self.store.one(sql, given) is not None

    def _parted(self, low: int, high: int) -> Iterable[tuple[int, int]]:
        """A range of terms; where it has many entries, its terms one by one, unless these are many."""
        if low != high:
            many = self._is_many(self.table, "term >= ? AND term <= ?", (low, high))
            terms = self._terms(low, high) if many else None
            if terms is not None:
                return [(term, term) for term, _ in terms]
        return [(low, high)]

    def _terms(self, low: int, high: int) -> list[tuple[int, int]] | None:
        """The terms in a range, each with the stream of an entry; ``None`` where they are many."""
        first = f"SELECT term FROM {self.table} WHERE term"
        found = self.store.execute(
            f"WITH RECURSIVE each(term) AS (SELECT ({first} >= ? ORDER BY term LIMIT 1) UNION ALL"
            f" SELECT ({first} > each.term ORDER BY term LIMIT 1) FROM each WHERE each.term <= ?)"
            f" SELECT term, (SELECT stream FROM {self.table} o WHERE o.term = each.term LIMIT 1)"
            " FROM each WHERE term <= ? LIMIT ?",
            (low, high, high, _MOST_TERMS),
        ).fetchall()
        return None if len(found) == _MOST_TERMS else found

    def _reasons(self, search: Search, reasons: list[tuple[int, int]]) -> Iterator[int]:
        """The terms of reasons that have the words of a search."""
        terms = {stream: term for term, stream in reasons}
        for chunk in chunks(list(terms)):
            holes = ", ".join("?" * len(chunk))
            rows = self.store.execute(
                f"SELECT stream, coalesce(reason, route_reason) FROM {self.listing.states}"
                f" WHERE stream IN ({holes})",
                chunk,
            ).fetchall()
            yield from (terms[stream] for stream, text in rows if reason_found(search, text))


def _behind(key: str) -> str | None:
    """The first text behind all that begin with a key, in the order of bytes; ``None`` for none."""
    while key:
        last = ord(key[-1]) + 1
        # Between these stand halves of characters.
        last = 0xE000 if last == 0xD800 else last
        if last <= 0x10FFFF:
            return key[:-1] + chr(last)
        key = key[:-1]
    return None


@contextmanager
def among(query: Query, store: Store, listing: Listing) -> Iterator[str]:
    """SQL that holds of the rows ``s`` that a search finds; empty without one."""
    if query.search is None:
        yield ""
        return
    with store.scratch("found") as found:
        store.execute(f"CREATE TABLE {found} (stream INTEGER PRIMARY KEY)")
        after, size = None, PAGE
        while size == PAGE:
            page = page_of(query, store, listing, after, PAGE)
            streams = ((row[0],) for _, row in page)
            store.executemany(f"INSERT INTO {found} VALUES (?)", streams)
            after, size = after_of(page) if page else None, len(page)
        yield f" AND s.stream IN (SELECT stream FROM {found})"
