"""Plans: how the row of a stream follows from its texts, worked out once for streams that run alike.

Most streams run alike: events of the same patterns, in the same order by the provider's clock. What
the fold makes of them differs in their texts and times alone. So a plan is learned from one fold of
marked values, a mark in place of each text and each time, and the row it gives says from which event
each column comes, or of which texts it is made. No rule of the fold is written here a second
time; streams that marks can't stand for are folded as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise, product
from json.encoder import encode_basestring
from operator import itemgetter
from typing import Any, NamedTuple

import attrs

from postledger.definitions.conditions import Word
from postledger.errors import IntegrityError
from postledger.findings import Finding, Verdict
from postledger.state.fold import Fact, fold
from postledger.state.patterns import Pattern
from postledger.state.row import COLUMNS, Row, row_of
from postledger.state.streams import KIND, EventRow, Facts, Outline
from postledger.state.timeline import verdict_on
from postledger.templates import texts_of
from postledger.times import UNDATED

_LATE, _REPEATED = int(Finding.LATE), int(Finding.REPEATED)
_AMOUNT_UNREADABLE = int(Finding.AMOUNT_UNREADABLE)
_OWN = tuple(map(COLUMNS.index, ("stream", "first_received_at", "repeats", "findings", "source")))
"""The columns that no fold is needed for, in the order in which a row is picked from them."""
_FINDINGS = COLUMNS.index("findings")
_TIMES = tuple(map(COLUMNS.index, ("created_at", "sent_at", "outcome_at")))
_JSON = tuple(map(COLUMNS.index, ("labels", "amounts")))

LONGEST = 12
"""Streams of more events seldom run like others."""

MOST_PLANS = 10_000
_MARK = "\ufdd0"
"""What no text of a pattern holds: it begins and ends the marks in place of the texts of which a plan is
learned. It is not a character of any language, and JSON has it as it is."""

_MARKED = re.compile(f"{_MARK}([0-9]+) ([0-9]+){_MARK}")

Made = tuple[bool, tuple[str | int, ...]]
"""A column that is made of pieces: whether it is JSON, and its fixed texts and the indexes of others."""

OWN, TIME, TEXT, FIXED, MADE = range(5)
"""What a column of a row is picked from: see ``Plan.origins``."""

Key = tuple[Any, ...]

Found = tuple["Plan", Sequence[str], tuple[Sequence[Any], ...]]

Outlined = tuple[Key, Sequence[str], Sequence[int], Sequence[int], Sequence[int]]
"""The key of a stream's plan, its texts, its times, its times of reception and its findings."""


