"""Outcomes: how many deliveries came to which state, by route, day, carrier and handset."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from operator import add
from typing import Literal

import attrs

from postledger.audit.mask import HIDDEN, Mask, shortened
from postledger.definitions.chart import Region, Statechart
from postledger.projections.groups import By, Groups
from postledger.state.row import UNFOLDED
from postledger.store.counting import counts

MOST_GROUPS = 40
"""How many spaces, carriers, handsets and reasons are listed; the others are counted together."""

MOST_DAYS = 400

_EPOCH_DAY = date(1970, 1, 1).toordinal()


@attrs.frozen
class Group:
    """Deliveries that have something in common: how many in all, and by state.

    ``label`` is ``None`` where it is not known. ``states`` are counts in the order of
    the chart's states.
    """

    label: str | None
    total: int
    states: tuple[int, ...]


@attrs.frozen
class Breakdown:
    """Groups, those of the most deliveries first; ``rest`` are all others, ``kinds`` of them."""

    groups: tuple[Group, ...]
    rest: Group | None
    kinds: int

    @property
    def known(self) -> bool:
        """Whether of any delivery it is known what it is grouped by."""
        return any(group.label is not None for group in self.groups)


@attrs.frozen
class Reason:
    """A reason that events gave, for the state they led to."""

    state: str
    reason: str | None
    deliveries: int


@attrs.frozen
class Reasons:
    """The reasons, most frequent first; ``rest`` deliveries have others, ``kinds`` of them.

    Of ``hidden`` deliveries the reason is not shown, or not all of it: no vocabulary lists it.
    """

    total: int
    ranked: tuple[Reason, ...]
    rest: int
    kinds: int
    hidden: int = 0


@attrs.frozen
class Outcomes:
    """The deliveries of a period by outcome.

    ``states`` name the columns of each group. ``succeeded`` are the final states that want no
    explanation, ``open`` those that are not final. ``spaces`` are by the space of the ids, which most
    vocabularies name for their provider; the label of the common one is empty. ``reason_classes`` are
    of deliveries whose reason has a class. ``events`` counts the distinct events of the deliveries,
    ``repeats`` those received again.
    """

    states: tuple[str, ...]
    succeeded: frozenset[str]
    open: frozenset[str]
    all: Group
    events: int
    repeats: int
    spaces: Breakdown
    routes: Breakdown
    days: Breakdown
    carriers: Breakdown
    handsets: Breakdown
    reason_classes: Breakdown
    degraded: Reasons
    failures: Reasons

    def count(self, states: Collection[str]) -> int:
        """How many deliveries are in any of the states."""
        pairs = zip(self.states, self.all.states, strict=True)
        return sum(count for state, count in pairs if state in states)

    def rate(self, group: Group) -> float | None:
        """The share of a group that succeeded, from 0 to 1; ``None`` for an empty one."""
        pairs = zip(self.states, group.states, strict=True)
        won = sum(n for state, n in pairs if state in self.succeeded)
        return won / group.total if group.total else None

    @property
    def unsuccessful(self) -> frozenset[str]:
        """The final states that want an explanation."""
        return frozenset(self.states) - self.succeeded - self.open


@attrs.frozen
class Before:
    """The deliveries of the period before, which this one is compared with.

    It is of the same length, or of as many months where this one is of whole months. ``carriers`` are
    those that ``Outcomes`` lists too.
    """

    since: datetime
    until: datetime
    all: Group
    days: tuple[Group, ...]
    carriers: tuple[Group, ...]


def before(groups: Groups, found: Outcomes, since: datetime, until: datetime, mask: Mask) -> Before:
    """Count the deliveries of the period before by the states of ``found``."""
    by_state = groups.by_state()
    listed = {group.label for group in found.carriers.groups}
    carriers = (
        Group(mask.label(label), n, each) for label, n, each in groups.by("spid", found.states)
    )
    # Where a delivery can't be folded it is in none of the states of this period.
    counted = tuple(by_state.get(state, 0) for state in found.states)
    return Before(
        since,
        until,
        Group(None, sum(by_state.values()), counted),
        _days(groups, found.states).groups,
        tuple(group for group in carriers if group.label in listed),
    )


def outcomes(groups: Groups, chart: Statechart, mask: Mask) -> Outcomes:
    """Count deliveries by outcome."""
    region = chart.regions[0]
    found = groups.by_state()
    states = states_of(region, found)
    total, events, repeats = groups.totals()
    degraded = frozenset(s for r in chart.regions[1:] if r.name == "route" for s in r.explained)
    return Outcomes(
        states=states,
        succeeded=region.final - region.explained,
        open=frozenset(open_of(states, region)),
        all=Group(None, total, tuple(found.get(state, 0) for state in states)),
        events=events,
        repeats=repeats,
        spaces=_by(groups, "space", states, mask),
        routes=_in_order(chart, _by(groups, "route", states, Mask())),
        days=_days(groups, states),
        carriers=_by(groups, "spid", states, mask),
        handsets=_by(groups, "handset", states, mask),
        reason_classes=_breakdown(
            (
                Group(label, n, each)
                for label, n, each in groups.by("reason_class", states)
                if label is not None
            ),
            MOST_GROUPS,
        ),
        degraded=_reasons(groups, "route", degraded, mask),
        failures=_reasons(groups, "state", region.explained, mask),
    )


def states_of(region: Region, found: Mapping[str, int]) -> tuple[str, ...]:
    """The states of the chart, and ``unfolded`` where a delivery can't be folded."""
    return (*region.states, UNFOLDED) if UNFOLDED in found else region.states


