"""Spans: the streams of a log one after another, those of a block together.

From a block a stream costs a slice of its times, a slice of its texts and one call that picks the row.
Streams that no block holds, and those that events came to since, are folded from the log. The rows are
those of ``rows_of`` either way; a property holds the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from operator import itemgetter
from typing import NamedTuple

from postledger.blocks import Block, Kind, all_texts, are_there, kind_of, next_block
from postledger.errors import IntegrityError
from postledger.log.log import Log
from postledger.progress import Progress, silent
from postledger.projections.generations import Row
from postledger.projections.rows import Folded, rows_in, rows_of
from postledger.state.plans import Course, Courses
from postledger.state.streams import EventRow, Facts, repeats


def folded(log: Log, facts: Facts, after: int = 0) -> Iterator[Folded]:
    """The rows of all streams behind ``after``, as ``rows_of`` gives them, by blocks where there are."""
    for behind, until, block in _spans(log, after):
        if block is None:
            yield from rows_of(log, facts, behind, until)
        else:
            yield from _of_block(log, facts, block, behind, _since(log, block))


def differing(
    log: Log, old: Facts, new: Facts, asked: Set[int], progress: Progress = silent
) -> Iterator[tuple[int, Row | None, Row | None]]:
    """The streams that ``new`` gives another row than ``old``, or that are asked for, with both rows.

    Most streams of a block need no row to be compared: where both give streams of a kind the same
    course, they give them the same rows. ``progress`` is told of events.
    """
    for behind, until, block in _spans(log, 0):
        if block is None:
            pair = (rows_of(log, facts, behind, until) for facts in (old, new))
        else:
            since = _since(log, block)
            alike = _alike(old, new, block, behind, since, asked)
            progress(sum(alike.values()))
            pair = (
                _of_block(log, facts, block, behind, since, alike.keys()) for facts in (old, new)
            )
        for (stream_id, events, before), (_, _, after) in zip(*pair, strict=True):
            progress(events)
            if before != after or stream_id in asked:
                yield stream_id, before, after


def _spans(log: Log, after: int) -> Iterator[tuple[int, int, Block | None]]:
    """All streams behind ``after``, in spans: behind which, up to which, and the block of them."""
    there = are_there(log.db)
    while there and (found := next_block(log.db, after)):
        first, last, block = found
        if block is not None:
            yield after, first - 1, None
            after = max(after, first - 1)
        # Of a damaged one its first and last may be anything, but there is a next one behind them.
        yield after, last, block
        after = last
    yield after, 2**63 - 1, None


class Since(NamedTuple):
    """What the log says of a block's streams: those ``changed`` behind it, and ``counts`` of repeats."""

    changed: Set[int]
    counts: Mapping[int, int]


def _since(log: Log, block: Block) -> Since:
    changed = frozenset(log.changed(block.first - 1, block.last, block.position))
    return Since(changed, dict(repeats(log, block.first - 1, block.last)))


def _of_block(
    log: Log, facts: Facts, block: Block, after: int, since: Since, but: Set[int] = frozenset()
) -> Iterator[Folded]:
    """The rows of the streams of a block behind ``after``, in order, without some."""
    made = list(_by_courses(facts, block, since, but))
    left = {*block.left, *since.changed, *block.streams} - {stream_id for stream_id, _, _ in made}
    if left := left - but:
        made += rows_in(log, facts, list(facts.rows_of(sorted(left))))
        made.sort(key=itemgetter(0))
    return (one for one in made if one[0] > after)


def _by_courses(facts: Facts, block: Block, since: Since, but: Set[int]) -> Iterator[Folded]:
    """The rows of the streams that a block gives by itself."""
    kinds = _Kinds(facts, block)
    changed, counts = since
    event = text = 0
    for stream_id, at, received in zip(block.streams, block.kind_of, block.received, strict=True):
        kind = block.kinds[at]
        begins, event = event, event + len(kind.shapes)
        first, text = text, text + kind.texts
        if stream_id in changed or stream_id in but:
            continue
        times, texts = block.times[begins:event], block.texts[first:text]
        found = kinds.settled.get(at) or kinds.course(at, stream_id, texts)
        if found is None:
            continue
        course, findings = found
        count = counts.get(stream_id, 0)
        row = course.row(stream_id, received, count, findings, times, texts)
        if row is not None:
            yield stream_id, len(times) + count, row


def _alike(
    old: Facts, new: Facts, block: Block, after: int, since: Since, but: Set[int]
) -> dict[int, int]:
    """The streams of a block behind ``after`` whose rows are the same by both, with their events."""
    kinds, others = _Kinds(old, block), _Kinds(new, block)
    shared: dict[int, Course] = {}
    alike: dict[int, int] = {}
    text = 0
    for stream_id, at in zip(block.streams, block.kind_of, strict=True):
        kind = block.kinds[at]
        texts = block.texts[text : text + kind.texts]
        text += len(texts)
        if stream_id <= after or stream_id in since.changed or stream_id in but:
            continue
        course = shared.get(at) or _shared(kinds, others, at, stream_id, texts)
        if course is None:
            continue
        if at in kinds.settled and at in others.settled:
            shared[at] = course
        if course.agree(texts):
            alike[stream_id] = len(kind.shapes) + since.counts.get(stream_id, 0)
    return alike


def _shared(
    kinds: _Kinds, others: _Kinds, at: int, stream_id: int, texts: Sequence[str]
) -> Course | None:
    """The course of a stream, if by both it gives the same row."""
    found, other = kinds.course(at, stream_id, texts), others.course(at, stream_id, texts)
    if found is None or other is None or found[1] != other[1] or not found[0].rows_as(other[0]):
        return None
    return found[0]


class _Kinds:
    """The courses that the kinds of a block take by some definitions, with their findings.

    ``settled`` are those of kinds of which all streams take the same.
    """

    def __init__(self, facts: Facts, block: Block) -> None:
        self.settled: dict[int, tuple[Course, int]] = {}
        self._facts, self._kinds = facts, block.kinds
        self._courses = Courses(facts)

    def course(self, at: int, stream_id: int, texts: Sequence[str]) -> tuple[Course, int] | None:
        """The course of a stream of the kind at that index; ``None`` where it takes none."""
        if at in self.settled:
            return self.settled[at]
        kind = self._kinds[at]
        events = partial(_events, self._facts, kind, stream_id, texts)
        course = self._courses.course_of(kind.course, texts, events)
        if course is None:
            return None
        found = course, course.noted(kind.arrived, (kind.flags,))
        # Asked of the shapes: what was learned of courses may be forgotten at any moment.
        if not any(self._facts.deciding(shape) for shape in kind.shapes):
            self.settled[at] = found
        return found


def _events(facts: Facts, kind: Kind, stream_id: int, texts: Sequence[str]) -> Sequence[EventRow]:
    """The events of a stream by the log, of which a course is learned."""
    for stream in facts.rows_of([stream_id]):
        if kind_of(stream, facts) == kind and all_texts(stream) == texts:
            return stream[2]
    raise IntegrityError(f"stream {stream_id} is not what its block says; run optimize")
