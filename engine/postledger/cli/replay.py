"""``postledger replay``: fold the states again, or see what other definitions would make of the log."""

from __future__ import annotations

from pathlib import Path

import click

from postledger.cli.common import (
    Record,
    cell,
    definition_options,
    ledger_argument,
    output_options,
    paragraph,
    progress,
    reading,
    remark,
    write_records,
)
from postledger.definitions.definitions import Definitions, apart, builtin
from postledger.ledger.ledger import Ledger
from postledger.projections.compare import Difference

_FIELDS = ("space", "chart", "key", "before", "after", "why")
_COLUMNS = {"chart": "chart", "key": "key", "from": "from", "to": "to", "why": "why"}


@click.command(
    epilog="""\b
Examples:
  postledger replay deliveries.db
  postledger replay deliveries.db --index
  postledger replay deliveries.db --chart my-delivery.toml
  postledger replay deliveries.db --builtin --adopt"""
)
@ledger_argument()
@definition_options("Compare with this chart")
@click.option("--builtin", "shipped", is_flag=True, help="Compare with those that ship.")
@click.option("--adopt", is_flag=True, help="Don't compare: read by them from now on.")
@click.option("--index", is_flag=True, help="Read the log itself again, not its index.")
@output_options
def replay(
    ledger: Path,
    charts: tuple[Path, ...],
    words: tuple[Path, ...],
    shipped: bool,  # noqa: FBT001
    adopt: bool,  # noqa: FBT001
    index: bool,  # noqa: FBT001
    form: str | None,
) -> None:
    """Fold the states again, next to the live ones, and switch to them.

    Other processes may go on recording. Interrupted, it leaves the live states untouched and goes on
    where it was when it is called again. With --chart, --vocabulary or --builtin it only shows which
    deliveries would change by those, from what to what, and why, and writes nothing.
    """
    others = bool(charts or words or shipped)
    if adopt and not others:
        raise click.UsageError("--adopt requires --chart, --vocabulary or --builtin.")
    if index and others and not adopt:
        raise click.UsageError("--index requires --adopt when comparing.")
    if others and not adopt:
        with reading(ledger) as opened:
            _compare(opened, _wanted(opened, charts, words, shipped=shipped), form)
        return
    with Ledger(ledger) as opened:
        definitions = _wanted(opened, charts, words, shipped=shipped) if adopt else None
        with progress("replay", opened.head().size) as advance:
            opened.replay(definitions, index=index, progress=advance)
        last, label = opened.head().size - 1, opened.definitions.label
    if form is None:
        click.echo(paragraph(f"replayed to position {last} by {label}"))
    else:
        write_records([{"position": last, "definitions": label}], form, {})


def _wanted(
    ledger: Ledger, charts: tuple[Path, ...], words: tuple[Path, ...], *, shipped: bool
) -> Definitions:
    return (builtin() if shipped else ledger.definitions).with_files(charts, words)


def _compare(ledger: Ledger, definitions: Definitions, form: str | None) -> None:
    with progress("compare", ledger.head().size) as advance:
        found = ledger.differences(definitions, progress=advance)
        records = map(_record if form else _row, found)
        if form:
            count = write_records(records, form, _COLUMNS, _FIELDS)
        else:
            listed = list(records)
            count = len(listed)
            if listed:
                write_records(listed, None, _COLUMNS)
    ours, others = apart(ledger.definitions, definitions)
    by = f"with {others}" if others else f"without {ours}" if ours else "with the same definitions"
    states = "1 state" if count == 1 else f"{count} states"
    remark(f"{states} would change {by}; nothing was written")


def _record(difference: Difference) -> Record:
    return {
        "space": difference.space,
        "chart": difference.chart,
        "key": difference.key,
        "before": None if difference.before is None else difference.before.to_dict(),
        "after": None if difference.after is None else difference.after.to_dict(),
        "why": difference.why,
    }


def _row(difference: Difference) -> Record:
    return {
        "chart": difference.chart,
        "key": " ".join(filter(None, (difference.space, difference.key))),
        "from": _shown(difference, was=True),
        "to": _shown(difference, was=False),
        "why": difference.why,
    }


def _shown(difference: Difference, *, was: bool) -> str:
    """What a delivery is on one side, as far as the sides differ."""
    one, other = difference.before, difference.after
    here, there = (one, other) if was else (other, one)
    if here is None:
        return "-"
    shown, against = here.to_dict(), {} if there is None else there.to_dict()
    names = ("state", "route", *(name for name in shown if name not in ("state", "route")))
    parts = [
        cell(shown[name]) if name in ("state", "route") else f"{name} {cell(shown[name])}"
        for name in names
        if shown[name] not in (None, "") and shown[name] != against.get(name)
    ]
    return "; ".join(parts) or "the same"
