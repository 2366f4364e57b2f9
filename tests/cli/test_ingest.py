"""``postledger ingest``: what is counted, named and noted."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger import Ledger
from postledger.cli.sources import _LIKE_A_FORM
from postledger.definitions.definitions import providers
from tests.cli import SAMPLES, Run
from tests.samples import NEWCOMER, delivered, sent


def test_ingest_prints_the_json_of_the_design(run: Run, tmp_path: Path) -> None:
    """The counts, and the anchor to keep."""
    done = run("ingest", tmp_path / "l.db", *SAMPLES, "--json")
    with Ledger(tmp_path / "l.db") as ledger:
        anchor = ledger.head()
    assert anchor.size == 12
    assert json.loads(done.stdout) == {
        "recorded": 10,
        "repeated": 1,
        "unrecognised": 0,
        "unreadable": 0,
        "unverified": 0,
        "anchor": str(anchor),
    }
    assert done.exit_code == 0


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
    assert (
        lines[3] == f"{folder}/e-new.xml: unrecognised: no vocabulary knows it; kept at position 6"
    )
    listed = run("events", tmp_path / "l.db", "--reading", "unreadable", "--nl").stdout.splitlines()
    assert [json.loads(line)["position"] for line in listed] == [2, 3, 4, 7]
    assert run("show", tmp_path / "l.db", "a").exit_code == 0


def test_many_bad_bodies_are_not_all_named(run: Run, tmp_path: Path) -> None:
    """After twenty lines the rest is counted, with the command that lists them."""
    lines = "\n".join(f"nonsense {number}" for number in range(30))
    done = run("ingest", tmp_path / "l.db", "-", stdin=b'{"body": "x"}\n' + lines.encode())
    assert done.stdout.startswith("recorded 0, repeated 0, unrecognised 0, unreadable 31")
    assert len(done.stderr.splitlines()) == 21
    assert done.stderr.splitlines()[-1] == "and 11 more: postledger events lists them"


def test_refused_rows_alone_make_no_ledger(run: Run, tmp_path: Path) -> None:
    """That is said: the next run is the one that decides by what the ledger reads."""
    done = run("ingest", tmp_path / "new.db", "-", "--provider", "plivo", stdin=b'{"body": 1}')
    assert done.exit_code == 1
    refused, none = done.stderr.splitlines()
    assert "not recorded: body must be text, got 1" in refused
    assert none == f"{tmp_path}/new.db: nothing to record, so no ledger was created"
    assert not (tmp_path / "new.db").exists()


def test_a_source_whose_vocabulary_is_not_in_force_is_named(run: Run, tmp_path: Path) -> None:
    """With the command that adds it, which then reads what was kept."""
    path, body = tmp_path / "l.db", tmp_path / "a.json"
    body.write_bytes(b'{"MessageUUID": "1", "Status": "sent", "To": "15550100001"}')
    done = run("ingest", path, body, "--source", "plivo")
    said = f"{body}: unrecognised: no vocabulary knows it; the ledger doesn't read by plivo, which ships"
    command = f"postledger replay {path} --provider plivo --adopt"
    assert done.stderr == f"{said}; to add it: {command}; kept at position 1\n"
    assert run(*command.split()[1:]).exit_code == 0
    assert json.loads(run("show", path, "1", "--json").stdout)["state"] == "sent"
    other = run("ingest", path, "-", "--source", "plivo", stdin=b'{"a": 1}')
    assert "--adopt" not in other.stderr


def test_only_the_given_vocabulary_is_read(run: Run, tmp_path: Path) -> None:
    """Without a chart by those that ship, so that nothing else must be given."""
    words, path = tmp_path / "newcomer.toml", tmp_path / "l.db"
    words.write_text(NEWCOMER)
    body = tmp_path / "a.xml"
    body.write_bytes(sent("a"))
    done = run("ingest", path, body, "--vocabulary", words, "--only")
    assert (done.exit_code, done.stdout[:38]) == (0, "recorded 0, repeated 0, unrecognised 1")
    with Ledger(path) as ledger:
        assert [one.name for one in ledger.definitions.vocabularies] == ["newcomer", "postledger"]


def test_a_mistyped_ledger_is_not_made(run: Run, tmp_path: Path) -> None:
    """Where there is nothing to record there is one line, exit 1, and no file."""
    (tmp_path / "folder").mkdir()
    done = run("ingest", tmp_path / "mistyped.db", tmp_path / "folder")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "nothing to record, so no ledger was created" in done.stderr
    assert run("ingest", tmp_path / "mistyped.db", tmp_path / "no.xml").exit_code == 1
    assert not (tmp_path / "mistyped.db").exists()


def test_nothing_new_is_no_failure(run: Run, samples: Path, tmp_path: Path) -> None:
    """A ledger that is there says where it stands; an empty file is no import."""
    (tmp_path / "quiet.jsonl").write_bytes(b"")
    done = run("ingest", samples, tmp_path / "quiet.jsonl")
    assert done.exit_code == 0
    assert done.stdout.startswith(
        "recorded 0, repeated 0, unrecognised 0, unreadable 0\nanchor 12:"
    )


def test_a_source_is_what_the_caller_says(run: Run, tmp_path: Path) -> None:
    """No line names its own, unless the caller trusts what lines name."""
    lines = tmp_path / "x.jsonl"
    lines.write_text('{"body": "1", "source": "stated"}\n{"body": "2"}\n')
    for options, sources in (
        ([], ["", ""]),
        (["--source", "mine"], ["mine", "mine"]),
        (["--sources"], ["stated", ""]),
        (["--sources", "--source", "mine"], ["stated", "mine"]),
    ):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.db"
        assert run("ingest", path, lines, *options).exit_code == 0
        with Ledger(path) as ledger:
            events = [event for event in ledger.events(0) if event.kind == "receipt"]
        assert [event.source for event in events] == sources


def test_a_statement_is_one_by_the_word_of_the_caller_alone(run: Run, tmp_path: Path) -> None:
    """A file can't state for the program; its line is kept as a receipt that nobody recognises."""
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.created("X-1", to="16503333058", source="shop")
    assert run("export", tmp_path / "a.db", tmp_path / "a.jsonl").exit_code == 0
    done = run("ingest", tmp_path / "b.db", tmp_path / "a.jsonl")
    assert done.stdout.startswith("recorded 0, repeated 0, unrecognised 1, unreadable 0")
    assert run("show", tmp_path / "b.db", "X-1").exit_code == 1
    done = run("ingest", tmp_path / "c.db", tmp_path / "a.jsonl", "--statements", "--sources")
    assert done.stdout.startswith("recorded 1")
    with Ledger(tmp_path / "c.db") as copy:
        event = next(copy.events(0))
        assert (event.kind, event.source, event.imported) == ("statement", "shop", True)
        assert copy.delivery("X-1").state == "created"
        assert copy.verify().ok


