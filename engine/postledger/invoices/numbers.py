"""Numbers as invoices write them: with a decimal point or comma, exact, and never guessed at."""

from __future__ import annotations

import re
from decimal import Decimal

import attrs

from postledger.arguments import shown
from postledger.model import is_decimal

MARKS = {"point": ".", "comma": ","}
"""What may stand before the decimals, by its name."""

_OTHER = {".": ",", ",": "."}
_WRITTEN = {
    mark: re.compile(
        rf"[+-]?([0-9]+|[1-9][0-9]{{0,2}}(\{group}[0-9]{{3}})+)(\{mark}[0-9]+)?([eE][+-]?[0-9]{{1,2}})?"
    )
    for mark, group in _OTHER.items()
}
_MOST_DIGITS = 60


@attrs.define
class Numbers:
    """The numbers of one file; ``mark`` is what stands before decimals, ``None`` until one shows it.

    A file has one mark: the first number that has any decides, unless ``stated``. What could be read in
    two ways is refused, but for a lone point, which stands before decimals as in all that programs write.

    >>> numbers = Numbers()
    >>> numbers.read("Net", "1.234,50"), numbers.read("Net", "0,0075")
    (Decimal('1234.50'), Decimal('0.0075'))
    """

    mark: str | None = None
    stated: bool = False

    def read(self, name: str, text: str) -> Decimal:
        """The number that a column of that name has; raises ``ValueError`` for what is not surely one."""
        if len(text) > _MOST_DIGITS or not (text.isascii() and text.isprintable()):
            raise self._refused(name, text)
        if is_decimal(text) and "." not in text:
            return Decimal(text)
        mark = self._mark_of(name, text)
        if not self.stated:
            self.mark = mark
        return Decimal(text.replace(_OTHER[mark], "").replace(mark, "."))

    def _mark_of(self, name: str, text: str) -> str:
        """What stands before the decimals of this number."""
        possible = [mark for mark, written in _WRITTEN.items() if written.fullmatch(text)]
        if self.stated and self.mark in possible:
            return self.mark
        if self.stated or not possible:
            raise self._refused(name, text)
        if len(possible) == 2:
            # One sign with three digits after it: decimals, or thousands.
            (sign,) = {one for one in text if one in _OTHER}
            if sign != (self.mark or "."):
                point, whole = text.replace(sign, "."), text.replace(sign, "")
                raise ValueError(
                    f"{name} must be one number, got {shown(text)}, which may be {point} or {whole}:"
                    " give --decimal point or --decimal comma"
                )
            return sign
        if self.mark not in (None, possible[0]):
            names = {sign: word for word, sign in MARKS.items()}
            raise ValueError(
                f"{name} must have a decimal {names[self.mark]} as rows before, or --decimal says which,"
                f" got {shown(text)}"
            )
        return possible[0]

    def _refused(self, name: str, text: str) -> ValueError:
        example = "0,0075" if self.stated and self.mark == "," else "0.0075"
        return ValueError(f"{name} must be an exact decimal such as {example}, got {shown(text)}")
