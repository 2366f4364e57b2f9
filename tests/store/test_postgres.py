"""PostgreSQL: what a schema holds, who may alter it, and what its errors mean."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256

import psycopg
import pytest

from postledger import Address, IntegrityError, Ledger, LedgerError, NotALedger
from postledger.projections.queries import Query
from postledger.projections.search import _Reach
from postledger.state.row import NEAR
from postledger.times import micros
from tests.postgres_server import PostgresServer
from tests.proxy import Proxy
from tests.samples import delivered, sent


def test_a_foreign_schema_is_left_alone(postgres: PostgresServer, postgres_address: str) -> None:
    """Its tables stay as they are; an empty one becomes a ledger."""
    schema = Address.parse(postgres_address).schema
    with postgres.connect() as conn:
        conn.execute(f"CREATE SCHEMA {schema}")
        conn.execute(f"CREATE TABLE {schema}.mine (x int)")
        with pytest.raises(NotALedger, match="not a ledger: the schema has other tables"):
            Ledger(postgres_address)
        tables = (
            "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'"
        )
        assert conn.execute(tables, (schema,)).fetchall() == [("mine",)]
        conn.execute(f"DROP TABLE {schema}.mine")
    with Ledger(postgres_address) as ledger:
        assert ledger.verify().problems == ()


@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.parametrize("table", ["events", "envelopes", "templates", "nodes"])
def test_the_log_is_append_only(
    postgres: PostgresServer, postgres_address: str, table: str, role: str
) -> None:
    """Not even who owns it alters it, unless the guards are dropped."""
    schema = Address.parse(postgres_address).schema
    with Ledger(postgres_address) as ledger:
        ledger.record(sent("a"))
    with postgres.connect() as conn:
        conn.execute(f"SET session_replication_role = {role}")
        conn.execute(f"SET search_path = {schema}")
        row = conn.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1",
            (table,),
        ).fetchone()
        assert row is not None
        for sql in (
            f"UPDATE {table} SET {row[0]} = {row[0]}",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match=f"{table} are append-only"):
                conn.execute(sql)


def test_no_such_ledger(postgres_address: str) -> None:
    """Who only reads makes none."""
    with pytest.raises(NotALedger, match="no such ledger"):
        Ledger(postgres_address, readonly=True)


def test_a_server_that_is_not_there() -> None:
    """It is said in one line, at once."""
    with pytest.raises(LedgerError, match="can't be reached: ") as caught:
        Ledger("postgresql://nobody:5ecret@127.0.0.1:1/nothing")
    assert "5ecret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_search_in_a_period_looks_at_no_others(postgres_address: str) -> None:
    """The server chooses its indexes by itself: that none is named doesn't mean that none is there."""
    since, until = (datetime(2026, 1, day, tzinfo=UTC) for day in (2, 3))
    with Ledger(postgres_address) as ledger:
        ledger.record(sent("a"))
        with ledger._listing(None) as (store, listing):
            query = Query(search="a", since=since, until=until)
            reach = _Reach.of(query, store, listing, None)
    assert (reach.since, reach.until) == (micros(since) - NEAR, micros(until) + NEAR)
    assert reach.apart == ()


def test_keys_are_completed(postgres_address: str) -> None:
    """In their order, however long they are; a space is no matter."""
    long = "b" * 300
    with Ledger(postgres_address) as ledger:
        ledger.record_many(map(sent, ["a2", "a1", "b", f"{long}2", f"{long}1", "c"]))
        with ledger._connections.read() as own:
            found = [own.reader.index.keys_from(one, "delivery", 2) for one in ("a", long, "d")]
    assert found == [["a1", "a2"], [f"{long}1", f"{long}2"], []]


def test_a_pooler_between_is_refused(postgres_tcp: PostgresServer, postgres_proxy: Proxy) -> None:
    """It would give the connection of one ledger to another, with its schema."""
    postgres_proxy.names_itself = True
    with (
        postgres_tcp.new_schema() as schema,
        pytest.raises(LedgerError, match="a connection pooler stands between"),
    ):
        Ledger(postgres_tcp.address(schema, port=postgres_proxy.port))


