"""The command line: what users type, what programs read, what ends in which exit code."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import Result

from postledger import Ledger
from postledger.cli import main, sources
from postledger.definitions.definitions import builtin
from tests.conftest import FIXTURES
from tests.samples import DEGRADED, SMS, delivered, sent
from tests.samples import NEWCOMER

Run = Callable[..., Result]
SAMPLES = sorted((FIXTURES / "specification").glob("*.xml"))


@pytest.fixture
def samples(run: Run, tmp_path: Path) -> Path:
    """A ledger of the samples of the specification."""
    path = tmp_path / "samples.db"
    assert run("ingest", path, *SAMPLES).exit_code == 0
    return path


def test_ingest_prints_the_json_of_the_design(run: Run, tmp_path: Path) -> None:
    """The counts and the position, and the anchor on stderr."""
    done = run("ingest", tmp_path / "l.db", *SAMPLES, "--json")
    assert json.loads(done.stdout) == {
        "recorded": 10,
        "repeated": 1,
        "unrecognised": 0,
        "unreadable": 0,
        "position": 11,
    }
    assert done.stderr.startswith("anchor 11:")
    assert done.exit_code == 0


def test_show_prints_the_json_of_the_design(run: Run, samples: Path) -> None:
    """The delivery with its timeline, under the names of the design."""
    shown = json.loads(run("show", samples, DEGRADED, "--json").stdout)
    timeline = shown.pop("timeline")
    assert list(shown) == [
        "tracking_id", "state", "route", "reason", "to", "mms_id", "spid", "handset",
        "aggregator_id", "created_at", "sent_at", "outcome_at", "events", "repeats", "findings",
    ]  # fmt: skip
    assert (shown["state"], shown["route"]) == ("delivered", "degraded")
    assert shown["sent_at"] == "2012-06-07T12:27:34Z"
    assert {
        "position", "received_at", "occurred_at", "code", "status", "trigger", "verdict", "before",
        "after", "details",
    } <= timeline[0].keys()  # fmt: skip
    assert [step["verdict"] for step in timeline].count("repeated") == 1


def test_deliveries_prints_rows_as_json_lines_and_csv(run: Run, samples: Path) -> None:
    """All three forms for programs hold the same deliveries."""
    rows = json.loads(run("deliveries", samples, "--json").stdout)
    lines = run("deliveries", samples, "--nl").stdout.splitlines()
    table = run("deliveries", samples, "--csv").stdout.splitlines()
    assert rows == [json.loads(line) for line in lines]
    assert "timeline" not in rows[0]
    assert len(table) == len(rows) + 1 == 4
    assert table[0].startswith("tracking_id,state,route,reason,to,")


def test_deliveries_without_any_is_an_empty_list(run: Run, samples: Path) -> None:
    """Nothing found is an empty array, no line, and exit 0."""
    empty = run("deliveries", samples, "--state", "failed", "--json")
    assert (json.loads(empty.stdout), empty.exit_code) == ([], 0)
    assert run("deliveries", samples, "--state", "failed", "--nl").stdout == ""


def test_verify_prints_the_json_of_the_design(run: Run, samples: Path) -> None:
    """Whether all is well, how many events, and the anchor."""
    done = run("verify", samples, "--json")
    found = json.loads(done.stdout)
    assert list(found) == ["ok", "events", "position", "head", "problems"]
    assert (found["ok"], found["events"], found["position"], found["problems"]) == (
        True,
        11,
        11,
        [],
    )
    assert done.exit_code == 0


def test_verify_with_an_anchor_that_does_not_fit_ends_with_1(run: Run, samples: Path) -> None:
    """An anchor of another history is named with its position."""
    head = json.loads(run("verify", samples, "--json").stdout)["head"]
    assert run("verify", samples, "--anchor", f"11:{head}").exit_code == 0
    wrong = run("verify", samples, "--anchor", f"10:{head}")
    assert (wrong.exit_code, "position 10: the hash is not that of the anchor" in wrong.stdout) == (
        1,
        True,
    )
    beyond = run("verify", samples, "--anchor", f"12:{head}")
    assert (beyond.exit_code, "ends at position 11, before the anchor" in beyond.stdout) == (
        1,
        True,
    )
    assert run("verify", samples, "--anchor", "12").exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "{}", "nope"], "Error: no delivery 'nope' is known"),
        (["show", "{}", "--mms", "nope"], "Error: no content 'nope' is known"),
        (["show", "{}", SMS, "--as-of", "0"], f"Error: no delivery '{SMS}' was known then"),
        (
            ["deliveries", "{}", "--finding", "odd"],
            "Error: no finding 'odd'; there are: contradiction",
        ),
    ],
)
def test_an_answer_of_no_is_one_line_on_stderr(
    run: Run, samples: Path, words: list[str], message: str
) -> None:
    """An unknown id ends with exit 1 and one line that says what is unknown."""
    done = run(*(word.format(samples) for word in words))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["show", "{}"],
        ["show", "{}", SMS, "--mms", "1"],
        ["show", "{}", SMS, "--as-of", "yesterday"],
        ["deliveries", "{}", "--stuck", "soon"],
        ["deliveries", "{}.no"],
        ["replay", "{}", "--adopt"],
        ["export", "{}", "out.txt"],
        ["ingest", "{}"],
        ["charts", "nope"],
        ["nonsense"],
    ],
)
def test_wrong_usage_ends_with_2(run: Run, samples: Path, words: list[str]) -> None:
    """What is misspelt is told with how it is used."""
    done = run(*(word.format(samples) for word in words))
    assert done.exit_code == 2
    assert done.stderr.startswith("Usage: ")


@pytest.mark.parametrize("command", [None, *main.commands])
def test_help_of_each_command_shows_an_example(run: Run, command: str | None) -> None:
    """``--help`` of everything has an example that names the command."""
    words = [command] if command else []
    done = run(*words, "--help")
    assert done.exit_code == 0
    assert f"postledger {command or 'ingest'}" in done.stdout.partition("Example")[2]


def test_bad_bodies_are_named_counted_and_kept(run: Run, tmp_path: Path) -> None:
    """Each body that can't be read or isn't known is one line with its file; the rest is recorded."""
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    (folder / "a.xml").write_bytes(sent("a"))
    (folder / "b-empty.xml").write_bytes(b"")
    (folder / "c.bin").write_bytes(bytes(range(256)))
    (folder / "d-truncated.xml").write_bytes(sent("a")[:-20])
    (folder / "e-new.xml").write_bytes(sent("a", CODE="N333"))
    (folder / "f-large.xml").write_bytes(b"<POSTBACK>" + b" " * (1 << 20) + b"</POSTBACK>")
    (folder / ".hidden").write_bytes(b"not this")
    (folder / "deeper" / "z.xml").write_bytes(delivered("a"))
    done = run("ingest", tmp_path / "l.db", folder)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == "recorded 2, repeated 0, unrecognised 1, unreadable 4"
    lines = done.stderr.splitlines()
    assert len(lines) == 5
    assert lines[0] == f"{folder}/b-empty.xml: unreadable: the body is empty; kept at position 2"
    assert lines[3] == f"{folder}/e-new.xml: unrecognised; kept at position 6"
    listed = run("events", tmp_path / "l.db", "--kind", "unreadable", "--nl").stdout.splitlines()
    assert [json.loads(line)["position"] for line in listed] == [2, 3, 4, 7]
    assert run("show", tmp_path / "l.db", "a").exit_code == 0


def test_many_bad_bodies_are_not_all_named(run: Run, tmp_path: Path) -> None:
    """After twenty lines the rest is counted, with the command that lists them."""
    lines = "\n".join(f"nonsense {number}" for number in range(30))
    done = run("ingest", tmp_path / "l.db", "-", stdin=b'{"body": "x"}\n' + lines.encode())
    assert done.stdout.startswith("recorded 0, repeated 0, unrecognised 0, unreadable 31")
    assert len(done.stderr.splitlines()) == 21
    assert done.stderr.splitlines()[-1] == "and 11 more: postledger events lists them"


def test_lines_files_and_streams_are_sources(run: Run, tmp_path: Path) -> None:
    """A .jsonl file, packed or not, stdin with lines, and stdin with one body all give receipts."""
    line = {"received_at": "2026-11-05T12:00:00Z", "content_type": "text/xml"}
    text = "".join(json.dumps({**line, "body": sent(key).decode()}) + "\n" for key in "ab")
    (tmp_path / "x.jsonl").write_text(text)
    (tmp_path / "y.jsonl.gz").write_bytes(gzip.compress(text.replace(">a<", ">c<").encode()))
    raw = '{"origin": "SMS_MT", "code": "N1"}\n'
    (tmp_path / "z.jsonl").write_text(raw)
    path = tmp_path / "l.db"
    done = run("ingest", path, tmp_path / "x.jsonl", tmp_path / "y.jsonl.gz", tmp_path / "z.jsonl")
    assert done.stdout.splitlines()[0] == "recorded 3, repeated 1, unrecognised 1, unreadable 0"
    assert run("ingest", path, "-", stdin=text.encode()).stdout.startswith("recorded 0, repeated 2")
    assert run("ingest", path, "-", stdin=sent("d")).stdout.startswith("recorded 1")
    with Ledger(path, readonly=True) as ledger:
        first = next(ledger.events())
        assert first.received_at.isoformat() == "2026-11-05T12:00:00+00:00"
        assert first.imported


def test_a_source_that_fails_is_named_and_the_rest_recorded(run: Run, tmp_path: Path) -> None:
    """A missing file and a broken archive end with exit 1, and lose nothing of the others."""
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(gzip.compress(sent("a") * 100)[:-9])
    (tmp_path / "good.xml").write_bytes(sent("a"))
    done = run("ingest", tmp_path / "l.db", tmp_path / "no.xml", broken, tmp_path / "good.xml")
    assert done.exit_code == 1
    assert f"{tmp_path}/no.xml: not recorded: No such file or directory" in done.stderr
    assert f"{broken}: not recorded: " in done.stderr
    assert run("show", tmp_path / "l.db", "a").exit_code == 0


def test_a_table_moves_no_cursor(run: Run, tmp_path: Path) -> None:
    """Control characters of a body are shown, not sent to the terminal."""
    body = b'{"origin": "SMS_MT", "code": "N201", "status": "Message Sent", "tracking-id": "\\u001b[2J"}'
    run("ingest", tmp_path / "l.db", "-", stdin=body)
    table = run("deliveries", tmp_path / "l.db").stdout
    assert "\x1b" not in table
    assert "\\x1b[2J" in table


def test_show_tells_people_what_happened(run: Run, samples: Path) -> None:
    """The table of a degraded message names its reason and its contradiction."""
    text = run("show", samples, DEGRADED).stdout
    assert "reason         Handset setting: mms with pass via xHTML;" in text
    assert "contradicts  delivered, degraded" in text


def test_replay_rebuilds_and_says_by_what(run: Run, samples: Path) -> None:
    """The position and the charts and vocabularies are named."""
    done = run("replay", samples)
    assert done.exit_code == 0
    assert done.stdout.startswith("rebuilt at position 11 by content 1 (")


def test_charts_prints_what_the_library_draws(run: Run, samples: Path) -> None:
    """Mermaid for diagrams, tables for people, of those that ship or of a ledger's own."""
    drawn = run("charts", "delivery", "--mermaid").stdout
    assert "stateDiagram-v2" in drawn
    assert 'state "degraded"' in drawn
    assert "delivered wins over any other outcome" in run("charts").stdout
    assert run("charts", "--ledger", samples).stdout == run("charts").stdout


