"""The reader: log, index and definitions together, and the rows that follow from them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice

import attrs

from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError
from postledger.findings import Verdict
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.log.log import Log
from postledger.projections.index import NOWHERE_ID, Index
from postledger.state.patterns import Patterns, Statement, Stream
from postledger.state.plans import Plans
from postledger.state.row import Row, folded_row, unfolded_row
from postledger.state.streams import EventRow, Events, Facts
from postledger.state.timeline import verdict_on
from postledger.store.opening import is_of_medium
from postledger.store.store import LARGEST
from postledger.times import is_time
from postledger.wire import Limits

_PAGE = 200
"""How many streams are held in memory, to read together what their outlines don't say."""

_MOST_FIRSTS = 10_000
"""Of how many things that were said twice it is remembered which event said so first."""

_log = logging.getLogger("postledger")

Folded = tuple[int, str, int, Row | None]
"""A stream, its chart, the number of its events, repeats too, and its row."""


@attrs.frozen
class Folding:
    """How the rows of streams follow from their events, under some definitions."""

    facts: Facts
    plans: Plans

    @classmethod
    def by(cls, events: Events, definitions: Definitions, limits: Limits) -> Folding:
        """The folding of events that are looked up somewhere, under definitions."""
        facts = Facts(events, Patterns(definitions, limits))
        return cls(facts, Plans(facts))

    @property
    def definitions(self) -> Definitions:
        """The definitions that it reads by."""
        return self.facts.definitions

    def row(self, stream: int, chart: str, rows: Sequence[EventRow]) -> Row | None:
        """The row that follows from the events of a stream: by its plan, or else folded.

        Where it can't be folded, the row says so: to record must not depend on it.
        """
        try:
            known = self.plans.planned(chart, rows)
            if known is not None and (row := known.row(stream)) is not None:
                return row
            distinct, repeats = self.facts.distinct(rows)
            again = sum(map(len, repeats.values()))
            planned = self.plans.row_of(stream, chart, distinct, again)
            if planned is not None:
                return planned
            return folded_row(
                stream, self.facts.facts(distinct), again, self.facts.source_of(distinct)
            )
        except MemoryError:
            # It says nothing of the events: what is undone now is made up for at the next write.
            raise
        except Exception as error:
            if is_of_medium(error):
                raise
            of = f"the stream of position {rows[0][3]}"
            _log.error("%s can't be folded: %s; run verify", of, error)
            return unfolded_row(stream, _earliest(rows), len(rows))

    def plain_row(self, stream: int, rows: Sequence[EventRow]) -> Row | None:
        """The row of a stream by a fold alone; raises ``IntegrityError`` where it can't be folded."""
        try:
            distinct, repeats = self.facts.distinct(rows)
            again, source = sum(map(len, repeats.values())), self.facts.source_of(distinct)
            return folded_row(stream, self.facts.facts(distinct), again, source)
        except (IntegrityError, MemoryError):
            raise
        except Exception as error:
            if is_of_medium(error):
                raise
            positions = ", ".join(str(row[3]) for row in rows[:20])
            raise IntegrityError(f"the events at {positions} can't be folded: {error!r}") from error


