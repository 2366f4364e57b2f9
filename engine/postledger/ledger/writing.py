"""Writing: receipts to events, and what they say to the index and the states, in one transaction.

The log comes first and depends on nothing else. What index and states make of the events is written
inside a savepoint: where that fails the events are kept all the same, and the index stays behind.
"""

from __future__ import annotations

import json
import logging
import warnings
from bisect import insort
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import attrs

from postledger.arguments import checked, names_of, require, require_name, shown
from postledger.errors import IntegrityError, LedgerError
from postledger.findings import Verdict
from postledger.ledger.connections import Connections, Own
from postledger.log.event import READ, Clock, Entry, Envelope, Kind, Part, Stored
from postledger.model import (
    ACCEPTED,
    DELIVERY,
    SENDER,
    Anchor,
    Body,
    Kept,
    Receipt,
    Recorded,
)
from postledger.projections import generations
from postledger.projections.generations import Generation
from postledger.projections.index import NOWHERE_ID, Placed
from postledger.state import life
from postledger.state.life import Answer, Life
from postledger.state.patterns import NOWHERE, Statement, Stream, placed
from postledger.state.plans import Planned
from postledger.state.row import Row, Searched, Tallied, delivery_of, event_of, row_of
from postledger.state.streams import EventRow, Place, require_rows
from postledger.store.opening import is_of_medium, translated
from postledger.store.store import Row as LogRow
from postledger.templates import written
from postledger.times import iso, micros, now, time_of

BATCH_BYTES = 64 << 20
"""So many bytes of bodies are held in memory for one transaction."""

JSON = "application/json"
"""The content type of what this program states."""

COUNTED = ("recorded", "repeated", "unrecognised", "unreadable", "unverified")
"""What a ``Summary`` counts, under the names of ``Appended.counted_as``."""

_log = logging.getLogger("postledger")


class Appended(NamedTuple):
    """One member of an event that was just appended, with what it says.

    ``row`` is that of the event in the log. ``stream`` is the number of its stream, ``None`` where
    the index stayed behind; ``repeated`` says that an equal event was known.

    >>> ((_, (appended,)),) = next(ledger.record_batches([Receipt(body)]))
    >>> appended.member, appended.counted_as
    (0, 'repeated')
    """

    row: LogRow
    entry: Entry
    member: int
    statement: Statement
    stream: int | None
    repeated: bool

    @property
    def position(self) -> int:
        """The position of the event."""
        return int(self.row[0])

    @property
    def _stored(self) -> Stored:
        """The event as the log has it."""
        position, received_at, envelope_id, _, template_id, _, _, salt, leaf = self.row
        _, envelope, body, template, _ = self.entry
        return Stored(
            position, received_at, envelope, envelope_id, template, template_id, None, body, salt, leaf
        )  # fmt: skip

    @property
    def counted_as(self) -> str:
        """Under which count of a ``Summary`` it falls."""
        if self.repeated:
            return "repeated"
        kind = self.statement.kind
        return "recorded" if kind == "recognised" else kind

    @property
    def problem(self) -> str:
        """Why it can't be read, or isn't recognised; empty without a reason, and for a repeat."""
        return "" if self.repeated else self.statement.reason


class Batches(Iterator[list[tuple[Receipt, list[Appended]]]]):
    """Batches that are recorded as they are asked for; warns where nobody ever asked."""

    def __init__(self, batches: Generator[list[tuple[Receipt, list[Appended]]]]) -> None:
        self._batches = batches
        self._begun = False

    def __next__(self) -> list[tuple[Receipt, list[Appended]]]:
        self._begun = True
        return next(self._batches)

    def close(self) -> None:
        """End it: nothing more is recorded."""
        self._batches.close()

    def __del__(self) -> None:
        if not self._begun:
            said = (
                "record_batches was never iterated: nothing was recorded; record_many does it all"
            )
            warnings.warn(said, RuntimeWarning, stacklevel=2)


class _Taken(NamedTuple):
    """What one receipt gives: the event to append, and what it says."""

    entry: Entry
    statements: list[Statement]


