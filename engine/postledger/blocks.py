"""Blocks: what a fold of the whole log reads, column by column, many streams together.

A log is a table of events in the order in which they came; a fold wants them stream by stream, and to
read each as a row of its own is most of its work. A block holds the columns of some thousand streams
of neighbouring ids: once what streams that run alike have in common (their *kind*), and for each its
times and texts. It is a copy, made by ``optimize``, of what the log says as of a position. The log
remains what counts: a stream that events came to since is folded from the log, so is one that is in
no block or in a damaged one, and ``verify`` compares each block with the log.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import NamedTuple

import attrs
from sqlite_utils import Database

from postledger.bounds import Bounds
from postledger.courses import LONGEST, Course, Courses, Key, order_of, ranks_of
from postledger.errors import IntegrityError
from postledger.facts import EventRow, Facts, Stream, repeats
from postledger.fold import UNDATED
from postledger.log.connection import immediate
from postledger.log.schema import BLOCKS_SINCE, format_of
from postledger.log.sqlite import DAMAGE, Log, texts_of
from postledger.progress import Progress, silent
from postledger.projections import Row
from postledger.rows import Folded, rows_in, rows_of

SPAN = 2_000
"""How many streams a block is made of: to make one takes some tens of milliseconds."""

_DAMAGE = (*DAMAGE, zlib.error)


class Kind(NamedTuple):
    """What streams that run alike have in common.

    By event, in order of time and digest: the ids of the ``shapes``, the ranks of the ``times``
    (``UNDATED`` without one), and the ranks of the positions, in which they ``arrived``. ``flags`` are
    those of all events together, ``texts`` is the number of their texts.
    """

    chart: str
    shapes: tuple[int, ...]
    times: tuple[int, ...]
    arrived: tuple[int, ...]
    flags: int
    texts: int

    @property
    def course(self) -> Key:
        """What the course of such streams is known by."""
        return self.chart, self.shapes, order_of(self.times)


@attrs.frozen
class Block:
    """The columns of the streams from ``first`` to ``last``, of the log as of ``position``.

    ``streams``, ``kind_of`` (an index into ``kinds``) and ``received`` (the moment of the first
    reception) have a value for each stream, ``times`` one for each event (0 without a time), ``texts``
    those of all events. ``left`` are the streams that it does not hold: long ones, and those with a
    text that JSON escapes.
    """

    first: int
    last: int
    position: int
    kinds: list[Kind] = attrs.field(factory=list)
    streams: list[int] = attrs.field(factory=list)
    kind_of: list[int] = attrs.field(factory=list)
    received: list[int] = attrs.field(factory=list)
    times: list[int] = attrs.field(factory=list)
    texts: list[str] = attrs.field(factory=list)
    left: list[int] = attrs.field(factory=list)


# --- how the file has it ---


def packed(block: Block) -> bytes:
    """The columns as the file has them: a line of JSON, then each text on a line, under zlib.

    What the block is of stands in it once more, so that the checksum of zlib covers that too.
    """
    said = [block.first, block.last, block.position]
    steps = [_steps(column) for column in (block.streams, block.received, block.times)]
    head = json.dumps([said, block.kinds, block.kind_of, *steps, block.left], separators=(",", ":"))
    return zlib.compress("\n".join([head, *block.texts]).encode())


def unpacked(first: int, last: int, position: int, columns: bytes) -> Block | None:
    """The block; ``None`` where it is damaged."""
    try:
        if not 0 < first <= last:
            return None
        head, *texts = zlib.decompress(columns).decode().split("\n")
        said, kinds, kind_of, *steps, left = json.loads(head)
        if said != [first, last, position]:
            return None
        kinds = [
            Kind(chart, tuple(a), tuple(b), tuple(c), *rest) for chart, a, b, c, *rest in kinds
        ]
        streams, received, times = (list(accumulate(column)) for column in steps)
        block = Block(first, last, position, kinds, streams, kind_of, received, times, texts, left)
        return block if _is_whole(block) else None
    except _DAMAGE:
        return None


def _steps(column: Sequence[int]) -> list[int]:
    """The first value and the steps to the next ones, which are shorter."""
    return [behind - before for before, behind in pairwise([0, *column])]


def _is_whole(block: Block) -> bool:
    """Whether the columns are as long as each other wants."""
    kinds = [block.kinds[at] for at in block.kind_of]
    return (
        len(block.streams) == len(block.received) == len(kinds)
        and len(block.times) == sum(len(kind.shapes) for kind in kinds)
        and len(block.texts) == sum(kind.texts for kind in kinds)
    )


# --- made from the log ---


def optimize(db: Database, log: Log, facts: Facts, progress: Progress = silent) -> int:
    """Make the blocks of all streams, each in a transaction; gives the number of streams in them.

    Those that say what the log says stay as they are.
    """
    last = held = 0
    with immediate(db):
        # Those that come meanwhile are left to the next time.
        newest = log.newest_stream()
        db.conn.execute("DELETE FROM blocks WHERE first < 1 OR first > ?", (newest,))
    while True:
        with immediate(db):
            first, last = last + 1, min(last + SPAN, newest)
            # What other spans left would be asked first for streams that the next block has too.
            db.conn.execute("DELETE FROM blocks WHERE first > ? AND first <= ?", (first, last))
            if first > last:
                return held
            block = block_of(facts, first, last, log.head()[0])
            there = _at(db, first)
            if there is None or not _says(there, block):
                row = (first, last, block.position, packed(block))
                db.conn.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)", row)
        held += len(block.streams)
        progress(last - first + 1)


def _says(there: Block, block: Block) -> bool:
    """Whether a block that is there says what the log says now."""
    return (
        there.position <= block.position and attrs.evolve(there, position=block.position) == block
    )


def block_of(facts: Facts, first: int, last: int, position: int) -> Block:
    """The block of those streams, of the log as of a position."""
    block = Block(first, last, position)
    kinds: dict[Kind, int] = {}
    for stream in facts.rows(first - 1, last, Bounds(position)):
        stream_id, _, events = stream
        kind = _kind(stream, facts)
        if kind is None:
            block.left.append(stream_id)
            continue
        block.streams.append(stream_id)
        block.kind_of.append(kinds.setdefault(kind, len(kinds)))
        block.received.append(min(event[4] for event in events))
        block.times.extend(0 if event[1] == UNDATED else event[1] for event in events)
        block.texts.extend(_texts(stream))
    block.kinds.extend(kinds)
    return block


def _texts(stream: Stream) -> list[str]:
    """The texts of all events of a stream."""
    return [text for event in stream[2] for text in texts_of(event[6])]


def _kind(stream: Stream, facts: Facts) -> Kind | None:
    """The kind of a stream; ``None`` for one that no block holds."""
    _, chart, events = stream
    if len(events) > LONGEST:
        return None
    try:
        _, times, _, positions, _, shapes, fields, flags = zip(*events, strict=True)
        numbers = [len(texts_of(one)) for one in fields]
        # Without a backslash no text holds a line break. An event that was altered is left to the log.
        if "\\" in "".join(fields) or numbers != [facts.holes(shape) for shape in shapes]:
            return None
    except DAMAGE:
        return None
    noted = 0
    for flag in flags:
        noted |= flag
    arrived = sorted(positions)
    ranks = tuple([arrived.index(position) for position in positions])
    return Kind(chart, shapes, ranks_of(times), ranks, noted, sum(numbers))


# --- folded ---


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
    there = _are_there(log.db)
    while there and (found := _next(log.db, after)):
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
        if _kind(stream, facts) == kind and _texts(stream) == texts:
            return stream[2]
    raise IntegrityError(f"stream {stream_id} is not what its block says; run optimize")


def faults(log: Log, facts: Facts) -> Iterator[str]:
    """The blocks that are not what the log says: one line each."""
    if not _are_there(log.db):
        return
    newest, head = log.newest_stream(), log.head()[0]
    for first, last, position, columns in log.db.conn.execute(f"{_SELECT} ORDER BY first"):
        block = unpacked(first, last, position, columns)
        if (
            block is None
            or (block.last > newest or block.position > head)
            or block != block_of(facts, block.first, block.last, block.position)
        ):
            yield f"the block of streams {first} to {last} is not what the log says; run optimize"


def _are_there(db: Database) -> bool:
    """Whether the file has blocks: one of an older format, opened for reading only, has none."""
    return format_of(db) >= BLOCKS_SINCE


def _next(db: Database, after: int) -> tuple[int, int, Block | None] | None:
    """The next block that holds streams behind ``after``, with its first and last; damaged: ``None``."""
    row = db.conn.execute(f"{_SELECT} WHERE last > ? ORDER BY first LIMIT 1", (after,)).fetchone()
    return None if row is None else (row[0], row[1], unpacked(*row))


def _at(db: Database, first: int) -> Block | None:
    """The block that begins with a stream; ``None`` where there is none or a damaged one."""
    row = db.conn.execute(f"{_SELECT} WHERE first = ?", (first,)).fetchone()
    return None if row is None else unpacked(*row)


_SELECT = "SELECT first, last, position, columns FROM blocks"
