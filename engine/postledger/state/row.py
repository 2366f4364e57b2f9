"""Rows: what the fold makes of a stream, as the projection keeps it; with events, as users see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from types import NoneType
from typing import Any

from postledger.errors import IntegrityError
from postledger.findings import Finding, names
from postledger.log.event import Clock, Part, Stored
from postledger.model import REGIONS, Delivery, Event
from postledger.state.fold import Fact, Folded, findings_of, fold
from postledger.state.patterns import NOWHERE, Statement
from postledger.state.said import amounts_of, amounts_text, labels_of, labels_text
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
    "source",
    "read",
    "grade",
    "reason_class",
    "labels",
    "amounts",
)

UNFOLDED = "unfolded"
"""What stands in place of the state of a stream that can't be folded."""

Row = tuple[Any, ...]
"""One row of the projection, in the order of its columns; times in microseconds or ``None``."""

_TEXTS = slice(1, 10)


def row_of(stream: int, folded: Folded, repeats: int, source: str) -> Row | None:
    """The row of a folded stream; ``None`` where no event said anything to its chart.

    ``source`` is that of the event which was received first.
    """
    if not folded.heard:
        return None
    regions = [region.name for region in folded.chart.regions]
    route, read, grade = (
        regions.index(name) if name in regions[1:] else None for name, _, _ in REGIONS
    )
    findings = findings_of(folded) | (Finding.REPEATED if repeats else 0)
    classes = folded.classes
    return (
        stream,
        folded.states[0],
        None if route is None else folded.states[route],
        folded.reasons[0],
        None if route is None else folded.reasons[route],
        *folded.texts,
        _stage_time(folded, "created"),
        _stage_time(folded, "sent"),
        _dated(folded.outcome_at),
        folded.first_received_at,
        folded.events,
        repeats,
        int(findings),
        source,
        None if read is None else folded.states[read],
        None if grade is None else folded.states[grade],
        # Of the reason that is shown.
        classes[0] if folded.reasons[0] is not None or route is None else classes[route],
        labels_text(folded.labels) if folded.labels else None,
        amounts_text(folded.amounts) if folded.amounts else None,
    )


def folded_row(stream: int, facts: Sequence[Fact], repeats: int, source: str) -> Row | None:
    """The row of a stream by a fold of its facts."""
    chart = next((fact.effect.chart for fact in facts if fact.effect is not None), None)
    return None if chart is None else row_of(stream, fold(chart, facts), repeats, source)


def unfolded_row(stream: int, first_received_at: int, events: int) -> Row:
    """The row of a stream that can't be folded: that it can't, and nothing else."""
    texts = (None,) * (_TEXTS.stop - 2)
    return (
        stream, UNFOLDED, *texts, None, None, None, first_received_at, events, 0,
        int(Finding.UNFOLDED), "", None, None, None, None, None,
    )  # fmt: skip


def _stage_time(folded: Folded, stage: str) -> int | None:
    stages = folded.chart.stages
    return _dated(folded.times[stages.index(stage)]) if stage in stages else None


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
    if not _is_time(row[13]) or not isinstance(row[17], str):
        raise _damaged(row)
    for text in row[18:21]:
        if text is not None and not isinstance(text, str):
            raise _damaged(row)
    if row[21] is not None or row[22] is not None:
        _said(row)
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
        read=row[18],
        grade=row[19],
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
        reason_class=row[20],
        **_said(row),
    )


def _said(row: Row) -> dict[str, Any]:
    """The labels and amounts of a row; raises ``IntegrityError`` where they are not as made."""
    labels, amounts = row[21:]
    if labels is None and amounts is None:
        return {}
    try:
        said = {"labels": labels_of(labels), "amounts": amounts_of(amounts)}
    except IntegrityError:
        raise _damaged(row) from None
    return said


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
        problem=None if statement is None else statement.reason or None,
        repeats=repeats,
        identity=b"" if statement is None else statement.identity,
        leaf=stored.leaf,
    )


def _time(time: int | None) -> datetime | None:
    return None if time is None else time_of(time)


# --- what rows count for: the keys and sums of tallies ---

HOUR = 3_600_000_000
"""An hour in microseconds."""

EVENTS, DELIVERIES, SENDINGS = "events", "deliveries", "sendings"
"""What is counted: events by their reading; deliveries by their state, their findings and the time from
sent to outcome; deliveries by the time from created to sent."""

NEWEST = "newest"
"""What the one row stands under whose ``n`` is not a sum: the newest time at which an event was received
that vocabularies read. Its other columns are 0 or empty."""

VERIFIED = "verified"
"""What the one row stands under whose ``n`` is the position of the last verification of the ledger."""

NEAR = 60_000_000
"""How far from its first reception a delivery usually begins, at most, in microseconds."""

APART = "apart"
"""What the one row stands under whose ``n`` are the deliveries that began farther from it. Its other
columns are 0 or empty."""

LATEST = (NEWEST, VERIFIED)
"""What is not added up: the largest counts."""

KEY = ("hour", "what", "source", "value", "seconds", "carrier", "route", "findings")
SUMS = ("n", "repeats", "took")
"""What is added up: ``took`` are whole seconds, each duration rounded for itself, so that it can be
subtracted exactly."""

LONGEST = 3_650 * 24 * HOUR
"""Ten years in microseconds. A longer duration is of times that can't be true, and counts as none: else a
few deliveries that claim the years 1 and 9999 would make a sum that no column holds. Of this length
29 billion do.
"""

Key = tuple[int, str, str, str, int, str, str, int]
"""A row of tallies without its sums, in the order of ``KEY``."""

