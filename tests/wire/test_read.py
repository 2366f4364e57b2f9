"""The choice of the reader, the limits, and the fixtures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postledger.errors import ReadError
from postledger.postback import Postback, plain
from postledger.wire import READERS, Limits, Reading, read

Attempt = Callable[[bytes, str | None], Reading]
FIXTURES = Path(__file__).parents[2] / "fixtures"
SAMPLES = sorted((FIXTURES / "specification").glob("*.xml"))
XML, JSON, FORM = b"<P><A>1</A></P>", b'{"A": 1}', b"xml=%3CP%3E%3CA%3E1%3C/A%3E%3C/P%3E"
TYPES = [None, "", "rubbish", ";;", "text/plain", "application/octet-stream", *sorted(READERS)]


def reason(body: bytes, content_type: str | None = None, limits: Limits | None = None) -> str:
    with pytest.raises(ReadError) as caught:
        read(body, content_type, limits or Limits())
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("body", [XML, JSON, FORM])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\r\n "])
def test_read_by_what_it_is(content_type: str | None, body: bytes, before: bytes) -> None:
    """A body is read by what it is, whatever its content type says."""
    if body == FORM:
        before = before.removeprefix(b"\xef\xbb\xbf")
    (postback,) = read(before + body, content_type)
    assert isinstance(postback, Postback)
    assert postback.fields == (("A", "1"),)


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "x/y+json"])
def test_content_type_decides_in_doubt(content_type: str) -> None:
    """Where the first byte says nothing, the content type decides."""
    assert reason(b"a", content_type) in {
        "the form has no field",
        "malformed JSON: Expecting value: line 1 column 1 (char 0)",
    }


@pytest.mark.parametrize("body", [b"", b" \r\n", b"\xef\xbb\xbf", b"\x00\x00"])
@pytest.mark.parametrize("content_type", [None, "text/xml", "application/json"])
def test_empty(body: bytes, content_type: str | None) -> None:
    """An empty body is named as such."""
    assert reason(body, content_type) == "the body is empty"


def test_neither() -> None:
    """A body that is nothing known is refused, text and binary each by its name."""
    assert reason(b"hello") == "the body is neither XML nor JSON nor a form"
    assert reason(b"\x89PNG\xff") == "the body is not text"


def test_size() -> None:
    """A body over the limit is refused with its size and the limit."""
    assert reason(b"<" * 11, limits=Limits(body_bytes=10)) == (
        "the body has 11 bytes, more than the limit of 10"
    )
    assert len(read(XML, limits=Limits(body_bytes=len(XML)))) == 1
    assert "1048577 bytes" in reason(b" " * (1 << 20) + b"<")


def test_limits_are_values() -> None:
    """Limits are frozen, and none of them may be zero or deeper than Python can go."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Limits().depth = 3  # type: ignore[misc]
    for wrong in ({"body_bytes": 0}, {"depth": 0}, {"depth": 201}, {"members": 0}):
        with pytest.raises(ValueError, match="must be"):
            Limits(**wrong)


def test_deepest_limit() -> None:
    """The deepest limit allowed is walked without exhausting the interpreter."""
    limits = Limits(depth=200)
    assert len(read(b"<a>" * 200 + b"</a>" * 200, limits=limits)) == 1
    assert len(read(b'{"a":' * 200 + b"1" + b"}" * 200, limits=limits)) == 1


PIECES = st.sampled_from(
    [
        *(b"<", b">", b"</", b"/>", b"<P>", b"</P>", b"<A>", b"</A>", b"<NOTIFICATION>", b"<?xml "),
        *(b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<!DOCTYPE P>", b"&amp;", b"&#0;", b"&x;", b"'"),
        *(
            b"{",
            b"}",
            b"[",
            b"]",
            b'"',
            b":",
            b",",
            b"1",
            b"null",
            b"NaN",
            b"\\ud800",
            b"xml=",
            b"&",
        ),
        *(
            b"%3C",
            b"%",
            b"+",
            b"--B\r\n",
            b"\r\n\r\n",
            b"\n",
            b"\x00",
            b"\xff\xfe",
            b"\xef\xbb\xbf",
        ),
        *(b"encoding='utf-7'?>", b"Content-Disposition: form-data; name=xml", b"\xc3\xa9", b"text"),
    ]
)
BODIES = st.binary(max_size=64) | st.lists(PIECES, max_size=24).map(b"".join)
CONTENT_TYPES = st.none() | st.sampled_from(TYPES) | st.text(max_size=40)
PARAMETERS = st.sampled_from(["", "; charset=utf-16", "; charset=idna", "; boundary=B", ";=;;"])


@given(BODIES, CONTENT_TYPES, PARAMETERS)
@example(b"<P>\xff</P>", "text/xml; charset*=utf-8''x", "")
@example(b"<", "\ud800/\ud800; charset=\ud800", "\r\nX: y")
def test_any_bytes(
    attempt: Attempt, body: bytes, content_type: str | None, parameters: str
) -> None:
    """Any bytes under any content type are read, or refused with one line of reason."""
    members = attempt(body, content_type and content_type + parameters)
    assert all(isinstance(member, Postback | ReadError) for member in members)


def test_all_samples_are_there() -> None:
    """The specification prints eleven samples."""
    assert len(SAMPLES) == 11


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_specification(sample: Path) -> None:
    """Every sample of the specification is read as it is printed, the malformed one too."""
    expected = json.loads(sample.with_suffix(".json").read_text())
    (postback,) = read(sample.read_bytes(), "text/xml")
    assert isinstance(postback, Postback)
    assert postback.root == expected["root"]
    assert postback.fields == tuple(expected["fields"].items())
    assert postback.repaired is expected["repaired"]
    key = "TRACKINGID" if expected["chart"] == "delivery" else "MMSID"
    assert expected["fields"][key] == expected["key"]
    assert expected["fields"]["CODE"] == expected["code"]


@pytest.mark.parametrize("name", ["response-success", "response-failure"])
def test_answers(name: str) -> None:
    """The API's answers are read like any postback."""
    (answer,) = read((FIXTURES / "api" / f"{name}.xml").read_bytes())
    assert isinstance(answer, Postback)
    assert answer.root == "RESPONSE"
    assert ("TRACKINGID" in dict(answer.fields)) is (name == "response-success")
    assert all(plain(path) == path for path, _ in answer.fields)
