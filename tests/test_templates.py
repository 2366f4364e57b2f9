"""Templates: bytes in, bytes out; what is fixed is markup, and never a recipient's number."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postledger.templates import LONGEST, MOST_TEXTS, Template, joined, leaves, split
from tests import strategies

SAMPLES = [
    path for path in sorted(Path(__file__).parents[1].glob("fixtures/**/*")) if path.is_file()
]

# What a text could hold that an expression might take for plain, and XML does not.
AWKWARD = [
    "", " ", "a", "a b", " a", "a ", "a\tb", "a\nb", "a\rb", "a  b", "]]>", "a]]>b", "]]", ">", "a>b",
    "<", "&", "&amp;", "&#65;", "&lt;b&gt;", "&nope;", "\x00", "\x08", "\x0b", "\x1b$B", "\x7f", "\x85",
    "é", "\ufffe", "\U0001f600", "<b>x</b>", "<b/>x", "x<b/>", "<!-- c -->", "x<!-- c -->y",
    "<![CDATA[x]]>", "<![CDATA[>x</]]>", "<?pi x?>", "+AGE-", "~{<:Ky2;S{#,", "%s", "\\", '"', "'", "0",
]  # fmt: skip

texts = st.one_of(
    st.text(
        st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="<>&"), min_size=1
    ),
    st.sampled_from(AWKWARD),
    st.text(st.characters(max_codepoint=0x7F), max_size=8),
    st.text(max_size=4),
)

HEADS = [
    "", "<?xml version='1.0'?>", "<?xml version='1.0'?>\n", ' <?xml version="1.0"?>', "\ufeff",
    "<?xml version='1.1'?>", '<?xml version="1.0" encoding="UTF-8"?>',
    '<?xml version="1.0" encoding="ISO-8859-1"?>', '<?xml version="1.0" encoding="utf-7"?>',
    '<?xml version="1.0" encoding="UTF-16"?>', '<?xml version="1.0" encoding="hz"?>',
    '<?xml version="1.0" encoding="nope"?>', "<!-- >a</ -->", "<!DOCTYPE P>", "<?pi >a</?>", "\n",
]  # fmt: skip

SKELETONS = [
    "<P><A>{0}</A><B>{1}</B></P>", "<P>\n  <A>{0}</A>\n  <B>{1}</B>\n</P>\n", "<P a='1'><A>{0}</A></P>",
    "<P><A b='>{0}</'>{1}</A></P>", "<P><A>{0}</A><A>{1}</A></P>", "<P><A>{0}</A>{1}</P>",
    "<P>{0}<A>{1}</A></P>", "<P><A>{0}<B/>{1}</A></P>", "<P><A>{0}<B>{1}</B></A></P>",
    "<P><A><B>{0}</B>{1}</A></P>", "<P><A>{0}</A><B>{1}</P>", "<P><A>{0}<A><B>{1}</B></P>",
    "<P><A>{0}</B><A>{1}</A></P>", "<P>{0}</P>", "{0}<P><A>{1}</A></P>", "<P><A>{0}</A></P>{1}",
    "<P><!-- <A>{0}</A> --><A>{1}</A></P>", "<P><![CDATA[<A>{0}</A>]]><B>{1}</B></P>",
    "<P><A>{0}</A ><B >{1}</B></P>", "<p:P xmlns:p='u'><p:A>{0}</p:A><B xmlns='v'>{1}</B></p:P>",
    "<P><NOTIFICATION><A>{0}</A></NOTIFICATION><NOTIFICATION><A>{1}</A></NOTIFICATION></P>",
    "<P><NOTIFICATION id='1' created='2'><BODY><A>{0}</A></BODY><C>{1}</C></NOTIFICATION></P>",
    "<P><a><b><c><d><e>{0}</e></d></c></b></a></P>",
    "<P><a><b><c><d><e><f>{0}</f></e></d></c></b></a></P>",
    "<P><a-b>{0}</a-b><a_b>{1}</a_b></P>", "<P><1>{0}</1></P>", "<P></A>{0}</P>", "P>{0}</P>",
    "xml=<P><A>{0}</A></P>", '{{"a": "<b>{0}</b>"}}', "<P><A>{0}</A><B/><C></C><D> </D></P>",
]  # fmt: skip


def assert_given_back(body: bytes) -> None:
    """A body that has a template is given back byte for byte, and no number stands in it."""
    found = split(body)
    if found is None:
        return
    pieces, texts = found
    template = Template(pieces)
    assert template.fill(texts) == body
    assert template.holes == len(texts) <= MOST_TEXTS
    fixed = re.sub("[^0-9A-Za-z]", "", "".join(pieces))
    assert re.search("[0-9]{7}", fixed) is None
    assert all(
        len(re.findall("[0-9]", one)) < 7 for one in re.findall(r"[\w.:-]+", "".join(pieces))
    )
    quick = leaves(body)
    if quick is not None and joined(quick[0]) == pieces:
        assert list(quick[1]) == texts


@settings(deadline=None)
@given(st.sampled_from(HEADS), st.sampled_from(SKELETONS), texts, texts)
@example("", SKELETONS[0], "a", "]]>")
def test_xml_is_given_back(head: str, skeleton: str, one: str, other: str) -> None:
    """Whatever its texts and its markup are."""
    assert_given_back((head + skeleton.format(one, other)).encode("utf-8", "surrogatepass"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_json_is_given_back(value: object, indent: int | None, ascii_only: bool) -> None:
    """Strings and numbers vary, names and structure don't."""
    assert_given_back(
        json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    )


