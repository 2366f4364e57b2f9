"""The ledger: receipts in, states out."""

from __future__ import annotations

import random
import re
import shlex
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from postledger import (
    Anchor,
    DefinitionsDiffer,
    Ledger,
    LedgerError,
    NotALedger,
    Receipt,
    UnknownKey,
    UnknownWord,
    wire,
)
from postledger.definitions.definitions import builtin, define
from postledger.log import log
from postledger.log.log import Log
from postledger.projections.index import Index
from tests.conftest import FIXTURES, ledger_of
from tests.samples import BINARY, DEGRADED, NEWCOMER, SMS, delivered, sent
from tests.states import states
from tests.stores import both_stores, in_file

pytestmark = both_stores


def test_the_samples_of_the_specification_in_document_order(
    ledger: Ledger, specification: list[bytes]
) -> None:
    """All 11 are taken: one is a repeat, one is repaired, nothing is refused."""
    summary = ledger.record_many(specification)
    assert summary.to_dict() == {
        "recorded": 10,
        "repeated": 1,
        "unrecognised": 0,
        "unreadable": 0,
        "unverified": 0,
        "anchor": str(ledger.head()),
    }
    assert summary.anchor.size == 12
    sms, binary, degraded = (ledger.delivery(key) for key in (SMS, BINARY, DEGRADED))
    assert (sms.state, sms.route) == ("delivered", "sms")
    assert (binary.state, binary.route, binary.handset) == ("delivered", "binary", "motol7c")
    assert (degraded.state, degraded.route) == ("delivered", "degraded")
    assert degraded.reason == "Handset setting: mms with pass via xHTML;"
    assert (degraded.events, degraded.repeats) == (4, 1)


def test_the_sending_failure_of_the_samples_is_kept_as_a_contradiction(
    ledger: Ledger, specification: list[bytes]
) -> None:
    """The E101 after a delivery receipt changes nothing, is repaired, and says so."""
    ledger.record_many(specification)
    step = ledger.timeline(DEGRADED)[-1]
    assert (step.code, step.verdict, step.after["delivery"]) == ("E101", "contradicts", "delivered")
    assert set(step.findings) == {"contradiction", "timestamp_missing", "repaired"}
    assert (
        step.event.body
        == (FIXTURES / "specification/09-mms-mt-sending-failure-e101.xml").read_bytes()
    )


def test_the_content_of_the_samples_was_saved_and_failed(
    ledger: Ledger, specification: list[bytes]
) -> None:
    """MMSID 35674 has both a save and an audio that failed."""
    ledger.record_many(specification)
    content = ledger.content("35674")
    assert (content.state, content.saved, content.failures) == ("failed", True, ("sample.mp3",))


@in_file
def test_any_order_of_the_samples_gives_the_same_states(specification: list[bytes]) -> None:
    """Thirty shuffles of the 11 samples say the same of every delivery and content."""
    with ledger_of(specification) as ledger:
        expected = states(ledger)
    for seed in range(30):
        shuffled = random.Random(seed).sample(specification, len(specification))
        with ledger_of(shuffled) as ledger:
            assert states(ledger) == expected


def test_the_answer_of_the_api_creates_a_delivery(ledger: Ledger) -> None:
    """A successful answer makes the state Created; a failed one is known and makes nothing."""
    created = ledger.record((FIXTURES / "api/response-success.xml").read_bytes())
    failed = ledger.record((FIXTURES / "api/response-failure.xml").read_bytes())
    assert created.delivery is not None
    assert (created.verdict, created.delivery.state) == ("applied", "created")
    assert created.delivery.created_at is None
    assert "no_creation" not in created.delivery.findings
    assert (failed.event.reading, failed.verdict) == ("recognised", "no_effect")
    assert failed.delivery is None


def test_a_program_says_itself_that_a_message_was_accepted(ledger: Ledger) -> None:
    """``created`` makes the delivery, with its time if that is known; to say it again is a repeat."""
    at = datetime(2026, 11, 5, 12, tzinfo=UTC)
    first = ledger.created("X-1", to="16503333058", mms_id="7", at=at)
    again = ledger.created("X-1", to="16503333058", mms_id="7", at=at)
    assert first.delivery is not None
    assert (first.delivery.state, first.delivery.created_at) == ("created", at)
    assert (first.delivery.to, first.delivery.mms_id) == ("16503333058", "7")
    assert (again.verdict, again.event.repeats) == ("repeated", first.event.position)


