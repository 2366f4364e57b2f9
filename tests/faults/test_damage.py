"""A file that is damaged, not a ledger, locked, or may not be written.

Every call then ends with one clear line, or ``verify`` names a problem; a wrong state is never shown
by a ledger that verifies, and ``timeline`` proves what it shows. SQLite keeps no checksum of its
pages, so lists, which read less, may show a damaged text.

Seen to fail: ``tests/faults/without.py`` takes the protections away one by one.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from postledger import (
    IntegrityError,
    Ledger,
    LedgerBusy,
    LedgerError,
    NotALedger,
    PostledgerError,
    UnknownKey,
)
from postledger.model import Timeline
from postledger.projections.index import Index
from postledger.store.sqlite import FORMAT
from tests.conftest import FIXTURES
from tests.faults import traffic
from tests.guards import guards
from tests.samples import first_outcome_stands
from tests.states import states

FLIPS = int(os.environ.get("POSTLEDGER_FLIPS", "40"))

LATER = traffic.body(10).replace(b"05:00", b"05:30")
"""One more event of TU1T3."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of a few pages of each kind."""
    path = tmp_path_factory.mktemp("damage") / "made.db"
    samples = [p.read_bytes() for p in sorted((FIXTURES / "specification").glob("*.xml"))]
    with Ledger(path) as ledger:
        ledger.record_many([*samples, b"no postback", samples[0], *traffic.bodies(0, 300)])
        ledger.record(b'[{"code": "N101", "tracking-id": "b1"}, {"code": "N102"}]')
        ledger.subscribe("seen", lambda change: None, live=False)
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """A copy of that ledger to damage."""
    return Path(shutil.copy(made, tmp_path / "copy.db"))


READS: dict[str, Callable[[Ledger], object]] = {
    "verify": lambda ledger: ledger.verify(),
    "head": lambda ledger: ledger.head(),
    "delivery": lambda ledger: ledger.delivery("TU1T3"),
    "content": lambda ledger: ledger.content("35674"),
    "timeline": lambda ledger: ledger.timeline("TU1T3"),
    "deliveries": lambda ledger: list(ledger.deliveries()),
    "as of": lambda ledger: list(ledger.deliveries(as_of=30)),
    "then": lambda ledger: ledger.delivery("TU1T3", as_of=100, definitions="then"),
    "events": lambda ledger: list(ledger.events()),
    "follow": lambda ledger: list(ledger.follow(live=False)),
    "checkpoints": lambda ledger: ledger.checkpoints(),
    "views": lambda ledger: [
        ledger.query(f"SELECT * FROM {view}")
        for view in ("deliveries", "contents", "statements", "event_log")
    ],
    "differences": lambda ledger: list(ledger.differences(traffic.other_vocabulary())),
}
WRITES: dict[str, Callable[[Ledger], object]] = {
    "record": lambda ledger: ledger.record(LATER),
    "record another": lambda ledger: ledger.record(traffic.body(900)),
    "record many": lambda ledger: ledger.record_many([*traffic.bodies(8, 13), b"no postback"]),
    "created": lambda ledger: ledger.created("TU1T3", to="16500000003"),
    "subscribe": lambda ledger: ledger.subscribe("seen", lambda change: None, live=False),
    "replay": lambda ledger: ledger.replay(),
    "replay the index": lambda ledger: ledger.replay(index=True),
    "adopt": lambda ledger: ledger.replay(traffic.other_chart()),
}
RECORDS = ("record", "record another", "record many", "created")


def refusals(path: Path, calls: dict[str, Callable[[Ledger], object]]) -> dict[str, str]:
    """Which calls were refused, and how; each is an error of Postledger, of one line.

    What is wrong with the file names it; ``verify`` reports and is not refused.
    """
    refused: dict[str, str] = {}
    try:
        with Ledger(path, readonly=calls is READS, guarded=False) as ledger:
            for name, call in calls.items():
                try:
                    call(ledger)
                except PostledgerError as error:
                    refused[name] = _one_line(path, error)
    except PostledgerError as error:
        refused["open"] = _one_line(path, error)
    return refused


def _one_line(path: Path, error: PostledgerError) -> str:
    said = str(error)
    assert said.splitlines() == [said], said
    assert str(path) in said or isinstance(error, UnknownKey) or type(error) is PostledgerError, (
        said
    )
    return said


