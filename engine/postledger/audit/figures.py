"""The figures: all that an audit counts of the deliveries of a period."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import attrs

from postledger.audit.durations import Durations, durations
from postledger.audit.events import Events, events
from postledger.audit.findings import Found, findings
from postledger.audit.mask import Mask
from postledger.audit.outcomes import Group, Outcomes, outcomes, states_of
from postledger.audit.request import Request
from postledger.definitions.chart import Statechart
from postledger.log.as_of import Bounds
from postledger.model import DELIVERY
from postledger.projections.groups import Groups
from postledger.projections.queries import Listing
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
    findings: tuple[Found, ...]
    events: Events
    others: tuple[Other, ...]


def figures_of(
    reader: Reader, snapshot: Listing, request: Request, bounds: Bounds, as_of: datetime
) -> Figures:
    """Count the deliveries of the period asked for, in a snapshot as of ``bounds``."""
    chart = reader.definitions.chart(DELIVERY)
    groups = Groups(reader, snapshot, DELIVERY, *request.period)
    mask = Mask.of(reader.definitions, unmask=request.unmask)
    return Figures(
        outcomes=outcomes(groups, chart, mask),
        durations=durations(groups, chart.regions[0], as_of, mask),
        findings=findings(groups, mask),
        events=events(groups, request, bounds, mask),
        others=tuple(
            other
            for name, chart in reader.definitions.charts.items()
            if name != DELIVERY
            for other in _other(attrs.evolve(groups, chart=name), chart)
        ),
    )


def _other(groups: Groups, chart: Statechart) -> Iterator[Other]:
    """The streams of a chart, if there are any."""
    found = groups.by_state()
    if found:
        states = states_of(chart.regions[0], found)
        counts = tuple(found.get(state, 0) for state in states)
        yield Other(chart.name, chart.title, states, Group(None, sum(counts), counts))
