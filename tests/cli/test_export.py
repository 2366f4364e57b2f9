"""``postledger export``, and a ledger from what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

from postledger import UNVERIFIED, Ledger
from tests.cli import Run
from tests.conftest import FIXTURES
from tests.samples import DEGRADED, sent
from tests.states import rows
from tests.stores import both_stores, in_file, tamper

pytestmark = both_stores

BUNDLE = (FIXTURES / "generations/g0/bundle.xml").read_bytes()


def test_an_export_can_be_piped(run: Run, tmp_path: Path, filled: Path) -> None:
    """``export -`` writes to stdout what ``ingest -`` reads."""
    lines = run("export", filled, "-").stdout_bytes
    assert [json.loads(line)["position"] for line in lines.splitlines()] == list(range(1, 12))
    assert run("ingest", tmp_path / "b.db", "-", stdin=lines).exit_code == 0
    assert run("show", tmp_path / "b.db", DEGRADED).exit_code == 0
    later = run("export", filled, "-", "--after", 9).stdout_bytes
    assert [json.loads(line)["position"] for line in later.splitlines()] == [10, 11]


@pytest.mark.parametrize("name", ["l.jsonl", "l.jsonl.gz", "l.ndjson.zst", "l.parquet"])
def test_each_form_of_file_comes_back(
    run: Run, tmp_path: Path, specification: list[bytes], name: str
) -> None:
    """JSON Lines, packed with gzip or zstd, and Parquet carry the same log."""
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.record_many([*specification, b"\xff\x00", BUNDLE])
        ledger.created("X-1", to="1")
        expected = rows(ledger)
    done = run("export", tmp_path / "a.db", tmp_path / name)
    assert (done.exit_code, done.stderr.startswith("14 events, anchor 15:")) == (0, True)
    assert run("ingest", tmp_path / "b.db", tmp_path / name, "--statements").exit_code == 0
    with Ledger(tmp_path / "b.db", readonly=True) as copy:
        assert rows(copy) == expected
        assert copy.verify().ok


@in_file
@pytest.mark.parametrize("name", ["l.jsonl", "l.parquet"])
def test_an_import_verifies_nothing(run: Run, tmp_path: Path, name: str) -> None:
    """What was unverified stays so; no line makes this program claim a check; a query stays one."""
    query = urlencode({"xml": sent("q")}).encode()
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.record(sent("forged"), sender=UNVERIFIED)
        ledger.record(sent("checked"), sender="hmac")
        ledger.record(query, query=True)
        ledger.record(sent("later"), sender=UNVERIFIED)
        ledger.accept(4, 4)
    assert run("export", tmp_path / "a.db", tmp_path / name).exit_code == 0
    done = run("ingest", tmp_path / "b.db", tmp_path / name, "--sources", "--statements")
    assert done.stdout.splitlines()[0] == (
        "recorded 3, repeated 0, unrecognised 0, unreadable 0, unverified 2"
    )
    assert done.stderr.splitlines()[0] == (
        f"{tmp_path / name}:1: unverified: its line says so; kept at position 1"
    )
    with Ledger(tmp_path / "b.db", readonly=True) as copy:
        events = [event for event in copy.events(0) if event.kind == "receipt"]
        assert [event.sender for event in events] == ["unverified", "", "", "unverified", ""]
        assert [event.query for event in events] == [False, False, True, False, False]
        keys = {delivery.tracking_id for delivery in copy.deliveries()}
        assert keys == {"checked", "q", "later"}
        assert copy.verify().ok


def test_exports_of_one_log_are_the_same_file(run: Run, tmp_path: Path, filled: Path) -> None:
    """Packed ones too: they say neither when they were made nor under which name."""
    for name in ("one.jsonl.gz", "two.jsonl.gz"):
        assert run("export", filled, tmp_path / name).exit_code == 0
    one, two = ((tmp_path / name).read_bytes() for name in ("one.jsonl.gz", "two.jsonl.gz"))
    assert one == two
    assert b"jsonl" not in one


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.parquet"])
def test_an_export_that_fails_leaves_what_was_there(
    run: Run, tmp_path: Path, filled: Path, name: str
) -> None:
    """Half a log would pass for a whole one."""
    tamper(filled, "UPDATE events SET leaf = ? WHERE position = 9", b"0")
    target = tmp_path / name
    assert run("export", filled, target).exit_code == 1
    assert not target.exists()
    target.write_bytes(b"before")
    assert run("export", filled, target).exit_code == 1
    assert target.read_bytes() == b"before"
    assert {path.name for path in tmp_path.iterdir() if "a.db" not in path.name} == {name}


@in_file
def test_an_export_never_takes_the_place_of_a_ledger(
    run: Run, tmp_path: Path, filled: Path
) -> None:
    """Not under any name that leads to it."""
    (tmp_path / "l.jsonl").symlink_to(filled)
    done = run("export", filled, tmp_path / "l.jsonl")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "name another file" in done.stderr
    assert run("verify", filled).exit_code == 0
    simulated = run("simulate", tmp_path / "l.jsonl", "--messages", 2)
    assert (simulated.exit_code, run("verify", filled).exit_code) == (1, 0)
