"""Changes page by page: what each event of the log changed, for those who follow it."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from postledger.log.log import require_whole
from postledger.model import Change, StateChanged
from postledger.projections.generations import Lives
from postledger.projections.reader import Reader
from postledger.state.changes import Passage, change_of, passages, state_changed

PAGE = 500
"""How many events are looked at in one read transaction."""


@attrs.frozen
class Page:
    """The changes of the events after some position, up to ``until``."""

    until: int
    changes: tuple[StateChanged, ...]


def passages_of(reader: Reader, after: int, until: int, kept: Lives) -> Iterator[Passage]:
    """The passages of the events after ``after`` up to ``until``, in order of position.

    ``kept`` are the lives of whoever goes through the log page by page.
    """
    place = reader.index.name, reader.definitions.hash
    events = list(reader.log.events(after + 1, until))
    first, end = max(0, after + 1), min(until, reader.log.last()) + 1
    require_whole([stored.position for stored in events], first, end)
    index, lives = reader.index, kept.as_of((*place, first))
    yield from passages(reader.facts, events, lives, index.find, index.rows_of)
    kept.keep((*place, end))


def changes_of(reader: Reader, after: int, until: int, kept: Lives) -> list[Change]:
    """What a projection is given of the events after ``after`` up to ``until``."""
    found = passages_of(reader, after, until, kept)
    return [change_of(_with_repeat(reader, one)) for one in found]


def _with_repeat(reader: Reader, passage: Passage) -> Passage:
    """An event of no delivery says what it repeats too, as known when it was recorded."""
    said, place = passage.statement, (passage.stored.position, passage.member)
    number = None if said is None else reader.index.find(said.stream)
    if said is None or number is None or passage.after is not None:
        return passage
    rows = reader.index.equal(number, said.occurred_at, said.identity)
    first = reader.facts.ranked([row for row in rows if (row[3], row[4]) <= place])[0]
    return passage._replace(repeats=None if (first[3], first[4]) == place else first[3])


def page_of(reader: Reader, after: int, ledger_id: bytes, kept: Lives) -> Page:
    """The next page after a position; the caller holds a read transaction."""
    after = max(after, -1)
    until = max(after, min(after + PAGE, reader.log.last()))
    definitions = reader.definitions.hash
    found = (
        state_changed(passage, ledger_id, definitions)
        for passage in passages_of(reader, after, until, kept)
    )
    return Page(until, tuple(change for change in found if change is not None))
