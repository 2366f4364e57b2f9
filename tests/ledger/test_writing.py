"""What ``record`` answers is what the log says of the event afterwards."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Ledger, LedgerError, Receipt, Recorded, UnknownKey
from postledger.projections.replay import Facts
from postledger.state.timeline import verdict_at
from tests import strategies
from tests.conftest import ledger_of


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
    event = next(ledger.events(after=recorded.event.position - 1))
    if event.repeats is not None:
        verdict = "repeated"
    elif event.kind != "postback":
        verdict = event.kind
    else:
        with ledger._connections.read() as reader:
            facts = Facts(reader.log, ledger.definitions)
            stream = reader.log.find_stream((event.chart or "", event.key or ""))
            assert stream is not None
            verdict = verdict_at(facts.of_stream(stream), event.position)
    if event.chart != "delivery" or event.key is None:
        return event, verdict, None
    try:
        return event, verdict, ledger.delivery(event.key)
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
                assert (one.event, one.verdict, one.delivery) == told_of(ledger, one)


def test_two_ledgers_of_one_file_write_in_turn(ledger: Ledger) -> None:
    """Neither takes the head that it left for the head of the log."""
    body = b"<POSTBACK><TRACKINGID>a</TRACKINGID><CODE>%d</CODE></POSTBACK>"
    with Ledger(ledger.path) as other:
        for number in range(6):
            recorded = (ledger, other)[number % 2].record(body % (number // 3))
            assert recorded.event.position == number + 1
        assert [event.repeats for event in other.events()] == [None, 1, 1, None, 4, 4]
    assert ledger.verify().ok


def test_a_write_behind_a_rebuild_by_another_ledger(ledger: Ledger) -> None:
    """Another ledger's rebuild takes the table away that this one wrote to last: it finds the new."""
    body = b"<POSTBACK><TRACKINGID>a</TRACKINGID><CODE>%d</CODE></POSTBACK>"
    ledger.record(body % 1)
    with Ledger(ledger.path) as other:
        other.replay()
    assert ledger.record(body % 2).event.position == 2
    assert ledger.verify().ok


def test_a_write_behind_one_that_failed(ledger: Ledger) -> None:
    """What a failed write had moved is not taken for moved."""
    body = b"<POSTBACK><TRACKINGID>a</TRACKINGID><CODE>%d</CODE></POSTBACK>"
    ledger.record(body % 1)
    db = ledger._connections.own().log.db
    db.execute(
        "CREATE TEMP TRIGGER stop BEFORE INSERT ON states_1 BEGIN SELECT RAISE(ABORT, ''); END"
    )
    with pytest.raises(LedgerError):
        ledger.record(
            strategies.body(
                ("ORIGIN", "SMS_MT"),
                ("CODE", "N201"),
                ("STATUS", "Message Sent"),
                ("TRACKINGID", "b"),
            )
        )
    db.execute("DROP TRIGGER stop")
    assert ledger.record(body % 2, received_at=datetime(2026, 1, 1, tzinfo=UTC)).event.position == 2
    assert ledger.verify().ok


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_none_is_refused(ledger: Ledger, size: int) -> None:
    """It would take no receipt, and say nothing."""
    with pytest.raises(ValueError, match=f"a batch of {size} receipts holds none; give at least 1"):
        list(ledger.record_batches([Receipt(b"?")], size=size))
    assert ledger.head().size == 0 + 1
