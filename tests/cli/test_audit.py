"""``postledger audit``: where it may write; what it says is told in ``tests/audit``."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli import Run


@pytest.mark.parametrize("option", ["--html", "--markdown"])
@pytest.mark.parametrize("name", ["samples.db", "link.html", "samples.db-wal"])
def test_a_report_never_takes_the_place_of_a_ledger(
    run: Run, samples: Path, tmp_path: Path, option: str, name: str
) -> None:
    """Nor of what SQLite keeps next to it, nor through a link: one line, and all is as before."""
    (tmp_path / "link.html").symlink_to(samples)
    (tmp_path / "samples.db-wal").touch()
    before = samples.read_bytes()
    done = run("audit", samples, option, tmp_path / name)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "a ledger, or another SQLite database, is there; name another file" in done.stderr
    assert samples.read_bytes() == before
    assert (tmp_path / "link.html").is_symlink()


def test_months_are_those_of_the_zone(run: Run, samples: Path) -> None:
    """The month before a month of Berlin is one of Berlin, too; and it is called by its name."""
    words = ("audit", samples, "--since", "2012-06-01", "--until", "2012-07-01")
    for zone, begun in (("UTC", "2012-05-01T00:00:00Z"), ("Europe/Berlin", "2012-04-30T22:00:00Z")):
        report = json.loads(run(*words, "--tz", zone, "--json").stdout)
        assert report["before"]["since"] == begun
        assert "June 2012: " in run(*words, "--tz", zone, "--html", "-").stdout


def test_a_pipe_stays_a_pipe(run: Run, samples: Path, tmp_path: Path) -> None:
    """It is written to, and not replaced."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)
    try:
        assert run("audit", samples, "--markdown", pipe, "--id", "nobody").exit_code == 1
        assert stat.S_ISFIFO(pipe.stat().st_mode)
    finally:
        os.close(reader)


def test_a_space_is_of_one_delivery(run: Run, samples: Path) -> None:
    """Without an id it has no meaning."""
    done = run("audit", samples, "--space", "x")
    assert done.exit_code == 2
    assert "--space requires --id" in done.stderr


@pytest.mark.parametrize("statement", ["", "UPDATE events SET received_at = received_at + 1000000"])
def test_a_report_tells_of_a_missing_guard(run: Run, samples: Path, statement: str) -> None:
    """It is written whole, with what is wrong in its integrity, and the exit status is 1."""
    with closing(sqlite3.connect(samples)) as db, db:
        db.execute("DROP TRIGGER events_no_update")
        db.execute(statement)
    done = run("audit", samples, "--verify")
    assert done.exit_code == 1
    problem = "guard events_no_update is missing: events can be altered"
    assert problem in done.stdout.replace("\\_", "_")
    assert f"Error: {problem}" in done.stderr
    assert ("the event is not what was received" in done.stdout) == bool(statement)


def test_a_report_has_title_parties_reference_and_author(run: Run, samples: Path) -> None:
    """Given as options."""
    words = ["--title", "Dispute of June", "--party", "Skycore", "--party", "Acme"]
    told = run("audit", samples, *words, "--reference", "ACME-7", "--author", "I. Okafor").stdout
    assert told.startswith(
        "# Dispute of June\n\n- Parties: Skycore \u00b7 Acme\n- Reference: ACME-7\n"
    )
