"""Sources: what files, folders and streams hold, and what is refused of it."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from postledger import Ledger
from postledger.cli import sources
from tests.cli import Run
from tests.samples import sent


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
        first = next(ledger.events(0))
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


def test_a_line_that_is_too_long_is_not_recorded_and_the_next_is(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is larger than any postback is named, and reading goes on after it."""
    monkeypatch.setattr(sources, "LARGEST_BODY", 400)
    lines = tmp_path / "x.jsonl"
    lines.write_bytes(b"<x>" + b"x" * 1000 + b'</x>\n\n{"body": "short"}\n')
    (tmp_path / "large.xml").write_bytes(b"x" * 500)
    done = run("ingest", tmp_path / "l.db", lines, tmp_path / "large.xml")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        f"{lines}:1: not recorded: a line of more than 400 bytes",
        f"{lines}:3: unreadable: the body is neither XML nor JSON nor a form; kept at position 1",
        f"{tmp_path}/large.xml: not recorded: larger than 400 bytes",
    ]


def test_a_row_of_an_export_may_be_of_any_length(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a ledger recorded another takes, however long base64 makes it."""
    monkeypatch.setattr(sources, "LARGEST_BODY", 400)
    body = b"\xff" * 1000
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.record(body)
    run("export", tmp_path / "a.db", tmp_path / "a.jsonl")
    assert run("ingest", tmp_path / "b.db", tmp_path / "a.jsonl").exit_code == 0
    stdin = (tmp_path / "a.jsonl").read_bytes()
    assert run("ingest", tmp_path / "c.db", "-", stdin=stdin).exit_code == 0
    for name in ("b.db", "c.db"):
        with Ledger(tmp_path / name) as ledger:
            assert [event.body for event in ledger.events(0) if event.kind == "receipt"] == [body]


def test_a_row_of_exactly_the_largest_length_is_one_row(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next line is not taken for its rest."""
    line = b'{"body": "' + b"x" * 100 + b'"}\n'
    (tmp_path / "a.jsonl").write_bytes(line + line)
    for longest in (len(line) - 2, len(line) - 1, len(line)):
        monkeypatch.setattr(sources, "LARGEST_BODY", longest)
        done = run("ingest", tmp_path / f"{longest}.db", tmp_path / "a.jsonl")
        assert (done.exit_code, done.stdout[:22]) == (0, "recorded 0, repeated 1")


ROW = '{"received_at": "2026-03-01T10:00:06Z", "body": "<POSTBACK/>"}'


def test_an_export_in_another_encoding_is_refused_whole(run: Run, tmp_path: Path) -> None:
    """The file and the line are named; nothing of it is recorded, and no ledger made for it."""
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        lines = tmp_path / f"{encoding}.jsonl"
        lines.write_bytes(f"{ROW}\n{ROW}\n".encode(encoding))
        done = run("ingest", tmp_path / "l.db", lines)
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 2)
        assert done.stderr.startswith(f"{lines}:1: not recorded: expected UTF-8, got UTF-")
        done = run("ingest", tmp_path / "l.db", "-", stdin=lines.read_bytes())
        assert (done.exit_code, done.stderr.count("\n")) == (1, 2)
    assert not (tmp_path / "l.db").exists()


