"""``postledger copy``: what it prints, and what it says of what a copy has not."""

from __future__ import annotations

import json
from pathlib import Path

from postledger import Ledger
from tests.cli import Run
from tests.samples import SMS, sent


def test_a_copy_prints_the_anchor_of_both(run: Run, samples: Path, tmp_path: Path) -> None:
    """And how many events came, where others were there."""
    target = tmp_path / "copy.db"
    with Ledger(samples) as ledger:
        anchor = ledger.head()
        done = run("copy", samples, target)
        assert (done.exit_code, done.stdout) == (0, f"copied 12 events\nanchor {anchor}\n")
        ledger.record(sent(SMS))
        anchor = ledger.head()
    done = run("copy", samples, target)
    assert done.stdout == f"copied 1 event; 12 events were there\nanchor {anchor}\n"
    done = run("copy", samples, target, "--json")
    assert json.loads(done.stdout) == {"copied": 0, "anchor": str(anchor)}
    assert run("verify", target, "--anchor", anchor).exit_code == 0


def test_a_copy_names_the_checkpoints_that_it_has_not(
    run: Run, samples: Path, tmp_path: Path
) -> None:
    """They are of the place where they were made."""
    with Ledger(samples) as ledger:
        ledger.subscribe("webhooks", lambda _: None, live=False)
    done = run("copy", samples, tmp_path / "copy.db")
    assert done.stderr == "not copied: the checkpoints of subscription 'webhooks'\n"
    with Ledger(tmp_path / "copy.db", readonly=True) as ledger:
        assert ledger.checkpoints() == ()


def test_a_copy_tells_of_no_states_that_are_missing(
    run: Run, samples: Path, tmp_path: Path
) -> None:
    """They are made on the way, as they are to be."""
    assert run("copy", samples, tmp_path / "copy.db").stderr == ""


def test_a_copy_without_a_folder_is_one_line(run: Run, samples: Path, tmp_path: Path) -> None:
    """And nothing is left."""
    done = run("copy", samples, tmp_path / "none/copy.db")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "does its folder exist" in done.stderr
    (tmp_path / "folder").mkdir()
    assert run("copy", samples, tmp_path / "folder").exit_code == 2
    assert run("copy", tmp_path / "nowhere.db", tmp_path / "copy.db").exit_code == 2
    assert [path.name for path in tmp_path.iterdir()].count("copy.db") == 0
