"""A ledger in one SQLite file: how it is opened, written and read, and what its errors mean.

Everything that is peculiar to SQLite stands here. The statements of the other rooms are plain SQL
with ``?`` for each parameter; they go through a ``Store``.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple
from weakref import WeakSet

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from postledger.errors import IntegrityError, LedgerBusy, LedgerError, NotALedger
from postledger.store.store import LARGEST, STILL_READING, Row, Store, bare_of, distinct

if sys.platform != "win32":
    import fcntl

APPLICATION_ID = 0x504C4752
"""The application id in the file's header: "PLGR"."""

FORMAT = 1
"""The format of the file, kept as its user version."""


class FileKind(NamedTuple):
    """A kind of file: its name in messages, what its header says, and what to do when it fails.

    ``damaged`` is what to do with a damaged file, ``failed`` what to do after its disk failed.
    """

    name: str
    application_id: int
    format: int
    damaged: str
    failed: str


LEDGER = FileKind(
    "ledger",
    APPLICATION_ID,
    FORMAT,
    damaged="run verify",
    failed="record again what was not acknowledged",
)
OUTBOX = FileKind(
    "outbox",
    # "PLOB"
    0x504C4F42,
    1,
    damaged="move it away, and all changes are sent again, with the same keys",
    failed="try again",
)

_JOURNAL_BYTES = 64 << 20
# guard: write lock from the start
_BEGIN = "BEGIN IMMEDIATE"
# guard: synced before it is acknowledged
_SETTINGS = (
    "PRAGMA synchronous=FULL",
    f"PRAGMA journal_size_limit={_JOURNAL_BYTES}",
    f"PRAGMA wal_autocheckpoint={_JOURNAL_BYTES >> 12}",
    # However SQLite was built: to drop a table would else write all of it once more, as zeros.
    "PRAGMA secure_delete=FAST",
)
_STEPS = 10_000
"""After so many steps of a query SQLite calls Python; they take less than a millisecond."""

Identity = tuple[int, int]
"""What tells a file from another at the same path: its device and its number there."""


