"""Slots: deliveries counted by carrier and by when they began, and how soon their outcomes came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from postledger.log.log import JOINED
from postledger.model import DELIVERY
from postledger.projections.index import Index
from postledger.projections.queries import Listing, floored
from postledger.store.sqlite import Store

SlotRow = tuple[str | None, int, int, int, int]
"""A carrier, the number of a slot, and how many began in it, are delivered, and have no outcome."""

_SECOND = 1_000_000


def slots_of(
    store: Store, listing: Listing, since: int, until: int, length: int
) -> Iterator[SlotRow]:
    """The slots of a length in microseconds, by the first reception from ``since`` to ``until``."""
    region = listing.definitions.chart(DELIVERY).regions[0]
    succeeded, final = sorted(region.final - region.explained), sorted(region.final)
    slot = floored("s.first_received_at", length)
    rows: Iterator[Any] = store.stream(
        f"SELECT s.spid, {slot}, count(*), sum(s.state IN ({_holes(succeeded)})),"
        f" sum(s.state NOT IN ({_holes(final)}))"
        f" FROM {listing.states} s JOIN {listing.streams} t ON t.id = s.stream"
        f" WHERE {_PERIOD} GROUP BY 1, 2 ORDER BY 1, 2",
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
        " WHERE i.stream = s.stream AND i.occurred_at = s.outcome_at GROUP BY i.identity)"
    )
    rows: Iterator[Any] = store.stream(
        f"SELECT s.spid, ({heard}) - s.first_received_at AS took FROM {source}"
        f" AND s.outcome_at IS NOT NULL AND s.first_received_at / {_SECOND} % {every} = 0"
        " ORDER BY 1, 2",
        given,
    )
    return ((carrier, took) for carrier, took in rows if took is not None)


_PERIOD = "t.chart = ? AND s.first_received_at >= ? AND s.first_received_at < ?"


def _holes(values: list[str]) -> str:
    return ", ".join("?" * len(values)) or "NULL"
