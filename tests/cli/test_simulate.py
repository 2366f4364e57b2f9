"""``postledger simulate``, and what the ledger makes of what it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from postledger import Ledger
from postledger.definitions import shipped
from tests.simulate.test_truth import told
from tests.states import rows

Run = Callable[..., Any]


def truths(path: Path) -> list[dict[str, Any]]:
    """The lines of a truth file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", ["traffic.jsonl", "traffic.jsonl.gz", "traffic"])
def test_ingest_what_is_written(name: str, run: Run, tmp_path: Path) -> None:
    """What is written, as lines, packed or as files, is ingested to what the truth beside it says."""
    out, ledger = tmp_path / name, tmp_path / "test.db"
    assert run("simulate", out, "--messages", 60, "--all", "--seed", 3).exit_code == 0
    assert run("ingest", ledger, out).exit_code == 0
    with Ledger(ledger) as opened:
        found = rows(opened)
    noted = truths(tmp_path / "traffic.truth.jsonl")
    assert len(noted) == 60
    for truth in noted:
        row = found.get((truth["chart"], truth["key"]), {})
        assert (row.get("state"), row.get("route")) == (truth["told_state"], truth["told_route"])


@pytest.mark.parametrize("out", ["traffic.jsonl", "traffic"])
@pytest.mark.parametrize("name", ["infobip", "kannel", "mm7", "plivo", "smpp"])
def test_each_wire_of_a_provider(name: str, out: str, run: Run, tmp_path: Path) -> None:
    """JSON, queries, XML, forms and receipt texts are ingested to what the truth says."""
    ledger = tmp_path / "test.db"
    words = ("--provider", name, "--messages", 40, "--all")
    assert run("simulate", tmp_path / out, *words).exit_code == 0
    done = run("ingest", ledger, tmp_path / out, "--provider", name)
    # A corrupt query string is named, and not recorded as one.
    assert done.exit_code == ("not recorded" in done.stderr)
    with Ledger(ledger) as opened:
        found = {one.tracking_id: one for one in opened.deliveries()}
    for truth in truths(tmp_path / "traffic.truth.jsonl"):
        row = found.get(truth["key"])
        said = (None, None) if row is None else (row.state, row.route)
        assert said == (truth["told_state"], truth["told_route"])


def test_a_provider_is_one_that_ships(run: Run, tmp_path: Path) -> None:
    """Another name is refused with those that ship, and a story is given in place of a provider."""
    out = tmp_path / "out.jsonl"
    unknown = run("simulate", out, "--provider", "nobody")
    assert unknown.exit_code == 2
    assert "unknown provider 'nobody': expected" in unknown.stderr
    story = tmp_path / "story.toml"
    story.write_text("")
    both = run("simulate", out, "--provider", "infobip", "--story", story)
    assert both.exit_code == 2
    assert "--story and --provider can't go together" in both.stderr
    assert not out.exists()


def test_a_vocabulary_of_the_user_is_simulated(run: Run, tmp_path: Path) -> None:
    """As one that ships; one that speaks of other charts is refused with why."""
    words, out = tmp_path / "mine.toml", tmp_path / "out.jsonl"
    words.write_text(shipped("plivo").source.replace('name = "plivo"', 'name = "mine"'))
    given = ("--messages", 30, "--seed", 1)
    assert run("simulate", out, "--vocabulary", words, *given).exit_code == 0
    mine = out.read_bytes()
    assert run("simulate", out, "--provider", "plivo", *given).exit_code == 0
    assert out.read_bytes() == mine
    words.write_text(words.read_text().replace('"rejected"', '"refused"'))
    refused = run("simulate", out, "--vocabulary", words)
    assert refused.exit_code == 1
    assert "chart 'delivery' has no trigger 'refused'" in refused.stderr
    both = run("simulate", out, "--vocabulary", words, "--provider", "plivo")
    assert "--provider and --vocabulary can't go together" in both.stderr


def test_same_options_same_bytes(run: Run, tmp_path: Path) -> None:
    """The same options give the same bytes, another seed gives others."""
    written = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("simulate", tmp_path / f"{name}.jsonl", "--messages", 40, "--all", "--seed", seed)
        both = (tmp_path / f"{name}.jsonl", tmp_path / f"{name}.truth.jsonl")
        written[name] = [path.read_bytes() for path in both]
    assert written["a"] == written["b"]
    assert written["a"][0] != written["c"][0]