@attrs.frozen
class Reader(Folding):
    """What one thread reads with, under some definitions; the caller holds the transaction."""

    log: Log
    index: Index
    firsts: Firsts

    @classmethod
    def of(cls, log: Log, index: Index, definitions: Definitions, limits: Limits) -> Reader:
        """A reader of a log by an index, under definitions."""
        facts = Facts(log, Patterns(definitions, limits))
        return cls(facts, Plans(facts), log, index, Firsts(index, facts))

    def rows(
        self,
        after: int = NOWHERE_ID,
        until: int = LARGEST,
        bounds: Bounds = EVERYTHING,
    ) -> Iterator[Folded]:
        """The rows of all streams after ``after`` up to ``until``, in the order of their numbers.

        Raises ``IntegrityError`` where the index has a stream by one of its ways alone.
        """
        planned = self.plans.row_of_outline
        outlines = self.index.outlines(after, until, bounds)
        while page := list(islice(outlines, _PAGE)):
            rows = [planned(*one) for one in page]
            others = [one[0] for one, row in zip(page, rows, strict=True) if row is None]
            whole = self.index.rows_of_all(others, bounds)
            # By a key that is damaged a scan finds what a search does not.
            for lost in (one for one in others if not whole.get(one)):
                raise IntegrityError(f"stream {lost} is missing; run replay --index")
            for (stream, chart, events), row in zip(page, rows, strict=True):
                yield stream, chart, len(events), row or self.row(stream, chart, whole[stream])

    def row_of(self, stream: int, bounds: Bounds = EVERYTHING) -> Row | None:
        """The row of one stream."""
        rows = self.index.rows_of(stream, bounds)
        return self.row(stream, self.index.stream_of(stream)[1], rows) if rows else None

    def verdict(self, chart: str, rows: Sequence[EventRow], place: tuple[int, int]) -> Verdict:
        """The verdict on the event at a position and member of a stream.

        ``repeated`` where another event said the same before.
        """
        try:
            distinct, repeats = self.facts.distinct(rows)
            for at, row in enumerate(distinct):
                if (row[3], row[4]) == place:
                    if place in repeats:
                        return Verdict.REPEATED
                    planned = self.plans.verdict_on(chart, distinct, at)
                    return planned or verdict_on(self.facts.facts(distinct), row[2])
            return Verdict.REPEATED
        except MemoryError:
            # It says nothing of the events: what is undone now is made up for at the next write.
            raise
        except Exception as error:
            if is_of_medium(error):
                raise
            _log.error("the event at %s can't be folded: %s; run verify", place[0], error)
            return Verdict.UNFOLDED

    def repeats(
        self, said: Statement, position: int, member: int, until: int = LARGEST
    ) -> int | None:
        """The position of the event that said the same first, up to a position; ``None`` for itself."""
        number = self.index.find(said.stream)
        if number is None:
            return None
        first = self.firsts.of(number, said.occurred_at, said.identity, until)
        itself = first is None or (first[3], first[4]) == (position, member)
        return None if first is None or itself else first[3]

    def repeats_of(self, members: Sequence[tuple[Statement, int, int]]) -> list[int | None]:
        """What ``repeats`` says of each of several members, asked for together."""
        numbers = self.index.find_all(list({said.stream: None for said, _, _ in members}))
        again = self.index.said_again(
            [
                (numbers[said.stream], said.occurred_at, said.identity, position, member)
                for said, position, member in members
                if said.stream in numbers
            ]
        )
        return [
            self.repeats(said, position, member) if (position, member) in again else None
            for said, position, member in members
        ]

    def known(self, stream: Stream, bounds: Bounds = EVERYTHING) -> list[EventRow]:
        """The events of a stream in the order of the index; none where none is known."""
        number = self.index.find(stream)
        return [] if number is None else self.index.rows_of(number, bounds)

    def having(self, streams: list[Stream], bounds: Bounds = EVERYTHING) -> list[Stream]:
        """Which of several streams count: those that have a state within the bounds.

        If none does, those that have any event; else the first.
        """
        if len(streams) < 2:
            return streams
        rows = {stream: self.known(stream, bounds) for stream in streams}
        heard = [stream for stream in streams if rows[stream]]
        return [one for one in heard if self.row(0, one[1], rows[one])] or heard or streams[:1]


class Firsts:
    """Which of the events that say the same is the first, looked up for each position only once."""

    def __init__(self, index: Index, facts: Facts) -> None:
        self._index = index
        self._facts = facts
        self._known: dict[tuple[int, int, bytes], tuple[EventRow, int]] = {}

    def of(
        self, stream: int, occurred_at: int, identity: bytes, until: int = LARGEST
    ) -> EventRow | None:
        """The first of the events of a stream that say the same, up to a position; ``None`` for none.

        What is asked for is durable. Raises ``IntegrityError`` where a row is damaged.
        """
        same = (stream, occurred_at, identity)
        first, seen = self._known.get(same, (None, -1))
        if seen > until:
            first, seen = None, -1
        # A body that comes again and again must not be compared with all that were before.
        found = self._index.earliest(*same, seen, until) if seen < until else []
        if found:
            first = self._facts.ranked([*found, first] if first else found)[0]
        if first is not None and until < LARGEST:
            if len(self._known) >= _MOST_FIRSTS:
                self._known.clear()
            self._known[same] = first, until
        return first


def _earliest(rows: Sequence[EventRow]) -> int:
    times = [row[5] for row in rows if isinstance(row[5], int) and is_time(row[5])]
    return min(times, default=0)
