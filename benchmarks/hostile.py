"""Hostile traffic: whether rate and memory stay flat whatever bodies hold, and however many come."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import click

from benchmarks.measure import Figure, any_core, bound
from benchmarks.memory import peak_megabytes
from benchmarks.report import table
from postledger import Ledger

_SENT = (
    "<POSTBACK><ORIGIN>SMS_MT</ORIGIN><CODE>N201</CODE><STATUS>Message Sent</STATUS>"
    "<TO>15550100001</TO><TRACKINGID>{0}</TRACKINGID><SPID>0001470</SPID>"
    "<TIMESTAMP>{1}</TIMESTAMP>{2}</POSTBACK>"
)
_AT = "2026-01-01T00:00:00Z"
_SPAN = 10
"""The first and the last of so many parts are compared."""


def nonces(count: int) -> Iterator[bytes]:
    """Bodies with a nonce outside the fields."""
    for number in range(count):
        yield f"<!-- {number:032x} -->{_SENT.format(f'm{number}', _AT, '')}".encode()


def names(count: int) -> Iterator[bytes]:
    """Bodies with a field of a name of their own."""
    for number in range(count):
        yield _SENT.format(f"m{number}", _AT, f"<F{number}>1</F{number}>").encode()


def shapes(count: int) -> Iterator[bytes]:
    """Bodies of nearly 1 MiB, each of a shape of its own."""
    for number in range(count):
        fields = "".join(f"<A{number}_{at}>x</A{number}_{at}>" for at in range(40_000))
        yield _SENT.format(f"m{number}", _AT, fields).encode()


def hot(count: int) -> Iterator[bytes]:
    """Events of one stream, one second apart."""
    for number in range(count):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_767_225_600 + number))
        yield _SENT.format("hot", at, f"<HANDSET>{number}</HANDSET>").encode()


TRAFFIC: dict[str, tuple[Callable[[int], Iterator[bytes]], int, float]] = {
    "a nonce outside the fields": (nonces, 200_000, 1.2),
    "a field name of its own": (names, 100_000, 1.2),
    "1 MiB, a shape of its own": (shapes, 100, 1.2),
    "one stream": (hot, 50_000, 3),
}
"""Bodies, how many of them, and how much more than the first the last may take."""


def measure(traffic: str, share: float) -> None:
    """Record it one by one; print what the first and last part took, and the memory at both ends."""
    any_core()
    bodies, count, _ = TRAFFIC[traffic]
    count = max(_SPAN, int(count * share))
    made = bodies(count)
    spent: list[float] = []
    memory: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "l.db") as ledger:
        for _ in range(_SPAN):
            took = []
            for body in islice(made, count // _SPAN):
                began = time.process_time()
                ledger.record(body)
                took.append(time.process_time() - began)
            spent.append(statistics.median(took))
            memory.append(peak_megabytes())
    # The first part warms up, and fills what is bounded.
    print(spent[1] * 1e6, spent[-1] * 1e6, memory[1], memory[-1])


def figures(share: float) -> Iterator[Figure]:
    """Each kind of traffic in a process of its own."""
    for traffic, (_, count, most) in TRAFFIC.items():
        ran = [
            sys.executable,
            "-m",
            "benchmarks.hostile",
            "--alone",
            traffic,
            "--share",
            str(share),
        ]
        done = subprocess.run(ran, check=True, capture_output=True, text=True)
        first, last, began, ended = map(float, done.stdout.split())
        name = f"{int(count * share):,} bodies, {traffic}"
        yield bound(f"{name}: record {first:.0f} then {last:.0f} us CPU", last / first, "x", most)
        # What is kept of long streams is bounded by its size, which one alone doesn't reach.
        most = 1.2 if TRAFFIC[traffic][0] is not hot else 2
        yield bound(f"{name}: memory {began:.0f} then {ended:.0f} MB", ended / began, "x", most)


@click.command()
@click.option("--share", default=1.0, show_default=True, help="The part of the bodies to record.")
@click.option("--alone", type=click.Choice(sorted(TRAFFIC)), hidden=True)
def main(share: float, alone: str | None) -> None:
    """Whether rate and memory stay flat under traffic that is made to grow them."""
    if alone:
        measure(alone, share)
    else:
        click.echo(table(list(figures(share))))


if __name__ == "__main__":
    main()
