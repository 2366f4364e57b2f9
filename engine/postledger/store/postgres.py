"""A ledger in one schema of a PostgreSQL database: how it is reached, written and read.

What is peculiar to PostgreSQL stands here, in ``pool`` (its connections), ``refusals`` (what its errors
mean), ``dialect`` and ``catalog``. Connections commit each statement by itself unless a transaction is
begun; a store has one while it needs it, and gives it back to the ``Pool``. The protocol of a write:
the lock in a statement of its own, since a snapshot that is older than the lock doesn't show what others
wrote before; then all else, which reads what is committed.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from hashlib import sha256
from itertools import islice
from secrets import token_hex
from typing import Any, cast

import psycopg
from psycopg import errors, pq

from postledger.address import Address
from postledger.errors import LedgerBusy, LedgerError, NotALedger
from postledger.store import catalog, dialect
from postledger.store.pool import Connection, Pool, channel_of, quoted, require_direct
from postledger.store.refusals import is_away, line, translated
from postledger.store.store import STILL_READING, Cursor, Lost, Row, Store, bare_of, distinct

_log = logging.getLogger("postledger")

FORMAT = "Postledger ledger, format 1"
"""The comment on a schema that holds a ledger."""

LONGEST_IDLE = 10.0
"""How many seconds a writer may leave the server without a word, before others go on."""

_PAGE = 2_000
"""How many rows of a long SELECT are fetched together."""

_MOST_KNOWN = 200
"""Of how many statements the types of their columns are remembered."""

_TRIES = 5
"""How often the catalog is read again that changed meanwhile."""

_CHANGING = (errors.UndefinedTable, errors.InternalError_, errors.DeadlockDetected)
"""What it says then."""

_SETTLING = 30.0
"""For how many seconds it is asked again how a commit ended, of which the answer was lost."""


class PostgresStore(Store):
    """A ledger's schema, over a connection that it has while it needs one."""

    one_by_one = False
    path: Address
    file: Pool

    def __init__(self, server: Pool, timeout: float) -> None:
        self.path = server.address
        self.timeout = timeout
        self.file = server
        self.committed = False
        self.execute = self._execute
        self.executemany = self._executemany
        self._conn: Connection | None = None
        self._held = 0
        self._unused = self._spent = self._writing = False
        self._pipeline: psycopg.Pipeline | None = None
        self._made: dict[catalog.Named, dialect.Made] = {}
        self._closed = False
        server.use()

    # --- the connection ---

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """The connection that it has, or one for as long as this lasts."""
        self._held += 1
        try:
            self._reach()
            yield cast("Connection", self._conn)
        finally:
            self._release()

    def _reach(self) -> None:
        """Have a connection, unless it has one."""
        if self._conn is None:
            self._conn, made = self.file.take(writing=self._writing)
            self._unused = not made
            if made:
                self._greet()

    def _release(self) -> None:
        """Give the connection back once nothing needs it any more."""
        self._held -= 1
        if not self._held and self._conn is not None:
            conn, self._conn = self._conn, None
            spent, self._spent = self._spent, False
            if spent:
                conn.close()
            self.file.give(conn, writing=self._writing)
        if not self._held:
            self._writing = False

    def _greet(self) -> None:
        """Tell that it works by another connection: the server may not be the one it was."""
        if self.connected is not None:
            try:
                self.connected()
            except BaseException:
                self._drop()
                raise

    def _drop(self) -> None:
        """Close the connection that it has: nothing more is to come over it."""
        if self._conn is not None:
            self._conn.close()

    def _run(self, sql: str, parameters: Sequence[object] = ()) -> psycopg.Cursor[Row]:
        """A statement; where its connection was lost while it was free, over another.

        Only as long as nothing was done over it: what it had begun is gone with it.
        """
        # guard: no statement runs outside of the transaction that it is of
        unused, self._unused = self._unused, False
        try:
            return _run(cast("Connection", self._conn), sql, parameters)
        except psycopg.OperationalError as error:
            if not unused or not is_away(error):
                raise
        self._again()
        self._unused = False
        return _run(cast("Connection", self._conn), sql, parameters)

    def _again(self) -> None:
        """Take another connection in place of one that was lost."""
        self.file.forget()
        if self._conn is not None:
            conn, self._conn = self._conn, None
            self.file.give(conn, writing=self._writing)
        self._reach()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        conn = self._conn
        return conn is not None and conn.info.transaction_status not in (
            pq.TransactionStatus.IDLE,
            pq.TransactionStatus.UNKNOWN,
        )

    # --- transactions ---

    @contextmanager
    def write(self, patience: float | None = None) -> Iterator[None]:
        """A transaction that holds the ledger's advisory lock from its start.

        Raises ``Lost`` where the connection is lost before it was committed. Where it is lost meanwhile
        the server is asked how that ended.
        """
        if self.in_transaction:
            raise LedgerError(f"{self.path}: {STILL_READING}")
        self.committed = False
        self._made.clear()
        self._held += 1
        try:
            try:
                self._writing = self._conn is None
                self._reach()
                xid = self._begin(self.timeout if patience is None else patience)
                yield
                self._note()
            except BaseException as error:
                self._roll_back()
                if isinstance(error, psycopg.Error) and (self._conn is None or self._conn.closed):
                    raise self._lost(error) from error
                raise
            self._commit(xid)
            self._notify()
        finally:
            self._release()

    def _begin(self, patience: float) -> str:
        """Begin a write, with its lock; returns its number.

        Sent at once, each statement by itself: what comes next sees what was committed when the lock
        was given.
        """
        wait = max(1, int(patience * 1_000))
        begun = self._run(
            # guard: a snapshot is never older than the lock
            f"BEGIN ISOLATION LEVEL READ COMMITTED; {self._of_ledger}"
            " SET LOCAL synchronous_commit = on;"
            f" SET LOCAL lock_timeout = {wait};"
            f" SET LOCAL idle_in_transaction_session_timeout = {int(LONGEST_IDLE * 1_000)};"
            f" SELECT pg_advisory_xact_lock({_lock_of(self.path.schema)});"
            # From here a lock on a table is waited for as long as the timeout says.
            " SELECT pg_current_xact_id()::text, pg_backend_pid()"
        )
        while begun.nextset():
            pass
        row = begun.fetchone()
        assert row is not None
        xid, server = row
        require_direct(self.path, cast("Connection", self._conn), server)
        return str(xid)

    @property
    def _of_ledger(self) -> str:
        """Has the statements of a transaction be of this ledger, whatever the connection was set to."""
        return f"SET LOCAL search_path = {quoted(self.path.schema)}, pg_temp;"

    def _commit(self, xid: str) -> None:
        conn = cast("Connection", self._conn)
        try:
            conn.execute("COMMIT")
        except BaseException as error:
            if not conn.closed and not (isinstance(error, psycopg.Error) and is_away(error)):
                self.committed = self._was_committed(xid)
                raise
            if not isinstance(error, psycopg.Error):
                raise
            # guard: a commit without an answer is settled
            self.committed = self._settled(xid, error)
            if not self.committed:
                raise self._lost(error) from error
        else:
            self.committed = True

    def _was_committed(self, xid: str) -> bool:
        """Whether a write ended well that was interrupted here while the server did it."""
        with suppress(psycopg.Error):
            self._roll_back()
            return _status(cast("Connection", self._conn), xid) == "committed"
        return False

    def _settled(self, xid: str, error: psycopg.Error) -> bool:
        """Whether a commit was done whose answer was lost, as the server says once it holds no lock.

        Raises ``LedgerError`` where it doesn't say so in time.
        """
        end = time.monotonic() + max(self.timeout, _SETTLING)
        while True:
            try:
                self._again()
                self._begin(max(0.001, end - time.monotonic()))
                try:
                    done = _status(cast("Connection", self._conn), xid) == "committed"
                    # Another server may have given that number to something else.
                    # guard: what a server says it committed is there
                    return done and (self.written is None or self.written())
                finally:
                    self._roll_back()
            except (psycopg.Error, LedgerBusy):
                if time.monotonic() > end:
                    raise LedgerError(
                        f"{self.path}: the connection was lost during the commit, and the server"
                        " didn't say whether this was recorded; record it again: a repeat changes nothing"
                    ) from error
                time.sleep(0.05)

    def _notify(self) -> None:
        """Tell who listens that something was written; after the commit, which it must not hold up."""
        with suppress(psycopg.Error):
            cast("Connection", self._conn).execute(f"NOTIFY {channel_of(self.path)}")

    def _lost(self, error: psycopg.Error) -> Lost:
        said = self.path.without_secrets(line(error))
        return Lost(f"{self.path}: the connection was lost ({said}); nothing was written")

    def _roll_back(self) -> None:
        conn = self._conn
        if conn is None:
            return
        with suppress(psycopg.Error):
            if not conn.closed and conn.info.transaction_status is pq.TransactionStatus.ACTIVE:
                conn.cancel_safe(timeout=5.0)
            if not conn.closed and conn.info.transaction_status is not pq.TransactionStatus.IDLE:
                conn.execute("ROLLBACK")

    @contextmanager
    def read(self) -> Iterator[None]:
        """A read transaction, whose snapshot stays the same."""
        if self.in_transaction:
            yield
            return
        with self._connection():
            self._run(f"BEGIN ISOLATION LEVEL REPEATABLE READ; {self._of_ledger}")
            conn = cast("Connection", self._conn)
            try:
                yield
            except BaseException:
                self._roll_back()
                raise
            # A read transaction may have filled a scratch table.
            if not self._closed and not conn.closed:
                try:
                    conn.execute("COMMIT")
                except psycopg.OperationalError:
                    # All was read.
                    if not conn.closed:
                        raise

    @contextmanager
    def together(self) -> Iterator[None]:
        """A pipeline: the server works while the next statements are made."""
        with self._connection() as conn:
            try:
                with conn.pipeline() as self._pipeline:
                    yield
            except BaseException:
                _distrust(conn)
                raise
            finally:
                self._pipeline = None

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is written inside is kept whole, or undone whole where it raises."""
        with super().savepoint():
            try:
                yield
                self._wait()
            except BaseException:
                # What comes behind a failed statement is passed over until then.
                with suppress(psycopg.Error):
                    self._wait()
                if self._pipeline is not None and self._conn is not None:
                    _distrust(self._conn)
                raise

    def _wait(self) -> None:
        """Wait for all statements that were sent; what was wrong with one is raised."""
        if self._pipeline is not None:
            self._pipeline.sync()

    # --- statements ---

    def _execute(self, sql: str, parameters: Sequence[object] = ()) -> Cursor:
        made = dialect.made_by(sql)
        if made is not None:
            return self._make(made)
        with self._connection():
            return cast("Cursor", self._run(self._keyed(sql), parameters))

    def _keyed(self, sql: str) -> str:
        """A statement of which a conflict is in the columns that a unique index has."""
        table = dialect.conflicting(sql)
        if table is None:
            return sql
        known = self.file.keyed.get(sql)
        if known is None:
            with self._connection() as conn:
                known = dialect.keyed(sql, catalog.kinds(conn, table))
            self.file.keyed[sql] = known
        return known

    def _executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with self._connection() as conn:
            self._unused = False
            insert = dialect.insert_of(self._keyed(sql))
            given = iter(rows)
            while page := list(islice(given, _PAGE)):
                if insert is None:
                    with conn.cursor() as cursor:
                        cursor.executemany(dialect.translated(sql), page)
                else:
                    kinds = self._kinds(insert)
                    conn.execute(insert.of(kinds), dialect.arrays(page, kinds))

    def _kinds(self, insert: dialect.Insert) -> Sequence[str]:
        """The types of the columns that are inserted."""
        known = self.file.kinds.get(insert)
        if known is None:
            with self._connection() as conn:
                types = catalog.kinds(conn, insert.table)
            known = [types[name] for name in insert.columns or types]
            if len(self.file.kinds) > _MOST_KNOWN:
                self.file.kinds.clear()
            self.file.kinds[insert] = known
        return known

    def _make(self, made: dialect.Made) -> Cursor:
        """Make something; the SQL that made it is noted at the end of the transaction, or before."""
        with self._connection() as conn:
            cursor = conn.execute(cast("Any", made.told))
            if not made.scratch:
                self._made[made.kind, made.name] = made
            if not self.in_transaction:
                self._note()
            return cast("Cursor", cursor)

    def _note(self) -> None:
        if self._made:
            catalog.note(cast("Connection", self._conn), self.path.schema, self._made)
            self._made.clear()

    def stream(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        """The rows of a SELECT, by a cursor of the server, or all at once in a pipeline."""
        if self._pipeline is not None:
            yield from self._execute(sql, parameters).fetchall()
            return
        with self.read():
            conn = cast("Connection", self._conn)
            cursor = conn.cursor(f"rows_{token_hex(6)}")
            cursor.itersize = _PAGE
            try:
                yield from cursor.execute(dialect.translated(sql), tuple(parameters) or None)
            finally:
                if not conn.closed and self.in_transaction:
                    with suppress(psycopg.Error):
                        cursor.close()

    @contextmanager
    def query(
        self, sql: str, parameters: Sequence[object] = ()
    ) -> Iterator[tuple[list[str], Iterator[Row]]]:
        """The columns and the rows of a SELECT; nothing can be written."""
        with self._connection() as conn, self._failing():
            nested = self.in_transaction
            conn.execute(
                "SAVEPOINT query" if nested else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
            )
            try:
                if nested:
                    conn.execute("SET LOCAL transaction_read_only = on")
                with closing(conn.cursor(f"rows_{token_hex(6)}")) as cursor:
                    cursor.itersize = _PAGE
                    cursor.execute(dialect.asked(sql, parameters), tuple(parameters) or None)
                    columns = distinct([one.name for one in cursor.description or ()])
                    yield columns, self._rows_of(cursor)
            finally:
                # Whatever it did to its session goes with it.
                self._spent = True
                conn.execute("ROLLBACK TO query" if nested else "ROLLBACK")

    def _rows_of(self, cursor: psycopg.ServerCursor[Row]) -> Iterator[Row]:
        with self._failing():
            yield from cursor

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, ValueError, TypeError) as error:
            # What only a cursor reads is refused as syntax.
            refused = (
                errors.ReadOnlySqlTransaction,
                errors.SyntaxError,
                errors.FeatureNotSupported,
            )
            hint = "; a query is one SELECT, which only reads" if isinstance(error, refused) else ""
            said = self.path.without_secrets(line(error))
            raise LedgerError(f"{self.path}: the query fails: {said}{hint}") from None

    # --- tables of its own ---

    @contextmanager
    def scratch(self, prefix: str) -> Iterator[str]:
        """A prefix for names of temporary tables; the connection is its own until the end."""
        named = f"pg_temp.{prefix}_{token_hex(6)}"
        with self._connection() as conn:
            try:
                yield named
            finally:
                if not conn.closed and not self._closed:
                    self._drop_scratch(conn, bare_of(named))

    def _drop_scratch(self, conn: Connection, begin: str) -> None:
        with suppress(psycopg.Error):
            rows = conn.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND starts_with(relname, $1)"
                " AND relnamespace = pg_my_temp_schema()",
                (begin,),
            ).fetchall()
            for (name,) in rows:
                conn.execute(f"DROP TABLE IF EXISTS pg_temp.{name}")

    def hold(self, tables: Iterable[str]) -> bool:
        """Lock tables against being dropped: to see them in a snapshot is not to have them."""
        with self._connection() as conn:
            try:
                conn.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")
            except errors.UndefinedTable:
                return False
        return True

    # --- the schema ---

    def objects(self) -> dict[tuple[str, str], tuple[str, str]]:
        """What the schema has, as its catalog says."""
        with self._connection() as conn:
            self._note()
            for _ in range(_TRIES):
                # While another process drops tables the catalog speaks of some that are gone.
                with suppress(*_CHANGING), self._nested():
                    return catalog.objects(conn, self.path.schema)
            return catalog.objects(conn, self.path.schema)

    def _nested(self) -> AbstractContextManager[None]:
        """A savepoint, where a transaction is open."""
        return self.savepoint() if self.in_transaction else nullcontext()

    def triggers(self) -> dict[str, tuple[str, str]]:
        """Its triggers and rules, whatever others do to tables and views meanwhile."""
        with self._connection() as conn:
            found = catalog.acting(conn, self.path.schema).items()
        return {name: told for (kind, name), told in found if kind == "trigger"}

    def losing(self) -> str | None:
        """Which table loses rows or hides them, and how."""
        with self._connection() as conn:
            return catalog.losing(conn, self.path.schema)

    def names(self) -> set[tuple[str, str]]:
        """Its tables, views and indexes, as its catalog says."""
        with self._connection() as conn:
            return catalog.names(conn, self.path.schema)

    def view(self, name: str, select: str) -> None:
        """Make a view: in the place of the one before, unless it has other columns.

        Those that somebody else has of it stay what they are.
        """
        sql = f"CREATE VIEW {name} AS {select.strip()}"
        made = dialect.Made(
            "view", name, name, sql, sql.replace(" ", " OR REPLACE ", 1), scratch=False
        )
        try:
            with self.savepoint():
                self._make(made)
        except errors.InvalidTableDefinition:
            self._make(made._replace(told=f"DROP VIEW {name}; {sql}"))

    @staticmethod
    def guards(table: str, taken: str) -> dict[str, str]:  # noqa: ARG004
        """The triggers that keep a table append-only; an insert takes no row's place here."""
        return dialect.guards(table)

    def drop(self, table: str) -> None:
        """Drop a table, unless somebody reads it, or a view is of it still: then it is left for later."""
        with self._connection() as conn:
            conn.execute("SAVEPOINT dropping")
            try:
                conn.execute("SET LOCAL lock_timeout = 100")
                conn.execute(f"DROP TABLE IF EXISTS {table}")
            except (errors.LockNotAvailable, errors.DependentObjectsStillExist):
                conn.execute("ROLLBACK TO dropping")
            conn.execute("RELEASE dropping")

    def problems(self, most: int) -> Iterator[str]:
        """What the server knows to be damaged, by its checksums and by amcheck where that is there."""
        with self._connection() as conn:
            yield from islice(catalog.problems(conn, self.path.schema), most)

    # --- words ---

    def by_index(self, name: str, indexes: Mapping[str, str]) -> str:  # noqa: ARG002
        """PostgreSQL chooses by itself."""
        return ""

    def iso(self, column: str) -> str:
        """Its text."""
        return dialect.iso(column)

    def hex(self, column: str) -> str:
        """Its digits."""
        return f"encode({column}, 'hex')"

    def element(self, array: str, number: int) -> str:
        """It as text."""
        return f"(({array})::json ->> {number})"

    def filled(self, body: str, pieces: str, texts: str) -> str:
        """The body."""
        return dialect.filled(body, pieces, texts)

    def begins(self, column: str, begin: str, end: str | None) -> tuple[str, tuple[str, ...]]:
        """Between both ends, of which the index has the beginnings."""
        return dialect.begins(column, begin, end)

    # --- upkeep ---

    def sizes(self) -> tuple[int, int]:
        """Those of all tables and indexes; the server's write-ahead log is not of one ledger."""
        row = self.one(
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        )
        return int(row[0]) if row else 0, 0

    def backfill(self) -> None:
        """The server does it."""

    def close(self) -> None:
        """Give back what it has."""
        if self._closed:
            return
        self._closed = True
        conn = self._conn
        if conn is not None and os.getpid() == self.file._process:
            conn.close()
        self.file.leave()


