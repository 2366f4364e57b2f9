"""What ``record`` answers is what the log says of the event afterwards."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Ledger, LedgerError, Receipt, Recorded, UnknownKey
from postledger.projections import reader as readers
from postledger.state.timeline import verdict_on
from tests import strategies
from tests.conftest import ledger_of
from tests.samples import sent
from tests.stores import both_stores, refusing

pytestmark = both_stores


def bundles() -> st.SearchStrategy[Receipt]:
    """Several postbacks in one body, often of the same delivery."""
    members = st.lists(strategies.postbacks(), min_size=2, max_size=4)
    return members.map(
        lambda told: Receipt(b"<POSTBACK>%b</POSTBACK>" % b"".join(map(_member, told)))
    )


def _member(body: bytes) -> bytes:
    return body.removeprefix(b"<?xml version='1.0'?>").replace(b"POSTBACK>", b"NOTIFICATION>")


def twins() -> st.SearchStrategy[Receipt]:
    """Postbacks of one body that say the same in other words: order and case of their names."""
    said = st.permutations(["tracking-id", "code", "origin", "status", "to", "spid"])
    members = st.lists(st.tuples(said, st.booleans()), min_size=2, max_size=3)
    return members.map(lambda told: Receipt(json.dumps([_twin(*one) for one in told]).encode()))


_SAID = {
    "tracking-id": "a",
    "code": "N201",
    "origin": "SMS_MT",
    "status": "Message Sent",
    "to": "1",
    "spid": "",
}


def _twin(names: list[str], upper: bool) -> dict[str, object]:
    return {"postback": {name.upper() if upper else name: _SAID[name] for name in names}}


def told_of(ledger: Ledger, recorded: Recorded) -> tuple[object, ...]:
    """Event, verdict and delivery as the log gives them, by a plain fold."""
    position, member = recorded.event.position, recorded.event.member
    event = next(e for e in ledger.events(after=position - 1) if e.member == member)
    verdict = event.reading
    if event.repeats is not None:
        verdict = "repeated"
    elif event.reading == "recognised":
        with ledger._connections.read() as own:
            stream = (event.space or "", event.chart or "", event.key or "")
            distinct, _ = own.reader.facts.distinct(own.reader.known(stream))
            facts = own.reader.facts.facts(distinct)
            verdict = verdict_on(facts, event.identity) if event.chart else "no_effect"
    if event.chart != "delivery" or event.key is None:
        return event, verdict, None
    try:
        return event, verdict, ledger.delivery(event.key, space=event.space or "")
    except UnknownKey:
        return event, verdict, None


@settings(max_examples=60)
@given(st.lists(strategies.receipts() | bundles() | twins(), max_size=12))
def test_the_answer_is_what_the_log_says(receipts: list[Receipt]) -> None:
    """Event, verdict and delivery of each answer are those that are read and folded from the log."""
    with ledger_of([]) as ledger:
        for receipt in receipts:
            first = ledger.record(
                receipt.body, content_type=receipt.content_type, received_at=receipt.received_at
            )
            for one in (first, *first.others):
                event, verdict, delivery = told_of(ledger, one)
                # One that was received before the first that was known is the first from now on.
                answered = "repeated" if one.verdict == "repeated" else verdict
                assert (one.event, one.verdict, one.delivery) == (event, answered, delivery)


def test_two_ledgers_of_one_file_write_in_turn(ledger: Ledger) -> None:
    """Neither takes the head that it left for the head of the log."""
    body = b"<POSTBACK><TRACKINGID>a</TRACKINGID><CODE>%d</CODE></POSTBACK>"
    with Ledger(ledger.path) as other:
        for number in range(6):
            recorded = (ledger, other)[number % 2].record(body % (number // 3))
            assert recorded.event.position == number + 1
        assert [event.repeats for event in other.events(after=0)] == [None, 1, 1, None, 4, 4]
    assert ledger.verify().ok


def test_a_write_after_a_replay_by_another_ledger(ledger: Ledger) -> None:
    """Another ledger's replay drops the table that this one wrote to last: it finds the new one."""
    body = b"<POSTBACK><TRACKINGID>a</TRACKINGID><CODE>%d</CODE></POSTBACK>"
    ledger.record(body % 1)
    with Ledger(ledger.path) as other:
        other.replay()
    assert ledger.record(body % 2).event.position == 2
    assert ledger.verify().ok


