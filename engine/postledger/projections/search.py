"""Search: the deliveries that have a text somewhere, the newest first.

The table of a generation leads from terms to streams, the newest first (``state.search``). It may lead to
too many: whether a delivery is found its row says. It is walked backwards in time, in all places where
the text may stand at once, until a page is full. Of a period only the time around it is walked, and
next to it those deliveries that began apart from their reception. Without such a table, as for the states
of another time, all rows are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from heapq import merge
from itertools import islice
from operator import itemgetter

import attrs

from postledger.errors import IntegrityError
from postledger.model import DELIVERY
from postledger.projections import queries
from postledger.projections.generations import APART, BEGAN, FIRST, by_apart
from postledger.projections.index import CHUNK, chunks
from postledger.projections.queries import After, Listing, Query, after_of
from postledger.projections.tallies import Tallies
from postledger.state.patterns import Stream
from postledger.state.row import NEAR, Row
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
from postledger.times import micros

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
        reach = _Reach.of(query, store, listing, after)
        places = _Places(store, listing, listing.search, search, reach)
        rows = _led_to(query, places, after, size)
    return (one for one in rows if finds(search, one[0][2], one[1]))


def _all(
    query: Query, store: Store, listing: Listing, after: After | None
) -> Iterator[tuple[Stream, Row]]:
    size = PAGE
    while size == PAGE:
        page = queries.page_of(query, store, listing, after, PAGE)
        yield from page
        after, size = after_of(page) if page else None, len(page)


def _led_to(
    query: Query, places: _Places, after: After | None, size: int
) -> Iterator[tuple[Stream, Row]]:
    """What a query asks for in some places; the rows are read as many at once as may be enough."""
    wanted: list[int] = []
    size, last = min(max(size, _FIRST), CHUNK), None
    for at, stream in places.newest():
        # Those of one time are sorted together.
        if len(wanted) >= size and at != last:
            yield from _rows(query, places, after, wanted)
            wanted, size = [], CHUNK
        wanted.append(stream)
        last = at
    yield from _rows(query, places, after, wanted)


def _rows(
    query: Query, places: _Places, after: After | None, wanted: list[int]
) -> list[tuple[Stream, Row]]:
    store, listing = places.store, places.listing
    rows: list[tuple[Stream, Row]] = []
    # One may stand in several places.
    for chunk in chunks(list(dict.fromkeys(wanted))):
        # Few different statements, so that they are parsed once.
        alike = [*chunk, *chunk[-1:] * (-len(chunk) % _FIRST)]
        rows += queries.page_of(query, store, listing, after, LARGEST, alike)
    rows.sort(key=lambda one: (one[1][FIRST], one[0][2], one[0][0]), reverse=True)
    return rows


@attrs.frozen
class _Reach:
    """The first receptions, from ``since`` up to ``until``, between which deliveries are looked for.

    ``apart`` are those that are looked for whatever their text, the newest first.
    """

    since: int = -LARGEST
    until: int = LARGEST
    apart: tuple[_Found, ...] = ()

    @classmethod
    def of(cls, query: Query, store: Store, listing: Listing, after: After | None) -> _Reach:
        """Those of what a query asks for, after a place."""
        behind_it = LARGEST if after is None else after[0]
        since = -LARGEST if query.since is None else micros(query.since)
        until = LARGEST if query.until is None else micros(query.until)
        if since == -LARGEST and until == LARGEST:
            return cls(until=behind_it)
        apart = _apart(store, listing, since, until)
        if apart is None:
            return cls(until=behind_it)
        found = tuple((at_of(first), stream) for first, stream in apart if first <= behind_it)
        return cls(max(since - NEAR, -LARGEST), min(until + NEAR, behind_it), found)


def _apart(store: Store, listing: Listing, since: int, until: int) -> list[_Found] | None:
    """Those that began in a period, far from their reception; ``None`` for many, or not known."""
    by_index = by_apart(store, listing.states)
    if by_index is None or listing.tallies is None:
        return None
    states = f"{listing.states} s{by_index} WHERE {APART}"
    # guard: a search relies on no index that lost its rows
    if Tallies(store, listing.tallies).apart() and store.one(f"SELECT 1 FROM {states}") is None:
        return None
    rows = store.execute(
        f"SELECT s.first_received_at, s.stream FROM {states} AND {BEGAN} >= ? AND {BEGAN} < ?"
        f" LIMIT {_FEW + 1}",
        (since, until),
    ).fetchall()
    return sorted(_sound(rows), reverse=True) if len(rows) <= _FEW else None


@attrs.frozen
class _Places:
    """Where the deliveries that a search may find stand: terms of a table, and beginnings of keys."""

    store: Store
    listing: Listing
    table: str
    search: Search
    reach: _Reach

    def newest(self) -> Iterator[_Found]:
        """The streams in all places, the newest first."""
        return merge(*self._each(), key=itemgetter(0), reverse=True)

    def _each(self) -> Iterator[Iterator[_Found]]:
        """The entries of each place."""
        ranges = {(term, term) for term in {term_of(self.search.whole), *self._word()}}
        ranges.update(map(tails_of, self.search.numbers))
        for low, high in sorted(ranges):
            yield from self._of_terms(low, high)
        for key in self.search.keys:
            yield _Keys.of(self.store, self.listing, key, self.reach).newest()
        yield iter(self.reach.apart)

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
        found = sorted(led_to(rows.fetchall()), reverse=True)
        # No earlier ones: the others are of the time of the index at both ends, too.
        since, until = at_of(self.reach.since), at_of(self.reach.until)
        yield (one for one in found if since <= one[0] <= until)

    def _of_term(self, term: int) -> Iterator[_Found]:
        """The entries of a term, in the order in which they stand."""
        begin, end = place_of(term, at_of(self.reach.since)), behind(term, at_of(self.reach.until))
        count = _FIRST
        while True:
            rows = self.store.execute(
                f"SELECT entry FROM {self.table} WHERE entry >= ? AND entry < ?"
                " ORDER BY entry DESC LIMIT ?",
                (begin, end, count),
            ).fetchall()
            yield from led_to(rows)
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
    reach: _Reach
    held: str
    given: tuple[str, ...]

    @classmethod
    def of(cls, store: Store, listing: Listing, begin: str, reach: _Reach) -> _Keys:
        """Those that begin so."""
        return cls(store, listing, reach, *store.begins("t.key", begin, _behind(begin)))

    def newest(self) -> Iterator[_Found]:
        """Those within reach, the newest first."""
        yield from ((at_of(first), stream) for first, stream in self._newest(self.reach.until))

    def _newest(self, until: int) -> Iterator[_Found]:
        many = f"SELECT 1 FROM {self.listing.streams} t WHERE {self.held} LIMIT 1 OFFSET {_FEW}"
        if self.store.one(many, self.given) is None:
            yield from self._by_keys(until, LARGEST)
            return
        while True:
            since = self._few_before(until)
            rows = self._received(since, until)
            yield from rows
            if since < self.reach.since:
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
        """So many of the newest up to a time."""
        # Keys often rise with time: those that come first are the newest then, and the others are
        # put nowhere.
        rows = self.store.execute(
            f"SELECT s.first_received_at, s.stream FROM (SELECT t.id FROM {self.listing.streams} t"
            f" WHERE {self.held} ORDER BY t.key DESC LIMIT {LARGEST}) k"
            f" CROSS JOIN {self.listing.states} s WHERE s.stream = k.id"
            " AND s.first_received_at >= ? AND s.first_received_at <= ?"
            " ORDER BY s.first_received_at DESC LIMIT ?",
            (*self.given, self.reach.since, until, most),
        )
        return _sound(rows.fetchall())

    def _few_before(self, until: int) -> int:
        """The time of which the deliveries are a few before another time, or before which are none."""
        row = self.store.execute(
            f"SELECT first_received_at, stream FROM {self.listing.states}"
            " WHERE first_received_at <= ? ORDER BY first_received_at DESC"
            f" LIMIT 1 OFFSET {_FEW}",
            (until,),
        ).fetchall()
        before = self.reach.since - 1
        return max(min(_sound(row)[0][0], until - 1), before) if row else before

    def _received(self, since: int, until: int) -> list[_Found]:
        """Those that were first received after one time, up to another."""
        rows = self.store.execute(
            f"SELECT s.first_received_at, s.stream FROM {self.listing.states} s"
            f" CROSS JOIN {self.listing.streams} t"
            f" WHERE t.id = s.stream AND {self.held}"
            " AND s.first_received_at > ? AND s.first_received_at <= ?"
            " ORDER BY s.first_received_at DESC",
            (*self.given, since, until),
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
