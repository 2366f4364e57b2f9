"""Strategies: bodies that nobody should send, and bodies that nearly are of a known template."""

from __future__ import annotations

import gzip
import json
import zlib
from urllib.parse import quote_plus

from hypothesis import strategies as st

from tests.properties.worlds import bodies, fixtures, shaped, spoken

_FRAGMENTS = (
    b"<", b">", b'"', b"'", b"&amp;", b"&#49;", b"<!--", b"-->", b"]]>", b"<![CDATA[go]]>", b"\\",
    b"\\u0031", b"\0", b"\n", b" ", b"\t", b"\xc3\xa9", b"\xff", b' a="1"', b" a='go'", b' xmlns="x"',
    b' xmlns:y="tel:1"', b' xsi:z="Jo"', b"1", b"7", b"</", b"/>", b"<X/>", b"<X>1</X>", b"<?x y?>",
    b"=", b'">', b'="', b">go</", b'=">go</"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"1e5",
    b"-0", b'"', b'"k": "go"', b"{}", b"xml=", b"&xml=", b"%3C", b"+", b"\r\n", b"\x85", b"\x1f",
)  # fmt: skip


@st.composite
def near_misses(draw: st.DrawFn) -> bytes:
    """A body with some pieces put in, taken out or doubled."""
    body = draw(st.one_of(spoken(), shaped(), bodies(), attributed()))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        gone = draw(st.sampled_from((0, 0, 1, 3)))
        body = body[:at] + draw(st.sampled_from(_FRAGMENTS)) + body[at + gone :]
    return body


_TEXT = st.sampled_from(("go", "1 2", "12", "x=1", "a'b", "]]", ">go</", "-->", "", " go", "\\"))


@st.composite
def attributed(draw: st.DrawFn) -> bytes:
    """A message of leaves with attributes, whose texts may be what stands between texts elsewhere."""
    quote = draw(st.sampled_from("\"'"))

    def attributes() -> str:
        names = draw(st.lists(st.sampled_from("abc"), max_size=2, unique=True))
        return "".join(f" {name}={quote}{draw(_TEXT)}{quote}" for name in names)

    inner = "".join(
        f"<{name}{attributes()}>{draw(_TEXT)}</{name}>"
        for name in draw(st.lists(st.sampled_from(("STATE", "ID", "AT")), max_size=3))
    )
    return f"<MSG{attributes()}>{inner}<B/></MSG>".encode()


_JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)

_TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)


@st.composite
def in_encodings(draw: st.DrawFn) -> bytes:
    """A message in some encoding, with a byte order mark or without."""
    name = draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1")))
    declared = draw(st.sampled_from(("", f'<?xml version="1.0" encoding="{name}"?>')))
    text = declared + f"<MSG><ID>k1</ID><STATE>{draw(_TEXTS)}</STATE></MSG>"
    return text.encode(name, "replace")


def any_bodies() -> st.SearchStrategy[bytes]:
    """Any body: of all generations, bundles, binary, hostile."""
    return st.one_of(
        st.sampled_from(fixtures()),
        bodies(),
        near_misses(),
        attributed(),
        in_encodings(),
        st.binary(max_size=50),
        _JSON.map(lambda value: json.dumps(value).encode()),
        _JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")),
        spoken().map(lambda body: b"xml=" + quote_plus(body).encode()),
        spoken().map(lambda body: b"xml=" + body),
        st.builds(gzip.compress, spoken(), mtime=st.just(0)),
        spoken().map(zlib.compress),
        st.integers(0, 300).map(lambda n: b"<MSG>" + b"<A>x</A>" * n + b"</MSG>"),
        st.integers(0, 40).map(lambda n: b"<A>" * n + b"</A>" * n),
        st.sampled_from((0, 4_000, 4_096, 1 << 20, (1 << 20) + 1)).map(
            lambda n: b"<MSG><ID>" + b"x" * n + b"</ID></MSG>"
        ),
        st.sampled_from(
            (
                b'<!DOCTYPE x [<!ENTITY a "1">]><MSG><ID>&a;</ID></MSG>',
                b'{"id": "\\ud800"}',
                b'{"ID": "a\\u0000b", "STATE": "go"}',
                b"\xef\xbb\xbf{}",
                b"[]" * 3,
                b'{"created": {"tracking-id": "k1", "to": "1"}}',
                b"ID=k1&STATE=go&A=1+1%2B1&=&ID=",
                b"id:k1 sub:001 stat:DELIVRD err:000 text:x",
                b'"ID=k1&STATE=": 1, "A": 2',
            )
        ),
    )
