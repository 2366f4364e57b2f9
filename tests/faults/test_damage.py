"""A file that is damaged, no ledger, locked, or may not be written.

Every command then ends with one clear line, or ``verify`` names a problem; a wrong state is never
shown by a ledger that verifies, and ``show`` proves what it shows. SQLite keeps no checksum of its
pages, so lists, which read less, may show a damaged text.

Seen to fail: ``tests/faults/without.py`` takes the protections away one by one:
without the translation of errors (``log/connection.py``), of damaged texts (``log/sqlite.py``) and of
values of no possible type (``session.py``) commands end in tracebacks.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from postledger import IntegrityError, Ledger, LedgerBusy, LedgerError, NotALedger, PostledgerError
from postledger.cli import main
from postledger.log.schema import FORMAT, guards
from postledger.model import Timeline
from tests.conftest import FIXTURES
from tests.faults import traffic
from tests.states import states
from tests.samples import chart

FLIPS = int(os.environ.get("POSTLEDGER_FLIPS", "100"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of a few pages of each kind."""
    path = tmp_path_factory.mktemp("damage") / "made.db"
    with Ledger(path) as ledger:
        ledger.record_many(
            p.read_bytes() for p in sorted((FIXTURES / "specification").glob("*.xml"))
        )
        ledger.record_many([b"no postback", *traffic.bodies(0, 200)])
        ledger.optimize()
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """A copy of that ledger to damage."""
    return Path(shutil.copy(made, tmp_path / "copy.db"))


def commands(path: Path) -> Iterator[tuple[str, ...]]:
    """What somebody might read in a file."""
    yield "verify", str(path)
    yield "show", str(path), "TU1T3"
    yield "deliveries", str(path), "--json"
    yield "events", str(path), "--json"


def writing(path: Path) -> Iterator[tuple[str, ...]]:
    """What else somebody might do with it, which changes it."""
    other, postback = chart(path.parent, last_stands=True), path.with_name("postback.xml")
    postback.write_bytes(traffic.body(10).replace(b"05:00", b"05:30"))
    yield "audit", str(path), "--json"
    yield "audit", str(path), "--markdown"
    yield "export", str(path), str(path.with_name("export.jsonl"))
    yield "replay", str(path), "--chart", str(other)
    yield "ingest", str(path), str(postback)
    yield "optimize", str(path)
    yield "replay", str(path)
    yield "replay", str(path), "--chart", str(other), "--adopt"


