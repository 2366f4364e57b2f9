"""Counting: how often each of many keys came, exactly, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import NamedTuple

import attrs

from postledger.store.store import Store, bare_of

MOST_IN_MEMORY = 10_000
"""How many keys ``Counts`` holds before it writes them to its table."""

Key = tuple[str | None, ...]


class Counted(NamedTuple):
    """A key with its count, its lowest position, and its earliest and latest time."""

    key: Key
    n: int
    first: int
    earliest: int
    latest: int


@attrs.define
class Counts:
    """Counts by keys, exact and in bounded memory: a scratch table adds up what memory gathers."""

    _store: Store
    _table: str
    _new: dict[Key, tuple[int, int, int, int]] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self._store.execute(
            f"CREATE TABLE {self._table}"
            " (digest BLOB PRIMARY KEY, kind BLOB NOT NULL, n INTEGER NOT NULL,"
            " first INTEGER NOT NULL, earliest INTEGER NOT NULL, latest INTEGER NOT NULL)"
        )

    def add(self, key: Key, position: int = 0, at: int = 0) -> None:
        """Count a key once more; its lowest position and the ends of its times are kept."""
        count, first, earliest, latest = self._new.get(key, (0, position, at, at))
        self._new[key] = count + 1, min(first, position), min(earliest, at), max(latest, at)
        if len(self._new) >= MOST_IN_MEMORY:
            self._add_up()

    def ranked(self, most: int) -> tuple[list[Counted], int, int]:
        """The keys of the highest counts; then how many all others count, and how many they are."""
        self._add_up()
        rows = self._store.execute(
            f"SELECT kind, n, first, earliest, latest FROM {self._table}"
            " ORDER BY n DESC, kind LIMIT ?",
            (most,),
        ).fetchall()
        row = self._store.one(f"SELECT coalesce(sum(n), 0), count(*) FROM {self._table}")
        assert row is not None
        ranked = [Counted(tuple(json.loads(kind)), *found) for kind, *found in rows]
        return ranked, row[0] - sum(one.n for one in ranked), row[1] - len(ranked)

    def _add_up(self) -> None:
        own = bare_of(self._table)
        # As bytes: there is no text that these can't be.
        kinds = (
            json.dumps(key, ensure_ascii=False).encode("utf-8", "surrogatepass")
            for key in self._new
        )
        # Under its digest: a key may be longer than what an index of a server holds.
        rows = [
            (sha256(kind).digest(), kind, *found)
            for kind, found in zip(kinds, self._new.values(), strict=True)
        ]
        # Ended here: what is read next has a transaction of its own.
        with self._store.read():
            self._store.executemany(
                f"INSERT INTO {self._table} VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET"
                f" n = {own}.n + excluded.n, {_end(own, 'first', '<')},"
                f" {_end(own, 'earliest', '<')}, {_end(own, 'latest', '>')}",
                rows,
            )
        self._new.clear()


def _end(table: str, column: str, sign: str) -> str:
    """What keeps the lower or the higher of two values of a column."""
    new, old = f"excluded.{column}", f"{table}.{column}"
    return f"{column} = CASE WHEN {new} {sign} {old} THEN {new} ELSE {old} END"


@contextmanager
def counts(store: Store) -> Iterator[Counts]:
    """Counts that are thrown away at the end."""
    with store.scratch("counts") as table:
        yield Counts(store, table)
