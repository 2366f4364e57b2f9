"""The overview: what began in the last 24 hours, by the hour, and what somebody should look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import attrs

from postledger.alerts.alert import subject
from postledger.audit import words
from postledger.console.asking import Asking
from postledger.console.views.holding import parked_in
from postledger.invoices.invoice import DELIVERED
from postledger.model import DELIVERY, Tally
from postledger.times import now

HOURS = 24
_WEEK = timedelta(days=7)
_HOUR = timedelta(hours=1)


@attrs.frozen
class Look:
    """Something to look at: what it is, more of it, and where (a path with its query)."""

    title: str
    text: str
    path: str = ""
    query: Mapping[str, str] = attrs.field(factory=dict)
    link: str = ""
    grave: bool = False


@attrs.frozen
class Bars:
    """The deliveries in one state that began in each hour."""

    state: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts)

    def heights(self, most: float) -> tuple[tuple[float, float], ...]:
        """Where each bar begins, in per cent, and how high it is."""
        highest, step = max(self.counts) or 1, 100 / len(self.counts)
        return tuple(
            (round(i * step, 2), round(n / highest * most, 1)) for i, n in enumerate(self.counts)
        )


@attrs.frozen
class Overview:
    """24 hours up to ``until``.

    ``before`` are those of a week ago: how many were delivered, and how many had an outcome.
    """

    since: datetime
    until: datetime
    bars: tuple[Bars, ...]
    final: frozenset[str]
    contradicting: int
    before: tuple[int, int]
    looks: tuple[Look, ...]
    size: int

    def count(self, states: frozenset[str] | set[str]) -> int:
        """The deliveries in some states."""
        return sum(one.total for one in self.bars if one.state in states)

    @property
    def outcomes(self) -> tuple[int, int]:
        """Delivered, and with an outcome."""
        return self.count({DELIVERED}), self.count(self.final)

    @property
    def open(self) -> int:
        """The deliveries without outcome."""
        return sum(one.total for one in self.bars if one.state not in self.final)

    @property
    def undelivered(self) -> int:
        """The deliveries with another outcome than delivered."""
        delivered, ended = self.outcomes
        return ended - delivered

    @property
    def share(self) -> str:
        """The delivered share."""
        return words.share(*self.outcomes)

    @property
    def moved(self) -> str:
        """How the share differs from that of a week ago; empty where there is none."""
        (delivered, ended), (was, of) = self.outcomes, self.before
        if not ended or not of:
            return ""
        points = 100 * (delivered / ended - was / of)
        if abs(points) < 0.05:
            return "as a week ago"
        return f"{abs(points):.1f} points {'up' if points > 0 else 'down'} on a week ago"

    def shares(self) -> tuple[tuple[float, float], ...]:
        """The share of each hour that has any outcome: x and y in per cent, from above."""
        good = next((one.counts for one in self.bars if one.state == DELIVERED), (0,) * HOURS)
        ended = [
            sum(one.counts[i] for one in self.bars if one.state in self.final) for i in range(HOURS)
        ]
        found = [(i, good[i] / of) for i, of in enumerate(ended) if of]
        if len(found) < 2:
            return ()
        least = min(0.98, *(share for _, share in found))
        return tuple(
            (round(100 * i / (HOURS - 1), 2), round(100 * (1 - (share - least) / (1 - least)), 1))
            for i, share in found
        )


def overview_of(asking: Asking) -> Overview:
    """The overview of a ledger as it is now."""
    ledger = asking.ledger
    health, region = ledger.health(), ledger.definitions.chart(DELIVERY).regions[0]
    until = _end(health.last_received)
    since = until - HOURS * _HOUR
    tallies = ledger.tallies(by=["hour", "value"], since=since, until=until)
    findings = ledger.tallies("findings", by=["value"], since=since, until=until)
    before = ledger.tallies(by=["value"], since=since - _WEEK, until=until - _WEEK)
    return Overview(
        since=since,
        until=until,
        bars=tuple(_bars(state, tallies, since) for state in region.states),
        final=frozenset(region.final),
        contradicting=sum(one.count for one in findings if one.value == "contradiction"),
        before=(
            sum(one.count for one in before if one.value == DELIVERED),
            sum(one.count for one in before if one.value in region.final),
        ),
        looks=tuple(_looks(asking, since, until)),
        size=health.size,
    )


_MORE: dict[str, tuple[str, dict[str, str], str]] = {
    "stuck": ("/", {"only": "open"}, "Show those"),
    "unreadable": ("/unread", {}, "Read them"),
    "silence": ("/integrity", {}, "When it was last heard of"),
}


def states_of(asking: Asking) -> tuple[frozenset[str], tuple[str, ...]]:
    """The states that are an outcome, and all states of a delivery."""
    region = asking.ledger.definitions.chart(DELIVERY).regions[0]
    return frozenset(region.final), tuple(region.states)


def _end(received: datetime | None) -> datetime:
    """The end of the hour that is running, or of the last in which anything was received."""
    at = now()
    if received is not None and received < at - HOURS * _HOUR:
        at = received
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + _HOUR


def _bars(state: str, tallies: tuple[Tally, ...], since: datetime) -> Bars:
    counts = [0] * HOURS
    for one in tallies:
        if one.value == state and one.hour is not None:
            counts[(one.hour - since) // _HOUR] += one.count
    return Bars(state, tuple(counts))


def _looks(asking: Asking, since: datetime, until: datetime) -> Iterator[Look]:
    """What to look at, the gravest first."""
    ledger = asking.ledger
    health, mask = ledger.health(), asking.mask_of(ledger.definitions)
    for problem in health.problems:
        yield Look("The ledger has a problem", problem, "/integrity", {}, "Integrity", grave=True)
    for alert in asking.alerts():
        name = mask.label(alert.name)
        title = f"{subject(alert.of, name).capitalize()}: {alert.rule}"
        yield Look(title, alert.text, *_MORE.get(alert.rule, ("/carriers", {}, "Carriers")))
    if parked := parked_in(asking):
        title = f"{words.count(parked)} {'message is' if parked == 1 else 'messages are'} parked"
        yield Look(title, "The forwarder gave them up.", "/parked", {}, "Which")
    waiting = sum(one.deliveries for one in health.open if one.least >= 3_600)
    if waiting:
        title = f"{words.count(waiting)} wait for over an hour"
        yield Look(title, "No outcome was reported yet.", "/", {"only": "open"}, "Show those")
    events = ledger.tallies("events", by=["value"], since=since, until=until)
    for reading, title in (
        ("unreadable", "unreadable"),
        ("unrecognised", "of unknown wording"),
        ("unverified", "of unverified senders"),
    ):
        count = sum(one.count for one in events if one.value == reading)
        if count:
            bodies = "body" if count == 1 else "bodies"
            said = f"{words.count(count)} {bodies} {title}"
            yield Look(said, "In these 24 hours.", "/unread", {}, "Read them")
