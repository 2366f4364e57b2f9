"""Tallies: events and deliveries counted by the hour, so that nobody has to scan for a figure.

A delivery is counted under what its state has; when that changes, it is subtracted there and added where
it belongs now, in the transaction that writes the state. So the tallies follow from the states as
these follow from the events: the same in any order of arrival. What is added to a row is added up at
once: a table of changes that is added up later takes more time and room in SQLite (measured).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from secrets import token_bytes
from typing import Any, Literal, get_args

import attrs

from postledger.arguments import shown
from postledger.errors import IntegrityError
from postledger.findings import names
from postledger.model import Tally
from postledger.state.row import (
    APART,
    DELIVERIES,
    EVENTS,
    HOUR,
    KEY,
    LATEST,
    NEWEST,
    SUMS,
    VERIFIED,
)
from postledger.store.store import Store
from postledger.times import micros, time_of

TallyOf = Literal["events", "deliveries", "findings", "sendings"]
"""What is counted; ``findings`` are those of the deliveries."""

TallyBy = Literal["hour", "source", "carrier", "route", "value", "seconds"]
"""What is counted apart."""


@attrs.frozen
class Tallies:
    """The tallies of one generation, in the table ``name``."""

    store: Store
    name: str

    @staticmethod
    def table(name: str) -> str:
        """The SQL that makes the table of that name."""
        return f"""CREATE TABLE {name} (
    hour INTEGER NOT NULL,
    what TEXT NOT NULL,
    source TEXT NOT NULL,
    value TEXT NOT NULL,
    seconds INTEGER NOT NULL,
    carrier TEXT NOT NULL,
    route TEXT NOT NULL,
    findings INTEGER NOT NULL,
    n INTEGER NOT NULL,
    repeats INTEGER NOT NULL,
    took INTEGER NOT NULL,
    PRIMARY KEY ({", ".join(KEY)})
) STRICT, WITHOUT ROWID"""

    # --- write ---

    def take_events(self, other: Tallies) -> None:
        """Count the events as another does, of a generation with the same index."""
        self.store.execute(
            f"INSERT INTO {self.name} SELECT * FROM {other.name} WHERE what IN (?, ?, ?)",
            (EVENTS, *LATEST),
        )

    # --- read ---

    def sums(
        self, what: str, by: Sequence[str], since: int | None = None, until: int | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """The sums of what is counted, for each combination of the columns ``by``.

        Rows of these columns and of the sums. ``since`` and ``until`` are numbers of hours.
        """
        ends = (("hour >= ?", since), ("hour < ?", until), ("what = ?", what))
        where = " AND ".join(sql for sql, end in ends if end is not None)
        columns = ", ".join(by)
        selected = ", ".join([*by, *(f"sum({column})" for column in SUMS)])
        grouped = f"GROUP BY {columns} HAVING sum(n) <> 0 ORDER BY {columns}" if by else ""
        found = self.store.stream(
            f"SELECT {selected} FROM {self.name} WHERE {where} {grouped}",
            tuple(end for _, end in ends if end is not None),
        )
        # Without columns there is one row in any case.
        return (row for row in found if row[len(by)])

    def without(self, states: Sequence[str]) -> Iterator[tuple[int, int]]:
        """The deliveries by hour that are in none of ``states``; at least one state is required."""
        rows: Iterator[Any] = self.store.stream(
            f"SELECT hour, sum(n) FROM {self.name} WHERE what = ?"
            f" AND value NOT IN ({', '.join('?' * len(states))}) GROUP BY hour HAVING sum(n) <> 0",
            (DELIVERIES, *states),
        )
        return rows

    def newest(self) -> int | None:
        """The newest time of reception, or ``None`` for an empty log."""
        return self._one(NEWEST)

    def verified(self) -> int | None:
        """The position of the event that states the last verification, or ``None``."""
        return self._one(VERIFIED)

    def _one(self, what: str) -> int | None:
        row = self.store.one(f"SELECT n FROM {self.name} WHERE hour = 0 AND what = ?", (what,))
        return None if row is None else int(row[0])

    def apart(self) -> int:
        """How many deliveries began far from their first reception: see ``state.row.NEAR``."""
        return self._one(APART) or 0

    def unrecognised(self) -> int:
        """How many events were read, but no vocabulary recognised."""
        row = self.store.one(
            f"SELECT coalesce(sum(n), 0) FROM {self.name} WHERE what = ? AND value = 'unrecognised'",
            (EVENTS,),
        )
        return 0 if row is None else int(row[0])

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All rows as they are."""
        return self.store.stream(f"SELECT * FROM {self.name}")


