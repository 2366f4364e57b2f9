"""``postledger copy``: the same ledger in another place."""

from __future__ import annotations

from contextlib import AbstractContextManager

import click

from postledger.address import Location
from postledger.cli.archives import opened as opened_archive
from postledger.cli.common import ledger_argument, progress, reading, remark
from postledger.cli.forms import json_option, write_json
from postledger.cli.layout import counted
from postledger.cli.params import ArchiveAt, LedgerPath
from postledger.ledger.copying import Copied
from postledger.ledger.ledger import Ledger
from postledger.progress import Progress
from postledger.store.opening import exists

_TIMES = 3
"""So often an event of a new copy counts: copied, read, and folded."""


@click.command(
    epilog="""\b
Examples:
  postledger copy deliveries.db 'postgresql://db.example.com/sms?schema=receipts'
  postledger copy 'postgresql://db.example.com/sms?schema=receipts' deliveries.db
  postledger copy 2026-11 restored.db"""
)
@ledger_argument(archives=True)
@click.argument("target", type=LedgerPath(exists=False))
@json_option
def copy(ledger: Location | ArchiveAt, target: Location, as_json: bool) -> None:  # noqa: FBT001
    """Copy LEDGER, as it is now, to TARGET: files or addresses, in any combination.

    The copy has the same events, and so the same anchors; index and states are made by a replay. Others
    may record to LEDGER meanwhile. TARGET must be new, or have a beginning of the same log: then what it
    lacks is added, so that a copy that was interrupted goes on, and one that was whole follows. A new
    file stands as TARGET-copy until it is whole. Checkpoints of subscriptions are not copied.

    LEDGER may be an archive, a folder or the address of one: so it becomes a ledger again.
    """
    if isinstance(ledger, ArchiveAt):
        with opened_archive(ledger) as archive:
            with _progress(target, archive.size) as advance:
                copied = archive.to_ledger(target, progress=advance)
            _say(copied, as_json=as_json)
        return
    with reading(ledger) as opened:
        with _progress(target, opened.head().size) as advance:
            copied = opened.copy(target, progress=advance)
        _say(copied, as_json=as_json)
        _remark_left(opened, copied.anchor.size)


def _progress(target: Location, size: int) -> AbstractContextManager[Progress]:
    return progress("copy", None if exists(target) else _TIMES * size)


def _say(copied: Copied, *, as_json: bool) -> None:
    if as_json:
        write_json({"copied": copied.added, "anchor": str(copied.anchor)})
        return
    there = copied.anchor.size - copied.added
    more = f"; {counted(there, 'event')} were there" if there else ""
    click.echo(f"copied {counted(copied.added, 'event')}{more}")
    click.echo(f"anchor {copied.anchor}")


def _remark_left(ledger: Ledger, size: int) -> None:
    """Say what the copy does not have."""
    if kept := [f"{one.kind} {one.name!r}" for one in ledger.checkpoints()]:
        remark(f"not copied: the checkpoints of {', '.join(kept)}")
    if more := ledger.head().size - size:
        remark(f"{counted(more, 'event')} came meanwhile; copy again to add them")
