"""Comparison: what would change if the log were read by other definitions; nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest

import attrs

from postledger.definitions.definitions import Definitions
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.model import Delivery, Step
from postledger.progress import Progress, silent
from postledger.projections.generations import vocabularies_of
from postledger.projections.index import NOWHERE_ID, Index
from postledger.projections.reader import Reader
from postledger.projections.replay import CHUNK, add
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
    reader: Reader,
    definitions: Definitions,
    limits: Limits,
    bounds: Bounds = EVERYTHING,
) -> Iterator[Reader]:
    """A reader of the same log by other definitions; the caller holds a read transaction.

    It shares the index where the vocabularies are the same; else the log is read into one in scratch
    tables, up to the position of the bounds.
    """
    if vocabularies_of(reader.definitions) == vocabularies_of(definitions):
        yield Reader.of(reader.log, reader.index, definitions, limits)
        return
    with reader.log.store.scratch("index") as name:
        other = Reader.of(reader.log, Index(reader.log.store, name), definitions, limits)
        other.index.make()
        size = reader.log.size()
        end = size if bounds.position is None else min(size, bounds.position + 1)
        for first in range(0, end, CHUNK):
            rows = reader.log.rows(first, min(first + CHUNK, end))
            add(other, other.facts.unplaced(rows))
        yield other


def differences(
    old: Reader, definitions: Definitions, limits: Limits, progress: Progress = silent
) -> Iterator[Difference]:
    """What changes from the definitions of ``old`` to others; the caller holds a read transaction."""
    # Not the reader's own plans and patterns: what a comparison learns must not stay with it.
    mine = Reader.of(old.log, old.index, old.definitions, limits)
    with reading_by(mine, definitions, limits) as new:
        pairs = _alike(mine, new, progress) if new.index is mine.index else _apart(mine, new)
        for stream, before, after in pairs:
            if before != after:
                yield _difference(mine, new, stream, before, after)


def _alike(
    old: Reader, new: Reader, progress: Progress
) -> Iterator[tuple[Stream, Row | None, Row | None]]:
    """The streams of one index whose rows may differ, in one pass."""
    count = 0
    for number, chart, outlines in old.index.outlines():
        count += len(outlines)
        if count >= 1_000:
            progress(count)
            count = 0
        if _same_known(old, new, chart, outlines):
            continue
        rows = old.index.rows_of(number)
        if not _same_plan(old, new, chart, rows):
            before, after = (one.row(number, chart, rows) for one in (old, new))
            yield old.index.stream_of(number), before, after
    progress(count)


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


def _apart(old: Reader, new: Reader) -> Iterator[tuple[Stream, Row | None, Row | None]]:
    """The rows of all streams of two indexes, those of the old one first."""
    for number, chart, rows in old.index.streams():
        stream = old.index.stream_of(number)
        there = new.index.find(stream)
        yield stream, old.row(0, chart, rows), None if there is None else _row(new, there)
    for number, chart, rows in new.index.streams(NOWHERE_ID):
        stream = new.index.stream_of(number)
        if old.index.find(stream) is None:
            yield stream, None, new.row(0, chart, rows)


def _row(reader: Reader, number: int) -> Row | None:
    rows = reader.index.rows_of(number)
    return reader.row(0, reader.index.stream_of(number)[1], rows) if rows else None


def _difference(
    old: Reader, new: Reader, stream: Stream, before: Row | None, after: Row | None
) -> Difference:
    space, chart, key = stream
    return Difference(
        chart=chart,
        key=key,
        before=None if before is None else delivery_of(stream, before),
        after=None if after is None else delivery_of(stream, after),
        why=_why(_steps(old, stream), _steps(new, stream)),
        space=space,
    )


def _steps(reader: Reader, stream: Stream) -> tuple[Step, ...]:
    chart = reader.definitions.charts.get(stream[1])
    return () if chart is None else timeline_of(reader.facts, chart, reader.known(stream))


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
    state = ", ".join(step.after.values())
    return f"position {step.event.position} ({said}) {step.verdict}, {state}"
