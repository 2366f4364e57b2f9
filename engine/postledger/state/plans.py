"""Courses: what the fold makes of streams that run alike, asked of it once for all of them.

Most streams run alike: events of the same shapes, in the same order by the provider's clock. What
the fold makes of them differs in their texts and times alone. So a course is folded once with a
probe in place of each text and each time, and the row it gives says from which event each column
comes. No rule of the fold is written here a second time; streams that a probe can't stand for are
folded as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise, product
from operator import itemgetter
from typing import Any

import attrs

from postledger.errors import IntegrityError
from postledger.findings import Finding
from postledger.log.log import DAMAGE, texts_of
from postledger.projections.generations import COLUMNS, Row
from postledger.projections.generations import generations as projections
from postledger.state.fold import UNDATED, Fact, fold
from postledger.state.streams import EventRow, Facts, Mould
from postledger.state.timeline import verdict_at

_LATE, _REPEATED = int(Finding.LATE), int(Finding.REPEATED)
_OWN = tuple(map(COLUMNS.index, ("stream_id", "first_received_at", "repeats", "findings")))
"""The columns that no fold is needed for, in the order in which a row is picked from them."""
_FINDINGS = COLUMNS.index("findings")
_TIMES = tuple(map(COLUMNS.index, ("created_at", "sent_at", "outcome_at")))

LONGEST = 12
"""Streams of more events seldom run like others."""

_MOST = 10_000
_PROBE = "\0"
"""What no text of a shape holds: it marks the texts of a probe."""

Key = tuple[Any, ...]
Place = tuple[int, int]
"""Where a text stands: the index of the event, and of the text among its values."""


@attrs.frozen
class Course:
    """How the row of a stream is made, for all streams of one course.

    A row is ``picked``, column by column, from what differs between streams (the id, the moment of the
    first reception, repeats and findings, then the times of all events and then their texts: so
    many as ``texts`` says) and what does not (``fixed``). ``ordered`` are pairs of events of which
    the second follows the first. The texts at ``recipients`` must all be the same. ``verdicts`` are
    those on each event, were it the last of them to arrive.
    """

    picked: tuple[int, ...]
    fixed: tuple[Any, ...]
    findings: int
    texts: int
    ordered: tuple[tuple[int, int], ...]
    recipients: tuple[int, ...]
    verdicts: tuple[str, ...]
    _pick: Callable[[Sequence[Any]], Row] = attrs.field(init=False, eq=False, repr=False)

    @_pick.default
    def _picks(self) -> Callable[[Sequence[Any]], Row]:
        return itemgetter(*self.picked)

    def rows_as(self, other: Course) -> bool:
        """Whether the other gives the same row of any stream, where the findings are the same."""
        mine = (self.picked, self.fixed, self.recipients)
        return mine == (other.picked, other.fixed, other.recipients)

    def agree(self, texts: Sequence[str]) -> bool:
        """Whether the recipients of a stream of it are all the same."""
        return len({texts[at] for at in self.recipients}) < 2

    def noted(self, positions: Sequence[int], flags: Sequence[int]) -> int:
        """The findings of a stream of it: the course's own, its events', and whether any came late."""
        findings = self.findings
        for flag in flags:
            findings |= flag
        for before, behind in self.ordered:
            if positions[before] > positions[behind]:
                findings |= _LATE
        return findings

    def row(
        self,
        stream_id: int,
        received_at: int,
        repeats: int,
        findings: int,
        times: Sequence[int],
        texts: Sequence[str],
    ) -> Row | None:
        """The row of a stream of it; ``None`` where its recipients are not the same."""
        recipients = self.recipients
        # As in ``agree``, without a call for each stream.
        for at in recipients:
            if texts[at] != texts[recipients[0]]:
                return None
        if repeats:
            findings |= _REPEATED
        return self._pick((stream_id, received_at, repeats, findings, *times, *texts, *self.fixed))


@attrs.frozen
class Open:
    """A course that hangs on words too: ``deciding`` gives them of so many texts as ``texts`` says."""

    texts: int
    deciding: tuple[tuple[int, frozenset[str]], ...]

    def words(self, texts: Sequence[str]) -> tuple[str | None, ...]:
        """Of each text that may decide over the meaning the word that it is, or ``None``."""
        return tuple([texts[at] if texts[at] in known else None for at, known in self.deciding])


class Courses:
    """The courses that streams were seen to take; ``facts`` folds what takes none."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._known: dict[Key, Course | Open | None] = facts.courses

    def row_of(
        self, stream_id: int, chart: str, events: Sequence[EventRow], repeats: int
    ) -> Row | None:
        """The row of a stream by its course, where there is one that gives it."""
        if len(events) > LONGEST:
            return None
        try:
            _, times, _, positions, received, shapes, fields, flags = zip(*events, strict=True)
            texts = _texts(fields)
            course = self.course_of((chart, shapes, order_of(times)), texts, lambda: events)
            if course is None:
                return None
            findings = course.noted(positions, flags)
            return course.row(stream_id, min(received), repeats, findings, times, texts)
        except (IntegrityError, AttributeError, *DAMAGE):
            # An event was altered: the fold says which.
            return None

    def verdict_of(self, chart: str, events: Sequence[EventRow], position: int) -> str | None:
        """The verdict on the event at a position, if it arrived last and a course gives it."""
        _, times, _, positions, _, shapes, fields, _ = zip(*events, strict=True)
        if len(events) > LONGEST or position != max(positions):
            return None
        course = self.course_of((chart, shapes, order_of(times)), _texts(fields), lambda: events)
        return None if course is None else course.verdicts[positions.index(position)]

    def course_of(
        self, key: Key, texts: Sequence[str], events: Callable[[], Sequence[EventRow]]
    ) -> Course | None:
        """The course of a stream of that key and those texts, learned of its events where it is new.

        Streams run alike by their chart, the shapes of their events, the ``order_of`` their times
        (the key), and any words. ``None`` for a stream that takes no course, or whose events have not
        the texts of their shapes: those of one event would stand in the place of another's.
        """
        try:
            known = self._known[key]
        except KeyError:
            told = events()
            known = self._learned(key, told, self._opened(told) or self._probed(key[0], told))
        if known is None or len(texts) != known.texts:
            return None
        if isinstance(known, Course):
            return known
        key = (*key, known.words(texts))
        try:
            by_words = self._known[key]
        except KeyError:
            told = events()
            by_words = self._learned(key, told, self._probed(key[0], told))
        assert not isinstance(by_words, Open)
        return by_words

    def _learned(
        self, key: Key, events: Sequence[EventRow], course: Course | Open | None
    ) -> Course | Open | None:
        """What was found of a stream, kept for its like; but not of one that was altered."""
        if any(len(texts_of(event[6])) != self._facts.holes(event[5]) for event in events):
            return None
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = course
        return course

    def _opened(self, events: Sequence[EventRow]) -> Open | None:
        """The texts that decide over the meaning of a stream's events; ``None`` where none does."""
        deciding: list[tuple[int, frozenset[str]]] = []
        before = 0
        for event in events:
            deciding += [(before + at, words) for at, words in self._facts.deciding(event[5])]
            before += len(texts_of(event[6]))
        return Open(before, tuple(deciding)) if deciding else None

    def _probed(self, chart: str, events: Sequence[EventRow]) -> Course | None:
        """The course of a stream, from a fold of probes in place of its events."""
        try:
            facts = self._facts.of_rows(chart, events)
            ranks = ranks_of([event[1] for event in events])
            probes: list[Fact] = []
            counts: list[int] = []
            for index, (fact, occurred_at) in enumerate(zip(facts, ranks, strict=True)):
                values = texts_of(events[index][6])
                mould = self._facts.mould_of(events[index][5], values)
                if mould.effect is not fact.effect or not _probeable(mould):
                    return None
                marks = [_mark(index, value) for value in range(len(values))]
                probes.append(mould.fact(occurred_at, bytes([index]), 0, 0, marks, 0))
                counts.append(len(values))
            return _course(probes, counts)
        except Exception:
            # Where the fold fails, it is to fail with the stream itself, and say where.
            return None


