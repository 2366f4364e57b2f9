"""Drawing: where the parts of bars and columns stand: across in per cent of the width, down in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import count as count_from

import attrs

from postledger.audit.outcomes import Group, Outcomes
from postledger.audit.plots.calendar import Unit, short, spans
from postledger.audit.words import count, share

TOP, HEIGHT, FOOT = 16, 130, 22
_MOST_COLUMNS = 100
"""More days are drawn as weeks or months, so that each column has room."""

_MOST_EMPTY = 60
"""So many days without deliveries have room on the axis, or so many for each eight that have some."""


@attrs.frozen
class Block:
    """A rectangle; ``state`` chooses its colour and its pattern."""

    x: float
    y: float
    width: float
    height: float
    state: str
    title: str


@attrs.frozen
class Mark:
    """A text at a place on an axis; a ``minor`` one is left out where there is little room.

    ``at`` is in per cent across, or in pixels down; ``level`` in pixels down. An ``end`` is to the left.
    """

    at: float
    text: str
    level: float = 0
    end: bool = False
    minor: bool = False
    middle: bool = False
    strong: bool = False
    kind: str = ""


@attrs.frozen
class Chart:
    """Columns and lines over one axis, with what is marked on them.

    ``beyond`` is how many are not drawn. Each of ``lines`` is a path in a square of 100 by 100, and
    whether it is of the period before.
    """

    title: str
    description: str
    up: tuple[Mark, ...]
    across: tuple[Mark, ...]
    blocks: tuple[Block, ...] = ()
    lines: tuple[tuple[str, bool], ...] = ()
    marked: tuple[Mark, ...] = ()
    dots: tuple[Mark, ...] = ()
    labels: tuple[Mark, ...] = ()
    beyond: int = 0
    top: float = TOP
    floor: float = TOP + HEIGHT

    @property
    def height(self) -> float:
        """How high the picture is, with what stands below the axis."""
        return self.floor + FOOT


OPEN: tuple[str, ...] = ("created", "sent", "waiting")
GOOD: tuple[str, ...] = ("delivered", "done")
BAD: tuple[str, ...] = ("expired", "rejected", "failed", "lost")
"""The signs there are, each with a colour, a pattern and a shape, by what they stand for."""


def signs(outcomes: Outcomes) -> dict[str, str]:
    """The sign of each state: that of its name, or another by whether it is open, or a success."""
    made: dict[str, str] = {}
    others: list[tuple[str, tuple[str, ...]]] = []
    for state in outcomes.states:
        kind = OPEN if state in outcomes.open else GOOD if state in outcomes.succeeded else BAD
        if state in kind:
            made[state] = state
        else:
            others.append((state, kind))
    for state, kind in others:
        free = [sign for sign in kind if sign not in made.values()]
        made[state] = free[-1] if free else kind[-1]
    return {state: made[state] for state in outcomes.states}


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
            width = 100 * n / outcomes.all.total
            blocks.append(Block(rounded(x), 0, rounded(width), 40, state, f"{state}: {count(n)}"))
            x += width
    return tuple(blocks)


def days(outcomes: Outcomes, until: datetime | None = None) -> tuple[Chart, Chart] | None:
    """Columns by day, or by a longer span where there are many: all, and below what didn't succeed.

    The upper ones count deliveries, the lower ones have the shares of each column, on a scale of their
    own. Days without deliveries are left out where most have none; else the last is that on which the
    period ends, if it has an end. ``None`` for fewer than two days.
    """
    groups = {date.fromisoformat(g.label): g for g in outcomes.days.groups if g.label}
    if len(groups) < 2:
        return None
    shown, whole = _columns_of(outcomes.days.groups, until)
    peak = max(groups, key=lambda day: groups[day].total)
    first, last = min(groups), max(shown if whole else groups)
    described = (
        f"{count(len(shown))} columns {'from' if whole else 'between'} {first}"
        f" {'to' if whole else 'and'} {last}; the most deliveries,"
        f" {count(groups[peak].total)}, began on {peak}. The table below has the numbers."
    )
    across = tuple(_across(list(shown)))
    all_, far = _whole(outcomes, shown), _missed(outcomes, shown)
    lost = (
        f"The share of each column that is not {' or '.join(sorted(outcomes.succeeded))}, by state."
    )
    return (
        Chart("Deliveries begun", described, all_[1], across, all_[0]),
        Chart("Of these, without success", lost, far[1], across, far[0]),
    )


def _columns_of(
    days: Sequence[Group], until: datetime | None
) -> tuple[dict[date, Group | None], bool]:
    """The columns, each by its first day; and whether none is left out."""
    groups = {date.fromisoformat(g.label): g for g in days if g.label}
    first, last = min(groups), max(groups)
    size = (last - first).days + 1
    if size > _MOST_COLUMNS:
        unit: Unit = "week" if size <= 7 * _MOST_COLUMNS else "month"
        ends = datetime.combine(last, time.max, UTC)
        return {one.first: one.group for one in spans(days, unit, None, ends)}, False
    whole = size <= max(_MOST_EMPTY, 8 * len(groups))
    if whole and until is not None:
        ended = (until.astimezone(UTC) - timedelta(microseconds=1)).date()
        size = min(max(size, (ended - first).days + 1), _MOST_COLUMNS)
    every = [first + timedelta(days=i) for i in range(size)] if whole else sorted(groups)
    return {day: groups.get(day) for day in every}, whole


def _across(days: Sequence[date]) -> Iterable[Mark]:
    """Days below the columns: the first, each eighth or so, and never two in one place."""
    every = max(1, math.ceil(len(days) / 8))
    step = 100 / len(days)
    for i in range(0, len(days), every):
        yield Mark(rounded((i + 0.5) * step), short(days[i]), minor=i // every % 2 == 1)


def _whole(
    outcomes: Outcomes, columns: dict[date, Group | None]
) -> tuple[tuple[Block, ...], tuple[Mark, ...]]:
    """All deliveries of each column by state, in numbers."""
    ticks = ticks_to(max(group.total for group in columns.values() if group))
    blocks = []
    for at, (day, group) in enumerate(columns.items()):
        y = float(TOP + HEIGHT)
        counts = dict(zip(outcomes.states, group.states, strict=True)) if group else {}
        for state in ordered(outcomes):
            n = counts.get(state, 0)
            if n:
                height = n / ticks[-1] * HEIGHT
                y -= height
                title = f"{day}, {state}: {count(n)}"
                blocks.append(_column(at, len(columns), y, height, state, title))
    up = (Mark(rounded(TOP + HEIGHT - tick / ticks[-1] * HEIGHT), count(tick)) for tick in ticks)
    return tuple(blocks), tuple(up)


def _missed(
    outcomes: Outcomes, columns: dict[date, Group | None]
) -> tuple[tuple[Block, ...], tuple[Mark, ...]]:
    """What of each column did not succeed by state, in shares."""
    states = [state for state in ordered(outcomes) if state not in outcomes.succeeded]
    rates = [outcomes.rate(group) for group in columns.values() if group]
    worst = max((1 - rate for rate in rates if rate is not None), default=0.0)
    ceiling = next(top for top in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0) if worst <= top + 1e-9)
    blocks = []
    for at, (day, group) in enumerate(columns.items()):
        y = float(TOP + HEIGHT)
        counts = dict(zip(outcomes.states, group.states, strict=True)) if group else {}
        for state in states:
            n = counts.get(state, 0)
            if group and n:
                height = n / group.total / ceiling * HEIGHT
                y -= height
                title = f"{day}, {state}: {share(n, group.total)}"
                blocks.append(_column(at, len(columns), y, height, state, title))
    halves = (0, ceiling / 2, ceiling)
    up = (
        Mark(rounded(TOP + HEIGHT - HEIGHT * part / ceiling), f"{100 * part:g}%") for part in halves
    )
    return tuple(blocks), tuple(up)


def _column(at: int, columns: int, y: float, height: float, state: str, title: str) -> Block:
    step = 100 / columns
    x, width = at * step + 0.12 * step, 0.76 * step
    return Block(rounded(x), rounded(y), rounded(width), rounded(height), state, title)


def ticks_to(most: int) -> list[int]:
    """Round numbers from zero to the first that is not below ``most``."""
    round_numbers = (size * 10**power for power in count_from() for size in (1, 2, 5))
    step = next(number for number in round_numbers if number * 4 >= most)
    return [step * i for i in range(math.ceil(max(most, 1) / step) + 1)]


def rounded(number: float) -> float:
    """A coordinate, with as many digits as can be seen."""
    return round(number, 2)
