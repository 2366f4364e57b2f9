"""The event log in SQLite: append, and read in order of position or by stream."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring
from typing import Any

import attrs
from sqlite_utils import Database

from postledger.errors import IntegrityError
from postledger.log.chain import START, head_of, link
from postledger.log.entry import NOWHERE, Entry
from postledger.log.shapes import Shape

_BEYOND = 2**63 - 1
_MOST_CACHED = 100_000
MANY = 8
"""From so many on one statement for all is quicker; below it, one for each."""

_APPEND = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

Head = tuple[int, bytes]
"""The last position of the log and the value of the hash chain there."""


@attrs.frozen
class Stored:
    """One event as the log has it; ``values`` are the texts that ``shape`` leaves open."""

    position: int
    received_at: int
    stream: tuple[str, str]
    occurred_at: int
    shape: Shape | None
    values: list[str]
    body: bytes
    flags: int
    repeats: int | None
    body_of: int | None
    digest: bytes
    chain: bytes

    @property
    def content_type(self) -> str | None:
        """The content type as received."""
        return self.shape.content_type if self.shape else None

    def head(self) -> str:
        """What the hash chain covers of it beside its body, as a JSON array."""
        return head_of(self, self.position)

    def link(self, previous: bytes) -> bytes:
        """What the chain's value must be here, when ``previous`` is the one before."""
        return link(previous, self.head(), self.body)


DAMAGE = (ValueError, TypeError, LookupError, RuntimeError, StopIteration)
"""What is raised where the texts of an event are not such as its shape wants."""


def damaged(position: int, error: Exception) -> IntegrityError:
    """The error for an event that was altered, so that it can't be put together."""
    what = str(error) if isinstance(error, IntegrityError) else "its texts don't fit its shape"
    return IntegrityError(f"position {position}: {what}")


def fields_of(texts: Iterable[str]) -> str:
    """The texts of an event as a JSON array; quicker than a JSON encoder for each."""
    return f"[{','.join(map(encode_basestring, texts))}]"


def texts_of(fields: str) -> list[str]:
    """The texts of an event from its JSON array; quicker than JSON where nothing is escaped."""
    # Without a backslash no text holds a quote, so every second piece is a text.
    return fields.split('"')[1::2] if "\\" not in fields else json.loads(fields)