def test_a_mark_of_byte_order_before_utf_8_is_passed_over(run: Run, tmp_path: Path) -> None:
    """Editors of one system write it; it is of the file, and not of the first line."""
    (tmp_path / "bom.jsonl").write_bytes(f"\ufeff{ROW}\n".encode())
    assert run("ingest", tmp_path / "l.db", tmp_path / "bom.jsonl").exit_code == 0
    assert run("ingest", tmp_path / "m.db", "-", stdin=f"\ufeff{ROW}\n".encode()).exit_code == 0
    for name in ("l.db", "m.db"):
        with Ledger(tmp_path / name) as ledger:
            assert next(ledger.events(0)).body == b"<POSTBACK/>"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"received_at": 1772359205, "body": "a"}', "received_at must be a time such as"),
        (b'{"received_at": "2026-03-01 10:00:06.5 UTC", "body": "a"}', "received_at must be"),
        (b'{"received_at": "2026-03-01T10:00:06Z", "body": {"a": 1}}', "body must be text, got {"),
        (b'{"received_at": "2026-03-01T10:00:06Z"}', "expected body or body_base64"),
        (b'{"body": "a", "body_base64": "YQ=="}', "got both"),
        (b'{"body": "a", "kind": "adoption"}', "kind must be receipt or statement, got 'adoption'"),
        (b'{"body": "a", "kind": ["receipt"]}', "kind must be receipt or statement"),
        (b'{"body": "a", "source": 5}', "source must be text, got 5"),
        (b'{"received_at": "2026-03-01T10:00:06Z", "body": "cut o', "expected a JSON object"),
        (b'{"body": "\xe9"}', "expected UTF-8, got byte 0xe9 at 10"),
    ],
)
def test_a_row_that_can_not_be_taken_is_no_body(
    run: Run, tmp_path: Path, line: bytes, why: str
) -> None:
    """It is refused with its file and line and exit 1; the other lines are recorded."""
    lines = tmp_path / "x.jsonl"
    lines.write_bytes(b'{"body": "<a/>"}\n' + line + b"\n")
    done = run("ingest", tmp_path / "l.db", lines)
    assert done.exit_code == 1
    (refused,) = (one for one in done.stderr.splitlines() if "not recorded" in one)
    assert refused.startswith(f"{lines}:2: not recorded: ")
    assert why in refused
    with Ledger(tmp_path / "l.db") as ledger:
        assert [event.body for event in ledger.events(0) if event.kind == "receipt"] == [b"<a/>"]
    alone = run("ingest", tmp_path / "m.db", "-", stdin=line)
    assert (alone.exit_code, alone.stderr.count("\n")) == (1, 2)


