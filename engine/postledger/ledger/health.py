"""Health: how a ledger is, from its file, the head of its log, and its tallies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import attrs

from postledger.errors import LedgerError
from postledger.ledger.connections import Connections, Own
from postledger.ledger.group import Pressure
from postledger.model import DELIVERY, plain
from postledger.projections import checkpoints
from postledger.projections.checkpoints import Checkpoint
from postledger.state.row import HOUR
from postledger.times import is_time, micros, now, time_of

AGES = tuple(3_600 * hours for hours in (0, 1, 6, 24, 72, 168))
"""The bounds between the ages of deliveries without outcome, in seconds."""


@attrs.frozen
class OpenDeliveries:
    """Deliveries without outcome whose age is at least ``least`` and below ``below`` seconds.

    ``below`` is ``None`` for the oldest. The age counts from the end of the hour in which the first
    event was received, so that none is younger.

    >>> [(age.least, age.deliveries) for age in ledger.health().open][:2]
    [(0, 0), (3600, 0)]
    """

    least: int
    below: int | None
    deliveries: int


@attrs.frozen
class Health:
    """How a ledger is.

    ``size`` is the number of events; ``bytes`` those of the file, ``wal_bytes`` those of its write-ahead
    log. ``last_received`` is the newest time at which a postback or statement was received, ``None``
    where none was. ``behind`` is how many events the states are behind the log, ``open`` the deliveries
    without outcome by age. ``checkpoints`` say how far subscriptions and projections of your own are.
    ``pressure`` says how many calls wait to be recorded here, and what was written together.
    ``problems`` are sentences: what somebody should look at.

    >>> health = ledger.health()
    >>> health.ok, health.last_received is None, health.bytes > 0
    (True, False, True)
    """

    size: int
    bytes: int
    wal_bytes: int
    last_received: datetime | None
    behind: int
    open: tuple[OpenDeliveries, ...]
    checkpoints: tuple[Checkpoint, ...]
    pressure: Pressure
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The health as JSON has it."""
        return {"ok": self.ok, **plain(self)}


def health_of(connections: Connections, pressure: Pressure) -> Health:
    """The health of a ledger, as of one time; what is derived may be missing."""
    with connections.read_log() as own:
        size, received = own.log.size(), own.log.last_received()
        taken, ahead = own.store.sizes()
    path = connections.path
    behind, open_, kept = 0, tuple[OpenDeliveries, ...](), tuple[Checkpoint, ...]()
    problems: list[str] = []
    try:
        with connections.read() as own:
            size, received = own.log.size(), _newest(own)
            behind = size - own.generation.size
            chart = own.reader.definitions.charts.get(DELIVERY)
            final = () if chart is None else sorted(chart.regions[0].final)
            # An empty text is not a state.
            hours = own.generation.tallies_of(own.store).without([*final, ""])
            open_ = _by_age(dict(hours), micros(now()))
            kept = checkpoints.all_of(own.store, size - 1)
        connections.require_there()
    except LedgerError as error:
        problems.append(str(error).removeprefix(f"{path}: "))
    problems += _problems(size, behind, kept)
    return Health(
        size=size,
        bytes=taken,
        wal_bytes=ahead,
        last_received=None if received is None else time_of(received),
        behind=behind,
        open=open_,
        checkpoints=kept,
        pressure=pressure,
        problems=tuple(problems),
    )


def _newest(own: Own) -> int | None:
    """When anything was received last. What the states have not taken in yet is at the end of the log."""
    times = own.log.last_received(), own.generation.tallies_of(own.store).newest()
    return max((time for time in times if time is not None and is_time(time)), default=None)


def _by_age(hours: Mapping[int, int], time: int) -> tuple[OpenDeliveries, ...]:
    """The deliveries of hours by their age at a time; what will be is as young as can be."""
    counts = dict.fromkeys(AGES, 0)
    for hour, count in hours.items():
        age = max(0, time - (hour + 1) * HOUR) // 1_000_000
        counts[max(least for least in AGES if least <= age)] += count
    return tuple(
        OpenDeliveries(least, below, counts[least])
        for least, below in zip(AGES, (*AGES[1:], None), strict=True)
    )


def _problems(size: int, behind: int, kept: tuple[Checkpoint, ...]) -> Iterator[str]:
    if behind:
        yield f"the states are at size {size - behind}, the log at {size}; run replay"
    for checkpoint in kept:
        if checkpoint.problem is not None:
            name = f"{checkpoint.kind} {checkpoint.name!r}"
            said = checkpoint.problem
            yield said if said.startswith(name) else f"{name} stopped: {said}"
