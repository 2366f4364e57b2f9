"""Counted: what the rules judge, of one ledger at one time.

Deliveries are those that began by the time of their first event, in slots of five minutes, or of an
hour where they are past. Events are counted by the hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from math import ceil

import attrs

from postledger.alerts.rules import Rules
from postledger.projections.counts import SlotRow, delays_of, slots_of
from postledger.projections.index import Index
from postledger.projections.queries import Listing
from postledger.projections.tallies import Tallies
from postledger.state.row import EVENTS, HOUR
from postledger.store.store import Store

SLOT = HOUR // 12
"""The length of a slot in microseconds: five minutes."""

DAY = 24 * HOUR
"""How much is judged, in microseconds."""

UNREAD = ("unreadable", "unrecognised")
"""The readings of events that no chart takes."""

READ = ("recognised", *UNREAD)
"""Those of events whose sender check did not fail."""

_SETTLED = 0.99
_MICROSECOND = timedelta(microseconds=1)
_LEAST = 100
_MOST_DELAYS = 10_000

Deliveries = tuple[int, int, int]
"""How many deliveries began, how many of these are delivered, and how many have no outcome."""

Events = tuple[int, int]
"""How many events were received, and how many of these can't be read or aren't recognised."""


@attrs.frozen
class Carrier:
    """The deliveries of a carrier: ``past`` by the number of the hour, ``recent`` by that of the slot.

    ``settled`` is the age in microseconds at which 99 % of the past outcomes had been received.
    """

    past: Mapping[int, Deliveries]
    recent: Mapping[int, Deliveries]
    settled: int = DAY


@attrs.frozen
class Counted:
    """What was counted as of ``at``, in microseconds.

    ``sources`` have their events by the number of the hour. ``newest`` is when anything was received
    last, as far as is known. Names may be empty: those of events without one.
    """

    at: int
    carriers: Mapping[str, Carrier]
    sources: Mapping[str, Mapping[int, Events]]
    newest: int | None = None


@attrs.frozen
class Periods:
    """When the past begins, when it ends and the recent time begins, and the time that is asked for."""

    past: int
    recent: int
    at: int

    @classmethod
    def of(cls, rules: Rules, at: int) -> Periods:
        """The periods that rules look at, as of a time."""
        age = 0 if rules.stuck is None else rules.stuck.age // _MICROSECOND
        recent = (at - max(DAY, age) - DAY) // HOUR * HOUR
        return cls(recent - rules.days * DAY, recent, at)

    @property
    def first_hour(self) -> int:
        """The number of the first hour."""
        return self.past // HOUR


def carriers_of(
    store: Store, listing: Listing, index: Index, periods: Periods
) -> dict[str, Carrier]:
    """What carriers did in the periods."""
    past = _by_carrier(slots_of(store, listing, periods.past, periods.recent, HOUR))
    recent = _by_carrier(slots_of(store, listing, periods.recent, periods.at + 1, SLOT))
    ends = (periods.past, periods.recent), (periods.recent, periods.at + 1)
    delays = next(
        (some for some in (_delays(store, listing, index, *one) for one in ends) if some), {}
    )
    every = sorted(took for each in delays.values() for took in each)
    return {
        name: Carrier(
            past.get(name, {}), recent.get(name, {}), settled_at(delays.get(name, ()), every)
        )
        for name in sorted(past.keys() | recent.keys())
    }


def settled_at(delays: Iterable[int], every: Iterable[int]) -> int:
    """The age at which 99 % of outcomes had come, at most a day; by ``every`` where there are few."""
    listed = sorted(delays)
    if len(listed) < _LEAST:
        listed = sorted(every)
    if not listed:
        return DAY
    return min(DAY, max(0, listed[ceil(_SETTLED * len(listed)) - 1]))


def events_of(tallies: Tallies, first: int, until: int) -> dict[str, dict[int, Events]]:
    """The events by source and hour, of the hours from number ``first``, before ``until``."""
    found: dict[str, dict[int, Events]] = {}
    rows = tallies.sums(EVENTS, ("hour", "source", "value"), first, until)
    for hour, source, reading, count, *_ in rows:
        add_events(found, hour, source, reading, count)
    return found


def add_events(
    found: dict[str, dict[int, Events]], hour: int, source: str, reading: str, count: int
) -> None:
    """Add events of one reading; those whose sender nobody vouches for don't count."""
    if reading in READ:
        hours = found.setdefault(source, {})
        n, unread = hours.get(hour, (0, 0))
        hours[hour] = n + count, unread + (count if reading in UNREAD else 0)


def _by_carrier(rows: Iterable[SlotRow]) -> dict[str, dict[int, Deliveries]]:
    found: dict[str, dict[int, Deliveries]] = {}
    for carrier, slot, *counts in rows:
        n, delivered, stuck = counts
        slots = found.setdefault(carrier or "", {})
        # An empty name and none are one carrier.
        before = slots.get(slot, (0, 0, 0))
        slots[slot] = before[0] + n, before[1] + delivered, before[2] + stuck
    return found


def _delays(
    store: Store, listing: Listing, index: Index, since: int, until: int
) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for carrier, took in delays_of(store, listing, index, since, until, _MOST_DELAYS):
        found.setdefault(carrier or "", []).append(took)
    return found
