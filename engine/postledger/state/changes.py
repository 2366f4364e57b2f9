"""Changes: what each event changed, in order of position.

The state of a delivery as known at a position is the fold of its events up to there. So the states
before and after an event follow from the log alone: a change can be found again at any time, by any
process, and is the same each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter
from typing import NamedTuple

from postledger.errors import IntegrityError
from postledger.log.event import Stored
from postledger.model import DELIVERY, Change, Delivery, Event, StateChanged
from postledger.state.fold import Folded
from postledger.state.life import Life, copy_of
from postledger.state.patterns import Statement, Stream
from postledger.state.row import delivery_of, event_of, row_of
from postledger.state.streams import EventRow, Facts, require_rows
from postledger.store.store import LARGEST

_PLACE = itemgetter(3, 4)


class Known(NamedTuple):
    """A delivery as it was known at some position."""

    stream: Stream
    folded: Folded
    repeats: int

    @property
    def states(self) -> dict[str, str]:
        """The state of each region."""
        regions = self.folded.chart.regions
        return {r.name: s for r, s in zip(regions, self.folded.states, strict=True)}

    def delivery(self) -> Delivery:
        """The public value."""
        row = row_of(0, self.folded, self.repeats, "")
        assert row is not None
        return delivery_of(self.stream, row)


class Passage(NamedTuple):
    """One member of an event, and its delivery as known before and after.

    ``None`` stands where no delivery was known, ``repeats`` is the position of the event that it
    repeats.
    """

    stored: Stored
    member: int
    statement: Statement | None
    repeats: int | None = None
    before: Known | None = None
    after: Known | None = None

    def event(self) -> Event:
        """The public value of the event."""
        return event_of(self.stored, self.member, self.statement, self.repeats)


def passages(
    facts: Facts,
    events: Sequence[Stored],
    said: Sequence[Sequence[Statement]],
    lives: dict[int, Life],
    numbers: Mapping[Stream, int],
    rows: Mapping[int, Sequence[EventRow]],
) -> Iterator[Passage]:
    """The passages of events that follow each other in the log.

    ``said`` is what each says. ``lives`` are those of streams as known before the first event, by number,
    and are brought forward. ``numbers`` are those of the streams, ``rows`` what the index has of them
    from before.
    """
    first = events[0].position if events else 0
    for stored, statements in zip(events, said, strict=True):
        if not statements:
            yield Passage(stored, 0, None)
        for member, statement in enumerate(statements):
            stream = statement.stream
            if stream[1] != DELIVERY or DELIVERY not in facts.definitions.charts:
                # A chart that was given up says nothing.
                yield Passage(stored, member, statement)
                continue
            number = numbers.get(stream)
            if number is None:
                raise IntegrityError(
                    f"position {stored.position}: the index differs from the log;"
                    " run replay --index"
                )
            if number not in lives:
                lives[number] = _life(facts, rows.get(number, ()), first)
            life = lives[number]
            before = _known(stream, life)
            repeats = life.add(facts, facts.row_of(number, stored, member, statement))
            yield Passage(stored, member, statement, repeats, before, _known(stream, life))


def known_at(facts: Facts, stream: Stream, rows: Sequence[EventRow], position: int) -> Known | None:
    """A delivery as known at a position; ``None`` where nothing says its state by these definitions."""
    if DELIVERY not in facts.definitions.charts:
        return None
    return _known(stream, _life(facts, rows, position + 1))


def known_after_each(
    facts: Facts, stream: Stream, rows: Iterable[EventRow]
) -> Iterator[tuple[EventRow, Known | None]]:
    """A delivery as it was known after each of its events, in the order in which they were received."""
    life = Life(facts.definitions.charts[DELIVERY])
    for row in sorted(rows, key=_PLACE):
        life.add(facts, row)
        yield row, _known(stream, life)


def net_change(
    facts: Facts, stream: Stream, known: Sequence[EventRow], came: Sequence[EventRow]
) -> tuple[Known | None, Known, EventRow] | None:
    """What a delivery was before some events came, what it was after, and which of them changed it last.

    ``known`` are the rows of before, ``came`` those that came, in the order in which they became known.
    ``None`` where the states are the same.
    """
    if DELIVERY not in facts.definitions.charts:
        return None
    require_rows(came)
    life, last = _life(facts, known, LARGEST), None
    before = after = _known(stream, life)
    for row in came:
        life.add(facts, row)
        then = _known(stream, life)
        if (then and then.states) != (after and after.states):
            last = row
        after = then
    if after is None or last is None or (before and before.states) == after.states:
        return None
    return before, after, last


def reread(
    before: Known | None, after: Known | None, adoption: Stored, ledger_id: bytes
) -> StateChanged | None:
    """What an adoption of definitions changed of a delivery; ``None`` where that is no state.

    ``before`` is by the definitions of before, ``after`` by those that were adopted; one of them is
    given. Where nothing says its state any more, ``after`` of the change is empty.
    """
    known = after or before
    states = (before and before.states, after and after.states)
    if known is None or states[0] == states[1]:
        return None
    event = event_of(adoption, 0, None, None)
    return StateChanged(
        delivery=known.delivery(),
        before=states[0],
        after=states[1] or {},
        event=event,
        key=key_of(ledger_id, event.leaf, event.member, known.stream, "adopted"),
    )


def _life(facts: Facts, rows: Sequence[EventRow], first: int) -> Life:
    """A stream as known before a position."""
    require_rows(rows)
    life = Life(facts.definitions.charts[DELIVERY])
    for row in sorted(rows, key=_PLACE):
        if row[3] < first:
            life.add(facts, row)
    return life


def _known(stream: Stream, life: Life) -> Known | None:
    """A stream as known now; ``None`` where nothing says its state."""
    folded = life.folded()
    return Known(stream, copy_of(folded), life.repeats) if folded.heard else None


def change_of(passage: Passage) -> Change:
    """What a projection is given of an event."""
    return Change(
        event=passage.event(),
        before=passage.before and passage.before.delivery(),
        after=passage.after and passage.after.delivery(),
    )


def state_changed(passage: Passage, ledger_id: bytes, definitions: str) -> StateChanged | None:
    """What a subscriber is given of an event; ``None`` where no state changed."""
    if passage.after is None:
        return None
    before: Mapping[str, str] | None = passage.before and passage.before.states
    after = passage.after.states
    if before == after:
        return None
    event = passage.event()
    return StateChanged(
        delivery=passage.after.delivery(),
        before=before,
        after=after,
        event=event,
        key=key_of(ledger_id, event.leaf, event.member, passage.after.stream, definitions),
    )


def key_of(ledger_id: bytes, leaf: bytes, member: int, stream: Stream, definitions: str) -> str:
    """What tells a change from any other, also of a ledger that was restored: 32 hexadecimal digits."""
    said = [ledger_id.hex(), leaf.hex(), str(member), *stream, definitions]
    written = "".join(f"{len(one)}:{one}" for one in said)
    return blake2b(written.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
