"""``postledger query``: SQL over what the file holds."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import click

from postledger.address import Location
from postledger.cli.common import ledger_argument, reading, remark_more
from postledger.cli.forms import (
    Form,
    Record,
    limit_option,
    output_options,
    shown,
    write_records,
    write_table,
)
from postledger.cli.layout import cell


@click.command(
    epilog="""\b
Examples:
  postledger query deliveries.db "SELECT state, count(*) FROM deliveries GROUP BY state"
  postledger query deliveries.db "SELECT * FROM deliveries WHERE spid = '0001470'" --csv
  postledger query deliveries.db "SELECT * FROM event_log WHERE position > 120" --nl"""
)
@ledger_argument()
@click.argument("sql", metavar="SQL")
@limit_option
@output_options()
def query(ledger: Location, sql: str, limit: int | None, form: Form) -> None:
    """Print the rows of a SELECT over the views of the file; nothing can be written.

    The views are deliveries (a row each, as `deliveries` lists them), contents, event_log (each event
    as it was received) and statements (which delivery each event belongs to, and when it happened).
    The page on the file has their columns. Bytes are printed in hexadecimal. Ctrl-C ends it.
    """
    most = shown(form, limit)
    with (
        reading(ledger) as opened,
        opened._connections.read() as own,
        own.store.query(sql) as (columns, rows),
    ):
        wanted = islice(rows, None if most is None else min(most, sys.maxsize))
        if form.for_people:
            listed = [[cell(_plain(value)) for value in row] for row in wanted]
            write_table(listed, columns, form)
            count = len(listed)
        else:
            count = write_records(_records(columns, wanted), form, {}, columns)
        # Nobody knows what a row of them costs.
        remark_more(count, rows, form, limit, most=0)


def _records(columns: Sequence[str], rows: Iterator[Sequence[Any]]) -> Iterator[Record]:
    return (dict(zip(columns, map(_plain, row), strict=True)) for row in rows)


def _plain(value: Any) -> Any:
    """A value as JSON can have it: bytes in hexadecimal, an infinite number as a text."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
