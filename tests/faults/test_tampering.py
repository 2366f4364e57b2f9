"""Tampering: what the file refuses, and what ``verify`` says of what was forced upon it.

Seen to fail: ``tests/faults/without.py`` takes the protections away one by one: without the guards of
``log/schema.py`` the statements of the first test succeed, without the comparison of the leaves in
``verify.py`` edits of events and templates go unnoticed, without that of the schema those of the views.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from sqlite_utils import Database

from postledger import Change, Ledger
from postledger.errors import IntegrityError
from postledger.log.event import leaf_of
from postledger.log.log import Log
from postledger.log.tree import EMPTY, EMPTY_ROOT, extend
from postledger.model import Anchor
from postledger.templates import digest_of, written
from tests.conftest import FIXTURES
from tests.faults import traffic
from tests.guards import guards
from tests.states import rows

UNREADABLE = b"no postback at all"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of 400 events: genesis, samples, a repeat, other bytes, unreadable, unknown, traffic."""
    path = tmp_path_factory.mktemp("tampering") / "made.db"
    with Ledger(path) as ledger:
        samples = [p.read_bytes() for p in sorted((FIXTURES / "specification").glob("*.xml"))]
        ledger.record_many(samples)
        ledger.record(samples[0], content_type="text/xml")
        ledger.record(samples[2].replace(b"\n", b"\n "))
        ledger.record(UNREADABLE)
        ledger.record(UNREADABLE)
        ledger.record(b"<POSTBACK><CODE>N333</CODE><TO>1</TO></POSTBACK>")
        ledger.record_many(traffic.bodies(0, 383))
    return path


LAST = 399
UNREADABLE_AT = 14


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """A copy of that ledger to tamper with."""
    return Path(shutil.copy(made, tmp_path / "copy.db"))


@contextmanager
def shell(path: Path, *, guarded: bool = True) -> Iterator[sqlite3.Connection]:
    """A plain connection, as the sqlite3 shell has it; without guards they are put back at the end."""
    with closing(sqlite3.connect(path)) as conn, conn:
        if not guarded:
            for name in guards():
                conn.execute(f"DROP TRIGGER {name}")
        yield conn
        if not guarded:
            for sql in guards().values():
                conn.execute(sql)


def problems(path: Path, anchor: Anchor | None = None) -> tuple[str, ...]:
    """What ``verify`` says of a file."""
    with Ledger(path, readonly=True, guarded=False) as ledger:
        found = ledger.verify(anchor)
    assert found.ok == (not found.problems)
    return found.problems


COLUMNS = {
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
}


def statements() -> Iterator[str]:
    """What a plain shell might try on each table that nobody may alter."""
    for table, columns in COLUMNS.items():
        key = columns[0]
        last = f"(SELECT max({key}) FROM {table})"
        for column in columns:
            yield f"UPDATE {table} SET {column} = {column}"
            yield f"UPDATE OR REPLACE {table} SET {column} = {column} WHERE {key} = {last}"
        yield f"DELETE FROM {table}"
        yield f"DELETE FROM {table} WHERE {key} = {last}"
        for verb in ("INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE", "REPLACE"):
            yield f"{verb} INTO {table} SELECT * FROM {table} ORDER BY {key} LIMIT 1"
            yield f"{verb} INTO {table} SELECT * FROM {table} ORDER BY {key} DESC LIMIT 1"
        yield (
            f"INSERT INTO {table} SELECT * FROM {table} WHERE true"
            f" ON CONFLICT DO UPDATE SET {columns[1]} = {columns[1]}"
        )
    # A row in the way of another unique index than the primary key would be replaced as well.
    rest = ", ".join(COLUMNS["events"][1:])
    yield f"REPLACE INTO events SELECT 4711, {rest} FROM events WHERE position = 1"
    yield f"INSERT INTO events SELECT -1, {rest} FROM events WHERE position = 1"
    yield (
        "REPLACE INTO envelopes SELECT (SELECT max(id) + 1 FROM envelopes), envelope"
        " FROM envelopes LIMIT 1"
    )
    yield (
        "REPLACE INTO templates SELECT (SELECT max(id) + 1 FROM templates), digest, skeleton, '[]', 0"
        " FROM templates LIMIT 1"
    )


