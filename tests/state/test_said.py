"""Labels, amounts and classes of reasons: from postbacks to the delivery, whatever their order."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postledger import Amount, Delivery, IntegrityError, Ledger, Receipt, UnknownWord
from postledger.state import said
from postledger.state.row import sound
from tests.state.test_plans import rows_both_ways

OWN = """
name = "own"
version = 1
roots = [""]

[fields]
id = "id"
status = "status"
code = "code"
note = "note"
to = "to"
at = "at"

[timestamps]
field = "at"

[labels]
reference = "ref"
sender = "from"

[amounts]
price = { value = "cost", currency = "unit" }
fee = { value = "fee", unit = "EUR" }
segments = "count"

[reasons.code]
"1" = { text = "the handset is off", class = "unreachable" }
"2" = { text = "filtered", class = "spam" }
"3" = "something else"

[[postbacks]]
match = { status = true }
chart = "delivery"
key = "id"
reason = ["code", "note"]
means = [
    { status = "sent", trigger = "sent_sms" },
    { status = "delivered", trigger = "delivered" },
    { status = "failed", trigger = "failed" },
]
"""

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3) | st.sampled_from(
    ["A", '"reference": "A"', "\\", "\x00", "\ufdd0", "\ufdd00 1\ufdd0", "é"]
)
VALUES = TEXTS | st.sampled_from(["1", "-0.0075", "0.00750", "1e-3", "1e999", "12,5", " 1", "+1"])
POSTBACKS = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "b"]),
        "status": st.sampled_from(["sent", "delivered", "failed", "new"]),
        "at": st.sampled_from(["2026-11-05T10:00:00Z", "2026-11-05T10:00:01Z", "never"]),
    },
    optional={
        "to": st.sampled_from(["1", "2"]),
        "code": st.sampled_from(["1", "2", "3", "4"]),
        "note": TEXTS,
        "ref": TEXTS,
        "from": TEXTS,
        "cost": VALUES,
        "unit": TEXTS,
        "fee": VALUES,
        "count": VALUES,
    },
)


@contextmanager
def ledger_of_own(postbacks: Iterable[dict[str, Any]]) -> Iterator[Ledger]:
    """A ledger that received these, read by ``OWN``."""
    receipts = [Receipt(json.dumps(one).encode(), "application/json") for one in postbacks]
    with tempfile.TemporaryDirectory() as folder:
        (own := Path(folder) / "own.toml").write_text(OWN)
        with Ledger(Path(folder) / "test.db", vocabulary=own) as ledger:
            ledger.record_many(receipts)
            yield ledger


def delivery_of(*postbacks: dict[str, Any]) -> Delivery:
    """What became of the delivery a."""
    told = [{"id": "a", "at": f"2026-11-05T10:00:0{n}Z", **one} for n, one in enumerate(postbacks)]
    with ledger_of_own(told) as ledger:
        assert ledger.verify().ok
        return ledger.delivery("a")


@settings(max_examples=60, deadline=None)
@given(st.lists(POSTBACKS, max_size=8))
@example([{"id": "a", "status": "sent", "at": "never", "ref": "\ufdd0", "cost": "1"}] * 2)
def test_a_plan_gives_labels_and_amounts_as_the_fold(postbacks: list[dict[str, Any]]) -> None:
    """Whatever the texts are, a row by its plan is that of the fold, or there is none."""
    with ledger_of_own(postbacks) as ledger:
        for by_plan, folded in rows_both_ways(ledger):
            assert by_plan is None or by_plan == folded
            assert folded is None or sound(folded)
        assert ledger.verify().ok


@settings(max_examples=30, deadline=None)
@given(st.lists(POSTBACKS, max_size=6).flatmap(lambda p: st.tuples(st.just(p), st.permutations(p))))
def test_no_order_of_arrival_changes_what_was_said(
    orders: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    """Labels, amounts and classes are a function of the set of events."""
    found = []
    for order in orders:
        with ledger_of_own(order) as ledger:
            listed = sorted(ledger.deliveries(), key=lambda one: one.tracking_id)
            found.append([(d.tracking_id, d.reason_class, d.labels, d.amounts) for d in listed])
    assert found[0] == found[1]


def test_streams_with_labels_and_amounts_have_a_plan() -> None:
    """Texts of every kind stand in the JSON of a row as the fold puts them there."""
    told = [
        {"id": key, "status": status, "at": f"2026-11-05T10:00:0{n}Z", **more}
        for key, ref in (("a", "x"), ("b", 'say "\\"'), ("c", "é"), ("d", "\n"))
        for n, (status, more) in enumerate(
            [
                ("sent", {"ref": ref, "from": "Shop", "count": "1"}),
                ("failed", {"ref": ref, "cost": "0.10", "unit": ref, "code": "9", "note": ref}),
            ]
        )
    ]
    with ledger_of_own(told) as ledger:
        both = rows_both_ways(ledger)
    assert [by_plan for by_plan, _ in both] == [folded for _, folded in both]
    assert len(both) == 8


def test_a_reason_says_what_its_code_means() -> None:
    """The code, its text, its class; what else says why stands after it."""
    found = delivery_of({"status": "failed", "code": "1", "note": "since noon"})
    assert (found.reason, found.reason_class) == (
        "1: the handset is off; since noon",
        "unreachable",
    )
    assert delivery_of({"status": "failed", "code": "3"}).reason_class == "unknown"


def test_a_code_outside_the_table_is_of_class_unknown() -> None:
    """Without any code there is no class."""
    found = delivery_of({"status": "failed", "code": "99"})
    assert (found.reason, found.reason_class) == ("99", "unknown")
    found = delivery_of({"status": "failed", "note": "because"})
    assert (found.reason, found.reason_class) == ("because", None)


def test_a_success_has_no_class() -> None:
    """A code that comes with it explains nothing."""
    assert delivery_of({"status": "delivered", "code": "1"}).reason_class is None


def test_a_later_event_gives_the_class_that_was_missing() -> None:
    """Only where the first gave no reason at all."""
    found = delivery_of({"status": "failed"}, {"status": "failed", "code": "2"})
    assert (found.reason, found.reason_class) == ("2: filtered", "spam")
    found = delivery_of({"status": "failed", "code": "1"}, {"status": "failed", "code": "2"})
    assert found.reason_class == "unreachable"


def test_labels_are_kept_one_by_one() -> None:
    """An event that took effect has the say; others only fill what nobody said."""
    found = delivery_of(
        {"status": "sent", "ref": "A"},
        {"status": "delivered", "ref": "B"},
        {"status": "failed", "ref": "C", "from": "Shop"},
    )
    assert found.labels == {"reference": "B", "sender": "Shop"}


def test_amounts_are_exact_with_their_currency() -> None:
    """As the event or the vocabulary names it; a count has none."""
    found = delivery_of(
        {"status": "sent", "cost": "-0.00750", "unit": "USD", "fee": "1e-3", "count": "2"}
    )
    assert found.amounts == {
        "price": Amount(Decimal("-0.00750"), "USD"),
        "fee": Amount(Decimal("0.001"), "EUR"),
        "segments": Amount(Decimal(2)),
    }
    assert found.to_dict()["amounts"]["price"] == {"value": "-0.00750", "currency": "USD"}
    assert found.to_dict()["amounts"]["segments"] == {"value": "2", "currency": None}


@pytest.mark.parametrize("text", ["12,5", "a lot", "1e999", ".5", "1.", "NaN", "0x1", "1 0", "١"])
def test_an_unreadable_amount_is_a_finding(text: str) -> None:
    """It is not guessed at, and the other amounts stand."""
    found = delivery_of({"status": "delivered", "cost": text, "unit": "USD", "count": "1"})
    assert "amount_unreadable" in found.findings
    assert list(found.amounts) == ["segments"]


def test_deliveries_are_found_by_label_and_class() -> None:
    """By the whole text of each label that is asked for; no text imitates another label."""
    told = [
        {"id": "a", "status": "failed", "ref": "A", "from": "Shop", "code": "1"},
        {"id": "b", "status": "failed", "ref": "AB", "code": "2"},
        {"id": "c", "status": "sent", "from": 'x"reference": "A"'},
        {"id": "d", "status": "sent", "ref": "%"},
    ]
    with ledger_of_own(told) as ledger:

        def found(**wanted: Any) -> list[str]:
            return [one.tracking_id for one in ledger.deliveries(**wanted)]

        assert found(labels={"reference": "A"}) == ["a"]
        assert found(labels={"reference": "A", "sender": "Shop"}) == ["a"]
        assert found(labels={"reference": "A", "sender": "B"}) == []
        assert found(labels={"sender": 'x"reference": "A"'}) == ["c"]
        assert found(labels={"reference": "%"}) == ["d"]
        assert found(labels={}) == ["a", "b", "c", "d"]
        assert found(reason_class="spam") == ["b"]
        with pytest.raises(UnknownWord, match="unknown reason_class 'bad': expected unreachable"):
            found(reason_class="bad")


LABELS = st.dictionaries(st.sampled_from(["reference", "sender", "x"]), TEXTS, max_size=3)


@given(LABELS, st.sampled_from(["reference", "sender"]), TEXTS)
def test_a_label_stands_in_the_text_or_it_does_not(
    labels: dict[str, str], name: str, text: str
) -> None:
    """Exactly where the labels have it."""
    within = said.label_within(name, text) in said.labels_text(labels)
    assert within is (labels.get(name) == text)
    assert said.labels_of(said.labels_text(labels)) == labels


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"a":"b"}', '{"a": 1}', '{"b": "", "a": ""}', "[" * 9999, 1]
)
def test_damaged_labels_are_refused(text: object) -> None:
    """What no ledger wrote is no label."""
    with pytest.raises(IntegrityError):
        said.labels_of(text)


@pytest.mark.parametrize(
    "text", ["{", '{"a": "1"}', '{"a": ["x", null]}', '{"a": ["1", ""]}', '{"a": [1, null]}', b""]
)
def test_damaged_amounts_are_refused(text: object) -> None:
    """What no ledger wrote is no amount."""
    with pytest.raises(IntegrityError):
        said.amounts_of(text)
