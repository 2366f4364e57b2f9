"""Tampering: what the file refuses, and what ``verify`` says of what was forced upon it.

Seen to fail: ``tests/faults/without.py`` takes the protections away one by one:
without the guards of ``log/schema.py`` the statements of the first test succeed, without the comparison
of the chain in ``verify.py`` edits of events and templates go unnoticed, without that of the identity
those of the fields, without ``check_schema`` those of the views.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result

from postledger import Ledger
from postledger.cli import main
from postledger.errors import IntegrityError
from postledger.log.chain import START
from postledger.log.log import Log, Stored
from postledger.log.schema import guards
from postledger.verify import Anchor
from tests.conftest import FIXTURES
from tests.faults import traffic

UNREADABLE = b"no postback at all"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of 24 events: the samples, a repeat, other bytes of the same, unreadable, unknown."""
    path = tmp_path_factory.mktemp("tampering") / "made.db"
    with Ledger(path) as ledger:
        samples = [p.read_bytes() for p in sorted((FIXTURES / "specification").glob("*.xml"))]
        ledger.record_many(samples)
        ledger.record(samples[0], content_type="text/xml")
        ledger.record(samples[2].replace(b"\n", b"\n "))
        ledger.record(UNREADABLE)
        ledger.record(UNREADABLE)
        ledger.record(b"<POSTBACK><CODE>N333</CODE><TO>1</TO></POSTBACK>")
        ledger.record_many(traffic.bodies(0, 8))
    return path


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


def command(*words: object) -> Result:
    """The command line in this process."""
    return CliRunner().invoke(main, [str(word) for word in words])


COLUMNS = {
    "streams": ("id", "chart", "key"),
    "shapes": ("id", "content_type", "root", "repaired", "template", "fields"),
    "events": (
        "position",
        "received_at",
        "stream_id",
        "occurred_at",
        "shape_id",
        "fields",
        "body",
        "flags",
        "repeats",
        "body_of",
        "digest",
        "chain",
    ),
    "definitions": ("hash", "label", "sources", "adopted_at"),
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
    yield f"REPLACE INTO events SELECT 25, {rest} FROM events WHERE position = 1"
    yield "REPLACE INTO streams SELECT (SELECT max(id) + 1 FROM streams), chart, key FROM streams"
    yield "INSERT INTO events SELECT position + 100, " + rest + " FROM events WHERE position = 24"


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
    "stream_id": ("UPDATE events SET stream_id = 1 WHERE position = 5", 5),
    "no such stream": ("UPDATE events SET stream_id = 4711 WHERE position = 5", 5),
    "occurred_at": ("UPDATE events SET occurred_at = occurred_at - 1 WHERE position = 5", 5),
    "shape_id": ("UPDATE events SET shape_id = 2 WHERE position = 5", 5),
    "no shape": ("UPDATE events SET shape_id = NULL WHERE position = 5", 5),
    "no such shape": ("UPDATE events SET shape_id = 4711 WHERE position = 5", 5),
    "fields": ("UPDATE events SET fields = replace(fields, '165', '166') WHERE position = 5", 5),
    "no fields": ("UPDATE events SET fields = NULL WHERE position = 5", 5),
    "too few fields": ("UPDATE events SET fields = '[]' WHERE position = 5", 5),
    "too many fields": (
        "UPDATE events SET fields = json_insert(fields, '$[#]', 'x') WHERE position = 5",
        5,
    ),
    "fields no JSON": ("UPDATE events SET fields = '[' WHERE position = 5", 5),
    "fields no texts": ("UPDATE events SET fields = '{}' WHERE position = 5", 5),
    "too many fields of a whole body": (
        "UPDATE events SET fields = json_insert(fields, '$[#]', 'x') WHERE position = 9",
        9,
    ),
    "numbers for texts": (
        "UPDATE events SET fields = json_replace(fields, '$[0]', json_extract(fields, '$[0]') + 0)"
        " WHERE position = 5",
        5,
    ),
    "fields of a whole body": (
        "UPDATE events SET fields = replace(fields, '165', '166') WHERE position = 9",
        9,
    ),
    "body": (
        "UPDATE events SET body = CAST(replace(body, 'Error', 'Fail') AS BLOB) WHERE position = 9",
        9,
    ),
    "body of a repeat": ("UPDATE events SET body = CAST('<a/>' AS BLOB) WHERE position = 12", 12),
    "body beside a template": ("UPDATE events SET body = x'00' WHERE position = 5", 5),
    "no body": ("UPDATE events SET body = NULL WHERE position = 9", 9),
    "unreadable body": ("UPDATE events SET body = x'ff' WHERE position = 14", 14),
    "reason": ("UPDATE events SET fields = '[\"it was empty\"]' WHERE position = 14", 14),
    "flags": ("UPDATE events SET flags = flags | 64 WHERE position = 5", 5),
    "repeats": ("UPDATE events SET repeats = 4 WHERE position = 8", 8),
    "body_of": ("UPDATE events SET body_of = 3 WHERE position = 5", 5),
    "digest": ("UPDATE events SET digest = randomblob(16) WHERE position = 5", 5),
    "chain": ("UPDATE events SET chain = randomblob(32) WHERE position = 5", 5),
    "position": ("UPDATE events SET position = 4711 WHERE position = 24", 24),
    "key": ("UPDATE streams SET key = key || '=' WHERE id = 1", 1),
    "chart": ("UPDATE streams SET chart = 'content' WHERE id = 1", 1),
    "a stream gone": ("DELETE FROM streams WHERE id = 2", 3),
    "template": ("UPDATE shapes SET template = replace(template, 'SMS', 'sms') WHERE id = 1", 1),
    "holes of a template": ("UPDATE shapes SET template = template || '%s' WHERE id = 1", 1),
    "template no format": ("UPDATE shapes SET template = template || '%' WHERE id = 1", 1),
    "no template": ("UPDATE shapes SET template = NULL WHERE id = 1", 1),
    "words of a shape": (
        "UPDATE shapes SET fields = replace(fields, 'Sent', 'Lost') WHERE id = 1",
        1,
    ),
    "names of a shape": (
        "UPDATE shapes SET fields = replace(fields, 'SPID', 'SPAM') WHERE id = 1",
        1,
    ),
    "fields of a shape no JSON": ("UPDATE shapes SET fields = '[' WHERE id = 1", 1),
    "fields of a shape no pairs": ("UPDATE shapes SET fields = '[1]' WHERE id = 1", 1),
    "content type": ("UPDATE shapes SET content_type = 'text/plain' WHERE id = 1", 1),
    "root": ("UPDATE shapes SET root = 'RESPONSE' WHERE id = 1", 1),
    "made unreadable": ("UPDATE shapes SET root = NULL WHERE id = 1", 1),
    "repaired": ("UPDATE shapes SET repaired = 1 WHERE id = 1", 1),
    "a shape gone": ("DELETE FROM shapes WHERE id = 1", 1),
    "first event gone": ("DELETE FROM events WHERE position = 1", 1),
    "middle event gone": ("DELETE FROM events WHERE position = 7", 7),
    "last event gone": ("DELETE FROM events WHERE position = 24", 24),
    "two swapped": (
        "UPDATE events SET position = 50 - position WHERE position IN (17, 18);"
        "UPDATE events SET position = position - 15 WHERE position IN (32, 33)",
        17,
    ),
    "one forged": (
        "INSERT INTO events SELECT 25, received_at, stream_id, occurred_at + 1, shape_id, fields,"
        " body, flags, repeats, body_of, randomblob(16), randomblob(32) FROM events WHERE position = 24",
        25,
    ),
}