def test_a_chart_can_be_had_as_a_picture(run: Run) -> None:
    """One well-formed SVG with every state of every region in it; which chart must be said."""
    drawn = run("charts", "--svg", "delivery")
    assert drawn.exit_code == 0
    texts = {node.text for node in ElementTree.fromstring(drawn.stdout).iter() if node.text}
    regions = builtin().charts["delivery"].regions
    assert {state for region in regions for state in region.states} <= texts
    assert run("charts", "--svg").exit_code == 2


def test_the_module_is_the_command(samples: Path) -> None:
    """``python -m postledger`` does what ``postledger`` does, also into a closed pipe."""
    command = [sys.executable, "-m", "postledger", "events", str(samples), "--nl"]
    whole = subprocess.run(command, capture_output=True, check=True, text=True)
    assert len(whole.stdout.splitlines()) == 11
    pipe = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
    assert pipe.stdout is not None
    assert pipe.stderr is not None
    pipe.stdout.close()
    complaint = pipe.stderr.read()
    pipe.stderr.close()
    assert pipe.wait() in (0, 1)
    assert complaint == b""


def test_replay_shows_what_another_chart_would_change(
    run: Run, samples: Path, tmp_path: Path
) -> None:
    """The delivery, from what to what, and why, for people and for programs; nothing is written."""
    other = tmp_path / "delivery.toml"
    text = builtin().charts["delivery"].source.replace("version = 1", "version = 2")
    row = '["failed", "sending_failed"], source = ["created", "sent", "failed"], dest = "failed" },'
    assert row in text
    taken = row.replace('"created", "sent", "failed"', '"delivered"').replace(
        " },", ", overrides = true },"
    )
    other.write_text(text.replace(row, f"{row}\n    {{ trigger = {taken}"))
    before = samples.read_bytes()
    shown = run("replay", samples, "--chart", other)
    assert shown.exit_code == 0
    assert DEGRADED in shown.stdout
    assert "delivered; reason Handset setting" in shown.stdout
    assert "nothing was written" in shown.stderr
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
    assert [line.split()[:3] for line in shown.stdout.splitlines()[2:]] == [["delivery", "n1", "-"]]
    assert "position 1: read as sent_sms" in shown.stdout


