"""Connections to the SQLite file: how it is opened, and what its errors mean to a user."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from postledger.errors import IntegrityError, LedgerBusy, LedgerError, NotALedger
from postledger.log.schema import APPLICATION_ID, FORMAT, format_of, make, require_guards


def open_database(
    path: Path, *, timeout: float, readonly: bool = False, guarded: bool = True
) -> Database:
    """Open a ledger's file, creating it where there is none (unless ``readonly``).

    ``timeout`` is how many seconds a write waits for another process's write to end. With ``guarded``
    a file whose guards are not as they were made is refused. Raises ``NotALedger``, ``LedgerBusy``,
    ``IntegrityError`` or ``LedgerError``.
    """
    with translated(path):
        if readonly and not path.exists():
            raise NotALedger(f"{path}: no such ledger")
        db = Database(_connect(path, timeout=timeout, readonly=readonly))
        try:
            db.execute("PRAGMA synchronous=FULL")
            if not readonly:
                _make(db, path, timeout)
            _check(db, path)
            if guarded:
                require_guards(db)
            if not readonly and format_of(db) < FORMAT:
                _bring_up(db)
        except BaseException:
            db.close()
            raise
        return db


def _connect(path: Path, *, timeout: float, readonly: bool) -> sqlite3.Connection:
    mode = "ro" if readonly else "rwc"
    if readonly and _at_rest(path):
        # To read a write-ahead log SQLite has to make files beside it, which is not possible here.
        mode += "&immutable=1"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    # Each thread has a connection of its own; only closing happens from another.
    return sqlite3.connect(uri, uri=True, timeout=timeout, check_same_thread=False)


def _at_rest(path: Path) -> bool:
    """Whether nobody can write to the file: it lies on a read-only medium, and is whole by itself."""
    if not hasattr(os, "statvfs") or not os.statvfs(path).f_flag & os.ST_RDONLY:
        return False
    ahead = path.with_name(f"{path.name}-wal")
    return not ahead.exists() or ahead.stat().st_size == 0


def _make(db: Database, path: Path, timeout: float) -> None:
    """Create the tables where nobody has: two processes may open a new file at the same time."""
    if format_of(db):
        return
    # Asked in this order: another process may make it a ledger at any moment.
    if db.table_names() and not format_of(db):
        raise NotALedger(f"{path}: a database of something else, not a ledger")
    _patiently(db.enable_wal, timeout)
    with immediate(db):
        if not format_of(db):
            make(db)


def _bring_up(db: Database) -> None:
    """Give a file of an older format what came later, where another process has not just done it."""
    with immediate(db):
        if format_of(db) < FORMAT:
            make(db)


def _patiently(action: object, timeout: float) -> None:
    """SQLite does not wait for the lock when it changes the journal mode, so this does."""
    end = time.monotonic() + timeout
    while True:
        try:
            action()  # type: ignore[operator]
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _check(db: Database, path: Path) -> None:
    if _is_of(db) != APPLICATION_ID:
        raise NotALedger(f"{path}: not a ledger")
    if format_of(db) > FORMAT:
        raise NotALedger(
            f"{path}: format {format_of(db)}, this Postledger reads up to {FORMAT}: upgrade it"
        )


def _is_of(db: Database) -> int:
    """The mark of the program whose file it is."""
    return int(db.execute("PRAGMA application_id").fetchone()[0])


@contextmanager
def immediate(db: Database) -> Iterator[None]:
    """A write transaction that holds the write lock from its start.

    A plain BEGIN that reads and then writes fails at once when another process wrote in between,
    whatever the timeout.
    """
    conn = db.conn
    # Straight to the connection: sqlite-utils looks at each statement for what it would commit.
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if conn.in_transaction:
            conn.rollback()
        raise
    else:
        try:
            conn.execute("COMMIT")
        except BaseException:
            if conn.in_transaction:
                conn.rollback()
            raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into errors that say what it means for the ledger."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _meaning(path, error) from error
    except UnicodeDecodeError as error:
        # The message of SQLite cites a name that is no text any more.
        raise IntegrityError(f"{path}: the file is damaged: {error}") from error
    except OverflowError as error:
        raise LedgerError(f"{path}: a number is out of reach: {error}") from error
    except UnicodeEncodeError as error:
        raise LedgerError(
            f"{path}: half a character (a lone surrogate) is neither kept nor found"
        ) from error


def _meaning(path: Path, error: sqlite3.DatabaseError) -> LedgerError:
    # The primary code is the low byte of the extended one.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LedgerBusy(f"{path}: another process holds the write lock; nothing was written")
    if code == sqlite3.SQLITE_NOTADB:
        return NotALedger(f"{path}: not a ledger")
    if code == sqlite3.SQLITE_CORRUPT:
        return IntegrityError(f"{path}: the file is damaged: {error}")
    if code == sqlite3.SQLITE_FULL:
        return LedgerError(f"{path}: the disk is full; nothing was written")
    if code == sqlite3.SQLITE_READONLY:
        return LedgerError(f"{path}: the file is read-only; nothing was written")
    if code == sqlite3.SQLITE_CANTOPEN:
        return LedgerError(
            f"{path}: can't be opened; does its folder exist, and may it be written?"
        )
    if code == sqlite3.SQLITE_IOERR:
        return LedgerError(
            f"{path}: the disk failed ({error}); what was not acknowledged is to be recorded again"
        )
    if code == sqlite3.SQLITE_TOOBIG:
        return LedgerError(f"{path}: a body is larger than SQLite holds; nothing was written")
    return LedgerError(f"{path}: {error}")
