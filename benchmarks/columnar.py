"""The columnar fold beside the floor: the rows of the fold, read by ``SELECT`` with nothing decided.

Taken in turn in one process, wall and CPU next to each other, the collector on, as the median of the
rounds. ``from memory`` folds the statements of an archive as PyArrow tables, ``from file`` reads them too
(their hash, zstd, and whether they are in order); both end with the columns of all deliveries.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from benchmarks.floors import select
from benchmarks.measure import one_core
from benchmarks.postbacks import receipts
from postledger import Archive, Ledger
from postledger.lake.files import Files
from postledger.lake.folder import Folder
from postledger.lake.folding import states
from postledger.projections.reader import Folding

GOALS = {"columns, from memory": 15, "columns, from file": 7}


def measured(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[Any]]:
    """The seconds of each contender in each round, by the clock and of the processor."""
    found: dict[str, list[Any]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, timed in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            timed()
            found[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return found


@click.command()
@click.option("--events", default=300_000, show_default=True, help="Events of the ledger.")
@click.option("--rounds", default=7, show_default=True)
@click.option("--scratch", type=click.Path(path_type=Path), help="Folder for what is measured.")
@click.option("--ledger", "given", type=click.Path(path_type=Path), help="A ledger made before.")
def main(events: int, rounds: int, scratch: Path | None, given: Path | None) -> None:
    """The columnar fold beside SELECT and the fold of one stream after the other; on one core."""
    one_core()
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path, archive = given or Path(folder) / "l.db", Path(folder) / "archive"
        if given is None:
            with Ledger(path) as ledger:
                ledger.record_many(islice(receipts(), events))
        with Ledger(path, readonly=True) as ledger:
            ledger.archive(archive)
            wanted = {(chart, one.space, one.tracking_id): one for chart, one in _of(ledger)}
        for one in Archive(archive).fold(engine="columnar"):
            assert wanted.pop((one.chart, one.space, one.tracking_id)).to_dict() == one.to_dict()
        files = Files.of(Folder.of(archive))
        click.echo(f"{files.size:,} events, {len(wanted)} deliveries differ")
        tables = [table for bucket in range(files.buckets) for table in files.tables(bucket)]
        report(files.size, measured(_contenders(path, files, tables), rounds))


def _of(ledger: Ledger) -> Any:
    return (
        (chart, one)
        for chart in ledger.definitions.charts
        for one in ledger.deliveries(chart=chart)
    )


def _contenders(path: Path, files: Files, tables: list[Any]) -> dict[str, Any]:
    folding = Folding.by(files, files.definitions, files.limits)

    def rows(some: Any, engine: Any) -> int:
        return sum(table.num_rows for table in states(folding, some, engine=engine))

    def from_file() -> int:
        return sum(rows(files.tables(bucket), "columnar") for bucket in range(files.buckets))

    return {
        "SELECT": lambda: select(path),
        "stream by stream": lambda: rows(tables, "plain"),
        "columns, from memory": lambda: rows(tables, "columnar"),
        "columns, from file": from_file,
    }


def report(events: int, found: dict[str, list[Any]]) -> None:
    """Print rates, and the medians of the ratios to SELECT in the same round."""
    floor = found["SELECT"]
    for name, rounds in found.items():
        wall, cpu = (statistics.median(r[at] for r in rounds) for at in (0, 1))
        to_wall, to_cpu = (
            statistics.median(f[at] / r[at] for f, r in zip(floor, rounds, strict=True))
            for at in (0, 1)
        )
        goal = f", goal {GOALS[name]}" if name in GOALS else ""
        click.echo(
            f"{name:22} {events / wall:12,.0f} /s wall {events / cpu:12,.0f} /s CPU"
            f"  x {to_wall:.2f} wall, x {to_cpu:.2f} CPU{goal}"
        )


if __name__ == "__main__":
    main()