class Log:
    """The event log over one connection; the caller holds the transaction."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._conn: sqlite3.Connection = db.conn
        self._shapes: dict[int, Shape] = {}
        self._shape_ids: dict[Shape, int] = {}
        self._stream_ids: dict[tuple[str, str], int] = {NOWHERE: 0}

    # --- append ---

    def head(self) -> Head:
        """The last position and its chain value; position 0 where the log is empty."""
        row = self._conn.execute(
            "SELECT position, chain FROM events ORDER BY position DESC LIMIT 1"
        ).fetchone()
        if row is None:
            return 0, START
        return row[0], _chain(*row)

    def append(self, entries: Iterable[Entry], head: Head) -> list[bytes]:
        """Append entries behind ``head``; gives the value of the chain at each of them."""
        position, chain = head
        rows: list[tuple[object, ...]] = []
        chains: list[bytes] = []
        for entry in entries:
            position += 1
            chain = link(chain, head_of(entry, position), entry.body)
            chains.append(chain)
            rows.append(
                (
                    position,
                    entry.received_at,
                    entry.stream_id,
                    entry.occurred_at,
                    None if entry.shape is None else self.shape_id(entry.shape),
                    entry.fields,
                    entry.body if entry.whole else None,
                    entry.flags,
                    entry.repeats,
                    entry.body_of,
                    entry.digest,
                    chain,
                )
            )
        self._conn.executemany(_APPEND, rows)
        return chains

    def stream_ids(self, streams: Iterable[tuple[str, str]]) -> tuple[list[int], set[int]]:
        """The ids of streams, and which of these were made just now."""
        wanted = list(streams)
        if len(self._stream_ids) > _MOST_CACHED:
            self._stream_ids = {NOWHERE: 0}
        unknown = dict.fromkeys(stream for stream in wanted if stream not in self._stream_ids)
        self._stream_ids.update(self._found(list(unknown)))
        new = [stream for stream in unknown if stream not in self._stream_ids]
        made: set[int] = set()
        if new:
            newest = self.newest_stream()
            ids = range(newest + 1, newest + 1 + len(new))
            rows = [(stream_id, *stream) for stream_id, stream in zip(ids, new, strict=True)]
            self._conn.executemany("INSERT INTO streams VALUES (?, ?, ?)", rows)
            self._stream_ids.update(zip(new, ids, strict=True))
            made.update(ids)
        return [self._stream_ids[stream] for stream in wanted], made

    def _found(self, streams: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """The ids of those streams that there are."""
        if len(streams) < MANY or any("\0" in key for _, key in streams):
            found = ((stream, self.find_stream(stream)) for stream in streams)
            return {stream: stream_id for stream, stream_id in found if stream_id is not None}
        rows = self._conn.execute(
            "SELECT s.chart, s.key, s.id FROM json_each(?) j CROSS JOIN streams s ON s.key = j.value",
            (json.dumps([key for _, key in streams]),),
        )
        return {(chart, key): stream_id for chart, key, stream_id in rows}

    def shape_id(self, shape: Shape) -> int:
        """The id of a shape, which is kept if it is new."""
        known = self._shape_ids.get(shape)
        if known is None:
            if len(self._shape_ids) > _MOST_CACHED:
                self._shape_ids.clear()
            known = self._shape_ids[shape] = self._intern(shape)
        return known

    def _intern(self, shape: Shape) -> int:
        columns = (
            shape.content_type,
            shape.root,
            int(shape.repaired),
            shape.template,
            shape.fields_json(),
        )
        row = self._conn.execute(
            "SELECT id FROM shapes WHERE fields = ?5 AND content_type IS ?1 AND root IS ?2"
            " AND repaired = ?3 AND template IS ?4",
            columns,
        ).fetchone()
        if row:
            return int(row[0])
        return self._insert(
            "INSERT INTO shapes SELECT coalesce(max(id), 0) + 1, ?, ?, ?, ?, ? FROM shapes"
            " RETURNING id",
            columns,
        )

    def _insert(self, sql: str, columns: tuple[object, ...]) -> int:
        return int(self._conn.execute(sql, columns).fetchone()[0])

    # --- read ---

    def find_stream(self, stream: tuple[str, str]) -> int | None:
        """The id of a stream, ``None`` where no event of it is known."""
        row = self._conn.execute(
            "SELECT id FROM streams WHERE chart = ? AND key = ?", stream
        ).fetchone()
        return None if row is None else int(row[0])

    def find(self, identity: tuple[int, int, bytes]) -> int | None:
        """The position of the event with that stream id, ``occurred_at`` and digest."""
        row = self._conn.execute(
            "SELECT position FROM events WHERE repeats IS NULL"
            " AND stream_id = ? AND occurred_at = ? AND digest = ?",
            identity,
        ).fetchone()
        return None if row is None else int(row[0])

    def charts(self, after: int, until: int) -> Iterator[tuple[int, str]]:
        """Pairs of stream and chart, in order of the streams."""
        return iter(
            self._conn.execute(
                "SELECT id, chart FROM streams WHERE id > ? AND id <= ? ORDER BY id", (after, until)
            )
        )

    def charts_of(self, ids: str) -> Iterator[tuple[int, str]]:
        """Pairs of stream and chart of the streams in a JSON array, in order of the streams."""
        sql = (
            "SELECT id, chart FROM streams WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        )
        return iter(self._conn.execute(sql, (ids,)))

    def key_of(self, stream_id: int) -> str:
        """The chart and key of a stream, for messages."""
        return " ".join(self.stream_of(stream_id))

    def stream_of(self, stream_id: int) -> tuple[str, str]:
        """The chart and key of a stream."""
        row = self._conn.execute(
            "SELECT chart, key FROM streams WHERE id = ?", (stream_id,)
        ).fetchone()
        if row is None:
            raise IntegrityError(f"stream {stream_id} is missing")
        return row[0], row[1]

    def repeats_of(self, streams: list[int]) -> dict[int, int]:
        """How many events of each stream repeat another."""
        if len(streams) < MANY:
            sql = "SELECT count(*) FROM events WHERE repeats IS NOT NULL AND stream_id = ?"
            return {s: self._conn.execute(sql, (s,)).fetchone()[0] for s in streams}
        rows = self._conn.execute(
            "SELECT stream_id, count(*) FROM events WHERE repeats IS NOT NULL"
            " AND stream_id IN (SELECT value FROM json_each(?)) GROUP BY stream_id",
            (json.dumps(streams),),
        )
        return dict(rows.fetchall())

    def streams_of(self, after: int, until: int) -> Iterator[int]:
        """The streams of the events behind position ``after`` up to ``until``."""
        rows = self._conn.execute(
            "SELECT DISTINCT stream_id FROM events"
            " WHERE position > ? AND position <= ? AND stream_id > 0",
            (after, until),
        )
        return (stream for (stream,) in rows)

    def newest_stream(self) -> int:
        """The highest id of a stream; 0 where no event of any is known."""
        (newest,) = self._conn.execute("SELECT max(id) FROM streams").fetchone()
        if newest is None:
            raise IntegrityError("stream 0 is missing")
        return int(newest)

    def changed(self, after: int, until: int, position: int) -> Iterator[int]:
        """The streams behind ``after`` up to ``until`` with distinct events behind ``position``."""
        rows = self._conn.execute(
            "SELECT DISTINCT stream_id FROM events INDEXED BY events_fold WHERE repeats IS NULL"
            " AND stream_id > ? AND stream_id <= ? AND position > ?",
            (after, until, position),
        )
        return (stream for (stream,) in rows)

    def shape(self, shape_id: int) -> Shape:
        """A shape by its id; raises ``IntegrityError`` where there is none."""
        known = self._shapes.get(shape_id)
        if known is None:
            row = self._conn.execute(
                "SELECT content_type, root, repaired, template, fields FROM shapes WHERE id = ?",
                (shape_id,),
            ).fetchone()
            if row is None:
                raise IntegrityError(f"shape {shape_id} is missing")
            known = self._shapes[shape_id] = _shape(shape_id, *row)
        return known

    def all_shapes(self) -> list[tuple[int, Shape]]:
        """All shapes with their ids."""
        ids = self._conn.execute("SELECT id FROM shapes ORDER BY id").fetchall()
        return [(shape_id, self.shape(shape_id)) for (shape_id,) in ids]

    def of_shapes(self, shape_ids: list[int]) -> Iterator[Stored]:
        """The distinct events of some shapes, in order of position."""
        rows = self._conn.execute(
            f"{_SELECT} WHERE e.repeats IS NULL"
            " AND e.shape_id IN (SELECT value FROM json_each(?)) ORDER BY e.position",
            (json.dumps(shape_ids),),
        )
        return map(self._stored, rows)

    def is_reread(self, entry: Entry) -> bool:
        """Whether that stream has the event of an entry already."""
        stream_id = self.find_stream(entry.stream)
        identity = (stream_id or 0, entry.occurred_at, entry.digest)
        return stream_id is not None and self.find(identity) is not None

    def events(self, after: int = 0, until: int | None = None) -> Iterator[Stored]:
        """The events behind position ``after``, up to ``until``, in order of position."""
        rows = self._conn.execute(
            f"{_SELECT} WHERE e.position > ? AND e.position <= ? ORDER BY e.position",
            # No position is beyond what SQLite counts to.
            (min(after, _BEYOND), _BEYOND if until is None else min(until, _BEYOND)),
        )
        return map(self._stored, rows)

    def of_stream(self, stream_id: int) -> Iterator[Stored]:
        """All events of a stream, repeats too, in order of position."""
        rows = self._conn.execute(
            f"{_SELECT} WHERE e.stream_id = ? AND e.repeats IS NULL"
            f" UNION ALL {_SELECT} WHERE e.stream_id = ? AND e.repeats IS NOT NULL ORDER BY 1",
            (stream_id, stream_id),
        )
        return map(self._stored, rows)

    def chain_at(self, position: int) -> bytes:
        """The value of the chain at a position; raises ``IntegrityError`` where there is none."""
        if position == 0:
            return START
        sql = "SELECT chain FROM events WHERE position = ?"
        row = self._conn.execute(sql, (position,)).fetchone()
        if row is None:
            raise IntegrityError(f"position {position} is missing")
        return _chain(position, row[0])

    def at(self, position: int) -> Stored:
        """The event at a position; raises ``IntegrityError`` where there is none."""
        for stored in self.events(position - 1, position):
            return stored
        raise IntegrityError(f"position {position} is missing")

    def _stored(self, row: tuple[Any, ...]) -> Stored:
        try:
            return self._filled(row)
        except (IntegrityError, *DAMAGE) as error:
            raise damaged(row[0], error) from error

    def _filled(self, row: tuple[Any, ...]) -> Stored:
        position, received_at, chart, key, occurred_at, shape_id, fields, body, flags = row[:9]
        repeats, body_of, digest, chain = row[9:]
        shape = None if shape_id is None else self.shape(shape_id)
        values = [] if fields is None else json.loads(fields)
        if body is None and shape is not None:
            body = shape.body(values)
        if shape is None and repeats is not None:
            first = self.at(repeats)
            shape, values = first.shape, first.values
        # A repeated member of a bundle says what it repeats; its body is that of its own bundle.
        elsewhere = body_of if body_of is not None else repeats
        if body is None and elsewhere is not None:
            body = self.at(elsewhere).body
        if not isinstance(body, bytes):
            raise IntegrityError("there is no body")
        told = isinstance(digest, bytes) and isinstance(chain, bytes)
        if not (told and isinstance(chart, str) and isinstance(key, str)):
            raise IntegrityError("a value of the event is not of its type")
        return Stored(
            position,
            received_at,
            (chart, key),
            occurred_at,
            shape,
            values,
            body,
            flags,
            repeats,
            body_of,
            digest,
            chain,
        )


def _shape(
    shape_id: int, content_type: object, root: object, repaired: object, template: object, said: str
) -> Shape:
    """A shape as its row says it; raises ``IntegrityError`` where the row was damaged."""
    try:
        fields = tuple((path, text) for path, text in json.loads(said))
    except DAMAGE as error:
        raise IntegrityError(f"shape {shape_id} is damaged: {error}") from error
    texts = (content_type, root, template, *(text for _, text in fields))
    if not (
        all(text is None or isinstance(text, str) for text in texts)
        and all(isinstance(path, str) for path, _ in fields)
    ):
        raise IntegrityError(f"shape {shape_id} is damaged: a text of it is none")
    return Shape(content_type, root, bool(repaired), template, fields)  # type: ignore[arg-type]


def _chain(position: int, value: object) -> bytes:
    if not isinstance(value, bytes):
        raise IntegrityError(f"position {position}: the value of the chain is damaged")
    return value


_SELECT = (
    "SELECT e.position, e.received_at, t.chart, t.key, e.occurred_at, e.shape_id, e.fields, e.body,"
    " e.flags, e.repeats, e.body_of, e.digest, e.chain"
    " FROM events e JOIN streams t ON t.id = e.stream_id"
)
