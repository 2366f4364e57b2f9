"""This tree beside an earlier one, in one interleaved run: ``python -m benchmarks.before [REV]``.

Each tree runs in a process of its own and does each thing in turn with the other, so that both see the
same machine. A ratio is the median over pairs, of what this tree does in a second of the clock, and of
the processor, to what the earlier one does. On a machine that others use the processor's is the steadier,
and by it the goals are judged.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from shutil import copytree
from statistics import median
from typing import Any

import attrs
import click
from tabulate import tabulate

from benchmarks.postbacks import receipts
from postledger import Receipt
from postledger.simulate import ALL, NONE, simulate

ROOT = Path(__file__).resolve().parent.parent
BEFORE = "acb3d1b"
"""The last revision before events, index and states were told apart."""

ACTIONS = {
    "record": ("record, one by one", 0.9),
    "bulk": ("bulk ingest", 0.9),
    "fold": ("fold, row by row", 0.9),
    "states": ("states folded again", 0.9),
    "verify": ("verify", 0.9),
    "reread": ("log read again / states folded again", 0.4),
    "compare": ("comparison, equal vocabularies", 1.8),
}
"""What is compared: the name of each figure, and the ratio that it is to reach."""

DISK = {"uniform": 280, "diverse": 300, "disturbed": 370}
"""Kinds of traffic, and how many bytes an event of it may take."""


@attrs.frozen
class Compared:
    """One line of the table; of rates the ratios are those of wall time and processor time."""

    name: str
    here: str
    before: str
    wall: float | None
    cpu: float | None
    goal: str
    met: bool


class Side:
    """The process of one tree."""

    def __init__(self, tree: Path, folder: Path, traffic: Path) -> None:
        folder.mkdir()
        path = os.pathsep.join((str(_laid_out(tree, folder / "engine")), str(ROOT)))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.side", str(folder), str(traffic)],
            env={**os.environ, "PYTHONPATH": path},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> Any:
        """The next answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise click.ClickException("a side ended; see above")
        return json.loads(line)

    def ask(self, command: str) -> Any:
        """Do one thing."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _laid_out(tree: Path, folder: Path) -> Path:
    """The engine with the definitions that ship with it, as if it were installed there."""
    copytree(tree / "engine" / "postledger", folder / "postledger")
    copytree(tree / "statecharts", folder / "postledger" / "statecharts")
    return folder


@contextmanager
def checked_out(revision: str, folder: Path) -> Iterator[Path | None]:
    """The tree of a revision; ``None`` where git or the revision is missing."""
    tree = folder / "before"
    git = ["git", "-C", str(ROOT), "worktree"]
    try:
        subprocess.run(
            [*git, "add", "--detach", str(tree), revision], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True, capture_output=True)


def traffic_of(kind: str, events: int) -> list[Receipt]:
    """The receipts of a kind of traffic."""
    if kind in ("rates", "uniform"):
        return list(islice(receipts(), events))
    disturbances = NONE if kind == "diverse" else ALL
    return list(islice(simulate(events, seed=5, disturbances=disturbances), events))


def compared(
    here: Side, before: Side, pairs: int, actions: Iterable[str] = ACTIONS
) -> Iterator[Compared]:
    """The figures of rates: each the median over pairs."""
    got: dict[str, list[tuple[Any, Any]]] = {action: [] for action in actions}
    for number in range(pairs):
        for action, done in got.items():
            # Each is the first of a pair in turn.
            if number % 2:
                theirs = before.ask(action)
                done.append((here.ask(action), theirs))
            else:
                ours = here.ask(action)
                done.append((ours, before.ask(action)))
    for action, done in got.items():
        name, goal = ACTIONS[action]
        wall, cpu = (median(theirs[at] / ours[at] for ours, theirs in done) for at in (1, 2))
        each = [median(pair[side][2] / pair[side][0] for pair in done) for side in (0, 1)]
        texts = [f"{1e6 * one:,.1f} µs" for one in each]
        yield Compared(name, texts[0], texts[1], wall, cpu, f"≥ {goal} ×", cpu >= goal)


def disks(here: Side, before: Side, kinds: Iterable[str] = DISK) -> Iterator[Compared]:
    """The figures of sizes."""
    for kind in kinds:
        ours, theirs = here.ask(f"disk {kind}"), before.ask(f"disk {kind}")
        goal = f"≤ {DISK[kind]} B"
        texts = [f"{size:.1f} B" for size in (ours, theirs)]
        name = f"disk, {kind} traffic"
        yield Compared(name, texts[0], texts[1], None, None, goal, ours <= DISK[kind])


def table(lines: Iterable[Compared]) -> str:
    """One line a figure."""
    rows = [
        (
            one.name,
            one.here,
            one.before,
            "" if one.wall is None else f"{one.wall:.2f}",
            "" if one.cpu is None else f"{one.cpu:.2f}",
            one.goal,
            "met" if one.met else "NOT MET",
        )
        for one in lines
    ]
    heads = ("an event", "here", "before", "wall", "CPU", "goal", "")
    return tabulate(rows, heads, disable_numparse=True)


@click.command()
@click.argument("revision", default=BEFORE)
@click.option(
    "--pairs", default=9, show_default=True, help="Pairs of which a figure is the median."
)
@click.option("--events", default=20_000, show_default=True, help="Events of the rates.")
@click.option("--sized", default=50_000, show_default=True, help="Events of the sizes; 0: none.")
@click.option("--only", multiple=True, type=click.Choice(list(ACTIONS)), help="These alone.")
@click.option("--out", type=click.Path(path_type=Path), help="File for the figures as JSON.")
def main(
    revision: str, pairs: int, events: int, sized: int, only: tuple[str, ...], out: Path | None
) -> None:
    """This tree beside that of REVISION, in one run."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        tree = stack.enter_context(checked_out(revision, folder))
        if tree is None:
            click.echo(f"skipped: git, or revision {revision}, is missing here")
            return
        traffic = folder / "traffic"
        traffic.mkdir()
        for kind, size in {"rates": events, **dict.fromkeys(DISK, sized)}.items():
            told = [(r.body, r.content_type, r.received_at) for r in traffic_of(kind, size)]
            (traffic / kind).write_bytes(pickle.dumps(told))
        sides = [Side(ROOT, folder / "a", traffic), Side(tree, folder / "b", traffic)]
        for side in sides:
            stack.callback(side.close)
            side.answer()
        lines = list(compared(*sides, pairs, only or ACTIONS))
        if sized:
            lines += disks(*sides)
        click.echo(table(lines))
        if out is not None:
            out.write_text(json.dumps([attrs.asdict(line) for line in lines], indent=2) + "\n")


if __name__ == "__main__":
    main()
