"""Senders: what is unverified is kept and moves no state, until the program accepts it."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from postledger import UNVERIFIED, IntegrityError, Ledger, LedgerError, Receipt, UnknownKey
from postledger.log import interned
from postledger.log.event import Kind
from tests.conftest import FIXTURES
from tests.samples import delivered, sent
from tests.stores import both_stores

pytestmark = both_stores

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
BUNDLE = (FIXTURES / "generations/g0/bundle.xml").read_bytes()


def test_an_unverified_event_is_kept_unread(ledger: Ledger) -> None:
    """It has its bytes, its sender and its leaf, and belongs to no delivery."""
    recorded = ledger.record(sent("a"), "text/xml", sender=UNVERIFIED, source="here")
    event = recorded.event
    assert (recorded.verdict, recorded.delivery, recorded.others) == ("unverified", None, ())
    assert (event.reading, event.sender, event.source) == ("unverified", "unverified", "here")
    assert (event.body, event.postback, event.problem, event.key) == (sent("a"), None, None, None)
    with pytest.raises(UnknownKey):
        ledger.delivery("a")
    assert list(ledger.events(0)) == [event]
    assert ledger.verify().ok


def test_a_sender_whose_check_passed_is_kept_with_the_event(ledger: Ledger) -> None:
    """Its name says which check it was, and nothing else depends on it."""
    recorded = ledger.record(sent("a"), sender="hmac")
    assert (recorded.verdict, recorded.event.sender) == ("applied", "hmac")
    assert ledger.record(sent("a"), sender="basic").verdict == "repeated"


@pytest.mark.parametrize(
    "sender", ["UNVERIFIED", "Unverified", "unverified ", "accepted", "ÿ", "a b", "-", "a" * 65]
)
def test_a_sender_that_no_check_can_have_is_refused(ledger: Ledger, sender: str) -> None:
    """A mistyped one is not taken for a check that passed, and nobody but the ledger accepts."""
    said = "sender must be UNVERIFIED, or lower-case letters, .* and not accepted, got "
    with pytest.raises(ValueError, match=said):
        ledger.record(sent("a"), sender=sender)
    assert ledger.head().size == 1


def test_receipts_of_another_ledger_keep_their_senders(ledger: Ledger) -> None:
    """Many receipts at once may be those of a log, with what was accepted there."""
    assert ledger.record_many([Receipt(sent("a"), sender="accepted")]).recorded == 1


def test_a_forged_copy_never_takes_the_place_of_the_real_one(ledger: Ledger) -> None:
    """Received before or after it; another forged copy repeats the first one of these."""
    forged = ledger.record(sent("a"), sender=UNVERIFIED)
    real = ledger.record(sent("a"))
    again = ledger.record(sent("a"), sender=UNVERIFIED)
    assert (real.verdict, real.event.repeats) == ("applied", None)
    assert (again.verdict, again.event.repeats) == ("repeated", forged.event.position)
    assert (again.event.reading, again.event.sender) == ("unverified", "unverified")
    delivery = ledger.delivery("a")
    assert (delivery.events, delivery.repeats, delivery.findings) == (1, 0, ("no_creation",))
    for body in (b"", b"\xff"):
        verdicts = [ledger.record(body, sender=one).verdict for one in (UNVERIFIED, "", "x")]
        assert verdicts == ["unverified", "unreadable", "repeated"]


def test_unverified_events_are_counted_and_change_nothing_that_is_followed(ledger: Ledger) -> None:
    """A bundle is one of them: it is not read."""
    ledger.record(sent("a"))
    summary = ledger.record_many(
        [Receipt(body, sender=UNVERIFIED) for body in (delivered("a"), BUNDLE, BUNDLE)]
    )
    assert (summary.recorded, summary.unverified, summary.repeated) == (0, 2, 1)
    assert [change.position for change in ledger.follow(live=False)] == [1]
    before = list(ledger.deliveries())
    ledger.replay(index=True)
    assert list(ledger.deliveries()) == before
    assert [event.reading for event in ledger.events(1)] == ["unverified"] * 3


def test_strangers_fill_no_table_of_the_log(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their bodies make no template, and their content types no envelope."""
    monkeypatch.setattr(interned, "MOST_ENVELOPES", 4)
    for number in range(9):
        body = b"<A%d><B>1</B></A%d>" % (number, number)
        ledger.record(body, f"text/{number}", sender=UNVERIFIED)
    assert ledger.query("SELECT count(*) AS n FROM templates") == [{"n": 0}]
    ledger.record(sent("a"), "text/xml")
    (row,) = ledger.query("SELECT inline, body FROM events WHERE position = 10")
    assert row == {"inline": None, "body": None}
    assert ledger.verify().ok


# --- accept ---


def test_what_is_accepted_counts_as_received_then(ledger: Ledger) -> None:
    """It is recorded again at its own time, under its own source and type; others are left alone."""
    ledger.record(sent("a"), received_at=NOON, sender=UNVERIFIED, source="here")
    ledger.record(delivered("a"), received_at=NOON + timedelta(hours=1), sender="basic")
    ledger.record(sent("b"), received_at=NOON, sender=UNVERIFIED, source="there")
    assert ledger.accept(1, 3, source="here") == 1
    *_, copy, said = ledger.events(3)
    assert (copy.sender, copy.source, copy.received_at) == ("accepted", "here", NOON)
    assert (copy.body, copy.reading, copy.imported) == (sent("a"), "recognised", False)
    assert (said.kind, said.reading) == ("import", "")
    assert json.loads(said.body) == {"accepted": [1, 3], "source": "here", "receipts": 1}
    assert ledger.delivery("a").state == "delivered"
    assert ledger.delivery("a").first_received_at == NOON
    # Its reception is that of the first sight, so nothing came late.
    assert [step.verdict for step in ledger.timeline("a")] == ["applied", "applied"]
    with pytest.raises(UnknownKey):
        ledger.delivery("b")
    assert next(ledger.events(0)).reading == "unverified"
    assert ledger.verify().ok


