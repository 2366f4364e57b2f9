"""The repair of unclosed leaves."""

from __future__ import annotations

from collections.abc import Callable
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.errors import ReadError
from postledger.postback import Postback
from postledger.wire import Reading, read
from postledger.wire.repair import closed

Attempt = Callable[[bytes, str | None], Reading]
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True).filter(
    lambda name: name.upper() not in {"POSTBACK", "NOTIFICATION", "BODY"}
)
TEXTS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=20)
LEAVES = st.lists(st.tuples(NAMES, TEXTS), min_size=1, max_size=8)
SPACES = st.sampled_from(["", "\n  ", "<!-- <X> -->\n"])


def one(body: bytes) -> Postback:
    (postback,) = read(body, "text/xml")
    assert isinstance(postback, Postback)
    return postback


def flat(
    leaves: list[tuple[str, str]],
    space: str,
    unclosed: frozenset[int],
    *,
    again: bool = False,
    name: str = "POSTBACK",
) -> bytes:
    """A flat postback, some of its leaves closed by nothing, or by a second opening tag."""
    written = (
        f"{space}<{leaf}>{escape(text)}"
        + (f"</{leaf}>" if n not in unclosed else f"<{leaf}>" * again)
        for n, (leaf, text) in enumerate(leaves)
    )
    return f"<{name}>{''.join(written)}\n</{name}>".encode()


@given(LEAVES, SPACES, st.data())
def test_any_unclosed_leaf_is_read_as_if_closed(
    leaves: list[tuple[str, str]], space: str, data: st.DataObject
) -> None:
    """Whatever leaf of a flat postback is left unclosed, all of it is read as if it were closed."""
    place = data.draw(st.integers(0, len(leaves) - 1))
    whole = one(flat(leaves, space, frozenset()))
    broken = one(flat(leaves, space, frozenset({place})))
    assert (broken.fields, broken.repaired) == (whole.fields, True)


@given(LEAVES, SPACES, st.data())
def test_a_second_opening_closes(
    leaves: list[tuple[str, str]], space: str, data: st.DataObject
) -> None:
    """A leaf closed by a second opening tag is read as if it were closed, and only once."""
    place = data.draw(st.integers(0, len(leaves) - 1))
    whole = one(flat(leaves, "", frozenset()))
    broken = one(flat(leaves, "", frozenset({place}), again=True))
    assert (broken.fields, broken.repaired) == (whole.fields, True)


@given(st.lists(st.tuples(NAMES, TEXTS), min_size=2, max_size=6, unique_by=lambda leaf: leaf[0]))
def test_all_leaves_unclosed(leaves: list[tuple[str, str]]) -> None:
    """Several unclosed leaves are repaired together."""
    broken = one(flat(leaves, "\n", frozenset(range(len(leaves)))))
    assert broken.fields == one(flat(leaves, "\n", frozenset())).fields


@given(LEAVES, SPACES)
def test_well_formed_bodies_are_left_alone(leaves: list[tuple[str, str]], space: str) -> None:
    """A well-formed body is never called repaired, and the repair finds nothing to mend in it."""
    body = flat(leaves, space, frozenset())
    assert one(body).repaired is False
    assert closed(body) == body


@given(LEAVES, st.data())
def test_truncation_is_never_repaired(leaves: list[tuple[str, str]], data: st.DataObject) -> None:
    """A body that was cut off anywhere is unreadable, with or without an unclosed leaf before."""
    body = flat(leaves, "\n", data.draw(st.sampled_from([frozenset(), frozenset({0})])))
    cut = body[: data.draw(st.integers(1, len(body) - 1))]
    with pytest.raises(ReadError):
        read(cut, "text/xml")


@given(st.lists(st.sampled_from([b"<a>", b"</a>", b"<b>", b"</b>", b"<c/>", b"x", b"<", b"<!--"])))
def test_any_tags_are_mended_or_left(attempt: Attempt, pieces: list[bytes]) -> None:
    """Any muddle of tags is either refused or repaired into what expat reads."""
    body = b"<P>" + b"".join(pieces) + b"</P>"
    assert attempt(body, "text/xml")


def test_attributes_and_white_space() -> None:
    """The text of a repaired leaf keeps its attributes and loses the white space around it."""
    body = b'<P><A x="a>b">1 \n<B/><C>2</C></P>'
    assert one(body).fields == (("A", "1"), ("A@x", "a>b"), ("B", ""), ("C", "2"))


def test_sixteen_bit_body() -> None:
    """An unclosed leaf is repaired in UTF-16 as well."""
    assert one("<P><A>é</P>".encode("utf-16")).fields == (("A", "é"),)


