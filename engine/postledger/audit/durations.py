"""Durations: from sent to outcome, and how long deliveries have been without one."""

from __future__ import annotations

from datetime import datetime

import attrs

from postledger.audit.mask import Mask
from postledger.audit.outcomes import open_of, states_of
from postledger.definitions.chart import Region
from postledger.projections.groups import By, Groups
from postledger.times import micros

SECOND = 1_000_000
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400

BINS = (
    *(1, 2, 5, 10, 30),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 30)),
    *(hours * _HOUR for hours in (1, 2, 6, 12, 24, 72)),
)
"""The bounds between the histogram's bins, in seconds: a bin begins at one and ends before the next."""

STEPS = tuple(round(SECOND * 10 ** (step / 8)) for step in range(-8, 49))
"""The bounds of the picture's bins in microseconds: eight to each power of ten, 0.1 s to 11 days."""

AGES = (0, _HOUR, 6 * _HOUR, _DAY, 3 * _DAY, 7 * _DAY)
"""The bounds between the ages, in seconds; a negative age is of one stamped after the report."""

_PERCENTS = (50, 90, 99)
_MOST_LABELS = 50


@attrs.frozen
class Percentiles:
    """By nearest rank: the smallest durations that 50, 90 and 99% don't exceed, in microseconds."""

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

    ``curve`` counts the same deliveries as ``histogram`` in the finer bins of ``STEPS``.
    ``disordered`` deliveries have an outcome stamped before the sending, and ``untimed`` ones an
    outcome but not both times: neither is among the durations.
    """

    overall: Percentiles | None
    by_route: dict[str | None, Percentiles]
    by_carrier: dict[str | None, Percentiles]
    histogram: tuple[Bin, ...]
    curve: tuple[int, ...]
    disordered: int
    untimed: int
    as_of: datetime
    open_states: tuple[str, ...]
    open: tuple[Aged, ...]


def durations(groups: Groups, region: Region, as_of: datetime, mask: Mask) -> Durations:
    """The durations of deliveries, ages counted to ``as_of``."""
    carriers = _percentiles(groups, "spid")
    open_states = open_of(states_of(region, groups.by_state()), region)
    return Durations(
        overall=_percentiles(groups, None).get(""),
        by_route=_percentiles(groups, "route"),
        by_carrier={mask.label(label): found for label, found in carriers.items()},
        histogram=_histogram(groups),
        curve=_curve(groups),
        disordered=groups.disordered(),
        untimed=groups.untimed(sorted(region.final)),
        as_of=as_of,
        open_states=open_states,
        open=_open(groups, micros(as_of), open_states),
    )


def _percentiles(groups: Groups, by: By | None) -> dict[str | None, Percentiles]:
    """The percentiles of each label, for those of the most deliveries."""
    found = groups.percentiles(by, _PERCENTS, _MOST_LABELS)
    return {label: Percentiles(*figures) for label, figures in found.items()}


def _histogram(groups: Groups) -> tuple[Bin, ...]:
    counts = groups.by_took([bound * SECOND for bound in BINS])
    edges = zip((0, *BINS), (*BINS, None), strict=True)
    return tuple(
        Bin(least, below, counts.get(number, 0)) for number, (least, below) in enumerate(edges)
    )


def _curve(groups: Groups) -> tuple[int, ...]:
    counts = groups.by_took(STEPS)
    return tuple(counts.get(number, 0) for number in range(len(STEPS) + 1))


def _open(groups: Groups, as_of: int, states: tuple[str, ...]) -> tuple[Aged, ...]:
    counts = groups.by_age(as_of, [age * SECOND for age in AGES], states)
    edges = zip((None, *AGES), (*AGES, None), strict=True)
    return tuple(
        Aged(least, below, counts.get(number, (0,) * len(states)))
        for number, (least, below) in enumerate(edges)
    )
