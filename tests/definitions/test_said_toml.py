"""Reasons, labels and amounts of a vocabulary: what is refused at load, and with what words."""

from __future__ import annotations

import pytest

from postledger.definitions import load_vocabulary
from postledger.errors import DefinitionError

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
        "ignore has 'UNIT', which stands for 'unit price';"
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
