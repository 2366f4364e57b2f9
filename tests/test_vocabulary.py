"""Vocabularies: what is refused at load, what the specification's words mean, and nothing guessed."""

from __future__ import annotations

from itertools import combinations, permutations, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger import Ledger
from postledger.definitions.chart_toml import Statechart, Transition
from postledger.definitions.definitions import Effect, builtin
from postledger.definitions.vocabulary import Condition, Lexicon, Vocabulary
from postledger.definitions.vocabulary_toml import load_vocabulary
from postledger.errors import DefinitionError
from postledger.postback import Postback
from postledger.state.fold import Fact, Tally, advance
from tests.words import everything, readings

BUILTIN = builtin()
SHIPPED = {vocabulary.name: vocabulary for vocabulary in BUILTIN.vocabularies}

GOOD = """
name = "parcels"
version = 1
roots = ["PARCEL", ""]
inside = ["ENVELOPE"]
marks = { fast = "EXPRESS" }
match = { fast = false }

[fields]
code = "CODE"
word = ["WORD", "OLD-WORD"]
number = "NUMBER"
when = "WHEN"
why = "WHY"

[timestamps]
field = "when"
naive = "America/New_York"

[[postbacks]]
section = "Posted"
match = { code = "P1" }
chart = "parcel"
key = "number"
requires = ["when"]
reason = "why"
means = [
    { word = "posted", trigger = "posted" },
    { word = { not = ["", "posted"] }, trigger = "lost" },
]

[[postbacks]]
section = "Lost"
match = { code = { not = "P1" } }
chart = "parcel"
key = "number"
means = [{ trigger = "lost" }]
"""


def read(*fields: tuple[str, str], root: str = "PARCEL") -> tuple[bool, str | None, str | None]:
    """What the good vocabulary makes of a postback: known or not, its section, its trigger."""
    reading = load_vocabulary(GOOD).read(Postback(root, fields))
    return reading.recognised, reading.section, reading.trigger


def test_conditions() -> None:
    """A condition asks for a text, for none of some texts, for presence or for absence."""
    number = ("NUMBER", "7")
    assert read(("CODE", "P1"), ("WORD", "posted"), number) == (True, "Posted", "posted")
    assert read(("CODE", "P1"), ("WORD", "eaten"), number) == (True, "Posted", "lost")
    assert read(("CODE", "P1"), number) == (False, "Posted", None)
    assert read(("CODE", "P2"), number) == (True, "Lost", "lost")
    assert read(number) == (True, "Lost", "lost")


def test_names() -> None:
    """A field is known by each of its names, in any case, and inside the container."""
    assert read(("code", "P1"), ("old_word", "posted"), ("Number", "7"))[2] == "posted"
    assert (
        read(("CODE", "P1"), ("ENVELOPE/Word", "posted"), ("ENVELOPE/NUMBER", "7"))[2] == "posted"
    )
    assert read(("CODE", "P1"), ("OTHER/WORD", "posted"), ("NUMBER", "7"))[0] is False


def test_field_twice() -> None:
    """A field that stands twice is none, since which of the two is meant would be a guess."""
    twice = (("CODE", "P1"), ("WORD", "posted"), ("WORD", "posted"), ("NUMBER", "7"))
    assert read(*twice) == (False, "Posted", None)


def test_key_missing() -> None:
    """A postback without its key belongs to no stream and is not recognised."""
    reading = load_vocabulary(GOOD).read(Postback("PARCEL", (("CODE", "P1"), ("WORD", "posted"))))
    assert (reading.recognised, reading.chart, reading.trigger) == (False, None, None)


def test_root_and_mark() -> None:
    """A postback of another root, or with the mark that the shared match excludes, is not known."""
    fields = (("CODE", "P1"), ("WORD", "posted"), ("NUMBER", "7"))
    assert read(*fields, root="parcel")[0]
    assert not read(*fields, root="LETTER")[0]
    assert not read(*fields, ("express", "yes"))[0]


