"""The media type: what the sender says a body is, which may be missing or wrong."""

from __future__ import annotations

from email.message import Message
from functools import lru_cache

import attrs

_LONGEST = 1000


@attrs.frozen
class MediaType:
    """A content type taken apart: ``name`` in lower case, and the parameters that readers use."""

    name: str = ""
    charset: str | None = None
    boundary: str | None = None


@lru_cache(maxsize=64)
def media_type(content_type: str | None) -> MediaType:
    """Take a Content-Type header apart; a missing or senseless one gives an empty name.

    >>> media_type('Text/XML; charset="ISO-8859-1"')
    MediaType(name='text/xml', charset='ISO-8859-1', boundary=None)
    >>> media_type("rubbish")
    MediaType(name='', charset=None, boundary=None)
    """
    header = header_of("Content-Type", content_type or "")
    name = header.get_content_type() if "/" in header["Content-Type"] else ""
    return MediaType(
        name, parameter(header, "charset", "content-type"), parameter(header, "boundary")
    )


def header_of(name: str, value: str) -> Message:
    """A message that has only this header, cleaned of what no header may hold."""
    message = Message()
    clean = value[:_LONGEST].encode("ascii", "ignore").decode("ascii")
    message[name] = "".join(char if char.isprintable() else " " for char in clean)
    return message


def parameter(message: Message, name: str, header: str = "content-type") -> str | None:
    """A parameter of a header, or ``None``; the extended form of RFC 2231 gives its plain value."""
    value = message.get_param(name, header=header)
    if isinstance(value, tuple):
        return value[2] or None
    return value or None
