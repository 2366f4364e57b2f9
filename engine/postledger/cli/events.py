"""``postledger events``: the log itself."""

from __future__ import annotations

import sys
from itertools import islice
from typing import Any

import click

from postledger.address import Location
from postledger.cli.common import after_option, ledger_argument, reading, remark_first
from postledger.cli.forms import Form, limit_option, output_options, shown, write_records
from postledger.cli.narrow import Narrow, narrow_options
from postledger.cli.tones import readings
from postledger.log.event import Kind
from postledger.model import Event, fields_of, place_line

_FIELDS = (
    *(
        "position",
        "member",
        "kind",
        "reading",
        "accepted",
        "received_at",
        "occurred_at",
        "imported",
    ),
    *("source", "sender", "space", "chart", "key", "repeats", "problem"),
    *("content_type", "content_encoding", "query"),
)
_COLUMNS = {
    "position": "position",
    "received_at": "received at",
    "kind": "kind",
    "reading": "reading",
    "source": "source",
    "sender": "sender",
    "stream": "stream",
    "repeats": "repeats",
    "problem": "problem",
}


@click.command(
    epilog="""\b
Examples:
  postledger events deliveries.db --reading unreadable
  postledger events deliveries.db --reading unverified --source skycore
  postledger events deliveries.db --since "yesterday 12:00" --code 4
  postledger events deliveries.db --id U01TXzgwNjc4 --json
  postledger events deliveries.db --after 120 --limit 1 --json"""
)
@ledger_argument()
@click.option(
    "--kind", type=click.Choice([kind.value for kind in Kind]), help="Only events of that kind."
)
@click.option(
    "--reading",
    "read_as",
    type=click.Choice(["recognised", "unrecognised", "unreadable", "unverified"]),
    help="Only events with that reading.",
)
@click.option("--source", metavar="NAME", help="Only events that this endpoint received.")
@click.option(
    "--sender", metavar="NAME", help="Only events of this sender check, unverified or accepted."
)
@narrow_options("Only events")
@click.option("--repeats", is_flag=True, help="Only events that repeat another.")
@after_option
@limit_option
@output_options()
def events(
    ledger: Location,
    kind: str | None,
    read_as: str | None,
    source: str | None,
    sender: str | None,
    narrow: Narrow,
    repeats: bool,  # noqa: FBT001
    after: int,
    limit: int | None,
    form: Form,
) -> None:
    """List the events of the log in order of position, each as it was received.

    Of a bundle each member is listed: 7.1 is the second one of position 7. An unverified event that was
    accepted stays, and is marked; it was recorded again at a later position. What several options ask
    for must all hold.
    """
    most = shown(form, limit)
    with reading(ledger) as opened:
        found = (
            event
            for event in narrow.events(opened, after)
            if kind in (None, event.kind)
            and read_as in (None, event.reading)
            and source in (None, event.source)
            and sender in (None, event.sender)
            and (event.repeats is not None or not repeats)
        )
        record, reached = _row if form.for_people else _record, after

        def noted(event: Event) -> dict[str, Any]:
            nonlocal reached
            reached = event.position
            return record(event)

        count = write_records(
            map(noted, islice(found, None if most is None else min(most, sys.maxsize))),
            form,
            _COLUMNS,
            (*_FIELDS, "body", "leaf"),
            {"reading": readings},
        )
        last = opened.head().size - 1
    if count == most and reached < last:
        # Others of what is asked for may be far: they are not looked for.
        remark_first(count, limit, f"those after position {reached} (of {last})")


def _record(event: Event) -> dict[str, Any]:
    body = event.body.decode("utf-8", "backslashreplace")
    return {**fields_of(event, *_FIELDS), "body": body, "leaf": event.leaf.hex()}


def _row(event: Event) -> dict[str, Any]:
    """An event for people: the member where it is not the first, the stream as one text."""
    return {
        **fields_of(event, *_COLUMNS.keys() - {"stream"}),
        "reading": f"{event.reading}, accepted" if event.accepted else event.reading,
        "position": place_line(event.position, event.member),
        "stream": " ".join(filter(None, (event.space, event.chart, event.key))),
    }
