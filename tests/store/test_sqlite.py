"""SQLite: what its errors mean for a ledger, how long it waits, what a reader sees."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from postledger import Ledger
from postledger.errors import IntegrityError, LedgerBusy, LedgerError, NotALedger
from postledger.store.sqlite import (
    APPLICATION_ID,
    FORMAT,
    OUTBOX,
    SqliteStore,
    _patiently,
    open_store,
    require_identity,
    translated,
)
from tests.samples import sent

_BUSY = "another process holds the write lock; nothing was written"
_READING = "this thread is still reading; end that first, or write in another"
_FAILED = "the disk failed (said); record again what was not acknowledged"
MEANINGS = {
    "SQLITE_BUSY": (LedgerBusy, _BUSY),
    "SQLITE_BUSY_SNAPSHOT": (LedgerBusy, _BUSY),
    "SQLITE_LOCKED": (LedgerBusy, _READING),
    "SQLITE_LOCKED_SHAREDCACHE": (LedgerBusy, _READING),
    "SQLITE_NOTADB": (NotALedger, "not a ledger"),
    "SQLITE_CORRUPT": (IntegrityError, "the file is damaged: said"),
    "SQLITE_CORRUPT_INDEX": (IntegrityError, "the file is damaged: said"),
    "SQLITE_FULL": (LedgerError, "the disk is full; nothing was written"),
    "SQLITE_READONLY": (LedgerError, "the file is read-only; nothing was written"),
    "SQLITE_READONLY_DBMOVED": (LedgerError, "the file is read-only; nothing was written"),
    "SQLITE_CANTOPEN": (
        LedgerError,
        "can't be opened; does its folder exist, and is it writable?",
    ),
    "SQLITE_IOERR": (LedgerError, _FAILED),
    "SQLITE_IOERR_WRITE": (LedgerError, _FAILED),
    "SQLITE_TOOBIG": (LedgerError, "a body is larger than SQLite can hold; nothing was written"),
    "SQLITE_ERROR": (LedgerError, "said"),
    "SQLITE_CONSTRAINT_TRIGGER": (LedgerError, "said"),
    "SQLITE_NOTICE": (LedgerError, "said"),
}


@pytest.mark.parametrize("code", MEANINGS)
def test_what_an_error_of_sqlite_means(code: str) -> None:
    """The extended codes mean what their primary ones do."""
    error = sqlite3.OperationalError("said")
    error.sqlite_errorcode = getattr(sqlite3, code)
    kind, message = MEANINGS[code]
    with pytest.raises(LedgerError) as caught, translated(Path("a.db")):
        raise error
    assert type(caught.value) is kind
    assert str(caught.value) == f"a.db: {message}"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("SQLITE_NOTADB", "not an outbox"),
        ("SQLITE_IOERR", "the disk failed (said); try again"),
        ("SQLITE_CORRUPT", "the file is damaged: said"),
    ],
)
def test_an_error_names_the_kind_of_the_file(code: str, message: str) -> None:
    """An outbox is not a ledger, and has no events to record again."""
    error = sqlite3.OperationalError("said")
    error.sqlite_errorcode = getattr(sqlite3, code)
    with pytest.raises(LedgerError) as caught, translated(Path("a.db-outbox"), OUTBOX):
        raise error
    assert str(caught.value) == f"a.db-outbox: {message}"


def test_a_file_that_is_no_outbox_is_called_that(tmp_path: Path) -> None:
    """Whether it is a database of something else or no database at all."""
    ledger, garbage = tmp_path / "l.db", tmp_path / "garbage"
    Ledger(ledger).close()
    garbage.write_bytes(b"?" * 5_000)
    for path in (ledger, garbage):
        with pytest.raises(NotALedger, match=r"(l\.db|garbage): not an outbox"):
            open_store(path, lambda _: None, timeout=1, kind=OUTBOX)


def test_a_moved_outbox_is_called_one(tmp_path: Path) -> None:
    """What was being written is undone; to look alone undoes nothing."""
    path = tmp_path / "l.db-outbox"
    store = open_store(path, lambda _: None, timeout=1, kind=OUTBOX)
    path.rename(tmp_path / "elsewhere")
    moved = "the file was moved, replaced or deleted while it was open;"
    with pytest.raises(LedgerError) as caught, store.write():
        pass
    assert str(caught.value) == f"{path}: {moved} nothing was written; open the outbox again"
    with pytest.raises(LedgerError) as caught:
        require_identity(path, store.file)
    assert str(caught.value) == f"{path}: {moved} open the ledger again"
    store.close()


def test_an_error_without_a_code_is_told_as_it_is() -> None:
    """Those that Python raises itself, of a closed connection say, have none."""
    with pytest.raises(LedgerError, match=r"^a\.db: closed$"), translated(Path("a.db")):
        raise sqlite3.ProgrammingError("closed")


def test_numbers_out_of_reach_are_said_in_one_line() -> None:
    """They come of nothing that was recorded; what others raise is theirs."""
    with (
        closing(sqlite3.connect(":memory:")) as db,
        pytest.raises(IntegrityError, match=r"^a\.db: a number is out of reach; run verify$"),
        translated(Path("a.db")),
    ):
        db.execute("SELECT ?", (2**63,))
    with pytest.raises(OverflowError, match="mine"), translated(Path("a.db")):
        raise OverflowError("mine")


def busy() -> sqlite3.OperationalError:
    """What SQLite raises at once, where it does not wait."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def test_a_busy_file_is_tried_again_until_it_is_free() -> None:
    """As long as the timeout has not passed."""
    left = [busy(), busy(), busy()]

    def action() -> None:
        if left:
            raise left.pop()

    _patiently(action, timeout=3600)
    assert left == []


