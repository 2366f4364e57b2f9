"""The quick reader: bodies that differ from a known one in the texts of their leaves alone.

It knows nothing of XML. When a body's *skeleton* (all of it but the texts of its leaves) comes for
the second time, the reader of record reads that skeleton once with a probe in place of each text.
Where every probe comes back as the whole text of one field, the skeleton is a template: other plain
texts in the same places will come back in the same way, so later bodies need no parser. Any body
that is not proven to be so alike is declined, and left to the reader of record.

A plain text is printable ASCII without ``&``, ``<`` and ``>``, and without a space at its ends: it
can hold no reference, no markup, no end of a section, and nothing that is stripped.
"""

from __future__ import annotations

import re

import attrs

from postledger.errors import ReadError
from postledger.postback import Postback
from postledger.wire.encoding import encoded
from postledger.wire.limits import Limits
from postledger.wire.media import media_type
from postledger.wire.xml import read_xml

_TEXT = re.compile(r">([!-%'-;=?-~][ -%'-;=?-~]*)(?<! )</")
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).translate(str.maketrans("", "", "&<>"))

LONGEST = 4096
"""Bodies of more bytes are declined: they are rare, and templates are kept in memory."""

_MOST_TEMPLATES = 1_000
_MOST_SEEN = 10_000

Skeleton = tuple[str | None, ...]
"""The content type, and what stands before, between and behind the texts with their brackets."""


@attrs.frozen(eq=False)
class Template:
    """What the bodies of one skeleton are read as.

    ``fields`` are pairs of a path and its text, or the index of the text among those that vary.
    """

    root: str
    fields: tuple[tuple[str, str | int], ...]
    attributes: tuple[tuple[str, str], ...]

    def postback(self, texts: list[str]) -> Postback:
        """The postback of a body with these texts."""
        fields = tuple(
            (path, text if isinstance(text, str) else texts[text]) for path, text in self.fields
        )
        return Postback(self.root, fields, self.attributes)


class QuickReader:
    """Reads what it has learned to read; not for several threads at once."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._templates: dict[Skeleton, Template | None] = {}
        self._seen: set[int] = set()

    def read(self, body: bytes, content_type: str | None) -> tuple[Template, list[str]] | None:
        """The template of a body and its texts; ``None`` where the reader of record must read it."""
        if not body.isascii() or len(body) > min(LONGEST, self._limits.body_bytes):
            return None
        parts = _TEXT.split(body.decode("ascii"))
        skeleton = (content_type, *parts[::2])
        try:
            template = self._templates[skeleton]
        except KeyError:
            template = self._learned(skeleton)
        return None if template is None else (template, parts[1::2])

    def _learned(self, skeleton: Skeleton) -> Template | None:
        """The template of a skeleton that comes for the second time; many never do."""
        mark = hash(skeleton)
        if mark not in self._seen:
            if len(self._seen) >= _MOST_SEEN:
                self._seen.clear()
            self._seen.add(mark)
            return None
        if len(self._templates) >= _MOST_TEMPLATES:
            self._templates.clear()
        template = self._templates[skeleton] = _template(skeleton, self._limits)
        return template


def _template(skeleton: Skeleton, limits: Limits) -> Template | None:
    """Have the reader of record read the skeleton with probes; ``None`` where that proves nothing."""
    content_type, first, *pieces = skeleton
    probes = [f"{number}{_PLAIN}{number}" for number in range(len(pieces))]
    filled = [f">{probe}</{piece}" for probe, piece in zip(probes, pieces, strict=True)]
    message = _message(f"{first}{''.join(filled)}".encode("ascii"), content_type, limits)
    if message is None:
        return None
    at = {probe: number for number, probe in enumerate(probes)}
    fields = tuple((path, at.pop(text, text)) for path, text in message.fields)
    return None if at else Template(message.root, fields, message.attributes)


def _message(body: bytes, content_type: str | None, limits: Limits) -> Postback | None:
    """The one well-formed message of an XML body in an encoding that agrees with ASCII."""
    media = media_type(content_type)
    try:
        # What had to be transcoded may be in an encoding where ASCII says something else.
        if not body.startswith(b"<") or encoded(body, media.charset)[0] != body:
            return None
        message, *others = read_xml(body, media, limits)
    except ReadError:
        return None
    if others or not isinstance(message, Postback) or message.repaired:
        return None
    return message
