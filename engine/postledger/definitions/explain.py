"""Explanations: why a vocabulary doesn't know a postback, entry by entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from postledger.definitions.conditions import Condition
from postledger.definitions.vocabulary import Entry, Vocabulary
from postledger.postback import Postback, plain

Texts = Mapping[str, str | None]


@attrs.frozen
class Miss:
    """An entry that doesn't recognise a postback, and why.

    ``fits`` is whether all conditions of its ``match`` hold, ``held`` how many of them do.
    """

    place: str
    fits: bool
    held: int
    reasons: tuple[str, ...]


def names_of(vocabulary: Vocabulary, postback: Postback) -> list[tuple[str, ...]]:
    """Our names of each field of a postback; of one that is there twice, all that it could be."""
    return [
        tuple(ours for ours, wire in vocabulary.fields.items() if plain(path) in wire)
        for path, _ in postback.fields
    ]


def misses(vocabulary: Vocabulary, postback: Postback) -> list[Miss]:
    """Why each entry of a vocabulary doesn't recognise a postback, the nearest first.

    One that fits is alone: no other does.
    """
    texts, root = vocabulary.texts(postback), plain(postback.root)
    missed = [_miss(vocabulary, entry, texts, root) for entry in vocabulary.entries]
    fitting = [miss for miss in missed if miss.fits]
    return fitting or sorted(missed, key=lambda miss: (len(miss.reasons), -miss.held))


def _miss(vocabulary: Vocabulary, entry: Entry, texts: Texts, root: str) -> Miss:
    reasons = list(_unmet(entry.match, texts))
    held = len(entry.match) - len(reasons)
    if entry.roots and root not in entry.roots:
        expected = " or ".join(repr(one) for one in sorted(entry.roots))
        reasons.insert(0, f"the root is {root!r}, expected {expected}")
    if reasons:
        return Miss(entry.place, fits=False, held=held, reasons=tuple(reasons))
    reasons += [
        f"the {'key' if name in entry.key else 'space'} {name} is {how}"
        for name, how in vocabulary.lacking(entry, texts).items()
    ]
    rows = [list(_unmet(row.conditions, texts)) for row in entry.means]
    if rows and all(rows):
        reasons += [f"means[{n}]: {'; '.join(unmet)}" for n, unmet in enumerate(rows, 1)]
    return Miss(entry.place, fits=True, held=held, reasons=tuple(reasons))


def _unmet(conditions: Mapping[str, Condition], texts: Texts) -> Iterator[str]:
    for name, condition in conditions.items():
        text = texts.get(name, "")
        if text is None:
            yield f"{name} is there twice"
        elif not condition.holds(text):
            said = repr(text) if text else "missing"
            expected = condition.described(repr)
            yield f"{name} is {said}" + (f", expected {expected}" if expected != "there" else "")
