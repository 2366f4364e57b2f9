"""The figures: all that an audit counts of the deliveries of a period."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import attrs

from postledger.audit.durations import Durations, durations
from postledger.audit.findings import Missing, Noted, Unread, missing, noted, unread
from postledger.audit.outcomes import Group, Outcomes, by_state, outcomes
from postledger.audit.request import CHART, Request, Scope
from postledger.log.log import Log
from postledger.projections.reader import Reader


@attrs.frozen
class Other:
    """The streams of another chart, by state."""

    chart: str
    title: str
    states: tuple[str, ...]
    all: Group


@attrs.frozen
class Figures:
    """All that is counted of the deliveries of a period."""

    outcomes: Outcomes
    durations: Durations
    noted: tuple[Noted, ...]
    unread: tuple[Unread, ...]
    missing: tuple[Missing, ...]
    others: tuple[Other, ...]


def figures_of(log: Log, facts: Reader, table: str, asked: Request, as_of: datetime) -> Figures:
    """Count the deliveries of the period asked for, whose rows are in ``table``."""
    charts = facts.definitions.charts
    scope = Scope(log.db, table, facts.definitions.chart(CHART), asked.since, asked.until)
    return Figures(
        outcomes=outcomes(scope, unmask=asked.unmask),
        durations=durations(scope, as_of),
        noted=noted(scope, asked),
        unread=unread(scope, log, facts, asked),
        missing=missing(scope, log, facts, asked),
        others=tuple(
            other
            for name, chart in charts.items()
            if name != CHART
            for other in _other(attrs.evolve(scope, chart=chart))
        ),
    )


def _other(scope: Scope) -> Iterator[Other]:
    """The streams of a chart, if there are any."""
    found = by_state(scope)
    if found.total:
        yield Other(scope.chart.name, scope.chart.title, scope.region.states, found)
