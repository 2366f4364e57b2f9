"""Reasons, labels and amounts of a vocabulary: what is refused at load, and with what words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.definitions import load_vocabulary
from postledger.definitions.vocabulary import Lexicon
from postledger.errors import DefinitionError
from postledger.findings import Finding
from postledger.postback import Postback

WORDS = """
name = "own"
version = 1
ignore = "attempt"
fields = { id = "id", status = "status", code = "code", note = "note" }
labels = { reference = ["ref", "client_ref"] }

[timestamps]
field = "note"

[amounts]
price = { value = "cost", currency = "unit" }
fee = { value = "fee", unit = "EUR" }
segments = "count"

[reasons.code]
"1" = { text = "off", class = "unreachable" }
"2" = "else"

[[postbacks]]
match = { status = true }
chart = "delivery"
key = "id"
reason = ["note", "code"]
means = [{ status = true, trigger = "failed" }]
"""

MONEY = (
    'write "NAME ON THE WIRE" for a count, or { value = "NAME", currency = "NAME" } or'
    ' { value = "NAME", unit = "EUR" } for money'
)
CODE = 'write "2" = { text = "what it means", class = "blocked" }'

FAULTS = {
    "reasons of no field": (
        ("[reasons.code]", "[reasons.error]"),
        "reasons.error: the field is unknown; the fields are id, status, code, note",
    ),
    "reasons of a field that gives none": (
        ('"note", "code"]', '"note"]'),
        "reasons.code: no postback has that field in its reason;"
        ' write reason = ["code"] in the [[postbacks]] whose reason it is',
    ),
    "unknown class": (
        ('class = "unreachable"', 'class = "dead"'),
        "reasons.code: '1' has the unknown class 'dead'; the classes are unreachable, blocked, spam,"
        " invalid_number, carrier, content, expired, unknown",
    ),
    "class that is not text": (
        ('class = "unreachable"', "class = []"),
        "reasons.code: '1' has the unknown class []; the classes are unreachable, blocked, spam,"
        " invalid_number, carrier, content, expired, unknown",
    ),
    "meaning without text": (('"2" = "else"', '"2" = ""'), f"reasons.code: '2' is ''; {CODE}"),
    "meaning with another key": (
        ('"2" = "else"', '"2" = { text = "a", kind = "b" }'),
        f"reasons.code: '2' is {{'text': 'a', 'kind': 'b'}}; {CODE}",
    ),
    "empty code": (
        ('"2" = "else"', '"" = "else"'),
        'reasons.code: \'\' is \'else\'; write "CODE" = { text = "what it means", class = "blocked" }',
    ),
    "label that is no name": (
        ("labels = { reference", 'labels = { "Our Ref"'),
        "labels: 'Our Ref' is not a name; write a name of lower-case letters, digits and single"
        " underscores",
    ),
    "labels that are not a table": (
        ('labels = { reference = ["ref", "client_ref"] }', "labels = 1"),
        'labels is 1; write [labels] and name = "NAME ON THE WIRE"',
    ),
    "label that is not text": (
        ('["ref", "client_ref"]', "1"),
        "labels and amounts: label reference is 1; write a text or a list of texts",
    ),
    "label without a name on the wire": (
        ('["ref", "client_ref"]', '""'),
        "labels and amounts: label reference has the empty name '';"
        ' write the name that stands in the postback, such as "messageId"',
    ),
    "fault in the postback whose reason it is": (
        ('key = "id"', 'key = "ID"'),
        "postbacks[1]: key names the unknown field 'ID'; the fields are id, status, code, note",
    ),
    "amount with two currencies": (
        ('currency = "unit" }', 'currency = "unit", unit = "EUR" }'),
        "amounts: price is {'value': 'cost', 'currency': 'unit', 'unit': 'EUR'}; " + MONEY,
    ),
    "amount without a value": (
        ('fee = { value = "fee", ', "fee = { "),
        "amounts: fee is {'unit': 'EUR'}; " + MONEY,
    ),
    "label that is ignored": (
        ('ignore = "attempt"', 'ignore = "REF"'),
        "ignore has 'REF', which stands for 'label reference';"
        " ignore only names that stand neither in fields nor in marks, labels or amounts",
    ),
    "currency that is ignored": (
        ('ignore = "attempt"', 'ignore = "unit"'),
        "ignore has 'unit', which stands for 'unit price';"
        " ignore only names that stand neither in fields nor in marks, labels or amounts",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_with_its_place_and_fix(fault: str) -> None:
    """One line says where, what is wrong, and what to write instead."""
    (before, after), message = FAULTS[fault]
    assert WORDS.count(before) == 1
    with pytest.raises(DefinitionError) as raised:
        load_vocabulary(WORDS.replace(before, after), where="own.toml")
    assert list(raised.value.faults) == [f"own.toml: {message}"]


def test_what_is_said_is_read_from_toml() -> None:
    """Names on the wire are plain, and ``inside`` applies to them as to fields."""
    said = load_vocabulary('inside = "BODY"\n' + WORDS).said
    assert said.names["label reference"] == ("REF", "CLIENTREF", "BODY/REF", "BODY/CLIENTREF")
    assert (said.labels, said.amounts) == (("reference",), ("fee", "price", "segments"))
    assert said.units == {"fee": "EUR"}
    assert said.reasons["code"]["2"].reason_class == "unknown"


@pytest.mark.parametrize(("units", "taken"), [((), 1), (("EUR",), 1), (("EUR", "USD"), 0)])
def test_an_amount_in_two_currencies_is_not_taken(units: tuple[str, ...], taken: int) -> None:
    """As a plain count it would be another amount."""
    said = [("id", "7"), ("status", "x"), ("cost", "1.5"), *(("unit", unit) for unit in units)]
    reading = load_vocabulary(WORDS).read(Postback("", tuple(said)))
    assert len(reading.amounts) == taken
    assert (Finding.FIELD_TWICE in reading.findings) is (taken == 0)


FOLDED = WORDS.replace(
    "match = { status = true }", 'match = { code = { fold = ["off", "gone", "ß"] } }'
)
FOLDED = FOLDED.replace('"1" =', '"Off" =').replace('"2" = "else"', '"GONE" = "else"')
CODED = load_vocabulary(FOLDED)


@given(st.lists(st.sampled_from(["off", "OFF", "Off", "gone", "Gone", "ß", "SS", ""]), min_size=1))
def test_codes_of_a_field_matched_in_any_case_are_found_in_any_case(codes: list[str]) -> None:
    """A reason has the code as the table writes it; what was read before changes no reading."""
    lexicon = Lexicon((CODED,))
    for code in codes:
        postback = Postback("", (("id", "7"), ("status", "x"), ("code", code)))
        reading = lexicon.read(postback)
        assert reading == Lexicon((CODED,)).read(postback)
        told = {"off": ("Off: off", "unreachable"), "gone": ("GONE: else", "unknown")}
        said, reason_class = told.get(code.lower(), (None, "unknown"))
        if code:
            assert (reading.reason_said, reading.reason_class) == ((said,), reason_class)


def test_codes_that_differ_in_case_alone_are_refused_where_case_does_not_matter() -> None:
    """Which of them is meant would be a guess; where case matters, they are two codes."""
    twice = '"GONE" = "else"\n"gone" = "away"'
    with pytest.raises(DefinitionError) as raised:
        load_vocabulary(FOLDED.replace('"GONE" = "else"', twice))
    (fault,) = raised.value.faults
    assert fault == (
        "vocabulary: reasons.code: 'GONE' and 'gone' are one code: a condition asks for the field by"
        " fold; leave one of them out"
    )
    assert load_vocabulary(WORDS.replace('"2" = "else"', twice)).said.reasons["code"].keys() > {
        "gone"
    }
