"""Rows and tables: what Python has of tables of Arrow, and the other way; times are microseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from postledger.errors import IntegrityError
from postledger.findings import bits, names
from postledger.lake.folder import arrow
from postledger.lake.layout import (
    GROUP,
    GROUP_BYTES,
    OPTIONAL,
    ORDER,
    PIECE,
    STATEMENTS,
    Changed,
    Raw,
    Said,
    schema_of,
)
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.log.event import Clock, Envelope, Kind, Part, Stored
from postledger.model import Delivery
from postledger.projections.changes import Turn
from postledger.state.patterns import NOWHERE, Stream, Unplaced
from postledger.state.row import COLUMNS, Row, delivery_of
from postledger.state.streams import EventRow
from postledger.templates import Template, written
from postledger.times import UNDATED

_STATE = COLUMNS.index("state")
_SHOWN = tuple(map(COLUMNS.index, ("reason", "route_reason", "findings")))
_FINDINGS = COLUMNS.index("findings")


def table_of(kind: str, rows: Sequence[Sequence[Any]]) -> Any:
    """A table of rows, of a kind of file."""
    schema = schema_of(kind)
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    pa = arrow()
    arrays = [_array(pa, list(one), field.type) for one, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(pa: Any, values: list[Any], kind: Any) -> Any:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)


def rows_of(table: Any) -> Iterator[tuple[Any, ...]]:
    """The rows of a table."""
    pa = arrow()
    columns = [
        (one.cast(pa.int64()) if pa.types.is_timestamp(one.type) else one).to_pylist()
        for one in table.columns
    ]
    return zip(*columns, strict=True)


def raw_of(stored: Stored) -> Raw:
    """The row of an event."""
    envelope = stored.envelope
    return Raw(
        stored.position,
        stored.received_at,
        envelope.kind.value,
        envelope.clock.value,
        envelope.source,
        envelope.sender,
        envelope.content_type,
        envelope.content_encoding,
        envelope.part.value,
        stored.envelope_id,
        stored.template_id,
        stored.texts,
        stored.body if stored.template_id is None else None,
        stored.salt,
        stored.leaf,
    )


def envelope_of(said: Sequence[Any]) -> Envelope:
    """The envelope of its texts; raises ``ValueError``."""
    kind, clock, source, sender, content_type, encoding, part = said
    return Envelope(Kind(kind), Clock(clock), source, sender, content_type, encoding, Part(part))


def stored_of(raw: Raw, template: Template | None) -> Stored:
    """The event of a row; raises ``IntegrityError`` where it is damaged."""
    try:
        envelope = envelope_of(raw[2:9])
        body = raw.body
        if template is not None and raw.texts is not None:
            body = template.fill(raw.texts)
        if body is None:
            raise IntegrityError(f"position {raw.position}: its body is missing")
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"position {raw.position}: the event is damaged: {error}") from None
    return Stored(
        raw.position,
        raw.received_at,
        envelope,
        raw.envelope,
        template,
        raw.template,
        raw.texts,
        body,
        raw.salt,
        raw.leaf,
    )


def said_of(raw: Raw, one: Unplaced) -> Said:
    """The row of what a member of an event says."""
    (space, chart, key), occurred_at, identity, position, member, findings, said, _ = one
    return Said(
        space,
        chart,
        key,
        None if occurred_at == UNDATED else occurred_at,
        identity,
        position,
        member,
        raw.received_at,
        raw.template,
        raw.envelope,
        raw.texts if said is None else None,
        findings,
        said,
    )


def event_row(stream: int, row: Said) -> EventRow:
    """What the fold reads of a row of the statements."""
    return (
        stream,
        UNDATED if row.occurred_at is None else row.occurred_at,
        row.identity,
        row.position,
        row.member,
        row.received_at,
        row.template,
        row.envelope,
        None if row.texts is None else written(row.texts),
        row.findings,
        row.said,
    )


def state_of(stream: Stream, row: Row) -> tuple[Any, ...]:
    """The row of the deliveries of a row of the fold."""
    findings = names(row[_FINDINGS])
    return (*stream, *row[1:_FINDINGS], findings, *row[_FINDINGS + 1 :])


def deliveries_of(table: Any) -> Iterator[Delivery]:
    """The deliveries of a table of them."""
    at = _FINDINGS - 1
    for space, chart, key, *row in rows_of(table):
        whole: Row = (0, *row[:at], bits(tuple(row[at])), *row[at + 1 :])
        yield delivery_of((space, chart, key), whole)


def changed_of(stream: Stream, turn: Turn, key: str) -> Changed:
    """The row of a change; ``key`` identifies it."""
    row, before, after, delivery = turn
    reason, other, findings = (delivery[column] for column in _SHOWN)
    return Changed(
        *stream,
        row[3],
        row[4],
        row[5],
        None if row[1] == UNDATED else row[1],
        key,
        None if before is None else before[next(iter(before))],
        delivery[_STATE],
        other if reason is None else reason,
        names(findings),
        None if before is None else list(before.items()),
        list(after.items()),
    )


def tables_of(kind: str, rows: Iterable[Sequence[Any]]) -> Iterator[Any]:
    """Tables of some rows."""
    rows = iter(rows)
    while page := list(islice(rows, GROUP)):
        yield table_of(kind, page)


def regrouped(tables: Iterable[Any], size: int = PIECE) -> Iterator[Any]:
    """The same rows in tables of so many; the last may have fewer, and those of larger bodies."""
    pa = arrow()
    waiting: list[Any] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        if count < size:
            continue
        whole = pa.concat_tables(waiting)
        at = count - count % size
        for one in range(0, at, size):
            yield from _within_bytes(whole.slice(one, size))
        waiting, count = ([whole.slice(at)] if at < count else []), count - at
    if count:
        yield from _within_bytes(pa.concat_tables(waiting))


def _within_bytes(table: Any) -> Iterator[Any]:
    """A table in pieces of about ``GROUP_BYTES`` at the most."""
    if table.nbytes <= GROUP_BYTES or table.num_rows < 2:
        yield table
        return
    half = table.num_rows // 2
    yield from _within_bytes(table.slice(0, half))
    yield from _within_bytes(table.slice(half))


# --- tables of statements ---


def as_statements(given: Any) -> Iterator[Any]:
    """Tables of statements, of what another engine has of them: a table, or a stream of Arrow.

    Raises ``ValueError`` where a column is missing, or has values of another type.
    """
    pa, schema = arrow(), schema_of(STATEMENTS)
    if not hasattr(given, "__arrow_c_stream__"):
        hint = "; collect it" if hasattr(given, "collect") else ""
        raise ValueError(
            f"statements must be a table or a stream of Arrow, got {given!r:.80}{hint}"
        )
    reader = pa.RecordBatchReader.from_stream(given)
    if missing := [name for name in schema.names if name not in reader.schema.names]:
        raise ValueError(f"statements must have the columns of an archive; missing: {missing}")
    if twice := [name for name in schema.names if reader.schema.names.count(name) > 1]:
        raise ValueError(f"statements must have each column once, got twice: {twice}")
    for batch in reader:
        table = pa.Table.from_batches([batch]).select(schema.names)
        try:
            told = table.cast(schema)
            # Texts that are not UTF-8, say.
            told.validate(full=True)
            yield told
        except (pa.ArrowException, ValueError) as error:
            raise ValueError(f"statements must have the types of an archive: {error}") from None


def ordered(tables: Iterable[Any], says: Callable[[str], str]) -> Iterator[Any]:
    """Tables of statements that are in the order of the fold.

    Raises ``IntegrityError`` where one is not, or lacks a value; ``says`` names what it is of.
    """
    pa, last = arrow(), None
    for table in tables:
        if not table.num_rows:
            continue
        for name in table.column_names:
            if name not in OPTIONAL and table[name].null_count:
                raise IntegrityError(says(f"{name} is missing in a row"))
        if arrow("compute").list_flatten(table["texts"]).null_count:
            raise IntegrityError(says("a text is missing in a row"))
        told = table if last is None else pa.concat_tables([last, table])
        disorder = _disorder(told)
        # guard: an archive out of order is refused
        if disorder is not None:
            raise IntegrityError(says(f"out of order at position {told['position'][disorder]}"))
        last = table.slice(table.num_rows - 1)
        yield table


def _disorder(table: Any) -> int | None:
    """The first row that doesn't come after the one before it."""
    pa, pc = arrow(), arrow("compute")
    after: Any = None
    for name in reversed(ORDER):
        values = table[name].combine_chunks()
        if name == "occurred_at":
            values = pc.fill_null(values.cast(pa.int64()), UNDATED)
        one, other = values.slice(0, len(values) - 1), values.slice(1)
        greater = pc.greater(other, one)
        after = greater if after is None else pc.or_(greater, pc.and_(pc.equal(one, other), after))
    at = pc.index(after, pa.scalar(value=False)).as_py()
    return None if at < 0 else at + 1


