"""The connection: what the errors of SQLite mean for a ledger, how long it waits, what a reader sees."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from postledger import Ledger
from postledger.errors import IntegrityError, LedgerBusy, LedgerError, NotALedger
from postledger.log.schema import APPLICATION_ID, FORMAT
from postledger.store.sqlite import _patiently, immediate, translated
from tests.conftest import FIXTURES
from tests.states import rows
from tests.samples import other

_BUSY = "another process holds the write lock; nothing was written"
_FAILED = "the disk failed (said); what was not acknowledged is to be recorded again"
MEANINGS = {
    "SQLITE_BUSY": (LedgerBusy, _BUSY),
    "SQLITE_BUSY_SNAPSHOT": (LedgerBusy, _BUSY),
    "SQLITE_LOCKED": (LedgerBusy, _BUSY),
    "SQLITE_LOCKED_SHAREDCACHE": (LedgerBusy, _BUSY),
    "SQLITE_NOTADB": (NotALedger, "not a ledger"),
    "SQLITE_CORRUPT": (IntegrityError, "the file is damaged: said"),
    "SQLITE_CORRUPT_INDEX": (IntegrityError, "the file is damaged: said"),
    "SQLITE_FULL": (LedgerError, "the disk is full; nothing was written"),
    "SQLITE_READONLY": (LedgerError, "the file is read-only; nothing was written"),
    "SQLITE_READONLY_DBMOVED": (LedgerError, "the file is read-only; nothing was written"),
    "SQLITE_CANTOPEN": (
        LedgerError,
        "can't be opened; does its folder exist, and may it be written?",
    ),
    "SQLITE_IOERR": (LedgerError, _FAILED),
    "SQLITE_IOERR_WRITE": (LedgerError, _FAILED),
    "SQLITE_TOOBIG": (LedgerError, "a body is larger than SQLite holds; nothing was written"),
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


def test_an_error_without_a_code_is_told_as_it_is() -> None:
    """Those that Python raises itself, of a closed connection say, have none."""
    with pytest.raises(LedgerError, match=r"^a\.db: closed$"), translated(Path("a.db")):
        raise sqlite3.ProgrammingError("closed")


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
    db = ledger._connections.own().log.db
    db.execute("PRAGMA foreign_keys=ON")

    def written() -> None:
        with immediate(db):
            db.execute("PRAGMA defer_foreign_keys=ON")
            db.execute("INSERT INTO projections VALUES (9, 'x', 'x', 'no such', 0, NULL, 0)")

    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        written()
    assert not db.conn.in_transaction
    assert ledger.record(b"?").event.position == 1


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


def test_a_newer_format_is_told_with_both_numbers(tmp_path: Path) -> None:
    """The one of the file, and the newest that this Postledger reads."""
    path = tmp_path / "test.db"
    Ledger(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {FORMAT + 2}")
    db.close()
    message = rf"test\.db: format {FORMAT + 2}, this Postledger reads up to {FORMAT}: upgrade it$"
    with pytest.raises(NotALedger, match=message):
        Ledger(path)


FORMATS = sorted((FIXTURES / "formats").glob("*.sql"))


def older(sql: Path, path: Path) -> Path:
    """A ledger as a Postledger of that format left it."""
    db = sqlite3.connect(path)
    db.executescript(sql.read_text("utf-8"))
    db.close()
    return path


def test_there_is_a_file_of_each_older_format() -> None:
    """What was ever released can be shown to open."""
    assert [sql.stem for sql in FORMATS] == [str(number) for number in range(1, FORMAT)]


@pytest.mark.parametrize("sql", FORMATS, ids=lambda sql: sql.stem)
def test_a_file_of_an_older_format_is_read_as_it_is(sql: Path, tmp_path: Path) -> None:
    """Opened for reading only it stays of its format, sound, and can be compared."""
    path = older(sql, tmp_path / "test.db")
    with Ledger(path, readonly=True) as ledger:
        assert ledger.verify().problems == ()
        assert ledger.delivery("U01TXzgwNjc4").state == "delivered"
        changed = list(ledger.differences(other(tmp_path, last_stands=True)))
        assert [one.after and one.after.state for one in changed] == ["failed"]
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (int(sql.stem),)
    db.close()


@pytest.mark.parametrize("sql", FORMATS, ids=lambda sql: sql.stem)
def test_a_file_of_an_older_format_is_brought_up_by_the_first_who_writes(
    sql: Path, tmp_path: Path
) -> None:
    """With all that was in it, as if it were made today."""
    path = older(sql, tmp_path / "test.db")
    with Ledger(path, readonly=True) as ledger:
        before, head = rows(ledger), ledger.head()
    with Ledger(path) as ledger:
        assert (rows(ledger), ledger.head()) == (before, head)
        assert ledger.verify().problems == ()
        assert ledger.optimize() == len(before)
        recorded = ledger.record(b"?")
        assert recorded.event.position == head[0] + 1
        assert ledger.verify().problems == ()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    db.close()


def test_a_file_that_has_more_than_its_format_is_brought_up_too(tmp_path: Path) -> None:
    """As builds between two formats may have left it."""
    path = tmp_path / "test.db"
    Ledger(path).close()
    db = sqlite3.connect(path)
    db.execute("DELETE FROM _sqlite_migrations WHERE name = 'blocks'")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    with Ledger(path) as ledger:
        assert ledger.record(b"?").event.position == 1
        assert ledger.verify().problems == ()


@pytest.mark.parametrize("columns", ["n INTEGER", "a, b, c, d, e"])
def test_a_table_of_the_users_own_in_the_way_is_told(columns: str, tmp_path: Path) -> None:
    """A projection may have had the name: what is in it stays, and the file stays of its format."""
    path = older(FORMATS[0], tmp_path / "test.db")
    with sqlite3.connect(path) as db:
        db.execute(f"CREATE TABLE blocks ({columns})")
        db.execute("INSERT INTO blocks DEFAULT VALUES")
    db.close()
    with pytest.raises(LedgerError, match="a table of your own is named blocks"):
        Ledger(path)
    with Ledger(path, readonly=True) as ledger:
        assert len(ledger.query("SELECT * FROM blocks")) == 1
        assert ledger.delivery("U01TXzgwNjc4").state == "delivered"
        assert list(ledger.differences(ledger.definitions)) == []


def test_a_file_that_is_refused_is_not_brought_up(tmp_path: Path) -> None:
    """Older programs can still say what is wrong with it."""
    path = older(FORMATS[0], tmp_path / "test.db")
    with sqlite3.connect(path) as db:
        db.execute("DROP TRIGGER events_no_update")
    db.close()
    with pytest.raises(IntegrityError, match="guard events_no_update is missing"):
        Ledger(path)
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


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
        assert reader.head()[0] == 1
        with Ledger(path) as writer:
            writer.record(b"two")
            assert reader.head()[0] == 2
        assert [event.body for event in reader.events()] == [b"one", b"two"]


def test_of_several_missing_guards_the_first_is_named(tmp_path: Path) -> None:
    """One line is enough to refuse a file; ``verify`` lists them all."""
    path = tmp_path / "test.db"
    Ledger(path).close()
    db = sqlite3.connect(path)
    for guard in ("streams_no_delete", "events_no_update", "shapes_no_replace"):
        db.execute(f"DROP TRIGGER {guard}")
    db.close()
    message = r"guard events_no_update is missing: events can be altered; run verify"
    with pytest.raises(IntegrityError, match=message):
        Ledger(path)
