"""Where output goes: one form at a time, in 80 columns, and never over a ledger, a device or a pipe."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import click
import pytest

from postledger import Ledger
from postledger.cli import main
from postledger.cli.params import LedgerPath
from postledger.definitions import builtin
from tests.cli import SAMPLES, Run
from tests.samples import DEGRADED, SMS, sent

EXAMPLES = Path(__file__).parent.parent.parent / "docs/examples/status-callbacks"

OUTPUTS = {
    "audit --html": ["audit", "{ledger}", "--html", "{out}"],
    "audit --bundle": ["audit", "{ledger}", "--bundle", "{out}"],
    "audit --markdown": ["audit", "{ledger}", "--markdown", "{out}"],
    "export": ["export", "{ledger}", "{out}"],
    "simulate": ["simulate", "{out}", "--messages", "2"],
    "simulate --truth": ["simulate", "-", "--messages", "2", "--truth", "{out}"],
}
"""Every option and argument of a file that is written."""

APPENDED = {"console --access-record", "serve --access-record"}
"""Those of a file that only grows: see ``tests/console/test_access.py``."""


def options(command: click.Command, path: str) -> Iterator[str]:
    """What a command has that names a file which needn't be there."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            one = command.get_command(context, name)
            assert one is not None
            yield from options(one, f"{path} {name}".strip())
    for param in command.params:
        places = isinstance(param.type, click.Path) and not isinstance(param.type, LedgerPath)
        if places and not param.type.exists:
            yield path if isinstance(param, click.Argument) else f"{path} {param.opts[0]}"


def test_every_output_is_tried_here() -> None:
    """A new one has to stand in the table above."""
    assert set(options(main, "")) == {*OUTPUTS, *APPENDED}


def kept(path: Path) -> bytes | int | None:
    """What a file holds; of the shared memory, in which readers leave marks, how much."""
    if not path.exists():
        return None
    return path.stat().st_size if path.name.endswith("-shm") else path.read_bytes()


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("link", [None, "symbolic", "hard"])
def test_no_output_takes_the_place_of_a_ledger(
    run: Run, samples: Path, tmp_path: Path, name: str, suffix: str, link: str | None
) -> None:
    """Nor of a file that SQLite keeps next to it, by whatever name it is called."""
    ledger = samples.rename(samples.with_name("l.jsonl"))
    with Ledger(ledger) as opened:
        opened.record(b"?")
        target = out = ledger.with_name(f"{ledger.name}{suffix}")
        if link is not None:
            out = tmp_path / "linked.jsonl"
            if link == "symbolic":
                out.symlink_to(target)
            elif suffix:
                # What it is shows only in its name.
                return
            else:
                out.hardlink_to(target)
        before = kept(target)
        words = [word.format(ledger=ledger, out=out) for word in OUTPUTS[name]]
        done = run(*words)
        # A name that no export has is wrong usage.
        misnamed = name in ("export", "simulate") and out.suffix != ".jsonl"
        assert done.exit_code == (2 if misnamed else 1), done.stderr
        assert kept(target) == before
        assert opened.verify().ok
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_pipe_stays_a_pipe(run: Run, samples: Path, tmp_path: Path, name: str) -> None:
    """It is written to, and whoever reads it gets all of it."""
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    done = run(*(word.format(ledger=samples, out=pipe) for word in OUTPUTS[name]))
    reader.join(10)
    assert (done.exit_code, stat.S_ISFIFO(pipe.stat().st_mode)) == (0, True), done.stderr
    assert read
    assert read[0]


@pytest.mark.parametrize("name", [name for name in OUTPUTS if "-" in name])
def test_a_device_stays_a_device(run: Run, samples: Path, name: str) -> None:
    """The null device is still one afterwards."""
    device = Path(os.devnull)
    before = device.stat()
    done = run(*(word.format(ledger=samples, out=device) for word in OUTPUTS[name]))
    assert done.exit_code == 0, done.stderr
    assert (device.stat().st_mode, device.stat().st_rdev) == (before.st_mode, before.st_rdev)


