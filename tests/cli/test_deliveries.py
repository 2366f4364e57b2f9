"""``postledger deliveries``."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from postledger import Ledger
from tests.cli import Run
from tests.samples import BINARY, DEGRADED, sent
from tests.state.test_said import ledger_of_own


def test_deliveries_prints_rows_as_json_lines_and_csv(run: Run, samples: Path) -> None:
    """All three forms for programs hold the same deliveries."""
    rows = json.loads(run("deliveries", samples, "--json").stdout)
    lines = run("deliveries", samples, "--nl").stdout.splitlines()
    table = run("deliveries", samples, "--csv").stdout.splitlines()
    assert rows == [json.loads(line) for line in lines]
    assert "timeline" not in rows[0]
    assert len(table) == len(rows) + 1 == 4
    assert table[0].startswith("tracking_id,state,route,read,grade,reason,to,")


def test_deliveries_without_any_is_an_empty_list(run: Run, samples: Path) -> None:
    """Nothing found is an empty array, no line, and exit 0."""
    empty = run("deliveries", samples, "--state", "failed", "--json")
    assert (json.loads(empty.stdout), empty.exit_code) == ([], 0)
    assert run("deliveries", samples, "--state", "failed", "--nl").stdout == ""


def test_reasons_classes_and_amounts_are_listed_where_there_are_any(run: Run) -> None:
    """In the table, and in every form for programs."""
    postbacks = [
        {"id": "a", "status": "failed", "code": "1", "cost": "-0.0075", "unit": "USD"},
        {"id": "b", "status": "sent"},
    ]
    with ledger_of_own(postbacks) as ledger:
        table = run("deliveries", ledger.path).stdout
        row = json.loads(run("deliveries", ledger.path, "--nl").stdout.splitlines()[0])
        header, first, _ = csv.reader(io.StringIO(run("deliveries", ledger.path, "--csv").stdout))
    for text in ("reason", "the handset is off", "class", "unreachable", "price: -0.0075 USD"):
        assert text in table
    assert (row["reason"], row["reason_class"]) == ("1: the handset is off", "unreachable")
    assert row["amounts"] == {"price": {"value": "-0.0075", "currency": "USD"}}
    told = dict(zip(header, first, strict=True))
    assert (told["reason_class"], json.loads(told["amounts"])) == ("unreachable", row["amounts"])


def test_columns_that_no_delivery_fills_are_left_out(run: Run, tmp_path: Path) -> None:
    """Most deliveries have no reason, and most providers name no price."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record(sent("a"))
    heading, *_ = run("deliveries", tmp_path / "l.db").stdout.splitlines()
    assert not {"reason", "class", "amounts", "labels", "space"} & set(heading.split())


def test_an_unknown_label_is_refused(run: Run) -> None:
    """With the labels that there are."""
    with ledger_of_own([{"id": "a", "status": "sent", "ref": "A"}]) as ledger:
        refused = run("deliveries", ledger.path, "--label", "referenze=A")
        assert refused.exit_code == 1
        assert "unknown label 'referenze': expected reference, sender" in refused.stderr
        assert "a  " in run("deliveries", ledger.path, "--label", "reference=A").stdout


def test_a_finding_that_every_row_has_is_said_once(run: Run, tmp_path: Path) -> None:
    """In a long table; what some have stays in their rows, and programs get all."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record_many(sent(f"m{n}", SPID=None if n else "1") for n in range(11))
    done = run("deliveries", path)
    assert "no_creation" not in done.stdout
    assert done.stdout.count("node_missing") == 10
    assert done.stderr.count("each of the 11 listed has no_creation: No answer of the API") == 1
    assert run("deliveries", path, "--limit", "10").stdout.count("no_creation") == 10
    assert run("deliveries", path, "--nl").stdout.count("no_creation") == 11


def test_deliveries_are_counted_in_every_form(run: Run, samples: Path) -> None:
    """With the sum of all for people alone; programs can add up."""
    by = ("--by", "spid,reason-class", "--until", "2013-01-01")
    rows = json.loads(run("deliveries", samples, *by, "--json").stdout)
    row = {"reason_class": None, "deliveries": 1, "delivered": 1, "share": 1.0}
    assert rows == [{"spid": spid, **row} for spid in ("0001140", "0001570")]
    lines = run("deliveries", samples, *by, "--nl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert run("deliveries", samples, *by, "--csv").stdout.splitlines() == [
        "spid,reason_class,deliveries,delivered,share",
        "0001140,,1,1,1.0",
        "0001570,,1,1,1.0",
    ]
    shown = [line.split() for line in run("deliveries", samples, *by).stdout.splitlines()]
    assert shown[2:] == [
        ["0001140", "-", "1", "1", "100.0%"],
        ["0001570", "-", "1", "1", "100.0%"],
        ["all", "2", "2", "100.0%"],
    ]


def test_the_last_line_counts_what_is_not_shown_too(run: Run, samples: Path) -> None:
    """A limit is of the groups, and not of what is counted."""
    done = run("deliveries", samples, "--by", "spid", "--limit", 1)
    assert done.stderr == "the first 1; a larger --limit gives 2 more\n"
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["0001140", "1"], ["all", "3"]]
    empty = run("deliveries", samples, "--by", "day", "--state", "failed")
    assert empty.stdout.splitlines()[-1].split() == ["all", "0", "0", "–"]
    assert run("deliveries", samples, "--by", "day", "--state", "failed", "--json").stdout == "[]\n"


def test_unknown_dimensions_are_wrong_usage(run: Run, samples: Path) -> None:
    """With those that there are."""
    refused = run("deliveries", samples, "--by", "spid,colour")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "unknown dimension 'colour': expected state, route, " in refused.stderr


def test_a_search_lists_the_newest_first(run: Run, samples: Path) -> None:
    """In every form, and counted too."""
    rows = json.loads(run("deliveries", samples, "--search", "TU1T", "--json").stdout)
    assert [row["tracking_id"] for row in rows] == [DEGRADED, BINARY]
    counted = run("deliveries", samples, "--search", "TU1T", "--by", "route", "--nl").stdout
    assert [json.loads(line)["deliveries"] for line in counted.splitlines()] == [1, 1]


def test_a_search_that_finds_nothing_says_how_it_was_read(run: Run, samples: Path) -> None:
    """And one thing to try."""
    for text, *said in (
        ("+1 650 333 3059", "'+1 650 333 3059'", "ends in 16503333059", "--search 3059"),
        ("059", "059 is fewer than 4 digits", "at least 4 of the last digits"),
        ("no such words", "words of a reason: no, such, words", "--search words"),
        ("U01TXzgwNjc5", "the beginning of a tracking id", "--search U01TXz"),
        ("%'*\"", "the beginning of a tracking id", "without --search all are listed"),
        ("x" * 1_000_000, "xxx...xxx", "words of a reason: xxx"),
    ):
        found = run("deliveries", samples, "--search", text, "--nl")
        assert (found.stdout, found.exit_code) == ("", 0)
        for part in said:
            assert part in found.stderr
    narrowed = run("deliveries", samples, "--search", "3058", "--state", "failed")
    assert "Try the same without the other options." in narrowed.stderr
    assert "nothing found" not in run("deliveries", samples, "--search", "3058").stderr
