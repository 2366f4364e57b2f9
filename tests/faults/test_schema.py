"""Whatever is changed in the file by hand is reported, or changes nothing that is shown.

Each table, column, row, view, trigger and index: the guards are dropped and put back as they were.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from postledger import Anchor, Ledger, PostledgerError, Receipt
from postledger.projections import replay
from postledger.projections.generations import states_tables
from postledger.projections.index import Index
from tests.conftest import FIXTURES
from tests.faults import traffic
from tests.guards import guards
from tests.samples import delivered, sent

BUNDLE = (FIXTURES / "generations/g0/bundle.xml").read_bytes()
NEXT = sent("next")


class Seen:
    """A projection, so that there is a checkpoint."""

    name, version = "seen", 1
    tables = {"seen": "position INTEGER, member INTEGER"}  # noqa: RUF012

    def apply(self, change: Any, db: Any) -> None:
        place = (change.position, change.event.member)
        db.execute("INSERT INTO seen VALUES (?, ?)", place)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Anchor, object]:
    """A ledger with one of everything, its anchor, and what it shows."""
    # As many events as give the tree a node that is kept.
    return made_of(250, tmp_path_factory.mktemp("schema") / "test.db")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Anchor]:
    """Another one with fewer events, which a replay reads sooner, and its anchor."""
    path, anchor, _ = made_of(50, tmp_path_factory.mktemp("schema") / "small.db")
    return path, anchor


def made_of(messages: int, path: Path) -> tuple[Path, Anchor, object]:
    """A ledger of so many messages, its anchor, and what it shows."""
    with Ledger(path) as ledger:
        ledger.record_many(sent(f"m{n}") for n in range(messages))
        ledger.record_many(delivered(f"m{n}") for n in range(3))
        ledger.record_many([BUNDLE, b"?", b"?", sent("m1"), b"<NEW/>", Receipt(b"\xff", "a/b")])
        ledger.created("k", to="1", source="mine")
        ledger.project(Seen())
        ledger.subscribe("all", lambda change: None, live=False)
        anchor, shown = ledger.head(), shown_by(ledger)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
    return path, anchor, shown


def shown_by(ledger: Ledger) -> object:
    """All that a ledger shows."""
    keys = ("m0", "m1", "m49", "k")
    return (
        [
            (e.position, e.member, e.kind, e.body, e.source, e.key, e.repeats)
            for e in ledger.events()
        ],
        [delivery.to_dict() for delivery in ledger.deliveries()],
        [delivery.tracking_id for delivery in ledger.deliveries(search="1650")],
        [[step.to_dict() for step in ledger.timeline(key)] for key in keys],
        ledger.query("SELECT * FROM deliveries ORDER BY tracking_id"),
        ledger.query("SELECT * FROM statements ORDER BY position, member"),
        ledger.query("SELECT count(*), max(body) FROM event_log"),
        ledger.head(),
    )


def reported(path: Path, anchor: Anchor) -> list[str]:
    """What opening and ``verify`` say is wrong."""
    try:
        with Ledger(path, readonly=True, guarded=False) as ledger:
            return list(ledger.verify(anchor).problems)
    except PostledgerError as error:
        return [str(error)]


def assert_harmless(path: Path, anchor: Anchor, shown: object) -> None:
    """Nothing that is shown changes: now, after a replay, after one more event."""
    with Ledger(path) as ledger:
        assert shown_by(ledger) == shown
        ledger.replay(index=True)
        assert shown_by(ledger) == shown
        ledger.record(NEXT)
        assert ledger.delivery("next").state == "sent"
        assert ledger.verify(anchor).problems == ()


def changed(value: object) -> list[object]:
    """Other values of the same type, and none."""
    if isinstance(value, int):
        return [value - 1, -(value // 2) - 7]
    if isinstance(value, bytes):
        return [bytes([value[0] ^ 1]) + value[1:] if value else b"x", None]
    if isinstance(value, str):
        return [value + "x", ""]
    return ["x", 7]


@pytest.fixture
def copy(made: tuple[Path, Anchor, object], tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copy(made[0], tmp_path / "copy.db")
    return tmp_path / "copy.db"


TABLES = (
    "events", "envelopes", "templates", "nodes", "head", "generations", "checkpoints",
    "index_1", "index_1_streams", "search_1", "states_1", "tallies_1",
)  # fmt: skip


def damages(path: Path, table: str) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The statements that change, delete and add something of a table."""
    with closing(sqlite3.connect(path)) as db:
        info = db.execute(f"PRAGMA table_info({table})").fetchall()
        names = [name for _, name, *_ in info]
        keys = [name for _, name, _, _, _, number in info if number]
        order = ", ".join(keys)
        rows = db.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
    for row in {0: rows[0], len(rows) - 1: rows[-1]}.values():
        of_row = dict(zip(names, row, strict=True))
        where = " AND ".join(f"{key} = ?" for key in keys)
        which = tuple(of_row[key] for key in keys)
        for name in names:
            for value in (one for one in changed(of_row[name]) if one != of_row[name]):
                yield f"UPDATE OR IGNORE {table} SET {name} = ? WHERE {where}", (value, *which)
        yield f"DELETE FROM {table} WHERE {where}", which
        for name in keys:
            value = of_row[name]
            more = value // 2 + 1_000_000 if isinstance(value, int) else str(value) + "x"
            added = {**of_row, name: more}
            holes = ", ".join("?" * len(names))
            yield f"INSERT OR IGNORE INTO {table} VALUES ({holes})", tuple(added.values())


