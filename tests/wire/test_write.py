"""Writing: what is written in the form of any generation is read back equal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.postback import Postback, Shape
from postledger.wire import read
from postledger.wire.write import write_form, write_json, write_receipt, write_xml

NAMES = st.sampled_from(("CODE", "STATUS", "TRACKINGID", "tracking-id", "sent_as", "x.y"))
TEXTS = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="￾￿"), max_size=12
).map(str.strip)


@st.composite
def fields(draw: st.DrawFn) -> tuple[tuple[str, str], ...]:
    """Leaves of a message, some of them inside a container, some with attributes."""
    found: list[tuple[str, str]] = []
    for container in draw(st.lists(st.sampled_from(("", "BODY", "EXTRA")), min_size=1, max_size=4)):
        for name in draw(st.lists(NAMES, min_size=1, max_size=3)):
            path = f"{container}/{name}" if container else name
            found.append((path, draw(TEXTS)))
            attributes = draw(st.lists(st.sampled_from(("celly", "text")), unique=True, max_size=2))
            found += [(f"{path}@{attribute}", draw(TEXTS)) for attribute in attributes]
    return tuple(found)


ATTRIBUTES = st.dictionaries(st.sampled_from(("id", "created")), TEXTS).map(
    lambda found: tuple(found.items())
)


@given(fields(), ATTRIBUTES, st.sampled_from(("POSTBACK", "postback", "NOTIFICATION")))
def test_xml(
    said: tuple[tuple[str, str], ...], attributes: tuple[tuple[str, str], ...], root: str
) -> None:
    """A postback written as XML is read back equal, whatever its names, nesting and attributes."""
    postback = Postback(root, said, attributes)
    assert read(write_xml(postback)) == (postback,)


@given(st.lists(fields(), min_size=1, max_size=3), st.sampled_from(("POSTBACK", "bundle")))
def test_bundle(members: list[tuple[tuple[str, str], ...]], name: str) -> None:
    """A bundle is read back as its members in their order."""
    postbacks = [Postback("NOTIFICATION", said) for said in members]
    assert read(write_xml(*postbacks, bundle=name)) == tuple(postbacks)


@given(st.lists(st.tuples(NAMES, st.text(max_size=12).map(str.strip)), min_size=1, max_size=6))
def test_json(said: list[tuple[str, str]]) -> None:
    """A postback written as JSON is read back equal, with or without a root, alone or among others."""
    flat, rooted = Postback("", tuple(said)), Postback("response", tuple(said))
    assert read(write_json(flat)) == (flat,)
    assert read(write_json(rooted)) == (rooted,)
    assert read(write_json(flat, rooted)) == (flat, rooted)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=("Cs",)), max_size=6).filter(
                lambda name: name.strip().lower() != "xml"
            ),
            st.text(st.characters(exclude_categories=("Cs",)), max_size=12).map(str.strip),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_form(said: list[tuple[str, str]]) -> None:
    """A postback written as a form is read back equal, whatever its names and texts."""
    postback = Postback("", tuple(said))
    assert read(write_form(postback), "application/x-www-form-urlencoded") == (postback,)
    assert read(write_form(postback), query=True) == (postback,)


SHAPE = Shape(each=("results", "results/to"), embedded=("inner", "results/dlr"))


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (
            (("results/id", "7"), ("results/to/n", "1")),
            '{"results": [{"id": "7", "to": [{"n": "1"}]}]}',
        ),
        ((("a", "1"), ("results/to", "2")), '{"a": "1", "results": [{"to": ["2"]}]}'),
        ((("a", "1"), ("inner/b/c", "é")), r'{"a": "1", "inner": "{\"b\": {\"c\": \"é\"}}"}'),
        (
            (("results/dlr/id", "7"), ("results/dlr/done_date", "1"), ("results/dlr/stat", "X")),
            '{"results": [{"dlr": "id:7 done date:1 stat:X"}]}',
        ),
        ((("a", "1"), ("inner/stat", "X")), r'{"a": "1", "inner": "{\"stat\": \"X\"}"}'),
    ],
)
def test_a_shape(fields: tuple[tuple[str, str], ...], body: str) -> None:
    """Lists and embedded bodies are written where a shape has them, and read back equal."""
    postback = Postback("", fields)
    assert write_json(postback, shape=SHAPE).decode() == body
    assert read(body.encode(), shape=SHAPE) == (postback,)


def test_a_form_with_a_body_inside() -> None:
    """A receipt text is a field of a form as well."""
    postback = Postback("", (("a", "1"), ("inner/id", "7"), ("inner/stat", "X")))
    body = write_form(postback, shape=SHAPE)
    assert body == b"a=1&inner=id%3A7+stat%3AX"
    assert read(body, query=True, shape=SHAPE) == (postback,)


@pytest.mark.parametrize(
    "fields", [(("id", "7"),), (("stat", "X"), ("id", "7")), (("id", "7 stat:X"),)]
)
def test_no_receipt(fields: tuple[tuple[str, str], ...]) -> None:
    """What a receipt text would turn into another postback is refused."""
    with pytest.raises(ValueError, match="postback must have the fields of a receipt text alone"):
        write_receipt(Postback("", fields))


@pytest.mark.parametrize(
    "postback",
    [
        Postback("P", (("a", "x"),)),
        Postback("", ()),
        Postback("", (("a", "x"),), (("id", "1"),)),
        Postback("", (("a", "x"),), repaired=True),
        Postback("", (("Xml", "x"),)),
        Postback("", (("a", " x"),)),
        Postback("", (("a", "\ud800"),)),
        Postback("", (("a", "x"),) * 1001),
    ],
)
def test_no_form(postback: Postback) -> None:
    """A postback that a form would turn into another is refused."""
    with pytest.raises(ValueError, match=r"postback must|fields must|surrogates"):
        write_form(postback)


@pytest.mark.parametrize(
    "postback",
    [
        Postback("", (("CODE", "N101"),)),
        Postback("POSTBACK", (("not a name", "x"),)),
        Postback("POSTBACK", (("CODE", "\0"),)),
        Postback("POSTBACK", (("CODE", " x"),)),
        Postback("POSTBACK", (("CODE", "x"),), repaired=True),
    ],
)
def test_no_xml_form(postback: Postback) -> None:
    """A postback that XML can't hold is refused, not bent."""
    with pytest.raises(ValueError, match=r"XML|repaired|must be text"):
        write_xml(postback)


def test_several_without_a_bundle() -> None:
    """Several messages are written only as members of a named element."""
    postback = Postback("NOTIFICATION", (("CODE", "N101"),))
    with pytest.raises(ValueError, match="got 2"):
        write_xml(postback, postback)
    with pytest.raises(ValueError, match="NOTIFICATION"):
        write_xml(Postback("OTHER", (("CODE", "N101"),)), bundle="POSTBACK")


@pytest.mark.parametrize(
    "postback",
    [
        Postback("", (("a/b", "x"),)),
        Postback("", ()),
        Postback("", (("a", "x"),), (("id", "1"),)),
    ],
)
def test_no_json_form(postback: Postback) -> None:
    """A postback that JSON would turn into another is refused."""
    with pytest.raises(ValueError, match=r"fields|root"):
        write_json(postback)
