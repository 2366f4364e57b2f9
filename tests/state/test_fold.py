"""The fold: the state is a function of the set of events."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger.definitions.definitions import builtin
from postledger.definitions.effects import Effect, compiled
from postledger.definitions.vocabulary import Reading
from postledger.findings import Finding, Verdict, names
from postledger.state.fold import UNHEARD, Fact, Folded, advance, findings_of, fold, in_order
from postledger.state.timeline import as_late, late_ones
from postledger.times import UNDATED
from tests import strategies
from tests.conftest import ledger_of
from tests.states import rows, states

BUILTIN = builtin()
DELIVERY = BUILTIN.charts["delivery"]


def facts_of(triggers: Sequence[tuple[str, int]]) -> list[Fact]:
    """Facts that say triggers at times, in order of position."""
    return [
        Fact(
            DELIVERY.triggers[trigger].stage,
            time,
            bytes([position]),
            position,
            position,
            Effect(
                Reading(recognised=True, chart="delivery", trigger=trigger),
                DELIVERY,
                *compiled(DELIVERY, trigger, ()),
            ),
            0,
            [None] * 6,
        )
        for position, (trigger, time) in enumerate(triggers, 1)
    ]


said = st.lists(
    st.tuples(
        st.sampled_from([t for t in DELIVERY.triggers if not t.startswith(("receipt", "by_"))]),
        st.one_of(st.integers(0, 5), st.just(UNDATED)),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(strategies.bodies(), max_size=9), st.data())
def test_any_order_and_repetition_gives_the_same_state(
    bodies: list[bytes], data: st.DataObject
) -> None:
    """Permuting receipts and repeating them changes nothing but what speaks of arrival."""
    again = data.draw(st.lists(st.sampled_from(bodies), max_size=4)) if bodies else []
    shuffled = data.draw(st.permutations([*bodies, *again]))
    with ledger_of(bodies) as one, ledger_of(shuffled) as other:
        assert states(one) == states(other)


@settings(max_examples=60, deadline=None)
@given(st.lists(strategies.bodies(), max_size=9))
def test_recorded_one_by_one_equals_a_fold_from_zero(bodies: list[bytes]) -> None:
    """Rows kept up event by event are those that verify folds from zero, and those of a replay."""
    with ledger_of([]) as ledger:
        for body in bodies:
            ledger.record(body)
        kept = rows(ledger)
        assert ledger.verify().problems == ()
        ledger.replay()
        assert rows(ledger) == kept
        ledger.replay(index=True)
        assert rows(ledger) == kept


@given(said)
def test_a_fold_step_by_step_equals_the_fold(triggers: list[tuple[str, int]]) -> None:
    """To advance by the facts in fold order is to fold them."""
    facts = facts_of(triggers)
    folded = Folded(DELIVERY)
    for fact in in_order(facts):
        advance(folded, fact)
    assert folded == fold(DELIVERY, facts)


@given(said, st.randoms())
def test_the_fold_of_facts_takes_no_account_of_their_order(
    triggers: list[tuple[str, int]], rng: random.Random
) -> None:
    """Facts in any order fold to the same."""
    facts = facts_of(triggers)
    shuffled = list(facts)
    rng.shuffle(shuffled)
    assert fold(DELIVERY, shuffled) == fold(DELIVERY, facts)


@given(said)
def test_delivered_wins_and_else_the_earliest_outcome_stands(
    triggers: list[tuple[str, int]],
) -> None:
    """The policy of the chart, told anew in a few lines."""
    order = ["created", "accepted", "sent", "outcome", "read"]
    stages = {
        t: order.index(DELIVERY.stages[DELIVERY.triggers[t].stage]) for t in DELIVERY.triggers
    }
    ordered = sorted((stages[t], time, t, i) for i, (t, time) in enumerate(triggers, 1))
    outcomes = [t.removeprefix("sending_") for stage, _, t, _ in ordered if stage == 3]
    expected = "delivered" if "delivered" in outcomes else outcomes[0] if outcomes else None
    before = max([stage for stage, *_ in ordered if stage < 3], default=0)
    state, _, reading, _ = fold(DELIVERY, facts_of(triggers)).states
    assert state == (expected or order[before])
    assert reading == ("read" if any(stage == 4 for stage, *_ in ordered) else "unread")


def one(
    trigger: str,
    *,
    time: int = UNDATED,
    position: int = 1,
    received: int | None = None,
    to: str | None = None,
    handset: str | None = None,
    details: str | None = None,
) -> Fact:
    """One fact that says a trigger and some texts."""
    (fact,) = facts_of([(trigger, time)])
    texts = [to, None, None, handset, None, details]
    received = position if received is None else received
    return fact._replace(
        position=position, identity=bytes([position]), received_at=received, texts=texts
    )


def verdicts(*facts: Fact) -> list[str]:
    """The verdicts on facts, in fold order."""
    folded = Folded(DELIVERY)
    return [advance(folded, fact).verdict for fact in sorted(facts)]


def test_the_time_of_the_outcome_is_that_of_the_outcome_which_stands() -> None:
    """Not of the one that was overridden, nor of one that was refused; none where it has none."""
    failed, delivered = one("failed", time=5), one("delivered", time=7, position=2)
    assert fold(DELIVERY, [failed]).outcome_at == 5
    assert fold(DELIVERY, [failed, delivered]).outcome_at == 7
    assert fold(DELIVERY, [delivered, one("expired", time=9, position=3)]).outcome_at == 7
    assert fold(DELIVERY, [one("sending_failed")]).outcome_at == UNDATED
    assert fold(DELIVERY, [one("sent_sms", time=3)]).outcome_at == UNDATED


def test_what_arrives_after_what_follows_it_is_late() -> None:
    """Late is told by the times of reception, whatever the positions; equal times are not late."""
    late = names(Finding.LATE)
    assert late[0] not in names(
        fold(DELIVERY, [one("sent_sms"), one("delivered", position=2)]).findings
    )
    assert late[0] in names(
        fold(DELIVERY, [one("sent_sms", position=2), one("delivered")]).findings
    )
    three = [one("created"), one("sent_sms", position=3), one("delivered", position=2)]
    assert late[0] in names(fold(DELIVERY, three).findings)
    merged = [one("sent_sms", position=9, received=1), one("delivered", position=2, received=5)]
    assert late[0] not in names(fold(DELIVERY, merged).findings)
    at_once = [one("sent_sms", position=9, received=5), one("delivered", position=2, received=5)]
    assert late[0] not in names(fold(DELIVERY, at_once).findings)
    assert late_ones(sorted(at_once)) == frozenset()


def test_of_one_stage_and_time_neither_event_is_late() -> None:
    """Their identities keep an order of them, which says nothing about which followed which."""
    once = [one("sent_sms", time=1, position=2), one("sent_sms", time=1)]
    assert "late" not in names(fold(DELIVERY, once).findings)
    assert late_ones(sorted(once)) == frozenset()
    behind = [*once, one("delivered", time=2, position=3), one("created", position=4)]
    assert late_ones(sorted(behind)) == {bytes([4])}
    between = [*once[:1], one("sent_sms", time=1, position=4), one("delivered", time=2, position=3)]
    assert late_ones(sorted(between)) == {bytes([4])}
    assert "late" in names(fold(DELIVERY, between).findings)


@given(said, st.randoms())
def test_the_stream_is_late_where_one_of_its_events_is(
    triggers: list[tuple[str, int]], rng: random.Random
) -> None:
    """The finding of the stream and the verdicts of its timeline tell of the same events."""
    facts = facts_of(triggers)
    times = [rng.randint(1, 6) for _ in facts]
    facts = [f._replace(received_at=t) for f, t in zip(facts, times, strict=True)]
    late = {
        one.identity
        for one in facts
        if any(one[:2] < other[:2] and one.received_at > other.received_at for other in facts)
    }
    assert late_ones(sorted(facts)) == late
    assert ("late" in names(fold(DELIVERY, facts).findings)) is bool(late)


def test_the_first_event_takes_effect_and_the_same_again_has_none() -> None:
    """What a chart starts at is no news, but that the delivery is known is."""
    again = one("created", position=2, time=4)
    assert verdicts(one("created", time=3), again) == ["applied", "no_effect"]
    assert verdicts(one("sent_sms", time=3), one("sent_sms", time=4, position=2)) == [
        "applied",
        "no_effect",
    ]


def test_an_override_and_a_refusal_both_contradict() -> None:
    """Whoever wins, the verdict on the later of two outcomes is that it contradicts."""
    won = verdicts(one("failed", time=5), one("delivered", time=7, position=2))
    lost = verdicts(one("delivered", time=5), one("failed", time=7, position=2))
    assert won == lost == ["applied", "contradicts"]


def test_an_event_that_took_effect_has_the_say_and_others_fill_in() -> None:
    """Texts of an event without effect stand only where nobody said anything."""
    sent = one("sent_sms", time=1, to="1650", handset="old")
    taken = one("delivered", time=2, position=2, handset="new")
    refused = one("failed", time=3, position=3, to="1651", handset="wrong")
    assert fold(DELIVERY, [sent, taken]).texts == ["1650", None, None, "new", None]
    assert fold(DELIVERY, [sent, taken, refused]).texts == ["1650", None, None, "new", None]
    assert fold(DELIVERY, [one("delivered"), refused]).texts == ["1651", None, None, "wrong", None]


def test_the_reason_is_of_the_event_that_entered_the_state_that_wants_one() -> None:
    """A failure's details explain it; those of a delivery or of a refused failure explain nothing."""
    failed = one("failed", time=2, details="no such number")
    assert fold(DELIVERY, [failed]).reasons[:2] == ["no such number", None]
    over = one("delivered", time=3, position=2, details="done")
    assert fold(DELIVERY, [failed, over]).reasons[:2] == [None, None]
    degraded = one("degraded", time=1, position=3, details="too big")
    assert fold(DELIVERY, [degraded, failed]).reasons[:2] == ["no such number", "too big"]


