"""Spark's fold beside that of one process: the same archive, the same fold, in turn.

Once warm: each contender folds some times before anything is measured. Wall and CPU stand side by side;
the CPU of Spark is that of all its processes, the virtual machines of Java included. A rate per core is
that of the cluster through its cores. Both write the states as Parquet, as ``replay --out`` does.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import click
from tests.spark_cluster import CLUSTER, spark_cluster

from benchmarks.postbacks import receipts
from postledger import Archive, Ledger
from postledger.lake.folding import ENGINES, Engine
from postledger.lake.spark import replay

GOAL = 0.8
_CORES = {CLUSTER: 2, "local[1]": 1, "local[2]": 2}
_WARM = 8
"""So many rounds are not measured: Java compiles what it runs often."""

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu() -> float:
    """The seconds of the processor that this process and all that come of it took so far."""
    took: dict[int, float] = {}
    parents: dict[int, int] = {}
    for one in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = one.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(one.parent.name)
        parents[pid] = int(fields[1])
        # Also what children took that have ended.
        took[pid] = sum(map(int, fields[11:15])) / _TICKS

    def is_ours(pid: int) -> bool:
        while pid > 1 and pid != os.getpid():
            pid = parents.get(pid, 0)
        return pid == os.getpid()

    return sum(seconds for pid, seconds in took.items() if is_ours(pid))


def in_this_process(archive: Archive, engine: Engine) -> None:
    """Fold an archive, one bucket after the other."""
    with tempfile.TemporaryDirectory() as folder:
        archive.replay(Path(folder) / "states", engine=engine)


def by_spark(spark: Any, archive: Archive, engine: Engine) -> None:
    """Fold an archive on all cores of the cluster."""
    with tempfile.TemporaryDirectory() as folder:
        replay(spark, archive, Path(folder) / "states", engine=engine)


@click.command()
@click.option("--events", default=600_000, show_default=True, help="Events of the archive.")
@click.option("--buckets", default=8, show_default=True, help="In how many buckets they are.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--master", type=click.Choice([*_CORES]), default=CLUSTER, show_default=True)
@click.option("--archive", "given", type=click.Path(), help="An archive made before.")
def main(events: int, buckets: int, rounds: int, master: str, given: str | None) -> None:
    """Spark's rate per core beside that of one process, of each engine."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if given is None:
            with Ledger(folder / "l.db") as ledger:
                ledger.record_many(islice(receipts(), events))
                ledger.archive(folder / "archive", rows=-(-events // buckets))
        with (
            Archive(given or folder / "archive") as archive,
            spark_cluster(folder, master) as spark,
        ):
            for engine in ENGINES:
                contenders: dict[str, tuple[int, Callable[[], None]]] = {
                    "one process": (1, lambda e=engine: in_this_process(archive, e)),  # type: ignore[misc]
                    "Spark": (_CORES[master], lambda e=engine: by_spark(spark, archive, e)),  # type: ignore[misc]
                }
                report(engine, archive._lake.files[0].size, contenders, rounds)


def report(
    engine: str, events: int, contenders: dict[str, tuple[int, Callable[[], None]]], rounds: int
) -> None:
    """Measure, and print rates and the medians of their ratios in the same round."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for at in range(rounds + _WARM):
        for name, (cores, work) in contenders.items():
            began, took = time.perf_counter(), cpu()
            work()
            wall, used = time.perf_counter() - began, cpu() - took
            if at >= _WARM:
                found[name].append((events / wall / cores, events / used))
    for name, rates in found.items():
        wall, used = (statistics.median(rate[at] for rate in rates) for at in (0, 1))
        click.echo(f"{engine:9} {name:12} {wall:10,.0f} /s and core {used:10,.0f} /s of CPU")
    pairs = list(zip(found["Spark"], found["one process"], strict=True))
    wall, used = (statistics.median(a[at] / b[at] for a, b in pairs) for at in (0, 1))
    goal = f", goal {GOAL}" if engine == "plain" else ""
    click.echo(f"{engine:9} Spark to one process: x {wall:.2f} a core, x {used:.2f} of CPU{goal}")


if __name__ == "__main__":
    main()
