"""Projections of your own: tables that a program derives from the log, kept in the ledger.

They are told every event of the log once, in order of position, with the delivery as known before
and after it. Their rows and their checkpoint are written in one transaction.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from secrets import token_hex
from typing import Protocol

from sqlite_utils import Database

from postledger.arguments import require
from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError, LedgerError, ProjectionFailed
from postledger.model import Change
from postledger.projections import checkpoints
from postledger.projections.changes import PAGE, changes_of
from postledger.projections.checkpoints import PROJECTION, Checkpoint
from postledger.projections.generations import Lives
from postledger.projections.reader import Reader
from postledger.store.opening import is_of_medium
from postledger.store.sqlite import SqliteStore
from postledger.store.store import LARGEST, Store, insert

_log = logging.getLogger("postledger")

_MOST_HELD = 5_000
"""So many changes are applied at once where new tables take their place; more are left to catch up."""

_NAME = re.compile(r"(?!sqlite_)[a-z][a-z0-9_]*")


class Projection(Protocol):
    """A projection of your own.

    ``name`` is the name of its checkpoint. Count ``version`` up with each change of
    ``tables`` or ``apply``: the projection is then built again from the log. ``tables`` are its
    tables: the name, and the columns as ``CREATE TABLE`` wants them. ``apply`` is called for every
    event of the log, once and in order of position, and of a bundle for every member; it writes to
    its own tables only.

    >>> class Outcomes:
    ...     name = "outcomes"
    ...     version = 1
    ...     tables = {"outcomes": "state TEXT PRIMARY KEY, deliveries INTEGER NOT NULL"}
    ...
    ...     def apply(self, change, db):
    ...         for delivery, by in ((change.before, -1), (change.after, 1)):
    ...             if delivery is not None:
    ...                 db.execute(
    ...                     "INSERT INTO outcomes VALUES (?1, ?2) ON CONFLICT (state)"
    ...                     " DO UPDATE SET deliveries = deliveries + ?2", (delivery.state, by))
    >>> ledger.project(Outcomes())
    >>> ledger.query("SELECT deliveries FROM outcomes WHERE state = 'delivered'")
    [{'deliveries': 3}]
    """

    @property
    def name(self) -> str:
        """The name of its checkpoint."""

    @property
    def version(self) -> int:
        """Counted up when ``tables`` or ``apply`` changes."""

    @property
    def tables(self) -> Mapping[str, str]:
        """Its tables by name, with their columns as ``CREATE TABLE`` wants them."""

    def apply(self, change: Change, db: Database) -> None:
        """Take one event into the tables."""


def version_of(projection: Projection, definitions: Definitions) -> str:
    """The version of its rows: they follow from its own code and from the definitions."""
    return f"{projection.version}:{definitions.hash}"


def check(projection: Projection) -> None:
    """Raise ``LedgerError`` where a name can't be that of a table, ``TypeError`` for what is not one."""
    if any(not hasattr(projection, name) for name in ("name", "version", "tables", "apply")):
        raise TypeError(
            f"projection must have name, version, tables and apply, got {type(projection).__name__}"
        )
    kinds = {"name": str, "version": int, "tables": Mapping}
    for attribute, kind in kinds.items():
        require(f"{type(projection).__name__}.{attribute}", getattr(projection, attribute), kind)
    require(f"{type(projection).__name__}.apply", projection.apply, Callable)
    for name in projection.tables:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise LedgerError(
                f"projection {projection.name!r}: {name!r} is not a valid table name;"
                " write lower-case letters, digits and underscores"
            )
        if checkpoints.is_own(name):
            raise LedgerError(
                f"projection {projection.name!r}: {name!r} is the name of a table of the ledger;"
                " choose another"
            )


def settle(reader: Reader, projection: Projection) -> None:
    """Bring a projection to the head of the log: built again where its version is another.

    Raises ``ProjectionFailed``, with the position and the reason, where ``apply`` raises: nothing is
    changed then beyond the pages before.
    """
    check(projection)
    while (at := _checkpoint(reader, projection)) is None:
        _build(reader, projection)
    position, kept = at.position, Lives()
    for head in _heads(reader, position):
        while position < head:
            position = _catch_up(reader, projection, kept)


def keep_up(reader: Reader, projections: Iterable[Projection], appended: int) -> None:
    """Take what was just appended into the projections; the caller holds the write transaction.

    ``appended`` is the number of those events; a projection that is further behind, since another
    process wrote without it, comes a page nearer each time. One that fails is left where it was,
    with the problem kept: to record must never fail for it.
    """
    store = reader.log.store
    for projection in projections:
        last = reader.log.last()
        try:
            checkpoint = checkpoints.load(store, last, PROJECTION, projection.name)
        except IntegrityError as error:
            _log.error("%s", error)
            continue
        version = version_of(projection, reader.definitions)
        if checkpoint is None or checkpoint.problem is not None or checkpoint.version != version:
            continue
        try:
            with store.savepoint():
                until = min(checkpoint.position + appended + PAGE, last)
                at, kept = checkpoint, Lives()
                while at.position < until:
                    at = _advance(reader, projection, at, kept)
        except Exception as error:
            # guard: a failing disk stops no projection
            if is_of_medium(error) or not store.in_transaction:
                raise
            _log.error(
                "projection %r is left at %s: %s", projection.name, checkpoint.position, error
            )
            checkpoints.move(store, checkpoint, checkpoint.position, str(error))