def test_several_findings_of_one_event_are_all_noted() -> None:
    """A receipt before its sending, of another recipient, against the outcome: three findings."""
    sent = one("sent_sms", time=9, to="1650")
    delivered = one("delivered", time=1, position=2, to="1649")
    failed = one("failed", time=2, position=3, to="1651")
    noted = names(findings_of(fold(DELIVERY, [sent, delivered, failed])))
    assert set(noted) == {"contradiction", "recipient_differs", "clock_disorder", "no_creation"}
    folded = Folded(DELIVERY)
    of_each = [names(advance(folded, fact).findings) for fact in (sent, delivered, failed)]
    assert of_each == [
        (),
        ("recipient_differs", "clock_disorder"),
        ("contradiction", "recipient_differs", "clock_disorder"),
    ]


def test_a_sending_without_a_time_is_disordered_with_nothing() -> None:
    """Where the sending has no time, no receipt is before it; nor is one of the same moment."""
    folded = fold(DELIVERY, [one("sent_sms"), one("delivered", time=1, position=2)])
    assert names(findings_of(folded)) == ("no_creation",)
    folded = fold(DELIVERY, [one("sent_sms", time=1), one("delivered", time=1, position=2)])
    assert names(findings_of(folded)) == ("no_creation",)


def test_the_first_reception_is_the_earliest_of_all_events() -> None:
    """In whatever order of the fold it comes."""
    facts = [one("sent_sms", received=5), one("delivered", position=2, received=3)]
    facts.append(one("failed", position=3, received=9))
    assert fold(DELIVERY, facts).first_received_at == 3


