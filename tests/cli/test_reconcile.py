"""``postledger reconcile``: which columns are read, what is printed, and how it ends."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from postledger import Ledger
from tests.cli import Run
from tests.conftest import FIXTURES
from tests.samples import delivered, sent

FOLDER = FIXTURES / "providers" / "infobip"
GONE, FAILED, REJECTED, LATE = (f"2603021000000000001000{n}" for n in (1, 2, 3, 8))
CORRECT = f"""message_id,price,currency,segments,status
{GONE},0.0100,EUR,1,DELIVERED
{FAILED},0.0185,EUR,2,UNDELIVERABLE
{REJECTED},0,EUR,0,REJECTED
{LATE},1e-2,eur,1,delivered
"""


@pytest.fixture
def ledger(run: Run, tmp_path: Path) -> Path:
    """A ledger of four deliveries with prices."""
    path = tmp_path / "l.db"
    files = FOLDER / "bundle.json", FOLDER / "delivered-v3.json"
    assert run("ingest", path, *files, "--provider", "infobip").exit_code == 0
    return path


@pytest.fixture
def invoice(tmp_path: Path) -> Path:
    """A correct invoice."""
    path = tmp_path / "invoice.csv"
    path.write_text(CORRECT)
    return path


def test_a_correct_invoice_ends_with_exit_status_0(run: Run, ledger: Path, invoice: Path) -> None:
    """Columns of obvious names need no option, and stderr says what was taken for what."""
    done = run("reconcile", ledger, invoice)
    assert done.exit_code == 0, done.output
    assert done.stderr == (
        "columns: id message_id, price price, currency currency, segments segments, state status\n"
    )
    assert "equal                4" in done.stdout
    assert "EUR         0.0385    0.0385       0                        0.0000" in done.stdout


def test_a_difference_ends_with_exit_status_3(run: Run, ledger: Path, invoice: Path) -> None:
    """The totals come first, then each kind, at most so many of it."""
    others = "".join(f"x{n},1,USD,1,delivered\n" for n in range(12))
    invoice.write_text(CORRECT.replace("0.0100", "0.0101") + others)
    done = run("reconcile", ledger, invoice, "--limit", 3)
    assert done.exit_code == 3
    assert done.stdout.split()[0] == "number"
    assert "\nbilled, but unknown to the ledger: 12\n" in done.stdout
    assert "x2             1 USD\nand 9 more\n" in done.stdout
    assert "0.0101 EUR  0.01 EUR" in done.stdout
    assert "--limit shows more" in done.stderr


@pytest.mark.parametrize("form", ["--nl", "--csv", "--json"])
def test_forms_for_programs_have_all_differences(
    run: Run, ledger: Path, invoice: Path, form: str
) -> None:
    """The totals stand in the JSON, and in the others on stderr."""
    invoice.write_text("id,state\n" + "".join(f"x{n},delivered\n" for n in range(200)))
    done = run("reconcile", ledger, invoice, form)
    assert done.exit_code == 3
    if form == "--json":
        found = json.loads(done.stdout)
        assert len(found["differences"]) == found["totals"]["kinds"]["unknown"] + 2 == 202
        assert found["totals"]["rows"] == 200
    else:
        assert len(done.stdout.splitlines()) == 202 + (form == "--csv")
        assert "200 rows, 0 equal, 202 differences" in done.stderr


def test_numbers_are_masked_unless_asked_for(run: Run, ledger: Path, invoice: Path) -> None:
    """Of recipients, of ids that may be numbers, and of what a row has that can't be read."""
    invoice.write_text(
        f"id,price,currency,state\n{FAILED},1,EUR,delivered\n41793026799,1,EUR,delivered\n"
        f"{GONE},41793026701,x41793026701,delivered\n{LATE},0.01,EUR,delivered\n"
    )
    masked = run("reconcile", ledger, invoice, "--json").stdout
    assert "417930267" not in masked
    assert "•••••••6702" in masked
    unmasked = run("reconcile", ledger, invoice, "--json", "--unmask").stdout
    assert all(number in unmasked for number in ("41793026702", "41793026799", "x41793026701"))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (f"{GONE},0\\,01,EUR,1,x", "expected 5 columns, got 6"),
        (
            f'{GONE},"1,234",EUR,1,x',
            "price must be one number, got '1,234', which may be 1.234 or 1234: give --decimal point",
        ),
        (f'{GONE},"0,0,1",EUR,1,x', "price must be an exact decimal such as 0.0075, got '0,0,1'"),
        (f"{GONE},nan,EUR,1,x", "price must be an exact decimal such as 0.0075, got 'nan'"),
        (f"{GONE},1e999,EUR,1,x", "price must be an exact decimal such as 0.0075, got '1e999'"),
        (f"{GONE},{'1' * 61},EUR,1,x", "price must be an exact decimal"),
        (f"{GONE},,EUR,1,x", "price must be text or a number, got an empty cell"),
        (f"{GONE},1,,1,x", "currency must be text or a number, got an empty cell"),
        (f"{GONE},1,EUR,one,x", "segments must be an exact decimal such as 0.0075, got 'one'"),
        (f"{GONE},1,EUR,1, ", "status must be text or a number, got an empty cell"),
        (",1,EUR,1,x", "message_id must be text or a number, got an empty cell"),
        ('a"b,"c"d,EUR,1,x', "not CSV, a quote within a quoted field must be doubled"),
    ],
)
def test_a_row_that_cannot_be_read_is_listed(
    run: Run, ledger: Path, invoice: Path, row: str, problem: str
) -> None:
    """With its line and what is wrong; the rows after it are read."""
    lines = CORRECT.splitlines()
    invoice.write_text("\n".join([lines[0], row, *lines[2:], lines[1]]) + "\n")
    done = run("reconcile", ledger, invoice, "--json", "--unmask")
    assert done.exit_code == 3
    found = json.loads(done.stdout)
    (one,) = found["differences"]
    assert (one["kind"], one["line"]) == ("unreadable", 2)
    assert one["reason"].startswith(problem)
    assert found["totals"]["equal"] == 4


