"""Effects: what the events of one reading do to their stream, in every configuration."""

from __future__ import annotations

from itertools import permutations

import pytest

from postledger.definitions import builtin
from postledger.definitions.chart import Statechart, Transition
from postledger.definitions.definitions import effect_of as effect_in
from postledger.definitions.effects import Effect
from postledger.findings import Finding, Verdict
from postledger.postback import Postback
from tests.definitions.samples import SPECIFIED
from tests.definitions.words import readings

BUILTIN = builtin()


def effect_of(*fields: tuple[str, str | None]) -> Effect:
    """The effect of a postback with the fields that are not ``None``."""
    said = tuple((name, text) for name, text in fields if text is not None)
    effect = effect_in(BUILTIN, BUILTIN.lexicon.read(Postback("POSTBACK", said)))
    assert effect is not None
    return effect


@pytest.mark.parametrize("case", SPECIFIED, ids=lambda c: f"{c[0]} {c[2]} {c[5]}")
def test_specification(case: tuple[str | None, ...]) -> None:
    """Every STATUS that the specification allows for a code leads to its state and route."""
    _, origin, code, sent_as, details, status, trigger, state, route = case
    fields = (("ORIGIN", origin), ("CODE", code), ("SENTAS", sent_as), ("STATUS", status))
    effect = effect_of(*fields, ("STATUSDETAILS", details), ("TRACKINGID", "k"))
    change = effect.changes[0]
    assert effect.reading.trigger == trigger
    assert effect.chart.configurations[change.after] == (state, route)
    assert (change.verdict, change.findings) == (Verdict.APPLIED, 0)
    assert change.outcome is (state != "sent")


def test_every_transition() -> None:
    """The postbacks of the shipped vocabularies, three at a time, take every transition there is."""
    effects: dict[tuple[str, str | None, str | None], Effect] = {}
    for reading in readings(BUILTIN):
        effect = effect_in(BUILTIN, reading)
        if effect is not None:
            effects[effect.chart.name, reading.trigger, reading.evidence] = effect
    for chart in BUILTIN.charts.values():
        said = [effect for (name, *_), effect in effects.items() if name == chart.name]
        taken = {t for three in permutations(said, 3) for t in taken_by(chart, three)}
        taken |= {t for one in said for t in taken_by(chart, (one, one, one))}
        there = {(r.name, t) for r in chart.regions for t in r.transitions}
        assert taken == there, chart.name


def taken_by(chart: Statechart, effects: tuple[Effect, ...]) -> set[tuple[str, Transition]]:
    """The transitions that events of these effects take, in the order of their stages."""
    taken, at = set(), 0
    for effect in sorted(effects, key=lambda effect: effect.stage):
        after = at
        for trigger in filter(None, (effect.reading.trigger, effect.reading.evidence)):
            taken |= {
                (region.name, way)
                for region, state in zip(chart.regions, chart.configurations[after], strict=True)
                for way in region.transitions
                if (way.trigger, way.source) == (trigger, state)
            }
            after = chart.table[trigger][after].after
        assert effect.changes[at].after == after
        at = after
    return taken


@pytest.mark.parametrize("sent", ["sent_sms", "sent_binary", "sent_xhtml"])
@pytest.mark.parametrize("receipt", ["receipt_sms", "receipt_binary", "receipt_link"])
def test_route_of_a_receipt(sent: str, receipt: str) -> None:
    """A receipt of another route gives its outcome, keeps the route, and is a finding."""
    codes = {
        "receipt_sms": ("SMS_MT", "N202", None),
        "receipt_binary": ("MMS_MT", "N102", "MMS"),
        "receipt_link": ("MMS_MT", "N202", "SMS"),
    }
    routes = {"sms": "receipt_sms", "binary": "receipt_binary", "xhtml": "receipt_link"}
    origin, code, sent_as = codes[receipt]
    fields = (("ORIGIN", origin), ("CODE", code), ("SENTAS", sent_as), ("TRACKINGID", "k"))
    effect = effect_of(*fields, ("STATUS", "Message Sent/Delivered"))
    before = effect.chart.table[sent][0].after
    change = effect.changes[before]
    state, route = effect.chart.configurations[change.after]
    assert (state, change.verdict, change.regions) == ("delivered", Verdict.APPLIED, (0,))
    assert route == sent.removeprefix("sent_")
    assert change.findings == (0 if routes[route] == receipt else Finding.WRONG_ROUTE)


def test_verdicts() -> None:
    """An event applies, agrees without effect, or contradicts, as the configuration has it."""
    fields = (("ORIGIN", "MMS_MT"), ("CODE", "N102"), ("SENTAS", "MMS"), ("TRACKINGID", "k"))
    delivered = effect_of(*fields, ("STATUS", "Message Sent/Delivered"))
    expired = effect_of(*fields, ("STATUS", "Message Sent/Expired"))
    first = delivered.changes[0]
    again = delivered.changes[first.after]
    refused = expired.changes[first.after]
    assert (first.verdict, first.outcome) == (Verdict.APPLIED, True)
    assert (again.verdict, again.regions, again.outcome) == (Verdict.NO_EFFECT, (), None)
    assert (refused.verdict, refused.findings) == (Verdict.CONTRADICTS, Finding.CONTRADICTION)
    overriding = delivered.changes[expired.changes[0].after]
    assert (overriding.verdict, overriding.outcome) == (Verdict.CONTRADICTS, True)
