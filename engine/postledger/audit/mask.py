"""Masking: of what came from outside, a masked report shows only what can hold no personal number.

Numbers can be spelled in more ways than any list has. So it is not numbers that are looked for in
texts: a text is shown where the definitions list it as a word, and hidden where they don't. Of fields
that hold ids by their meaning an id is shown unless it tells the recipient, or is a phone number itself.
"""

from __future__ import annotations

import base64
import html
import re
import sys
import unicodedata
from collections.abc import Callable
from itertools import groupby, product
from urllib.parse import unquote_plus

import attrs

from postledger.definitions.definitions import Definitions
from postledger.findings import Finding, names
from postledger.model import Amount, Delivery, Position
from postledger.phone import digits_of
from postledger.wire import READERS

DOT = "•"
HIDDEN = DOT * 3
"""What stands for a text that is not shown."""

_KEPT = 4
_FEWEST = 6
"""So many digits of a number in a row tell whose it is, next to the four that are shown."""

_SHORTEST = 4
"""Of a recipient with fewer digits only the whole text tells it."""

_NUMBERS = range(10, 16)
"""How many digits a number with its country has, at most as E.164 says: such an id may be anybody's."""

_LOCAL = range(8, 16)
"""So many digits may be a whole number, where no recipient says how long these are."""

_RUN = re.compile(r"[+(]*\d[\d+(). -]*")
"""Digits with only what people write between those of a number; anything else ends a run."""

_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:\s*")
"""What an address has in front of a number, such as ``tel:``."""

_SIGN = {"Pd": "-", "Zs": " "}
"""Dashes and spaces, by their category in Unicode."""

_LONGEST = 200
"""No id is longer; what is may be anything."""

_NESTED = 3
"""How many encodings around each other are undone."""

_TOKENS = (
    re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}"),
    # The parts of an id that has such signs between them.
    re.compile(r"[A-Za-z0-9+]{8,}={0,6}"),
)
_SIGNS = re.compile(r"[!-~]{10,}")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{6,16}")
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


_MEDIA = frozenset({*(name for name in READERS if "/" in name), "text/plain"})
"""The content types that bodies are read by; they tell nobody's number."""

_CHARSET = re.compile(r"; ?charset=(utf-?8|iso-8859-1|us-ascii)", re.IGNORECASE)

MOST_SHOWN = 200
"""How many characters of a text stand in lists of a report: events and dossiers have all of it."""


def shortened(text: str | None) -> str | None:
    """A text as lists have it: its beginning, where it is long."""
    return text if text is None or len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}\u2026"


