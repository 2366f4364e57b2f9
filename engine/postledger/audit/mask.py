"""Masking: of what came from outside, a masked report shows only what can hold no personal number.

Numbers can be spelled in more ways than any list has. So it is not numbers that are looked for in
texts: a text is shown where the definitions list it as a word, and hidden where they don't. Of fields
that hold ids by their meaning an id is shown unless it tells the recipient.
"""

from __future__ import annotations

import base64
import html
import re
import sys
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote_plus

import attrs

from postledger.definitions.definitions import Definitions
from postledger.model import Delivery

DOT = "•"
HIDDEN = DOT * 3
"""What stands for a text that is not shown."""

_KEPT = 4
_FEWEST = 7
"""So many digits at a number's end tell whose it is, whatever stands before them."""

_SHORTEST = 4
"""Of a recipient with fewer digits only the whole text tells it."""

_NUMBERS = range(10, 16)
"""How many digits a number with its country has, at most as E.164 says: such an id may be anybody's."""

_LONGEST = 200
"""No id is longer; what is may be anything."""

_NESTED = 3
"""How many encodings around each other are undone."""

_TOKENS = (
    re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}"),
    # The parts of an id that has such signs between them.
    re.compile(r"[A-Za-z0-9+]{8,}={0,6}"),
)
_ESCAPED = re.compile(
    r"(?:\\u|\\x|%u)([0-9a-fA-F]{4})|\\u\{([0-9a-fA-F]{1,6})\}|\\x([0-9a-fA-F]{2})|=([0-9A-F]{2})"
)
_OCTAL = re.compile(r"\\([0-7]{2,3})")
_DECODERS: tuple[tuple[Callable[[str], bytes], int], ...] = (
    (base64.b64decode, 4),
    (base64.urlsafe_b64decode, 4),
    (base64.b32decode, 8),
    (bytes.fromhex, 1),
)
"""What undoes an encoding, and to a multiple of how many characters it is padded."""


@attrs.frozen
class Mask:
    """What of a report is shown; ``words`` are the texts that definitions list.

    Without words everything is.
    """

    words: frozenset[str] | None = None
    _labels: dict[str, str] = attrs.field(factory=dict, init=False, repr=False, eq=False)

    @classmethod
    def of(cls, definitions: Definitions, *, unmask: bool) -> Mask:
        """The mask of a report by these definitions."""
        if unmask:
            return cls()
        listed = (v.conditions() for v in definitions.vocabularies)
        return cls(frozenset(text for found in listed for one in found for text in one.texts))

    def text(self, text: str | None) -> str | None:
        """A text as received, if it is a word of the definitions."""
        return text if text is None or self.words is None or text in self.words else HIDDEN

    def recipient(self, text: str | None) -> str | None:
        """A recipient, but for its last four characters."""
        return text if text is None or self.words is None else mask(text)

    def id(self, text: str | None, recipient: str | None = None) -> str | None:
        """What its field says is an id or a name, unless it tells a number."""
        if text is None or self.words is None:
            return text
        return HIDDEN if len(text) > _LONGEST or tells(text, recipient) else text

    def label(self, text: str | None) -> str | None:
        """The same of what groups have in common: those that are hidden are numbered."""
        shown = self.id(text)
        if text is None or shown != HIDDEN:
            return shown
        return self._labels.setdefault(text, f"{HIDDEN} {len(self._labels) + 1}")

    def problem(self, text: str | None) -> str | None:
        """Why a body can't be read, without what it quotes of it."""
        return text if text is None or self.words is None else text.split(":", 1)[0]

    def delivery(self, delivery: Delivery) -> Delivery:
        """A delivery with what is not shown of it hidden."""
        to = delivery.to
        return attrs.evolve(
            delivery,
            tracking_id=self.id(delivery.tracking_id, to) or "",
            to=self.recipient(to),
            reason=self.text(delivery.reason),
            space=self.id(delivery.space, to) or "",
            mms_id=self.id(delivery.mms_id, to),
            spid=self.id(delivery.spid, to),
            handset=self.id(delivery.handset, to),
            aggregator_id=self.id(delivery.aggregator_id, to),
        )


def mask(recipient: str) -> str:
    """The recipient with dots for all but its last four characters, and for half at the least.

    >>> mask("16503333058"), mask("3058")
    ('•••••••3058', '••58')
    """
    shown = min(_KEPT, len(recipient) // 2)
    return DOT * (len(recipient) - shown) + recipient[len(recipient) - shown :]


def tells(text: str, recipient: str | None = None) -> bool:
    """Whether a text tells a recipient, or may tell anybody's number.

    Digits of any script count, whatever stands between them, and up to three encodings are undone.
    """
    wanted = _digits(recipient or "")[-_FEWEST:]
    for plain in _spellings(text):
        digits = _digits(plain)
        if len(digits) in _NUMBERS or (not recipient and len(digits) > _NUMBERS[0]):
            return True
        if recipient and (recipient in plain or (len(wanted) >= _SHORTEST and wanted in digits)):
            return True
    return False


def _digits(text: str) -> str:
    """The digits of a text, of whatever script, and numerals such as 五 and Ⅴ."""
    found = (unicodedata.numeric(char, None) for char in text)
    plain = (
        unicodedata.numeric(other, None)
        for char, value in zip(text, found, strict=True)
        for other in (char if value is not None else unicodedata.normalize("NFKC", char))
    )
    return "".join(str(int(value)) for value in plain if value is not None and value in range(10))


def _spellings(text: str) -> set[str]:
    """A text, and what it is once its escapes and encodings are undone."""
    found, new = {text}, {text}
    for _ in range(_NESTED):
        new = {plain for one in new for plain in _undone(one)} - found
        found |= new
    return found


def _undone(text: str) -> set[str]:
    """What a text may be an encoding of: escapes, base64, base32, hexadecimal."""
    escapes = _ESCAPED.sub(lambda found: _char(int(next(filter(None, found.groups())), 16)), text)
    octal = _OCTAL.sub(lambda found: _char(int(found[1], 8)), text)
    plain = {html.unescape(text), unquote_plus(text), escapes, octal}
    tokens = {token.rstrip("=") for tokens in _TOKENS for token in tokens.findall(text)}
    for token in tokens:
        for decode, size in _DECODERS:
            try:
                found = decode(token + "=" * (-len(token) % size))
            except ValueError:
                continue
            # What is no text in UTF-8 may be one in UTF-16, or have a number in it.
            plain |= {found.decode("utf-8", "replace"), found.replace(b"\0", b"").decode("latin-1")}
    return plain


def _char(code: int) -> str:
    return chr(code) if code <= sys.maxunicode else ""