def test_lists_for_people_end_with_how_to_get_more(run: Run, tmp_path: Path) -> None:
    """A hundred rows fill a screen; what is left out is said, not dropped in silence."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record_many(sent(f"m{number}") for number in range(120))
    for command in ("deliveries", "events"):
        listed = run(command, path)
        assert len(listed.stdout.splitlines()) == 102
        assert listed.stderr == "the first 100; --limit, --json, --nl or --csv give more\n"
        assert run(command, path, "--limit", 110).stderr == ""
        assert len(run(command, path, "--nl").stdout.splitlines()) == 120


def test_spans_and_moments_are_read_as_people_write_them(run: Run, tmp_path: Path) -> None:
    """``24h`` and a bare date are enough."""
    path = tmp_path / "l.db"
    run("ingest", path, "-", stdin=sent("a"))
    assert len(run("deliveries", path, "--stuck", "24h", "--nl").stdout.splitlines()) == 1
    assert run("deliveries", path, "--since", "2013-11-06", "--nl").stdout == ""
    assert len(run("deliveries", path, "--until", "2013-11-06", "--nl").stdout.splitlines()) == 1
    assert run("show", path, "a", "--as-of", "2013-11-06").exit_code == 1
    assert run("show", path, "a", "--occurred-by", "2013-11-06").exit_code == 0


def test_a_line_that_is_too_long_is_not_recorded_and_the_next_is(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is larger than any postback is named, and reading goes on behind it."""
    monkeypatch.setattr(sources, "LARGEST_BODY", 400)
    lines = tmp_path / "x.jsonl"
    lines.write_bytes(b'{"body": "' + b"x" * 1000 + b'"}\n\n{"body": "short"}\n')
    (tmp_path / "large.xml").write_bytes(b"x" * 500)
    done = run("ingest", tmp_path / "l.db", lines, tmp_path / "large.xml")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        f"{lines}:1: not recorded: a line of more than 400 bytes",
        f"{tmp_path}/large.xml: not recorded: larger than 400 bytes",
        f"{lines}:3: unreadable: the body is neither XML nor JSON nor a form; kept at position 1",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["export", "{}", "/nowhere/x.jsonl"],
        ["audit", "{}", "--html", "/nowhere/x.html"],
        ["simulate", "/nowhere/x.jsonl", "--messages", "3"],
        ["simulate", "/nowhere/", "--messages", "3"],
    ],
)
def test_a_file_that_can_not_be_written_is_one_line(
    run: Run, samples: Path, words: list[str]
) -> None:
    """Where there is no such folder, the file and the reason are named."""
    if os.access("/", os.W_OK):
        words = [word.replace("/nowhere", "/proc/nowhere") for word in words]
    done = run(*(word.format(samples) for word in words))
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert "nowhere" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["show", "{}", SMS, "--as-of", "0001-01-01T00:00:00+14:00"],
        ["show", "{}", SMS, "--occurred-by", "9999-12-31T23:59:59-14:00"],
        ["show", "{}", SMS, "--as-of", "9" * 5000],
        ["deliveries", "{}", "--since", "0001-01-01T00:00:00+10:00"],
        ["audit", "{}", "--json", "--until", "yesterday"],
    ],
)
def test_a_moment_that_is_none_is_told(run: Run, samples: Path, words: list[str]) -> None:
    """Out of the years there are in UTC, too, and a number that Python takes for none."""
    done = run(*(word.format(samples) for word in words))
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is no moment; write" in done.stderr


