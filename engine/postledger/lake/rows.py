"""Rows: what Python has of tables of Arrow, and tables of what Python has; times are microseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from postledger.errors import IntegrityError
from postledger.findings import names
from postledger.lake.folder import arrow
from postledger.lake.layout import GROUP, Raw, Said, schema_of
from postledger.log.event import Clock, Envelope, Kind, Part, Stored
from postledger.state.patterns import Stream, Unplaced
from postledger.state.row import COLUMNS, Row
from postledger.state.streams import EventRow
from postledger.templates import Template, written
from postledger.times import UNDATED

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


def tables_of(kind: str, rows: Iterable[Sequence[Any]]) -> Iterator[Any]:
    """Tables of so many rows as a row group has."""
    rows = iter(rows)
    while page := list(islice(rows, GROUP)):
        yield table_of(kind, page)
