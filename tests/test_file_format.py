"""What the file gives to people who read it without Postledger."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Ledger, Receipt
from tests.conftest import FIXTURES, ledger_of

BUNDLE = (FIXTURES / "generations/g0/bundle.xml").read_bytes()
SAMPLE = (FIXTURES / "specification/01-sms-mt-sent.xml").read_bytes()
WIDE = "".join(f"<A{n}>%{n}$s{n}%</A{n}>" for n in range(60))

BODIES = {
    "as printed": SAMPLE,
    "other line ends": SAMPLE.replace(b"\n", b"\r\n"),
    "bundle": BUNDLE,
    "binary": b"\xff\x00\xfe",
    "empty": b"",
    "latin-1": "<?xml version='1.0' encoding='latin-1'?><POSTBACK><TO>ü</TO></POSTBACK>".encode(
        "latin-1"
    ),
    "not ascii": "<POSTBACK><TO>ünï</TO></POSTBACK>".encode(),
    "percent signs": b"<POSTBACK>%d<A>100%</A><B>%s</B></POSTBACK>",
    "more fields than a template leaves open": f"<POSTBACK>{WIDE}</POSTBACK>".encode(),
    "form": b"xml=%3CPOSTBACK%3E%3CTO%3E1%3C%2FTO%3E%3C%2FPOSTBACK%3E",
}


def computed(path: Path) -> list[str]:
    """The chain of a file as anybody computes it from the view, without Postledger."""
    value, chain = bytes(32), []
    with closing(sqlite3.connect(path)) as db:
        for *head, body, _ in db.execute("SELECT * FROM hash_chain ORDER BY position"):
            line = json.dumps(head, separators=(",", ":")).encode()
            value = sha256(value + line + b"\n" + body).digest()
            chain.append(value.hex())
    return chain


def recorded(ledger: Ledger) -> list[str]:
    """The chain as the ledger has it."""
    return [event.hash.hex() for event in ledger.events()]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_chain_of_every_kind_of_body(body: bytes) -> None:
    """The view gives all that the chain covers, of a body, its repeat and its repeat as other type."""
    with ledger_of([body, body, Receipt(body, "text/xml"), Receipt(body, "text/xml")]) as ledger:
        assert computed(ledger.path) == recorded(ledger)
        assert ledger.verify().ok


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([Receipt(b, t) for b in BODIES.values() for t in (None, "a/b")])))
def test_chain_of_any_log(receipts: Iterable[Receipt]) -> None:
    """The view gives all that the chain covers, whatever came in which order and how often."""
    with ledger_of(receipts) as ledger:
        assert computed(ledger.path) == recorded(ledger)
        assert ledger.verify().ok


def test_repeated_member_of_a_bundle(ledger: Ledger) -> None:
    """A member of a bundle that came again says what it repeats, not what its first member says."""
    ledger.record_many([BUNDLE, BUNDLE])
    events = list(ledger.events())
    half = len(events) // 2
    assert [event.postback for event in events[half:]] == [e.postback for e in events[:half]]
    assert [event.repeats for event in events[half:]] == [e.position for e in events[:half]]
    assert {event.body for event in events} == {BUNDLE}
