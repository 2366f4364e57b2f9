"""The write-ahead log next to long readers: how large it becomes while others record.

As long as a read transaction is open SQLite can't begin its write-ahead log again, so that it grows with
all that is recorded meanwhile.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import attrs
import click

from benchmarks.measure import Figure, bound
from benchmarks.postbacks import receipts
from benchmarks.report import table
from postledger import Ledger, Receipt

RATE = 1_000
"""Receipts a second that are recorded next to the reader."""

_BATCH = 10
_PIECE = 20_000
_MOST = 100
ACTIONS = {
    "a whole verify": ["verify"],
    "an audit": ["audit", "--json"],
    "a list as of then": ["deliveries", "--as-of", "{last}", "--nl"],
    "an export": ["export", "{ledger}", "-"],
}
"""The readers, as commands; the ledger follows the name of the command where it isn't named."""


@attrs.frozen
class Run:
    """What was seen while a reader ran: megabytes of the log at most, its seconds, what was recorded."""

    largest: float
    seconds: float
    recorded: int
    longest: float

    @property
    def rate(self) -> float:
        return self.recorded / self.seconds


def fill(path: Path, events: int) -> Iterator[Receipt]:
    """Record so many receipts; gives those to record next."""
    traffic = receipts(seed=7)
    with Ledger(path) as ledger:
        for first in range(0, events, _PIECE):
            ledger.record_many(islice(traffic, min(_PIECE, events - first)))
    return traffic


def beside(path: Path, action: list[str], traffic: Iterator[Receipt]) -> Run:
    """Record at ``RATE`` while a command reads, and look at the size of the write-ahead log each time."""
    ahead = path.with_name(f"{path.name}-wal")
    with Ledger(path) as ledger:
        words = [word.format(ledger=path, last=ledger.head().size - 1) for word in action]
        if str(path) not in words:
            words.insert(1, str(path))
        command = [sys.executable, "-m", "postledger", *words]
        largest, longest, recorded = 0, 0.0, 0
        began = time.perf_counter()
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while running.poll() is None:
            asked = time.perf_counter()
            ledger.record_many(islice(traffic, _BATCH))
            longest = max(longest, time.perf_counter() - asked)
            recorded += _BATCH
            largest = max(largest, ahead.stat().st_size)
            time.sleep(max(0.0, began + recorded / RATE - time.perf_counter()))
        if running.returncode:
            raise SystemExit(f"{' '.join(words)} failed")
        seconds = time.perf_counter() - began
    return Run(largest / 1e6, seconds, recorded, longest)


def figures(path: Path, events: int) -> Iterator[Figure]:
    """Each reader next to a recorder."""
    traffic = fill(path, events)
    for name, action in ACTIONS.items():
        run = beside(path, action, traffic)
        yield bound(
            f"WAL while {name} of {events:,} events runs ({run.seconds:.0f} s) next to"
            f" {run.rate:,.0f} records/s",
            run.largest,
            "MB",
            _MOST,
        )
        yield Figure(f"{name}: longest wait of a recorder", run.longest * 1e3, "ms")


@click.command()
@click.option("--events", default=300_000, show_default=True, help="Events in the ledger.")
@click.option("--scratch", type=click.Path(path_type=Path), help="Folder for the ledger.")
def main(events: int, scratch: Path | None) -> None:
    """How large the write-ahead log becomes while readers run next to a recorder."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        click.echo(table(list(figures(Path(folder) / "ledger.db", events))))


if __name__ == "__main__":
    main()
