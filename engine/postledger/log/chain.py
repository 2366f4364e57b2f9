"""The hash chain: the value at a position covers the event there and all events before it.

The value is ``SHA-256(previous ‖ head ‖ newline ‖ body)``: ``previous`` the 32 bytes of the value
before (32 zero bytes at position 1), ``head`` a JSON array of the rest of the event in UTF-8, on
one line, ``body`` the bytes as received. Anybody can compute it again from the views of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from json.encoder import encode_basestring_ascii

START = bytes(32)
"""The value before position 1."""


def link(previous: bytes, head: Sequence[str | int | None], body: bytes) -> bytes:
    """The value of the chain at an event; see the module for what it covers."""
    return sha256(b"%b[%b]\n%b" % (previous, ",".join(map(_json, head)).encode(), body)).digest()


def _json(value: str | int | None) -> str:
    """A number, text or null as JSON has it, in ASCII: quicker than a JSON encoder for each head."""
    if type(value) is int:
        return str(value)
    return "null" if value is None else encode_basestring_ascii(str(value))
