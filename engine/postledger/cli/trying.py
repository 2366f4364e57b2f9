"""How a vocabulary reads a body, in words: ``postledger charts try``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from postledger import wire
from postledger.cli.common import block, cell, table
from postledger.definitions.definitions import Definitions
from postledger.definitions.explain import misses, names_of
from postledger.definitions.vocabulary import Lexicon, Reading, Reads, Vocabulary
from postledger.errors import ReadError
from postledger.findings import names
from postledger.log.event import Envelope, Kind, Part
from postledger.postback import Postback
from postledger.state.patterns import Patterns
from postledger.times import UNDATED, iso, time_of

_MOST_MISSES = 5


def tried(
    vocabulary: Vocabulary, body: bytes, content_type: str | None, source: str, *, query: bool
) -> bool:
    """Print how a vocabulary reads a body; whether it recognises all of its postbacks."""
    patterns = Patterns(Definitions({}, Lexicon((vocabulary,))), wire.Limits())
    envelope = Envelope(
        kind=Kind.STATEMENT if vocabulary.reads is Reads.STATEMENTS else Kind.RECEIPT,
        source=source,
        content_type=content_type,
        part=Part.QUERY if query else Part.BODY,
    )
    members = patterns.members(body, envelope)
    known = True
    for number, member in enumerate(members, 1):
        click.echo(f"Postback {number} of {len(members)}")
        if isinstance(member, ReadError):
            known = False
            click.echo(f"can't be read: {cell(str(member))}\n")
            continue
        _, reading = patterns.place(member)
        known = known and reading.recognised
        click.echo(_fields(vocabulary, member, reading) + "\n")
        said = (
            _said(patterns, member) if reading.recognised else _unsaid(vocabulary, member, reading)
        )
        click.echo("\n".join(said) + "\n")
    return known


def _fields(vocabulary: Vocabulary, postback: Postback, reading: Reading) -> str:
    keys = {at for at, _ in reading.key_at}
    rows = []
    for index, ours in enumerate(names_of(vocabulary, postback)):
        path, text = postback.fields[index]
        taken = ", ".join(ours)
        taken += " (key)" if index in keys else " (ignored)" if index in reading.ignored else ""
        rows.append([path, text, taken])
    return table(rows, ["on the wire", "text", "field"])


def _said(patterns: Patterns, postback: Postback) -> Iterator[str]:
    ((space, chart, key), occurred_at, _, _), reading = patterns.place(postback)
    time = iso(time_of(occurred_at)) if occurred_at != UNDATED else "none"
    if occurred_at == UNDATED and reading.timestamp_at is not None:
        text = postback.fields[reading.timestamp_at][1]
        time = f"none: {text!r} is not written as {' or '.join(reading.formats)}"
    yield from block(
        [
            ("recognised", reading.section or "by an entry without a section"),
            ("chart", chart or "none: it says nothing of any delivery"),
            ("space", space),
            ("key", key),
            ("says", reading.trigger or "nothing"),
            ("evidence", ", ".join(reading.evidence)),
            ("occurred at", time or ""),
            ("missing", ", ".join(reading.missing)),
            ("findings", ", ".join(names(reading.findings))),
        ]
    )


def _unsaid(vocabulary: Vocabulary, postback: Postback, reading: Reading) -> Iterator[str]:
    yield "not recognised" + (f": {cell(reading.problem)}" if reading.problem else "")
    found = misses(vocabulary, postback)
    for miss in found[:_MOST_MISSES]:
        yield f"{cell(miss.place)}"
        yield from (f"  {cell(reason)}" for reason in miss.reasons)
    if len(found) > _MOST_MISSES:
        yield f"and {len(found) - _MOST_MISSES} more entries, which lack as much or more"