def _texts(fields: Sequence[str]) -> list[str]:
    """The texts of all events of a stream, one behind the other."""
    written = "".join(fields)
    if "\\" not in written:
        return texts_of(written)
    return [text for one in fields for text in texts_of(one)]


def order_of(times: Sequence[int]) -> bool | tuple[int, ...]:
    """What the fold order hangs on of times in ascending order.

    For most streams that is only whether the last event has a time; else it is all ranks.
    """
    if len(set(times)) == len(times):
        return times[-1] == UNDATED
    return ranks_of(times)


def ranks_of(times: Sequence[int]) -> tuple[int, ...]:
    """The ranks of times in ascending order; those without a time stay ``UNDATED``."""
    rank = {time: rank for rank, time in enumerate(dict.fromkeys(times))}
    return tuple([UNDATED if time == UNDATED else rank[time] for time in times])


def _probeable(mould: Mould) -> bool:
    """Whether its own texts can be told from a probe's, and the recipient is the event's own."""
    return mould.texts[0] is None and not any(_PROBE in text for text in mould.texts if text)


def _mark(event: int, value: int) -> str:
    return f"{_PROBE}{event} {value}"


def _place(text: str) -> Place:
    event, value = text.removeprefix(_PROBE).split(" ")
    return int(event), int(value)