VALUE = texts | st.text(st.sampled_from("+%&= ~*0123456789aF"), max_size=12)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["To", "price[amount]", "a-b", "x%20y", ""]), VALUE), max_size=5
    ),
    st.sampled_from([quote_plus, quote, str]),
)
def test_forms_are_given_back(pairs: list[tuple[str, str]], encode: Callable[[str], str]) -> None:
    """However they are encoded, and if they are not."""
    body = "&".join(f"{name}={encode(value)}" for name, value in pairs)
    assert_given_back(body.encode("utf-8", "surrogatepass"))


def test_a_form_has_a_template() -> None:
    """Its values are texts as they are read, and encoded again."""
    body = b"To=%2B15550100018&Body=a+b%3Dc%26~&Empty=&MessageSid=SM1"
    found = split(body)
    assert found == (
        ("To=", "&Body=", "&Empty=&MessageSid=", ""),
        ["+15550100018", "a b=c&~", "SM1"],
    )
    fixed = Template(found[0]).fixing(found[1], [1])
    assert fixed is not None
    assert fixed.pieces == ("To=", "&Body=a+b%3Dc%26~&Empty=&MessageSid=", "")
    assert fixed.fill(["+15550100018", "SM1"]) == body


@settings(deadline=None)
@given(strategies.bodies() | st.binary())
def test_any_bytes_are_given_back(body: bytes) -> None:
    """Or have no template."""
    assert_given_back(body)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples_are_given_back(path: Path) -> None:
    """Every sample of every generation."""
    assert_given_back(path.read_bytes())