def within(table: Any, bounds: Bounds) -> Any:
    """The statements of events within the bounds, as ``Bounds.take`` has them."""
    if bounds is EVERYTHING:
        return table
    pa, pc = arrow(), arrow("compute")
    happened = pc.coalesce(table["occurred_at"], table["received_at"])
    taken: Any = None
    for values, bound in (
        (table["position"], bounds.position),
        (table["received_at"].cast(pa.int64()), bounds.received_by),
        (happened.cast(pa.int64()), bounds.occurred_by),
    ):
        if bound is not None:
            some = pc.less_equal(values, bound)
            taken = some if taken is None else pc.and_(taken, some)
    return table if taken is None else table.filter(taken)


def of_streams(table: Any) -> Any:
    """The statements that belong to a stream; what belongs to none has no chart."""
    pc = arrow("compute")
    named = pc.not_equal(table["chart"], NOWHERE[1])
    return table if pc.all(named).as_py() else table.filter(named)


StreamSaid = tuple[Stream, list[Said]]
"""A stream and what is said of it, in the order of the statements."""


def streams_of(tables: Iterable[Any]) -> Iterator[StreamSaid]:
    """The streams of tables that are in order, but what belongs to none."""
    rows = (row for table in map(of_streams, tables) for row in map(Said._make, rows_of(table)))
    for stream, said in groupby(rows, itemgetter(0, 1, 2)):
        yield stream, list(said)