@pytest.mark.parametrize("edit", _EDITS)
def test_verify_names_the_first_position_that_was_tampered_with(path: Path, edit: str) -> None:
    """With the guards dropped and put back, whatever is edited shows at its own position."""
    script, position = _EDITS[edit]
    with shell(path, guarded=False) as conn:
        conn.execute("PRAGMA ignore_check_constraints=ON")
        before = list(conn.iterdump())
        for statement in script.split(";"):
            conn.execute(statement)
        assert list(conn.iterdump()) != before
    found = problems(path)
    assert found
    assert _positions(found)[0] == position


def _positions(found: tuple[str, ...]) -> list[int]:
    words = " ".join(found).replace(":", " ").replace(",", " ").split()
    return [int(after) for word, after in pairwise(words) if word == "position"]


def test_every_byte_of_every_body_is_covered(path: Path) -> None:
    """One byte changed in a body, in a text of an event, or in a template is found at its event."""
    with closing(sqlite3.connect(path)) as conn:
        whole = conn.execute("SELECT position, body FROM events WHERE body IS NOT NULL").fetchall()
    assert whole
    for position, kept in whole:
        for at in (0, len(kept) // 2, len(kept) - 1):
            changed = kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :]
            _check_edit(path, "body", position, changed, kept)


def _check_edit(path: Path, column: str, position: int, changed: bytes, kept: bytes) -> None:
    sql = f"UPDATE events SET {column} = ? WHERE position = ?"
    with shell(path, guarded=False) as conn:
        conn.execute(sql, (changed, position))
    assert _positions(problems(path))[0] == position
    with shell(path, guarded=False) as conn:
        conn.execute(sql, (kept, position))
    assert problems(path) == ()


