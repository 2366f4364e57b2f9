"""The floors: what SQLite and CPython take for the same rows when nothing is decided about them.

The rows of a ledger are written to a new one of the same tables, indexes and guards, ready made,
by the statements of the engine and through nothing but sqlite3; and the rows of the fold are made
with their columns picked blindly. What an engine does beside comes on top.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from postledger import Ledger
from postledger.log import log
from postledger.log.tree import HASH_SIZE, STRIDE
from postledger.projections import generations, index
from postledger.state.row import COLUMNS
from postledger.store.store import insert

INDEX, STATES = "index_1", "states_1"
"""The tables of a ledger's first generation."""

_HEAD = "SELECT size, frontier, adoption, (SELECT coalesce(max(position), -1) + 1 FROM events) FROM head"
_LIVE = f"SELECT {generations._FIELDS} FROM generations WHERE stage = 'live'"
_MOVE_HEAD = "UPDATE head SET size = ?, frontier = ?, adoption = 0 WHERE id = 0"
_MOVE = "UPDATE generations SET size = ? WHERE number = 1 AND size = ? AND stage = 'live'"
_FIND = f"SELECT id FROM {INDEX}_streams WHERE key = ? AND chart = ? AND space = ?"
_FIND_ALL = f"SELECT id, space, chart, key FROM {INDEX}_streams WHERE key IN ({{}})"
_NEWEST = f"SELECT max(id) FROM {INDEX}_streams"
_PUT = generations._put(STATES, COLUMNS[1:])
_FROM = f"FROM {INDEX} i JOIN events e ON e.position = i.position"
_ROWS_OF = f"SELECT {index.EVENT_ROW} {_FROM} WHERE i.stream = ? {index.FOLD_ORDER}"
_ROWS_OF_ALL = f"SELECT {index.EVENT_ROW} {_FROM} WHERE i.stream IN ({{}}) {index.FOLD_ORDER}"
WHOLE_ROWS = f"SELECT {index.EVENT_ROW} {_FROM} WHERE i.stream > 0 {index.FOLD_ORDER}"
"""All that the index and the log say of the events, in the order of the fold."""
OUTLINES = f"SELECT {index._OUTLINE} {_FROM} WHERE i.stream > 0 {index.FOLD_ORDER}"
"""What plans need of them."""

Rows = list[tuple[Any, ...]]


class Statements:
    """The rows of a ledger, and a new ledger to write them to by its own statements."""

    def __init__(self, filled: Path, path: Path) -> None:
        db = sqlite3.connect(filled)
        self._events: Rows = _all(db, "SELECT * FROM events WHERE position > 0 ORDER BY position")
        self._nodes = dict(db.execute("SELECT number, hash FROM nodes"))
        self._rows = {row[3]: row for row in db.execute(f"SELECT * FROM {INDEX}")}
        self._streams = {row[0]: row for row in db.execute(f"SELECT * FROM {INDEX}_streams")}
        self._states = {row[0]: row for row in db.execute(f"SELECT * FROM {STATES}")}
        Ledger(path).close()
        self._db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self._db.execute("PRAGMA synchronous=FULL")
        for table in ("envelopes", "templates"):
            (there,) = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()
            rows = _all(db, f"SELECT * FROM {table} WHERE id > {there} ORDER BY id")
            if rows:
                self._db.executemany(insert(table, len(rows[0])), rows)
        db.close()
        self._begun: set[int] = {0}

    def write(self, size: int) -> int:
        """Write all, ``size`` events in each transaction; gives their number."""
        for start in range(0, len(self._events), size):
            self._batch(self._events[start : start + size])
        return len(self._events)

    def _batch(self, events: Sequence[tuple[Any, ...]]) -> None:
        db, first, head = self._db, events[0][0], events[-1][0] + 1
        db.execute("BEGIN IMMEDIATE")
        db.execute(_HEAD).fetchone()
        db.execute(_LIVE).fetchone()
        db.executemany(log._APPEND, events)
        nodes = range(first // STRIDE, head // STRIDE)
        if nodes:
            db.executemany(insert("nodes", 2), [(n, self._nodes[n]) for n in nodes])
        db.execute(_MOVE_HEAD, (head, bytes(HASH_SIZE * head.bit_count())))
        db.execute("SAVEPOINT unit")
        db.execute(_MOVE, (head, first))
        rows = [self._rows[event[0]] for event in events]
        self._place(dict.fromkeys(row[0] for row in rows))
        db.executemany(insert(INDEX, 7), rows)
        states = (self._states.get(stream) for stream in dict.fromkeys(row[0] for row in rows))
        db.executemany(_PUT, [state for state in states if state is not None])
        db.execute("RELEASE unit")
        db.execute("COMMIT")

    def _place(self, streams: dict[int, None]) -> None:
        """Look up the streams, make those that are new, read the events of the others."""
        new = [self._streams[stream] for stream in streams if stream not in self._begun]
        if len(new) < 8:
            for _, space, chart, key in new:
                self._db.execute(_FIND, (key, chart, space)).fetchone()
        else:
            self._of_many(_FIND_ALL, [row[3] for row in new])
        if new:
            self._db.execute(_NEWEST).fetchone()
            self._db.executemany(insert(f"{INDEX}_streams", 4), new)
        known = sorted(streams.keys() & self._begun - {0})
        if len(known) < 8:
            for stream in known:
                self._db.execute(_ROWS_OF, (stream,)).fetchall()
        else:
            self._of_many(_ROWS_OF_ALL, known)
        self._begun.update(streams)

    def _of_many(self, sql: str, asked: Sequence[object]) -> None:
        rest = iter(asked)
        while chunk := list(islice(rest, index.CHUNK)):
            self._db.execute(sql.format(", ".join("?" * len(chunk))), chunk).fetchall()


def _all(db: sqlite3.Connection, sql: str) -> Rows:
    return db.execute(sql).fetchall()


def select(path: Path, sql: str = WHOLE_ROWS) -> int:
    """Read the rows of the fold in its order, by ``fetchmany``, and do nothing with them."""
    db = sqlite3.connect(path)
    cursor = db.execute(sql)
    # The quickest way to do nothing with each page.
    deque(iter(lambda: cursor.fetchmany(200), []), maxlen=0)
    (count,) = db.execute(f"SELECT count(*) FROM {INDEX}").fetchone()
    db.close()
    return int(count)


def blind_fold(path: Path) -> int:
    """Read what the fold reads, group it, take the texts apart, and make a row for each stream.

    The columns are picked blindly: nothing is looked up, compared or decided.
    """
    db = sqlite3.connect(path)
    pick = itemgetter(*range(len(COLUMNS)))
    blank = (None,) * len(COLUMNS)
    count = 0
    for stream, group in groupby(db.execute(OUTLINES), itemgetter(0)):
        _, times, received, _, written, _ = zip(*group, strict=True)
        texts = "".join(written).split('"')[1::2]
        pick((stream, min(received), *times, *texts, *blank))
        count += len(times)
    db.close()
    return count


def select_and_insert(path: Path, copy: Path) -> int:
    """Read what the fold reads and write the rows that it makes, ready made."""
    source = sqlite3.connect(path)
    made = source.execute(f"SELECT * FROM {STATES}").fetchall()
    source.close()
    count = select(path, OUTLINES)
    db = sqlite3.connect(copy)
    db.execute("PRAGMA journal_mode=WAL")
    for sql in generations.states_tables(STATES):
        db.execute(sql)
    for start in range(0, len(made), 500):
        with db:
            db.executemany(_PUT, made[start : start + 500])
    db.close()
    return count
