"""The language of vocabularies: the JSON Schema knows what the check knows of keys and values."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from postledger.definitions import load_vocabulary
from postledger.definitions.language import ENTRY, TOP, schema
from postledger.errors import DefinitionError
from postledger.postback import Shape
from tests.definitions.samples import WORDS
from tests.definitions.test_vocabulary_toml import FAULTS

STATECHARTS = Path(__file__).parents[2] / "statecharts"
SHIPPED = sorted(
    p for name in ("vocabulary", "providers") for p in (STATECHARTS / name).glob("*.toml")
)
VALIDATOR = Draft202012Validator(schema())

ALL = (
    WORDS.replace(
        "version = 1",
        """version = 1
title = "Parcels"
page = "https://carrier.example/callbacks"
read = 2026-11-27
unconfirmed = true
wire = "json"
reads = "receipts"
space = "carrier"
space_field = "why"
each = ["results", "results/parcels"]
embedded = "body"
ignore = "ATTEMPT"
numbers = ["number"]
parts = { part = "code", total = "word" }
labels = { reference = "results/parcels/REF" }
amounts = { price = { value = "PRICE", unit = "EUR" }, segments = "COUNT" }
reasons = { why = { "401" = { text = "nobody home", class = "unreachable" }, "402" = "lost" } }""",
    )
    .replace(
        'field = "when"',
        'field = "when"\nformat = ["iso", "epoch_ms", "%d %b %Y %H:%M"]',
    )
    .replace(
        'section = "Posted"', 'section = "Posted"\ntimestamp = { format = "smpp" }\nevidence = []'
    )
    .replace('root = ""', "")
    .replace('section = "Lost"', 'section = "Lost"\nroot = ["A", "B"]\nundated = true')
    .replace(
        '{ word = { not = ["", "posted"] }',
        '{ word = { range = [400, 499] }, code = { prefix = "P" }, why = { fold = ["x", "y"] },'
        ' source = true, number = { not = { fold = "z" } }',
    )
)


def accepted(text: str) -> bool:
    """Whether the schema takes a vocabulary, its dates as texts."""
    read: Any = json.loads(json.dumps(tomllib.loads(text), default=str))
    return VALIDATOR.is_valid(read)


def test_the_schema_is_one() -> None:
    """It is a JSON Schema itself."""
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_ships_is_accepted(path: Path) -> None:
    """Every vocabulary that ships is one by the schema."""
    assert accepted(path.read_text("utf-8"))


def test_every_key_is_accepted() -> None:
    """A vocabulary with all keys is one by the schema and by the check."""
    assert all(re.search(rf"^{key}\b|\[+{key}\]+", ALL, re.M) for key in (*TOP, *ENTRY))
    assert accepted(ALL)
    vocabulary = load_vocabulary(ALL)
    assert str(vocabulary.read_on) == "2026-11-27"
    assert (vocabulary.page, vocabulary.unconfirmed) == ("https://carrier.example/callbacks", True)
    assert vocabulary.shape == Shape(["RESULTS", "RESULTS/PARCELS"], ["BODY"])


def test_a_vocabulary_that_reads_nothing() -> None:
    """It has a name and a space, and by schema and check no more than that."""
    text = 'name = "gone"\nversion = 1\nspace = "gone"\nreads = "nothing"\n'
    assert accepted(text)
    assert load_vocabulary(text).space == "gone"
    for more in ('ignore = ["SEQ"]\n', '[fields]\na = "A"\n'):
        assert not accepted(text + more)
        with pytest.raises(DefinitionError, match="unknown key"):
            load_vocabulary(text + more)
    assert not accepted(text.replace("nothing", "receipts"))


MEANING = {
    *("field with two meanings", "unknown field in a condition", "unknown required field"),
    *("unknown key field", "a mark as a field", "two rows that match one postback"),
    *("two rows without a field in common", "two entries that match one postback"),
    *("row that never holds", "shared condition again", "unknown zone", "unknown timestamp"),
    *("no chart", "marks", "space field"),
}
"""Faults of what is meant: no schema can know them."""


@pytest.mark.parametrize("case", sorted(FAULTS.keys() - MEANING))
def test_a_fault_of_form_is_rejected(case: str) -> None:
    """Each fault of a key or of the kind of a value is one by the schema too."""
    (old, new), _ = FAULTS[case]
    assert accepted(WORDS)
    assert not accepted(WORDS.replace(old, new))


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ('page = "carrier"', "page is 'carrier'; write the address of the documentation"),
        ('read = "yesterday"', "read is 'yesterday'; write the date on which the page was read"),
        ("read = 2026-11-27T10:00:00", "write the date on which the page was read"),
        ('unconfirmed = "yes"', "unconfirmed is 'yes'; write true or false"),
        ("each = 1", "each is 1; write a text or a list of texts"),
        ("numbers = 1", "numbers is 1; write a text or a list of texts"),
    ],
)
def test_a_fault_of_a_key_at_the_top(key: str, fault: str) -> None:
    """The check says what to write, and the schema rejects it."""
    text = WORDS.replace("version = 1", f"version = 1\n{key}")
    with pytest.raises(DefinitionError) as raised:
        load_vocabulary(text)
    assert fault in raised.value.faults[0]
    assert not accepted(text)


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ('each = "/a"', "each has '/a'; write names on the wire, joined by \"/\""),
        (
            'each = ["x", "NUMBER"]',
            "each has 'x', and no field stands in it; write the names of its fields with their whole"
            ' path, "x/NAME", or leave it out',
        ),
        ('embedded = ["a//b"]', "embedded has 'a//b'; write names on the wire"),
        ('numbers = "fast"', "numbers names the unknown field 'fast'; the fields are code,"),
        ('ignore = "number"', "ignore has 'number', which stands for 'number'; ignore only names"),
        ('ignore = "Old_Word"', "ignore has 'Old_Word', which stands for 'word'; ignore only"),
        ('ignore = "express"', "ignore has 'express', which stands for 'fast'; ignore only"),
    ],
)
def test_a_fault_of_meaning_at_the_top(key: str, fault: str) -> None:
    """What is named must be there, and what is ignored must mean nothing."""
    with pytest.raises(DefinitionError) as raised:
        load_vocabulary(WORDS.replace("version = 1", f"version = 1\n{key}"))
    assert fault in raised.value.faults[0]


def test_our_name_of_a_field_is_not_ignored() -> None:
    """Who ignores our name of a field meant another: names on the wire are ignored."""
    text = WORDS.replace('number = "NUMBER"', 'number = "ParcelId"')
    with pytest.raises(DefinitionError, match="'number', which is our name of a field"):
        load_vocabulary(text.replace("version = 1", 'version = 1\nignore = "number"'))
