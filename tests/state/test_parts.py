"""Parts: a message that goes out in parts is delivered when all of them are."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Delivery, Ledger
from postledger.definitions import builtin, load_vocabulary
from tests.states import rows, states

PARTED = """
name = "parted"
version = 1
roots = [""]
parts = { part = "part", total = "parts" }
[fields]
tracking_id = "Id"
status = "What"
part = "Part"
parts = "Of"
timestamp = "When"
[[postbacks]]
match = { status = ["gone out", "arrived", "lost", "seen"] }
chart = "delivery"
key = "tracking_id"
means = [
    { status = "gone out", trigger = "sent" },
    { status = "arrived", trigger = "delivered" },
    { status = "lost", trigger = "failed" },
    { status = "seen", trigger = "read" },
]
"""
DEFINITIONS = builtin().with_vocabularies([load_vocabulary(PARTED)])


def said(what: str, part: object = None, of: object = None, *, second: int = 0) -> bytes:
    """A postback about the message ``k``, or about a part of it."""
    fields = {
        "Id": "k",
        "What": what,
        "Part": part,
        "Of": of,
        "When": f"2026-01-01T00:00:{second:02}Z",
    }
    return json.dumps(
        {name: str(text) for name, text in fields.items() if text is not None}
    ).encode()


@contextmanager
def ledger_of(bodies: Iterable[bytes], *, at_once: bool = False) -> Iterator[Ledger]:
    """A ledger that knows such postbacks, with some recorded in it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger(Path(folder) / "test.db", definitions=DEFINITIONS) as ledger,
    ):
        if at_once:
            ledger.record_many(bodies)
        else:
            for body in bodies:
                ledger.record(body)
        yield ledger


def became(*bodies: bytes) -> Delivery:
    """What became of the message by these postbacks."""
    with ledger_of(bodies) as ledger:
        return ledger.delivery("k")


def test_parts_are_delivered_only_together() -> None:
    """The receipt of part 1 of 2 changes nothing until that of part 2 is in, and says so."""
    first, second = said("arrived", 1, 2, second=3), said("arrived", 2, 2, second=5)
    with ledger_of([said("gone out")]) as ledger:
        recorded = ledger.record(first)
        assert recorded.delivery is not None
        assert (recorded.verdict, recorded.delivery.state) == ("no_effect", "sent")
        assert "parts_missing" in recorded.delivery.findings
        recorded = ledger.record(second)
        assert recorded.delivery is not None
        assert (recorded.verdict, recorded.delivery.state) == ("applied", "delivered")
        assert "parts_missing" not in recorded.delivery.findings
        assert str(recorded.delivery.outcome_at) == "2026-01-01 00:00:05+00:00"
        assert [step.verdict for step in ledger.timeline("k")] == [
            "applied",
            "no_effect",
            "applied",
        ]


def test_repeats_of_a_part_complete_nothing() -> None:
    """Part 1 twice, at two times, is not part 2."""
    delivery = became(said("arrived", 1, 2), said("arrived", 1, 2), said("arrived", 1, 2, second=9))
    assert (delivery.state, delivery.events, delivery.repeats) == ("created", 2, 1)
    assert "parts_missing" in delivery.findings


def test_a_failed_part_fails_the_message_until_all_are_delivered() -> None:
    """Another outcome of one part acts at once; that all parts were delivered wins over it."""
    parts = [said("arrived", 2, 2, second=1), said("lost", 1, 2, second=2)]
    assert became(*parts).state == "failed"
    delivery = became(*parts, said("arrived", 1, 2, second=3))
    assert (delivery.state, "contradiction" in delivery.findings) == ("delivered", True)


@pytest.mark.parametrize(
    ("part", "total"),
    [(1, None), (None, 2), (3, 2), (0, 2), (1, "two"), ("1.0", 2), (-1, 2), (1, 256), ("²", 2)],
)
def test_a_part_that_cant_be_read_changes_nothing(part: object, total: object) -> None:
    """One without a total, or beyond it, is a finding, and no receipt of the whole message."""
    delivery = became(said("gone out"), said("arrived", part, total))
    assert (delivery.state, "part_unreadable" in delivery.findings) == ("sent", True)
    assert "parts_missing" not in delivery.findings


def test_a_part_that_stands_twice_cant_be_read() -> None:
    """Neither of two texts is taken, and the receipt is none of the whole message."""
    body = b'{"Id": "k", "What": "arrived", "Part": ["1", "2"], "Of": ["2", "2"]}'
    delivery = became(body)
    assert (delivery.state, "part_unreadable" in delivery.findings) == ("created", True)


