"""Changes page by page: what each event of the log changed, for those who follow it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import attrs

from postledger.log.as_of import Bounds
from postledger.log.event import Stored
from postledger.log.log import require_whole
from postledger.model import DELIVERY, REGIONS, Change, StateChanged
from postledger.projections.generations import Lives
from postledger.projections.index import NOWHERE_ID
from postledger.projections.reader import Folding, Reader
from postledger.state.changes import (
    Passage,
    change_of,
    known_after_each,
    net_change,
    passages,
    state_changed,
)
from postledger.state.patterns import Stream
from postledger.state.row import Row, event_of, row_of
from postledger.state.streams import EventRow

COLUMN_OF = {region: field for region, field, _ in REGIONS}
"""The columns of a delivery with the states of the regions next to that of the outcome."""

PAGE = 500
"""How many events are looked at in one read transaction."""

STREAMS = 1_000
"""How many streams are looked at in one read transaction."""


@attrs.frozen
class Page:
    """The changes of the events after some position, up to ``until``, by definitions of that hash."""

    until: int
    changes: tuple[StateChanged, ...]
    definitions: str


def passages_of(reader: Reader, events: Sequence[Stored], kept: Lives) -> Iterator[Passage]:
    """The passages of events that follow each other in the log.

    ``kept`` are the lives of whoever goes through the log page by page.
    """
    if not events:
        return
    place = reader.index.name, reader.definitions.hash
    index, lives = reader.index, kept.as_of((*place, events[0].position))
    said = [reader.facts.statements_of(stored) for stored in events]
    streams = {one.stream: None for several in said for one in several if one.stream[1] == DELIVERY}
    numbers = index.find_all(list(streams))
    before = Bounds(position=events[0].position - 1)
    rows = index.rows_of_all([one for one in numbers.values() if one not in lives], before)
    yield from passages(reader.facts, events, said, lives, numbers, rows)
    kept.keep((*place, events[-1].position + 1))


def changes_of(reader: Reader, after: int, until: int, kept: Lives) -> list[Change]:
    """What a projection is given of the events after ``after``, up to ``until`` or a page of them."""
    events = _events(reader, after, until)
    return [change_of(_with_repeat(reader, one)) for one in passages_of(reader, events, kept)]


def _events(reader: Reader, after: int, until: int) -> list[Stored]:
    first, until = after + 1, min(until, after + PAGE, reader.log.last())
    events = reader.log.page(first, until)
    positions = [stored.position for stored in events]
    # What is missing at the end of a page is missing at the beginning of the next.
    require_whole(positions, first, (positions[-1] if positions else until) + 1)
    return events


def _with_repeat(reader: Reader, passage: Passage) -> Passage:
    """An event of no delivery says what it repeats too, as known when it was recorded."""
    said, position = passage.statement, passage.stored.position
    if said is None or passage.after is not None:
        return passage
    return passage._replace(repeats=reader.repeats(said, position, passage.member, until=position))


def page_of(reader: Reader, after: int, ledger_id: bytes, kept: Lives) -> Page:
    """The next page after a position; the caller holds a read transaction."""
    after = max(after, -1)
    events = _events(reader, after, after + PAGE)
    definitions = reader.definitions.hash
    found = (
        state_changed(passage, ledger_id, definitions)
        for passage in passages_of(reader, events, kept)
    )
    changes = tuple(change for change in found if change is not None)
    return Page(events[-1].position if events else after, changes, definitions)


def between(reader: Reader, earlier: Bounds, later: Bounds) -> Iterator[Change]:
    """What became of each delivery whose states differ by two bounds, with the event that made it so.

    In the order in which deliveries came up in the log. Each page of streams is read in a transaction of
    its own.
    """
    index = reader.index
    with index.store.read():
        later, newest = later.within(reader.log.size()), index.newest()
    after = NOWHERE_ID
    while after < newest:
        with index.store.read():
            until = min(index.next(after, STREAMS), newest)
            streams = index.touched(after, until, earlier, later)
            found = [_net_change(reader, one, earlier, later) for one in streams]
        yield from (change for change in found if change is not None)
        after = until


def _net_change(reader: Reader, number: int, earlier: Bounds, later: Bounds) -> Change | None:
    stream = reader.index.stream_of(number)
    if stream[1] != DELIVERY:
        return None
    known = reader.index.rows_of(number, earlier)
    there = {row[3:5] for row in known}
    came = [row for row in reader.index.rows_of(number, later) if row[3:5] not in there]
    # As they became known: by the time of reception, if that is what the bounds are.
    by_time = later.received_by is not None or earlier.received_by is not None
    came.sort(key=lambda row: (row[5] if by_time else 0, row[3], row[4]))
    found = net_change(reader.facts, stream, known, came)
    if found is None:
        return None
    before, after, (*_, position, member) = found[0], found[1], found[2][:5]
    stored = reader.log.at(position)
    statement = reader.facts.statements_of(stored)[member]
    return Change(
        event=event_of(stored, member, statement, None),
        before=before and before.delivery(),
        after=after.delivery(),
    )


class Turn(NamedTuple):
    """An event that changed the state of a delivery: the states before it, and the row after it."""

    row: EventRow
    before: Mapping[str, str] | None
    after: Mapping[str, str]
    delivery: Row


def turns_of(folding: Folding, stream: Stream, rows: Sequence[EventRow]) -> Iterator[Turn]:
    """What the events of a stream change, in the order in which they were received.

    These are the changes that ``page_of`` finds.
    """
    if stream[1] != DELIVERY or DELIVERY not in folding.definitions.charts:
        return
    before: Mapping[str, str] | None = None
    for row, known in known_after_each(folding.facts, stream, rows):
        if known is None or known.states == before:
            continue
        delivery = row_of(0, known.folded, known.repeats, "")
        assert delivery is not None
        yield Turn(row, before, known.states, delivery)
        before = known.states
