"""The floors: what SQLite and CPython take for the same rows when nothing is decided about them.

The rows of a ledger are written to a new one of the same tables, indexes and guards, ready made,
by the statements of the engine and through nothing but sqlite3; and the rows of the fold are made
with their columns picked blindly. What an engine does beside comes on top.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from postledger import Ledger
from postledger.projections.generations import generations as projections
from postledger.state import streams as facts

_HEAD = "SELECT position, chain FROM events ORDER BY position DESC LIMIT 1"
_IN = "IN (SELECT value FROM json_each(?))"
_STREAM = "SELECT id FROM streams WHERE key = ?"
_STREAMS_OF = "SELECT s.id FROM json_each(?) j CROSS JOIN streams s ON s.key = j.value"
_OF_STREAM = f"{facts._SELECT} WHERE e.stream_id = ? {facts._ORDER}"
_OF_STREAMS = f"{facts._SELECT} WHERE e.stream_id {_IN} {facts._ORDER}"
_REPEATS = "SELECT count(*) FROM events WHERE repeats IS NOT NULL AND stream_id = ?"
_REPEATS_OF = f"SELECT count(*) FROM events WHERE repeats IS NOT NULL AND stream_id {_IN}"
_MOVE = (
    "UPDATE projections SET position = ?, cursor = NULL"
    " WHERE generation = 1 AND position = ? AND cursor IS NULL"
)
_NEWEST = "SELECT max(id) FROM streams"
_SHAPES = "INSERT INTO shapes VALUES (?, ?, ?, ?, ?, ?)"
_STREAMS = "INSERT INTO streams VALUES (?, ?, ?)"
_EVENTS = f"INSERT INTO events VALUES ({', '.join('?' * 12)})"
_STATES = f"INSERT OR REPLACE INTO states_1 VALUES ({', '.join('?' * len(projections.COLUMNS))})"

Rows = list[tuple[Any, ...]]


class Statements:
    """The rows of a ledger, and a new ledger to write them to by its own statements."""

    def __init__(self, filled: Path, path: Path) -> None:
        with sqlite3.connect(filled) as db:
            self.events: Rows = db.execute("SELECT * FROM events ORDER BY position").fetchall()
            self._streams = dict(_by_first(db, "SELECT * FROM streams"))
            self._states = dict(_by_first(db, "SELECT * FROM states_1"))
            shapes = db.execute("SELECT * FROM shapes").fetchall()
        db.close()
        Ledger(path).close()
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executemany(_SHAPES, shapes)
        self._begun: set[int] = {0}

    def write(self, size: int) -> int:
        """Write all, ``size`` events in each transaction; gives their number."""
        for start in range(0, len(self.events), size):
            self._batch(self.events[start : start + size])
        return len(self.events)

    def _batch(self, events: Sequence[tuple[Any, ...]]) -> None:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        position, _ = db.execute(_HEAD).fetchone() or (0, b"")
        db.execute(_MOVE, (events[-1][0], position))
        streams = dict.fromkeys(event[2] for event in events)
        new = [self._streams[stream] for stream in streams if stream not in self._begun]
        known = sorted(streams.keys() & self._begun - {0})
        keys, ids = [stream[2] for stream in new], list(known)
        looked_up = (keys, _STREAM, _STREAMS_OF), (ids, _OF_STREAM, _OF_STREAMS)
        if new:
            db.execute(_NEWEST).fetchone()
        for wanted, of_one, of_many in (*looked_up, (list(streams), _REPEATS, _REPEATS_OF)):
            if wanted:
                one, many = (of_one, wanted[0]), (of_many, json.dumps(wanted))
                sql, parameter = one if len(wanted) == 1 else many
                db.execute(sql, (parameter,)).fetchall()
        db.executemany(_STREAMS, new)
        db.executemany(_EVENTS, events)
        db.executemany(_STATES, [self._states[s] for s in streams if s in self._states])
        db.execute("COMMIT")
        self._begun.update(streams)


def _by_first(db: sqlite3.Connection, sql: str) -> list[tuple[int, tuple[Any, ...]]]:
    return [(row[0], row) for row in db.execute(sql)]


def blind_fold(path: Path) -> int:
    """Read what the fold reads, group it, take the texts apart, and make a row for each stream.

    The columns are picked blindly: nothing is looked up, compared or decided.
    """
    db = sqlite3.connect(path)
    rows = db.execute(f"{facts._SELECT} WHERE e.stream_id > 0 {facts._ORDER}")
    pick = itemgetter(*range(len(projections.COLUMNS)))
    blank = (None,) * len(projections.COLUMNS)
    count = 0
    for stream_id, group in groupby(rows, itemgetter(0)):
        _, times, _, _, received, _, fields, _ = zip(*group, strict=True)
        texts = "".join(fields).split('"')[1::2]
        pick((stream_id, min(received), *times, *texts, *blank))
        count += len(times)
    db.close()
    return count
