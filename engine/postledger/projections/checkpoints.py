"""Checkpoints: how far each subscription and each projection of a user has read."""

from __future__ import annotations

import json
from collections.abc import Iterable

import attrs

from postledger.errors import IntegrityError, LedgerError
from postledger.log import schema
from postledger.projections import generations
from postledger.store.store import Row, Store

SUBSCRIPTION, PROJECTION = "subscription", "projection"

_BEGIN_AGAIN = "to begin it again, delete its row from the table checkpoints"

# tables: those of a projection, as JSON.
TABLES = {
    "checkpoints": """CREATE TABLE checkpoints (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    tables TEXT NOT NULL,
    position INTEGER NOT NULL,
    problem TEXT,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID"""
}


@attrs.frozen
class Checkpoint:
    """Where a subscription or a projection of your own stands.

    ``kind`` is ``subscription`` or ``projection``; ``position`` is that of the last event it is done
    with (-1: none yet), ``behind`` the number of events that came since. ``problem`` is why it stopped
    there, ``None`` while nothing is wrong. ``version`` is that of a projection, with the hash of the
    definitions that it was made by.

    >>> subscription = ledger.subscribe("webhooks", lambda change: None, live=False)
    >>> [(c.name, c.position, c.behind, c.problem) for c in ledger.checkpoints()]
    [('webhooks', 11, 0, None)]
    """

    kind: str
    name: str
    version: str
    position: int
    problem: str | None
    behind: int


def load(store: Store, last: int, kind: str, name: str) -> Checkpoint | None:
    """The checkpoint of that name, or ``None``; ``last`` is the log's last position."""
    row = store.one(f"{_SELECT} WHERE kind = ? AND name = ?", (last, kind, name))
    return None if row is None else _checkpoint(row)


def all_of(store: Store, last: int) -> tuple[Checkpoint, ...]:
    """All checkpoints, by kind and name; ``last`` is the log's last position."""
    rows = store.execute(f"{_SELECT} ORDER BY kind, name", (last,)).fetchall()
    return tuple(map(_checkpoint, rows))


def _checkpoint(row: Row) -> Checkpoint:
    """The checkpoint of a row; raises ``IntegrityError`` where the row is damaged."""
    kind, name, version, position, problem, behind = row
    if (
        not all(isinstance(text, str) for text in (kind, name, version))
        or not isinstance(position, int)
        or not isinstance(behind, int)
        or position < -1
        or not isinstance(problem, str | None)
    ):
        raise IntegrityError(f"the checkpoint {name!r} is damaged; {_BEGIN_AGAIN}")
    return Checkpoint(kind, name, version, position, problem, behind)


def begin(
    store: Store,
    kind: str,
    name: str,
    position: int,
    *,
    version: str = "",
    tables: Iterable[str] = (),
) -> None:
    """Set a checkpoint, in place of any that was there."""
    store.execute(
        "INSERT INTO checkpoints (kind, name, version, tables, position) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, name) DO UPDATE SET version = excluded.version,"
        " tables = excluded.tables, position = excluded.position, problem = NULL",
        (kind, name, version, json.dumps(list(tables)), position),
    )


def keep_tables(store: Store, kind: str, name: str, tables: Iterable[str]) -> None:
    """Set the tables of a checkpoint, which is one of no version where there was none."""
    store.execute(
        "INSERT INTO checkpoints (kind, name, version, tables, position) VALUES (?, ?, '', ?, -1)"
        " ON CONFLICT (kind, name) DO UPDATE SET tables = excluded.tables",
        (kind, name, json.dumps(list(tables))),
    )


def move(
    store: Store, checkpoint: Checkpoint, position: int, problem: str | None = None
) -> Checkpoint:
    """Move a checkpoint; raises ``LedgerError`` where it is not where it was."""
    moved = store.execute(
        "UPDATE checkpoints SET position = ?, problem = ?"
        " WHERE kind = ? AND name = ? AND version = ? AND position = ?",
        (
            position,
            problem,
            checkpoint.kind,
            checkpoint.name,
            checkpoint.version,
            checkpoint.position,
        ),
    )
    if moved.rowcount != 1:
        raise LedgerError(
            f"{checkpoint.kind} {checkpoint.name!r} is no longer at position {checkpoint.position}:"
            " another program runs it too; run it in one program only"
        )
    behind = checkpoint.behind - (position - checkpoint.position)
    return attrs.evolve(checkpoint, position=position, problem=problem, behind=behind)


def tables_of(store: Store, name: str) -> tuple[str, ...]:
    """The tables of a projection as it was built."""
    row = store.one(
        "SELECT tables FROM checkpoints WHERE kind = ? AND name = ?", (PROJECTION, name)
    )
    return () if row is None else _tables(row[0])


def tables_of_all(store: Store) -> list[str]:
    """The tables of all projections of users, as they were built."""
    rows = store.execute("SELECT tables FROM checkpoints").fetchall()
    return [name for (tables,) in rows for name in _tables(tables)]


def is_own(name: str) -> bool:
    """Whether a table is Postledger's own, or its name more than a name."""
    own = {*schema.TABLES, *generations.TABLES, *TABLES}
    plain = name.isascii() and name.isidentifier()
    folded = name.lower()
    reserved = folded in own or folded.startswith(("sqlite_", "_sqlite"))
    table, _, suffix = folded.rpartition("_")
    indexed = suffix in ("first", "apart", "unread") and generations.is_derived(table)
    return not plain or reserved or generations.is_derived(folded) or indexed


def _tables(text: object) -> tuple[str, ...]:
    try:
        names = json.loads(str(text))
    except (ValueError, RecursionError):
        names = None
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        # guard: no table of the ledger's own is a projection's
        or any(is_own(name) for name in names)
    ):
        raise IntegrityError(f"the tables of a checkpoint are damaged; {_BEGIN_AGAIN}")
    return tuple(names)


_SELECT = "SELECT kind, name, version, position, problem, ? - position FROM checkpoints"
