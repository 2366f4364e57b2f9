"""What the tallies of a ledger must be, by going through all of its events and deliveries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from postledger import Delivery, Ledger, Tally
from postledger.log.event import READ
from postledger.model import DELIVERY

ALL = ("hour", "source", "carrier", "route", "value", "seconds")
NONE = timedelta()


def tallied(ledger: Ledger) -> dict[str, dict[Any, tuple[int, int, timedelta]]]:
    """All tallies of a ledger, by all that is counted apart."""
    found = {
        what: ledger.tallies(what, by=ALL)  # type: ignore[arg-type]
        for what in ("events", "deliveries", "findings", "sendings")
    }
    return {what: {_key(one): _sums(one) for one in tallies} for what, tallies in found.items()}


def scanned(ledger: Ledger) -> dict[str, dict[Any, tuple[int, int, timedelta]]]:
    """The same by going through everything."""
    events = [event for event in ledger.events() if event.kind in READ]
    counted = Counter(
        (_hour(event.received_at), event.source, "", "", event.reading, 0) for event in events
    )
    found: dict[str, dict[Any, tuple[int, int, timedelta]]] = {
        "events": {key: (n, 0, NONE) for key, n in counted.items()},
        "deliveries": {},
        "findings": {},
        "sendings": {},
    }
    firsts: dict[Any, tuple[datetime, str]] = {}
    for event in events:
        if event.chart == DELIVERY:
            key, received = (event.space, event.key), (event.received_at, event.source)
            firsts[key] = min(firsts.get(key, received), received)
    if DELIVERY in ledger.definitions.charts:
        for delivery in ledger.deliveries():
            _, source = firsts[delivery.space, delivery.tracking_id]
            for what, key, sums in _of(delivery, source):
                before = found[what].get(key, (0, 0, NONE))
                found[what][key] = tuple(map(sum_of, before, sums))  # type: ignore[assignment]
    return found


def sum_of(one: Any, other: Any) -> Any:
    """The sum of two numbers, or of two durations."""
    return one + other


def _of(delivery: Delivery, source: str) -> list[tuple[str, Any, tuple[int, int, timedelta]]]:
    group = (
        _hour(delivery.first_received_at), source, delivery.spid or "", delivery.route or "",
    )  # fmt: skip
    took = _took(delivery.sent_at, delivery.outcome_at)
    seconds = _bound(took)
    sums = (1, delivery.repeats, _whole(took))
    found: list[Any] = [("deliveries", (*group, delivery.state, seconds), sums)]
    found += [("findings", (*group, name, seconds), sums) for name in delivery.findings]
    waited = _took(delivery.created_at, delivery.sent_at)
    if waited is not None:
        found.append(("sendings", (*group, "", _bound(waited)), (1, 0, _whole(waited))))
    return found


def _took(since: datetime | None, until: datetime | None) -> timedelta | None:
    took = until - since if since and until else None
    return took if took is not None and NONE <= took <= timedelta(days=3650) else None


def _whole(took: timedelta | None) -> timedelta:
    half = timedelta(seconds=0.5)
    return timedelta(seconds=((took or NONE) + half) // timedelta(seconds=1))


def _bound(took: timedelta | None) -> int:
    bounds = (
        [0] if took is None else [b for p in range(40) if took <= timedelta(seconds=(b := 2**p))]
    )
    return bounds[0]


def _hour(time: datetime) -> datetime:
    return time.replace(minute=0, second=0, microsecond=0)


def _key(one: Tally) -> Sequence[Any]:
    return tuple(getattr(one, name) for name in ALL)


def _sums(one: Tally) -> tuple[int, int, timedelta]:
    return one.count, one.repeats, one.duration