def public_tallies(
    tallies: Tallies,
    what: TallyOf,
    by: Sequence[TallyBy],
    since: datetime | None,
    until: datetime | None,
) -> tuple[Tally, ...]:
    """The public values: see ``Ledger.tallies``."""
    hours = _hour(since), _hour(until)
    if what == "findings":
        return tuple(_tally(by, row) for row in _by_finding(tallies, by, *hours))
    return tuple(_tally(by, row) for row in tallies.sums(what, by, *hours))


def _by_finding(
    tallies: Tallies, by: Sequence[TallyBy], since: int | None, until: int | None
) -> list[tuple[Any, ...]]:
    """The sums of deliveries for each of their findings: one with several counts for each."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    columns = ["findings" if column == "value" else column for column in by]
    if "value" not in by:
        columns.append("findings")
    at = columns.index("findings")
    for row in tallies.sums(DELIVERIES, columns, since, until):
        for name in names(row[at]):
            key = (*row[:at], name, *row[at + 1 : len(columns)])[: len(by)]
            found = sums.setdefault(key, [0] * len(SUMS))
            for index, value in enumerate(row[len(columns) :]):
                found[index] += value
    return [(*key, *found) for key, found in sorted(sums.items())]


def require_by(by: Iterable[TallyBy]) -> tuple[TallyBy, ...]:
    """What is to be counted apart; raises ``ValueError`` for what is not."""
    found, known = tuple(by), get_args(TallyBy)
    for one in found:
        if one not in known:
            raise ValueError(f"by must name some of {', '.join(known)}, got {shown(one)}")
    if len(set(found)) < len(found):
        raise ValueError(f"by must be distinct names, got {', '.join(found)}")
    return found


def _hour(time: datetime | None) -> int | None:
    """The number of the first hour that begins at a time or after."""
    return None if time is None else -(-micros(time) // HOUR)


def _tally(by: Sequence[TallyBy], row: tuple[Any, ...]) -> Tally:
    said = dict(zip(by, row, strict=False))
    if "hour" in said:
        said["hour"] = time_of(said["hour"] * HOUR)
    count, repeats, took = row[len(by) :]
    return Tally(count, repeats, timedelta(seconds=max(-_MOST, min(took, _MOST))), **said)


_MOST = timedelta.max // timedelta(seconds=1)


# --- whether tallies are what they should be ---


class Digest:
    """The sums of any number of rows in little memory: two are equal where their rows add up alike.

    A sum of hashes of the keys, each times what is counted: the order makes no difference, and what
    was added and subtracted leaves nothing. The hashes have a secret, which only a digest ``of_others``
    shares: else rows could be made whose sums agree.
    """

    def __init__(self) -> None:
        # guard: sums that nobody can foretell
        self._secret = token_bytes(16)
        self._sums: dict[str, list[int]] = {}
        self._newest: dict[tuple[Any, ...], int] = {}

    def of_others(self, rows: Iterable[Sequence[Any]]) -> Digest:
        """The digest of other rows of tallies, to be compared with this one."""
        digest = Digest()
        digest._secret = self._secret
        digest.add(rows)
        return digest

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows of tallies; raises ``IntegrityError`` for one that is damaged."""
        for row in rows:
            key, sums = tuple(row[: len(KEY)]), row[len(KEY) :]
            if not all(type(value) is int for value in sums):
                raise IntegrityError("the tallies are damaged; run replay --index")
            if row[1] in LATEST:
                newest, *others = sums
                key += tuple(others)
                self._newest[key] = max(newest, self._newest.get(key, newest))
                continue
            found = self._sums.setdefault(str(row[1]), [0] * len(SUMS))
            hashed = hash_of(key, self._secret)
            for at, value in enumerate(sums):
                found[at] = (found[at] + value * hashed) % _MODULUS

    def differing(self, other: Digest) -> list[str]:
        """What is not counted alike; of events that is the newest time, too."""
        nothing = [0] * len(SUMS)
        found = {
            what
            for what in self._sums.keys() | other._sums.keys()
            if self._sums.get(what, nothing) != other._sums.get(what, nothing)
        }
        if self._newest != other._newest:
            found.add(EVENTS)
        return sorted(found)


_MODULUS = 1 << 128


@lru_cache(maxsize=4096)
def hash_of(key: tuple[object, ...], secret: bytes) -> int:
    """The hash of the key of a row, below 2^128."""
    said = "".join(f"{len(str(part))}:{part}" for part in key).encode("utf-8", "replace")
    return int.from_bytes(blake2b(said, digest_size=16, key=secret).digest())
