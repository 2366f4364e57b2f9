"""Streams: the events of one stream as the index and the log have them, and the facts they give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby, product
from operator import itemgetter
from types import NoneType
from typing import Protocol

import attrs

from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError
from postledger.log.event import READ, Clock, Envelope, Stored
from postledger.log.log import texts_at
from postledger.state.fold import Fact
from postledger.state.patterns import (
    Family,
    Pattern,
    Patterns,
    Statement,
    Unplaced,
    layout_of,
    of_times,
    placed,
    postback_of,
)
from postledger.store.store import Row as LogRow
from postledger.templates import Template, texts_of, written

EventRow = tuple[
    int, int, bytes, int, int, int, int | None, int | None, str | None, int, str | None
]
"""What the index and the log say of one member of an event, as the fold reads it.

0 stream, 1 occurred_at, 2 identity, 3 position, 4 member, 5 received_at, 6 template, 7 envelope,
8 texts, 9 findings, 10 said. Template and envelope are numbers of the log, ``texts`` its JSON array of
texts; where these don't give what is said, ``said`` does.
"""


Outline = tuple[int, int, int, int | None, str | None, int]
"""What a plan needs of an event: stream, occurred_at, received_at, kind, texts and findings.

``kind`` is one number for template and envelope; ``findings`` are -1 where ``said`` says what is said.
"""

KIND = 1 << 20
"""What the number of a template is multiplied by, to make one number of it and of an envelope's."""

_IDENTITY = itemgetter(1, 2)

_TYPES = frozenset(
    (int, int, bytes, int, int, int, template, envelope, texts, int, said)
    for template, envelope, texts, said in product(
        (int, NoneType), (int, NoneType), (str, NoneType), (str, NoneType)
    )
)


def require_rows(rows: Iterable[EventRow]) -> None:
    """Raise ``IntegrityError`` for rows that hold a value of another type than such rows have."""
    for row in rows:
        # guard: types of rows checked
        if tuple(map(type, row)) not in _TYPES:
            raise IntegrityError(
                f"position {row[3]!r}: its row, or that of the index, is damaged; run verify"
            )


class Values(Protocol):
    """Templates and envelopes, by their numbers."""

    def template(self, number: int) -> Template:
        """A template by its number; raises ``IntegrityError`` if it is missing."""
        ...

    def envelope(self, number: int) -> Envelope:
        """An envelope by its number; raises ``IntegrityError`` if it is missing."""
        ...


class Events(Protocol):
    """Where events are looked up: a log, or an archive of one."""

    @property
    def interned(self) -> Values:
        """Its templates and envelopes."""
        ...

    def at(self, position: int) -> Stored:
        """The event at a position; raises ``IntegrityError`` if it is missing."""
        ...


