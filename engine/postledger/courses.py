"""Courses: what the fold makes of streams that run alike, asked of it once for all of them.

Most streams run alike: events of the same shapes, in the same order by the provider's clock. What
the fold makes of them differs in their texts and times alone. So a course is folded once with a
probe in place of each text and each time, and the row it gives says from which event each column
comes. No rule of the fold is written here a second time; streams that a probe can't stand for are
folded as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise, product
from operator import itemgetter
from typing import Any

import attrs

from postledger import projections
from postledger.errors import IntegrityError
from postledger.facts import EventRow, Facts, Mould
from postledger.findings import Finding
from postledger.fold import UNDATED, Fact, fold
from postledger.log.sqlite import DAMAGE, texts_of
from postledger.projections import COLUMNS, Row

_LATE, _REPEATED = int(Finding.LATE), int(Finding.REPEATED)
_TO, _FIRST_RECEIVED, _REPEATS, _FINDINGS = map(
    COLUMNS.index, ("recipient", "first_received_at", "repeats", "findings")
)
_TIMES = tuple(map(COLUMNS.index, ("created_at", "sent_at", "outcome_at")))

_LONGEST = 12
"""Streams of more events seldom run like others."""

_MOST = 10_000
_PROBE = "\0"
"""What no text of a shape holds: it marks the texts of a probe."""

Key = tuple[Any, ...]
Place = tuple[int, int]
"""Where a text stands: the index of the event, and of the text among its values."""


@attrs.frozen
class Course:
    """The row of all streams of one course, but for what their own events say.

    ``texts`` and ``times`` are pairs of a column and where it comes from. ``ordered`` are
    pairs of events of which the second follows the first. All ``recipients`` must be the same.
    """

    row: Row
    texts: tuple[tuple[int, Place], ...]
    times: tuple[tuple[int, int], ...]
    ordered: tuple[tuple[int, int], ...]
    recipients: tuple[Place, ...]

    def row_of(
        self,
        stream_id: int,
        events: Sequence[EventRow],
        values: Sequence[Sequence[str]],
        repeats: int,
    ) -> Row | None:
        """The row of a stream, whose events have these texts; ``None`` where recipients differ."""
        row = list(self.row)
        row[0] = stream_id
        for column, (at, value) in self.texts:
            row[column] = values[at][value]
        for column, at in self.times:
            row[column] = events[at][1]
        for at, value in self.recipients:
            if values[at][value] != row[_TO]:
                return None
        findings: int = row[_FINDINGS] | (_REPEATED if repeats else 0)
        for event in events:
            findings |= event[7]
        for before, behind in self.ordered:
            if events[before][3] > events[behind][3]:
                findings |= _LATE
        row[_FIRST_RECEIVED] = min([event[4] for event in events])
        row[_REPEATS] = repeats
        row[_FINDINGS] = findings
        return tuple(row)


class Courses:
    """The courses that streams were seen to take; ``facts`` folds what takes none."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._known: dict[Key, Course | None] = facts.courses

    def row_of(
        self, stream_id: int, chart: str, events: Sequence[EventRow], repeats: int
    ) -> Row | None:
        """The row of a stream by its course, where there is one that gives it."""
        if len(events) > _LONGEST:
            return None
        try:
            values = [texts_of(event[6]) for event in events]
            key = self._key(chart, events, values)
            try:
                course = self._known[key]
            except KeyError:
                course = self._learned(chart, events, key)
            return None if course is None else course.row_of(stream_id, events, values, repeats)
        except (IntegrityError, AttributeError, *DAMAGE):
            # An event was altered: the fold says which.
            return None

    def _key(self, chart: str, events: Sequence[EventRow], values: Sequence[list[str]]) -> Key:
        """What makes streams run alike.

        The chart, and of each event its kind and the rank of its time (``UNDATED`` without one).
        """
        key: list[Any] = [chart]
        kind_of = self._facts.kind_of
        rank, last = -1, -UNDATED
        for event, texts in zip(events, values, strict=True):
            occurred_at = event[1]
            if occurred_at != last:
                rank, last = rank + 1, occurred_at
            key += (kind_of(event[5], texts), rank if occurred_at != UNDATED else UNDATED)
        return tuple(key)

    def _learned(self, chart: str, events: Sequence[EventRow], key: Key) -> Course | None:
        if len(self._known) >= _MOST:
            self._known.clear()
        try:
            course = self._probed(chart, events, key[2::2])
        except Exception:
            # Where the fold fails, it is to fail with the stream itself, and say where.
            course = None
        self._known[key] = course
        return course

    def _probed(
        self, chart: str, events: Sequence[EventRow], times: Sequence[int]
    ) -> Course | None:
        """The course of a stream, from a fold of probes in place of its events."""
        facts = self._facts.of_rows(chart, events)
        probes: list[Fact] = []
        for index, (fact, occurred_at) in enumerate(zip(facts, times, strict=True)):
            values = texts_of(events[index][6])
            mould = self._facts.mould_of(events[index][5], values)
            if mould.effect is not fact.effect or not _probeable(mould):
                return None
            marks = [_mark(index, value) for value in range(len(values))]
            probes.append(mould.fact(occurred_at, bytes([index]), 0, 0, marks, 0))
        return _course(probes)


def _probeable(mould: Mould) -> bool:
    """Whether its own texts can be told from a probe's, and the recipient is the event's own."""
    return mould.texts[0] is None and not any(_PROBE in text for text in mould.texts if text)


def _mark(event: int, value: int) -> str:
    return f"{_PROBE}{event} {value}"


def _place(text: str) -> Place:
    event, value = text.removeprefix(_PROBE).split(" ")
    return int(event), int(value)


def _course(probes: list[Fact]) -> Course | None:
    """The course that gives the fold of the probes; ``None`` where a text of it is no one probe."""
    recipients = [fact.texts[0] for fact in probes if fact.texts[0] is not None]
    # One probe for all of them: they are asked to be the same.
    probes = [
        fact if fact.texts[0] is None else fact._replace(texts=[recipients[0], *fact.texts[1:]])
        for fact in probes
    ]
    chart = next((fact.effect.chart for fact in probes if fact.effect is not None), None)
    row = None if chart is None else projections.row_of(0, fold(chart, probes), 0)
    if row is None:
        return None
    marked = [(c, text) for c, text in enumerate(row) if isinstance(text, str) and _PROBE in text]
    if any(text.count(_PROBE) > 1 or text[0] != _PROBE for _, text in marked):
        return None
    at = {fact.occurred_at: index for index, fact in enumerate(probes)}
    return Course(
        row=row,
        texts=tuple((column, _place(text)) for column, text in marked),
        times=tuple((column, at[row[column]]) for column in _TIMES if row[column] is not None),
        ordered=tuple(_ordered(probes)),
        recipients=tuple(_place(text) for text in recipients[1:] if text),
    )


def _ordered(probes: list[Fact]) -> Iterator[tuple[int, int]]:
    """Pairs of events of neighbouring moments: where these came in order, all did."""
    heard = sorted(fact for fact in probes if fact.effect is not None)
    moments = [
        [fact.digest[0] for fact in group] for _, group in groupby(heard, itemgetter(slice(2)))
    ]
    for before, behind in pairwise(moments):
        yield from product(before, behind)
