"""How a vocabulary reads a body, in words: ``postledger charts try``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click

from postledger.cli.layout import block, cell, table
from postledger.cli.sources import FORM, form_hint
from postledger.definitions.chart import Statechart
from postledger.definitions.vocabulary import Reads, Vocabulary
from postledger.log.event import Envelope, Kind, Part
from postledger.model import GOES_WITHOUT_SAYING
from postledger.state.trial import Tried
from postledger.state.trial import tried as tried_by

_MOST_MISSES = 5
_TOLD = ("tracking_id", "space", "events", "repeats")
"""What of a delivery stands above it, or goes without saying."""


def tried(
    vocabulary: Vocabulary,
    charts: Mapping[str, Statechart],
    body: bytes,
    envelope: Envelope,
) -> bool:
    """Print how a vocabulary reads a body; whether it recognises all of its postbacks."""
    members = list(tried_by(vocabulary, charts, body, envelope))
    for number, one in enumerate(members, 1):
        click.echo(f"Postback {number} of {len(members)}")
        if one.problem:
            click.echo(f"can't be read: {cell(one.problem)}{_advice(envelope, body)}\n")
            continue
        click.echo(table(list(map(list, one.fields)), ["on the wire", "text", "field"]) + "\n")
        if not one.recognised:
            click.echo("\n".join(_unsaid(one)) + "\n")
            continue
        click.echo("\n".join(block(one.said)) + "\n")
        click.echo("\n".join(_alone(one)) + "\n")
    return all(one.recognised for one in members)


def envelope_of(
    vocabulary: Vocabulary, content_type: str | None, source: str, *, query: bool
) -> Envelope:
    """The envelope of a body that a vocabulary is tried with; a form where it says so itself."""
    if content_type is None and vocabulary.wire in ("form", "query"):
        content_type = FORM
    return Envelope(
        kind=Kind.STATEMENT if vocabulary.reads is Reads.STATEMENTS else Kind.RECEIPT,
        source=source,
        content_type=content_type,
        part=Part.QUERY if query else Part.BODY,
    )


def _advice(envelope: Envelope, body: bytes) -> str:
    return form_hint(body, envelope.content_type, query=envelope.part is Part.QUERY)


def _alone(one: Tried) -> Iterator[str]:
    """The delivery as it would be by this postback alone."""
    if one.note:
        yield one.note
    if one.delivery is None:
        return
    told = [
        (name, cell(value)) for name, value in one.delivery.to_dict().items() if name not in _TOLD
    ]
    yield "The delivery, by this postback alone"
    yield from block(
        (name.replace("_", " "), value)
        for name, value in told
        if (name, value) not in GOES_WITHOUT_SAYING
    )


def _unsaid(one: Tried) -> Iterator[str]:
    yield "not recognised" + (f": {cell(one.reason)}" if one.reason else ", because")
    for miss in one.near[:_MOST_MISSES]:
        yield f"{cell(miss.place)}"
        yield from (f"  {cell(reason)}" for reason in miss.reasons)
    if (more := len(one.near) - _MOST_MISSES) > 0:
        yield f"and {more} more {'entry' if more == 1 else 'entries'}, no nearer"
