"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.cli import main
from postledger.cli.common import NAMES
from postledger.cli.params import Time
from postledger.cli.when import EXPECTED, when
from postledger.times import zone_of
from tests.cli import Run
from tests.samples import sent

NOW = datetime(2026, 11, 5, 3, 30, 15, tzinfo=UTC)
"""In New York it is still the day before."""


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("now", "UTC", "2026-11-05T03:30:15"),
        ("today", "UTC", "2026-11-05T00:00:00"),
        ("today", "America/New_York", "2026-11-04T05:00:00"),
        ("Yesterday  12:00", "UTC", "2026-11-04T12:00:00"),
        ("yesterday 9:05:07", "Asia/Kolkata", "2026-11-04T03:35:07"),
        ("tomorrow", "UTC", "2026-11-06T00:00:00"),
        ("1 second ago", "UTC", "2026-11-05T03:30:14"),
        ("30m ago", "America/New_York", "2026-11-05T03:00:15"),
        ("2 hours ago", "UTC", "2026-11-05T01:30:15"),
        ("1 day ago", "UTC", "2026-11-04T03:30:15"),
        ("2 weeks ago", "UTC", "2026-10-22T03:30:15"),
        ("2026-11-20", "UTC", "2026-11-20T00:00:00"),
        ("2026-11-20", "Europe/Berlin", "2026-11-19T23:00:00"),
        ("2026-11-20 12:00", "-05:00", "2026-11-20T17:00:00"),
        ("2026-11-20T12:00:00.5", "UTC", "2026-11-20T12:00:00.500000"),
        ("2026-11-20T12:00:00+02:00", "America/New_York", "2026-11-20T10:00:00"),
    ],
)
def test_a_time_is_read_as_it_is_said(text: str, zone: str, expected: str) -> None:
    """By the calendar of the zone, or back from now."""
    assert when(text, zone_of(zone), NOW) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "yesterday noon",
            "yesterday 25:00",
            "yesterday12:00",
            "12:00",
            "last week",
            "monday",
        ),
        *("in 2 hours", "-2 hours ago", "two hours ago", "2 months ago", "2 hours", "ago"),
        *(
            "999999 weeks ago",
            "05/11/2026",
            "2026-W45",
            "2026-13-01",
            "2026-11-05 24:61",
            "1 day  ",
        ),
        *("٢ hours ago", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "x" * 5000),
    ],
)
def test_what_is_not_a_time_is_refused_with_what_is(text: str) -> None:
    """Nothing is guessed at."""
    with pytest.raises(ValueError, match=r"^invalid time '") as refused:
        when(text, UTC, NOW)
    assert str(refused.value).endswith(EXPECTED)
    assert len(str(refused.value)) < 250


def test_a_time_that_clocks_show_twice_or_never_is_refused() -> None:
    """As summer time ends or begins; an offset says which is meant."""
    berlin = zone_of("Europe/Berlin")
    for text, how in (("2026-10-25 02:30", "twice"), ("2026-03-29T02:30:00", "never")):
        with pytest.raises(
            ValueError, match=f"a time that Europe/Berlin had once, .* it had {how}"
        ):
            when(text, berlin, NOW)
    at = when("2026-10-25 02:30+01:00", berlin, NOW)
    assert at == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        # Clocks went from 0:00 to 1:00, and from 1:00 to 0:00.
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00"),
        ("America/Havana", "2025-11-02", "2025-11-02T04:00"),
    ],
)
def test_a_day_begins_with_its_first_instant(zone: str, day: str, begins: str) -> None:
    """Also one whose midnight the clocks skip or show twice."""
    assert when(day, zone_of(zone), NOW) == datetime.fromisoformat(f"{begins}+00:00")


@given(st.datetimes(), st.sampled_from(["UTC", "Asia/Tokyo", "+05:45"]))
def test_a_written_time_is_read_as_it_was(wall: datetime, zone: str) -> None:
    """Any time that these zones have is the one that was written, however it was separated."""
    place = zone_of(zone)
    for text in (wall.isoformat(), wall.isoformat(" ")):
        try:
            assert when(text, place, NOW) == wall.replace(tzinfo=place)
        except ValueError:
            # Not within the years of UTC.
            assert wall.year in (1, 9999)


@given(st.integers(0, 10_000), st.sampled_from(["s", "m", "h", "d", "w"]))
def test_ago_goes_back_from_now(count: int, unit: str) -> None:
    """In whole seconds; the words say the same as the letters."""
    words = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    length = timedelta(**{words[unit]: count})
    assert when(f"{count}{unit} ago", UTC, NOW) == NOW - length
    assert when(f"{count} {words[unit]} ago", UTC, NOW) == NOW - length


def test_the_zone_of_times_may_stand_before_or_after_them(run: Run, tmp_path: Path) -> None:
    """The delivery began at 5:41:08 in UTC, and an hour later by the clocks of Berlin."""
    path, period = tmp_path / "l.db", ("--since", "2013-11-05 06:00", "--nl")
    run("ingest", path, "-", stdin=sent("a"))
    assert run("deliveries", path, *period).stdout == ""
    for words in ((*period, "--tz", "Europe/Berlin"), ("--tz", "+01:00", *period)):
        assert '"tracking_id": "a"' in run("deliveries", path, *words).stdout
    refused = run("deliveries", path, *period, "--tz", "Berlin")
    assert (refused.exit_code, "unknown zone 'Berlin': expected UTC" in refused.stderr) == (2, True)


def test_each_command_that_takes_times_takes_their_zone() -> None:
    """One option, of the same name everywhere."""
    context = click.Context(main)
    for name in NAMES:
        command = main.get_command(context, name)
        assert command is not None
        kinds = [type(one.type) for one in command.params if isinstance(one, click.Option)]
        if any(issubclass(kind, Time) for kind in kinds):
            assert any("--tz" in one.opts for one in command.params), name
