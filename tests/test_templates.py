"""The quick reader reads only what the reader of record reads alike, and learns at second sight."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postledger import wire
from postledger.errors import ReadError
from postledger.wire.limits import Limits
from postledger.wire.quick import LONGEST, QuickReader

SAMPLES = sorted(Path(__file__).parents[2].glob("fixtures/*/**/*.xml"))
LIMITS = Limits(depth=6)

FLAT = (
    b"<?xml version='1.0'?>\n<POSTBACK>\n  <CODE>%s</CODE>\n  <TO>%s</TO>\n  <NOTE>%s</NOTE>\n"
    b"</POSTBACK>\n"
)

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

CONTENT_TYPES = [
    None,
    "text/xml",
    "application/json",
    "text/xml; charset=utf-7",
    "x; charset=latin-1",
]


def read(body: bytes, content_type: str | None) -> object:
    """What the reader of record makes of a body: its one postback, or else anything but one."""
    try:
        found = wire.read(body, content_type, LIMITS)
    except ReadError:
        return None
    return found[0] if len(found) == 1 else None


def quick_read(reader: QuickReader, body: bytes, content_type: str | None) -> object:
    """What the quick reader makes of a body, ``None`` where it declines."""
    found = reader.read(body, content_type)
    return None if found is None else found[0].postback(found[1])


@settings(deadline=None)
@given(
    st.sampled_from(HEADS),
    st.sampled_from(SKELETONS),
    st.lists(st.tuples(texts, texts), min_size=3, max_size=6),
    st.sampled_from(CONTENT_TYPES),
)
@example("", SKELETONS[0], [("a", "b")] * 2 + [("a", "]]>")], None)
@example(HEADS[8], SKELETONS[0], [("a", "b")] * 2 + [("+AGE-", "b")], None)
def test_what_the_quick_reader_accepts_both_read_alike(
    head: str, skeleton: str, filled: list[tuple[str, str]], content_type: str | None
) -> None:
    """Of many bodies with one skeleton, each is either declined or read as by xmltodict."""
    reader = QuickReader(LIMITS)
    for pair in filled:
        body = (head + skeleton.format(*pair)).encode("utf-8", "surrogatepass")
        quick = quick_read(reader, body, content_type)
        assert quick is None or quick == read(body, content_type)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples_are_read_alike(path: Path) -> None:
    """Every XML sample is read as by xmltodict, or declined, whenever it comes."""
    reader, body = QuickReader(Limits()), path.read_bytes()
    for _ in range(3):
        quick = quick_read(reader, body, "text/xml")
        assert quick is None or (quick,) == wire.read(body, "text/xml")


def test_a_skeleton_is_learned_at_second_sight() -> None:
    """The first of a kind is declined, all that are alike behind it are read."""
    reader = QuickReader(LIMITS)
    bodies = [FLAT % (b"N%d" % n, b"1650%d" % n, b"a note") for n in range(4)]
    quick = [quick_read(reader, body, None) for body in bodies]
    assert quick[0] is None
    assert quick[1:] == [read(body, None) for body in bodies[1:]]
    assert None not in quick[1:]


@pytest.mark.parametrize(
    "text", [b"a&amp;b", b"a]]>b", b"a\x01b", b"\xc3\xa9", b"a<!-- -->b", b"<b/>"]
)
def test_what_is_not_plain_is_declined(text: bytes) -> None:
    """A text that means more than its characters is left to the reader of record."""
    reader = QuickReader(LIMITS)
    for _ in range(2):
        reader.read(FLAT % (b"N1", b"2", b"note"), None)
    assert reader.read(FLAT % (b"N1", b"2", b"note"), None) is not None
    assert reader.read(FLAT % (b"N1", b"2", text), None) is None


def test_long_bodies_are_declined() -> None:
    """Bodies over the limits are never read, however well their skeleton is known."""
    reader = QuickReader(Limits(body_bytes=200))
    short, long = FLAT % (b"1", b"2", b"3"), FLAT % (b"1", b"2", b"3" * 200)
    assert [reader.read(short, None) is None for _ in range(3)] == [True, False, False]
    assert reader.read(long, None) is None
    whole = QuickReader(Limits())
    huge = FLAT % (b"1", b"2", b"3" * LONGEST)
    assert [whole.read(huge, None) for _ in range(3)] == [None] * 3