@pytest.mark.parametrize("spelled", ["+16503333058", "0016503333058", "+1 (650) 333-3058"])
def test_a_recipient_in_another_spelling_is_the_same(ledger: Ledger, spelled: str) -> None:
    """It is no finding, and the provider's words are kept, live and replayed."""
    ledger.created("a", to="16503333058")
    ledger.record_many([sent("a", TO=spelled), delivered("a", TO=spelled)])
    for _ in range(2):
        delivery = ledger.delivery("a")
        assert (delivery.to, delivery.findings) == (spelled, ())
        assert [d.tracking_id for d in ledger.deliveries(to="16503333058")] == ["a"]
        ledger.replay(index=True)
    assert ledger.verify().ok


def test_a_late_sent_does_not_overwrite_delivered(ledger: Ledger) -> None:
    """A Sent that arrives after its receipt is late; the state stays and the time is filled in."""
    ledger.record(delivered("a"))
    late = ledger.record(sent("a"))
    assert late.delivery is not None
    assert (late.verdict, late.delivery.state) == ("late", "delivered")
    assert late.delivery.sent_at == datetime(2013, 11, 5, 5, 41, 8, tzinfo=UTC)
    assert late.delivery.findings == ("no_creation", "late")


@pytest.mark.parametrize(
    ("bodies", "finding"),
    [
        ([delivered("a")], "outcome_without_sent"),
        ([sent("a"), delivered("a", TO="1651")], "recipient_differs"),
        ([sent("a"), delivered("a", ORIGIN="MMS_MT", SENTAS="MMS", CODE="N102")], "wrong_route"),
        ([sent("a", TIMESTAMP=None)], "timestamp_missing"),
        ([sent("a", TIMESTAMP="tomorrow")], "timestamp_missing"),
        ([sent("a", TIMESTAMP="2013-11-05 05:41:08")], "timestamp_naive"),
        ([sent("a", SPID=None)], "node_missing"),
        ([sent("a"), delivered("a", TIMESTAMP="2013-11-05T05:41:07.9Z")], "clock_disorder"),
        (
            [sent("a"), delivered("a"), delivered("a", STATUS="Message Sent/Failed")],
            "contradiction",
        ),
        ([sent("a"), sent("a", CODE="N333")], "unrecognised"),
        ([sent("a")], "no_creation"),
    ],
)
def test_what_is_noteworthy_is_a_finding(ledger: Ledger, bodies: list[bytes], finding: str) -> None:
    """Each finding is noted where its cause is there, and not where it isn't."""
    ledger.record_many(bodies)
    ledger.record_many([sent("b"), delivered("b")])
    assert finding in ledger.delivery("a").findings
    assert finding == "no_creation" or finding not in ledger.delivery("b").findings


def test_an_unknown_word_changes_no_state(ledger: Ledger) -> None:
    """An unknown code with a known TRACKINGID is listed in its timeline, and no more."""
    ledger.record(sent("a"))
    unknown = ledger.record(sent("a", CODE="N333", STATUS="Message Eaten"))
    assert (unknown.event.reading, unknown.verdict) == ("unrecognised", "unrecognised")
    assert ledger.delivery("a").state == "sent"
    assert [step.verdict for step in ledger.timeline("a")] == ["applied", "unrecognised"]


def test_a_message_of_which_nothing_is_understood_is_no_delivery(ledger: Ledger) -> None:
    """A stream with unrecognised events only has a timeline, but no state is invented for it."""
    ledger.record(sent("a", CODE="N333"))
    with pytest.raises(UnknownKey, match="no delivery 'a' is known"):
        ledger.delivery("a")
    assert len(ledger.timeline("a")) == 1
    assert list(ledger.deliveries()) == []


@pytest.mark.parametrize(
    ("given", "reading", "problem"),
    [
        (b"", "unreadable", "empty"),
        (b"\x89PNG\r\n\x1a\n\x00", "unreadable", None),
        (b"<POSTBACK><CODE>N101</CODE>", "unreadable", None),
        (b"<POSTBACK><ORIGIN>SMS_MO</ORIGIN><FROM>1650</FROM></POSTBACK>", "unrecognised", None),
        (b"<POSTBACK><ORIGIN>SUB</ORIGIN><CODE>S1</CODE></POSTBACK>", "unrecognised", None),
        (b"<POSTBACK>" + b" " * (1 << 20) + b"</POSTBACK>", "unreadable", "limit"),
        (
            b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><POSTBACK><TO>&c;</TO></POSTBACK>',
            "unreadable",
            "document type",
        ),
        (b'{"tracking-id": "\\ud800"}', "unreadable", "surrogate"),
    ],
)
def test_whatever_comes_is_kept_byte_for_byte(
    ledger: Ledger, given: bytes, reading: str, problem: str | None
) -> None:
    """What can't be read or isn't known is an event of its own kind; the rest is recorded."""
    ledger.record_many([sent("a"), given, delivered("a")])
    event = list(ledger.events(after=0))[1]
    assert (event.kind, event.reading, event.body) == ("receipt", reading, given)
    assert (event.problem is not None) is (reading != "recognised")
    assert problem is None or problem in (event.problem or "")
    assert "\n" not in (event.problem or "")
    assert ledger.delivery("a").state == "delivered"
    assert ledger.verify().ok


