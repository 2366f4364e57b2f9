"""The store: what the engine asks of the place where a ledger is kept, a file or a server.

The statements of the other rooms are SQL that SQLite and PostgreSQL both take, with ``?`` for each
parameter. What is peculiar to either stands in its own module, behind this face.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import count
from typing import Any, Protocol

from postledger.address import Location
from postledger.errors import LedgerError

LARGEST = 2**63 - 1
"""The largest integer that a store holds."""

STILL_READING = "this thread is still reading; end that first, or write in another"
"""What is said to a thread that writes in its own read transaction."""

_MOST_ROWS = 2_000
"""So many changed rows, and some for each commit, are backfilled together."""

Row = tuple[Any, ...]

Opened = Any
"""What tells what was opened from anything else at the same location; see ``open_store``."""


class Cursor(Protocol):
    """What a statement returns, as DB-API 2.0 has it."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""

    def fetchone(self) -> Any:
        """The next row, or ``None``."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""

    def fetchmany(self, size: int) -> list[Any]:
        """The next rows, at most so many."""


class Lost(LedgerError):
    """The connection to a server was lost before anything was committed: nothing was written."""


class Backlog:
    """The rows that all connections to a file changed since it was last backfilled.

    ``ask`` is called once there are many. It is counted here, since each commit comes by.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        self.rows = 0
        self._ask = ask

    def changed(self, rows: int) -> None:
        """Count the rows of one commit."""
        # Each commit writes some pages whatever it changes.
        self.rows += rows + 4
        if self.rows > _MOST_ROWS:
            self.rows = 0
            self._ask()


