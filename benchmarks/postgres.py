"""A ledger on PostgreSQL: callers at the same time, next to bare INSERTs and to a peer.

All write to one server, which is started for it on this disk and syncs each commit. The ways are taken
in turn, each in a schema of its own. CPU is that of this process and of the server's together.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import click
import psycopg
from tests.postgres_server import PostgresServer, missing, postgres_server

from benchmarks.concurrency import (
    CALLERS,
    Run,
    bodies,
    by_tasks,
    by_threads,
    ratio,
    tasks,
    threads,
)
from benchmarks.measure import Figure, any_core
from benchmarks.report import table
from postledger import Ledger

_COLUMNS = {
    "received_at": "bigint NOT NULL",
    "envelope": "bigint",
    "inline": "text",
    "template": "bigint",
    "texts": "text",
    "body": "bytea",
    "salt": "bytea",
    "leaf": "bytea NOT NULL",
}
_TABLE = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
_CREATE = f"CREATE TABLE events (position bigserial PRIMARY KEY, {_TABLE})"
_INSERT = f"INSERT INTO events ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))})"

Row = tuple[Any, ...]

WARM = 2_000
"""Events before those that are counted: connections are open, statements prepared."""


def processor(server: PostgresServer) -> Callable[[], float]:
    """The time that this process and the server's took of the processor."""
    return lambda: time.process_time() + server.cpu()


# --- bare INSERTs ---


def rows_of(made: list[bytes]) -> list[Row]:
    """The rows that a ledger keeps of these bodies: the same bytes, parsed and hashed beforehand."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "l.db"
        with Ledger(path) as ledger:
            ledger.record_many(made)
        query = f"SELECT {', '.join(_COLUMNS)} FROM events ORDER BY position DESC LIMIT ?"
        with closing(sqlite3.connect(path)) as conn:
            return conn.execute(query, [len(made)]).fetchall()[::-1]


def _table(server: PostgresServer, schema: str) -> str:
    """Make the table; returns the address of connections that find it."""
    with server.connect() as conn:
        conn.execute(f"CREATE SCHEMA {schema}")
        conn.execute(f"SET search_path = {schema}")
        conn.execute(_CREATE)
    return server.address(options=f"-c search_path={schema} -c synchronous_commit=on")


def bare_threads(server: PostgresServer, schema: str, made: list[bytes]) -> Run:
    """An INSERT committed, by 64 threads with a connection each."""
    rows, address = rows_of([*bodies("warm", WARM), *made]), _table(server, schema)
    with ExitStack() as stack:
        record = []
        for _ in range(CALLERS):
            conn = stack.enter_context(psycopg.connect(address, autocommit=True))
            record.append(partial(conn.execute, _INSERT))
        by_threads(record, rows[:WARM])
        return by_threads(record, rows[WARM:], processor(server))


def bare_tasks(server: PostgresServer, schema: str, made: list[bytes]) -> Run:
    """The same by 64 asyncio tasks."""

    async def main() -> Run:
        rows, address = rows_of([*bodies("warm", WARM), *made]), _table(server, schema)
        async with AsyncExitStack() as stack:
            record = []
            for _ in range(CALLERS):
                conn = await psycopg.AsyncConnection.connect(address, autocommit=True)
                record.append(partial((await stack.enter_async_context(conn)).execute, _INSERT))
            await by_tasks(record, rows[:WARM])
            return await by_tasks(record, rows[WARM:], processor(server))

    return asyncio.run(main())


# --- the peer ---


def peer(server: PostgresServer, schema: str, made: list[bytes]) -> Run:
    """``eventsourcing``: an event parsed beforehand, and saved without loading, by 64 threads."""
    # The peers are an extra, which the tests of the others do without.
    from benchmarks.peers import EventSourcing, nodes_of

    settings = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_HOST": str(server.folder),
        "POSTGRES_DBNAME": "postgres",
        "POSTGRES_USER": "postgres",
        "POSTGRES_PASSWORD": "",
        "POSTGRES_SCHEMA": schema,
        # The best of what was tried: 5, 16 and 64 connections, with and without its functions.
        "POSTGRES_POOL_SIZE": "16",
        "POSTGRES_MAX_OVERFLOW": "0",
        "POSTGRES_ENABLE_DB_FUNCTIONS": "y",
    }
    with server.connect() as conn:
        conn.execute(f"CREATE SCHEMA {schema}")
    nodes = [[nodes_of(body)] for body in (*bodies("warm", WARM), *made)]
    with EventSourcing(server.folder, **settings) as application:
        by_threads([application.append] * CALLERS, nodes[:WARM])
        return by_threads([application.append] * CALLERS, nodes[WARM:], processor(server))


# --- the ledger ---


def ledger_threads(server: PostgresServer, schema: str, made: list[bytes]) -> Run:
    """``Ledger.record`` by 64 threads."""
    return threads(server.address(schema), made, processor(server))


def ledger_tasks(server: PostgresServer, schema: str, made: list[bytes]) -> Run:
    """``AsyncLedger.record`` by 64 asyncio tasks."""
    return tasks(server.address(schema), made, processor(server))


WAYS = {way.__name__: way for way in (bare_threads, bare_tasks, peer, ledger_threads, ledger_tasks)}
_OURS = {"64 threads": "ledger_threads", "64 tasks": "ledger_tasks"}
_BESIDE = {
    "bare INSERT by threads": ("bare_threads", 0.5),
    "bare INSERT by tasks": ("bare_tasks", 0.5),
    "eventsourcing": ("peer", 3.0),
}


def measure(events: int, rounds: int) -> dict[str, list[Run]]:
    """All ways in turn, in schemas of their own."""
    any_core()
    runs: dict[str, list[Run]] = {name: [] for name in WAYS}
    with postgres_server() as server:
        for number in range(rounds + 1):
            for name, way in WAYS.items():
                with server.new_schema() as schema:
                    run = way(server, schema, bodies(f"{number}", events))
                # The first round warms up.
                if number:
                    runs[name].append(run)
    return runs


def figures(runs: dict[str, list[Run]]) -> Iterator[Figure]:
    """Rates, as ratios within each round, and waits."""
    for name, one in _OURS.items():
        ours = statistics.median(run.wall for run in runs[one])
        for beside, (other, least) in _BESIDE.items():
            found, cpu = ratio(runs, one, other), ratio(runs, one, other, "cpu")
            yield Figure(
                f"{name} / {beside} (CPU {cpu:.2f})", ours, "events/s", other, ours / found,
                f"≥ {least:g} ×", found >= least,
            )  # fmt: skip
    for name in runs:
        p50, p99 = (
            statistics.median(getattr(run, at) for run in runs[name]) for at in ("p50", "p99")
        )
        yield Figure(f"{name}: p99 / p50", p99, "ms", "p50", p50)


@click.command()
@click.option("--events", default=6_000, show_default=True, help="Events of each run.")
@click.option("--rounds", default=5, show_default=True, help="Rounds that are counted.")
def main(events: int, rounds: int) -> None:
    """Callers at the same time on PostgreSQL: rates as ratios of interleaved runs, and waits."""
    if (lacking := missing()) is not None:
        raise click.ClickException(lacking)
    click.echo(table(list(figures(measure(events, rounds)))))


if __name__ == "__main__":
    main()