def test_the_command_names_the_position_and_exits_with_1(path: Path) -> None:
    """``postledger verify`` says which event is not what was recorded."""
    assert command("verify", path).exit_code == 0
    with shell(path, guarded=False) as conn:
        conn.execute(
            "UPDATE events SET body = CAST(replace(body, 'Error', 'error') AS BLOB) WHERE position = 9"
        )
    told = command("verify", path)
    assert (told.exit_code, told.stderr) == (1, "")
    assert told.stdout.splitlines()[0].startswith("position 9: ")
    assert told.stdout.splitlines()[-1].startswith("NOT ok: 24 events")


@pytest.mark.parametrize("position", [1, 12, 24])
def test_a_tail_written_anew_with_its_chain_is_found_by_an_anchor_only(
    path: Path, position: int
) -> None:
    """Who can write the file can compute the chain: what was kept outside of it tells."""
    with Ledger(path) as ledger:
        anchor = Anchor(*ledger.head())
    _forge(path, position)
    assert problems(path) == ()
    assert _positions(problems(path, anchor)) == [24]


def _forge(path: Path, position: int) -> None:
    """Set the receptions from a position on an hour back, and compute the chain anew."""
    with Ledger(path) as ledger:
        log: Log = ledger._session.own().log
        forged = [
            attrs.evolve(stored, received_at=stored.received_at - 3_600_000_000)
            for stored in log.events(position - 1)
        ]
        previous = log.at(position - 1).chain if position > 1 else START
    _write_anew(path, forged, previous)


def _write_anew(path: Path, forged: list[Stored], previous: bytes) -> None:
    """Put events in the place of those at their positions, with their chain, and fold the states."""
    changed = []
    for stored in forged:
        previous = stored.link(previous)
        changed.append((stored.received_at, previous, stored.position))
    with shell(path, guarded=False) as conn:
        conn.executemany("UPDATE events SET received_at = ?, chain = ? WHERE position = ?", changed)
    with Ledger(path) as ledger:
        ledger.rebuild()


def test_an_event_taken_out_with_the_chain_computed_anew_leaves_a_gap(path: Path) -> None:
    """Positions have no gaps, so that one that is missing was taken out."""
    with Ledger(path) as ledger:
        log: Log = ledger._session.own().log
        rest, previous = list(log.events(20)), log.at(19).chain
    with shell(path, guarded=False) as conn:
        conn.execute("DELETE FROM events WHERE position = 20")
    _write_anew(path, rest, previous)
    assert problems(path) == ("position 20 is missing",)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ("DELETE FROM streams WHERE id = 0", "stream 0 is missing"),
        ("UPDATE streams SET key = 'x' WHERE id = 0", "stream 0 is not that of the events"),
        ("DELETE FROM streams", "stream 0 is missing"),
        ("UPDATE events SET stream_id = 99 WHERE position > 20", "position 21 is missing"),
        ("UPDATE events SET stream_id = -5 WHERE position = 24", "position 24 is missing"),
    ],
)
def test_events_that_no_list_shows_any_more_are_told(path: Path, edit: str, told: str) -> None:
    """An event without its stream is in no list and no export: the log would seem to end before."""
    with shell(path, guarded=False) as conn:
        conn.execute(edit)
    assert any(told in problem for problem in problems(path))
    assert CliRunner().invoke(main, ["verify", str(path)]).exit_code == 1


@pytest.mark.parametrize("position", [0, -1, -(2**62)])
def test_events_before_the_first_position_are_told(path: Path, position: int) -> None:
    """No chain and no anchor covers them, but a fold would: of a delivery that another's event makes."""
    with Ledger(path, readonly=True) as ledger:
        anchor = Anchor(*ledger.head())
    with shell(path, guarded=False) as conn:
        columns = "received_at, 2, occurred_at, shape_id, fields, body, flags, repeats, body_of"
        conn.execute(
            f"INSERT INTO events SELECT {position}, {columns}, digest, chain FROM events"
            " WHERE position = 1"
        )
    assert CliRunner().invoke(main, ["replay", str(path)]).exit_code == 0
    assert problems(path, anchor)[0].startswith(f"position {position} is none")


