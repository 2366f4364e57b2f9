"""Growth: one ledger filled from ten thousand to millions of events, and measured on the way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path

import attrs

from benchmarks.figures import fold
from benchmarks.measure import Figure, bound, file_bytes, peaks_megabytes, stopwatch
from benchmarks.memory import READING, WRITING
from benchmarks.postbacks import receipts
from postledger import Ledger

_STEPS = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000)
_PIECE = 20_000
_ASKED = 500


@attrs.frozen
class Stage:
    """What was measured at one size: rates in events/s, one delivery's state in microseconds.

    ``dossier`` is the audit of one delivery, ``period`` that of an hour, both in milliseconds.
    ``memory``, the peak of each action in megabytes, is taken at the ends only.
    """

    events: int
    ingest: float
    fold: float
    delivery: float
    dossier: float
    period: float
    bytes_per_event: float
    memory: dict[str, float]


def grow(path: Path, events: int) -> Iterator[Stage]:
    """Fill a ledger up to so many events; gives a stage at each size."""
    traffic = receipts(seed=7)
    sizes = sorted({size for size in _STEPS if size < events} | {events})
    compared = {min(sizes, key=lambda size: abs(size - 100_000)), events}
    done = 0
    for size in sizes:
        spent = 0.0
        began = done
        with Ledger(path) as ledger:
            while done < size:
                piece = list(islice(traffic, min(_PIECE, size - done)))
                with stopwatch() as elapsed:
                    ledger.record_many(piece)
                    spent += elapsed()
                done += len(piece)
            with stopwatch() as elapsed:
                folded = fold(ledger) / elapsed()
            delivery = _one_delivery(ledger, size)
            dossier, period = _audits(ledger)
        # Before a replay leaves the room of a second generation in the file.
        stored = file_bytes(path) / size
        memory = _memory(path) if size in compared else {}
        ingest = (size - began) / spent
        yield Stage(size, ingest, folded, delivery, dossier, period, stored, memory)


def _memory(path: Path) -> dict[str, float]:
    return peaks_megabytes(path, list(READING), list(WRITING))


def _audits(ledger: Ledger) -> tuple[float, float]:
    """The median times of the audit of one delivery, and of the last hour, in milliseconds."""
    (key,) = (one.tracking_id for one in ledger.deliveries(limit=1))
    last = ledger.audit(tracking_id=key).as_of
    return (
        _median(lambda: ledger.audit(tracking_id=key)),
        _median(lambda: ledger.audit(since=last - timedelta(hours=1))),
    )


def _median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1000 * sorted(times)[2]


def _one_delivery(ledger: Ledger, events: int) -> float:
    """The median time of the state of one delivery, at random, in microseconds."""
    rng = random.Random(events)
    with ledger._connections.read() as own:
        index = own.reader.index
        wanted = [rng.randint(1, index.newest()) for _ in range(_ASKED)]
        streams = [index.stream_of(number) for number in wanted]
    keys = [key for _, chart, key in streams if chart == "delivery"]
    times = []
    for key in keys:
        began = time.perf_counter()
        ledger.delivery(key)
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2] * 1e6


def figures(stages: list[Stage]) -> Iterator[Figure]:
    """The figures that the stages give."""
    for stage in stages:
        if stage.events >= 100_000:
            yield bound(f"one delivery at {stage.events:,}", stage.delivery, "µs", 1000)
            yield bound(f"audit of one delivery at {stage.events:,}", stage.dossier, "ms", 100)
            yield bound(f"audit of an hour at {stage.events:,}", stage.period, "ms", 1000)
    compared = [stage for stage in stages if stage.memory]
    if len(compared) == 2:
        small, large = compared
        for action in small.memory:
            name = f"memory of {action}, {small.events:,} to {large.events:,}"
            more = large.memory[action] - small.memory[action]
            yield Figure(f"peak of {action} at {large.events:,}", large.memory[action], "MB")
            yield bound(name, more, "MB more", 20)


def plot(stages: list[Stage], path: Path) -> None:
    """Draw the growth: rates, time of one delivery, and size over the number of events."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "postledger"
    from matplotlib import pyplot

    figure, (rates, times, sizes) = pyplot.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    events = [stage.events for stage in stages]
    rates.plot(events, [stage.fold / 1e3 for stage in stages], "o-", label="fold")
    rates.plot(events, [stage.ingest / 1e3 for stage in stages], "o-", label="bulk ingest")
    rates.set_title("Thousand events a second")
    # Between the folds and the ingest nothing is drawn.
    rates.legend(loc="center right", bbox_to_anchor=(1, 0.32))
    times.plot(events, [stage.delivery for stage in stages], "o-")
    times.set_title("State of one delivery, µs")
    sizes.plot(events, [stage.bytes_per_event for stage in stages], "o-")
    sizes.set_title("Bytes an event")
    for axis in (rates, times, sizes):
        axis.set_xscale("log")
        axis.set_xlabel("events in the ledger")
        axis.set_ylim(0, 1.15 * axis.get_ylim()[1])
        axis.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