def check_commands(path: Path, listed: Iterable[tuple[str, ...]] | None = None) -> list[int]:
    """Run the commands: none may end in a traceback, and each error is one line; gives exit codes.

    Those that verify tell all that is wrong, in a line each.
    """
    codes = []
    for words in commands(path) if listed is None else listed:
        result = CliRunner().invoke(main, words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        if result.exit_code and words[0] in {"verify", "audit", "export"}:
            assert result.stdout or "Error: " in result.stderr
        elif result.exit_code:
            assert traffic.one_line(result.stderr), (words, result.stderr)
        codes.append(result.exit_code)
    return codes


def _sound(path: Path) -> bool:
    """Whether ``verify`` finds nothing wrong."""
    try:
        with Ledger(path, readonly=True, guarded=False) as ledger:
            return ledger.verify().ok
    except PostledgerError:
        return False


def test_a_flipped_byte_anywhere_is_found_or_harmless(path: Path, made: Path) -> None:
    """In every region of the file: where ``verify`` is content, every state and body is as it was."""
    whole, dice = made.read_bytes(), random.Random(3)
    with Ledger(made, readonly=True) as ledger:
        expected = states(ledger), [event.body for event in ledger.events()]
    step, found = max(1, len(whole) // FLIPS), 0
    for start in range(0, len(whole), step):
        at = min(start + dice.randrange(step), len(whole) - 1)
        damaged = bytearray(whole)
        damaged[at] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        if _sound(path):
            with Ledger(path, readonly=True) as ledger:
                assert (states(ledger), [event.body for event in ledger.events()]) == expected, at
        else:
            found += 1
            check_commands(path)
            check_commands(path, writing(path))
    assert found > FLIPS // 4


def _timelines(ledger: Ledger, keys: Iterable[str]) -> dict[str, Timeline | None]:
    """What the ledger shows of each delivery; ``None`` where it refuses."""
    shown: dict[str, Timeline | None] = {}
    for key in keys:
        try:
            shown[key] = ledger.timeline(key)
        except PostledgerError:
            shown[key] = None
    return shown


def test_a_timeline_is_as_recorded_or_refused_whatever_byte_is_flipped(
    path: Path, made: Path
) -> None:
    """Without ``verify`` too: an event that is shown is one that was recorded."""
    whole, dice = made.read_bytes(), random.Random(5)
    keys = [f"TU1T{number}" for number in range(0, 60, 7)]
    with Ledger(made, readonly=True) as ledger:
        expected = _timelines(ledger, keys)
    assert None not in expected.values()
    refused = 0
    for _ in range(FLIPS):
        at = dice.randrange(len(whole))
        damaged = bytearray(whole)
        damaged[at] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        try:
            with Ledger(path, readonly=True, guarded=False) as ledger:
                shown = _timelines(ledger, keys)
        except PostledgerError:
            continue
        assert {key: steps for key, steps in shown.items() if steps is not None}.items() <= (
            expected.items()
        ), at
        refused += None in shown.values()
    assert refused


def test_an_index_that_leads_elsewhere_shows_no_other_delivery(path: Path) -> None:
    """SQLite trusts its indexes: a damaged one would have one delivery's events told of another."""
    keys = ("TU1T11", "TU1T12")
    with closing(sqlite3.connect(path)) as conn:
        sql = "SELECT id FROM streams WHERE key IN (?, ?) AND chart = 'delivery' ORDER BY key"
        first, second = (row[0] for row in conn.execute(sql, keys))
    whole = path.read_bytes()
    for key, stream, other in zip(keys, (first, second), (second, first), strict=True):
        entry = f"{key}delivery".encode()
        assert whole.count(entry + bytes([stream])) == 1
        whole = whole.replace(entry + bytes([stream]), entry + bytes([other]))
    path.write_bytes(whole)
    assert not _sound(path)
    with Ledger(path, readonly=True) as ledger:
        for key in keys:
            with pytest.raises(IntegrityError, match=f"{key}: an index of the file is damaged"):
                ledger.timeline(key)
        assert ledger.timeline("TU1T10")


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE states_1 SET state = 'failed'", "the projection differs from the fold"),
        ("DELETE FROM states_1", "no delivery 'TU1T3' is known"),
        ("UPDATE events SET received_at = received_at + 1", "the event is not what was recorded"),
        ("UPDATE events SET chain = zeroblob(32)", "the event is not what was recorded"),
        (
            "UPDATE events SET fields = replace(fields, '05:00:01', '05:30:01')",
            "is not what was recorded",
        ),
        ("UPDATE streams SET key = 'TU1T' || (100 + id) WHERE key > 'TU1T4'", None),
    ],
)
def test_show_proves_what_it_shows(path: Path, sql: str, told: str | None) -> None:
    """What was altered is refused in one line; what others have of it doesn't matter."""
    with closing(sqlite3.connect(path)) as conn, conn:
        for name in guards():
            conn.execute(f"DROP TRIGGER {name}")
        conn.execute(sql)
        for guard in guards().values():
            conn.execute(guard)
    shown = CliRunner().invoke(main, ["show", str(path), "TU1T3"])
    assert shown.exit_code == (told is not None)
    if told is not None:
        assert shown.stdout == ""
        assert told in shown.stderr
        assert traffic.one_line(shown.stderr)


