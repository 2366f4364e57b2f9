"""Shares: whether more of what is counted went wrong lately than usually does.

A cumulative sum of log-likelihood ratios (Page 1954), of binomial counts in short slots: how much better
they fit a given worse share than the usual one. What is usual comes from the same hours of the days
before, by medians, so that a bad day is not taken for the usual. Where hours differ from each other more
than chance lets them, the evidence counts for less (Laney 2002). It is all worked out again at each
check: nothing is kept between two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import log

import attrs

HOURS = 24
"""The hours of a day, of which each has a usual share of its own."""

EVIDENCE = 13.0
"""The least sum of log-likelihood ratios to report, held by the tests of false alarms and of power."""

NEARNESS = 0.75
"""How much of the way from the usual share to the one that is looked for must have been gone at least.

However certain it is that a carrier has a worse day than usual: that alone is not reported.
"""

LEAST_DAYS = 3
"""On how many days of the past there must have been anything to judge by it."""

_LEAST, _MOST = 0.005, 0.99
_MEDIAN_OF_CHI_SQUARE = 0.455

Sums = tuple[int, int]
"""How many there are, and how many of them are bad."""


@attrs.frozen
class Usual:
    """What is usual, by the sums of hours since 1970, by their numbers; or a share ``given``.

    ``minimum`` is how many an hour of the day must have had to have a usual share of its own. It is
    worked out when it is asked for: most checks ask for little.
    """

    hours: Mapping[int, Sums] = attrs.field(factory=dict)
    minimum: int = 1
    given: float | None = None
    _apart: Mapping[int, list[tuple[int, Sums]]] = attrs.field(init=False)
    _shares: dict[int, float] = attrs.field(init=False, factory=dict)

    @_apart.default
    def _by_hour_of_day(self) -> Mapping[int, list[tuple[int, Sums]]]:
        apart: dict[int, list[tuple[int, Sums]]] = {hour: [] for hour in range(HOURS)}
        for hour, sums in self.hours.items():
            apart[hour % HOURS].append((hour, sums))
        return apart

    @property
    def known(self) -> bool:
        """Whether it is given, or enough was counted, on enough days."""
        return self.given is not None or _enough(_by_day(self.hours.items()), self.minimum)

    def share(self, hour: int) -> float:
        """The usual share of an hour of the day: by it and the hours next to it, or by all."""
        if self.given is not None:
            return self.given
        if hour not in self._shares:
            # A day's hours around midnight are those of one night.
            days = _by_day(
                (number - by, sums)
                for by in (-1, 0, 1)
                for number, sums in self._apart[(hour + by) % HOURS]
            )
            near = days if _enough(days, self.minimum) else _by_day(self.hours.items())
            self._shares[hour] = _median(near.values())
        return self._shares[hour]

    def spread(self) -> float:
        """How much more hours vary than by chance, as a ratio of variances, at least 1.

        By the median of squared deviations: a few bad hours don't count.
        """
        squares = []
        for number, (count, bad) in self.hours.items():
            if count:
                share = self.share(number % HOURS)
                squares.append((bad - count * share) ** 2 / (count * share * (1 - share)))
        if not squares:
            return 1.0
        squares.sort()
        return max(1.0, squares[len(squares) // 2] / _MEDIAN_OF_CHI_SQUARE)


@attrs.frozen
class Stretch:
    """The slots since the number ``since`` in which things went worse than usual.

    ``count`` messages of which ``bad`` were, and ``usual`` as a share would have been.
    """

    since: int
    count: int
    bad: int
    usual: float


def worse(
    slots: Iterable[tuple[int, int, Sums]],
    usual: Usual,
    expected: Callable[[float], float],
    minimum: int,
) -> Stretch | None:
    """The stretch up to the last slot that went worse than usual; ``None`` where none did.

    ``slots`` are their numbers, hours of the day and sums, the newest first. ``expected`` is the bad
    share to look for instead of a usual one. The newest ``minimum`` must speak for it, too: so an alert
    ends soon after what it was about.
    """
    count = bad = 0
    evidence = normal = shifted = 0.0
    best, found, newest = EVIDENCE, None, True
    for number, hour, (n, wrong) in slots:
        share = usual.share(hour)
        other = max(share, min(expected(share), _MOST))
        gain = wrong * log(other / share) + (n - wrong) * log((1 - other) / (1 - share))
        count, bad, evidence = count + n, bad + wrong, evidence + gain
        normal, shifted = normal + n * share, shifted + n * other
        if count < minimum:
            continue
        if newest and evidence <= 0:
            return None
        newest = False
        if evidence >= best and bad - normal >= NEARNESS * (shifted - normal):
            best, found = evidence, Stretch(number, count, bad, normal / count)
    return found if found is not None and best >= EVIDENCE * usual.spread() else None


def _by_day(hours: Iterable[tuple[int, Sums]]) -> dict[int, Sums]:
    days: dict[int, Sums] = {}
    for hour, (count, bad) in hours:
        if count:
            before = days.get(hour // HOURS, (0, 0))
            days[hour // HOURS] = before[0] + count, before[1] + bad
    return days


def _enough(days: Mapping[int, Sums], minimum: int) -> bool:
    return len(days) >= LEAST_DAYS and sum(count for count, _ in days.values()) >= minimum


def _median(sums: Iterable[Sums]) -> float:
    """The median of shares, each weighted by its count, within what logarithms can take."""
    shares = sorted((bad / count, count) for count, bad in sums)
    half = sum(count for _, count in shares) / 2
    seen = 0
    for share, count in shares:
        seen += count
        if seen >= half:
            return min(max(share, _LEAST), _MOST - _LEAST)
    return _LEAST