def damage(path: Path, sql: str, parameters: tuple[object, ...]) -> bool:
    """Change something with the guards dropped, and put them back; whether it changed anything."""
    with closing(sqlite3.connect(path)) as db:
        for name in guards():
            db.execute(f"DROP TRIGGER {name}")
        try:
            done = db.execute(sql, parameters).rowcount
        except sqlite3.IntegrityError:
            return False
        for trigger in guards().values():
            db.execute(trigger)
        db.commit()
    return done > 0


@pytest.mark.parametrize("table", TABLES)
def test_each_change_is_reported_or_harmless(
    made: tuple[Path, Anchor, object], tmp_path: Path, table: str
) -> None:
    """Of each column of some rows, each row of these, and rows that were added."""
    path, anchor, shown = made
    tried, silent = 0, set()
    for number, (sql, parameters) in enumerate(damages(path, table)):
        copied = tmp_path / f"{number}.db"
        shutil.copy(path, copied)
        if not damage(copied, sql, parameters):
            continue
        tried += 1
        if not reported(copied, anchor):
            silent.add(f"{sql} {parameters!r}")
            try:
                assert_harmless(copied, anchor, shown)
            except (AssertionError, PostledgerError) as error:
                raise AssertionError(f"{sql} {parameters!r}: {error}"[:2000]) from error
    assert tried > 3
    if table not in ("checkpoints", "generations"):
        assert {sql for sql in silent if "SET skeleton" not in sql} == set()


class Stopped(Exception):
    """What ends a replay early."""


UNFINISHED = {
    "index": (traffic.other_vocabulary, 2),
    "states": (traffic.other_vocabulary, 7),
    "shared": (traffic.other_chart, 3),
}
"""Replays that end early: by which definitions, and after how many steps."""


ALSO = [
    *(("index", table) for table in ("index_2", "index_2_streams", "tallies_2", "generations")),
    *((what, "search_2") for what in ("states", "shared")),
    *(
        ("states", table)
        for table in ("index_2", "index_2_streams", "states_2", "tallies_2", "generations")
    ),
    *(("shared", table) for table in ("states_2", "tallies_2", "generations")),
]


