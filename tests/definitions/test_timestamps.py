"""The provider's timestamps: formats, zones, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.definitions import load_vocabulary
from postledger.definitions.language import FORMATS
from postledger.definitions.timestamps import parse_time, problem_of, write_time
from postledger.definitions.vocabulary import Lexicon
from postledger.errors import DefinitionError
from postledger.postback import Postback
from postledger.times import EPOCH, micros
from tests.definitions.samples import WORDS

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31), timezones=st.just(UTC))
SECONDS = MOMENTS.map(lambda moment: moment.replace(microsecond=0))
PATTERNS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%d %b %Y %H:%M:%S",
    "%A, %d %B %y, %I:%M:%S %p",
    "%a %b %d %H:%M:%S %Y %z",
    "100%% %d/%m/%Y %H.%M.%S %Z",
)


@given(SECONDS, st.sampled_from(PATTERNS))
def test_what_datetime_writes_is_read_back(moment: datetime, pattern: str) -> None:
    """A time written in a pattern is that time, and names no zone unless the pattern has one."""
    assert problem_of(pattern) == ""
    has_zone = "%z" in pattern or "%Z" in pattern
    assert parse_time(moment.strftime(pattern), (pattern,), UTC) == (micros(moment), not has_zone)


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_fractions_and_offsets_are_read_back(moment: datetime, minutes: int) -> None:
    """``%f`` and ``%z`` are exact."""
    pattern = "%Y-%m-%dT%H:%M:%S.%f%z"
    told = moment.astimezone(timezone(timedelta(minutes=minutes))).strftime(pattern)
    assert parse_time(told, (pattern,), UTC) == (micros(moment), False)


@given(MOMENTS, st.sampled_from(((0, "epoch_us"), (3, "epoch_ms"), (6, "epoch_s"))))
def test_epochs_are_exact(moment: datetime, unit: tuple[int, str]) -> None:
    """A number of seconds, milliseconds or microseconds is exact, with a fraction or without."""
    digits, name = unit
    at = micros(moment)
    told = str(at) if not digits else f"{at // 10**digits}.{at % 10**digits:0{digits}}"
    assert parse_time(told, (name,), ZoneInfo("Asia/Tokyo")) == (at, False)
    assert parse_time(told.split(".")[0], (name,), UTC) == (at - at % 10**digits, False)


@given(SECONDS.filter(lambda moment: moment.year >= 2000))
def test_smpp_times_are_read_back(moment: datetime) -> None:
    """Ten digits or twelve, in the zone of those that name none."""
    assert parse_time(moment.strftime("%y%m%d%H%M%S"), ("smpp",), UTC) == (micros(moment), True)
    whole = moment.replace(second=0)
    assert parse_time(moment.strftime("%y%m%d%H%M"), ("smpp",), UTC) == (micros(whole), True)


@given(st.text(max_size=30), st.sampled_from((*FORMATS, *PATTERNS)))
def test_what_is_no_time_is_none(text: str, name: str) -> None:
    """Whatever a text is, it is read or it is not."""
    parsed = parse_time(text, (name,), UTC)
    assert parsed is None or isinstance(EPOCH + timedelta(microseconds=parsed[0]), datetime)


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("2013-13-05 10:41:08", "%Y-%m-%d %H:%M:%S"),
        ("30 Feb 2013 10:41", "%d %b %Y %H:%M"),
        ("2013115104108", "%Y%m%d%H%M%S"),
        ("5 Mai 2013 10:41", "%d %b %Y %H:%M"),
        ("5 Nov 2013 13:41 PM", "%d %b %Y %I:%M %p"),
        ("2013-11-05 10:41 +9900", "%Y-%m-%d %H:%M %z"),
        ("1" * 5_000, "epoch_s"),
        ("99999999999999", "epoch_s"),
        ("1e9", "epoch_s"),
        ("-", "epoch_s"),
        ("9999-12-31T23:59:59-05:00", "iso"),
        ("0001-01-01T00:00:00+05:00", "iso"),
        ("131305104108", "smpp"),
        ("13110510410", "smpp"),
    ],
)
def test_impossible_times_are_none(text: str, formats: str) -> None:
    """No day is made up, nothing is guessed, and no text takes long."""
    assert parse_time(text, (formats,), UTC) is None


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("name", ["iso", "%d/%m/%Y %H:%M", "smpp"])
def test_a_time_that_the_clocks_had_twice_or_never_is_none(name: str) -> None:
    """In no format is it guessed which one is meant; an hour later there is no doubt."""
    for day, hour in ((datetime(2026, 3, 29), 2), (datetime(2026, 10, 25), 2)):
        doubt, later = (day.replace(hour=hour + more, minute=30) for more in (0, 1))
        told = write_time(doubt.replace(tzinfo=UTC), name, UTC).removesuffix("+00:00")
        assert parse_time(told, (name,), BERLIN) is None
        told = write_time(later.replace(tzinfo=UTC), name, UTC).removesuffix("+00:00")
        assert parse_time(told, (name,), BERLIN) == (micros(later.replace(tzinfo=BERLIN)), True)


def test_a_skipped_time_is_not_read_by_the_next_format() -> None:
    """29 March, which the first format says, doesn't become the third of another month."""
    formats = ("%d/%m/%y %H:%M", "%y/%m/%d %H:%M")
    assert parse_time("29/03/26 02:30", formats, UTC) is not None
    assert parse_time("29/03/26 02:30", formats, BERLIN) is None


