"""``postledger replay``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from postledger import Ledger
from postledger.definitions.definitions import builtin
from tests.cli import Run
from tests.samples import DEGRADED, NEWCOMER, delivered, failed, first_outcome_stands


@pytest.mark.parametrize("options", [[], ["--index"]])
def test_replay_says_how_far_and_by_what(run: Run, samples: Path, options: list[str]) -> None:
    """The position and the charts and vocabularies are named; the index can be made again too."""
    done = run("replay", samples, *options)
    assert done.exit_code == 0
    assert done.stdout.startswith("replayed to position 11 by content 1 (")


def test_replay_shows_what_another_chart_would_change(
    run: Run, samples: Path, tmp_path: Path
) -> None:
    """The delivery, from what to what, and why, for people and for programs; nothing is written."""
    other = tmp_path / "delivery.toml"
    text = builtin().charts["delivery"].source.replace("version = 1", "version = 2")
    sources = '"created", "accepted", "sent", "failed"'
    row = f'["failed", "sending_failed"], source = [{sources}], dest = "failed" }},'
    assert row in text
    taken = row.replace(sources, '"delivered"').replace(" },", ", overrides = true },")
    other.write_text(text.replace(row, f"{row}\n    {{ trigger = {taken}"))
    before = samples.read_bytes()
    shown = run("replay", samples, "--chart", other)
    assert shown.exit_code == 0
    assert DEGRADED in shown.stdout
    assert "delivered; reason Handset setting" in shown.stdout
    assert "nothing was written" in shown.stderr
    assert shown.stdout.splitlines()[2].split() == ["delivery", "delivered", "failed", "1"]
    (flat,) = csv.DictReader(run("replay", samples, "--chart", other, "--csv").stdout.splitlines())
    assert (flat["key"], flat["before_state"], flat["after_state"]) == (
        DEGRADED,
        "delivered",
        "failed",
    )
    assert "{" not in "".join(flat.values())
    (difference,) = json.loads(run("replay", samples, "--chart", other, "--json").stdout)
    assert (difference["key"], difference["after"]["state"]) == (DEGRADED, "failed")
    assert samples.read_bytes() == before
    assert run("replay", samples, "--builtin").stdout == ""
    adopted = run("replay", samples, "--chart", other, "--adopt")
    assert "delivery 2 (" in adopted.stdout
    state = json.loads(run("show", samples, DEGRADED, "--json").stdout)["state"]
    assert state == "failed"
    (back,) = json.loads(run("replay", samples, "--builtin", "--json").stdout)
    assert back["after"]["state"] == "delivered"


def test_a_new_word_shows_what_had_no_state_before(run: Run, tmp_path: Path) -> None:
    """A vocabulary that knows more tells the deliveries that it would add, from nothing to a state."""
    path, words = tmp_path / "l.db", tmp_path / "newcomer.toml"
    run(
        "ingest",
        path,
        "-",
        stdin=b'{"Id": "n1", "What": "gone out", "When": "2026-11-05T12:00:00Z"}',
    )
    words.write_text(NEWCOMER)
    shown = run("replay", path, "--vocabulary", words)
    turns, _, listed = shown.stdout.partition("\n\n")
    assert [line.split() for line in turns.splitlines()[2:]] == [["delivery", "-", "sent", "1"]]
    assert [line.split()[:3] for line in listed.splitlines()[2:]] == [["delivery", "n1", "-"]]
    assert "before: position 1 (gone out)" not in shown.stdout
    assert "after: position 1 (gone out) applied, sent" in shown.stdout


def test_replay_adopts_the_providers_that_are_chosen(run: Run, samples: Path) -> None:
    """--provider compares with them, or adopts them; it stands in place of --builtin."""
    compared = run("replay", samples, "--provider", "sinch", "--json")
    assert {row["why"] for row in json.loads(compared.stdout)} != set()
    assert "sinch 1" not in run("replay", samples, "--provider", "skycore", "--adopt").stdout
    with Ledger(samples) as ledger:
        assert [v.name for v in ledger.definitions.vocabularies] == ["postledger", "skycore"]
    assert run("replay", samples, "--provider", "skycore", "--builtin").exit_code == 2


def test_of_many_changes_the_first_are_listed_and_all_are_counted(run: Run, tmp_path: Path) -> None:
    """By what the state was and would be; programs get each."""
    path, chart = tmp_path / "l.db", tmp_path / "delivery.toml"
    chart.write_text(first_outcome_stands().charts["delivery"].source)
    with Ledger(path) as ledger:
        for of in (failed, delivered):
            ledger.record_many(of(f"m{number}") for number in range(120))
    shown = run("replay", path, "--chart", chart)
    turns, _, listed = shown.stdout.partition("\n\n")
    assert [one.split() for one in turns.splitlines()[2:]] == [
        ["delivery", "delivered", "failed", "120"]
    ]
    assert len(listed.splitlines()) == 102
    assert "the first 100 of 120; --json, --nl or --csv give all" in shown.stderr
    assert len(run("replay", path, "--chart", chart, "--csv").stdout.splitlines()) == 121