@attrs.define
class Written:
    """What was written together; ``streams`` are the rows of the streams that it touched.

    ``rows`` are their states, by the number of the stream, ``planned`` their plans. ``behind`` says
    that the index stayed behind the log. Of a stream whose life is kept ``streams`` has the new rows
    alone, and ``answers``, if any are asked for, what is to be said of these.
    """

    own: Own
    streams: dict[int, tuple[str, list[EventRow]]] = attrs.field(factory=dict)
    rows: dict[int, Row] = attrs.field(factory=dict)
    planned: dict[int, Planned | None] = attrs.field(factory=dict)
    behind: bool = False
    answers: dict[Place, Answer] | None = None


Told = tuple[Written, list[Appended]]
"""What was written with an event, and what its members are."""

_Pair = tuple[_Taken, LogRow]
"""What one receipt gives, and the row of its event in the log."""

Given = tuple[Receipt, Kind]
"""What is to be appended: the public value of it, and the kind that only this program sets."""


def write(
    own: Own, connections: Connections, given: Sequence[Given], *, answered: bool = False
) -> list[Told]:
    """Append what is given, and bring index and states to the new head.

    The caller holds the write transaction, and has checked the receipts. Where what is written is
    ``answered``, each of several is answered as if it had been written alone; where that fails the
    error is raised, and each can be.
    """
    head = own.log.head()
    moved = connections.advance(own, head.size, len(given))
    taken = _take(own, given)
    new, rows = own.log.append([one.entry for one in taken], head)
    own.last = rows[-1][0], rows[-1][8]
    pairs = list(zip(taken, rows, strict=True))
    # guard: one transaction for an event and its row
    if moved is not None:
        try:
            # guard: index and states undone whole
            with own.store.savepoint():
                lives = connections.lives.as_of((moved.version, moved.number, head.frontier))
                told = _projected(own, lives, pairs, moved, answered=answered)
                connections.lives.keep((moved.version, moved.number, new.frontier))
                own.generation = moved
                return told
        except Exception as error:
            several = answered and len(given) > 1
            if several or is_of_medium(error) or not own.store.in_transaction:
                # Of a medium that failed the events themselves may not be there.
                raise
            generations.move(own.store, moved, size=head.size)
            connections.left_behind(own, error)
    behind = Written(own, behind=True)
    return [
        (
            behind,
            [
                Appended(row, one.entry, m, said, None, repeated=False)
                for m, said in enumerate(one.statements)
            ],
        )
        for one, row in pairs
    ]


def _projected(
    own: Own, lives: dict[int, Life], pairs: Sequence[_Pair], moved: Generation, *, answered: bool
) -> list[Told]:
    """Take events into index and states, of which ``moved`` is the generation."""
    if not answered or len(pairs) == 1:
        part = Written(own, answers={} if answered else None)
        return [(part, appended) for appended in _project(part, lives, pairs, moved)]
    told: dict[int, Told] = {}
    for numbers in _rounds(pairs):
        part = Written(own, answers={})
        appended = _project(part, lives, [pairs[n] for n in numbers], moved)
        told.update((n, (part, each)) for n, each in zip(numbers, appended, strict=True))
    return [told[n] for n in range(len(pairs))]


def _rounds(pairs: Sequence[_Pair]) -> list[list[int]]:
    """The numbers of events, in rounds in which no stream has two; those of a stream stay in order."""
    rounds: list[list[int]] = []
    had: dict[Stream, int] = {}
    for number, (one, _) in enumerate(pairs):
        streams = [said.stream for said in one.statements if said.stream != NOWHERE]
        turn = max([had.get(stream, 0) for stream in streams], default=0)
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(number)
        had.update(dict.fromkeys(streams, turn + 1))
    return rounds


def _take(own: Own, given: Sequence[Given]) -> list[_Taken]:
    """What receipts say, as events that are to be appended; their times rise within one call."""
    patterns, interned = own.reader.facts.patterns, own.log.interned
    taken: list[_Taken] = []
    last = -(2**63)
    for receipt, kind in given:
        if receipt.received_at is None:
            last = received_at = max(micros(now()), last + 1)
        else:
            received_at = micros(receipt.received_at)
        envelope = _envelope(
            kind,
            receipt.imported,
            receipt.source,
            receipt.sender,
            receipt.content_type,
            receipt.content_encoding,
            receipt.query,
        )
        if kind not in READ:
            taken.append(_Taken(Entry(received_at, envelope, receipt.body), []))
            continue
        statements, template, plain, texts, all_texts = patterns.take(receipt.body, envelope)
        kept: str | None = None
        if template is not None and plain is not None:
            admitted = interned.admit(template, plain)
            if admitted is not None:
                varying = texts if admitted is template else all_texts
                kept = written(varying)
                # guard: a template gives the body back
                if admitted.fill(varying) != receipt.body:
                    admitted = kept = None
            template = admitted
        taken.append(_Taken(Entry(received_at, envelope, receipt.body, template, kept), statements))
    return taken