def test_the_same_nonsense_again_is_a_repeat(ledger: Ledger) -> None:
    """A body that can't be read and comes again refers to the first."""
    first = ledger.record(b"\xff\xfe\x00")
    again = ledger.record(b"\xff\xfe\x00")
    assert (again.verdict, again.event.repeats) == ("repeated", first.event.position)


def test_nonsense_that_came_at_any_time_refers_to_the_earliest(ledger: Ledger) -> None:
    """As it was known when it was recorded."""
    noon = datetime(2026, 11, 5, 12, tzinfo=UTC)
    told = [
        ledger.record(b"\xff", received_at=noon + timedelta(seconds=at)).event.repeats
        for at in (5, 3, 4, 3, 1, 2, 1)
    ]
    assert told == [None, None, 2, 2, None, 5, 5]


def test_nonsense_that_comes_again_and_again_is_compared_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it repeats is not found by reading all that came before."""
    looked: list[tuple[int, int]] = []
    earliest = Index.earliest

    def counted(index: Index, *same: Any) -> Any:
        looked.append(same[3:])
        return earliest(index, *same)

    monkeypatch.setattr(Index, "earliest", counted)
    bundle = b"[" + b",".join([b'{"a":1}'] * 300) + b"]"
    for _ in range(4):
        again = ledger.record(bundle)
    assert {one.event.repeats for one in (again, *again.others)} == {1}
    assert looked == [(-1, 1), (1, 2), (2, 3), (3, 4)]


def test_a_repeat_keeps_its_own_bytes(ledger: Ledger) -> None:
    """Equal bodies or not, what came again is kept as it came."""
    once, again = sent("a"), sent("a").replace(b"\n  ", b"\n\t")
    ledger.record_many([once, again, once])
    assert [event.body for event in ledger.events(after=0)] == [once, again, once]
    assert [event.repeats for event in ledger.events(after=0)] == [None, 1, 1]


def test_first_of_equal_events_is_the_earliest_received(ledger: Ledger) -> None:
    """The least time of reception, then source, then bytes say which is the first."""
    noon = datetime(2026, 11, 5, 12, tzinfo=UTC)
    one, other = sent("a"), sent("a").replace(b"\n  ", b"\n\t")
    for body, at, source in (
        (other, noon + timedelta(seconds=1), ""),
        (one, noon, "b"),
        (one, noon, "a"),
        (other, noon, "a"),
    ):
        ledger.record(body, received_at=at, source=source)
    assert other < one
    assert [event.repeats for event in ledger.events(after=0)] == [4, 4, 4, None]
    assert ledger.delivery("a").first_received_at == noon


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Receipt(sent("a"), "text/xml"), Receipt(sent("a"), "application/xml")),
        (Receipt(sent("a"), imported=True), Receipt(sent("a"))),
        (Receipt(sent("a"), content_encoding="x"), Receipt(sent("a"))),
        (Receipt(sent("a"), sender="basic"), Receipt(sent("a"))),
    ],
)
def test_equal_events_of_one_moment_are_told_apart_by_no_position(
    one: Receipt, other: Receipt
) -> None:
    """Which of them counts, and which repeats it, must not depend on the order of arrival."""
    noon = datetime(2026, 11, 5, 12, tzinfo=UTC)
    told = []
    for receipts in ((one, other), (other, one)):
        with ledger_of([attrs.evolve(given, received_at=noon) for given in receipts]) as ledger:
            told.append(
                [
                    (s.verdict, s.event.content_type, s.event.imported, s.event.content_encoding)
                    for s in ledger.timeline("a")
                ]
            )
    assert told[0] == told[1]


def test_ids_are_never_changed(ledger: Ledger) -> None:
    """Case and leading zeros of ids and carriers stay as they are."""
    for key in ("0012", "12", "abC", "ABC", "TU1T=="):
        ledger.record(sent(key))
    assert [d.tracking_id for d in ledger.deliveries()] == ["0012", "12", "abC", "ABC", "TU1T=="]
    assert ledger.delivery("0012").spid == "0001470"


def test_a_reception_time_must_name_its_zone(ledger: Ledger) -> None:
    """A naive datetime is refused with what to give instead, and nothing is written."""
    with pytest.raises(ValueError, match="received_at must be a timezone-aware datetime"):
        ledger.record(sent("a"), received_at=datetime(2026, 1, 1))
    assert ledger.head().size == 0 + 1
    assert ledger.record(sent("a")).event.position == 1


def test_a_batch_that_raises_leaves_the_batches_before(tmp_path: Path) -> None:
    """What was committed stays, and of the failed batch there is nothing."""

    def receipts() -> object:
        for number in range(1500):
            yield sent(f"m{number}")
        raise RuntimeError("the source broke")

    with Ledger(tmp_path / "l.db") as ledger:
        with pytest.raises(RuntimeError, match="the source broke"):
            ledger.record_many(receipts())  # type: ignore[arg-type]
        assert ledger.head().size == 1000 + 1
        ledger.record_many(sent(f"m{number}") for number in range(1500))
        assert ledger.verify().ok
        assert len(list(ledger.deliveries())) == 1500


def test_one_ledger_serves_many_threads(ledger: Ledger) -> None:
    """Threads that record and read at once lose nothing."""

    def work(name: int) -> None:
        for number in range(40):
            ledger.record(sent(f"{name}-{number}"))
            assert ledger.delivery(f"{name}-{number}").state == "sent"

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.head().size == 240 + 1
    assert ledger.verify().ok


def test_deliveries_are_listed_by_what_is_asked_for(ledger: Ledger) -> None:
    """State, route, carrier, recipient, period, finding, stuck and limit each choose."""
    now = datetime(2013, 11, 6, tzinfo=UTC)
    ledger.record_many([sent("a"), delivered("a"), sent("b", SPID="7", TO="9"), sent("c")])
    ledger.record(sent("d", TIMESTAMP="2013-11-05T23:59:00Z"))

    def keys(**wanted: object) -> str:
        return "".join(d.tracking_id for d in ledger.deliveries(now=now, **wanted))

    assert keys() == "abcd"
    assert keys(state="sent") == "bcd"
    assert keys(route="sms", limit=2) == "ab"
    assert keys(route="binary") == ""
    assert keys(spid="7") == keys(to="9") == "b"
    assert keys(since=datetime(2013, 11, 5, 12, tzinfo=UTC)) == "d"
    assert keys(until=datetime(2013, 11, 5, 12, tzinfo=UTC)) == "abc"
    assert keys(stuck=timedelta(hours=2)) == "bc"
    assert keys(finding="no_creation") == "abcd"
    assert keys(finding="late") == ""
    with pytest.raises(ValueError, match="unknown state 'eaten': expected created, accepted, sent"):
        keys(state="eaten")
    with pytest.raises(ValueError, match="unknown finding 'odd'"):
        keys(finding="odd")
    with pytest.raises(UnknownWord, match="unknown chart 'odd': expected content, delivery"):
        keys(chart="odd")


def test_a_long_list_comes_page_by_page(ledger: Ledger) -> None:
    """More deliveries than a page holds are listed once each, in the order of their first event."""
    ledger.record_many(sent(f"m{number}") for number in range(2500))
    assert [d.tracking_id for d in ledger.deliveries()] == [f"m{n}" for n in range(2500)]
    assert len(list(ledger.deliveries(limit=1200))) == 1200
    assert [e.position for e in ledger.events()] == list(range(2501))
    assert [e.position for e in ledger.events(after=2490)] == list(range(2491, 2501))


def test_a_ledger_keeps_the_definitions_that_it_was_made_with(tmp_path: Path) -> None:
    """Other definitions are refused with what to do, and adopted by a replay."""
    chart = tmp_path / "delivery.toml"
    chart.write_text(builtin().charts["delivery"].source.replace("version = 1", "version = 2"))
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record(sent("a"))
    with pytest.raises(DefinitionsDiffer, match="replay adopts others"):
        Ledger(path, charts=[chart])
    with Ledger(path) as ledger:
        ledger.replay(ledger.definitions.with_files([chart]))
        assert ledger.delivery("a").state == "sent"
    with Ledger(path, charts=[chart]) as ledger:
        assert ledger.definitions.charts["delivery"].version == 2
        assert ledger.verify().ok


def test_a_new_ledger_reads_the_providers_that_are_chosen(tmp_path: Path) -> None:
    """By their names, next to files; what definitions are given has its providers."""
    path = tmp_path / "l.db"
    with Ledger(path, providers="skycore") as ledger:
        assert [v.name for v in ledger.definitions.vocabularies] == ["postledger", "skycore"]
    with Ledger(path, providers=["skycore"]):
        pass
    with pytest.raises(DefinitionsDiffer, match="does not read by sinch 1"):
        Ledger(path, providers=["skycore", "sinch"])
    with pytest.raises(TypeError, match=r"can.t both be given"):
        Ledger(path, providers=["skycore"], definitions=builtin())


def test_a_ledger_may_read_by_a_file_alone(tmp_path: Path) -> None:
    """With an empty list of providers none that ships is read, next to the program's statements."""
    words = tmp_path / "newcomer.toml"
    words.write_text(NEWCOMER)
    with Ledger(tmp_path / "l.db", providers=[], vocabulary=words) as ledger:
        assert [v.name for v in ledger.definitions.vocabularies] == ["newcomer", "postledger"]
    with Ledger(tmp_path / "none.db", providers=()) as ledger:
        assert [v.name for v in ledger.definitions.vocabularies] == ["postledger"]
        assert ledger.record(sent("a")).event.reading == "unrecognised"
    with pytest.raises(DefinitionsDiffer), Ledger(tmp_path / "unasked.db"):
        Ledger(tmp_path / "unasked.db", providers=[])