def test_a_plain_shell_can_alter_nothing_that_was_recorded(path: Path) -> None:
    """Every UPDATE, DELETE, REPLACE and misplaced INSERT is refused, and nothing has changed."""
    before = _dump(path)
    for statement in statements():
        with shell(path) as conn, pytest.raises(sqlite3.IntegrityError, match="append-only"):
            conn.execute(statement)
        assert _dump(path) == before
    assert problems(path) == ()


def _dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as conn:
        return list(conn.iterdump())


# What is done to the file once its guards are dropped, and the position that verify names first.
_EDITS = {
    "received_at": ("UPDATE events SET received_at = received_at + 1 WHERE position = 5", 5),
    "envelope": ("UPDATE events SET envelope = 1 WHERE position = 5", 5),
    "no such envelope": ("UPDATE events SET envelope = 4711 WHERE position = 5", 5),
    "no envelope": ("UPDATE events SET envelope = NULL WHERE position = 5", 5),
    "an envelope inline": (
        "UPDATE events SET envelope = NULL, inline = "
        '\'["receipt","stated","","",null,null,"body"]\' WHERE position = 5',
        5,
    ),
    "two envelopes": (
        "UPDATE events SET inline = (SELECT envelope FROM envelopes WHERE id = 2) WHERE position = 5",
        5,
    ),
    "template": ("UPDATE events SET template = 2 WHERE position = 5", 5),
    "no template": ("UPDATE events SET template = NULL WHERE position = 5", 5),
    "no such template": ("UPDATE events SET template = 4711 WHERE position = 5", 5),
    "texts": ("UPDATE events SET texts = replace(texts, '165', '166') WHERE position = 5", 5),
    "no texts": ("UPDATE events SET texts = NULL WHERE position = 5", 5),
    "too few texts": ("UPDATE events SET texts = '[]' WHERE position = 5", 5),
    "too many texts": (
        "UPDATE events SET texts = json_insert(texts, '$[#]', 'x') WHERE position = 5",
        5,
    ),
    "texts not JSON": ("UPDATE events SET texts = '[' WHERE position = 5", 5),
    "texts not a list": ("UPDATE events SET texts = '{}' WHERE position = 5", 5),
    "numbers for texts": (
        "UPDATE events SET texts = json_replace(texts, '$[0]', 7) WHERE position = 5",
        5,
    ),
    "texts written otherwise": (
        "UPDATE events SET texts = replace(texts, ',', ', ') WHERE position = 5",
        5,
    ),
    "unreadable body": ("UPDATE events SET body = x'ff' WHERE position = 14", 14),
    "body of a repeat": ("UPDATE events SET body = CAST('<a/>' AS BLOB) WHERE position = 15", 15),
    "body beside a template": ("UPDATE events SET body = x'00' WHERE position = 5", 5),
    "no body": ("UPDATE events SET body = NULL WHERE position = 14", 14),
    "salt": ("UPDATE events SET salt = randomblob(16) WHERE position = 5", 5),
    "no salt": ("UPDATE events SET salt = NULL WHERE position = 5", 5),
    "bytes moved from salt to body": (
        "UPDATE events SET salt = substr(salt, 1, 15), body = CAST(substr(salt, 16) || body AS BLOB)"
        " WHERE position = 14",
        14,
    ),
    "leaf": ("UPDATE events SET leaf = randomblob(32) WHERE position = 5", 5),
    "short leaf": ("UPDATE events SET leaf = x'00' WHERE position = 5", 5),
    "position": ("UPDATE events SET position = 4711 WHERE position = 399", 399),
    "template's pieces": (
        "UPDATE templates SET pieces = replace(pieces, 'SMS', 'sms') WHERE id = 1",
        1,
    ),
    "a template forged whole": ("UPDATE templates SET pieces = '[\"\"]' WHERE id = 1", 1),
    "pieces not JSON": ("UPDATE templates SET pieces = '[' WHERE id = 1", 1),
    "pieces not texts": ("UPDATE templates SET pieces = '[1]' WHERE id = 1", 1),
    "digest of a template": ("UPDATE templates SET digest = randomblob(16) WHERE id = 1", 1),
    "a template gone": ("DELETE FROM templates WHERE id = 1", 1),
    "an envelope changed": (
        "UPDATE envelopes SET envelope = replace(envelope, 'ours', 'stated') WHERE id = 2",
        1,
    ),
    "an envelope gone": ("DELETE FROM envelopes WHERE id = 2", 1),
    "a source given": (
        'UPDATE envelopes SET envelope = replace(envelope, \'"ours",""\', \'"ours","x"\') WHERE id = 2',
        1,
    ),
    "genesis": (
        "UPDATE events SET body = CAST(replace(body, 'ledger', 'ladder') AS BLOB) WHERE position = 0",
        0,
    ),
    "genesis gone": ("DELETE FROM events WHERE position = 0", 0),
    "first receipt gone": ("DELETE FROM events WHERE position = 1", 1),
    "middle event gone": ("DELETE FROM events WHERE position = 7", 7),
    "two swapped": (
        "UPDATE events SET position = 5000 - position WHERE position IN (17, 18);"
        "UPDATE events SET position = position - 4965 WHERE position IN (4982, 4983)",
        17,
    ),
    "one forged": (
        "INSERT INTO events SELECT 400, received_at, envelope, inline, template, texts, body, salt,"
        " leaf FROM events WHERE position = 399",
        400,
    ),
}