def test_bytes_that_are_not_utf_8_are_listed(run: Run, ledger: Path, invoice: Path) -> None:
    """They can't be looked up."""
    invoice.write_bytes(b"id\n\xff\n" + "\n".join([GONE, LATE]).encode())
    done = run("reconcile", ledger, invoice, "--nl", "--unmask")
    assert json.loads(done.stdout)["reason"] == r"id must be UTF-8, got '\udcff'"


def test_json_lines_are_read_as_they_are_written(run: Run, ledger: Path, tmp_path: Path) -> None:
    """No number becomes a float: neither a price nor an id; packed files are read too."""
    path = tmp_path / "invoice.jsonl.gz"
    rows = [
        f'{{"message": {{"id": {GONE}}}, "cost": {{"value": 0.01000000000000000000000000000001}}}}',
        f'{{"message": {{"id": {LATE}}}, "cost": {{"value": 0.01}}}}',
        f'{{"message": {{"id": {FAILED}}}, "cost": {{"value": NaN}}}}',
        f'{{"message": {{"id": {REJECTED}}}, "cost": {{"value": [1]}}}}',
    ]
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    options = ("--id", "message/id", "--price", "cost.value", "--currency-is", "EUR")
    done = run("reconcile", ledger, path, *options, "--any-state", "--nl", "--unmask")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["kind"], one["line"]) for one in found] == [
        ("price_differs", 1),
        ("unreadable", 3),
        ("unreadable", 4),
    ]
    assert found[0]["billed"] == "0.01000000000000000000000000000001 EUR"


def test_an_id_of_several_fields_is_of_several_columns(run: Run, tmp_path: Path) -> None:
    """In the order in which the provider's vocabulary has them."""
    ledger, invoice = tmp_path / "l.db", tmp_path / "i.csv"
    body = FIXTURES / "providers" / "telnyx" / "delivered.json"
    assert run("ingest", ledger, body, "--provider", "telnyx").exit_code == 0
    invoice.write_text(
        "number;uuid;cost\n+12015550121;4a000000-0000-4000-8000-000000000001;0.0051\n"
    )
    columns = ("--id", "uuid", "--id", "number", "--currency-is", "USD", "--delimiter", ";")
    assert run("reconcile", ledger, invoice, *columns).exit_code == 0