def test_a_terminal_that_can_not_spell_a_text_is_told(samples: Path) -> None:
    """In one line, with what to do."""
    with Ledger(samples) as ledger:
        ledger.record(sent("ж"))
    done = subprocess.run(
        [sys.executable, "-m", "postledger", "deliveries", samples],
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        check=False,
        capture_output=True,
    )
    assert done.returncode == 1
    assert b"set PYTHONIOENCODING=utf-8" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["events", "{}", "--after", str(10**30)],
        ["events", "{}", "--limit", str(10**30)],
        ["tail", "{}", "--after", str(10**30)],
        ["export", "{}", "-", "--after", str(10**30)],
        ["deliveries", "{}", "--limit", str(10**30)],
        ["deliveries", "{}", "--as-of", str(10**30)],
        ["deliveries", "{}", "--stuck", "999999w"],
        ["show", "{}", SMS, "--as-of", str(10**30)],
        ["audit", "{}", "--json", "--as-of", str(10**30)],
    ],
)
def test_a_number_beyond_all_positions_is_a_number_like_others(
    run: Run, samples: Path, words: list[str]
) -> None:
    """Behind the last position there is nothing, as of a later one there is all."""
    done = run(*(word.format(samples) for word in words))
    assert (done.exit_code, done.exception) == (0, None)