def test_a_time_that_no_date_can_tell_of_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the chain covers it: as a program that did not look kept it."""
    with Ledger(path) as ledger, monkeypatch.context() as patch:
        patch.setattr("postledger.ledger.writing.micros", lambda _: 2**62)
        ledger.record_many([traffic.body(30)])
    assert problems(path) == ("position 25: a time of the event is out of reach",)


def test_an_anchor_at_the_beginning_is_that_of_an_empty_log(path: Path) -> None:
    """Any other hash there is none of this log."""
    assert problems(path, Anchor(0, START.hex())) == ()
    (told,) = problems(path, Anchor(0, "f" * 64))
    assert told.startswith("position 0: the hash is not that of the anchor")


def test_a_log_cut_back_with_its_projection_is_found_by_an_anchor(path: Path) -> None:
    """A shorter log whose states were folded again is sound in itself, but ends before the anchor."""
    with Ledger(path) as ledger:
        anchor = Anchor(*ledger.head())
    with shell(path, guarded=False) as conn:
        conn.execute("DELETE FROM events WHERE position > 20")
    assert "the projection is at position 24, the log at 20" in problems(path)
    with Ledger(path) as ledger:
        ledger.rebuild()
    assert problems(path) == ()
    assert problems(path, anchor) == ("the log ends at position 20, before the anchor at 24",)


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
    """The command runs on a file that nothing else opens, and names all that is wrong with it."""
    with shell(path) as conn:
        conn.execute("DROP TRIGGER events_no_update")
        conn.execute("UPDATE events SET flags = 1 WHERE position = 3")
    told = command("verify", path)
    assert (told.exit_code, told.stderr) == (1, "")
    guard, event, verdict = told.stdout.splitlines()
    assert guard == "guard events_no_update is missing: events can be altered"
    assert event.startswith("position 3: ")
    assert verdict.startswith("NOT ok")
    shown = command("show", path, "U01TXzgwNjc4")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert traffic.one_line(shown.stderr)


def test_a_trigger_of_somebody_else_on_the_log_is_told(path: Path) -> None:
    """One that skips what is to be appended would lose postbacks in silence."""
    with shell(path) as conn:
        conn.execute("CREATE TRIGGER skip BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END")
    with pytest.raises(IntegrityError, match="trigger skip on events"):
        Ledger(path)
    assert problems(path)[0].startswith("trigger skip on events is none of Postledger's")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("DROP VIEW event_log", "view event_log is missing"),
        ("DROP INDEX events_repeats", "index events_repeats is missing"),
        (
            "DROP VIEW event_log; CREATE VIEW event_log AS SELECT 1 AS position",
            "view event_log is not as it was made",
        ),
        (
            "DROP INDEX events_fold;"
            "CREATE INDEX events_fold ON events (stream_id, occurred_at, digest) WHERE repeats IS NULL",
            "index events_fold is not as it was made",
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


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {table} SET state = 'failed' WHERE stream_id = 2",
        "UPDATE {table} SET findings = 0",
        "UPDATE {table} SET recipient = '1'",
        "DELETE FROM {table} WHERE stream_id = 2",
        "DELETE FROM {table}",
        "INSERT INTO {table} SELECT 4711, state, route, reason, route_reason, recipient, mms_id, spid,"
        " handset, aggregator_id, created_at, sent_at, outcome_at, first_received_at, events, repeats,"
        " findings FROM {table} WHERE stream_id = 1",
        "UPDATE projections SET version = '0:0'",
        "UPDATE projections SET position = position - 1",
        "UPDATE projections SET position = position + 1",
        "DELETE FROM projections",
        "DROP TABLE {table}",
    ],
)
def test_an_edited_projection_is_told_by_verify_and_mended_by_replay(
    path: Path, statement: str
) -> None:
    """The states are no evidence: they follow from the log, and are made from it again."""
    with Ledger(path) as ledger:
        whole = [delivery.to_dict() for delivery in ledger.deliveries()]
    with shell(path) as conn:
        (table,) = conn.execute(
            "SELECT 'states_' || generation FROM projections WHERE live"
        ).fetchone()
        conn.execute(statement.format(table=table))
    told = command("verify", path)
    assert told.exit_code == 1
    assert told.stderr == "" or traffic.one_line(told.stderr)
    assert command("replay", path).exit_code == 0
    assert problems(path) == ()
    with Ledger(path) as ledger:
        assert [delivery.to_dict() for delivery in ledger.deliveries()] == whole


def test_a_projection_that_was_taken_away_is_not_taken_for_an_empty_one(path: Path) -> None:
    """Who opens the ledger next finds every state, made anew by the definitions of before."""
    with Ledger(path) as ledger:
        whole = [delivery.to_dict() for delivery in ledger.deliveries()]
    with shell(path) as conn:
        conn.execute("DELETE FROM projections")
    with Ledger(path) as ledger:
        assert [delivery.to_dict() for delivery in ledger.deliveries()] == whole
        assert ledger.verify().ok


def test_a_projection_marked_as_made_by_others_is_told(path: Path) -> None:
    """Also where the ledger was opened before."""
    with Ledger(path) as ledger:
        with shell(path) as conn:
            conn.execute("UPDATE projections SET version = '0:0'")
        assert ledger.verify().problems == (
            "the projection is marked as made by other definitions; run replay",
        )
        ledger.rebuild()
        assert ledger.verify().ok
