"""``postledger follow``: what changed, and what changes."""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from pathlib import Path

import click

from postledger.cli.common import cell, ledger_argument, paragraph, reading
from postledger.cli.params import WholeRange
from postledger.ledger.ledger import Ledger
from postledger.model import StateChanged, states_line
from postledger.times import iso

_LAST = 10
_WINDOW = 500


@click.command(
    epilog="""\b
Examples:
  postledger follow deliveries.db
  postledger follow deliveries.db --after 120 --no-live --json"""
)
@ledger_argument()
@click.option(
    "--after",
    type=WholeRange(min=-1),
    help=f"The changes after that position; without it, begin with the last {_LAST}.",
)
@click.option(
    "--live/--no-live",
    default=True,
    help="Keep printing new changes until interrupted (default), or stop at the last one.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def follow(ledger: Path, *, after: int | None, live: bool, as_json: bool) -> None:
    """Print each change of a delivery's state, in order of position."""
    with reading(ledger) as opened, suppress(KeyboardInterrupt):
        begin = _before_the_last(opened, _LAST) if after is None else after
        for change in opened.follow(begin, live=live):
            row = json.dumps(change.to_dict(), ensure_ascii=False) if as_json else None
            click.echo(row or paragraph(line(change)))


def line(change: StateChanged) -> str:
    """A change for people."""
    received = iso(change.event.received_at.replace(microsecond=0)) or ""
    before = "" if change.before is None else f"{states_line(change.before)} → "
    key, after = change.delivery.tracking_id, states_line(change.after)
    return cell(f"{change.position}  {received}  {key}  {before}{after}")


def _before_the_last(ledger: Ledger, count: int) -> int:
    """The position after which there are so many changes, or all there are."""
    size, window = ledger.head().size, _WINDOW
    while True:
        after = max(-1, size - 1 - window)
        last = deque((c.position for c in ledger.follow(after, live=False)), maxlen=count)
        if len(last) == count or after == -1:
            return last[0] - 1 if last else after
        window *= 4
