"""``postledger export``: the log as a file that any ledger can ingest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import click

from postledger.address import Location
from postledger.cli.common import after_option, ledger_argument, progress, reading, remark
from postledger.cli.layout import counted
from postledger.export.files import create_packed, plain_suffix, whole
from postledger.export.formats import LINES, exported, line_of, write_parquet
from postledger.ledger.ledger import Ledger


@click.command(
    epilog="""\b
Examples:
  postledger export deliveries.db deliveries.jsonl.gz
  postledger export deliveries.db deliveries.parquet
  postledger export deliveries.db - | postledger ingest copy.db -"""
)
@ledger_argument()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@after_option
def export(ledger: Location, file: Path, after: int) -> None:
    """Write each receipt and statement with its time: .jsonl or .parquet; .gz and .zst are packed.

    A ledger that ingests it, with --sources and --statements, has the same states, findings and
    times. Exports hold personal numbers in full.
    """
    suffix = plain_suffix(file)
    if str(file) != "-" and suffix not in (*LINES, ".parquet"):
        raise click.BadParameter(f"{file}: name it .jsonl or .parquet", param_hint="FILE")
    with reading(ledger) as opened:
        if str(file) == "-":
            count = _write_lines(opened, sys.stdout.buffer, after)
        else:
            with whole(file) as partial:
                count = _written(opened, partial, after)
        anchor = opened.head()
    remark(f"{counted(count, 'event')}, anchor {anchor}")


def _written(ledger: Ledger, file: Path, after: int) -> int:
    if plain_suffix(file) == ".parquet":
        return write_parquet(ledger.events(after), file)
    with create_packed(file) as lines:
        return _write_lines(ledger, lines, after)


def _write_lines(ledger: Ledger, lines: IO[bytes], after: int) -> int:
    count = 0
    with progress("export", ledger.head().size - 1 - after) as advance:
        for count, event in enumerate(exported(ledger.events(after)), 1):
            lines.write(line_of(event))
            if count % 1_000 == 0:
                advance(1_000)
        lines.flush()
    return count
