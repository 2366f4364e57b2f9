"""Foreign logs: each row is recorded as it was received, or named; an interrupted run goes on."""

from __future__ import annotations

import base64
import csv
import gzip
import json
import shutil
import tempfile
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Event, Ledger
from postledger.cli.foreign import Foreign
from postledger.cli.sources import Found
from postledger.log.event import Kind
from tests.cli import Run
from tests.samples import delivered, failed, sent

KEEP = "--keep-unreadable"


def csv_of(path: Path, *rows: tuple[object, ...]) -> Path:
    """A file of CSV; the first row is the header."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows(rows)
    return path


def jsonl_of(path: Path, *rows: object) -> Path:
    """A file of JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def receipts(path: Path) -> list[Event]:
    """The receipts of a ledger."""
    with Ledger(path, readonly=True) as ledger:
        return [event for event in ledger.events() if event.kind == "receipt"]


def imports(path: Path) -> list[dict[str, object]]:
    """What a ledger states of imports."""
    with Ledger(path, readonly=True) as ledger:
        return [json.loads(event.body) for event in ledger.events() if event.kind == "import"]


def test_a_table_of_csv_is_recorded_as_received(run: Run, tmp_path: Path) -> None:
    """Byte for byte, with the time that it states, which is marked as stated."""
    odd = b'<POSTBACK>\r\n  "caf\xe9", &amp;\n</POSTBACK>'
    rows = [
        ("id", "at", "payload"),
        (1, 1772359205, delivered("a").decode()),
        (2, "2026-03-01 11:00:06+01", odd.decode("utf-8", "surrogateescape")),
    ]
    log = csv_of(tmp_path / "x.csv", *rows)
    path = tmp_path / "l.db"
    fields = ("--source", "mine", "--body", "payload", "--received-at", "at")
    done = run("ingest", path, log, *fields, "--content-type", "text/xml")
    assert (done.exit_code, done.stdout[:25]) == (0, "recorded 1, repeated 0, u")
    first, second = receipts(path)
    assert (first.body, second.body) == (delivered("a"), odd)
    assert first.received_at.isoformat() == "2026-03-01T10:00:05+00:00"
    assert second.received_at.isoformat() == "2026-03-01T10:00:06+00:00"
    for event in (first, second):
        assert (event.imported, event.source, event.sender) == (True, "mine", "")
        assert (event.content_type, event.query) == ("text/xml", False)


def test_an_access_log_of_json_is_recorded_by_paths(run: Run, tmp_path: Path) -> None:
    """Nested fields, a field of content types, packed; no line sets kind, source or sender."""
    row = {"request": {"body": sent("a").decode(), "type": "text/xml"}, "t": {"ms": 1772359205123}}
    claims = {"kind": "statement", "source": "other", "sender": "hmac", "query": True}
    other = {"request": {"body": delivered("a").decode()}, "t": {"ms": 1772359206000}, **claims}
    plain = jsonl_of(tmp_path / "x.jsonl", row, other)
    log = tmp_path / "y.jsonl.gz"
    log.write_bytes(gzip.compress(plain.read_bytes()))
    path = tmp_path / "l.db"
    fields = ("--body", "request.body", "--received-at", "t/ms")
    done = run("ingest", path, log, *fields, "--content-type-field", "request/type")
    assert (done.exit_code, done.stdout[:11]) == (0, "recorded 2,")
    first, second = receipts(path)
    assert first.received_at.isoformat() == "2026-03-01T10:00:05.123000+00:00"
    assert (first.content_type, second.content_type) == ("text/xml", None)
    assert (second.kind, second.source, second.sender, second.query) == ("receipt", "", "", False)
    (said,) = imports(path)
    assert (said["receipts"], said["through"], said["origin"]) == (2, 2, None)
    assert said["mapping"] == {
        "body": "request.body",
        "source": "",
        "received_at": "t/ms",
        "content_type_field": "request/type",
    }


