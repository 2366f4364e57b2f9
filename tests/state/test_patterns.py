"""Patterns say the same of a body as the readers of record do."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postledger import Ledger, Receipt
from postledger.definitions.definitions import builtin
from postledger.errors import ReadError
from postledger.log.event import Envelope, Kind, Part
from postledger.model import UNVERIFIED
from postledger.state import patterns as module
from postledger.state.patterns import Patterns, Statement, read
from postledger.wire import Limits
from tests import strategies
from tests.conftest import ledger_of

DEFINITIONS = builtin()
SAMPLES = sorted(Path(__file__).parents[2].glob("fixtures/**/*.xml"))
KINDS = st.sampled_from([Kind.RECEIPT, Kind.STATEMENT])


def patterns() -> Patterns:
    """Patterns that have learned nothing yet."""
    return Patterns(DEFINITIONS, Limits())


def told(statements: list[Statement]) -> list[object]:
    """What statements say, whatever pattern says it."""
    return [
        (s.stream, s.occurred_at, s.identity, s.findings, s.kind, s.problem, _said(s))
        for s in statements
    ]


def _said(statement: Statement) -> object:
    postback = statement.postback
    if postback is None or statement.pattern is None:
        return None
    fact = statement.pattern.fact(0, b"", 0, 0, statement.texts, 0)
    # Attributes of the message's element say nothing, and a template gives none of them.
    return postback.root, postback.fields, postback.repaired, postback.statement, fact


def assert_read_alike(learned: Patterns, body: bytes, envelope: Envelope) -> None:
    """By the pattern, plainly, without any pattern, and read back from its template."""
    taken = learned.take(body, envelope)
    plainly = learned.read_plainly(body, envelope)
    assert told(taken.statements) == told(plainly)
    bare = [learned.plainly(s.postback) if s.postback is not None else s for s in plainly]
    assert told(bare) == told(plainly)
    for template, texts in ((taken.template, taken.texts), (taken.plain, taken.all_texts)):
        if template is not None:
            assert template.fill(texts) == body
            family = learned.family_of(template, envelope)
            assert family is not None
            assert told([family.of(texts).statement(texts)]) == told(plainly)


@settings(deadline=None)
@given(st.lists(strategies.receipts(), max_size=12), KINDS)
def test_what_was_learned_changes_nothing(receipts: list[Receipt], kind: Kind) -> None:
    """Of any bodies in any order, each says the same to patterns that have seen others."""
    learned = patterns()
    for receipt in [*receipts, *receipts, *receipts]:
        envelope = Envelope(kind, content_type=receipt.content_type)
        assert_read_alike(learned, receipt.body, envelope)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples_say_the_same(path: Path) -> None:
    """Each sample says the same at the first, second and third time."""
    learned = patterns()
    for _ in range(3):
        assert_read_alike(learned, path.read_bytes(), Envelope(content_type="text/xml"))


WORDY = "<POSTBACK><ORIGIN>{}</ORIGIN><CODE>{}</CODE><STATUS>{}</STATUS><SENTAS>{}</SENTAS>{}</POSTBACK>"
words = st.sampled_from(
    ["SMS_MT", "MMS_MT", "N101", "N102", "N201", "N202", "N999", "Message Sent", "MMS", "SMS", "x"]
)
rests = st.sampled_from(
    [
        "<TRACKINGID>a</TRACKINGID><TIMESTAMP>2026-01-01T00:00:00Z</TIMESTAMP>",
        "<TRACKINGID>a</TRACKINGID><TIMESTAMP>2026-01-01 00:00:00</TIMESTAMP>",
        "<TRACKINGID>a</TRACKINGID><TIMESTAMP>2026-13-01T00:00:00Z</TIMESTAMP>",
        "<TRACKINGID>b</TRACKINGID><TRACKINGID>a</TRACKINGID>",
        "<TRACKINGID>a</TRACKINGID><TRACKING-ID>b</TRACKING-ID>",
        "<TRACKINGID>a &amp; b</TRACKINGID>",
        "<TRACKINGID>é</TRACKINGID>",
        "<TRACKINGID></TRACKINGID><TO>1</TO>",
        "<TO><A>1</A>2</TO><TRACKINGID>%s</TRACKINGID>",
    ]
)


@settings(deadline=None)
@given(st.lists(st.tuples(words, words, words, words, rests), max_size=8))
def test_words_in_any_place_say_the_same(filled: list[tuple[str, ...]]) -> None:
    """One skeleton with words in all combinations says of each body what the plain way says."""
    learned = patterns()
    for texts in filled * 3:
        assert_read_alike(learned, WORDY.format(*texts).encode(), Envelope())


def test_known_pattern_needs_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first of a kind, bodies are taken in without the readers of record."""
    learned = patterns()
    bodies = [
        WORDY.format("SMS_MT", "N201", "Message Sent", "SMS", f"<TO>{n}</TO>").encode()
        for n in "1234"
    ]
    first = learned.take(bodies[0], Envelope())
    assert first.template is not None

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(module, "read", never)
    assert [learned.take(body, Envelope()).template for body in bodies] == [first.template] * 4
    assert [learned.take(body, Envelope()).texts for body in bodies] == [[n] for n in "1234"]


