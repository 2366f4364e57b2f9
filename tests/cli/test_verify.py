"""``postledger verify``."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli import Run
from tests.stores import both_stores


@both_stores
def test_verify_prints_the_json_of_the_design(run: Run, samples: Path) -> None:
    """Whether all is well, how many events, and the anchor."""
    done = run("verify", samples, "--json")
    found = json.loads(done.stdout)
    assert list(found) == ["ok", "events", "anchor", "problems"]
    assert (found["ok"], found["events"], found["problems"]) == (True, 12, [])
    assert found["anchor"].startswith("12:")
    assert done.exit_code == 0


@both_stores
def test_verify_with_an_anchor_that_does_not_fit_ends_with_1(run: Run, samples: Path) -> None:
    """An anchor of another history is named with its position."""
    head = json.loads(run("verify", samples, "--json").stdout)["anchor"].partition(":")[2]
    assert run("verify", samples, "--anchor", f"12:{head}").exit_code == 0
    wrong = run("verify", samples, "--anchor", f"11:{head}")
    assert (wrong.exit_code, wrong.stdout.count("\n")) == (1, 2)
    assert "anchor" in wrong.stdout.splitlines()[0]
    beyond = run("verify", samples, "--anchor", f"13:{head}")
    assert (beyond.exit_code, beyond.stdout.count("\n")) == (1, 2)
    assert "anchor" in beyond.stdout.splitlines()[0]


def test_what_can_not_be_verified_says_what_to_do(run: Run, samples: Path) -> None:
    """Of a file that is damaged where it begins verify can't say what is left of it."""
    page = samples.read_bytes()
    samples.write_bytes(page[:100] + b"\xff" * 600 + page[700:])
    done = run("verify", samples)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {samples}: the file is damaged: ")
    assert done.stderr.endswith("; restore a backup, and ingest what came since\n")


def test_no_backup_is_asked_for_where_a_replay_is_enough(run: Run, samples: Path) -> None:
    """What is derived can be made again from the log."""
    with closing(sqlite3.connect(samples)) as conn, conn:
        conn.execute("DROP TABLE checkpoints")
    done = run("verify", samples)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"Error: {samples}: derived tables are missing; run replay\n"


@pytest.mark.parametrize("wrong", ["12", "12:abc", f"-1:{'0' * 64}", f"x:{'0' * 64}"])
def test_an_anchor_that_is_not_one_is_wrong_usage(run: Run, samples: Path, wrong: str) -> None:
    """It is named with what is expected."""
    done = run("verify", samples, "--anchor", wrong)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"invalid anchor '{wrong}': expected SIZE:ROOT as printed by ingest" in done.stderr