@attrs.frozen
class Plan:
    """How the row of a stream is made, for all streams that run alike.

    A row is ``picked``, column by column, from what differs between streams (the id, the time of the
    first reception, repeats and findings, then the times of all events and then their texts: as
    many as ``texts`` says), what does not (``fixed``), and what is made of pieces of both (``made``,
    picked from the end). ``ordered`` are pairs of events of which
    the second follows the first. The texts at ``recipients`` must all be the same. ``verdicts`` are
    those on each event, were it the last of them to arrive.
    """

    picked: tuple[int, ...]
    fixed: tuple[Any, ...]
    findings: int
    texts: int
    ordered: tuple[tuple[int, int], ...]
    recipients: tuple[int, ...]
    verdicts: tuple[Verdict, ...]
    made: tuple[Made, ...] = ()
    _pick: Callable[[Sequence[Any]], Row] = attrs.field(init=False, eq=False, repr=False)

    @_pick.default
    def _picks(self) -> Callable[[Sequence[Any]], Row]:
        return itemgetter(*self.picked)

    def origins(self) -> list[tuple[int, Any]]:
        """Where each column of a row comes from, for who picks columns of many streams at once.

        ``OWN``: what is the stream's own, as the column is named. ``TIME``: the time of the event of
        that index. ``TEXT``: the text of that index, among those of all events. ``FIXED``: that value.
        ``MADE``: pieces, as ``made_text`` puts them together.
        """
        times = len(_OWN)
        texts = times + len(self.verdicts)
        fixed = texts + self.texts
        found: list[tuple[int, Any]] = []
        for column, at in enumerate(self.picked):
            if at < 0:
                found.append((MADE, self.made[at]))
            elif at < times:
                found.append((OWN, COLUMNS[column]))
            elif at < texts:
                found.append((TIME, at - times))
            elif at < fixed:
                found.append((TEXT, at - texts))
            else:
                found.append((FIXED, self.fixed[at - fixed]))
        return found

    def gives_as(self, other: Plan) -> bool:
        """Whether the other gives the same row of any stream of both."""
        mine = (self.picked, self.fixed, self.made, self.recipients, self.findings, self.ordered)
        theirs = (other.picked, other.fixed, other.made, other.recipients, other.findings)
        return mine == (*theirs, other.ordered)

    def noted(self, received: Sequence[int], findings_of: Sequence[int]) -> int:
        """The findings of a stream of it: its own, its events', and whether any came late."""
        findings = self.findings
        for one in findings_of:
            findings |= one
        for before, after in self.ordered:
            if received[before] > received[after]:
                findings |= _LATE
        return findings

    def row(
        self,
        stream: int,
        received: Sequence[int],
        repeats: int,
        findings: int,
        times: Sequence[int],
        texts: Sequence[str],
        source: str,
    ) -> Row | None:
        """The row of a stream of it; ``None`` where its recipients are not the same.

        Nor is there one where an amount can't be read: the plan was learned of those that can.
        """
        recipients = self.recipients
        for at in recipients:
            if texts[at] != texts[recipients[0]]:
                return None
        if findings & _AMOUNT_UNREADABLE:
            return None
        if repeats:
            findings |= _REPEATED
        made = [made_text(one, texts) for one in self.made] if self.made else ()
        return self._pick(
            (stream, min(received), repeats, findings, source, *times, *texts, *self.fixed, *made)
        )


class Planned(NamedTuple):
    """A stream of distinct events and its plan, with what that takes of them."""

    plan: Plan
    texts: Sequence[str]
    times: Sequence[int]
    received: Sequence[int]
    findings: Sequence[int]
    source: str

    def row(self, stream: int) -> Row | None:
        """The row; ``None`` where it takes a closer look."""
        plan, texts, times, received, findings, source = self
        noted = plan.noted(received, findings)
        return plan.row(stream, received, 0, noted, times, texts, source)

    def verdict(self, at: int) -> Verdict | None:
        """The verdict on one of the events; ``None`` where it did not arrive after all others."""
        last = max(self.received)
        newest = self.received[at] == last and self.received.count(last) == 1
        return self.plan.verdicts[at] if newest else None


@attrs.frozen
class _Open:
    """Plans that depend on words too: ``deciding`` gives them of so many texts as ``texts`` says."""

    texts: int
    deciding: tuple[tuple[int, Callable[[str], Word]], ...]

    def words(self, texts: Sequence[str]) -> tuple[Word, ...]:
        return tuple([class_of(texts[at]) for at, class_of in self.deciding])