@pytest.mark.parametrize(
    "words",
    [
        ["deliveries", "{}", "--json", "--csv"],
        ["events", "{}", "--nl", "--json"],
        ["replay", "{}", "--csv", "--nl"],
        ["charts", "delivery", "--svg", "--mermaid"],
        ["audit", "{}", "--json", "--markdown"],
        ["audit", "{}", "--html", "{}.html", "--markdown", "{}.html"],
        ["audit", "{}", "--html", "{}.zip", "--bundle", "{}.zip"],
    ],
)
def test_two_forms_in_one_place_are_refused(run: Run, samples: Path, words: list[str]) -> None:
    """What would be lost, or mixed, is not asked for on purpose."""
    done = run(*(word.format(samples) for word in words))
    assert (done.exit_code, done.stdout) == (2, "")
    assert re.search(r"exclude each other|different files", done.stderr)


@pytest.mark.parametrize("command", ["deliveries", "events", "replay"])
def test_an_empty_csv_has_its_header(run: Run, samples: Path, command: str) -> None:
    """The same header as of one that has rows."""
    nothing = {
        "deliveries": ["--state", "created"],
        "events": ["--after", "1000"],
        "replay": ["--builtin"],
    }[command]
    empty = run(command, samples, "--csv", *nothing)
    assert empty.exit_code == 0
    (header,) = csv.reader(io.StringIO(empty.stdout))
    if command != "replay":
        some = json.loads(run(command, samples, "--json").stdout)[0]
        assert header == list(some)


def test_replay_answers_in_the_form_asked_for(run: Run, samples: Path) -> None:
    """Also where nothing is compared."""
    (said,) = json.loads(run("replay", samples, "--json").stdout)
    assert said["position"] == 11
    assert "delivery 1" in said["definitions"]


def helped(command: click.Command, words: list[str]) -> Iterator[list[str]]:
    """The words of each command."""
    yield words
    for name, one in getattr(command, "commands", {}).items():
        yield from helped(one, [*words, name])


