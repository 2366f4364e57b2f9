"""Interchange: a log as lines of JSON or as Parquet, and back.

One row is one receipt: its time of reception, its content type, its body as received. Position and
hash are those of the log it comes from, for people to compare; they are not taken over.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from postledger.errors import PostledgerError
from postledger.model import Event, Receipt
from postledger.times import iso, micros, parse_moment

_COLUMNS = ["received_at", "content_type", "body"]
_ROWS = 10_000
"""How many rows of Parquet are held in memory."""


def exported(events: Iterable[Event]) -> Iterator[Event]:
    """One event of each receipt: further ones of a bundle, and those read again, share its body."""
    return (event for event in events if event.body_of is None)


def line_of(event: Event) -> bytes:
    """An event as a line of JSON; a body that is not UTF-8 is in base64."""
    return _line(_row(event) | {"position": event.position, "hash": event.hash.hex()})


def line_of_receipt(receipt: Receipt) -> bytes:
    """A receipt as a line of JSON, likewise."""
    return _line(_row(receipt))


def _row(received: Event | Receipt) -> dict[str, Any]:
    row: dict[str, Any] = {
        "received_at": iso(received.received_at),
        "content_type": received.content_type,
    }
    try:
        row["body"] = received.body.decode()
    except UnicodeDecodeError:
        row["body_base64"] = base64.b64encode(received.body).decode()
    return row


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def receipt_of(line: bytes) -> Receipt | None:
    """The receipt that a line describes; ``None`` where the line describes none."""
    try:
        row = json.loads(line)
        body = _body(row)
        received_at = row.get("received_at")
        content_type = row.get("content_type")
        if content_type is not None:
            # JSON can spell half a character, which no receipt has.
            content_type.encode()
        stated = None if received_at is None else parse_moment(received_at)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    return Receipt(body, content_type, stated, imported=stated is not None)


def _body(row: dict[str, Any]) -> bytes:
    if "body_base64" in row:
        try:
            return base64.b64decode(row["body_base64"], validate=True)
        except binascii.Error as error:
            raise ValueError(str(error)) from None
    body: str = row["body"]
    return body.encode()


def write_parquet(events: Iterable[Event], path: Path) -> int:
    """Write events as Parquet; gives their number."""
    pa, parquet = _pyarrow()
    schema = pa.schema(
        [
            ("received_at", pa.timestamp("us", tz="UTC")),
            ("content_type", pa.string()),
            ("body", pa.binary()),
            ("position", pa.int64()),
            ("hash", pa.string()),
        ]
    )
    count, rows = 0, exported(events)
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _ROWS)):
            columns = {
                "received_at": [micros(event.received_at) for event in batch],
                "content_type": [event.content_type for event in batch],
                "body": [event.body for event in batch],
                "position": [event.position for event in batch],
                "hash": [event.hash.hex() for event in batch],
            }
            writer.write_table(pa.table(columns, schema=schema))
            count += len(batch)
    return count


def read_parquet(path: Path) -> Iterator[Receipt]:
    """The receipts of a Parquet file; raises ``PostledgerError`` where it is none of ours."""
    pa, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            if wrong := _other_types(pa, file.schema_arrow):
                raise PostledgerError(f"{path}: no Parquet file of an export: {wrong}")
            for batch in file.iter_batches(batch_size=_ROWS, columns=_COLUMNS):
                for row in batch.to_pylist():
                    if row["body"] is None:
                        raise PostledgerError(f"{path}: a row has no body")
                    yield Receipt(
                        row["body"],
                        row["content_type"],
                        row["received_at"],
                        imported=row["received_at"] is not None,
                    )
    except (pa.ArrowKeyError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise PostledgerError(f"{path}: no Parquet file of an export: {reason}") from None


def _other_types(pa: Any, schema: Any) -> str | None:
    """What columns of other types a file has than those of an export; ``None`` where it has none."""
    types = pa.types
    for name in _COLUMNS:
        if schema.names.count(name) != 1:
            return f"it has {schema.names.count(name) or 'no'} columns {name}"
        kind = schema.field(name).type
        fits = {
            "received_at": types.is_timestamp(kind) and kind.tz is not None,
            "content_type": types.is_string(kind) or types.is_large_string(kind),
            "body": types.is_binary(kind) or types.is_large_binary(kind),
        }
        # A column that holds nothing has no type.
        if not (fits[name] or (name != "body" and types.is_null(kind))):
            return f"its column {name} is {kind}"
    return None


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise PostledgerError("Parquet needs an extra: pip install 'postledger[parquet]'") from None