CLOCKED = WORDS.replace("naive = ", 'format = ["iso", "epoch_ms"]\nnaive = ').replace(
    'requires = ["when"]', 'requires = ["when"]\ntimestamp = { field = "why", format = "smpp" }'
)


def test_the_zone_of_a_vocabulary_may_be_an_offset() -> None:
    """As on the command line."""
    lexicon = Lexicon((load_vocabulary(WORDS.replace("America/New_York", "-05:00")),))
    own = lexicon.read(Postback("PARCEL", (("CODE", "P1"), ("WORD", "posted"), ("NUMBER", "7"))))
    assert str(own.naive) == "UTC-05:00"


def test_an_entry_may_have_its_own_clock() -> None:
    """What an entry leaves out of its timestamp, it has from all."""
    lexicon = Lexicon((load_vocabulary(CLOCKED),))
    own = lexicon.read(
        Postback("PARCEL", (("CODE", "P1"), ("WORD", "posted"), ("NUMBER", "7"), ("WHY", "1")))
    )
    assert (own.timestamp_at, own.formats, str(own.naive)) == (3, ("smpp",), "America/New_York")
    other = lexicon.read(Postback("PARCEL", (("NUMBER", "7"), ("WHEN", "1"), ("WHY", "1"))))
    assert (other.timestamp_at, other.formats) == (1, ("iso", "epoch_ms"))


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ('format = "rfc"', "timestamps: format 'rfc' is unknown; write \"iso\","),
        ("format = []", 'timestamps: format is an empty list; write "iso",'),
        ("format = [1]", "timestamps: format is [1]; write a text or a list of texts"),
        (
            'format = "%Q"',
            "timestamps: format '%Q' has %Q, which is unknown: the directives are %Y,",
        ),
        ('format = "%Y-%m %H:%M"', "must have one day: %d; write"),
        ('format = "%Y%Y-%m-%d %H:%M"', "has %Y twice; write"),
        ('format = "%Y-%m-%d %I:%M"', "must have %I with %p, or %H alone; write"),
        ('format = "%Y-%m-%d %H:%M %"', " %' ends with a lone %; write"),
        ('zone = "UTC"', "timestamps: unknown key 'zone'; the keys are field, format, naive"),
    ],
)
def test_an_unknown_format_is_refused(written: str, fault: str) -> None:
    """A format that can't be read says so, with what to write."""
    with pytest.raises(DefinitionError) as raised:
        load_vocabulary(WORDS.replace('field = "when"', f'field = "when"\n{written}'))
    assert fault in raised.value.faults[0]


def test_the_clock_of_an_entry_is_checked() -> None:
    """The place of a fault is that of the entry."""
    for timestamp, fault in (
        ('{ naive = "Mars" }', "timestamp: naive zone 'Mars' is unknown; write a zone such as"),
        ("{ naive = 5 }", "timestamp: naive zone 5 is unknown; write a zone such as"),
        ('{ field = "x" }', "timestamp: field 'x' is unknown; name it in [fields]"),
        ('"when"', "timestamp: is 'when'; write"),
    ):
        with pytest.raises(DefinitionError) as raised:
            load_vocabulary(WORDS.replace('section = "Lost"', f"timestamp = {timestamp}"))
        assert f"postbacks[2].{fault}" in raised.value.faults[0]
