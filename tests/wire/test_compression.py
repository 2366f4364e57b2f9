"""Compressed bodies, and query strings."""

from __future__ import annotations

import gzip
import zlib
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.errors import ReadError
from postledger.postback import Postback
from postledger.wire import Limits, read

XML = b"<P><A>1 + 1 &amp; 2</A></P>"
READ = (Postback("P", (("A", "1 + 1 & 2"),)),)
SMALL = Limits(body_bytes=200)


def reason(body: bytes, encoding: str | None = None, *, query: bool = False) -> str:
    with pytest.raises(ReadError) as caught:
        read(body, "text/xml", SMALL, content_encoding=encoding, query=query)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["gzip", "X-GZIP", " gzip , identity", None, "", "br"])
def test_gzip_is_read_whatever_the_header_says(encoding: str | None) -> None:
    """Its first bytes show what it is; several members are one body (RFC 1952, section 2.2)."""
    assert read(gzip.compress(XML), "text/xml", content_encoding=encoding) == READ
    halves = gzip.compress(XML[:9]) + gzip.compress(XML[9:])
    assert read(halves, content_encoding=encoding) == READ


def test_deflate_is_read_where_the_header_says_so() -> None:
    """It is the zlib format; without the header nothing shows that it is."""
    assert read(zlib.compress(XML), "text/xml", content_encoding="Deflate") == READ
    assert reason(zlib.compress(XML)) == reason(zlib.compress(XML), "br")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", "no such", ","])
@pytest.mark.parametrize("body", [XML, b"xml=" + XML, b" \n" + XML])
def test_a_body_without_compression_is_read_as_it_is(body: bytes, encoding: str) -> None:
    """A server may have decompressed it and left the header."""
    assert read(body, content_encoding=encoding) == READ


@pytest.mark.parametrize("encoding", ["gzip, gzip", "deflate,gzip", "br, zstd"])
def test_several_codings_are_refused(encoding: str) -> None:
    """Whatever the body is."""
    assert reason(gzip.compress(gzip.compress(XML)), encoding) == (
        "expected one content coding, got 2"
    )


def test_gzip_in_gzip_is_named() -> None:
    """It is decompressed once and no more."""
    assert reason(gzip.compress(gzip.compress(XML))) == "the body is compressed more than once"


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_bomb_is_refused_within_the_limit(compress: object) -> None:
    """A body may be as large as the limit when decompressed, and not a byte larger."""
    assert callable(compress)
    for size, text in (
        (200, "the body is neither XML nor JSON nor a form"),
        (201, "the body is more than 200 bytes when decompressed"),
        (100_000, "the body is more than 200 bytes when decompressed"),
    ):
        body = compress(b"a" * size)
        assert len(body) <= 200
        with pytest.raises(ReadError, match=text):
            read(body, limits=SMALL, content_encoding="deflate")


@given(
    st.sampled_from((gzip.compress(XML, mtime=0), zlib.compress(XML))),
    st.integers(1, 30),
    st.binary(max_size=3),
)
def test_damaged_compression_is_one_line(body: bytes, cut: int, more: bytes) -> None:
    """What is cut off, or followed by something else, is unreadable and nothing worse."""
    for damaged in (body[:-cut] + more, body + (more or b"x")):
        if damaged == body or not damaged[len(body) :].strip(b"\0"):
            continue
        said = reason(damaged, "deflate")
        assert "\n" not in said


def test_a_query_string_is_a_form_whatever_it_looks_like() -> None:
    """Neither its first bytes nor a content type make it anything else."""
    query = urlencode({"id": 7, "xml": XML}).encode()
    assert read(query, "application/json", content_encoding="gzip", query=True) == READ
    assert read(b"id=7", query=True) == (Postback("", (("id", "7"),)),)
    for body in (b"", b"{}", b"<P><A>1</A></P>"):
        assert reason(body, query=True) == "the form has no field"
    assert reason(b"a" * 201, query=True) == "the body has 201 bytes, more than the limit of 200"
