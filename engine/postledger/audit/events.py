"""Events: those that could not be taken, and the nodes that events lack."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from typing import NamedTuple
from xml.parsers.expat import errors as expat

import attrs

from postledger.audit.mask import Mask, shortened
from postledger.errors import IntegrityError
from postledger.log.acceptances import Acceptance, acceptances_of
from postledger.log.as_of import Bounds
from postledger.log.event import Stored
from postledger.model import ACCEPTED, UNVERIFIED, Position
from postledger.projections.groups import Groups
from postledger.projections.index import NOWHERE_ID
from postledger.projections.reader import Reader
from postledger.state.patterns import Pattern, Statement
from postledger.state.streams import EventRow
from postledger.store.counting import Counts, counts
from postledger.times import is_time, time_of

MOST_LISTED = 20
"""How many kinds of unread events are listed; the others are counted together."""

_MOST_PATTERNS = 10_000
_SYNTAX = frozenset(expat.messages.values()) | {
    "Expecting value",
    "Expecting property name enclosed in double quotes",
    "Expecting ',' delimiter",
    "Unterminated string",
    "Invalid control character",
    "Extra data",
    "control character",
}
"""What the parsers of XML and JSON say of syntax, and of nothing else."""

_WHERE = re.compile(r" (?:starting at|at|0x[0-9a-f]+ at byte \d+)\Z")

_DAMAGED = "the event is damaged; run verify"


@attrs.frozen
class Unread:
    """Distinct events of one kind that changed no state, the first of them at position ``first``.

    Of unreadable events ``status`` is the kind of error, of unverified ones which source received
    them; those that were accepted count where they were recorded again.
    """

    code: str | None
    status: str | None
    events: int
    first: Position
    first_received_at: datetime | None
    last_received_at: datetime | None


@attrs.frozen
class Kinds:
    """Kinds of unread events, the most frequent first.

    ``rest`` events are of other kinds, ``kinds`` of them.
    """

    listed: tuple[Unread, ...]
    rest: int
    kinds: int


@attrs.frozen
class Missing:
    """A node that a section of the specification requires, and how many events lack it."""

    node: str
    section: str
    events: int
    first: Position


@attrs.frozen
class Events:
    """The events that could not be taken, and the nodes that events lack."""

    unrecognised: Kinds
    unreadable: Kinds
    unverified: Kinds
    missing: tuple[Missing, ...]


def events(groups: Groups, bounds: Bounds, mask: Mask) -> Events:
    """Count the unread events, and the nodes that events lack.

    Unread events may belong to no delivery, so their period is that of their reception. Nodes are
    those that the events of the period's deliveries lack.
    """
    store, told = groups.reader.log.store, _Told(groups.reader, bounds)
    with (
        counts(store) as unrecognised,
        counts(store) as unreadable,
        counts(store) as unverified,
        counts(store) as missing,
    ):
        for row in groups.unread(bounds):
            said, at = told.of(row), row[3:6:2]
            if said.reading == "unrecognised":
                kind = shortened(mask.text(said.code)), shortened(mask.text(said.status))
                unrecognised.add(kind, *at)
            elif said.reading == UNVERIFIED:
                unverified.add((None, mask.id(said.status)), *at)
            elif said.reading == "unreadable":
                unreadable.add((None, kind_of(said.status or "")), *at)
        for row in groups.lacking(bounds):
            for node in told.of(row).missing:
                missing.add(node, row[3])
        lacking, _, _ = missing.ranked(_MOST_PATTERNS)
        return Events(
            _kinds(unrecognised),
            _kinds(unreadable),
            _kinds(unverified),
            tuple(
                Missing(str(node), str(section), n, first)
                for (node, section), n, first, *_ in lacking
            ),
        )


def _kinds(found: Counts) -> Kinds:
    ranked, rest, kinds = found.ranked(MOST_LISTED)
    listed = (
        Unread(code, status, n, first, _time(earliest), _time(latest))
        for (code, status), n, first, earliest, latest in ranked
    )
    return Kinds(tuple(listed), rest, kinds)


def kind_of(problem: str) -> str:
    """The kind of error of a body that can't be read: without where it is, and without any of its text.

    >>> kind_of("malformed XML: unclosed token: line 2, column 58"), kind_of("the body is empty")
    ('malformed XML: unclosed token', 'the body is empty')
    """
    kind, _, why = problem.partition(":")
    why = _WHERE.sub("", why.split(":")[0].strip())
    return f"{kind}: {why}" if why in _SYNTAX else kind


def _time(time: int) -> datetime | None:
    """A time of the log; in a damaged file it may be out of reach."""
    return time_of(time) if is_time(time) else None


class _Said(NamedTuple):
    """What one event says, as far as it is counted."""

    reading: str
    code: str | None = None
    status: str | None = None
    missing: tuple[tuple[str, str], ...] = ()


class _Told:
    """Reads what events say."""

    def __init__(self, reader: Reader, bounds: Bounds) -> None:
        self._reader = reader
        self._bounds = bounds
        self._fields = {known.name: known.fields for known in reader.definitions.vocabularies}
        self._places: dict[Pattern, tuple[int | None, int | None]] = {}
        # The members of a bundle are read together.
        self._at = lru_cache(16)(self._read)

    def of(self, row: EventRow) -> _Said:
        try:
            pattern, texts, problem = self._pattern(row)
        except IntegrityError:
            pattern, texts, problem = None, (), _DAMAGED
        if pattern is None and not problem:
            # What is unverified is not read, so that nothing is wrong with it.
            source = self._at(row[3])[0].envelope.source
            covered = any(one.covers(row[3], source) for one in self._acceptances)
            return _Said(ACCEPTED if covered else UNVERIFIED, status=source or None)
        if pattern is None:
            return _Said("unreadable", status=problem)
        reading = pattern.reading
        if reading.recognised:
            fields = self._fields.get(reading.vocabulary or "", {})
            # Each node as the provider calls it.
            missing = ((fields[name][0], reading.section or "") for name in reading.missing)
            return _Said("recognised", missing=tuple(missing))
        said = pattern.layout.postback(texts).fields
        code, status = (None if at is None else said[at][1] for at in self._place(pattern, texts))
        return _Said("unrecognised", code=code, status=status)

    @cached_property
    def _acceptances(self) -> list[Acceptance]:
        """Those that were known by then; what they cover was recorded again, and counts there."""
        position, until = self._bounds.position, self._bounds.received_by
        imports = self._reader.log.imports(position)
        return acceptances_of(one for one in imports if until is None or one.received_at <= until)

    def _pattern(self, row: EventRow) -> tuple[Pattern | None, Sequence[str], str]:
        facts = self._reader.facts
        given = facts.patterns.quick and facts.gives(row[6], row[7]) and row[8] is not None
        if row[0] != NOWHERE_ID or given:
            pattern, texts = facts.pattern(row)
            return pattern, texts, ""
        # The index doesn't keep what events say that belong to no stream.
        _, statements = self._at(row[3])
        if row[4] >= len(statements):
            raise IntegrityError(f"position {row[3]}: the index differs from the log")
        statement = statements[row[4]]
        return statement.pattern, statement.texts, statement.problem

    def _read(self, position: int) -> tuple[Stored, list[Statement]]:
        stored = self._reader.log.at(position)
        return stored, self._reader.facts.statements_of(stored)

    def _place(self, pattern: Pattern, texts: Sequence[str]) -> tuple[int | None, int | None]:
        """Where code and status stand: of what no vocabulary knows, any may know the fields."""
        if pattern not in self._places:
            if len(self._places) >= _MOST_PATTERNS:
                self._places.clear()
            postback = pattern.layout.postback(texts)
            vocabularies = self._reader.definitions.vocabularies
            readings = [v.read(postback) for v in vocabularies if v.fits(postback)]
            code = next((r.code_at for r in readings if r.code_at is not None), None)
            status = next((r.status_at for r in readings if r.status_at is not None), None)
            self._places[pattern] = code, status
        return self._places[pattern]
