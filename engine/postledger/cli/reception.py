"""Reception: how a log writes the times at which it received what it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs
import click

from postledger.times import is_time, parse_timestamp, time_of

EPOCHS: Mapping[str, int] = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
"""The formats that count from 1970, and how many microseconds one of each is."""

_NUMBER = re.compile(r"(-?[0-9]{1,18})(?:\.([0-9]{1,18}))?")
# From 2001 to 2033 in seconds, milliseconds and microseconds. Others could be dates without marks:
# 2603011000 is 10:00 on 1 March 2026 as well.
_SURE: Mapping[int, int] = {10: 1_000_000, 13: 1_000, 16: 1}
_OFFSET = re.compile(r"([+-])(\d\d):?([0-5]\d)")


@attrs.frozen
class Reception:
    """How times are written: ``format`` as the command line has it, ``zone`` of those that name none.

    >>> Reception().read("2026-03-01 11:00:05+01").isoformat()
    '2026-03-01T10:00:05+00:00'
    >>> Reception().read(1772359205123).isoformat()
    '2026-03-01T10:00:05.123000+00:00'
    >>> Reception("%d/%b/%Y:%H:%M:%S %z").read("01/Mar/2026:10:00:05 +0000").isoformat()
    '2026-03-01T10:00:05+00:00'
    """

    format: str | None = None
    zone: tzinfo | None = None

    def read(self, value: object) -> datetime:
        """The time that a field holds, in UTC; raises ``ValueError`` for any doubt."""
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError(f"expected a time, got {_shown(value)}")
        text = str(value).strip()
        if self.format is None:
            return self._of_any(text)
        if self.format == "iso":
            return self._of_iso(text)
        if self.format in EPOCHS:
            return _of_epoch(text, EPOCHS[self.format])
        try:
            time = datetime.strptime(text, self.format)
        except ValueError:
            raise ValueError(f"expected a time as {self.format}, got {_shown(text)}") from None
        return self._in_zone(time, text)

    def _of_any(self, text: str) -> datetime:
        number = _NUMBER.fullmatch(text)
        if number is None:
            return self._of_iso(text)
        unit = _SURE.get(len(number[1])) if text.startswith("1") else None
        if unit is None:
            raise ValueError(
                f"expected a time such as 2026-11-05T14:30:00Z or 1772359205, got {_shown(text)};"
                " --received-format says how times are written"
            )
        return _of_epoch(text, unit)

    def _of_iso(self, text: str) -> datetime:
        read = parse_timestamp(re.sub(r" (?:UTC|GMT)\Z", "Z", text), UTC)
        if read is None:
            raise ValueError(f"expected a time such as 2026-11-05T14:30:00Z, got {_shown(text)}")
        micros, is_naive = read
        return (
            self._in_zone(time_of(micros).replace(tzinfo=None), text)
            if is_naive
            else time_of(micros)
        )

    def _in_zone(self, time: datetime, text: str) -> datetime:
        if time.tzinfo is None:
            if self.zone is None:
                raise ValueError(
                    f"expected a time with a zone, got {_shown(text)}; --tz says which"
                )
            time = _placed(time, self.zone, text)
        try:
            return time.astimezone(UTC)
        except OverflowError:
            raise ValueError(
                f"expected a time from the year 1 to 9999 in UTC, got {_shown(text)}"
            ) from None


def _placed(time: datetime, zone: tzinfo, text: str) -> datetime:
    """A time of the clocks in a zone; raises ``ValueError`` where they showed it twice or never."""
    first, second = (time.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first
    # Clocks that go back show it twice; those that go forward skip it.
    wrong = "twice" if first.astimezone(UTC) < second.astimezone(UTC) else "never"
    raise ValueError(
        f"expected a time that {zone} had once, got {_shown(text)}, which it had {wrong}"
    )


def _of_epoch(text: str, unit: int) -> datetime:
    number = _NUMBER.fullmatch(text)
    if number is None:
        raise ValueError(f"expected a number of time since 1970, got {_shown(text)}")
    whole, fraction = number[1], number[2] or "0"
    part = int(fraction) * unit // 10 ** len(fraction)
    micros = int(whole) * unit + (-part if whole.startswith("-") else part)
    if not is_time(micros):
        raise ValueError(f"expected a time from the year 1 to 9999 in UTC, got {_shown(text)}")
    return time_of(micros)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


class Zone(click.ParamType):  # type: ignore[type-arg]
    """A time zone: a name of the IANA, or an offset from UTC."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The zone; a usage error where nobody knows it."""
        if isinstance(value, tzinfo) or value == "UTC":
            return UTC if value == "UTC" else value
        if offset := _OFFSET.fullmatch(value):
            minutes = int(offset[2]) * 60 + int(offset[3])
            if minutes < 24 * 60:
                return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
        try:
            return ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.fail(
                f"unknown zone {_shown(value)}: expected UTC, America/New_York or -05:00",
                param,
                ctx,
            )


class Format(click.ParamType):  # type: ignore[type-arg]
    """How times are written: iso, epoch_s, epoch_ms, epoch_us, or a pattern with %."""

    name = "format"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The format; a usage error where it is not one."""
        expected = f"expected iso, {', '.join(EPOCHS)} or a pattern such as %d/%m/%Y %H:%M:%S"
        if value != "iso" and value not in EPOCHS and "%" not in value:
            self.fail(f"invalid format {_shown(value)}: {expected}", param, ctx)
        if "%" in value and (problem := _problem(value)):
            self.fail(f"invalid format {_shown(value)}: {problem}; {expected}", param, ctx)
        return str(value)


def _problem(pattern: str) -> str | None:
    """What is wrong with a pattern; ``None`` where it gives back the minute that it writes."""
    time = datetime(2026, 11, 5, 14, 30, tzinfo=UTC)
    try:
        read = datetime.strptime(time.strftime(pattern), pattern)
    except (ValueError, re.error) as error:
        return str(error)
    return None if read.replace(tzinfo=UTC) == time else "it leaves out a part of the time"
