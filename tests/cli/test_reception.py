"""Reception: the times that a log states are read, or refused where there is a doubt."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.cli.params import Zone
from postledger.cli.reception import Format, Reception
from postledger.definitions.language import FORMATS
from postledger.definitions.timestamps import EPOCHS, parse_time, write_time
from postledger.times import iso, micros, time_of

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-01T10:00:05Z", "2026-03-01T10:00:05Z"),
        ("2026-03-01 11:00:05.25+01", "2026-03-01T10:00:05.250000Z"),
        ("2026-03-01 10:00:06.5 UTC", "2026-03-01T10:00:06.500000Z"),
        (1772359205, "2026-03-01T10:00:05Z"),
        (" 1772359205.5 ", "2026-03-01T10:00:05.500000Z"),
        (1772359205.25, "2026-03-01T10:00:05.250000Z"),
        ("1772359205123", "2026-03-01T10:00:05.123000Z"),
        (1772359205123456, "2026-03-01T10:00:05.123456Z"),
    ],
)
def test_a_time_that_can_be_no_other_is_read(value: object, expected: str) -> None:
    """ISO 8601 with a zone, and seconds, milliseconds and microseconds since 1970."""
    assert iso(Reception().read(value)) == expected


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "2026-03-01", "20260301100005", 2603011000, 12, 999999999, -1772359205, True,
     None, [], {}, "17723592051234567890", "1e9", "2026-03-01T10:00:05", float("nan"), float("inf"),
     "١٧٧٢٣٥٩٢٠٥"],
)  # fmt: skip
def test_a_time_that_leaves_a_doubt_is_refused(value: object) -> None:
    """Nothing is guessed: no unit, no zone, no order of day and month."""
    with pytest.raises(ValueError, match=r"^expected .*got "):
        Reception().read(value)


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(sorted(EPOCHS)),
)
def test_a_stated_format_gives_each_time_back(time: datetime, form: str) -> None:
    """Whole and as a fraction, to the microsecond."""
    whole, part = divmod(micros(time), EPOCHS[form])
    digits = len(str(EPOCHS[form])) - 1
    text = f"{whole}.{part:0{digits}}" if digits else str(whole)
    assert Reception(form).read(text) == time
    assert Reception("iso").read(time.isoformat(" ", "seconds")) == time.replace(microsecond=0)


def test_a_pattern_is_read_as_it_stands() -> None:
    """As the access log of a web server has it; another form is refused."""
    reception = Reception("%d/%b/%Y:%H:%M:%S %z")
    assert iso(reception.read("01/Mar/2026:11:00:05 +0100")) == "2026-03-01T10:00:05Z"
    with pytest.raises(
        ValueError, match="expected a time as %d/%b/%Y:%H:%M:%S %z, got '1772359205'"
    ):
        reception.read(1772359205)


def test_a_zone_that_the_time_names_is_not_replaced() -> None:
    """``%Z`` as well as ``%z``: another zone is only that of times that name none."""
    told = "2026-03-01 10:00:00 UTC"
    for form in (None, "iso", "%Y-%m-%d %H:%M:%S %Z"):
        assert iso(Reception(form, NEW_YORK).read(told)) == "2026-03-01T10:00:00Z"
    with pytest.raises(ValueError, match="expected a time as %Y-%m-%d %H:%M %Z, got"):
        Reception("%Y-%m-%d %H:%M %Z", NEW_YORK).read("2026-03-01 10:00 EST")


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)),
    st.sampled_from((*FORMATS, "%d/%b/%Y:%H:%M:%S %z", "%d.%m.%Y %H:%M")),
    st.sampled_from((UTC, NEW_YORK)),
)
def test_a_log_is_read_as_a_postback_is(time: datetime, name: str, zone: tzinfo) -> None:
    """The same format gives the same time, or none, in a vocabulary and on the command line."""
    told = write_time(time.replace(tzinfo=UTC), name, UTC)
    told = told if time.second % 2 else told.removesuffix("+00:00")
    parsed = parse_time(told, (name,), zone)
    try:
        assert parsed is not None
        assert Reception(name, zone).read(told) == time_of(parsed[0])
    except ValueError:
        assert parsed is None


def test_a_time_without_a_zone_needs_one() -> None:
    """Summer time counts; what the clocks showed twice or never is refused."""
    with pytest.raises(ValueError, match="with a zone, got '2026-07-01 10:00:05'; --tz says which"):
        Reception().read("2026-07-01 10:00:05")
    local = Reception(zone=NEW_YORK)
    assert iso(local.read("2026-07-01 10:00:05")) == "2026-07-01T14:00:05Z"
    assert iso(local.read("2026-12-01 10:00:05")) == "2026-12-01T15:00:05Z"
    assert iso(local.read("2026-07-01T10:00:05Z")) == "2026-07-01T10:00:05Z"
    with pytest.raises(ValueError, match="which it had twice"):
        local.read("2026-11-01 01:30:00")
    with pytest.raises(ValueError, match="which it had never"):
        local.read("2026-03-08 02:30:00")
    with pytest.raises(ValueError, match="from the year 1 to 9999"):
        Reception("%Y-%m-%d %H:%M", NEW_YORK).read("9999-12-31 23:30")


def test_zones_and_formats_are_checked_before_anything_is_read() -> None:
    """A mistyped one is a usage error, not one error a line."""
    zone, form = Zone(), Format()
    assert zone.convert("UTC", None, None) is UTC
    assert zone.convert("America/New_York", None, None) == NEW_YORK
    assert str(zone.convert("-05:30", None, None)) == "UTC-05:30"
    for text in ("Mars/Base", "+99:00", "", "../etc"):
        with pytest.raises(click.BadParameter, match="unknown zone"):
            zone.convert(text, None, None)
    assert form.convert("epoch_ms", None, None) == "epoch_ms"
    assert form.convert("%d/%m/%Y %H:%M", None, None) == "%d/%m/%Y %H:%M"
    for text in ("unix", "%d/%m %H:%M", "%Q", "%j %Y", "100%", "%Y%Y"):
        with pytest.raises(click.BadParameter, match=f"format '{text}' .*; expected iso, epoch_s"):
            form.convert(text, None, None)
