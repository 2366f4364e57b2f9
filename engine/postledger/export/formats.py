"""Interchange: a log as lines of JSON or as Parquet, and back.

One row is one event, a receipt or a statement of the program. Position and leaf are those of the log
it comes from, for people to compare; they are not taken over. Adoptions, erasures and imports are of
the ledger that they stand in: no row says them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from postledger.errors import PostledgerError, requires
from postledger.log.event import READ, Kind
from postledger.model import UNVERIFIED, Event, Receipt
from postledger.times import iso, micros, parse_moment

LINES = (".jsonl", ".ndjson")
"""The suffixes of files of lines."""

COLUMNS = (
    "position",
    "received_at",
    "kind",
    "source",
    "sender",
    "content_type",
    "content_encoding",
    "query",
    "body",
    "leaf",
)
"""The columns of an export; in JSON, ``body_base64`` stands for a body that is not UTF-8."""

_NEEDED = ("received_at", "content_type", "body")
_BODIES = ("body", "body_base64")
_MARKS = ("received_at", *_BODIES)
_TEXTS = ("source", "sender", "content_type", "content_encoding")
_BEGINS = re.compile(r'\{\s*"(?:position|received_at|body|body_base64)"\s*:')
_ROWS = 10_000
_ROWS_BYTES = 64 << 20
"""How many rows of Parquet, and bytes of them, are held in memory."""


class Row(NamedTuple):
    """What a row of a file says: a receipt, and the kind that it claims for it."""

    receipt: Receipt
    kind: Kind


def exported(events: Iterable[Event]) -> Iterator[Event]:
    """The events that an export has, each once: the further members of a bundle share its body."""
    return (event for event in events if event.member == 0 and event.kind in READ)


def line_of(event: Event) -> bytes:
    """An event as a line of JSON; a body that is not UTF-8 is in base64."""
    row = {
        "position": event.position,
        "received_at": iso(event.received_at),
        "kind": event.kind,
        "source": event.source,
        "sender": event.sender,
        "content_type": event.content_type,
        "content_encoding": event.content_encoding,
        "query": event.query,
    }
    return _line({**row, **_written(event.body), "leaf": event.leaf.hex()})


def line_of_receipt(receipt: Receipt) -> bytes:
    """A receipt as a line of JSON, likewise."""
    row = {"received_at": iso(receipt.received_at), "content_type": receipt.content_type}
    query = {"query": True} if receipt.query else {}
    return _line({**row, **query, **_written(receipt.body)})


def _written(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


# --- read a line ---


def row_of(line: str) -> Row | None:
    """What a line says; ``None`` where it is not a row of an export, and so a body itself.

    An object with a body or a time of reception is a row. Raises ``ValueError`` with the reason where
    such a row can't be taken.
    """
    try:
        row = json.loads(line, parse_int=number)
    except (ValueError, RecursionError) as error:
        if _BEGINS.match(line.lstrip()):
            raise ValueError(f"expected a JSON object on one line: {error}") from None
        return None
    return _taken(row) if isinstance(row, dict) and any(mark in row for mark in _MARKS) else None


def begins_row(line: bytes) -> bool:
    """Whether a line begins as the rows of an export do."""
    return _BEGINS.match(line[:100].decode("utf-8", "replace").lstrip("\ufeff \t")) is not None


def is_export(text: str) -> bool:
    """Whether a text, taken for one body, is lines of an export, or an array of its rows."""
    first = text.lstrip().partition("\n")[0]
    if first.startswith("["):
        first = text
    elif not _BEGINS.match(first):
        return False
    try:
        rows = json.loads(first)
    except (ValueError, RecursionError):
        return False
    row = rows[0] if isinstance(rows, list) and rows else rows
    known = {*COLUMNS, *_BODIES}
    return isinstance(row, dict) and row.keys() <= known and any(one in row for one in _BODIES)


def _taken(row: Mapping[str, Any]) -> Row:
    """The row of a JSON object or of Parquet; raises ``ValueError`` with what is wrong with it."""
    kind = row.get("kind") or Kind.RECEIPT
    if not isinstance(kind, str) or kind not in READ:
        raise ValueError(f"kind must be receipt or statement, got {kind!r}")
    source, sender, content_type, content_encoding = (_text(row, name) for name in _TEXTS)
    received_at, query = _time(row.get("received_at")), row.get("query")
    if not isinstance(query, bool | None):
        raise ValueError(f"query must be true or false, got {_shown(query)}")
    receipt = Receipt(
        _body(row),
        content_type,
        received_at,
        imported=received_at is not None,
        source=source or "",
        content_encoding=content_encoding,
        # This program made no check: a line may say that one failed, and never that it passed.
        # guard: no line claims a sender check
        sender=UNVERIFIED if sender == UNVERIFIED else "",
        query=query or False,
    )
    return Row(receipt, Kind(kind))


def number(digits: str) -> int | float:
    """A whole number of JSON; Python refuses one of thousands of digits, which no column is."""
    return int(digits) if len(digits) <= 20 else float(digits)


def _text(row: Mapping[str, Any], name: str) -> str | None:
    text = row.get(name)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"{name} must be text, got {_shown(text)}")
    if text is not None:
        _encoded(name, text)
    return text


def _encoded(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # JSON can spell half a character, which nothing that was received has.
        raise ValueError(
            f"{name} must be whole characters, got half of one (a lone surrogate)"
        ) from None


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        return value if isinstance(value, datetime) else parse_moment(value)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise ValueError(
            f"received_at must be a time such as 2026-11-05T14:30:00Z, got {_shown(value)}"
        ) from None


def _body(row: Mapping[str, Any]) -> bytes:
    found = [name for name in _BODIES if row.get(name) is not None]
    if len(found) != 1:
        raise ValueError("expected body or body_base64" + (", got both" if found else ""))
    (name,) = found
    body = row[name]
    if isinstance(body, bytes):
        return body
    if not isinstance(body, str):
        raise ValueError(f"{name} must be text, got {_shown(body)}")
    if name == "body":
        return _encoded(name, body)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"body_base64 must be base64: {error}") from None


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:60]}…"


# --- Parquet ---


def write_parquet(events: Iterable[Event], path: Path) -> int:
    """Write events as Parquet; returns their number."""
    pa, parquet = _pyarrow()
    texts = ("kind", "source", "sender", "content_type", "content_encoding", "leaf")
    types = {
        "position": pa.int64(),
        "received_at": pa.timestamp("us", tz="UTC"),
        "query": pa.bool_(),
        "body": pa.binary(),
        **dict.fromkeys(texts, pa.string()),
    }
    schema = pa.schema([(name, types[name]) for name in COLUMNS])
    count, rows = 0, exported(events)
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _ROWS)):
            columns: dict[str, list[Any]] = {
                name: [getattr(event, name) for event in batch] for name in COLUMNS
            }
            columns["received_at"] = [micros(event.received_at) for event in batch]
            columns["leaf"] = [event.leaf.hex() for event in batch]
            writer.write_table(pa.table(columns, schema=schema))
            count += len(batch)
    return count


def read_parquet(path: Path) -> Iterator[Row | ValueError]:
    """The rows of a Parquet file, and what is wrong with those that can't be taken.

    Raises ``PostledgerError`` where it is not the Parquet file of an export.
    """
    pa, parquet = _pyarrow()
    try:
        schema = parquet.read_schema(path)
        if wrong := _other_types(pa, schema):
            raise PostledgerError(f"{path}: not the Parquet file of an export: {wrong}")
        names = [name for name in COLUMNS if name in schema.names]
        # As a dictionary, a body that is repeated many times is in memory once.
        with parquet.ParquetFile(path, read_dictionary=["body"]) as file:
            for batch in file.iter_batches(_rows_at_once(file.metadata), columns=names):
                yield from map(_of_parquet, _dicts(pa, batch))
    except (pa.ArrowException, ValueError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise PostledgerError(f"{path}: not the Parquet file of an export: {reason}") from None


def _of_parquet(row: Mapping[str, Any]) -> Row | ValueError:
    try:
        return _taken(row)
    except ValueError as error:
        return error


def _dicts(pa: Any, batch: Any) -> Iterator[dict[str, Any]]:
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            values = column.dictionary.to_pylist()
            columns[name] = [
                None if at is None else values[at] for at in column.indices.to_pylist()
            ]
        else:
            columns[name] = column.to_pylist()
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def _rows_at_once(metadata: Any) -> int:
    """So many rows that what is unpacked of them stays within bounds."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    largest = max((g.total_byte_size // max(g.num_rows, 1) for g in groups), default=0)
    return max(1, min(_ROWS, _ROWS_BYTES // max(largest, 1)))


def _other_types(pa: Any, schema: Any) -> str | None:
    """What columns of other types a file has than those of an export; ``None`` where it has none."""
    types = pa.types
    names = (*_NEEDED, "kind", "source", "sender", "content_encoding", "query")
    # A column that holds nothing has no type.
    allowed = {
        **dict.fromkeys(names, (types.is_string, types.is_large_string, types.is_null)),
        "received_at": (
            lambda kind: types.is_timestamp(kind) and kind.tz is not None,
            types.is_null,
        ),
        "query": (types.is_boolean, types.is_null),
        "body": (types.is_binary, types.is_large_binary),
    }
    for name in names:
        count = schema.names.count(name)
        if count > 1 or (count == 0 and name in _NEEDED):
            return f"expected one column {name}, got {count}"
        if count == 0:
            continue
        kind = schema.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        if not any(fits(kind) for fits in allowed[name]):
            return f"its column {name} is {kind}"
    return None


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise requires("Parquet requires PyArrow", "pyarrow") from None
