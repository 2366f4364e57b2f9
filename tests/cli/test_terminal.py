"""Colours and the pager: on a terminal only, by what the user says, and never needed to read it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from postledger import Ledger
from tests.cli import Run
from tests.cli.test_reconcile import invoice, ledger
from tests.samples import DEGRADED, SMS, delivered, failed, sent
from tests.terminal import plain, terminal

__all__ = ["invoice", "ledger"]

GREEN, RED, YELLOW, BOLD = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[1m"


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A ledger of three deliveries: delivered, failed, sent."""
    with Ledger(tmp_path / "three.db") as opened:
        opened.record_many([delivered("good"), failed("bad"), sent("open")])
    return opened.path


def piped(*words: object) -> bytes:
    """What a command writes to a pipe."""
    command = [sys.executable, "-m", "postledger", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_states_and_findings_have_colours_on_a_terminal(three: Path) -> None:
    """Final ones, by the chart: what comes with a reason is bad."""
    status, shown = terminal("deliveries", three)
    assert status == 0
    assert f"{GREEN}delivered\x1b[0m" in shown
    assert f"{RED}failed\x1b[0m" in shown
    assert re.search(r" sent  ", shown)
    assert f"{YELLOW}no_creation" in shown
    assert f"{BOLD}tracking id" in shown


@pytest.mark.parametrize(
    "words",
    [["deliveries", "{}"], ["show", "{}", "good"], ["events", "{}"], ["follow", "{}", "--no-live"],
     ["changes", "{}", "--since", "1"], ["verify", "{}"], ["charts", "delivery"],
     ["query", "{}", "SELECT state, count(*) FROM deliveries GROUP BY state"]],
    ids=lambda words: words[0],
)  # fmt: skip
@pytest.mark.parametrize("columns", [60, 200])
def test_colours_change_nothing_else(three: Path, words: list[str], columns: int) -> None:
    """Neither a word nor where it stands, however wide the terminal is."""
    given = [word.format(three) for word in words]
    _, coloured = terminal(*given, columns=columns)
    _, without = terminal(*given, "--color", "never", columns=columns)
    assert "\x1b" not in without
    assert plain(coloured) == plain(without)


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        ([], {"NO_COLOR": "1"}),
        ([], {"TERM": "dumb"}),
        (["--color", "never"], {}),
        (["--colour", "never"], {}),
    ],
)
def test_who_wants_no_colours_gets_none(
    three: Path, words: list[str], environment: dict[str, str]
) -> None:
    """By the option, NO_COLOR, or a terminal that has none; in errors too."""
    for asked in (["deliveries", three], ["deliveries", three, "--state", "odd"]):
        assert "\x1b" not in terminal(*asked, *words, **environment)[1]


def test_an_option_wins_over_the_environment(three: Path) -> None:
    """Before or after the command."""
    for words in (
        ["deliveries", three, "--color", "always"],
        ["--color", "always", "deliveries", three],
    ):
        assert GREEN in terminal(*words, NO_COLOR="1")[1]
        assert f"{GREEN}delivered\x1b[0m".encode() in piped(*words)