def _course(probes: list[Fact], counts: Sequence[int]) -> Course | None:
    """The course that gives the fold of the probes; ``None`` where a text of it is no one probe.

    ``counts`` are the numbers of texts of their events.
    """
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
    marked = [text for text in row if isinstance(text, str) and _PROBE in text]
    if any(text.count(_PROBE) > 1 or text[0] != _PROBE for text in marked):
        return None
    times = {fact.occurred_at: index for index, fact in enumerate(probes)}
    before = [len(_OWN) + len(probes) + sum(counts[:index]) for index in range(len(probes))]

    def at(text: str) -> int:
        event, value = _place(text)
        return before[event] + value

    picked: list[int] = []
    fixed: list[Any] = []
    beyond = len(_OWN) + len(probes) + sum(counts)
    for column, value in enumerate(row):
        if column in _OWN:
            picked.append(_OWN.index(column))
        elif column in _TIMES and value is not None:
            picked.append(len(_OWN) + times[value])
        elif value in marked:
            picked.append(at(value))
        else:
            picked.append(beyond + len(fixed))
            fixed.append(value)
    return Course(
        picked=tuple(picked),
        fixed=tuple(fixed),
        findings=row[_FINDINGS],
        texts=sum(counts),
        ordered=tuple(_ordered(probes)),
        recipients=tuple(at(text) - before[0] for text in recipients if text),
        verdicts=tuple(_newest(probes, index) for index in range(len(probes))),
    )


def _newest(probes: list[Fact], index: int) -> str:
    """The verdict on one of the probes, were it the last to arrive."""
    arrived = [fact._replace(position=int(at == index)) for at, fact in enumerate(probes)]
    return verdict_at(arrived, 1)


def _ordered(probes: list[Fact]) -> Iterator[tuple[int, int]]:
    """Pairs of events of neighbouring moments: where these came in order, all did."""
    heard = sorted(fact for fact in probes if fact.effect is not None)
    moments = [
        [fact.digest[0] for fact in group] for _, group in groupby(heard, itemgetter(slice(2)))
    ]
    for before, behind in pairwise(moments):
        yield from product(before, behind)
