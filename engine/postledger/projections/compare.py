"""Comparison: what would change if the log were folded by other definitions; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, zip_longest

import attrs

from postledger.log.log import Log
from postledger.model import Delivery, Step
from postledger.progress import Progress, silent
from postledger.projections.generations import Row, delivery_of
from postledger.projections.rereading import Moved, moved
from postledger.projections.rows import row
from postledger.spans import differing
from postledger.state.streams import Facts
from postledger.state.timeline import timeline_of
from postledger.wire import Limits


@attrs.frozen
class Difference:
    """A delivery (or MMS) whose row would change: from what, to what, and why.

    ``before`` or ``after`` is ``None`` where there is no such row by those definitions. ``why`` names
    the first event on whose verdict the two folds part.
    """

    chart: str
    key: str
    before: Delivery | None
    after: Delivery | None
    why: str


def differences(
    log: Log, old: Facts, new: Facts, limits: Limits, progress: Progress = silent
) -> Iterator[Difference]:
    """What changes from ``old`` to ``new``, stream by stream; the caller holds a read transaction."""
    elsewhere = _appended(log, moved(log, old, new, limits))
    there = {stream: log.find_stream(stream) for stream in elsewhere}
    coming = {at: elsewhere[stream] for stream, at in there.items() if at is not None}
    for stream_id, before, after in differing(log, old, new, coming.keys(), progress):
        if stream_id in coming:
            after = _with(stream_id, new, coming[stream_id], log)
        if before != after:
            yield _difference(log, old, new, stream_id, before, after)
    for (chart, key), facts in elsewhere.items():
        after = row(0, [one.fact for one in facts], 0)
        if after is not None and there[chart, key] is None:
            positions = ", ".join(str(one.position) for one in facts)
            why = f"position {positions}: read as {facts[0].trigger}, before not at all"
            yield Difference(chart, key, None, delivery_of(key, after), why)


def _appended(
    log: Log, elsewhere: Mapping[tuple[str, str], list[Moved]]
) -> dict[tuple[str, str], list[Moved]]:
    """The same, at the positions at which a rebuild would append them: they arrive last."""
    position = count(log.head()[0] + 1)
    return {
        stream: [
            attrs.evolve(one, fact=one.fact._replace(position=next(position))) for one in found
        ]
        for stream, found in elsewhere.items()
    }


def _with(stream_id: int, new: Facts, found: list[Moved], log: Log) -> Row | None:
    """The row of a stream that events come to which stood elsewhere."""
    facts = [*new.of_stream(stream_id), *(one.fact for one in found)]
    return row(stream_id, facts, log.repeats_of([stream_id]).get(stream_id, 0))


def _difference(
    log: Log, old: Facts, new: Facts, stream_id: int, before: Row | None, after: Row | None
) -> Difference:
    chart, key = log.stream_of(stream_id)
    timelines = (
        timeline_of(log, facts, stream_id, facts.definitions.charts[chart])
        if chart in facts.definitions.charts
        else ()
        for facts in (old, new)
    )
    return Difference(
        chart=chart,
        key=key,
        before=None if before is None else delivery_of(key, before),
        after=None if after is None else delivery_of(key, after),
        why=_why(*timelines),
    )


def _why(old: tuple[Step, ...], new: tuple[Step, ...]) -> str:
    """The first event, in fold order, of which the two folds say different things."""
    for one, other in zip_longest(old, new):
        if one is None or other is None or _said(one) != _said(other):
            return " and ".join(
                f"{name} {_told(step)}"
                for name, step in (("before:", one), ("after:", other))
                if step is not None
            )
    return "events of other streams belong to it"


def _said(step: Step) -> tuple[object, ...]:
    return step.event.position, step.trigger, step.verdict, step.after, step.findings


def _told(step: Step) -> str:
    said = " ".join(filter(None, (step.code, step.status))) or "its event"
    state = ", ".join(step.after.values())
    return f"position {step.event.position} ({said}) {step.verdict}, {state}"
