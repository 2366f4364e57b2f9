"""``postledger archive``: a ledger as Parquet in a folder, with what follows from it."""

from __future__ import annotations

import click

from postledger.address import Location
from postledger.cli.common import ledger_argument, progress, reading
from postledger.cli.forms import json_option, write_json
from postledger.cli.layout import counted
from postledger.cli.params import FolderText
from postledger.lake.layout import ROWS

_TIMES = 3
"""So often an event counts: written, read, and folded."""


@click.command(
    epilog="""\b
Examples:
  postledger archive deliveries.db 2026-11
  postledger archive deliveries.db s3://bucket/2026-11 --rows 1000000"""
)
@ledger_argument()
@click.argument("folder", type=FolderText())
@click.option(
    "--rows",
    type=click.IntRange(1),
    default=ROWS,
    show_default=True,
    help="About how many rows to hold in memory at once; of more than 1 kB one counts as several. Three"
    " files are made for each so many events: few rows make many files.",
)
@json_option
def archive(ledger: Location, folder: str, rows: int, as_json: bool) -> None:  # noqa: FBT001
    """Write LEDGER, as it is now, to FOLDER as Parquet: events, what they say and change, deliveries.

    FOLDER is a path, or an address such as s3://bucket/folder. It must be new or empty; a run that was
    killed goes on when it is started again. An archive can be verified, folded by other definitions,
    made a ledger again, and read with SQL. It holds personal numbers in full.
    """
    with reading(ledger) as opened, progress("archive", _TIMES * opened.head().size) as advance:
        made = opened.archive(folder, rows=rows, progress=advance)
    if as_json:
        write_json({"anchor": str(made.anchor), "files": made.files, "kept": made.kept})
        return
    there = f"; {counted(made.kept, 'file')} of them were there" if made.kept else ""
    click.echo(
        f"archived {counted(made.anchor.size, 'event')} in {counted(made.files, 'file')}{there}"
    )
    click.echo(f"anchor {made.anchor}")