@lru_cache(maxsize=4096)
def _envelope(
    kind: Kind,
    imported: bool,  # noqa: FBT001
    source: str,
    sender: str,
    content_type: str | None,
    encoding: str | None,
    query: bool,  # noqa: FBT001
) -> Envelope:
    # One object for all equal ones, whose hash and encoding are worked out once.
    clock = Clock.STATED if imported else Clock.OURS
    part = Part.QUERY if query else Part.BODY
    return Envelope(kind, clock, source, sender, content_type, encoding, part)


def _project(
    done: Written, lives: dict[int, Life], pairs: Sequence[_Pair], moved: Generation
) -> list[list[Appended]]:
    """Bring index and states up to events; what each says of its members."""
    streams, index = done.streams, done.own.reader.index
    appended: list[list[Appended]] = [[] for _ in pairs]
    said = [
        (one, row, member, statement)
        for one, (taken, row) in zip(appended, pairs, strict=True)
        for member, statement in enumerate(taken.statements)
    ]
    entries = [taken.entry for taken, _ in pairs for _ in taken.statements]
    numbers, made = index.place([statement.stream for _, _, _, statement in said])
    known = index.rows_of_all(sorted(set(numbers) - made - {NOWHERE_ID} - lives.keys()))
    seen = {(row[0], row[1], row[2]) for rows in known.values() for row in rows}
    new = []
    earliest: dict[int, int] = {}
    for (one, event, member, statement), entry, number in zip(said, entries, numbers, strict=True):
        identity = (number, statement.occurred_at, statement.identity)
        repeated = identity in seen
        if not repeated and number in lives:
            repeated = lives[number].knows(*identity[1:])
        elif not repeated and number == NOWHERE_ID:
            repeated = index.has(*identity)
        seen.add(identity)
        # Where the log's texts give what it says, a pattern of the template does.
        given = member == 0 and event[5] is not None and event[2] is not None
        row = placed(number, statement, event[1], event[0], member, given=given)
        new.append(row)
        if number != NOWHERE_ID:
            if number not in streams:
                streams[number] = (statement.stream[1], known.get(number, []))
            earliest[number] = min(event[1], earliest.get(number, event[1]))
            _insert(streams[number][1], _event_row(row, event))
        one.append(Appended(event, entry, member, statement, number, repeated))
    index.add(new)
    tallied = _put_rows(done, lives, moved, earliest, made)
    for (_, event, _, statement), entry in zip(said, entries, strict=True):
        tallied.event(event[1], entry.envelope.source, statement.kind)
    for taken, event in pairs:
        if taken.entry.envelope.kind is Kind.VERIFICATION:
            tallied.verified(event[0])
    generations.tally(done.own.store, moved.tallies_name, tallied)
    return appended


def _put_rows(
    done: Written,
    lives: dict[int, Life],
    moved: Generation,
    earliest: Mapping[int, int],
    made: Collection[int],
) -> Tallied:
    """Fold the streams that were touched, and write their rows; returns how the tallies change.

    ``made`` are the streams that are new.
    """
    fresh: list[Row] = []
    again: list[Row] = []
    reader, store, table = done.own.reader, done.own.store, moved.table
    tallied, searched = Tallied(), Searched()
    known = [n for n, (chart, _) in done.streams.items() if chart == DELIVERY and n not in made]
    # guard: counted no longer where it was
    for counted in generations.counted(store, table, known):
        tallied.kept(counted, -1)
        searched.kept(counted)
    for number, (chart, events) in done.streams.items():
        state = _of_life(done, lives, number) if number in lives or _is_long(events) else None
        if state is None:
            planned = reader.plans.planned(chart, events)
            state = planned and planned.row(number)
            if done.answers is not None:
                done.planned[number] = planned
        state = state or reader.row(number, chart, events)
        if state is not None:
            done.rows[number] = state
            earlier = state[generations.FIRST] < earliest[number]
            (again if earlier else fresh).append(state)
            if chart == DELIVERY:
                tallied.delivery(state)
                searched.delivery(state)
    generations.put(store, table, fresh)
    generations.put_again(store, table, again)
    generations.search(store, moved.search_name, searched)
    return tallied


