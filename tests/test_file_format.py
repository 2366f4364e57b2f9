"""What the file gives to people who read it without Postledger."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import blake2b, sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Anchor, Ledger, Receipt
from tests.conftest import FIXTURES, ledger_of
from tests.samples import sent

BUNDLE = (FIXTURES / "generations/g0/bundle.xml").read_bytes()
SAMPLE = (FIXTURES / "specification/01-sms-mt-sent.xml").read_bytes()
PAGE = Path(__file__).parents[1] / "docs/reference/file-format.md"
WIDE = "".join(f"<A{n}>%{n}$s{n}%</A{n}>" for n in range(260))

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
    "more texts than a template takes": f"<POSTBACK>{WIDE}</POSTBACK>".encode(),
    "json": b'{"a": "b\\\\n", "c": [1, 2.5, true]}',
    "form": b"xml=%3CPOSTBACK%3E%3CTO%3E1%3C%2FTO%3E%3C%2FPOSTBACK%3E",
}


def root_of(leaves: list[bytes]) -> bytes:
    """The root of the tree, by RFC 9162, section 2.1.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256().digest()
    middle = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\1" + root_of(leaves[:middle]) + root_of(leaves[middle:])).digest()


def computed(path: Path) -> tuple[list[bytes], list[bytes]]:
    """The bodies and leaves of a file as anybody computes them from its tables and the page."""
    bodies, leaves = [], []
    with closing(sqlite3.connect(path)) as db:
        templates = {n: json.loads(p) for n, p in db.execute("SELECT id, pieces FROM templates")}
        envelopes = dict(db.execute("SELECT id, envelope FROM envelopes"))
        columns = "position, received_at, envelope, inline, template, texts, body, salt"
        for at, time, envelope, inline, template, texts, body, salt in db.execute(
            f"SELECT {columns} FROM events ORDER BY position"
        ):
            if template is not None:
                pieces, last = templates[template][:-1], templates[template][-1]
                filled = zip(pieces, json.loads(texts), strict=True)
                body = ("".join(p + t for p, t in filled) + last).encode()
            kind, clock, source, sender, *optional, part = json.loads(
                envelopes.get(envelope) or inline
            )
            leaf = b"postledger leaf 1\n" + at.to_bytes(8) + time.to_bytes(8, signed=True)
            for text in (kind, clock, source, sender, part):
                leaf += len(text.encode()).to_bytes(4) + text.encode()
            for text in optional:
                leaf += (
                    b"\0"
                    if text is None
                    else b"\1" + len(text.encode()).to_bytes(4) + text.encode()
                )
            bodies.append(body)
            leaves.append(sha256(b"\0" + leaf + sha256(salt + body).digest()).digest())
    return bodies, leaves


def assert_computed(ledger: Ledger) -> None:
    """Bodies, leaves and root are those that anybody computes."""
    bodies, leaves = computed(ledger.path)
    events = [event for event in ledger.events() if event.member == 0]
    assert [event.body for event in events] == bodies
    assert [event.leaf for event in events] == leaves
    assert ledger.head() == Anchor(len(leaves), root_of(leaves).hex())


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_leaves_of_every_kind_of_body(body: bytes) -> None:
    """The tables give all that the tree covers, of a body, its repeat and in another envelope."""
    told = [body, body, Receipt(body, "text/xml"), Receipt(body, "a/b", source="x", imported=True)]
    with ledger_of(told) as ledger:
        assert_computed(ledger)
        assert ledger.verify().ok
        (shown,) = ledger.query("SELECT body, source, clock FROM event_log WHERE position = 4")
        assert (shown["source"], shown["clock"]) == ("x", "stated")
        assert b"\0" in body or shown["body"] == body.decode("utf-8", "replace")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([Receipt(b, t) for b in BODIES.values() for t in (None, "a/b")])))
def test_leaves_of_any_log(receipts: Iterable[Receipt]) -> None:
    """The tables give all that the tree covers, whatever came in which order and how often."""
    with ledger_of(receipts) as ledger:
        assert_computed(ledger)


def test_every_table_and_column_stands_on_the_page(ledger: Ledger) -> None:
    """And every view and index."""
    text = PAGE.read_text()
    store = ledger._connections._own().store
    for (kind, name), _ in store.objects().items():
        shown = name.replace("_1", "_N")
        if kind == "trigger":
            continue
        assert f"`{shown}`" in text, f"{kind} {shown}"
        if kind in ("table", "view"):
            for column in store.execute(f"PRAGMA table_info({name})").fetchall():
                assert f"`{column[1]}`" in text, f"{shown}.{column[1]}"


def test_what_deliveries_are_found_by_can_be_computed(tmp_path: Path) -> None:
    """Term, time and delivery of each entry, as the page says."""

    def term(text: str) -> int:
        hashed = blake2b(text.casefold().encode(), digest_size=8).digest()
        return 1_000_000 + int.from_bytes(hashed) % 15_777_215

    at = datetime(2026, 11, 5, 10, 41, 8, 123_456, tzinfo=UTC)
    told = sent("a", TO="+1 (650) 333-3058", MMSID="59K", STATUSDETAILS="No ROUTE; no")
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.record(told.replace(b"Message Sent", b"Message Failed"), received_at=at)
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        entries = {entry for (entry,) in db.execute("SELECT entry FROM search_1")}
    time = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=8192)
    terms = {850_333, term("59k"), term("no"), term("route")}
    assert entries == {n.to_bytes(3) + time.to_bytes(5) + b"\1" for n in terms}
