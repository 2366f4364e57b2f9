"""When: times as people write them, by the calendar or by how long ago, in a zone."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, tzinfo

from postledger.times import micros, parse_moment, wall_time

EXPECTED = (
    "expected 2026-11-05, 2026-11-05 14:30, 2026-11-05T14:30:00Z, now, today, yesterday 14:30"
    " or 2 hours ago"
)
"""What is taken, as errors list it."""

_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_DAY = re.compile(rf"({'|'.join(_DAYS)})(?: (\d\d?):(\d\d)(?::(\d\d))?)?", re.ASCII)
_AGO = re.compile(r"(\d{1,6}) ?(s|m|h|d|w|(?:second|minute|hour|day|week)s?) ago", re.ASCII)

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
"""The units of spans of time; a day has 24 hours in any zone."""


def when(text: str, zone: tzinfo, now: datetime) -> datetime:
    """The aware time that a text states; without a zone of its own it is of ``zone``.

    A day alone is its first instant. Nothing else is guessed at: raises ``ValueError``, also for a time
    that the clocks of the zone showed twice or never.

    >>> from datetime import UTC
    >>> now = datetime(2026, 11, 5, 10, 30, tzinfo=UTC)
    >>> [when(one, UTC, now).isoformat() for one in ("yesterday 12:00", "2 hours ago")]
    ['2026-11-04T12:00:00+00:00', '2026-11-05T08:30:00+00:00']
    """
    words = " ".join(text.lower().split())
    if words == "now":
        return now
    try:
        if found := _AGO.fullmatch(words):
            ago = now - timedelta(seconds=int(found[1]) * SECONDS[found[2][0]])
            micros(ago)
            return ago
        found = _DAY.fullmatch(words)
        wall = found and _on_day(found, now.astimezone(zone))
    except (ValueError, OverflowError):
        raise ValueError(_refused(text)) from None
    if found and wall:
        return wall_time(wall, zone, day=found[2] is None)
    return _by_calendar(text, zone)


def _on_day(found: re.Match[str], now: datetime) -> datetime:
    """What the clocks show then, without a zone."""
    hour, minute, second = (int(part or 0) for part in found.groups()[1:])
    day = now.date() + timedelta(days=_DAYS[found[1]])
    return datetime.combine(day, time(hour, minute, second))


def _by_calendar(text: str, zone: tzinfo) -> datetime:
    try:
        return parse_moment(text, zone)
    except ValueError as error:
        # What is wrong with the clocks of the zone is not said by what is taken.
        told = str(error) if "which it had" in str(error) else _refused(text)
        raise ValueError(told) from None


def _refused(text: str) -> str:
    shown = repr(text if len(text) <= 60 else f"{text[:60]}…")
    return f"invalid time {shown}: {EXPECTED}"
