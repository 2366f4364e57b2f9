"""Through HTTP: the server under clients that post at once, next to a commit for each request.

The ways are taken in turn, each with a server and a ledger of its own, at this disk's sync time and
with 2 ms added to each sync (by strace). The clients are another process that sends ready-made requests.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import click

from benchmarks.concurrency import DELAY, bodies
from benchmarks.measure import Figure, bound
from benchmarks.report import table
from postledger import AsyncLedger, Kept, Recorded
from postledger.ledger.writing import answer, receipt_of
from postledger.server.serving import Serving, serve

ROOT = Path(__file__).parent.parent
GROUPED, MANY, SINGLE = "64 connections", "256 connections", "a commit for each request"
WAYS = {GROUPED: 64, SINGLE: 64, MANY: 256}
"""How many connections each has."""

P99 = 50
_ANSWERED = b"HTTP/1.1 200 "
_TICKS = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class Run:
    """One run: requests a second by the clock and by the server's CPU, and waits in milliseconds.

    ``busy`` is which part of the time the clients' process was at work.
    """

    wall: float
    cpu: float
    p50: float
    p99: float
    longest: float
    busy: float


# --- the clients ---


def post(port: int, connections: int, requests: list[bytes]) -> dict[str, Any]:
    """Send requests over so many connections, on each the next when one is answered."""
    waits: list[float] = []
    left = iter(requests)
    with selectors.DefaultSelector() as selector:
        sent = {}
        for _ in range(connections):
            one = socket.create_connection(("127.0.0.1", port))
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(one, selectors.EVENT_READ)
            sent[one] = 0.0
        began, busy = time.perf_counter(), time.process_time()
        for one in sent:
            sent[one] = time.perf_counter()
            one.sendall(next(left))
        while sent:
            for key, _ in selector.select():
                one = key.fileobj
                assert isinstance(one, socket.socket)
                said = one.recv(4096)
                # An answer has no body and comes whole.
                assert said.startswith(_ANSWERED), said
                assert said.endswith(b"\r\n\r\n"), said
                now = time.perf_counter()
                waits.append(now - sent[one])
                if (request := next(left, None)) is None:
                    selector.unregister(one)
                    one.close()
                    del sent[one]
                else:
                    sent[one] = now
                    one.sendall(request)
        wall, busy = time.perf_counter() - began, time.process_time() - busy
    return {"wall": wall, "busy": busy / wall, "waits": waits}


def requests_of(made: list[bytes]) -> list[bytes]:
    """Bodies as requests."""
    head = "POST /skycore HTTP/1.1\r\nHost: here\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n"
    return [head.format(len(body)).encode() + body for body in made]


# --- the servers ---


def commit_each() -> None:
    """Have each request recorded in a transaction of its own, one after the other."""

    async def record(self: AsyncLedger, *args: Any, **kwargs: Any) -> Recorded | Kept:
        given, whole = receipt_of(*args, **kwargs)
        ledger = self._opened

        def write() -> Recorded | Kept:
            with ledger._connections.write() as own:
                (told,) = ledger._write(own, [given], answered=whole)
            return answer(told, whole=whole)

        return await asyncio.get_running_loop().run_in_executor(self._recorder, write)

    AsyncLedger.record = record  # type: ignore[assignment, method-assign]


@contextmanager
def serving(path: Path, way: str, *, delayed: bool) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its process and its port."""
    command = [sys.executable, "-m", "benchmarks.http", "--serve", str(path), "--way", way]
    if delayed:
        inject = f"inject=fdatasync,fsync:delay_exit={DELAY}"
        strace = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", os.devnull]
        command = [*strace, "-e", "trace=fdatasync,fsync", "-e", inject, *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline().split(":")[2])
        finally:
            process.send_signal(signal.SIGTERM)