FAULTS = {
    "field with two meanings": (
        ('number = "NUMBER"', 'number = ["NUMBER", "old_word"]'),
        "fields: 'OLDWORD' stands for 'word' and for 'number';"
        " give each name on the wire one meaning",
    ),
    "unknown field in a condition": (
        ('{ word = "posted"', '{ wort = "posted"'),
        "postbacks[1] (Posted).means[1]: a condition names the unknown field 'wort';"
        " the fields are code, word, number, when, why, fast",
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
        "postbacks[1] (Posted).means[1]: no postback that the entry matches is like this;"
        " change its conditions or leave the row out",
    ),
    "shared condition again": (
        ('match = { code = "P1" }', 'match = { code = "P1", fast = true }'),
        "postbacks[1] (Posted).match: 'fast' stands in the shared match too;"
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
        "postbacks[2] (Lost): means is missing or no list; write means = [ … ]",
    ),
    "odd condition": (
        ('{ not = "P1" }', '{ like = "P%" }'),
        "postbacks[2] (Lost).match: a condition is {'like': 'P%'}; write { not = \"text\" }",
    ),
    "empty condition": (
        ('{ word = "posted"', "{ word = []"),
        "postbacks[1] (Posted).means[1]: a condition lists no text; list one, or leave it out",
    ),
    "number in a condition": (
        ('{ word = "posted"', "{ word = 1"),
        "postbacks[1] (Posted).means[1]: a condition is 1; write a text or a list of texts",
    ),
    "unknown key": (
        ('section = "Posted"', 'section = "Posted"\nif = "x"'),
        "postbacks[1] (Posted): unknown key 'if'; the keys are chart, evidence, key, match,"
        " means, reason, requires, root, section, undated",
    ),
    "undated": (
        ('section = "Posted"', 'section = "Posted"\nundated = "yes"'),
        "postbacks[1] (Posted): undated is 'yes'; write true or false",
    ),
    "unknown zone": (
        ("America/New_York", "Mars/Olympus"),
        "timestamps: naive zone 'Mars/Olympus' is unknown;"
        ' write a zone such as "UTC" or "America/New_York"',
    ),
    "unknown timestamp": (
        ('field = "when"', 'field = "then"'),
        "timestamps: field 'then' is unknown; name it in [fields]",
    ),
    "version": (
        ("version = 1", 'version = "1"'),
        "version is '1'; write version = 1 and count up with each change",
    ),
    "name": (('name = "parcels"', ""), "name is None; write a name of lower-case letters"),
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
        (GOOD[GOOD.index("[fields]") : GOOD.index("[timestamps]")], ""),
        'fields: missing; write [fields] with our_name = "NAME ON THE WIRE"',
    ),
    "no postbacks": (
        (GOOD[GOOD.index("[[postbacks]]") :], ""),
        "postbacks: missing; write [[postbacks]] tables",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_fault(case: str) -> None:
    """A fault is refused with the file, the table, what is wrong and what to write."""
    (old, new), message = FAULTS[case]
    assert old in GOOD
    with pytest.raises(DefinitionError) as caught:
        load_vocabulary(GOOD.replace(old, new), where="parcels.toml")
    assert caught.value.faults[0] == f"parcels.toml: {message}"


TEXTS = st.frozensets(st.sampled_from(("", "a", "b", "c")), min_size=1)
CONDITIONS = st.builds(Condition, st.just(("F",)), TEXTS, st.booleans())


@given(CONDITIONS, CONDITIONS)
def test_excludes(one: Condition, other: Condition) -> None:
    """Two conditions exclude each other exactly where no text satisfies both."""
    shared = any(one.holds(text) and other.holds(text) for text in ("", "a", "b", "c", "another"))
    assert one.excludes(other) is not shared


def test_two_vocabularies() -> None:
    """What two vocabularies recognise is unrecognised, since to choose would be a guess."""
    one = load_vocabulary(GOOD)
    other = load_vocabulary(GOOD.replace('name = "parcels"', 'name = "letters"'))
    postback = Postback("PARCEL", (("CODE", "P1"), ("WORD", "posted"), ("NUMBER", "7")))
    reading = Lexicon((one, other)).read(postback)
    assert (reading.recognised, reading.trigger, reading.chart) == (False, None, "parcel")


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_row(name: str) -> None:
    """Every row of every shipped vocabulary is what all of them together make of such a postback."""
    for entry, row, postback in everything(SHIPPED[name]):
        reading = BUILTIN.lexicon.read(postback)
        assert reading.recognised, (entry.place, postback)
        assert (reading.vocabulary, reading.section) == (name, entry.section)
        assert reading.trigger == (row.trigger if row else None)
        assert reading.missing == ()


def test_one_reader() -> None:
    """No two shipped vocabularies recognise the same postback, whatever words are put together."""
    one, other = SHIPPED["skycore"], SHIPPED["sinch"]
    words = {name: sorted(texts) for name, texts in BUILTIN.lexicon.words.items()}
    choices = [["", *words[name]] for name in ("ORIGIN", "CODE", "STATUS", "SENTAS")]
    known = 0
    for origin, code, status, sent_as in product(*choices):
        for details, operator in product(("", "Sent", "too big"), ("", "31002")):
            texts = (origin, code, status, sent_as, details, operator, "x", "y")
            names = ("ORIGIN", "CODE", "STATUS", "SENTAS", "STATUSDETAILS", "OPERATORID")
            fields = zip((*names, "TRACKINGID", "MMSID"), texts, strict=True)
            postback = Postback("", tuple((n, t) for n, t in fields if t))
            by = [v.name for v in (one, other) if v.read(postback).recognised]
            known += len(by)
            assert len(by) < 2, postback
    assert known > 100


# What the specification allows: section, origin, code, SENTAS, STATUSDETAILS, STATUS, and what of it.
_SPECIFIED = """
SMS MT Sent | SMS_MT | N201 | - | - | Message Sent | sent_sms | sent | sms
SMS MT Sent | SMS_MT | N201 | - | - | Message Failed | sending_failed | failed | unknown
SMS MT Status | SMS_MT | N202 | - | info | Message Sent/Delivered | delivered | delivered | sms
SMS MT Status | SMS_MT | N202 | - | info | Message Sent/Failed | failed | failed | sms
Binary | MMS_MT | N101 | MMS | - | Message Sent | sent_binary | sent | binary
Binary | MMS_MT | N101 | MMS | why | Message Failed | sending_failed | failed | unknown
Binary | MMS_MT | N102 | MMS | - | Message Sent/Delivered | delivered | delivered | binary
Binary | MMS_MT | N102 | MMS | - | Message Sent/Expired | expired | expired | binary
Binary | MMS_MT | N102 | MMS | - | Message Sent/Rejected | rejected | rejected | binary
xHTML | MMS_MT | N101 | SMS | - | Message Sent | sent_xhtml | sent | xhtml
xHTML | MMS_MT | N202 | SMS | info | Message Sent/Delivered | delivered | delivered | xhtml
xHTML | MMS_MT | N202 | SMS | info | Message Sent/Failed | failed | failed | xhtml
Degraded | MMS_MT | N101 | SMS | why | Message Sent | degraded | sent | degraded
Degraded | MMS_MT | N202 | SMS | - | Message Sent/Delivered | delivered | delivered | xhtml
Degraded | MMS_MT | N202 | SMS | - | Message Sent/Failed | failed | failed | xhtml
Sending Failure | MMS_MT | E101 | - | why | Message Failed | sending_failed | failed | unknown
"""
SPECIFIED = [
    tuple(None if cell == "-" else cell for cell in line.split(" | "))
    for line in _SPECIFIED.strip().splitlines()
]


@pytest.mark.parametrize("case", SPECIFIED, ids=lambda c: f"{c[0]} {c[2]} {c[5]}")
def test_specification(case: tuple[str | None, ...], tmp_path: Path) -> None:
    """Every STATUS that the specification allows for a code says its trigger and leads to its state."""
    _, origin, code, sent_as, details, status, trigger, state, route = case
    leaves = {
        "ORIGIN": origin,
        "CODE": code,
        "SENTAS": sent_as,
        "STATUS": status,
        "MMSID": "39755" if origin == "MMS_MT" else None,
        "TO": "16503333058",
        "TRACKINGID": "TU1TXzE=",
        "SPID": "0001470",
        "TIMESTAMP": "2012-06-07T07:27:29-05:00",
        "HANDSET": "motol7c" if code == "N102" else None,
        "AGGREGATORID": "11529-64807" if code in ("N102", "N202") else None,
        "STATUSDETAILS": details,
    }
    body = "".join(f"<{name}>{text}</{name}>" for name, text in leaves.items() if text)
    with Ledger(tmp_path / "test.db") as ledger:
        recorded = ledger.record(f"<POSTBACK>{body}</POSTBACK>".encode())
        (step,) = ledger.timeline("TU1TXzE=")
    assert recorded.delivery is not None
    assert (step.trigger, step.verdict, step.missing) == (trigger, "applied", ())
    assert (recorded.delivery.state, recorded.delivery.route) == (state, route)
    wants_reason = state in ("failed", "expired", "rejected") or route == "degraded"
    assert recorded.delivery.reason == (details if wants_reason else None)


@pytest.mark.parametrize(
    ("code", "name", "text", "trigger"),
    [
        ("N003", None, None, "saved"),
        ("E002", "AUDIONAME", "sample.mp3", "audio_failed"),
        ("E002", "VIDEONAME", "sample.3gp", "video_failed"),
    ],
)
def test_specification_of_content(
    ledger: Ledger, code: str, name: str | None, text: str | None, trigger: str
) -> None:
    """A save, and a failure to encode with what failed, belong to the MMSID."""
    leaf = f"<{name}>{text}</{name}>" if name else ""
    ledger.record(
        f"<POSTBACK><ORIGIN>MMS_MT</ORIGIN><CODE>{code}</CODE><MMSID>35674</MMSID>{leaf}"
        "</POSTBACK>".encode()
    )
    (step,) = ledger.timeline("35674", chart="content")
    content = ledger.content("35674")
    assert (step.trigger, step.findings) == (trigger, ())
    assert content.state == ("failed" if text else "saved")
    assert content.failures == ((text,) if text else ())


def test_every_transition() -> None:
    """The postbacks of the shipped vocabularies, three at a time, take every transition there is."""
    effects: dict[tuple[str, str | None, str | None], Effect] = {}
    for reading in readings(BUILTIN):
        effect = BUILTIN.effect(reading)
        if effect is not None:
            effects[effect.chart.name, reading.trigger, reading.evidence] = effect
    for chart in BUILTIN.charts.values():
        said = [effect for (name, *_), effect in effects.items() if name == chart.name]
        taken = {t for three in permutations(said, 3) for t in taken_by(chart, three)}
        taken |= {t for one in said for t in taken_by(chart, (one, one, one))}
        there = {(r.name, t) for r in chart.regions for t in r.transitions}
        assert taken == there, chart.name


def taken_by(chart: Statechart, effects: tuple[Effect, ...]) -> set[tuple[str, Transition]]:
    """The transitions that the fold takes for events of these effects, one after the other."""
    taken = set()
    tally = Tally(chart)
    facts = [
        Fact(effect.stage, time, b"", time, time, effect, 0, (None,) * 6)
        for time, effect in enumerate(effects, 1)
    ]
    for fact in sorted(facts, key=lambda fact: fact[:2]):
        assert fact.effect is not None
        at = tally.configuration
        for trigger in (fact.effect.reading.trigger, fact.effect.reading.evidence):
            if trigger is not None:
                before = chart.configurations[at]
                taken |= {
                    (region.name, way)
                    for region, state in zip(chart.regions, before, strict=True)
                    for way in region.transitions
                    if (way.trigger, way.source) == (trigger, state)
                }
                at = chart.table[trigger][at].after
        advance(tally, fact)
        assert tally.configuration == at
    return taken


@pytest.mark.parametrize(
    ("sent", "receipt"),
    list(permutations(("sent_sms", "sent_binary", "sent_xhtml"), 2)),
)
def test_wrong_route(sent: str, receipt: str, ledger: Ledger) -> None:
    """A receipt of another route gives its outcome, keeps the route, and is a finding."""
    sendings = {
        "sent_sms": ("SMS_MT", "N201", None),
        "sent_binary": ("MMS_MT", "N101", "MMS"),
        "sent_xhtml": ("MMS_MT", "N101", "SMS"),
    }
    receipts = {
        "sent_sms": ("SMS_MT", "N202", None),
        "sent_binary": ("MMS_MT", "N102", "MMS"),
        "sent_xhtml": ("MMS_MT", "N202", "SMS"),
    }
    bodies = []
    for (origin, code, sent_as), status in (
        (sendings[sent], "Message Sent"),
        (receipts[receipt], "Message Sent/Delivered"),
    ):
        leaf = f"<SENTAS>{sent_as}</SENTAS>" if sent_as else ""
        bodies.append(
            f"<POSTBACK><ORIGIN>{origin}</ORIGIN><CODE>{code}</CODE>{leaf}<STATUS>{status}</STATUS>"
            f"<TO>1</TO><TRACKINGID>k</TRACKINGID></POSTBACK>".encode()
        )
    ledger.record_many(bodies)
    delivery = ledger.delivery("k")
    assert delivery.state == "delivered"
    assert (
        delivery.route == {"sent_sms": "sms", "sent_binary": "binary", "sent_xhtml": "xhtml"}[sent]
    )
    assert "wrong_route" in delivery.findings
    assert "contradiction" not in delivery.findings


def test_missing_nodes(ledger: Ledger) -> None:
    """A breach of the node list is told node by node and changes nothing else."""
    ledger.record(
        b"<POSTBACK><ORIGIN>SMS_MT</ORIGIN><CODE>N202</CODE><STATUS>Message Sent/Delivered</STATUS>"
        b"<TRACKINGID>k</TRACKINGID></POSTBACK>"
    )
    (step,) = ledger.timeline("k")
    assert step.missing == ("to", "spid", "timestamp", "aggregator_id")
    assert ledger.delivery("k").state == "delivered"


def test_wordings_are_few() -> None:
    """However many texts a field that decides may hold, the readings are looked up by its words."""
    lexicon = Lexicon((SHIPPED["sinch"],))
    fields = (("code", "N101"), ("origin", "MMS_MT"), ("status", "Sent"), ("sent-as", "SMS"))
    wordings = {lexicon.wording((*fields, ("status-details", str(n)))) for n in range(100)}
    assert len(wordings) == 1
    said = {lexicon.wording((*fields, ("status-details", text))) for text in ("", "Sent", "other")}
    assert len(said) == 3


def test_nonsense_does_not_fill_the_memory() -> None:
    """Of wordings without end, a bounded number is remembered."""
    lexicon = Lexicon((load_vocabulary(GOOD),))
    for number in range(10_500):
        assert not lexicon.read(Postback("LETTER", ((f"X{number}", "y"),))).recognised
    assert len(lexicon._known) < 10_002


def test_apart() -> None:
    """The entries of each shipped vocabulary exclude each other, as loading promises."""
    for vocabulary in SHIPPED.values():
        for one, other in combinations(vocabulary.entries, 2):
            assert not one.roots & other.roots or apart(one.match, other.match)


def apart(one: dict[str, Condition], other: dict[str, Condition]) -> bool:
    """Whether two matches differ in the words of a field."""
    return any(one[name].excludes(other[name]) for name in one.keys() & other.keys())


def test_labels() -> None:
    """A vocabulary is known by name, version and the hash of its content."""
    vocabulary: Vocabulary = load_vocabulary(GOOD)
    assert vocabulary.label == f"parcels 1 ({vocabulary.hash[:8]})"
    assert vocabulary.title == "parcels"


@st.composite
def alike(draw: st.DrawFn) -> tuple[Postback, Postback]:
    """Two postbacks of few words that may or may not say the same: order, case, blanks, mending."""
    fields = [
        ("ORIGIN", "MMS_MT"),
        ("CODE", draw(st.sampled_from(("N101", "E101")))),
        ("SENTAS", draw(st.sampled_from(("SMS", "MMS", "")))),
        ("STATUS", draw(st.sampled_from(("Message Sent", "Message  Sent", "Sent")))),
        ("TRACKING-ID", "k"),
    ]
    again = draw(st.permutations(fields))
    changed = [
        (
            draw(st.sampled_from((name, name.lower()))),
            draw(st.sampled_from((text, text, " ".join(text.split())))),
        )
        for name, text in again
    ]
    more = draw(st.sampled_from(((), (("STATUSDETAILS", ""),))))
    return (
        Postback("POSTBACK", tuple(fields), repaired=draw(st.booleans())),
        Postback(
            "postback", (*changed, *more), (("created", "now"),), repaired=draw(st.booleans())
        ),
    )


@given(alike())
def test_one_digest_one_meaning(pair: tuple[Postback, Postback]) -> None:
    """Postbacks of one digest mean the same: which of them came first can't matter."""
    one, other = pair
    meanings = []
    for postback in pair:
        reading = BUILTIN.lexicon.read(postback)
        texts = [postback.fields[at][1] for _, at in reading.picks]
        key = None if reading.key_at is None else postback.fields[reading.key_at][1]
        said = (reading.trigger, reading.evidence, reading.missing, reading.findings)
        meanings.append((reading.recognised, reading.chart, key, *said, texts))
    if one.digest() == other.digest():
        assert meanings[0] == meanings[1]
