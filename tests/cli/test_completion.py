"""Completion: what a shell is offered, asked as shells ask, and that nothing is said where it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from postledger import Ledger
from postledger.cli import main
from postledger.cli.completion import VALUES
from tests.samples import BINARY, DEGRADED, SMS, sent

COMMAND = str(Path(sys.executable).with_name("postledger"))


def offered(*words: object) -> tuple[list[str], str]:
    """What bash is offered for the last of the words, and what is said on stderr."""
    line = {"COMP_WORDS": " ".join(map(str, ["postledger", *words])), "COMP_CWORD": str(len(words))}
    asked = {**os.environ, **line, "_POSTLEDGER_COMPLETE": "bash_complete"}
    done = subprocess.run([COMMAND], env=asked, capture_output=True, text=True, check=False)
    return [one.partition(",")[2] for one in done.stdout.splitlines() if one], done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["deliveries", "{}", "--state", "de"], ["delivered"]),
        (["deliveries", "{}", "--chart", "content", "--state", ""],
         ["created", "saved", "encoded", "failed"]),
        (["deliveries", "{}", "--route", "s"], ["sms"]),
        (["deliveries", "{}", "--read", "r"], ["read"]),
        (["deliveries", "{}", "--grade", "h"], ["handset"]),
        (["deliveries", "{}", "--finding", "la"], ["late"]),
        (["deliveries", "{}", "--reason-class", "unr"], ["unreachable"]),
        (["deliveries", "{}", "--spid", "00014"], ["0001470"]),
        (["deliveries", "{}", "--by", "spid,d"], ["spid,day"]),
        (["deliveries", "{}", "--by", "spid,s"], ["spid,state", "spid,space", "spid,source"]),
        (["deliveries", "{}", "--tz", "Europe/Berl"], ["Europe/Berlin"]),
        (["deliveries", "{}", "--fmt", "j"], ["json", "jsonl"]),
        (["events", "{}", "--state", "xh"], ["xhtml"]),
        (["events", "{}", "--source", "sk"], ["skycore"]),
        (["events", "{}", "--id", "TU1"], [DEGRADED, BINARY]),
        (["show", "{}", "U0"], [SMS]),
        (["show", "{}", "--mms", "3"], ["35674"]),
        (["show", "{}", "--chart", "content", "3"], ["35674"]),
        (["charts", "--ledger", "{}", "disc"], ["discovery"]),
    ],
)  # fmt: skip
def test_values_are_those_of_the_ledger_on_the_line(
    samples: Path, words: list[str], expected: list[str]
) -> None:
    """Of its definitions, its carriers, its ids: those that begin as what is typed does."""
    with Ledger(samples) as opened:
        opened.record(sent(SMS), source="skycore")
    assert offered(*(word.format(samples) for word in words)) == (expected, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["verif"], ["verify"]),
        (["deliveries", "--state", "deliv"], ["delivered"]),
        (["ingest", "new.db", "--provider", "twilio"], ["twilio", "twilio_events"]),
        (["serve", "new.db", "--provider", "sky"], ["skycore"]),
        (["deliveries", "new.db", "--since", "to"], ["today"]),
        (["charts", "pr"], ["providers"]),
        (["charts", "providers", "sky"], ["skycore"]),
        (["charts", "try", "sky"], ["skycore"]),
        (["--col"], ["--color", "--colour"]),
    ],
)
def test_without_a_ledger_values_are_those_that_ship(words: list[str], expected: list[str]) -> None:
    """Charts, providers, and what click itself knows."""
    assert offered(*words) == (expected, "")


def test_what_fails_is_silent(tmp_path: Path, samples: Path) -> None:
    """No ledger, another file, a damaged one, a mistyped command or option: nothing, and not a word."""
    other, damaged = tmp_path / "other.db", tmp_path / "damaged.db"
    other.write_bytes(b"?")
    damaged.write_bytes(samples.read_bytes()[:8192])
    for path in (tmp_path / "none.db", tmp_path, other, damaged):
        assert offered("show", path, "U0") == ([], "")
        assert offered("deliveries", path, "--spid", "0") == ([], "")
    for words in (
        ["shwo", samples, "U0"],
        ["show", samples, "--nope", "U0"],
        ["charts", "x", "y", "z"],
    ):
        assert offered(*words)[1] == ""
    assert not (tmp_path / "none.db").exists()


def test_a_value_that_is_not_one_word_is_not_offered(tmp_path: Path) -> None:
    """A shell would run what stands behind it, or take it for two."""
    with Ledger(tmp_path / "l.db") as opened:
        opened.record_many(sent(key) for key in ("a-fine", "a b", "a;ls", "a$(ls)", "a'", "a*"))
        opened.record(
            b'{"origin": "SMS_MT", "code": "N201", "status": "?", "tracking-id": "a\\nplain,b"}'
        )
    assert offered("show", tmp_path / "l.db", "a") == (["a-fine"], "")


def test_an_id_that_begins_with_a_dash_is_offered_behind_two(tmp_path: Path) -> None:
    """Elsewhere it would be taken for an option."""
    with Ledger(tmp_path / "l.db") as opened:
        opened.record_many(sent(key) for key in ("-a", "--help", "a"))
    assert offered("show", tmp_path / "l.db", "") == (["a"], "")
    assert offered("events", tmp_path / "l.db", "--id", "") == (["a"], "")
    assert offered("show", tmp_path / "l.db", "--", "-a") == (["-a"], "")


def test_nothing_is_left_next_to_a_ledger_that_nobody_has_open(samples: Path) -> None:
    """Neither a log of SQLite nor what it shares with others."""
    there = {one.name: one.read_bytes() for one in samples.parent.iterdir()}
    assert offered("show", samples, "U0") == ([SMS], "")
    assert offered("deliveries", samples, "--spid", "00014") == (["0001470"], "")
    assert offered("deliveries", samples, "--state", "de") == (["delivered"], "")
    assert {one.name: one.read_bytes() for one in samples.parent.iterdir()} == there


def test_what_another_process_just_wrote_is_offered(tmp_path: Path) -> None:
    """Its events may stand in the log of SQLite alone."""
    with Ledger(tmp_path / "l.db") as opened:
        opened.record(sent("fresh"))
        assert (tmp_path / "l.db-wal").stat().st_size > 0
        assert offered("show", tmp_path / "l.db", "f") == (["fresh"], "")


def test_no_more_ids_are_offered_than_help(tmp_path: Path) -> None:
    """The first of them, in their order."""
    with Ledger(tmp_path / "l.db") as opened:
        opened.record_many(sent(f"m{number:03}") for number in range(150))
    assert offered("show", tmp_path / "l.db", "m")[0] == [f"m{number:03}" for number in range(100)]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_script_of_the_page(samples: Path) -> None:
    """The script is loaded, and its function called as by the tabulator key."""
    program = f"""
        eval "$(_POSTLEDGER_COMPLETE=bash_source postledger)"
        COMP_WORDS=(postledger deliveries {samples} --state fa) COMP_CWORD=4
        _postledger_completion postledger
        echo "${{COMPREPLY[@]}}"
    """
    there = {**os.environ, "PATH": f"{Path(COMMAND).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", program], env=there, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("failed\n", "")


def test_each_value_belongs_to_something() -> None:
    """An option that is renamed takes its values with it."""
    there = set()
    for command, params in _params(main, []):
        there |= {f"{command} {name}" for name in params} | params
    assert VALUES.keys() <= there


def _params(group: click.Group, words: list[str]) -> list[tuple[str, set[str]]]:
    """The options and arguments of a command, and of those below it, by the words of each."""
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        path = " ".join([*words, name])
        found.append(
            (path, {name for one in command.params for name in (one.name or "", *one.opts)})
        )
        if isinstance(command, click.Group):
            found += _params(command, [*words, name])
    return found