def _cpu(pid: int) -> float:
    """The seconds of the CPU that a process took."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def run(path: Path, way: str, tag: str, count: int, *, delayed: bool) -> Run:
    """One run of one way."""
    with serving(path, way, delayed=delayed) as (pid, port):
        words = ["--post", str(port), "--way", way, "--tag", tag, "--events", str(count)]
        command = [sys.executable, "-m", "benchmarks.http", *words]
        # What a server does but once it has done before.
        subprocess.run([*command[:-1], "500"], check=True, capture_output=True, cwd=ROOT)
        began = _cpu(pid)
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        cpu, said = _cpu(pid) - began, json.loads(done.stdout)
    waits = sorted(said["waits"])
    at = [waits[min(len(waits) - 1, int(len(waits) * q))] * 1e3 for q in (0.5, 0.99, 1)]
    return Run(count / said["wall"], count / cpu, *at, said["busy"])


def measure(
    events: int, rounds: int, scratch: Path | None, *, delayed: bool
) -> dict[str, list[Run]]:
    """All ways in turn."""
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in WAYS:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                count = events // 4 if way == SINGLE else events
                one = run(Path(folder) / "l.db", way, f"{number}", count, delayed=delayed)
            runs[way].append(one)
    return runs


# --- the figures ---


def _median(runs: list[Run], field: str) -> float:
    return statistics.median(getattr(one, field) for one in runs)


def _ratio(runs: dict[str, list[Run]], one: str, other: str, field: str) -> float:
    """The median over the rounds of one way's figure to another's."""
    pairs = zip(runs[one], runs[other], strict=True)
    return statistics.median(getattr(a, field) / getattr(b, field) for a, b in pairs)


def figures(runs: dict[str, list[Run]], where: str, least: float | None) -> Iterator[Figure]:
    """What is asked for: ratios within each round, and waits."""
    for one, other, goal in ((GROUPED, SINGLE, least), (MANY, GROUPED, 1.0)):
        ours, found = _median(runs[one], "wall"), _ratio(runs, one, other, "wall")
        cpu, busy = _ratio(runs, one, other, "cpu"), _median(runs[one], "busy")
        yield Figure(
            f"{one}, {where} (CPU {cpu:.2f}, clients busy {busy:.0%})", ours, "requests/s",
            other, ours / found,
            None if goal is None else f"≥ {goal:g} ×", None if goal is None else found >= goal,
        )  # fmt: skip
    for way in WAYS:
        p50, p99 = _median(runs[way], "p50"), _median(runs[way], "p99")
        name = f"{way}: p99, {where} (p50 {p50:.1f}, longest {_median(runs[way], 'longest'):.0f})"
        yield bound(name, p99, "ms", P99) if way == GROUPED else Figure(name, p99, "ms")


@click.command()
@click.option("--events", default=12_000, show_default=True, help="Requests of each run.")
@click.option("--rounds", default=5, show_default=True, help="Rounds.")
@click.option("--scratch", type=click.Path(path_type=Path), help="Folder for the ledgers.")
@click.option("--serve", "path", type=click.Path(path_type=Path), hidden=True)
@click.option("--post", "port", type=int, hidden=True)
@click.option("--way", default=GROUPED, hidden=True)
@click.option("--tag", default="", hidden=True)
def main(events: int, rounds: int, scratch: Path | None, **inside: Any) -> None:
    """Requests a second through HTTP as ratios of interleaved runs, and waits."""
    way = inside["way"]
    if inside["path"] is not None:
        if way == SINGLE:
            commit_each()
        serve(Serving(inside["path"], port=0, access_log=False), click.echo)
        return
    if inside["port"] is not None:
        made = requests_of(bodies(inside["tag"] + str(events), events))
        print(json.dumps(post(inside["port"], WAYS[way], made)))
        return
    print("load before:", *os.getloadavg(), file=sys.stderr)
    measured = list(figures(measure(events, rounds, scratch, delayed=False), "this disk", None))
    if shutil.which("strace"):
        slower = measure(events, rounds, scratch, delayed=True)
        measured += figures(slower, "2 ms a sync more", 5.0)
    else:
        print("strace is missing: nothing is measured with slower syncs", file=sys.stderr)
    click.echo(table(measured))
    print("load after:", *os.getloadavg(), file=sys.stderr)


if __name__ == "__main__":
    main()
