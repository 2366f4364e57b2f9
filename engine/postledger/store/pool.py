"""The connections of one process to the server of a ledger, and how each is set up."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

import psycopg
from psycopg import pq

from postledger.address import Address
from postledger.errors import LedgerBusy, LedgerError
from postledger.store import dialect
from postledger.store.listening import Listener
from postledger.store.refusals import line
from postledger.store.store import Row

MOST_CONNECTIONS = 16
"""How many connections one ledger of one process uses at once."""

_SETTINGS = (
    # guard: synced before it is acknowledged on a server
    "SET synchronous_commit = on; SET timezone = 'UTC'; SET jit = off; SET cursor_tuple_fraction = 1;"
    # What is read is mostly in memory: to look up the rows of a page beats reading all of a table.
    " SET random_page_cost = 1.1;"
    " SET statement_timeout = 0; SET bytea_output = hex; SET client_min_messages = warning;"
    " SET standard_conforming_strings = on; SET default_transaction_read_only = off;"
    # Whatever the role, the database or the environment says: these change what is stored or compared.
    # guard: values go to the server and come back as they are
    " SET client_encoding = 'UTF8'; SET array_nulls = on; SET datestyle = 'ISO, MDY';"
    " SET intervalstyle = postgres; SET quote_all_identifiers = off; SET lock_timeout = 0"
)
_KEEPALIVE: Mapping[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "postledger",
}
Connection = psycopg.Connection[Row]


class Pool:
    """The server of one ledger, as one process uses it: its connections, those that are free first.

    A connection is made where none is free, up to ``MOST_CONNECTIONS``; whoever needs one then waits.
    """

    def __init__(self, address: Address, timeout: float, *, readonly: bool = False) -> None:
        self.address = address
        self.readonly = readonly
        self.timeout = timeout
        self.kinds: dict[dialect.Insert, list[str]] = {}
        self.keyed: dict[str, str] = {}
        self._free: list[Connection] = []
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._process = os.getpid()
        self._users = 0

    def use(self) -> None:
        """Count a store that uses it."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """Count a store that does no more; with the last one all connections are closed."""
        with self._lock:
            self._users -= 1
            free = [] if self._users else self._free
            self._free = self._free if self._users else []
        for conn in free:
            conn.close()

    def take(self, *, writing: bool) -> tuple[Connection, bool]:
        """A connection, and whether it was made just now; who writes waits for no reader."""
        if not writing and not self._room.acquire(timeout=max(self.timeout, 1.0)):
            raise LedgerBusy(f"{self.address}: all connections are in use; try again")
        try:
            with self._lock:
                free = self._free.pop() if self._free else None
            return (self._connected(), True) if free is None else (free, False)
        except BaseException:
            if not writing:
                self._room.release()
            raise

    def give(self, conn: Connection, *, writing: bool) -> None:
        """Take a connection back, for others to use unless it is broken."""
        whole = not conn.closed and conn.info.transaction_status is pq.TransactionStatus.IDLE
        whole = whole and conn.prepare_threshold is not None
        with self._lock:
            if whole and self._users:
                self._free.append(conn)
                conn = cast("Connection", None)
        if conn is not None:
            conn.close()
        if not writing:
            self._room.release()

    def listen(self, ring: Callable[[], object]) -> Listener:
        """Call ``ring`` after each write, by whichever process."""
        return Listener(self._connected, f"LISTEN {channel_of(self.address)}", ring)

    def forget(self) -> None:
        """Close what is free: where one connection was lost, others were too."""
        with self._lock:
            free, self._free = self._free, []
        for conn in free:
            conn.close()

    def _connected(self) -> Connection:
        address = self.address
        given = _parameters(address)
        # Whoever can't wait for another's write can't wait for a server either.
        patience = {"connect_timeout": max(2, min(10, int(self.timeout)))}
        defaults = {**_KEEPALIVE, **patience}
        conn = psycopg.connect(
            address.conninfo,
            autocommit=True,
            **{name: value for name, value in defaults.items() if name not in given},
        )
        try:
            dialect.adapt(conn)
            conn.execute(_SETTINGS)
            if address.role is not None:
                conn.execute(f"SET ROLE {quoted(address.role)}")
            elif not self.readonly:
                _become_writer(conn, address.schema)
            conn.execute(f"SET search_path = {quoted(address.schema)}, pg_temp")
            self._require_safe(conn)
        except BaseException:
            conn.close()
            raise
        return conn

    def _require_safe(self, conn: Connection) -> None:
        """Raise ``LedgerError`` where the server could lose what it acknowledged."""
        (server,) = conn.execute("SELECT pg_backend_pid()").fetchone() or (None,)
        require_direct(self.address, conn, server)
        if conn.info.parameter_status("server_encoding") != "UTF8":
            raise LedgerError(f"{self.address}: the database must have the encoding UTF8")
        if self.address.durable:
            for name in ("fsync", "full_page_writes"):
                row = conn.execute(f"SHOW {name}").fetchone()
                # guard: a server that may lose what it acknowledged is refused
                if row != ("on",):
                    raise LedgerError(
                        f"{self.address}: the server has {name} = {row and row[0]}, and may lose what"
                        f" it acknowledged; set it on"
                    )


def _become_writer(conn: Connection, schema: str) -> None:
    """Take the role whose index and states are: what it makes must be that role's too."""
    row = conn.execute(
        "SELECT pg_get_userbyid(relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname = $1 AND relname = 'generations' AND pg_get_userbyid(relowner) <> current_user"
        " AND pg_has_role(relowner, 'MEMBER')",
        (schema,),
    ).fetchone()
    if row is not None:
        conn.execute(f"SET ROLE {quoted(str(row[0]))}")


def _parameters(address: Address) -> dict[str, Any]:
    """What an address says to libpq; raises ``LedgerError`` where it can't be read."""
    try:
        return psycopg.conninfo.conninfo_to_dict(address.conninfo)
    except psycopg.ProgrammingError as error:
        # What libpq says cites the address, so that it must not be its cause either.
        said = address.without_secrets(line(error))
        raise LedgerError(
            f"{address}: the address can't be read: {said}; next to libpq's it may have the parameters"
            " schema, role and durability"
        ) from None


def require_direct(address: Address, conn: Connection, server: object) -> None:
    """Raise ``LedgerError`` where others share the connection: ``server`` is the process that answers."""
    # guard: a pooler between is refused
    if server != conn.info.backend_pid:
        raise LedgerError(
            f"{address}: a connection pooler stands between; connect to PostgreSQL itself"
        )


def channel_of(address: Address) -> str:
    """The channel that announces writes to a ledger."""
    return quoted(f"postledger_{address.schema}")


def quoted(name: str) -> str:
    """A name as SQL has it."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
