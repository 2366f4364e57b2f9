"""``postledger optimize``: make comparisons by other charts quicker."""

from __future__ import annotations

from pathlib import Path

import click

from postledger.cli.common import ledger_argument, progress
from postledger.ledger.ledger import Ledger


@click.command(
    epilog="""\b
Examples:
  postledger optimize deliveries.db
  postledger optimize deliveries.db && postledger replay deliveries.db --chart my-delivery.toml"""
)
@ledger_argument()
def optimize(ledger: Path) -> None:
    """Keep what a fold of the whole log reads in blocks.

    To compare with other charts then takes a third of the time, for some 12 bytes an event. Other
    processes may go on recording. What they record later is folded from the log, until this is called
    again; it may be interrupted at any time.
    """
    with Ledger(ledger) as opened, progress("optimize", unit="streams") as advance:
        count = opened.optimize(progress=advance)
        click.echo(f"{count} streams in blocks")
