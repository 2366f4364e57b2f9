"""Outcomes: how many deliveries came to which state, by route, day, carrier and handset."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from itertools import islice

import attrs

from postledger.audit.mask import hide
from postledger.audit.request import Scope, quoted
from postledger.projections.queries import BEGAN

MOST_GROUPS = 40
"""How many carriers, handsets and reasons are listed; the others are counted together."""

MOST_DAYS = 400

_DAY = 86_400_000_000
# Floored: SQLite's division cuts towards zero, which would give the eve of 1970 two days' worth.
_DAY_NUMBER = f"({BEGAN} - (({BEGAN} % {_DAY}) + {_DAY}) % {_DAY}) / {_DAY}"
_EPOCH_DAY = date(1970, 1, 1).toordinal()


@attrs.frozen
class Group:
    """Deliveries that have something in common: how many in all, and by state.

    ``label`` is ``None`` for those of which it is not known. ``states`` are counts in the order of
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


@attrs.frozen
class Reason:
    """A reason that events gave, for the state they led to."""

    state: str
    reason: str | None
    deliveries: int


@attrs.frozen
class Reasons:
    """The reasons, most frequent first; ``rest`` deliveries have others, ``kinds`` of them."""

    total: int
    ranked: tuple[Reason, ...]
    rest: int
    kinds: int


@attrs.frozen
class Outcomes:
    """The deliveries of a period by outcome.

    ``states`` name the columns of each group. ``succeeded`` are the final states that want no
    explanation, ``open`` those that are not final. ``events`` counts the distinct events of the
    deliveries, ``repeats`` those received again.
    """

    states: tuple[str, ...]
    succeeded: frozenset[str]
    open: frozenset[str]
    all: Group
    events: int
    repeats: int
    routes: Breakdown
    days: Breakdown
    carriers: Breakdown
    handsets: Breakdown
    degraded: Reasons
    failures: Reasons

    def count(self, states: Collection[str]) -> int:
        """How many deliveries are in any of the states."""
        pairs = zip(self.states, self.all.states, strict=True)
        return sum(count for state, count in pairs if state in states)

    @property
    def unsuccessful(self) -> frozenset[str]:
        """The final states that want an explanation."""
        return frozenset(self.states) - self.succeeded - self.open


def outcomes(scope: Scope, *, unmask: bool) -> Outcomes:
    """Count the deliveries of a scope by outcome."""
    region = scope.region
    events, repeats = next(scope.rows("coalesce(sum(s.events), 0), coalesce(sum(s.repeats), 0)"))
    overall = next(_groups(scope, "''"), None)
    return Outcomes(
        states=region.states,
        succeeded=region.final - region.explained,
        open=frozenset(region.states) - region.final,
        all=Group(None, 0, (0,) * len(region.states)) if overall is None else overall,
        events=events,
        repeats=repeats,
        routes=_in_order(scope, _breakdown(_groups(scope, "s.route"), MOST_GROUPS)),
        days=_days(scope),
        carriers=_breakdown(_groups(scope, "s.spid"), MOST_GROUPS),
        handsets=_breakdown(_groups(scope, "s.handset"), MOST_GROUPS),
        degraded=_reasons(scope, ("route", "route_reason"), _explained(scope), unmask=unmask),
        failures=_reasons(scope, ("state", "reason"), region.explained, unmask=unmask),
    )


def by_state(scope: Scope) -> Group:
    """The deliveries of a scope by state."""
    return next(_groups(scope, "''"), Group(None, 0, (0,) * len(scope.region.states)))


def _explained(scope: Scope) -> frozenset[str]:
    """The states beside the outcome that want a reason: the degraded routes."""
    return frozenset(s for r in scope.chart.regions[1:] if r.name == "route" for s in r.explained)


def _groups(scope: Scope, label: str, order: str = "2 DESC, 1") -> Iterator[Group]:
    counts = ", ".join(f"sum(s.state = '{state}')" for state in scope.region.states)
    rows = scope.rows(f"{label}, count(*), {counts}", tail=f"GROUP BY 1 ORDER BY {order}")
    return (Group(label, total, tuple(states)) for label, total, *states in rows)


def _breakdown(groups: Iterator[Group], most: int) -> Breakdown:
    listed = tuple(islice(groups, most))
    rest, kinds = None, 0
    for group in groups:
        kinds += 1
        rest = group if rest is None else _sum(rest, group)
    return Breakdown(listed, None if rest is None else attrs.evolve(rest, label=None), kinds)


def _sum(one: Group, other: Group) -> Group:
    states = tuple(a + b for a, b in zip(one.states, other.states, strict=True))
    return Group(None, one.total + other.total, states)


def _in_order(scope: Scope, routes: Breakdown) -> Breakdown:
    """Routes in the order of the chart, not of their numbers."""
    order = [state for region in scope.chart.regions[1:] for state in region.states]
    return attrs.evolve(routes, groups=tuple(sorted(routes.groups, key=lambda g: _at(order, g))))


def _at(order: list[str], group: Group) -> int:
    return order.index(group.label) if group.label in order else len(order)


def _days(scope: Scope) -> Breakdown:
    """By the day (UTC) on which deliveries began, in order; ``rest`` are the days before."""
    newest = _breakdown(_groups(scope, _DAY_NUMBER, "1 DESC"), MOST_DAYS)
    days = (
        attrs.evolve(group, label=date.fromordinal(_EPOCH_DAY + int(group.label or 0)).isoformat())
        for group in reversed(newest.groups)
    )
    return attrs.evolve(newest, groups=tuple(days))


def _reasons(
    scope: Scope, columns: tuple[str, str], states: frozenset[str], *, unmask: bool
) -> Reasons:
    state, reason = (f"s.{column}" for column in columns)
    if not unmask:
        # Reasons that differ in the recipient alone are one reason.
        scope.db.conn.create_function("hidden", 2, hide, deterministic=True)
        reason = f"hidden({reason}, s.recipient)"
    rows = scope.rows(
        f"{state}, {reason}, count(*)",
        also=f"{state} IN {quoted(states)}",
        tail="GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2",
    )
    ranked = tuple(Reason(*row) for row in islice(rows, MOST_GROUPS))
    rest = kinds = 0
    for row in rows:
        rest, kinds = rest + row[2], kinds + 1
    return Reasons(sum(r.deliveries for r in ranked) + rest, ranked, rest, kinds)
