"""The hash chain: the value at a position covers the event there and all events before it.

The value is ``SHA-256(previous ‖ head ‖ newline ‖ body)``: ``previous`` the 32 bytes of the value
before (32 zero bytes at position 1), ``head`` a JSON array of the rest of the event in UTF-8, on
one line, ``body`` the bytes as received. Anybody can compute it again from the views of the file.
"""

from __future__ import annotations

from hashlib import sha256
from json.encoder import encode_basestring_ascii as _text
from typing import Protocol

Head = tuple[int, int, str | None, str, str, int, str, int, int | None, int | None]
"""What the chain covers of an event beside its body, in the order of the JSON array."""

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


def head_of(event: Covered, position: int) -> Head:
    """All that the chain covers of an event at a position, beside its body."""
    chart, key = event.stream
    return (
        position,
        event.received_at,
        event.content_type,
        chart,
        key,
        event.occurred_at,
        event.digest.hex(),
        event.flags,
        event.repeats,
        event.body_of,
    )


def link(previous: bytes, head: Head, body: bytes) -> bytes:
    """The value of the chain at an event; see the module for what it covers."""
    return sha256(b"%b%b\n%b" % (previous, _line(*head).encode(), body)).digest()


def _line(
    position: int,
    received_at: int,
    content_type: str | None,
    chart: str,
    key: str,
    occurred_at: int,
    digest: str,
    flags: int,
    repeats: int | None,
    body_of: int | None,
) -> str:
    """The head as JSON in ASCII, without an encoder's work for every event."""
    kind = "null" if content_type is None else _text(content_type)
    first = "null" if repeats is None else repeats
    holder = "null" if body_of is None else body_of
    return (
        f"[{position},{received_at},{kind},{_text(chart)},{_text(key)},{occurred_at},"
        f"{_text(digest)},{flags},{first},{holder}]"
    )
