"""The shape: how bodies are cut into postbacks, and which texts are bodies themselves."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.errors import ReadError
from postledger.postback import UNCUT, Postback, plain
from postledger.wire import Limits, Shape, read, readings
from postledger.wire.cut import Cut
from postledger.wire.embedded import embedded
from postledger.wire.json import read_json
from postledger.wire.media import MediaType
from postledger.wire.write import write_json
from tests.wire.test_growth import is_linear
from tests.wire.test_read import BODIES, CONTENT_TYPES

FORM = "application/x-www-form-urlencoded"


def cut(
    body: bytes | str,
    *each: str,
    embedded: tuple[str, ...] = (),
    content_type: str | None = None,
    limits: Limits | None = None,
) -> list[tuple[tuple[str, str], ...]]:
    """The fields of each postback."""
    found = read(
        body.encode() if isinstance(body, str) else body,
        content_type,
        limits or Limits(),
        shape=Shape(each, embedded),
    )
    return [one.fields if isinstance(one, Postback) else ((str(one), ""),) for one in found]


class TestEach:
    def test_members_of_a_list(self) -> None:
        """Each has its own fields, and those around the list, in the order of the body."""
        body = '{"bulk": "1", "results": [{"id": "a"}, {"id": "b"}], "z": 2}'
        assert cut(body, "RESULTS") == [
            (("bulk", "1"), ("results/id", "a"), ("z", "2")),
            (("bulk", "1"), ("results/id", "b"), ("z", "2")),
        ]

    def test_scalars(self) -> None:
        """Members may be texts: one postback for each recipient."""
        body = '{"statuses": [{"code": 0, "to": ["1", "2"]}, {"code": 400, "to": ["3"]}]}'
        assert cut(body, "STATUSES", "STATUSES/TO") == [
            (("statuses/code", "0"), ("statuses/to", "1")),
            (("statuses/code", "0"), ("statuses/to", "2")),
            (("statuses/code", "400"), ("statuses/to", "3")),
        ]

    def test_nested_lists(self) -> None:
        """Each level is listed; where one has no members, what holds it is the postback."""
        body = '{"o": 1, "e": [{"i": 1, "c": [{"v": 1}, {"v": 2}]}, {"i": 2, "c": []}, {"i": 3}]}'
        assert cut(body, "E", "E/C") == [
            (("o", "1"), ("e/i", "1"), ("e/c/v", "1")),
            (("o", "1"), ("e/i", "1"), ("e/c/v", "2")),
            (("o", "1"), ("e/i", "2")),
            (("o", "1"), ("e/i", "3")),
        ]

    def test_a_level_that_is_an_object(self) -> None:
        """A level without a list in a body is simply an object."""
        assert cut('{"e": {"i": 1, "c": [{"v": 1}, {"v": 2}]}}', "E", "E/C") == [
            (("e/i", "1"), ("e/c/v", "1")),
            (("e/i", "1"), ("e/c/v", "2")),
        ]

    @pytest.mark.parametrize("around", ["", '"bulk": 1, '])
    def test_a_single_object(self, around: str) -> None:
        """It is one postback with the same paths: what holds lists is never taken for a root."""
        (fields,) = cut(f'{{{around}"results": {{"id": "a"}}}}', "RESULTS")
        assert fields[-1] == ("results/id", "a")

    def test_an_empty_list(self) -> None:
        """What stands around it is one postback."""
        assert cut('{"bulk": 1, "results": []}', "RESULTS") == [(("bulk", "1"),)]

    def test_several_lists(self) -> None:
        """The members of all are postbacks, none with fields of another list."""
        assert cut('{"n": 1, "a": [1, 2], "b": [{"c": 3}]}', "A", "B") == [
            (("n", "1"), ("a", "1")),
            (("n", "1"), ("a", "2")),
            (("n", "1"), ("b/c", "3")),
        ]

    def test_in_the_root(self) -> None:
        """Paths begin inside the root."""
        body = b'{"event": {"n": 1, "r-s": [{"i": 1}, {"i": 2}]}}'
        found = read(body, shape=Shape(("RS",)))
        assert found == (
            Postback("event", (("n", "1"), ("r-s/i", "1"))),
            Postback("event", (("n", "1"), ("r-s/i", "2"))),
        )

    def test_in_members_of_a_bundle(self) -> None:
        """An array is a bundle as without a shape, and its members are cut in turn."""
        assert cut('[{"r": [1, 2]}, 7, {"r": 3}]', "R") == [
            (("r", "1"),),
            (("r", "2"),),
            (("there is no postback in it: expected a JSON object with fields", ""),),
            (("r", "3"),),
        ]

    def test_repeated_elements(self) -> None:
        """Elements of XML that repeat are members, and share the root and its attributes."""
        found = read(b'<P n="1"><A>1</A><I><B>2</B></I><i s="x">3</i></P>', shape=Shape(("I",)))
        assert found == (
            Postback("P", (("A", "1"), ("I/B", "2")), (("n", "1"),)),
            Postback("P", (("A", "1"), ("i", "3"), ("i@s", "x")), (("n", "1"),)),
        )

    def test_repeated_fields(self) -> None:
        """Fields of a form that repeat are members."""
        assert cut("a=1&to=2&to=3", "TO", content_type=FORM) == [
            (("a", "1"), ("to", "2")),
            (("a", "1"), ("to", "3")),
        ]

    def test_repaired_members(self) -> None:
        """Only the member that was repaired is; what is inherited counts for each."""

        def marks(body: bytes) -> list[bool]:
            found = read(body, shape=Shape(("I",)))
            return [one.repaired for one in found if isinstance(one, Postback)]

        assert marks(b"<P><A>1</A><I>2 & 3</I><I>4</I></P>") == [True, False]
        assert marks(b"<P><A>\xe4</A><I>2</I><I>4</I></P>") == [True, True]
        assert marks(b"<P><A>1<I>2</I><I>4</I></P>") == [True, True]
        assert marks(b'{"a": 1, "i": ["\xe4", "\xc3\xa4"]}') == [True, False]

    def test_too_many_members(self) -> None:
        """The bound of a bundle holds."""
        body = json.dumps({"r": [{"a": 1}] * 3})
        assert len(cut(body, "R", limits=Limits(members=3))) == 3
        with pytest.raises(ReadError, match="more than the limit of 2 members"):
            cut(body, "R", limits=Limits(members=2))

    def test_what_is_inherited_is_bounded(self) -> None:
        """Many members of a large parent would be far larger than the body."""
        body = json.dumps({"n": ["x"] * 5_000, "r": [0] * 900})
        with pytest.raises(ReadError, match="what the members of a list inherit is far longer"):
            cut(body, "R")
        assert len(cut(json.dumps({"n": "x" * 100, "r": [0] * 900}), "R")) == 900
        # A field without a text is kept for each member, too.
        with pytest.raises(ReadError, match="what the members of a list inherit is far longer"):
            cut(json.dumps({"n": [""] * 5_000, "r": [0] * 900}), "R")

    def test_fields_are_bounded(self) -> None:
        """By the members that there may be: what is kept of each would be far larger than the body."""
        body = json.dumps({"a": [1] * 200, "b": 1})
        assert len(cut(body)) == 1
        assert len(cut(json.dumps({"a": [1] * 199, "b": 1}), limits=Limits(members=2))) == 1
        with pytest.raises(ReadError, match="the body has more than the limit of 200 fields"):
            cut(body, limits=Limits(members=2))

    def test_members_are_counted_as_they_are_found(self) -> None:
        """A list of very many is refused before all of its members are made."""
        document = read_json(json.dumps({"r": [1] * 100_000}).encode(), MediaType(), Limits())
        tracemalloc.start()
        with pytest.raises(ReadError, match="more than the limit of 10 members"):
            Cut(Shape(["R"]), Limits(members=10), 1 << 20, embedded).postbacks(document)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()

    @pytest.mark.parametrize("bad", ["fields", "names"])
    @pytest.mark.parametrize("at", range(4))
    def test_a_member_that_is_refused_costs_no_other(self, bad: str, at: int) -> None:
        """Wherever it stands: one of too many fields, or of names far longer than the body."""
        held: object = dict.fromkeys((f"k{n}" for n in range(99)), "")
        for level in range(20):
            held = {chr(97 + level) * 200: held}
        members: list[object] = [dict.fromkeys((f"k{n}" for n in range(90)), "x")] * 3
        members.insert(at, [0] * 401 if bad == "fields" else held)
        found = read(json.dumps([{"m": one} for one in members]).encode(), limits=Limits(members=4))
        assert [isinstance(one, ReadError) for one in found] == [n == at for n in range(4)]


class TestEmbedded:
    @pytest.mark.parametrize(
        ("text", "fields"),
        [
            ('{"a": {"b": 1}, "c": [2, 3]}', (("m/a/b", "1"), ("m/c", "2"), ("m/c", "3"))),
            ('[{"a": 1}]', (("m/a", "1"),)),
            ('<P n="1"><A>1</A></P>', (("m/P@n", "1"), ("m/P/A", "1"))),
            ("id:7 stat:DELIVRD text:x", (("m/id", "7"), ("m/stat", "DELIVRD"), ("m/text", "x"))),
            ("{", (("m", "{"),)),
            ("{}", (("m", "{}"),)),
            ("[]", (("m", "[]"),)),
            ("<P>", (("m", "<P>"),)),
            ("id:7", (("m", "id:7"),)),
            ("\ud800<P/>", (("m", "\ud800<P/>"),)),
            ("<P>\ud800</P>", (("m", "<P>\ud800</P>"),)),
            ("7", (("m", "7"),)),
            ("", (("m", ""),)),
        ],
    )
    def test_texts(self, text: str, fields: object) -> None:
        """JSON, XML and receipt texts are read where they stand; anything else is a text."""
        body = json.dumps({"m": text, "z": 1})
        assert cut(body, embedded=("M",)) == [(*fields, ("z", "1"))]  # type: ignore[misc]

    def test_in_other_bodies(self) -> None:
        """A field of a form or an element may hold one."""
        form = "p=%7B%22a%22%3A1%7D&z=1"
        assert cut(form, embedded=("P",), content_type=FORM) == [(("p/a", "1"), ("z", "1"))]
        assert cut('<X><p>{"a": 1}</p><z/></X>', embedded=("P",)) == [(("p/a", "1"), ("z", ""))]

    def test_members(self) -> None:
        """A list in it has postbacks as any other."""
        body = json.dumps({"t": 1, "m": json.dumps({"k": 2, "r": [{"a": 3}, {"a": 4}]})})
        assert cut(body, "M/R", embedded=("M",)) == [
            (("t", "1"), ("m/k", "2"), ("m/r/a", "3")),
            (("t", "1"), ("m/k", "2"), ("m/r/a", "4")),
        ]
        assert cut(json.dumps({"t": 1, "m": "[3, 4]"}), "M", embedded=("M",)) == [
            (("t", "1"), ("m", "3")),
            (("t", "1"), ("m", "4")),
        ]

    def test_repaired(self) -> None:
        """What was repaired in it is of the member that has it."""
        body = json.dumps({"m": ["<P><A>1 & 2</A></P>", "<P><A>3</A></P>", "<P><A>3</A></P>x"]})
        found = read(body.encode(), shape=Shape(("M",), ("M",)))
        assert [one.repaired for one in found if isinstance(one, Postback)] == [True, False, True]

    def test_depth(self) -> None:
        """The depth is that of all together: what is beyond stays a text."""
        text = json.dumps({"a": {"b": 1}})
        body = json.dumps({"m": text})
        assert cut(body, embedded=("M",), limits=Limits(depth=3)) == [(("m/a/b", "1"),)]
        assert cut(body, embedded=("M",), limits=Limits(depth=2)) == [(("m", text),)]

    def test_too_many(self) -> None:
        """To look for a body in each of many texts would take longer than to read what holds them."""
        body = json.dumps({"m": ["<a"] * 3})
        assert cut(body, embedded=("M",), limits=Limits(members=3)) == [(("m", "<a"),) * 3]
        with pytest.raises(ReadError, match="more than the limit of 2 of its texts may be bodies"):
            cut(body, embedded=("M",), limits=Limits(members=2))

    def test_abyss(self) -> None:
        """A body in a body in a body … comes to an end."""
        text = "<r>x<a/></r>"
        for _ in range(250):
            text = "<r>" + text.replace("&", "&amp;").replace("<", "&lt;") + "<a/></r>"
        assert cut(text, embedded=("",), limits=Limits(depth=200))


SHAPES = st.builds(
    Shape,
    *(st.lists(st.sampled_from(("A", "B", "A/B", "P", "", "B/A/B")), max_size=4).map(tuple),) * 2,
)


@given(BODIES, CONTENT_TYPES, SHAPES)
def test_any_bytes_in_any_shape(body: bytes, content_type: str | None, shape: Shape) -> None:
    """Any bytes are read, or refused with one line of reason."""
    try:
        members = read(body, content_type, Limits(depth=16), shape=shape)
    except ReadError as error:
        members = (error,)
    assert members
    assert all(isinstance(member, Postback | ReadError) for member in members)


NAMES = st.sampled_from(("a", "b", "A", "c"))
TREES = st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=20,
)
OBJECTS = st.dictionaries(NAMES, TREES, min_size=2, max_size=4)


@given(OBJECTS, SHAPES)
def test_nothing_is_lost_by_cutting(tree: dict[str, Any], shape: Shape) -> None:
    """Each leaf is in a postback, in the order of the body; and where it is in two, it is inherited."""
    body = json.dumps(tree).encode()
    (whole,) = read(body)
    members = read(body, shape=Shape(shape.each))
    assert isinstance(whole, Postback)
    found = [Counter(one.fields) for one in members if isinstance(one, Postback)]
    assert len(found) == len(members)
    together: Counter[tuple[str, str]] = Counter()
    for one in found:
        together |= one
        assert one <= Counter(whole.fields)
    assert set(together) == set(whole.fields)
    # What is in no list stands in each; what is in a list alone, once.
    outside = Counter(
        field
        for field in whole.fields
        if not any(f"{plain(field[0])}/".startswith(path + "/") for path in shape.each)
    )
    assert all(outside <= one for one in found)
    inside = sum((one - outside for one in found), Counter())
    assert inside >= Counter(whole.fields) - outside
    if set(map(len, (path.split("/") for path in shape.each))) == {1}:
        assert inside == Counter(whole.fields) - outside


@given(OBJECTS)
def test_without_a_shape_nothing_is_cut(tree: dict[str, Any]) -> None:
    """The plain shape, and one that fits nothing, read the same."""
    body = json.dumps(tree).encode()
    assert read(body) == read(body, shape=Shape(("X",), ("X",)))


@given(st.lists(st.tuples(NAMES, st.text(max_size=8).map(str.strip)), min_size=1, max_size=4))
def test_an_embedded_body_is_read_as_alone(fields: list[tuple[str, str]]) -> None:
    """JSON in a text has the fields that it has as a body, under the name of the text."""
    alone = Postback("", tuple(fields))
    text = write_json(alone).decode()
    (found,) = read(write_json(Postback("", (("m", text),))), shape=Shape((), ("M",)))
    assert found == Postback("", tuple((f"m/{name}", said) for name, said in fields))


@pytest.mark.parametrize(
    ("before", "unit", "after"),
    [
        ('{"k": 1, "a": [', "1,", "1]}"),
        ('{"k": 1, "a": [', '{"b": [1]},', "1]}"),
        ('{"a": ["', "<a>", '"]}'),
        ('{"a": ["', "[[", '"]}'),
        ('{"a": "id:1 ', "stat:1 ", '"}'),
        ('{"a": "id:1 ', "submit date", '"}'),
        ("<P>", "<A><B/></A>", "</P>"),
        ("<P>", "<A>&amp;lt;A&amp;gt;</A>", "</P>"),
        ("<P>", "<A>&lt;A>&amp;lt;A></A>", "</P>"),
    ],
)
def test_a_cut_takes_linear_time(before: str, unit: str, after: str) -> None:
    """Of hostile bodies too."""
    shape = Shape(("A", "A/B"), ("A", "A/B", "A/A"))
    few, many = (
        (before + unit * (size // len(unit)) + after).encode() for size in (4 << 10, 32 << 10)
    )
    limits = Limits(members=1 << 20)
    assert is_linear(
        partial(read, few, None, limits, shape=shape),
        partial(read, many, None, limits, shape=shape),
    )


def _alone(body: bytes, content_type: str | None, shape: Shape) -> str:
    try:
        return repr(read(body, content_type, Limits(depth=16), shape=shape))
    except ReadError as error:
        return repr(error)


@given(BODIES, CONTENT_TYPES, st.lists(SHAPES, min_size=1, max_size=4))
def test_several_shapes_at_once(body: bytes, content_type: str | None, shapes: list[Shape]) -> None:
    """A body is cut by each of several shapes as by that one alone."""
    alone = [_alone(body, content_type, shape) for shape in shapes]
    found: list[object]
    try:
        found = [*readings(body, content_type, Limits(depth=16), shapes=shapes)]
    except ReadError as error:
        found = [error] * len(shapes)
    assert [repr(one) for one in found] == alone


JSONS = st.recursive(
    st.sampled_from(("1", '{"A": 2}', "<P><A>3</A></P>", None)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("a", "B", "p", "")), inner, max_size=3)
    ),
)


@given(JSONS, SHAPES)
def test_shapes_whose_paths_a_body_lacks(value: object, shape: Shape) -> None:
    """Where it is said that a body has none of its paths, a shape cuts it as none does."""
    body = json.dumps(value).encode()
    try:
        plainly, found = readings(body, shapes=(UNCUT, shape))
    except ReadError:
        return
    if plainly is found and not isinstance(found, ReadError):
        cuts = [
            Cut(one, Limits(), len(body), embedded).postbacks(
                read_json(body, MediaType(), Limits())
            )
            for one in (UNCUT, shape)
        ]
        assert repr(cuts) == repr([found, found])