def test_a_write_after_one_that_failed(ledger: Ledger) -> None:
    """What a failed write had interned is not taken for kept."""
    body = b"<POSTBACK><TRACKINGID>a</TRACKINGID><CODE>%d</CODE></POSTBACK>"
    ledger.record(body % 1)
    other = body.replace(b"CODE", b"NEWCODE")
    with (
        refusing(ledger.path, "UPDATE", "head"),
        pytest.raises(LedgerError, match=r"no|append-only"),
    ):
        ledger.record(other % 1, content_type="a/b")
    recorded = ledger.record(other % 2, received_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert recorded.event.position == 2
    assert ledger.record(other % 3, content_type="a/b").event.position == 3
    assert [event.body for event in ledger.events(after=1)] == [other % 2, other % 3]
    assert ledger.verify().problems == ()


def test_an_event_is_kept_where_its_states_can_not_be_written(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """It is acknowledged as unfolded, verify says so, and the next write takes it in."""
    key = strategies.body(
        ("ORIGIN", "SMS_MT"), ("CODE", "N201"), ("STATUS", "Message Sent"), ("TRACKINGID", "b")
    )
    with refusing(ledger.path, "INSERT", "states_1"):
        recorded = ledger.record(key)
        told = (recorded.event.position, recorded.verdict, recorded.delivery)
        assert told == (1, "unfolded", None)
        assert "the states are behind the log" in caplog.text
        assert "run replay" in "".join(ledger.verify().problems)
        assert [event.body for event in ledger.events(after=0)] == [key]
    assert ledger.record(b"?").event.position == 2
    assert ledger.delivery("b").state == "sent"
    assert ledger.verify().problems == ()


def test_a_stream_that_can_not_be_folded_says_so(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is kept and acknowledged, its row and verify say it, and a replay heals it."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("no such thing")

    told = strategies.body(
        ("ORIGIN", "SMS_MT"), ("CODE", "N201"), ("STATUS", "Message Sent"), ("TRACKINGID", "b")
    )
    with monkeypatch.context() as patch:
        patch.setattr(readers, "folded_row", broken)
        patch.setattr(readers, "verdict_on", broken)
        patch.setattr(readers.Plans, "of", broken)
        recorded = ledger.record(told)
        assert (recorded.event.position, recorded.verdict) == (1, "unfolded")
        assert recorded.delivery is not None
        assert (recorded.delivery.state, recorded.delivery.findings) == ("unfolded", ("unfolded",))
        assert "can't be folded" in caplog.text
        assert "can't be folded" in "".join(ledger.verify().problems)
        assert ledger.delivery("b").state == "unfolded"
        assert [d.tracking_id for d in ledger.deliveries(state="unfolded")] == ["b"]
        assert [d.tracking_id for d in ledger.deliveries(finding="unfolded")] == ["b"]
    assert not ledger.verify().ok
    ledger.replay()
    assert ledger.delivery("b").state == "sent"
    assert ledger.verify().problems == ()


def test_memory_that_runs_out_leaves_nothing_unfolded(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is kept and acknowledged; the next write, of another stream, folds it."""

    def full(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        for name in ("folded_row", "verdict_on"):
            patch.setattr(readers, name, full)
        patch.setattr(readers.Plans, "of", full)
        recorded = ledger.record(sent("b"))
        assert (recorded.event.position, recorded.verdict, recorded.delivery) == (
            1,
            "unfolded",
            None,
        )
    ledger.record(b"?")
    assert ledger.delivery("b").state == "sent"
    assert ledger.verify().problems == ()


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_none_is_refused(ledger: Ledger, size: int) -> None:
    """It would take no receipt, and say nothing."""
    with pytest.raises(ValueError, match=f"size must be at least 1, got {size}"):
        list(ledger.record_batches([Receipt(b"?")], size=size))
    assert ledger.head().size == 1