@in_file
def test_a_refusal_names_the_command_that_adds(tmp_path: Path, run: Callable[..., Any]) -> None:
    """What a ledger doesn't read by is added by that command, which loses nothing."""
    path, words = tmp_path / "my ledger.db", tmp_path / "newcomer.toml"
    words.write_text(NEWCOMER)
    with Ledger(path) as ledger:
        ledger.record(sent("a"))
    with pytest.raises(DefinitionsDiffer) as raised:
        Ledger(path, providers=["plivo", "infobip"], vocabulary=[words])
    command = re.search(r"keep what it has: (.*); then open it without naming", str(raised.value))
    assert command is not None
    said = shlex.split(command[1])
    assert said[:3] == ["postledger", "replay", str(path)]
    assert run(*said[1:]).exit_code == 0
    with Ledger(path) as ledger:
        names = [v.name for v in ledger.definitions.vocabularies]
        assert names == ["infobip", "newcomer", "plivo", "postledger", "sinch", "skycore"]
        assert ledger.delivery("a").state == "sent"
    with pytest.raises(DefinitionsDiffer, match=r"what is given lacks .*; name all .* or none"):
        Ledger(path, providers="plivo")


def test_a_creation_needs_a_space_that_postbacks_can_meet(tmp_path: Path) -> None:
    """Without one, or with another, no callback would ever be of its delivery: that is refused."""
    with Ledger(tmp_path / "l.db", providers=["plivo", "infobip"]) as ledger:
        expected = "expected space='infobip' or space='plivo', of the vocabularies in force"
        with pytest.raises(UnknownWord, match=f"space is missing: {expected}"):
            ledger.created("a", to="1")
        with pytest.raises(UnknownWord, match=f"unknown space 'plvio': {expected}"):
            ledger.created("a", to="1", space="plvio")
        assert ledger.head().size == 1
        assert ledger.created("a", to="1", space="plivo").delivery is not None
        with Ledger(tmp_path / "l.db") as other:
            other.replay(other.definitions.with_providers("telnyx"))
        # What another process has adopted counts at once.
        assert ledger.created(["b", "1"], to="1", space="telnyx").verdict == "applied"


