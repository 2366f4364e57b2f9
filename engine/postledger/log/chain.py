"""The hash chain: the value at a position covers the event there and all events before it.

The value is ``SHA-256(previous ‖ head ‖ newline ‖ body)``: ``previous`` the 32 bytes of the value
before (32 zero bytes at position 1), ``head`` a JSON array of the rest of the event in UTF-8, on
one line, ``body`` the bytes as received. Anybody can compute it again from the views of the file.
"""

from __future__ import annotations

from hashlib import sha256
from json.encoder import encode_basestring_ascii as _text
from typing import Protocol

START = bytes(32)
"""The value before position 1."""


class Covered(Protocol):
    """An event as the chain covers it: one to append, or one that is stored."""

    @property
    def received_at(self) -> int: ...
    @property
    def content_type(self) -> str | None: ...
    @property
    def stream(self) -> tuple[str, str]: ...
    @property
    def occurred_at(self) -> int: ...
    @property
    def digest(self) -> bytes: ...
    @property
    def flags(self) -> int: ...
    @property
    def repeats(self) -> int | None: ...
    @property
    def body_of(self) -> int | None: ...


def head_of(event: Covered, position: int) -> str:
    """All that the chain covers of an event at a position, beside its body: a JSON array in ASCII.

    Written without an encoder's work for every event: position, moment of reception, content type,
    chart, key, occurred_at, digest, flags, repeats, body_of.
    """
    chart, key = event.stream
    content_type, first, holder = event.content_type, event.repeats, event.body_of
    return (
        f"[{position},{event.received_at},"
        f"{'null' if content_type is None else _text(content_type)},{_text(chart)},{_text(key)},"
        f'{event.occurred_at},"{event.digest.hex()}",{event.flags},'
        f"{'null' if first is None else first},{'null' if holder is None else holder}]"
    )


def link(previous: bytes, head: str, body: bytes) -> bytes:
    """The value of the chain at an event; see the module for what it covers."""
    return sha256(b"%b%b\n%b" % (previous, head.encode(), body)).digest()
