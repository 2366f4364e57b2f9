"""The hash chain: the value at a position covers the event there and all events before it.

The value is ``SHA-256(previous ‖ head ‖ newline ‖ body)``: ``previous`` the 32 bytes of the value
before (32 zero bytes at position 1), ``head`` a JSON array of the rest of the event in UTF-8, on
one line, ``body`` the bytes as received. Anybody can compute it again from the views of the file.
"""

from __future__ import annotations

import json
from hashlib import sha256

START = bytes(32)
"""The value before position 1."""

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def link(previous: bytes, head: list[str | int | None], body: bytes) -> bytes:
    """The value of the chain at an event; see the module for what it covers."""
    return sha256(b"".join((previous, _encode(head).encode(), b"\n", body))).digest()
