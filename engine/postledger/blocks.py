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
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import attrs
from sqlite_utils import Database

from postledger.log.as_of import Bounds
from postledger.log.log import DAMAGE, Log, texts_of
from postledger.log.schema import BLOCKS_SINCE, format_of
from postledger.progress import Progress, silent
from postledger.state.fold import UNDATED
from postledger.state.plans import LONGEST, Key, order_of, ranks_of
from postledger.state.streams import Facts, Stream
from postledger.store.sqlite import immediate

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
        kind = kind_of(stream, facts)
        if kind is None:
            block.left.append(stream_id)
            continue
        block.streams.append(stream_id)
        block.kind_of.append(kinds.setdefault(kind, len(kinds)))
        block.received.append(min(event[4] for event in events))
        block.times.extend(0 if event[1] == UNDATED else event[1] for event in events)
        block.texts.extend(all_texts(stream))
    block.kinds.extend(kinds)
    return block


def all_texts(stream: Stream) -> list[str]:
    """The texts of all events of a stream."""
    return [text for event in stream[2] for text in texts_of(event[6])]


def kind_of(stream: Stream, facts: Facts) -> Kind | None:
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


# --- in the file ---


def faults(log: Log, facts: Facts) -> Iterator[str]:
    """The blocks that are not what the log says: one line each."""
    if not are_there(log.db):
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


def are_there(db: Database) -> bool:
    """Whether the file has blocks: one of an older format, opened for reading only, has none."""
    return format_of(db) >= BLOCKS_SINCE


def next_block(db: Database, after: int) -> tuple[int, int, Block | None] | None:
    """The next block that holds streams behind ``after``, with its first and last; damaged: ``None``."""
    row = db.conn.execute(f"{_SELECT} WHERE last > ? ORDER BY first LIMIT 1", (after,)).fetchone()
    return None if row is None else (row[0], row[1], unpacked(*row))


def _at(db: Database, first: int) -> Block | None:
    """The block that begins with a stream; ``None`` where there is none or a damaged one."""
    row = db.conn.execute(f"{_SELECT} WHERE first = ?", (first,)).fetchone()
    return None if row is None else unpacked(*row)


_SELECT = "SELECT first, last, position, columns FROM blocks"
