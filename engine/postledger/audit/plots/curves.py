"""Curves: the rate of success day by day next to the period before, and the times to outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate

import attrs

from postledger.audit.durations import SECOND, STEPS, Durations
from postledger.audit.outcomes import Before, Group, Outcomes
from postledger.audit.plots.calendar import name_of, short
from postledger.audit.plots.drawing import (
    HEIGHT,
    TOP,
    Block,
    Chart,
    Mark,
    rounded,
    ticks_to,
)
from postledger.audit.words import count, share, span

_TOP = 70
"""Above the bars of times stand the names of what is marked."""

_FEWEST = 20
"""Of a day with fewer deliveries than that the rate is not marked as the lowest."""

_LABELLED = (
    *((1, "1 s", False), (3, "3 s", True), (10, "10 s", False), (30, "30 s", True)),
    *((60, "1 min", False), (300, "5 min", True), (600, "10 min", False), (1800, "30 min", True)),
    *((3600, "1 h", False), (21_600, "6 h", True), (86_400, "1 d", False)),
    *((259_200, "3 d", True), (0.1, "0.1 s", False)),
)
"""Places on the axis of times in seconds, and which of them are left out where there is little room."""

Rates = Mapping[int, float]
"""The rate of each day, by how many days it is after the first."""


def rates(outcomes: Outcomes, before: Before | None, since: datetime | None) -> Chart | None:
    """The share of success by day, as a line next to that of the period before.

    ``None`` for fewer than two days, or where most have no delivery.
    """
    groups = {date.fromisoformat(g.label): g for g in outcomes.days.groups if g.label}
    if len(groups) < 2:
        return None
    start = min(groups) if since is None else min(since.astimezone(UTC).date(), min(groups))
    length = (max(groups) - start).days
    if 2 * len(groups) < length:
        return None
    now = _rates(outcomes, groups, start)
    then: Rates = {}
    if before is not None:
        earlier = {date.fromisoformat(g.label): g for g in before.days if g.label}
        then = _rates(outcomes, earlier, before.since.astimezone(UTC).date())
        then = {at: rate for at, rate in then.items() if at <= length}
    scale = _Scale.of([*now.values(), *then.values()])
    lowest = min(now, key=lambda at: now[at])
    day = start + timedelta(days=lowest)
    described = (
        f"From {share_of(min(now.values()))} to {share_of(max(now.values()))}; the lowest on {day}."
    )
    lines = ((rate, was) for rate, was in ((then, True), (now, False)) if rate)
    few = groups[day].total < _FEWEST
    return Chart(
        _title(outcomes, before),
        described,
        up=tuple(scale.up()),
        across=tuple(_across(start, length)),
        lines=tuple((_path(rate, length, scale), was) for rate, was in lines),
        dots=() if few else (_dot(lowest, now[lowest], length, scale, day),),
        labels=tuple(_named(now, then, length, scale, _names(before))),
    )


@attrs.frozen
class _Scale:
    """An axis of rates, between two tenths."""

    floor: float
    ceiling: float

    @classmethod
    def of(cls, rates: Sequence[float]) -> _Scale:
        """The axis that has all of some rates."""
        low, high = math.floor(10 * min(rates)) / 10, math.ceil(10 * max(rates)) / 10
        if low == high:
            low, high = (low - 0.1, high) if high >= 1 else (low, high + 0.1)
        return cls(low, high)

    def down(self, rate: float) -> float:
        """How far down a rate stands, from 0 to 1."""
        return (self.ceiling - rate) / (self.ceiling - self.floor)

    def y(self, rate: float) -> float:
        """Where a rate stands in the picture."""
        return rounded(TOP + HEIGHT * self.down(rate))

    def up(self) -> Iterator[Mark]:
        """The marks of the axis, the lowest first."""
        tenths = round(10 * (self.ceiling - self.floor))
        steps = {1: 2, 2: 4, 3: 3, 4: 4, 6: 3, 8: 4, 9: 3}.get(tenths, 5)
        for step in range(steps + 1):
            rate = self.floor + (self.ceiling - self.floor) * step / steps
            yield Mark(self.y(rate), f"{100 * rate:.3g}%")


def share_of(rate: float) -> str:
    """A rate in percent."""
    return f"{100 * rate:.1f}%"


def _title(outcomes: Outcomes, before: Before | None) -> str:
    won = outcomes.count(outcomes.succeeded)
    said = share(won, outcomes.all.total)
    earlier = None if before is None else outcomes.rate(before.all)
    return said if earlier is None else f"{said}, after {share_of(earlier)} in {name_of(before)}"


def _rates(outcomes: Outcomes, groups: Mapping[date, Group], start: date) -> dict[int, float]:
    found = {(day - start).days: outcomes.rate(group) for day, group in sorted(groups.items())}
    return {at: rate for at, rate in found.items() if rate is not None and at >= 0}


def _across(start: date, length: int) -> Iterator[Mark]:
    """The first day, and about one in seven of the others."""
    every = max(1, math.ceil((length + 1) / 8))
    for i in range(0, length + 1, every):
        text = short(start + timedelta(days=i))
        yield Mark(_x(i, length), text, minor=i // every % 2 == 1, middle=i > 0)


def _x(at: int, length: int) -> float:
    return rounded(100 * at / max(length, 1))


def _path(rates: Rates, length: int, scale: _Scale) -> str:
    """A line in a square of 100 by 100; it is broken where a day has no delivery."""
    parts, last = [], None
    for at, rate in rates.items():
        joined = last is not None and at == last + 1
        parts.append(f"{'L' if joined else 'M'}{_x(at, length)} {rounded(100 * scale.down(rate))}")
        if not joined:
            # A day alone is a point.
            parts.append("h0")
        last = at
    return "".join(parts)


def _dot(at: int, rate: float, length: int, scale: _Scale, day: date) -> Mark:
    x = _x(at, length)
    return Mark(x, f"{share_of(rate)} on {short(day)}", scale.y(rate), end=x > 50)


def _names(before: Before | None) -> tuple[str, str]:
    """What the two lines are called: by their months, where they are some."""
    name = name_of(before)
    return ("this month", name) if name[0].isupper() else ("this period", "the one before")


def _named(
    now: Rates, then: Rates, length: int, scale: _Scale, names: tuple[str, str]
) -> Iterator[Mark]:
    """The names of the two lines, each where it stands highest over the other."""
    if not then:
        return
    inside = [at for at in now if at in then and length * 0.1 <= at <= length * 0.9]
    if not inside:
        return
    for mine, other, text, kind in (
        (now, then, names[0], "now"),
        (then, now, names[1], "soft"),
    ):
        at = max(inside, key=lambda day: mine[day] - other[day])
        level = rounded(scale.y(mine[at]) - 9)
        yield Mark(_x(at, length), text, max(level, 8), middle=True, kind=kind)


def histogram(durations: Durations) -> Chart | None:
    """The times from sent to outcome on a logarithmic axis that ends with them; ``None`` for none."""
    found = durations.overall
    if found is None:
        return None
    first, last = _within(durations.curve)
    bins = durations.curve[first : last + 1]
    beyond = found.count - sum(bins)
    ticks = ticks_to(max(bins))
    described = (
        f"{count(found.count)} deliveries; half took at most {span(found.p50)}, 90% at most"
        f" {span(found.p90)}, 99% at most {span(found.p99)}."
        + (
            f" {count(beyond)} beyond its ends {'is' if beyond == 1 else 'are'} not drawn."
            if beyond
            else ""
        )
        + " The table below has the numbers."
    )
    named = (("half", found.p50), ("90%", found.p90), ("99%", found.p99))
    return Chart(
        f"Half of the outcomes came within {span(found.p50)}",
        described,
        up=tuple(
            Mark(rounded(_TOP + HEIGHT - HEIGHT * tick / ticks[-1]), count(tick)) for tick in ticks
        ),
        across=tuple(_times(first, len(bins))),
        blocks=tuple(_bars(bins, ticks[-1], first)),
        marked=tuple(
            _marked(name, took, first, len(bins), level) for level, (name, took) in enumerate(named)
        ),
        beyond=beyond,
        top=_TOP,
        floor=_TOP + HEIGHT,
    )


def _within(curve: Sequence[int]) -> tuple[int, int]:
    """The first and the last bin to draw: beyond each lies less than a thousandth."""
    least = sum(curve) / 1_000
    ends = []
    for bins in (curve, curve[::-1]):
        so_far = accumulate(bins)
        ends.append(next(at for at, n in enumerate(so_far) if n and n >= least))
    return ends[0], len(curve) - 1 - ends[1]


def _bars(bins: Sequence[int], top: int, first: int) -> Iterator[Block]:
    step = 100 / len(bins)
    for at, n in enumerate(bins):
        if n:
            height = rounded(HEIGHT * n / top)
            y, x = rounded(_TOP + HEIGHT - height), rounded(at * step + 0.1 * step)
            yield Block(x, y, rounded(0.8 * step), height, "", f"{_bin(first + at)}: {count(n)}")


def _bin(number: int) -> str:
    """The words of a bin by its number."""
    if number == 0:
        return f"under {span(STEPS[0])}"
    if number == len(STEPS):
        return f"{span(STEPS[-1])} and more"
    return f"{span(STEPS[number - 1])} to {span(STEPS[number])}"


def place(micros: float, first: int, bins: int) -> float:
    """Where a time stands across, in per cent: its bin begins at the step before it."""
    at = 8 * (math.log10(max(micros, 1) / SECOND) + 1) + 1
    return rounded(100 * min(max(at - first, 0), bins) / bins)


def _times(first: int, bins: int) -> Iterator[Mark]:
    for seconds, text, minor in _LABELLED:
        micros = seconds * SECOND
        at = 8 * (math.log10(seconds) + 1) + 1
        if first <= at <= first + bins:
            yield Mark(place(micros, first, bins), text, minor=minor, middle=True)


def _marked(name: str, took: int, first: int, bins: int, level: int) -> Mark:
    at = place(took, first, bins)
    text = f"{name} within {span(took)}"
    return Mark(at, text, 12 + 20 * level, end=at > 60)
