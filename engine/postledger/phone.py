"""Phone numbers: two spellings of one are the same number."""

from __future__ import annotations

import re

SEPARATORS = "+-(). "
"""What may stand before digits and between them, and says nothing."""

_TAKEN_OFF = str.maketrans("", "", SEPARATORS)


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
"""What an address has in front, such as ``tel:`` (RFC 3986, section 3.1)."""


def digits_of(number: str) -> str:
    """A phone number as it is compared: its digits, without a leading ``00``.

    What separates digits doesn't count, nor does a ``+``, nor the scheme of an address in front. A text
    with anything else in it is no phone number, such as a sender's name, and stays as it is.

    >>> digits_of("+1 (650) 333-3058"), digits_of("0016503333058"), digits_of("ACME+1")
    ('16503333058', '16503333058', 'ACME+1')
    >>> digits_of("tel:+1-650-333-3058"), digits_of("tel:ACME")
    ('16503333058', 'tel:ACME')
    """
    scheme = _SCHEME.match(number)
    digits = number[scheme.end() if scheme else 0 :].translate(_TAKEN_OFF)
    if len(digits) > 2:
        digits = digits.removeprefix("00")
    return digits if digits.isascii() and digits.isdecimal() else number
