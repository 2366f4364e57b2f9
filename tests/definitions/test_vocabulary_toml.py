"""Vocabularies: what is refused at load, and with what words."""

from __future__ import annotations

import pytest

from postledger.definitions import load_vocabulary
from postledger.definitions.clashes import clashes
from postledger.definitions.vocabulary import Vocabulary
from postledger.errors import DefinitionError
from tests.definitions.samples import WORDS

FAULTS = {
    "field with two meanings": (
        ('number = "NUMBER"', 'number = ["NUMBER", "old_word"]'),
        "fields: 'old_word' stands for 'word' and for 'number';"
        " give each name on the wire one meaning",
    ),
    "field without a name on the wire": (
        ('number = "NUMBER"', 'number = ["NUMBER", "-"]'),
        "fields: number has the empty name '-';"
        ' write the name that stands in the postback, such as "messageId"',
    ),
    "unknown field in a condition": (
        ('{ word = "posted"', '{ wort = "posted"'),
        "postbacks[1] (Posted).means[1]: a condition names the unknown field 'wort';"
        " the fields are code, word, number, when, why, fast, source",
    ),
    "unknown required field": (
        ('requires = ["when"]', 'requires = ["then"]'),
        "postbacks[1] (Posted): requires names the unknown field 'then';"
        " the fields are code, word, number, when, why",
    ),
    "unknown key field": (
        ('key = "number"\nrequires', 'key = "id"\nrequires'),
        "postbacks[1] (Posted): key names the unknown field 'id';"
        " the fields are code, word, number, when, why",
    ),
    "a mark as a field": (
        ('reason = "why"', 'reason = "fast"'),
        "postbacks[1] (Posted): reason names the unknown field 'fast';"
        " the fields are code, word, number, when, why",
    ),
    "two rows that match one postback": (
        ('{ not = ["", "posted"] }', '{ not = ["", "eaten"] }'),
        "postbacks[1] (Posted).means: rows 1 and 2 match the same postback;"
        " add a condition in which they differ",
    ),
    "two rows without a field in common": (
        ('{ word = { not = ["", "posted"] }', "{ why = true"),
        "postbacks[1] (Posted).means: rows 1 and 2 match the same postback;"
        " add a condition in which they differ",
    ),
    "two entries that match one postback": (
        ('match = { code = { not = "P1" } }', 'match = { code = ["P1", "P2"] }'),
        "postbacks[1] (Posted): matches the same postbacks as postbacks[2] (Lost);"
        " add a condition to match in which they differ",
    ),
    "row that never holds": (
        ('{ word = "posted", trigger', '{ word = "posted", code = "P2", trigger'),
        "postbacks[1] (Posted).means[1]: no postback can match both this row and its entry;"
        " change its conditions or leave the row out",
    ),
    "shared condition again": (
        ('match = { code = "P1" }', 'match = { code = "P1", fast = true }'),
        "postbacks[1] (Posted).match: 'fast' is in the shared match too;"
        " leave it out here, or leave it out of the match that all share",
    ),
    "matches everything": (
        ('match = { code = "P1" }\n', ""),
        "postbacks[1] (Posted): matches everything; write match = { … } or root = …",
    ),
    "chart without key": (
        ('key = "number"\nrequires', "requires"),
        'postbacks[1] (Posted): chart or key is missing; write both, chart = "…" and key = "…",'
        " or neither",
    ),
    "no chart": (
        ('chart = "parcel"\nkey = "number"\nrequires', "requires"),
        'postbacks[1] (Posted): means without a chart; write chart = "…" and key = "…"',
    ),
    "no trigger": (
        ('means = [{ trigger = "lost" }]', 'means = [{ word = "x" }]'),
        'postbacks[2] (Lost).means[1]: no trigger; write { status = "…", trigger = "…" }',
    ),
    "no means": (
        ('means = [{ trigger = "lost" }]', ""),
        "postbacks[2] (Lost): means is missing or not a list; write means = [ … ]",
    ),
    "odd condition": (
        ('{ not = "P1" }', '{ like = "P%" }'),
        "postbacks[2] (Lost).match: a condition is {'like': 'P%'}; write \"text\", a list of texts, true,"
        ' false, { fold = "text" }, { prefix = "text" }, { range = [400, 499] } or { not = … }',
    ),
    "empty condition": (
        ('{ word = "posted"', "{ word = []"),
        "postbacks[1] (Posted).means[1]: a condition lists no text; list one, or leave it out",
    ),
    "number in a condition": (
        ('{ word = "posted"', "{ word = 1"),
        "postbacks[1] (Posted).means[1]: a condition is 1; write a text or a list of texts",
    ),
    "several triggers": (
        ('trigger = "posted"', 'trigger = ["posted", "lost"]'),
        "postbacks[1] (Posted).means[1]: trigger is ['posted', 'lost']; write trigger = \"…\"",
    ),
    "a trigger twice": (
        ('key = "number"', 'key = "number"\nevidence = [{ trigger = ["lost", "lost"] }]'),
        "postbacks[1] (Posted).evidence[1]: trigger is ['lost', 'lost'];"
        ' write trigger = "…" or a list of different ones, [] for none',
    ),
    "unknown key": (
        ('section = "Posted"', 'section = "Posted"\nif = "x"'),
        "postbacks[1] (Posted): unknown key 'if'; the keys are chart, evidence, key, match,"
        " means, parts, reason, requires, root, section, timestamp, undated",
    ),
    "undated": (
        ('section = "Posted"', 'section = "Posted"\nundated = "yes"'),
        "postbacks[1] (Posted): undated is 'yes'; write true or false",
    ),
    "unknown zone": (
        ("America/New_York", "Mars/Olympus"),
        "timestamps: naive zone 'Mars/Olympus' is unknown;"
        ' write a zone such as "UTC", "America/New_York" or "-05:00"',
    ),
    "unknown timestamp": (
        ('field = "when"', 'field = "then"'),
        "timestamps: field 'then' is unknown; name it in [fields]",
    ),
    "version": (
        ("version = 1", 'version = "1"'),
        "version is '1'; write version = 1 and count up with each change",
    ),
    "name": (
        ('name = "parcels"', ""),
        "name is missing; write a name of lower-case letters, digits and single underscores",
    ),
    "marks": (
        ('marks = { fast = "EXPRESS" }', 'marks = { word = "EXPRESS" }'),
        "marks: is {'word': 'EXPRESS'}; write marks = { our_name = \"NAME ON THE WIRE\" },"
        " and no name of a field",
    ),
    "timestamps": (
        ('[timestamps]\nfield = "when"\nnaive = "America/New_York"', "[[timestamps]]"),
        'timestamps: is [{}]; write [timestamps] and field = "…"',
    ),
    "no condition": (
        ('match = { code = "P1" }', 'match = "P1"'),
        "postbacks[1] (Posted).match: is 'P1'; write { field = \"text\" } or { field = true }",
    ),
    "no fields": (
        (WORDS[WORDS.index("[fields]") : WORDS.index("[timestamps]")], ""),
        'fields: missing; write [fields] with our_name = "NAME ON THE WIRE"',
    ),
    "no postbacks": (
        (WORDS[WORDS.index("[[postbacks]]") :], ""),
        "postbacks: missing; write [[postbacks]] tables",
    ),
    "postback that is not a table": (
        (WORDS[WORDS.index("[fields]") :], 'postbacks = ["x"]\n[fields]\ncode = "CODE"'),
        "postbacks[1]: is not a table: 'x'; write [[postbacks]] tables",
    ),
    "reads": (
        ("version = 1", 'version = 1\nreads = "everything"'),
        'reads is \'everything\'; write reads = "receipts", reads = "statements" or reads = "nothing"',
    ),
    "reads what is not a text": (
        ("version = 1", "version = 1\nreads = {}"),
        'reads is {}; write reads = "receipts", reads = "statements" or reads = "nothing"',
    ),
    "space": (
        ("version = 1", 'version = 1\nspace = "Second Provider"'),
        "space is 'Second Provider'; write a name of lower-case letters, digits and single"
        " underscores, or leave it out",
    ),
    "empty space": (
        ("version = 1", 'version = 1\nspace = ""'),
        "space is ''; write a name of lower-case letters, digits and single underscores,"
        " or leave it out",
    ),
    "space field": (
        ("version = 1", 'version = 1\nspace_field = "fast"'),
        "space_field 'fast' is unknown; name it in [fields]",
    ),
    "space field that is not a text": (
        ("version = 1", "version = 1\nspace_field = [1]"),
        "space_field [1] is unknown; name it in [fields]",
    ),
}