def test_an_unreadable_receipt_repeats_no_statement(run: Run, tmp_path: Path) -> None:
    """The same bytes are two events, whichever comes first."""
    lines = [
        '{"received_at": "2026-01-01T00:00:00Z", "kind": "statement", "body": "zz"}\n',
        '{"received_at": "2026-01-02T00:00:00Z", "kind": "receipt", "body": "zz"}\n',
    ]
    for name, order in (("a", lines), ("b", lines[::-1])):
        (tmp_path / f"{name}.jsonl").write_text("".join(order))
        done = run("ingest", tmp_path / f"{name}.db", tmp_path / f"{name}.jsonl", "--statements")
        assert done.stdout.startswith("recorded 0, repeated 0, unrecognised 0, unreadable 2")


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.parquet"])
def test_an_import_is_an_event(run: Run, samples: Path, tmp_path: Path, name: str) -> None:
    """It comes after what was taken, with the hash of the file, the count, and the origin if stated."""
    assert run("export", samples, tmp_path / name).exit_code == 0
    with Ledger(samples) as ledger:
        origin = ledger.head()
    assert run("ingest", tmp_path / "l.db", tmp_path / name, "--origin", origin).exit_code == 0
    assert run("ingest", tmp_path / "l.db", tmp_path / name).exit_code == 0
    sha256 = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    with Ledger(tmp_path / "l.db") as ledger:
        first, again = (event for event in ledger.events() if event.kind == "import")
        assert (first.position, again.position) == (12, 24)
        assert json.loads(first.body) == {
            "sha256": sha256,
            "receipts": 11,
            "origin": str(origin),
        }
        assert json.loads(again.body) == {"sha256": sha256, "receipts": 11, "origin": None}
        assert ledger.verify().ok


