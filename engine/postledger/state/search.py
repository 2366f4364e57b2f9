"""Search: what a text that a person looks for may stand for, and whether a delivery has it.

A text is read in every way that it can be: as a phone number, or the last digits of one, as the beginning
of an id, as an MMSID, a label, or words of a reason. A delivery is found by any of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import islice

import attrs

from postledger.errors import IntegrityError
from postledger.keys import keys_meant
from postledger.phone import digits_of, numbers_meant
from postledger.state.row import Refound, Row, sound
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
        or bool(search.words and reason and search.words <= words_of(reason))
        or any(label.casefold() == search.whole for label in labels)
    )


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


# --- the index: what each delivery is found by ---

TAIL = 6
"""So many of the last digits of a number stand in the index."""

_NUMBERS, _TERMS = 1_000_000, 2**24 - 1
"""The terms of numbers come first, then those of texts; there are so many of both."""

_TIME, _LATEST = 13, 2**40 - 1
"""How many bits of a time the index lacks: one there is of 8.2 milliseconds; and the last one."""

AT, STREAM = 3, 8
"""Where in an entry the time begins, and the stream."""


def entry_of(term: int, at: int, stream: int) -> bytes:
    """What a delivery is found by: a term, its time and its stream, in the order of the index."""
    length = (stream.bit_length() + 7) // 8
    return place_of(term, at) + stream.to_bytes(length)


def place_of(term: int, at: int | None = None) -> bytes:
    """How the entries of a term begin, or of a time under that term."""
    begin = term.to_bytes(AT)
    return begin if at is None else begin + at.to_bytes(STREAM - AT)


def behind(term: int, at: int | None = None) -> bytes:
    """What is behind the entries of a term, or of a time under that term, and of all times before."""
    if at is None or at == _LATEST:
        return place_of(term + 1)
    return place_of(term, at + 1)


def led_to(entries: Sequence[tuple[bytes]]) -> list[tuple[int, int]]:
    """The times and the streams of entries; raises ``IntegrityError`` where one is damaged."""
    number = int.from_bytes
    # Together, since it is done for many.
    try:
        if all(len(one) > STREAM for (one,) in entries):
            return [(number(one[AT:STREAM]), number(one[STREAM:])) for (one,) in entries]
    except TypeError:
        pass
    raise IntegrityError("the search is damaged; run replay")


def at_of(micros: int) -> int:
    """The time of the index in which a time in microseconds lies."""
    return min(max(micros >> _TIME, 0), _LATEST)


def entries_of(known: Row) -> set[bytes]:
    """The entries of a delivery, by the columns ``FOUND_BY`` of its row.

    Raises ``IntegrityError``, ``TypeError``, ``ValueError`` or ``AttributeError`` for a damaged one.
    """
    first, stream, recipient, mms_id, reason, route_reason, labels = known
    terms = set()
    if recipient is not None:
        digits = digits_of(recipient)
        number = digits.isdecimal()
        terms.add(tails_of(digits)[0] if number else term_of(recipient.casefold()))
    if mms_id is not None:
        terms.add(term_of(mms_id.casefold()))
    shown = reason if reason is not None else route_reason
    if shown is not None:
        terms.update(map(term_of, words_of(shown)))
    if labels is not None:
        terms.update(term_of(label.casefold()) for label in labels_of(labels).values())
    return {entry_of(term, at_of(first), stream) for term in terms}


def tails_of(digits: str) -> tuple[int, int]:
    """The first and the last term of the numbers that end in some digits.

    The last digit comes first, so that those that end alike stand together.

    >>> tails_of("16503333058"), tails_of("3058")
    ((850333, 850333), (850300, 850399))
    """
    first = int(digits[: -TAIL - 1 : -1].ljust(TAIL, "0"))
    return first, first + 10 ** max(0, TAIL - len(digits)) - 1


@lru_cache(maxsize=4096)
def term_of(text: str) -> int:
    """The term of a word, or of a whole text in lower case."""
    hashed = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
    return _NUMBERS + int.from_bytes(hashed.digest()) % (_TERMS - _NUMBERS)


def entries_changed(changed: Iterable[Refound]) -> tuple[list[bytes], list[bytes]]:
    """The entries that go, and those that come, in the order of the index."""
    gone: list[bytes] = []
    come: list[bytes] = []
    for before, now in changed:
        had = set() if before is None else entries_kept(before) or set()
        has = set() if now is None else entries_of(now)
        gone += had - has
        come += has - had
    return sorted(gone), sorted(come)


def entries_kept(known: Row) -> set[bytes] | None:
    """The entries of a row as the file had it; ``None`` for a damaged one, which ``verify`` reports."""
    try:
        return entries_of(known)
    except (IntegrityError, TypeError, AttributeError, ValueError, OverflowError):
        return None
