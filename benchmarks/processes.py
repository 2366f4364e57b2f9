"""Processes: how long eight that record wait for each other, alone and next to long maintenance."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import click

from benchmarks.concurrency import bodies
from benchmarks.measure import Figure, any_core, bound
from benchmarks.report import table
from postledger import Ledger, LedgerBusy
from postledger.definitions.definitions import builtin

RECORDERS = 8
TIMEOUT = 1.0
_ACME = """
name = "acme"
version = 1
roots = [""]

[fields]
id = "id"
status = "status"
acme = "acme"

[[postbacks]]
section = "callback"
match = { acme = true }
chart = "delivery"
key = "id"
undated = true
means = [{ status = "sent", trigger = "sent_sms" }]
"""
MAINTENANCE = ("replay", "replay --index", "adoption", "ingest", "verify")


@attrs.frozen
class Waits:
    """What eight processes felt: waits in milliseconds, refused calls, and the least to the most done."""

    p50: float
    p99: float
    longest: float
    refused: int
    share: float
    events: int


def record(path: Path, tag: str, until: Path) -> None:
    """Record one by one until the file ``until`` is there; print what was felt."""
    waits, refused = [], 0
    with Ledger(path, timeout=TIMEOUT) as ledger:
        print("ready", flush=True)
        for number in range(1_000_000):
            for body in bodies(f"{tag}-{number}", 50):
                began = time.perf_counter()
                try:
                    ledger.record(body)
                except LedgerBusy:
                    refused += 1
                waits.append((time.perf_counter() - began) * 1e3)
            if until.exists():
                break
    print(json.dumps([waits, refused]))


def maintain(path: Path, what: str, events: int) -> None:
    """Do something long, next to those who record."""
    with Ledger(path, timeout=60) as ledger:
        if what == "replay":
            ledger.replay()
        elif what == "replay --index":
            ledger.replay(index=True)
        elif what == "adoption":
            ledger.replay(builtin().with_files((), [_other(path.parent)]))
        elif what == "ingest":
            ledger.record_many(bodies("ingested", events))
        else:
            assert ledger.verify().ok


def _other(folder: Path) -> Path:
    """One more vocabulary: the whole log is read again by it."""
    file = folder / "acme.toml"
    file.write_text(_ACME)
    return file


def _start(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.processes", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def next_to(path: Path, what: str | None, events: int, seconds: float) -> tuple[Waits, float]:
    """Eight that record, for some seconds or until what is next to them ends; and how long it took."""
    until = path.with_name("until")
    with suppress(FileNotFoundError):
        until.unlink()
    tag = (what or "quiet").replace(" ", "")
    recorders = [_start("--record", path, f"{tag}{n}", until) for n in range(RECORDERS)]
    for one in recorders:
        assert one.stdout is not None
        one.stdout.readline()
    began = time.perf_counter()
    if what is None:
        time.sleep(seconds)
    else:
        done = _start("--maintain", path, what, "--events", events).wait()
        assert done == 0, what
    took = time.perf_counter() - began
    until.touch()
    said = [json.loads(one.communicate()[0]) for one in recorders]
    # What was recorded before all were ready, and after, is left in: it was waited for too.
    waits = sorted(wait for each, _ in said for wait in each)
    counts = [len(each) for each, _ in said]
    at = [waits[int(len(waits) * q)] for q in (0.5, 0.99)]
    refused = sum(refused for _, refused in said)
    return Waits(*at, waits[-1], refused, min(counts) / max(counts), sum(counts)), took


def figures(folder: Path, events: int, seconds: float) -> Iterator[Figure]:
    """The quiet run, then each maintenance next to eight that record."""
    path = folder / "processes.db"
    with Ledger(path) as ledger:
        ledger.record_many(bodies("before", events))
    quiet, _ = next_to(path, None, events, seconds)
    yield Figure("8 processes: p50 of a wait", quiet.p50, "ms")
    yield _longest("alone", quiet, quiet)
    yield Figure(
        "8 processes: least / most recorded", quiet.share, "", goal="≥ 0.5", met=quiet.share >= 0.5
    )
    for what in MAINTENANCE:
        felt, took = next_to(path, what, events, seconds)
        yield _longest(f"next to {what} ({took:.0f} s)", felt, quiet)
        yield bound(f"8 processes next to {what}: refused at timeout=1", felt.refused, "calls", 0)


def _longest(where: str, felt: Waits, quiet: Waits) -> Figure:
    return Figure(
        f"8 processes {where}: longest wait",
        felt.longest,
        "ms",
        "quiet p50",
        quiet.p50,
        "≤ 20 ×",
        felt.longest <= 20 * quiet.p50,
    )


@click.command()
@click.option("--events", default=1_000_000, show_default=True, help="Events before, and ingested.")
@click.option("--seconds", default=20.0, show_default=True, help="How long the quiet run is.")
@click.option("--scratch", type=click.Path(path_type=Path), help="Folder for the ledger.")
@click.option("--record", "recording", nargs=3, hidden=True)
@click.option("--maintain", "maintaining", nargs=2, hidden=True)
def main(
    events: int,
    seconds: float,
    scratch: Path | None,
    recording: tuple[str, str, str] | None,
    maintaining: tuple[str, str] | None,
) -> None:
    """Eight processes that record, alone and next to a replay, an adoption, an ingest, a verify."""
    any_core()
    if recording:
        record(Path(recording[0]), recording[1], Path(recording[2]))
    elif maintaining:
        maintain(Path(maintaining[0]), maintaining[1], events)
    else:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            click.echo(table(list(figures(Path(folder), events, seconds))))


if __name__ == "__main__":
    main()
