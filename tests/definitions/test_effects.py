"""Effects: what the events of one reading do to their stream, in every configuration."""

from __future__ import annotations

from itertools import permutations

import pytest

from postledger.definitions import builtin
from postledger.definitions.chart import Statechart, Transition
from postledger.definitions.definitions import effect_of as effect_in
from postledger.definitions.effects import Effect, compiled
from postledger.definitions.vocabulary import Reading
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
    assert effect.chart.configurations[change.after] == (state, route, "unread", "none")
    assert (change.verdict, change.findings) == (Verdict.APPLIED, 0)
    assert change.outcome is (state != "sent")


def test_every_transition() -> None:
    """The postbacks of the shipped vocabularies, three at a time, take every transition there is.

    For a trigger that none of them says stands an event that says that alone.
    """
    effects: dict[tuple[str, str | None, tuple[str, ...]], Effect] = {}
    for reading in readings(BUILTIN):
        effect = effect_in(BUILTIN, reading)
        if effect is not None:
            effects[effect.chart.name, reading.trigger, reading.evidence] = effect
    for chart in BUILTIN.charts.values():
        said = [effect for (name, *_), effect in effects.items() if name == chart.name]
        heard = {t for one in said for t in (one.reading.trigger, *one.reading.evidence)}
        said += [alone(chart, trigger) for trigger in chart.triggers.keys() - heard]
        taken = {t for three in permutations(said, 3) for t in taken_by(chart, three)}
        taken |= {t for one in said for t in taken_by(chart, (one, one, one))}
        there = {(r.name, t) for r in chart.regions for t in r.transitions}
        assert taken == there, chart.name


def alone(chart: Statechart, trigger: str, *evidence: str) -> Effect:
    """The effect of an event that says a trigger, with some evidence."""
    reading = Reading(True, chart=chart.name, trigger=trigger, evidence=evidence)
    return Effect(reading, chart, *compiled(chart, trigger, evidence))


def taken_by(chart: Statechart, effects: tuple[Effect, ...]) -> set[tuple[str, Transition]]:
    """The transitions that events of these effects take, in the order of their stages."""
    taken, at = set(), 0
    for effect in sorted(effects, key=lambda effect: effect.stage):
        after = at
        for trigger in filter(None, (effect.reading.trigger, *effect.reading.evidence)):
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
    state, route, *_ = effect.chart.configurations[change.after]
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


def test_several_pieces_of_evidence_are_taken_in_their_order() -> None:
    """A receipt may tell its route and whose word it is; each piece changes its own region."""
    effect = alone(BUILTIN.charts["delivery"], "delivered", "receipt_sms", "by_handset")
    change = effect.changes[0]
    assert effect.chart.configurations[change.after] == ("delivered", "sms", "unread", "handset")
    assert (change.regions, change.findings) == ((0, 1, 3), 0)


def test_refused_evidence_does_not_hide_what_follows_it() -> None:
    """A receipt of another route is a finding, and its grade counts all the same."""
    effect = alone(BUILTIN.charts["delivery"], "delivered", "receipt_sms", "by_carrier")
    change = effect.changes[effect.chart.table["sent_binary"][0].after]
    assert change.findings == Finding.WRONG_ROUTE
    after = effect.chart.configurations[change.after]
    assert after == ("delivered", "binary", "unread", "carrier")


def after(*said: tuple[str, ...]) -> tuple[str, ...]:
    """The states after events, each a trigger with its evidence."""
    chart, at = BUILTIN.charts["delivery"], 0
    for trigger, *evidence in said:
        at = alone(chart, trigger, *evidence).changes[at].after
    return chart.configurations[at]


def test_read_is_a_region_of_its_own() -> None:
    """To have been read neither delivers a message, nor opens one that was."""
    assert after(("sent",), ("read",)) == ("sent", "unknown", "read", "none")
    assert after(("delivered", "by_carrier"), ("read",))[0] == "delivered"


def test_the_word_of_a_handset_outweighs_that_of_a_carrier() -> None:
    """Whichever of the two comes first."""
    words = ("delivered", "by_carrier"), ("delivered", "by_handset")
    assert after(*words) == after(*reversed(words)) == ("delivered", "unknown", "unread", "handset")


def test_accepted_comes_before_sent() -> None:
    """What a provider took over is accepted until it is sent out, or has an outcome."""
    assert after(("created",), ("accepted",))[0] == "accepted"
    assert after(("accepted",), ("sent_sms",))[:2] == ("sent", "sms")
    assert after(("accepted",), ("sending_failed",))[0] == "failed"