def test_what_says_nothing_to_the_chart_is_counted_and_no_more() -> None:
    """An unrecognised event is an event of the stream; a known one without trigger has no effect."""
    silent = one("sent_sms")._replace(effect=None, stage=UNHEARD)
    unknown = silent._replace(findings=int(Finding.UNRECOGNISED), position=9)
    naive = silent._replace(findings=int(Finding.TIMESTAMP_NAIVE), position=8)
    assert verdicts(unknown) == ["unrecognised"]
    assert verdicts(silent) == verdicts(naive) == ["no_effect"]
    folded = fold(DELIVERY, [unknown, one("delivered")])
    assert (folded.events, folded.heard, folded.states[0]) == (2, 1, "delivered")
    assert "late" not in names(folded.findings)
    assert fold(DELIVERY, [unknown]).findings == int(Finding.UNRECOGNISED)
    assert sorted([unknown, one("failed")])[-1] == unknown


def test_what_says_nothing_to_the_chart_sorts_behind_every_stage() -> None:
    """However early it is stamped, and however many stages a chart has."""
    unheard = one("created", time=0)._replace(effect=None, stage=UNHEARD)
    last = one("failed", position=2)
    assert sorted([unheard, last]) == [last, unheard]
    many = last._replace(stage=1000)
    assert sorted([unheard, many]) == [many, unheard]