@pytest.mark.parametrize(("part", "finding"), [(9, "part_unreadable"), (1, "parts_missing")])
def test_a_first_receipt_that_is_held_is_not_applied(part: int, finding: str) -> None:
    """It changed nothing, though nothing came before it."""
    with ledger_of([]) as ledger:
        assert ledger.record(said("arrived", part, 2)).verdict == "no_effect"
        (step,) = ledger.timeline("k")
        assert (step.verdict, step.after["delivery"]) == ("no_effect", "created")
        assert finding in ledger.delivery("k").findings


def test_no_part_is_missing_that_another_outcome_was_reported_of() -> None:
    """Part 1 arrived and part 2 was lost: the message failed, and nothing is awaited."""
    parts = said("arrived", 1, 3), said("lost", 2, 3, second=1)
    assert "parts_missing" in became(*parts).findings
    for last in ("arrived", "lost"):
        delivery = became(*parts, said(last, 3, 3, second=2))
        assert (delivery.state, "parts_missing" in delivery.findings) == ("failed", False)


def test_a_sending_of_a_part_is_no_receipt_of_it() -> None:
    """A part that was sent is missing until its receipt is in."""
    sendings = [said("gone out", part, 2) for part in (1, 2)]
    assert "parts_missing" in became(*sendings, said("arrived", 1, 2, second=1)).findings


def test_a_loss_of_a_part_without_a_number_acts_all_the_same() -> None:
    """What waits for no parts is not held up by a number that can't be read."""
    delivery = became(said("gone out"), said("lost", 9, 2, second=1))
    assert (delivery.state, "part_unreadable" in delivery.findings) == ("failed", False)


@pytest.mark.parametrize("numbers", [(None, None), (1, 1), ("01", "001")])
def test_the_only_part_is_the_whole_message(numbers: tuple[object, object]) -> None:
    """Part 1 of 1 is delivered at once, as what says no part is."""
    delivery = became(said("arrived", *numbers))
    assert delivery.state == "delivered"
    assert not {"parts_missing", "part_unreadable"} & set(delivery.findings)


def test_of_different_totals_the_largest_counts() -> None:
    """Parts 1 of 3 and 2 of 2 wait for part 3, and the finding says that they disagree."""
    two = said("arrived", 1, 3), said("arrived", 2, 2, second=1)
    assert became(*two).state == "created"
    assert {"parts_missing", "parts_differ"} <= set(became(*two).findings)
    delivery = became(*two, said("arrived", 3, 3, second=2))
    assert (delivery.state, "parts_differ" in delivery.findings) == ("delivered", True)


def test_what_waits_for_no_parts_takes_no_notice_of_them() -> None:
    """A sending of one part, or its reading, acts at once, whatever the numbers are."""
    delivery = became(said("gone out", 1, 2), said("seen", 9, 2, second=1))
    assert (delivery.state, delivery.read) == ("sent", "read")
    assert not {"parts_missing", "part_unreadable"} & set(delivery.findings)


def test_an_entry_may_name_its_own_parts() -> None:
    """``parts`` of a type of postback stands before that of the vocabulary."""
    own = PARTED.replace(
        'key = "tracking_id"', 'key = "tracking_id"\nparts = { part = "p", total = "n" }'
    )
    own = own.replace('part = "Part"', 'part = "Part"\np = "P"\nn = "N"')
    (entry,) = load_vocabulary(own).entries
    assert entry.parts == ("p", "n")


_BODIES = st.lists(
    st.builds(
        said,
        st.sampled_from(["gone out", "arrived", "arrived", "arrived", "lost", "seen"]),
        st.sampled_from([None, 1, 1, 2, 2, 3]),
        st.sampled_from([None, 2, 2, 2, 3, "x"]),
        second=st.integers(0, 9),
    ),
    max_size=9,
)


@settings(max_examples=60, deadline=None)
@given(_BODIES, st.data(), st.booleans())
def test_parts_in_any_order_and_repeated_give_one_state(
    bodies: list[bytes], data: st.DataObject, at_once: bool
) -> None:
    """The state is a function of the set of receipts, live, in bulk, verified and replayed."""
    again = data.draw(st.lists(st.sampled_from(bodies), max_size=3)) if bodies else []
    shuffled = data.draw(st.permutations([*bodies, *again]))
    with ledger_of(bodies) as one, ledger_of(shuffled, at_once=at_once) as other:
        assert states(one) == states(other)
        kept = rows(other)
        assert other.verify().problems == ()
        other.replay(index=True)
        assert rows(other) == kept


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9)), min_size=1, max_size=6))
def test_a_message_of_three_parts_is_delivered_when_three_are(parts: list[tuple[int, int]]) -> None:
    """Told again in one line: delivered if, and only if, each of the parts was."""
    delivery = became(*(said("arrived", part, 3, second=second) for part, second in parts))
    whole = {part for part, _ in parts} == {1, 2, 3}
    assert delivery.state == ("delivered" if whole else "created")
    assert ("parts_missing" in delivery.findings) is not whole
