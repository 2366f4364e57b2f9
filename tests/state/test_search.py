"""What a text that a person looks for stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.phone import SEPARATORS
from postledger.state.search import MOST_READ, matches, search_of, words_of

NUMBERS = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)
"""Numbers with a country code: before a shorter one ``00`` is part of it (``digits_of``)."""


def is_found(
    text: str,
    *,
    key: str = "",
    to: str | None = None,
    mms_id: str | None = None,
    reason: str | None = None,
    label: str | None = None,
) -> bool:
    """Whether a text finds a delivery that has that."""
    labels = [] if label is None else [label]
    return matches(search_of(text), key or "-", to, mms_id, reason, labels)


@given(NUMBERS, st.sampled_from(["", "+", "00", "tel:+"]), st.data())
def test_a_recipient_is_found_in_any_spelling(
    number: str, prefix: str, data: st.DataObject
) -> None:
    """However it is spelled where it stands, and where it is looked for."""
    spelled = "".join(
        digit + data.draw(st.text(SEPARATORS, max_size=2), label="after") for digit in number
    )
    assert is_found(prefix + spelled, to=number)
    assert is_found(number, to=prefix + spelled)
    assert not is_found(prefix + spelled + "1", to=number)


@pytest.mark.parametrize(
    ("text", "to", "found"),
    [
        ("3058", "16503333058", True),
        ("058", "16503333058", False),
        ("650 333 3058", "+1 (650) 333-3058", True),
        ("650/333/3058", "16503333058", True),
        ("６５０３３３３０５８", "16503333058", True),
        ("0650 333 3058", "16503333058", True),
        ("0958", "442079460958", True),
        ("0957", "442079460958", False),
        ("020 7946 0958", "442079460958", True),
        ("+44 (0)20 7946 0958", "442079460958", True),
        ("acme", "ACME", True),
        ("acm", "ACME", False),
        ("A3058", "16503333058", False),
    ],
)
def test_a_recipient_is_found_by_its_end(text: str, to: str, found: bool) -> None:
    """By four digits or more; one that is not a number by its name."""
    assert is_found(text, to=to) is found


def test_a_number_is_read_by_the_rules_of_its_country() -> None:
    """With the package for that: an extension is no part of it, and letters are digits."""
    pytest.importorskip("phonenumbers")
    assert is_found("+1 650 333 3058 ext. 12", to="16503333058")
    assert is_found("0044 20 7946 0958 x3", to="442079460958")
    assert is_found("+1 800 FLOWERS", to="18003569377")


def test_ids_are_found_by_their_beginning_and_in_their_case() -> None:
    """An MMSID whole."""
    assert is_found("U01T", key="U01TXzgwNjc4")
    assert not is_found("u01t", key="U01TXzgwNjc4")
    assert not is_found("XzgwNjc4", key="U01TXzgwNjc4")
    assert is_found("a/b/+1650", key="a%2Fb/1650333")
    assert is_found("597879", mms_id="597879")
    assert not is_found("59787", mms_id="597879")


def test_reasons_are_found_by_words_and_labels_whole_in_any_case() -> None:
    """All words of the text, in any order."""
    reason = "Handset setting: mms with pass via xHTML;"
    assert is_found("XHTML handset", reason=reason)
    assert not is_found("xhtm", reason=reason)
    assert not is_found("xhtml carrier", reason=reason)
    assert is_found("spring SALE", label="Spring sale")
    assert not is_found("spring", label="Spring sale")


def test_a_blank_text_is_refused() -> None:
    """There is nothing to look for."""
    with pytest.raises(ValueError, match="search must be text to look for, got ''"):
        search_of(" \n")


@given(st.text(min_size=1, max_size=50).filter(str.strip))
def test_any_text_is_only_text(text: str) -> None:
    """It finds the id, the MMSID, the label and the recipient that it is."""
    search = search_of(text)
    assert matches(search, "-", None, search.text, None, [])
    assert matches(search, "-", None, None, None, [search.text])
    if search.keys:
        assert matches(search, f"{search.text}1", None, None, None, [])


def test_long_texts_are_read_as_far_as_words_are() -> None:
    """A reason of a megabyte is found by the words at its beginning."""
    reason = "absent " * 200_000 + "end"
    assert is_found("absent", reason=reason)
    assert not is_found("end", reason=reason)
    assert len(words_of("a" * 2_000_000)) == 1
    assert is_found("1" * 1_000_000, key="1" * 1_000_001)
    assert search_of("1" * 1_000_000).numbers == ()
    assert len(reason) > MOST_READ