COUNTED = (
    "first_received_at", "source", "spid", "route", "state", "findings", "repeats",
    "created_at", "sent_at", "outcome_at",
)  # fmt: skip
"""What of the row of a delivery it is counted by."""

FOUND_BY = (
    "first_received_at",
    "stream",
    "recipient",
    "mms_id",
    "reason",
    "route_reason",
    "labels",
)
"""What of the row of a delivery it is found by: see ``state.search``."""

MOST_TALLIED = 10_000
"""How many keys are held in memory by who counts everything."""

_IMPLAUSIBLE = int(Finding.TIMESTAMP_IMPLAUSIBLE)
_APART: Key = (0, APART, "", "", 0, "", "", 0)
_counted = itemgetter(*map(COLUMNS.index, COUNTED))
_found_by = itemgetter(*map(COLUMNS.index, FOUND_BY))
_TYPES = {int, str, NoneType}


def bound_of(micros: int) -> int:
    """The bucket of a duration: the least power of two of seconds that it does not exceed.

    >>> [bound_of(micros) for micros in (0, 1_000_000, 1_000_001, 3_000_000, 4_000_001)]
    [1, 1, 2, 4, 8]
    """
    seconds = -(-micros // 1_000_000)
    return 1 << (seconds - 1).bit_length() if seconds > 1 else 1


def lasted(since: int | None, until: int | None) -> tuple[int, int]:
    """The bucket of the time between, and its whole seconds; 0 and 0 if it doesn't count.

    >>> lasted(0, 3_400_000), lasted(0, None), lasted(1, 0), lasted(0, LONGEST + 1)
    ((4, 3), (0, 0), (0, 0), (0, 0))
    """
    # guard: no duration beyond the longest is counted
    if since is None or until is None or not 0 <= until - since <= LONGEST:
        return 0, 0
    return bound_of(until - since), (until - since + 500_000) // 1_000_000


class Tallied:
    """What is to be added to tallies."""

    def __init__(self) -> None:
        self._sums: dict[Key, list[int]] = {}
        self._latest: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._sums)

    def event(self, received_at: int, source: str, reading: str) -> None:
        """Count an event that vocabularies read; of a bundle each member."""
        latest = self._latest
        if received_at > latest.get(NEWEST, received_at - 1):
            latest[NEWEST] = received_at
        key = (received_at // HOUR, EVENTS, source, reading, 0, "", "", 0)
        found = self._sums.get(key)
        if found is None:
            self._sums[key] = [1, 0, 0]
        else:
            found[0] += 1

    def verified(self, position: int) -> None:
        """Note where it is stated that the ledger was verified."""
        self._latest[VERIFIED] = max(position, self._latest.get(VERIFIED, position))

    def delivery(self, row: Row) -> None:
        """Count a delivery."""
        self._count(_counted(row), 1)

    def kept(self, counted: Row, n: int) -> None:
        """Count a delivery ``n`` times by the columns ``COUNTED`` of its row as the file has it.

        One that is damaged counts for nothing: ``verify`` reports it, and replay heals it.
        """
        try:
            if _TYPES.issuperset(map(type, counted)):
                self._count(counted[: len(COUNTED)], n)
        except TypeError:
            # A text in place of a number.
            pass

    def _count(self, counted: Row, n: int) -> None:
        first, source, carrier, route, state, findings, repeats, created, sent, outcome = counted
        hour, carrier, route = first // HOUR, carrier or "", route or ""
        seconds, took = lasted(created, sent)
        if seconds:
            key = (hour, SENDINGS, source, "", seconds, carrier, route, 0)
            self._add(key, n, 0, n * took)
        seconds, took = lasted(sent, outcome)
        key = (hour, DELIVERIES, source, state, seconds, carrier, route, findings)
        self._add(key, n, n * repeats, n * took)
        began = first if findings & _IMPLAUSIBLE else created if sent is None else sent
        if began is not None and not -NEAR <= first - began <= NEAR:
            self._add(_APART, n, 0, 0)

    def _add(self, key: Key, n: int, repeats: int, took: int) -> None:
        found = self._sums.get(key)
        if found is None:
            self._sums[key] = [n, repeats, took]
        else:
            found[0] += n
            found[1] += repeats
            found[2] += took

    def rows(self) -> list[tuple[Any, ...]]:
        """What is not nothing, as rows of the table."""
        rows: list[tuple[Any, ...]] = [
            (*key, *sums) for key, sums in self._sums.items() if any(sums)
        ]
        rows += [(0, what, "", "", 0, "", "", 0, n, 0, 0) for what, n in self._latest.items()]
        return rows

    def taken(self) -> list[tuple[Any, ...]]:
        """The rows, of which nothing is kept here."""
        rows = self.rows()
        self._sums.clear()
        self._latest.clear()
        return rows


# --- what rows are found by ---

Refound = tuple[Row | None, Row | None]
"""What a delivery was found by, and is; ``None`` where it had, or has, no row."""


class Searched:
    """The deliveries of which the entries in the search change."""

    def __init__(self) -> None:
        self._before: dict[int, Row] = {}
        self._changed: list[Refound] = []

    def kept(self, counted: Row) -> None:
        """Take a row as the file had it, which ends with ``FOUND_BY``."""
        known = counted[-len(FOUND_BY) :]
        self._before[known[1]] = known

    def delivery(self, row: Row) -> None:
        """Take a row as it is to be."""
        known = _found_by(row)
        before = self._before.pop(known[1], None)
        # Most events change nothing that a delivery is found by.
        if before != known:
            self._changed.append((before, known))

    def changed(self) -> list[Refound]:
        """What changes; a delivery that was kept, and was not given again, goes."""
        return [*self._changed, *((known, None) for known in self._before.values())]
