"""Keys of several fields, and phone numbers in keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.definitions import define, load_chart, load_vocabulary
from postledger.definitions.vocabulary import Lexicon
from postledger.errors import DefinitionError
from postledger.keys import key_of, keys_by, keys_meant, require_key
from postledger.phone import digits_of
from postledger.postback import Postback
from tests.definitions.samples import CHART, WORDS

PARTS = st.text("ab/%+25F", max_size=4)


@given(st.lists(PARTS, min_size=2, max_size=3), st.lists(PARTS, min_size=2, max_size=3))
def test_keys_of_several_fields_are_equal_only_where_all_are(
    one: list[str], other: list[str]
) -> None:
    """Whatever the parts hold, no two tuples of them make one key."""
    keys = [key_of([(part, False) for part in parts]) for parts in (one, other)]
    assert (keys[0] == keys[1]) is (one == other)


@given(PARTS)
def test_a_key_of_one_field_is_as_it_is(text: str) -> None:
    """Only of a phone number the digits alone count."""
    assert key_of([(text, False)]) == text
    assert key_of([(text, True)]) == digits_of(text)


FIELDS = st.lists(st.tuples(PARTS.filter(bool), st.booleans()), min_size=1, max_size=3)


@given(FIELDS)
def test_fields_given_one_by_one_name_their_key(parts: list[tuple[str, bool]]) -> None:
    """So does the key itself, as it is shown; a text of the fields may stand for it."""
    key = key_of(parts)
    fields = tuple((f"field{at}", is_number) for at, (_, is_number) in enumerate(parts))
    assert require_key("id", [text for text, _ in parts], [fields]) == key
    assert require_key("id", key, [fields]) == key
    if len(parts) > 1 and key.count("%2F") + len(parts) <= 5:
        text = "/".join(text for text, _ in parts)
        assert key in keys_by(text, fields) or keys_by(text, fields) == [text]
        # What show finds by a text, or what is the key already.
        assert set(keys_by(text, fields)) <= {*keys_meant(text), text}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("a", "id must have the fields batch / to, as a list or with / between, got 'a'"),
        ("a/", "id must have the fields batch / to, .* got 'a/'"),
        (("a",), r"id must have the fields batch / to, .* got \['a'\]"),
        (["a", "b", "c"], "id must have the fields batch / to"),
        ("a/b/+1", r"id must be a list of batch / to, got 'a/b/\+1', which may be 'a/b%2F\+1' or"),
    ],
)  # fmt: skip
def test_a_wrong_number_of_fields_is_refused(given: str | list[str], fault: str) -> None:
    """The error names the fields."""
    with pytest.raises(ValueError, match=fault):
        require_key("id", given, [(("batch", False), ("to", True))])


SEVERAL = WORDS.replace('key = "number"', 'key = ["number", "why"]')


def test_a_key_of_several_fields_needs_them_all() -> None:
    """A postback that lacks one of them is unrecognised, and says which."""
    lexicon = Lexicon(
        (load_vocabulary(SEVERAL.replace("version = 1", 'version = 1\nnumbers = "why"')),)
    )
    said = (("NUMBER", "7/8"), ("WHY", "+1650"))
    reading = lexicon.read(postback := Postback("PARCEL", said))
    assert reading.recognised
    assert reading.key_of(postback) == "7%2F8/1650"
    lacking = lexicon.read(Postback("PARCEL", said[:1]))
    assert (lacking.recognised, lacking.chart, lacking.key_at) == (False, None, ())
    assert lacking.problem == "'Lost' of the vocabulary parcels fits, but why is missing"


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ('["number", "id"]', "key names the unknown field 'id'"),
        ('["number", "number"]', "key has a field twice; name each once"),
        ("[]", 'chart or key is missing; write both, chart = "…" and key = "…", or neither'),
        ("1", "key is 1; write a text or a list of texts"),
    ],
)
def test_a_wrong_key_is_refused(key: str, fault: str) -> None:
    """With what to write instead."""
    with pytest.raises(DefinitionError) as raised:
        load_vocabulary(WORDS.replace('key = "number"', f"key = {key}"))
    assert fault in raised.value.faults[0]


def test_keys_of_one_field_and_of_several_never_meet() -> None:
    """In one chart and space they are refused, in one vocabulary or in two."""
    chart = load_chart(CHART)
    both = load_vocabulary(SEVERAL.replace('key = ["number", "why"]\n', 'key = "number"\n', 1))
    with pytest.raises(DefinitionError, match="key has 1 of the fields, and that of"):
        define([chart], [both])
    one = load_vocabulary(WORDS)
    several = SEVERAL.replace('name = "parcels"', 'name = "letters"').replace(
        '"PARCEL", ""', '"LETTER"'
    )
    with pytest.raises(DefinitionError, match="give both keys one field, or both several"):
        define([chart], [one, load_vocabulary(several)])
    apart = several.replace("version = 1", 'version = 1\nspace = "letters"')
    assert len(define([chart], [one, load_vocabulary(apart)]).vocabularies) == 2
    stated = several.replace("version = 1", 'version = 1\nreads = "statements"')
    assert len(define([chart], [one, load_vocabulary(stated)]).vocabularies) == 2