@pytest.mark.parametrize("text", ["x = " + "[" * 5_000 + "]" * 5_000, "x = " + "9" * 5_000])
def test_toml_that_no_parser_takes(text: str) -> None:
    """It is a fault like others, and no traceback."""
    with pytest.raises(DefinitionError, match=r"^parcels.toml: not TOML"):
        load_vocabulary(text, where="parcels.toml")


@pytest.mark.parametrize("case", FAULTS)
def test_fault(case: str) -> None:
    """A fault is refused with the file, the table, what is wrong and what to write."""
    (old, new), message = FAULTS[case]
    assert old in WORDS
    with pytest.raises(DefinitionError) as caught:
        load_vocabulary(WORDS.replace(old, new), where="parcels.toml")
    assert caught.value.faults[0] == f"parcels.toml: {message}"


def test_labels() -> None:
    """A vocabulary is known by name, version and the hash of its content."""
    vocabulary: Vocabulary = load_vocabulary(WORDS)
    assert vocabulary.label == f"parcels 1 ({vocabulary.hash[:8]})"
    assert vocabulary.title == "parcels"


def test_defaults() -> None:
    """Without a word of it a vocabulary reads receipts, and its ids are of the common space."""
    vocabulary = load_vocabulary(WORDS)
    assert (vocabulary.reads, vocabulary.space, vocabulary.space_field) == ("receipts", "", None)


@pytest.mark.parametrize(
    "key", ['space = "second"', 'space_field = "why"', 'reads = "statements"', 'reads = "receipts"']
)
def test_each_key_counts_in_the_hash(key: str) -> None:
    """The hash covers the space and what is read, as it covers any key."""
    other = load_vocabulary(WORDS.replace("version = 1", f"version = 1\n{key}"))
    assert other.hash != load_vocabulary(WORDS).hash


def test_clashes_of_one_kind_only() -> None:
    """A vocabulary of statements and one of receipts never know the same postbacks."""
    one = load_vocabulary(WORDS, where="one")
    statements = WORDS.replace("version = 1", 'version = 1\nreads = "statements"')
    other = load_vocabulary(statements, where="other")
    assert len(list(clashes(one, one))) == len(one.entries)
    assert len(list(clashes(other, other))) == len(one.entries)
    assert not list(clashes(one, other))
    assert not list(clashes(other, one))
