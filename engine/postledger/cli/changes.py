"""``postledger changes``: what changed between two times."""

from __future__ import annotations

import sys
from datetime import datetime
from itertools import islice
from typing import Any

import click

from postledger.address import Location
from postledger.cli.common import ledger_argument, reading, remark_more, zone_option
from postledger.cli.forms import Form, limit_option, output_options, shown, write_records
from postledger.cli.params import TimeOrPosition
from postledger.cli.tones import states
from postledger.model import DELIVERY, REGIONS, Change, Delivery, fields_of, place_line, states_line

_STATES = ("state", *(field for _, field, _ in REGIONS))
_SIDES = ("before", "after")
_EVENT = ("position", "member", "received_at", "occurred_at")
_FIELDS = (
    *("tracking_id", "space"),
    *(f"{side}_{name}" for side in _SIDES for name in _STATES),
    *_EVENT,
)
_COLUMNS = {
    "tracking_id": "tracking id",
    "space": "space",
    "before": "before",
    "after": "after",
    "position": "position",
    "received_at": "received at",
}


@click.command(
    epilog="""\b
Examples:
  postledger changes deliveries.db --since yesterday
  postledger changes deliveries.db --since "2026-11-01 08:00" --until "2026-11-01 09:00"
  postledger changes deliveries.db --since 120 --json"""
)
@ledger_argument()
@click.option(
    "--since",
    type=TimeOrPosition(),
    required=True,
    help="From what was known at that time, or up to that position.",
)
@click.option(
    "--until",
    type=TimeOrPosition(),
    help="To what was known then, or up to there; without it, to all that is known.",
)
@zone_option
@limit_option
@output_options()
def changes(
    ledger: Location,
    since: datetime | int,
    until: datetime | int | None,
    limit: int | None,
    form: Form,
) -> None:
    """Show which deliveries changed between two times, from what to what.

    These are the deliveries whose states as of the two times differ, each with the event that brought it
    into the later ones. What changed and changed back is left out; `follow` prints each step.
    """
    if until is not None:
        if isinstance(since, datetime) != isinstance(until, datetime):
            raise click.UsageError("--since and --until must both be times, or both positions.")
        if since >= until:  # type: ignore[operator]
            raise click.UsageError("--since must be before --until.")
    most = shown(form, limit)
    with reading(ledger) as opened:
        every = opened.changes(since, until)
        found = islice(every, None if most is None else min(most, sys.maxsize))
        tones = {"after": states(opened.definitions)}
        row = _row if form.for_people else _record
        count = write_records(map(row, found), form, _COLUMNS, _FIELDS, tones)
        remark_more(count, every, form, limit)


def _record(change: Change) -> dict[str, Any]:
    assert change.after is not None
    sides = {
        f"{side}_{name}": None if one is None else getattr(one, name)
        for side, one in zip(_SIDES, (change.before, change.after), strict=True)
        for name in _STATES
    }
    return {
        **fields_of(change.after, "tracking_id", "space"),
        **sides,
        **fields_of(change.event, *_EVENT),
    }


def _row(change: Change) -> dict[str, Any]:
    """A change for people: the states as one text, the member where it is not the first."""
    event = change.event
    assert change.after is not None
    return {
        **fields_of(change.after, "tracking_id", "space"),
        "before": None if change.before is None else _states(change.before),
        "after": _states(change.after),
        **fields_of(event, "received_at"),
        "position": place_line(event.position, event.member),
    }


def _states(delivery: Delivery) -> str:
    named = [(DELIVERY, "state"), *((region, field) for region, field, _ in REGIONS)]
    states = {region: getattr(delivery, field) for region, field in named}
    return states_line({region: state for region, state in states.items() if state is not None})
