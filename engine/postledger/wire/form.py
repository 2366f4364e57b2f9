"""Forms: each parameter is a field, of an HTML form, a multipart form or a query string.

A field named ``xml`` is the body. Its value is decoded to bytes, never to text, so that the encoding
which the XML declares still holds.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

import attrs

from postledger.errors import ReadError
from postledger.wire.encoding import text_of
from postledger.wire.limits import Limits
from postledger.wire.media import MediaType, header_of, media_type, parameter
from postledger.wire.tree import Document, Message, Repaired
from postledger.wire.xml import read_xml

MOST_FIELDS = 1000
"""The most fields of a form."""
_LONGEST_DELIMITER = 200
_UNENCODED = re.compile(rb"(?:\A|&)\s*xml=\s*(?=<)", re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*+)"|([^;]*))')
_QUOTED = re.compile(r'\\(["\\])|%(22|0D|0A)', re.IGNORECASE)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_ENCODED = re.compile(rb"(?:\s|%(?:20|0A|0D|09|EF|BB|BF))*%(?:25)*3C", re.IGNORECASE)
# No encoder that writes a zone's plus sign as "+" and a space so too would be understood.
_ZONE = re.compile(rb"(T\d\d(?:%3A|:)\d\d[\d.:%A]{0,20})\+(?=\d\d(?:%3A|:)?\d\d)", re.IGNORECASE)

Pair: TypeAlias = "tuple[str, bytes, MediaType, bool]"
"""A field: its name, its value, what the value is read by, and whether it was repaired."""


def read_form(body: bytes, media: MediaType, limits: Limits) -> Document:
    """Read a form; ``ReadError`` without a field or with more than 1000."""
    unencoded = _UNENCODED.search(body)
    if unencoded:
        # No encoder leaves "<" as it is. Decoding what was never encoded would turn the "+" of a
        # time zone into a blank.
        return read_xml(body[unencoded.end() : body.rfind(b">") + 1], media, limits)
    # In a form white space is encoded: what stands around it isn't of it.
    body = body.removeprefix(BOM_UTF8).strip()
    if b"=" not in body:
        raise ReadError("the form has no field")
    fields = (field.partition(b"=") for field in _bounded(body.split(b"&", MOST_FIELDS)) if field)
    return _document([_pair(name, value, media) for name, _, value in fields], limits)


def read_multipart(body: bytes, media: MediaType, limits: Limits) -> Document:
    """Read a multipart form; ``ReadError`` without a boundary or a field, or where it is cut off."""
    lines = re.compile(rb"(?:\A|\r?\n)" + re.escape(_delimiter(body, media)))
    parts = _bounded(lines.split(body, MOST_FIELDS))[1:]
    pairs = [found for part in parts if (found := _part(part, media))]
    if not any(part.startswith(b"--") for part in parts) and not any(map(_is_xml, pairs)):
        raise ReadError("the multipart form is cut off: its last boundary is missing")
    return _document(pairs, limits)


def _pair(name: bytes, value: bytes, media: MediaType) -> Pair:
    said = text_of(_decoded(name), media.charset)
    repaired = isinstance(said, Repaired)
    if not _is_named_xml(said):
        return str(said), _decoded(value), media, repaired
    fixed = value.replace(b"+", b"%2B") if b"%20" in value else _ZONE.sub(rb"\1%2B", value)
    found = _decoded(fixed)
    if _ENCODED.match(found):
        found, fixed = _decoded(found), b""
    return str(said), found, media, fixed != value


def _part(part: bytes, media: MediaType) -> Pair | None:
    """The field of a part; ``None`` for what isn't one: the end, or a part without headers."""
    split = _BLANK_LINE.split(part, 1)
    if len(split) != 2 or part.startswith(b"--"):
        return None
    headers = dict(_header(line) for line in split[0].splitlines())
    name = text_of(_name(headers.get("content-disposition", "")), media.charset)
    own = media_type(headers.get("content-type"))
    read_by = own if own.charset else media
    return str(name), split[1], read_by, isinstance(name, Repaired)


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name.strip().lower(), value.strip()


def _name(disposition: str) -> bytes:
    """The name of a part, in bytes, as HTML writes it; else by RFC 2231."""
    for found in _PARAMETER.finditer(disposition):
        if found[1].lower() == "name":
            name = found[3].strip() if found[2] is None else found[2]
            return _QUOTED.sub(_unquoted, name).encode("latin-1")
    header = header_of("Content-Disposition", disposition)
    return (parameter(header, "name", "content-disposition") or "").encode()


def _unquoted(found: re.Match[str]) -> str:
    return found[1] or chr(int(found[2], 16))


def _delimiter(body: bytes, media: MediaType) -> bytes:
    """The line between the parts: the first line of the body, or else what the sender says."""
    first = body[:_LONGEST_DELIMITER].lstrip().partition(b"\n")[0].rstrip()
    if first.startswith(b"--"):
        return first
    if media.boundary is None:
        raise ReadError("the multipart form has no boundary")
    return b"--" + media.boundary.encode()


def _bounded(fields: list[bytes]) -> list[bytes]:
    if len(fields) > MOST_FIELDS:
        raise ReadError(f"the form has more than {MOST_FIELDS} fields")
    return fields


def _decoded(value: bytes) -> bytes:
    return unquote_to_bytes(value.replace(b"+", b" "))


def _is_named_xml(name: str) -> bool:
    return name.strip().lower() == "xml"


def _is_xml(pair: Pair) -> bool:
    return _is_named_xml(pair[0])


def _document(pairs: list[Pair], limits: Limits) -> Document:
    """A field xml is read as the body would be; several stand side by side, like a bundle."""
    bodies = [pair for pair in pairs if _is_xml(pair)]
    others = len(bodies) < len(pairs)
    if not bodies or (others and not any(value.strip() for _, value, _, _ in bodies)):
        return _fields(pairs)
    if len(bodies) == 1:
        return _xml(bodies[0], limits)
    return _side_by_side(bodies, limits)


def _fields(pairs: list[Pair]) -> Message:
    if not pairs:
        raise ReadError("the form has no field")
    fields: list[tuple[str, str]] = []
    for name, value, media, repaired in pairs:
        text = text_of(value, media.charset)
        fields.append(("/" + name, Repaired(text) if repaired else text))
    return Message("", fields)


def _xml(pair: Pair, limits: Limits) -> Document:
    _, value, media, repaired = pair
    if _ENCODED.match(value):
        raise ReadError("the XML in the form is percent-encoded more than twice")
    found = read_xml(value, media, limits)
    if not repaired:
        return found
    if isinstance(found, Message):
        return attrs.evolve(found, repaired=True)
    return _repaired(found)


def _repaired(members: Iterable[Message | ReadError]) -> Iterator[Message | ReadError]:
    for one in members:
        yield one if isinstance(one, ReadError) else attrs.evolve(one, repaired=True)


def _side_by_side(bodies: list[Pair], limits: Limits) -> Iterator[Message | ReadError]:
    for body in bodies:
        try:
            found = _xml(body, limits)
        except ReadError as error:
            yield error
            continue
        if isinstance(found, Message):
            yield found
        else:
            yield from found
