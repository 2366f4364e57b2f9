"""Search: what a text that a person looks for may stand for, and whether a delivery has it.

A text is read in every way that it can be: as a phone number, or the last digits of one, as the beginning
of an id, as an MMSID, a label, or words of a reason. A delivery is found by any of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from operator import itemgetter

import attrs

from postledger.errors import IntegrityError
from postledger.keys import keys_meant
from postledger.phone import digits_of, numbers_meant
from postledger.state.row import COLUMNS, FOUND_BY, Row, sound
from postledger.state.said import labels_of

LEAST_DIGITS = 4
"""So many of the last digits of a number are looked for, and no fewer."""

MOST_READ = 1_000
"""How many characters of a reason, or of a text that is looked for, are read as words."""

_MOST_KEYS = 50
_WORD = re.compile(r"[^\W_]+")


@attrs.frozen
class Search:
    """What a text stands for.

    ``keys`` are beginnings of ids, ``numbers`` the last digits of phone numbers, ``whole`` is what an
    MMSID is (``text``), or, in any case, a label or a recipient that is not a number; ``words`` must all
    stand in a reason. ``digits`` are those of a text that is too short to be looked for as a number.
    """

    text: str
    keys: tuple[str, ...]
    numbers: tuple[str, ...]
    whole: str
    words: frozenset[str]
    digits: str = ""


def search_of(text: str) -> Search:
    """What a text stands for; raises ``ValueError`` for a blank one.

    >>> found = search_of("+1 (650) 333-3058")
    >>> found.numbers, sorted(found.words)
    (('16503333058',), ['1', '3058', '333', '650'])
    """
    text = text.strip()
    if not text:
        raise ValueError(f"search must be text to look for, got {text!r}")
    numbers = numbers_meant(text)
    long = tuple(one for one in numbers if len(one) >= LEAST_DIGITS)
    return Search(
        text=text,
        keys=tuple(_keys(text)),
        numbers=long,
        whole=text.casefold(),
        words=words_of(text),
        digits="" if long or not numbers else numbers[0],
    )


def _keys(text: str) -> Iterator[str]:
    """The beginnings of keys that a text is, as they are shown or as a provider writes the fields."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # No text that is kept has half a character.
        return
    yield from islice(dict.fromkeys([text, *islice(keys_meant(text), _MOST_KEYS)]), _MOST_KEYS)


def words_of(text: str) -> frozenset[str]:
    """The words of a text, or of its beginning where it is long, in lower case.

    >>> sorted(words_of("Handset setting: mms with pass via xHTML;"))
    ['handset', 'mms', 'pass', 'setting', 'via', 'with', 'xhtml']
    """
    return frozenset(_WORD.findall(text[:MOST_READ].casefold()))


def matches(
    search: Search,
    key: str,
    recipient: str | None,
    mms_id: str | None,
    reason: str | None,
    labels: Iterable[str],
) -> bool:
    """Whether a delivery is found: the one rule, of which the index is a quick form."""
    return (
        any(map(key.startswith, search.keys))
        or (recipient is not None and _is_recipient(search, recipient))
        or mms_id == search.text
        or reason_found(search, reason)
        or any(label.casefold() == search.whole for label in labels)
    )


def reason_found(search: Search, reason: str | None) -> bool:
    """Whether a reason has the words of a search."""
    return bool(search.words and reason and search.words <= words_of(reason))


def finds(search: Search, key: str, row: Row) -> bool:
    """Whether a delivery is found, by its row; raises ``IntegrityError`` for a damaged one."""
    sound(row)
    reason = row[3] if row[3] is not None else row[4]
    return matches(search, key, row[5], row[6], reason, labels_of(row[21]).values())


def _is_recipient(search: Search, recipient: str) -> bool:
    digits = digits_of(recipient)
    if digits.isdecimal():
        return any(map(digits.endswith, search.numbers))
    return recipient.casefold() == search.whole


# --- the index: what each delivery is found by, as numbers ---

INSTANT = 20
"""Times stand in the index without their last bits: as numbers of 1.05 seconds."""

_TAIL = 9
"""So many of the last digits of a number stand in the index."""

WHOLE, REASONS = -(2**30), -(2**47)
"""The terms of whole texts lie from ``WHOLE`` up to -1, those of reasons below, down to ``REASONS``.

Those of numbers are not negative. Their sizes are of as many bytes as SQLite keeps them in.
"""

Entry = tuple[int, int, int]
"""What a delivery is found by: a term, its time, and its stream."""

found_by = itemgetter(*map(COLUMNS.index, FOUND_BY))
"""What of a row its entries follow from."""


def entries_of(known: Row) -> set[Entry]:
    """The entries of a delivery, by what ``found_by`` takes of its row.

    Raises ``IntegrityError``, ``TypeError`` or ``AttributeError`` for a damaged one.
    """
    first, stream, recipient, mms_id, reason, route_reason, labels = known
    terms = []
    if recipient is not None:
        digits = digits_of(recipient)
        terms.append(_tail(digits) if digits.isdecimal() else whole_of(recipient))
    if mms_id is not None:
        terms.append(whole_of(mms_id))
    shown = reason if reason is not None else route_reason
    if shown is not None:
        terms.append(term_of_reason(shown))
    if labels is not None:
        terms += map(whole_of, labels_of(labels).values())
    return {(term, first >> INSTANT, stream) for term in terms}


def tails_of(number: str) -> tuple[int, int]:
    """The first and the last term of the numbers that end in some digits."""
    first = _tail(number)
    return first, first + 10 ** max(0, _TAIL - len(number)) - 1


def _tail(digits: str) -> int:
    """The last digits as one number, the last one first: those that end alike stand together."""
    return int(digits[: -_TAIL - 1 : -1].ljust(_TAIL, "0"))


def whole_of(text: str) -> int:
    """The term of a whole text, in any case."""
    return -1 - _hash(text.casefold()) % -WHOLE


def term_of_reason(reason: str) -> int:
    """The term of a reason."""
    return WHOLE - 1 - _hash(reason) % (2**46)


def _hash(text: str) -> int:
    hashed = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(hashed.digest())


class Searched:
    """What is to be changed in the index: entries that go, and those that come."""

    def __init__(self) -> None:
        self._before: dict[int, Row] = {}
        self.gone: list[Entry] = []
        self.come: list[Entry] = []

    def kept(self, known: Row) -> None:
        """Take a row as the file had it, which ends with ``FOUND_BY``."""
        found = known[-len(FOUND_BY) :]
        self._before[found[1]] = found

    def delivery(self, row: Row) -> None:
        """Take a row as it is to be."""
        known = found_by(row)
        before = self._before.pop(known[1], None)
        # Most events change nothing that a delivery is found by.
        if before == known:
            return
        had, has = set() if before is None else entries_kept(before) or set(), entries_of(known)
        self.gone += had - has
        self.come += has - had

    def end(self) -> None:
        """What was kept, and is not to be any more, goes."""
        for known in self._before.values():
            self.gone += entries_kept(known) or ()
        self._before.clear()


def entries_kept(known: Row) -> set[Entry] | None:
    """The entries of a row as the file had it; ``None`` for a damaged one, which ``verify`` reports."""
    try:
        return entries_of(known)
    except (IntegrityError, TypeError, AttributeError, ValueError):
        return None