@pytest.mark.parametrize("text", [f"{ROW}\n{ROW}\n", f"[{ROW}, {ROW}]", f"\n [\n{ROW}]"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_export_under_another_name_is_no_body(
    run: Run, tmp_path: Path, text: str, encoding: str
) -> None:
    """Neither lines nor an array of rows is a postback, whatever the file is called."""
    (tmp_path / "x.json").write_bytes(text.encode(encoding))
    done = run("ingest", tmp_path / "l.db", tmp_path / "x.json")
    assert done.exit_code == 1
    assert "rows of an export, not a body; write one a line in a .jsonl file" in done.stderr
    assert not (tmp_path / "l.db").exists()


def test_a_provider_may_call_a_field_body(run: Run, tmp_path: Path) -> None:
    """A body with more in it than an export has is a body."""
    body = b'{"body": "STOP", "from": "15550100005"}'
    (tmp_path / "x.json").write_bytes(body)
    assert run("ingest", tmp_path / "l.db", tmp_path / "x.json").exit_code == 0
    with Ledger(tmp_path / "l.db") as ledger:
        assert next(ledger.events(0)).body == body


@pytest.mark.parametrize("name", ["l.db", "l.db-wal", "l.db-shm", "link.xml", "."])
def test_a_ledger_is_not_recorded_into_itself(run: Run, tmp_path: Path, name: str) -> None:
    """Named, through a link, or met in a folder with what SQLite keeps next to it."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record(sent("a"))
        (tmp_path / "link.xml").symlink_to(path)
        before = ledger.head()
        done = run("ingest", path, tmp_path / name)
        assert ledger.head() == before
    refused = done.stderr.splitlines()
    assert (done.exit_code, len(refused)) == (1, 4 if name == "." else 1)
    assert all("not recorded: a ledger, or another SQLite database" in line for line in refused)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_in_a_folder_is_named_and_not_waited_for(run: Run, tmp_path: Path) -> None:
    """The other files of the folder are recorded."""
    folder = tmp_path / "bodies"
    folder.mkdir()
    os.mkfifo(folder / "a.xml")
    os.mkfifo(folder / "b.jsonl")
    (folder / "c.xml").write_bytes(sent("a"))
    done = run("ingest", tmp_path / "l.db", folder)
    assert (done.exit_code, done.stdout.splitlines()[0][:10]) == (1, "recorded 1")
    assert done.stderr.splitlines() == [
        f"{folder}/{name}: not recorded: not a regular file; - reads from a pipe"
        for name in ("a.xml", "b.jsonl")
    ]


FORM = b"MessageSid=SM1&MessageStatus=delivered&To=%2B15550100018"
FORM_TYPE = "application/x-www-form-urlencoded"
HINT = (
    f"; if it is a form, say --content-type {FORM_TYPE}, or --query for the query string of a GET"
)


def test_a_form_is_read_as_one_once_it_is_said(run: Run, tmp_path: Path) -> None:
    """Where nothing says it, the remark says how to; then it is one, in a file, a line and stdin."""
    (tmp_path / "posted.txt").write_bytes(FORM)
    (tmp_path / "posted.jsonl").write_bytes(json.dumps({"body": FORM.decode()}).encode())
    (tmp_path / "bare.jsonl").write_bytes(FORM + b"\n")
    for number, (source, stdin) in enumerate(
        [("posted.txt", b""), ("posted.jsonl", b""), ("bare.jsonl", b""), ("-", FORM)]
    ):
        name = source if source == "-" else tmp_path / source
        path = tmp_path / f"{number}.db"
        done = run("ingest", path, name, "--provider", "twilio", stdin=stdin)
        assert "unreadable: the body is neither XML nor JSON nor a form" + HINT in done.stderr
        for options in (["--content-type", FORM_TYPE], ["--query"]):
            done = run("ingest", path, name, *options, stdin=stdin)
            assert (done.exit_code, done.stderr) == (0, "")
        with Ledger(path, readonly=True) as ledger:
            known = [one for one in ledger.events(0) if one.kind == "receipt"][1:]
            assert [(one.content_type, one.query) for one in known] == [
                (FORM_TYPE, False),
                (None, True),
            ]
            assert all((one.body, one.key) == (FORM, "SM1") for one in known)


@pytest.mark.parametrize(
    "body", [b"hello", b"a b=c", b"<a href=1", b"=", b"x: y=1\nz", b"a=1&" * 2000]
)
def test_what_is_no_form_is_not_taken_for_one(run: Run, tmp_path: Path, body: bytes) -> None:
    """The remark on any other text has no advice about forms."""
    (tmp_path / "a").write_bytes(body)
    done = run("ingest", tmp_path / "l.db", tmp_path / "a")
    assert "unreadable" in done.stderr
    assert "--content-type" not in done.stderr


def test_the_suffix_of_a_file_tells_what_its_body_is(run: Run, tmp_path: Path) -> None:
    """Of a query the string is taken, or that of the address; an option says more than a suffix."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.form").write_bytes(FORM)
    (folder / "b.query").write_bytes(FORM)
    (folder / "c.query").write_bytes(b"/twilio?" + FORM)
    (folder / "d.query").write_bytes(b"/twilio")
    done = run("ingest", tmp_path / "l.db", folder, "--provider", "twilio")
    assert done.exit_code == 1
    assert done.stdout.startswith("recorded 1, repeated 2")
    assert done.stderr == (
        f"{folder}/d.query: not recorded: expected a query in the body, got an address without one\n"
    )
    with Ledger(tmp_path / "l.db", readonly=True) as ledger:
        said = [(one.body, one.content_type, one.query) for one in ledger.events(0)]
    assert said == [(FORM, FORM_TYPE, False), (FORM, None, True), (FORM, None, True)]
    run("ingest", tmp_path / "m.db", folder / "b.query", "--content-type", FORM_TYPE)
    with Ledger(tmp_path / "m.db", readonly=True) as ledger:
        assert next(ledger.events(0)).content_type == FORM_TYPE


def test_what_a_row_says_of_its_body_stands(run: Run, tmp_path: Path) -> None:
    """Options are for rows that say neither a content type nor that it is a query."""
    rows = [
        {"body": "a=1", "content_type": "text/plain"},
        {"body": "a=1", "query": True},
        {"body": "a=1"},
    ]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = {}
    for name, options in (("a", ["--content-type", FORM_TYPE]), ("b", ["--query"])):
        run("ingest", tmp_path / f"{name}.db", tmp_path / "x.jsonl", *options)
        with Ledger(tmp_path / f"{name}.db", readonly=True) as ledger:
            events = [one for one in ledger.events(0) if one.kind == "receipt"]
        said[name] = [(one.content_type, one.query) for one in events]
    assert said["a"] == [("text/plain", False), (None, True), (FORM_TYPE, False)]
    assert said["b"] == [("text/plain", False), (None, True), (None, True)]


def test_tables_and_definitions_are_no_bodies(run: Run, tmp_path: Path) -> None:
    """They are named and not recorded, in a folder too, and what stands next to them is."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.xml").write_bytes(sent("a"))
    (folder / "samples.toml").write_text('name = "x"')
    (folder / "table.csv").write_text("id,body\n1,x\n")
    done = run("ingest", tmp_path / "l.db", folder)
    assert (done.exit_code, done.stdout.splitlines()[0][:10]) == (1, "recorded 1")
    assert done.stderr.splitlines() == [
        f"{folder}/samples.toml: not recorded: a TOML file, not a body",
        f"{folder}/table.csv: not recorded: a table, not a body; --body names the column that holds"
        " the bodies",
    ]
