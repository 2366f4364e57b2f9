"""Conditions: what holds, what excludes what, and which texts are told apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postledger.definitions import load_vocabulary
from postledger.definitions.conditions import SOURCE, Classes, Condition
from postledger.definitions.vocabulary import Lexicon
from postledger.errors import DefinitionError
from postledger.postback import Origin, Postback
from tests.definitions.samples import WORDS

ALPHABET = "aA4-0ßſ"
SHORT = st.text(ALPHABET, max_size=3)
SOME = st.text(ALPHABET, min_size=1, max_size=2)
BOUNDS = st.tuples(st.integers(-50, 450), st.integers(0, 50)).map(lambda b: (b[0], b[0] + b[1]))
NAMES = ("F",)
CONDITIONS = st.builds(
    lambda make, other: make(other),
    st.one_of(
        st.frozensets(SHORT, min_size=1).map(lambda t: lambda other: Condition(NAMES, t, other)),
        st.frozensets(SHORT.map(str.casefold), min_size=1).map(
            lambda f: lambda other: Condition(NAMES, other=other, folds=f)
        ),
        st.lists(SOME, min_size=1, max_size=2).map(
            lambda p: lambda other: Condition(NAMES, other=other, prefixes=tuple(p))
        ),
        BOUNDS.map(lambda r: lambda other: Condition(NAMES, other=other, ranges=(r,))),
    ),
    st.booleans(),
)
TEXTS = st.one_of(SHORT, st.integers(-60, 500).map(str), st.text(max_size=4))


@given(CONDITIONS, CONDITIONS, st.lists(TEXTS, max_size=30))
@example(Condition(NAMES, folds=frozenset({"ss"})), Condition(NAMES, prefixes=("ß",)), ["ß"])
@example(Condition(NAMES, prefixes=("0",)), Condition(NAMES, ranges=((7, 7),)), ["007"])
def test_what_excludes_is_never_satisfied_together(
    one: Condition, other: Condition, texts: list[str]
) -> None:
    """Two conditions that exclude each other have no text in common."""
    assert one.excludes(other) is other.excludes(one)
    near = [t for c in (one, other) for t in (*c.texts, *c.folds, *c.prefixes)]
    near += [str(n) for c in (one, other) for r in c.ranges for n in r]
    near += [f(t) for t in near for f in (str.upper, str.swapcase)] + ["0" + t for t in near]
    if one.excludes(other):
        assert not any(one.holds(text) and other.holds(text) for text in (*near, *texts))


@pytest.mark.parametrize(
    ("one", "other", "excluded"),
    [
        ({"folds": {"sent"}}, {"texts": {"SENT"}}, False),
        ({"folds": {"sent"}}, {"texts": {"SENT "}}, True),
        ({"prefixes": ("5.",)}, {"prefixes": ("5.1", "6")}, False),
        ({"prefixes": ("5.",)}, {"prefixes": ("4.",)}, True),
        ({"prefixes": ("Se",)}, {"folds": {"sent"}}, False),
        ({"prefixes": ("4",)}, {"ranges": ((400, 499),)}, False),
        ({"prefixes": ("5",)}, {"ranges": ((400, 499),)}, True),
        ({"prefixes": ("x",)}, {"ranges": ((400, 499),)}, True),
        ({"prefixes": ("-",)}, {"ranges": ((400, 499),)}, True),
        ({"ranges": ((0, 399),)}, {"ranges": ((400, 499),)}, True),
        ({"ranges": ((0, 400),)}, {"ranges": ((400, 499),)}, False),
        ({"ranges": ((410, 420),)}, {"ranges": ((400, 499),), "other": True}, True),
        ({"folds": {"sent"}}, {"folds": {"sent", "x"}, "other": True}, True),
        ({"prefixes": ("5.1",)}, {"prefixes": ("5.",), "other": True}, True),
        ({"texts": {"a"}}, {"folds": {"a"}, "other": True}, True),
    ],
)
def test_what_two_conditions_have_in_common(
    one: dict[str, object], other: dict[str, object], excluded: bool
) -> None:
    """Prefixes, ranges and texts without case exclude each other where nothing is both.

    A number may begin with zeros.
    """
    first, second = (Condition(NAMES, **_frozen(given_)) for given_ in (one, other))  # type: ignore[arg-type]
    assert first.excludes(second) is excluded


def _frozen(given_: dict[str, object]) -> dict[str, object]:
    return {k: frozenset(v) if isinstance(v, set) else v for k, v in given_.items()}


@given(st.lists(CONDITIONS, min_size=1, max_size=4), st.lists(TEXTS, min_size=2))
def test_texts_of_one_class_satisfy_the_same(conditions: list[Condition], texts: list[str]) -> None:
    """A reading depends on the class of a text alone: those of one class can't be told apart."""
    of: Callable[[str], object] = Classes(conditions).of
    held = {}
    for text in filter(None, texts):
        said = tuple(condition.holds(text) for condition in conditions)
        assert held.setdefault(of(text), said) == said


def test_a_range_makes_one_class_of_a_million_numbers() -> None:
    """However many texts pass a test, they are few classes."""
    conditions = [Condition(NAMES, ranges=((0, 10**6),)), Condition(NAMES, frozenset({"7"}))]
    of = Classes(conditions).of
    assert {of(str(number)) for number in range(10_000)} == {(True,), "7"}
    assert of("x") is None
    assert of("9" * 10_000) is None


TESTED = WORDS.replace('{ word = "posted", trigger', "{ word = %s, trigger").replace(
    '{ word = { not = ["", "posted"] }', "{ word = { not = %s }"
)