@pytest.mark.parametrize(
    "at", [b"CREATE TABLE", b"CREATE UNIQUE INDEX", b"CREATE TRIGGER", b"CREATE VIEW"]
)
@pytest.mark.parametrize("byte", [b"\xc5", b"(", b"\x00"])
def test_a_damaged_schema_is_told_in_one_line(
    path: Path, made: Path, at: bytes, byte: bytes
) -> None:
    """What SQLite then says may cite names that are no text any more."""
    whole = made.read_bytes()
    for behind in (0, 7, len(at) + 1):
        place = whole.index(at) + behind
        path.write_bytes(whole[:place] + byte + whole[place + 1 :])
        assert not _sound(path)
        assert check_commands(path)[0] == 1
        check_commands(path, writing(path))


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("events", "received_at", b"\x00"),
        ("events", "occurred_at", b"\x00"),
        ("events", "received_at", 2**62),
        ("events", "flags", "many"),
        ("events", "flags", None),
        ("events", "digest", 7),
        ("events", "chain", None),
        ("events", "body", 7),
        ("events", "fields", 7.5),
        ("events", "fields", None),
        ("events", "stream_id", "one"),
        ("events", "shape_id", "one"),
        ("events", "repeats", "one"),
        ("events", "body_of", "one"),
        ("shapes", "fields", b"\x00"),
        ("shapes", "fields", "[7]"),
        ("shapes", "fields", '[["a", 7]]'),
        ("shapes", "template", 7),
        ("shapes", "root", 7),
        ("shapes", "content_type", 7),
        ("shapes", "repaired", "no"),
        ("streams", "chart", 7.5),
        ("streams", "key", 7.5),
        ("blocks", "last", None),
        ("blocks", "last", "none"),
        ("blocks", "position", b"\x00"),
        ("blocks", "columns", 7),
        ("definitions", "sources", 7),
        ("definitions", "sources", "[" * 3000),
        ("streams", "key", b"\x00"),
        ("streams", "id", 2**63 - 1),
        ("events", "position", 2**63 - 1),
        ("projections", "position", "none"),
        ("projections", "live", "yes"),
        ("states_1", "state", b"\x00"),
        ("states_1", "findings", "none"),
        ("states_1", "created_at", b"\x00"),
        ("states_1", "first_received_at", 2**62),
    ],
)
def test_a_value_of_no_possible_type_is_told_in_one_line(
    path: Path, table: str, column: str, value: object
) -> None:
    """Damaged records may hold anything: numbers for texts, bytes for times, times out of reach."""
    with closing(sqlite3.connect(path)) as conn, conn:
        (sql,) = conn.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        for name in guards():
            conn.execute(f"DROP TRIGGER {name}")
    plain = sql
    for word in ("STRICT", " NOT NULL", " TEXT", " BLOB"):
        plain = plain.replace(word, "")
    _declare(path, table, plain)
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("PRAGMA ignore_check_constraints=ON")
        # From the last on: of what is there once, the last has it.
        conn.execute(
            f"UPDATE OR IGNORE {table} SET {column} = ? WHERE rowid = (SELECT max(rowid) FROM {table})"
            if column in {"id", "position"} and table != "projections"
            else f"UPDATE OR IGNORE {table} SET {column} = ?",
            (value,),
        )
    _declare(path, table, sql)
    with closing(sqlite3.connect(path)) as conn, conn:
        for guard in guards().values():
            conn.execute(guard)
    assert check_commands(path)[0] == 1
    check_commands(path, writing(path))


def _declare(path: Path, table: str, sql: str) -> None:
    """Say otherwise what a table holds, and leave what it holds as it is."""
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("PRAGMA writable_schema=ON")
        conn.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, table))


def test_a_block_of_garbage_in_every_page_is_found(path: Path, made: Path) -> None:
    """A sector that was lost shows in every page that is in use."""
    whole, dice = made.read_bytes(), random.Random(4)
    for page in range(0, len(whole), 4096):
        damaged = bytearray(whole)
        damaged[page : page + 512] = dice.randbytes(512)
        path.write_bytes(damaged)
        assert not _sound(path), page
        assert check_commands(path)[0] == 1
        check_commands(path, writing(path))


