"""``postledger reconcile``: a provider's invoice against the ledger's deliveries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import click

from postledger.address import Location
from postledger.audit.mask import Mask
from postledger.cli.common import (
    asking_space,
    check_period,
    delimiter_of,
    ledger_argument,
    progress,
    reading_with,
    remark,
    remark_end,
    require_space,
    space_option,
    time_travel,
    when_of,
    with_option,
)
from postledger.cli.forms import Form, Record, output_options, write_records, write_table
from postledger.cli.invoices import Columns, columns_of, invoice_rows, looks_like, require_currency
from postledger.cli.layout import counted
from postledger.cli.params import Time, WholeRange
from postledger.invoices.invoice import KINDS, Discrepancy, Reconciled, masked
from postledger.invoices.numbers import MARKS
from postledger.invoices.totals import InvoiceSums, InvoiceTotals
from postledger.model import plain

_FIELDS = tuple(one.name for one in attrs.fields(Discrepancy))
_HEADINGS = ("currency", "billed", "supported", "no price in postbacks", "difference")
_DIFFERS = 3
_TIMES = ("as_of", "occurred_by", "definitions")


@click.command(
    epilog="""\b
Examples:
  postledger reconcile deliveries.db november.csv --since 2026-11-01 --until 2026-12-01
  postledger reconcile deliveries.db november.csv --id "Message Id" --price Net --currency-is EUR
  postledger reconcile deliveries.db november.csv.gz --delimiter ";" --delivered-is DELIVRD --space acme
  postledger reconcile deliveries.db november.csv --price Betrag --currency-is EUR --decimal comma
  postledger reconcile deliveries.db november.csv --as-of 2026-12-05
  postledger reconcile berlin.db november.csv --with lyon.db
  postledger reconcile deliveries.db november.jsonl --id message --id to --csv > differences.csv"""
)
@ledger_argument()
@with_option
@click.argument("invoice", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--id",
    "ids",
    metavar="COLUMN",
    multiple=True,
    help="The column of the id; again for each further field of an id that has several.",
)
@click.option("--price", metavar="COLUMN", help="The column of the price.")
@click.option("--currency", metavar="COLUMN", help="The column of the currency.")
@click.option(
    "--currency-is",
    "one_currency",
    metavar="CODE",
    callback=require_currency,
    help="The currency of all prices: EUR.",
)
@click.option("--segments", metavar="COLUMN", help="The column of the number of segments.")
@click.option("--state", metavar="COLUMN", help="The column of the state.")
@click.option(
    "--delivered-is",
    "words",
    metavar="WORD",
    multiple=True,
    help="A word of that column for delivered, in any case; may be repeated. Others: not delivered.",
)
@click.option("--any-state", is_flag=True, help="Rows are billed whatever became of the message.")
@space_option("The space of the ids, where deliveries are of several.")
@click.option("--since", type=Time(), help="What began at that time or later must be billed.")
@click.option("--until", type=Time(), help="What began before that time must be billed.")
@time_travel
@click.option(
    "--decimal",
    type=click.Choice(list(MARKS)),
    help="What stands before the decimals of all numbers; the other may group thousands.",
)
@click.option(
    "--delimiter", metavar="CHAR", default=",", help="The character between columns; or tab."
)
@click.option(
    "--limit", type=WholeRange(min=0), default=10, help="Show so many of each kind: 10 by default."
)
@click.option("--unmask", is_flag=True, help="Show personal numbers in full.")
@output_options(
    json="A JSON object: all differences, then the totals.",
    nl="The differences as JSON, one object a line.",
    csv="The differences as CSV with a header line.",
    pages=False,
)
def reconcile(
    ledger: Location,
    beside: tuple[Location, ...],
    invoice: Path,
    ids: tuple[str, ...],
    words: tuple[str, ...],
    any_state: bool,  # noqa: FBT001
    space: str | None,
    since: datetime | None,
    until: datetime | None,
    decimal: str | None,
    delimiter: str,
    limit: int,
    unmask: bool,  # noqa: FBT001
    form: Form,
    **given: Any,
) -> None:
    """Say exactly in what a provider's invoice and the deliveries differ.

    INVOICE is a .csv with a header line, or .jsonl or .ndjson (nested fields as a/b or a.b), packed or
    not. Columns with an obvious name need not be named; an empty name leaves one out. Without a column
    of states each row counts as billed for a delivered message. Prices and segments are compared,
    exactly, where postbacks state them; 0,01 is read too, and 1,234 is not guessed at. All of a period
    that was delivered must be billed: --since and --until say of which. Personal numbers are masked.
    Exit 3 where anything differs, or a row can't be read.
    """
    check_period(since, until)
    then = when_of(beside, {name: given.pop(name) for name in _TIMES})
    said = _columns(invoice, delimiter := delimiter_of(delimiter), given, ids, words, any_state)
    remark(f"columns: {said.described()}")
    for hint in looks_like(invoice, said, delimiter, given, any_state=any_state):
        remark(hint)
    rows, totals = invoice_rows(invoice, said, delimiter, decimal), InvoiceTotals()
    with reading_with(ledger, beside) as opened, asking_space():
        require_space(opened, space)
        remark_end(opened, then["as_of"])
        mask = Mask.of(opened.definitions, unmask=unmask)
        with progress("reconcile", unit="rows", printing=not form.for_people) as advance:
            period: dict[str, Any] = {"space": space, "since": since, "until": until}
            found = opened.reconcile(rows, progress=advance, **period, **then)
            some = _written(_differing(found, totals, mask), totals, form, limit)
    if form.for_people:
        _print(some, totals, form)
    elif form is not Form.JSON:
        differences = counted(totals.kinds.total(), "difference")
        remark(f"{counted(totals.rows, 'row')}, {totals.equal} equal, {differences}")
    click.get_current_context().exit(_DIFFERS if totals.differing else 0)


def _columns(
    invoice: Path,
    delimiter: str,
    given: dict[str, str | None],
    ids: tuple[str, ...],
    words: tuple[str, ...],
    any_state: bool,  # noqa: FBT001
) -> Columns:
    """What the columns say, by the options and by their names."""
    if given["currency"] and given["one_currency"]:
        raise click.UsageError("--currency and --currency-is can't both be given.")
    if any_state and (given["state"] or words):
        raise click.UsageError("--any-state excludes --state and --delivered-is.")
    found = columns_of(invoice, delimiter, given, ids)
    if any_state:
        return attrs.evolve(found, state=None, unstated=None)
    if words and found.state is None:
        raise click.UsageError("--delivered-is requires --state.")
    means = frozenset(word.strip().casefold() for word in words)
    return attrs.evolve(found, delivered=means) if words else found


def _differing(found: Iterable[Reconciled], totals: InvoiceTotals, mask: Mask) -> Iterator[Record]:
    """The differences as they come, while all is counted."""
    for one in found:
        totals.add(one)
        for difference in one.differences:
            yield masked(difference, one.delivery, mask).to_dict()


def _written(
    differing: Iterable[Record], totals: InvoiceTotals, form: Form, limit: int
) -> dict[str, list[Record]]:
    """The differences in the form asked for as they come; those that people are shown, by kind."""
    some: dict[str, list[Record]] = {kind: [] for kind in KINDS}
    if form is Form.JSON:
        _write_json(differing, totals)
    elif not form.for_people:
        write_records(differing, form, {}, _FIELDS)
    else:
        for one in differing:
            if len(some[one["kind"]]) < limit:
                some[one["kind"]].append(one)
    return some


def _print(some: dict[str, list[Record]], totals: InvoiceTotals, form: Form) -> None:
    """The totals, then some of each kind."""
    counts = [["rows of the invoice", str(totals.rows)], ["equal", str(totals.equal)]]
    counts += [[KINDS[kind], str(totals.kinds[kind])] for kind in KINDS if totals.kinds[kind]]
    write_table(counts, ["", "number"], form)
    sums = [
        [currency or "-", *(str(plain(value)) for value in _values(one))]
        for currency, one in totals.listed()
    ]
    if sums:
        click.echo()
        write_table(sums, _HEADINGS, form)
    for kind, listed in some.items():
        if listed:
            click.echo(f"\n{KINDS[kind]}: {totals.kinds[kind]}\n")
            write_records(listed, form, _shown(listed))
        if listed and len(listed) < totals.kinds[kind]:
            click.echo(f"and {totals.kinds[kind] - len(listed)} more")
    if totals.kinds.total() > sum(map(len, some.values())):
        remark("--limit shows more; --json, --nl or --csv give all")


def _values(sums: InvoiceSums) -> tuple[Decimal, ...]:
    return sums.billed, sums.supported, sums.unpriced, sums.difference


def _shown(listed: Iterable[Record]) -> dict[str, str]:
    """The columns in which any of the differences has something."""
    return {
        name: name.replace("_", " ")
        for name in _FIELDS
        if name != "kind" and any(one[name] is not None for one in listed)
    }


def _write_json(differing: Iterable[Record], totals: InvoiceTotals) -> None:
    """One object: the differences as they come, and then the totals."""
    click.echo('{"differences": ', nl=False)
    write_records(differing, Form.JSON, {})
    click.echo(f', "totals": {json.dumps(totals.to_dict(), ensure_ascii=False)}}}')
