"""Rows: what the fold makes of a stream, as the projection keeps it; with events, as users see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from postledger.errors import IntegrityError
from postledger.findings import Finding, names
from postledger.log.event import Clock, Part, Stored
from postledger.model import Delivery, Event
from postledger.state.fold import Fact, Tally, findings_of, fold
from postledger.state.patterns import NOWHERE, Statement
from postledger.times import UNDATED, is_time, time_of

COLUMNS = (
    "stream",
    "state",
    "route",
    "reason",
    "route_reason",
    "recipient",
    "mms_id",
    "spid",
    "handset",
    "aggregator_id",
    "created_at",
    "sent_at",
    "outcome_at",
    "first_received_at",
    "events",
    "repeats",
    "findings",
)

UNFOLDED = "unfolded"
"""What stands in place of the state of a stream that can't be folded."""

Row = tuple[Any, ...]
"""One row of the projection, in the order of its columns; times in microseconds or ``None``."""

_TEXTS = slice(1, 10)


def row_of(stream: int, tally: Tally, repeats: int) -> Row | None:
    """The row of a folded stream; ``None`` where no event said anything to its chart."""
    if not tally.heard:
        return None
    regions = [region.name for region in tally.chart.regions]
    route = regions.index("route") if "route" in regions[1:] else None
    findings = findings_of(tally) | (Finding.REPEATED if repeats else 0)
    return (
        stream,
        tally.states[0],
        None if route is None else tally.states[route],
        tally.reasons[0],
        None if route is None else tally.reasons[route],
        *tally.texts,
        _stage_time(tally, "created"),
        _stage_time(tally, "sent"),
        _dated(tally.outcome_at),
        tally.first_received_at,
        tally.events,
        repeats,
        int(findings),
    )


def folded(stream: int, facts: Sequence[Fact], repeats: int) -> Row | None:
    """The row of a stream by a fold of its facts."""
    chart = next((fact.effect.chart for fact in facts if fact.effect is not None), None)
    return None if chart is None else row_of(stream, fold(chart, facts), repeats)


def unfolded(stream: int, first_received_at: int, events: int) -> Row:
    """The row of a stream that can't be folded: that it can't, and nothing else."""
    texts = (None,) * (_TEXTS.stop - 2)
    return (
        stream, UNFOLDED, *texts, None, None, None, first_received_at, events, 0,
        int(Finding.UNFOLDED),
    )  # fmt: skip


def _stage_time(tally: Tally, stage: str) -> int | None:
    stages = tally.chart.stages
    return _dated(tally.times[stages.index(stage)]) if stage in stages else None


def _dated(time: int | None) -> int | None:
    return None if time == UNDATED else time


def sound(row: Row) -> Row:
    """A row as the store returned it; raises ``IntegrityError`` for values that rows don't have."""
    # Spelled out: it is asked of each row that is shown.
    for text in row[_TEXTS]:
        if text is not None and not isinstance(text, str):
            raise _damaged(row)
    for time in row[10:13]:
        if time is not None and not _is_time(time):
            raise _damaged(row)
    for count in row[14:17]:
        if not isinstance(count, int) or count < 0:
            raise _damaged(row)
    if not _is_time(row[13]):
        raise _damaged(row)
    return row


def _damaged(row: Row) -> IntegrityError:
    return IntegrityError(f"the row of stream {row[0]} is damaged; run replay")


def _is_time(value: object) -> bool:
    return isinstance(value, int) and is_time(value)


def delivery_of(stream: tuple[str, str, str], row: Row) -> Delivery:
    """The public value of a row; raises ``IntegrityError`` for one that a damaged file gives."""
    sound(row)
    space, chart, key = stream
    return Delivery(
        tracking_id=key,
        state=row[1],
        route=row[2],
        # A failed outcome is the nearer reason; a degraded route stands in its timeline all the same.
        reason=row[3] if row[3] is not None else row[4],
        to=row[5],
        mms_id=row[6],
        spid=row[7],
        handset=row[8],
        aggregator_id=row[9],
        created_at=_time(row[10]),
        sent_at=_time(row[11]),
        outcome_at=_time(row[12]),
        first_received_at=time_of(row[13]),
        events=row[14],
        repeats=row[15],
        findings=names(row[16]),
        space=space,
        chart=chart,
    )


def event_of(
    stored: Stored, member: int, statement: Statement | None, repeats: int | None
) -> Event:
    """The public value of a member of an event; ``statement`` is ``None`` for what isn't read."""
    envelope = stored.envelope
    space, chart, key = NOWHERE if statement is None else statement.stream
    occurred_at = UNDATED if statement is None else statement.occurred_at
    placed = statement is not None and statement.stream != NOWHERE
    return Event(
        position=stored.position,
        member=member,
        kind=envelope.kind.value,
        reading="" if statement is None else statement.kind,
        received_at=time_of(stored.received_at),
        occurred_at=None if occurred_at == UNDATED else time_of(occurred_at),
        imported=envelope.clock is Clock.STATED,
        source=envelope.source,
        sender=envelope.sender,
        space=space if placed else None,
        chart=chart if placed else None,
        key=key if placed else None,
        content_type=envelope.content_type,
        content_encoding=envelope.content_encoding,
        query=envelope.part is Part.QUERY,
        body=stored.body,
        postback=None if statement is None else statement.postback,
        problem=(statement.problem or None) if statement is not None else None,
        repeats=repeats,
        identity=b"" if statement is None else statement.identity,
        leaf=stored.leaf,
    )


def _time(time: int | None) -> datetime | None:
    return None if time is None else time_of(time)
