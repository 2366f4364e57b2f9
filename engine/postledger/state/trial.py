"""Trials: how a vocabulary would read a body, and what would follow; nothing is recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from postledger.definitions.chart import Statechart
from postledger.definitions.definitions import Definitions, define
from postledger.definitions.explain import Miss, misses, names_of
from postledger.definitions.timestamps import read_time
from postledger.definitions.vocabulary import Lexicon, Reading, Vocabulary
from postledger.errors import DefinitionError, ReadError
from postledger.log.event import Envelope
from postledger.model import Delivery, is_decimal
from postledger.postback import Postback
from postledger.state.patterns import NOWHERE, Patterns, of_times
from postledger.state.row import delivery_of, folded_row
from postledger.times import UNDATED, iso, micros, now, placed, time_of
from postledger.wire import Limits


@attrs.frozen
class Tried:
    """What a vocabulary makes of one postback of a body.

    ``problem`` is why it can't be read; then there is nothing else. ``fields`` are path, text, and what
    the vocabulary takes the field for. Of one that is recognised ``said`` has names and texts, and
    ``delivery`` what would be known by this postback alone; of others ``near`` says why. ``note`` is
    what there is to say where no delivery is.
    """

    problem: str = ""
    fields: tuple[tuple[str, str, str], ...] = ()
    recognised: bool = False
    reason: str = ""
    said: tuple[tuple[str, str], ...] = ()
    near: tuple[Miss, ...] = ()
    delivery: Delivery | None = None
    note: str = ""


def tried(
    vocabulary: Vocabulary, charts: Mapping[str, Statechart], body: bytes, envelope: Envelope
) -> Iterator[Tried]:
    """How a vocabulary reads each postback of a body."""
    # One that doesn't fit the charts still reads: only what follows from it can't be said.
    problem = ""
    try:
        definitions = define(charts.values(), [vocabulary])
    except DefinitionError as error:
        problem = f"{error}; or name your chart with --chart"
        definitions = Definitions({}, Lexicon((vocabulary,)))
    patterns = Patterns(definitions, Limits())
    for member in patterns.members(body, envelope):
        if isinstance(member, ReadError):
            yield Tried(str(member))
            continue
        _, reading = patterns.place(member)
        fields = tuple(_fields(vocabulary, member, reading))
        if not reading.recognised:
            near = tuple(misses(vocabulary, member))
            yield Tried(fields=fields, reason=reading.problem or "", near=near)
            continue
        said = tuple(_said(patterns, member, reading))
        delivery, note = (
            (None, f"what follows isn't shown: {problem}") if problem else _alone(patterns, member)
        )
        yield Tried(fields=fields, recognised=True, said=said, delivery=delivery, note=note)


def _fields(
    vocabulary: Vocabulary, postback: Postback, reading: Reading
) -> Iterator[tuple[str, str, str]]:
    keys = {at for at, _ in reading.key_at}
    for index, ours in enumerate(names_of(vocabulary, postback)):
        path, text = postback.fields[index]
        taken = ", ".join(ours)
        taken += " (key)" if index in keys else " (ignored)" if index in reading.ignored else ""
        yield path, text, taken


def _said(patterns: Patterns, postback: Postback, reading: Reading) -> Iterator[tuple[str, str]]:
    """What it says, and of which delivery."""
    (space, chart, key), occurred_at, _, _ = patterns.place(postback)[0]
    missing = ", ".join(reading.missing)
    yield "recognised as", reading.section or "an entry without a section"
    yield "chart", chart or "none: it is about no delivery"
    yield "space", space
    yield "key", key
    yield "says", reading.trigger or "nothing"
    yield "also says", ", ".join(reading.evidence)
    yield "occurred at", _time(postback, reading, occurred_at)
    yield "lacks", missing and f"{missing} (the vocabulary requires it)"
    for amount in reading.amounts:
        text = postback.fields[amount.value][1]
        if not is_decimal(text):
            yield f"no {amount.name}", f"{text!r} is not a decimal number"


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


def _alone(patterns: Patterns, postback: Postback) -> tuple[Delivery | None, str]:
    """The delivery as it would be by this postback alone, or what there is to say in its place."""
    said, received_at = patterns.statement(postback), micros(now())
    if said.pattern is None or said.stream == NOWHERE:
        return None, ""
    findings = said.findings | of_times(said.occurred_at, received_at)
    fact = said.pattern.fact(said.occurred_at, said.identity, 0, received_at, said.texts, findings)
    row = folded_row(0, [fact], 0, "")
    if row is None:
        return None, "By this postback alone nothing is known of the delivery."
    return delivery_of(said.stream, row), ""
