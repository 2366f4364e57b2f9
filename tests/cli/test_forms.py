"""The forms of output: one option has all of them, and the flags are short for some."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from postledger import Ledger
from postledger.cli.forms import Form
from tests.cli import Run
from tests.cli.test_reconcile import invoice, ledger
from tests.samples import sent

__all__ = ["invoice", "ledger"]

LISTS = {
    "deliveries": [],
    "events": [],
    "changes": ["--since", "2"],
    "query": ["SELECT * FROM deliveries"],
    "replay": ["--builtin"],
}


@pytest.mark.parametrize("command", LISTS)
@pytest.mark.parametrize(
    ("flag", "form"), [("--json", "json"), ("--nl", "jsonl"), ("--csv", "csv"), (None, "table")]
)
def test_a_flag_is_short_for_a_form(
    run: Run, samples: Path, command: str, flag: str | None, form: str
) -> None:
    """They print the same."""
    words = [command, samples, *LISTS[command]]
    short = run(*words, *filter(None, [flag]))
    named = run(*words, "--fmt", form)
    assert (named.exit_code, named.stdout, named.stderr) == (0, short.stdout, short.stderr)


@pytest.mark.parametrize("command", LISTS)
@pytest.mark.parametrize("form", Form)
def test_each_list_has_each_form(run: Run, samples: Path, command: str, form: Form) -> None:
    """Also where nothing is found."""
    done = run(command, samples, *LISTS[command], "--fmt", form)
    assert (done.exit_code, done.exception) == (0, None), done.stderr


def test_a_tsv_holds_what_a_csv_holds(run: Run, samples: Path) -> None:
    """With tabs between the columns; lines and tabs of a body are quoted."""
    with Ledger(samples) as opened:
        opened.record(b'a\tb\n"c"')
    commas = run("events", samples, "--fmt", "csv").stdout
    tabs = run("events", samples, "--fmt", "tsv").stdout
    rows = list(csv.reader(io.StringIO(tabs), delimiter="\t"))
    assert rows == list(csv.reader(io.StringIO(commas)))
    assert rows[0][:3] == ["position", "member", "kind"]


def test_markdown_has_the_rows_and_columns_of_the_table(run: Run, samples: Path) -> None:
    """And says how to get more of them."""
    with Ledger(samples) as opened:
        opened.record_many(sent(f"m{number}") for number in range(120))
    done = run("deliveries", samples, "--fmt", "markdown")
    heading, line, *rows = done.stdout.splitlines()
    table = run("deliveries", samples).stdout.splitlines()
    assert [cell.strip() for cell in heading.strip("|").split("|")][:2] == ["tracking id", "state"]
    assert set(line) == {"|", "-"}
    assert len(rows) == len(table) - 2 == 100
    assert "the first 100" in done.stderr
    limited = run("deliveries", samples, "--fmt", "markdown", "--limit", 5).stderr
    assert "the first 5; a larger --limit gives 118 more" in limited


@pytest.mark.parametrize("said", ["a|b", "<script>x</script>", "*a*", "[a](http://b)", "a\u202eb"])
def test_markdown_says_the_same_text(run: Run, tmp_path: Path, said: str) -> None:
    """No text of a provider makes a column, a link or anything else of itself."""
    with Ledger(tmp_path / "l.db") as opened:
        opened.record(sent(escape(said)))
    heading, _, row = run("deliveries", tmp_path / "l.db", "--fmt", "markdown").stdout.splitlines()
    assert said not in row
    assert len(re.findall(r"(?<!\\)\|", row)) == heading.count("|")
    assert not re.search(r"(?<!\\)[<*\[]", row)


def test_counts_have_each_form(run: Run, samples: Path) -> None:
    """People also get the sums."""
    words = ["deliveries", samples, "--by", "state"]
    assert run(*words, "--fmt", "markdown").stdout.splitlines()[-1].split()[1] == "all"
    (one,) = json.loads(run(*words, "--fmt", "json").stdout)
    assert run(*words, "--fmt", "tsv").stdout.splitlines()[1].split("\t")[:2] == ["delivered", "3"]
    assert one["deliveries"] == 3


def test_a_reconciliation_has_each_form(run: Run, ledger: Path, invoice: Path) -> None:
    """The tables of Markdown are those for people."""
    invoice.write_text("id\nx\n")
    words = ["reconcile", ledger, invoice, "--unmask"]
    markdown = run(*words, "--fmt", "markdown").stdout
    assert "| rows of the invoice" in markdown
    assert "\nbilled, but unknown to the ledger: 1\n" in markdown
    for flag, form in (("--json", "json"), ("--nl", "jsonl"), ("--csv", "csv")):
        assert run(*words, "--fmt", form).stdout == run(*words, flag).stdout
    rows = csv.reader(io.StringIO(run(*words, "--fmt", "tsv").stdout), delimiter="\t")
    assert [row[2] for row in rows][:2] == ["tracking_id", "x"]


def test_one_form_at_a_time(run: Run, samples: Path) -> None:
    """And one that there is."""
    done = run("deliveries", samples, "--fmt", "csv", "--json")
    assert done.exit_code == 2
    assert "--json and --fmt exclude each other: give one." in done.stderr
    done = run("deliveries", samples, "--fmt", "xml")
    assert done.exit_code == 2
    assert "'table', 'json', 'jsonl', 'csv', 'tsv', 'markdown'" in done.stderr


@pytest.mark.parametrize(
    "words", [["audit", "--json", "--unmask"], ["follow", "--json", "--no-live"]]
)
def test_no_json_holds_what_a_terminal_obeys(run: Run, tmp_path: Path, words: list[str]) -> None:
    """It is written out as JSON has it, and says the same to a program."""
    hostile, command = "Wh\x9b2Ja\u202ex", words[0]
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.record(sent("K").replace(b"Message Sent", hostile.encode()), "text/xml")
        ledger.record(sent(f"K{hostile}"), "text/xml")
    shown = run(command, tmp_path / "a.db", *words[1:]).stdout
    assert "\\u202e" in shown
    assert not {"\x9b", "\u202e"} & set(shown)