class Plans:
    """The plans of streams seen so far; ``facts`` folds what has none."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._known: dict[Key, Plan | _Open | None] = {}
        self._sources: dict[tuple[int, ...], str | tuple[str, ...]] = {}

    def row_of(self, stream: int, chart: str, rows: Sequence[EventRow], repeats: int) -> Row | None:
        """The row of a stream of distinct events by its plan, where there is one that gives it."""
        found = self.of(chart, rows)
        if found is None:
            return None
        plan, texts, columns = found
        times, received, findings = columns[1], columns[5], columns[9]
        noted, source = plan.noted(received, findings), self._facts.source_of(rows)
        return plan.row(stream, received, repeats, noted, times, texts, source)

    def known(self, key: Key, texts: Sequence[str]) -> Plan | None:
        """The plan of streams of a key, if one was learned and fits the texts."""
        known = self._known.get(key)
        if known is None or known.texts != len(texts):
            return None
        if isinstance(known, Plan):
            return known
        plan = self._known.get((*key, known.words(texts)))
        assert not isinstance(plan, _Open)
        return plan

    def row_of_outline(self, stream: int, chart: str, rows: Sequence[Outline]) -> Row | None:
        """The row of a stream by its known plan; ``None`` where the whole rows are needed."""
        planned = self._planned(outlined(chart, rows))
        return None if planned is None else planned.row(stream)

    def planned(self, chart: str, rows: Sequence[EventRow]) -> Planned | None:
        """A stream and its known plan; ``None`` where it takes a closer look.

        ``rows`` may repeat each other.
        """
        try:
            return self._planned(_outlined_of(chart, rows))
        except (IntegrityError, ValueError, TypeError):
            # An event was altered: the fold says which.
            return None

    def _planned(self, found: Outlined | None) -> Planned | None:
        if found is None or (plan := self.known(found[0], found[1])) is None:
            return None
        source = self._source(found[0][1], found[3])
        return None if source is None else Planned(plan, *found[1:], source)

    def _source(self, kinds: tuple[int, ...], received: Sequence[int]) -> str | None:
        sources = self.sources(kinds)
        if sources is None or isinstance(sources, str):
            return sources
        return min(zip(received, sources, strict=True))[1]

    def sources(self, kinds: tuple[int, ...]) -> str | tuple[str, ...] | None:
        """The source of the events of a plan, nearly always one, or else that of each of them.

        ``None`` where that is damaged.
        """
        try:
            return self._sources[kinds]
        except KeyError:
            if len(self._sources) >= MOST_PLANS:
                self._sources.clear()
            envelope = self._facts.log.interned.envelope
            try:
                each = tuple([envelope(kind % KIND).source for kind in kinds])
            except (IntegrityError, ValueError):
                return None
            sources = self._sources[kinds] = each[0] if len(set(each)) == 1 else each
            return sources

    def deciding(
        self, rows: Sequence[EventRow]
    ) -> tuple[tuple[int, Callable[[str], Word]], ...] | None:
        """The indexes of the texts that decide what events say, and what gives the class of each.

        Events of the same kinds have the same. ``None`` where one is damaged.
        """
        try:
            opened = self._opened(rows)
        except (IntegrityError, ValueError, TypeError):
            return None
        return () if opened is None else opened.deciding

    def verdict_on(self, chart: str, rows: Sequence[EventRow], at: int) -> Verdict | None:
        """The verdict on one of the events, if it arrived after all others and a plan gives it."""
        newest = rows[at][5]
        if any(row[5] >= newest for index, row in enumerate(rows) if index != at):
            return None
        found = self.of(chart, rows)
        return None if found is None else found[0].verdicts[at]

    def of(self, chart: str, rows: Sequence[EventRow]) -> Found | None:
        """The plan of a stream of distinct events, with its texts and the columns of its rows.

        ``None`` where it has none.
        """
        if len(rows) > LONGEST:
            return None
        columns = tuple(zip(*rows, strict=True))
        times, templates, envelopes, written, said = (
            columns[1], columns[6], columns[7], columns[8], columns[10],
        )  # fmt: skip
        kinds: tuple[int, ...]
        try:
            if any(said) or None in written:
                kinds, texts = self._told(rows)
            else:
                kinds = tuple([t * KIND + e for t, e in zip(templates, envelopes, strict=True)])
                texts = _texts(written)
            plan = self._plan((chart, kinds, order_of(times)), texts, rows)
        except (IntegrityError, ValueError, TypeError):
            # An event was altered: the fold says which.
            return None
        return None if plan is None else (plan, texts, columns)

    def _told(self, rows: Sequence[EventRow]) -> tuple[tuple[int, ...], list[str]]:
        """The families and the texts of events of which the index keeps what they say.

        Families by their numbers, less than 0, as templates and envelopes have none.
        """
        families: list[int] = []
        texts: list[str] = []
        for row in rows:
            pattern, told = self._facts.pattern(row)
            families.append(-self._facts.patterns.family(pattern.layout).number)
            texts += told
        return tuple(families), texts

    def _plan(self, key: Key, texts: Sequence[str], rows: Sequence[EventRow]) -> Plan | None:
        try:
            known = self._known[key]
        except KeyError:
            known = self._learned(key, self._opened(rows) or self._marked(key[0], rows))
        if known is None or len(texts) != known.texts:
            return None
        if isinstance(known, Plan):
            return known
        worded = (*key, known.words(texts))
        try:
            plan = self._known[worded]
        except KeyError:
            plan = self._learned(worded, self._marked(key[0], rows))
        assert not isinstance(plan, _Open)
        return plan

    def _learned(self, key: Key, plan: Plan | _Open | None) -> Plan | _Open | None:
        if len(self._known) >= MOST_PLANS:
            self._known.clear()
        self._known[key] = plan
        return plan

    def _opened(self, rows: Sequence[EventRow]) -> _Open | None:
        """The texts that decide the meaning of a stream's events; ``None`` where none does."""
        deciding: list[tuple[int, Callable[[str], Word]]] = []
        before = 0
        for row in rows:
            pattern, texts = self._facts.pattern(row)
            family = self._facts.patterns.family(pattern.layout)
            deciding += [(before + at, words) for at, words in family.deciding]
            before += len(texts)
        return _Open(before, tuple(deciding)) if deciding else None

    def _marked(self, chart: str, rows: Sequence[EventRow]) -> Plan | None:
        """The plan of a stream, learned of a fold of marks in place of its texts and times."""
        definitions = self._facts.definitions
        if chart not in definitions.charts:
            return None
        ranks = ranks_of([row[1] for row in rows])
        facts: list[Fact] = []
        counts: list[int] = []
        for index, (row, occurred_at) in enumerate(zip(rows, ranks, strict=True)):
            pattern, texts = self._facts.pattern(row)
            if not _markable(pattern):
                return None
            marks = [f"{_MARK}{index} {number}{_MARK}" for number in range(len(texts))]
            facts.append(pattern.fact(occurred_at, bytes([index]), 0, 0, marks, 0))
            counts.append(len(texts))
        return _plan(facts, counts)


