"""Timelines: the life of one stream, step by step, with the verdict on each event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from postledger.definitions.chart_toml import Statechart
from postledger.definitions.vocabulary import Reading
from postledger.errors import IntegrityError
from postledger.findings import Finding, names
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.log.entry import IMPORTED, NOWHERE
from postledger.log.log import Log, Stored
from postledger.model import Content, Delivery, Event, Step
from postledger.state.fold import UNDATED, Fact, Noted, Tally, advance
from postledger.state.streams import Facts
from postledger.times import moment


def event_of(stored: Stored, facts: Facts, kind: str | None = None) -> Event:
    """The public value of an event of the log, whose ``kind`` may be known already."""
    postback = stored.shape.postback(stored.values) if stored.shape else None
    if kind is None:
        kind = _kind(None if postback is None else facts.definitions.lexicon.read(postback))
    chart, key = stored.stream
    return Event(
        position=stored.position,
        kind=kind,
        received_at=moment(stored.received_at),
        occurred_at=_moment(stored.occurred_at),
        chart=chart or None,
        key=key if stored.stream != NOWHERE else None,
        content_type=stored.content_type,
        body=stored.body,
        postback=postback,
        problem=stored.values[0] if kind == "unreadable" else None,
        repeats=stored.repeats,
        imported=bool(stored.flags & IMPORTED),
        body_of=stored.body_of,
        digest=stored.digest,
        hash=stored.chain,
    )


def _kind(reading: Reading | None) -> str:
    if reading is None:
        return "unreadable"
    return "postback" if reading.recognised else "unrecognised"


def _moment(time: int) -> datetime | None:
    return None if time == UNDATED else moment(time)


def timeline_of(
    log: Log, facts: Facts, stream_id: int, chart: Statechart, bounds: Bounds = EVERYTHING
) -> tuple[Step, ...]:
    """The steps of a stream in fold order, each repeat behind the event that it repeats."""
    known = {fact.position for fact in facts.of_stream(stream_id, bounds)}
    stored = {s.position: s for s in log.of_stream(stream_id)}
    repeats: dict[int, list[Stored]] = {}
    for one in stored.values():
        if one.repeats is not None and bounds.hold(one):
            repeats.setdefault(one.repeats, []).append(one)
    folding = [facts.of_stored(stored[position]) for position in known]
    return tuple(_steps(chart, sorted(folding), stored, repeats, facts))


def _steps(
    chart: Statechart,
    folding: list[Fact],
    stored: Mapping[int, Stored],
    repeats: Mapping[int, list[Stored]],
    facts: Facts,
) -> Iterator[Step]:
    tally = Tally(chart)
    late = late_positions(folding)
    for fact in folding:
        before = _states(tally)
        noted = advance(tally, fact)
        after = _states(tally)
        if fact.position in late:
            noted = as_late(noted)
        yield _step(stored[fact.position], facts, before, after, noted)
        for repeat in repeats.get(fact.position, ()):
            again = Noted("repeated", fact.findings | Finding.REPEATED)
            yield _step(repeat, facts, after, after, again)


def verdict_at(folding: Iterable[Fact], position: int) -> str:
    """The verdict on the event at a position, in a fold of the facts of its stream."""
    facts = sorted(folding)
    late = late_positions(facts)
    tally: Tally | None = None
    for fact in facts:
        if tally is None and fact.effect is not None:
            tally = Tally(fact.effect.chart)
        noted = Noted("no_effect", 0) if tally is None else advance(tally, fact)
        if fact.position == position:
            return (as_late(noted) if position in late else noted).verdict
    raise IntegrityError(f"position {position} is not among the facts of its stream")


def late_positions(folding: Iterable[Fact]) -> frozenset[int]:
    """The positions of the facts, in fold order, that arrived after one that follows them."""
    late: set[int] = set()
    heard = [fact for fact in folding if fact.effect is not None]
    # The lowest position of what follows strictly: of one stage and time, neither follows the other.
    lowest = UNDATED
    for _, group in groupby(reversed(heard), key=itemgetter(slice(2))):
        positions = [fact.position for fact in group]
        late |= {position for position in positions if position > lowest}
        lowest = min(lowest, *positions)
    return frozenset(late)


def as_late(noted: Noted) -> Noted:
    """The note on a fact that came late; a contradiction is the weightier verdict."""
    verdict = noted.verdict if noted.verdict == "contradicts" else "late"
    return Noted(verdict, noted.findings | Finding.LATE)


def _states(tally: Tally) -> dict[str, str]:
    return {r.name: s for r, s in zip(tally.chart.regions, tally.states, strict=True)}


def _step(
    stored: Stored,
    facts: Facts,
    before: Mapping[str, str],
    after: Mapping[str, str],
    noted: Noted,
) -> Step:
    event = event_of(stored, facts)
    reading = facts.reading(stored.shape, stored.values)
    assert reading is not None
    assert event.postback is not None
    fields = event.postback.fields

    def text(at: int | None) -> str | None:
        return None if at is None else fields[at][1]

    return Step(
        event=event,
        trigger=reading.trigger,
        verdict=noted.verdict,
        before=before,
        after=after,
        findings=names(noted.findings),
        code=text(reading.code_at),
        status=text(reading.status_at),
        details="; ".join(fields[at][1] for at in reading.reason_at) or None,
        missing=reading.missing,
    )


def content_of(mms_id: str, row: Delivery, steps: Iterable[Step]) -> Content:
    """The public value of a content: what failed is told by all its events together."""
    steps = tuple(steps)
    return Content(
        mms_id=mms_id,
        state=row.state,
        saved=any("saved" in step.after.values() for step in steps),
        failures=tuple(dict.fromkeys(step.details for step in steps if step.details)),
        events=row.events,
        repeats=row.repeats,
        findings=row.findings,
    )