@pytest.mark.parametrize(
    ("condition", "held", "not_held"),
    [
        ('{ fold = "Posted" }', ("posted", "POSTED"), ("post", "posted!")),
        ('{ fold = ["Posted", "sent"] }', ("SENT", "pOSTED"), ("x",)),
        ('{ prefix = "po" }', ("posted", "po"), ("Po", "p")),
        ('{ prefix = ["5.", "6."] }', ("5.1", "6."), ("5",)),
        ("{ range = [400, 499] }", ("400", "499", "0450"), ("399", "500", "4e2", "450.0", "٤٥٠")),
        ("{ range = [-5, 0] }", ("-5", "0"), ("+0", "1")),
    ],
)
def test_a_condition_is_read_from_toml(
    condition: str, held: tuple[str, ...], not_held: tuple[str, ...]
) -> None:
    """A condition without case, by prefix or by range, and its opposite, settle what is said."""
    lexicon = Lexicon((load_vocabulary(TESTED % (condition, condition)),))
    for text, trigger in (*((t, "posted") for t in held), *((t, "lost") for t in not_held)):
        fields = (("CODE", "P1"), ("NUMBER", "7"), ("WORD", text))
        assert lexicon.read(Postback("PARCEL", fields)).trigger == trigger


@pytest.mark.parametrize(
    ("condition", "fault"),
    [
        ('{ prefix = "" }', "a prefix is empty; write true for a field that is there"),
        ("{ prefix = [] }", "a condition lists no text; list one, or leave it out"),
        ("{ range = [2, 1] }", "a condition is {'range': [2, 1]}; write"),
        ("{ range = [1] }", "a condition is {'range': [1]}; write"),
        ("{ range = [true, 2] }", "a condition is {'range': [True, 2]}; write"),
        ("{ range = [0, 1000000000000000000] }", "a condition is {'range': [0, 10000"),
        ("{ not = true }", "a condition is {'not': True}; write"),
        ("{ not = { not = 'x' } }", "a condition is {'not': {'not': 'x'}}; write"),
        ('{ fold = "x", prefix = "y" }', "a condition is {'fold': 'x', 'prefix': 'y'}; write"),
    ],
)
def test_a_condition_that_is_none_is_refused(condition: str, fault: str) -> None:
    """What is wrong with a condition is said, and what to write instead."""
    with pytest.raises(DefinitionError) as raised:
        load_vocabulary(
            WORDS.replace('{ word = "posted", trigger', f"{{ word = {condition}, trigger")
        )
    assert fault in raised.value.faults[0]


def test_rows_that_overlap_by_a_test_are_refused() -> None:
    """A prefix and a text that begins with it could both hold."""
    overlapping = TESTED % ('{ prefix = "po" }', '"posted"')
    with pytest.raises(DefinitionError, match="rows 1 and 2 match the same postback"):
        load_vocabulary(overlapping.replace('{ not = "posted" }', '"posted"'))


def test_the_source_of_an_event_is_a_condition() -> None:
    """The same postback of two sources is read by two vocabularies, and neither repeats the other."""
    made = [
        WORDS.replace('name = "parcels"', f'name = "{name}"\nspace = "{name}"').replace(
            "match = { fast = false }", f'match = {{ fast = false, source = "{name}" }}'
        )
        for name in ("one", "two")
    ]
    lexicon = Lexicon(tuple(map(load_vocabulary, made)))
    said = (("CODE", "P1"), ("WORD", "posted"), ("NUMBER", "7"))
    readings = [
        lexicon.read(Postback("PARCEL", said, origin=Origin(source)))
        for source in ("one", "two", "three", "")
    ]
    assert [reading.recognised for reading in readings] == [True, True, False, False]
    assert [reading.space for reading in readings[:2]] == ["one", "two"]
    assert len({reading.identified_by for reading in readings[:3]}) == 3
    assert SOURCE not in lexicon.classes


def test_entries_of_one_name_that_ask_for_sources_are_told_apart() -> None:
    """What two entries without a section say is not one thing, though their triggers are."""
    said = (("CODE", "P1"), ("WORD", "posted"), ("NUMBER", "7"))
    entry = WORDS[WORDS.index("[[postbacks]]") :].split("\n[[", 1)[0]
    entry = "\n".join(line for line in entry.splitlines() if not line.startswith("section"))
    one, other = (
        entry.replace('match = { code = "P1" }', f'match = {{ code = "P1", source = {source} }}')
        for source in ('"one"', '{ not = "one" }')
    )
    text = WORDS[: WORDS.index("[[postbacks]]")] + f"{one}\n{other}"
    lexicon = Lexicon((load_vocabulary(text),))
    read = [lexicon.read(Postback("PARCEL", said, origin=Origin(s))) for s in ("one", "two", "")]
    assert [reading.recognised for reading in read] == [True, True, True]
    assert read[0].trigger == read[1].trigger
    assert read[0].identified_by != read[1].identified_by
    assert read[1].identified_by == read[2].identified_by


@pytest.mark.parametrize("table", ["[fields]\nsource = 'S'", "marks = { source = 'S' }\n[fields]"])
def test_no_field_is_named_source(table: str) -> None:
    """The name is taken by the condition."""
    source = WORDS.replace('marks = { fast = "EXPRESS" }\n', "").replace(
        "match = { fast = false }\n", ""
    )
    with pytest.raises(
        DefinitionError, match="'source' is the condition on the source of an event"
    ):
        load_vocabulary(source.replace("[fields]", table))