def _sound(path: Path) -> bool:
    """Whether ``verify`` finds nothing wrong."""
    try:
        with Ledger(path, readonly=True, guarded=False) as ledger:
            return ledger.verify().ok
    except PostledgerError:
        return False


def _check_flips(path: Path, made: Path, flips: int, seed: int) -> None:
    whole, dice = made.read_bytes(), random.Random(seed)
    with Ledger(made, readonly=True) as ledger:
        expected = states(ledger), [event.body for event in ledger.events()]
    step, found = max(1, len(whole) // flips), 0
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
            refusals(path, READS)
            refusals(path, WRITES)
    assert found > flips // 4


def test_a_flipped_byte_anywhere_is_found_or_harmless(path: Path, made: Path) -> None:
    """In every region of the file: where ``verify`` is content, every state and body is as it was."""
    _check_flips(path, made, FLIPS, 3)


@pytest.mark.long
def test_many_flipped_bytes_are_found_or_harmless(path: Path, made: Path) -> None:
    """The same at length."""
    _check_flips(path, made, 12 * FLIPS, 23)


def test_a_stream_that_a_scan_alone_finds_is_said_to_be_missing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is where its key in the index is damaged: the replay is refused in one line."""
    whole = Index.rows_of_all

    def searched(self: Index, streams: Sequence[int], *bounds: Any) -> dict[int, Any]:
        return {one: rows for one, rows in whole(self, streams, *bounds).items() if one != 14}

    monkeypatch.setattr(Index, "rows_of_all", searched)
    with (
        Ledger(path) as ledger,
        pytest.raises(IntegrityError, match=r"stream 14 is missing; run replay --index$"),
    ):
        ledger.replay(first_outcome_stands())


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
    for _ in range(2 * FLIPS):
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
    """SQLite trusts its indexes: a damaged one would have one delivery's events shown for another."""
    keys = ("TU1T11", "TU1T12")
    with closing(sqlite3.connect(path)) as conn:
        sql = (
            "SELECT id FROM index_1_streams WHERE key IN (?, ?) AND chart = 'delivery' ORDER BY key"
        )
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
            with pytest.raises(IntegrityError, match=f"{key}: .*differs from the log"):
                ledger.timeline(key)
        assert ledger.timeline("TU1T10")


def altered(path: Path, *statements: str) -> None:
    """Run statements with the guards dropped, and put these back."""
    with closing(sqlite3.connect(path)) as conn, conn:
        for name in guards():
            conn.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            conn.execute(statement)
        for guard in guards().values():
            conn.execute(guard)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE states_1 SET state = 'failed'", "the state differs from the fold"),
        ("DELETE FROM states_1", "the state differs from the fold"),
        ("UPDATE events SET received_at = received_at + 1", "the event is not what was received"),
        ("UPDATE events SET leaf = zeroblob(32)", "the event is not what was received"),
        (
            "UPDATE events SET texts = replace(texts, '05:00:01', '05:30:01')",
            "is not what was received",
        ),
        ("UPDATE index_1 SET findings = findings | 1", "the index differs from the log"),
        ("UPDATE index_1 SET occurred_at = occurred_at + 1", "the index differs from the log"),
        ("UPDATE index_1_streams SET key = 'TU1T' || (1000 + id) WHERE key > 'TU1T4'", None),
    ],
)
def test_a_timeline_proves_what_it_shows(path: Path, sql: str, told: str | None) -> None:
    """What was altered is refused in one line; what others have of it doesn't matter."""
    where = ""
    if "events" in sql:
        where = " WHERE position > 0"
    elif "occurred_at" in sql:
        where = " WHERE occurred_at < 9e18"
    altered(path, sql + where)
    with Ledger(path, readonly=True) as ledger:
        if told is None:
            assert len(ledger.timeline("TU1T3")) == 3
        else:
            with pytest.raises(IntegrityError, match=told) as caught:
                ledger.timeline("TU1T3")
            assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "at", [b"CREATE TABLE", b"CREATE UNIQUE INDEX", b"CREATE TRIGGER", b"CREATE VIEW"]
)
@pytest.mark.parametrize("byte", [b"\xc5", b"(", b"\x00"])
def test_a_damaged_schema_is_refused_in_one_line(
    path: Path, made: Path, at: bytes, byte: bytes
) -> None:
    """What SQLite then says may cite names that are no text any more."""
    whole = made.read_bytes()
    for behind in (0, 7, len(at) + 1):
        place = whole.index(at) + behind
        path.write_bytes(whole[:place] + byte + whole[place + 1 :])
        assert not _sound(path)
        refusals(path, READS)
        refusals(path, WRITES)


