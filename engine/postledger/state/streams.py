"""Facts: the events of the log as the fold takes them.

All events of one shape are read alike, so a shape is read once and becomes a mould; an event is
then its mould filled with its own texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from postledger.definitions.definitions import Definitions, Effect
from postledger.definitions.vocabulary import Reading
from postledger.errors import IntegrityError
from postledger.findings import Finding
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.log.entry import IMPORTED, Entry
from postledger.log.log import DAMAGE, MANY, Log, Stored, damaged, texts_of
from postledger.log.shapes import Shape
from postledger.postback import Postback, plain
from postledger.state.fold import REASON, UNDATED, UNHEARD, Fact
from postledger.times import parse_timestamp

_TIMESTAMP_MISSING = int(Finding.TIMESTAMP_MISSING)


class Occurrence(NamedTuple):
    """When an event occurred by the provider's clock, and what is to be noted of that."""

    occurred_at: int
    flags: int


UNTIMED = Occurrence(UNDATED, 0)


def occurrence(reading: Reading, postback: Postback) -> Occurrence:
    """The provider's TIMESTAMP of a postback (PROVIDER.md, trap 6)."""
    if reading.timestamp_at is None:
        return UNTIMED
    return occurrence_at(postback.fields[reading.timestamp_at][1], reading.naive)


@lru_cache(maxsize=10_000)
def occurrence_at(timestamp: str, naive: tzinfo) -> Occurrence:
    """The same of a TIMESTAMP's text; at any rate worth a cache, many events share a second."""
    parsed = parse_timestamp(timestamp, naive)
    if parsed is None:
        return UNTIMED
    occurred_at, lacks_zone = parsed
    return Occurrence(occurred_at, int(Finding.TIMESTAMP_NAIVE) if lacks_zone else 0)


class Mould(NamedTuple):
    """What the facts of one shape have in common.

    ``texts`` are those that the shape itself has, ``picks`` pairs of an index into ``Fact.texts``
    and one into the event's values, ``reasons`` the indexes of the values that make the details.
    """

    stage: int
    effect: Effect | None
    findings: int
    wants_time: bool
    texts: tuple[str | None, ...]
    picks: tuple[tuple[int, int], ...]
    reasons: tuple[int, ...]

    def fact(
        self,
        occurred_at: int,
        digest: bytes,
        position: int,
        received_at: int,
        values: list[str],
        flags: int,
    ) -> Fact:
        """The fact of one event."""
        texts = list(self.texts)
        for slot, at in self.picks:
            texts[slot] = values[at]
        if self.reasons:
            texts[REASON] = "; ".join([values[at] for at in self.reasons])
        findings = self.findings | flags
        if occurred_at == UNDATED and self.wants_time:
            findings |= _TIMESTAMP_MISSING
        return Fact(
            self.stage, occurred_at, digest, position, received_at, self.effect, findings, texts
        )


def _mould(definitions: Definitions, reading: Reading, shape: Shape) -> Mould:
    effect = definitions.effect(reading)
    value_at: dict[int, int] = {}
    for index, (_, text) in enumerate(shape.fields):
        if text is None:
            value_at[index] = len(value_at)
    texts: list[str | None] = [None] * (REASON + 1)
    picks: list[tuple[int, int]] = []
    for slot, index in reading.picks:
        if index in value_at:
            picks.append((slot, value_at[index]))
        else:
            texts[slot] = shape.fields[index][1]
    fixed = [shape.fields[index][1] or "" for index in reading.reason_at if index not in value_at]
    if fixed:
        texts[REASON] = "; ".join(fixed)
    return Mould(
        stage=UNHEARD if effect is None else effect.stage,
        effect=effect,
        findings=int(reading.findings),
        wants_time=not reading.undated,
        texts=tuple(texts),
        picks=tuple(picks),
        reasons=tuple(value_at[index] for index in reading.reason_at if index in value_at),
    )


EventRow = tuple[int, int, bytes, int, int, int, str, int]
"""A distinct event: stream, occurred_at, digest, position, received_at, shape, fields, flags."""

Meant = int | tuple[int | str | None, ...]
"""A shape, with its words where texts that it leaves open decide over the meaning."""

