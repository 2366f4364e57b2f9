"""Drawing: where the parts of the bar and of the columns stand, in units of the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import count as count_from

import attrs

from postledger.audit.durations import BINS, SECOND, Durations
from postledger.audit.outcomes import Group, Outcomes
from postledger.audit.words import bound, count, span

WIDTH, HEIGHT = 960, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 10, 18, 28
_MOST_COLUMNS = 400
_MOST_EMPTY = 60
"""So many days without deliveries have room on the axis, or so many for each eight that have some."""


@attrs.frozen
class Block:
    """A rectangle; ``state`` chooses its colour and its hatching."""

    x: float
    y: float
    width: float
    height: float
    state: str
    title: str


@attrs.frozen
class Mark:
    """A text with a line at a place on an axis."""

    at: float
    text: str
    level: int = 0
    end: bool = False


@attrs.frozen
class Columns:
    """A column chart: blocks, marks on the axes, and marked places."""

    title: str
    description: str
    blocks: tuple[Block, ...]
    across: tuple[Mark, ...]
    up: tuple[Mark, ...]
    marked: tuple[Mark, ...] = ()
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    floor: float = HEIGHT - _BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


def signs(outcomes: Outcomes) -> dict[str, str]:
    """The colour and hatching of each state: by whether it is open, a success, or another outcome."""
    made, counted = {}, {"open": 0, "good": 0, "bad": 0}
    most = {"open": 3, "good": 2, "bad": 4}
    for state in outcomes.states:
        kind = "open" if state in outcomes.open else "bad"
        kind = "good" if state in outcomes.succeeded else kind
        made[state] = f"{kind}-{counted[kind] % most[kind] + 1}"
        counted[kind] += 1
    return made


def ordered(outcomes: Outcomes) -> list[str]:
    """The states as pictures stack them: successes, other outcomes, none yet."""
    return sorted(
        outcomes.states,
        key=lambda s: 0 if s in outcomes.succeeded else 2 if s in outcomes.open else 1,
    )


def bar(outcomes: Outcomes) -> tuple[Block, ...]:
    """All deliveries as one bar, divided by state."""
    blocks, x = [], 0.0
    counts = dict(zip(outcomes.states, outcomes.all.states, strict=True))
    for state in ordered(outcomes):
        n = counts[state]
        if n:
            width = n / outcomes.all.total * WIDTH
            blocks.append(Block(_r(x), 0, _r(width), 40, state, f"{state}: {count(n)}"))
            x += width
    return tuple(blocks)


def days(outcomes: Outcomes) -> Columns | None:
    """A column for each day; days without deliveries are left out where most have none.

    ``None`` for fewer than two days.
    """
    groups = {date.fromisoformat(g.label): g for g in outcomes.days.groups if g.label}
    if len(groups) < 2:
        return None
    first, last = min(groups), max(groups)
    # Days far apart would leave hairlines: then only those that there are.
    span_days = (last - first).days + 1
    whole = span_days <= min(_MOST_COLUMNS, max(_MOST_EMPTY, 8 * len(groups)))
    shown = [first + timedelta(days=i) for i in range(span_days)] if whole else sorted(groups)
    stacks = [_stack(outcomes, groups[day], day) if day in groups else [] for day in shown]
    every = max(1, math.ceil(len(shown) / 10))
    # Counted from the end: the last day is named, which says how far the report reaches.
    labels = [
        "" if (len(shown) - 1 - i) % every else day.isoformat() for i, day in enumerate(shown)
    ]
    peak = max(groups, key=lambda day: groups[day].total)
    description = (
        f"{len(shown)} days {'from' if whole else 'between'} {first} {'to' if whole else 'and'} {last};"
        f" the most deliveries, "
        f"{count(groups[peak].total)}, began on {peak}. The table below has the numbers."
    )
    return _columns("Deliveries by day and state", description, stacks, labels, centred=True)


def _stack(outcomes: Outcomes, group: Group, day: date) -> list[tuple[str, int, str]]:
    counts = dict(zip(outcomes.states, group.states, strict=True))
    return [(s, counts[s], f"{day}, {s}: {count(counts[s])}") for s in ordered(outcomes)]


def histogram(durations: Durations) -> Columns | None:
    """The times from sent to outcome; ``None`` where there are none."""
    found = durations.overall
    if found is None:
        return None
    stacks = [[("any", one.deliveries, f"{count(one.deliveries)}")] for one in durations.histogram]
    labels = ["0", *map(bound, BINS)]
    described = (
        f"{count(found.count)} deliveries; half took at most {span(found.p50)}, 90% at most"
        f" {span(found.p90)}, 99% at most {span(found.p99)}. The table below has the numbers."
    )
    chart = _columns(
        "Distribution of the time from sent to outcome", described, stacks, labels, centred=False
    )
    named = (("p50", found.p50), ("p90", found.p90), ("p99", found.p99))
    marked = tuple(
        _place(chart, f"{name} {span(took)}", took, level)
        for level, (name, took) in enumerate(named)
    )
    return attrs.evolve(chart, marked=marked)


def _place(chart: Columns, text: str, took: int, level: int) -> Mark:
    """Where a duration stands on the axis of bins: by its logarithm within its bin."""
    seconds = took / SECOND
    edges = (0, *BINS, 4 * BINS[-1])
    at = next((i for i in range(len(BINS)) if seconds < edges[i + 1]), len(BINS))
    low, high = max(edges[at], 0.1), edges[at + 1]
    within = math.log(max(seconds, low) / low) / math.log(high / low)
    step = (chart.right - chart.left) / (len(BINS) + 1)
    x = chart.left + step * (at + min(within, 1.0))
    return Mark(_r(x), text, level, end=x > chart.right - 110)


def _columns(
    title: str,
    description: str,
    stacks: Sequence[Sequence[tuple[str, int, str]]],
    labels: Sequence[str],
    *,
    centred: bool,
) -> Columns:
    most = max(sum(n for _, n, _ in stack) for stack in stacks)
    ticks = _ticks(most)
    floor, room = HEIGHT - _BOTTOM, HEIGHT - _BOTTOM - _TOP
    step = (WIDTH - _LEFT - _RIGHT) / len(stacks)
    gap = min(8.0, step * 0.2)
    blocks = []
    for i, stack in enumerate(stacks):
        y = float(floor)
        for state, n, text in stack:
            height = n / ticks[-1] * room
            y -= height
            if n:
                x = _LEFT + i * step + gap / 2
                blocks.append(Block(_r(x), _r(y), _r(step - gap), _r(height), state, text))
    # A day is too long to stand in the middle of a narrow column at the edge.
    narrow = centred and step < 2 * _LEFT
    across = tuple(
        Mark(_r(_LEFT + (i + centred) * step), label, end=True)
        if narrow and i == len(labels) - 1
        else Mark(_r(_LEFT + (i + centred / 2) * step), label)
        for i, label in enumerate(labels)
        if label
    )
    up = tuple(Mark(_r(floor - tick / ticks[-1] * room), count(tick)) for tick in ticks)
    return Columns(title, description, tuple(blocks), across, up)


def _ticks(most: int) -> list[int]:
    """Round numbers from zero to the first that is not below ``most``."""
    round_numbers = (size * 10**power for power in count_from() for size in (1, 2, 5))
    step = next(number for number in round_numbers if number * 4 >= most)
    return [step * i for i in range(math.ceil(max(most, 1) / step) + 1)]


def _r(number: float) -> float:
    return round(number, 1)
