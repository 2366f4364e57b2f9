"""SIGKILL while a foreign log is recorded: the same command ends in the events of one run."""

from __future__ import annotations

import csv
import random
import time
from pathlib import Path
from subprocess import Popen

import pytest

from postledger import Ledger
from tests.faults import traffic
from tests.faults.test_kill import KILLS

ROWS = 3_500


def _log(path: Path) -> Path:
    """A log of CSV whose rows repeat each other at times."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["at", "body"])
        for number in range(ROWS):
            writer.writerow([1772359205 + number // 7, traffic.body(number // 2).decode()])
    return path


def _events(path: Path) -> list[tuple[str, bytes]]:
    with Ledger(path) as ledger:
        assert ledger.verify().problems == ()
        return [(event.kind, event.body) for event in ledger.events(after=0)]


def _ingest(ledger: Path, log: Path) -> Popen[str]:
    words = ("ingest", ledger, log, "--body", "body", "--received-at", "at")
    return traffic.python("-m", "postledger", *words)


def _killed(tmp_path: Path, kills: int) -> int:
    """Kill runs at random, then finish; returns how many kills came midway."""
    log, dice, midway = _log(tmp_path / "x.csv"), random.Random(11), 0
    began = time.monotonic()
    assert traffic.finish(_ingest(tmp_path / "one.db", log))[0] == 0
    whole, one = time.monotonic() - began, _events(tmp_path / "one.db")
    assert sum(kind == "receipt" for kind, _ in one) == ROWS
    path = tmp_path / "many.db"
    for number in range(kills):
        process = _ingest(path, log)
        time.sleep(whole * dice.uniform(0.3, 0.9))
        traffic.kill(process)
        if path.exists():
            midway += 0 < len(_events(path)) < len(one)
        if number % 3 == 2:
            _finish(path, log, one)
            for file in tmp_path.glob("many.db*"):
                file.unlink()
    _finish(path, log, one)
    return midway


def _finish(path: Path, log: Path, one: list[tuple[str, bytes]]) -> None:
    assert traffic.finish(_ingest(path, log))[0] == 0
    assert _events(path) == one


def test_a_killed_run_is_finished_by_the_same_command(tmp_path: Path) -> None:
    """No row is missing, none is there twice."""
    _killed(tmp_path, 2)


@pytest.mark.long
def test_a_run_that_is_killed_many_times_is_finished_by_the_same_command(tmp_path: Path) -> None:
    """The same at length; some kills came midway."""
    assert _killed(tmp_path, 2 * KILLS) > KILLS // 4