def test_a_truncated_file_is_found(path: Path, made: Path) -> None:
    """Cut anywhere, at the end of a page or within it."""
    whole = made.read_bytes()
    pages = range(4096, len(whole), 4096 * max(1, len(whole) // 4096 // 12))
    for size in (1, 10, 99, 100, 2048, *pages, *(page + 1000 for page in pages), len(whole) - 1):
        path.write_bytes(whole[:size])
        assert not _sound(path), size
        assert check_commands(path)[0] == 1
        check_commands(path, writing(path))


def test_a_lost_write_ahead_file_is_told_by_the_anchor(path: Path, tmp_path: Path) -> None:
    """What a killed writer left beside the file is part of it: without it the log ends earlier."""
    writer = traffic.start("acknowledge", path, 1000, 2000)
    for _ in range(30):
        traffic.first_line(writer)
    traffic.kill(writer)
    wal = path.with_name("copy.db-wal")
    damaged = bytearray(wal.read_bytes())
    cut = Path(shutil.copy(path, tmp_path / "cut.db"))
    with Ledger(path) as ledger:
        position, head = ledger.head()
        assert position >= 212 + 30
        assert ledger.verify().ok
    middle = len(damaged) // 2
    damaged[middle] ^= 0xFF
    cut.with_name("cut.db-wal").write_bytes(damaged)
    told = CliRunner().invoke(main, ["verify", str(cut), "--anchor", f"{position}:{head}"])
    assert told.exit_code == 1
    assert f"before the anchor at {position}" in told.stdout


NO_LEDGERS = {
    "text": b"tracking_id,state\n1,delivered\n",
    "two bytes": b"xy",
    "zeros": bytes(8192),
    "a header only": b"SQLite format 3\x00",
    "a header and noise": b"SQLite format 3\x00" + bytes(range(256)) * 40,
}


@pytest.mark.parametrize("kind", NO_LEDGERS)
def test_a_file_that_is_no_database(tmp_path: Path, kind: str) -> None:
    """Nothing is recorded into it, nothing read from it, and it stays as it is."""
    path = tmp_path / "some.db"
    path.write_bytes(NO_LEDGERS[kind])
    for readonly in (False, True):
        with pytest.raises(LedgerError):
            Ledger(path, readonly=readonly)
    assert check_commands(path) == [1, 1, 1, 1]
    assert path.read_bytes() == NO_LEDGERS[kind]


def test_an_empty_file_is_a_ledger_to_be(tmp_path: Path) -> None:
    """To read from it is an error; to record makes it one, as for a file that is not there."""
    path = tmp_path / "empty.db"
    path.touch()
    assert check_commands(path) == [1, 1, 1, 1]
    assert path.read_bytes() == b""
    with Ledger(path) as ledger:
        ledger.record(traffic.body(0))
        assert ledger.verify().ok


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    """One line says so."""
    for readonly in (False, True):
        with pytest.raises(LedgerError, match=f"{tmp_path}: "):
            Ledger(tmp_path, readonly=readonly)
    assert CliRunner().invoke(main, ["verify", str(tmp_path)]).exit_code == 2


def test_a_database_of_another_program(tmp_path: Path) -> None:
    """It is refused before anything is written to it."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE events (position INTEGER PRIMARY KEY)")
    before = path.read_bytes()
    for readonly in (False, True):
        with pytest.raises(NotALedger, match="not a ledger"):
            Ledger(path, readonly=readonly)
    assert path.read_bytes() == before


@pytest.mark.parametrize("pragma", ["user_version", "application_id"])
def test_a_newer_format_and_a_foreign_mark(path: Path, pragma: str) -> None:
    """A format that this version doesn't know is not guessed at."""
    with closing(sqlite3.connect(path)) as conn:
        conn.execute(f"PRAGMA {pragma} = {FORMAT + 1}")
    match = "upgrade" if pragma == "user_version" else "not a ledger"
    for readonly in (False, True):
        with pytest.raises(NotALedger, match=match):
            Ledger(path, readonly=readonly)
    assert check_commands(path) == [1, 1, 1, 1]


def test_a_locked_ledger_is_busy_and_then_works(path: Path) -> None:
    """Beyond the timeout one line says so and nothing was written; afterwards all is as before."""
    with Ledger(path, timeout=0.05) as ledger, closing(sqlite3.connect(path)) as other:
        before = ledger.head()
        other.execute("BEGIN IMMEDIATE")
        for doing in (
            lambda: ledger.record(traffic.body(900)),
            lambda: ledger.record_many(traffic.bodies(900, 903)),
            ledger.rebuild,
        ):
            with pytest.raises(LedgerBusy, match="nothing was written"):
                doing()
        assert ledger.head() == before
        assert ledger.delivery("TU1T3").state == "delivered"
        other.rollback()
        assert ledger.record(traffic.body(900)).event.position == before[0] + 1
        assert ledger.verify().ok


def test_a_new_ledger_that_is_locked_is_busy(tmp_path: Path) -> None:
    """Also the file that another process is just about to make."""
    path = tmp_path / "new.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerBusy):
            Ledger(path, timeout=0.05)
    with Ledger(path) as ledger:
        assert ledger.verify().ok
