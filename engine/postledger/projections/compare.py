"""Comparison: what would change if the log were read by other definitions; nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest

import attrs

from postledger.definitions.definitions import Definitions
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.model import Delivery, Step, states_line
from postledger.progress import Progress, silent
from postledger.projections.generations import vocabularies_of
from postledger.projections.index import NOWHERE_ID, Index
from postledger.projections.reader import Folding, Reader
from postledger.projections.replay import CHUNK
from postledger.state.patterns import Stream
from postledger.state.plans import outlined
from postledger.state.row import Row, delivery_of
from postledger.state.streams import EventRow, Outline, require_rows
from postledger.state.timeline import timeline_of
from postledger.wire import Limits


@attrs.frozen
class Difference:
    """A delivery (or MMS) whose row would change: from what, to what, and why.

    ``before`` or ``after`` is ``None`` where there is no such row by those definitions. ``why`` names
    the first event on whose verdict the two folds part.

    >>> [difference.key for difference in ledger.differences(ledger.definitions)]
    []
    """

    chart: str
    key: str
    before: Delivery | None
    after: Delivery | None
    why: str
    space: str = ""


@contextmanager
def reading_by(
    reader: Reader, definitions: Definitions, limits: Limits, bounds: Bounds
) -> Iterator[Reader]:
    """A reader of the same log by other definitions.

    It shares the index where the vocabularies are the same; else the log is read into one in scratch
    tables, up to the position of the bounds, each chunk in a read transaction of its own.
    """
    log, store = reader.log, reader.log.store
    if vocabularies_of(reader.definitions) == vocabularies_of(definitions):
        yield Reader.of(log, reader.index, definitions, limits)
        return
    with store.scratch("index") as name:
        other = Reader.of(log, Index(store, name), definitions, limits)
        with store.read():
            other.index.make()
            size = log.size()
        end = size if bounds.position is None else min(size, bounds.position + 1)
        for first in range(0, end, CHUNK):
            with store.read():
                rows = log.rows(first, min(first + CHUNK, end))
                other.index.put(other.facts.unplaced(rows))
        yield other


def differences(
    old: Reader, definitions: Definitions, limits: Limits, progress: Progress = silent
) -> Iterator[Difference]:
    """What changes from the definitions of ``old`` to others, as of the size of the log at the start.

    Each chunk of streams is read in a read transaction of its own; none is open while its differences
    are reported.
    """
    # Not the reader's own plans and patterns: what a comparison learns must not stay with it.
    mine = Reader.of(old.log, old.index, old.definitions, limits)
    with old.log.store.read():
        bounds, newest = EVERYTHING.within(old.log.size()), old.index.newest()
    with reading_by(mine, definitions, limits, bounds) as new:
        two = _Two(mine, new, bounds, newest)
        if new.index is mine.index:
            yield from _in_chunks(two, mine.index, two.alike, progress)
        else:
            yield from _in_chunks(two, mine.index, two.apart, progress)
            yield from _in_chunks(two, new.index, two.added, silent)


def _in_chunks(
    two: _Two, index: Index, compared: Callable[[int, int], Iterator[Compared]], progress: Progress
) -> Iterator[Difference]:
    after, newest = NOWHERE_ID, index.newest()
    while after < newest:
        with index.store.read():
            until = min(index.next(after, CHUNK), newest)
            chunk = list(compared(after, until))
            found = [two.difference(*rows) for _, rows in chunk if rows and rows[1] != rows[2]]
        progress(sum(events for events, _ in chunk))
        yield from found
        after = until


Compared = tuple[int, tuple[Stream, Row | None, Row | None] | None]
"""How many events a stream has, and its rows by both, unless these are known to be the same."""


@attrs.frozen
class _Two:
    """Two readers of the same events; ``newest`` is the last stream of the old one that has any."""

    old: Reader
    new: Reader
    bounds: Bounds
    newest: int

    def alike(self, after: int, until: int) -> Iterator[Compared]:
        """Streams of the index that both share."""
        old, new = self.old, self.new
        for number, chart, outlines in old.index.outlines(after, until, self.bounds):
            rows = None
            if not _same_known(old, new, chart, outlines):
                events = old.index.rows_of(number, self.bounds)
                if not _same_plan(old, new, chart, events):
                    before, then = (one.row(number, chart, events) for one in (old, new))
                    rows = old.index.stream_of(number), before, then
            yield len(outlines), rows

    def apart(self, after: int, until: int) -> Iterator[Compared]:
        """Streams of the old index, next to those of the new one."""
        for number, chart, events in self.old.index.streams(after, until, self.bounds):
            stream = self.old.index.stream_of(number)
            there = self.new.index.find(stream)
            then = None if there is None else self._row(there)
            yield len(events), (stream, self.old.row(0, chart, events), then)

    def added(self, after: int, until: int) -> Iterator[Compared]:
        """Streams of the new index that the old one has no event of."""
        for number, chart, events in self.new.index.streams(after, until):
            stream = self.new.index.stream_of(number)
            there = self.old.index.find(stream)
            if there is None or there > self.newest:
                yield len(events), (stream, None, self.new.row(0, chart, events))

    def _row(self, number: int) -> Row | None:
        events = self.new.index.rows_of(number)
        return self.new.row(0, self.new.index.stream_of(number)[1], events) if events else None

    def difference(self, stream: Stream, before: Row | None, after: Row | None) -> Difference:
        old, new = self.old.known(stream, self.bounds), self.new.known(stream, self.bounds)
        return difference_of(stream, (self.old, old, before), (self.new, new, after))


Read = tuple[Folding, Sequence[EventRow], Row | None]
"""A stream as it is read by some definitions: its events, and its row."""


def difference_of(stream: Stream, old: Read, new: Read) -> Difference:
    """What changes of a stream, and why."""
    space, chart, key = stream
    before, after = old[2], new[2]
    return Difference(
        chart=chart,
        key=key,
        before=None if before is None else delivery_of(stream, before),
        after=None if after is None else delivery_of(stream, after),
        why=_why(_steps(chart, *old[:2]), _steps(chart, *new[:2])),
        space=space,
    )


def _steps(name: str, folding: Folding, known: Sequence[EventRow]) -> tuple[Step, ...]:
    chart = folding.definitions.charts.get(name)
    return () if chart is None else timeline_of(folding.facts, chart, known)


def _same_known(old: Reader, new: Reader, chart: str, rows: list[Outline]) -> bool:
    """Whether both definitions are known to have plans for a stream that give the same row."""
    found = outlined(chart, rows)
    if found is None:
        return False
    one, other = old.plans.known(*found[:2]), new.plans.known(*found[:2])
    return one is not None and other is not None and one.gives_as(other)


def _same_plan(old: Reader, new: Reader, chart: str, rows: list[EventRow]) -> bool:
    """Whether both definitions have plans for a stream that give the same row."""
    require_rows(rows)
    one = old.plans.of(chart, rows)
    if one is None:
        return False
    other = new.plans.of(chart, rows)
    return other is not None and one[0].gives_as(other[0])


def _why(old: tuple[Step, ...], new: tuple[Step, ...]) -> str:
    """The first event, in fold order, of which the two folds say different things."""
    for one, other in zip_longest(old, new):
        if one is None or other is None or _said(one) != _said(other):
            return " and ".join(
                f"{name} {_shown(step)}"
                for name, step in (("before:", one), ("after:", other))
                if step is not None
            )
    return "its events are the same, and its texts differ"


def _said(step: Step) -> tuple[object, ...]:
    place = (step.event.position, step.event.member)
    return place, step.event.occurred_at, step.trigger, step.verdict, step.after, step.findings


def _shown(step: Step) -> str:
    said = " ".join(filter(None, (step.code, step.status))) or "its event"
    state = states_line(step.after)
    return f"position {step.event.position} ({said}) {step.verdict}, {state}"