def open_store(
    address: Address,
    make: Callable[[Store], None],
    *,
    timeout: float,
    readonly: bool = False,
    server: Pool | None = None,
) -> PostgresStore:
    """Open a ledger's schema; see ``opening.open_store``."""
    with translated(address):
        known = server is not None
        store = PostgresStore(server or Pool(address, timeout, readonly=readonly), timeout)
        try:
            if not known:
                _settle(store, make, readonly=readonly)
        except BaseException:
            store.close()
            raise
    return store


def exists(address: Address) -> bool:
    """Whether a ledger stands in the schema."""
    with (
        translated(address),
        closing(PostgresStore(Pool(address, 0.0, readonly=True), 0.0)) as store,
    ):
        return _format(store) is not None


def _settle(store: PostgresStore, make: Callable[[Store], None], *, readonly: bool) -> None:
    """Make the schema where there is none, and refuse any that is not a ledger's."""
    address = store.path
    if not readonly and _format(store) is None:
        with store.write():
            # Another process may have been quicker.
            if _format(store) is None:
                _make(store, make)
    found = _format(store)
    if found is None:
        raise NotALedger(f"{address}: no such ledger")
    row = store.one("SELECT has_schema_privilege(?, 'USAGE')", (address.schema,))
    if row != (True,):
        raise LedgerError(
            f"{address}: the role may not use the schema; `postledger grant` lets it read or write"
        )
    if found != FORMAT:
        raise NotALedger(
            f"{address}: expected a schema with the comment {FORMAT!r}, got {found!r}; open it with"
            " the Postledger that wrote it"
        )


