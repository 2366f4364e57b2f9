"""Search: what a text that a person looks for may stand for, and whether a delivery has it.

A text is read in every way that it can be: as a phone number, or the last digits of one, as the beginning
of an id, as an MMSID, a label, or words of a reason. A delivery is found by any of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

import attrs

from postledger.keys import keys_meant
from postledger.phone import digits_of, numbers_meant
from postledger.state.row import Row, sound
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