@attrs.frozen
class Mask:
    """What of a report is shown; ``words`` are the texts that definitions list.

    ``folds`` are those whose case doesn't matter, casefolded. Without words everything is shown.
    """

    words: frozenset[str] | None = None
    folds: frozenset[str] = frozenset()
    _labels: dict[str, str] = attrs.field(factory=dict, init=False, repr=False, eq=False)

    @classmethod
    def of(cls, definitions: Definitions, *, unmask: bool) -> Mask:
        """The mask of a report by these definitions."""
        if unmask:
            return cls()
        listed = [one for v in definitions.vocabularies for one in v.conditions()]
        words = {text for one in listed for text in one.texts}
        words = words.union(*(v.said.texts() for v in definitions.vocabularies))
        return cls(frozenset(words), frozenset(fold for one in listed for fold in one.folds))

    def text(self, text: str | None) -> str | None:
        """A text as received, if it is a word of the definitions, or the details that these make.

        Of details of which only some are, these are shown, unless their digits could tell a number.
        """
        if text is None or self._lists(text):
            return text
        parts = [part if self._lists(part) else HIDDEN for part in text.split("; ")]
        if HIDDEN not in parts:
            return text
        shown = "; ".join(part for part, _ in groupby(parts))
        return shown if len(_digits(shown)) < _FEWEST else HIDDEN

    def _lists(self, text: str) -> bool:
        return self.words is None or text in self.words or text.casefold() in self.folds

    def media(self, text: str | None) -> str | None:
        """A content type, if bodies are read by it; of its parameters only a usual charset."""
        if text is None or self._lists(text):
            return text
        name, sign, _ = text.partition(";")
        if name.lower() not in _MEDIA:
            return HIDDEN
        rest = text[len(name) :]
        return text if not sign or _CHARSET.fullmatch(rest) else f"{name}; {HIDDEN}"

    def recipient(self, text: str | None) -> str | None:
        """A recipient, but for its last four characters."""
        return text if text is None or self.words is None else mask(text)

    def id(
        self, text: str | None, recipient: str | None = None, *, several: bool = False
    ) -> str | None:
        """What its field says is an id or a name, unless it tells a number.

        ``several`` says that there are other recipients, which are not known here.
        """
        if text is None or self.words is None:
            return text
        # What looks like a hidden text would be taken for one.
        # guard: long texts are not looked through
        if len(text) > _LONGEST or DOT in text:
            return HIDDEN
        return HIDDEN if tells(text, recipient, several=several) else text

    def file(self, name: str) -> str:
        """The name of a file, as ``id`` shows what stands in front of its suffix."""
        return name if self.id(name.partition(".")[0]) != HIDDEN else HIDDEN

    def label(self, text: str | None) -> str | None:
        """What groups have in common, as ``id`` shows it; those that are hidden are numbered."""
        # Of many deliveries: it may be the number of any of their recipients.
        shown = self.id(text, several=True)
        if text is None or shown != HIDDEN:
            return shown
        return self._labels.setdefault(text, f"{HIDDEN} {len(self._labels) + 1}")

    def amount(
        self, amount: Amount, recipient: str | None = None, *, several: bool = False
    ) -> Amount | None:
        """An amount, unless its digits tell a number."""
        # Leading and trailing zeros of an exact price tell nothing.
        whole, _, part = format(amount.value, "f").lstrip("-").partition(".")
        digits = whole.lstrip("0") + part.rstrip("0")
        if self.id(digits.lstrip("0"), recipient, several=several) == HIDDEN:
            return None
        currency = self.id(amount.currency, recipient, several=several)
        return attrs.evolve(amount, currency=currency)

    def problem(self, text: str | None) -> str | None:
        """Why a body can't be read, without what it quotes of it."""
        return text if text is None or self.words is None else text.split(":", 1)[0]

    def delivery(self, delivery: Delivery) -> Delivery:
        """A delivery with what is not shown of it hidden."""
        several = names(Finding.RECIPIENT_DIFFERS)[0] in delivery.findings

        def shown(text: str | None) -> str | None:
            return self.id(text, delivery.to, several=several)

        return attrs.evolve(
            delivery,
            tracking_id=shown(delivery.tracking_id) or "",
            to=self.recipient(delivery.to),
            reason=self.text(delivery.reason),
            space=shown(delivery.space) or "",
            mms_id=shown(delivery.mms_id),
            spid=shown(delivery.spid),
            handset=shown(delivery.handset),
            aggregator_id=shown(delivery.aggregator_id),
            labels={name: shown(text) or "" for name, text in delivery.labels.items()},
            amounts={
                name: found
                for name, amount in delivery.amounts.items()
                if (found := self.amount(amount, delivery.to, several=several))
            },
        )