@pytest.mark.parametrize("edit", _EDITS)
def test_verify_names_the_first_position_that_was_tampered_with(path: Path, edit: str) -> None:
    """With the guards dropped and put back, whatever is edited shows at its own position."""
    script, position = _EDITS[edit]
    with shell(path, guarded=False) as conn:
        before = list(conn.iterdump())
        for statement in script.split(";"):
            conn.execute(statement)
        assert list(conn.iterdump()) != before
    found = _found(path)
    assert found
    assert _positions(found)[0] == position, found


def _found(path: Path) -> tuple[str, ...]:
    """What verify says, or why the file is not opened at all."""
    try:
        return problems(path)
    except IntegrityError as error:
        return (str(error).removeprefix(f"{path}: "),)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("DELETE FROM events WHERE position = 399", "the head of the tree is not what"),
        ("DELETE FROM nodes", "node 0 of the tree is not what its leaves give"),
        ("UPDATE nodes SET hash = zeroblob(32)", "node 0 of the tree is not what its leaves give"),
        ("INSERT INTO nodes VALUES (1, zeroblob(32))", "the tree has more nodes, or heads"),
        (
            "UPDATE head SET frontier = zeroblob(length(frontier))",
            "the head of the tree is not what",
        ),
        ("UPDATE head SET frontier = x''", "the head of the tree is not what"),
        ("UPDATE head SET size = size - 1", "the head of the tree is not what"),
        ("DELETE FROM head", "the head of the tree is not what"),
        ("UPDATE templates SET total = total + 1 WHERE id = 1", "template 1 is damaged: its total"),
        ("INSERT INTO envelopes VALUES (4711, 'x')", "envelope 4 is missing"),
    ],
)
def test_verify_compares_the_tree_with_its_leaves(path: Path, script: str, told: str) -> None:
    """What is kept of the tree follows from the leaves, and is compared."""
    with shell(path, guarded=False) as conn:
        conn.execute(script)
    assert any(told in problem for problem in _found(path)), _found(path)


@pytest.mark.parametrize(
    "script", ["DELETE FROM head", "UPDATE head SET size = 7", "UPDATE head SET frontier = x''"]
)
def test_a_head_that_was_taken_away_is_worked_out_again(path: Path, script: str) -> None:
    """Recording goes on from what the events alone give, and the tree is that of before."""
    with Ledger(path) as ledger:
        anchor = ledger.head()
    with shell(path, guarded=False) as conn:
        conn.execute(script)
    with Ledger(path) as ledger:
        assert ledger.head() == anchor
        assert ledger.record(traffic.body(500)).event.position == anchor.size
        assert ledger.verify(anchor).problems == ()


def _positions(found: tuple[str, ...]) -> list[int]:
    words = " ".join(found).replace(":", " ").replace(",", " ").split()
    return [int(after) for word, after in pairwise(words) if word == "position"]