def test_a_finding_that_is_there_for_two_reasons_is_there_once() -> None:
    """A chart may name for what it refuses a finding that the times give too."""
    sent, failed = one("sent_sms", time=9), one("failed", time=2, position=2)
    effect = failed.effect
    assert effect is not None
    disorder = int(Finding.CLOCK_DISORDER)
    changes = tuple(attrs.evolve(change, findings=disorder) for change in effect.changes)
    failed = failed._replace(effect=attrs.evolve(effect, changes=changes))
    folded = Folded(DELIVERY)
    assert [names(advance(folded, fact).findings) for fact in (sent, failed)] == [
        (),
        ("clock_disorder",),
    ]


def test_a_first_event_that_is_refused_contradicts() -> None:
    """Only one that has no effect is taken for the news that the delivery is known."""
    refused = one("delivered", time=1)
    effect = refused.effect
    assert effect is not None
    changes = tuple(
        attrs.evolve(change, verdict=Verdict.CONTRADICTS, regions=(), after=index)
        for index, change in enumerate(effect.changes)
    )
    assert verdicts(refused._replace(effect=attrs.evolve(effect, changes=changes))) == [
        "contradicts"
    ]


def test_a_contradiction_outweighs_that_it_came_late() -> None:
    """The verdict says the weightier, the findings both."""
    folded = Folded(DELIVERY)
    first, second = one("delivered", time=1), one("failed", time=2, position=2)
    noted = [advance(folded, fact) for fact in (first, second)]
    assert [as_late(note).verdict for note in noted] == ["late", "contradicts"]
    assert all(as_late(note).findings & Finding.LATE for note in noted)


def failed(key: str, second: int, details: str = "") -> bytes:
    """A receipt of a failure, with or without a reason."""
    said = f"<STATUSDETAILS>{details}</STATUSDETAILS>" if details else ""
    return (
        f"<POSTBACK><ORIGIN>SMS_MT</ORIGIN><CODE>N202</CODE><STATUS>Message Sent/Failed</STATUS>"
        f"<TO>15550100002</TO><TRACKINGID>{key}</TRACKINGID><SPID>0001470</SPID>"
        f"<TIMESTAMP>2026-03-01T10:00:{second:02}Z</TIMESTAMP>{said}</POSTBACK>"
    ).encode()


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ([(5, ""), (9, "absent subscriber; permanent")], "absent subscriber; permanent"),
        ([(5, "absent"), (9, "number unknown")], "absent"),
        ([(5, ""), (7, "b"), (9, "a")], "b"),
        ([(5, "b"), (5, "a")], "a"),
        ([(5, "number unknown"), (5, "absent"), (5, "")], "absent"),
    ],
)
def test_a_reason_is_the_first_that_the_events_of_the_outcome_give(
    told: list[tuple[int, str]], reason: str
) -> None:
    """A later one fills an empty one and replaces none; of one time the texts decide, in their order."""
    for order in itertools.permutations(told):
        with ledger_of([failed("A", *one) for one in order]) as ledger:
            assert ledger.delivery("A").reason == reason
            assert ledger.verify().problems == ()


def test_outcomes_of_one_time_stand_in_the_order_of_their_names() -> None:
    """No hash decides which of them counts as the earliest."""
    expired = failed("A", 5).replace(b"N202", b"E202").replace(b"Sent/Failed", b"Sent/Expired")
    bodies = [failed("A", 5), expired]
    for salt in range(6):
        salted = [body.replace(b"15550100002", b"1555010000%d" % salt) for body in bodies]
        with ledger_of(salted) as ledger:
            assert ledger.delivery("A").state == "expired"
