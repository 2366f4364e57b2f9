"""Interchange: a log as rows, and receipts from rows."""

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
from postledger.export.formats import Row, exported, line_of, read_parquet, row_of
from postledger.log.event import Kind
from postledger.times import iso
from tests import strategies
from tests.cli import Run
from tests.conftest import FIXTURES, ledger_of
from tests.states import rows

BUNDLE = (FIXTURES / "generations/g0/bundle.xml").read_bytes()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(strategies.receipts(), st.just(Receipt(BUNDLE))), max_size=8))
def test_a_ledger_of_an_export_says_the_same(receipts: list[Receipt]) -> None:
    """Export and ingest: equal rows, findings, times of reception, bodies and positions."""
    with ledger_of(receipts) as ledger:
        lines = [line_of(event).decode() for event in exported(ledger.events())]
        taken = [row_of(line) for line in lines]
        assert {row.kind for row in taken if row} <= {"receipt"}
        with ledger_of(row.receipt for row in taken if row) as copy:
            assert rows(copy) == rows(ledger)
            pairs = list(zip(ledger.events(0), copy.events(0), strict=True))
    for one, other in pairs:
        assert (one.position, one.member, one.received_at, one.occurred_at) == (
            other.position,
            other.member,
            other.received_at,
            other.occurred_at,
        )
        assert (one.body, one.content_type, one.repeats, one.identity) == (
            other.body,
            other.content_type,
            other.repeats,
            other.identity,
        )
        assert (one.imported, other.imported) == (False, True)


def test_a_line_has_what_was_received_and_where_it_comes_from(ledger: Ledger) -> None:
    """Nothing that was derived, and no salt."""
    said = {"content_type": "text/xml", "source": "s", "sender": "basic"}
    ledger.record(b"\xff", content_encoding="br", **said)
    (line,) = (line_of(event) for event in exported(ledger.events()))
    event = next(ledger.events(0))
    assert json.loads(line) == {
        "position": 1,
        "received_at": iso(event.received_at),
        "kind": "receipt",
        "source": "s",
        "sender": "basic",
        "content_type": "text/xml",
        "content_encoding": "br",
        "query": False,
        "body_base64": "/w==",
        "leaf": event.leaf.hex(),
    }


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "1",
        "<POSTBACK/>",
        "status=delivered",
        '{"content_type": "text/xml"}',
        '{"position": 5, "status": "delivered"}',
        '{"code": "N201", "status": ',
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_a_line_that_is_not_a_row_is_none(line: str) -> None:
    """It is a body itself."""
    assert row_of(line) is None


@pytest.mark.parametrize(
    "line",
    [
        '{"body": 1}',
        '{"body": null}',
        '{"body": "a", "content_type": 1}',
        '{"body": "a", "content_type": "\\ud800"}',
        '{"body": "\\ud800"}',
        '{"body": "a", "received_at": "soon"}',
        '{"body": "a", "received_at": 5}',
        '{"body": "a", "received_at": "0001-01-01T00:00:00+14:00"}',
        '{"body": "a", "kind": "erasure"}',
        '{"body_base64": "*"}',
        '{"body_base64": "\u00e9"}',
        '{"body": "a", "received_at": "2026-11-05"',
        '{"body": "a", "received_at": "2026-W01-1"}',
        '{"body": 111111111111111111111}',
        '{"body": "a", "source": 111111111111111111111}',
        '{"body": "a", "received_at": 1%s}' % ("0" * 5000),
    ],
)
def test_a_row_that_is_wrong_is_told(line: str) -> None:
    """Nothing is made up for what it lacks: the reason is one line."""
    with pytest.raises(ValueError, match=r"must be|expected|half a character") as caught:
        row_of(line)
    assert "\n" not in str(caught.value)
    assert "set_int_max" not in str(caught.value)


def test_a_row_without_a_time_of_reception_is_not_imported() -> None:
    """A time that nobody states is that of the recording."""
    assert row_of('{"body": "a"}') == Row(Receipt(b"a", None, None), Kind.RECEIPT)


def test_a_file_that_is_no_parquet_is_told(run: Run, tmp_path: Path) -> None:
    """Something else under the name of Parquet is named with the reason."""
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(PostledgerError, match=r"not the Parquet file of an export"):
        list(read_parquet(tmp_path / "x.parquet"))
    done = run("ingest", tmp_path / "l.db", tmp_path / "x.parquet")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 2)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"body": pa.array(["<a/>"])}, "its column body is string"),
        ({"body": pa.array([None], pa.binary())}, "x.parquet:1: not recorded: expected body"),
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
            "not the Parquet file of an export",
        ),
        ({"body": pa.array([b"a"]), "kind": pa.array(["import"])}, "kind must be receipt or"),
        ({"body": pa.array([b"a"]), "source": pa.array([5])}, "its column source is int64"),
        ({}, "expected one column body, got 0"),
    ],
)
def test_a_parquet_of_something_else_is_told(
    run: Run, tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    """Columns of other types, values that are none: one line each, and no ledger is made."""
    nothing = {"received_at": pa.nulls(1), "content_type": pa.nulls(1)}
    parquet.write_table(pa.table({**nothing, **columns}), tmp_path / "x.parquet")
    done = run("ingest", tmp_path / "l.db", tmp_path / "x.parquet")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 2)
    assert told in done.stderr
    assert not (tmp_path / "l.db").exists()


def test_a_parquet_with_two_columns_of_a_name_is_told(run: Run, tmp_path: Path) -> None:
    """Which of them would be meant?"""
    bodies = pa.array([b"a"])
    columns = [pa.nulls(1), pa.nulls(1), bodies, bodies]
    names = ["received_at", "content_type", "body", "body"]
    parquet.write_table(pa.table(columns, names=names), tmp_path / "x.parquet")
    done = run("ingest", tmp_path / "l.db", tmp_path / "x.parquet")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 2)
    assert "expected one column body, got 2" in done.stderr


def test_an_empty_column_of_a_parquet_is_no_fault(tmp_path: Path) -> None:
    """Another program may know neither when a body came nor of what type it was."""
    columns = {"received_at": pa.nulls(1), "content_type": pa.nulls(1), "body": pa.array([b"a"])}
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    assert list(read_parquet(tmp_path / "x.parquet")) == [
        Row(Receipt(b"a", None, None), Kind.RECEIPT)
    ]


def test_a_body_that_is_repeated_many_times_is_held_once(tmp_path: Path) -> None:
    """A small file can say a large body many times: its rows share it."""
    one = pa.array([b"x" * 1_000_000], pa.binary())
    bodies = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), one)
    nothing = pa.nulls(2_000)
    columns = {"received_at": nothing, "content_type": nothing, "body": bodies}
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 2_000_000
    taken = [row for row in read_parquet(tmp_path / "x.parquet") if isinstance(row, Row)]
    assert len(taken) == 2_000
    assert len({id(row.receipt.body) for row in taken}) < 100
