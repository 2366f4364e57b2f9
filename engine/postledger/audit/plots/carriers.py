"""Carriers next to each other: their rates of success, what these were before, and their times."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import attrs

from postledger.audit.argument import QUESTIONING
from postledger.audit.figures import Figures
from postledger.audit.findings import MOST_CARRIERS, Found
from postledger.audit.outcomes import Breakdown, Group, Outcomes
from postledger.audit.pairs import CONTRADICTION
from postledger.audit.tables import MOST_ROWS, PERCENTS, Cell, Table, percentiles_of, words
from postledger.audit.words import NONE, count, points, share

_MOST_FINDINGS = 6


@attrs.frozen
class _Scale:
    """Where a rate stands on an axis from ``floor`` to 1, in per cent."""

    floor: float

    def __call__(self, rate: float) -> float:
        return round(100 * (rate - self.floor) / (1 - self.floor), 1)


def carriers(figures: Figures, *, drawn: bool = True) -> Table:
    """The carriers next to each other: the worst change first, or the worst rate.

    A carrier that has few deliveries is compared like any other: their number stands next to it. Without
    ``drawn`` the note says nothing of the pictures.
    """
    o, before = figures.outcomes, figures.before
    then = {} if before is None else {group.label: group for group in before.carriers}
    known = [group for group in o.carriers.groups if group.label is not None]
    rated = [(o.rate(group) or 0.0, _rate(o, then.get(group.label)), group) for group in known]
    ranked = sorted(rated, key=lambda one: _change(*one))[:MOST_ROWS]
    floor = min((rate for *rates, _ in ranked for rate in rates if rate is not None), default=0.0)
    scale = _Scale(min(math.floor(10 * floor) / 10, 0.9))
    ringed = any(was is not None for _, was, _ in ranked)
    success = " or ".join(sorted(o.succeeded)) or "success"
    return Table(
        "Carriers compared",
        (
            "Carrier (SPID)",
            "Deliveries",
            success.capitalize(),
            "Points",
            *PERCENTS,
            "Contradictions",
        ),
        tuple(_carrier(figures, *one) for one in ranked),
        note=" ".join(
            (
                *([_pictured(scale, ringed=ringed)] if drawn and ranked else []),
                "The times are from sent to outcome.",
                *_left_out(o.carriers, len(ranked)),
            )
        ),
        cells=tuple(
            Cell(scale(now), None if was is None else scale(was)) for now, was, _ in ranked
        ),
        drawn=2,
        told=True,
    )


def _pictured(scale: _Scale, *, ringed: bool) -> str:
    """What the pictures in the rows show."""
    ring = ", a ring is the period before" if ringed else ""
    return f"In the picture each share stands between {100 * scale.floor:.0f} and 100%{ring}."


def _left_out(found: Breakdown, shown: int) -> Iterator[str]:
    """How many deliveries and carriers the rows do not have."""
    unknown = sum(group.total for group in found.groups if group.label is None)
    if unknown:
        are = "delivery has" if unknown == 1 else "deliveries have"
        yield f"{count(unknown)} {are} no known carrier, and no row here."
    others = sum(group.label is not None for group in found.groups) - shown + found.kinds
    if others:
        yield f"{count(others)} other {'carrier is' if others == 1 else 'carriers are'} in the data."


def _rate(outcomes: Outcomes, group: Group | None) -> float | None:
    return None if group is None else outcomes.rate(group)


def _change(now: float, was: float | None, group: Group) -> tuple[bool, float, int]:
    """What carriers are ordered by: the change, and where that isn't known, after those, the rate."""
    return was is None, now if was is None else now - was, -group.total


def _carrier(figures: Figures, now: float, was: float | None, group: Group) -> tuple[str, ...]:
    times = figures.durations.by_carrier.get(group.label)
    disputed = next(one for one in figures.findings if one.finding == CONTRADICTION).carriers
    by_label = {one.label: one.deliveries for one in disputed}
    # Of carriers beyond those listed with the finding the number isn't known here.
    none = "0" if len(disputed) < MOST_CARRIERS else NONE
    return (
        group.label or NONE,
        count(group.total),
        f"{100 * now:.1f}%",
        points(now, was),
        *((NONE,) * 3 if times is None else percentiles_of(times)),
        count(by_label[group.label]) if group.label in by_label else none,
    )


def findings_by_carrier(figures: Figures) -> Table:
    """The share of each carrier's deliveries that has a finding, the worst carrier first.

    The findings that question an outcome come first, then those of the most deliveries.
    """
    found = [one for one in figures.findings if one.deliveries]
    shown = sorted(found, key=lambda one: (one.finding not in QUESTIONING, -one.deliveries))
    shown = shown[:_MOST_FINDINGS]
    known = [group for group in figures.outcomes.carriers.groups if group.label is not None]
    counts = [{at.label: at.deliveries for at in one.carriers} for one in shown]
    rows = [
        (
            group,
            [_counted(one, by_label, group) for one, by_label in zip(shown, counts, strict=True)],
        )
        for group in known
    ]
    rows.sort(key=lambda row: [-(n or 0) / row[0].total for n in row[1]])
    return Table(
        "Findings by carrier, in shares of its deliveries",
        ("Carrier (SPID)", "Deliveries", *(words(one.finding).capitalize() for one in shown)),
        tuple(
            (
                group.label or NONE,
                count(group.total),
                *(NONE if n is None else share(n, group.total) for n in having),
            )
            for group, having in rows[:MOST_ROWS]
        ),
    )


def _counted(found: Found, by_label: Mapping[str | None, int], group: Group) -> int | None:
    """How many deliveries of a carrier have a finding; ``None`` where that is not listed."""
    complete = len(found.carriers) < MOST_CARRIERS
    return by_label.get(group.label, 0 if complete else None)
