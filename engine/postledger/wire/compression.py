"""Compression: a body is decompressed before it is read, within the limits.

The log keeps the bytes as they came. The codings are those of RFC 9110, section 8.4.1. As with all
that is read, what a body is shows in its first bytes: a server may have decompressed it and left the
header, or have dropped the header. ``deflate`` is the zlib format of RFC 1950.
"""

from __future__ import annotations

import gzip
import zlib
from io import BytesIO

from postledger.errors import ReadError
from postledger.wire.limits import Limits
from postledger.wire.reading import unreadable

_GZIP = b"\x1f\x8b"
_NONE = frozenset({"", "identity"})
_ZLIB = 8
"""The method of compression in the first byte of the zlib format."""


def decompressed(body: bytes, content_encoding: str | None, limits: Limits) -> bytes:
    """The body without its compression; itself where it has none, or one that is not known.

    Raises ``ReadError`` where it is damaged, has several codings, or is larger than the limit.

    >>> decompressed(gzip.compress(b"<P/>"), None, Limits()), decompressed(b"<P/>", "gzip", Limits())
    (b'<P/>', b'<P/>')
    """
    codings = [one for one in map(_plain, (content_encoding or "").split(",")) if one not in _NONE]
    if len(codings) > 1:
        raise ReadError(f"expected one content coding, got {len(codings)}")
    try:
        if body.startswith(_GZIP):
            with gzip.open(BytesIO(body)) as packed:
                return _within(packed.read(limits.body_bytes + 1), limits)
        if codings == ["deflate"] and _is_zlib(body):
            return _inflated(body, limits)
    except (zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise unreadable("damaged compression", error) from None
    return body


def _plain(coding: str) -> str:
    return coding.strip().lower()


def _is_zlib(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 15 == _ZLIB and int.from_bytes(body[:2]) % 31 == 0


def _inflated(body: bytes, limits: Limits) -> bytes:
    unpacking = zlib.decompressobj()
    found = _within(unpacking.decompress(body, limits.body_bytes + 1), limits)
    if not unpacking.eof or unpacking.unused_data:
        raise EOFError("it is cut off, or more follows")
    return found


def _within(found: bytes, limits: Limits) -> bytes:
    # guard: decompressed within the limit
    if len(found) > limits.body_bytes:
        raise ReadError(f"the body is more than {limits.body_bytes} bytes when decompressed")
    if found.startswith(_GZIP):
        raise ReadError("the body is compressed more than once")
    return found
