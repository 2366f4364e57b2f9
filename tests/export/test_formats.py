"""Interchange: a log as a file, and a ledger from that file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from postledger import Ledger, PostledgerError, Receipt
from postledger.export import files as packed
from postledger.export.formats import exported, line_of, read_parquet, receipt_of
from postledger.log.schema import guards
from tests import strategies
from tests.conftest import FIXTURES, ledger_of
from tests.samples import DEGRADED
from tests.states import rows
from tests.test_cli import Run

BUNDLE = (FIXTURES / "generations/g0/bundle.xml").read_bytes()


@pytest.fixture
def filled(tmp_path: Path, specification: list[bytes]) -> Path:
    """A ledger of the samples, named ``a.db``."""
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.record_many(specification)
    return ledger.path


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(strategies.receipts(), st.just(Receipt(BUNDLE))), max_size=8))
def test_a_ledger_of_an_export_says_the_same(receipts: list[Receipt]) -> None:
    """Export and ingest: equal rows, findings, times of reception, bodies and positions."""
    with ledger_of(receipts) as ledger:
        lines = [line_of(event) for event in exported(ledger.events())]
        with ledger_of(filter(None, map(receipt_of, lines))) as copy:
            assert rows(copy) == rows(ledger)
            pairs = list(zip(ledger.events(), copy.events(), strict=True))
    for one, other in pairs:
        assert (one.position, one.received_at, one.occurred_at) == (
            other.position,
            other.received_at,
            other.occurred_at,
        )
        assert (one.body, one.content_type, one.repeats) == (
            other.body,
            other.content_type,
            other.repeats,
        )
        assert (one.imported, other.imported) == (False, True)


@pytest.mark.parametrize("name", ["l.jsonl", "l.jsonl.gz", "l.ndjson.zst", "l.parquet"])
def test_each_form_of_file_comes_back(
    run: Run, tmp_path: Path, specification: list[bytes], name: str
) -> None:
    """JSON Lines, packed with gzip or zstd, and Parquet carry the same log."""
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.record_many([*specification, b"\xff\x00", BUNDLE])
        expected = rows(ledger)
    done = run("export", tmp_path / "a.db", tmp_path / name)
    assert (done.exit_code, done.stderr.startswith("13 receipts, anchor ")) == (0, True)
    assert run("ingest", tmp_path / "b.db", tmp_path / name).exit_code == 0
    with Ledger(tmp_path / "b.db", readonly=True) as copy:
        assert rows(copy) == expected
        assert copy.verify().ok


def test_an_export_can_be_piped(run: Run, tmp_path: Path, filled: Path) -> None:
    """``export -`` writes to stdout what ``ingest -`` reads."""
    lines = run("export", filled, "-").stdout_bytes
    assert [json.loads(line)["position"] for line in lines.splitlines()] == list(range(1, 12))
    assert run("ingest", tmp_path / "b.db", "-", stdin=lines).exit_code == 0
    assert run("show", tmp_path / "b.db", DEGRADED).exit_code == 0
    later = run("export", filled, "-", "--after", 9).stdout_bytes
    assert [json.loads(line)["position"] for line in later.splitlines()] == [10, 11]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"1",
        b'{"content_type": "text/xml"}',
        b'{"body": 1}',
        b'{"body": "a", "content_type": 1}',
        b'{"body": "a", "content_type": "\\ud800"}',
        b'{"body": "\\ud800"}',
        b'{"body": "a", "received_at": "soon"}',
        b'{"body": "a", "received_at": 5}',
        b'{"body": "a", "received_at": "0001-01-01T00:00:00+14:00"}',
        b'{"body_base64": "*"}',
        b"\xff",
    ],
)
def test_a_line_that_describes_no_receipt_is_none(line: bytes) -> None:
    """Nothing is made up for a line that lacks something."""
    assert receipt_of(line) is None


def test_a_line_without_a_time_of_reception_is_not_imported() -> None:
    """A time that nobody states is that of the recording."""
    assert receipt_of(b'{"body": "a"}') == Receipt(b"a", None, None)


def test_a_file_that_is_no_parquet_is_told(run: Run, tmp_path: Path) -> None:
    """Something else under the name of Parquet is named with the reason."""
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(PostledgerError, match=r"no Parquet file of an export"):
        list(read_parquet(tmp_path / "x.parquet"))
    done = run("ingest", tmp_path / "l.db", tmp_path / "x.parquet")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"body": pa.array(["<a/>"])}, "its column body is string"),
        ({"body": pa.array([None], pa.binary())}, "a row has no body"),
        (
            {"body": pa.array([b"a"]), "received_at": pa.array([0], pa.timestamp("us"))},
            "received_at is",
        ),
        (
            {"body": pa.array([b"a"]), "received_at": pa.array(["2020-01-01"])},
            "received_at is string",
        ),
        ({"body": pa.array([b"a"]), "content_type": pa.array([5])}, "content_type is int64"),
        (
            {"body": pa.array([b"a"]), "received_at": pa.array([2**62], pa.timestamp("us", "UTC"))},
            "no Parquet file of an export",
        ),
        ({}, "it has no columns body"),
    ],
)
def test_a_parquet_of_something_else_is_told(
    run: Run, tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    """Columns of other types, values that are none: one line, and nothing of it is recorded."""
    nothing = {"received_at": pa.nulls(1), "content_type": pa.nulls(1)}
    parquet.write_table(pa.table({**nothing, **columns}), tmp_path / "x.parquet")
    done = run("ingest", tmp_path / "l.db", tmp_path / "x.parquet")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert told in done.stderr
    with Ledger(tmp_path / "l.db") as ledger:
        assert ledger.head()[0] == 0


def test_a_parquet_with_two_columns_of_a_name_is_told(run: Run, tmp_path: Path) -> None:
    """Which of them would be meant?"""
    bodies = pa.array([b"a"])
    columns = [pa.nulls(1), pa.nulls(1), bodies, bodies]
    names = ["received_at", "content_type", "body", "body"]
    parquet.write_table(pa.table(columns, names=names), tmp_path / "x.parquet")
    done = run("ingest", tmp_path / "l.db", tmp_path / "x.parquet")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "it has 2 columns body" in done.stderr


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_an_export_keeps_the_mode_of_the_file_and_follows_a_link(
    run: Run, tmp_path: Path, filled: Path, suffix: str
) -> None:
    """What others may not read they may not read afterwards."""
    target = tmp_path / f"{'n' * 200}{suffix}"
    target.write_bytes(b"before")
    target.chmod(0o600)
    link = tmp_path / f"link{suffix}"
    link.symlink_to(target)
    assert run("export", filled, link).exit_code == 0
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    assert run("ingest", tmp_path / "b.db", link).exit_code == 0
    with Ledger(tmp_path / "b.db") as copy:
        assert copy.delivery(DEGRADED).state == "delivered"


def test_exports_of_one_log_are_the_same_file(run: Run, tmp_path: Path, filled: Path) -> None:
    """Packed ones too: they say neither when they were made nor under which name."""
    for name in ("one.jsonl.gz", "two.jsonl.gz"):
        assert run("export", filled, tmp_path / name).exit_code == 0
    one, two = ((tmp_path / name).read_bytes() for name in ("one.jsonl.gz", "two.jsonl.gz"))
    assert one == two
    assert b"jsonl" not in one


def test_what_an_export_can_not_take_the_place_of_is_written_to(
    run: Run, tmp_path: Path, filled: Path
) -> None:
    """A device stays one."""
    device = tmp_path / "device.jsonl"
    device.symlink_to("/dev/null")
    assert run("export", filled, device).exit_code == 0
    assert device.is_symlink()


def test_an_empty_column_of_a_parquet_is_no_fault(tmp_path: Path) -> None:
    """Another program may know neither when a body came nor of what type it was."""
    columns = {"received_at": pa.nulls(1), "content_type": pa.nulls(1), "body": pa.array([b"a"])}
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    assert list(read_parquet(tmp_path / "x.parquet")) == [Receipt(b"a", None, None)]


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.parquet"])
def test_an_export_that_fails_leaves_what_was_there(
    run: Run, tmp_path: Path, filled: Path, name: str
) -> None:
    """Half a log would pass for a whole one."""
    with Ledger(filled) as ledger, ledger._session.write() as reader:
        reader.log.db.execute("DROP TRIGGER events_no_update")
        reader.log.db.execute("UPDATE events SET fields = '[]' WHERE position = 9")
        reader.log.db.execute(guards()["events_no_update"])
    target = tmp_path / name
    assert run("export", filled, target).exit_code == 1
    assert not target.exists()
    target.write_bytes(b"before")
    assert run("export", filled, target).exit_code == 1
    assert target.read_bytes() == b"before"
    assert {path.name for path in tmp_path.iterdir() if "a.db" not in path.name} == {name}


def test_a_broken_zstd_file_is_told(run: Run, tmp_path: Path) -> None:
    """A damaged archive is one line, not a traceback."""
    (tmp_path / "x.jsonl.zst").write_bytes(b"(\xb5/\xfd not really")
    done = run("ingest", tmp_path / "l.db", tmp_path / "x.jsonl.zst")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)


def test_without_the_extra_the_line_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra is named with the command that installs it."""

    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(packed, "import_module", missing)
    with pytest.raises(PostledgerError, match=r"pip install 'postledger\[zstd\]'"):
        packed.zstd()