@given(st.lists(st.tuples(LEAVES, st.sampled_from((None, False, True))), min_size=1, max_size=4))
def test_members_of_a_bundle(members: list[tuple[list[tuple[str, str]], bool | None]]) -> None:
    """Only the members of which a leaf was left open count as repaired; the others are as ever."""

    def bundle(*, mended: bool) -> bytes:
        written = (
            flat(
                leaves,
                "",
                frozenset() if mended or again is None else frozenset({0}),
                again=bool(again),
                name="NOTIFICATION",
            )
            for leaves, again in members
        )
        # Between two members stands an empty one.
        return b"<POSTBACK>%b</POSTBACK>" % b"<NOTIFICATION/>".join(written)

    found, wanted = read(bundle(mended=False)), read(bundle(mended=True))
    fields = [[one.fields for one in all_ if isinstance(one, Postback)] for all_ in (found, wanted)]
    assert fields[0] == fields[1]
    assert [one.repaired for one in found if isinstance(one, Postback)] == [
        again is not None for _, again in members
    ]


def test_leaf_beside_the_members_of_a_bundle() -> None:
    """What was left open outside the members marks none of them."""
    count, member = read(
        b"<POSTBACK><COUNT>1<COUNT><NOTIFICATION><A>1</A></NOTIFICATION></POSTBACK>"
    )
    assert isinstance(count, ReadError)
    assert member == Postback("NOTIFICATION", (("A", "1"),))


@pytest.mark.parametrize(
    "body",
    [
        b"<P><A>1<B>2</A></B></P>",
        b"<P><A><B>1<C>2</C></A></P>",
        b"<P><A>1</B></P>",
        b"<N><BODY><A>1</A></N>",
        b"<POSTBACK><NOTIFICATION><A>1</A></POSTBACK>",
        b"<P><A>1</A></Q>",
        b"<P><A>1</A></P><P/>",
        b"<P><A>1<B 2</P>",
        b"<P><A>1</P><P>",
    ],
    ids=[
        "crossed",
        "nested",
        "stray end",
        "unclosed container",
        "unclosed member",
        "other root",
        "another root",
        "bad tag",
        "a tag after",
    ],
)
def test_nothing_else_is_repaired(body: bytes) -> None:
    """What is cut off, crossed or nested, and more than one root, leaves the body unreadable."""
    with pytest.raises(ReadError, match="malformed XML"):
        read(body)


FAULTS = st.sampled_from((b"a & b", b"?x=1&err=2", b"\xe4", b"<A>\xff&", b"<![CDATA[\xe4]]>"))


@given(st.lists(FAULTS | st.none(), min_size=1, max_size=5), st.sampled_from(("latin", "none")))
def test_only_members_with_a_fault_are_repaired(faults: list[bytes | None], around: str) -> None:
    """Each fault is of the member that it stands in, and leaves the texts of the others alone."""
    members = b"".join(
        b"<NOTIFICATION><A>%b</A><B>\xc3\xa4 &amp;</B></NOTIFICATION>"
        % (b"x" if fault is None else fault.removeprefix(b"<A>"))
        for fault in faults
    )
    comment = b"<!-- \xe4 & -->" if around == "latin" else b""
    found = read(b"<POSTBACK>" + comment + members + b"</POSTBACK>")
    assert [one.repaired for one in found if isinstance(one, Postback)] == [
        fault is not None for fault in faults
    ]
    assert all(one.fields[1] == ("B", "ä &") for one in found if isinstance(one, Postback))


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        (b"a & b", "a & b"),
        (b"?smpp?deliver_sm=4&err=1", "?smpp?deliver_sm=4&err=1"),
        (b"&amp;&#38;&", "&&&"),
        (b"<![CDATA[&]]>&", "&&"),
        (b"<!-- & -->&", "&"),
        (b"Empf\xe4nger & Co", "Empfänger & Co"),
    ],
)
def test_ampersands(text: bytes, read_as: str) -> None:
    """An & that begins no entity is itself."""
    assert one(b"<P><A>" + text + b"</A></P>") == Postback("P", (("A", read_as),), repaired=True)


@pytest.mark.parametrize("before", [b"", b"\r\n\r\n", b"<!-- x -->\r\n", b"OK\n"])
@pytest.mark.parametrize("after", [b"", b"\n", b"\nOK", b"\0\0", b" & x", b"\xe4"])
def test_what_stands_around_the_root(before: bytes, after: bytes) -> None:
    """Text and comments around it are left out, and the members are repaired."""
    body = b"%b<?xml version='1.0'?><X><NOTIFICATION><A>1</A></NOTIFICATION></X>%b" % (
        before,
        after,
    )
    assert one(body) == Postback(
        "NOTIFICATION", (("A", "1"),), repaired=bool(before.strip() or after.strip())
    )


@pytest.mark.parametrize("mark", ["\ufdd0", "&#64976;", "&#xFDD0;"])
def test_a_text_with_the_mark_is_not_repaired(mark: str) -> None:
    """What the reader marks repairs by is never taken out of a text that has it."""
    assert one(f"<P><A>{mark}</A></P>".encode()) == Postback("P", (("A", "\ufdd0"),))
    with pytest.raises(ReadError, match="malformed XML"):
        read(f"<P><A>{mark}&</A></P>".encode())
