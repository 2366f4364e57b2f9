"""``postledger grant``: who may write to a ledger on a server, and who may read it."""

from __future__ import annotations

import click

from postledger.address import Address, Location
from postledger.cli.common import ledger_argument
from postledger.log.schema import HEAD, LOG
from postledger.store.opening import grant as grant_there


@click.command(
    epilog="""\b
Examples:
  postledger grant 'postgresql://owner@db.example.com/sms' --writer sms_writer
  postledger grant 'postgresql://owner@db.example.com/sms' --reader sms_reader"""
)
@ledger_argument()
@click.option("--writer", metavar="ROLE", help="The role that records and replays.")
@click.option(
    "--reader", "readers", multiple=True, metavar="ROLE", help="A role that reads. May be repeated."
)
def grant(ledger: Location, writer: str | None, readers: tuple[str, ...]) -> None:
    """Let a role of the server write to LEDGER, an address, and others read it.

    Its owner calls this, who is a member of the writer's role. The writer can append to the log, and
    alter nothing there: the guards are the owner's. Index and states become the writer's. Other roles
    that are made members of it write as it, and so does the owner. A reader can make nothing but
    temporary tables.
    """
    if not isinstance(ledger, Address):
        raise click.UsageError(f"LEDGER must be an address to grant roles there, got {ledger}.")
    if writer is None and not readers:
        raise click.UsageError("Give --writer or --reader.")
    grant_there(ledger, LOG, HEAD, writer=writer, readers=readers)
    said = [f"writer {writer}"] if writer is not None else []
    click.echo("granted: " + ", ".join([*said, *(f"reader {one}" for one in readers)]))
