"""Phone numbers: two spellings of one are the same number."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import Any
from unicodedata import normalize

SEPARATORS = "+-(). "
"""What may stand before digits and between them, and says nothing."""

_TAKEN_OFF = str.maketrans("", "", SEPARATORS)


_LONGEST, _NATIONAL = 100, 8
"""How long a text may be that is a number, and how many digits one has at least within a country."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
"""What an address has in front, such as ``tel:`` (RFC 3986, section 3.1)."""


_TRUNK = re.compile(r"((?:\+|00)[1-9][0-9]{0,2} *)\(0\)")
"""The zero that stands in brackets behind a country code, as it is dialled within the country alone."""

_INTERNATIONAL = re.compile(r"00[1-9][0-9]{6}")


def digits_of(number: str) -> str:
    """A phone number as it is compared: its digits, without the ``00`` of an international number.

    What separates digits doesn't count, nor does a ``+``, nor the scheme of an address in front. A text
    with anything else in it is no phone number, such as a sender's name, and stays as it is. A country
    code doesn't begin with 0 (E.164, section 6.2.1) and a short code has fewer than seven digits, so
    before these ``00`` is part of the number.

    >>> digits_of("+1 (650) 333-3058"), digits_of("0016503333058"), digits_of("ACME+1")
    ('16503333058', '16503333058', 'ACME+1')
    >>> digits_of("tel:+1-650-333-3058"), digits_of("tel:ACME")
    ('16503333058', 'tel:ACME')
    >>> digits_of("0012"), digits_of("0001234567")
    ('0012', '0001234567')
    """
    scheme = _SCHEME.match(number)
    digits = number[scheme.end() if scheme else 0 :].translate(_TAKEN_OFF)
    if not (digits.isascii() and digits.isdecimal()):
        return number
    return digits[2:] if _INTERNATIONAL.match(digits) else digits


def numbers_meant(text: str) -> tuple[str, ...]:
    """The digits that a text may be, of a whole number or of its end; none for what is not a number.

    Where the package ``phonenumbers`` is there, a number with its country code is read by the rules of
    that country. A number as it is dialled within a country is the end of one, without its leading zero.

    >>> numbers_meant("+1 650.333/3058"), numbers_meant("3058"), numbers_meant("ACME")
    (('16503333058',), ('3058',), ())
    >>> numbers_meant("020 7946 0958"), numbers_meant("+44 (0)20 7946 0958")
    (('02079460958', '2079460958'), ('442079460958', '4402079460958'))
    """
    # A long text is no number, and normalizing it would take long.
    if len(text) > _LONGEST:
        return ()
    plain = normalize("NFKC", text).strip()
    found = [e164_of(plain)]
    # The zero in brackets may be meant, all the same.
    for spelled in (_TRUNK.sub(r"\1", plain, count=1), plain):
        digits = digits_of(spelled)
        if not digits.isdecimal() and not any(map(str.isalpha, spelled)):
            digits = digits_of("".join(filter(str.isdecimal, spelled)))
        if digits.isdecimal():
            found.append(digits)
            if digits[0] == "0" and len(digits) >= _NATIONAL:
                found.append(digits.lstrip("0"))
    return tuple(dict.fromkeys(one for one in found if one))


def e164_of(text: str) -> str | None:
    """The digits of a number that is written with its country code, by the rules of that country.

    ``None`` for what is not a possible number, and without the package ``phonenumbers``.
    """
    phonenumbers = _phonenumbers()
    if phonenumbers is None:
        return None
    international = f"+{text[2:]}" if text.startswith("00") else text
    try:
        number = phonenumbers.parse(international, None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}"


@lru_cache(maxsize=1)
def _phonenumbers() -> Any:
    try:
        return import_module("phonenumbers")
    except ImportError:
        return None
