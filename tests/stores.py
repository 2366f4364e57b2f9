"""Both stores: the tests of a module with ``pytestmark = both_stores`` run on files and on a server.

On the server each path of a file stands for a schema of its own: the tests open ledgers as they do in
files. ``in_file`` says of a test that it looks into the file itself, or that no store has a part in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from postledger.address import Address, Location
from postledger.cli import params
from postledger.ledger import aio, ledger
from postledger.log import schema
from postledger.store.sqlite import SqliteStore
from tests.postgres_server import PostgresServer

both_stores = pytest.mark.both_stores
in_file = pytest.mark.in_file
long_on_server = pytest.mark.long_on_server

_FEWER = 10
"""Of so many examples of a property one is tried on the server."""

_SETTINGS = "_hypothesis_internal_use_settings"


@contextmanager
def patched(thing: Any, name: str, value: object) -> Iterator[None]:
    """Something with another attribute for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thing, name, value)
        yield


@contextmanager
def on_server(server: PostgresServer) -> Iterator[None]:
    """Ledgers at paths stand in schemas, which are dropped in the end."""
    made: set[str] = set()
    real = ledger.require_openable

    def placed(path: Any, **how: Any) -> Location:
        location = real(path, **how)
        if isinstance(location, Address):
            return location
        name = f"t_{sha256(str(location).encode()).hexdigest()[:24]}"
        made.add(name)
        return Address.parse(server.address(name, durability="off"))

    with pytest.MonkeyPatch.context() as patch:
        for module in (ledger, aio, params):
            patch.setattr(module, "require_openable", placed)
        patch.setitem(_stands, "at", placed)
        try:
            yield
        finally:
            if made:
                with server.connect(options="-c lock_timeout=10s") as conn:
                    conn.execute(f"DROP SCHEMA IF EXISTS {', '.join(sorted(made))} CASCADE")


def _in_file(path: Any) -> Location:
    return Path(path)


_stands: dict[str, Callable[[Any], Location]] = {"at": _in_file}


def location_of(path: Location) -> Location:
    """Where the ledger of a path stands."""
    return path if isinstance(path, Address) else _stands["at"](path)


def with_few_examples(test: Any) -> AbstractContextManager[None]:
    """A property takes fewer examples: ledgers on a server take longer to make."""
    given = getattr(test, _SETTINGS, None)
    if given is None:
        return nullcontext()
    few = settings(given, max_examples=fewer(given.max_examples))
    return patched(test, _SETTINGS, few)


def fewer(examples: int) -> int:
    """How many of so many examples are tried: on the server some of them."""
    return examples if _stands["at"] is _in_file else max(2, examples // _FEWER)


def stores_of(marks: pytest.Item | Any) -> list[Any] | None:
    """On which stores a test runs, where it, or its module, says that it runs on both."""
    if marks.get_closest_marker("both_stores") is None:
        return None
    if marks.get_closest_marker("in_file"):
        return ["file"]
    is_long = marks.get_closest_marker("long_on_server") is not None
    return ["file", pytest.param("server", marks=pytest.mark.long) if is_long else "server"]


# --- others at the same ledger ---


class Shell:
    """Somebody else's connection to a ledger's tables: a superuser's, where it stands on a server.

    ``execute`` takes SQL with ``?`` for each parameter. Each statement is committed by itself.
    """

    def __init__(self, path: Location) -> None:
        self.location = location_of(path)
        if isinstance(self.location, Path):
            self.conn: Any = sqlite3.connect(
                self.location, isolation_level=None, check_same_thread=False
            )
        else:
            import psycopg

            from postledger.store import dialect

            self.conn = psycopg.connect(self.location.conninfo, autocommit=True)
            dialect.adapt(self.conn)
            self.execute(f"SET search_path = {self.location.schema}, pg_temp")

    def execute(self, sql: str, parameters: tuple[object, ...] = ()) -> Any:
        """Run a statement; returns its cursor."""
        if isinstance(self.location, Path):
            return self.conn.execute(sql, parameters)
        from postledger.store import dialect

        return self.conn.execute(dialect.translated(sql) if parameters else sql, parameters or None)

    def drop(self, table: str) -> None:
        """Drop a table, and on a server the views of it, which a file keeps."""
        self.execute(f"DROP TABLE {table}{'' if isinstance(self.location, Path) else ' CASCADE'}")

    def lock(self) -> None:
        """Begin a transaction that has the write lock."""
        if isinstance(self.location, Path):
            self.execute("BEGIN IMMEDIATE")
            return
        from postledger.store.postgres import _lock_of

        self.execute("BEGIN")
        self.execute(f"SELECT pg_advisory_xact_lock({_lock_of(self.location.schema)})")

    def guard(self, *, on: bool) -> None:
        """Take the guards of the log away, or put them back."""
        if isinstance(self.location, Path):
            for name, sql in schema.guards(SqliteStore).items():
                self.execute(sql if on else f"DROP TRIGGER {name}")
            return
        from postledger.store.postgres import PostgresStore

        for name in schema.guards(PostgresStore):
            what = "ENABLE ALWAYS" if on else "DISABLE"
            self.execute(f"ALTER TABLE {name.split('_')[0]} {what} TRIGGER {name}")


@contextmanager
def shell(path: Location, *, guarded: bool = True) -> Iterator[Shell]:
    """Somebody else at a ledger; without guards these are put back at the end."""
    one = Shell(path)
    with closing(one.conn):
        if not guarded:
            one.guard(on=False)
        yield one
        if not guarded:
            one.guard(on=True)


@contextmanager
def write_lock(path: Location) -> Iterator[Shell]:
    """Another process that is writing, until it says ROLLBACK or this ends."""
    with shell(path) as other:
        other.lock()
        yield other
        other.conn.rollback()


@contextmanager
def refusing(path: Location, verb: str, table: str) -> Iterator[None]:
    """A ledger of which a table refuses to be written, by INSERT or UPDATE."""
    with shell(path) as db:
        is_file = isinstance(db.location, Path)
        made = f"CREATE TRIGGER refusing BEFORE {verb} ON {table}"
        if is_file:
            db.execute(f"{made} BEGIN SELECT RAISE(ABORT, 'no'); END")
        else:
            db.execute(f"{made} FOR EACH STATEMENT EXECUTE FUNCTION append_only()")
        yield
        db.execute("DROP TRIGGER refusing" if is_file else f"DROP TRIGGER refusing ON {table}")


def tamper(path: Location, sql: str, *parameters: object) -> None:
    """Alter a ledger with its guards taken away, and put these back."""
    with shell(path, guarded=False) as db:
        db.execute(sql, parameters)


def is_unread(path: Location) -> bool:
    """Whether no read transaction is open: as long as one is, old versions of rows are kept."""
    with shell(path) as db:
        if isinstance(db.location, Path):
            db.execute("PRAGMA busy_timeout = 0")
            ((busy, *_),) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return not busy
        sql = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'postledger'"
            " AND state <> 'idle'"
        )
        return bool(db.execute(sql).fetchone() == (0,))