@in_file
def test_a_ledger_for_reading_writes_nothing(tmp_path: Path) -> None:
    """Opened for reading, a ledger answers, refuses to record, and needs a file."""
    path = tmp_path / "l.db"
    with pytest.raises(NotALedger, match="no such ledger"):
        Ledger(path, readonly=True)
    with Ledger(path) as ledger:
        ledger.record(sent("a"))
    before = path.read_bytes()
    with Ledger(path, readonly=True) as ledger:
        assert ledger.delivery("a").state == "sent"
        assert ledger.verify().ok
        with pytest.raises(LedgerError, match="opened for reading only"):
            ledger.record(sent("b"))
    assert path.read_bytes() == before


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    """After close nothing is read or recorded."""
    ledger = Ledger(tmp_path / "l.db")
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.record(b"")


def test_a_receipt_carries_its_own_time(ledger: Ledger) -> None:
    """The time of reception is kept to the microsecond, in UTC."""
    at = datetime(2026, 11, 5, 12, 0, 0, 123456, tzinfo=UTC)
    ledger.record_many([Receipt(sent("a"), "text/xml", at)])
    event = next(ledger.events(after=0))
    assert (event.received_at, event.content_type) == (at, "text/xml")
    assert event.occurred_at == datetime(2013, 11, 5, 5, 41, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("chart", "key"), [("delivery", "b"), ("", ""), ("delivery", ""), ("no such chart", "a")]
)
def test_what_nothing_is_known_of_is_told_by_its_name(ledger: Ledger, chart: str, key: str) -> None:
    """A key, a chart, and those of the events that belong to no stream."""
    ledger.record_many([sent("a"), b"?"])
    with pytest.raises((UnknownKey, UnknownWord), match=r"no .* is known|unknown chart"):
        ledger.timeline(key, chart=chart)


