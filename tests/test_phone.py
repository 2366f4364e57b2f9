"""Phone numbers: what is one number in two spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.phone import SEPARATORS, digits_of

NUMBERS = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)


SCHEMES = st.one_of(st.just(""), st.from_regex(r"[A-Za-z][A-Za-z0-9+.-]{0,9}:", fullmatch=True))


@given(NUMBERS, st.sampled_from(["", "+", "00"]), SCHEMES, st.data())
def test_every_spelling_of_a_number_is_its_digits(
    number: str, prefix: str, scheme: str, data: st.DataObject
) -> None:
    """With a plus, 00 or neither, as an address of any scheme, and with separators anywhere."""
    spelled = "".join(
        digit + data.draw(st.text(SEPARATORS, max_size=2), label="after")
        for digit in prefix + number
    )
    assert digits_of(scheme + spelled) == number


@given(st.from_regex(r"[+]?[0-9 ]{1,15}", fullmatch=True))
def test_what_was_compared_is_compared_as_it_is(spelled: str) -> None:
    """A key that was made of a number and is given again is the same key."""
    assert digits_of(digits_of(spelled)) == digits_of(spelled)


@given(st.from_regex(r"[0-9]{1,6}", fullmatch=True))
def test_a_short_code_keeps_its_zeros(code: str) -> None:
    """0012 and 12 may be two services."""
    assert digits_of(code) == code


@given(NUMBERS, NUMBERS)
def test_two_numbers_stay_two(one: str, other: str) -> None:
    """Only what separates digits is taken off."""
    assert (digits_of(f"+{one}") == digits_of(other)) is (one == other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "-",
        "ACME",
        "A-1",
        "+1650x",
        "a@b.example",
        "tel:ACME",
        "a:b:1",
        ":1",
        "1:1",
        "tel:",
        "\u0661\u0662\u0663",
        "\u00b2",
    ],
)
def test_what_is_no_number_stays_as_it_is(text: str) -> None:
    """Such as the name of a sender, an address, or digits of another script."""
    assert digits_of(text) == text
