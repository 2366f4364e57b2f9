"""The fold: the state is a function of the set of events."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import definitions
from postledger.definitions import builtin
from postledger.fold import UNDATED, Fact, Tally, advance, finish, fold
from postledger.postback import Postback
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
            definitions.Effect(
                definitions.Reading(recognised=True, chart="delivery", trigger=trigger),
                DELIVERY,
                *definitions._effect(DELIVERY, trigger, None),
            ),
            0,
            [None] * 6,
        )
        for position, (trigger, time) in enumerate(triggers, 1)
    ]


said = st.lists(
    st.tuples(
        st.sampled_from([t for t in DELIVERY.triggers if not t.startswith("receipt")]),
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
    """Rows kept up event by event are those that verify folds from zero, and those of a rebuild."""
    with ledger_of([]) as ledger:
        for body in bodies:
            ledger.record(body)
        kept = rows(ledger)
        assert ledger.verify().problems == ()
        ledger.rebuild()
        assert rows(ledger) == kept


@given(said)
def test_a_fold_step_by_step_equals_the_fold(triggers: list[tuple[str, int]]) -> None:
    """To advance by the facts in fold order is to fold them."""
    facts = facts_of(triggers)
    tally = Tally(DELIVERY)
    for fact in sorted(facts):
        advance(tally, fact)
    assert finish(tally) == fold(DELIVERY, facts)


@given(said, st.randoms())
def test_the_fold_of_facts_takes_no_account_of_their_order(
    triggers: list[tuple[str, int]], rng: random.Random
) -> None:
    """Facts in any order fold to the same tally."""
    facts = facts_of(triggers)
    shuffled = list(facts)
    rng.shuffle(shuffled)
    assert fold(DELIVERY, shuffled) == fold(DELIVERY, facts)


@given(said)
def test_delivered_wins_and_else_the_earliest_outcome_stands(
    triggers: list[tuple[str, int]],
) -> None:
    """The policy of the chart, told anew in a few lines."""
    order = {"created": 0, "sent": 1, "outcome": 2}
    stages = {t: order[DELIVERY.stages[DELIVERY.triggers[t].stage]] for t in DELIVERY.triggers}
    ordered = sorted((stages[t], time, i, t) for i, (t, time) in enumerate(triggers, 1))
    outcomes = [t.removeprefix("sending_") for stage, _, _, t in ordered if stage == 2]
    sent = any(stage == 1 for stage, *_ in ordered)
    expected = "delivered" if "delivered" in outcomes else outcomes[0] if outcomes else None
    assert fold(DELIVERY, facts_of(triggers)).states[0] == (
        expected or ("sent" if sent else "created")
    )


def test_white_space_and_the_time_of_sending_make_no_new_event() -> None:
    """A postback sent again with other white space and ``created`` is a repeat."""
    one = Postback("N", (("A", "1"), ("B-C", "2")), (("created", "now"),))
    other = Postback("n", (("bc", "2"), ("a", "1"), ("empty", "")), (("created", "then"),))
    assert one.digest() == other.digest()


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=3), st.data())
def test_other_fields_are_another_event(fields: list[tuple[str, str]], data: st.DataObject) -> None:
    """No two different sets of fields share a canonical form."""
    others = data.draw(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=3))

    def meaning(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return sorted((k.replace("-", "").replace("_", "").upper(), v) for k, v in pairs if v)

    same = meaning(fields) == meaning(others)
    assert (Postback("P", tuple(fields)).digest() == Postback("P", tuple(others)).digest()) is same