def test_a_stream_whose_chart_was_given_up_is_told_so(
    ledger: Ledger, specification: list[bytes]
) -> None:
    """Its events are there, but nothing says any more what they mean."""
    ledger.record_many(specification)
    ledger.replay(define([builtin().charts["discovery"]], []))
    for asking in (
        lambda: ledger.timeline("35674", chart="content"),
        lambda: list(ledger.deliveries(chart="content")),
        lambda: list(ledger.deliveries()),
        ledger.audit,
    ):
        with pytest.raises(UnknownWord, match=r"unknown chart '.*': expected discovery"):
            asking()
    for asked in (lambda: ledger.audit(tracking_id=SMS), lambda: ledger.content("35674")):
        with pytest.raises(UnknownWord, match=r"unknown chart '.*': expected discovery"):
            asked()
    told: list[object] = []
    ledger.subscribe("all", told.append, live=False)
    assert (list(ledger.follow(live=False)), told) == ([], [])
    assert ledger.record(specification[0]).verdict == "repeated"
    assert ledger.record(b"<NEW><A>1</A></NEW>").verdict == "unrecognised"
    assert ledger.verify().problems == ()


@in_file
@pytest.mark.parametrize(
    ("receipt", "told"),
    [
        (lambda: Receipt("text"), "body must be bytes as received, got str"),  # type: ignore[arg-type]
        (lambda: Receipt(b"?", content_type=7), "content_type must be text, got 7"),  # type: ignore[arg-type]
        (lambda: Receipt(b"?", None, 0), "received_at must be a timezone-aware datetime, got 0"),  # type: ignore[arg-type]
        (lambda: "text", "receipts must be bytes or Receipt, got str"),
    ],
    ids=["body", "content type", "time", "receipt"],
)
def test_what_no_server_receives_is_refused(
    ledger: Ledger, receipt: Callable[[], Receipt], told: str
) -> None:
    """A mistake of the program that embeds it is told, and nothing of the batch is written."""
    with pytest.raises(TypeError, match=told):
        ledger.record_many([sent("a"), receipt()])
    assert ledger.head().size == 0 + 1


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": -1},
        {"limit": True},
        {"limit": "x"},
        {"finding": 5},
        {"chart": []},
        {"state": b"sent"},
    ],
)
def test_what_can_not_be_asked_for_is_refused(ledger: Ledger, asked: dict[str, Any]) -> None:
    """Before anything is read."""
    with pytest.raises((TypeError, ValueError)):
        list(ledger.deliveries(**asked))


def test_half_a_character_is_neither_kept_nor_found(ledger: Ledger) -> None:
    """No file of SQLite holds one, so there is nothing to look for."""
    ledger.record(sent("a"))
    for doing in (
        lambda: ledger.delivery("\udcff"),
        lambda: ledger.timeline("\udcff"),
        lambda: ledger.content("\udcff"),
        lambda: list(ledger.deliveries(to="\udcff")),
        lambda: ledger.record(b"?", content_type="\udcff"),
        lambda: ledger.created("\udcff", to="1"),
    ):
        with pytest.raises(LedgerError, match="half a character"):
            doing()
    assert ledger.head().size == 1 + 1


@pytest.mark.parametrize("sql", ["", "SELECT ?", "no SQL"])
def test_a_query_that_is_none_is_told(ledger: Ledger, sql: str) -> None:
    """Whichever library notices it."""
    with pytest.raises(LedgerError, match="the query fails"):
        ledger.query(sql, [2**70] if "?" in sql else [])


