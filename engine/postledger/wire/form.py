"""Form bodies: a field named ``xml`` that holds the XML, as an HTML form or as multipart.

Values are decoded to bytes, never to text, so that the encoding which the XML declares still holds.
"""

from __future__ import annotations

import re
from itertools import chain
from urllib.parse import unquote_to_bytes

from postledger.errors import ReadError
from postledger.wire.limits import Limits
from postledger.wire.media import MediaType, header_of, media_type, parameter
from postledger.wire.reading import Reading, bundle
from postledger.wire.xml import read_xml

_FIELDS = 1000
_LONGEST_DELIMITER = 200
_NAME = b"xml"
_UNENCODED = re.compile(rb"(?:\A|&)\s*xml=\s*(?=<)", re.IGNORECASE)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


def read_form(body: bytes, media: MediaType, limits: Limits) -> Reading:
    """Read ``xml=…``; ``ReadError`` without such a field or with more than 1000 fields."""
    unencoded = _UNENCODED.search(body)
    if unencoded:
        # No encoder leaves "<" as it is. Decoding what was never encoded would turn the "+" of a
        # time zone into a blank.
        return read_xml(body[unencoded.end() : body.rfind(b">") + 1], media, limits)
    fields = body.split(b"&", _FIELDS)
    pairs = (field.partition(b"=") for field in _bounded(fields))
    values = [_decoded(value) for name, _, value in pairs if _is_xml(_decoded(name))]
    return _read_all([(value, media) for value in values], limits)


def read_multipart(body: bytes, media: MediaType, limits: Limits) -> Reading:
    """Read the parts named ``xml``; ``ReadError`` without a boundary or such a part."""
    lines = re.compile(rb"(?:\A|\r?\n)" + re.escape(_delimiter(body, media)))
    parts = _bounded(lines.split(body, _FIELDS))[1:]
    return _read_all([found for part in parts if (found := _part(part, media))], limits)


def _part(part: bytes, media: MediaType) -> tuple[bytes, MediaType] | None:
    """The value of a part that is named ``xml``, with the media type that it is read by."""
    split = _BLANK_LINE.split(part, 1)
    if len(split) != 2:
        return None
    headers = dict(_header(line) for line in split[0].splitlines())
    disposition = header_of("Content-Disposition", headers.get("content-disposition", ""))
    name = parameter(disposition, "name", "content-disposition") or ""
    own = media_type(headers.get("content-type"))
    return (split[1], own if own.charset else media) if _is_xml(name.encode()) else None


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name.strip().lower(), value.strip()


def _delimiter(body: bytes, media: MediaType) -> bytes:
    """The line between the parts: the first line of the body, or else what the sender says."""
    first = body[:_LONGEST_DELIMITER].lstrip().partition(b"\n")[0].rstrip()
    if first.startswith(b"--"):
        return first
    if media.boundary is None:
        raise ReadError("the multipart form has no boundary")
    return b"--" + media.boundary.encode()


def _bounded(fields: list[bytes]) -> list[bytes]:
    if len(fields) > _FIELDS:
        raise ReadError(f"the form has more than {_FIELDS} fields")
    return fields


def _decoded(value: bytes) -> bytes:
    return unquote_to_bytes(value.replace(b"+", b" "))


def _is_xml(name: bytes) -> bool:
    return name.strip().lower() == _NAME


def _read_all(values: list[tuple[bytes, MediaType]], limits: Limits) -> Reading:
    """One field is read as the body would be; several stand side by side, like a bundle."""
    if not values:
        raise ReadError("the form has no field named xml")
    if len(values) == 1:
        return read_xml(*values[0], limits)
    return bundle(chain.from_iterable(_attempt(*value, limits) for value in values), limits)


def _attempt(body: bytes, media: MediaType, limits: Limits) -> Reading:
    try:
        return read_xml(body, media, limits)
    except ReadError as error:
        return (error,)
