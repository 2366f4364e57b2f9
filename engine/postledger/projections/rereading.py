"""Rereading: events that a later vocabulary, or a better reader, places elsewhere.

An event is never changed. Where other definitions place it in another stream, or a body that could
not be read now can, a new event is appended that says so and refers to the old one for its body. A
meaning that changes within the stream needs nothing: meanings are derived at each fold.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from postledger import wire
from postledger.definitions.vocabulary import Reading
from postledger.errors import ReadError
from postledger.log.entry import IMPORTED, NOWHERE, Entry
from postledger.log.log import Log, Stored, fields_of
from postledger.log.shapes import Shape, shape_of
from postledger.postback import Postback
from postledger.state.fold import Fact
from postledger.state.patterns import whole
from postledger.state.streams import Facts, occurrence


@attrs.frozen
class Moved:
    """An event that belongs to another stream now: its old position, and the entry to append."""

    position: int
    entry: Entry
    trigger: str | None
    fact: Fact


def moved(
    log: Log, old: Facts, new: Facts, limits: wire.Limits
) -> dict[tuple[str, str], list[Moved]]:
    """The events that ``new`` places elsewhere than ``old`` did, by their new stream.

    Bodies that could not be read are read again within ``limits``.
    """
    found: dict[tuple[str, str], list[Moved]] = {}
    # Two that differ in nothing that counts are one event of the new stream.
    seen: set[tuple[tuple[str, str], int, bytes]] = set()
    for stored in log.of_shapes(_suspects(log, old, new)):
        for one in _moved(stored, new, limits):
            stream = one.entry.stream
            identity = (stream, one.entry.occurred_at, one.entry.digest)
            if stream != stored.stream and identity not in seen and not log.is_reread(one.entry):
                seen.add(identity)
                found.setdefault(stream, []).append(one)
    return found


def _suspects(log: Log, old: Facts, new: Facts) -> list[int]:
    """The shapes whose events may be placed elsewhere: of few shapes that is to be asked.

    By the same vocabularies, whatever the charts, only what could not be read may be, by a better reader.
    """
    same = _spoken(old) == _spoken(new)
    return [
        shape_id
        for shape_id, shape in log.all_shapes()
        if shape.root is None or (not same and _placing(old, shape) != _placing(new, shape))
    ]


def _spoken(facts: Facts) -> list[str]:
    """The vocabularies, by their hashes: where an event belongs hangs on nothing else."""
    return [vocabulary.hash for vocabulary in facts.definitions.vocabularies]


def _placing(facts: Facts, shape: Shape) -> object:
    """By which chart and field events of a shape are placed; unequal to all where texts decide."""
    if facts.is_open(shape):
        return object()
    reading = facts.reading(shape, ["?"] * len(shape.fields))
    return None if reading is None else (reading.chart, reading.key_at)


def _moved(stored: Stored, new: Facts, limits: wire.Limits) -> Iterator[Moved]:
    """What an event says, read anew; of a bundle that was unreadable, several."""
    lexicon = new.definitions.lexicon
    for postback in _read(stored, limits):
        reading = lexicon.read(postback)
        if reading.recognised and reading.chart is not None:
            shape, values = shape_of(postback, None, stored.content_type, lexicon.words)
            entry = _entry(stored, postback, reading, shape, values)
            fact = new.of_entry(entry, stored.position)
            yield Moved(stored.position, entry, reading.trigger, fact)


def _read(stored: Stored, limits: wire.Limits) -> list[Postback]:
    known = None if stored.shape is None else stored.shape.postback(stored.values)
    if known is not None:
        return [known]
    if stored.body_of is not None:
        return []
    try:
        members = wire.read(stored.body, stored.content_type, limits)
    except ReadError:
        return []
    return [member for member in map(whole, members) if isinstance(member, Postback)]


def _entry(
    stored: Stored, postback: Postback, reading: Reading, shape: Shape, values: list[str]
) -> Entry:
    when = occurrence(reading, postback)
    key = NOWHERE[1] if reading.key_at is None else postback.fields[reading.key_at][1]
    return Entry(
        received_at=stored.received_at,
        stream=(reading.chart or NOWHERE[0], key),
        stream_id=0,
        occurred_at=when.occurred_at,
        digest=postback.digest(),
        flags=when.flags | (stored.flags & IMPORTED),
        shape=shape,
        fields=fields_of(values),
        content_type=stored.content_type,
        body=stored.body,
        whole=False,
        repeats=None,
        body_of=stored.position if stored.body_of is None else stored.body_of,
    )
