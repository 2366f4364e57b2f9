"""How a vocabulary reads a body, in words: ``postledger charts try``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click

from postledger import wire
from postledger.cli.common import block, cell, table
from postledger.cli.sources import FORM, form_hint
from postledger.definitions.chart import Statechart
from postledger.definitions.definitions import Definitions, define
from postledger.definitions.explain import misses, names_of
from postledger.definitions.timestamps import read_time
from postledger.definitions.vocabulary import Lexicon, Reading, Reads, Vocabulary
from postledger.errors import DefinitionError, ReadError
from postledger.log.event import Envelope, Kind, Part
from postledger.model import GOES_WITHOUT_SAYING, is_decimal
from postledger.postback import Postback
from postledger.state.patterns import NOWHERE, Patterns, of_times
from postledger.state.row import delivery_of, folded_row
from postledger.times import UNDATED, iso, micros, now, placed, time_of

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
    # One that doesn't fit the charts still reads: only what follows from it can't be said.
    problem = ""
    try:
        definitions = define(charts.values(), [vocabulary])
    except DefinitionError as error:
        problem = f"{error}; or name your chart with --chart"
        definitions = Definitions({}, Lexicon((vocabulary,)))
    patterns = Patterns(definitions, wire.Limits())
    members = patterns.members(body, envelope)
    known = True
    for number, member in enumerate(members, 1):
        click.echo(f"Postback {number} of {len(members)}")
        if isinstance(member, ReadError):
            known = False
            advice = _advice(envelope, body)
            click.echo(f"can't be read: {cell(str(member))}{advice}\n")
            continue
        _, reading = patterns.place(member)
        known = known and reading.recognised
        click.echo(_fields(vocabulary, member, reading) + "\n")
        if not reading.recognised:
            click.echo("\n".join(_unsaid(vocabulary, member, reading)) + "\n")
            continue
        click.echo("\n".join(_said(patterns, member, reading)) + "\n")
        then = [f"what follows isn't shown: {problem}"] if problem else _alone(patterns, member)
        click.echo("\n".join(then) + "\n")
    return known


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


def _fields(vocabulary: Vocabulary, postback: Postback, reading: Reading) -> str:
    keys = {at for at, _ in reading.key_at}
    rows = []
    for index, ours in enumerate(names_of(vocabulary, postback)):
        path, text = postback.fields[index]
        taken = ", ".join(ours)
        taken += " (key)" if index in keys else " (ignored)" if index in reading.ignored else ""
        rows.append([path, text, taken])
    return table(rows, ["on the wire", "text", "field"])


def _said(patterns: Patterns, postback: Postback, reading: Reading) -> Iterator[str]:
    """What it says, and of which delivery."""
    (space, chart, key), occurred_at, _, _ = patterns.place(postback)[0]
    missing = ", ".join(reading.missing)
    yield from block(
        [
            ("recognised as", reading.section or "an entry without a section"),
            ("chart", chart or "none: it is about no delivery"),
            ("space", space),
            ("key", key),
            ("says", reading.trigger or "nothing"),
            ("also says", ", ".join(reading.evidence)),
            ("occurred at", _time(postback, reading, occurred_at)),
            ("lacks", missing and f"{missing} (the vocabulary requires it)"),
            *_unreadable(postback, reading),
        ]
    )


def _time(postback: Postback, reading: Reading, occurred_at: int) -> str:
    if occurred_at != UNDATED:
        far = of_times(occurred_at, micros(now()))
        why = " (implausible: before 1990, or more than a day from now)" if far else ""
        return f"{iso(time_of(occurred_at))}{why}"
    if reading.timestamp_at is None:
        return "no time" + (", as is usual for it" if reading.undated else "")
    text = postback.fields[reading.timestamp_at][1]
    stated = read_time(text, reading.formats)
    if stated is not None and stated.tzinfo is None:
        try:
            placed(stated, reading.naive)
        except ValueError as error:
            return f"no time: {error}"
    return f"no time: {text!r} is not written as {' or '.join(reading.formats)}"


def _unreadable(postback: Postback, reading: Reading) -> Iterator[tuple[str, str]]:
    """The amounts that are not taken."""
    for amount in reading.amounts:
        text = postback.fields[amount.value][1]
        if not is_decimal(text):
            yield f"no {amount.name}", f"{text!r} is not a decimal number"


def _alone(patterns: Patterns, postback: Postback) -> Iterator[str]:
    """The delivery as it would be by this postback alone."""
    said, received_at = patterns.statement(postback), micros(now())
    if said.pattern is None or said.stream == NOWHERE:
        return
    findings = said.findings | of_times(said.occurred_at, received_at)
    fact = said.pattern.fact(said.occurred_at, said.identity, 0, received_at, said.texts, findings)
    row = folded_row(0, [fact], 0, "")
    if row is None:
        yield "By this postback alone nothing is known of the delivery."
        return
    delivery = delivery_of(said.stream, row).to_dict()
    told = [(name, cell(value)) for name, value in delivery.items() if name not in _TOLD]
    yield "The delivery, by this postback alone"
    yield from block(
        (name.replace("_", " "), value)
        for name, value in told
        if (name, value) not in GOES_WITHOUT_SAYING
    )


def _unsaid(vocabulary: Vocabulary, postback: Postback, reading: Reading) -> Iterator[str]:
    yield "not recognised" + (f": {cell(reading.problem)}" if reading.problem else ", because")
    found = misses(vocabulary, postback)
    for miss in found[:_MOST_MISSES]:
        yield f"{cell(miss.place)}"
        yield from (f"  {cell(reason)}" for reason in miss.reasons)
    if (more := len(found) - _MOST_MISSES) > 0:
        yield f"and {more} more {'entry' if more == 1 else 'entries'}, no nearer"
