"""``postledger check``: lines, JSON, exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from postledger import Ledger
from tests.alerts.traffic import traffic
from tests.cli import Run

SILENCE = "silence: all sources: nothing since 2026-03-06T00:00:00Z, 3d ago; usually at most 1h\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of four days of traffic."""
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.record_many(traffic(4))
        return ledger.path


def test_check_says_what_to_look_at(run: Run, path: Path) -> None:
    """A line for each alert, and exit status 3; without any nothing, and 0."""
    found = run("check", path, "--at", "2026-03-09")
    assert (found.exit_code, found.stdout, found.stderr) == (3, SILENCE, "")
    found = run("check", path, "--at", "2026-03-06 01:00", "--tz", "+01:00")
    assert (found.exit_code, found.stdout, found.stderr) == (0, "", "")


def test_check_writes_json(run: Run, path: Path) -> None:
    """An array, empty where there is nothing to look at."""
    found = run("check", path, "--at", "2026-03-09", "--json")
    (one,) = json.loads(found.stdout)
    assert found.exit_code == 3
    assert (one["rule"], one["of"], one["name"]) == ("silence", "all", None)
    assert (one["since"], one["count"]) == ("2026-03-06T00:00:00Z", None)
    found = run("check", path, "--at", "2026-03-06", "--json")
    assert (found.exit_code, json.loads(found.stdout)) == (0, [])


def test_check_takes_rules(run: Run, path: Path, tmp_path: Path) -> None:
    """A faulty file is not a check: exit status 1, and a line for each fault."""
    rules = tmp_path / "alerts.toml"
    rules.write_text("silence = false")
    assert run("check", path, "--at", "2026-03-09", "--rules", rules).exit_code == 0
    rules.write_text("days = 0\nratio = 1\n")
    found = run("check", path, "--rules", rules)
    assert found.exit_code == 1
    assert found.stderr.count("Error: ") == 2
    assert run("check", path, "--rules", tmp_path / "none.toml").exit_code == 2
    assert run("check", tmp_path / "none.db").exit_code == 2
