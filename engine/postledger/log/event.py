"""Events of the log: what is appended, and what is read of it.

An event's leaf covers every field of it. Its bytes are covered as SHA-256 of a random salt and the
bytes, so that a proof can be shown without the number it hides.
"""

from __future__ import annotations

import enum
import json
from functools import cached_property
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

import attrs

from postledger.errors import IntegrityError
from postledger.model import UNVERIFIED
from postledger.templates import Template

SALT_BYTES = 16

_FIXED = Struct(">Qq")
# 0x00 marks a leaf (RFC 9162, section 2.1.1).
_VERSION = b"\0postledger leaf 1\n"


class Kind(enum.StrEnum):
    """What an event is; only the program's own calls set it."""

    RECEIPT = "receipt"
    STATEMENT = "statement"
    ADOPTION = "adoption"
    ERASURE = "erasure"
    IMPORT = "import"
    VERIFICATION = "verification"


READ = frozenset({Kind.RECEIPT, Kind.STATEMENT})
"""The kinds of events that vocabularies read."""


class Clock(enum.StrEnum):
    """Whether our clock gave the time of reception, or a file stated it."""

    OURS = "ours"
    STATED = "stated"


class Part(enum.StrEnum):
    """Which part of a request the bytes are."""

    BODY = "body"
    QUERY = "query"


@attrs.frozen(cache_hash=True)
class Envelope:
    """What an event has apart from its time and its bytes.

    ``source`` is the name that the program gives the endpoint, ``sender`` that of the sender check
    which passed: ``unverified`` where it failed, empty where there was none.
    """

    kind: Kind = Kind.RECEIPT
    clock: Clock = Clock.OURS
    source: str = ""
    sender: str = ""
    content_type: str | None = None
    content_encoding: str | None = None
    part: Part = Part.BODY

    def to_json(self) -> str:
        """The envelope as it is stored: a JSON array."""
        return json.dumps(list(attrs.astuple(self)), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: object) -> Envelope:
        """The envelope of a stored text; raises ``IntegrityError`` where it is damaged."""
        try:
            kind, clock, source, sender, content_type, encoding, part = json.loads(str(text))
            made = cls(Kind(kind), Clock(clock), source, sender, content_type, encoding, Part(part))
        except (ValueError, TypeError, RecursionError) as error:
            raise IntegrityError(f"an envelope is damaged: {error}") from error
        texts, optional = (made.source, made.sender), (made.content_type, made.content_encoding)
        sound = all(isinstance(one, str) for one in texts)
        if not sound or not all(isinstance(one, str | None) for one in optional):
            raise IntegrityError("an envelope is damaged: a text of it is not a text")
        if made.to_json() != text:
            raise IntegrityError("an envelope is damaged: it is not written as envelopes are")
        return made

    @property
    def is_verified(self) -> bool:
        """Whether what the event says counts: false where its sender check failed."""
        return self.sender != UNVERIFIED

    @cached_property
    def is_whole(self) -> bool:
        """Whether its bytes are kept whole, by no template.

        So are encoded bodies, which have no leaves, and what is unverified: a stranger could fill the
        table of templates.
        """
        # guard: no stranger fills the table of templates
        return not (self.content_encoding is None and self.is_verified)

    @cached_property
    def encoded(self) -> bytes:
        """Its part of the leaf: each field with its length, a missing one told from an empty one."""
        fields = (self.kind, self.clock, self.source, self.sender, self.part)
        optional = (self.content_type, self.content_encoding)
        return b"".join(
            [
                *(_with_length(field.encode("utf-8", "surrogatepass")) for field in fields),
                *(
                    b"\0"
                    if one is None
                    else b"\1" + _with_length(one.encode("utf-8", "surrogatepass"))
                    for one in optional
                ),
            ]
        )


def _with_length(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def leaf_of(position: int, received_at: int, envelope: Envelope, salt: bytes, body: bytes) -> bytes:
    """The hash of an event's leaf (the file-format page gives the encoding and test vectors).

    ``received_at`` is in microseconds since 1970, ``salt`` is 16 bytes.
    """
    fixed = _VERSION + _FIXED.pack(position, received_at)
    return sha256(fixed + envelope.encoded + sha256(salt + body).digest()).digest()


class Entry(NamedTuple):
    """One event to append.

    ``texts`` are those of ``template`` as ``written`` gives them; both are ``None`` for a body that is
    kept whole.
    """

    received_at: int
    envelope: Envelope
    body: bytes
    template: Template | None = None
    texts: str | None = None


class Stored(NamedTuple):
    """One event as the log has it; ``template`` and ``texts`` give its body, or the row does.

    ``envelope_id`` and ``template_id`` are their numbers in the log, ``None`` where they have none.
    """

    position: int
    received_at: int
    envelope: Envelope
    envelope_id: int | None
    template: Template | None
    template_id: int | None
    texts: list[str] | None
    body: bytes
    salt: bytes
    leaf: bytes

    @property
    def kind(self) -> Kind:
        """What the event is."""
        return self.envelope.kind

    def computed_leaf(self) -> bytes:
        """The leaf as its fields give it: equal to ``leaf`` where nothing was altered."""
        return leaf_of(self.position, self.received_at, self.envelope, self.salt, self.body)
