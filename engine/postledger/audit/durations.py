"""Durations: from sent to outcome, and how long deliveries have been without one."""

from __future__ import annotations

from datetime import datetime

import attrs

from postledger.audit.request import Scope, quoted
from postledger.projections.queries import BEGAN
from postledger.times import micros

SECOND = 1_000_000
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400

BINS = (
    *(1, 2, 5, 10, 30),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 30)),
    *(hours * _HOUR for hours in (1, 2, 6, 12, 24, 72)),
)
"""The bounds between the histogram's bins, in seconds: a bin begins at one and ends before the next."""

AGES = (0, _HOUR, 6 * _HOUR, _DAY, 3 * _DAY, 7 * _DAY)
"""The bounds between the ages, in seconds; a negative age is of one stamped after the report."""

_TOOK = "(s.outcome_at - s.sent_at)"
_TIMED = "s.outcome_at >= s.sent_at"
_PERCENTS = (50, 90, 99)


@attrs.frozen
class Percentiles:
    """By nearest rank: the smallest duration that so many percent don't exceed, in microseconds."""

    count: int
    p50: int
    p90: int
    p99: int


@attrs.frozen
class Bin:
    """Deliveries whose duration is at least ``least`` and below ``below`` seconds (``None``: any)."""

    least: int | None
    below: int | None
    deliveries: int


@attrs.frozen
class Aged:
    """Deliveries without outcome of an age, by state in the order of ``Durations.open_states``."""

    least: int | None
    below: int | None
    states: tuple[int, ...]


@attrs.frozen
class Durations:
    """The times from sent to outcome, and the ages of the deliveries without outcome.

    ``disordered`` deliveries have an outcome stamped before the sending, and ``untimed`` ones an
    outcome but not both times: neither is among the durations.
    """

    overall: Percentiles | None
    by_route: dict[str | None, Percentiles]
    by_carrier: dict[str | None, Percentiles]
    histogram: tuple[Bin, ...]
    disordered: int
    untimed: int
    as_of: datetime
    open_states: tuple[str, ...]
    open: tuple[Aged, ...]


def durations(scope: Scope, as_of: datetime) -> Durations:
    """The durations of a scope, ages reckoned to ``as_of``."""
    region = scope.region
    open_states = tuple(state for state in region.states if state not in region.final)
    return Durations(
        overall=percentiles(scope, "''").get(""),
        by_route=percentiles(scope, "s.route"),
        by_carrier=percentiles(scope, "s.spid"),
        histogram=_histogram(scope),
        disordered=_count(scope, "s.outcome_at < s.sent_at"),
        untimed=_count(
            scope,
            f"s.state IN {quoted(region.final)} AND (s.outcome_at IS NULL OR s.sent_at IS NULL)",
        ),
        as_of=as_of,
        open_states=open_states,
        open=_open(scope, micros(as_of), open_states),
    )


def percentiles(scope: Scope, label: str) -> dict[str | None, Percentiles]:
    """The percentiles of the deliveries of each label, for those of the most deliveries."""
    counts = dict(
        scope.rows(f"{label}, count(*)", also=_TIMED, tail="GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 50")
    )
    ranked = scope.sql(
        f"{label} AS label, {_TOOK} AS took, row_number() OVER (PARTITION BY {label}"
        f" ORDER BY {_TOOK}) AS rank, count(*) OVER (PARTITION BY {label}) AS n",
        also=_TIMED,
    )
    wanted = ", ".join(f"(n * {percent} + 99) / 100" for percent in _PERCENTS)
    found = {
        (label, rank): took
        for label, rank, took in scope.db.conn.execute(
            f"SELECT label, rank, took FROM ({ranked}) WHERE rank IN ({wanted})"
        )
        if label in counts
    }
    return {
        label: Percentiles(n, *(found[label, (n * p + 99) // 100] for p in _PERCENTS))
        for label, n in counts.items()
    }


def _histogram(scope: Scope) -> tuple[Bin, ...]:
    cases = _cases(_TOOK, BINS)
    counts = dict(scope.rows(f"{cases}, count(*)", also=_TIMED, tail="GROUP BY 1"))
    edges = zip((0, *BINS), (*BINS, None), strict=True)
    return tuple(
        Bin(least, below, counts.get(number, 0)) for number, (least, below) in enumerate(edges)
    )


def _open(scope: Scope, as_of: int, states: tuple[str, ...]) -> tuple[Aged, ...]:
    cases = _cases(f"({as_of} - {BEGAN})", AGES)
    counted = ", ".join(f"sum(s.state = '{state}')" for state in states) or "0"
    rows = scope.rows(f"{cases}, {counted}", also=f"s.state IN {quoted(states)}", tail="GROUP BY 1")
    counts = {number: tuple(by_state) for number, *by_state in rows}
    edges = zip((None, *AGES), (*AGES, None), strict=True)
    return tuple(
        Aged(least, below, counts.get(number, (0,) * len(states)))
        for number, (least, below) in enumerate(edges)
    )


def _cases(value: str, edges: tuple[int, ...]) -> str:
    """The number of the bin that a value in microseconds falls into."""
    whens = " ".join(f"WHEN {value} < {edge * SECOND} THEN {i}" for i, edge in enumerate(edges))
    return f"CASE {whens} ELSE {len(edges)} END"


def _count(scope: Scope, also: str) -> int:
    return int(next(scope.rows("count(*)", also=also))[0])
