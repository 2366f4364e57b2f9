"""``postledger deliveries``: the list, by what is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import click

from postledger.cli.common import (
    check_period,
    ledger_argument,
    limit_option,
    output_options,
    reading,
    remark,
    remark_end,
    remark_more,
    require_space,
    shown,
    space_option,
    time_travel,
    write_records,
)
from postledger.cli.params import LabelText, Span, Time
from postledger.findings import MEANINGS, named
from postledger.ledger.ledger import Then
from postledger.model import NOT_SHOWN, Delivery
from postledger.projections.queries import Query

_FIELDS = tuple(one.name for one in attrs.fields(Delivery) if one.name not in NOT_SHOWN)
_FEW = 10
"""In longer lists a finding that each delivery has is said once."""

_COLUMNS = {
    "tracking_id": "tracking id",
    "state": "state",
    "route": "route",
    "space": "space",
    "to": "to",
    "spid": "spid",
    "sent_at": "sent at",
    "outcome_at": "outcome at",
    "reason": "reason",
    "reason_class": "class",
    "labels": "labels",
    "amounts": "amounts",
    "findings": "findings",
}


@click.command(
    epilog="""\b
Examples:
  postledger deliveries deliveries.db --state failed --since 2026-11-01
  postledger deliveries deliveries.db --stuck 24h --csv > stuck.csv
  postledger deliveries deliveries.db --label reference=A-1 --reason-class unreachable
  postledger deliveries deliveries.db --finding contradiction --nl"""
)
@ledger_argument()
@click.option(
    "--chart", default="delivery", help="Only those of that chart; deliveries by default."
)
@space_option("Only those of that space of ids.")
@click.option("--state", help="Only those in that state: created, sent, delivered, failed …")
@click.option("--route", help="Those that went by that route: sms, binary, xhtml, degraded …")
@click.option("--read", help="Only those that were read, or not: read, unread.")
@click.option("--grade", help="Only those whose outcome was reported by: carrier, handset, none.")
@click.option("--spid", help="Only those of that carrier.")
@click.option("--to", help="Those to that recipient: a number in any spelling.")
@click.option("--since", type=Time(), help="Those that began at that time or later.")
@click.option("--until", type=Time(), help="Those that began before that time.")
@click.option("--finding", help="Only those with that finding: contradiction, late, repaired …")
@click.option(
    "--stuck", type=Span(), help="Only those without an outcome for that long: 30m, 24h, 7d."
)
@click.option("--reason-class", help="Those whose reason is of that class: unreachable, blocked …")
@click.option(
    "--label",
    "labels",
    type=LabelText(),
    multiple=True,
    help="Only those with that label: reference=A. May be repeated: all of them.",
)
@limit_option
@time_travel
@output_options
def deliveries(
    ledger: Path,
    limit: int | None,
    labels: tuple[tuple[str, str], ...],
    as_of: datetime | int | None,
    occurred_by: datetime | None,
    definitions: Then,
    form: str | None,
    **wanted: Any,
) -> None:
    """List deliveries, in the order in which they were first received."""
    check_period(wanted["since"], wanted["until"])
    with reading(ledger) as opened:
        require_space(opened, wanted["space"])
        remark_end(opened, as_of)
        query = Query(limit=shown(form, limit), labels=dict(labels), **wanted)
        found = opened.deliveries(
            query, as_of=as_of, occurred_by=occurred_by, definitions=definitions
        )
        records: Iterable[dict[str, Any]] = (one.to_dict() for one in found)
        if form is None:
            records = _without_common(list(records))
        count = write_records(records, form, _COLUMNS, _FIELDS)
    remark_more(count, form, limit)


def _without_common(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records without the findings that all of many have: those are said once."""
    if len(records) <= _FEW:
        return records
    common = set.intersection(*(set(one["findings"]) for one in records))
    for word in (one for one in records[0]["findings"] if one in common):
        remark(f"each of the {len(records)} listed has {word}: {MEANINGS[named(word)]}")
    return [{**one, "findings": [f for f in one["findings"] if f not in common]} for one in records]
