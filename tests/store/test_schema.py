"""The schema of a ledger on a server: what it refuses, and what ``verify`` says of what was forced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

psycopg = pytest.importorskip("psycopg")

from postledger import Anchor, Ledger, PostledgerError  # noqa: E402
from postledger.address import Address  # noqa: E402
from tests.postgres_server import PostgresServer  # noqa: E402
from tests.samples import delivered, sent  # noqa: E402
from tests.stores import Shell, shell  # noqa: E402

TABLES = ("events", "envelopes", "templates", "nodes")


@pytest.fixture
def address(quick_postgres: PostgresServer) -> Iterator[Address]:
    """The address of a ledger of some events."""
    with quick_postgres.new_schema() as schema:
        where = Address.parse(quick_postgres.address(schema, durability="off"))
        with Ledger(where) as ledger:
            ledger.record_many([*(sent(f"m{n}") for n in range(9)), delivered("m0"), b"?"])
            ledger.record_many(b"<a%d/>" % n for n in range(300))
        yield where


@pytest.fixture(scope="module")
def seen(quick_postgres: PostgresServer) -> Iterator[Address]:
    """A ledger that no test succeeds in altering."""
    with quick_postgres.new_schema() as schema:
        where = Address.parse(quick_postgres.address(schema, durability="off"))
        with Ledger(where) as ledger:
            ledger.record_many([sent("m0"), *(b"<a%d/>" % n for n in range(300))])
        yield where


def problems(address: Address, anchor: Anchor | None = None) -> str:
    """What opening or ``verify`` says."""
    try:
        with Ledger(address, readonly=True, guarded=False) as ledger:
            return "\n".join(ledger.verify(anchor).problems)
    except PostledgerError as error:
        return str(error)


@pytest.mark.parametrize("replica", [False, True])
@pytest.mark.parametrize("table", TABLES)
def test_a_superuser_alters_nothing_while_the_guards_stand(
    seen: Address, table: str, replica: bool
) -> None:
    """Neither rows nor the whole table; also not as a replica, for which other triggers are off."""
    with shell(seen) as db:
        column = {"events": "position", "nodes": "number"}.get(table, "id")
        if replica:
            db.execute("SET session_replication_role = replica")
        for sql in (
            f"UPDATE {table} SET {column} = {column}",
            f"DELETE FROM {table}",
            f"DELETE FROM {table} WHERE {column} = 1",
            f"TRUNCATE {table}",
            f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1"
            f" ON CONFLICT ({column}) DO UPDATE SET {column} = excluded.{column}",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                db.execute(sql)
        with pytest.raises(psycopg.errors.UniqueViolation):
            db.execute(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1")
    assert problems(seen) == ""


# What is done to rows with the guards off, and what verify says.
_ROWS = {
    "a time": (
        "UPDATE events SET received_at = received_at + 1 WHERE position = 5",
        "position 5: ",
    ),
    "a text": ("UPDATE events SET texts = replace(texts, 'm4', 'm5')", "position 5: "),
    "a body": ("UPDATE events SET body = 'x' WHERE position = 11", "position 11: "),
    "a leaf": ("UPDATE events SET leaf = salt || salt WHERE position = 7", "position 7: "),
    "no salt": (
        "ALTER TABLE events ALTER salt DROP NOT NULL;"
        " UPDATE events SET salt = NULL WHERE position = 3",
        "position 3: its body or its salt is missing",
    ),
    "an envelope": (
        "UPDATE envelopes SET envelope = replace(envelope, 'receipt', 'import')",
        "was rec",
    ),
    "a template": ("UPDATE templates SET pieces = replace(pieces, 'CODE', 'KODE')", "template"),
    "no event": ("DELETE FROM events WHERE position = 6", "position 6 is missing"),
    "no last event": ("DELETE FROM events WHERE position = 311", "head"),
    "no events": ("TRUNCATE events", ""),
    "one more": (
        "INSERT INTO events SELECT position + 1, received_at, envelope, inline, template, texts, body,"
        " salt, leaf FROM events WHERE position = 311",
        "position 312: the event is not what was received",
    ),
    "a node": ("UPDATE nodes SET hash = reverse(encode(hash, 'hex'))::bytea", "node 0 of the tree"),
    "the head": ("UPDATE head SET size = size - 1", "head"),
    "no generation": ("DELETE FROM generations", "the states can't be read; run replay"),
    "a state": ("UPDATE states_1 SET state = 'failed' WHERE stream = 2", "differs from the fold"),
    "no state": ("DELETE FROM states_1 WHERE stream = 2", "differs from the fold"),
    "an index": ("UPDATE index_1 SET findings = findings | 64 WHERE position = 4", "index differs"),
    "no index": ("DELETE FROM index_1 WHERE position = 4", "index"),
    "a stream": ("UPDATE index_1_streams SET key = 'x' WHERE key = 'm3'", "index differs"),
    "a tally": (
        "UPDATE tallies_1 SET n = n + 1 WHERE what = 'deliveries'",
        "tallies of deliveries",
    ),
    "no search": ("DELETE FROM search_1", "the search differs"),
}


@pytest.mark.parametrize("what", _ROWS)
def test_altered_rows_are_named(address: Address, what: str) -> None:
    """Forced by a superuser, with the guards off for a while."""
    sql, said = _ROWS[what]
    with Ledger(address) as ledger:
        anchor = ledger.head()
    with shell(address, guarded=False) as db:
        for one in sql.split("; "):
            db.execute(one)
    found = problems(address, anchor)
    assert found
    assert said in found


# What is done to the schema, and what verify says.
_SCHEMA = {
    "a guard dropped": (
        "DROP TRIGGER events_no_delete ON events",
        "guard events_no_delete is missing",
    ),
    "a guard off": (
        "ALTER TABLE nodes DISABLE TRIGGER nodes_no_update",
        "guard nodes_no_update is changed",
    ),
    "all guards off": (
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "guard events_no_truncate is changed",
    ),
    "a guard that replicas pass": (
        "ALTER TABLE events ENABLE TRIGGER events_no_update",
        "guard events_no_update is changed",
    ),
    "a guard for some": (
        "CREATE OR REPLACE TRIGGER events_no_update BEFORE UPDATE ON events FOR EACH ROW"
        " WHEN (OLD.position > 5) EXECUTE FUNCTION append_only()",
        "guard events_no_update is changed",
    ),
    "a guard that does nothing": (
        "CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN NULL; END $$",
        "function append_only() is not as it was made",
    ),
    "a body that reads otherwise": (
        "CREATE OR REPLACE FUNCTION legible(body bytea) RETURNS text LANGUAGE sql AS 'SELECT ''?'''",
        "function legible(body bytea) is not as it was made",
    ),
    "a function": (
        "CREATE FUNCTION replace(text, text, bytea) RETURNS text LANGUAGE sql AS 'SELECT ''?'''",
        "function replace(text, text, bytea) is not Postledger's",
    ),
    "a rule": (
        "CREATE RULE mine AS ON INSERT TO events DO INSTEAD NOTHING",
        "table events is not as it was made",
    ),
    "a rule on states": (
        "CREATE RULE mine AS ON UPDATE TO states_1 DO INSTEAD NOTHING",
        "table states_1 is not as it was made",
    ),
    "a trigger": (
        "CREATE TRIGGER mine BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION append_only()",
        "trigger mine on events is not Postledger's",
    ),
    "a trigger on states": (
        "CREATE TRIGGER mine BEFORE INSERT ON index_1 FOR EACH ROW EXECUTE FUNCTION"
        " suppress_redundant_updates_trigger()",
        "trigger mine on index_1 is not Postledger's",
    ),
    "a column": ("ALTER TABLE head ADD COLUMN mine int", "table head is not as it was made"),
    "another type": (
        "ALTER TABLE checkpoints ALTER COLUMN position TYPE numeric",
        "table checkpoints is not as it was made",
    ),
    "another order": (
        'ALTER TABLE checkpoints ALTER COLUMN name TYPE text COLLATE "default"',
        "table checkpoints is not as it was made",
    ),
    "a constraint": (
        "ALTER TABLE events ADD CHECK (position < 1000)",
        "table events is not as it was made",
    ),
    "no key": (
        "ALTER TABLE events DROP CONSTRAINT events_pkey",
        "table events is not as it was made",
    ),
    "rows hidden": (
        "ALTER TABLE events ENABLE ROW LEVEL SECURITY",
        "table events is not as it was made",
    ),
    "unlogged": ("ALTER TABLE states_1 SET UNLOGGED", "table states_1 is not as it was made"),
    "a child": ("CREATE TABLE mine () INHERITS (events)", "table events is not as it was made"),
    "an index": (
        "CREATE UNIQUE INDEX mine ON states_1 (state, stream)",
        "states_1 is not as it was",
    ),
    "no index": ("DROP INDEX states_1_first", "index states_1_first is missing"),
    "another index": (
        "DROP INDEX states_1_first; CREATE INDEX states_1_first ON states_1 (stream)",
        "index states_1_first is missing",
    ),
    "a view": ("CREATE VIEW mine AS SELECT 1", "view mine is not Postledger's"),
    "another view": (
        "ALTER VIEW deliveries RENAME COLUMN state TO was; ALTER VIEW deliveries RENAME route TO state",
        "view deliveries is not as it was made",
    ),
    "no view": ("DROP VIEW statements", "view statements is missing"),
    "a table": ("CREATE TABLE mine (a int)", "table mine is not Postledger's"),
    "no comment": ("COMMENT ON TABLE nodes IS NULL", "table nodes is not as it was made"),
}


@pytest.mark.parametrize("what", _SCHEMA)
def test_an_altered_schema_is_named(address: Address, what: str) -> None:
    """Whatever a superuser did to tables, triggers, rules, views and functions."""
    sql, said = _SCHEMA[what]
    with shell(address) as db:
        for one in sql.split("; ") if "$$" not in sql else [sql]:
            db.execute(one)
    assert said in problems(address)


@pytest.mark.parametrize("what", ["a guard dropped", "a guard off", "a guard that replicas pass"])
def test_a_ledger_without_its_guards_is_not_opened(address: Address, what: str) -> None:
    """Nothing is recorded where it could be altered."""
    with shell(address) as db:
        db.execute(_SCHEMA[what][0])
    with pytest.raises(PostledgerError, match=r"guard .* run verify"):
        Ledger(address)


def test_views_that_others_have_of_its_views_outlive_a_replay(address: Address) -> None:
    """What is replaced under them is the states, and not the view."""
    mine = f"{address.schema}_mine"
    with shell(address) as db, Ledger(address) as ledger:
        db.execute(f"CREATE SCHEMA {mine}")
        try:
            db.execute(
                f"CREATE VIEW {mine}.done AS SELECT tracking_id FROM deliveries WHERE state = 'delivered'"
            )
            ledger.record(delivered("m1"))
            ledger.replay(index=True)
            ledger.record(delivered("m2"))
            found = db.execute(f"SELECT tracking_id FROM {mine}.done ORDER BY 1").fetchall()
        finally:
            db.execute(f"DROP SCHEMA {mine} CASCADE")
        assert found == [("m0",), ("m1",), ("m2",)]
        assert ledger.verify().problems == ()


def test_who_only_records_can_not_take_the_guards_away(
    address: Address, quick_postgres: PostgresServer
) -> None:
    """A role that owns nothing reads and appends, and is refused all else."""
    role, schema = f"writer_of_{address.schema}", address.schema
    with shell(address) as db:
        try:
            _let_record(db, role, schema)
            db.execute(f"SET ROLE {role}")
            for sql in (
                "ALTER TABLE events DISABLE TRIGGER ALL",
                "DROP TRIGGER events_no_delete ON events",
                "DROP TABLE events",
                "SET session_replication_role = replica",
                "CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RETURN NULL; END $$",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    db.execute(sql)
        finally:
            db.execute("RESET ROLE")
            db.execute(f"DROP OWNED BY {role}")
            db.execute(f"DROP ROLE {role}")


def _let_record(db: Shell, role: str, schema: str) -> None:
    db.execute(f"CREATE ROLE {role}")
    db.execute(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}")
    db.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}")


# --- what the server itself finds damaged ---


@pytest.mark.parametrize("relation", ["events", "events_pkey", "index_1", "states_1_first"])
def test_a_damaged_page_is_told(
    postgres: PostgresServer, postgres_address: str, relation: str
) -> None:
    """By its checksum, in one line, whichever table or index it is of."""
    address = Address.parse(postgres_address)
    with Ledger(address) as ledger:
        ledger.record_many(sent(f"m{n}") for n in range(300))
    with shell(address) as db:
        if relation == "states_1_first":
            db.execute("CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public")
        (path,) = db.execute(f"SELECT pg_relation_filepath('{relation}'::regclass)").fetchone()
        db.execute("CHECKPOINT")
    postgres.stop()
    file = postgres.folder / "data" / path
    page = bytearray(file.read_bytes())
    page[8192 * (len(page) // 8192 - 1) + 4000] ^= 1
    file.write_bytes(page)
    postgres.start()
    try:
        said = problems(address)
        assert "invalid page" in said
        assert all("Traceback" not in line for line in said.splitlines())
    finally:
        with shell(address) as db:
            db.execute("DROP EXTENSION IF EXISTS amcheck")
            db.execute("SELECT pg_stat_reset()")


def test_an_index_that_lacks_rows_is_told(address: Address) -> None:
    """By amcheck, where that is there: nothing that is read by it shows it."""
    with shell(address) as db:
        db.execute("CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public")
        ready = "UPDATE pg_index SET indisready = {} WHERE indexrelid = 'states_1_first'::regclass"
        try:
            db.execute(ready.format("false"))
            with Ledger(address) as ledger:
                ledger.record(sent("new"))
            db.execute(ready.format("true"))
            assert "states_1_first: heap tuple" in problems(address)
        finally:
            db.execute("DROP EXTENSION amcheck")
