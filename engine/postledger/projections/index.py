"""The index: what each event says under the definitions in force, in the order in which it is folded.

It is derived from the log, one generation for each set of vocabularies, and disposable. Its rows stand
in the order stream, provider's time, identity, position, member.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, TypeVar

import attrs

from postledger.errors import IntegrityError
from postledger.findings import Finding
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.log.log import JOINED
from postledger.state.patterns import NOWHERE, Stream, Unplaced
from postledger.state.streams import KIND, EventRow, Outline
from postledger.store.store import LARGEST, Store, bare_of, insert

T = TypeVar("T")

NOWHERE_ID = 0
"""The number of the stream of events that belong to none."""

CHUNK = 400
"""How many keys one statement asks for."""

_MOST_CACHED = 20_000

_LAST = "\U0010ffff"
"""The last of all characters."""

_STREAMS = """CREATE TABLE {0}_streams (
    id INTEGER PRIMARY KEY,
    space TEXT NOT NULL,
    chart TEXT NOT NULL,
    key TEXT NOT NULL,
    UNIQUE (key, chart, space)
) STRICT"""

# findings: those about the event's time and amounts, and whether it is unrecognised. said: the
# postback, where the texts of the log don't give it (whole bodies, members of bundles).
_ROWS = """CREATE TABLE {0} (
    stream INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL,
    identity BLOB NOT NULL,
    position INTEGER NOT NULL,
    member INTEGER NOT NULL,
    findings INTEGER NOT NULL,
    said TEXT,
    PRIMARY KEY (stream, occurred_at, identity, position, member)
) STRICT, WITHOUT ROWID"""

UNREAD = f"(i.stream = {NOWHERE_ID} OR (i.findings & {int(Finding.UNRECOGNISED)}) <> 0)"
"""What holds of a row ``i`` whose event changed no state: it is unrecognised, or belongs to no stream."""

# In the order in which streams are read, of these rows alone.
_UNREAD_ROWS = (
    "CREATE INDEX {0}_unread ON {1} (stream, occurred_at, identity, position, member) WHERE"
    f" {UNREAD.replace('i.', '')}"
)

EVENT_ROW = (
    "i.stream, i.occurred_at, i.identity, i.position, i.member, e.received_at,"
    " e.template, e.envelope, e.texts, i.findings, i.said"
)
"""The columns of an ``EventRow``, of a row ``i`` of the index and its event ``e``."""

# In the order of ``Outline``.
_OUTLINE = (
    f"i.stream, i.occurred_at, e.received_at, e.template * {KIND} + e.envelope, e.texts,"
    " CASE WHEN i.said IS NULL THEN i.findings ELSE -1 END"
)
FOLD_ORDER = "ORDER BY i.stream, i.occurred_at, i.identity, i.position, i.member"
"""The order of the index: its primary key."""

BEHIND = "(i.stream, i.occurred_at, i.identity, i.position, i.member) > (?, ?, ?, ?, ?)"
"""The rows behind one of them in that order."""

Said = tuple[int, int, bytes, int, int]
"""What tells a row of the index from others: stream, occurred_at, identity, position, member."""

Placed = tuple[int, int, bytes, int, int, int, str | None]
"""A row of the index: stream, occurred_at, identity, position, member, findings, said."""

StreamRows = tuple[int, str, list[EventRow]]
"""A stream, its chart, and its rows in the order of the index."""

StreamOutlines = tuple[int, str, list[Outline]]
"""A stream, its chart, and what a plan needs of its rows, and no more."""


@attrs.define
class Index:
    """One generation of the index, in the tables ``name`` and ``name_streams``."""

    store: Store
    name: str
    _ids: dict[Stream, int] = attrs.field(factory=lambda: {NOWHERE: NOWHERE_ID}, repr=False)

    def make(self) -> None:
        """Make its tables, in place of any of those names."""
        for table, sql in self.tables(self.name).items():
            self.store.execute(f"DROP TABLE IF EXISTS {table}")
            self.store.execute(sql)
        for sql in self.indexes(self.name).values():
            self.store.execute(sql)
        self.store.execute(insert(f"{self.name}_streams", 4), (NOWHERE_ID, *NOWHERE))

    def restore_indexes(self) -> None:
        """Make the indexes on its tables again that are gone, or are others."""
        there = self.store.objects()
        for name, sql in self.indexes(self.name).items():
            if there.get(("index", name), ("", ""))[1] != sql:
                self.store.execute(f"DROP INDEX IF EXISTS {name}")
                self.store.execute(sql)

    @staticmethod
    def tables(name: str) -> dict[str, str]:
        """The tables of an index of that name, with the SQL that made them."""
        return {f"{name}_streams": _STREAMS.format(name), name: _ROWS.format(name)}

    @staticmethod
    def indexes(name: str) -> dict[str, str]:
        """The SQLite indexes on its tables, with the SQL that made them."""
        bare = bare_of(name)
        return {f"{bare}_unread": _UNREAD_ROWS.format(name, bare)}

    @property
    def streams_table(self) -> str:
        """The table of its streams."""
        return f"{self.name}_streams"

    # --- write ---

    def place(self, streams: Iterable[Stream]) -> tuple[list[int], set[int]]:
        """The numbers of streams, and which of these were made just now."""
        wanted = list(streams)
        if len(self._ids) > _MOST_CACHED:
            self._ids = {NOWHERE: NOWHERE_ID}
        ids = self._ids
        unknown = dict.fromkeys([stream for stream in wanted if stream not in ids])
        made: set[int] = set()
        if unknown:
            ids.update(self.find_all(list(unknown)))
            new = [stream for stream in unknown if stream not in ids]
            first = self.newest() + 1
            numbered = list(enumerate(new, first))
            self.store.executemany(
                insert(f"{self.name}_streams", 4), [(n, *stream) for n, stream in numbered]
            )
            ids.update((stream, n) for n, stream in numbered)
            made.update(n for n, _ in numbered)
        return [ids[stream] for stream in wanted], made

    def add(self, rows: Iterable[Placed]) -> None:
        """Add the rows of events."""
        self.store.executemany(insert(self.name, 7), rows)

    def put(self, rows: Sequence[Unplaced]) -> set[int]:
        """Add what events say; returns the streams that they touch."""
        numbers, _ = self.place([one[0] for one in rows])
        self.add([(number, *one[1:7]) for number, one in zip(numbers, rows, strict=True)])
        return set(numbers)

    def forget(self) -> None:
        """Forget what was placed in a transaction that was rolled back."""
        self._ids = {NOWHERE: NOWHERE_ID}

    # --- read ---

    def newest(self) -> int:
        """The highest number of a stream."""
        row = self.store.one(f"SELECT max(id) FROM {self.name}_streams")
        if row is None or row[0] is None:
            raise IntegrityError("the index has no streams; run replay")
        return int(row[0])

    def next(self, after: int, count: int) -> int:
        """The number of the ``count``-th stream after a number, or else of the last; itself for none."""
        row = self.store.one(
            f"SELECT coalesce(max(id), ?) FROM (SELECT id FROM {self.name}_streams WHERE id > ?"
            " ORDER BY id LIMIT ?) behind",
            (after, after, count),
        )
        assert row is not None
        return int(row[0])

    def find(self, stream: Stream) -> int | None:
        """The number of a stream, ``None`` where no event of it is known."""
        space, chart, key = stream
        row = self.store.one(
            f"SELECT id FROM {self.name}_streams WHERE key = ? AND chart = ? AND space = ?",
            (key, chart, space),
        )
        return None if row is None else int(row[0])

    def find_all(self, streams: Sequence[Stream]) -> dict[Stream, int]:
        """The numbers of those streams of which any event is known."""
        if len(streams) < 8:
            each = ((stream, self.find(stream)) for stream in streams)
            return {stream: number for stream, number in each if number is not None}
        found: dict[Stream, int] = {}
        for chunk in chunks([key for _, _, key in streams]):
            holes = ", ".join("?" * len(chunk))
            rows = self.store.execute(
                f"SELECT id, space, chart, key FROM {self.name}_streams WHERE key IN ({holes})",
                chunk,
            )
            found.update(((space, chart, key), n) for n, space, chart, key in rows.fetchall())
        return found

    def spaces(self, chart: str, key: str) -> list[str]:
        """The spaces that have a key."""
        rows = self.store.execute(
            f"SELECT space FROM {self.name}_streams WHERE key = ? AND chart = ? ORDER BY space",
            (key, chart),
        )
        return [str(row[0]) for row in rows.fetchall()]

    def keys_from(self, beginning: str, chart: str, most: int) -> list[str]:
        """The first keys of a chart that begin with a text, in their order."""
        held, given = self.store.begins("key", beginning, f"{beginning}{_LAST}")
        rows = self.store.execute(
            f"SELECT DISTINCT key FROM {self.name}_streams WHERE {held} AND chart = ?"
            " ORDER BY key LIMIT ?",
            (*given, chart, most),
        )
        return [str(row[0]) for row in rows.fetchall()]

    def every_space(self, chart: str | None = None) -> list[str]:
        """The spaces of all streams, or of those of one chart; it reads them all."""
        rows = self.store.execute(
            f"SELECT DISTINCT space FROM {self.name}_streams WHERE chart = coalesce(?, chart)"
            " ORDER BY space",
            (chart,),
        )
        return [str(row[0]) for row in rows.fetchall()]

    def stream_of(self, number: int) -> Stream:
        """The stream of a number; raises ``IntegrityError`` if it is missing."""
        row = self.store.one(
            f"SELECT space, chart, key FROM {self.name}_streams WHERE id = ?", (number,)
        )
        if row is None or not all(isinstance(text, str) for text in row):
            raise IntegrityError(f"stream {number} is missing or damaged; run replay")
        return row[0], row[1], row[2]

    def named(self, after: int, until: int) -> dict[int, Stream]:
        """The streams after ``after`` up to ``until``, by their numbers."""
        rows = self.store.execute(
            f"SELECT id, space, chart, key FROM {self.name}_streams WHERE id > ? AND id <= ?",
            (after, until),
        )
        named: dict[int, Stream] = {}
        for number, *stream in rows.fetchall():
            if not all(isinstance(text, str) for text in stream):
                raise IntegrityError(f"stream {number} is missing or damaged; run replay")
            space, chart, key = stream
            named[number] = space, chart, key
        return named

    def streams(
        self,
        after: int = NOWHERE_ID,
        until: int = LARGEST,
        bounds: Bounds = EVERYTHING,
    ) -> Iterator[StreamRows]:
        """The events of all streams after ``after`` up to ``until``, in constant memory."""
        return _grouped(*self._between(EVENT_ROW, after, until, bounds))

    def outlines(
        self,
        after: int = NOWHERE_ID,
        until: int = LARGEST,
        bounds: Bounds = EVERYTHING,
    ) -> Iterator[StreamOutlines]:
        """The outlines of all streams: no more than a plan needs, since each column takes time to read.

        A stream whose events are all left out by the bounds is left out.
        """
        return _grouped(*self._between(_OUTLINE, after, until, bounds))

    def _between(
        self, columns: str, after: int, until: int, bounds: Bounds
    ) -> tuple[Iterator[Any], Iterator[Any]]:
        """The rows of streams, and the streams with their charts, both in ascending order."""
        conditions, parameters = bounds.sql()
        rows = self.store.stream(
            f"{self._select(columns)} WHERE i.stream > ? AND i.stream <= ?{conditions} {FOLD_ORDER}",
            (after, until, *parameters),
        )
        charts = self.store.stream(
            f"SELECT id, chart FROM {self.name}_streams WHERE id > ? AND id <= ? ORDER BY id",
            (after, until),
        )
        return rows, charts

    def rows_of(self, stream: int, bounds: Bounds = EVERYTHING) -> list[EventRow]:
        """The events of one stream in the order of the index."""
        # Asked for at nearly every event that is recorded, and then of no bounds.
        conditions, parameters = ("", ()) if bounds is EVERYTHING else bounds.sql()
        rows: list[EventRow] = self.store.execute(
            f"{self._select()} WHERE i.stream = ?{conditions} {FOLD_ORDER}", (stream, *parameters)
        ).fetchall()
        return rows

    def rows_after(self, last: EventRow | None, stream: int, most: int) -> list[EventRow]:
        """The next events of one stream after one of them, or from its first."""
        behind, place = ("i.stream >= ?", (stream,)) if last is None else (BEHIND, last[:5])
        rows: list[EventRow] = self.store.execute(
            f"{self._select()} WHERE {behind} AND i.stream <= ? {FOLD_ORDER} LIMIT ?",
            (*place, stream, most),
        ).fetchall()
        return rows

    def rows_of_all(
        self, streams: Sequence[int], bounds: Bounds = EVERYTHING
    ) -> dict[int, list[EventRow]]:
        """The events of some streams."""
        if len(streams) < 8:
            return {stream: self.rows_of(stream, bounds) for stream in streams}
        conditions, parameters = bounds.sql()
        found: dict[int, list[EventRow]] = {}
        for chunk in chunks(sorted(streams)):
            holes = ", ".join("?" * len(chunk))
            rows = self.store.execute(
                f"{self._select()} WHERE i.stream IN ({holes}){conditions} {FOLD_ORDER}",
                (*chunk, *parameters),
            ).fetchall()
            found.update((stream, list(events)) for stream, events in groupby(rows, itemgetter(0)))
        return found

    def earliest(
        self, stream: int, occurred_at: int, identity: bytes, after: int, until: int
    ) -> list[EventRow]:
        """Of the events that say the same, after a position up to another: those received first.

        Of each event its first member that says so, in the order of their positions.
        """
        same = (
            f"FROM {self.name} i {JOINED} WHERE i.stream = ? AND i.occurred_at = ?"
            " AND i.identity = ? AND i.position > ? AND i.position <= ?"
        )
        given = (stream, occurred_at, identity, after, until)
        rows: list[EventRow] = self.store.execute(
            f"SELECT {EVENT_ROW} {same} AND e.received_at = (SELECT min(e.received_at) {same})"
            f" {FOLD_ORDER}",
            (*given, *given),
        ).fetchall()
        return [next(members) for _, members in groupby(rows, itemgetter(3))]

    def said_again(self, rows: Sequence[Said]) -> set[tuple[int, int]]:
        """The positions and members of those rows that another row says the same as."""
        found: set[tuple[int, int]] = set()
        for chunk in chunks(rows):
            # Whether there is one, and not how many: a body may come again and again.
            holes = ", ".join(["(?, ?, ?, ?, ?)"] * len(chunk))
            others = self.store.execute(
                "WITH asked (stream, occurred_at, identity, position, member) AS (VALUES"
                f" {holes}) SELECT a.position, a.member FROM asked a WHERE EXISTS (SELECT 1 FROM"
                f" {self.name} i WHERE i.stream = a.stream AND i.occurred_at = a.occurred_at"
                " AND i.identity = a.identity"
                " AND (i.position <> a.position OR i.member <> a.member))",
                [value for row in chunk for value in row],
            )
            found.update(others.fetchall())
        return found

    def has(self, stream: int, occurred_at: int, identity: bytes) -> bool:
        """Whether an event of a stream says that."""
        row = self.store.one(
            f"SELECT 1 FROM {self.name}"
            " WHERE stream = ? AND occurred_at = ? AND identity = ? LIMIT 1",
            (stream, occurred_at, identity),
        )
        return row is not None

    def count(self, after: int, until: int, size: int) -> tuple[int, int]:
        """How many rows streams have of the first ``size`` events, and how many lead to one.

        Those of events that the log doesn't have count too. The streams are those after ``after`` up to
        ``until``.
        """
        row = self.store.one(
            "SELECT coalesce(sum(CASE WHEN i.position < ? OR e.position IS NULL THEN 1 ELSE 0 END), 0),"
            " coalesce(sum(CASE WHEN e.position < ? THEN 1 ELSE 0 END), 0)"
            f" FROM {self.name} i LEFT {JOINED} WHERE i.stream > ? AND i.stream <= ?",
            (size, size, after, until),
        )
        assert row is not None
        return row[0], row[1]

    def leaves_out(self, after: int, until: int, bounds: Bounds) -> bool:
        """Whether bounds leave out any event of the streams after ``after`` up to ``until``."""
        conditions, parameters = bounds.sql()
        return (
            self.store.one(
                f"SELECT 1 FROM {self.name} i {JOINED} WHERE i.stream > ? AND i.stream <= ?"
                f" AND NOT (1 = 1{conditions}) LIMIT 1",
                (after, until, *parameters),
            )
            is not None
        )

    def touched(self, after: int, until: int, earlier: Bounds, later: Bounds) -> list[int]:
        """The streams with events that later bounds have and earlier ones don't.

        They are those after ``after`` up to ``until``.
        """
        left_out, passed = earlier.sql()
        taken, held = later.sql()
        rows = self.store.execute(
            f"SELECT DISTINCT i.stream FROM {self.name} i {JOINED} WHERE i.stream > ? AND i.stream <= ?"
            f" AND NOT (1 = 1{left_out}){taken} ORDER BY i.stream",
            (after, until, *passed, *held),
        )
        return [number for (number,) in rows.fetchall()]

    def _select(self, columns: str = EVENT_ROW) -> str:
        return f"SELECT {columns} FROM {self.name} i {JOINED}"


def _grouped(
    rows: Iterable[Any], charts: Iterator[tuple[int, str]]
) -> Iterator[tuple[int, str, list[Any]]]:
    """The rows put together stream by stream, each with its chart."""
    for stream, events in groupby(rows, itemgetter(0)):
        yield stream, _chart(charts, stream), list(events)


def _chart(charts: Iterator[tuple[int, str]], stream: int) -> str:
    for number, chart in charts:
        if number == stream:
            return chart
    raise IntegrityError(f"stream {stream} is missing; run replay")


def chunks(items: Sequence[T]) -> Iterator[list[T]]:
    """The items in lists of as many as one statement asks for."""
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