def test_rates(run: Run, tmp_path: Path) -> None:
    """Each rate is settable, beside or instead of those of a bad day."""
    out = tmp_path / "out.jsonl"
    assert run("simulate", out, "--messages", 50, "--lost", 1).exit_code == 0
    assert out.read_bytes() == b""
    assert {truth["told_state"] for truth in truths(tmp_path / "out.truth.jsonl")} == {None}
    degraded = ("--degraded", 1, "--generation", "g1=3", "--generation", "g2")
    assert (
        run("simulate", out, "--messages", 50, *degraded, "--truth", tmp_path / "t").exit_code == 0
    )
    noted = truths(tmp_path / "t")
    assert {truth["route"] for truth in noted} == {"degraded"}
    assert {truth["generation"] for truth in noted} == {"g1", "g2"}


def test_stdout(run: Run) -> None:
    """To stdout go the receipts alone, a line each."""
    result = run("simulate", "-", "--messages", 2)
    assert all(json.loads(line)["body"] for line in result.stdout.splitlines())
    assert "receipts of 2 messages" in result.stderr


def test_own_story(run: Run, tmp_path: Path) -> None:
    """Another story is another provider; a wrong one is refused in a line."""
    story = tmp_path / "story.toml"
    story.write_text(
        """
[forms.plain]
content_type = "application/json"
root = ""
timestamp = "%H"
zone = "Z"
names = { key = "MessageSid", status = "MessageStatus" }
[generations.only]
postback = "plain"
answer = "plain"
[says.sent]
state = "sent"
has = ["key"]
all = { status = "sent", key = "SM1" }
[[paths]]
key = "tracking_id"
steps = ["sent"]
"""
    )
    result = run("simulate", "-", "--messages", 1, "--story", story)
    assert json.loads(json.loads(result.stdout)["body"]) == {
        "MessageSid": "SM1",
        "MessageStatus": "sent",
    }
    story.write_text(story.read_text().replace('steps = ["sent"]', 'steps = ["set"]'))
    refused = run("simulate", "-", "--story", story)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "paths[1]: steps names the unknown 'set'; write one of sent" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("out.xml",), "expected a .jsonl file or a folder"),
        (("-", "--lost", "2"), "must be a number from 0 to 1, got '2"),
        (("-", "--generation", "g9"), "unknown generation 'g9': expected g0, g1, g2, g3"),
        (("-", "--generation", "g1=no"), "expected NAME or NAME=SHARE"),
        (("-", "--generation", "g1=0"), "the share must be a number above 0"),
        (("-", "--generation", "g1=inf"), "the share must be a number above 0"),
        (("-", "--rate", "1e-300"), "go beyond the year 9999"),
        (("x.jsonl", "--truth", "x.jsonl"), "--truth and OUT must be two files"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], said: str, run: Run) -> None:
    """Wrong options are told with what to write, and nothing is written."""
    result = run("simulate", *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_check(run: Run, tmp_path: Path) -> None:
    """``charts check`` tells every fault in a line and exits 1; without one it exits 0."""
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('name = "x"\nversion = 0\nstages = ["a.b"]\n')
    result = run("charts", "check", wrong)
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 6
    assert all(line.startswith(f"{wrong}: ") for line in result.stdout.splitlines())
    assert "6 faults" in result.stderr
    assert run("charts", "check", Path("statecharts")).exit_code == 0


def test_told() -> None:
    """The comparison with the truth tells a missing row from one in its first state."""
    row = {("delivery", "k"): {"state": "created", "route": "unknown"}}
    truth = type("T", (), {"chart": "delivery", "key": "k"})()
    assert told(truth, row) == ("created", "unknown")
    assert told(truth, {}) == (None, None)


@pytest.mark.parametrize("option", ["--rate", "--window", "--repeats"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_a_number_that_is_none_is_refused(
    run: Run, tmp_path: Path, option: str, value: str
) -> None:
    """In one line of usage, not a traceback."""
    done = run("simulate", tmp_path / "x.jsonl", option, value)
    assert done.exit_code == 2
    assert f"{option} must be a number" in done.stderr
    assert not (tmp_path / "x.jsonl").exists()


def test_several_providers_are_refused(run: Run, tmp_path: Path) -> None:
    """One simulation is of one provider: none of them is left out in silence."""
    done = run("simulate", tmp_path / "x.jsonl", "--provider", "twilio", "--provider", "plivo")
    assert done.exit_code == 2
    assert "expected one provider, got twilio, plivo" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["twilio", "kannel", "telnyx", "mm7", "smpp"])
def test_a_folder_of_a_provider_is_read_by_its_suffixes(
    run: Run, tmp_path: Path, name: str
) -> None:
    """Forms, queries, JSON, XML and receipt texts: ingest takes each file for what it is."""
    run("simulate", tmp_path / "out", "--provider", name, "--messages", 5)
    done = run("ingest", tmp_path / "l.db", tmp_path / "out", "--provider", name)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].endswith("unrecognised 0, unreadable 0")
