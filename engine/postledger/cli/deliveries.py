"""``postledger deliveries``: the list, by what is asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Any

import attrs
import click

from postledger.address import Location
from postledger.audit.words import share
from postledger.cli.common import (
    MOST_COUNTED,
    check_period,
    ledger_argument,
    reading_with,
    remark,
    remark_end,
    remark_more,
    require_space,
    space_option,
    time_travel,
    when_of,
    with_option,
)
from postledger.cli.finding import remark_not_found
from postledger.cli.forms import (
    Form,
    limit_option,
    output_options,
    shown,
    write_records,
    write_table,
)
from postledger.cli.layout import cell
from postledger.cli.params import Dimensions, LabelText, Span, Time, zone_of_times
from postledger.cli.tones import findings, states
from postledger.findings import MEANINGS, named
from postledger.ledger.ledger import Then
from postledger.model import NOT_SHOWN, Count, Delivery
from postledger.projections.counts import COUNTED_BY, CountBy
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
  postledger deliveries deliveries.db --search "+1 (650) 333-3058"
  postledger deliveries deliveries.db --stuck 24h --csv > stuck.csv
  postledger deliveries deliveries.db --label reference=A-1 --reason-class unreachable
  postledger deliveries deliveries.db --finding contradiction --nl
  postledger deliveries deliveries.db --by spid,day --since 2026-11-01 --tz Europe/Berlin
  postledger deliveries berlin.db --with lyon.db --state failed"""
)
@ledger_argument()
@with_option
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
@click.option(
    "--search",
    metavar="TEXT",
    help="Those with that text: a recipient or its last digits, an id's beginning, an MMSID, a label,"
    " words of the reason.",
)
@click.option(
    "--by",
    type=Dimensions(),
    help=f"Count them by one or more of {', '.join(COUNTED_BY).replace('_', '-')}.",
)
@limit_option
@time_travel
@output_options()
def deliveries(
    ledger: Location,
    beside: tuple[Location, ...],
    limit: int | None,
    labels: tuple[tuple[str, str], ...],
    as_of: datetime | int | None,
    occurred_by: datetime | None,
    definitions: Then,
    by: tuple[CountBy, ...] | None,
    form: Form,
    **wanted: Any,
) -> None:
    """List deliveries, in the order in which they were first received, or count them.

    With --search the newest come first.

    With --by they are not listed: each line is a group with the number of its deliveries, how many of
    them were delivered, and their share. Days and hours are those in which a delivery began, by the
    clocks of --tz. Groups with a day or an hour come in the order of their names, others the largest
    first; the last line for people is of all deliveries.
    """
    check_period(wanted["since"], wanted["until"])
    then = when_of(beside, {"as_of": as_of, "occurred_by": occurred_by, "definitions": definitions})
    asked = {**wanted, "labels": labels or None, "as_of": as_of, "occurred_by": occurred_by}
    narrowed = any(v is not None for k, v in asked.items() if k not in ("search", "chart"))
    with reading_with(ledger, beside) as opened:
        require_space(opened, wanted["space"])
        remark_end(opened, as_of)
        if by is not None:
            query = Query(labels=dict(labels), **wanted)
            counts = opened.counts(query, by=by, zone=zone_of_times(), **then)
            _write_counts(counts, by, form, limit)
            remark_not_found(len(counts), query, narrowed=narrowed)
            return
        most = shown(form, limit)
        # With those that are counted, and not shown.
        ahead = None if most is None else most + MOST_COUNTED + 1
        query = Query(limit=ahead, labels=dict(labels), **wanted)
        found = opened.deliveries(query, **then)
        listed = islice(found, None if most is None else min(most, sys.maxsize))
        records: Iterable[dict[str, Any]] = (one.to_dict() for one in listed)
        if form.for_people:
            records = _without_common(list(records))
        tones = {"state": states(opened.definitions, query.chart), "findings": findings}
        count = write_records(records, form, _COLUMNS, _FIELDS, tones)
        remark_not_found(count, attrs.evolve(query, limit=most), narrowed=narrowed)
        remark_more(count, found, form, limit)


def _write_counts(
    counts: tuple[Count, ...], by: tuple[CountBy, ...], form: Form, limit: int | None
) -> None:
    """The counts in the form asked for; people are also shown the sums of all."""
    listed = counts[: shown(form, limit)]
    if not form.for_people:
        records = (count.to_dict() for count in listed)
        write_records(records, form, {}, (*by, "deliveries", "delivered", "share"))
        remark_more(len(listed), counts[len(listed) :], form, limit, len(counts))
        return
    rows = [_counted(map(count.by.get, by), count.deliveries, count.delivered) for count in listed]
    sums = sum(one.deliveries for one in counts), sum(one.delivered for one in counts)
    rows.append(_counted(["all", *[""] * (len(by) - 1)], *sums))
    headings = [name.replace("_", " ") for name in by]
    write_table(rows, [*headings, "deliveries", "delivered", "share"], form)
    remark_more(len(listed), counts[len(listed) :], form, limit, len(counts))


def _counted(values: Iterable[str | None], deliveries: int, delivered: int) -> list[str]:
    names = ["-" if value is None else cell(value) for value in values]
    return [*names, str(deliveries), str(delivered), share(delivered, deliveries)]


def _without_common(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records without the findings that all of many have: those are said once."""
    if len(records) <= _FEW:
        return records
    common = set.intersection(*(set(one["findings"]) for one in records))
    for word in (one for one in records[0]["findings"] if one in common):
        remark(f"each of the {len(records)} listed has {word}: {MEANINGS[named(word)]}")
    return [{**one, "findings": [f for f in one["findings"] if f not in common]} for one in records]