@pytest.mark.parametrize(("what", "table"), ALSO)
def test_each_change_of_an_unfinished_replay_is_reported_or_harmless(
    small: tuple[Path, Anchor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    table: str,
) -> None:
    """The replay that takes it up shows what a whole one would have shown."""
    monkeypatch.setattr(replay, "CHUNK", 15)
    begun, whole = tmp_path / "begun.db", tmp_path / "whole.db"
    shutil.copy(small[0], begun)
    shutil.copy(small[0], whole)
    definitions, steps = UNFINISHED[what]
    told: list[int] = []

    def stop(events: int) -> None:
        told.append(events)
        if len(told) == steps:
            raise Stopped

    with Ledger(begun) as ledger, pytest.raises(Stopped):
        ledger.replay(definitions(), progress=stop)
    assert unfinished(begun) == ("indexing" if what == "index" else "folding")
    with closing(sqlite3.connect(begun)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
    with Ledger(whole) as ledger:
        ledger.replay(definitions())
        wanted = everything(ledger)
    tried = 0
    for number, (sql, parameters) in enumerate(damages(begun, table)):
        copied = tmp_path / f"{number}.db"
        shutil.copy(begun, copied)
        if not damage(copied, sql, parameters) or reported(copied, small[1]):
            continue
        tried += 1
        with Ledger(copied) as ledger:
            ledger.replay(definitions())
            assert everything(ledger) == wanted, f"{sql} {parameters!r}"
            assert ledger.verify(small[1]).problems == ()
    assert tried > 3


def unfinished(path: Path) -> str:
    """The stage of the generation that is not live."""
    with closing(sqlite3.connect(path)) as db:
        ((stage,),) = db.execute("SELECT stage FROM generations WHERE stage <> 'live'")
    return str(stage)


def everything(ledger: Ledger) -> object:
    """What a ledger shows, without the head: leaves are salted."""
    *shown, _ = shown_by(ledger)
    return shown


def objects() -> list[tuple[str, str]]:
    """The views, triggers and indexes of a ledger."""
    named = ["event_log", "deliveries", "contents", "statements"]
    indexes = [
        "templates_skeleton",
        "generations_live",
        "states_1_first",
        "states_1_apart",
        "index_1_unread",
    ]
    return [
        *(("view", name) for name in named),
        *(("trigger", name) for name in guards()),
        *(("index", name) for name in indexes),
    ]


@pytest.mark.parametrize(
    "on", ["states_1 (state)", "index_1 (findings)", "index_1_streams (space)", "events (leaf)"]
)
def test_an_index_of_somebody_else_is_told(
    made: tuple[Path, Anchor, object], copy: Path, on: str
) -> None:
    """A unique one of the live states or their index would stop what is derived."""
    with closing(sqlite3.connect(copy)) as db:
        db.execute(f"CREATE INDEX mine ON {on}")
    assert any("index mine on" in problem for problem in reported(copy, made[1]))


@pytest.mark.parametrize(("kind", "name"), objects(), ids=lambda one: one)
def test_each_object_is_missed(
    made: tuple[Path, Anchor, object], copy: Path, kind: str, name: str
) -> None:
    """A view, trigger or index that was dropped, or made otherwise."""
    with closing(sqlite3.connect(copy)) as db:
        (sql, table) = db.execute(
            "SELECT sql, tbl_name FROM sqlite_master WHERE name = ?", (name,)
        ).fetchone()
        db.execute(f"DROP {kind} {name}")
    assert any(name in problem for problem in reported(copy, made[1]))
    other = {
        "view": f"CREATE VIEW {name} AS SELECT 1 AS position",
        "trigger": f"CREATE TRIGGER {name} BEFORE DELETE ON {table} BEGIN SELECT 1; END",
        "index": f"CREATE INDEX {name} ON {table} (rowid)",
    }[kind]
    with closing(sqlite3.connect(copy)) as db:
        try:
            db.execute(other)
        except sqlite3.OperationalError:
            db.execute(other.replace("(rowid)", f"({_first_column(db, table)})"))
    assert sql != other
    assert any(name in problem for problem in reported(copy, made[1]))


def _first_column(db: sqlite3.Connection, table: str) -> str:
    return str(db.execute(f"PRAGMA table_info({table})").fetchone()[1])


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE mine (a)",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE INDEX mine ON events (received_at)",
        "CREATE TRIGGER mine AFTER INSERT ON events BEGIN DELETE FROM states_1; END",
        "CREATE TRIGGER mine AFTER INSERT ON states_1 BEGIN DELETE FROM states_1; END",
        "CREATE TRIGGER mine AFTER INSERT ON index_1 BEGIN DELETE FROM index_1; END",
        "CREATE TABLE states_9 (a)",
    ],
)
def test_what_is_not_postledgers_is_reported(
    made: tuple[Path, Anchor, object], copy: Path, sql: str
) -> None:
    """Or is gone after the next replay."""
    with closing(sqlite3.connect(copy)) as db:
        db.execute(sql)
    assert reported(copy, made[1]) or "states_9" in sql
    if "states_9" in sql:
        with Ledger(copy) as ledger:
            ledger.replay()
            assert ledger.verify(made[1]).problems == ()


def test_a_log_rewritten_whole_is_told_by_the_anchor(
    made: tuple[Path, Anchor, object], tmp_path: Path
) -> None:
    """Without it nothing is wrong; with it the first line says so."""
    path, anchor, _ = made
    with Ledger(path, readonly=True) as ledger, Ledger(tmp_path / "new.db") as new:
        new.record_many(
            Receipt(e.body.replace(b"1650", b"1651"), e.content_type, e.received_at)
            for e in ledger.events(after=0)
            if e.member == 0
        )
        new.project(Seen())
    assert reported(tmp_path / "new.db", new_anchor(tmp_path / "new.db")) == []
    (problem,) = reported(tmp_path / "new.db", anchor)
    assert "the root is not that of the anchor" in problem


def new_anchor(path: Path) -> Anchor:
    """The head of a ledger."""
    with Ledger(path, readonly=True) as ledger:
        return ledger.head()


@pytest.mark.parametrize("stage", ["indexing", "folding"])
def test_an_unfinished_replay_made_up_by_somebody_is_not_believed(
    made: tuple[Path, Anchor, object], copy: Path, stage: str
) -> None:
    """Whatever it claims to have done, and whichever states it has, a replay shows what is right."""
    with closing(sqlite3.connect(copy)) as db, db:
        live = db.execute("SELECT vocabularies, version, size FROM generations").fetchone()
        number = 2 if stage == "indexing" else 1
        for sql in Index.tables("index_2").values() if stage == "indexing" else ():
            db.execute(sql)
        for sql in states_tables("states_2"):
            db.execute(sql)
        if stage == "indexing":
            db.execute("INSERT INTO index_2_streams VALUES (0, '', '', '')")
        else:
            # A stream of which no event says a state, as the next one that is recorded will be.
            db.execute("INSERT INTO states_2 SELECT * FROM states_1 WHERE stream = 1")
            db.execute("UPDATE states_2 SET state = 'delivered', stream = 1000000")
        size, cursor = (0, 2**62) if stage == "indexing" else (live[2], 0)
        row = (2, number, live[0], live[1], -1, size, stage, cursor)
        db.execute("INSERT INTO generations VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    with Ledger(copy) as ledger:
        ledger.replay()
        assert shown_by(ledger) == made[2]
        assert ledger.verify(made[1]).problems == ()