def _is_long(rows: Sequence[EventRow]) -> bool:
    """Whether the life of a stream of these events is worth keeping."""
    if len(rows) < 2:
        return False
    if len(rows) > life.LONG:
        return True
    # A row may be damaged.
    texts = (text for row in rows for text in (row[8], row[10]) if isinstance(text, str))
    return sum(map(len, texts)) > life.HEAVY


def _of_life(done: Written, lives: dict[int, Life], number: int) -> Row | None:
    """The row of a long stream, by its life; ``None`` without a life, or if an event is damaged."""
    (chart, events), reader = done.streams[number], done.own.reader
    if chart not in reader.definitions.charts:
        return None
    is_kept = number in lives
    life = lives.setdefault(number, Life(reader.definitions.charts[chart]))
    try:
        require_rows(events)
        for row in events:
            life.add(reader.facts, row)
        if is_kept and done.answers is not None:
            done.answers.update({(row[3], row[4]): life.answer(row) for row in events})
        return row_of(number, life.folded(), life.repeats, life.source)
    except Exception as error:
        if is_of_medium(error) or isinstance(error, MemoryError):
            raise
        del lives[number]
        events[:] = reader.index.rows_of(number)
        return None


def _insert(rows: list[EventRow], row: EventRow) -> None:
    try:
        insort(rows, row)
    except TypeError:
        # A row of before is damaged: the stream can't be folded, and its row will say so.
        rows.append(row)


def _event_row(row: Placed, event: LogRow) -> EventRow:
    """The row of an event as index and log will give it back."""
    stream, occurred_at, identity, position, member, findings, said = row
    return (
        stream,
        occurred_at,
        identity,
        position,
        member,
        event[1],
        event[4],
        event[2],
        event[5],
        findings,
        said,
    )


# --- the answer: what record says of an event that it has just appended, from what is in hand ---


def answer(told: Told, *, whole: bool) -> Recorded | Kept:
    """What is answered for one receipt; without ``whole`` where it is kept."""
    done, appended = told
    if not whole:
        row = appended[0].row
        return Kept(row[0], row[8])
    first, *others = [_answer(done, one) for one in appended]
    return attrs.evolve(first, others=tuple(others)) if others else first


def answer_ahead(told: Told) -> Recorded | None:
    """The same before it is durable, in any thread; ``None`` where something has to be read for it."""
    done, (one, *others) = told
    verdict = None if others or one.repeated else _known_verdict(done, one)
    return None if verdict is None else _answered(done, one, verdict, None)


def _answer(done: Written, one: Appended) -> Recorded:
    repeats = _first(done, one) if one.repeated else None
    return _answered(done, one, _verdict(done, one), repeats)


def _answered(done: Written, one: Appended, verdict: Verdict, repeats: int | None) -> Recorded:
    number = one.stream
    event = event_of(one._stored, one.member, one.statement, repeats)
    row = None if number is None else done.rows.get(number)
    if row is None or one.statement.stream[1] != DELIVERY:
        return Recorded(event, verdict, None)
    try:
        return Recorded(event, verdict, delivery_of(one.statement.stream, row))
    except IntegrityError as error:
        # The event is recorded; that others of its stream are damaged is said where they are read.
        _log.error("%s: %s", done.own.store.path, error)
        return Recorded(event, verdict, None)


def _verdict(done: Written, one: Appended) -> Verdict:
    known = _known_verdict(done, one)
    if known is not None:
        return known
    assert one.stream is not None
    chart, rows = done.streams[one.stream]
    return done.own.reader.verdict(chart, rows, (one.position, one.member))


def _known_verdict(done: Written, one: Appended) -> Verdict | None:
    if one.stream is None:
        return Verdict.UNFOLDED
    if one.repeated:
        return Verdict.REPEATED
    if one.statement.kind != "recognised":
        return Verdict(one.statement.kind)
    if one.stream == NOWHERE_ID:
        return Verdict.NO_EFFECT
    place = (one.position, one.member)
    if done.answers and place in done.answers:
        return done.answers[place].verdict
    planned = done.planned.get(one.stream)
    rows = done.streams[one.stream][1]
    return planned and planned.verdict([row[3:5] for row in rows].index(place))


