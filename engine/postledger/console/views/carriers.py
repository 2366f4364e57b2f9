"""Carriers: how many of the deliveries of each were delivered, day by day, next to the days before."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import attrs

from postledger.audit import words
from postledger.console.asking import Asking
from postledger.invoices.invoice import DELIVERED
from postledger.ledger.ledger import Ledger
from postledger.model import DELIVERY
from postledger.times import now

MOST = 50
"""Carriers that are listed: those with the most deliveries, the worst change first."""

DAYS = 14
_DAY = timedelta(days=1)

Sums = dict[str, tuple[int, int, int]]
"""Of each carrier: deliveries, those with an outcome, those delivered."""


@attrs.frozen
class Carrier:
    """A carrier: sums of the period, of the one before, and the delivered share of each day."""

    name: str
    sums: tuple[int, int, int]
    before: tuple[int, int, int]
    days: tuple[float | None, ...]

    @property
    def share(self) -> str:
        """The delivered share, of those with an outcome."""
        return words.share(self.sums[2], self.sums[1])

    @property
    def points(self) -> float | None:
        """By how many points it differs from that of the period before; ``None`` where there is none."""
        (_, ended, delivered), (_, of, was) = self.sums, self.before
        return round(100 * (delivered / ended - was / of), 1) if ended and of else None

    def line(self, least: float) -> str:
        """The shares of its days as points of a line, in per cent from above; empty below two."""
        found = [(i, share) for i, share in enumerate(self.days) if share is not None]
        if len(found) < 2:
            return ""
        step, scale = 100 / (len(self.days) - 1), 100 / (1 - least)
        return " ".join(f"{i * step:.1f},{(1 - share) * scale:.1f}" for i, share in found)


@attrs.frozen
class Carriers:
    """The carriers of a period of days, up to ``until``; ``least`` is where their axis begins."""

    since: datetime
    until: datetime
    listed: tuple[Carrier, ...]
    left: int
    least: float


def carriers_of(asking: Asking) -> Carriers:
    """The carriers of the last days, or of the last in which anything was received."""
    ledger = asking.ledger
    final = frozenset(ledger.definitions.chart(DELIVERY).regions[0].final)
    received, at = ledger.health().last_received, now()
    if received is not None and received < at - DAYS * _DAY:
        at = received
    until = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    days = [until - n * _DAY for n in range(DAYS, 0, -1)]
    by_day = [_sums(ledger, day, day + _DAY, final) for day in days]
    before = _sums(ledger, days[0] - DAYS * _DAY, days[0], final)
    total = _added(by_day)
    largest = sorted(total, key=lambda name: (-total[name][0], name))
    # Of many deliveries: any of their numbers may be in the name.
    mask = asking.mask_of(ledger.definitions)
    listed = [
        Carrier(
            name=(mask.label(name) if name else "") or words.NONE,
            sums=total[name],
            before=before.get(name, (0, 0, 0)),
            days=tuple(_share(day.get(name)) for day in by_day),
        )
        for name in largest[:MOST]
    ]
    listed.sort(key=lambda one: (one.points is None, one.points))
    shares = [share for one in listed for share in one.days if share is not None]
    least = min(0.9, min(shares, default=0.9))
    return Carriers(days[0], until, tuple(listed), max(0, len(largest) - MOST), least)


def _sums(ledger: Ledger, since: datetime, until: datetime, final: frozenset[str]) -> Sums:
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for one in ledger.tallies(by=["carrier", "value"], since=since, until=until):
        sums = found[one.carrier or ""]
        sums[0] += one.count
        sums[1] += one.count * (one.value in final)
        sums[2] += one.count * (one.value == DELIVERED)
    return {name: (sums[0], sums[1], sums[2]) for name, sums in found.items()}


def _added(days: list[Sums]) -> Sums:
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for day in days:
        for name, sums in day.items():
            found[name] = [a + b for a, b in zip(found[name], sums, strict=True)]
    return {name: (sums[0], sums[1], sums[2]) for name, sums in found.items()}


def _share(sums: tuple[int, int, int] | None) -> float | None:
    return sums[2] / sums[1] if sums and sums[1] else None
