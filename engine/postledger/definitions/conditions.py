"""Conditions: what the text of a field must be, and which texts a vocabulary tells apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import attrs

from postledger.definitions.diagnostics import Table, listed

SOURCE = "source"
"""The name of the condition on the event's source.

It stands for a field's plain name too, which no field can have: plain names have no lower case.
"""

MOST_DIGITS = 18
"""Longer numbers are in no range, so that none takes long to read."""

Word = str | tuple[bool, ...] | None
"""The class of a text: itself where a condition lists it, else which tests it passes, if any."""

_NUMBER = re.compile(rf"(-?)([0-9]{{1,{MOST_DIGITS}}})", re.ASCII)
_NUMBER_START = re.compile(rf"(-?)([0-9]{{0,{MOST_DIGITS}}})", re.ASCII)

Range = tuple[int, int]


def _number(text: str) -> int | None:
    """The whole number that a text is; zeros may lead it."""
    found = _NUMBER.fullmatch(text)
    return None if found is None else int(text)


@attrs.frozen
class Condition:
    """What the text of one field must be.

    It holds for one of ``texts``, for a text that is one of ``folds`` but for case, begins with one of
    ``prefixes``, or is a whole number in one of ``ranges`` (both ends within); with ``other`` for all
    texts but these. A field that is missing has the empty text, so that "is there" is "none of: the
    empty one". ``names`` are its names on the wire, plain.
    """

    names: tuple[str, ...]
    texts: frozenset[str] = frozenset()
    other: bool = False
    folds: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()

    @property
    def tests(self) -> bool:
        """Whether it asks for more than listed texts."""
        return bool(self.folds or self.prefixes or self.ranges)

    def holds(self, text: str) -> bool:
        """Whether the text is as wanted."""
        return self._lists(text) is not self.other

    def described(self, mark: Callable[[str], str]) -> str:
        """What it wants, in words; ``mark`` sets a text apart from them.

        >>> Condition(("F",), frozenset({"a", ""}), other=True).described(repr)
        "neither empty nor 'a'"
        """
        if self.texts == {""}:
            return "there" if self.other else "missing"
        told = [mark(text) if text else "empty" for text in sorted(self.texts)]
        told += [f"{mark(fold)} (case ignored)" if fold else "empty" for fold in sorted(self.folds)]
        told += [f"starting with {mark(prefix)}" for prefix in self.prefixes]
        told += [f"{low} to {high}" for low, high in self.ranges]
        if not self.other:
            return " or ".join(told)
        return f"not {told[0]}" if len(told) == 1 else f"neither {' nor '.join(told)}"

    def _lists(self, text: str) -> bool:
        return (
            text in self.texts
            or bool(self.folds and text.casefold() in self.folds)
            or text.startswith(self.prefixes)
            or bool(self.ranges and _within(text, self.ranges))
        )

    def excludes(self, other: Condition) -> bool:
        """Whether no text satisfies both; ``False`` where that isn't certain."""
        if self.other and other.other:
            # Neither lists every text, and there are texts that nobody lists.
            return False
        if self.other or other.other:
            wanted, unwanted = (other, self) if self.other else (self, other)
            return _covers(unwanted, wanted)
        return not _meet(self, other)


def _within(text: str, ranges: Iterable[Range]) -> bool:
    number = _number(text)
    return number is not None and any(low <= number <= high for low, high in ranges)


def _meet(one: Condition, other: Condition) -> bool:
    """Whether a text is listed by both."""
    return (
        any(map(other._lists, one.texts))
        or any(map(one._lists, other.texts))
        or bool(one.folds & other.folds)
        or any(_prefixes_meet(this, that) for this in one.prefixes for that in other.prefixes)
        or any(_ranges_meet(this, that) for this in one.ranges for that in other.ranges)
        or _mixed(one, other)
        or _mixed(other, one)
    )


def _mixed(one: Condition, other: Condition) -> bool:
    """Whether a text is listed by both, by tests of two kinds."""
    return (
        # Case folds letter by letter: what begins with a prefix, folds to what begins with its folding.
        any(fold.startswith(p.casefold()) for fold in one.folds for p in other.prefixes)
        # No character but a digit folds to a digit.
        or any(_within(fold, other.ranges) for fold in one.folds)
        or any(_begins(p, within) for p in one.prefixes for within in other.ranges)
    )


