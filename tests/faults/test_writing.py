"""Failures within a write: what is kept, what is undone, and what the next write finds.

Seen to fail: ``tests/faults/without.py`` takes the protections away one by one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from postledger import IntegrityError, Ledger, LedgerError
from postledger.projections import generations
from postledger.state.patterns import Patterns
from postledger.store.sqlite import SqliteStore
from tests.faults import traffic
from tests.guards import guards

OTHER = b"<POSTBACK><CODE>N101</CODE><TRACKINGID>other</TRACKINGID></POSTBACK>"


def _raising(patch: pytest.MonkeyPatch, what: object, name: str, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    patch.setattr(what, name, fail)


def test_index_and_states_are_undone_whole_and_made_up_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is kept and acknowledged; whoever records next takes it in."""
    ledger.record_many(traffic.bodies(0, 4))
    with monkeypatch.context() as patch:
        _raising(patch, generations, "put", RuntimeError("a mistake"))
        recorded = ledger.record(traffic.body(4))
    assert (recorded.event.position, recorded.verdict) == (5, "unfolded")
    assert ledger.verify().problems[0] == "the states are at size 5, the log at 6; run replay"
    # The next one is of another delivery.
    assert ledger.record(traffic.body(9)).verdict != "unfolded"
    assert ledger.delivery("TU1T1").events == 2
    assert ledger.verify().problems == ()


def test_a_failing_disk_acknowledges_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it shows: also where the states are written, which may else stay behind."""
    ledger.record_many(traffic.bodies(0, 4))
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    with monkeypatch.context() as patch:
        _raising(patch, generations, "put", error)
        with pytest.raises(LedgerError, match="the disk failed"):
            ledger.record(traffic.body(4))
    assert ledger.head().size == 5
    assert ledger.record(traffic.body(4)).event.position == 5
    assert ledger.verify().problems == ()


def test_what_was_interned_in_a_write_that_failed_is_interned_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next event would refer to a template that is not there."""
    with monkeypatch.context() as patch:
        _raising(patch, SqliteStore, "_require_file", LedgerError("moved"))
        with pytest.raises(LedgerError, match="moved"):
            ledger.record(OTHER, source="a source")
    ledger.record(OTHER, source="a source")
    assert ledger.verify().problems == ()
    assert [event.body for event in ledger.events(after=0)] == [OTHER]


def test_a_body_whose_template_does_not_give_it_back_is_kept_whole(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with a template, the bytes are those that were received."""
    take = Patterns.take

    def taking(patterns: Patterns, *words: Any) -> object:
        taken = take(patterns, *words)
        return taken._replace(
            texts=[text.upper() for text in taken.texts],
            all_texts=[text.upper() for text in taken.all_texts],
        )

    with monkeypatch.context() as patch:
        patch.setattr(Patterns, "take", taking)
        ledger.record(OTHER)
    assert [event.body for event in ledger.events(after=0)] == [OTHER]
    assert ledger.verify().problems == ()


@contextmanager
def _unguarded(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as conn, conn:
        for name in guards():
            conn.execute(f"DROP TRIGGER {name}")
        yield conn
        for sql in guards().values():
            conn.execute(sql)


def test_a_damaged_template_takes_no_more_bodies(tmp_path: Path) -> None:
    """What is recorded by it next is kept whole, and can be read."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 3))
    with _unguarded(path) as conn:
        conn.execute("UPDATE templates SET pieces = '[]'")
    with Ledger(path) as ledger:
        recorded = ledger.record(traffic.body(3))
        assert recorded.event.position == 4
        (event,) = ledger.events(after=3)
        assert event.body == traffic.body(3)
        with pytest.raises(IntegrityError, match="position 1: template 1 is damaged"):
            list(ledger.events())


def test_a_forged_template_is_not_read_by(tmp_path: Path) -> None:
    """Its digest says what was interned: other pieces that read as well are refused."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 3))
    with _unguarded(path) as conn:
        ((pieces,),) = conn.execute("SELECT pieces FROM templates WHERE id = 1")
        forged = json.loads(pieces)
        forged[0] += " "
        conn.execute("UPDATE templates SET pieces = ? WHERE id = 1", (json.dumps(forged),))
    with Ledger(path) as ledger, pytest.raises(IntegrityError, match="not what was interned"):
        list(ledger.events())


def test_states_moved_by_another_are_not_moved_again(tmp_path: Path) -> None:
    """A generation is moved from where it is known to be, or not at all."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record(traffic.body(0))
        with ledger._connections.write() as own:
            known = own.generation
            moved = generations.move(own.store, known, size=known.size + 1)
            assert moved is not None
            assert generations.move(own.store, known, size=known.size + 2) is None
            assert generations.move(own.store, moved, size=known.size) is not None