SETTINGS = (
    "client_encoding = 'LATIN1'",
    "array_nulls = off",
    "datestyle = 'SQL, DMY'",
    "intervalstyle = iso_8601",
    "quote_all_identifiers = on",
    "statement_timeout = 1",
    "lock_timeout = 1",
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "search_path = public",
)


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_a_role_change_nothing(
    postgres: PostgresServer, postgres_address: str, setting: str
) -> None:
    """What is stored, shown and verified is the same for each who opens it."""
    receipts = [sent("a\u00fc"), sent("NULL", SPID="NULL"), b"not a postback", delivered("a\u00fc")]
    with Ledger(postgres_address) as ledger:
        ledger.record_many(receipts)
        before = list(ledger.deliveries())
        with postgres.connect() as conn:
            conn.execute("CREATE ROLE odd SUPERUSER LOGIN")
            try:
                conn.execute(f"ALTER ROLE odd SET {setting}")
                odd = postgres_address.replace("postgres@", "odd@")
                with Ledger(odd) as other:
                    assert list(other.deliveries()) == before
                    other.record_many(receipts)
                    assert other.verify().problems == ()
            finally:
                conn.execute("DROP OWNED BY odd")
                conn.execute("DROP ROLE odd")
        assert ledger.verify().problems == ()
        assert [one.events for one in ledger.deliveries()] == [one.events for one in before]


def test_fields_of_any_length_are_kept(postgres_address: str) -> None:
    """No index holds them whole; those who post next to them are not refused for it."""
    long = "".join(sha256(f"{n}".encode()).hexdigest() for n in range(200))
    with Ledger(postgres_address) as ledger:
        for n, body in enumerate([sent("a", SPID=long), sent(long), sent("b", SPID=f"{long}1")], 1):
            assert ledger.record(body, source=f"s{n}").event.position == n
        ledger.record_many([sent("a", SPID=long), sent("c"), delivered(long)])
        assert ledger.delivery(long).state == "delivered"
        assert ledger.delivery("a").spid == long
        ledger.replay(index=True)
        assert ledger.verify().problems == ()
        assert {count.by["spid"] for count in ledger.counts(by=["spid"])} == {
            long,
            f"{long}1",
            "0001470",
        }


def test_what_a_query_does_to_its_session_goes_with_it(postgres_address: str) -> None:
    """A lock that it takes would stop whoever records."""
    from postledger.store.postgres import _lock_of

    number = _lock_of(Address.parse(postgres_address).schema)
    with Ledger(postgres_address, timeout=2.0) as ledger:
        assert len(ledger.query(f"SELECT pg_advisory_lock({number})")) == 1
        with Ledger(postgres_address, timeout=2.0) as other:
            assert other.record(sent("a")).event.position == 1


ALTERED = {
    "a rule": "CREATE RULE lose AS ON INSERT TO events DO INSTEAD NOTHING",
    "no log": "ALTER TABLE events SET UNLOGGED",
    "hidden rows": "ALTER TABLE events ENABLE ROW LEVEL SECURITY",
    "a function": "CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN RETURN NULL; END'",
    "no guard": "ALTER TABLE events DISABLE TRIGGER events_no_update",
}


@pytest.mark.parametrize("altered", ALTERED)
@pytest.mark.parametrize("forged", [False, True])
def test_a_log_that_would_lose_events_is_not_opened(
    postgres: PostgresServer, postgres_address: str, altered: str, *, forged: bool
) -> None:
    """Nor where whoever altered it copies the notes of what was there."""
    schema = Address.parse(postgres_address).schema
    with Ledger(postgres_address) as ledger:
        ledger.record(sent("a"))
    with postgres.connect() as conn:
        conn.execute(f"SET search_path = {schema}")
        conn.execute(ALTERED[altered])
        if forged:
            made = (
                "select obj_description(oid, 'pg_trigger') from pg_trigger where not tgisinternal"
            )
            row = conn.execute(f"{made} limit 1").fetchone()
            assert row is not None
            text = (row[0] or "").replace("'", "''")
            conn.execute(f"COMMENT ON TRIGGER events_no_update ON events IS '{text}'")
    with pytest.raises(IntegrityError, match="run verify"):
        Ledger(postgres_address)


def test_readers_leave_room_for_a_writer(postgres_address: str) -> None:
    """However many queries run, who records waits for none."""
    with Ledger(postgres_address, timeout=2.0) as ledger, ThreadPoolExecutor(20) as pool:
        ledger.record(sent("a"))
        running = [pool.submit(ledger.query, "SELECT pg_sleep(6)") for _ in range(16)]
        time.sleep(1)
        assert ledger.record(sent("b")).event.position == 2
        for one in running:
            one.result()
