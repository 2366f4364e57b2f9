"""Keys of several fields, and phone numbers in keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.definitions import define, load_chart, load_vocabulary
from postledger.definitions.vocabulary import Lexicon, key_of
from postledger.errors import DefinitionError
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
