"""Times: the forms of TIMESTAMP that were seen, and no others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.times import iso, micros, parse_moment, parse_timestamp, placed, time_of, zone_of


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
    ],
)
def test_each_form_that_was_seen_is_read(text: str, expected: str, naive: bool) -> None:
    """The forms of PROVIDER.md, trap 6, to the microsecond."""
    parsed = parse_timestamp(text)
    assert parsed is not None
    assert (parsed.tzinfo is None) is naive
    assert iso(placed(parsed, UTC) if naive else parsed) == expected


@pytest.mark.parametrize(
    "text",
    ["", "now", "2013-11-05", "20131105T054108", "2013-W45-2T05:41:08", "2013-13-05T05:41:08Z",
     "2013-11-05T25:41:08Z", "1383648068", "2013-11-05T05:41:08-05:00 ", "٢٠١٣-11-05T05:41:08Z",
     "2013-11-05T05:41:08+99:00", "2013-11-05T05:41:60Z", "2013-11-05T05:41:08+05:75",
     "2013-11-05T05:41:08-0460"],
)  # fmt: skip
def test_what_is_no_timestamp_is_none(text: str) -> None:
    """Nothing is guessed of a text of another form."""
    assert parse_timestamp(text) is None


# Around these the clocks of a zone went forward or back: by an hour, by half of one, by a day.
JUMPS = st.sampled_from(
    [
        ("America/New_York", datetime(2026, 3, 8, 2)),
        ("America/New_York", datetime(2026, 11, 1, 1)),
        ("Europe/Berlin", datetime(2026, 10, 25, 2)),
        ("Australia/Lord_Howe", datetime(2026, 4, 5, 2)),
        ("Pacific/Apia", datetime(2011, 12, 30)),
        ("-05:00", datetime(2026, 3, 8, 2)),
    ]
)


@given(JUMPS, st.integers(-30 * 60, 30 * 60))
def test_a_wall_clock_is_placed_where_it_was_shown_once(
    jump: tuple[str, datetime], minutes: int
) -> None:
    """It is refused where no instant shows it, or two do, by the offsets of two days before and after."""
    zone, wall = zone_of(jump[0]), jump[1] + timedelta(minutes=minutes)
    near = (wall.replace(tzinfo=UTC) + timedelta(days=days) for days in (-2, 2))
    offsets = {at.astimezone(zone).utcoffset() or timedelta() for at in near}
    instants = {(wall - offset).replace(tzinfo=UTC) for offset in offsets}
    shown = [at for at in instants if at.astimezone(zone).replace(tzinfo=None) == wall]
    if len(shown) == 1:
        assert placed(wall, zone) == shown[0]
    else:
        wrong = "twice" if shown else "never"
        with pytest.raises(ValueError, match=rf"got {wall}, which it had {wrong}$"):
            placed(wall, zone)


@pytest.mark.parametrize(
    ("text", "offset"),
    [("UTC", 0), ("Z", 0), ("-05", -300), ("-0530", -330), ("+05:45", 345), ("Asia/Tokyo", 540)],
)
def test_a_zone_is_a_name_or_an_offset(text: str, offset: int) -> None:
    """One reader for vocabularies, stories and the command line."""
    assert zone_of(text).utcoffset(datetime(2026, 7, 1)) == timedelta(minutes=offset)


@pytest.mark.parametrize(
    "text",
    ["", "Mars/Base", "../etc", "America", "+99:00", "-05:75", "-5", "05:00", "٠", "x" * 500],
)
def test_an_unknown_zone_is_refused(text: str) -> None:
    """With what is expected instead."""
    with pytest.raises(
        ValueError, match=r"^unknown zone .{1,60}: expected UTC, America/New_York or"
    ):
        zone_of(text)


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-14 * 60, 14 * 60))
def test_a_moment_comes_back_whatever_its_zone(when: datetime, minutes: int) -> None:
    """Microseconds, ISO text and the wire's text hold a moment exactly."""
    assert time_of(micros(when)) == when
    assert parse_moment(iso(when) or "") == when
    try:
        there = when.astimezone(timezone(timedelta(minutes=minutes)))
    except OverflowError:
        return
    assert parse_timestamp(there.isoformat()) == when
