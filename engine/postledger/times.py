"""Times: whole microseconds since 1970 in UTC inside, ``datetime`` and ISO 8601 outside."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

UNDATED = 2**63 - 1
"""The ``occurred_at`` of an event without a time: it sorts after every time."""

_MICROSECOND = timedelta(microseconds=1)
_FIRST, _LAST = (
    (end.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND for end in (datetime.min, datetime.max)
)

# The forms seen on the wire: `T` or a space between date and time, a fraction or none, a zone as
# `Z`, `-04`, `-0400`, `-04:00` or none. datetime.fromisoformat alone accepts more (a bare date, week
# dates), which would be guessing.
_WEEK = re.compile(r"\d{4}-?W")
_DATE = len("2013-11-05")
_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d(?::?[0-5]\d)?)?", re.ASCII
)
_OFFSET = re.compile(r"Z|([+-])(\d\d)(?::?([0-5]\d))?", re.ASCII)


def parse_timestamp(text: str) -> datetime | None:
    """A provider's TIMESTAMP, naive where it names no zone; ``None`` where the text isn't one.

    >>> parse_timestamp("2013-11-05T05:41:08-05:00").isoformat()
    '2013-11-05T05:41:08-05:00'
    >>> parse_timestamp("2012-06-07 07:27:29")
    datetime.datetime(2012, 6, 7, 7, 27, 29)
    >>> parse_timestamp("yesterday") is None
    True
    """
    if not _TIMESTAMP.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def offset_of(text: str) -> tzinfo:
    """The zone of an offset from UTC: ``Z``, ``-05``, ``-0500`` or ``-05:00``; else ``ValueError``.

    >>> str(offset_of("-05"))
    'UTC-05:00'
    """
    found = _OFFSET.fullmatch(text)
    if found is None:
        raise ValueError(f"expected Z or an offset such as -05:00, got {text!r:.60}")
    sign, hours, minutes = found.groups("0")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset)


def zone_of(text: str) -> tzinfo:
    """A time zone by its IANA name or as an offset from UTC; raises ``ValueError``.

    >>> str(zone_of("America/New_York")), str(zone_of("-05:00"))
    ('America/New_York', 'UTC-05:00')
    """
    try:
        if text == "UTC" or _OFFSET.fullmatch(text):
            return UTC if text == "UTC" else offset_of(text)
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"unknown zone {text!r:.60}: expected UTC, America/New_York or -05:00"
        ) from None


def placed(wall: datetime, zone: tzinfo) -> datetime:
    """The time at which the clocks of a zone showed what a naive ``datetime`` says.

    Raises ``ValueError`` where they showed it twice or never, as summer time ended or began.

    >>> placed(datetime(2013, 11, 5, 5, 41), zone_of("-05:00")).isoformat()
    '2013-11-05T05:41:00-05:00'
    """
    first, second = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    before, after = first.utcoffset(), second.utcoffset()
    if before == after or before is None or after is None:
        return first
    # Clocks that go forward skip it; those that go back show it twice.
    wrong = "never" if before < after else "twice"
    raise ValueError(f"expected a time that {zone} had once, got {wall}, which it had {wrong}")


def aware(time: object, name: str = "the time") -> datetime:
    """The time itself; raises as ``micros`` does, naming the argument, for what is not one."""
    if not isinstance(time, datetime):
        raise TypeError(f"{name} must be a timezone-aware datetime, got {time!r}")
    try:
        micros(time)
    except ValueError as error:
        raise ValueError(str(error).replace("expected", f"{name} must be", 1)) from None
    return time


def micros(time: datetime) -> int:
    """Microseconds since 1970 of an aware datetime.

    Raises ``TypeError`` for what is not a datetime, ``ValueError`` for a naive one and for one that is
    before the year 1 or after 9999 in UTC, which no ``datetime`` in UTC can hold.
    """
    try:
        at = (time - EPOCH) // _MICROSECOND
    except TypeError:
        if isinstance(time, datetime):
            raise ValueError(
                f"expected a timezone-aware datetime, got {time} without a zone"
            ) from None
        raise TypeError(f"expected a timezone-aware datetime, got {time!r}") from None
    if not _FIRST <= at <= _LAST:
        raise ValueError(f"expected a time from the year 1 to 9999 in UTC, got {time}")
    return at


def is_time(micros: int) -> bool:
    """Whether a ``datetime`` in UTC can hold it."""
    return _FIRST <= micros <= _LAST


def time_of(micros: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with a Z, without a fraction where it is zero; ``None`` stays ``None``.

    The moment is aware.

    >>> iso(datetime(2013, 11, 5, 10, 41, 8, tzinfo=UTC))
    '2013-11-05T10:41:08Z'
    """
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def wall_time(wall: datetime, zone: tzinfo, *, day: bool = False) -> datetime:
    """What ``placed`` returns, in UTC; of a ``day`` its first instant, however its clocks went.

    Raises ``ValueError`` as ``placed`` does, and for a time that no ``datetime`` in UTC can hold.
    """
    # Midnight that clocks skip is, by those of the day before, the time at which the day began.
    return _in_utc(wall.replace(tzinfo=zone) if day else placed(wall, zone))


def parse_moment(text: str, zone: tzinfo = UTC) -> datetime:
    """A moment that a person or a file gives: ISO 8601, a date alone meaning its first instant.

    Where it names no zone it is of ``zone``. Raises ``ValueError``.

    >>> parse_moment("2013-11-05").isoformat()
    '2013-11-05T00:00:00+00:00'
    """
    if _WEEK.match(text):
        raise ValueError(f"expected a date such as 2013-11-05, got {text}")
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        return wall_time(parsed, zone, day=len(text) <= _DATE)
    return _in_utc(parsed)


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"expected a time from the year 1 to 9999 in UTC, got {time}") from None


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)