def test_accepting_again_adds_repeats_and_changes_nothing(ledger: Ledger) -> None:
    """Whatever the range; what was received by another way counts once, too."""
    ledger.record_many(
        Receipt(body, received_at=NOON, sender=UNVERIFIED) for body in (sent("a"), delivered("a"))
    )
    assert [ledger.accept(0, 2), ledger.accept(1, 1)] == [2, 1]
    assert ledger.record(sent("a"), received_at=NOON).verdict == "repeated"
    delivery = ledger.delivery("a")
    assert (delivery.state, delivery.events, delivery.repeats) == ("delivered", 2, 2)


def test_what_was_accepted_is_marked(ledger: Ledger) -> None:
    """The event of the failed check stays; of another source, range or reading nothing is marked."""
    ledger.record(sent("a"), sender=UNVERIFIED, source="here")
    ledger.record(sent("b"), sender=UNVERIFIED, source="there")
    ledger.record(sent("c"), source="here")
    ledger.record(sent("d"), sender=UNVERIFIED, source="here")
    ledger.imported("0" * 64, receipts=1)
    assert not any(event.accepted for event in ledger.events())
    ledger.accept(1, 3, source="here")
    ledger.record(sent("a"), sender=UNVERIFIED, source="here")
    assert [event.position for event in ledger.events() if event.accepted] == [1]
    assert next(event.reading for event in ledger.events(0)) == "unverified"
    assert ledger.record(sent("e"), sender=UNVERIFIED).event.accepted is False


def test_acceptance_that_is_damaged_is_said(ledger: Ledger) -> None:
    """Nothing is guessed of what it accepted."""
    ledger.record(sent("a"), sender=UNVERIFIED)
    with ledger._connections.write() as own:
        ledger._write(own, [(Receipt(b'{"accepted": 1}', "application/json"), Kind.IMPORT)])
    with pytest.raises(IntegrityError, match="position 2: the import is damaged; run verify"):
        list(ledger.events())


def test_nothing_to_accept_writes_nothing(ledger: Ledger) -> None:
    """A range of verified events, of adoptions, or of another source."""
    ledger.record(sent("a"))
    ledger.record(sent("b"), sender=UNVERIFIED, source="here")
    assert ledger.accept(0, 1) == ledger.accept(0, 2, source="") == 0
    assert ledger.head().size == 3


def test_a_range_beyond_the_log_is_refused(ledger: Ledger) -> None:
    """Who trusts events has seen them."""
    ledger.record(sent("a"), sender=UNVERIFIED)
    with pytest.raises(LedgerError, match="last must be at most 1, got 2"):
        ledger.accept(0, 2)
    assert ledger.head().size == 2


def test_many_events_are_accepted_in_batches(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, and in transactions of their own."""
    monkeypatch.setattr("postledger.ledger.ledger._PAGE", 4)
    bodies = [sent(str(number)) for number in range(10)]
    ledger.record_many(Receipt(body, sender=UNVERIFIED) for body in bodies)
    assert ledger.accept(2, 9) == 8
    assert [d.tracking_id for d in ledger.deliveries()] == [str(n) for n in range(1, 9)]
    assert ledger.head().size == 1 + 10 + 8 + 1


def test_what_is_accepted_keeps_its_part_and_encoding(ledger: Ledger) -> None:
    """A query string is read as one, a compressed body decompressed."""
    query = urlencode({"xml": sent("a")}).encode()
    packed = gzip.compress(sent("b"))
    ledger.record(query, sender=UNVERIFIED, query=True)
    ledger.record(packed, "text/xml", sender=UNVERIFIED, content_encoding="gzip")
    assert ledger.accept(1, 2) == 2
    assert [(e.query, e.content_encoding, e.body) for e in ledger.events(2)][:2] == [
        (True, None, query),
        (False, "gzip", packed),
    ]
    assert {d.tracking_id for d in ledger.deliveries()} == {"a", "b"}


def test_query_strings_and_compressed_bodies_are_kept_as_they_came(tmp_path: Path) -> None:
    """Their leaves cover what was received; what they say equals what a plain body says."""
    query = urlencode({"xml": sent("a")}).encode()
    packed = gzip.compress(sent("a"))
    with Ledger(tmp_path / "l.db") as ledger:
        assert ledger.record(query, "application/json", query=True).verdict == "applied"
        assert ledger.record(packed, content_encoding="gzip").verdict == "repeated"
        assert ledger.record(packed).verdict == "repeated"
        assert ledger.record(sent("a")).verdict == "repeated"
        assert [e.body for e in ledger.events(0)] == [query, packed, packed, sent("a")]
        parts = ledger.query("SELECT part FROM event_log WHERE position > 0 ORDER BY position")
        assert [row["part"] for row in parts] == ["query", "body", "body", "body"]
        ledger.replay(index=True)
        assert ledger.delivery("a").repeats == 3
        assert ledger.verify().ok