Stream = tuple[int, str, list[EventRow]]
"""A stream, its chart, and its distinct events in order of occurred_at and digest."""


def row_of(entry: Entry, position: int, shape_id: int) -> EventRow:
    """The row of an entry as the log will give it back."""
    assert entry.fields is not None
    return (
        entry.stream_id,
        entry.occurred_at,
        entry.digest,
        position,
        entry.received_at,
        shape_id,
        entry.fields,
        entry.flags & (IMPORTED - 1),
    )


class Facts:
    """Makes facts of what the log has, by the meanings of the given definitions.

    ``courses`` are what the fold was seen to make of them, kept by the module of that name.
    """

    def __init__(self, log: Log, definitions: Definitions) -> None:
        self._log = log
        self.definitions = definitions
        self.courses: dict[tuple[Any, ...], Any] = {}
        self._deciding: dict[int, tuple[tuple[int, frozenset[str]], ...]] = {}
        self._moulds: dict[Meant, Mould] = {}

    def reading(self, shape: Shape | None, values: list[str]) -> Reading | None:
        """What an event of that shape and those texts means; ``None`` for an unreadable one."""
        postback = None if shape is None else shape.postback(values)
        return None if postback is None else self.definitions.lexicon.read(postback)

    def of_stored(self, stored: Stored) -> Fact:
        """The fact of an event as the log has it."""
        assert stored.shape is not None
        event = (stored.occurred_at, stored.digest, stored.position, stored.received_at)
        fact = self._made(stored.shape, stored.values, event, stored.flags & (IMPORTED - 1))
        return _of_chart([fact], stored.stream[0])[0]

    def of_entry(self, entry: Entry, position: int) -> Fact:
        """The fact of an entry, as if it were at a position."""
        assert entry.shape is not None
        event = (entry.occurred_at, entry.digest, position, entry.received_at)
        values, flags = texts_of(entry.fields or "[]"), entry.flags & (IMPORTED - 1)
        return self._made(entry.shape, values, event, flags)

    def is_open(self, shape: Shape) -> bool:
        """Whether texts that the shape leaves open decide over the meaning.

        They do where the vocabulary came after the event.
        """
        words = self.definitions.lexicon.words
        return any(text is None and plain(path) in words for path, text in shape.fields)

    def of_stream(self, stream_id: int, bounds: Bounds = EVERYTHING) -> list[Fact]:
        """The facts of one stream."""
        for _, chart, events in self.rows(stream_id - 1, stream_id, bounds):
            return self.of_rows(chart, events)
        return []

    def rows(
        self, after: int = 0, until: int = 2**63 - 1, bounds: Bounds = EVERYTHING
    ) -> Iterator[Stream]:
        """The distinct events of all streams behind ``after`` up to ``until``, in constant memory."""
        conditions, parameters = bounds.sql()
        return self._streams(
            f"{_SELECT} WHERE e.stream_id > ? AND e.stream_id <= ?{conditions} {_ORDER}",
            (after, until, *parameters),
            self._log.charts(after, until),
        )

    def rows_of(
        self, streams: list[int], charts: Mapping[int, str] | None = None
    ) -> Iterator[Stream]:
        """The distinct events of some streams, in order of the streams, with their charts."""
        if charts is None:
            charts = dict(self._log.charts_of(json.dumps(streams)))
        if len(streams) < MANY:
            rows = self._log.db.conn.execute
            sql = f"{_SELECT} WHERE e.stream_id = ? {_ORDER}"
            found = ((stream, rows(sql, (stream,)).fetchall()) for stream in streams)
            told = iter(sorted(charts.items()))
            return ((stream, _chart(told, stream), events) for stream, events in found if events)
        return self._streams(
            f"{_SELECT} WHERE e.stream_id IN (SELECT value FROM json_each(?)) {_ORDER}",
            (json.dumps(streams),),
            iter(sorted(charts.items())),
        )

    def _streams(
        self, sql: str, parameters: tuple[object, ...], charts: Iterator[tuple[int, str]]
    ) -> Iterator[Stream]:
        """The rows in order of the streams, put together stream by stream."""
        rows: Iterator[EventRow] = self._log.db.conn.execute(sql, parameters)
        for stream_id, events in groupby(rows, itemgetter(0)):
            yield stream_id, _chart(charts, stream_id), list(events)

    def of_rows(self, chart: str, events: Iterable[EventRow]) -> list[Fact]:
        """The facts of the events of one stream."""
        return _of_chart([self._fact(row) for row in events], chart)

    def deciding(self, shape_id: int) -> tuple[tuple[int, frozenset[str]], ...]:
        """The indexes of the values that decide over the meaning, and the texts asked of them."""
        deciding = self._deciding.get(shape_id)
        if deciding is None:
            deciding = self._deciding[shape_id] = self._deciding_in(self._log.shape(shape_id))
        return deciding

    def holes(self, shape_id: int) -> int:
        """How many texts an event of that shape has."""
        return self._log.shape(shape_id).holes

    def mould_of(self, shape_id: int, values: list[str]) -> Mould:
        """The mould of an event of that shape and those texts."""
        meant: Meant = shape_id
        if deciding := self.deciding(shape_id):
            meant = (
                shape_id,
                *[values[at] if values[at] in texts else None for at, texts in deciding],
            )
        mould = self._moulds.get(meant)
        if mould is None:
            shape = self._log.shape(shape_id)
            reading = self.reading(shape, values)
            assert reading is not None
            mould = self._moulds[meant] = _mould(self.definitions, reading, shape)
        return mould

    def _fact(self, row: EventRow) -> Fact:
        _, occurred_at, digest, position, received_at, shape_id, fields, flags = row
        try:
            values = json.loads(fields)
            mould = self.mould_of(shape_id, values)
            return mould.fact(occurred_at, digest, position, received_at, values, flags)
        except (IntegrityError, AssertionError, *DAMAGE) as error:
            raise damaged(position, error) from error

    def _deciding_in(self, shape: Shape) -> tuple[tuple[int, frozenset[str]], ...]:
        words = self.definitions.lexicon.words
        paths = [plain(path) for path, text in shape.fields if text is None]
        return tuple((at, words[path]) for at, path in enumerate(paths) if path in words)

    def _made(
        self, shape: Shape, values: list[str], event: tuple[int, bytes, int, int], flags: int
    ) -> Fact:
        reading = self.reading(shape, values)
        assert reading is not None
        occurred_at, digest, position, received_at = event
        mould = _mould(self.definitions, reading, shape)
        return mould.fact(occurred_at, digest, position, received_at, values, flags)


