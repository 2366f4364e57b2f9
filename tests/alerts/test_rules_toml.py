"""Rules files: what they state, and what is said of those that are wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from postledger import DefinitionError, Ratio, Rules, Silence, Stuck, Unreadable, load_rules
from postledger.alerts.rules_toml import read_rules

ALL = """
days = 21
unreadable = false
[ratio]
drop = 0.1
minimum = 50
usual = 0.9
without = "0001470"
[stuck]
age = "6h"
rise = 0.02
[silence]
after = "30m"
without = ["spare", "0001470"]
"""


def test_a_file_states_rules() -> None:
    """What it leaves out is as without a file."""
    assert read_rules("") == Rules()
    assert read_rules(ALL) == Rules(
        ratio=Ratio(drop=0.1, minimum=50, usual=0.9, without=("0001470",)),
        stuck=Stuck(age=timedelta(hours=6), rise=0.02),
        unreadable=None,
        silence=Silence(after=timedelta(minutes=30), without=("spare", "0001470")),
        days=21,
    )


SPAN = 'write a span such as "30m", "24h" or "7d", at most "30d"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("days = 2", "days is 2; write the number of days to learn from, from 3 to 90"),
        ("days = true", "days is True; write the number of days to learn from, from 3 to 90"),
        ("ratios = false", "unknown key 'ratios'; the keys are days, ratio, silence, stuck, unreadable"),
        ("ratio = true", "ratio is True; write a table [ratio], or ratio = false"),
        ("ratio.rise = 0.1", "ratio: unknown key 'rise'; the keys are drop, minimum, usual, without"),
        ("ratio.drop = 20", "ratio: drop is 20; write a number above 0 and below 1, such as 0.2"),
        ("ratio.usual = true", "ratio: usual is True; write a number above 0 and below 1, such as 0.2"),
        ("ratio.drop = nan", "ratio: drop is nan; write a number above 0 and below 1, such as 0.2"),
        ("stuck.minimum = 0", "stuck: minimum is 0; write a whole number of at least 1"),
        ('stuck.age = "0h"', f"stuck: age is '0h'; {SPAN}"),
        ('stuck.age = "31d"', f"stuck: age is '31d'; {SPAN}"),
        ("silence.after = 3", f"silence: after is 3; {SPAN}"),
        ("silence.without = [1]", "silence: without is [1]; write a text or a list of texts"),
        ("ratio", "not TOML: Expected '=' after a key in a key/value pair (at end of document)"),
    ],
)  # fmt: skip
def test_a_fault_says_where_it_is_and_what_to_write(text: str, message: str) -> None:
    """File, table, key, and what to write instead."""
    with pytest.raises(DefinitionError) as caught:
        read_rules(text, "alerts.toml")
    assert caught.value.faults == (f"alerts.toml: {message}",)


def test_all_faults_are_said_at_once() -> None:
    """So that a file is fixed in one go."""
    with pytest.raises(DefinitionError) as caught:
        read_rules("days = 1\nstuck = 3\n[ratio]\ndrop = 2\nminimum = -1\nother = 1\n")
    assert len(caught.value.faults) == 5


def test_a_file_that_cant_be_read_is_refused(tmp_path: Path) -> None:
    """It says which, and why."""
    with pytest.raises(DefinitionError, match=r"can't be read: .*; name a TOML file"):
        load_rules(tmp_path)
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(DefinitionError, match="it is not UTF-8; name a TOML file"):
        load_rules(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ratio(drop=1), "drop must be above 0 and below 1, got 1"),
        (lambda: Ratio(usual=0.0), "usual must be above 0 and below 1, got 0.0"),
        (lambda: Stuck(minimum=0), "minimum must be at least 1, got 0"),
        (lambda: Stuck(age=timedelta()), "age must be above 0 and at most 30 days, got 0:00:00"),
        (lambda: Unreadable(rise=-0.1), "rise must be above 0 and below 1, got -0.1"),
        (lambda: Silence(after=timedelta(31)), "after must be above 0 and at most 30 days, got 31 days"),
        (lambda: Rules(days=91), "days must be from 3 to 90, got 91"),
    ],
)  # fmt: skip
def test_values_check_themselves(make: object, message: str) -> None:
    """A program that states rules learns at once what is wrong."""
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
