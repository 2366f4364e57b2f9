"""Form bodies."""

from __future__ import annotations

import base64
from collections.abc import Callable
from email import message_from_bytes
from urllib.parse import parse_qsl, quote, quote_from_bytes, quote_plus, urlencode

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


@pytest.mark.parametrize("body", [b"a", b"&&", b"hello world"])
def test_no_field(body: bytes) -> None:
    """A body without any equals sign is not a form, whatever its type says."""
    assert reason(body) == "the form has no field"


def test_empty_field() -> None:
    """A field without a value holds no XML."""
    assert reason(b"xml=").startswith("malformed XML: no element found")


def test_too_many_fields() -> None:
    """The number of fields is bounded."""
    assert reason(b"a=&" * 1001) == "the form has more than 1000 fields"
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
def test_multipart_without_a_name(head: bytes) -> None:
    """A part without a name is a field without one: its text is not lost."""
    assert read(multipart((head, b"1")), None) == (Postback("", (("", "1"),)),)


@given(st.binary(max_size=200), st.sampled_from([FORM, "multipart/form-data; boundary=B"]))
def test_any_value(attempt: Attempt, value: bytes, content_type: str) -> None:
    """Any bytes in the field are read or refused in one line."""
    encoded = b"xml=" + quote_from_bytes(value).encode()
    parts = multipart((b"Content-Disposition: form-data; name=xml", value))
    assert attempt(encoded, content_type)
    assert attempt(parts, content_type)


def fields(body: bytes, content_type: str | None = FORM) -> tuple[tuple[str, str], ...]:
    (postback,) = read(body, content_type)
    assert isinstance(postback, Postback)
    return postback.fields


PAIRS = st.lists(
    st.tuples(
        st.text(max_size=6) | st.sampled_from(["xmls", "price[amount]", "id:", "--B"]), st.text()
    ).filter(lambda pair: pair[0].strip().lower() != "xml"),
    min_size=1,
)


@given(PAIRS)
def test_a_form_is_what_the_standard_library_reads(pairs: list[tuple[str, str]]) -> None:
    """Names, their order, repeated and empty ones; texts are stripped as everywhere."""
    body = urlencode(pairs)
    expected = [
        (name, text.strip())
        for name, text in parse_qsl(body, keep_blank_values=True, max_num_fields=1000)
    ]
    assert list(fields(body.encode())) == expected
    (queried,) = read(body.encode(), query=True)
    assert isinstance(queried, Postback)
    assert list(queried.fields) == expected


@given(st.text(st.sampled_from("a1=&+%2Bé \t/[];?"), min_size=1))
def test_a_query_by_hand_is_what_the_standard_library_reads(text: str) -> None:
    """However it was encoded, or not."""
    expected = parse_qsl(text.strip(), keep_blank_values=True)
    if "=" in text:
        (found,) = read(text.encode(), query=True)
        assert isinstance(found, Postback)
        # The standard library has no reading of what isn't UTF-8.
        assert found.repaired or found.fields == tuple(
            (name, said.strip()) for name, said in expected
        )


def test_charsets() -> None:
    """The charset that is declared, else UTF-8, else Latin-1 as a repair."""
    assert fields(b"a=%C3%A9&b=\xc3\xa9") == (("a", "é"), ("b", "é"))
    (declared,) = read(b"%E9=%E9", FORM + "; charset=iso-8859-1")
    assert declared == Postback("", (("é", "é"),))
    for kind in (FORM, FORM + "; charset=utf-8", FORM + "; charset=utf-16"):
        assert read(b"a=%E9&b=%C3%A9", kind) == (
            Postback("", (("a", "é"), ("b", "é")), repaired=True),
        )


def test_query_with_an_empty_xml() -> None:
    """A field xml that says nothing is one of the others."""
    assert fields(b"xml=&id=7") == (("xml", ""), ("id", "7"))


@pytest.mark.parametrize("stamp", ["2026-03-01T10:00:05+01:00", "2026-03-01T10:00:05.123+0100"])
@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize("encode", [quote, quote_plus])
def test_plus_sign_that_was_not_encoded(
    stamp: str, space: str, encode: Callable[[str], str]
) -> None:
    """The zone of a time is kept where the encoder left its plus sign, and the postback is repaired."""
    xml = f"<P><T>{stamp}</T><B>a{space}b</B></P>"
    whole = read(f"xml={encode(xml)}".encode())
    (found,) = read(f"xml={encode(xml).replace('%2B', '+')}".encode())
    assert whole == (Postback("P", (("T", stamp), ("B", f"a{space}b"))),)
    assert found == Postback("P", (("T", stamp), ("B", f"a{space}b")), repaired=True)


def test_encoded_twice() -> None:
    """XML that was encoded twice is decoded twice and repaired; a third time is named."""
    once = urlencode({"xml": "<P><A>1 + 1</A></P>"})
    twice = "xml=" + quote_plus(once[4:])
    assert read(twice.encode()) == (Postback("P", (("A", "1 + 1"),), repaired=True),)
    assert reason(b"xml=" + quote_plus(twice[4:]).encode()) == (
        "the XML in the form is percent-encoded more than twice"
    )
    bundle = "<X><NOTIFICATION><A>1</A></NOTIFICATION><NOTIFICATION/></X>"
    first, second = read(f"xml={quote_plus(quote_plus(bundle))}".encode())
    assert first == Postback("NOTIFICATION", (("A", "1"),), repaired=True)
    assert isinstance(second, ReadError)


DISPOSITIONS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f\\%"), max_size=8
)


@given(
    st.lists(
        st.tuples(
            DISPOSITIONS.filter(lambda name: name.strip().lower() != "xml"),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
            st.booleans(),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_multipart_form_is_read_as_written(parts: list[tuple[str, str, bool]]) -> None:
    """Files too; a quote in a name is written as browsers write it."""
    body = multipart(
        *(
            (
                b'Content-Disposition: form-data; name="%b"%b'
                % (name.replace('"', "%22").encode(), b'; filename="; name=x"' * is_file),
                text.encode(),
            )
            for name, text, is_file in parts
        )
    )
    if b"\n--B" not in b"\n".join(text.encode() for _, text, _ in parts):
        assert fields(body, "multipart/form-data; boundary=B") == tuple(
            (name, text.strip()) for name, text, _ in parts
        )


@given(st.lists(st.tuples(st.from_regex("[a-z]{1,4}", fullmatch=True), st.binary()), min_size=1))
def test_a_multipart_form_is_what_the_email_package_reads(parts: list[tuple[str, bytes]]) -> None:
    """The other parser of the standard library."""
    parts = [(name, base64.b64encode(value)) for name, value in parts if name != "xml"] or [
        ("a", b"")
    ]
    body = multipart(
        *(
            (b'Content-Disposition: form-data; name="%b"' % name.encode(), text)
            for name, text in parts
        )
    )
    message = message_from_bytes(b"Content-Type: multipart/form-data; boundary=B\r\n\r\n" + body)
    expected = tuple(
        (part.get_param("name", header="content-disposition"), part.get_payload().strip())
        for part in message.get_payload()  # type: ignore[union-attr]
    )
    assert fields(body, None) == expected


def test_multipart_that_is_cut_off() -> None:
    """Without its last boundary a field may be half a field."""
    body = multipart((b"Content-Disposition: form-data; name=a", b"123456"))
    assert reason(body[:-12], None) == (
        "the multipart form is cut off: its last boundary is missing"
    )
