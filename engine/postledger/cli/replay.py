"""``postledger replay``: build the projection anew from the log."""

from __future__ import annotations

from pathlib import Path

import click

from postledger.cli.common import ledger_argument, progress
from postledger.ledger import Ledger


@click.command(
    epilog="""\b
Example:
  postledger replay deliveries.db"""
)
@ledger_argument()
def replay(ledger: Path) -> None:
    """Build the states anew from the log, beside the live ones, and switch to them.

    Other processes may go on recording. Interrupted, it leaves the live states untouched and goes on
    where it was when it is called again.
    """
    with Ledger(ledger) as opened:
        with progress("replay", opened.head()[0]) as advance:
            opened.rebuild(progress=advance)
        position = opened.head()[0]
        click.echo(f"rebuilt at position {position} by {opened.definitions.label}")