def test_rows_that_cannot_be_taken_are_named_and_the_rest_recorded(
    run: Run, tmp_path: Path
) -> None:
    """By file and line, each with what is wrong; exit 1."""
    body = sent("a").decode()
    log = jsonl_of(
        tmp_path / "x.jsonl",
        {"body": body, "at": 1772359205},
        {"body": body},
        {"body": "", "at": 1772359205},
        {"at": 1772359205},
        {"body": {"code": "N201"}, "at": 1772359205},
        {"body": body, "at": "10:00"},
        {"body": "\ud800", "at": 1772359205},
        {"body": body, "at": 1772359206},
    )
    path = tmp_path / "l.db"
    done = run("ingest", path, log, "--body", "body", "--received-at", "at")
    assert done.exit_code == 1
    assert done.stdout.startswith("recorded 1, repeated 1, unrecognised 0, unreadable 0")
    assert [line.removeprefix(f"{log}:") for line in done.stderr.splitlines()] == [
        "2: not recorded: at: expected a time, got None",
        "3: not recorded: expected a body in body, got none",
        "4: not recorded: expected a body in body, got none",
        '5: not recorded: body must be the text that was received, got {"code": "N201"}',
        "6: not recorded: at: expected a time such as 2026-11-05T14:30:00Z, got '10:00'",
        "7: not recorded: body must be whole characters, got half of one (a lone surrogate)",
    ]
    again = run("ingest", path, log, "--body", "body", "--received-at", "at")
    assert (again.exit_code, len(again.stderr.splitlines())) == (1, 7)
    assert len(receipts(path)) == 2


def test_a_missing_field_is_refused_before_anything_is_recorded(run: Run, tmp_path: Path) -> None:
    """Of the second file too."""
    good = csv_of(tmp_path / "a.csv", ("body", "at"), (sent("a").decode(), 1772359205))
    bad = csv_of(tmp_path / "b.csv", ("text", "at"), (sent("a").decode(), 1772359205))
    path = tmp_path / "l.db"
    done = run("ingest", path, good, bad, "--body", "body")
    assert (done.exit_code, done.stderr) == (1, f"Error: {bad}: no field body; it has: text, at\n")
    assert not path.exists()
    done = run("ingest", path, good, tmp_path / "c.csv", "--body", "body")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert not path.exists()


@pytest.mark.parametrize("prefix", ["", "?", "/callback?", "https://example.org/callback?"])
def test_queries_of_get_callbacks_are_recorded(run: Run, tmp_path: Path, prefix: str) -> None:
    """The string alone, or the address that was called."""
    log = csv_of(tmp_path / "x.csv", ("uri",), (f"{prefix}id=1&to=%2B1555",), ("/callback",))
    path = tmp_path / "l.db"
    done = run("ingest", path, log, "--body", "uri", "--query")
    assert done.exit_code == 1
    (event,) = receipts(path)
    assert (event.body, event.query, event.imported) == (b"id=1&to=%2B1555", True, False)
    assert f"{log}:3: not recorded: expected a query in uri, got an address" in done.stderr


def test_request_lines_of_get_callbacks_are_recorded(run: Run, tmp_path: Path) -> None:
    """What most access logs hold: the query of the address; other methods aren't callbacks by query."""
    lines = ("GET /dlr?type=8&id=1 HTTP/1.1", "POST /dlr?id=2 HTTP/1.1", "GET /dlr HTTP/2")
    log = csv_of(tmp_path / "x.csv", ("request",), *((line,) for line in lines))
    path = tmp_path / "l.db"
    done = run("ingest", path, log, "--body", "request", "--query")
    assert [event.body for event in receipts(path)] == [b"type=8&id=1"]
    assert done.stderr.splitlines()[:2] == [
        f"{log}:3: not recorded: expected a query string, an address or the request line of a GET"
        " in request, got 'POST /dlr?id=2 HTTP/1.1'",
        f"{log}:4: not recorded: expected a query in request, got an address without one",
    ]


@pytest.mark.parametrize(
    "told",
    ["GET /dlr?id=1", "GET  /dlr?id=1 HTTP/1.1", "get /dlr?id=1 HTTP/1.1", "/dlr?id=1 HTTP/1.1",
     "id=1&text=so it is", "/dlr?id=1#top", "id=1#", "GET id=1 HTTP/1.1"],
)  # fmt: skip
def test_what_can_not_stand_in_a_query_is_refused(run: Run, tmp_path: Path, told: str) -> None:
    """White space and ``#``: nothing is cut off, and no name of a field is made up."""
    log = csv_of(tmp_path / "x.csv", ("uri",), (told,))
    done = run("ingest", tmp_path / "l.db", log, "--body", "uri", "--query")
    assert (done.exit_code, (tmp_path / "l.db").exists()) == (1, False)
    assert "not recorded: expected a query string, an address or the request line" in done.stderr


