"""Concurrency: what callers feel who record at the same time, beside batches and beside one alone.

The ways are taken in turn, at this disk's sync time and with 2 ms added to each sync (by strace).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import process_time
from typing import TypeVar

import attrs
import click

from benchmarks.measure import Figure, any_core
from benchmarks.report import table
from postledger import AsyncLedger, Ledger
from postledger.ledger.writing import answer, receipt_of

T = TypeVar("T")

CALLERS = 64
DELAY = 2_000
"""Microseconds that are added to each sync."""

_BODY = (
    "<POSTBACK><ORIGIN>SMS_MT</ORIGIN><CODE>{1}</CODE><STATUS>{2}</STATUS>"
    "<TO>15550100001</TO><TRACKINGID>{0}</TRACKINGID><SPID>0001470</SPID>"
    "<TIMESTAMP>2026-01-01T00:00:{3:02}Z</TIMESTAMP></POSTBACK>"
)
_STEPS = (("N201", "Message Sent"), ("N202", "Message Sent/Delivered"))


def bodies(tag: str, count: int) -> list[bytes]:
    """Bodies of messages that are sent, and some time later delivered."""
    made = []
    for number in range(count):
        # Of a message the second comes a thousand events after the first.
        block, at = divmod(number, 2_000)
        step, key = divmod(at, 1_000)
        code, status = _STEPS[step]
        made.append(_BODY.format(f"{tag}-{block}-{key}", code, status, step).encode())
    return made


@attrs.frozen
class Run:
    """One run: events a second by the clock and by the CPU, and waits in milliseconds."""

    wall: float
    cpu: float
    p50: float = 0.0
    p99: float = 0.0
    longest: float = 0.0

    @classmethod
    def of(cls, waits: list[float], wall: float, cpu: float, count: int | None = None) -> Run:
        waits.sort()
        count = count or len(waits)
        at = [waits[min(len(waits) - 1, int(len(waits) * q))] * 1e3 for q in (0.5, 0.99, 1)]
        return cls(count / wall, count / cpu, *at)

    @classmethod
    def since(
        cls,
        began: tuple[float, float],
        waits: list[float],
        count: int,
        cpu: Callable[[], float] = process_time,
    ) -> Run:
        wall = time.perf_counter() - began[0]
        return cls.of(waits, wall, cpu() - began[1], count)


def _now(cpu: Callable[[], float] = process_time) -> tuple[float, float]:
    spent = cpu()
    return time.perf_counter(), spent


def batches(path: Path, made: list[bytes]) -> Run:
    """``record_many``, 1,000 in a transaction."""
    with Ledger(path) as ledger:
        ledger.record_many(bodies("warm", 2_000))
        began = _now()
        ledger.record_many(made)
        return Run.since(began, [0.0], len(made))


def one_caller(path: Path, made: list[bytes]) -> tuple[Run, Run]:
    """``record`` by one caller, and without the group (a transaction, and the answer), in turns."""
    with Ledger(path) as ledger:

        def ungrouped(body: bytes) -> None:
            given, _ = receipt_of(body)
            with ledger._connections.write() as own:
                (told,) = ledger._write(own, [given], answered=True)
            answer(told, whole=True)

        ledger.record_many(bodies("warm", 2_000))
        ways: list[tuple[Callable[[bytes], object], list[float]]] = [
            (ledger.record, []),
            (ungrouped, []),
        ]
        cpu = [0.0, 0.0]
        for at, body in enumerate(made[: len(made) // 4]):
            # One after the other, so that both see the same disk.
            record, waits = ways[at % 2]
            began, spent = time.perf_counter(), time.thread_time()
            record(body)
            cpu[at % 2] += time.thread_time() - spent
            waits.append(time.perf_counter() - began)
        grouped, alone = (Run.of(waits, sum(waits), cpu[at]) for at, (_, waits) in enumerate(ways))
        return grouped, alone


def by_threads(
    record: Sequence[Callable[[T], object]], made: list[T], cpu: Callable[[], float] = process_time
) -> Run:
    """What is made is recorded by a thread for each of these calls, which take it in turn."""
    waits: list[float] = []
    left, lock = iter(made), threading.Lock()

    def caller(call: Callable[[T], object]) -> None:
        while True:
            with lock:
                one = next(left, None)
            if one is None:
                return
            start = time.perf_counter()
            call(one)
            waits.append(time.perf_counter() - start)

    began = _now(cpu)
    callers = [threading.Thread(target=caller, args=(call,)) for call in record]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    assert len(waits) == len(made)
    return Run.since(began, waits, len(made), cpu)


async def by_tasks(
    record: Sequence[Callable[[T], Awaitable[object]]],
    made: list[T],
    cpu: Callable[[], float] = process_time,
) -> Run:
    """What is made is recorded by an asyncio task for each of these calls, which take it in turn."""
    waits: list[float] = []

    async def caller(call: Callable[[T], Awaitable[object]], left: Iterator[T]) -> None:
        for one in left:
            start = time.perf_counter()
            await call(one)
            waits.append(time.perf_counter() - start)

    began, left = _now(cpu), iter(made)
    await asyncio.gather(*(caller(call, left) for call in record))
    return Run.since(began, waits, len(made), cpu)


def threads(path: Path | str, made: list[bytes], cpu: Callable[[], float] = process_time) -> Run:
    """``record`` by 64 threads."""
    with Ledger(path) as ledger:
        ledger.record_many(bodies("warm", 2_000))
        return by_threads([ledger.record] * CALLERS, made, cpu)


def tasks(
    path: Path | str,
    made: list[bytes],
    cpu: Callable[[], float] = process_time,
    *,
    whole: bool = True,
) -> Run:
    """``record`` by 64 asyncio tasks."""

    async def main() -> Run:
        async with AsyncLedger(path) as ledger:
            record = ledger.record if whole else partial(ledger.record, answer=False)
            await by_tasks([record] * CALLERS, bodies("warm", 2_000))
            return await by_tasks([record] * CALLERS, made, cpu)

    return asyncio.run(main())


def tasks_short(path: Path, made: list[bytes]) -> Run:
    """The same with ``answer=False``."""
    return tasks(path, made, whole=False)


WAYS = {way.__name__: way for way in (batches, threads, tasks, tasks_short)}


def measure(events: int, rounds: int, scratch: Path | None) -> dict[str, list[Run]]:
    """All ways in turn, in ledgers of their own."""
    any_core()
    runs: dict[str, list[Run]] = {name: [] for name in (*WAYS, "alone", "ungrouped")}
    for number in range(rounds + 1):
        for name, way in (*WAYS.items(), ("alone", one_caller)):
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                run = way(Path(folder) / "l.db", bodies(f"{number}", events))
            # The first round warms up.
            if number and isinstance(run, Run):
                runs[name].append(run)
            elif number:
                runs["alone"].append(run[0])
                runs["ungrouped"].append(run[1])
    return runs


def _measured(*words: str, delayed: bool) -> dict[str, list[Run]]:
    command = [sys.executable, "-m", "benchmarks.concurrency", "--inside", *words]
    if delayed:
        inject = f"inject=fdatasync,fsync:delay_exit={DELAY}"
        strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", os.devnull]
        command = [*strace, "-e", "trace=fdatasync,fsync", "-e", inject, *command]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {name: [Run(**run) for run in runs] for name, runs in json.loads(done.stdout).items()}


def ratio(runs: dict[str, list[Run]], one: str, other: str, field: str = "wall") -> float:
    """The median over the rounds of one way's figure to another's."""
    pairs = zip(runs[one], runs[other], strict=True)
    return statistics.median(getattr(a, field) / getattr(b, field) for a, b in pairs)


def figures(runs: dict[str, list[Run]], where: str) -> Iterator[Figure]:
    """What is asked for, as ratios within each round."""
    goals = (
        ("64 tasks / record_many", "tasks", "batches", 0.5),
        ("64 tasks, short answer / record_many", "tasks_short", "batches", None),
        ("64 threads / one caller", "threads", "alone", 3.0),
        ("one caller / ungrouped", "alone", "ungrouped", 0.95),
    )
    for name, one, other, least in goals:
        ours = statistics.median(run.wall for run in runs[one])
        found, cpu = ratio(runs, one, other), ratio(runs, one, other, "cpu")
        yield Figure(
            f"{name}, {where} (CPU {cpu:.2f})", ours, "events/s", other, ours / found,
            None if least is None else f"≥ {least:g} ×", None if least is None else found >= least,
        )  # fmt: skip
    for way in ("tasks", "tasks_short", "threads"):
        found = statistics.median(run.p99 / run.p50 for run in runs[way])
        p99 = statistics.median(run.p99 for run in runs[way])
        goal = way == "tasks"
        yield Figure(
            f"{way}: p99 / p50, {where}", p99, "ms", "p50", p99 / found,
            "≤ 3 ×" if goal else None, found <= 3 if goal else None,
        )  # fmt: skip


@click.command()
@click.option("--events", default=12_000, show_default=True, help="Events of each run.")
@click.option("--rounds", default=5, show_default=True, help="Rounds that are counted.")
@click.option("--scratch", type=click.Path(path_type=Path), help="Folder for the ledgers.")
@click.option("--inside", is_flag=True, hidden=True)
def main(events: int, rounds: int, scratch: Path | None, *, inside: bool) -> None:
    """Callers at the same time: rates as ratios of interleaved runs, and waits."""
    if inside:
        runs = measure(events, rounds, scratch)
        said = {name: [attrs.asdict(run) for run in found] for name, found in runs.items()}
        print(json.dumps(said))
        return
    words = [f"--events={events}", f"--rounds={rounds}"]
    words += [] if scratch is None else [f"--scratch={scratch}"]
    measured = list(figures(_measured(*words, delayed=False), "this disk"))
    if shutil.which("strace"):
        measured += figures(_measured(*words, delayed=True), "2 ms a sync more")
    else:
        print("strace is missing: nothing is measured with slower syncs", file=sys.stderr)
    click.echo(table(measured))


if __name__ == "__main__":
    main()
