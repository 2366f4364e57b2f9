"""Verification: is the log what was written, and does the projection follow from it?"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice

import attrs

from postledger import blocks
from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError, PostledgerError
from postledger.log.chain import START
from postledger.log.entry import NOWHERE
from postledger.log.log import DAMAGE, Log, Stored
from postledger.log.schema import check_guards, check_schema
from postledger.log.shapes import Shape, unreadable_digest
from postledger.model import Verification
from postledger.progress import Progress, silent
from postledger.projections.generations import Generation
from postledger.projections.generations import generations as projections
from postledger.projections.rows import rows_of
from postledger.state.fold import UNDATED
from postledger.state.streams import Facts
from postledger.times import is_moment

_MOST_PROBLEMS = 20
_DIFFERS = "the projection differs from the fold; run replay"


@attrs.frozen
class Anchor:
    """A position and the hash that the chain had there, kept outside the ledger.

    >>> anchor = Anchor(*ledger.head())
    >>> ledger.verify(anchor).ok
    True
    """

    position: int
    hash: str


def parse_anchor(text: str) -> Anchor:
    """An anchor as it is printed, ``position:hash``; raises ``ValueError``."""
    position, colon, digest = text.partition(":")
    if not colon or not position.isdigit() or len(digest) != 64:
        raise ValueError(f"{text!r} is no anchor: write position:hash, as ingest prints it")
    return Anchor(int(position), bytes.fromhex(digest).hex())


def verify(
    log: Log,
    definitions: Definitions,
    anchor: Anchor | None = None,
    progress: Progress = silent,
    *,
    with_blocks: bool = True,
) -> Verification:
    """Check the database, the guards, the chain, an anchor, and the projection against a new fold.

    ``with_blocks`` the blocks too, on which no state hangs. What is wrong is listed, the first twenty
    of it, each in one line with its position. The caller holds a read transaction.
    """
    position, head = log.head()
    found = _problems(log, definitions, anchor, progress, with_blocks=with_blocks)
    problems = islice(found, _MOST_PROBLEMS)
    events = log.db.conn.execute("SELECT count(*) FROM events").fetchone()[0]
    return Verification(events, position, head.hex(), tuple(problems))


def check_stream(
    log: Log,
    facts: Facts,
    stream_id: int,
    stream: tuple[str, str],
    generation: Generation | None,
) -> None:
    """Check one stream alone: its events by the chain, and its row, where a generation is given.

    So much of ``verify`` costs little. It can't tell whether an event is missing that an index no
    longer leads to. Raises ``IntegrityError``; the caller holds a read transaction.
    """
    key = " ".join(stream)
    events = list(log.of_stream(stream_id))
    positions = {event.position for event in events}
    if {event.stream for event in events} != {stream} or len(positions) != len(events):
        raise IntegrityError(f"{key}: an index of the file is damaged; run verify")
    for event in events:
        if wrong := _wrong(event, log.chain_at(event.position - 1)):
            raise IntegrityError(f"{key}: position {event.position}: {wrong}; run verify")
    if generation is None:
        return
    kept = projections.kept_row(log.db, generation, stream_id)
    folded = rows_of(log, facts, stream_id - 1, stream_id, plainly=True)
    if kept != next((row for _, _, row in folded), None):
        raise IntegrityError(f"{key}: {_DIFFERS}")


def _problems(
    log: Log,
    definitions: Definitions,
    anchor: Anchor | None,
    progress: Progress,
    *,
    with_blocks: bool,
) -> Iterator[str]:
    yield from _until_error(_of_database(log))
    yield from check_guards(log.db)
    yield from check_schema(log.db)
    chain = list(islice(_until_error(_of_chain(log, anchor, progress)), _MOST_PROBLEMS))
    yield from chain
    if not chain:
        # Where the log itself is wrong, what doesn't follow from it would only be noise.
        yield from _until_error(_of_projection(log, definitions))
        if with_blocks:
            yield from _until_error(blocks.faults(log, Facts(log, definitions)))


def _until_error(problems: Iterator[str]) -> Iterator[str]:
    """The problems; the error that ends the search for more is one of them."""
    try:
        yield from problems
    except PostledgerError as error:
        yield str(error)
    except sqlite3.DatabaseError as error:
        yield f"database: {error}"
    except (AttributeError, OverflowError, *DAMAGE) as error:
        yield f"a value is not of its type: {error}"


def _of_database(log: Log) -> Iterator[str]:
    for (line,) in log.db.conn.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})"):
        if line != "ok":
            yield f"database: {line}"


def _of_chain(log: Log, anchor: Anchor | None, progress: Progress) -> Iterator[str]:
    previous, expected = START, 1
    if log.stream_of(0) != NOWHERE:
        yield "stream 0 is not that of the events that belong to none"
    (lowest,) = log.db.conn.execute("SELECT min(position) FROM events").fetchone()
    if lowest is not None and lowest < 1:
        yield f"position {lowest} is none: no chain covers it"
    if anchor is not None and anchor.position == 0 and anchor.hash != START.hex():
        yield "position 0: the hash is not that of the anchor, which is of no log"
    for stored in log.events():
        if stored.position != expected:
            yield f"position {expected} is missing"
            return
        if wrong := _wrong(stored, previous):
            yield f"position {expected}: {wrong}"
            return
        if anchor is not None and anchor.position == expected and anchor.hash != stored.chain.hex():
            yield f"position {expected}: the hash is not that of the anchor; the log was rewritten"
        previous, expected = stored.chain, expected + 1
        if expected % 1000 == 0:
            progress(1000)
    if expected <= log.head()[0]:
        # Its stream is none: the log can't be read beyond.
        yield f"position {expected} is missing"
    elif anchor is not None and anchor.position >= expected:
        yield f"the log ends at position {expected - 1}, before the anchor at {anchor.position}"


def _wrong(stored: Stored, previous: bytes) -> str | None:
    """What is wrong with an event behind that value of the chain; ``None`` where nothing is."""
    try:
        if stored.link(previous) != stored.chain:
            return "the event is not what was recorded, or one before it"
        undated = stored.occurred_at == UNDATED
        if not (is_moment(stored.received_at) and (undated or is_moment(stored.occurred_at))):
            return "a time of the event is out of reach"
        if not _says_what_was_recorded(stored):
            return "the fields are not those of the event that was recorded"
    except DAMAGE:
        return "a value of the event is not of its type"
    return None


def _says_what_was_recorded(stored: Stored) -> bool:
    """Whether the identity is that of the fields, or of the body where there are none to be read."""
    if stored.shape is None:
        return False
    if stored.shape.root is None:
        index = 0 if stored.body_of is None else stored.position - stored.body_of
        return unreadable_digest(stored.body, "".join(stored.values), index) == stored.digest
    said = stored.shape.postback(stored.values) if _fits(stored.shape, stored.values) else None
    return said is not None and said.digest() == stored.digest


def _fits(shape: Shape, values: list[str]) -> bool:
    """Whether the texts are as many as the shape leaves open."""
    return len(values) == shape.holes and all(isinstance(value, str) for value in values)


def _of_projection(log: Log, definitions: Definitions) -> Iterator[str]:
    """Compare the live rows with a fold from zero, side by side in the order of the streams."""
    generation = projections.live(log.db)
    if generation is None:
        yield "there is no live projection; run replay"
        return
    if generation.version != projections.version_of(definitions):
        yield "the projection is marked as made by other definitions; run replay"
    position = log.head()[0]
    if generation.position != position:
        yield f"the projection is at position {generation.position}, the log at {position}"
    facts = Facts(log, definitions)
    there = log.db.conn.execute(f"SELECT * FROM {generation.table} ORDER BY stream_id")
    kept = next(there, None)
    # Folded plainly: what keeps the rows up is not to vouch for itself.
    for stream_id, _, row in rows_of(log, facts, plainly=True):
        while kept is not None and kept[0] < stream_id:
            yield f"{log.key_of(kept[0])}: a row without events"
            kept = next(there, None)
        found, kept = (kept, next(there, None)) if kept and kept[0] == stream_id else (None, kept)
        if found != row:
            yield f"{log.key_of(stream_id)}: {_DIFFERS}"
    if kept is not None:
        yield f"{log.key_of(kept[0])}: a row without events"
