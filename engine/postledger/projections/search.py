"""Search: the deliveries that have a text somewhere, the newest first.

The table of a generation leads from terms to streams, the newest first (``state.search``). It may lead to
too many: whether a delivery is found its row says. It is walked backwards in time, in all places where
the text may stand at once, until a page is full. Without such a table, as for the states of another
time, all rows are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter

import attrs

from postledger.errors import IntegrityError
from postledger.model import DELIVERY
from postledger.projections import queries
from postledger.projections.generations import FIRST
from postledger.projections.index import CHUNK, chunks
from postledger.projections.queries import After, Listing, Query, after_of
from postledger.state.patterns import Stream
from postledger.state.row import Row
from postledger.state.search import (
    Search,
    at_of,
    behind,
    finds,
    led_to,
    place_of,
    search_of,
    tails_of,
    term_of,
)
from postledger.store.store import LARGEST, Store

PAGE = 1_000
"""How many deliveries are looked at together, without the table."""

_FEW = 2_000
"""So many deliveries are sorted by their times rather than read in that order."""

_RARE = 200
"""Of the newest deliveries one in so many has to be found, else they are looked for by their ids."""

_MOST_WORDS = 8
"""Of so many words the rarest is looked for."""

_FIRST, _MORE = 32, 4
"""How many entries are read at first, and how many times more each time, up to ``CHUNK``."""

_Found = tuple[int, int]
"""A time of the index, and the stream of a delivery that was first received then."""


def page_of(
    query: Query, store: Store, listing: Listing, after: After | None, size: int
) -> list[tuple[Stream, Row]]:
    """The next streams and rows after ``after`` that a query asks for, with a search or without.

    See ``queries.page_of``; with a search the newest come first.
    """
    if query.search is None:
        return queries.page_of(query, store, listing, after, size)
    return list(islice(_found(query, query.search, store, listing, after, size), size))


def _found(
    query: Query, text: str, store: Store, listing: Listing, after: After | None, size: int
) -> Iterator[tuple[Stream, Row]]:
    """All streams and rows that a text finds, the newest first; about so many are wanted."""
    search = search_of(text)
    if listing.search is None or query.chart != DELIVERY:
        rows = _all(query, store, listing, after)
    else:
        queries.require_known(query, listing.definitions)
        places = _Places(store, listing, listing.search, search, after)
        rows = _led_to(query, places, size)
    return (one for one in rows if finds(search, one[0][2], one[1]))


def _all(
    query: Query, store: Store, listing: Listing, after: After | None
) -> Iterator[tuple[Stream, Row]]:
    size = PAGE
    while size == PAGE:
        page = queries.page_of(query, store, listing, after, PAGE)
        yield from page
        after, size = after_of(page) if page else None, len(page)


def _led_to(query: Query, places: _Places, size: int) -> Iterator[tuple[Stream, Row]]:
    """What a query asks for in some places; the rows are read as many at once as may be enough."""
    wanted: list[int] = []
    size = min(max(size, _FIRST), CHUNK)
    for together in places.streams():
        wanted += together
        if len(wanted) >= size:
            yield from _rows(query, places, wanted)
            wanted, size = [], CHUNK
    yield from _rows(query, places, wanted)


def _rows(query: Query, places: _Places, wanted: list[int]) -> list[tuple[Stream, Row]]:
    store, listing, after = places.store, places.listing, places.after
    rows: list[tuple[Stream, Row]] = []
    for chunk in chunks(wanted):
        # Few different statements, so that they are parsed once.
        alike = [*chunk, *chunk[-1:] * (-len(chunk) % _FIRST)]
        rows += queries.page_of(query, store, listing, after, LARGEST, alike)
    rows.sort(key=lambda one: (one[1][FIRST], one[0][2], one[0][0]), reverse=True)
    return rows


@attrs.frozen
class _Places:
    """Where the deliveries that a search may find stand: terms of a table, and beginnings of keys."""

    store: Store
    listing: Listing
    table: str
    search: Search
    after: After | None

    def streams(self) -> Iterator[list[int]]:
        """The streams in all places, the newest first, those of one time together."""
        newest = merge(*self._each(), key=itemgetter(0), reverse=True)
        for _, together in groupby(newest, itemgetter(0)):
            yield list({stream for _, stream in together})

    def _each(self) -> Iterator[Iterator[_Found]]:
        """The entries of each place."""
        ranges = {(term, term) for term in {term_of(self.search.whole), *self._word()}}
        ranges.update(map(tails_of, self.search.numbers))
        for low, high in sorted(ranges):
            yield from self._of_terms(low, high)
        until = LARGEST if self.after is None else self.after[0]
        for key in self.search.keys:
            yield _Keys.of(self.store, self.listing, key).newest(until)

    def _word(self) -> Iterator[int]:
        """The term of the rarest word, which all reasons have that are found."""
        words = sorted(self.search.words, key=len)[-_MOST_WORDS:]
        counts = [(self._count(term, term), term) for term in map(term_of, words)]
        yield from (term for count, term in sorted(counts)[:1] if count)

    def _count(self, low: int, high: int) -> int:
        """How many entries terms have, counted up to a few."""
        rows = self.store.execute(
            f"SELECT 1 FROM {self.table} WHERE entry >= ? AND entry < ? LIMIT {_FEW + 1}",
            (place_of(low), behind(high)),
        )
        return len(rows.fetchall())

    def _of_terms(self, low: int, high: int) -> Iterator[Iterator[_Found]]:
        """The entries of terms: sorted where they are few, else term by term, as they stand."""
        if low == high or self._count(low, high) > _FEW:
            yield from map(self._of_term, range(low, high + 1))
            return
        rows = self.store.execute(
            f"SELECT entry FROM {self.table} WHERE entry >= ? AND entry < ?",
            (place_of(low), behind(high)),
        )
        yield iter(sorted((led_to(entry) for (entry,) in rows.fetchall()), reverse=True))

    def _of_term(self, term: int) -> Iterator[_Found]:
        """The entries of a term, in the order in which they stand."""
        end = behind(term, None if self.after is None else at_of(self.after[0]))
        count = _FIRST
        while True:
            rows = self.store.execute(
                f"SELECT entry FROM {self.table} WHERE entry >= ? AND entry < ?"
                " ORDER BY entry DESC LIMIT ?",
                (place_of(term), end, count),
            ).fetchall()
            yield from (led_to(entry) for (entry,) in rows)
            if len(rows) < count:
                return
            (end,), count = rows[-1], min(count * _MORE, CHUNK)


@attrs.frozen
class _Keys:
    """The deliveries of which the keys begin alike.

    Keys don't stand in the order of times. Where many begin so, the newest deliveries are looked
    through for such, a few after a few, and where these are rare, the next are found by their keys.
    """

    store: Store
    listing: Listing
    held: str
    given: tuple[str, ...]

    @classmethod
    def of(cls, store: Store, listing: Listing, begin: str) -> _Keys:
        """Those that begin so."""
        return cls(store, listing, *store.begins("t.key", begin, _behind(begin)))

    def newest(self, until: int) -> Iterator[_Found]:
        """Those that were first received up to then, the newest first."""
        yield from ((at_of(first), stream) for first, stream in self._newest(until))

    def _newest(self, until: int) -> Iterator[_Found]:
        many = f"SELECT 1 FROM {self.listing.streams} t WHERE {self.held} LIMIT 1 OFFSET {_FEW}"
        if self.store.one(many, self.given) is None:
            yield from self._by_keys(until, -1)
            return
        while True:
            since = self._few_before(until)
            rows = self._received(since, until)
            yield from rows
            if since is None:
                return
            until = since
            if len(rows) * _RARE < _FEW:
                rows = self._by_keys(until, CHUNK)
                if len(rows) < CHUNK:
                    yield from rows
                    return
                # Of the last time there may be more.
                until = rows[-1][0]
                yield from (row for row in rows if row[0] > until)

    def _by_keys(self, until: int, most: int) -> list[_Found]:
        """So many of the newest up to a time; -1 for all."""
        rows = self.store.execute(
            f"SELECT s.first_received_at, s.stream FROM {self.listing.streams} t"
            f" CROSS JOIN {self.listing.states} s"
            f" WHERE s.stream = t.id AND {self.held} AND s.first_received_at <= ?"
            " ORDER BY s.first_received_at DESC LIMIT ?",
            (*self.given, until, LARGEST if most < 0 else most),
        )
        return _sound(rows.fetchall())

    def _few_before(self, until: int) -> int | None:
        """The time of which the deliveries are a few before another time; ``None`` for none."""
        row = self.store.execute(
            f"SELECT first_received_at, stream FROM {self.listing.states}"
            " WHERE first_received_at <= ? ORDER BY first_received_at DESC"
            f" LIMIT 1 OFFSET {_FEW}",
            (until,),
        ).fetchall()
        return min(_sound(row)[0][0], until - 1) if row else None

    def _received(self, since: int | None, until: int) -> list[_Found]:
        """Those that were first received after one time, up to another."""
        rows = self.store.execute(
            f"SELECT s.first_received_at, s.stream FROM {self.listing.states} s"
            f" CROSS JOIN {self.listing.streams} t"
            f" WHERE t.id = s.stream AND {self.held}"
            " AND s.first_received_at > ? AND s.first_received_at <= ?"
            " ORDER BY s.first_received_at DESC",
            (*self.given, -LARGEST - 1 if since is None else since, until),
        )
        return _sound(rows.fetchall())


def _sound(rows: list[_Found]) -> list[_Found]:
    """Rows of two numbers; raises ``IntegrityError`` for others, which a damaged file gives."""
    if not all(isinstance(one, int) and isinstance(other, int) for one, other in rows):
        raise IntegrityError("the search is damaged; run replay")
    return rows


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
        rows = _found(query, query.search, store, listing, None, PAGE)
        while page := [(row[0],) for _, row in islice(rows, PAGE)]:
            store.executemany(f"INSERT INTO {found} VALUES (?)", page)
        yield f" AND s.stream IN (SELECT stream FROM {found})"
