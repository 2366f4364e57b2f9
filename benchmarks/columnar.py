"""The columnar fold beside the floor: the rows of the fold, read by ``SELECT`` with nothing decided.

Taken in turn in one process, wall and CPU next to each other, the collector on, as the median of the
rounds. ``from memory`` folds a PyArrow table, ``from file`` reads it from Parquet too; both end with the
columns of all rows.
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
import pyarrow.parquet as pq

from benchmarks.floors import select
from benchmarks.measure import one_core
from benchmarks.postbacks import receipts
from postledger import Ledger
from postledger.lake.columnar import fold
from postledger.lake.columns import NAMES
from postledger.projections.reader import Reader
from postledger.templates import texts_of

GOALS = {"columns, from memory": 15, "columns, from file": 7}
_GROUP = 200_000
_FEW = ["chart", "member", "template", "envelope", "findings", "said"]
_TYPES = (
    pa.int64(), pa.string(), pa.int64(), pa.binary(16), pa.int64(), pa.int32(), pa.int64(),
    pa.int32(), pa.int32(), pa.list_(pa.string()), pa.int64(), pa.string(),
)  # fmt: skip


def table_of(reader: Reader) -> Any:
    """The members of all events, as columns in the order of the fold."""
    columns: list[list[Any]] = [[] for _ in NAMES]
    for _, chart, rows in reader.index.streams():
        for row in rows:
            texts = None if row[8] is None else texts_of(row[8])
            told = (row[0], chart, *row[1:8], texts, *row[9:])
            for column, value in zip(columns, told, strict=True):
                column.append(value)
    arrays = [pa.array(c, kind) for c, kind in zip(columns, _TYPES, strict=True)]
    arrays[1] = arrays[1].dictionary_encode()
    return pa.table(arrays, names=list(NAMES))


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
        path, file = given or Path(folder) / "l.db", Path(folder) / "l.parquet"
        if given is None:
            with Ledger(path) as ledger:
                ledger.record_many(islice(receipts(), events))
        with Ledger(path) as ledger, ledger._connections.read() as own:
            reader = own.reader
            table = table_of(reader)
            # A dictionary serves the columns of few values alone.
            pq.write_table(
                table, file, row_group_size=_GROUP, compression="none", use_dictionary=_FEW
            )
            wanted = reader.rows()
            told = (row for states in fold(reader, [table]) for row in states.rows())
            differing = sum(a != b for a, b in zip(wanted, told, strict=True))
            click.echo(f"{len(table):,} events, {differing} rows differ")
            report(len(table), measured(_contenders(path, file, table, reader), rounds))


def _contenders(path: Path, file: Path, table: Any, reader: Reader) -> dict[str, Any]:
    def from_file() -> int:
        parquet = pq.ParquetFile(file, read_dictionary=["chart"])
        groups = range(parquet.num_row_groups)
        tables = (parquet.read_row_group(at, use_threads=False) for at in groups)
        return sum(len(states.table) for states in fold(reader, tables))

    return {
        "SELECT": lambda: select(path),
        "stream by stream": lambda: sum(1 for _ in reader.rows()),
        "columns, from memory": lambda: sum(len(s.table) for s in fold(reader, [table])),
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