@pytest.mark.parametrize(
    ("body", "pieces", "varying"),
    [
        (b"<A><TO>1</TO></A>", ("<A><TO>", "</TO></A>"), ["1"]),
        (b"<A x='5'><TO>1</TO></A>", ("<A x='", "'><TO>", "</TO></A>"), ["5", "1"]),
        (b"<A xmlns:xsi='u'><TO>1</TO></A>", ("<A xmlns:xsi='u'><TO>", "</TO></A>"), ["1"]),
        (b'{"to": "1", "n": -2.5e3}', ('{"to": "', '", "n": ', "}"), ["1", "-2.5e3"]),
        (b'[true, null, "a b"]', ('[true, null, "', '"]'), ["a b"]),
        (b"<A/>", ("<A/>",), []),
    ],
)
def test_holes_stand_where_texts_vary(
    body: bytes, pieces: tuple[str, ...], varying: list[str]
) -> None:
    """Texts of leaves, values of attributes but of namespaces, strings and numbers."""
    assert split(body) == (pieces, varying)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"plain text",
        b"<A><!-- 1 --><TO>1</TO></A>",
        b"<A><![CDATA[1]]></A>",
        b"<A>&amp;</A>",
        b"<A> 1</A>",
        b"<!DOCTYPE A><A>1</A>",
        b"<A1650><B>3333058</B></A1650>1650333",
        b"<A1234567>1</A1234567>",
        b"<A12 B34 C567/>",
        b'{"1234567": 1}',
        b'{"1a2b3c4d5e6f7": 1}',
        b"<A1b2c3d4-5e6f7>1</A1b2c3d4-5e6f7>",
        b"to[1][6][5][0][3][3][3]=1",
        b'{"call John Smith about the loan": 1}',
        b'{"%b": 1}' % (b"a" * 65),
        b"<A%b>1</A%b>" % (b"a" * 64, b"a" * 64),
        b'<A xmlns:a="call John Smith"><B>1</B></A>',
        b'<A xmlns:a="%b"><B>1</B></A>' % (b"a" * 201),
        b'{"a12": {"b345": {"67": 1}}} 1234567',
        b"<A>\0</A>",
        "<A>\u00fc</A>".encode(),
        b'{"a": "\\n"',
    ],
)
def test_what_is_more_than_markup_has_no_template(body: bytes) -> None:
    """A body of which any other text would be fixed, or that has a number in its names."""
    assert split(body) is None


@pytest.mark.parametrize(("size", "has_template"), [(LONGEST, True), (LONGEST + 1, False)])
def test_long_bodies_have_no_template(size: int, has_template: bool) -> None:
    """They are rare, and templates are kept in memory."""
    body = b"<A>" + b"x" * (size - 7) + b"</A>"
    assert len(body) == size
    assert (split(body) is not None) is has_template
    assert (leaves(body) is not None) is has_template


@pytest.mark.parametrize(("count", "has_template"), [(MOST_TEXTS, True), (MOST_TEXTS + 1, False)])
def test_bodies_of_many_texts_have_no_template(count: int, has_template: bool) -> None:
    """Forty fields are usual, two hundred are not."""
    assert (split(b"<A>%b</A>" % (b"<B>1</B>" * count)) is not None) is has_template


def test_fixing_words_gives_the_same_body() -> None:
    """A word becomes part of the template, unless a number could stand in it then."""
    pieces, varying = split(b"<A><C>N101</C><TO>1650</TO></A>") or ((), [])
    fixed = Template(pieces).fixing(varying, [0])
    assert fixed is not None
    assert fixed.pieces == ("<A><C>N101</C><TO>", "</TO></A>")
    assert fixed.fill(["1650"]) == Template(pieces).fill(varying)
    assert Template(pieces).fixing(["1234567", "1"], [0]) is None
    assert Template(pieces).fixing(["1650", "3333058"], [0, 1]) is None
    assert Template(pieces).fixing(["1a6b5c0d3e3f3", "1"], [0]) is None
    assert fixed.digest != Template(pieces).digest


def test_an_older_template_with_a_number_is_still_proven() -> None:
    """A file of before the rule was so strict is as sound as it was."""
    assert Template(('{"1a2b3c4d5e6f7": "', '"}')).splits(["1"])


def test_texts_must_be_as_many_as_there_are_holes() -> None:
    """Else the event was altered."""
    with pytest.raises(ValueError, match="expected 1 texts, got 2"):
        Template(("<A>", "</A>")).fill(["1", "2"])
