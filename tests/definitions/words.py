"""Postbacks made from the rows of a vocabulary, so that every row is put to the test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from postledger.definitions import Definitions
from postledger.definitions.conditions import Condition
from postledger.definitions.vocabulary import Entry, Reading, Reads, Row, Vocabulary
from postledger.postback import Postback

SOME = "some other words"


def text_for(condition: Condition) -> str:
    """A text that satisfies a condition; empty for a field that must not be there."""
    if condition.other:
        return SOME
    if condition.ranges:
        return str(condition.ranges[0][0])
    return max(*condition.texts, *condition.folds, *condition.prefixes, "")


def said(
    vocabulary: Vocabulary, entry: Entry, row: Row | None, evidence: Row | None = None
) -> Postback:
    """A postback that an entry matches, with its required nodes, as a row wants it."""
    conditions: Mapping[str, Condition] = {
        **entry.match,
        **(evidence.conditions if evidence else {}),
        **(row.conditions if row else {}),
    }
    texts = dict.fromkeys((*entry.requires, *entry.key), "x")
    texts |= {name: text_for(condition) for name, condition in conditions.items()}
    if entry.clock.field in texts:
        texts[entry.clock.field] = "2013-11-05T05:41:08-05:00"
    fields = tuple((vocabulary.fields[name][0], text) for name, text in texts.items() if text)
    statement = vocabulary.reads is Reads.STATEMENTS
    return Postback(min(entry.roots), fields, statement=statement)


def everything(vocabulary: Vocabulary) -> Iterator[tuple[Entry, Row | None, Postback]]:
    """A postback for every row of every entry, and for every row with every evidence."""
    for entry in vocabulary.entries:
        for row in entry.means or (None,):
            yield entry, row, said(vocabulary, entry, row)
            for evidence in entry.evidence:
                yield entry, row, said(vocabulary, entry, row, evidence)


def readings(definitions: Definitions) -> Iterator[Reading]:
    """The readings of all that the vocabularies know."""
    for vocabulary in definitions.vocabularies:
        for _, _, postback in everything(vocabulary):
            yield definitions.lexicon.read(postback)
