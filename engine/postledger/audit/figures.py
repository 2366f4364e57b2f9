"""The figures: all that an audit counts of the deliveries of a period."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal

import attrs

from postledger.audit.durations import Durations, durations
from postledger.audit.events import Events, events
from postledger.audit.findings import Found, findings
from postledger.audit.mask import Mask
from postledger.audit.outcomes import Before, Group, Outcomes, before, outcomes, states_of
from postledger.audit.pairs import CONTRADICTION, Contradictions, contradictions
from postledger.audit.request import Request
from postledger.definitions.chart import Statechart
from postledger.errors import IntegrityError
from postledger.log.as_of import Bounds
from postledger.model import DELIVERY
from postledger.projections.groups import Groups, counted
from postledger.projections.queries import Listing
from postledger.projections.reader import Reader
from postledger.state.said import amounts_of
from postledger.times import micros


@attrs.frozen
class Other:
    """The streams of another chart, by state."""

    chart: str
    title: str
    states: tuple[str, ...]
    all: Group


MOST_SUMS = 40
"""How many sums of amounts are listed."""

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Adds and multiplies without rounding, however many digits that takes."""


@attrs.frozen
class Sum:
    """The amounts of one name and currency, added up exactly.

    ``currency`` is ``None`` for plain counts. ``deliveries`` have such an amount. Those of ``hidden``
    are not in the total: a masked report shows no amount whose digits may tell a number.
    """

    name: str
    currency: str | None
    deliveries: int
    total: Decimal
    hidden: int


@attrs.frozen
class Sums:
    """The sums of amounts, by name and then of the most deliveries first; ``kinds`` are not listed."""

    listed: tuple[Sum, ...]
    kinds: int


@attrs.frozen
class Figures:
    """All that is counted of the deliveries of a period."""

    outcomes: Outcomes
    durations: Durations
    findings: tuple[Found, ...]
    events: Events
    others: tuple[Other, ...]
    amounts: Sums
    contradictions: Contradictions
    before: Before | None


def figures_of(
    reader: Reader, snapshot: Listing, request: Request, bounds: Bounds, as_of: datetime
) -> Figures:
    """Count the deliveries of the period asked for, in a snapshot as of ``bounds``."""
    with counted(reader, snapshot) as table:
        groups = Groups(reader, table, DELIVERY, *request.period)
        return _figures(groups, request, bounds, as_of)


def _figures(groups: Groups, request: Request, bounds: Bounds, as_of: datetime) -> Figures:
    definitions = groups.reader.definitions
    chart = definitions.chart(DELIVERY)
    mask = Mask.of(definitions, unmask=request.unmask)
    found, listed = outcomes(groups, chart, mask), findings(groups, bounds, mask)
    disputed = sum(one.deliveries for one in listed if one.finding == CONTRADICTION)
    return Figures(
        outcomes=found,
        durations=durations(groups, chart.regions[0], as_of, mask),
        findings=listed,
        events=events(groups, bounds, mask),
        others=tuple(
            other
            for name, chart in definitions.charts.items()
            if name != DELIVERY
            for other in _other(attrs.evolve(groups, chart=name), chart)
        ),
        amounts=_sums(groups, mask),
        contradictions=contradictions(groups, disputed, chart, bounds, mask),
        before=_before(groups, found, request, mask),
    )


def _before(groups: Groups, found: Outcomes, request: Request, mask: Mask) -> Before | None:
    """What was before the period, where it says so."""
    if request.before is None:
        return None
    since, until = request.before
    earlier = attrs.evolve(groups, since=micros(since), until=micros(until))
    return before(earlier, found, since, until, mask)


def _sums(groups: Groups, mask: Mask) -> Sums:
    """Add up the amounts of deliveries, by name and currency."""
    found: dict[tuple[str, str | None], Sum] = {}
    for text, deliveries in groups.amounts():
        try:
            amounts = amounts_of(text)
        except IntegrityError:
            # The integrity says so.
            continue
        for name, amount in amounts.items():
            currency = mask.label(amount.currency)
            before = found.get((name, currency)) or Sum(name, currency, 0, Decimal(), 0)
            hidden = mask.amount(amount) is None
            more = Decimal() if hidden else _EXACT.multiply(amount.value, Decimal(deliveries))
            found[name, currency] = Sum(
                name,
                currency,
                before.deliveries + deliveries,
                _EXACT.add(before.total, more),
                before.hidden + hidden * deliveries,
            )
    ranked = sorted(found.values(), key=lambda one: (-one.deliveries, one.name, one.currency or ""))
    listed = sorted(ranked[:MOST_SUMS], key=lambda one: one.name)
    return Sums(tuple(listed), len(ranked) - len(listed))


def _other(groups: Groups, chart: Statechart) -> Iterator[Other]:
    """The streams of a chart, if there are any."""
    found = groups.by_state()
    if found:
        states = states_of(chart.regions[0], found)
        counts = tuple(found.get(state, 0) for state in states)
        yield Other(chart.name, chart.title, states, Group(None, sum(counts), counts))
