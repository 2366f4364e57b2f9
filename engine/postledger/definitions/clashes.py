"""Clashes: where two entries, or two vocabularies, know the same postbacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from postledger.definitions.conditions import Condition
from postledger.definitions.vocabulary import Entry, Reads, Vocabulary


def exclude(one: Mapping[str, Condition], other: Mapping[str, Condition]) -> bool:
    """Whether no postback satisfies both sets of conditions."""
    return any(one[name].excludes(other[name]) for name in one.keys() & other.keys())


def clashes(one: Vocabulary, other: Vocabulary) -> Iterator[str]:
    """Where two vocabularies know the same postbacks, so that neither could read them: a line each.

    Reported are the entries of which one asks for no field that the other doesn't ask for. Entries
    that ask for different fields could meet in one postback too, but no provider sends such a postback.
    One vocabulary of statements and one of receipts never read the same.
    """
    if one.reads is not other.reads:
        return
    for first, second in product(one.entries, other.entries):
        if not (first.roots and second.roots) or first.roots & second.roots:
            pairs = product(_ways(one, first), _ways(other, second))
            if any(_meet(this, that) for this, that in pairs):
                place = f"{one.where}: {first.place}"
                yield (
                    f"{place}: matches the same postbacks as {other.where}: {second.place}; add a"
                    " condition in which they differ, or give the vocabulary the name of the other"
                    " to take its place"
                )


def _ways(vocabulary: Vocabulary, entry: Entry) -> list[list[Condition]]:
    """The ways in which a postback is known to an entry: all conditions of each, and its key."""
    match = list(entry.match.values())
    match += [Condition(vocabulary.fields[k], frozenset({""}), other=True) for k in entry.key]
    return [[*match, *row.conditions.values()] for row in entry.means] or [match]


def _meet(this: list[Condition], that: list[Condition]) -> bool:
    """Whether one postback may be known in both ways, with no more fields than one requires."""
    for one, other in product(this, that):
        if not set(one.names).isdisjoint(other.names) and one.excludes(other):
            return False
    return _requires(this, that) or _requires(that, this)


def _requires(this: list[Condition], that: list[Condition]) -> bool:
    """Whether each field that one way requires is required by the other too."""
    required = {name for condition in that if not condition.holds("") for name in condition.names}
    return all(not required.isdisjoint(c.names) for c in this if not c.holds(""))


def mixed_keys(one: Vocabulary, other: Vocabulary) -> str | None:
    """Where keys of one field and of several meet in a chart and a space: a line.

    A key of one field is taken as it is, and so could name what several fields name together. What the
    embedding program states names a delivery as it is shown, and may.
    """
    if Reads.STATEMENTS in (one.reads, other.reads):
        return None
    if one.space != other.space and not (one.space_field or other.space_field):
        return None
    for first, second in product(one.entries, other.entries):
        if first.chart == second.chart and (len(first.key) == 1) is not (len(second.key) == 1):
            return (
                f"{one.where}: {first.place}: its key has {len(first.key)} of the fields, and that of"
                f" {other.where}: {second.place} has {len(second.key)}, in one chart and space; give both"
                " keys one field, or both several, or give one vocabulary a space of its own"
            )
    return None