def test_what_a_progress_raises_comes_through(ledger: Ledger) -> None:
    """It has nothing to do with the ledger, and the ledger goes on."""
    ledger.record_many([sent("a"), delivered("a")])

    def cancelled(_: int) -> None:
        raise ValueError("cancelled")

    for doing in (
        lambda: ledger.replay(progress=cancelled),
        lambda: ledger.replay(index=True, progress=cancelled),
        lambda: ledger.verify(progress=cancelled),
        lambda: ledger.audit(verify=True, progress=cancelled),
        lambda: ledger.record_many([sent("b")], progress=cancelled),
        lambda: list(ledger.differences(ledger.definitions, progress=cancelled)),
    ):
        with pytest.raises(ValueError, match=r"^cancelled$"):
            doing()
    ledger.replay()
    assert ledger.verify().ok
    assert ledger.delivery("b").state == "sent"


@in_file
@pytest.mark.parametrize(
    "error", [sqlite3.OperationalError("mine"), KeyError("mine"), OSError("mine")]
)
def test_an_error_of_a_progress_is_not_blamed_on_the_file(ledger: Ledger, error: Exception) -> None:
    """Also one that SQLite could raise is the program's own here."""
    ledger.record_many([sent("a")])

    def fail(_: int) -> None:
        raise error

    for doing in (
        lambda: ledger.replay(progress=fail),
        lambda: ledger.verify(progress=fail),
        lambda: list(ledger.differences(ledger.definitions, progress=fail)),
        lambda: ledger.record_many([sent("b")], progress=fail),
        lambda: ledger.record_many(_raising(error)),
    ):
        with pytest.raises(type(error)) as caught:
            doing()
        assert caught.value is error
    assert ledger.verify().ok


def _raising(error: Exception) -> Iterator[bytes]:
    yield sent("c")
    raise error


@in_file
@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda ledger: ledger.verify("11:abc"), "anchor must be an Anchor, got '11:abc'"),
        (lambda ledger: ledger.timeline("a", chart=["a"]), r"chart must be text, got \['a'\]"),
        (lambda ledger: ledger.timeline(7), "key must be text, got 7"),
        (lambda ledger: ledger.delivery(b"a"), "tracking_id must be text, got b'a'"),
        (lambda ledger: ledger.delivery("a", space=1), "space must be text, got 1"),
        (lambda ledger: ledger.content(None), "mms_id must be text, got None"),
        (lambda ledger: ledger.events(after="1"), "after must be a whole number, got '1'"),
        (lambda ledger: list(ledger.record_batches([b"?"])), "receipts must be Receipt, got bytes"),
        (lambda ledger: ledger.query(7), "sql must be text, got 7"),
        (lambda ledger: ledger.project(None), "projection must have name, version, tables and apply"),
        (lambda ledger: Ledger("x.db", definitions=7), "definitions must be Definitions, got 7"),
        (lambda ledger: ledger.follow(after=None), "after must be a whole number, got None"),
        (lambda ledger: ledger.subscribe("a", print, after="1"), "after must be a whole number, got '1'"),
        (lambda ledger: ledger.subscribe(7, print), "name must be text, got 7"),
        (lambda ledger: ledger.subscribe("a", None), "handler must be callable, got None"),
        (lambda ledger: ledger.replay("delivery.toml"), "definitions must be Definitions, got"),
        (lambda ledger: ledger.differences(None), "definitions must be Definitions, got None"),
        (lambda ledger: ledger.deliveries("sent"), "query must be a Query, got 'sent'"),
        (lambda ledger: ledger.record(b"?", source=None), "source must be text, got None"),
        (lambda ledger: ledger.record(b"?", content_encoding=1), "content_encoding must be text, got 1"),
        (lambda ledger: ledger.record(b"?", sender=None), "sender must be text, got None"),
        (lambda ledger: ledger.record(b"?", query=1), "query must be True or False, got 1"),
        (lambda ledger: ledger.accept("1", 2), "first must be a whole number, got '1'"),
        (lambda ledger: ledger.accept(-1, 0), "first must be at least 0, got -1"),
        (lambda ledger: ledger.accept(2, 1), "last must be at least 2, got 1"),
        (lambda ledger: ledger.created(7, to="1"), "tracking_id must be text or a sequence, got 7"),
        (lambda ledger: ledger.audit(tracking_id=7), "tracking_id must be text, got 7"),
        (lambda ledger: Ledger(7), r"path must be a path \(str or PathLike\) or Address, got 7"),
        (lambda ledger: Anchor("x", "0" * 64), "size must be a whole number of at least 0, got 'x'"),
        (lambda ledger: Anchor(True, "0" * 64), "size must be a whole number of at least 0, got True"),
        (lambda ledger: Anchor(-1, "0" * 64), "size must be a whole number of at least 0, got -1"),
        (lambda ledger: Anchor(1, "abc"), "root must be 64 hexadecimal digits, got 'abc'"),
        (lambda ledger: Anchor.parse("11:abc"), "invalid anchor '11:abc': expected SIZE:ROOT"),
        (lambda ledger: ledger.delivery("a", definitions="later"), 'definitions must be "now" or "then"'),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named(ledger: Ledger, ask: Any, told: str) -> None:
    """At once, before anything is read or written."""
    ledger.record(sent("a"))
    with pytest.raises((TypeError, ValueError), match=told):
        ask(ledger)
    assert ledger.head().size == 2
    assert ledger.checkpoints() == ()