# --- values of no possible type ---

VALUES: tuple[object, ...] = (None, b"\x00", 7, 7.5, "text", -(2**62), 2**63 - 1)
TABLES: dict[str, tuple[str, ...]] = {
    "events": (
        "position",
        "received_at",
        "envelope",
        "inline",
        "template",
        "texts",
        "body",
        "salt",
        "leaf",
    ),
    "envelopes": ("id", "envelope"),
    "templates": ("id", "digest", "skeleton", "pieces", "total"),
    "nodes": ("number", "hash"),
    "head": ("size", "frontier", "adoption"),
    "generations": (
        "number",
        "indexed",
        "vocabularies",
        "version",
        "adoption",
        "size",
        "stage",
        "cursor",
    ),
    "checkpoints": ("kind", "name", "version", "tables", "position", "problem"),
    "index_1_streams": ("id", "space", "chart", "key"),
    "index_1": (
        "stream",
        "occurred_at",
        "identity",
        "position",
        "member",
        "findings",
        "said",
    ),
    "states_1": (
        "stream",
        "state",
        "route",
        "reason",
        "recipient",
        "created_at",
        "sent_at",
        "first_received_at",
        "events",
        "repeats",
        "findings",
        "source",
        "read",
        "grade",
        "reason_class",
        "labels",
        "amounts",
    ),
    "search_1": ("entry",),
    "tallies_1": (
        "hour",
        "what",
        "source",
        "carrier",
        "route",
        "value",
        "findings",
        "seconds",
        "n",
        "repeats",
        "took",
    ),
}
FREE = ("cursor", "skeleton")
"""Columns that nothing shown depends on: a value of the right type is as good as another."""

COLUMNS = [(table, column) for table, columns in TABLES.items() for column in columns]


def _set(path: Path, table: str, column: str, value: object, *, every: bool) -> bool:
    """Set a column to a value of no possible type, whatever the table says; whether that did."""
    with closing(sqlite3.connect(path)) as conn, conn:
        (sql,) = conn.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        triggers = conn.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (table,)
        ).fetchall()
        for name, _ in triggers:
            conn.execute(f"DROP TRIGGER {name}")
    plain = sql.replace("INTEGER PRIMARY KEY", "INTEGER_PRIMARY_KEY")
    for word in ("STRICT, ", " STRICT", " NOT NULL", " TEXT", " BLOB", " INTEGER "):
        plain = plain.replace(word, " ")
    for end in (",\n", "\n"):
        plain = plain.replace(f" INTEGER{end}", end)
    _declare(path, table, plain.replace("INTEGER_PRIMARY_KEY", "INTEGER PRIMARY KEY"))
    one = "" if every else f" WHERE {column} IS (SELECT max({column}) FROM {table})"
    if table == "events" and not every:
        one = " WHERE position = 23"
    try:
        with closing(sqlite3.connect(path)) as conn, conn:
            conn.execute("PRAGMA ignore_check_constraints=ON")
            before = list(conn.execute(f"SELECT * FROM {table}"))
            conn.execute(f"UPDATE OR IGNORE {table} SET {column} = ?{one}", (value,))
            done = list(conn.execute(f"SELECT * FROM {table}")) != before
    except sqlite3.Error:
        # The key of the table can't be that.
        done = False
    _declare(path, table, sql)
    with closing(sqlite3.connect(path)) as conn, conn:
        for _, trigger in triggers:
            conn.execute(trigger)
    return done


def _declare(path: Path, table: str, sql: str) -> None:
    """Say otherwise what a table holds, and leave what it holds as it is."""
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("PRAGMA writable_schema=ON")
        conn.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, table))


