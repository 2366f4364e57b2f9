"""An event's leaf is what the file-format page says, and an envelope is read back as it was written."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postledger.errors import IntegrityError
from postledger.log.event import Clock, Envelope, Kind, Part, leaf_of
from postledger.templates import texts_of, written

TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
ENVELOPES = st.builds(
    Envelope,
    st.sampled_from(Kind),
    st.sampled_from(Clock),
    TEXTS,
    TEXTS,
    st.none() | TEXTS,
    st.none() | TEXTS,
    st.sampled_from(Part),
)
POSITIONS = st.integers(0, 2**63 - 1)
TIMES = st.integers(-(2**63), 2**63 - 1)
SALTS = st.binary(min_size=16, max_size=16)
SALT = bytes(range(16))
EVENTS = st.tuples(POSITIONS, TIMES, ENVELOPES, SALTS, st.binary(max_size=4))


@pytest.mark.parametrize(
    ("position", "received_at", "envelope", "body", "leaf"),
    [
        (
            1,
            1383648068000000,
            Envelope(content_type="text/xml"),
            b"<P/>",
            "005cb49c90a1bf76ec349077c0c14d9f1133e39f9fd01cbc2ce6078293ac2858",
        ),
        (
            2**32,
            -1,
            Envelope(Kind.STATEMENT, Clock.STATED, source="skycore", sender="basic"),
            b"",
            "47925c85811fda5ae7b7943931fd6d845ed4487e81e0e2b69ff12b1e9066f197",
        ),
    ],
)
def test_leaf_vectors(
    position: int, received_at: int, envelope: Envelope, body: bytes, leaf: str
) -> None:
    """The leaf is part of the file format: these vectors stand on its page too."""
    assert leaf_of(position, received_at, envelope, SALT, body).hex() == leaf


def plainly(position: int, at: int, envelope: Envelope, salt: bytes, body: bytes) -> bytes:
    """The leaf by the table of the page."""
    leaf = b"postledger leaf 1\n" + position.to_bytes(8) + at.to_bytes(8, signed=True)
    for text in (envelope.kind, envelope.clock, envelope.source, envelope.sender, envelope.part):
        leaf += len(text.encode()).to_bytes(4) + text.encode()
    for one in (envelope.content_type, envelope.content_encoding):
        leaf += b"\0" if one is None else b"\1" + len(one.encode()).to_bytes(4) + one.encode()
    return sha256(b"\0" + leaf + sha256(salt + body).digest()).digest()


@given(EVENTS)
@example((0, 0, Envelope(Kind.ADOPTION, source="\U0001f600", content_type=""), SALT, b"\0"))
def test_leaf_follows_its_description(event: tuple[int, int, Envelope, bytes, bytes]) -> None:
    """Every field of an event is covered, with its length."""
    assert leaf_of(*event) == plainly(*event)


@given(EVENTS, EVENTS)
@example(
    (1, 1, Envelope(source="a", sender=""), SALT, b""),
    (1, 1, Envelope(source="", sender="a"), SALT, b""),
)
@example((1, 1, Envelope(content_type=""), SALT, b""), (1, 1, Envelope(), SALT, b""))
def test_leaf_tells_events_apart(
    one: tuple[int, int, Envelope, bytes, bytes], other: tuple[int, int, Envelope, bytes, bytes]
) -> None:
    """Two events have one leaf only where all their fields are equal."""
    assert (leaf_of(*one) == leaf_of(*other)) is (one == other)


@given(ENVELOPES)
def test_envelope_is_read_back(envelope: Envelope) -> None:
    """What the file has of an envelope gives the envelope."""
    assert Envelope.from_json(envelope.to_json()) == envelope


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '["receipt","ours","","",null,null]',
        '["receipt","ours","","",null,null,"body",1]',
        '["rumour","ours","","",null,null,"body"]',
        '["receipt","theirs","","",null,null,"body"]',
        '["receipt","ours","","",null,null,"tail"]',
        '["receipt","ours",7,"",null,null,"body"]',
        '["receipt","ours","","",7,null,"body"]',
        '["receipt","ours","","",null,0,"body"]',
        '["receipt", "ours","","",null,null,"body"]',
    ],
)
def test_damaged_envelope_is_refused(text: object) -> None:
    """An envelope that isn't written as envelopes are was altered."""
    with pytest.raises(IntegrityError, match="an envelope is damaged"):
        Envelope.from_json(text)


@given(st.lists(st.text(st.characters(codec="utf-8"))))
@example(['"', "\\", '","', "\x00", "\u2028", "é"])
@example([])
def test_texts_are_read_back(texts: list[str]) -> None:
    """The texts of an event are those of its JSON array, escaped or not."""
    assert written(texts) == json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    assert texts_of(written(texts)) == texts
