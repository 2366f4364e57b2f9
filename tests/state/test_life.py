"""Lives: a stream that moves on with each event is what a fold from zero gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import strategies as st

from postledger import Ledger, LedgerError, Receipt
from postledger.definitions.definitions import builtin
from postledger.definitions.effects import Effect, compiled
from postledger.definitions.vocabulary import Reading
from postledger.findings import Finding, Verdict
from postledger.ledger import writing
from postledger.projections import generations
from postledger.projections.index import Index
from postledger.state import life
from postledger.state.fold import UNHEARD, Fact, Folded, fold
from postledger.state.life import Answer, Life, copy_of
from postledger.state.timeline import verdict_on
from postledger.times import UNDATED
from tests.properties.shown import folder, run
from tests.properties.worlds import moments
from tests.samples import first_outcome_stands, sent
from tests.strategies import postbacks


def _receipts() -> st.SearchStrategy[Receipt]:
    """Of few deliveries, in no order of their times."""
    return st.builds(Receipt, postbacks(), received_at=moments(), source=st.sampled_from(("", "b")))


DELIVERY = builtin().charts["delivery"]
QUICK, LONG = 150, 20_000

Event = tuple[str | None, int, int, int, str | None, str | None]
"""Trigger, time, what else tells it apart, when it was received, the recipient and other texts."""


class Facts:
    """Facts of events that are made up, as ``Life`` asks for them."""

    def fact(self, row: Any) -> Fact:
        trigger, _, other, received_at, recipient, text = row[11]
        findings = int(Finding.TIMESTAMP_MISSING) if other == 0 else 0
        texts = [recipient, *[text] * 6]
        labels = () if text is None else (("reference" if other % 2 else "sender", text),)
        amounts = () if text is None else (("price", (str(other), text)),)
        return Fact(
            *(_stage(trigger), *row[1:4], received_at, _effect(trigger, other % 3), findings),
            *(texts, labels, amounts, _part(trigger, other)),
        )

    def source(self, row: Any) -> str:
        return "ab"[row[3] % 2]

    def ranked(self, equal: list[Any]) -> list[Any]:
        return sorted(equal, key=lambda row: (row[5], row[3]))


def _part(trigger: str | None, other: int) -> tuple[int, int] | None:
    """Part 1 or 2 of 2 or 3 of many deliveries, and of some one that can't be read."""
    if trigger != "delivered" or other % 2:
        return None
    return (0, 0) if other % 10 == 0 else (1 + other // 2 % 2, 2 + (other > 80))


@cache
def _effect(trigger: str | None, number: int) -> Effect | None:
    if trigger is None:
        return None
    class_ = (None, "spam", "unknown")[number]
    reading = Reading(recognised=True, chart="delivery", trigger=trigger, reason_class=class_)
    return Effect(reading, DELIVERY, *compiled(DELIVERY, trigger, ()))


def _stage(trigger: str | None) -> int:
    return UNHEARD if trigger is None else DELIVERY.triggers[trigger].stage


def _rows(events: list[Event]) -> Iterator[Any]:
    for position, event in enumerate(events, 1):
        trigger, time, other, received_at, _, _ = event
        identity = f"{trigger} {time} {other}".encode()
        yield (1, time, identity, position, 0, received_at, None, None, None, 0, None, event)


def _events(most: int) -> st.SearchStrategy[list[Event]]:
    """Of many triggers or few, of many times or few, received in their order, in another or at once."""
    triggers = [t for t in DELIVERY.triggers if not t.startswith(("receipt", "by_"))]
    texts = st.sampled_from((None, None, None, None, "a", "b"))

    def events(of: list[str | None], times: int) -> st.SearchStrategy[list[Event]]:
        time = st.integers(0, times) | st.just(UNDATED)
        other, received_at = st.integers(0, 99), st.integers(0, 9)
        event = st.tuples(st.sampled_from(of), time, other, received_at, texts, texts)
        return st.lists(event, max_size=most)

    few = [t for t in triggers if t.startswith(("sent", "delivered"))]
    drawn = st.tuples(st.sampled_from(([None, *triggers], few, few[:1])), st.integers(0, 3))
    clock = st.sampled_from(
        (lambda at, _: at, lambda _, told: told, lambda at, _: -at, lambda *_: 5)
    )
    return st.tuples(drawn.flatmap(lambda chosen: events(*chosen)), clock).map(
        lambda told: [
            (*event[:3], told[1](at, event[3]), *event[4:]) for at, event in enumerate(told[0])
        ]
    )


def lives_are_folds(events: list[Event], asked: list[bool], block: int) -> None:
    """Whatever comes, and whenever it is asked, the state and each answer are those of a fold."""
    facts: Any = Facts()
    with patch.object(life, "BLOCK", block):
        one = Life(DELIVERY)
        rows = list(_rows(events))
        for until, row in enumerate(rows, 1):
            one.add(facts, row)
            if asked[until % len(asked)]:
                _is_a_fold(one, facts, rows[:until])
        _is_a_fold(one, facts, rows)


def _is_a_fold(one: Life, facts: Any, rows: list[Any]) -> None:
    equal: dict[Any, list[Any]] = {}
    for row in rows:
        equal.setdefault(row[1:3], []).append(row)
    firsts = {same: facts.ranked(told)[0] for same, told in equal.items()}
    folding = [facts.fact(row) for row in firsts.values()]
    folded = one.folded()
    assert _shown(folded) == _shown(fold(DELIVERY, folding))
    assert one.repeats == len(rows) - len(firsts)
    assert one.source == min((row[5], facts.source(row)) for row in rows)[1] if rows else True
    for row in rows:
        first = firsts[row[1:3]]
        assert one.knows(*row[1:3])
        if first is not row:
            assert one.answer(row) == Answer(Verdict.REPEATED, first[3])
        elif row[11][0] is not None:
            assert one.answer(row) == Answer(verdict_on(folding, row[2]), None)


def _shown(folded: Folded) -> Folded:
    """What a row is made of: not what the fold alone remembers of receptions."""
    kept = copy_of(folded)
    kept.arrived = kept.arrived_before = 0
    kept.group = (-1, 0)
    return kept


_ASKED = st.lists(st.booleans(), min_size=1, max_size=5)


def test_a_life_is_a_fold_from_zero() -> None:
    """Events in any order, of equal times, with repeats that take the place of a first."""
    run(lives_are_folds, QUICK, _events(40), _ASKED, st.integers(1, 4))


@pytest.mark.long
def test_a_life_is_a_fold_from_zero_in_many_runs() -> None:
    """The same on many more examples."""
    run(lives_are_folds, LONG, _events(120), _ASKED, st.integers(1, 8))


def kept_rows_are_folds(received: list[Receipt], deeds: list[str]) -> None:
    """Rows that lives give are those of a fold, whoever else writes and whatever is undone."""
    with (
        patch.multiple(life, LONG=1, BLOCK=2),
        folder() as path,
        Ledger(path / "test.db") as ledger,
        Ledger(path / "test.db") as other,
    ):
        for at, receipt in enumerate(received):
            deed = deeds[at % len(deeds)]
            if deed == "undone":
                _fail_to_record(ledger, received[at - 1])
            elif deed == "adopted":
                adopted = ledger.definitions.hash == builtin().hash
                other.replay(first_outcome_stands() if adopted else builtin())
            elif deed == "behind":
                _record_behind(ledger, receipt)
            writer = other if deed in ("other", "undone") else ledger
            writer.record_many([receipt] * (1 + (deed == "twice")))
            ledger.record(receipt.body, received_at=receipt.received_at)
            assert ledger.verify().problems == ()


def _fail_to_record(ledger: Ledger, receipt: Receipt) -> None:
    """A transaction that is rolled back once the states were folded."""
    with suppress(LedgerError), ledger._connections.write() as own:
        writing.write(own, ledger._connections, [(receipt, writing.Kind.RECEIPT)])
        raise LedgerError("no")


def _record_behind(ledger: Ledger, receipt: Receipt) -> None:
    """The states can't be written: what was folded is undone, and the event is kept."""
    with patch.object(writing.generations, "put_again", side_effect=ValueError("no")):
        ledger.record_many([receipt])


_DEEDS = st.lists(
    st.sampled_from(("", "", "", "", "twice", "other", "undone", "behind", "adopted")), min_size=1
)


def test_rows_of_lives_are_those_of_folds() -> None:
    """Verify, which folds each stream from zero, finds no row that differs."""
    run(kept_rows_are_folds, QUICK // 5, st.lists(_receipts(), max_size=14), _DEEDS)


@pytest.mark.long
def test_rows_of_lives_are_those_of_folds_in_many_runs() -> None:
    """The same on many more examples."""
    run(kept_rows_are_folds, LONG // 20, st.lists(_receipts(), max_size=30), _DEEDS)


@pytest.mark.parametrize("count", [60, 600])
def test_a_repeat_in_a_long_stream_reads_no_stream(ledger: Ledger, count: int) -> None:
    """What SQLite does for it is the same whatever the length of the stream."""
    ledger.record_many([sent("a", SPID=str(number)) for number in range(count)])
    ledger.record(sent("a", SPID="1"))
    steps: list[int] = []
    conn = ledger._connections._own().store.conn
    conn.set_progress_handler(lambda: steps.append(1) or 0, 10)
    for spid in ("1", "x"):
        steps.clear()
        recorded = ledger.record(sent("a", SPID=spid))
        assert recorded.verdict == ("repeated" if spid == "1" else "no_effect")
        assert len(steps) < 120
    conn.set_progress_handler(None, 0)
    assert recorded.delivery is not None
    assert (recorded.delivery.events, recorded.delivery.repeats) == (count + 1, 2)


def test_a_damaged_event_of_a_long_stream_shows_in_its_row(ledger: Ledger) -> None:
    """What can't be folded any more is said as of any other stream, with all its events."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    bodies = [sent("a", SPID=str(number)) for number in range(50)]
    ledger.record_many([Receipt(body, received_at=at) for body in bodies])
    ledger.record(bodies[1], received_at=at)
    db = ledger._connections._own().store
    db.execute("DROP TRIGGER events_no_update")
    db.execute("UPDATE events SET texts = '[' WHERE position = 1")
    db.conn.commit()
    recorded = ledger.record(bodies[0], received_at=at)
    assert recorded.delivery is not None
    assert (recorded.delivery.state, recorded.delivery.events) == ("unfolded", 52)


def test_lives_are_dropped_where_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept in memory is bounded by its size, texts included, and not by a number alone."""
    kept, one = generations.Lives(), Life(DELIVERY)
    for row in _rows([("sent_sms", at, 0, at, None, None) for at in range(1, 4)]):
        one.add(Facts(), (*row[:8], "x" * 1_000, *row[9:]))  # type: ignore[arg-type]
    assert 3_000 < one.size < 10_000
    monkeypatch.setattr(life, "LONG", 2)
    monkeypatch.setattr(generations, "MOST_BYTES", one.size)
    kept.as_of(1)[7] = one
    kept.keep(2)
    assert kept.as_of(2) == {7: one}
    monkeypatch.setattr(generations, "MOST_BYTES", one.size - 1)
    kept.keep(3)
    assert kept.as_of(3) == {}


def test_lives_of_short_streams_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """To read them again costs less than to keep them."""
    kept, one = generations.Lives(), Life(DELIVERY)
    for row in _rows([("sent_sms", at, 0, at, None, None) for at in range(1, 4)]):
        one.add(Facts(), row)
    monkeypatch.setattr(life, "LONG", 3)
    for heavy, left in ((10_000, {}), (1_000, {7: one})):
        monkeypatch.setattr(life, "HEAVY", heavy)
        kept.as_of(1)[7] = one
        kept.keep(2)
        assert kept.as_of(2) == left


def test_the_life_of_one_heavy_event_is_not_kept(ledger: Ledger) -> None:
    """To fold it again takes no reading of others; a hundred such would take a hundred megabytes."""
    ledger.record(sent("a", HANDSET="x" * 200_000))
    assert not any(one.size > 0 for one in ledger._connections.lives._lives.values())
    ledger.record(sent("a", HANDSET="y" * 200_000))
    assert [one.size > 400_000 for one in ledger._connections.lives._lives.values()] == [True]


def test_a_heavy_stream_is_not_read_again_with_each_record(ledger: Ledger) -> None:
    """Thirty bodies of a megabyte each would take seconds, under the write lock."""
    for number in range(4):
        ledger.record(sent("a", HANDSET="x" * 40_000 + str(number)))
    looked: list[int] = []
    rows_of = Index.rows_of
    with patch.object(
        Index, "rows_of", lambda *asked: looked.append(1) or rows_of(*asked), create=False
    ):
        ledger.record(sent("a", HANDSET="y"))
    assert looked == []
    assert ledger.verify().problems == ()


def test_lives_of_a_place_that_was_left_are_of_no_use() -> None:
    """Who fails on the way to the next place begins anew, though at the same place."""
    kept = generations.Lives()
    kept.keep(1)
    kept.as_of(1)[7] = Life(DELIVERY)
    assert kept.as_of(1) == {}