def outlined(chart: str, rows: Sequence[Outline]) -> Outlined | None:
    """What the plan of a stream depends on, and what it takes, of outlines of its events.

    ``None`` where two events have one time, and so may be the same, where the index keeps what one
    says, and where one is damaged: the whole rows are needed then.
    """
    _, times, received, kinds, written, findings = zip(*rows, strict=True)
    return _outlined(chart, times, received, kinds, written, findings)


def _outlined_of(chart: str, rows: Sequence[EventRow]) -> Outlined | None:
    """What the plan of a stream depends on, and what it takes, of whole rows of its events."""
    _, times, _, _, _, received, templates, envelopes, written, findings, said = zip(
        *rows, strict=True
    )
    if any(said) or None in templates or None in envelopes:
        return None
    kinds = tuple([t * KIND + e for t, e in zip(templates, envelopes, strict=True)])
    return _outlined(chart, times, received, kinds, written, findings)


def _outlined(
    chart: str,
    times: Sequence[int],
    received: Sequence[int],
    kinds: Sequence[int | None],
    written: Sequence[Any],
    findings: Sequence[int],
) -> Outlined | None:
    try:
        # What is no number has no sum, and one that is no whole number shows in it.
        whole = type(sum(times) + sum(received)) is int
        if not whole or min(findings) < 0 or None in kinds or len(set(times)) < len(times):
            return None
        texts = _texts(written)
    except (ValueError, TypeError):
        # A row is damaged: the whole rows say which.
        return None
    return (chart, kinds, times[-1] == UNDATED), texts, times, received, findings


def _texts(written: Sequence[str]) -> list[str]:
    """The texts of all events of a stream, one after the other."""
    together = "".join(written)
    if "\\" not in together:
        # As ``texts_of`` does for one.
        return together.split('"')[1::2]
    return [text for one in written for text in texts_of(one)]


def order_of(times: Sequence[int]) -> bool | tuple[int, ...]:
    """What the fold order depends on of times in ascending order.

    For most streams that is only whether the last event has a time; else it is all ranks.
    """
    if len(set(times)) == len(times):
        return times[-1] == UNDATED
    return ranks_of(times)


def ranks_of(times: Sequence[int]) -> tuple[int, ...]:
    """The ranks of times in ascending order; those without a time stay ``UNDATED``."""
    rank = {time: rank for rank, time in enumerate(dict.fromkeys(times))}
    return tuple([UNDATED if time == UNDATED else rank[time] for time in times])


def _markable(pattern: Pattern) -> bool:
    """Whether its own texts can be told from a mark, and the recipient is the event's own.

    No mark stands for the number of a part.
    """
    if pattern.parts is not None:
        return False
    own = [*pattern.fixed, *pattern.reasons, *(text for _, text in pattern.labels)]
    own += [text for _, *pair in pattern.amounts for text in pair]
    return pattern.fixed[0] is None and not any(isinstance(t, str) and _MARK in t for t in own)