def test_attributes_of_the_message_are_kept_and_say_nothing() -> None:
    """Two sendings differ in bytes alone: one identity, and a template that gives both back."""
    form = b"<NOTIFICATION id='%b' created='%b'><CODE>N101</CODE><TO>1</TO></NOTIFICATION>"
    learned = patterns()
    one, other = (
        learned.take(form % said, Envelope()) for said in ((b"1", b"now"), (b"2", b"then"))
    )
    assert one.template == other.template is not None
    assert one.statements[0].identity == other.statements[0].identity
    assert other.template is not None
    assert other.template.fill(other.texts) == form % (b"2", b"then")
    assert_read_alike(learned, form % (b"3", b"x"), Envelope())


def nested(depth: int, fields: int, text: str) -> bytes:
    """Two fields that say something, next to many in nested elements of long names."""
    held = "".join(f"<a{n}>{text}</a{n}>" for n in range(fields))
    for level in range(depth):
        name = chr(97 + level) * 60
        held = f"<{name}>{held}</{name}>"
    return WORDY.format(
        "SMS_MT", "N201", "Message Sent", "SMS", f"<TRACKINGID>K</TRACKINGID>{held}"
    ).encode()


@settings(deadline=None)
@given(st.integers(1, 17), st.integers(1, 150), st.lists(st.sampled_from(["", "x", "y" * 90])))
@example(17, 138, ["x"])
@example(5, 60, ["x", "", "y" * 90])
def test_names_longer_than_the_body_are_refused_in_every_way(
    depth: int, fields: int, texts: list[str]
) -> None:
    """A template, whose texts may be long, is no wider than the shortest body that it stands for."""
    learned = patterns()
    for text in texts * 2:
        assert_read_alike(learned, nested(depth, fields, text), Envelope(content_type="text/xml"))


def test_names_longer_than_the_body_break_no_delivery(tmp_path: Path) -> None:
    """What is refused stands alone: the delivery stays as it is, and the ledger whole."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record(nested(1, 1, "x"))
        before = ledger.delivery("K")
        for depth, fields in ((17, 138), (5, 60), (9, 100)):
            ledger.record(nested(depth, fields, "x"))
        assert ledger.delivery("K").state == before.state == "sent"
        assert ledger.verify().problems == ()


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(content_encoding="gzip"),
        Envelope(part=Part.QUERY),
        Envelope(sender=UNVERIFIED),
        Envelope(content_type="text/xml; charset=utf-7"),
        Envelope(Kind.STATEMENT),
    ],
    ids=["encoded", "query", "unverified", "charset", "statement"],
)
def test_same_bytes_in_another_envelope_are_read_by_it(envelope: Envelope) -> None:
    """What was learned of bytes in one envelope says nothing of them in another."""
    body = WORDY.format("SMS_MT", "N201", "Message Sent", "SMS", "<TO>+AGE-</TO>").encode()
    learned = patterns()
    for one in (Envelope(), envelope, Envelope()):
        assert_read_alike(learned, body, one)


def test_limits_keep_the_quick_way_off() -> None:
    """A ledger that reads less than a template may hold reads all bodies plainly."""
    small = Patterns(DEFINITIONS, Limits(body_bytes=100))
    body = WORDY.format("SMS_MT", "N201", "Message Sent", "SMS", "<TO>1</TO>").encode()
    assert len(body) > 100
    assert not small.quick
    assert small.take(body, Envelope()).template is None
    assert [one.kind for one in small.take(body, Envelope()).statements] == ["unreadable"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies of ever new kinds don't grow it, and say the same after it was dropped."""
    monkeypatch.setattr(module, "MOST_PATTERNS", 3)
    learned = patterns()
    bodies = [b"<P><A%d>1</A%d><CODE>N1</CODE></P>" % (n, n) for n in range(9)]
    for body in bodies * 2:
        assert_read_alike(learned, body, Envelope())
        assert len(learned._skeletons) <= 3
        assert len(learned._families) <= 3


