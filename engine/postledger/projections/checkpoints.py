"""Checkpoints: where each subscription and each projection of a user stands, in the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable

import attrs
from sqlite_utils import Database

from postledger.errors import LedgerError

SUBSCRIPTION, PROJECTION = "subscription", "projection"


@attrs.frozen
class Checkpoint:
    """Where a subscription or a projection of your own stands.

    ``kind`` is ``subscription`` or ``projection``; ``position`` is that of the last event it is done
    with, ``behind`` the number of events that came since. ``problem`` is why it stopped there,
    ``None`` while nothing is wrong. ``version`` is that of a projection, with the hash of the
    definitions that it was made by.

    >>> subscription = ledger.subscribe("webhooks", lambda change: None, live=False)
    >>> [(c.name, c.position, c.behind, c.problem) for c in ledger.checkpoints()]
    [('webhooks', 11, 0, None)]
    """

    kind: str
    name: str
    version: str | None
    position: int
    problem: str | None
    behind: int


def load(db: Database, kind: str, name: str) -> Checkpoint | None:
    """The checkpoint of that name, ``None`` where there is none."""
    row = db.conn.execute(f"{_SELECT} WHERE kind = ? AND name = ?", (kind, name)).fetchone()
    return None if row is None else Checkpoint(*row)


def all_of(db: Database) -> tuple[Checkpoint, ...]:
    """All checkpoints, by kind and name."""
    return tuple(Checkpoint(*row) for row in db.conn.execute(f"{_SELECT} ORDER BY kind, name"))


def begin(
    db: Database,
    kind: str,
    name: str,
    position: int,
    *,
    version: str | None = None,
    tables: Iterable[str] = (),
) -> Checkpoint:
    """Set a checkpoint, in place of any that was there."""
    db.conn.execute(
        "INSERT OR REPLACE INTO checkpoints (kind, name, version, tables, position)"
        " VALUES (?, ?, ?, ?, ?)",
        (kind, name, version, json.dumps(list(tables)), position),
    )
    made = load(db, kind, name)
    assert made is not None
    return made


def move(
    db: Database, checkpoint: Checkpoint, position: int, problem: str | None = None
) -> Checkpoint:
    """Move a checkpoint; raises ``LedgerError`` where it is not where it was."""
    moved = db.conn.execute(
        "UPDATE checkpoints SET position = ?, problem = ?"
        " WHERE kind = ? AND name = ? AND version IS ? AND position = ?",
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
            f"{checkpoint.kind} {checkpoint.name!r} is no longer at {checkpoint.position}:"
            " somebody else runs it too; run it once"
        )
    return attrs.evolve(checkpoint, position=position, problem=problem)


def tables_of(db: Database, name: str) -> tuple[str, ...]:
    """The tables of a projection as it was built."""
    row = db.conn.execute(
        "SELECT tables FROM checkpoints WHERE kind = ? AND name = ?", (PROJECTION, name)
    ).fetchone()
    return () if row is None else tuple(json.loads(row[0]))


_SELECT = (
    "SELECT kind, name, version, position, problem,"
    " (SELECT coalesce(max(position), 0) FROM events) - position FROM checkpoints"
)
