"""``postledger show``: one delivery or MMS, with its timeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import click

from postledger.address import Location
from postledger.cli.common import (
    asking_space,
    beside_words,
    ledger_argument,
    reading_with,
    remark_end,
    require_space,
    space_option,
    time_travel,
    when_of,
    with_option,
)
from postledger.cli.forms import json_option, write_json
from postledger.cli.layout import block, cell, paragraph, table
from postledger.cli.terminal import Tone, paged
from postledger.cli.tones import findings, states
from postledger.ledger.several import Ledgers
from postledger.model import (
    GOES_WITHOUT_SAYING,
    Position,
    Step,
    part_line,
    place_line,
    plain,
    states_line,
)
from postledger.times import iso


@click.command(
    epilog="""\b
Examples:
  postledger show deliveries.db TU1TXzU5Nzg3Nw==
  postledger show deliveries.db TU1TXzU5Nzg3Nw== --as-of 2026-11-05 --json
  postledger show deliveries.db --mms 35674
  postledger show berlin.db --with lyon.db TU1TXzU5Nzg3Nw=="""
)
@ledger_argument()
@with_option
@click.argument("tracking_id", required=False, metavar="ID")
@click.option("--mms", metavar="MMSID", help="Show a saved MMS in place of a delivery.")
@click.option("--chart", default="delivery", help="The chart of ID; delivery by default.")
@space_option("The space of the id, where several have it.")
@time_travel
@json_option
@paged
def show(
    ledger: Location,
    beside: tuple[Location, ...],
    tracking_id: str | None,
    mms: str | None,
    chart: str,
    as_json: bool,  # noqa: FBT001
    **when: Any,
) -> None:
    """Show the state of one TRACKINGID, its findings, and how it came about.

    Of a delivery that several fields name, ID has them with / between, as the provider writes them.

    Its events stand in the order in which they are taken, and are numbered in it: event 3 is the third of
    those that are known, or were known --as-of. The position of an event in the log never changes.
    """
    if (tracking_id is None) is (mms is None):
        raise click.UsageError("Give one ID, or --mms MMSID.")
    # Of one time, so that the timeline shows how the state came about.
    named = ["--mms", mms] if mms is not None else [tracking_id or ""]
    when, key = when_of(beside, when), mms or tracking_id or ""
    with (
        asking_space("show", ledger, *beside_words(beside), *named),
        reading_with(ledger, beside, key=key) as opened,
        nullcontext() if isinstance(opened, Ledgers) else opened._connections.read(),
    ):
        require_space(opened, when["space"])
        remark_end(opened, when["as_of"])
        if mms is None and chart == "content":
            mms = tracking_id
        if mms is not None:
            chart = "content"
            state = opened.content(mms, **when).to_dict()
        else:
            state = opened.delivery(key, chart=chart, **when).to_dict()
        steps = opened.timeline(key, chart=chart, **when)
        place = opened.place if isinstance(opened, Ledgers) else _alone
        told = [(step, place) for step in steps]
        tone = states(opened.definitions, chart)
        if as_json:
            write_json({**state, "timeline": [_record(*one) for one in told]})
        else:
            _print(state, told, {"state": tone, "findings": findings})


_HEADINGS = (
    *("event", "position", "received at", "occurred at"),
    *("said", "verdict", "state", "findings"),
)

_Told = tuple[Step, Callable[[int], Position]]
"""A step, and what says where events stand: at their positions, or in which of several ledgers."""


def _alone(position: int) -> Position:
    return position


def _record(step: Step, place: Callable[[int], Position]) -> dict[str, Any]:
    """A step as JSON has it; of several ledgers each position names its own."""
    against = None if step.against is None else place(step.against)
    where = {"position": place(step.event.position), "against": against}
    return {**step.to_dict(), **plain(where)}


def _print(state: Mapping[str, Any], steps: Sequence[_Told], tones: Mapping[str, Tone]) -> None:
    said = [(name, cell(value)) for name, value in state.items()]
    told = [one for one in said if one not in GOES_WITHOUT_SAYING]
    for line in block(((name.replace("_", " "), value) for name, value in told), tones):
        click.echo(line)
    click.echo()
    click.echo(table((_row(*one) for one in steps), _HEADINGS, tones))
    details = [(step.number, step.details) for step, _ in steps if step.details]
    if details:
        click.echo()
    for number, text in details:
        click.echo(paragraph(f"event {number}: {cell(text)}"))


def _row(step: Step, place: Callable[[int], Position]) -> list[str]:
    event = step.event
    return [
        str(step.number),
        cell(place_line(place(event.position), event.member)),
        # A person has no use for microseconds.
        cell(iso(event.received_at.replace(microsecond=0))),
        cell(iso(event.occurred_at)),
        cell(_said(step)),
        _verdict(step, place),
        _transition(step),
        cell(list(step.findings)),
    ]


def _said(step: Step) -> str:
    """The code, the status and the part, and of bare numbers also what they are taken for."""
    said = " ".join(filter(None, (step.code, step.status)))
    if step.trigger and not any(map(str.isalpha, said)):
        said = f"{said} ({step.trigger})" if said else step.trigger
    return ", ".join(filter(None, (said, part_line(step.part))))


def _verdict(step: Step, place: Callable[[int], Position]) -> str:
    """The verdict, and where the event stands that this one repeats or contradicts."""
    if step.against is None:
        return step.verdict.replace("_", " ")
    verb = "repeats" if step.verdict == "repeated" else step.verdict
    return f"{verb} position {cell(place(step.against))}"


def _transition(step: Step) -> str:
    """The states after the event, and before it where they differ."""
    before, after = states_line(step.before), states_line(step.after)
    return after if before == after else f"{before} → {after}"