def _check_value(
    path: Path, made: Path, where: tuple[str, str], value: object, every: bool
) -> None:
    table, column = where
    shutil.copy(made, path)
    if not _set(path, table, column, value, every=every):
        return
    refused = refusals(path, READS)
    if "open" not in refused:
        with Ledger(path, readonly=True, guarded=False) as ledger:
            assert table == "checkpoints" or column in FREE or not ledger.verify().ok, value
    refused = refusals(path, WRITES)
    if not every and table != "head" and (table, column) != ("events", "position"):
        # The log can be appended: the next events are kept, whatever is wrong with those of before.
        assert not refused.keys() & {"open", *RECORDS}, (where, value, refused)


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_value_of_no_possible_type_is_refused_in_one_line(
    path: Path, made: Path, table: str, column: str
) -> None:
    """Damaged records may hold anything: numbers for texts, bytes for times, times out of reach."""
    for number, value in enumerate(VALUES[len(table) % 3 :: 3]):
        _check_value(path, made, (table, column), value, every=number % 2 == len(column) % 2)


@pytest.mark.long
@pytest.mark.parametrize(("table", "column"), COLUMNS)
@pytest.mark.parametrize("every", [False, True])
def test_any_value_of_no_possible_type_is_refused_in_one_line(
    path: Path, made: Path, table: str, column: str, every: bool
) -> None:
    """The same with all values, in one row and in all."""
    more = (
        "",
        "[]",
        "[" * 3000,
        '["\\ud800"]',
        b"",
        0,
        -1,
        float("inf"),
        "\udcff".encode("utf-8", "surrogateescape"),
    )
    for value in (*VALUES, *more):
        _check_value(path, made, (table, column), value, every)


def test_a_block_of_garbage_in_every_page_is_found(path: Path, made: Path) -> None:
    """A sector that was lost shows in every page that is in use."""
    whole, dice = made.read_bytes(), random.Random(4)
    for page in range(0, len(whole), 4096):
        damaged = bytearray(whole)
        damaged[page : page + 512] = dice.randbytes(512)
        path.write_bytes(damaged)
        assert not _sound(path), page
        refusals(path, READS)
        refusals(path, WRITES)


def test_a_truncated_file_is_found(path: Path, made: Path) -> None:
    """Cut anywhere, at the end of a page or within it."""
    whole = made.read_bytes()
    pages = range(4096, len(whole), 4096 * max(1, len(whole) // 4096 // 12))
    for size in (1, 10, 99, 100, 2048, *pages, *(page + 1000 for page in pages), len(whole) - 1):
        path.write_bytes(whole[:size])
        assert not _sound(path), size
        refusals(path, READS)
        refusals(path, WRITES)


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
        anchor = ledger.head()
        assert anchor.size >= 315 + 30
        assert ledger.verify().ok
    middle = len(damaged) // 2
    damaged[middle] ^= 0xFF
    cut.with_name("cut.db-wal").write_bytes(damaged)
    with Ledger(cut) as ledger:
        assert ledger.verify().ok
        (told,) = ledger.verify(anchor).problems
    assert told.endswith(f"before the anchor at size {anchor.size}")


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
    assert refusals(path, READS).keys() == {"open"}
    assert path.read_bytes() == NO_LEDGERS[kind]


def test_an_empty_file_is_a_ledger_to_be(tmp_path: Path) -> None:
    """To read from it is an error; to record makes it one, as for a file that is not there."""
    path = tmp_path / "empty.db"
    path.touch()
    assert refusals(path, READS).keys() == {"open"}
    assert path.read_bytes() == b""
    with Ledger(path) as ledger:
        ledger.record(traffic.body(0))
        assert ledger.verify().ok


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    """One line says so."""
    for readonly in (False, True):
        with pytest.raises(LedgerError, match=f"{tmp_path}: "):
            Ledger(tmp_path, readonly=readonly)


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
    match = "of format" if pragma == "user_version" else "not a ledger"
    for readonly in (False, True):
        with pytest.raises(NotALedger, match=match):
            Ledger(path, readonly=readonly)
    assert refusals(path, READS).keys() == {"open"}


def test_a_locked_ledger_is_busy_and_then_works(path: Path) -> None:
    """Beyond the timeout one line says so and nothing was written; afterwards all is as before."""
    with Ledger(path, timeout=0.05) as ledger, closing(sqlite3.connect(path)) as other:
        before = ledger.head()
        other.execute("BEGIN IMMEDIATE")
        for doing in (
            lambda: ledger.record(traffic.body(900)),
            lambda: ledger.record_many(traffic.bodies(900, 903)),
            ledger.replay,
        ):
            with pytest.raises(LedgerBusy, match="nothing was written"):
                doing()
        assert ledger.head() == before
        assert ledger.delivery("TU1T3").state == "delivered"
        other.rollback()
        assert ledger.record(traffic.body(900)).event.position == before.size
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
