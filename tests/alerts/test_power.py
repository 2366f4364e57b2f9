"""Whether drops are found and nothing else is: simulated counts of weeks, judged as ledgers' are.

Messages come at 1,000 an hour in total, of three carriers alike: harder than 1,000 of each. Their ratios
go up and down by the hour of the day, by the day and from hour to hour, and volumes follow the sun. The
seeds here were not used to choose the thresholds of ``postledger.alerts.shares``.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, exp, log, pi, sqrt
from random import Random

import attrs
import pytest

from postledger import Rules
from postledger.alerts.counted import SLOT, Carrier, Counted
from postledger.alerts.judged import alerts_of
from postledger.state.row import HOUR

SLOTS = HOUR // SLOT
"""Slots an hour."""

PAST = 17
"""Days before anything is judged: the past, and the two days before now that are not part of it."""

AN_HOUR = 1_000 / 3
RATIOS = {"0001470": 0.9, "0001570": 0.93, "0001580": 0.95}
SETTLED = 5 * SLOT
RULES = Rules(unreadable=None, silence=None)

Counts = tuple[int, int, int]


@attrs.define
class Simulated:
    """A carrier, slot by slot; ``noise`` is how much its log-odds vary by the day and by the hour."""

    ratio: float
    rng: Random
    noise: float = 0.1
    seasonal: bool = True
    hours: dict[int, Counts] = attrs.field(factory=dict)
    slots: dict[int, Counts] = attrs.field(factory=dict)
    _day: float = 0.0
    _hour: float = 0.0

    def step(self, slot: int, factor: float = 1.0) -> None:
        """Count the messages of the next slot, of which so many times fewer are delivered."""
        rng, (hour, minutes) = self.rng, divmod(slot, SLOTS)
        if minutes == 0:
            self._hour = 0.8 * self._hour + rng.gauss(0, 0.6 * self.noise)
            if hour % 24 == 0:
                self._day = rng.gauss(0, self.noise)
        sun = (1 - cos(2 * pi * (hour % 24 - 3) / 24)) / 2
        mean = AN_HOUR / SLOTS * (0.15 + 1.7 * sun if self.seasonal else 1)
        count = max(0, round(rng.gauss(mean, sqrt(mean))))
        odds = log(self.ratio / (1 - self.ratio)) + self._day + self._hour + 0.15 * (sun - 0.5)
        share = factor / (1 + exp(-odds))
        delivered = sum(rng.random() < share for _ in range(count))
        stuck = sum(rng.random() < 0.2 for _ in range(count - delivered))
        self.slots[slot] = count, delivered, stuck
        sums = zip(self.hours.get(hour, (0, 0, 0)), self.slots[slot], strict=True)
        self.hours[hour] = tuple(map(sum, sums))  # type: ignore[assignment]
        # The past is held by the hour.
        self.slots.pop(slot - 3 * 24 * SLOTS, None)
        self.hours.pop(hour - 20 * 24, None)

    def counted(self, slot: int) -> Carrier:
        """What a ledger has as of the beginning of a slot."""
        first = slot // SLOTS - 48
        past = {hour: self.hours[hour] for hour in range(first - 14 * 24, first)}
        recent = {one: self.slots[one] for one in range(first * SLOTS, slot)}
        return Carrier(past, recent, SETTLED)


def carriers(seed: int, noise: float, *, seasonal: bool) -> dict[str, Simulated]:
    """Three carriers of one stream of random numbers."""
    rng = Random(seed)
    return {name: Simulated(one, rng, noise, seasonal) for name, one in RATIOS.items()}


def found_after(seed: int, *, noise: float = 0.1) -> int | None:
    """How many minutes after a drop of 20 % it is reported: of that carrier, and of no other.

    From when the first of its messages can be judged. ``None`` if it isn't within two hours. Messages
    come evenly.
    """
    simulated = carriers(seed, noise, seasonal=False)
    name = list(RATIOS)[seed % len(RATIOS)]
    dropped = PAST * 24 * SLOTS + Random(seed).randrange(24 * SLOTS)
    for slot in range(dropped + 2 * SLOTS + SETTLED // SLOT):
        for other, carrier in simulated.items():
            carrier.step(slot, 0.8 if other == name and slot >= dropped else 1.0)
        if slot >= dropped:
            now = slot + 1
            counted = {other: one.counted(now) for other, one in simulated.items()}
            alerts = alerts_of(Counted(now * SLOT, counted, {}), RULES)
            if alerts:
                assert [(one.rule, one.name) for one in alerts] == [("ratio", name)]
                since = dropped + SETTLED // SLOT
                return (now - since) * SLOT // 60_000_000
    return None


def alarms(seed: int, days: int, *, noise: float = 0.1, every: int = 3) -> Iterator[str]:
    """What is reported on days on which nothing happened, checked every quarter of an hour."""
    simulated, said = carriers(seed, noise, seasonal=True), set[tuple[str, str | None]]()
    for slot in range((PAST + days) * 24 * SLOTS):
        for carrier in simulated.values():
            carrier.step(slot)
        if slot >= PAST * 24 * SLOTS and slot % every == 0:
            counted = {name: one.counted(slot + 1) for name, one in simulated.items()}
            alerts = alerts_of(Counted((slot + 1) * SLOT, counted, {}), RULES)
            yield from (str(one) for one in alerts if (one.rule, one.name) not in said)
            said = {(one.rule, one.name) for one in alerts}


def test_a_drop_is_found_within_an_hour() -> None:
    """A few of the seeds of the whole test."""
    found = [found_after(seed) for seed in range(70_000, 70_004)]
    assert all(minutes is not None and minutes <= 60 for minutes in found), found


def test_usual_days_raise_no_alarm() -> None:
    """A few of the days of the whole test."""
    assert list(alarms(80_000, 5, every=6)) == []


@pytest.mark.long
def test_drops_of_twenty_seeds_are_found_within_an_hour() -> None:
    """At least 19 of 20, of whichever of three carriers."""
    found = [found_after(seed) for seed in range(70_000, 70_020)]
    in_time = [minutes for minutes in found if minutes is not None and minutes <= 60]
    assert len(in_time) >= 19, found


@pytest.mark.long
def test_six_hundred_days_have_one_alarm_at_most() -> None:
    """Of all carriers together, by the ratio and by what is stuck."""
    found = [alarm for seed in range(110_000, 110_010) for alarm in alarms(seed, 60)]
    assert len(found) <= 1, found