def test_lines_on_stdin_are_an_import_and_bodies_are_none(run: Run, tmp_path: Path) -> None:
    """The hash is that of what was read; files of one body each are nobody's log."""
    lines = b'{"body": "<a/>"}\n{"body": "<b/>"}\n'
    run("ingest", tmp_path / "l.db", "-", stdin=lines)
    run("ingest", tmp_path / "l.db", "-", stdin=b"<c/>")
    run("ingest", tmp_path / "l.db", *SAMPLES)
    with Ledger(tmp_path / "l.db") as ledger:
        (event,) = (event for event in ledger.events() if event.kind == "import")
    assert (event.position, json.loads(event.body)["receipts"]) == (3, 2)
    assert json.loads(event.body)["sha256"] == hashlib.sha256(lines).hexdigest()


def test_an_export_has_no_adoptions_and_imports(run: Run, samples: Path, tmp_path: Path) -> None:
    """They are of the ledger that they stand in: a copy of a copy has its own."""
    for source, copy in (("samples.db", "b"), ("b.db", "c")):
        run("replay", tmp_path / source, "--builtin", "--adopt")
        run("export", tmp_path / source, tmp_path / f"{copy}.jsonl")
        assert run("ingest", tmp_path / f"{copy}.db", tmp_path / f"{copy}.jsonl").exit_code == 0
    with Ledger(tmp_path / "c.db") as ledger:
        kinds = [event.kind for event in ledger.events()]
    assert kinds == ["adoption", *["receipt"] * 11, "import"]


def test_links_that_lead_in_circles_are_followed_once(run: Run, tmp_path: Path) -> None:
    """Each file of a folder is recorded once, whatever links to the folder stand in it."""
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    (folder / "a.xml").write_bytes(sent("a"))
    (folder / "deeper" / "b.xml").write_bytes(sent("b"))
    (folder / "self").symlink_to(folder)
    (folder / "deeper" / "up").symlink_to(folder)
    done = run("ingest", tmp_path / "l.db", folder)
    assert done.stdout.splitlines()[0] == "recorded 2, repeated 0, unrecognised 0, unreadable 0"


def test_providers_of_a_new_ledger(run: Run, tmp_path: Path, samples: Path) -> None:
    """--provider names what is read; an unknown name is refused, and an old ledger by others."""
    body, path = tmp_path / "one.xml", tmp_path / "new.db"
    body.write_bytes(sent("a"))
    assert run("ingest", path, body, "--provider", "skycore").exit_code == 0
    with Ledger(path) as ledger:
        assert [one.name for one in ledger.definitions.vocabularies] == ["postledger", "skycore"]
    refused = run("ingest", samples, body, "--provider", "skycore")
    assert refused.exit_code == 1
    assert "lacks sinch 1" in refused.stderr
    unknown = run("ingest", path, body, "--provider", "nobody")
    assert unknown.exit_code == 2
    assert f"unknown provider 'nobody': expected {', '.join(providers())}" in unknown.stderr
    assert run("ingest", path, body, "--provider", "skycore", "--only").exit_code == 2


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), min_size=1))
def test_what_an_encoder_writes_is_like_a_form(pairs: list[tuple[str, str]]) -> None:
    """So the advice on forms is given for any of them, with any names and texts."""
    assert _LIKE_A_FORM.fullmatch(urlencode(pairs).encode())


def test_a_remark_says_which_entry_nearly_fits_and_which_member(run: Run, tmp_path: Path) -> None:
    """What the log says of an event, ingest says: the problem, and of a bundle the member."""
    new = b'{"id": "1", "to": "15550100001"}'
    (tmp_path / "a.json").write_bytes(
        b'[{"MessageUUID": "1", "Status": "sent", "To": "15550100001"}, %s]' % new
    )
    (tmp_path / "b.xml").write_bytes(sent("a", TRACKINGID=""))
    path = tmp_path / "l.db"
    files = (tmp_path / "a.json", tmp_path / "b.xml")
    done = run("ingest", path, *files, "--provider", "plivo", "--provider", "skycore")
    with Ledger(path, readonly=True) as ledger:
        *_, known, unknown, lacking = ledger.events(0)
    assert (known.reading, unknown.member) == ("recognised", 1)
    assert "fits, but tracking_id is missing" in (lacking.problem or "")
    assert done.stderr.splitlines() == [
        f"{tmp_path}/a.json: unrecognised: no vocabulary knows it; kept at position 1.1",
        f"{tmp_path}/b.xml: unrecognised: {lacking.problem}; kept at position 2",
    ]
