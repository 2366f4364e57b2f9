"""Search: the deliveries that have a text somewhere, the newest first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from postledger.projections import queries
from postledger.projections.queries import After, Listing, Query, after_of
from postledger.state.patterns import Stream
from postledger.state.row import Row
from postledger.state.search import finds, search_of
from postledger.store.sqlite import Store

PAGE = 1_000
"""How many deliveries are looked at together."""


def page_of(
    query: Query, store: Store, listing: Listing, after: After | None, size: int
) -> list[tuple[Stream, Row]]:
    """The next streams and rows after ``after`` that a query asks for, with a search or without.

    See ``queries.page_of``; with a search the newest come first.
    """
    if query.search is None:
        return queries.page_of(query, store, listing, after, size)
    search = search_of(query.search)
    found: list[tuple[Stream, Row]] = []
    while len(found) < size:
        page = queries.page_of(query, store, listing, after, PAGE)
        found += [(stream, row) for stream, row in page if finds(search, stream[2], row)]
        if len(page) < PAGE:
            break
        after = after_of(page)
    return found[:size]


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
