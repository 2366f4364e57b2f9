"""The PostgreSQL of the tests: what it keeps when killed, who may get in, and what is left of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.postgres_server import LONG, PostgresServer, is_alive, postgres_server

STARTED = """
import os, signal
from tests.postgres_server import postgres_server
with postgres_server() as server:
    print(server.folder, *server.processes(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _left(folder: Path, processes: list[int]) -> list[object]:
    """What is left of a server that ends by itself."""
    end = time.monotonic() + LONG
    while True:
        left = [*filter(is_alive, processes), *([folder] if folder.exists() else [])]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.02)


def test_a_killed_server_keeps_what_was_committed(postgres: PostgresServer) -> None:
    """Killed with an open transaction, and stopped without a checkpoint: it starts again."""
    with postgres.new_schema() as schema:
        path = {"options": f"-c search_path={schema}"}
        with postgres.connect(**path) as conn:
            conn.execute(f"CREATE SCHEMA {schema}")
            conn.execute("CREATE TABLE kept (number int)")
        for number, end in enumerate((postgres.kill, lambda: postgres.stop("immediate"))):
            conn = postgres.connect(**path)
            conn.execute("INSERT INTO kept VALUES (%s)", [number])
            conn.execute("BEGIN")
            conn.execute("INSERT INTO kept VALUES (99)")
            processes = postgres.processes()
            assert postgres.backends()[0] in processes
            end()
            assert [pid for pid in processes[:-1] if is_alive(pid)] == []
            conn.close()
            postgres.start()
        with postgres.connect(**path) as conn:
            assert conn.execute("SELECT * FROM kept ORDER BY 1").fetchall() == [(0,), (1,)]


def test_each_test_has_a_new_schema(postgres: PostgresServer, postgres_address: str) -> None:
    """It is not there yet, and is dropped afterwards, whoever stopped the server."""
    import psycopg

    address, _, name = postgres_address.partition("&schema=")
    with psycopg.connect(address) as conn:
        conn.execute(f"CREATE SCHEMA {name}")
    with postgres.new_schema() as other:
        with postgres.connect() as conn:
            conn.execute(f"CREATE SCHEMA {other}")
            conn.execute(f"CREATE TABLE {other}.one (number int)")
        postgres.kill()
    with postgres.connect() as conn:
        named = conn.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ledger%'")
        assert [found for (found,) in named] == [name]


def test_backends_are_terminated(postgres: PostgresServer) -> None:
    """Their clients notice, the server goes on."""
    import psycopg

    with postgres.connect() as conn:
        assert postgres.terminate_backends() == 1
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")
    assert postgres.backends() == []


def test_settings_last_until_others_are_given(postgres: PostgresServer) -> None:
    """Who asks for one that does not exist is shown what the server says of it."""
    with pytest.raises(RuntimeError, match='unrecognized configuration parameter "no_such"'):
        postgres.settings(no_such=1)
    postgres.settings(fsync="off")
    with postgres.connect() as conn:
        assert conn.execute("SHOW fsync").fetchone() == ("off",)
    postgres.restored()
    with postgres.connect() as conn:
        assert conn.execute("SHOW fsync").fetchone() == ("on",)
        assert conn.execute("SHOW listen_addresses").fetchone() == ("",)


def test_a_server_on_tcp_asks_for_the_password(postgres_tcp: PostgresServer) -> None:
    """Every user of this machine can connect to it."""
    import psycopg

    with psycopg.connect(postgres_tcp.address()) as conn:
        assert conn.execute("SELECT inet_client_addr() IS NOT NULL").fetchone() == (True,)
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{postgres_tcp.port}/postgres")


def test_nobody_else_gets_into_the_folder(postgres: PostgresServer) -> None:
    """Its user does, who is not root."""
    folder = postgres.folder.stat()
    assert folder.st_mode & 0o777 == 0o700
    assert folder.st_uid != 0


@pytest.mark.usefixtures("postgres")
@pytest.mark.parametrize("killed", [False, True])
def test_nothing_is_left_of_a_server(killed: bool) -> None:
    """Whether it runs or was killed when it is closed."""
    with postgres_server() as server:
        folder, processes = server.folder, server.processes()
        assert len(processes) > 3
        if killed:
            server.kill()
    assert _left(folder, processes) == []


@pytest.mark.usefixtures("postgres")
def test_a_server_ends_with_its_killed_owner() -> None:
    """Nobody is there to close it then."""
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", STARTED], cwd=root, stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    folder, *processes = done.stdout.split()
    assert len(processes) > 3
    assert _left(Path(folder), [int(pid) for pid in processes]) == []