def test_bodies_in_base64_are_recorded_as_bytes(run: Run, tmp_path: Path) -> None:
    """What is not base64 is refused."""
    body = bytes(range(256))
    log = csv_of(tmp_path / "x.csv", ("b",), (base64.b64encode(body).decode(),), ("n/a!",))
    path = tmp_path / "l.db"
    done = run("ingest", path, log, "--body", "b", "--base64", KEEP)
    assert [event.body for event in receipts(path)] == [body]
    assert f"{log}:3: not recorded: b must be base64: " in done.stderr


def test_options_that_contradict_each_other_are_usage_errors(run: Run, tmp_path: Path) -> None:
    """Nothing is left out in silence."""
    log = csv_of(tmp_path / "x.csv", ("b",), ("x",))
    for words in (
        ["--received-at", "at"],
        ["--content-type", "text/xml", "--query"],
        ["--body", "b", "--sources"],
        [KEEP],
        ["--body", "b", "--statements"],
        ["--body", "b", "--tz", "UTC"],
        ["--body", "b", "--delimiter", ";;"],
        ["--body", "b", "--received-at", "b", "--received-format", "unix"],
    ):
        assert run("ingest", tmp_path / "l.db", log, *words).exit_code == 2
    assert not (tmp_path / "l.db").exists()
    tabs = tmp_path / "y.csv"
    tabs.write_text("a\tb\n1\tx\n")
    said = ("--body", "b", "--delimiter", "tab", KEEP)
    assert run("ingest", tmp_path / "l.db", tabs, *said).exit_code == 0


def test_a_log_is_recorded_once_by_the_same_command(run: Run, tmp_path: Path) -> None:
    """Under another name and within one call too; other fields are another reading of it."""
    log = csv_of(tmp_path / "x.csv", ("b", "c"), (sent("a").decode(), failed("a").decode()))
    shutil.copy(log, tmp_path / "same.csv")
    path = tmp_path / "l.db"
    assert run("ingest", path, log, log, "--body", "b").exit_code == 0
    done = run("ingest", path, tmp_path / "same.csv", "--body", "b")
    assert done.stdout.startswith("recorded 0, repeated 0")
    assert done.stderr == f"{tmp_path}/same.csv: recorded before up to line 2\n"
    assert len(receipts(path)) == 1
    assert run("ingest", path, log, "--body", "c").stdout.startswith("recorded 1")
    assert run("ingest", path, log, "--body", "b", "--source", "s").stdout.startswith(
        "recorded 0, r"
    )
    assert [event.body for event in receipts(path)] == [sent("a"), failed("a"), sent("a")]


def test_a_damaged_end_is_named_and_what_came_before_recorded(run: Run, tmp_path: Path) -> None:
    """The whole file, once it is there, is another one."""
    plain = jsonl_of(tmp_path / "x.jsonl", *({"b": f"{n}" * 50_000} for n in range(3)))
    whole = gzip.compress(plain.read_bytes())
    log = tmp_path / "x.jsonl.gz"
    log.write_bytes(whole[:-12])
    done = run("ingest", tmp_path / "l.db", log, "--body", "b", KEEP)
    assert done.exit_code == 1
    assert f"{log}: not recorded: the packing is damaged" in done.stderr
    assert len(receipts(tmp_path / "l.db")) == 2


# --- interrupted ---

KEYS = st.lists(st.sampled_from("abc?"), min_size=1, max_size=12)


def _run(ledger: Ledger, foreign: Foreign, log: Path, batches: int | None = None) -> None:
    """Record a log in batches of two, or only the first of them."""
    (source,) = foreign.logs([str(log)], ledger.path)
    found = ((one, Kind.RECEIPT) for one in source if isinstance(one, Found))
    for _ in islice(ledger._batches(found, 2, source.note), batches):
        pass


def _events(ledger: Ledger) -> list[tuple[str, bytes, str | None]]:
    return [
        (event.kind, event.body, event.received_at.isoformat() if event.imported else None)
        for event in ledger.events(after=0)
    ]


