"""Backfill: what was committed reaches the database while nobody waits for it."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from postledger import Ledger, LedgerBusy
from postledger.store.sqlite import SqliteStore
from tests.samples import sent


def _backfilled(path: Path) -> int:
    return path.stat().st_size


def test_it_is_done_while_the_ledger_is_open(tmp_path: Path) -> None:
    """By a thread of its own, once enough was written."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        before = _backfilled(path)
        assert not _threads()
        ledger.record_many(sent(f"SMS_{n}") for n in range(3_000))
        assert _threads() == 1
        end = time.monotonic() + 30
        while _backfilled(path) < before + 100_000:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert not _threads()


def _threads() -> int:
    return sum(thread.name == "postledger backfill" for thread in threading.enumerate())


def test_what_goes_wrong_with_it_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Recording goes on: what was committed stands in the write-ahead log."""
    caplog.set_level("INFO", "postledger")

    def fail(_: SqliteStore) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    monkeypatch.setattr(SqliteStore, "backfill", fail)
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record_many(sent(f"SMS_{n}") for n in range(1_000))
        ledger.record_many(sent(f"SMT_{n}") for n in range(1_000))
        end = time.monotonic() + 30
        while "the disk failed" not in caplog.text:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert ledger.head().size == 2_001
    with Ledger(tmp_path / "l.db") as ledger:
        assert ledger.verify().problems == ()


def test_an_opening_that_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A ledger that was busy once is backfilled all the same."""
    caplog.set_level("INFO", "postledger")
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        backfill, end = ledger._connections._backfill, time.monotonic() + 30

        def busy() -> SqliteStore:
            raise LedgerBusy("busy once")

        with monkeypatch.context() as patch:
            patch.setattr(backfill, "_open_store", busy)
            ledger.record_many(sent(f"SMS_{n}") for n in range(1_000))
            while "busy once" not in caplog.text or _threads():
                assert time.monotonic() < end
                time.sleep(0.01)
        before = _backfilled(path)
        ledger.record_many(sent(f"SMT_{n}") for n in range(1_000))
        assert _threads() == 1
        while _backfilled(path) == before:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert not _threads()