def _chart(charts: Iterator[tuple[int, str]], stream_id: int) -> str:
    for stream, chart in charts:
        if stream == stream_id:
            return chart
    raise IntegrityError(f"stream {stream_id} is missing")


def _of_chart(facts: list[Fact], chart: str) -> list[Fact]:
    """The facts, of which those of another chart say nothing here.

    A vocabulary that came later may place events elsewhere; they were then read again, as new events
    of the streams that they belong to.
    """
    if all(fact.effect is None or fact.effect.chart.name == chart for fact in facts):
        return facts
    return [
        fact
        if fact.effect is None or fact.effect.chart.name == chart
        else fact._replace(stage=UNHEARD, effect=None, findings=0)
        for fact in facts
    ]


def repeats(
    log: Log, after: int, until: int, bounds: Bounds = EVERYTHING
) -> Iterator[tuple[int, int]]:
    """Pairs of a stream behind ``after`` and the number of its repeats, in order; none for none."""
    conditions, parameters = bounds.of_repeats()
    rows = log.db.conn.execute(
        "SELECT stream_id, count(*) FROM events WHERE repeats IS NOT NULL"
        f" AND stream_id > ? AND stream_id <= ?{conditions} GROUP BY stream_id",
        (after, until, *parameters),
    )
    return iter(rows)


_SELECT = (
    "SELECT e.stream_id, e.occurred_at, e.digest, e.position, e.received_at, e.shape_id, e.fields,"
    f" e.flags & {IMPORTED - 1} FROM events e INDEXED BY events_fold"
)
_ORDER = "AND e.repeats IS NULL ORDER BY e.stream_id, e.occurred_at, e.digest"