def test_an_error_stands_out(three: Path) -> None:
    """Its first word."""
    status, shown = terminal("deliveries", three, "--state", "odd")
    assert (status, f"{RED}Error:\x1b[0m unknown state 'odd'" in shown) == (1, True)


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv", "tsv", "markdown"])
def test_a_pipe_gets_no_colours(three: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the terminal and the pager are; and forms for programs never have any."""
    words = ["deliveries", three, "--fmt", form]
    before = piped(*words)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("PAGER", "false")
    assert piped(*words) == before
    assert b"\x1b" not in before
    if form != "table":
        assert piped(*words, "--color", "always") == before


def test_a_pager_shows_what_is_long(three: Path, tmp_path: Path) -> None:
    """All of it, with its colours, and then what else was remarked."""
    with Ledger(three) as opened:
        opened.record_many(sent(f"m{number}") for number in range(200))
    page = tmp_path / "page"
    status, shown = terminal("deliveries", three, PAGER=f"tee '{page}'")
    paged = page.read_text()
    assert status == 0
    assert paged.count("\n") == 103
    assert GREEN in paged
    assert paged.endswith("the first 100; --limit, --json, --nl or --csv give 103 more\n")
    assert plain(shown).splitlines()[-103:] == plain(paged).splitlines()


@pytest.mark.parametrize(
    "words",
    [["deliveries", "{}"], ["events", "{}", "--json"], ["show", "{}", "good"], ["charts"],
     ["changes", "{}", "--since", "1"], ["query", "{}", "SELECT 1"], ["audit", "{}"]],
    ids=lambda words: words[0],
)  # fmt: skip
def test_each_listing_is_paged(three: Path, tmp_path: Path, words: list[str]) -> None:
    """Unless it is asked not to be."""
    given, page = [word.format(three) for word in words], tmp_path / "page"
    assert terminal(*given, PAGER=f"tee '{page}'")[0] == 0
    assert page.stat().st_size > 0
    page.unlink()
    assert terminal(*given, "--no-pager", PAGER=f"tee '{page}'")[0] == 0
    assert not page.exists()


def test_an_error_is_not_paged(three: Path, tmp_path: Path) -> None:
    """A pager begins with the first line of a result; and --no-pager may stand before the command."""
    page = f"tee '{tmp_path / 'page'}'"
    assert terminal("--no-pager", "deliveries", three, PAGER=page)[0] == 0
    status, shown = terminal(
        "deliveries", three, "--state", "odd", PAGER=f"tee '{tmp_path / 'page'}'"
    )
    assert (status, "unknown state" in shown) == (1, True)
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("pager", ["", "cat", "no-such-pager -x", "less 'unclosed"])
def test_without_a_pager_it_is_printed(three: Path, pager: str) -> None:
    """As where the variable is empty, or names what isn't there."""
    status, shown = terminal("deliveries", three, PAGER=pager)
    assert (status, "delivered" in shown) == (0, True)


@pytest.mark.parametrize("pager", ["head -n 1", "true"])
@pytest.mark.parametrize("words", [["deliveries", "{}"], ["events", "{}", "--csv"]])
def test_a_pager_that_is_left_early_is_no_failure(
    three: Path, pager: str, words: list[str]
) -> None:
    """Who leaves it has seen enough."""
    with Ledger(three) as opened:
        opened.record_many(sent(f"m{number}") for number in range(2000))
    status, shown = terminal(*(word.format(three) for word in words), PAGER=pager)
    assert (status, "Traceback" in shown, "Error" in shown) == (0, False, False)


@pytest.mark.skipif(shutil.which("less") is None, reason="needs less")
def test_less_is_the_pager_by_default(three: Path) -> None:
    """As git has it: a page that fits is printed, a longer one is left with q; Ctrl-C ends nothing."""
    status, shown = terminal("deliveries", three, PAGER=None)
    assert (status, GREEN in shown) == (0, True)
    with Ledger(three) as opened:
        opened.record_many(sent(f"m{number}") for number in range(2000))
    status, shown = terminal("events", three, "--limit", 90, PAGER=None, keys="\x03q")
    assert status == 0
    assert "Traceback" not in shown
    assert "m88" not in shown
    status, shown = terminal("events", three, "--nl", PAGER=None, keys="q")
    assert (status, "Traceback" in shown) == (0, False)


@pytest.mark.parametrize("command", ["reconcile", "replay"])
def test_a_command_whose_status_answers_has_no_pager(
    ledger: Path, invoice: Path, tmp_path: Path, command: str
) -> None:
    """Whoever left a pager early would end it, and its status would say that nothing differs."""
    words = [command, ledger, *([invoice] if command == "reconcile" else ())]
    assert terminal(*words, PAGER=f"tee '{tmp_path / 'page'}'")[0] == 0
    assert not (tmp_path / "page").exists()


def test_a_list_that_does_not_end_has_no_pager(three: Path, tmp_path: Path) -> None:
    """``follow`` shows what comes as it comes."""
    status, shown = terminal("follow", three, "--no-live", PAGER=f"tee '{tmp_path / 'page'}'")
    assert (status, "good" in shown) == (0, True)
    assert not (tmp_path / "page").exists()


def test_progress_is_shown_unless_the_result_is_printed_meanwhile(
    run: Run, ledger: Path, invoice: Path
) -> None:
    """A bar among the lines of the result could be read by nobody."""
    for words, bar in (([], True), (["--nl"], False)):
        status, shown = terminal("reconcile", ledger, invoice, *words)
        assert (status, "reconcile: " in shown) == (0, bar)


def test_the_state_after_a_change_has_its_colour(samples: Path) -> None:
    """And what was before it has none."""
    shown = terminal("show", samples, DEGRADED)[1]
    assert f"{GREEN}sent, degraded → delivered, degraded\x1b[0m" in shown
    shown = terminal("follow", samples, "--no-live", "--id", SMS)[1]
    assert re.search(rf"sent, sms → {re.escape(GREEN)}delivered, sms", shown)
    assert f"{GREEN}ok\x1b[0m: 12 events" in terminal("verify", samples)[1]