def test_every_byte_of_every_body_is_covered(path: Path) -> None:
    """One byte changed in a body, in a text of an event, or in a template is found at its event."""
    with closing(sqlite3.connect(path)) as conn:
        whole = conn.execute("SELECT position, body FROM events WHERE body IS NOT NULL").fetchall()
        texts = conn.execute(
            "SELECT position, texts FROM events WHERE position IN (3, 40)"
        ).fetchall()
    assert len(whole) > 2
    for position, kept in whole:
        for at in (0, len(kept) // 2, len(kept) - 1):
            changed = kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :]
            _check_edit(path, "body", position, changed, kept)
    for position, kept in texts:
        for at in (2, len(kept) // 2, len(kept) - 3):
            changed = kept[:at] + chr(ord(kept[at]) ^ 1) + kept[at + 1 :]
            _check_edit(path, "texts", position, changed, kept)


def _check_edit(path: Path, column: str, position: int, changed: object, kept: object) -> None:
    sql = f"UPDATE events SET {column} = ? WHERE position = ?"
    with shell(path, guarded=False) as conn:
        conn.execute(sql, (changed, position))
    assert _positions(_found(path))[0] == position
    with shell(path, guarded=False) as conn:
        conn.execute(sql, (kept, position))
    assert problems(path) == ()


@pytest.mark.parametrize("position", [1, 12, 24])
def test_a_tail_rewritten_with_its_tree_is_found_by_an_anchor_only(
    path: Path, position: int
) -> None:
    """Who can write the file can compute the tree: what was kept outside of it tells."""
    with Ledger(path) as ledger:
        anchor = ledger.head()
    _forge(path, position)
    assert problems(path) == ()
    (told,) = problems(path, anchor)
    assert told.startswith(f"size {anchor.size}: the root is not that of the anchor")


def _forge(path: Path, first: int) -> None:
    """Set the receptions from a position on an hour back, and compute leaves and tree again."""
    with Ledger(path) as ledger, ledger._connections.read() as own:
        stored = list(Log(own.store).events())
    leaves, changed = [], []
    for event in stored:
        back = 3_600_000_000 if event.position >= first else 0
        received_at = event.received_at - back
        leaf = leaf_of(event.position, received_at, event.envelope, event.salt, event.body)
        leaves.append(leaf)
        changed.append((received_at, leaf, event.position))
    with shell(path, guarded=False) as conn:
        sql = "UPDATE events SET received_at = ?, leaf = ? WHERE position = ?"
        conn.executemany(sql, changed)
        _rewrite_tree(conn, leaves)
    with Ledger(path) as ledger:
        ledger.replay(index=True)


def _rewrite_tree(conn: sqlite3.Connection, leaves: list[bytes]) -> None:
    frontier, nodes = extend(EMPTY, leaves)
    conn.execute("DELETE FROM nodes")
    conn.executemany("INSERT INTO nodes VALUES (?, ?)", nodes)
    conn.execute("UPDATE head SET size = ?, frontier = ?", (frontier.size, frontier.to_bytes()))


def test_an_event_taken_out_with_the_tree_computed_again_leaves_a_gap(path: Path) -> None:
    """Positions have no gaps, so that one that is missing was taken out."""
    with shell(path, guarded=False) as conn:
        conn.execute("DELETE FROM events WHERE position = 20")
        rows = conn.execute("SELECT leaf FROM events ORDER BY position").fetchall()
        _rewrite_tree(conn, [leaf for (leaf,) in rows])
    assert problems(path) == ("position 20 is missing",)


@pytest.mark.parametrize("position", [-1, -(2**62)])
def test_events_before_the_first_position_are_reported(path: Path, position: int) -> None:
    """No leaf of the tree covers them, but a fold would take them."""
    with Ledger(path, readonly=True) as ledger:
        anchor = ledger.head()
    with shell(path, guarded=False) as conn:
        columns = ", ".join(COLUMNS["events"][1:])
        conn.execute(
            f"INSERT INTO events SELECT {position}, {columns} FROM events WHERE position = 1"
        )
    assert problems(path, anchor)[0] == (
        f"position {position} is impossible: positions count from 0"
    )


def test_a_time_that_no_date_has_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though a leaf covers it: as a program that did not look kept it."""
    with Ledger(path) as ledger, monkeypatch.context() as patch:
        patch.setattr("postledger.ledger.writing.micros", lambda _: 2**62)
        ledger.record_many([traffic.body(500)])
    (told,) = problems(path)
    assert told == (
        f"position {LAST + 1}: its time of reception must be from the year 1 to 9999, got {2**62}"
    )


def test_an_anchor_at_the_beginning_is_that_of_an_empty_log(path: Path) -> None:
    """Any other root is not one of this log."""
    assert problems(path, Anchor(0, EMPTY_ROOT.hex())) == ()
    (told,) = problems(path, Anchor(0, "f" * 64))
    assert told.startswith("size 0: the root is not that of the anchor")


@pytest.mark.parametrize("size", [1, 20, 256, 257, LAST + 1])
def test_an_anchor_of_any_size_holds(path: Path, size: int) -> None:
    """That of a log that was shorter then, and no other root."""
    with closing(sqlite3.connect(path)) as conn:
        rows = conn.execute("SELECT leaf FROM events WHERE position < ?", (size,)).fetchall()
    frontier, _ = extend(EMPTY, [leaf for (leaf,) in rows])
    assert problems(path, Anchor(size, frontier.root().hex())) == ()
    (told,) = problems(path, Anchor(size, "0" * 64))
    assert told.startswith(f"size {size}: the root is not that of the anchor")


def test_a_log_cut_back_with_its_states_is_found_by_an_anchor(path: Path) -> None:
    """A shorter log whose states were folded again is sound in itself, but ends before the anchor."""
    with Ledger(path) as ledger:
        anchor = ledger.head()
    with shell(path, guarded=False) as conn:
        conn.execute("DELETE FROM events WHERE position > 20")
        rows = conn.execute("SELECT leaf FROM events ORDER BY position").fetchall()
        _rewrite_tree(conn, [leaf for (leaf,) in rows])
    assert f"the states are at size {LAST + 1}, the log at 21; run replay" in problems(path)
    with Ledger(path) as ledger:
        ledger.replay(index=True)
    assert problems(path) == ()
    told = f"the log ends at size 21, before the anchor at size {anchor.size}"
    assert problems(path, anchor) == (told,)


@pytest.mark.parametrize("name", sorted(guards()))
@pytest.mark.parametrize("change", ["missing", "changed"])
def test_a_missing_or_changed_guard_is_told_at_open_and_by_verify(
    path: Path, name: str, change: str
) -> None:
    """The ledger is not opened without its guards; ``verify`` reads it all the same."""
    with shell(path) as conn:
        conn.execute(f"DROP TRIGGER {name}")
        if change == "changed":
            table = name.split("_")[0]
            conn.execute(f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} BEGIN SELECT 1; END")
    for readonly in (False, True):
        with pytest.raises(IntegrityError, match=f"guard {name} is {change}"):
            Ledger(path, readonly=readonly)
    assert problems(path) == (f"guard {name} is {change}: {name.split('_')[0]} can be altered",)


def test_verify_lists_missing_guards_beside_what_was_done_without_them(path: Path) -> None:
    """It reads a file that nothing else opens, and names all that is wrong with it."""
    with shell(path) as conn:
        conn.execute("DROP TRIGGER events_no_update")
        conn.execute("UPDATE events SET received_at = 1 WHERE position = 3")
    guard, event = problems(path)
    assert guard == "guard events_no_update is missing: events can be altered"
    assert event.startswith("position 3: ")
    with pytest.raises(IntegrityError):
        Ledger(path, readonly=True)


def test_a_trigger_of_somebody_else_on_the_log_is_told(path: Path) -> None:
    """One that skips what is to be appended would lose postbacks in silence."""
    with shell(path) as conn:
        conn.execute("CREATE TRIGGER skip BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END")
    with pytest.raises(IntegrityError, match="trigger skip on events"):
        Ledger(path)
    assert problems(path)[0].startswith("trigger skip on events is not Postledger's")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("DROP VIEW event_log", "view event_log is missing"),
        ("DROP INDEX templates_skeleton", "index templates_skeleton is missing"),
        (
            "DROP VIEW deliveries; CREATE VIEW deliveries AS SELECT 1 AS tracking_id",
            "view deliveries is not as it was made",
        ),
        (
            "DROP INDEX states_1_first; CREATE INDEX states_1_first ON states_1 (state)",
            "index states_1_first is not as it was made",
        ),
        ("CREATE TABLE mine (a)", "table mine is not Postledger's"),
        ("CREATE INDEX mine ON events (leaf)", "index mine on events is not Postledger's"),
        (
            "CREATE UNIQUE INDEX events_no_update ON events (received_at)",
            "index events_no_update on events is not Postledger's",
        ),
        (
            "CREATE UNIQUE INDEX nodes_no_update ON index_1 (position, member)",
            "index nodes_no_update on index_1 is not Postledger's",
        ),
        (
            "CREATE UNIQUE INDEX index_1_apart ON index_1 (position, member)",
            "index index_1_apart on index_1 is not Postledger's",
        ),
        (
            "CREATE INDEX states_1_unread ON states_1 (reason)",
            "index states_1_unread on states_1 is not Postledger's",
        ),
        ("CREATE TABLE head_no_delete (a)", "table head_no_delete is not Postledger's"),
        ("CREATE VIEW index_2 AS SELECT 1", "view index_2 is not Postledger's"),
        ("CREATE VIEW states_2 AS SELECT 1", "view states_2 is not Postledger's"),
        (
            "CREATE TRIGGER mine AFTER INSERT ON states_1 BEGIN DELETE FROM states_1; END",
            "trigger mine on states_1 is not Postledger's: what it does is not recorded",
        ),
    ],
)
def test_verify_tells_which_views_and_indexes_are_not_as_they_were_made(
    path: Path, script: str, problem: str
) -> None:
    """What people look through in an SQLite browser must be what Postledger shows there."""
    with shell(path) as conn:
        conn.executescript(script)
    assert problems(path)[0] == problem


STATEMENTS = [
    "UPDATE states_1 SET state = 'failed' WHERE stream = 2",
    "UPDATE states_1 SET findings = 0",
    "UPDATE states_1 SET recipient = '1'",
    "DELETE FROM states_1 WHERE stream = 2",
    "DELETE FROM states_1",
    "INSERT INTO states_1 SELECT 4711, state, route, reason, route_reason, recipient, mms_id, spid,"
    " handset, aggregator_id, created_at, sent_at, outcome_at, first_received_at, events, repeats,"
    " findings, source, read, grade, reason_class, labels, amounts FROM states_1 WHERE stream = 1",
    "UPDATE states_1 SET reason_class = 'spam'",
    """UPDATE states_1 SET labels = '{"reference": "A"}'""",
    """UPDATE states_1 SET amounts = '{"price": ["1", "EUR"]}'""",
    "UPDATE states_1 SET source = 'another' WHERE stream = 1",
    "UPDATE tallies_1 SET n = n + 1 WHERE what = 'events'",
    "UPDATE tallies_1 SET n = n - 1 WHERE what = 'deliveries'",
    "UPDATE tallies_1 SET value = 'failed' WHERE what = 'deliveries'",
    "DELETE FROM tallies_1",
    "INSERT INTO tallies_1 VALUES (0, 'sendings', '', '', 1, '', '', 0, 1, 0, 0)",
    "DELETE FROM search_1",
    "DELETE FROM search_1 WHERE substr(entry, 9) = x'02'",
    "UPDATE OR REPLACE search_1 SET entry = x'000001000000000002' WHERE substr(entry, 9) = x'02'",
    "INSERT INTO search_1 VALUES (x'00000100000000001267')",
    "INSERT INTO search_1 VALUES (x'000001000000000000')",
    "INSERT INTO search_1 VALUES (x'')",
    "UPDATE index_1 SET stream = 1 WHERE position = 5",
    "UPDATE index_1 SET stream = 0 WHERE position = 5",
    "UPDATE index_1 SET stream = 4711 WHERE position = 5",
    "UPDATE index_1 SET identity = zeroblob(16) WHERE position = 5",
    "UPDATE index_1 SET occurred_at = occurred_at - 1 WHERE position = 5",
    "UPDATE index_1 SET findings = findings | 64 WHERE position = 5",
    "UPDATE index_1 SET said = '[\"P\",0,0]' WHERE position = 5",
    "UPDATE index_1 SET member = 1 WHERE position = 5",
    "DELETE FROM index_1 WHERE position = 5",
    "DELETE FROM index_1 WHERE position = 14",
    "INSERT INTO index_1 SELECT 1, occurred_at, identity, position, member, findings, said"
    " FROM index_1 WHERE position = 5",
    "INSERT INTO index_1 SELECT stream, occurred_at, identity, 4711, member, findings, said"
    " FROM index_1 WHERE position = 5",
    "UPDATE index_1_streams SET key = key || '=' WHERE id = 1",
    "UPDATE index_1_streams SET chart = 'content' WHERE id = 1",
    "UPDATE index_1_streams SET space = 'x' WHERE id = 1",
    "UPDATE index_1_streams SET key = 'x' WHERE id = 0",
    "INSERT INTO index_1_streams VALUES (4711, '', 'delivery', 'nobody')",
    "DELETE FROM index_1_streams WHERE id = 0",
    "DELETE FROM index_1_streams WHERE id = 2",
    "UPDATE generations SET version = '0:0'",
    "UPDATE generations SET vocabularies = '0:0'",
    "UPDATE generations SET adoption = 5",
    "UPDATE generations SET size = size - 1",
    "UPDATE generations SET size = size + 1",
    "DELETE FROM generations",
    "DROP TABLE states_1",
    "DROP TABLE tallies_1",
    "DROP TABLE search_1",
    "DROP TABLE index_1",
    "DROP TABLE index_1_streams",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_edited_states_are_reported_by_verify_and_healed_by_replay(
    path: Path, statement: str
) -> None:
    """Index and states are no evidence: they follow from the log, and are made from it again."""
    with Ledger(path) as ledger:
        whole, anchor = rows(ledger), ledger.head()
    with shell(path) as conn:
        conn.execute(statement)
    assert _found(path)
    with Ledger(path) as ledger:
        ledger.replay(index=True)
        assert rows(ledger) == whole
        assert ledger.verify(anchor).problems == ()


@pytest.mark.parametrize(
    "statement", [one for one in STATEMENTS if one.startswith(("DELETE FROM gen", "DROP"))]
)
def test_states_that_were_taken_away_are_made_again(
    path: Path, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who opens the ledger next finds every state, by the definitions of before, and a warning."""
    with Ledger(path) as ledger:
        whole = rows(ledger)
    with shell(path) as conn:
        conn.execute(statement)
    with Ledger(path) as ledger:
        assert "the states are missing" in caplog.text
        assert rows(ledger) == whole
        assert ledger.verify().problems == ()


def test_states_marked_as_made_by_others_are_reported(path: Path) -> None:
    """Also where the ledger was opened before."""
    with Ledger(path) as ledger:
        with shell(path) as conn:
            conn.execute("UPDATE generations SET vocabularies = '0:0'")
        told = "the states are marked as made by other definitions; run replay"
        assert ledger.verify().problems == (told,)
        ledger.replay()
        assert ledger.verify().problems == ()


def test_definitions_that_were_not_adopted_are_reported(path: Path) -> None:
    """The genesis says their hash: text that was changed with its leaf does not fit it."""
    with Ledger(path) as ledger, ledger._connections.read() as own:
        stored = list(Log(own.store).events())
    genesis = stored[0]
    body = genesis.body.replace(b"Message Sent/Delivered", b"Message Sent/delivered")
    assert body != genesis.body
    leaf = leaf_of(0, genesis.received_at, genesis.envelope, genesis.salt, body)
    with shell(path, guarded=False) as conn:
        conn.execute("UPDATE events SET body = ?, leaf = ? WHERE position = 0", (body, leaf))
        _rewrite_tree(conn, [leaf, *(event.leaf for event in stored[1:])])
    for readonly in (True, False):
        with pytest.raises(IntegrityError, match="position 0: the definitions are not what was"):
            Ledger(path, readonly=readonly)


IMITATIONS = {
    "body": b'{"created": {"tracking-id": "X1", "to": "16500000001"}}',
    "content type": b"<RESPONSE><TRACKINGID>X1</TRACKINGID></RESPONSE>",
}


def test_no_body_is_taken_for_a_statement_of_the_program(path: Path) -> None:
    """Only ``created`` says that a message was accepted: a receipt of the same bytes does not."""
    with Ledger(path) as ledger:
        received = ledger.record(IMITATIONS["body"], content_type="application/json")
        assert received.event.kind == "receipt"
        stated = ledger.created("X1", to="16500000001")
        assert stated.event.kind == "statement"
        assert stated.event.identity != received.event.identity
        assert stated.verdict == "applied"
        steps = {step.event.kind: step.verdict for step in ledger.timeline("X1")}
        assert steps == {"statement": "applied", "receipt": "unrecognised"}
        assert ledger.verify().problems == ()


def test_no_body_adopts_or_erases(path: Path) -> None:
    """A receipt of the very bytes of an adoption changes no definitions."""
    with Ledger(path) as ledger, ledger._connections.read() as own:
        genesis = next(Log(own.store).events())
    with Ledger(path) as ledger:
        before = ledger.definitions.hash
        recorded = ledger.record(genesis.body, content_type="application/json")
        assert recorded.event.kind == "receipt"
    with Ledger(path) as ledger:
        assert ledger.definitions.hash == before
        assert ledger.verify().problems == ()


@pytest.mark.parametrize("reindexed", [False, True])
def test_a_text_that_swallows_markup_is_told(path: Path, *, reindexed: bool) -> None:
    """The bytes and the leaf stay, but the fold would read other fields: verify says so."""
    with Ledger(path) as ledger:
        anchor = ledger.head()
        body = next(e.body for e in ledger.events() if e.position == LAST)
    start, end = body.index(b"<CODE>"), body.index(b"</STATUS>") + 9
    pieces = (body[:start].decode(), body[end:].decode())
    text = body[start:end].decode()
    with shell(path, guarded=False) as conn:
        number, total = conn.execute("SELECT max(id), max(total) FROM templates").fetchone()
        joined, digest = json.dumps(list(pieces)), digest_of(pieces)
        characters = total + len(joined)
        row = (number + 1, digest, digest, joined, characters)
        conn.execute("INSERT INTO templates VALUES (?, ?, ?, ?, ?)", row)
        conn.execute(
            "UPDATE events SET template = ?, texts = ? WHERE position = ?",
            (number + 1, written([text]), LAST),
        )
    with Ledger(path) as ledger:
        ledger.replay(index=reindexed)
        found = ledger.verify(anchor).problems
    assert any(f"position {LAST}: the event is not kept as" in problem for problem in found)


@pytest.mark.parametrize("table", ["events", "EVENTS", "states_1", "main.events", '"events"'])
def test_projections_tables_are_none_of_the_ledgers(path: Path, table: str) -> None:
    """A checkpoint that names the log as a projection's own is damage: nothing is dropped for it."""
    with Ledger(path) as ledger:
        ledger.project(Kept())
    with shell(path) as conn:
        conn.execute("UPDATE checkpoints SET version = '0', tables = ?", (json.dumps([table]),))
    assert any("the tables of a checkpoint are damaged" in one for one in problems(path))
    with Ledger(path) as ledger:
        with pytest.raises(IntegrityError, match="the tables of a checkpoint are damaged"):
            ledger.project(Kept())
        assert ledger.head().size == LAST + 1


class Kept:
    """A projection of a user."""

    name, version = "kept", 1
    tables = {"kept": "position INTEGER"}  # noqa: RUF012

    def apply(self, change: Change, db: Database) -> None:
        db.execute("INSERT INTO kept VALUES (?)", (change.position,))


def test_another_encoding_of_the_file_is_told(path: Path, tmp_path: Path) -> None:
    """Texts in UTF-16 stand in another order."""
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as conn:
        script = [line for line in conn.iterdump() if not line.startswith("COMMIT")]
        ids = [
            conn.execute(f"PRAGMA {one}").fetchone()[0]
            for one in ("application_id", "user_version")
        ]
    with closing(sqlite3.connect(other)) as conn:
        conn.execute("PRAGMA encoding = 'UTF-16le'")
        conn.executescript("\n".join([*script, "COMMIT;"]))
        conn.execute(f"PRAGMA application_id = {ids[0]}")
        conn.execute(f"PRAGMA user_version = {ids[1]}")
    assert any("encoding is UTF-16le" in one for one in problems(other))
