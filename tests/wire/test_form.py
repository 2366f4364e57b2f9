"""Form bodies."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote_from_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.errors import ReadError
from postledger.postback import Postback
from postledger.wire import Reading, read

Attempt = Callable[[bytes, str | None], Reading]
FORM = "application/x-www-form-urlencoded"
XML = b"<P><A>1 + 1 &amp; 2</A></P>"
READ = (Postback("P", (("A", "1 + 1 & 2"),)),)


def reason(body: bytes, content_type: str | None = FORM) -> str:
    with pytest.raises(ReadError) as caught:
        read(body, content_type)
    return str(caught.value)


def multipart(*parts: tuple[bytes, bytes], newline: bytes = b"\r\n") -> bytes:
    """A multipart form of (further header lines, value), each part under the name given in them."""
    written = (b"--B" + newline + head + newline * 2 + value + newline for head, value in parts)
    return b"".join(written) + b"--B--" + newline


@pytest.mark.parametrize("name", ["xml", "XML", "Xml"])
@pytest.mark.parametrize("content_type", [FORM, FORM.upper() + "; charset=utf-8", None, "text/xml"])
def test_field(name: str, content_type: str | None) -> None:
    """The field xml holds the XML, in either case and whatever the content type says."""
    assert read(urlencode({name: XML}).encode(), content_type) == READ


def test_other_fields() -> None:
    """Fields beside it are ignored."""
    assert read(urlencode({"id": "7", "xml": XML, "z": ""}).encode(), FORM) == READ


@pytest.mark.parametrize("before", [b"", b"id=7&"])
@pytest.mark.parametrize("after", [b"", b"\n", b"&z=1"])
def test_not_encoded(before: bytes, after: bytes) -> None:
    """XML that the sender forgot to encode is read as it stands, its plus signs too."""
    assert read(before + b"xml=" + XML + after, FORM) == READ


def test_declared_encoding() -> None:
    """Percent signs are decoded to bytes, so that the declared encoding holds."""
    xml = '<?xml version="1.0" encoding="iso-8859-1"?><P><A>é</A></P>'.encode("latin-1")
    assert read(b"xml=" + quote_from_bytes(xml).encode()) == (Postback("P", (("A", "é"),)),)


def test_several_fields() -> None:
    """Several xml fields are read side by side, a bad one as an error at its place."""
    first, second, third = read(urlencode([("xml", XML), ("xml", "<P>"), ("xml", XML)]).encode())
    assert first == third == READ[0]
    assert isinstance(second, ReadError)


@pytest.mark.parametrize("body", [b"a=1", b"a", b"&&", b"xmlx=1", b"=xml"])
def test_no_field(body: bytes) -> None:
    """A form without the field holds no postback."""
    assert reason(body) == "the form has no field named xml"


def test_empty_field() -> None:
    """A field without a value holds no XML."""
    assert reason(b"xml=").startswith("malformed XML: no element found")


def test_too_many_fields() -> None:
    """The number of fields is bounded."""
    assert reason(b"a&" * 1001) == "the form has more than 1000 fields"
    assert reason(b"--B\r\n" * 1001, "multipart/form-data") == "the form has more than 1000 fields"


def test_repair() -> None:
    """An unclosed leaf is mended inside a form as well."""
    (postback,) = read(urlencode({"xml": "<P><A>1</P>"}).encode())
    assert postback == Postback("P", (("A", "1"),), repaired=True)


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize(
    "content_type", ["multipart/form-data; boundary=B", "multipart/form-data", None, FORM]
)
def test_multipart(newline: bytes, content_type: str | None) -> None:
    """A multipart form is read, its boundary taken from the first line."""
    body = multipart(
        (b'Content-Disposition: form-data; name="id"', b"7"),
        (b'content-disposition: form-data; name="XML"; filename="a.xml"', XML),
        newline=newline,
    )
    assert read(body, content_type) == READ


def test_multipart_preamble() -> None:
    """Where something stands before the first part, the boundary is the sender's."""
    body = b"preamble\r\n" + multipart((b"Content-Disposition: form-data; name=xml", XML))
    assert read(body, 'multipart/form-data; boundary="B"') == READ
    assert reason(body, "multipart/form-data") == "the multipart form has no boundary"


def test_multipart_charset() -> None:
    """A part's own charset goes before that of the form."""
    head = b"Content-Disposition: form-data; name=xml\r\nContent-Type: text/xml; charset=latin1"
    body = multipart((head, "<P><A>é</A></P>".encode("latin-1")))
    assert read(body, "multipart/form-data; charset=utf-8") == (Postback("P", (("A", "é"),)),)


@pytest.mark.parametrize(
    "head", [b"", b"Content-Disposition: form-data", b"rubbish", b"\xff: \xff"]
)
def test_multipart_without_the_field(head: bytes) -> None:
    """Parts under another name, or none, hold no postback."""
    assert reason(multipart((head, XML)), None) == "the form has no field named xml"


@given(st.binary(max_size=200), st.sampled_from([FORM, "multipart/form-data; boundary=B"]))
def test_any_value(attempt: Attempt, value: bytes, content_type: str) -> None:
    """Any bytes in the field are read or refused in one line."""
    encoded = b"xml=" + quote_from_bytes(value).encode()
    parts = multipart((b"Content-Disposition: form-data; name=xml", value))
    assert attempt(encoded, content_type)
    assert attempt(parts, content_type)