@pytest.mark.parametrize("words", list(helped(main, [])), ids=" ".join)
def test_help_fits_80_columns(run: Run, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples too, which nothing wraps; and the usage names what the command takes."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = run(*words, "--help").stdout
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert "[NAME] check" not in shown


COMMANDS = {
    "deliveries": ["{}"],
    "events": ["{}"],
    "show": ["{}", DEGRADED],
    "show --mms": ["{}", "35674"],
    "follow": ["{}", "--no-live"],
    "verify": ["{}"],
    "replay": ["{}"],
    "charts": ["delivery"],
}


@pytest.mark.parametrize("command", sorted(COMMANDS))
@pytest.mark.parametrize("width", [80, 120])
def test_what_is_shown_fits_the_terminal(
    run: Run, samples: Path, command: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables are wrapped or stand as blocks, and no word of them is lost."""
    words = [*command.split(), *(word.format(samples) for word in COMMANDS[command])]
    monkeypatch.delenv("COLUMNS", raising=False)
    wide = run(*words).stdout
    monkeypatch.setenv("COLUMNS", str(width))
    shown = run(*words).stdout
    assert [line for line in shown.splitlines() if len(line) > width] == []
    # Of the rows: a column without any text has no line in a block.
    rows = wide.partition("----\n")[2] or wide
    assert set(rows.split()) <= set(shown.split())


@pytest.mark.parametrize("words", [["deliveries"], ["events", "--json"], ["audit"], ["show"]])
def test_a_reader_that_has_enough_is_no_failure(samples: Path, words: list[str]) -> None:
    """As ``head`` is: exit 0, and nothing on stderr."""
    name, *rest = words
    ids = [SMS] if name == "show" else []
    command = [sys.executable, "-m", "postledger", name, str(samples), *ids, *rest]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdout.close()
        said = done.stderr.read().decode()
    assert done.returncode == 0, said
    assert "Error" not in said


def test_a_list_shows_spaces_where_there_are_any(run: Run, samples: Path) -> None:
    """And no column of nothing where there are none."""
    assert "space" not in run("deliveries", samples).stdout
    with Ledger(samples) as ledger:
        ledger.created("x", to="1", space="acme")
    listed = run("deliveries", samples).stdout.splitlines()
    assert "space" in listed[0]
    assert " acme " in listed[-1]


def test_a_content_is_shown_as_one_by_either_name(run: Run, samples: Path) -> None:
    """``--mms`` is short for its chart; what is so or not is yes or no."""
    shown = run("show", samples, "--mms", "35674").stdout
    assert run("show", samples, "--chart", "content", "35674").stdout == shown
    assert re.search(r"^saved +yes$", shown, re.M)
    done = run("show", samples, "x", "--chart", "foo")
    assert done.stderr == ("Error: unknown chart 'foo': expected content, delivery, discovery\n")


def test_as_of_after_the_end_says_where_the_log_ends(run: Run, samples: Path) -> None:
    """The answer is that of the end."""
    said = "the log ends at position 11: --as-of 12 shows all of it"
    for words in (["show", samples, SMS], ["deliveries", samples], ["audit", samples]):
        late = run(*words, "--as-of", "12")
        assert (late.exit_code, late.stderr.splitlines()[0]) == (0, said)
        assert said not in run(*words, "--as-of", "11").stderr


def test_a_chart_that_does_not_fit_is_the_one_to_blame(run: Run, tmp_path: Path) -> None:
    """Not the file that ships, which nobody gave."""
    words = ["ingest", tmp_path / "l.db", SAMPLES[0]]
    done = run(*words, "--chart", EXAMPLES / "message.toml")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {EXAMPLES / 'message.toml'}: chart 'delivery' lacks")
    assert "--only" in done.stderr
    mine = tmp_path / "mine.toml"
    skycore = next(v for v in builtin().vocabularies if v.name == "skycore")
    for name in ("aa", "zz"):
        mine.write_text(skycore.source.replace('name = "skycore"', f'name = "{name}"', 1))
        done = run(*words, "--vocabulary", mine)
        assert done.stderr.startswith(f"Error: {mine}: postbacks[1]")
    assert not (tmp_path / "l.db").exists()


def test_definitions_that_differ_are_named_alone(run: Run, samples: Path, tmp_path: Path) -> None:
    """What both have is not repeated."""
    mine = tmp_path / "mine.toml"
    mine.write_text(builtin().charts["delivery"].source.replace("version = 1", "version = 2", 1))
    refused = run("ingest", samples, SAMPLES[0], "--chart", mine).stderr
    assert re.search(r"reads by delivery 1 \(\w+\), what is given has delivery 2 \(\w+\);", refused)
    assert "skycore" not in refused
    compared = run("replay", samples, "--chart", mine).stderr
    assert re.fullmatch(
        r"0 states would change with delivery 2 \(\w+\); nothing was written\n", compared
    )
    same = run("replay", samples, "--builtin").stderr
    assert same == "0 states would change with the same definitions; nothing was written\n"


@pytest.mark.parametrize("command", ["deliveries", "audit"])
def test_a_period_that_ends_before_it_begins_is_wrong_usage(
    run: Run, samples: Path, command: str
) -> None:
    """And not a list of nothing."""
    done = run(command, samples, "--since", "2013-01-01", "--until", "2012-01-01")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--since must be before --until" in done.stderr


def test_a_ledger_in_memory_is_wrong_usage(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file of that name is made."""
    monkeypatch.chdir(tmp_path)
    for name in (":memory:", "file:x", ""):
        done = run("ingest", name, SAMPLES[0])
        assert (done.exit_code, "must name a file" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_definitions_is_a_fault(run: Run, tmp_path: Path) -> None:
    """A mistyped folder is not one that holds no fault."""
    done = run("charts", "check", tmp_path)
    assert done.exit_code == 1
    assert f"{tmp_path}: no TOML file there" in done.stdout


def test_a_folder_of_all_kinds_of_files_is_told_file_by_file(run: Run, tmp_path: Path) -> None:
    """What became of each that is not a postback."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    with Ledger(folder / "other.db"):
        pass
    (folder / "a.xml").write_bytes(SAMPLES[0].read_bytes())
    (folder / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (folder / "c.md").write_text("# Notes")
    (folder / "d.xml").write_text("")
    (folder / "e.jsonl").write_text("\n")
    done = run("ingest", tmp_path / "l.db", folder)
    said = [line.removeprefix(f"{folder}/") for line in done.stderr.splitlines()]
    assert sorted(said, key=lambda line: "other.db" in line) == [
        "b.png: unreadable: the body is not text; kept at position 2",
        "c.md: unreadable: the body is neither XML nor JSON nor a form; kept at position 3",
        "d.xml: unreadable: the body is empty; kept at position 4",
        "other.db: not recorded: a ledger, or another SQLite database; export it, and ingest that",
    ]
    assert done.exit_code == 1
    assert "recorded 1, repeated 0, unrecognised 0, unreadable 3" in done.stdout


ODD = {
    "=cmd|1!A1": "'=cmd|1!A1",
    "@SUM(1)": "'@SUM(1)",
    "+cmd": "'+cmd",
    "-2+3+cmd": "'-2+3+cmd",
    "+1 (650) 333-3058": "+1 (650) 333-3058",
    "\uff1d1+1": "'\uff1d1+1",
    "\uff20SUM(1)": "'\uff20SUM(1)",
    "\uff0bcmd": "'\uff0bcmd",
    "\uff0d2+3": "'\uff0d2+3",
    "\ufe661+1": "'\ufe661+1",
    "\u22122+cmd": "'\u22122+cmd",
    "\u3164=1": "'\u3164=1",
    "\u2800\u0301=1": "'\u2800\u0301=1",
    "a=1": "a=1",
    "a\u202eb": "a\\u202eb",
    "a\u200bb": "a\\u200bb",
    "a\u2028b": "a\\u2028b",
    "a\U000e0041b": "a\\U000e0041b",
    "a\x9bb": "a\\x9bb",
}


@pytest.mark.parametrize("said", sorted(ODD))
def test_a_csv_holds_no_formula_and_nothing_unseen(run: Run, tmp_path: Path, said: str) -> None:
    """What a provider sends runs in no spreadsheet, and hides nothing; numbers stay as they are."""
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.record(sent("a", TO="1", HANDSET=said))
    (row,) = csv.DictReader(io.StringIO(run("deliveries", tmp_path / "a.db", "--csv").stdout))
    assert row["handset"] == ODD[said]


@pytest.mark.parametrize("said", ["\u202e", "\u2028", "\x7f", "\x9b", "\U000e0041"])
def test_json_writes_out_what_is_not_seen(run: Run, tmp_path: Path, said: str) -> None:
    """As JSON it is the same text, in a cell of a CSV too; a terminal is told nothing by it."""
    form, path = "application/x-www-form-urlencoded", tmp_path / "l.db"
    with Ledger(path, providers="twilio") as ledger:
        text = quote(f"a{said}b")
        ledger.record(f"MessageSid=SM1&MessageStatus=sent&To=1&From={text}".encode(), form)
    for option in ("--json", "--nl", "--csv"):
        shown = run("deliveries", path, option).stdout
        assert said not in shown
        if option == "--csv":
            (row,) = csv.DictReader(io.StringIO(shown))
            labels = json.loads(row["labels"])
        else:
            read = json.loads(shown)
            labels = (read[0] if option == "--json" else read)["labels"]
        assert labels["sender"] == f"a{said}b"


@pytest.mark.parametrize(
    "said", ["\u202e", "\u2066", "\u200f", "\u061c", "\u2028", "\U000e0041", "\x85"]
)
def test_a_terminal_is_shown_what_is_not_seen(run: Run, samples: Path, said: str) -> None:
    """Bidirectional and other format characters stand as escapes in tables and in messages."""
    with Ledger(samples) as ledger:
        ledger.record(sent(f"a{said}b", TO=f"1{said}2"))
    escaped = said.encode("unicode_escape").decode()
    for words in (
        ["deliveries", samples],
        ["show", samples, f"a{said}b"],
        ["follow", samples, "--no-live"],
    ):
        done = run(*words)
        assert said not in done.stdout + done.stderr
        assert escaped in done.stdout + done.stderr


def test_lines_of_a_body_stay_lines_in_a_csv(run: Run, samples: Path) -> None:
    """CSV quotes them."""
    rows = list(csv.DictReader(io.StringIO(run("events", samples, "--csv").stdout)))
    assert "\n" in rows[1]["body"]
