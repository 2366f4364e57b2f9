"""Measuring: rates as the best of several rounds, taken in turn so that all see the same machine."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import attrs


@attrs.frozen
class Figure:
    """One line of the table: what was measured of ours, beside a peer's or a floor's.

    ``ratio`` is ours to theirs, for rates (more is better) as for sizes and times (less is better).
    ``goal`` is how the design has it and ``met`` whether it is; both ``None`` where it has none.
    """

    name: str
    ours: float
    unit: str
    beside: str | None = None
    theirs: float | None = None
    goal: str | None = None
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        return None if not self.theirs else self.ours / self.theirs


def rate(name: str, ours: float, beside: str, theirs: float, at_least: float | None) -> Figure:
    """A rate beside another one; ``at_least`` is the ratio that the design asks for."""
    goal = None if at_least is None else f"≥ {at_least:.2g} ×"
    met = None if at_least is None else ours / theirs >= at_least
    return Figure(name, ours, "events/s", beside, theirs, goal, met)


def bound(name: str, ours: float, unit: str, at_most: float) -> Figure:
    """A size or time that must not be more than ``at_most``."""
    return Figure(name, ours, unit, goal=f"≤ {at_most:g} {unit}", met=ours <= at_most)


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Gives a function that tells the seconds since; the collector rests meanwhile."""
    gc.collect()
    gc.disable()
    began = time.perf_counter()
    try:
        yield lambda: time.perf_counter() - began
    finally:
        gc.enable()


def rates(
    contenders: Mapping[str, Callable[[int], Callable[[], int]]], rounds: int
) -> dict[str, float]:
    """The best rate of each contender over some rounds, in turn.

    A contender is prepared for a round, untimed, and gives what is timed: it returns how many
    events it did.
    """
    best = dict.fromkeys(contenders, 0.0)
    for number in range(rounds):
        for name, prepare in contenders.items():
            timed = prepare(number)
            with stopwatch() as elapsed:
                done = timed()
                best[name] = max(best[name], done / elapsed())
    return best


def one_core() -> None:
    """Stay on one core, where the system lets a process choose."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def any_core() -> None:
    """Go on any core again: for what is no rate."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def file_bytes(path: Path) -> int:
    """The size of a database's file once the write-ahead log is in it; nothing is vacuumed."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return path.stat().st_size


def peaks_megabytes(
    where: Path | str, reading: Sequence[str], writing: Sequence[str]
) -> dict[str, float]:
    """The peak memory of processes that do one thing to a ledger each; two may read at once."""
    peak = partial(_peak_megabytes, where)
    with ThreadPoolExecutor(2) as pool:
        peaks = dict(zip(reading, pool.map(peak, reading), strict=True))
    return peaks | {action: peak(action) for action in writing}


def _peak_megabytes(where: Path | str, action: str) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", action, str(where)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)