class Facts:
    """Makes facts of what index and log have, by the patterns of the definitions in force."""

    def __init__(self, log: Events, patterns: Patterns) -> None:
        self.log = log
        self.patterns = patterns
        self._families: dict[tuple[int, int], Family | None] = {}
        # The members of a bundle are of one event.
        self._at = lru_cache(2)(log.at)

    @property
    def definitions(self) -> Definitions:
        """The definitions in force."""
        return self.patterns.definitions

    def family(self, template: int, envelope: int) -> Family | None:
        """The patterns of the events of one template in one envelope; ``None`` for those read plainly."""
        try:
            return self._families[template, envelope]
        except KeyError:
            interned = self.log.interned
            known = self._families[template, envelope] = self.patterns.family_of(
                interned.template(template), interned.envelope(envelope)
            )
            return known

    def source(self, row: EventRow) -> str:
        """The source of an event."""
        known = None if row[7] is None else self.log.interned.envelope(row[7])
        return (known or self._at(row[3]).envelope).source

    def source_of(self, rows: Sequence[EventRow]) -> str:
        """The source of a stream: of the event received first; of those received at once, the least."""
        first = rows[0]
        if first[7] is not None and all(row[7] == first[7] for row in rows):
            return self.source(first)
        return min((row[5], self.source(row)) for row in rows)[1]

    def pattern(self, row: EventRow) -> tuple[Pattern, Sequence[str]]:
        """What an event says, and its texts; raises ``IntegrityError`` where it is damaged."""
        position, template, envelope, fields, said = row[3], row[6], row[7], row[8], row[10]
        try:
            texts: Sequence[str]
            if said is not None:
                layout, texts = layout_of(postback_of(said))
                return self.patterns.family(layout).of(texts), texts
            if template is None or envelope is None or not isinstance(fields, str):
                raise IntegrityError("what it says is missing")
            texts = texts_of(fields)
            family = self.family(template, envelope)
            if family is None:
                raise IntegrityError("its template can't be read")
            return family.of(texts), texts
        except (IntegrityError, ValueError) as error:
            raise IntegrityError(f"position {position}: {error}") from error

    def fact(self, row: EventRow) -> Fact:
        """The fact of an event; raises ``IntegrityError`` where it is damaged."""
        pattern, texts = self.pattern(row)
        return pattern.fact(row[1], row[2], row[3], row[5], texts, row[9])

    def facts(self, rows: Iterable[EventRow]) -> list[Fact]:
        """The facts of the distinct events of one stream."""
        return [self.fact(row) for row in rows]

    def unplaced(self, rows: Iterable[LogRow]) -> list[Unplaced]:
        """What events of the log say, member by member; nothing of one that vocabularies don't read.

        ``rows`` are those of ``Log.rows``. Raises ``IntegrityError`` where an event is damaged.
        """
        found: list[Unplaced] = []
        quick = self.patterns.quick
        for row in rows:
            position, received_at, envelope, _, template, fields = row
            known = template is not None and envelope is not None
            family = self.family(template, envelope) if known else None
            if family is None or not quick:
                given = family is not None and fields is not None
                stored = self.log.at(position)
                for member, one in enumerate(self.statements_of(stored)):
                    alone = given and not member
                    where = placed(one.stream, one, received_at, position, member, given=alone)
                    found.append((*where, (received_at, stored.envelope.source, one.kind)))
                continue
            texts = texts_at(position, fields)
            try:
                pattern = family.of(texts)
                stream, occurred_at, identity, findings = pattern.place(texts)
            except IntegrityError as error:
                raise IntegrityError(f"position {position}: {error}") from error
            if not isinstance(received_at, int):
                raise IntegrityError(f"position {position}: its row is damaged; run verify")
            findings |= of_times(occurred_at, received_at)
            heard = (received_at, self.log.interned.envelope(envelope).source, pattern.kind)
            found.append((stream, occurred_at, identity, position, 0, findings, None, heard))
        return found

    def row_of(self, stream: int, stored: Stored, member: int, statement: Statement) -> EventRow:
        """The row of a member of an event as index and log have it, from the event itself."""
        template, envelope, texts = stored.template_id, stored.envelope_id, stored.texts
        given = member == 0 and texts is not None and self.gives(template, envelope)
        _, occurred_at, identity, position, _, findings, said = placed(
            stream, statement, stored.received_at, stored.position, member, given=given
        )
        return (
            stream, occurred_at, identity, position, member, stored.received_at,
            template, envelope, None if texts is None else written(texts), findings, said,
        )  # fmt: skip

    def statements_of(self, stored: Stored) -> list[Statement]:
        """What an event says, member by member; nothing where vocabularies don't read it."""
        if stored.kind not in READ:
            return []
        template, envelope = stored.template_id, stored.envelope_id
        if template is not None and envelope is not None and self.patterns.quick:
            family = self.family(template, envelope)
            if family is not None and stored.texts is not None:
                return [_statement(family, stored.position, stored.texts)]
        return self.patterns.read_plainly(stored.body, stored.envelope)

    def gives(self, template: int | None, envelope: int | None) -> bool:
        """Whether the log's texts give what an event says: the index need not keep it then."""
        if template is None or envelope is None:
            return False
        return self.family(template, envelope) is not None

    def distinct(
        self, rows: Sequence[EventRow]
    ) -> tuple[Sequence[EventRow], dict[Place, list[EventRow]]]:
        """The distinct events of one stream, and the repeats of each by its position and member.

        ``rows`` are in the order of the index. Of equal events the first is the one with the least
        time of reception, then source, then bytes, then the rest of the envelope. Raises
        ``IntegrityError`` where a row is damaged.
        """
        require_rows(rows)
        if len(set(map(_IDENTITY, rows))) == len(rows):
            return rows, {}
        firsts: list[EventRow] = []
        repeats: dict[Place, list[EventRow]] = {}
        for _, equal in groupby(rows, _IDENTITY):
            first, *others = self.ranked(list(equal))
            firsts.append(first)
            if others:
                repeats[first[3], first[4]] = others
        return firsts, repeats

    def ranked(self, equal: list[EventRow]) -> list[EventRow]:
        """Equal events, the first of them first, the others in the order of their reception."""
        require_rows(equal)
        if len(equal) == 1:
            return equal
        if len({row[5] for row in equal}) == len(equal):
            return sorted(equal, key=itemgetter(5))
        if len({row[3] for row in equal}) == 1:
            return sorted(equal, key=itemgetter(4))
        return sorted(equal, key=self._rank)

    def _rank(self, row: EventRow) -> tuple[object, ...]:
        stored = self._at(row[3])
        envelope = attrs.evolve(stored.envelope, clock=Clock.OURS)
        # Last what is of this ledger alone: whose clock gave the time, since a receipt is ours here and
        # imported elsewhere, and the position.
        here = stored.envelope.clock, row[3]
        return row[5], envelope.source, stored.body, envelope.encoded, row[4], here


def _statement(family: Family, position: int, texts: Sequence[str]) -> Statement:
    try:
        return family.of(texts).statement(texts)
    except IntegrityError as error:
        raise IntegrityError(f"position {position}: {error}") from error


Place = tuple[int, int]
"""Where something was said: the position of the event, and the number of the member in it."""