def made_text(made: Made, texts: Sequence[str] | Mapping[int, str]) -> str:
    """The text of a column that is made of pieces."""
    as_json, pieces = made
    found = [one if isinstance(one, str) else _within(texts[one], as_json) for one in pieces]
    return "".join(found)


def _within(text: str, as_json: bool) -> str:  # noqa: FBT001
    return encode_basestring(text)[1:-1] if as_json else text


def _plan(facts: list[Fact], counts: Sequence[int]) -> Plan | None:
    """The plan that gives the fold of the marked facts, if there is one.

    ``counts`` are the numbers of texts of their events.
    """
    recipients = [text for fact in facts if (text := fact.texts[0]) is not None]
    # One mark for all of them: they must be the same.
    facts = [
        fact if fact.texts[0] is None else fact._replace(texts=[recipients[0], *fact.texts[1:]])
        for fact in facts
    ]
    chart = next((fact.effect.chart for fact in facts if fact.effect is not None), None)
    row = None if chart is None or _tied(facts) else row_of(0, fold(chart, facts), 0, "")
    if row is None:
        return None
    picked, fixed, made = _columns(row, facts, counts)
    return Plan(
        picked=tuple(picked),
        fixed=tuple(fixed),
        made=tuple(made),
        findings=row[_FINDINGS],
        texts=sum(counts),
        ordered=tuple(_ordered(facts)),
        recipients=tuple(
            one for text in recipients for one in _pieces(text, counts) if isinstance(one, int)
        ),
        verdicts=tuple(_newest(facts, index) for index in range(len(facts))),
    )


def _columns(
    row: Row, facts: Sequence[Fact], counts: Sequence[int]
) -> tuple[list[int], list[Any], list[Made]]:
    """Where each column of a marked row is picked from, with what is fixed and what is made."""
    times = {fact.occurred_at: index for index, fact in enumerate(facts)}
    first = len(_OWN) + len(facts)
    picked: list[int] = []
    fixed: list[Any] = []
    made: list[Made] = []
    for column, value in enumerate(row):
        pieces = _pieces(value, counts) if isinstance(value, str) and _MARK in value else ()
        if column in _OWN:
            picked.append(_OWN.index(column))
        elif column in _TIMES and value is not None:
            picked.append(len(_OWN) + times[value])
        elif len(pieces) == 1 and isinstance(pieces[0], int):
            picked.append(first + pieces[0])
        elif pieces:
            # From the end, as how much is fixed is not known yet.
            made.insert(0, (column in _JSON, pieces))
            picked.append(-len(made))
        else:
            picked.append(first + sum(counts) + len(fixed))
            fixed.append(value)
    return picked, fixed, made


def _pieces(text: str, counts: Sequence[int]) -> tuple[str | int, ...]:
    """A marked text in pieces: what is fixed, and the indexes, among all texts, of those marked."""
    parts = iter(_MARKED.split(text))
    pieces: list[str | int] = [next(parts)]
    for event, number, after in zip(parts, parts, parts, strict=True):
        pieces += [sum(counts[: int(event)]) + int(number), after]
    return tuple(one for one in pieces if one != "")


def _tied(facts: list[Fact]) -> bool:
    """Whether the texts decide the order of two facts, which marks in their place do not tell."""
    heard = [(*fact[:2], fact.effect.reading.trigger) for fact in facts if fact.effect is not None]
    return len(set(heard)) < len(heard)


def _newest(facts: list[Fact], index: int) -> Verdict:
    """The verdict on one of the facts, were it the last to arrive."""
    arrived = [fact._replace(received_at=int(at == index)) for at, fact in enumerate(facts)]
    return verdict_on(arrived, facts[index].identity)


def _ordered(facts: list[Fact]) -> Iterator[tuple[int, int]]:
    """Pairs of events of neighbouring times: where these came in order, all did."""
    heard = sorted(fact for fact in facts if fact.effect is not None)
    groups = [
        [fact.identity[0] for fact in group] for _, group in groupby(heard, itemgetter(slice(2)))
    ]
    for before, after in pairwise(groups):
        yield from product(before, after)
