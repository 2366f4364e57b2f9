"""The proxy of the tests: what the server has of a transaction whose COMMIT was lost on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.postgres_server import PostgresServer
from tests.proxy import Proxy

if TYPE_CHECKING:
    import psycopg


@pytest.fixture
def connect(
    postgres_tcp: PostgresServer, postgres_proxy: Proxy
) -> Iterator[Callable[[], psycopg.Connection[Any]]]:
    """Connections through the proxy to a schema with one table."""
    import psycopg

    with postgres_tcp.new_schema() as schema:
        with postgres_tcp.connect() as conn:
            conn.execute(f"CREATE SCHEMA {schema}")
            conn.execute(f"CREATE TABLE {schema}.kept (number int)")
        address = postgres_tcp.address(port=postgres_proxy.port, options=f"-c search_path={schema}")
        yield lambda: psycopg.connect(address)


def _insert(conn: psycopg.Connection[Any], how: str) -> None:
    if how == "pipeline":
        with conn.pipeline(), conn.transaction():
            conn.execute("INSERT INTO kept VALUES (%s) -- READ COMMITTED", [1])
    else:
        with conn.transaction():
            conn.execute("INSERT INTO kept VALUES (%s) -- READ COMMITTED", [1])


def _count(conn: psycopg.Connection[Any]) -> int:
    (count,) = conn.execute("SELECT count(*) FROM kept").fetchone() or ()
    return int(count)


@pytest.mark.parametrize("how", ["statements", "pipeline"])
@pytest.mark.parametrize("arrives", [True, False])
def test_a_lost_commit_arrived_or_did_not(
    connect: Callable[[], Any], postgres_proxy: Proxy, how: str, arrives: bool
) -> None:
    """The client sees the same of both; those before and after it are answered."""
    import psycopg

    with connect() as conn:
        _insert(conn, how)
        postgres_proxy.lose_commits(arrives=arrives)
        with pytest.raises(psycopg.OperationalError):
            _insert(conn, how)
    with connect() as conn:
        assert _count(conn) == 1 + arrives
        _insert(conn, how)
        assert _count(conn) == 2 + arrives
    assert postgres_proxy.lost == 1


def test_all_connections_are_cut(connect: Callable[[], Any], postgres_proxy: Proxy) -> None:
    """In the middle of a transaction, which is not committed; others can connect."""
    import psycopg

    with connect() as idle, connect() as conn:
        conn.execute("INSERT INTO kept VALUES (1)")
        assert postgres_proxy.cut() == 2
        for cut in (conn, idle):
            with pytest.raises(psycopg.OperationalError):
                cut.execute("SELECT 1")
    with connect() as conn:
        assert _count(conn) == 0


def test_round_trips_take_longer(connect: Callable[[], Any], postgres_proxy: Proxy) -> None:
    """By as much as is asked for, whatever else the machine does."""
    with connect() as conn:
        conn.autocommit = True
        postgres_proxy.delay = 0.2
        began = time.monotonic()
        _count(conn)
        with conn.pipeline():
            conn.execute("INSERT INTO kept VALUES (1)")
        assert time.monotonic() - began >= 0.4


def test_a_client_without_a_server_is_refused(
    connect: Callable[[], Any], postgres_tcp: PostgresServer, postgres_proxy: Proxy
) -> None:
    """A killed server cuts, one that starts again is reached."""
    import psycopg

    with connect() as conn:
        postgres_tcp.kill()
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        connect()
    postgres_tcp.start()
    with connect() as conn:
        assert _count(conn) == 0
