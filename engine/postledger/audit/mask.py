"""Masking: personal numbers shown by their last four digits only."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote_plus

DOT = "•"
_KEPT = 4
_FEWEST = 7
"""So many digits at a number's end tell whose it is, whatever stands before them."""

_MOST = 20

_BETWEEN = r"[\s().-]{0,2}"
_NUMBER = re.compile(rf"\d(?:{_BETWEEN}\d){{{_FEWEST - 1},}}")
_DIGIT = re.compile(r"\d")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


def mask(recipient: str) -> str:
    """The recipient with dots for all but its last four characters, and for half at the least.

    >>> mask("16503333058"), mask("3058")
    ('•••••••3058', '••58')
    """
    shown = min(_KEPT, len(recipient) // 2)
    return DOT * (len(recipient) - shown) + recipient[len(recipient) - shown :]


def mask_in(text: str, recipients: Iterable[str]) -> str:
    """A text with the recipients masked wherever they stand in it, spelled with or without prefix.

    >>> mask_in("no route to +1 650-333-3058", ["16503333058"])
    'no route to +• •••-•••-3058'
    """
    for recipient in recipients:
        text = _pattern(recipient).sub(_dotted, text)
    return text


def hide(text: str | None, recipient: str | None) -> str | None:
    """A text with all of the recipient masked, so that texts for different ones are the same."""
    if text is None or recipient is None or (not _DIGIT.search(text) and _digits(recipient)):
        return text
    hidden = _pattern(recipient).sub(DOT * 3, text)
    return DOT * 3 if tells(hidden, [recipient]) else hidden


def hide_numbers(text: str | None) -> str | None:
    """A text with all in it that may be a telephone number masked."""
    return None if text is None else _NUMBER.sub(_dotted, text)


def tells(text: str, recipients: Iterable[str]) -> bool:
    """Whether a text still tells one of the recipients once its escapes are undone."""
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), html.unescape(unquote_plus(text)))
    plain = html.unescape(unquote_plus(plain))
    return any(_pattern(recipient).search(plain) for recipient in recipients)


def _digits(recipient: str) -> str:
    """The digits of a recipient that is a telephone number; empty for any other."""
    digits = re.sub(r"\D", "", recipient)
    number = _FEWEST <= len(digits) <= _MOST and not re.search(r"[^\d\s()+.-]", recipient)
    return digits if number else ""


@lru_cache(maxsize=1024)
def _pattern(recipient: str) -> re.Pattern[str]:
    digits = _digits(recipient)
    if not digits:
        # A short word is masked where it stands alone, not inside other words.
        return re.compile(rf"(?<!\w){re.escape(recipient)}(?!\w)" if recipient else r"(?!)", re.I)
    before, end = digits[:-_FEWEST], digits[-_FEWEST:]
    prefix = ""
    for digit in before:
        prefix = f"(?:{prefix}{digit}{_BETWEEN})?"
    return re.compile(prefix + _BETWEEN.join(end))


def _dotted(match: re.Match[str]) -> str:
    """Dots for the characters but the last four; what separates digits stays."""
    found = match[0]
    shown = min(_KEPT, len(found) // 2)
    head, tail = found[: len(found) - shown], found[len(found) - shown :]
    return re.sub(r"\w|[^\s().-]", DOT, head) + tail
