"""Changes: what each event changed, in order of position."""

from __future__ import annotations

import threading
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Delivery, Ledger, LedgerError, Receipt, StateChanged, UnknownKey
from postledger.definitions.definitions import builtin
from postledger.ledger.following import Bell, pages
from postledger.projections.changes import Page
from tests.conftest import ledger_of
from tests.samples import delivered, failed, first_outcome_stands, sent
from tests.stores import both_stores
from tests.strategies import KEYS, contents, postbacks, receipts

Told = tuple[int, tuple[str, str | None] | None, Delivery]


def told(change: StateChanged) -> Told:
    before = change.before and (change.before["delivery"], change.before["route"])
    after = change.delivery
    assert change.after == states(after)
    return change.position, before, after


def states(delivery: Delivery) -> dict[str, str | None]:
    return {
        "delivery": delivery.state,
        "route": delivery.route,
        "reading": delivery.read,
        "grade": delivery.grade,
    }


def known(ledger: Ledger, key: str, position: int) -> Delivery | None:
    try:
        return ledger.delivery(key, as_of=position)
    except UnknownKey:
        return None


def expected(ledger: Ledger) -> list[Told]:
    """The same from the states as of each position, one position at a time."""
    found: list[Told] = []
    for event in ledger.events():
        if event.chart != "delivery":
            continue
        before, after = (known(ledger, str(event.key), event.position - n) for n in (1, 0))
        if after is not None and (before is None or states(before) != states(after)):
            found.append((event.position, before and (before.state, before.route), after))
    return found


@both_stores
@given(st.lists(st.one_of(postbacks(), contents(), st.just(b"?")), max_size=12))
@settings(max_examples=30, deadline=None)
def test_changes_are_the_differences_between_the_states_as_of_each_position(
    bodies: list[bytes],
) -> None:
    """What is told at a position is what ``as_of`` says of it and of the one before."""
    with ledger_of(bodies) as ledger:
        assert [told(change) for change in ledger.follow(live=False)] == expected(ledger)


def test_changes_of_one_time_are_told_by_what_they_say() -> None:
    """Of two receipts of one time the texts decide which comes first, here as in the fold."""
    bodies = []
    for key in "abcdefgh":
        bodies.append(delivered(key, CODE="N201", HANDSET="motol7c", TIMESTAMP=None))
        bodies.append(delivered(key, CODE="N102", ORIGIN="MMS_MT", SENTAS="MMS", TIMESTAMP=None))
    with ledger_of(bodies) as ledger:
        assert [told(change) for change in ledger.follow(live=False)] == expected(ledger)


@given(st.lists(receipts(), max_size=12))
@settings(max_examples=30, deadline=None)
def test_changes_of_receipts_in_no_order(told_of: list[Receipt]) -> None:
    """The same where a repeat was received before what it repeats."""
    with ledger_of(told_of) as ledger:
        assert [told(change) for change in ledger.follow(live=False)] == expected(ledger)


@given(st.lists(postbacks(), max_size=10), st.integers(0, 10))
@settings(max_examples=30, deadline=None)
def test_changes_after_a_position_are_the_rest_of_all_changes(
    bodies: list[bytes], after: int
) -> None:
    """Where one begins makes no difference to what is told."""
    with ledger_of(bodies) as ledger:
        every = list(ledger.follow(live=False))
        rest = [change for change in every if change.position > after]
        assert list(ledger.follow(after, live=False)) == rest


@both_stores
@given(st.lists(receipts(), min_size=2, max_size=16), st.data())
@settings(max_examples=60, deadline=None)
def test_a_follower_is_told_what_a_new_one_would_be(
    told_of: list[Receipt], data: st.DataObject
) -> None:
    """Whatever is recorded, adopted or indexed again between two pages."""
    some = data.draw(st.integers(0, len(told_of)))
    with (
        patch.multiple("postledger.projections.changes", PAGE=2),
        patch.multiple("postledger.state.life", LONG=1),
        ledger_of(told_of[:some]) as ledger,
    ):
        page_of, after = ledger._pages(), -1
        for receipt in (*told_of[some:], *[None] * len(told_of)):
            if receipt is not None:
                ledger.record_many([receipt])
            match data.draw(st.integers(0, 6)):
                case 0:
                    ledger.replay(data.draw(st.sampled_from((builtin(), first_outcome_stands()))))
                case 1:
                    ledger.replay(index=True)
            page = page_of(after)
            assert page == ledger._pages()(after)
            after = page.until


