"""``postledger replay``."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from postledger import Ledger
from postledger.definitions.chart_toml import load_chart
from postledger.definitions.definitions import builtin
from tests.cli import Run
from tests.conftest import FIXTURES
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


def test_a_provider_is_added_to_those_in_force(run: Run, samples: Path) -> None:
    """--provider drops no other; what it changes is counted before it happens."""
    form = FIXTURES / "providers/plivo/delivered.form"
    assert "unrecognised 1" in run("ingest", samples, form).stdout
    before = run("deliveries", samples, "--nl").stdout
    done = run("replay", samples, "--provider", "plivo", "--adopt")
    assert done.exit_code == 0
    adding, counts = done.stderr.splitlines()
    assert adding.startswith("adding plivo 1 (")
    assert counts == "delivery: 1 new (1 event), 0 gone (0 events), 0 changed (0 events)"
    assert _vocabularies(samples) == ["plivo", "postledger", "sinch", "skycore"]
    after = run("deliveries", samples, "--nl").stdout
    assert set(before.splitlines()) < set(after.splitlines())
    again = run("replay", samples, "--provider", "plivo", "--adopt", "--json")
    assert again.stderr == "no delivery is new, gone or changed\n"
    assert json.loads(again.stdout)[0]["changes"] == {}


def test_only_drops_what_is_not_named(run: Run, samples: Path) -> None:
    """With --only, what is gone is counted; its events stay, and --builtin brings it back."""
    gone = run("replay", samples, "--provider", "plivo", "--only", "--adopt", "--json")
    assert "dropping sinch 1 (" in gone.stderr
    assert "delivery: 0 new (0 events), 3 gone (" in gone.stderr
    assert "stay in the log" in gone.stderr
    (told,) = json.loads(gone.stdout)
    assert told["changes"]["delivery"]["gone"]["states"] == 3
    assert _vocabularies(samples) == ["plivo", "postledger"]
    back = run("replay", samples, "--builtin", "--provider", "plivo", "--adopt")
    assert "delivery: 3 new (" in back.stderr
    assert _vocabularies(samples) == ["plivo", "postledger", "sinch", "skycore"]
    assert run("replay", samples, "--builtin", "--only").exit_code == 2


def test_what_is_dropped_speaks_for_nobody(run: Run, tmp_path: Path) -> None:
    """A source keeps its space: what was kept of it, or comes later, isn't read by those left."""
    form, path = "application/x-www-form-urlencoded", tmp_path / "l.db"
    forged = b"MessageSid=SM1&MessageStatus=delivered&To=%2B15550100018"
    with Ledger(path, providers=["twilio", "plivo"]) as ledger:
        ledger.record(forged.replace(b"delivered", b"failed"), form, source="twilio")
        ledger.record(forged, form, source="plivo")
    told = run("replay", path, "--provider", "twilio", "--only", "--adopt").stderr
    assert "dropping plivo 1 (" in told
    assert "adding" not in told
    # It is opened by the providers that it reads by.
    with Ledger(path, providers=["twilio"]) as ledger:
        assert "source 'plivo'" in (ledger.record(forged, form, source="plivo").event.problem or "")
        assert ledger.delivery("SM1").state == "failed"
        assert ledger.definitions.spaces == ("twilio",)
    assert "plivo" in run("charts", "--ledger", path).stdout
    for words in (["--builtin", "--only", "--provider", "twilio"], ["--builtin"]):
        run("replay", path, *words, "--adopt")
        with Ledger(path) as ledger:
            assert all(one.state != "delivered" for one in ledger.deliveries())
            assert "plivo" in ledger.definitions.lexicon.spaces
    words = ["--builtin", "--only", "--provider", "twilio", "--provider", "plivo"]
    run("replay", path, *words, "--adopt")
    with Ledger(path, providers=["plivo", "twilio"]) as ledger:
        assert ledger.verify().ok


def test_only_leaves_the_charts_in_force(run: Run, samples: Path, tmp_path: Path) -> None:
    """It is about what providers send: a chart of the user's own stays."""
    chart = tmp_path / "delivery.toml"
    chart.write_text(first_outcome_stands().charts["delivery"].source)
    run("replay", samples, "--chart", chart, "--adopt")
    run("replay", samples, "--provider", "skycore", "--only", "--adopt")
    with Ledger(samples) as ledger:
        assert ledger.definitions.charts["delivery"].source == chart.read_text()


def test_a_provider_that_wants_more_of_a_chart_is_refused_with_the_way(
    run: Run, tmp_path: Path
) -> None:
    """An older chart lacks words that it says; both are adopted at once, and nothing else is lost."""
    path, chart = tmp_path / "l.db", tmp_path / "delivery.toml"
    older = load_chart(builtin().charts["delivery"].source.replace("accepted", "taken"))
    with Ledger(path, definitions=builtin().with_charts([older])):
        pass
    refused = run("ingest", path, FIXTURES / "providers/plivo/sent.form", "--provider", "plivo")
    assert "replay adopts others" in refused.stderr
    lacking = run("replay", path, "--provider", "plivo", "--adopt")
    assert lacking.exit_code == 1
    assert "chart 'delivery' has no trigger 'accepted'" in lacking.stderr
    assert (
        "print that (postledger charts --toml delivery) and add it with --chart" in lacking.stderr
    )
    chart.write_text(run("charts", "--toml", "delivery").stdout)
    both = run("replay", path, "--provider", "plivo", "--chart", chart, "--adopt")
    assert both.exit_code == 0
    assert _vocabularies(path) == ["plivo", "postledger", "sinch", "skycore"]


def test_a_ledger_with_a_damaged_index_can_adopt(run: Run, samples: Path) -> None:
    """What changes can't be counted then; the replay that mends the index is not held up."""
    with closing(sqlite3.connect(samples)) as db:
        db.execute("UPDATE index_1 SET said = 'damaged'")
        db.commit()
    done = run("replay", samples, "--provider", "plivo", "--adopt")
    assert done.exit_code == 0
    assert "what changes can't be counted: " in done.stderr
    assert run("verify", samples).exit_code == 0


def _vocabularies(path: Path) -> list[str]:
    with Ledger(path) as ledger:
        return [one.name for one in ledger.definitions.without_muted().vocabularies]


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
