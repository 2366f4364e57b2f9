"""JSON bodies."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.errors import ReadError
from postledger.postback import Postback
from postledger.wire import Limits, Reading, read

Attempt = Callable[[bytes, str | None], Reading]
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


def fields(body: str | bytes, content_type: str = "application/json") -> tuple[object, ...]:
    (postback,) = read(body.encode() if isinstance(body, str) else body, content_type)
    assert isinstance(postback, Postback)
    return postback.fields


def reason(body: str | bytes, content_type: str = "application/json", **limits: int) -> str:
    with pytest.raises(ReadError) as caught:
        read(body.encode() if isinstance(body, str) else body, content_type, Limits(**limits))
    return str(caught.value)


def test_object() -> None:
    """An object is a postback without a root, its keys as they stand."""
    assert read(b'{"tracking-id": "TU1T=", "to": " 1 "}') == (
        Postback("", (("tracking-id", "TU1T="), ("to", "1"))),
    )


def test_scalars() -> None:
    """Numbers keep their literal text; true, false and null have words of their own."""
    huge = "9" * 5000
    body = f'{{"a": 1.50, "b": 1E3, "c": {huge}, "d": true, "e": false, "f": null, "g": -0}}'
    expected = ("1.50", "1E3", huge, "true", "false", "", "-0")
    assert fields(body) == tuple(zip("abcdefg", expected, strict=True))


def test_nested() -> None:
    """Nested objects are paths, and the values of an array are repeated pairs."""
    body = '{"a": {"b": 1, "c": [2, [3], {"d": 4}], "e": {}, "f": []}, "g": 5}'
    assert fields(body) == (
        ("a/b", "1"),
        ("a/c", "2"),
        ("a/c", "3"),
        ("a/c/d", "4"),
        ("a/e", ""),
        ("g", "5"),
    )


def test_duplicate_keys() -> None:
    """A key that stands twice gives two fields, so that neither value is lost."""
    assert fields('{"a": 1, "b": 2, "a": 3}') == (("a", "1"), ("b", "2"), ("a", "3"))


def test_named_root() -> None:
    """An object that only holds an object gives it its name."""
    assert read(b'{"postback": {"code": "x"}}') == (Postback("postback", (("code", "x"),)),)


def test_bundle() -> None:
    """An array is a bundle, in which what is no message stands as an error at its place."""
    first, second, third, fourth = read(b'[{"a": 1}, 7, {"postback": {"a": 2}}, {}]')
    assert first == Postback("", (("a", "1"),))
    assert isinstance(second, ReadError)
    assert third == Postback("postback", (("a", "2"),))
    assert isinstance(fourth, ReadError)


@pytest.mark.parametrize("body", ["7", '"x"', "null", "{}"])
def test_no_postback(body: str) -> None:
    """A JSON value that is no object with fields holds no postback."""
    assert reason(body) == "there is no postback in it: expected a JSON object with fields"


@pytest.mark.parametrize(
    "body",
    ['{"a": 0001470}', '{"a": NaN}', '{"a": -Infinity}', '{"a": }', '{"a": 1', "{} {}", "{'a': 1}"],
)
def test_malformed(body: str) -> None:
    """What isn't JSON is refused, Python's additions to it as well."""
    assert reason(body).startswith("malformed JSON: ")


def test_empty_bundle() -> None:
    """An empty array holds no postback."""
    assert reason("[]") == "there is no postback in an empty bundle"


def test_too_many_members() -> None:
    """A bundle with more members than the limit is refused as a whole."""
    assert reason('[{"a": 1}, {"a": 2}]', members=1).startswith("the bundle has more than")


def test_depth() -> None:
    """Objects and arrays are bounded in depth, the outermost being 1."""
    assert len(read(b'{"a": [{"b": 1}]}', limits=Limits(depth=3))) == 1
    assert reason('{"a": [{"b": 1}]}', depth=2) == "the JSON is nested deeper than the limit of 2"


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_abyss(opening: str) -> None:
    """Nesting beyond the interpreter's own limit is an error like any other."""
    assert reason(opening * 100_000)
    closing = {"[": "]", '{"a":': "}", '[{"a":': "}]"}[opening]
    assert "nested" in reason(opening * 100_000 + "1" + closing * 100_000)


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=ascii"])
def test_undeclared_latin_1(charset: str) -> None:
    """Bytes that aren't valid are read as Latin-1, and the member that has them is repaired."""
    body = '[{"a": "é"}, {"é": {"a": [1]}}, {"a": 1}]'.encode("latin-1")
    assert read(body, "application/json" + charset) == (
        Postback("", (("a", "é"),), repaired=True),
        Postback("é", (("a", "1"),), repaired=True),
        Postback("", (("a", "1"),)),
    )


def test_charset() -> None:
    """The charset explains what is not Unicode: nothing is repaired then."""
    body = '{"a": "é"}'.encode("latin-1")
    assert read(body, "application/json; charset=iso-8859-1") == (Postback("", (("a", "é"),)),)


def test_not_text() -> None:
    """Half a character of two bytes is refused."""
    assert reason("[]".encode("utf-16") + b"[").startswith("the body is not text: ")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings(encoding: str) -> None:
    """JSON is read in any Unicode encoding."""
    assert fields('{"a": "é"}'.encode(encoding)) == (("a", "é"),)


def test_lone_surrogate() -> None:
    """A lone surrogate is kept, and the postback still has a digest."""
    (postback,) = read(b'{"a": "\\ud800"}')
    assert isinstance(postback, Postback)
    assert postback.fields == (("a", "\ud800"),)
    assert len(postback.digest()) == 16


@given(VALUES)
def test_any_value(attempt: Attempt, value: object) -> None:
    """Any JSON value is read into fields of text, or refused in one line."""
    members = attempt(json.dumps(value).encode(), "application/json")
    texts = [t for m in members if isinstance(m, Postback) for pair in m.fields for t in pair]
    assert all(isinstance(text, str) for text in texts)
