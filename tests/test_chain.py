"""The hash chain is what its description says, whatever way it is computed."""

from __future__ import annotations

import json
from hashlib import sha256

from hypothesis import example, given
from hypothesis import strategies as st

from postledger.log.chain import START, head_of, link
from postledger.log.log import Stored
from postledger.log.shapes import unreadable

texts = st.text(st.characters(codec="utf-8"))
numbers = st.integers(-(2**63), 2**63 - 1)
positions = st.none() | st.integers(1, 2**63 - 1)


@given(
    st.tuples(numbers, numbers, st.none() | texts, texts, texts, numbers),
    st.binary(min_size=16, max_size=16),
    st.tuples(numbers, positions, positions),
)
@example((1, 2, 'é"\\\n\x00', "\u2028", "\U0001f600</", 3), b'"' * 16, (4, None, 5))
def test_a_head_is_what_json_makes_of_the_event(
    before: tuple[int, int, str | None, str, str, int],
    digest: bytes,
    behind: tuple[int, int | None, int | None],
) -> None:
    """The head is the event as a JSON array in ASCII: position, reception, and so on, in order."""
    position, received_at, content_type, chart, key, occurred_at = before
    event = Stored(
        position, received_at, (chart, key), occurred_at,
        unreadable(content_type), [], b"body", behind[0], behind[1], behind[2], digest, START,
    )  # fmt: skip
    written = json.dumps([*before, digest.hex(), *behind], separators=(",", ":"))
    assert head_of(event, position) == written
    assert event.head() == written


@given(texts, st.binary(), st.binary(min_size=32, max_size=32))
def test_a_link_covers_what_was_before_the_head_and_the_body(
    head: str, body: bytes, previous: bytes
) -> None:
    """The value is SHA-256 over the previous one, the head, a newline and the body."""
    assert link(previous, head, body) == sha256(previous + head.encode() + b"\n" + body).digest()