def test_a_period_says_what_must_be_billed(run: Run, ledger: Path, invoice: Path) -> None:
    """What began outside of it may be billed, and need not be."""
    invoice.write_text(f"id\n{GONE}\n")
    assert run("reconcile", ledger, invoice, "--until", "2020-01-01").exit_code == 0
    done = run("reconcile", ledger, invoice, "--since", "2020-01-01", "--nl")
    assert (done.exit_code, json.loads(done.stdout)["kind"]) == (3, "not_billed")


@pytest.mark.parametrize(
    ("text", "options", "status", "said"),
    [
        ("a,b\n", (), 1, "unclear which column holds the id; name it with --id; it has: a, b"),
        ("id;price\n", (), 1, "it has: id;price; give --delimiter ';' if that stands between"),
        ("id\tprice\n", (), 1, "; give --delimiter tab if that stands between columns"),
        ("id;price\n", ("--id", "id"), 1, "no field id; it has: id;price; give --delimiter ';'"),
        ("id,ID\n", (), 1, "several columns may be the id: id, ID; name it with --id"),
        ("id,price\n", (), 1, "the prices of price have no currency; name it with --currency"),
        ("id,price\n", ("--price", ""), 3, "price -, currency -"),
        ("id\n", ("--price", "net", "--currency-is", "EUR"), 1, "no field net; it has: id"),
        ("id\n", ("--currency-is", "41793026701"), 2, "must be a currency such as EUR"),
        ("id\n", ("--currency", "a", "--currency-is", "EUR"), 2, "can't both be given"),
        ("id\n", ("--delivered-is", "ok"), 2, "--delivered-is requires --state"),
        ("id,s\n", ("--any-state", "--state", "s"), 2, "--any-state excludes --state"),
        ("id\n", ("--delimiter", ""), 2, "--delimiter must be one character or tab, got ''"),
        ("id\n", ("--space", "nowhere"), 1, "unknown space 'nowhere'"),
        ("id\n", ("--since", "2026-02-01", "--until", "2026-01-01"), 2, "--since must be before"),
        ('id\n"a\n', (), 1, "where the next row begins is unclear"),
    ],
)
def test_what_is_unclear_is_refused(
    run: Run,
    ledger: Path,
    invoice: Path,
    text: str,
    options: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    """With one line that says what to do; nothing is guessed."""
    invoice.write_text(text)
    done = run("reconcile", ledger, invoice, *options)
    assert (done.exit_code, said in done.stderr) == (status, True), done.stderr


def test_other_files_are_refused(run: Run, ledger: Path, tmp_path: Path) -> None:
    """By their names, before the ledger is read."""
    path = tmp_path / "invoice.pdf"
    path.write_text("x")
    done = run("reconcile", ledger, path)
    assert done.exit_code == 1
    assert "expected a file named .csv, .jsonl or .ndjson, packed or not" in done.stderr


def test_of_several_spaces_one_must_be_named(run: Run, tmp_path: Path, invoice: Path) -> None:
    """The error has the option."""
    ledger = tmp_path / "two.db"
    bodies = FOLDER / "bundle.json", FIXTURES / "specification" / "01-sms-mt-sent.xml"
    names = ("--provider", "infobip", "--provider", "skycore")
    assert run("ingest", ledger, *bodies, *names).exit_code == 0
    done = run("reconcile", ledger, invoice)
    assert done.exit_code == 1
    assert "say which: --space " in done.stderr
    assert run("reconcile", ledger, invoice, "--space", "infobip").exit_code == 3


def test_an_id_that_no_delivery_has_hides_numbers(run: Run, ledger: Path, invoice: Path) -> None:
    """Whose number is in it nobody knows; of an id of several fields one may be the recipient."""
    ids = ("01FC66621/447700900777", "msg-447700900778", "X/+44 7700 900779")
    rows = "".join(f"{one},1,EUR,1,delivered\n" for one in ids)
    invoice.write_text(CORRECT + rows + "X/447700900780,none,EUR,1,delivered\n")
    for option in ("--json", "--nl", "--csv"):
        told = run("reconcile", ledger, invoice, option).stdout
        assert "900" not in told
        assert "4477" not in told
    assert "447700900777" in run("reconcile", ledger, invoice, "--json", "--unmask").stdout


GERMAN = f"""message_id;price;currency;segments;status
{GONE};0,0100;EUR;1;DELIVERED
{FAILED};0,0185;EUR;2;UNDELIVERABLE
{REJECTED};0;EUR;0;REJECTED
{LATE};1e-2;eur;1;delivered
"""


def test_decimal_commas_are_read(run: Run, ledger: Path, invoice: Path) -> None:
    """Where they can't be anything else, without a word of it; the sums are exact."""
    invoice.write_text(GERMAN)
    done = run("reconcile", ledger, invoice, "--delimiter", ";", "--json")
    assert done.exit_code == 0, done.output
    (sums,) = json.loads(done.stdout)["totals"]["sums"]
    assert (sums["currency"], sums["billed"], sums["difference"]) == ("EUR", "0.0385", "0.0000")


@pytest.mark.parametrize(
    ("price", "options", "billed"),
    [
        ("1,234", ("--decimal", "comma"), "1.234 EUR"),
        ("1,234", ("--decimal", "point"), "1234 EUR"),
        ("1.234", ("--decimal", "comma"), "1234 EUR"),
        ("1.234", (), "1.234 EUR"),
        ("1.234,5", (), "1234.5 EUR"),
    ],
)
def test_what_a_comma_means_can_be_said(
    run: Run, ledger: Path, invoice: Path, price: str, options: tuple[str, ...], billed: str
) -> None:
    """For what could be read in two ways, and against what the ledger says."""
    invoice.write_text(f"id;price;currency\n{GONE};{price};EUR\n")
    options = (*options, "--delimiter", ";", "--until", "2020-01-01", "--nl")
    done = run("reconcile", ledger, invoice, *options)
    one = json.loads(done.stdout)
    assert (done.exit_code, one["kind"], one["billed"]) == (3, "price_differs", billed)


def test_a_number_of_json_has_a_point(run: Run, ledger: Path, tmp_path: Path) -> None:
    """Whatever --decimal says of texts."""
    path = tmp_path / "i.jsonl"
    path.write_text(f'{{"id": "{GONE}", "price": 1.234}}\n{{"id": "{LATE}", "price": "0,01"}}\n')
    for options in ((), ("--decimal", "comma")):
        words = ("--currency-is", "EUR", *options, "--until", "2020-01-01", "--nl")
        assert json.loads(run("reconcile", ledger, path, *words).stdout)["billed"] == "1.234 EUR"


def test_a_column_that_may_be_the_price_is_named(run: Run, ledger: Path, invoice: Path) -> None:
    """It is not taken for it; the option is printed as a shell takes it, and '' ends the hint."""
    invoice.write_text(f"id,Net amount,Units\n{GONE},5,9\n")
    options = ("--until", "2020-01-01")
    done = run("reconcile", ledger, invoice, *options)
    assert done.exit_code == 0
    assert done.stderr.splitlines()[1:] == [
        "unclear which column holds the price: give --price 'Net amount', or --price '' if none does",
        "unclear which column holds the segments: give --segments Units, or --segments '' if none does",
    ]
    said = run("reconcile", ledger, invoice, "--price", "", "--segments", "", *options)
    assert said.stderr.count("\n") == 1


def test_an_invoice_is_held_against_what_was_known_then(run: Run, tmp_path: Path) -> None:
    """As of a position or a time; a position that the log doesn't have is said."""
    ledger, invoice = tmp_path / "then.db", tmp_path / "i.csv"
    with Ledger(ledger) as opened:
        opened.record_many([sent("a"), delivered("a")])
    invoice.write_text("id\na\n")
    assert run("reconcile", ledger, invoice).exit_code == 0
    done = run("reconcile", ledger, invoice, "--as-of", 1, "--nl")
    one = json.loads(done.stdout)
    assert (one["kind"], one["ledger"]) == ("state_differs", "sent")
    early = run("reconcile", ledger, invoice, "--as-of", "2020-01-01", "--nl")
    assert json.loads(early.stdout)["kind"] == "unknown"
    assert "shows all of it" in run("reconcile", ledger, invoice, "--as-of", 99).stderr
    then = run("reconcile", ledger, invoice, "--as-of", 1, "--definitions", "then")
    assert then.exit_code == 3