def mask(recipient: str) -> str:
    """The recipient with dots for all but its last four characters, and for half at the least.

    >>> mask("16503333058"), mask("3058")
    ('•••••••3058', '••58')
    """
    shown = min(_KEPT, len(recipient) // 2)
    return DOT * (len(recipient) - shown) + recipient[len(recipient) - shown :]


def traced(shown: str, first: Position) -> str:
    """An id as it is shown, and where that is not at all, the position of its first event.

    >>> traced("ONE", 17), traced("•••", 17)
    ('ONE', '••• (position 17)')
    """
    return f"{shown} (position {first})" if shown == HIDDEN else shown


def tells(text: str, recipient: str | None = None, *, several: bool = False) -> bool:
    """Whether an id tells a recipient, or may itself be anybody's number.

    It tells a recipient by seven digits in a row of it, or the six in front of those that are shown,
    whatever stands between them; by six of one with fewer than ten. It may be a number
    where nothing else is in it, or in what it encodes; of ``several`` recipients, which are not known,
    by its digits alone. Digits of any script count, and up to three encodings are undone.

    >>> tells("0A0000000123ABCD5"), tells("+1 650 333-3058"), tells("id-16503333058", "16503333058")
    (False, True, True)
    """
    wanted = _parts(_digits(digits_of(recipient or "")))
    sizes = _NUMBERS if recipient and not several else _LOCAL
    # An escape hides a sign of the id itself. Nothing decodes to so many digits by chance.
    written = _closure({text}, _unescaped)
    for plain in _spellings(text):
        digits = _digits(plain)
        if several and len(digits) >= _LOCAL[0]:
            return True
        if recipient and (recipient in plain or any(part in digits for part in wanted)):
            return True
        if _is_number(plain, sizes) if plain in written else _has_number(plain, sizes):
            return True
    # Any hexadecimal id is a number of as many digits: only the recipient's is looked for.
    numbers = [str(int(found, 16)) for found in _HEXADECIMAL.findall(text)]
    return any(part in number for number in numbers for part in wanted)


def _is_number(text: str, sizes: range) -> bool:
    """Whether a text is one number, with nothing else in it but the scheme of an address."""
    plain = _plain(text).strip()
    scheme = _SCHEME.match(plain)
    plain = plain[scheme.end() :] if scheme else plain
    return _RUN.fullmatch(plain) is not None and _size(plain) in sizes


def _has_number(text: str, sizes: range) -> bool:
    """Whether a number stands anywhere in a text."""
    return any(_size(found) in sizes for found in _RUN.findall(_plain(text)))


def _size(run: str) -> int:
    """How many digits a run has, without ``00`` in front of the country."""
    return len("".join(filter(str.isdecimal, run)).removeprefix("00"))


def _plain(text: str) -> str:
    """A text with each digit, dash and space as ASCII has it, of whatever script."""
    return "".join(_digits(char) or _SIGN.get(unicodedata.category(char), char) for char in text)


def _parts(digits: str) -> list[str]:
    """What of a number tells it: any digits in a row, or all of a short one."""
    if len(digits) < _SHORTEST:
        return []
    long = len(digits) in _NUMBERS
    size = min(_FEWEST + long, len(digits))
    # Of a long one the digits next to those that are shown make it whole.
    beside = [digits[-_KEPT - _FEWEST : -_KEPT]] if long else []
    return beside + [digits[at : at + size] for at in range(len(digits) - size + 1)]


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
    # A letter in front shifts base64. In base85 any sign may stand, so that only whole words are tried.
    found = {text} | {
        plain
        for token in _TOKENS[0].findall(text)
        for shift in range(1, 4)
        for plain in _decoded(base64.b64decode, _padded(token.rstrip("=")[shift:]))
    }
    for token, decode in product(_SIGNS.findall(text), (base64.b85decode, base64.a85decode)):
        found |= _decoded(decode, token)
    return _closure(found, _undone)


def _closure(found: set[str], undo: Callable[[str], set[str]]) -> set[str]:
    """The texts, and what is undone of them, nested as deep as encodings are."""
    new = set(found)
    for _ in range(_NESTED):
        new = {plain for one in new for plain in undo(one)} - found
        found |= new
    return found


def _unescaped(text: str) -> set[str]:
    """What a text may be with its escapes undone."""
    escapes = _ESCAPED.sub(lambda found: _char(int(next(filter(None, found.groups())), 16)), text)
    octal = _OCTAL.sub(lambda found: _char(int(found[1], 8)), text)
    return {html.unescape(text), unquote_plus(text), escapes, octal}


def _undone(text: str) -> set[str]:
    """What a text may be an encoding of: escapes, base64, base32, hexadecimal."""
    plain = _unescaped(text)
    tokens = {token.rstrip("=") for tokens in _TOKENS for token in tokens.findall(text)}
    for token, (decode, size) in product(tokens, _DECODERS):
        plain |= _decoded(decode, _padded(token, size))
    return plain


def _padded(token: str, size: int = 4) -> str:
    return token + "=" * (-len(token) % size)


def _decoded(decode: Callable[[str], bytes], token: str) -> set[str]:
    try:
        found = decode(token)
    except ValueError:
        return set()
    # What is no text in UTF-8 may be one in UTF-16, or have a number in it.
    return {found.decode("utf-8", "replace"), found.replace(b"\0", b"").decode("latin-1")}


def _char(code: int) -> str:
    return chr(code) if code <= sys.maxunicode else ""