def _make(store: PostgresStore, make: Callable[[Store], None]) -> None:
    schema, conn = store.path.schema, cast("Connection", store._conn)
    if _exists(store):
        # An administrator may have made it, for a role that makes none.
        # guard: foreign schemas refused
        if catalog.objects(conn, schema):
            raise NotALedger(f"{store.path}: not a ledger: the schema has other tables")
    else:
        conn.execute(f"CREATE SCHEMA {quoted(schema)}")
    for name, sql in dialect.FUNCTIONS.items():
        store._make(dialect.Made("function", name, "", sql, sql, scratch=False))
    make(store)
    conn.execute(f"COMMENT ON SCHEMA {quoted(schema)} IS {_literal(FORMAT)}")


def _format(store: PostgresStore) -> str | None:
    """The comment on the schema; ``None`` where there is no ledger, and no schema with tables."""
    row = store.one(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = ?",
        (store.path.schema,),
    )
    # The schema public has a comment of PostgreSQL's own.
    return None if row is None or not str(row[0]).startswith("Postledger") else str(row[0])


def _exists(store: PostgresStore) -> bool:
    return (
        store.one("SELECT 1 FROM pg_namespace WHERE nspname = ?", (store.path.schema,)) is not None
    )


# --- statements ---


def _run(conn: Connection, sql: str, parameters: Sequence[object]) -> psycopg.Cursor[Row]:
    if parameters:
        return conn.execute(dialect.translated(sql), parameters)
    return conn.execute(cast("Any", sql))


def _distrust(conn: Connection) -> None:
    """Prepare no statement any more, and run none that was prepared; such a connection is not used again.

    Of a pipeline the statements behind a failed one are passed over, and psycopg takes those that were to
    be prepared for prepared.
    """
    conn.prepare_threshold = None


def _status(conn: Connection, xid: str) -> str:
    try:
        row = conn.execute("SELECT pg_xact_status($1::xid8)", (xid,)).fetchone()
    except errors.InvalidParameterValue:
        # Of a server that was behind: it never heard of it.
        return "unknown"
    return str(row and row[0])


def _lock_of(schema: str) -> int:
    """The number of the advisory lock of a ledger, which is the same for all processes."""
    digest = sha256(f"postledger:{schema}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def _literal(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"