class SqliteStore(Store):
    """One connection to a ledger's file.

    ``path`` is absolute, so that a later change of the working directory opens no other file.
    ``execute`` and ``executemany`` are those of the connection.
    """

    one_by_one = True
    path: Path
    file: Identity | None

    def __init__(
        self,
        path: Path,
        conn: sqlite3.Connection,
        timeout: float = 0.0,
        kind: FileKind = LEDGER,
    ) -> None:
        self.path = path
        self.timeout = timeout
        self.kind = kind
        self.db = Database(conn)
        self.conn = conn
        # Bound once: they are called for every event.
        self.execute = conn.execute
        self.executemany = conn.executemany
        self.file = _identity(path)
        self._ahead_path = f"{path}-wal"
        self._ahead: Identity | None = None
        self._rows = 0
        self._turn = Turn(f"{path}-turn")
        self._ended: list[str] = []
        self._closed = False
        self.committed = False

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        try:
            return self.conn.in_transaction
        except sqlite3.ProgrammingError:
            # Another thread has closed it.
            return False

    @contextmanager
    def write(self, patience: float | None = None) -> Iterator[None]:
        """A transaction that holds the write lock from its start.

        A plain BEGIN that reads first fails at once when another process wrote in between, whatever
        the timeout. Whoever came first is first, of whatever process. ``patience`` is how many seconds
        to wait for the lock, where that is less than the timeout. Raises ``LedgerError`` where the file
        is no longer the one that was opened.
        """
        if self.in_transaction:
            raise LedgerError(f"{self.path}: {STILL_READING}")
        self.committed = committing = False
        try:
            # guard: writers take turns
            self._begin(self._turn.take(self.timeout if patience is None else patience))
            yield
            self._require_file()
            committing = True
            self.execute("COMMIT")
            self.committed = True
        except BaseException as error:
            # An interruption may come when it is done: what SQLite raises never does.
            is_of_file = isinstance(error, sqlite3.DatabaseError)
            self.committed = committing and not self.in_transaction and not is_of_file
            self._roll_back()
            if is_of_file and not committing:
                # A file that another took the place of looks damaged.
                self._require_file()
            raise
        finally:
            self._turn.leave()
        if self.backlog is not None:
            rows, self._rows = self._rows, self.conn.total_changes
            self.backlog.changed(self._rows - rows)

    def sizes(self) -> tuple[int, int]:
        """Those of the file, and of its write-ahead log."""
        return _size(self.path), _size(self.path.with_name(f"{self.path.name}-wal"))

    def together(self) -> AbstractContextManager[None]:
        """There is nobody to wait for."""
        return nullcontext()

    def backfill(self) -> None:
        """Move what is in the write-ahead log to the database, as far as no reader is in the way."""
        self.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @contextmanager
    def read(self) -> Iterator[None]:
        """A read transaction: all that is read in it is of one time; nothing where one is open."""
        if self.in_transaction:
            yield
            return
        try:
            self.execute("BEGIN")
            yield
        finally:
            # A listing that outlives its ledger ends here too; its transaction is gone already.
            if not self._closed:
                # A read transaction may have filled a scratch table.
                self.conn.commit()

    def stream(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        """The rows of a SELECT, one of them in memory."""
        rows: Iterator[Row] = iter(self.conn.execute(sql, parameters))
        return rows

    @contextmanager
    def scratch(self, prefix: str) -> Iterator[str]:
        """A prefix for names of tables that only this connection sees; they go at the end.

        While a cursor of this connection is open SQLite refuses to drop them: then they go at the
        end of the next use.
        """
        named = f"temp.{prefix}_{token_hex(6)}"
        try:
            yield named
        finally:
            self._ended.append(bare_of(named))
            self._drop_ended()

    def _drop_ended(self) -> None:
        while self._ended and not self._closed:
            like = self._ended[-1].replace("_", r"\_") + "%"
            sql = r"SELECT name FROM sqlite_temp_master WHERE type = 'table' AND name LIKE ? ESCAPE '\'"
            try:
                for (name,) in self.execute(sql, (like,)).fetchall():
                    self.execute(f"DROP TABLE IF EXISTS temp.{name}")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_LOCKED:
                    raise
                return
            self._ended.pop()

    def objects(self) -> dict[tuple[str, str], tuple[str, str]]:
        """What the schema has: (kind, name) to the table and the SQL that made it."""
        rows = self.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
        return {
            (kind, name): (table, sql)
            for kind, name, table, sql in rows.fetchall()
            # Those that a constraint implies have no SQL; sqlite-utils keeps tables of its own.
            if sql is not None and not table.startswith(("sqlite_", "_sqlite"))
        }

    def problems(self, most: int) -> Iterator[str]:
        """What SQLite itself finds wrong with the file, a line each."""
        # Texts of another encoding stand in another order.
        if (encoding := self.one("PRAGMA encoding")) != ("UTF-8",):
            yield f"database: its encoding is {encoding and encoding[0]}, not UTF-8"
        for (line,) in self.execute(f"PRAGMA integrity_check({most})").fetchall():
            if line != "ok":
                yield f"database: {line}"

    def view(self, name: str, select: str) -> None:
        """Make a view, in place of any of that name."""
        self.execute(f"DROP VIEW IF EXISTS {name}")
        self.execute(f"CREATE VIEW {name} AS {select.strip()}")

    def hold(self, tables: Iterable[str]) -> bool:  # noqa: ARG002
        """Nothing is to be done: what is read is as of the begin of the transaction."""
        return True

    def by_index(self, name: str, indexes: Mapping[str, str]) -> str | None:
        """Such a statement reads by it, or fails: none is said where it is gone, or is another now."""
        _, sql = self.objects().get(("index", name), ("", None))
        return f" INDEXED BY {name}" if sql == indexes[name] else None

    @staticmethod
    def guards(table: str, taken: str) -> dict[str, str]:
        """The triggers that keep a table append-only."""
        stop = f"SELECT RAISE(ABORT, '{table} are append-only')"
        # guard: no UPDATE and no DELETE
        made = {
            (
                name := f"{table}_no_{verb.lower()}"
            ): f"CREATE TRIGGER {name} BEFORE {verb} ON {table} BEGIN {stop}; END"
            for verb in ("UPDATE", "DELETE")
        }
        # INSERT OR REPLACE takes away rows that are in the way of any unique index without a DELETE
        # trigger firing; so an insert that would meet a row is stopped before it.
        name = f"{table}_no_replace"
        # guard: no REPLACE
        made[name] = (
            f"CREATE TRIGGER {name} BEFORE INSERT ON {table} WHEN {taken} BEGIN {stop}; END"
        )
        return made

    def drop(self, table: str) -> None:
        """Drop a table: those who read it still do."""
        self.execute(f"DROP TABLE {table}")

    def iso(self, column: str) -> str:
        """Its text."""
        return f"strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1e6, 'unixepoch')"

    def hex(self, column: str) -> str:
        """Its digits."""
        return f"lower(hex({column}))"

    def element(self, array: str, number: int) -> str:
        """It as text."""
        return f"{array} ->> {number}"

    def filled(self, body: str, pieces: str, texts: str) -> str:
        """The body."""
        return f"""coalesce(CAST({body} AS TEXT), (
        SELECT group_concat(p.value || coalesce(t.value, ''), '')
        FROM json_each({pieces}) p LEFT JOIN json_each({texts}) t ON t.key = p.key))"""

    def begins(self, column: str, begin: str, end: str | None) -> tuple[str, tuple[str, ...]]:
        """Between both ends."""
        if end is None:
            return f"{column} >= ?", (begin,)
        return f"{column} >= ? AND {column} < ?", (begin, end)

    @contextmanager
    def query(
        self, sql: str, parameters: Sequence[object] = ()
    ) -> Iterator[tuple[list[str], Iterator[Row]]]:
        """The columns and the rows of a SELECT, one of them in memory; nothing can be written.

        The connection is for nothing else meanwhile. A text that is not UTF-8, as of a body in another
        encoding, has U+FFFD for what can't be read. Raises ``LedgerError`` with what SQLite says where
        the statement is wrong, ``KeyboardInterrupt`` where it is interrupted.
        """
        self.conn.set_authorizer(_only_reading)
        self.conn.text_factory = _legible
        # Whoever interrupts is heard while SQLite works: at the next call of any Python function.
        self.conn.set_progress_handler(lambda: 0, _STEPS)
        try:
            with self._failing():
                cursor = self.conn.execute(sql, parameters)
                if cursor.description is None:
                    raise ValueError(f"expected a SELECT, which returns rows, got {sql!r:.60}")
            with closing(cursor):
                columns = distinct([column[0] for column in cursor.description])
                yield columns, self._rows_of(cursor)
        finally:
            self.conn.set_progress_handler(None, 0)
            self.conn.text_factory = str
            self.conn.set_authorizer(None)

    def _rows_of(self, cursor: sqlite3.Cursor) -> Iterator[Row]:
        while True:
            with self._failing():
                row = cursor.fetchone()
            if row is None:
                return
            yield row

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_INTERRUPT:
                raise KeyboardInterrupt from None
            hint = "; a query may only read" if code == sqlite3.SQLITE_AUTH else ""
            raise LedgerError(f"{self.path}: the query fails: {error}{hint}") from None

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self.db.close()
        self._turn.close()

    def _begin(self, patience: float) -> None:
        if patience == self.timeout:
            self.execute(_BEGIN)
            return
        self.execute(f"PRAGMA busy_timeout = {max(0, int(patience * 1000))}")
        try:
            self.execute(_BEGIN)
        finally:
            self.execute(f"PRAGMA busy_timeout = {int(self.timeout * 1000)}")

    def _roll_back(self) -> None:
        if self.in_transaction:
            self.conn.rollback()

    def _require_file(self) -> None:
        """Raise where the file was moved or deleted: what is written to it nobody would find."""
        ahead = _identity(self._ahead_path)
        self._ahead = self._ahead or ahead
        # guard: the file is the one that was opened
        require_identity(self.path, self.file, self.kind, writing=True)
        # guard: its write-ahead log too
        if ahead != self._ahead:
            raise LedgerError(
                f"{self.path}: its write-ahead log ({self.path.name}-wal) was moved or deleted while"
                f" it was open; nothing was written; close the {self.kind.name} and {self.kind.damaged}"
            )


class Turn:
    """The turn to write to a file: whoever came first has it first, of whatever process or thread.

    Each who waits has a byte of a lock file next to the ledger, at the number of nanoseconds when it
    came; whoever has the turn has byte 0. The first 8 bytes of the file say the last number that was
    passed, since whoever had it left the turn unused. The kernel frees the locks of a process that dies.
    It gives fairness alone: the lock of the database keeps writers apart, also without a lock file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None
        self._failed = sys.platform != "linux"
        _turns.add(self)

    def take(self, timeout: float) -> float:
        """Wait for the turn, at most ``timeout`` seconds; how many of them are left."""
        if self._file is None and not self._opened():
            return timeout
        try:
            return self._taken(timeout)
        except OSError:
            # A file system without locks.
            self.close()
            return timeout

    def _taken(self, timeout: float) -> float:
        came = ticket = time.monotonic_ns()
        if not self._lock(0, ticket + 1):
            while not self._lock(ticket, 1):
                # Somebody who came later was quicker.
                ticket = time.monotonic_ns()
            end = came + int(timeout * 1e9)
            self._wait_in_line(ticket, end)
            # Now it is the next one. A turn that never ends costs fairness, and no more than that.
            end_of_turn = min(end, time.monotonic_ns() + _LONGEST_TURN)
            while not self._lock(0, 1) and time.monotonic_ns() < end_of_turn:
                time.sleep(_QUICK)
            timeout = max(0.0, (end - time.monotonic_ns()) / 1e9)
        self._unlock(1, ticket)
        return timeout

    def _wait_in_line(self, ticket: int, end: int) -> None:
        """Wait until nobody is in front, but for those who leave the turn unused: they were stopped."""
        taken, before = time.monotonic_ns(), 0
        while True:
            passed, now = self._passed(), time.monotonic_ns()
            if ticket <= passed <= now:
                # It was passed itself, since it was slow: it takes the turn when it can.
                return
            if passed > now:
                # It is of before the machine was started.
                passed = 0
            if now >= end or self._lock(passed + 1, ticket - passed):
                return
            if passed != before or self._held_in(0, 1) is not None:
                taken, before = now, passed
            # guard: whoever leaves the turn unused is passed
            elif now - taken > _LONGEST_UNUSED:
                self._pass(passed, ticket)
            time.sleep(_SLOW)

    def _passed(self) -> int:
        """The last ticket that was passed, as the file has it for all who wait; 0 for none."""
        assert self._file is not None
        return int.from_bytes(os.pread(self._file, 8, 0), "little")

    def _pass(self, passed: int, ticket: int) -> None:
        """Pass the first one in line."""
        assert self._file is not None
        first = None
        while found := self._held_in(passed + 1, (first[0] if first else ticket) - passed - 1):
            first = found
        if first is not None:
            # On a full disk nobody is passed.
            with suppress(OSError):
                os.pwrite(self._file, first[1].to_bytes(8, "little"), 0)

    def leave(self) -> None:
        """Give the turn, or the place, to the next one."""
        if self._file is not None:
            with suppress(OSError):
                self._unlock(0, LARGEST)

    def close(self) -> None:
        """Close the lock file: it holds nothing any more."""
        opened, self._file, self._failed = self._file, None, True
        if opened is not None:
            os.close(opened)

    def _opened(self) -> bool:
        if self._failed:
            return False
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self._path, flags, 0o666)
        except OSError:
            self._failed = True
        return not self._failed

    def _lock(self, first: int, count: int) -> bool:
        try:
            self._set(fcntl.F_WRLCK, first, count)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _unlock(self, first: int, count: int) -> None:
        self._set(fcntl.F_UNLCK, first, count)

    def _held_in(self, first: int, count: int) -> tuple[int, int] | None:
        """The first and last byte of a lock of somebody else on some of these; ``None`` for none."""
        assert self._file is not None
        if count <= 0:
            # Something else for the kernel.
            return None
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, first, count, 0)
        kind, _, start, length, _ = _FLOCK.unpack(fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, asked))
        return None if kind == fcntl.F_UNLCK else (start, start + length - 1)

    def _set(self, kind: int, first: int, count: int) -> None:
        assert self._file is not None
        # Locks of the open file, not of the process: threads wait for each other too.
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, first, count, 0))


# struct flock of Linux: type, whence, start, length, process.
_FLOCK = struct.Struct("hhqqi4x")
_QUICK, _SLOW = 0.0002, 0.001
"""Seconds between two looks of the next one in turn, and of the others."""
_LONGEST_UNUSED, _LONGEST_TURN = 250_000_000, 5_000_000_000
"""How many nanoseconds the turn may be unused before somebody is passed; how long one is waited for."""

_turns: WeakSet[Turn] = WeakSet()


def _leave_to_parent() -> None:
    # A forked child that kept the file open would keep the locks of a parent that died.
    for turn in tuple(_turns):
        turn.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def open_store(
    path: Path,
    make: Callable[[SqliteStore], None],
    *,
    timeout: float,
    readonly: bool = False,
    traceless: bool = False,
    kind: FileKind = LEDGER,
    file: Identity | None = None,
) -> SqliteStore:
    """Open a ledger's file, created by ``make`` if it is missing (unless ``readonly``).

    ``kind`` is given for another file of Postledger's, ``file`` for one that is open already: then no
    other is made or opened. ``timeout`` is how many seconds a write waits for another's write to end.
    ``traceless``, for a glance by a ``readonly`` store, leaves no file next to it: what is written
    meanwhile may make it fail.
    Raises ``NotALedger``, ``LedgerBusy``, ``IntegrityError`` or ``LedgerError``.
    """
    with translated(path, kind):
        # guard: an open ledger is never made again
        require_identity(path, file, kind)
        _require_no_orphaned_wal(path, kind)
        if path.is_dir():
            raise NotALedger(f"{path}: this is a folder; name a file in it")
        if readonly and not path.exists():
            raise NotALedger(f"{path}: no such {kind.name}")
        mode = "ro" if readonly else "rwc" if file is None else "rw"
        conn = _connect(path, timeout=timeout, mode=mode, traceless=traceless)
        store = SqliteStore(path, conn, timeout, kind)
        try:
            require_identity(path, file, kind)
            for setting in _SETTINGS:
                conn.execute(setting)
            if not readonly and file is None:
                _make(store, make, timeout, kind)
            _check(store, kind)
            if not readonly and store.one("PRAGMA journal_mode") != ("wal",):
                # A copy by VACUUM INTO has another mode than the file that it is of.
                _patiently(store.db.enable_wal, timeout)
            store.file = file or _identity(path)
        except BaseException:
            store.close()
            raise
        return store


def require_identity(
    path: Path, file: Identity | None, kind: FileKind = LEDGER, *, writing: bool = False
) -> None:
    """Raise where the file is not the one that was opened before; ``writing`` says what was undone."""
    if file is not None and _identity(path) != file:
        undone = " nothing was written;" if writing else ""
        raise LedgerError(
            f"{path}: the file was moved, replaced or deleted while it was open;{undone}"
            f" open the {kind.name} again"
        )


def _require_no_orphaned_wal(path: Path, kind: FileKind) -> None:
    """Raise where a file is gone whose write-ahead log is still there: SQLite would delete that."""
    ahead = path.with_name(f"{path.name}-wal")
    # In this order: whoever makes a new ledger writes to the file first.
    # guard: no new file beside the events of another
    if _size(ahead) and not _size(path):
        raise LedgerError(
            f"{path}: there is no {kind.name} here, but the write-ahead log of one ({ahead.name}),"
            f" which may hold its last events; move it to where the {kind.name} is now, or away"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _identity(path: str | Path) -> Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 (quicker, at every commit)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: Path, *, timeout: float, mode: str, traceless: bool) -> sqlite3.Connection:
    # guard: read-only media read
    if mode == "ro" and _at_rest(path):
        # To read a write-ahead log SQLite has to make files next to it, which is not possible here.
        mode += "&immutable=1"
    elif traceless and not _in_use(path):
        # Nor are they to be made.
        mode += "&immutable=1"
    uri = f"{path.as_uri()}?mode={mode}"
    # Each thread has a connection of its own; only closing happens from another.
    return sqlite3.connect(
        # guard: waiting for the lock
        uri,
        uri=True,
        timeout=timeout,
        check_same_thread=False,
        cached_statements=256,
    )


def _at_rest(path: Path) -> bool:
    """Whether nobody can write to the file: it lies on a read-only medium, and is whole by itself."""
    if not hasattr(os, "statvfs") or not os.statvfs(path).f_flag & os.ST_RDONLY:
        return False
    ahead = path.with_name(f"{path.name}-wal")
    return not ahead.exists() or ahead.stat().st_size == 0


def _in_use(path: Path) -> bool:
    """Whether the files are there that SQLite makes for whoever opens a ledger."""
    return all(path.with_name(f"{path.name}{end}").exists() for end in ("-wal", "-shm"))


def _make(
    store: SqliteStore, make: Callable[[SqliteStore], None], timeout: float, kind: FileKind
) -> None:
    """Create the tables where nobody has: two processes may open a new file at the same time."""
    if format_of(store):
        return
    migrations = Migrations("postledger")

    @migrations()
    def tables(_: Database) -> None:
        make(store)

    # Asked in this order: another process may make it a ledger at any time.
    # guard: foreign databases refused
    if store.db.table_names() and not format_of(store):
        raise NotALedger(f"{store.path}: not {_a(kind)}: this SQLite file has other tables")
    _patiently(store.db.enable_wal, timeout)
    # guard: tables made in one transaction
    with store.write():
        if not format_of(store):
            migrations.apply(store.db)
            store.execute(f"PRAGMA application_id = {kind.application_id}")
            store.execute(f"PRAGMA user_version = {kind.format}")


def _patiently(action: Callable[[], object], timeout: float) -> None:
    """SQLite does not wait for the lock when it changes the journal mode, so this does."""
    end = time.monotonic() + timeout
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _check(store: SqliteStore, kind: FileKind) -> None:
    if store.one("PRAGMA application_id") != (kind.application_id,):
        raise NotALedger(f"{store.path}: not {_a(kind)}")
    # guard: other formats refused
    if format_of(store) != kind.format:
        raise NotALedger(
            f"{store.path}: expected {_a(kind)} of format {kind.format}, got format"
            f" {format_of(store)}; open it with the Postledger that wrote it"
        )


def _a(kind: FileKind) -> str:
    return f"an {kind.name}" if kind.name[0] in "aeiou" else f"a {kind.name}"


def format_of(store: SqliteStore) -> int:
    """The format of a file; 0 where it is not a ledger, or a new one."""
    row = store.one("PRAGMA user_version")
    return 0 if row is None else int(row[0])


def _legible(text: bytes) -> str:
    return text.decode("utf-8", "replace")


_READS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}


_BARRED = {"load_extension", "writefile", "edit", "fts3_tokenizer"}


def _only_reading(action: int, _: str | None, name: str | None, *__: str | None) -> int:
    barred = action == sqlite3.SQLITE_FUNCTION and name in _BARRED
    return sqlite3.SQLITE_OK if action in _READS and not barred else sqlite3.SQLITE_DENY


def is_of_medium(error: BaseException) -> bool:
    """Whether the disk failed, is full or is locked: nothing that was just written can be relied on.

    Such an error fails the whole transaction, wherever it shows.
    """
    code = getattr(error, "sqlite_errorcode", None)
    # guard: a failing disk fails the whole transaction
    return code is not None and code & 0xFF in _OF_MEDIUM


def is_of_disk(error: BaseException) -> bool:
    """Whether the disk failed: a connection that met it may take for written what is not."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_IOERR


_OF_MEDIUM = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_PROTOCOL,
}


