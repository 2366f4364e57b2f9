"""Timelines: the life of one stream, step by step, with the verdict on each event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count, groupby
from operator import itemgetter

from postledger.definitions.chart import Statechart
from postledger.errors import IntegrityError
from postledger.findings import Finding, Verdict, names
from postledger.log.event import Stored
from postledger.model import Content, Delivery, Step
from postledger.state.fold import UNREADABLE, Fact, Folded, Noted, advance, in_order
from postledger.state.patterns import Pattern
from postledger.state.row import event_of
from postledger.state.streams import EventRow, Facts, Place
from postledger.times import UNDATED


def timeline_of(facts: Facts, chart: Statechart, rows: Sequence[EventRow]) -> tuple[Step, ...]:
    """The steps of a stream in fold order, each repeat after the event that it repeats."""
    distinct, repeats = facts.distinct(rows)
    return tuple(_steps(facts, chart, distinct, repeats))


def _steps(
    facts: Facts,
    chart: Statechart,
    distinct: Sequence[EventRow],
    repeats: Mapping[Place, list[EventRow]],
) -> Iterator[Step]:
    by_identity = {row[1:3]: row for row in distinct}
    folding = in_order(facts.facts(distinct))
    late = late_ones(folding)
    folded = Folded(chart)
    # The members of a bundle are of one event.
    at = lru_cache(16)(facts.log.at)
    entered: list[int | None] = [None] * len(chart.regions)
    number = count(1)
    for fact in folding:
        row = by_identity[fact.occurred_at, fact.identity]
        before = _states(folded)
        noted = advance(folded, fact)
        after = _states(folded)
        if fact.identity in late:
            noted = as_late(noted)
        against = None
        if noted.verdict is Verdict.CONTRADICTS and fact.effect is not None:
            against = _against(chart, fact.effect.reading.trigger, before, entered)
        yield _step(next(number), facts, at(row[3]), row, before, after, noted, None, against)
        entered = [
            was if before[region.name] == after[region.name] else row[3]
            for region, was in zip(chart.regions, entered, strict=True)
        ]
        for repeat in repeats.get((row[3], row[4]), ()):
            again = Noted(Verdict.REPEATED, fact.findings | Finding.REPEATED)
            stored = at(repeat[3])
            yield _step(next(number), facts, stored, repeat, after, after, again, row[3], row[3])


def _against(
    chart: Statechart,
    trigger: str | None,
    before: Mapping[str, str],
    entered: Sequence[int | None],
) -> int | None:
    """The position of the event that entered the state which a trigger contradicts.

    It is that of the first region that knows the trigger and refuses it in its state, or overrides
    that. ``None`` where no event entered the state: the chart begins in it.
    """
    for region, position in zip(chart.regions, entered, strict=True):
        known = [one for one in region.transitions if one.trigger == trigger]
        taken = [one for one in known if one.source == before[region.name]]
        if known and (not taken or taken[0].overrides):
            return position
    return None


def verdict_on(folding: Iterable[Fact], identity: bytes) -> Verdict:
    """The verdict on the fact of an identity, in a fold of the facts of its stream."""
    facts = in_order(folding)
    late = late_ones(facts)
    folded: Folded | None = None
    for fact in facts:
        if folded is None and fact.effect is not None:
            folded = Folded(fact.effect.chart)
        noted = Noted(Verdict.NO_EFFECT, 0) if folded is None else advance(folded, fact)
        if fact.identity == identity:
            return (as_late(noted) if identity in late else noted).verdict
    raise IntegrityError("an event is not among those of its stream")


def late_ones(folding: Iterable[Fact]) -> frozenset[bytes]:
    """The identities of the facts, in fold order, that arrived after one that follows them."""
    late: set[bytes] = set()
    heard = [fact for fact in folding if fact.effect is not None]
    # The first reception of what follows strictly: of one stage and time, neither follows the other.
    earliest = UNDATED
    for _, group in groupby(reversed(heard), key=itemgetter(slice(2))):
        arrived = [(fact.received_at, fact.identity) for fact in group]
        late |= {identity for received_at, identity in arrived if received_at > earliest}
        earliest = min(earliest, *(received_at for received_at, _ in arrived))
    return frozenset(late)


def as_late(noted: Noted) -> Noted:
    """The note on a fact that came late; a contradiction is the weightier verdict."""
    contradicts = noted.verdict is Verdict.CONTRADICTS
    return Noted(noted.verdict if contradicts else Verdict.LATE, noted.findings | Finding.LATE)


def _states(folded: Folded) -> dict[str, str]:
    return {r.name: s for r, s in zip(folded.chart.regions, folded.states, strict=True)}


def _step(
    number: int,
    facts: Facts,
    stored: Stored,
    row: EventRow,
    before: Mapping[str, str],
    after: Mapping[str, str],
    noted: Noted,
    repeats: int | None,
    against: int | None,
) -> Step:
    pattern, texts = facts.pattern(row)
    statement = pattern.statement(texts)
    event = event_of(stored, row[4], statement, repeats)
    assert event.postback is not None
    reading, fields = pattern.reading, event.postback.fields

    def text(at: int | None) -> str | None:
        return None if at is None else fields[at][1]

    return Step(
        number=number,
        event=event,
        trigger=reading.trigger,
        verdict=noted.verdict,
        against=against,
        before=before,
        after=after,
        findings=names(noted.findings),
        code=text(reading.code_at),
        status=text(reading.status_at),
        details=details_of(pattern, fields),
        missing=reading.missing,
        part=None if (part := pattern.part(texts)) == UNREADABLE else part,
    )


def details_of(pattern: Pattern, fields: Sequence[tuple[str, str]]) -> str | None:
    """The details that an event gives; ``None`` where it gives none."""
    return "; ".join(map(str, pattern.reading.details([text for _, text in fields]))) or None


def content_of(row: Delivery, steps: Iterable[Step]) -> Content:
    """The public value of a content: all its events together say what failed."""
    steps = tuple(steps)
    return Content(
        mms_id=row.tracking_id,
        state=row.state,
        saved=any("saved" in step.after.values() for step in steps),
        failures=tuple(dict.fromkeys(step.details for step in steps if step.details)),
        events=row.events,
        repeats=row.repeats,
        findings=row.findings,
        space=row.space,
    )
