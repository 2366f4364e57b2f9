"""``postledger accept``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from postledger import UNVERIFIED, Ledger
from tests.cli import Run
from tests.samples import delivered, sent


@pytest.fixture
def doubted(tmp_path: Path) -> Path:
    """A ledger of unverified events of two sources."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record(sent("a"), sender=UNVERIFIED, source="here")
        ledger.record(delivered("a"), sender=UNVERIFIED, source="here")
        ledger.record(sent("b"), sender=UNVERIFIED, source="there")
    return path


def test_unverified_events_are_listed_and_accepted(run: Run, doubted: Path) -> None:
    """Those of the range, and with a source only its own."""
    listed = run("events", doubted, "--reading", "unverified", "--nl").stdout.splitlines()
    assert [json.loads(line)["position"] for line in listed] == [1, 2, 3]
    done = run("accept", doubted, 1, 3, "--source", "here")
    assert done.stdout.splitlines()[0] == "accepted 2 events"
    assert done.stdout.splitlines()[1].startswith("anchor 7:")
    assert json.loads(run("show", doubted, "a", "--json").stdout)["events"] == 2
    assert run("show", doubted, "b").exit_code == 1
    done = run("accept", doubted, 3, 3, "--json")
    assert json.loads(done.stdout)["accepted"] == 1
    assert json.loads(done.stdout)["anchor"].startswith("9:")
    assert run("verify", doubted).exit_code == 0


def test_accepted_event_is_listed_as_accepted(run: Run, doubted: Path) -> None:
    """For people next to its reading, for programs as a field of its own."""
    run("accept", doubted, 1, 2)
    *_, first, second, third = run("events", doubted, "--reading", "unverified").stdout.splitlines()
    assert "unverified, accepted" in first
    assert "unverified, accepted" in second
    assert "accepted" not in third
    listed = run("events", doubted, "--nl").stdout.splitlines()
    accepted = [json.loads(line)["accepted"] for line in listed]
    assert accepted == [False, True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ((0, 0), 1, "no unverified event from position 0 to 0"),
        ((1, 2, "--source", "x"), 1, "no unverified event of the source 'x' from position 1 to 2"),
        ((1, 9), 1, "last must be at most 3, got 9"),
        ((2, 1), 2, "LAST must be at least 2, got 1."),
        ((-1, 4), 2, "FIRST and LAST must be whole numbers of at least 0."),
        ((1, -4), 2, "FIRST and LAST must be whole numbers of at least 0."),
        ((1, 2, "-x"), 2, "No such option '-x'"),
        ((1, "x"), 2, "LAST must be a whole number of at least 0, got 'x'"),
        ((1, 2**63), 1, f"last must be at most 3, got {2**63}"),
    ],
)
def test_what_can_not_be_accepted_is_one_line(
    run: Run, doubted: Path, given: tuple[object, ...], code: int, said: str
) -> None:
    """And nothing is written."""
    done = run("accept", doubted, *given)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr
    with Ledger(doubted) as ledger:
        assert ledger.head().size == 4


def test_errors_name_the_ledger_in_one_way(
    run: Run, doubted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its absolute path, whether the command or the ledger finds what is wrong."""
    monkeypatch.chdir(doubted.parent)
    for last in (0, 9):
        done = run("accept", doubted.name, 0, last)
        assert done.stderr.startswith(f"Error: {doubted}: ")


def test_a_mistyped_ledger_is_not_made(run: Run, tmp_path: Path) -> None:
    """There is nothing in it to accept."""
    assert run("accept", tmp_path / "no.db", 0, 0).exit_code == 2
    assert list(tmp_path.iterdir()) == []
