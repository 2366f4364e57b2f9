"""Roles of a server: the owner's log, what a writer's role may do to it, and what a reader's may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from postledger import IntegrityError, Ledger, LedgerError
from postledger.address import Address
from postledger.cli import main
from postledger.definitions.definitions import builtin
from postledger.log.schema import HEAD, TABLES, guards
from postledger.store.opening import grant
from postledger.store.postgres import PostgresStore
from tests.cli import Run
from tests.faults import traffic
from tests.postgres_server import PostgresServer
from tests.samples import first_outcome_stands, sent
from tests.states import rows

ROLES = ("l_owner", "l_writer", "l_reader")
LOGINS = ("l_one", "l_two", "l_guest")
"""Two that are members of the writer's role, and one of the reader's."""

Of = Callable[..., str]


@pytest.fixture
def of(postgres: PostgresServer) -> Iterator[Of]:
    """Addresses of a ledger that its owner has made and granted, by the name of a login."""
    with postgres.new_schema() as schema:
        with postgres.connect() as conn:
            for role in (*ROLES, *LOGINS):
                conn.execute(f"CREATE ROLE {role} {'LOGIN' if role != 'l_writer' else ''}")
            conn.execute("GRANT CREATE ON DATABASE postgres TO l_owner")
            conn.execute("GRANT l_writer TO l_owner, l_one, l_two; GRANT l_reader TO l_guest")
        plain = postgres.address(schema)

        def address(login: str, **given: str) -> str:
            more = "".join(f"&{name}={value}" for name, value in given.items())
            return plain.replace("postgres@", f"{login}@") + more

        try:
            with Ledger(address("l_owner")) as ledger:
                ledger.record_many(traffic.bodies(0, 30))
            main(
                ["grant", address("l_owner"), "--writer", "l_writer", "--reader", "l_reader"],
                standalone_mode=False,
            )
            yield address
        finally:
            with postgres.connect() as conn:
                for role in (*LOGINS, *ROLES):
                    conn.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def as_role(postgres: PostgresServer, of: Of, login: str) -> psycopg.Connection[object]:
    """A connection of a login, outside of the engine."""
    conn = postgres.connect(user=login)
    conn.execute(f"SET search_path = {Address.parse(of(login)).schema}")
    return conn


def test_members_of_the_writer_record_replay_and_adopt_after_each_other(
    postgres: PostgresServer, of: Of
) -> None:
    """And the owner too, whether they name the role or not: all that they make is the writer's."""
    turns = (
        of("l_one", role="l_writer"),
        of("l_two"),
        of("l_owner"),
        of("l_two", role="l_writer"),
        of("l_one"),
        of("postgres"),
    )
    definitions = (first_outcome_stands(), traffic.other_vocabulary())
    for turn, address in enumerate(turns):
        with Ledger(address) as ledger:
            ledger.record_many(traffic.bodies(30 * turn + 30, 30 * turn + 60))
            ledger.replay(definitions[turn % 2])
            ledger.replay(index=True)
            ledger.record(sent(f"k{turn}"))
    with Ledger(of("l_guest"), readonly=True) as ledger:
        assert ledger.verify(ledger.head()).problems == ()
        assert len(rows(ledger)) > 70
        assert ledger.query("SELECT count(*) AS n FROM deliveries")[0]["n"] > 60
        assert ledger.query("SELECT count(*) AS n FROM event_log")[0]["n"] == ledger.head().size
    with postgres.connect() as conn:
        owners = conn.execute(
            "SELECT relname, pg_get_userbyid(relowner) FROM pg_class WHERE relkind IN ('r', 'v')"
            " AND relnamespace = %s::regnamespace",
            (Address.parse(turns[0]).schema,),
        ).fetchall()
    log = {name for name, owner in owners if owner == "l_owner"}
    assert log == {*TABLES, "event_log"}
    assert {owner for name, owner in owners if name not in log} == {"l_writer"}


ALTERING = (
    *("UPDATE {} SET {}", "DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {} CASCADE"),
    *("ALTER TABLE {} DISABLE TRIGGER ALL", "ALTER TABLE {} ADD COLUMN a int"),
    *("ALTER TABLE {} RENAME TO other", "ALTER TABLE {} OWNER TO l_writer"),
    *(
        "CREATE RULE r AS ON INSERT TO {} DO INSTEAD NOTHING",
        "ALTER TABLE {} ENABLE ROW LEVEL SECURITY",
    ),
    "CREATE TRIGGER t BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION append_only()",
    "COMMENT ON TABLE {} IS 'mine'",
)
COLUMNS = {
    "events": "leaf = leaf",
    "envelopes": "envelope = envelope",
    "templates": "total = 0",
    "nodes": "hash = hash",
    "head": "id = 0",
}
OTHERS = (
    "CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "DROP FUNCTION append_only() CASCADE",
    "ALTER FUNCTION append_only() OWNER TO l_writer",
    "CREATE OR REPLACE VIEW event_log AS SELECT 1 AS position",
    "DROP VIEW event_log",
    "SET session_replication_role = replica",
    "SET ROLE l_owner",
    *(f"DROP TRIGGER {name} ON {name.partition('_')[0]}" for name in guards(PostgresStore)),
    *(
        f"ALTER TRIGGER {name} ON {name.partition('_')[0]} RENAME TO a"
        for name in guards(PostgresStore)
    ),
)