def _checkpoint(reader: Reader, projection: Projection) -> Checkpoint | None:
    """Where the projection stands; ``None`` where it was not built by this version."""
    found = checkpoints.load(reader.log.store, reader.log.last(), PROJECTION, projection.name)
    is_of_it = found and found.version == version_of(projection, reader.definitions)
    return found if is_of_it else None


def _heads(reader: Reader, position: int) -> Iterator[int]:
    """The head of the log, again and again while there is more after a position.

    Each step is at most half of the one before: those who record as fast as this goes on, ``apply``
    itself perhaps, in another thread, are not followed for ever.
    """
    most = LARGEST
    # guard: following the head has an end
    while 0 < (head := reader.log.last()) - position <= most:
        yield head
        position, most = head, (head - position) // 2


def _catch_up(reader: Reader, projection: Projection, kept: Lives) -> int:
    """One page of catching up, read before it is written; returns the position that it came to."""
    store = reader.log.store
    with store.read():
        at = _checkpoint(reader, projection)
        if at is not None:
            changes = changes_of(reader, at.position, at.position + PAGE, kept)
    if at is not None and not changes:
        return at.position
    with store.write():
        now = _checkpoint(reader, projection)
        if at is None or now is None:
            raise LedgerError(f"projection {projection.name!r} was built again by another version")
        # Another thread that recorded may have taken them in meanwhile.
        if now.position == at.position:
            now = _take(reader, projection, at, changes)
    return now.position


def _advance(
    reader: Reader, projection: Projection, checkpoint: Checkpoint, kept: Lives
) -> Checkpoint:
    """Apply the next page to the tables in the ledger, and move the checkpoint."""
    changes = changes_of(reader, checkpoint.position, checkpoint.position + PAGE, kept)
    return _take(reader, projection, checkpoint, changes)


def _take(
    reader: Reader, projection: Projection, checkpoint: Checkpoint, changes: Sequence[Change]
) -> Checkpoint:
    _apply(reader.log.store, projection, changes)
    position = changes[-1].position if changes else checkpoint.position
    return checkpoints.move(reader.log.store, checkpoint, position)


def _apply(store: Store, projection: Projection, changes: Iterable[Change]) -> None:
    db = _in_file(store, projection).db
    with _confined(db, projection.tables):
        for change in changes:
            try:
                projection.apply(change, db)
            except Exception as error:
                if _is_of_disk(error):
                    raise
                _require_open(store, projection)
                raise ProjectionFailed(
                    f"projection {projection.name!r} can't apply the event at"
                    f" {change.position}: {error!r}; fix it and count up its version",
                    position=change.position,
                ) from error
            _require_open(store, projection)


def _in_file(store: Store, projection: Projection) -> SqliteStore:
    """The store of a ledger in a file; raises ``LedgerError`` for one on a server.

    What a projection may do there is what SQLite's authorizer allows: only so do its rows follow from
    what it is told, and nothing else has it.
    """
    if not isinstance(store, SqliteStore):
        raise LedgerError(
            f"projection {projection.name!r}: it requires a ledger in a file;"
            " on a server, subscribe to changes and write to your own tables"
        )
    return store


