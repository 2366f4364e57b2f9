"""What all commands share: help, usage, errors, pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from postledger import Ledger
from postledger.cli.common import NAMES
from tests.cli import Run
from tests.samples import SMS, delivered, failed, first_outcome_stands, sent


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "{}", "nope"], "Error: no delivery 'nope' is known"),
        (["show", "{}", "--mms", "nope"], "Error: no content 'nope' is known"),
        (["show", "{}", SMS, "--as-of", "0"], f"Error: no delivery '{SMS}' was known then"),
        (
            ["deliveries", "{}", "--finding", "odd"],
            "Error: unknown finding 'odd': expected contradiction",
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
        ["show", "{}", SMS, "--as-of", "some time"],
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


@pytest.mark.parametrize(
    ("typed", "meant"), [("serv", "serve"), ("event", "events"), ("fordward", "forward")]
)
def test_a_mistyped_command_gets_a_suggestion(run: Run, typed: str, meant: str) -> None:
    """The nearest one there is; for what is like none of them there is no guess."""
    assert f"No such command '{typed}'. Did you mean '{meant}'?" in run(typed).stderr
    stderr = run("nonsense").stderr
    assert "No such command 'nonsense'" in stderr
    assert "mean" not in stderr


@pytest.mark.parametrize("command", [None, *NAMES])
def test_help_of_each_command_shows_an_example(run: Run, command: str | None) -> None:
    """``--help`` of everything has an example that names the command."""
    words = [command] if command else []
    done = run(*words, "--help")
    assert done.exit_code == 0
    assert f"postledger {command or 'ingest'}" in done.stdout.partition("Example")[2]


def test_a_table_moves_no_cursor(run: Run, tmp_path: Path) -> None:
    """Control characters of a body are shown, not sent to the terminal."""
    body = b'{"origin": "SMS_MT", "code": "N201", "status": "Message Sent", "tracking-id": "\\u001b[2J"}'
    run("ingest", tmp_path / "l.db", "-", stdin=body)
    table = run("deliveries", tmp_path / "l.db").stdout
    assert "\x1b" not in table
    assert "\\x1b[2J" in table


def test_the_module_is_the_command(samples: Path) -> None:
    """``python -m postledger`` does what ``postledger`` does, also into a closed pipe."""
    command = [sys.executable, "-m", "postledger", "events", str(samples), "--nl"]
    whole = subprocess.run(command, capture_output=True, check=True, text=True)
    assert len(whole.stdout.splitlines()) == 12
    assert into_a_closed_pipe(*command) == (0, b"")


def test_a_command_imports_only_what_it_needs(samples: Path) -> None:
    """The others' imports would delay its start."""
    program = (
        # Where pandas is installed, sqlite-utils imports it, and that PyArrow.
        "import sys; sys.modules['pandas'] = None; from postledger.cli import main\n"
        "try: main(['deliveries', sys.argv[1]])\n"
        "finally: print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, samples], capture_output=True, check=True, text=True
    )
    imported = set(done.stdout.splitlines()[-1].split())
    assert "postledger.cli.deliveries" in imported
    others = {"postledger.cli.ingest", "postledger.simulate", "tqdm", "jinja2", "pyarrow"}
    assert not imported & others


@pytest.mark.parametrize(
    "words",
    [
        ["deliveries", "{}", "--nl"],
        ["deliveries", "{}", "--csv", "--as-of", "400"],
        ["events", "{}", "--json"],
        ["follow", "{}"],
        ["export", "{}", "-"],
        ["replay", "{}", "--chart", "{}.toml", "--nl"],
        ["simulate", "-"],
    ],
)
def test_who_reads_no_further_ends_the_command(tmp_path: Path, words: list[str]) -> None:
    """As ``| head`` does, in the middle of what is listed: exit 0, and not a word."""
    path = tmp_path / "l.db"
    Path(f"{path}.toml").write_text(first_outcome_stands().charts["delivery"].source)
    with Ledger(path) as ledger:
        for of in (failed, delivered):
            ledger.record_many(of(f"m{number}") for number in range(200))
    listed = (word.format(path) for word in words)
    assert into_a_closed_pipe(sys.executable, "-m", "postledger", *listed) == (0, b"")


def into_a_closed_pipe(*command: str) -> tuple[int, bytes]:
    """The exit status of a command whose output nobody reads, and what it says on stderr."""
    pipe = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
    assert pipe.stdout is not None
    assert pipe.stderr is not None
    pipe.stdout.close()
    complaint = pipe.stderr.read()
    pipe.stderr.close()
    return pipe.wait(), complaint


def test_lists_for_people_end_with_how_to_get_more(run: Run, tmp_path: Path) -> None:
    """A hundred rows fill a screen; what is left out is said, not dropped in silence."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record_many(sent(f"m{number}") for number in range(120))
    for command, count in (("deliveries", 120), ("events", 121)):
        listed = run(command, path)
        assert len(listed.stdout.splitlines()) == 102
        *others, last = listed.stderr.splitlines()
        more = {"deliveries": "20 more", "events": "those after position 99 (of 120)"}[command]
        assert last == f"the first 100; --limit, --json, --nl or --csv give {more}"
        # What all have in common is said once.
        assert len(others) == (command == "deliveries")
        assert len(run(command, path, "--nl").stdout.splitlines()) == count
        assert "the first" not in run(command, path, "--limit", count).stderr


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["deliveries", "{}"], "115 more"),
        (["deliveries", "{}", "--search", "m11"], "6 more"),
        (["deliveries", "{}", "--by", "spid,hour"], None),
        (["events", "{}"], "those after position 4 (of 120)"),
        (["changes", "{}", "--since", "0"], "115 more"),
        (["query", "{}", "SELECT tracking_id FROM deliveries"], "more"),
    ],
)
def test_a_limit_says_what_it_leaves_out(
    run: Run, tmp_path: Path, words: list[str], more: str | None, form: str
) -> None:
    """And how to see it; nothing where it leaves out nothing."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record_many(sent(f"m{number}") for number in range(120))
    asked = [word.format(path) for word in words]
    told = run(*asked, "--limit", 5, "--fmt", form).stderr.splitlines()
    listed = [line for line in told if line.startswith("the first")]
    assert listed == ([f"the first 5; a larger --limit gives {more}"] if more else [])
    assert "the first" not in run(*asked, "--limit", 121, "--fmt", form).stderr


def test_no_more_than_a_thousand_are_counted(run: Run, tmp_path: Path) -> None:
    """Of those that are left out; more are told as more."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record_many(sent(f"m{number}") for number in range(1_010))
    for limit, more in ((5, "more than 1,000 more"), (10, "1,000 more")):
        assert run("deliveries", path, "--limit", limit).stderr.splitlines()[-1] == (
            f"the first {limit}; a larger --limit gives {more}"
        )


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


def test_nothing_is_said_to_a_shell_that_completes_a_mistyped_command() -> None:
    """Completion has no answer, and no traceback."""
    words = {"COMP_WORDS": "postledger verfy x", "COMP_CWORD": "2"}
    asked = {**os.environ, **words, "_POSTLEDGER_COMPLETE": "bash_complete"}
    command = [Path(sys.executable).with_name("postledger")]
    done = subprocess.run(command, env=asked, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("", "")
