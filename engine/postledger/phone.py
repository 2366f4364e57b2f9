"""Phone numbers: two spellings of one are the same number."""

from __future__ import annotations

SEPARATORS = "+-(). "
"""What may stand before digits and between them, and says nothing."""

_TAKEN_OFF = str.maketrans("", "", SEPARATORS)


def digits_of(number: str) -> str:
    """A phone number as it is compared: its digits, without a leading ``00``.

    What separates digits doesn't count, nor does a ``+``. A text with anything else in it is no phone
    number, such as a sender's name, and stays as it is.

    >>> digits_of("+1 (650) 333-3058"), digits_of("0016503333058"), digits_of("ACME+1")
    ('16503333058', '16503333058', 'ACME+1')
    """
    digits = number.translate(_TAKEN_OFF)
    if len(digits) > 2:
        digits = digits.removeprefix("00")
    return digits if digits.isascii() and digits.isdecimal() else number
