"""The encoding of a body: its byte order mark, its own declaration, or the sender's word.

A document's own word goes before the ``charset`` of the Content-Type, since web servers add a
default charset that knows nothing of the document.
"""

from __future__ import annotations

import codecs
import re

from postledger.errors import ReadError
from postledger.wire.reading import unreadable
from postledger.wire.tree import Repaired

MARK = "\ufdd0"
"""Stands after what was repaired, until the texts are taken out: Unicode keeps it out of texts."""

_MARKED = re.compile(r"\ufdd0|&#0*64976;|&#x0*fdd0;|\\ufdd0", re.IGNORECASE)
_ESCAPED = re.compile("[\udc80-\udcff]")

_DECLARED = re.compile(rb"""<\?xml\s[^>]*?\bencoding\s*=\s*["']([\w.:-]{1,40})["']""")

# Python also calls idna, punycode and escapes "text encodings"; only character sets are wanted.
_CHARACTER_SET = re.compile(
    r"(utf|ucs|iso|latin|windows|cp\d|koi8|gb|big5|shift|sjis|euc|hz|mac|tis|us-ascii|ascii)"
    r"[\w.:-]{0,30}",
    re.ASCII | re.IGNORECASE,
)

_WHITE_SPACE = b" \t\r\n"
_EXPAT_KNOWS = {"utf-8": "utf-8", "iso8859-1": "iso-8859-1", "ascii": "us-ascii"}


def encoded(body: bytes, charset: str | None) -> tuple[bytes, str | None]:
    """The body and the encoding that expat is to read it in; ``None`` where expat sees for itself.

    What expat can't decode is handed over as UTF-8. Raises ``ReadError`` for an unknown encoding,
    or where the body isn't valid in the encoding that it claims.
    """
    if body.startswith(codecs.BOM_UTF8):
        return body.removeprefix(codecs.BOM_UTF8).lstrip(_WHITE_SPACE), "utf-8"
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _transcoded(body, "utf-16"), "utf-8"
    if b"\0" in body[:4]:
        return body, None
    # White space before the XML declaration is an error in XML, yet says nothing.
    body = body.lstrip(_WHITE_SPACE)
    name = _declared(body) or character_set(charset)
    if name is None or name.startswith("utf-16"):
        # A declaration of UTF-16 that can be read in single bytes is wrong about itself.
        return body, "utf-8"
    if name in _EXPAT_KNOWS:
        return body, _EXPAT_KNOWS[name]
    try:
        return _transcoded(body, name), "utf-8"
    except ReadError:
        if name.startswith("utf"):
            raise
        # expat will refuse it, and it is repaired.
        return body, name


def character_set(name: str | None) -> str | None:
    """Python's name of a character set, or ``None`` for a missing or unknown one.

    >>> character_set("Latin-1"), character_set("base64")
    ('iso8859-1', None)
    """
    if name is None or not _CHARACTER_SET.fullmatch(name):
        return None
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None


def text_of(data: bytes, charset: str | None) -> str:
    """The text of bytes in the charset, or else in UTF-8; ``Repaired`` where they aren't valid.

    >>> text_of("é".encode(), None), text_of("é".encode("latin-1"), "utf-8")
    ('é', 'é')
    >>> type(text_of("é".encode("latin-1"), "utf-8")).__name__
    'Repaired'
    """
    name = character_set(charset) or "utf-8"
    # Bytes that stand for ASCII were taken apart already.
    name = "utf-8" if name.startswith(("utf-16", "utf-32", "utf-7")) else name
    try:
        return data.decode(name)
    except UnicodeError:
        return Repaired(_as_latin_1(data, "utf-8", ""))


def marked(data: bytes, encoding: str) -> str | None:
    """The text, bytes that aren't valid in its encoding as Latin-1, each with a ``MARK`` after it.

    ``None`` where that can't be: of encodings without single bytes, or where marks are in it already.
    """
    try:
        text = _as_latin_1(data, encoding, MARK)
    except UnicodeError:
        return None
    return None if _MARKED.search(data.decode(encoding, "replace")) else text


def _as_latin_1(data: bytes, encoding: str, mark: str) -> str:
    text = data.decode(encoding, "surrogateescape")
    return _ESCAPED.sub(lambda found: chr(ord(found[0]) & 0xFF) + mark, text)


def _transcoded(body: bytes, name: str) -> bytes:
    try:
        return body.decode(name).encode()
    except UnicodeError as error:
        raise unreadable("the body is not text in its encoding", error) from None


def _declared(body: bytes) -> str | None:
    found = _DECLARED.match(body)
    if found is None:
        return None
    name = character_set(found[1].decode("ascii", "replace"))
    if name is None:
        raise ReadError(f"unknown encoding: {found[1].decode('ascii', 'replace')!r}")
    return name
