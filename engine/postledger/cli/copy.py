"""``postledger copy``: the same ledger in another place."""

from __future__ import annotations

import click

from postledger.address import Location
from postledger.cli.common import ledger_argument, progress, reading, remark
from postledger.cli.forms import json_option, write_json
from postledger.cli.layout import counted
from postledger.cli.params import LedgerPath
from postledger.ledger.ledger import Ledger
from postledger.store.opening import exists

_TIMES = 3
"""So often an event of a new copy counts: copied, read, and folded."""


@click.command(
    epilog="""\b
Examples:
  postledger copy deliveries.db 'postgresql://db.example.com/sms?schema=receipts'
  postledger copy 'postgresql://db.example.com/sms?schema=receipts' deliveries.db"""
)
@ledger_argument()
@click.argument("target", type=LedgerPath(exists=False))
@json_option
def copy(ledger: Location, target: Location, as_json: bool) -> None:  # noqa: FBT001
    """Copy LEDGER, as it is now, to TARGET: files or addresses, in any combination.

    The copy has the same events, and so the same anchors; index and states are made by a replay. Others
    may record to LEDGER meanwhile. TARGET must be new, or have a beginning of the same log: then what it
    lacks is added, so that a copy that was interrupted goes on, and one that was whole follows. A new
    file stands as TARGET-copy until it is whole. Checkpoints of subscriptions are not copied.
    """
    with reading(ledger) as opened:
        size = opened.head().size
        total = None if exists(target) else _TIMES * size
        with progress("copy", total) as advance:
            copied = opened.copy(target, progress=advance)
        if as_json:
            write_json({"copied": copied.added, "anchor": str(copied.anchor)})
        else:
            there = copied.anchor.size - copied.added
            more = f"; {counted(there, 'event')} were there" if there else ""
            click.echo(f"copied {counted(copied.added, 'event')}{more}")
            click.echo(f"anchor {copied.anchor}")
        _remark_left(opened, copied.anchor.size)


def _remark_left(ledger: Ledger, size: int) -> None:
    """Say what the copy does not have."""
    if kept := [f"{one.kind} {one.name!r}" for one in ledger.checkpoints()]:
        remark(f"not copied: the checkpoints of {', '.join(kept)}")
    if more := ledger.head().size - size:
        remark(f"{counted(more, 'event')} came meanwhile; copy again to add them")