def test_a_file_that_stays_busy_is_given_up() -> None:
    """Once the timeout has passed, and not at once."""
    tries = 0

    def action() -> None:
        nonlocal tries
        tries += 1
        raise busy()

    began = time.monotonic()
    with pytest.raises(sqlite3.OperationalError):
        _patiently(action, timeout=0.1)
    assert time.monotonic() - began >= 0.1
    assert tries > 1


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_ERROR])
def test_another_error_is_not_waited_for(code: int) -> None:
    """It comes as it is, at the first try."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    left = [error]

    def action() -> None:
        raise left.pop()

    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        _patiently(action, timeout=3600)


def test_a_commit_that_fails_leaves_no_transaction_open(ledger: Ledger) -> None:
    """SQLite leaves some open; the next write could not begin."""
    store = ledger._connections._own().store
    store.execute("PRAGMA foreign_keys=ON")
    store.execute("CREATE TEMP TABLE one (id INTEGER PRIMARY KEY)")
    store.execute("CREATE TEMP TABLE two (id INTEGER REFERENCES one (id))")

    def written() -> None:
        with store.write():
            store.execute("PRAGMA defer_foreign_keys=ON")
            store.execute("INSERT INTO two VALUES (9)")

    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        written()
    assert not store.in_transaction
    assert ledger.record(b"?").event.position == 1


def test_a_savepoint_is_kept_whole_or_undone_whole(tmp_path: Path) -> None:
    """Also one inside another."""
    store = SqliteStore(tmp_path / "a.db", sqlite3.connect(tmp_path / "a.db"))
    store.execute("CREATE TABLE a (b)")
    with store.write():
        store.execute("INSERT INTO a VALUES (1)")
        with pytest.raises(RuntimeError), store.savepoint():
            store.execute("INSERT INTO a VALUES (2)")
            with store.savepoint():
                store.execute("INSERT INTO a VALUES (3)")
            raise RuntimeError
        with store.savepoint():
            store.execute("INSERT INTO a VALUES (4)")
    assert store.execute("SELECT b FROM a ORDER BY b").fetchall() == [(1,), (4,)]
    store.close()


def test_scratch_tables_are_gone_afterwards(tmp_path: Path) -> None:
    """And no others with them."""
    store = SqliteStore(tmp_path / "a.db", sqlite3.connect(tmp_path / "a.db"))
    store.execute("CREATE TEMP TABLE mine (a)")
    with store.scratch("index") as name:
        store.execute(f"CREATE TABLE {name} (a)")
        store.execute(f"CREATE TABLE {name}_streams (a)")
        with store.scratch("index") as other:
            store.execute(f"CREATE TABLE {other} (a)")
        assert store.one("SELECT count(*) FROM sqlite_temp_master") == (3,)
    assert store.execute("SELECT name FROM sqlite_temp_master").fetchall() == [("mine",)]
    store.close()


@pytest.mark.parametrize("moved", ["file", "wal"])
def test_a_file_that_was_moved_is_noticed_before_anything_is_acknowledged(
    ledger: Ledger, moved: str
) -> None:
    """Nobody would find what is written to it."""
    ledger.record(b"one")
    path = ledger.path if moved == "file" else ledger.path.with_name(f"{ledger.path.name}-wal")
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(LedgerError, match=r"was moved, replaced or deleted|was moved or deleted"):
        ledger.record(b"two")
    with pytest.raises(LedgerError, match="nothing was written"):
        ledger.record_many([b"two"])
    path.with_name("elsewhere").rename(path)
    assert ledger.record(b"three").event.position == 2


def test_a_change_of_the_working_directory_opens_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path is resolved once, at opening; each thread opens the same file."""
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    with Ledger("test.db") as ledger:
        monkeypatch.chdir(tmp_path / "below")
        thread = threading.Thread(target=ledger.record, args=(b"?",))
        thread.start()
        thread.join()
        assert ledger.head().size == 2
    assert list((tmp_path / "below").iterdir()) == []


