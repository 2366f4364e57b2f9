"""Numbers of invoices: exact, and never guessed at."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.invoices.numbers import MARKS, Numbers

VALUES = st.integers(0, 6).flatmap(lambda places: st.decimals("-1e9", "1e9", places=places))


def written(value: Decimal, mark: str, group: str) -> str:
    """A number with a mark before the decimals and groups of three before it."""
    text = f"{value:,f}"
    return text.translate(str.maketrans({",": group, ".": mark}))


@given(value=VALUES, mark=st.sampled_from(list(MARKS)), grouped=st.booleans())
def test_a_number_is_read_as_it_is_written(value: Decimal, mark: str, grouped: bool) -> None:
    """Exactly, with groups and without, where it is said what stands before the decimals."""
    sign = MARKS[mark]
    other = "," if sign == "." else "."
    text = written(value, sign, other if grouped else "")
    assert Numbers(sign, stated=True).read("x", text) == value


@given(values=st.lists(VALUES, max_size=5), mark=st.sampled_from(list(MARKS)), data=st.data())
def test_what_is_not_said_is_read_rightly_or_refused(
    values: list[Decimal], mark: str, data: st.DataObject
) -> None:
    """No number of a file with commas becomes another one, unless all it shows is a lone point."""
    sign = MARKS[mark]
    other = "," if sign == "." else "."
    numbers, lone = Numbers(), False
    for value in values:
        text = written(value, sign, other if data.draw(st.booleans()) else "")
        lone |= "." in text and "," not in text and text.count(".") == 1
        try:
            read = numbers.read("x", text)
        except ValueError:
            continue
        assert read == value or (sign == "," and lone)


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (
            ["1,234"],
            "x must be one number, got '1,234', which may be 1.234 or 1234: give --decimal",
        ),
        (["0.5", "1,234"], "x must be one number, got"),
        (["0,5", "1.234"], "x must be one number, got"),
        (["0.5", "0,5"], "x must have a decimal point as rows before, or --decimal says which"),
        (["0,5", "0.5"], "x must have a decimal comma as rows before, or --decimal says which"),
        (["1.234", "0,5"], "x must have a decimal point as rows before"),
        (["1,23,456"], "x must be an exact decimal such as 0.0075, got"),
        (["1.234.56"], "x must be an exact decimal"),
        (["0,123,456"], "x must be an exact decimal"),
        (["1,"], "x must be an exact decimal"),
        ([",5"], "x must be an exact decimal"),
        (["\u0661,\u0665"], "x must be an exact decimal"),
        (["1 234,5"], "x must be an exact decimal"),
        (["1" * 61], "x must be an exact decimal"),
    ],
)
def test_the_last_number_is_refused(texts: list[str], problem: str) -> None:
    """With what to do."""
    numbers, (*before, last) = Numbers(), texts
    for text in before:
        numbers.read("x", text)
    with pytest.raises(ValueError, match=f"^{problem}"):
        numbers.read("x", last)


def test_what_was_stated_stays() -> None:
    """A number without decimals, or one that is refused, changes nothing of it."""
    numbers = Numbers(",", stated=True)
    with pytest.raises(ValueError, match=r"must be an exact decimal such as 0,0075, got '0\.5'"):
        numbers.read("x", "0.5")
    assert numbers.read("x", "12") == 12
    assert numbers.read("x", "1,234") == Decimal("1.234")


def test_a_comma_that_was_seen_goes_for_those_after_it() -> None:
    """The file has shown what it means."""
    numbers = Numbers()
    assert numbers.read("x", "0,5") == Decimal("0.5")
    assert numbers.read("x", "1,234") == Decimal("1.234")
