"""Damaged pages of a server: ``verify`` names what holds them, by checksums and by amcheck."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from postledger import Address, Ledger
from tests.cli import Run
from tests.faults import traffic
from tests.postgres_server import PostgresServer

PAGE = 8192


@pytest.fixture
def amcheck(postgres: PostgresServer) -> Iterator[None]:
    """The extension, in a schema of its own."""
    with postgres.connect() as conn:
        conn.execute("CREATE SCHEMA checks; CREATE EXTENSION amcheck SCHEMA checks")
    yield
    with postgres.connect() as conn:
        conn.execute("DROP SCHEMA checks CASCADE")


@pytest.fixture
def address(postgres: PostgresServer, postgres_address: str) -> Iterator[str]:
    """A ledger of some pages."""
    with Ledger(postgres_address) as ledger:
        ledger.record_many(traffic.bodies(0, 900))
    yield postgres_address
    with postgres.connect() as conn:
        # What was counted is of the database.
        conn.execute("SELECT pg_stat_reset()")


def damage(postgres: PostgresServer, address: str, name: str, page: int, at: int) -> None:
    """Write over some bytes of a page of a table or an index, with the server stopped."""
    with postgres.connect() as conn:
        named = f"{Address.parse(address).schema}.{name}"
        row = conn.execute("SELECT pg_relation_filepath(%s::regclass)", (named,)).fetchone()
        assert row is not None
        conn.execute("CHECKPOINT")
    postgres.stop()
    with (postgres.folder / "data" / str(row[0])).open("r+b") as file:
        file.seek(page * PAGE + at)
        file.write(b"\xa5" * 64)
    postgres.start()


def index_of(address: str, begin: str) -> str:
    """The name of the table of that kind which is live."""
    with Ledger(address, readonly=True) as ledger, ledger._connections.read() as own:
        return next(name for name in own.generation.tables() if name.startswith(begin))


def said(run: Run, address: str) -> list[str]:
    """What verify says: exit 1, and no traceback."""
    done = run("verify", address)
    assert done.exit_code == 1, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.output
    return done.output.splitlines()


@pytest.mark.usefixtures("amcheck")
def test_a_sound_ledger_has_sound_pages(run: Run, address: str) -> None:
    """Tables and indexes are looked into, also by a role that was let."""
    done = run("verify", address)
    assert (done.exit_code, done.output[:4]) == (0, "ok: ")


@pytest.mark.usefixtures("amcheck")
def test_verify_names_the_table_whose_page_is_damaged(
    run: Run, postgres: PostgresServer, address: str
) -> None:
    """By its checksum: the server gives out no such page."""
    damage(postgres, address, "events", 3, 2_000)
    lines = said(run, address)
    assert [
        one for one in lines if one.startswith("database: table events: invalid page in block 3")
    ]
    assert [one for one in said(run, address) if "a page did not have its checksum, last at" in one]


def test_verify_names_it_without_amcheck_too(
    run: Run, postgres: PostgresServer, address: str
) -> None:
    """Where it comes to it."""
    damage(postgres, address, "events", 3, 2_000)
    assert [one for one in said(run, address) if "invalid page in block 3" in one]


@pytest.mark.usefixtures("amcheck")
def test_amcheck_finds_what_has_no_checksum(
    run: Run, postgres: PostgresServer, address: str
) -> None:
    """A server that looks at none gives out the page, with what is wrong in it."""
    index = index_of(address, "states_")
    damage(postgres, address, f"{index}_pkey", 1, 100)
    postgres.settings(ignore_checksum_failure="on")
    assert [one for one in said(run, address) if one.startswith(f"database: index {index}_pkey: ")]


def test_who_may_not_ask_amcheck_is_not_told(
    run: Run, postgres: PostgresServer, address: str, tmp_path: Path, amcheck: None
) -> None:
    """Until that is granted, as the documentation says."""
    page = (Path(__file__).parents[2] / "docs/how-to/postgres.md").read_text("utf-8")
    statement = next(one for one in page.split("`") if one.startswith("GRANT EXECUTE"))
    damage(postgres, address, f"{index_of(address, 'states_')}_pkey", 1, 100)
    schema = Address.parse(address).schema
    with postgres.connect() as conn:
        conn.execute("CREATE ROLE sms_reader LOGIN")
        try:
            conn.execute(f"GRANT USAGE ON SCHEMA {schema}, checks TO sms_reader")
            conn.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO sms_reader")
            reader = address.replace("postgres@", "sms_reader@")
            assert not [one for one in said(run, reader) if "database: index" in one]
            conn.execute("SET search_path = checks")
            conn.execute(statement)
            assert [one for one in said(run, reader) if "database: index" in one]
        finally:
            conn.execute("DROP OWNED BY sms_reader; DROP ROLE sms_reader")