@contextmanager
def translated(path: Path, kind: FileKind = LEDGER) -> Iterator[None]:
    """Turn what SQLite raises into errors that say what it means for the file.

    What is damaged is said with the file.
    """
    try:
        yield
    except IntegrityError as error:
        if str(path) not in str(error):
            error.args = (f"{path}: {error}",)
        raise
    except sqlite3.DatabaseError as error:
        # guard: errors of SQLite in one line
        raise _meaning(path, kind, error) from error
    except OverflowError as error:
        if "SQLite" not in str(error):
            raise
        # guard: numbers out of reach in one line
        raise IntegrityError(f"{path}: a number is out of reach; {kind.damaged}") from error
    # guard: damaged names in one line
    except UnicodeDecodeError as error:
        # What SQLite says cites a name that is not text any more.
        raise IntegrityError(
            f"{path}: the file is damaged: a name is not UTF-8; {kind.damaged}"
        ) from error
    except UnicodeEncodeError as error:
        raise LedgerError(
            f"{path}: half a character (a lone surrogate) can be neither stored nor looked up"
        ) from error


def _meaning(path: Path, kind: FileKind, error: sqlite3.DatabaseError) -> LedgerError:
    # The primary code is the low byte of the extended one.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    make = _MEANINGS.get(code)
    if make is None and "decode to UTF-8" in str(error):
        # The message of SQLite cites the damaged text.
        return IntegrityError(f"{path}: the file is damaged: a text is not UTF-8; {kind.damaged}")
    # It may cite statements of several lines.
    said = " ".join(str(error).split())
    if make is None:
        return LedgerError(f"{path}: {said}")
    raised, meaning = make
    return raised(f"{path}: {meaning.format(said=said, a_kind=_a(kind), failed=kind.failed)}")


_MEANINGS: dict[int, tuple[type[LedgerError], str]] = {
    sqlite3.SQLITE_BUSY: (
        LedgerBusy,
        "another process holds the write lock; nothing was written",
    ),
    sqlite3.SQLITE_LOCKED: (LedgerBusy, STILL_READING),
    sqlite3.SQLITE_NOTADB: (NotALedger, "not {a_kind}"),
    sqlite3.SQLITE_CORRUPT: (IntegrityError, "the file is damaged: {said}"),
    sqlite3.SQLITE_FULL: (LedgerError, "the disk is full; nothing was written"),
    sqlite3.SQLITE_READONLY: (LedgerError, "the file is read-only; nothing was written"),
    sqlite3.SQLITE_CANTOPEN: (
        LedgerError,
        "can't be opened; does its folder exist, and is it writable?",
    ),
    sqlite3.SQLITE_IOERR: (LedgerError, "the disk failed ({said}); {failed}"),
    sqlite3.SQLITE_TOOBIG: (
        LedgerError,
        "a body is larger than SQLite can hold; nothing was written",
    ),
}