@pytest.mark.parametrize("other", [-1, 1])
def test_a_database_of_another_program_is_no_ledger(tmp_path: Path, other: int) -> None:
    """Whatever its own mark and version are."""
    path = tmp_path / "test.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE a (b)")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID + other}")
    db.execute(f"PRAGMA user_version = {FORMAT}")
    db.close()
    before = path.read_bytes()
    for readonly in (True, False):
        with pytest.raises(NotALedger, match="not a ledger"):
            Ledger(path, readonly=readonly)
    assert path.read_bytes() == before


@pytest.mark.parametrize("found", [FORMAT + 2, 99])
def test_another_format_is_refused_with_both_numbers(tmp_path: Path, found: int) -> None:
    """The one of the file, and the one that this Postledger reads."""
    path = tmp_path / "test.db"
    Ledger(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {found}")
    db.close()
    message = rf"test\.db: expected a ledger of format {FORMAT}, got format {found}; open it with"
    for readonly in (False, True):
        with pytest.raises(NotALedger, match=message):
            Ledger(path, readonly=readonly)


def test_a_folder_is_named_as_one(tmp_path: Path) -> None:
    """Whether it is opened for reading or for writing."""
    for readonly in (False, True):
        with pytest.raises(NotALedger, match="this is a folder"):
            Ledger(tmp_path, readonly=readonly)


def test_settings_are_those_of_the_page(ledger: Ledger) -> None:
    """WAL, a durable commit, a bounded journal, STRICT tables, and the marks of the header."""
    store = ledger._connections._own().store
    for pragma, value in (
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("journal_size_limit", 64 << 20),
        ("application_id", 0x504C4752),
        ("user_version", 1),
    ):
        assert store.one(f"PRAGMA {pragma}") == (value,)
    tables = store.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'")
    own = {
        n: s for n, s in tables if not n.startswith(("sqlite_", "_sqlite")) and n in _tables(store)
    }
    assert own
    assert set(own.values()) == {1}


def _tables(store: SqliteStore) -> set[str]:
    return {name for kind, name in store.objects() if kind == "table"}


def test_a_file_of_another_version_of_sqlite_utils_is_sound(tmp_path: Path) -> None:
    """Its own tables and their indexes are none of the format."""
    path = tmp_path / "test.db"
    Ledger(path).close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE _sqlite_migrations")
    db.close()
    with Ledger(path, readonly=True) as ledger:
        assert ledger.verify().problems == ()


def test_a_reader_sees_what_is_written_after_it_was_opened(tmp_path: Path) -> None:
    """On a disk that can be written, a file at rest is not taken for one that stays as it is."""
    path = tmp_path / "test.db"
    with Ledger(path) as writer:
        writer.record(b"one")
    with Ledger(path, readonly=True) as reader:
        assert reader.head().size == 2
        with Ledger(path) as writer:
            writer.record(b"two")
            assert reader.head().size == 3
        assert [event.body for event in reader.events(after=0)] == [b"one", b"two"]


def test_of_several_missing_guards_the_first_is_named(tmp_path: Path) -> None:
    """One line is enough to refuse a file; ``verify`` lists them all."""
    path = tmp_path / "test.db"
    Ledger(path).close()
    db = sqlite3.connect(path)
    for guard in ("templates_no_delete", "events_no_update", "nodes_no_replace"):
        db.execute(f"DROP TRIGGER {guard}")
    db.close()
    message = r"guard events_no_update is missing: events can be altered; run verify"
    with pytest.raises(IntegrityError, match=message):
        Ledger(path)


def test_a_savepoint_that_can_not_be_released_keeps_nothing(tmp_path: Path) -> None:
    """What its caller takes for undone must be: an index whose rows stay is behind for ever."""
    with Ledger(tmp_path / "test.db") as ledger:
        store = ledger._connections._own().store
        run, failed = store.execute, []

        def failing(sql: str, *given: object) -> sqlite3.Cursor:
            if sql == "RELEASE unit" and not failed:
                failed.append(sql)
                raise sqlite3.OperationalError("once")
            return run(sql, *given)

        store.execute = failing
        assert ledger.record(sent("a")).verdict == "unfolded"
        assert failed
        assert ledger.record(sent("b")).verdict == "applied"
        assert ledger.delivery("a").state == "sent"
        assert ledger.verify().problems == ()
