"""``postledger follow``: what changed, and what changes."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

import click

from postledger.address import Location
from postledger.cli.common import ledger_argument, reading
from postledger.cli.forms import as_json as written_json
from postledger.cli.layout import cell, paragraph
from postledger.cli.narrow import Narrow, narrow_options
from postledger.cli.params import WholeRange
from postledger.cli.terminal import Tone, colour_option, toned
from postledger.cli.tones import states
from postledger.ledger.ledger import Ledger
from postledger.model import StateChanged, states_line
from postledger.times import iso

_LAST = 10
_WINDOW = 500


@click.command(
    epilog="""\b
Examples:
  postledger follow deliveries.db
  postledger follow deliveries.db --state failed
  postledger follow deliveries.db --since "2 hours ago" --until now
  postledger follow deliveries.db --after 120 --no-live --json"""
)
@ledger_argument()
@click.option(
    "--after",
    type=WholeRange(min=-1),
    help=f"The changes after that position; without it, --since or --id, begin with the last {_LAST}.",
)
@narrow_options("Only changes", ", and then stop", "TRACKINGID")
@click.option(
    "--live/--no-live",
    default=None,
    help="Keep printing new changes until interrupted (default), or stop at the last one.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@colour_option
def follow(
    ledger: Location, *, after: int | None, narrow: Narrow, live: bool | None, as_json: bool
) -> None:
    """Print each change of a delivery's state, in order of position."""
    if live and narrow.until is not None:
        raise click.UsageError("--until ends the list: leave out --live.")
    live = narrow.until is None if live is None else live
    with reading(ledger) as opened, suppress(KeyboardInterrupt):
        narrow.require_known(opened)
        begin = _begin(opened, narrow) if after is None else after
        definitions = opened.definitions
        tone = states(definitions)
        for change in opened.follow(begin, live=live):
            if narrow.lets(change, definitions):
                row = written_json(change.to_dict()) if as_json else None
                click.echo(row or _toned(change, tone))


def _begin(ledger: Ledger, narrow: Narrow) -> int:
    """The position after which what is asked for begins."""
    if narrow.since is None and narrow.key is None:
        return _before_the_last(ledger, narrow, _LAST)
    last = ledger.head().size - 1
    first = next(ledger.events(since=narrow.since, until=narrow.until, key=narrow.key), None)
    return last if first is None else first.position - 1


def _toned(change: StateChanged, tone: Tone) -> str:
    """A change on the terminal, with the state after it in its colour."""
    text, after = paragraph(line(change)), cell(states_line(change.after))
    return text.removesuffix(after) + toned(after, tone(after)) if text.endswith(after) else text


def line(change: StateChanged) -> str:
    """A change for people."""
    received = iso(change.event.received_at.replace(microsecond=0)) or ""
    before = "" if change.before is None else f"{states_line(change.before)} → "
    key, after = change.delivery.tracking_id, states_line(change.after)
    return cell(f"{change.position}  {received}  {key}  {before}{after}")


def _before_the_last(ledger: Ledger, narrow: Narrow, count: int) -> int:
    """The position after which there are so many changes that are asked for, or all there are."""
    size, window, definitions = ledger.head().size, _WINDOW, ledger.definitions
    while True:
        after = max(-1, size - 1 - window)
        found = (c for c in ledger.follow(after, live=False) if narrow.lets(c, definitions))
        last = deque((change.position for change in found), maxlen=count)
        if len(last) == count or after == -1:
            return last[0] - 1 if last else after
        window *= 4