def _prefixes_meet(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _ranges_meet(one: Range, other: Range) -> bool:
    return max(one[0], other[0]) <= min(one[1], other[1])


def _begins(prefix: str, within: Range) -> bool:
    """Whether a number in the range begins with the prefix."""
    found = _NUMBER_START.fullmatch(prefix)
    if found is None:
        return False
    minus, digits = found.groups()
    for more in range(0 if digits else 1, MOST_DIGITS - len(digits) + 1):
        low = int(digits or "0") * 10**more
        high = low + 10**more - 1
        if _ranges_meet((-high, -low) if minus else (low, high), within):
            return True
    return False


def _covers(one: Condition, other: Condition) -> bool:
    """Whether one lists every text that the other does; ``False`` where that isn't certain."""
    return (
        all(map(one._lists, other.texts))
        and all(
            fold in one.folds or (_is_caseless(fold) and one._lists(fold)) for fold in other.folds
        )
        and all(any(p.startswith(begins) for begins in one.prefixes) for p in other.prefixes)
        and all(
            any(low <= this[0] and this[1] <= high for low, high in one.ranges)
            for this in other.ranges
        )
    )


def _is_caseless(fold: str) -> bool:
    """Whether no other text folds to it."""
    return fold.isascii() and not any(map(str.isalpha, fold))


class Classes:
    """The class of each text of one field, for a reading that depends on it.

    There are few of them, however many texts pass a test.
    """

    def __init__(self, conditions: Iterable[Condition]) -> None:
        given = list(conditions)
        self.texts = frozenset(text for one in given for text in one.texts) - {""}
        # Of two fields with one name on the wire, the tests are the same.
        tests = (attrs.evolve(one, names=(), other=False) for one in given if one.tests)
        self._tests = tuple(dict.fromkeys(tests))
        self.tells = bool(self.texts or self._tests)
        """Whether any text is told from any other, but for the empty one."""
        listed: dict[str, Word] = {text: text for text in self.texts}
        # The words of real traffic are a few dozen.
        self.of: Callable[[str], Word] = (
            lru_cache(1024)(self._tested) if self._tests else listed.get
        )

    def _tested(self, text: str) -> Word:
        if text in self.texts:
            return text
        passed = tuple([test._lists(text) for test in self._tests])
        return passed if any(passed) else None


# --- from TOML ---

CONDITION_FIX = (
    'write "text", a list of texts, true, false, { fold = "text" }, { prefix = "text" },'
    " { range = [400, 499] } or { not = … }"
)


def load_condition(table: Table, value: Any, names: tuple[str, ...]) -> Condition:
    """The condition that a value of a definition file is; raises ``DefinitionError``."""
    if isinstance(value, bool):
        return Condition(names, frozenset({""}), other=value)
    if isinstance(value, dict) and value.keys() == {"not"}:
        inner = value["not"]
        if isinstance(inner, bool) or (isinstance(inner, dict) and "not" in inner):
            raise table.fault(f"a condition is {value!r}", CONDITION_FIX)
        return attrs.evolve(load_condition(table, inner, names), other=True)
    if isinstance(value, dict):
        return _tested(table, value, names)
    return Condition(names, frozenset(_some(table, value)))


def _some(table: Table, value: Any) -> tuple[str, ...]:
    texts = listed(table, "a condition", value)
    if not texts:
        raise table.fault("a condition lists no text", "list one, or leave it out")
    return texts


def _tested(table: Table, value: dict[str, Any], names: tuple[str, ...]) -> Condition:
    match value:
        case {"fold": folds, **rest} if not rest:
            return Condition(names, folds=frozenset(map(str.casefold, _some(table, folds))))
        case {"prefix": prefixes, **rest} if not rest:
            texts = _some(table, prefixes)
            if "" in texts:
                raise table.fault("a prefix is empty", "write true for a field that is there")
            return Condition(names, prefixes=texts)
        case {"range": [int(low), int(high)], **rest} if not rest:
            whole = type(low) is type(high) is int
            if whole and low <= high and max(abs(low), abs(high)) < 10**MOST_DIGITS:
                return Condition(names, ranges=((low, high),))
    raise table.fault(f"a condition is {value!r}", CONDITION_FIX)
