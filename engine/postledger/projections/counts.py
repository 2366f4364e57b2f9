"""Counts: how many of the deliveries that a query asks for have something in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal, get_args

from postledger.errors import UnknownWord
from postledger.log.log import JOINED
from postledger.model import DELIVERY, Count
from postledger.projections.generations import BEGAN
from postledger.projections.index import Index
from postledger.projections.queries import Listing, Query, floored, where
from postledger.projections.search import among
from postledger.store.store import Store, holes
from postledger.times import iso, time_of

CountBy = Literal[
    "state",
    "route",
    "read",
    "grade",
    "spid",
    "aggregator",
    "handset",
    "space",
    "source",
    "reason",
    "reason_class",
    "day",
    "hour",
]
"""What ``Ledger.counts`` counts by; ``day`` and ``hour`` are those in which a delivery began."""

COUNTED_BY: tuple[CountBy, ...] = get_args(CountBy)

_COLUMNS: dict[str, str] = {
    **{name: f"s.{name}" for name in COUNTED_BY},
    "aggregator": "s.aggregator_id",
    "reason": "coalesce(s.reason, s.route_reason)",
    "space": "t.space",
}
_TIMES = ("day", "hour")
_LENGTHS = {"day": 86_400_000_000, "hour": 3_600_000_000}
# Since 1972 clocks of all zones differ by whole minutes.
_MINUTE = 60_000_000


def require_dimensions(by: Iterable[str]) -> tuple[CountBy, ...]:
    """The dimensions; raises ``UnknownWord`` for others, ``ValueError`` for none or one given twice."""
    named = tuple(by)
    for name in named:
        if name not in COUNTED_BY:
            raise UnknownWord(f"unknown dimension {name!r}: expected {', '.join(COUNTED_BY)}")
    if not named or len(set(named)) < len(named):
        raise ValueError(
            f"by must name one or more dimensions, each once, got {', '.join(named)!r}"
        )
    return named  # type: ignore[return-value]


def counts_of(
    query: Query, by: tuple[CountBy, ...], zone: tzinfo, store: Store, listing: Listing
) -> tuple[Count, ...]:
    """The counts, in one statement and with no more in memory than the groups.

    In the order of the dimensions where these have a time, else the largest first. Days and hours are
    those of the clocks of ``zone``.
    """
    region = listing.definitions.chart(query.chart).regions[0]
    succeeded = sorted(region.final - region.explained)
    columns = [_column(name, zone) for name in by]
    held, parameters = where(query, listing.definitions)
    groups: dict[tuple[str | None, ...], list[int]] = {}
    with among(query, store, listing) as also:
        rows = store.stream(
            f"SELECT {', '.join(columns)}, count(*),"
            f" sum(CASE WHEN s.state IN ({holes(len(succeeded))}) THEN 1 ELSE 0 END)"
            f" FROM {listing.states} s JOIN {listing.streams} t ON t.id = s.stream"
            f" WHERE {held}{also} GROUP BY {', '.join(str(n + 1) for n in range(len(by)))}",
            (*succeeded, *parameters),
        )
        for *values, count, delivered in rows:
            key = tuple(_label(name, value, zone) for name, value in zip(by, values, strict=True))
            sums = groups.setdefault(key, [0, 0])
            sums[0] += count
            sums[1] += delivered
    order = _by_label if set(by) & set(_TIMES) else _by_size
    found = sorted(groups.items(), key=order)[: query.limit]
    return tuple(Count(dict(zip(by, key, strict=True)), *sums) for key, sums in found)


def _column(name: CountBy, zone: tzinfo) -> str:
    if name not in _TIMES:
        return _COLUMNS[name]
    return floored(BEGAN, _LENGTHS[name] if zone is UTC else _MINUTE)


def _label(name: CountBy, value: Any, zone: tzinfo) -> str | None:
    if name not in _TIMES:
        # A damaged file may hold anything.
        return None if value is None else str(value)
    length = _LENGTHS[name] if zone is UTC else _MINUTE
    began = time_of(value * length)
    try:
        local: datetime = began.astimezone(zone)
    except OverflowError:
        # At the ends of the years that there are.
        local = began
    if name == "day":
        return local.date().isoformat()
    hour = local.replace(minute=0, second=0, microsecond=0)
    return iso(hour) if hour.tzinfo is UTC else hour.isoformat()


def _by_label(group: tuple[tuple[str | None, ...], list[int]]) -> Any:
    return [(label is not None, label or "") for label in group[0]]


def _by_size(group: tuple[tuple[str | None, ...], list[int]]) -> Any:
    return -group[1][0], _by_label(group)


# --- by when they began, and how soon outcomes came ---

SlotRow = tuple[str | None, int, int, int, int]
"""A carrier, the number of a slot, and how many began in it, are delivered, and have no outcome."""

_SECOND = 1_000_000
# So that what comes every so many seconds is chosen evenly, too.
_PRIME = 65_521


def slots_of(
    store: Store, listing: Listing, since: int, until: int, length: int
) -> Iterator[SlotRow]:
    """The slots of a length in microseconds, by the first reception from ``since`` to ``until``."""
    region = listing.definitions.chart(DELIVERY).regions[0]
    succeeded, final = sorted(region.final - region.explained), sorted(region.final)
    slot = floored("s.first_received_at", length)
    rows: Iterator[Any] = store.stream(
        f"SELECT s.spid, {slot}, count(*),"
        f" sum(CASE WHEN s.state IN ({holes(len(succeeded))}) THEN 1 ELSE 0 END),"
        f" sum(CASE WHEN s.state IN ({holes(len(final))}) THEN 0 ELSE 1 END)"
        f" FROM {listing.states} s JOIN {listing.streams} t ON t.id = s.stream"
        f" WHERE {_PERIOD} GROUP BY 1, 2",
        (*succeeded, *final, DELIVERY, since, until),
    )
    return rows


def delays_of(
    store: Store, listing: Listing, index: Index, since: int, until: int, most: int
) -> Iterator[tuple[str | None, int]]:
    """Of some deliveries the carrier, and how long after the first event the outcome was received.

    In microseconds. At most about ``most`` are looked at, chosen by the second of their first reception.
    """
    given = (DELIVERY, since, until)
    source = f"{listing.states} s JOIN {listing.streams} t ON t.id = s.stream WHERE {_PERIOD}"
    row = store.one(f"SELECT count(*) FROM {source}", given)
    every = max(1, -(-(row[0] if row else 0) // most))
    # The outcome is what was heard last of all that is stamped as it.
    heard = (
        f"SELECT max(heard) FROM (SELECT min(e.received_at) AS heard FROM {index.name} i {JOINED}"
        " WHERE i.stream = s.stream AND i.occurred_at = s.outcome_at GROUP BY i.identity) one"
    )
    rows: Iterator[Any] = store.stream(
        f"SELECT s.spid, ({heard}) - s.first_received_at AS took FROM {source}"
        f" AND s.outcome_at IS NOT NULL AND s.first_received_at / {_SECOND} % {_PRIME} % {every} = 0"
        " ORDER BY s.spid IS NOT NULL, 1, 2",
        given,
    )
    return ((carrier, took) for carrier, took in rows if took is not None)


_PERIOD = "t.chart = ? AND s.first_received_at >= ? AND s.first_received_at < ?"