class Store(ABC):
    """A ledger's tables over one connection, for one thread at a time.

    ``path`` is where they are, ``timeout`` how many seconds a write waits for another's to end.
    ``committed`` says whether the last write is durable, though it may have been interrupted. ``execute``
    and ``executemany`` are as DB-API 2.0 has them; a cursor is read to its end before another statement
    runs that could change its rows. ``one_by_one`` says whether a ``stream`` has one row at a time in
    memory, or some thousand. ``backlog``, where it is set, counts what each commit changed;
    ``connected`` is called where the store works by another connection than before, ``written`` says
    whether what the open transaction appended is there.
    """

    one_by_one: bool
    path: Location
    timeout: float
    committed: bool
    file: Opened
    backlog: Backlog | None = None
    connected: Callable[[], object] | None = None
    written: Callable[[], bool] | None = None
    execute: Callable[..., Cursor]
    executemany: Callable[..., object]

    # --- transactions ---

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    @abstractmethod
    def write(self, patience: float | None = None) -> AbstractContextManager[None]:
        """A transaction that holds the write lock from its start, and sees what others wrote before.

        ``patience`` is how many seconds to wait for the lock, where that is less than the timeout.
        Raises ``LedgerError`` where this thread still reads, or what was opened is no longer there.
        """

    @abstractmethod
    def read(self) -> AbstractContextManager[None]:
        """A read transaction: all that is read in it is of one time; nothing where one is open."""

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is written inside is kept whole, or undone whole where it raises."""
        # One name for all, whose statements are parsed once: of nested ones the innermost is meant.
        self.execute("SAVEPOINT unit")
        try:
            yield
            # Inside: where this fails, what was written must not stay.
            self.execute("RELEASE unit")
        except BaseException:
            if self.in_transaction:
                self.execute("ROLLBACK TO unit")
                self.execute("RELEASE unit")
            raise

    @abstractmethod
    def together(self) -> AbstractContextManager[None]:
        """Statements that nobody waits for go to the server together, and what they read comes in order.

        What is wrong with one may show at one behind it, at the latest at the end, or at that of the
        innermost savepoint.
        """

    # --- reading ---

    @abstractmethod
    def stream(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        """The rows of a SELECT, few of them in memory."""

    def one(self, sql: str, parameters: Sequence[object] = ()) -> Row | None:
        """The first row of a SELECT, or ``None``."""
        row: Row | None = self.execute(sql, parameters).fetchone()
        return row

    @abstractmethod
    def query(
        self, sql: str, parameters: Sequence[object] = ()
    ) -> AbstractContextManager[tuple[list[str], Iterator[Row]]]:
        """The columns and the rows of a user's SELECT, few of them in memory; nothing can be written.

        The connection is for nothing else meanwhile. Raises ``LedgerError`` with what is said of it
        where the statement is wrong, ``KeyboardInterrupt`` where it is interrupted.
        """

    @abstractmethod
    def scratch(self, prefix: str) -> AbstractContextManager[str]:
        """A prefix for names of tables that only this connection sees; they go at the end."""

    @abstractmethod
    def hold(self, tables: Iterable[str]) -> bool:
        """Have nobody drop tables while they are read in this transaction; whether they are there."""

    # --- the schema ---

    @abstractmethod
    def objects(self) -> dict[tuple[str, str], tuple[str, str]]:
        """What the schema has: (kind, name) to the table and the SQL that made it.

        Where that is no more as it was made, the SQL is another text.
        """

    def names(self) -> set[tuple[str, str]]:
        """The tables, views and indexes that the schema has: (kind, name)."""
        return {*self.objects()}

    @staticmethod
    @abstractmethod
    def guards(table: str, taken: str) -> dict[str, str]:
        """The triggers that keep a table append-only: name to SQL.

        ``taken`` holds of a ``NEW`` row that would take the place of one.
        """

    @abstractmethod
    def view(self, name: str, select: str) -> None:
        """Make a view, in place of any of that name."""

    @abstractmethod
    def drop(self, table: str) -> None:
        """Drop a table that nobody uses any more, now or, where somebody still reads it, later."""

    def triggers(self) -> dict[str, tuple[str, str]]:
        """The triggers: name to the table, and the SQL that made it, or else another text."""
        found = self.objects().items()
        return {name: told for (kind, name), told in found if kind == "trigger"}

    def losing(self) -> str | None:
        """Which table loses rows or hides them, and how; ``None`` where none can."""
        return None

    @abstractmethod
    def problems(self, most: int) -> Iterator[str]:
        """What the store itself finds wrong with what it keeps, a line each."""

    # --- where both have words of their own ---

    @abstractmethod
    def by_index(self, name: str, indexes: Mapping[str, str]) -> str | None:
        """What makes a statement read by an index, behind the name of a table; it begins with a space.

        ``indexes`` are names with the SQL that makes each. ``None`` where that one is gone, or is another
        now; empty in a store that chooses by itself. The statement reads the same without it.
        """

    @abstractmethod
    def iso(self, column: str) -> str:
        """SQL for a column of microseconds as ISO 8601 in UTC, with milliseconds."""

    @abstractmethod
    def hex(self, column: str) -> str:
        """SQL for a column of bytes in lower-case hexadecimal digits."""

    @abstractmethod
    def element(self, array: str, number: int) -> str:
        """SQL for an element of a JSON array as text."""

    @abstractmethod
    def filled(self, body: str, pieces: str, texts: str) -> str:
        """SQL for a body as text: it stands whole, or is of pieces with texts between, both JSON."""

    @abstractmethod
    def begins(self, column: str, begin: str, end: str | None) -> tuple[str, tuple[str, ...]]:
        """SQL that holds of texts from ``begin`` on, before ``end``, by index; with its parameters."""

    # --- upkeep ---

    @abstractmethod
    def sizes(self) -> tuple[int, int]:
        """How many bytes it takes, and how many of them wait to be backfilled apart."""

    @abstractmethod
    def backfill(self) -> None:
        """Bring what was committed to where it stays, as far as nobody is in the way."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""


def unindexed(condition: str) -> str:
    """SQL that holds where a condition does, which no index of just those rows is read for."""
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END = 1"


def bare_of(table: str) -> str:
    """A table's name without that of its schema."""
    return table.rpartition(".")[2]


def holes(count: int) -> str:
    """The holes of so many parameters behind IN; of none, what nothing equals."""
    return ", ".join("?" * count) or "NULL"


@lru_cache(maxsize=256)
def insert(table: str, columns: int) -> str:
    """The statement that inserts rows of so many columns."""
    return f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"


def distinct(names: Sequence[str]) -> list[str]:
    """Names of columns, each once: of equal ones the second has ``_2`` behind it."""
    distinct: list[str] = []
    for name in names:
        # Another column may be named so.
        numbered = (f"{name}_{n}" for n in count(2))
        free = name not in distinct
        distinct.append(
            name if free else next(one for one in numbered if one not in {*names, *distinct})
        )
    return distinct