def _first(done: Written, one: Appended) -> int | None:
    """The position of the event that it repeats; ``None`` where it was received before that."""
    if one.stream is None:
        return None
    if done.answers and (one.position, one.member) in done.answers:
        return done.answers[one.position, one.member].repeats
    said, own = one.statement, done.own
    try:
        if one.stream not in done.streams:
            with translated(own.store.path), own.store.read():
                return own.reader.repeats(said, one.position, one.member, until=one.position)
        rows = done.streams[one.stream][1]
        same = (said.occurred_at, said.identity)
        first = own.reader.facts.ranked([row for row in rows if (row[1], row[2]) == same])[0]
    except LedgerError as error:
        # The event is recorded: what is wrong with another one is no reason to say it isn't.
        _log.error("%s; run verify", error)
        return None
    place = (first[3], first[4])
    return None if place == (one.position, one.member) else first[3]


Asked = tuple[Given, bool]
"""What a call gives to be recorded, and whether it asks what that says."""


def receipt_of(
    body: Body,
    content_type: str | None = None,
    *,
    received_at: datetime | None = None,
    source: str = "",
    content_encoding: str | None = None,
    sender: str = "",
    query: bool = False,
    answer: bool = True,
) -> Asked:
    """A receipt; see ``Ledger.record``. Raises ``ValueError`` for a sender that no check can have."""
    receipt = Receipt(
        body,
        content_type,
        received_at,
        source=source,
        content_encoding=content_encoding,
        sender=sender,
        query=query,
    )
    # guard: no sender but one that a check can have
    if sender and (sender == ACCEPTED or not SENDER.fullmatch(sender)):
        raise ValueError(
            "sender must be UNVERIFIED, or lower-case letters, digits, - and _,"
            f" and not {ACCEPTED}, got {shown(sender)}"
        )
    if answer is not True and answer is not False:
        require("answer", answer, bool)
    return (receipt, Kind.RECEIPT), answer


@checked
def creation_of(
    key_in: Callable[[str | Sequence[str], str], str],
    tracking_id: str | Sequence[str],
    *,
    to: str,
    mms_id: str | None = None,
    at: datetime | None = None,
    space: str = "",
    received_at: datetime | None = None,
    source: str = "",
) -> Given:
    """The statement that a message was accepted; see ``Ledger.created``.

    ``key_in`` returns the key that the id is in a space.
    """
    parts = [("tracking_id", one) for one in names_of("tracking_id", tracking_id)]
    for name, text in (*parts, ("to", to), ("mms_id", mms_id), ("space", space or None)):
        if text is not None:
            require_name(name, text)
    said = {
        "tracking-id": key_in(tracking_id, space),
        "to": to,
        "mms-id": mms_id,
        "timestamp": iso(at),
        "space": space or None,
    }
    told = {name: text for name, text in said.items() if text is not None}
    body = json.dumps({"created": told}, ensure_ascii=False).encode()
    return Receipt(body, JSON, received_at, source=source), Kind.STATEMENT


def import_of(
    sha256: str, receipts: int, origin: Anchor | None, **how: Mapping[str, object] | int
) -> bytes:
    """The body of an import: which file it was of, how much was taken, the anchor of its origin.

    ``how`` has what else is to be known of how it was read.
    """
    stated = None if origin is None else str(origin)
    said = {"sha256": sha256, "receipts": receipts, "origin": stated, **how}
    return json.dumps(said, ensure_ascii=False).encode()


def accepted(stored: Stored) -> Receipt:
    """An unverified event as it is recorded again: all but its sender stays."""
    return attrs.evolve(as_received(stored), sender=ACCEPTED)


def as_received(stored: Stored) -> Receipt:
    """An event of a log as what was received."""
    envelope = stored.envelope
    return Receipt(
        stored.body,
        envelope.content_type,
        time_of(stored.received_at),
        imported=envelope.clock is Clock.STATED,
        source=envelope.source,
        content_encoding=envelope.content_encoding,
        sender=envelope.sender,
        query=envelope.part is Part.QUERY,
    )


def batches(given: Iterable[Given], size: int) -> Iterator[list[Given]]:
    """What is given in lists of at most ``size``, and of little more than ``BATCH_BYTES``."""
    batch: list[Given] = []
    left = BATCH_BYTES
    for one in given:
        batch.append(one)
        left -= len(one[0].body)
        if len(batch) == size or left <= 0:
            yield batch
            batch, left = [], BATCH_BYTES
    if batch:
        yield batch
