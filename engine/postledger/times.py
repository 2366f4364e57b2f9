"""Times: whole microseconds since 1970 in UTC inside, ``datetime`` and ISO 8601 outside."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

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
_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(Z|[+-]\d\d(?::?[0-5]\d)?)?", re.ASCII
)


def parse_timestamp(text: str, naive: tzinfo) -> tuple[int, bool] | None:
    """A provider's TIMESTAMP as microseconds, and whether it named no zone.

    ``naive`` is the zone of those that name none. ``None`` where the text is no timestamp.

    >>> parse_timestamp("2013-11-05T05:41:08-05:00", UTC)
    (1383648068000000, False)
    >>> parse_timestamp("2012-06-07 07:27:29", UTC)
    (1339054049000000, True)
    >>> parse_timestamp("yesterday", UTC) is None
    True
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if match[1] is None:
            moment = moment.replace(tzinfo=naive)
        return micros(moment), match[1] is None
    except (ValueError, OverflowError):
        return None


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


def parse_moment(text: str) -> datetime:
    """A moment that a person or a file gives: ISO 8601, a date alone meaning its first instant.

    Without a zone it is UTC. Raises ``ValueError``.

    >>> parse_moment("2013-11-05").isoformat()
    '2013-11-05T00:00:00+00:00'
    """
    if _WEEK.match(text):
        raise ValueError(f"expected a date such as 2013-11-05, got {text}")
    parsed = datetime.fromisoformat(text)
    try:
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"expected a time from the year 1 to 9999 in UTC, got {text}") from None


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)
