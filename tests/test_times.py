"""Times: the forms of TIMESTAMP that were seen, and no others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.times import iso, micros, parse_moment, parse_timestamp, time_of


@pytest.mark.parametrize(
    ("text", "expected", "naive"),
    [
        ("2013-11-05T05:41:08-05:00", "2013-11-05T10:41:08Z", False),
        ("2013-11-05T05:41:07.123456-04:00", "2013-11-05T09:41:07.123456Z", False),
        ("2014-07-02T14:32:23-04", "2014-07-02T18:32:23Z", False),
        ("2011-07-26 10:22:25.262743-04", "2011-07-26T14:22:25.262743Z", False),
        ("2012-06-07 07:27:29", "2012-06-07T07:27:29Z", True),
        ("2012-06-07T07:27:29", "2012-06-07T07:27:29Z", True),
        ("2013-11-05T10:41:08+00:00", "2013-11-05T10:41:08Z", False),
        ("2013-11-05T10:41:08Z", "2013-11-05T10:41:08Z", False),
        ("2013-11-05T10:41:08.5Z", "2013-11-05T10:41:08.500000Z", False),
        ("2013-11-05T10:41:08+0530", "2013-11-05T05:11:08Z", False),
        ("0001-01-01T00:00:00+14:00", None, None),
    ],
)
def test_each_form_that_was_seen_is_read(
    text: str, expected: str | None, naive: bool | None
) -> None:
    """The forms of PROVIDER.md, trap 6, to the microsecond."""
    parsed = parse_timestamp(text, UTC)
    if expected is not None:
        assert parsed is not None
        assert (iso(time_of(parsed[0])), parsed[1]) == (expected, naive)


@pytest.mark.parametrize(
    "text",
    ["", "now", "2013-11-05", "20131105T054108", "2013-W45-2T05:41:08", "2013-13-05T05:41:08Z",
     "2013-11-05T25:41:08Z", "1383648068", "2013-11-05T05:41:08-05:00 ", "٢٠١٣-11-05T05:41:08Z",
     "2013-11-05T05:41:08+99:00", "2013-11-05T05:41:60Z", "9999-12-31T23:59:59-05:00",
     "0001-01-01T00:00:00+05:00", "2013-11-05T05:41:08+05:75", "2013-11-05T05:41:08-0460"],
)  # fmt: skip
def test_what_is_no_timestamp_is_none(text: str) -> None:
    """Nothing is guessed of a text of another form."""
    assert parse_timestamp(text, UTC) is None


def test_a_time_without_a_zone_is_read_in_the_zone_of_the_vocabulary() -> None:
    """Summer time included."""
    parsed = parse_timestamp("2012-06-07 07:27:29", ZoneInfo("America/New_York"))
    assert parsed == (micros(datetime(2012, 6, 7, 11, 27, 29, tzinfo=UTC)), True)


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-14 * 60, 14 * 60))
def test_a_moment_comes_back_whatever_its_zone(when: datetime, minutes: int) -> None:
    """Microseconds, ISO text and the wire's text hold a moment exactly."""
    assert time_of(micros(when)) == when
    assert parse_moment(iso(when) or "") == when
    try:
        there = when.astimezone(timezone(timedelta(minutes=minutes)))
    except OverflowError:
        return
    assert parse_timestamp(there.isoformat(), UTC) == (micros(when), False)