@pytest.mark.parametrize("after", [2**63 - 1, 2**63, 2**70, -(2**63), -(2**70)])
def test_a_position_that_no_log_reaches_is_one_like_others(ledger: Ledger, after: int) -> None:
    """Behind the last there is nothing, after one before the first there is all."""
    ledger.record(sent("a"))
    expected = list(ledger.events()) if after < 0 else []
    assert list(ledger.events(after)) == expected
    assert list(ledger.follow(after, live=False)) == (
        list(ledger.follow(live=False)) if after < 0 else []
    )
    ledger.subscribe("a", print, after=after).stop()
    ledger.subscribe("a", print).stop()


def test_pages_of_events_are_bounded_in_bytes(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page ends with the body that makes it large; none is left out, and changes go on after it."""
    monkeypatch.setattr(log, "PAGE_BYTES", 1_000)
    bodies = [*map(sent, "abc"), b"x" * 5_000, *map(delivered, "abc"), b"\xff" * 5_000]
    ledger.record_many(bodies)
    assert len(ledger._connections._own().log.page(1, 100)) == 4
    assert [event.body for event in ledger.events(0)] == bodies
    assert [change.position for change in ledger.follow(live=False)] == [1, 2, 3, 5, 6, 7]


@pytest.mark.parametrize("keys", [["a"], ["a", "b", "c"]])
def test_a_bundle_is_read_once_for_all_of_its_members(
    ledger: Ledger, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once for each of them, whatever is asked: that would be the square of their number."""
    members = b"".join(sent(keys[n % len(keys)]) for n in range(60))
    body = members.replace(b"POSTBACK", b"NOTIFICATION")
    bundle = b"<POSTBACK>" + re.sub(rb"<\?xml[^>]*>", b"", body) + b"</POSTBACK>"
    at = datetime(2026, 1, 1, tzinfo=UTC)
    reads: list[int] = []
    read, found = wire.read, Log.at

    def counting(*arguments: Any, **others: Any) -> Any:
        reads.append(1)
        return read(*arguments, **others)

    def looking(log: Log, position: int) -> Any:
        reads.append(1)
        return found(log, position)

    monkeypatch.setattr(wire, "read", counting)
    monkeypatch.setattr(Log, "at", looking)
    for _ in range(2):
        ledger.record(bundle, received_at=at)
    for asked in (
        lambda: ledger.record(bundle, received_at=at),
        lambda: ledger.timeline("a"),
        lambda: len(list(ledger.events())),
        lambda: len(list(ledger.follow(live=False))),
        ledger.verify,
        lambda: ledger.replay(index=True),
        ledger.audit,
    ):
        reads.clear()
        asked()
        assert len(reads) < 60
    assert ledger.delivery("a").events == 1


def test_a_contradiction_names_the_event_that_entered_the_state(ledger: Ledger) -> None:
    """Of the region that the trigger contradicts, whatever changed another region since."""
    at = "2013-11-05T05:41:{}-05:00".format
    no_route = {"ORIGIN": "MMS_MT", "CODE": "E101", "STATUS": "Message Failed"}
    binary = {"ORIGIN": "MMS_MT", "CODE": "N101", "SENTAS": "MMS"}
    ledger.record_many(
        [
            sent("a", **no_route, TIMESTAMP=at(10)),
            delivered("a", STATUS="Message Sent/Failed", TIMESTAMP=at(11)),
            delivered("a", TIMESTAMP=at(12)),
            sent("b", TIMESTAMP=at(10)),
            sent("b", **binary, TIMESTAMP=at(11)),
            delivered("b", TIMESTAMP=at(12)),
        ]
    )
    found = [[(step.event.position, step.against) for step in ledger.timeline(key)] for key in "ab"]
    assert found == [[(1, None), (2, None), (3, 1)], [(4, None), (5, 4), (6, None)]]