@pytest.mark.parametrize("login", ["l_one", "l_guest"])
def test_neither_a_writer_nor_a_reader_alters_what_was_written(
    postgres: PostgresServer, of: Of, login: str
) -> None:
    """Nor what guards it, by any statement: the writer may move the head alone."""
    statements = [sql.format(table, COLUMNS[table]) for sql in ALTERING for table in TABLES]
    if login == "l_one":
        statements.remove(f"UPDATE {HEAD} SET {COLUMNS[HEAD]}")
    with as_role(postgres, of, login) as conn:
        if login == "l_one":
            conn.execute("SET ROLE l_writer")
        for sql in (*statements, *OTHERS):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(sql)
    with Ledger(of("l_owner"), readonly=True) as ledger:
        assert ledger.verify(ledger.head()).problems == ()


def test_a_reader_writes_nothing_and_is_told_so_in_one_line(
    postgres: PostgresServer, of: Of, run: Run, tmp_path: Path
) -> None:
    """It lists, audits, compares, verifies and copies."""
    address = of("l_guest")
    for words in (
        ["deliveries", address, "--as-of", "12"],
        ["audit", address, "--verify"],
        ["verify", address],
        ["replay", address, "--builtin"],
        ["copy", address, tmp_path / "copy.db"],
    ):
        assert run(*words).exit_code == 0
    (tmp_path / "one.xml").write_bytes(sent("x"))
    for words in (["ingest", address, tmp_path / "one.xml"], ["replay", address]):
        done = run(*words)
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.stderr
        assert (
            f"{Address.parse(address)}: the role may not do this: permission denied" in done.stderr
        )
    with as_role(postgres, of, "l_guest") as conn:
        for sql in (
            "CREATE TABLE mine (a int)",
            "INSERT INTO generations SELECT * FROM generations",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(sql)


def test_a_writer_that_alters_the_log_by_the_engine_is_told_so(of: Of) -> None:
    """One line, and nothing is written."""
    with Ledger(of("l_one")) as ledger:
        size = ledger.head().size
        with (
            pytest.raises(
                LedgerError, match=r"may not do this: permission denied for table events"
            ),
            ledger._connections.write() as own,
        ):
            own.store.execute("UPDATE events SET leaf = leaf WHERE position = 0")
        assert ledger.head().size == size


def test_the_guards_hold_the_owner_too(postgres: PostgresServer, of: Of) -> None:
    """Whose rights they are: only one who drops them first alters anything, and that is found."""
    with as_role(postgres, of, "l_owner") as conn:
        with pytest.raises(psycopg.errors.RaiseException, match="events are append-only"):
            conn.execute("DELETE FROM events")
        conn.execute("DROP TRIGGER events_no_delete ON events")
    with pytest.raises(IntegrityError, match="guard events_no_delete is missing"):
        Ledger(of("l_one"))


def test_to_grant_again_adds_readers_and_changes_nothing_else(
    postgres: PostgresServer, of: Of
) -> None:
    """The writer stays the same, and a reader sees what it makes afterwards."""
    owner = Address.parse(of("l_owner"))
    with postgres.connect() as conn:
        conn.execute("GRANT l_reader TO l_owner")
    for readers in (["l_two"], ["l_two", "l_reader"]):
        grant(owner, tuple(TABLES), HEAD, writer="l_writer", readers=readers)
    with Ledger(of("l_one")) as ledger:
        ledger.replay(first_outcome_stands())
    with Ledger(of("l_guest"), readonly=True) as ledger:
        assert len(rows(ledger)) == 10


@pytest.mark.parametrize(
    ("login", "words", "said"),
    [
        ("l_owner", ["--writer", "nobody"], "role 'nobody' does not exist"),
        ("l_owner", ["--reader", "nobody"], 'role "nobody" does not exist'),
        ("l_owner", ["--writer", "l_owner"], "it could drop the guards"),
        ("l_owner", ["--writer", "postgres"], "it could drop the guards"),
        ("l_owner", ["--writer", "l_guest"], "the writer is 'l_writer'"),
        ("l_one", ["--reader", "l_two"], "only the owner 'l_owner' can grant roles, got 'l_one'"),
        ("l_guest", ["--writer", "l_guest"], "only the owner 'l_owner' can grant roles"),
    ],
)
def test_a_grant_that_can_not_be_is_one_line(
    of: Of, run: Run, login: str, words: list[str], said: str
) -> None:
    """And changes nothing."""
    done = run("grant", of(login), *words)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.stderr
    assert said in done.stderr


def test_roles_are_of_a_server(run: Run, tmp_path: Path) -> None:
    """A file has the rights of the system."""
    Ledger(tmp_path / "a.db", definitions=builtin()).close()
    done = run("grant", tmp_path / "a.db", "--reader", "l_reader")
    assert (done.exit_code, "LEDGER must be an address" in done.stderr) == (2, True)