def test_a_follower_goes_on_by_the_definitions_in_force(ledger: Ledger) -> None:
    """What it knew of a delivery by other definitions is known anew."""
    with patch.multiple("postledger.state.life", LONG=1):
        ledger.record_many([sent("a"), delivered("a")])
        page_of = ledger._pages()
        page_of(0)
        ledger.replay(first_outcome_stands())
        ledger.record(failed("a"))
        (change,) = page_of(2).changes
        assert change.after["delivery"] == "failed"


@both_stores
def test_streams_go_on_from_page_to_page(ledger: Ledger) -> None:
    """A delivery whose events lie pages apart is told of as one whose events lie side by side."""
    keys = [f"SMS_{n}" for n in range(700)]
    ledger.record_many(map(sent, keys))
    ledger.record_many(map(delivered, keys))
    changes = list(ledger.follow(live=False))
    assert [change.position for change in changes] == list(range(1, 1401))
    assert [change.before for change in changes[:700]] == [None] * 700
    assert [change.before for change in changes[700:]] == [
        {"delivery": "sent", "route": "sms", "reading": "unread", "grade": "none"}
    ] * 700
    assert [change.delivery.tracking_id for change in changes] == keys + keys


@both_stores
def test_what_comes_while_following_is_told(tmp_path: Path) -> None:
    """A follower is told what this ledger writes, and what another process does."""
    with Ledger(tmp_path / "l.db") as ledger, Ledger(tmp_path / "l.db") as other:
        ledger.record(sent(KEYS[0]))
        changes = ledger.follow()
        assert next(changes).after["delivery"] == "sent"
        for writer, key in ((ledger, KEYS[1]), (other, "SMS_3")):
            writing = threading.Timer(0.05, writer.record, [sent(key)])
            writing.start()
            assert next(changes).delivery.tracking_id == key
            writing.join()


def test_following_ends_when_the_ledger_is_closed(tmp_path: Path) -> None:
    """A follower that waits is not left waiting for ever."""
    with Ledger(tmp_path / "l.db") as ledger:
        changes = ledger.follow()
        closing = threading.Timer(0.05, ledger.close)
        closing.start()
        assert list(changes) == []
        closing.join()


@both_stores
def test_a_ledger_that_is_closed_in_the_midst_of_a_read_ends_the_iteration() -> None:
    """An error that comes of closing is no error; any other is."""
    bell = Bell()

    def read(after: int) -> Page:
        if after == 0:
            return Page(1, (), "")
        if closes:
            bell.close()
        raise LedgerError("no more")

    for closes in (False, True):
        found = pages(read, 0, bell=bell, live=True, heard=threading.Event())
        assert next(found).until == 1
        if closes:
            assert list(found) == []
        else:
            with pytest.raises(LedgerError, match="no more"):
                next(found)


@both_stores
def test_following_goes_on_by_adopted_definitions(tmp_path: Path) -> None:
    """Where another process adopts definitions, what comes from then on is told by those."""
    with Ledger(tmp_path / "l.db") as ledger, Ledger(tmp_path / "l.db") as other:
        ledger.record(failed("SMS_1"))
        changes = ledger.follow()
        first = next(changes)
        other.replay(first_outcome_stands())
        other.record(failed("SMS_2"))
        assert next(changes).delivery.tracking_id == "SMS_2"
        assert ledger.definitions.hash == other.definitions.hash
        (again, _) = ledger.follow(live=False)
        assert (again.position, again.after) == (first.position, first.after)
        assert again.key != first.key


def test_key_tells_a_change_from_any_other(tmp_path: Path) -> None:
    """It is the same each time it is told, and another for each event and each ledger."""
    keys = []
    for name in ("one.db", "other.db"):
        with Ledger(tmp_path / name) as ledger:
            ledger.record_many([sent("a"), sent("b"), delivered("a")])
            keys += [change.key for change in ledger.follow(live=False)]
            assert [change.key for change in ledger.follow(live=False)] == keys[-3:]
            ledger.replay(index=True)
            assert [change.key for change in ledger.follow(live=False)] == keys[-3:]
    assert len(set(keys)) == 6
    assert all(len(key) == 32 for key in keys)


def test_a_change_as_json(ledger: Ledger) -> None:
    """The JSON of a change is that of the command line."""
    ledger.record(sent(KEYS[0]))
    (change,) = ledger.follow(live=False)
    said = change.to_dict()
    assert said.pop("received_at").endswith("Z")
    assert said.pop("key") == change.key
    assert said.pop("delivery") == ledger.delivery(KEYS[0]).to_dict()
    assert said == {
        "position": 1,
        "occurred_at": "2013-11-05T05:41:08Z",
        "before": None,
        "after": {"delivery": "sent", "route": "sms", "reading": "unread", "grade": "none"},
    }