def open_of(states: tuple[str, ...], region: Region) -> tuple[str, ...]:
    """The states that are not final."""
    return tuple(state for state in states if state not in region.final)


def _by(groups: Groups, by: By, states: tuple[str, ...], mask: Mask) -> Breakdown:
    found = (Group(mask.label(label), n, each) for label, n, each in groups.by(by, states))
    return _breakdown(found, MOST_GROUPS)


def _breakdown(groups: Iterator[Group], most: int) -> Breakdown:
    listed = tuple(islice(groups, most))
    kinds, rest = 0, None
    for group in groups:
        kinds += 1
        before = rest or Group(None, 0, (0,) * len(group.states))
        states = map(add, before.states, group.states)
        rest = Group(None, before.total + group.total, tuple(states))
    return Breakdown(listed, rest, kinds)


def _in_order(chart: Statechart, routes: Breakdown) -> Breakdown:
    """Routes in the order of the chart, not of their numbers."""
    order = [state for region in chart.regions[1:] for state in region.states]
    # Those of a label that is not in it come last.
    groups = sorted(routes.groups, key=lambda group: [*order, group.label].index(group.label))
    return attrs.evolve(routes, groups=tuple(groups))


def _days(groups: Groups, states: tuple[str, ...]) -> Breakdown:
    """By the day (UTC) on which deliveries began, in order; ``rest`` are the days before."""
    days = (
        Group(date.fromordinal(_EPOCH_DAY + number).isoformat(), total, by_state)
        for number, total, by_state in groups.by("day", states)
    )
    newest = _breakdown(days, MOST_DAYS)
    return attrs.evolve(newest, groups=tuple(reversed(newest.groups)))


def _reasons(
    groups: Groups, region: Literal["state", "route"], states: frozenset[str], mask: Mask
) -> Reasons:
    """The reasons of a region; those that are hidden count as one of each space."""
    hidden = 0
    with counts(groups.reader.log.store) as found:
        for state, reason, space in groups.reasons(region, sorted(states)):
            told = mask.text(reason)
            hidden += told != reason
            shown = f"{HIDDEN} ({mask.label(space)})" if told == HIDDEN and space else told
            found.add((state, shortened(shown)))
        ranked, rest, kinds = found.ranked(MOST_GROUPS)
    total = sum(one.n for one in ranked) + rest
    listed = tuple(Reason(str(one.key[0]), one.key[1], one.n) for one in ranked)
    return Reasons(total, listed, rest, kinds, hidden)
