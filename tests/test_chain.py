"""The hash chain is what its description says, whatever way it is computed."""

from __future__ import annotations

import json
from hashlib import sha256

from hypothesis import example, given
from hypothesis import strategies as st

from postledger.log.chain import START, link

texts = st.text(st.characters(codec="utf-8"))
numbers = st.integers(-(2**63), 2**63 - 1)
heads = st.tuples(
    numbers, numbers, st.none() | texts, texts, texts, numbers, texts, numbers,
    st.none() | numbers, st.none() | numbers,
)  # fmt: skip


@given(heads, st.binary(), st.binary(min_size=32, max_size=32))
@example((1, 2, 'é"\\\n\x00', "\u2028", "\U0001f600</", 3, "ab", 4, None, 5), b"", START)
def test_a_link_covers_the_head_as_json(
    head: tuple[str | int | None, ...], body: bytes, previous: bytes
) -> None:
    """The value is SHA-256 over the previous one, the head as a JSON array, a newline, the body."""
    line = json.dumps(head, ensure_ascii=True, separators=(",", ":")).encode()
    assert link(previous, head, body) == sha256(previous + line + b"\n" + body).digest()
