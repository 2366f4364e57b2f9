"""Vocabularies: what words mean, and nothing guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations, product

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger import Ledger
from postledger.definitions import builtin, load_vocabulary
from postledger.definitions.conditions import Condition
from postledger.definitions.explain import misses
from postledger.definitions.vocabulary import Lexicon
from postledger.findings import Finding
from postledger.postback import Postback
from tests.conftest import FIXTURES
from tests.definitions.samples import WORDS
from tests.definitions.words import everything

BUILTIN = builtin()
SHIPPED = {vocabulary.name: vocabulary for vocabulary in BUILTIN.vocabularies}


def read(*fields: tuple[str, str], root: str = "PARCEL") -> tuple[bool, str | None, str | None]:
    """What the good vocabulary makes of a postback: known or not, its section, its trigger."""
    reading = load_vocabulary(WORDS).read(Postback(root, fields))
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
    """A field that is there twice is neither of the two nor missing: to choose would be a guess."""
    code, number = ("CODE", "P1"), ("NUMBER", "7")
    twice = (code, ("WORD", "posted"), ("WORD", "posted"), number)
    assert read(*twice) == (False, "Posted", None)
    assert read(number)[1:] == ("Lost", "lost")
    assert read(code, code, number) == (False, None, None)
    for fields in (twice, (code, code, number)):
        reading = load_vocabulary(WORDS).read(Postback("PARCEL", fields))
        assert Finding.FIELD_TWICE in reading.findings


@pytest.mark.parametrize(
    ("said", "route", "found"),
    [("MMS", "binary", False), ("mms", "unknown", True), ("pigeon", "unknown", True)],
)
def test_word_that_no_evidence_lists(ledger: Ledger, said: str, route: str, found: bool) -> None:
    """A receipt whose route is told by an unknown word counts, and the word is noticed."""
    receipt = (FIXTURES / "specification" / "04-mms-mt-binary-n102.xml").read_bytes()
    assert b"<SENTAS>" in receipt
    body = re.sub(rb"<SENTAS>.*?<", b"<SENTAS>%s<" % said.encode(), receipt)
    delivery = ledger.record(body.replace(b"<TRACKINGID>", b"<TRACKINGID>W")).delivery
    assert delivery is not None
    assert (delivery.state, delivery.route) == ("delivered", route)
    assert ("word_unknown" in delivery.findings) is found


@pytest.mark.parametrize(
    ("how", "found"), [("foot", False), ("", False), ("air", False), ("sea", True)]
)
def test_a_word_that_is_known_and_says_nothing(how: str, found: bool) -> None:
    """A row of evidence without a trigger knows its word; other words are still noticed."""
    words = WORDS.replace('why = "WHY"', 'why = "WHY"\nhow = "HOW"').replace(
        "means = [\n    { word",
        'evidence = [{ how = "air", trigger = "posted" }, { how = "foot", trigger = [] }]\n'
        "means = [\n    { word",
    )
    said = (*POSTED, ("HOW", how))
    reading = Lexicon((load_vocabulary(words),)).read(Postback("PARCEL", said))
    assert reading.evidence == (("posted",) if how == "air" else ())
    assert (Finding.WORD_UNKNOWN in reading.findings) is found


def test_key_missing() -> None:
    """A postback without its key belongs to no stream and is not recognised."""
    reading = load_vocabulary(WORDS).read(Postback("PARCEL", (("CODE", "P1"), ("WORD", "posted"))))
    assert (reading.recognised, reading.chart, reading.trigger) == (False, None, None)


def test_root_and_mark() -> None:
    """A postback of another root, or with the mark that the shared match excludes, is not known."""
    fields = (("CODE", "P1"), ("WORD", "posted"), ("NUMBER", "7"))
    assert read(*fields, root="parcel")[0]
    assert not read(*fields, root="LETTER")[0]
    assert not read(*fields, ("express", "yes"))[0]


TEXTS = st.frozensets(st.sampled_from(("", "a", "b", "c")), min_size=1)
CONDITIONS = st.builds(Condition, st.just(("F",)), TEXTS, st.booleans())


@given(CONDITIONS, CONDITIONS)
def test_excludes(one: Condition, other: Condition) -> None:
    """Two conditions exclude each other exactly where no text satisfies both."""
    shared = any(one.holds(text) and other.holds(text) for text in ("", "a", "b", "c", "another"))
    assert one.excludes(other) is not shared


def test_two_vocabularies() -> None:
    """What two vocabularies recognise is unrecognised, since to choose would be a guess."""
    one = load_vocabulary(WORDS)
    other = load_vocabulary(WORDS.replace('name = "parcels"', 'name = "letters"'))
    postback = Postback("PARCEL", (("CODE", "P1"), ("WORD", "posted"), ("NUMBER", "7")))
    reading = Lexicon((one, other)).read(postback)
    assert (reading.recognised, reading.trigger, reading.chart) == (False, None, "parcel")


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_row(name: str) -> None:
    """Every row of every shipped vocabulary is what all of them together make of it."""
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
    lexicon = Lexicon((load_vocabulary(WORDS),))
    for number in range(10_500):
        assert not lexicon.read(Postback("LETTER", ((f"X{number}", "y"),))).recognised
    assert len(lexicon._known) < 10_002


def test_apart() -> None:
    """The entries of each shipped vocabulary exclude each other, as loading promises."""
    for vocabulary in SHIPPED.values():
        for one, other in combinations(vocabulary.entries, 2):
            assert not one.roots & other.roots or apart(one.match, other.match)


def apart(one: Mapping[str, Condition], other: Mapping[str, Condition]) -> bool:
    """Whether two matches differ in the words of a field."""
    return any(one[name].excludes(other[name]) for name in one.keys() & other.keys())


@st.composite
def alike(draw: st.DrawFn) -> tuple[Postback, Postback]:
    """Two postbacks of few words that may or may not say the same: order, case, blanks, repair."""
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
        key = reading.key_of(postback) if reading.key_at else None
        said = (reading.trigger, reading.evidence, reading.missing, reading.findings)
        meanings.append((reading.recognised, reading.chart, key, *said, texts))
    if one.digest() == other.digest():
        assert meanings[0] == meanings[1]


SPACED = WORDS.replace("version = 1", 'version = 1\nspace = "second"\nspace_field = "why"')
POSTED = (("CODE", "P1"), ("WORD", "posted"), ("NUMBER", "7"))


def test_space() -> None:
    """The ids of a vocabulary are of its space, whether or not it knows the postback."""
    lexicon = Lexicon((load_vocabulary(SPACED),))
    known = lexicon.read(postback := Postback("PARCEL", POSTED))
    assert (known.space, known.space_at, known.space_of(postback)) == ("second", None, "second")
    unknown = lexicon.read(Postback("LETTER", (("NUMBER", "7"),)))
    assert (unknown.recognised, unknown.chart, unknown.space) == (False, "parcel", "second")
    nowhere = lexicon.read(Postback("LETTER", (("WHY", "x"),)))
    assert (nowhere.chart, nowhere.space, nowhere.space_at) == (None, "", None)


def test_space_field() -> None:
    """The field that names the space names it in the postbacks that have it, text by text."""
    lexicon = Lexicon((load_vocabulary(SPACED),))
    for space in ("third", "fourth"):
        postback = Postback("PARCEL", (*POSTED, ("why", space)))
        reading = lexicon.read(postback)
        assert reading.recognised
        assert (reading.space_at, reading.space_of(postback)) == (3, space)


@pytest.mark.parametrize("spaces", [("third", "third"), ("third", "fourth")])
def test_space_named_twice(spaces: tuple[str, str]) -> None:
    """A postback that names its space twice is unrecognised, of no stream, and says why."""
    vocabulary = load_vocabulary(SPACED)
    postback = Postback("PARCEL", (*POSTED, *(("why", space) for space in spaces)))
    reading = Lexicon((vocabulary,)).read(postback)
    assert (reading.recognised, reading.chart, reading.space, reading.key_at) == (
        False,
        None,
        "",
        (),
    )
    assert reading.problem == "'Posted' of the vocabulary parcels fits, but why is there twice"
    assert misses(vocabulary, postback)[0].reasons == ("the space why is there twice",)
    unknown = Lexicon((vocabulary,)).read(Postback("LETTER", postback.fields))
    assert (unknown.recognised, unknown.chart) == (False, None)


def test_statement_names_its_space() -> None:
    """A statement of the embedding program says whose id it names, or nothing."""
    fields = (("TRACKINGID", "k"), ("TO", "1"))
    for more, space in (((), ""), ((("SPACE", "second"),), "second")):
        postback = Postback("created", (*fields, *more), statement=True)
        reading = BUILTIN.lexicon.read(postback)
        assert (reading.recognised, reading.trigger) == (True, "created")
        assert reading.space_of(postback) == space
        assert reading.missing == ()


def test_a_statement_that_was_sent() -> None:
    """What a provider sends in the form of a statement states nothing."""
    fields = (("TRACKINGID", "k"), ("TO", "1"))
    assert not BUILTIN.lexicon.read(Postback("created", fields)).recognised
    assert BUILTIN.lexicon.read(Postback("created", fields, statement=True)).recognised
    assert not BUILTIN.lexicon.read(Postback("created", fields)).recognised


SOURCES = [v.source for v in BUILTIN.vocabularies if v.reads == "receipts"]
MORE = [
    WORDS.replace('name = "parcels"', f'name = "{name}"\n{key}')
    for name, key in (("early", 'space = "one"'), ("late", 'space_field = "why"'), ("zone", ""))
]
STATED = [v.source for v in BUILTIN.vocabularies if v.reads == "statements"]
STATED += [WORDS.replace('name = "parcels"', 'name = "program"\nreads = "statements"')]
FIELDS = st.lists(
    st.tuples(
        st.sampled_from(("CODE", "WORD", "NUMBER", "WHY", "TRACKINGID", "MMSID", "STATUS", "TO")),
        st.sampled_from(("", "P1", "posted", "N201", "Message Sent", "Success", "x")),
    ),
    max_size=6,
).map(tuple)
POSTBACKS = st.builds(
    Postback,
    st.sampled_from(("", "PARCEL", "POSTBACK", "RESPONSE", "created")),
    FIELDS,
    repaired=st.booleans(),
    statement=st.booleans(),
)


@given(POSTBACKS, st.permutations([*SOURCES, *MORE, *STATED]))
def test_order_of_vocabularies(postback: Postback, sources: list[str]) -> None:
    """The order in which vocabularies are given never changes a reading."""
    given_so = Lexicon(tuple(map(load_vocabulary, sources)))
    by_name = Lexicon(tuple(map(load_vocabulary, (*STATED, *MORE, *SOURCES))))
    assert given_so.read(postback) == by_name.read(postback)


STATEMENTS = frozenset(load_vocabulary(source).name for source in STATED)
LEXICON = Lexicon(tuple(map(load_vocabulary, (*SOURCES, *STATED))))


@given(POSTBACKS)
def test_each_is_read_by_its_kind(postback: Postback) -> None:
    """A receipt is never read by a vocabulary of statements, nor a statement by another."""
    for statement in (False, True, False):
        read_by = LEXICON.read(attrs.evolve(postback, statement=statement)).vocabulary
        assert read_by is not None
        assert (read_by in STATEMENTS) is statement


def test_nothing_to_read_by() -> None:
    """Where no vocabulary reads statements, a statement is unrecognised."""
    reading = Lexicon((load_vocabulary(WORDS),)).read(Postback("PARCEL", POSTED, statement=True))
    assert (reading.recognised, reading.vocabulary, reading.space) == (False, None, "")