def test_a_number_stands_in_no_template(specification: list[bytes]) -> None:
    """Seven digits in a row are never fixed, whatever words a vocabulary lists."""
    learned = patterns()
    for body in specification:
        taken = learned.take(body, Envelope())
        for template in filter(None, (taken.template, taken.plain)):
            digits = "".join(
                c if c.isdigit() else " " if c.isalpha() else "" for c in "".join(template.pieces)
            )
            assert max(map(len, digits.split()), default=0) < 7


def test_what_is_remembered_is_bounded_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies may have 200 fields of any name: ten thousand such must not fill the memory."""
    monkeypatch.setattr("postledger.state.patterns.MOST_HELD", 2_000)
    known = Patterns(builtin(), Limits())
    for number in range(60):
        fields = "".join(f"<F{number}x{at}>1</F{number}x{at}>" for at in range(150))
        known.take(f"<P>{fields}</P>".encode(), Envelope())
    assert 0 < len(known._skeletons) <= 2_000 // 150
    assert 0 < len(known._families) <= 2_000 // 150
    words = ["N101", "N202", "E101", "E102"]
    for number in range(60):
        codes = "".join(f"<CODE>{words[number >> at & 3]}</CODE>" for at in range(150))
        known.take(f"<P>{codes}</P>".encode(), Envelope())
    assert all(len(family._patterns) <= 2_000 // 150 for family in known._families.values())


def test_what_cannot_be_read_is_told_by_its_bytes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that words its errors otherwise makes no new event of a body that came before."""
    with ledger_of([b'{"a": 1,}']) as ledger:
        words = json.JSONDecodeError.__init__

        def other(self: json.JSONDecodeError, msg: str, doc: str, pos: int) -> None:
            words(self, f"Illegal: {msg}", doc, pos)

        monkeypatch.setattr(json.JSONDecodeError, "__init__", other)
        assert ledger.record(b'{"a": 1,}').verdict == "repeated"
        assert ledger.verify().problems == ()


@pytest.mark.parametrize(
    ("done", "missing"),
    [(" done date:2603011000", False), ("", False), (" done date:2613011000", True)],
)
def test_a_stated_time_that_cannot_be_read_is_a_finding(
    tmp_path: Path, done: str, missing: bool
) -> None:
    """Where a postback needs no time too: that it has none is no finding."""
    receipt = Receipt(f"id:7{done} stat:DELIVRD".encode(), "text/plain")
    with Ledger(tmp_path / "l.db", providers="smpp") as ledger:
        ledger.record_many([receipt])
        (delivery,) = ledger.deliveries()
        assert ("timestamp_missing" in delivery.findings) is missing
        assert delivery.state == "delivered"


def test_a_body_that_cannot_be_read_is_let_go() -> None:
    """Nothing of an error keeps it in memory: of large ones many would be."""
    body = b"\xff" * 5_000
    gc.disable()
    try:
        before = sys.getrefcount(body)
        (members,) = read(body, Envelope(Kind.RECEIPT), Limits(body_bytes=1_000))
        assert isinstance(members[0], ReadError)
        del members
        assert sys.getrefcount(body) == before
    finally:
        gc.enable()
