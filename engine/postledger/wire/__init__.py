"""The wire: bytes as they came over HTTP become postbacks.

What a body is shows in its first byte, whatever its content type claims; the content type decides
only where the body doesn't, and helps with the encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import TypeAlias

from postledger.errors import ReadError
from postledger.postback import UNCUT, Shape
from postledger.wire.compression import decompressed
from postledger.wire.cut import Cut
from postledger.wire.embedded import embedded
from postledger.wire.form import read_form, read_multipart
from postledger.wire.json import read_json
from postledger.wire.limits import Limits
from postledger.wire.media import MediaType, media_type
from postledger.wire.reading import Reading
from postledger.wire.receipt import read_receipt
from postledger.wire.tree import Document, Message
from postledger.wire.xml import read_xml

__all__ = ["READERS", "Limits", "Reading", "Shape", "read", "readings"]

Reader: TypeAlias = Callable[[bytes, MediaType, Limits], Document]

_FORM = "application/x-www-form-urlencoded"

READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "text/xml": read_xml,
        "application/xml": read_xml,
        "+xml": read_xml,
        "application/json": read_json,
        "text/json": read_json,
        "+json": read_json,
        _FORM: read_form,
        "multipart/form-data": read_multipart,
    }
)
"""The reader of each media type, or of its suffix after the last plus sign."""

_STARTS: Mapping[bytes, Reader] = MappingProxyType(
    {
        b"<": read_xml,
        b"{": read_json,
        b"[": read_json,
        b"xml=": read_form,
        b"--": read_multipart,
        b"id:": read_receipt,
    }
)

# The first field of a form may have a name that begins so; a form has no line.
_OF_NAMES = (b"--", b"id:")

# Byte order marks, white space, and the zeros of two-byte encodings.
_INSIGNIFICANT = b"\xef\xbb\xbf\xfe\xff\x00 \t\r\n"
_DEFAULTS = Limits()


def read(
    body: bytes,
    content_type: str | None = None,
    limits: Limits = _DEFAULTS,
    *,
    content_encoding: str | None = None,
    query: bool = False,
    shape: Shape = UNCUT,
) -> Reading:
    """The postbacks of a body: one, or the members of a bundle in their order.

    A compressed body is decompressed first. With ``query`` it is the query string of a GET, and read
    as a form whatever it looks like. The shape says which lists hold postbacks, and which texts are
    bodies themselves. A member of a bundle that can't be read stands as a
    ``ReadError`` at its place. Raises ``ReadError``, with one line of reason, when the whole body
    can't be read.
    """
    found = readings(
        body,
        content_type,
        limits,
        content_encoding=content_encoding,
        query=query,
        shapes=(shape,),
    )[0]
    if isinstance(found, ReadError):
        raise found
    return found


def readings(
    body: bytes,
    content_type: str | None = None,
    limits: Limits = _DEFAULTS,
    *,
    content_encoding: str | None = None,
    query: bool = False,
    shapes: Sequence[Shape],
    least: int | None = None,
) -> list[Reading | ReadError]:
    """The postbacks of a body by each of several shapes, or why it can't be read; it is parsed once.

    Shapes of whose paths the body has none give one object. Where the body stands for others, ``least``
    is how many bytes the shortest of them has: what goes by the length of a body goes by that.
    """
    if len(body) > limits.body_bytes:
        raise ReadError(
            f"the body has {len(body)} bytes, more than the limit of {limits.body_bytes}"
        )
    if query:
        document = read_form(body, media_type(_FORM), limits)
    else:
        body = decompressed(body, content_encoding, limits)
        media = media_type(content_type)
        document = _reader(body, media)(body, media, limits)
    if not isinstance(document, Message):
        # One more than there may be shows that there are too many.
        document = list(islice(document, limits.members + 1))
    length = len(body) if least is None else least
    watched = frozenset().union(*(one.paths for one in shapes))
    plainly = Cut(UNCUT, limits, length, embedded, watched)
    first = _attempt(plainly, document)
    # Where the plain cut ended early, it has not met all paths.
    met = watched if isinstance(first, ReadError) else plainly.met
    return [
        first
        if met.isdisjoint(one.paths)
        else _attempt(Cut(one, limits, length, embedded), document)
        for one in shapes
    ]


def _attempt(cut: Cut, document: Document) -> Reading | ReadError:
    try:
        return cut.postbacks(document)
    except ReadError as error:
        # Without its traceback, whose frames would keep the body alive.
        return ReadError(str(error))


def _reader(body: bytes, media: MediaType) -> Reader:
    start = body.lstrip(_INSIGNIFICANT)[:4].lower()
    if not start:
        raise ReadError("the body is empty")
    if media.name == _FORM and start.startswith(_OF_NAMES) and b"\n" not in body.strip():
        return read_form
    by_start = next((reader for mark, reader in _STARTS.items() if start.startswith(mark)), None)
    reader = by_start or READERS.get(media.name) or READERS.get("+" + media.name.rpartition("+")[2])
    if reader is None:
        raise ReadError(f"the body is {_kind(body)}")
    return reader


def _kind(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeError:
        return "not text"
    return "neither XML nor JSON nor a form"
