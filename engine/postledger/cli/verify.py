"""``postledger verify``: is the log what was written, and does the projection follow from it?"""

from __future__ import annotations

from pathlib import Path

import click

from postledger.cli.common import (
    json_option,
    ledger_argument,
    progress,
    write_json,
)
from postledger.ledger.ledger import Ledger
from postledger.verify import parse_anchor


@click.command(
    epilog="""\b
Examples:
  postledger verify deliveries.db
  postledger verify deliveries.db --anchor 1200:5f0c…"""
)
@ledger_argument()
@click.option("--anchor", help="position:hash, as ingest printed it and you kept it elsewhere.")
@json_option
def verify(ledger: Path, anchor: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Check the file, its guards, the hash chain, an anchor, and the states by a fold from zero.

    Exit 1 where anything is wrong; each problem is a line with its position.
    """
    try:
        kept = None if anchor is None else parse_anchor(anchor)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--anchor") from None
    with (
        Ledger(ledger, readonly=True, guarded=False) as opened,
        progress("verify", opened.head()[0]) as advance,
    ):
        found = opened.verify(kept, progress=advance)
    if as_json:
        write_json(found.to_dict())
    else:
        for problem in found.problems:
            click.echo(problem)
        verdict = "ok" if found.ok else "NOT ok"
        click.echo(f"{verdict}: {found.events} events, anchor {found.position}:{found.head}")
    click.get_current_context().exit(0 if found.ok else 1)