def _is_of_disk(error: Exception) -> bool:
    """Whether the disk fails: of other errors it may be a database of its own that is busy or missing."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
    )


def _require_open(store: Store, projection: Projection) -> None:
    # `INSERT OR ROLLBACK` ends it whole, and what was recorded in it is gone.
    if not store.in_transaction:
        raise LedgerError(
            f"projection {projection.name!r} rolled the transaction back; nothing was written"
        )


# --- build again, next to the live tables ---


def _build(reader: Reader, projection: Projection) -> None:
    """Build the tables in a database of their own, then put them in the place of the old ones.

    Readers see the old ones until then, and writers go on. Where another program that builds it is
    quicker its tables stay.
    """
    # The empty name stands for a temporary database that spills to disk and is gone with its
    # connection.
    with closing(sqlite3.connect("")) as conn:
        beside = SqliteStore(_in_file(reader.log.store, projection).path, conn)
        _create(beside, projection, {name: name for name in projection.tables})
        position, kept = -1, Lives()
        for head in _heads(reader, position):
            while position < head:
                position = _onward(beside, reader, projection, position, kept)
        copies = _copied(reader.log.store, beside, projection)
    # Few came meanwhile: they are read before the lock is held, and applied where readers see it.
    changes: list[Change] = []
    while position < reader.log.last() and len(changes) < _MOST_HELD:
        changes += changes_of(reader, position, position + PAGE, kept)
        position = changes[-1].position
    _replace(reader, projection, copies, changes, position)


def _onward(
    beside: Store, reader: Reader, projection: Projection, position: int, kept: Lives
) -> int:
    # One who records in it is refused, as where it is kept up: each event would be one more to apply.
    # guard: an event applied while building is still being read
    with reader.log.store.read():
        changes = changes_of(reader, position, position + PAGE, kept)
        beside.execute("BEGIN")
        _apply(beside, projection, changes)
        beside.execute("COMMIT")
    return changes[-1].position


def _create(store: Store, projection: Projection, names: Mapping[str, str]) -> None:
    """Make the tables, under the names that they are to have for now."""
    for name, columns in projection.tables.items():
        with _told(projection, name):
            store.execute(f"CREATE TABLE {names[name]} ({columns}) STRICT")


def _copied(store: Store, beside: SqliteStore, projection: Projection) -> dict[str, str]:
    """Copy the tables into the ledger in steps; returns the names that they have there for now."""
    copies = {name: f"{name}_{token_hex(6)}" for name in projection.tables}
    with store.write():
        old = checkpoints.tables_of(store, projection.name)
        taken = {name.lower() for _, name in store.names()} - {*old}
        for name in taken & {*copies}:
            raise LedgerError(
                f"projection {projection.name!r}: table {name}: there is already something of that name"
            )
        _create(store, projection, copies)
        # All are known as its own: what is left of a copy that was killed goes with the next one.
        checkpoints.keep_tables(store, PROJECTION, projection.name, [*old, *copies.values()])
    for name, copy in copies.items():
        rows = beside.conn.execute(f"SELECT * FROM {name}")
        while page := rows.fetchmany(PAGE):
            with store.write():
                if not _are_there(store, projection, copies):
                    return copies
                store.executemany(insert(copy, len(rows.description)), page)
    return copies


def _replace(
    reader: Reader,
    projection: Projection,
    copies: Mapping[str, str],
    changes: Sequence[Change],
    position: int,
) -> None:
    """Put the copies in the place of the old tables, with what changed since, in one transaction."""
    store = reader.log.store
    with store.write():
        if not _are_there(store, projection, copies):
            return
        for name in {*checkpoints.tables_of(store, projection.name)} - {*copies.values()}:
            store.execute(f"DROP TABLE IF EXISTS {name}")
        for name, copy in copies.items():
            with _told(projection, name):
                store.execute(f"ALTER TABLE {copy} RENAME TO {name}")
        _apply(store, projection, changes)
        version, tables = version_of(projection, reader.definitions), projection.tables
        checkpoints.begin(
            store, PROJECTION, projection.name, position, version=version, tables=tables
        )


def _are_there(store: Store, projection: Projection, copies: Mapping[str, str]) -> bool:
    """Whether no other program has put its own tables in the place of all others."""
    return {*copies.values()} <= {*checkpoints.tables_of(store, projection.name)}


@contextmanager
def _told(projection: Projection, name: str) -> Iterator[None]:
    """Say of which table an error of SQLite is."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LedgerError(f"projection {projection.name!r}: table {name}: {error}") from None


# --- what apply may do ---

_ALWAYS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_SAVEPOINT,
}
_WRITES = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
_TABLES_OF_SQLITE = {"sqlite_master", "sqlite_schema"}
_LOOKS = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo"}

Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]


@contextmanager
def _confined(db: Database, tables: Collection[str]) -> Iterator[None]:
    """Only the projection's own tables can be read and written, and nothing be committed.

    What it makes then follows from what it is told, whether it runs live or is built again, and a
    mistake in it can't harm the log.
    """
    # sqlite-utils finds this out by making a table, and remembers it.
    assert db.supports_on_conflict
    db.conn.set_authorizer(_authorizer(tables))
    try:
        yield
    finally:
        db.conn.set_authorizer(None)


def _authorizer(tables: Collection[str]) -> Authorizer:
    allowed_on: dict[int, Collection[str]] = {
        **dict.fromkeys(_WRITES, tables),
        sqlite3.SQLITE_READ: {*tables, *_TABLES_OF_SQLITE},
        sqlite3.SQLITE_PRAGMA: _LOOKS,
    }

    def allowed(
        action: int, one: str | None, _two: str | None, _schema: str | None, _inner: str | None
    ) -> int:
        fine = action in _ALWAYS or one in allowed_on.get(action, ())
        return sqlite3.SQLITE_OK if fine else sqlite3.SQLITE_DENY

    return allowed
