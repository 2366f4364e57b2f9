"""The command ``audit``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from postledger import Ledger
from postledger.definitions import load_chart

Run = Callable[..., Result]


@pytest.fixture
def samples(tmp_path: Path, specification: list[bytes]) -> Path:
    """A ledger of the samples of the specification."""
    path = tmp_path / "samples.db"
    with Ledger(path) as ledger:
        ledger.record_many(specification)
    return path


def test_without_a_form_it_prints_markdown_and_the_anchor(run: Run, samples: Path) -> None:
    """The report on stdout, the anchor to keep on stderr."""
    done = run("audit", samples)
    assert done.stdout.startswith("# Delivery state audit of samples.db\n")
    with Ledger(samples, readonly=True) as ledger:
        assert done.stderr == f"anchor {ledger.head()}\n"
    assert done.exit_code == 0


def test_json_is_one_object(run: Run, samples: Path) -> None:
    """For programs: nothing else on stdout."""
    done = run(
        "audit", samples, "--json", "--as-of", 6, "--since", "2012-01-01", "--until", "2013-01-01"
    )
    said = json.loads(done.stdout)
    assert said["request"] == {
        "since": "2012-01-01T00:00:00Z",
        "until": "2013-01-01T00:00:00Z",
        "as_of": 6,
        "occurred_by": None,
        "definitions": "now",
        "masked": True,
    }
    assert said["outcomes"]["all"]["total"] == 2


def test_forms_go_to_files(run: Run, samples: Path, tmp_path: Path) -> None:
    """HTML and Markdown at once; nothing is printed then."""
    html, markdown = tmp_path / "r.html", tmp_path / "r.md"
    done = run("audit", samples, "--html", html, "--markdown", markdown)
    assert done.stdout == ""
    assert html.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert markdown.read_text("utf-8").startswith("# Delivery state audit")
    assert run("audit", samples, "--markdown").stdout.startswith("# Delivery state audit")


def test_dossier_masks_unless_told_not_to(run: Run, samples: Path) -> None:
    """``--id`` asks for one delivery, ``--unmask`` for its number."""
    asked = ("audit", samples, "--id", "TU1TXzU5Nzg3Nw==")
    assert "16502424956" not in run(*asked).stdout
    assert "16502424956" in run(*asked, "--unmask").stdout


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (("--id", "NOPE"), 1, "Error: no delivery 'NOPE' is known"),
        (("--id", "X", "--since", "2012-01-01"), 2, "--id asks for one delivery"),
        (("--since", "2013-01-01", "--until", "2012-01-01"), 2, "--since must be before --until"),
        (("--since", "someday"), 2, "invalid time 'someday'"),
        (("--html", "no/such/folder/r.html"), 1, "no/such/folder/r.html"),
    ],
)
def test_wrong_asking_is_one_line(
    run: Run, samples: Path, options: tuple[str, ...], code: int, line: str
) -> None:
    """Exit 1 where the answer is no, 2 for wrong usage."""
    done = run("audit", samples, *options)
    assert done.exit_code == code
    assert line in done.stderr.splitlines()[-1]


def test_ledger_that_contradicts_itself_ends_with_one(run: Run, samples: Path) -> None:
    """The report is written all the same; what is wrong stands on stderr."""
    import sqlite3

    db = sqlite3.connect(samples)
    table = db.execute("SELECT max(number) FROM generations").fetchone()[0]
    db.execute(f"UPDATE states_{table} SET state = 'failed' WHERE state = 'delivered'")
    db.commit()
    db.close()
    done = run("audit", samples, "--verify")
    assert done.exit_code == 1
    assert "Not all holds" in done.stdout
    assert "the state differs from the fold; run replay" in done.stderr


def test_definitions_are_those_of_then(run: Run, samples: Path) -> None:
    """The command that a report names gives its figures again after another adoption."""
    before = json.loads(run("audit", samples, "--json").stdout)
    with Ledger(samples) as ledger:
        chart = ledger.definitions.charts["delivery"]
        again = load_chart(chart.source.replace("version = 1", "version = 2", 1))
        ledger.replay(ledger.definitions.with_charts([again]))
    position = before["integrity"]["events"] - 1
    page = run("audit", samples, "--as-of", position, "--definitions", "then", "--json")
    after = json.loads(page.stdout)
    assert after["definitions"] == before["definitions"]
    assert after["outcomes"] == before["outcomes"]
    assert after["durations"] == before["durations"]
