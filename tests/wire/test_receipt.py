"""Receipt texts of SMPP 3.4, appendix B."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.errors import ReadError
from postledger.postback import Postback
from postledger.wire import read

TEXT = (
    "id:0123456789 sub:001 dlvrd:001 submit date:2603011000 done date:2603011001"
    " stat:DELIVRD err:000 text:Hello id:7 "
)
FIELDS = (
    ("id", "0123456789"),
    ("sub", "001"),
    ("dlvrd", "001"),
    ("submit_date", "2603011000"),
    ("done_date", "2603011001"),
    ("stat", "DELIVRD"),
    ("err", "000"),
    ("text", "Hello id:7"),
)


@pytest.mark.parametrize("content_type", [None, "text/plain", "text/plain; charset=utf-8"])
@pytest.mark.parametrize("written", [str, str.upper])
def test_body(content_type: str | None, written: type[str]) -> None:
    """A whole body is read whatever its type says, the text after text: as it is."""
    (found,) = read(written(TEXT).encode(), content_type)
    assert isinstance(found, Postback)
    assert [name for name, _ in found.fields] == [name for name, _ in FIELDS]
    assert [text.lower() for _, text in found.fields] == [text.lower() for _, text in FIELDS]


def test_other_keys() -> None:
    """What a carrier adds is a field, what it leaves out is none, and what it repeats is there twice."""
    (found,) = read(b"id:a:b stat:X err:000 network:262 err: done_date:26-03-01 10:00:05")
    assert found == Postback(
        "",
        (
            ("id", "a:b"),
            ("stat", "X"),
            ("err", "000"),
            ("network", "262"),
            ("err", ""),
            ("done_date", "26-03-01 10:00:05"),
        ),
    )


def test_latin_1() -> None:
    """Bytes that aren't UTF-8 are Latin-1, and the postback is repaired."""
    (found,) = read("id:1 stat:X text:é".encode("latin-1"))
    assert found == Postback("", (("id", "1"), ("stat", "X"), ("text", "é")), repaired=True)


@pytest.mark.parametrize("body", [b"id:", b"id:7 sub:1", b"id:7 text:stat:X", b"ID: the card"])
def test_no_receipt(body: bytes) -> None:
    """Without a state it is no receipt."""
    with pytest.raises(ReadError, match="begins with id: as a receipt text does, but has no stat:"):
        read(body)


@given(st.lists(st.sampled_from([*TEXT.split(" "), "x", ":", "  ", "é", "text:", "id:"])))
def test_no_word_is_lost(words: list[str]) -> None:
    """Whatever follows, all but the white space stands in the names and texts."""
    text = "id:1 stat:X " + " ".join(words)
    (found,) = read(text.encode())
    assert isinstance(found, Postback)
    said = "".join(f"{name}:{text}" for name, text in found.fields)
    assert "".join(said.split()).replace("_", "") == "".join(text.split()).replace("_", "")