@settings(max_examples=25)
@given(KEYS, st.lists(st.integers(0, 3), max_size=4))
def test_an_interrupted_run_goes_on_where_it_stopped(keys: list[str], stops: list[int]) -> None:
    """After however many interruptions: the events of one run, no more, no fewer; equal rows too."""
    foreign = Foreign("b", {"body": "b"}, "at")
    with tempfile.TemporaryDirectory() as folder:
        rows = [("b", "at"), *((k if k == "?" else sent(k).decode(), 1772359205) for k in keys)]
        # A row that is refused stands between the others.
        log = csv_of(Path(folder) / "x.csv", *rows[:2], ("", ""), *rows[2:])
        with Ledger(Path(folder) / "one.db") as one, Ledger(Path(folder) / "many.db") as many:
            _run(one, foreign, log)
            for batches in stops:
                _run(many, foreign, log, batches)
            _run(many, foreign, log)
            assert _events(many) == _events(one)
            assert len([1 for kind, *_ in _events(one) if kind == "receipt"]) == len(keys)


def forms_of(path: Path, count: int, *, readable: int | None = None) -> Path:
    """A table of forms that nothing says to be forms; the row ``readable`` is XML."""
    bodies = [f"MessageSid=SM{number}&MessageStatus=delivered" for number in range(count)]
    if readable is not None:
        bodies[readable] = delivered("a").decode()
    return csv_of(path, ("payload",), *((body,) for body in bodies))


@pytest.mark.parametrize("exists", [False, True])
def test_a_table_that_cannot_be_read_is_refused(run: Run, tmp_path: Path, *, exists: bool) -> None:
    """Before anything is recorded, with what to say: the log would keep the rows for good."""
    path, log = tmp_path / "l.db", forms_of(tmp_path / "x.csv", 150)
    if exists:
        Ledger(path).close()
    done = run("ingest", path, log, "--body", "payload")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "x.csv:2: none of the first 100 bodies can be read" in done.stderr
    assert "--content-type application/x-www-form-urlencoded" in done.stderr
    assert "--keep-unreadable" in done.stderr
    assert path.exists() is exists
    assert not exists or not imports(path)
    said = ("--content-type", "application/x-www-form-urlencoded", "--provider", "twilio")
    if not exists:
        done = run("ingest", path, log, "--body", "payload", *said)
        assert done.stdout.startswith("recorded 150, repeated 0, unrecognised 0, unreadable 0\n")


@pytest.mark.parametrize(("readable", "option"), [(99, ()), (None, ("--keep-unreadable",))])
def test_a_table_of_which_a_body_can_be_read_is_recorded(
    run: Run, tmp_path: Path, readable: int | None, option: tuple[str, ...]
) -> None:
    """Or where the option says so; the option is nothing that the import notes of how it was read."""
    path, log = tmp_path / "l.db", forms_of(tmp_path / "x.csv", 120, readable=readable)
    done = run("ingest", path, log, "--body", "payload", *option)
    assert (done.exit_code, len(receipts(path))) == (0, 120)
    again = run("ingest", path, log, "--body", "payload")
    assert again.stdout.startswith("recorded 0, repeated 0, unrecognised 0, unreadable 0\n")
    assert f"recorded before up to line {imports(path)[-1]['through']}" in again.stderr


def test_an_interrupted_run_says_how_far_it_came(run: Run, tmp_path: Path) -> None:
    """The same command then goes on after that line."""
    rows = [("payload",), *((delivered(f"k{number}").decode(),) for number in range(12_000))]
    path, log = tmp_path / "l.db", csv_of(tmp_path / "x.csv", *rows)
    seen = iter(range(10**6))

    def interrupted(*_: object) -> None:
        if next(seen) == 9_500:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("postledger.cli.ingest._count", interrupted)
        done = run("ingest", path, log, "--body", "payload")
    assert done.exit_code == 1
    (line,) = [line for line in done.stderr.splitlines() if "run the same command" in line]
    through = int(line.split(":")[-2])
    assert f"x.csv:{through}: recorded up to this line" in line
    assert (
        f"recorded before up to line {imports(path)[-1]['through']}"
        in run("ingest", path, log, "--body", "payload").stderr
    )
    assert len(receipts(path)) == 12_000
