"""``postledger events``: the log itself."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Any

import click

from postledger.cli.common import ledger_argument, output_options, reading, remark, write_records
from postledger.model import Event
from postledger.times import iso

_COLUMNS = {
    "position": "position",
    "received_at": "received at",
    "kind": "kind",
    "key": "key",
    "repeats": "repeats",
    "problem": "problem",
}
_MOST_FOR_PEOPLE = 100


@click.command(
    epilog="""\b
Examples:
  postledger events deliveries.db --kind unreadable
  postledger events deliveries.db --after 120 --limit 1 --json"""
)
@ledger_argument()
@click.option(
    "--kind",
    type=click.Choice(["postback", "unrecognised", "unreadable", "repeat"]),
    help="Only events of that kind.",
)
@click.option("--after", type=click.IntRange(min=0), default=0, help="Those behind that position.")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many.")
@output_options
def events(ledger: Path, kind: str | None, after: int, limit: int | None, form: str | None) -> None:
    """List the events of the log in order of position, each as it was received."""
    shown = _MOST_FOR_PEOPLE if form is None and limit is None else limit
    most = None if shown is None else min(shown, sys.maxsize)
    with reading(ledger) as opened:
        found = (event for event in opened.events(after) if kind in (None, _kind(event)))
        count = write_records(map(_record, islice(found, most)), form, _COLUMNS)
    if count == shown and limit is None:
        remark(f"the first {count}; --limit, --json, --nl or --csv give more")


def _kind(event: Event) -> str:
    return "repeat" if event.repeats is not None else event.kind


def _record(event: Event) -> dict[str, Any]:
    body = event.body.decode("utf-8", "backslashreplace")
    return {
        "position": event.position,
        "received_at": iso(event.received_at),
        "occurred_at": iso(event.occurred_at),
        "kind": event.kind,
        "chart": event.chart,
        "key": event.key,
        "repeats": event.repeats,
        "problem": event.problem,
        "content_type": event.content_type,
        "body": body,
        "hash": event.hash.hex(),
    }
