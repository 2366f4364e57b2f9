"""A provider's timestamps: in which formats its times are written, and in which zone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from itertools import pairwise

import attrs

from postledger.definitions.diagnostics import Table, listed
from postledger.definitions.language import FORMATS, TIMESTAMPS
from postledger.times import (
    is_time,
    micros,
    offset_of,
    parse_timestamp,
    placed,
    time_of,
    zone_of,
)

FORMAT_FIX = (
    'write "iso", "epoch_s", "epoch_ms", "epoch_us", "smpp", a pattern such as "%Y-%m-%d %H:%M:%S",'
    " or a list of these"
)

Parsed = tuple[int, bool] | None
"""Microseconds since 1970 and whether the text names no zone; ``None`` for what is no time."""

EPOCHS: Mapping[str, int] = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
"""Of the formats that count since 1970, the microseconds of one unit."""

_LONGEST = 100
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


@attrs.frozen
class Timestamps:
    """Where the provider's time stands in a postback, and how it is written.

    ``field`` is our name of the field, ``formats`` are tried in turn, ``naive`` is the zone of times
    that name none.
    """

    field: str = "timestamp"
    formats: tuple[str, ...] = ("iso",)
    naive: tzinfo = UTC


def parse_time(text: str, formats: tuple[str, ...], naive: tzinfo) -> Parsed:
    """A provider's time by the first of the formats that it fits.

    ``naive`` is its zone where it names none. What the clocks of that zone showed twice or never, as
    summer time ended or began, is no time: it would be a guess which one is meant.

    >>> parse_time("1383648068500", ("epoch_ms",), UTC)
    (1383648068500000, False)
    >>> parse_time("1311051041", ("smpp",), UTC)
    (1383648060000000, True)
    >>> parse_time("5 Nov 2013 10:41", ("iso", "%d %b %Y %H:%M"), UTC)
    (1383648060000000, True)
    >>> parse_time("2013-11-03 01:30:00", ("iso",), zone_of("America/New_York")) is None
    True
    """
    time = read_time(text, formats)
    if time is None:
        return None
    is_naive = time.tzinfo is None
    try:
        return micros(placed(time, naive) if is_naive else time), is_naive
    except ValueError:
        return None


def read_time(text: str, formats: tuple[str, ...]) -> datetime | None:
    """What ``parse_time`` reads before it places it: naive where the text names no zone.

    >>> read_time("yesterday", ("iso", "epoch_s")) is None
    True
    """
    if len(text) > _LONGEST:
        return None
    for name in formats:
        parsed = _NAMED.get(name, _by_pattern(name) if "%" in name else None)
        found = None if parsed is None else parsed(text)
        if found is not None:
            return found
    return None


def write_time(at: datetime, name: str, zone: tzinfo) -> str:
    """A time in a format: what ``parse_time`` reads, as far as the format tells it.

    >>> from datetime import datetime
    >>> at = datetime(2013, 11, 5, 10, 41, 8, tzinfo=UTC)
    >>> [write_time(at, name, UTC) for name in ("iso", "epoch_ms", "smpp", "%d.%m.%Y %H:%M")]
    ['2013-11-05T10:41:08+00:00', '1383648068000', '131105104108', '05.11.2013 10:41']
    """
    local = at.astimezone(zone)
    if name == "iso":
        return local.isoformat()
    if name in EPOCHS:
        return str(micros(at) // EPOCHS[name])
    return local.strftime("%y%m%d%H%M%S" if name == "smpp" else name)


def problem_of(name: object) -> str:
    """What is wrong with a format, empty where nothing is."""
    if name in FORMATS:
        return ""
    if not isinstance(name, str) or "%" not in name:
        return "is unknown"
    directives = re.findall(r"%(.?)", name.replace("%%", ""), re.DOTALL)
    for one in directives:
        if not one:
            return "ends with a lone %"
        if one not in _DIRECTIVES:
            return f"has %{one}, which is unknown: the directives are %{', %'.join(_DIRECTIVES)}"
        if directives.count(one) > 1:
            return f"has %{one} twice"
    for wanted, what in (
        ("Yy", "year"),
        ("mbB", "month"),
        ("d", "day"),
        ("HI", "hour"),
        ("M", "minute"),
    ):
        if sum(one in wanted for one in directives) != 1:
            return f"must have one {what}: %{' or %'.join(wanted)}"
    if ("I" in directives) is not ("p" in directives):
        return "must have %I with %p, or %H alone"
    return ""


def _epoch(unit: int) -> Callable[[str], datetime | None]:
    """The format of a number of units, of so many microseconds, since 1970."""
    number = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,18}))?")

    def parsed(text: str) -> datetime | None:
        found = number.fullmatch(text)
        if found is None:
            return None
        minus, whole, fraction = found.groups()
        fraction = fraction or ""
        at = int(whole) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        at = -at if minus else at
        return time_of(at) if is_time(at) else None

    return parsed


_SMPP = re.compile(r"[0-9]{10}(?:[0-9]{2})?")


def _smpp(text: str) -> datetime | None:
    """YYMMDDhhmm, with seconds or without, of this century (SMPP 3.4, appendix B)."""
    if not _SMPP.fullmatch(text):
        return None
    year, *rest = (int(text[at : at + 2]) for at in range(0, len(text), 2))
    month, day, hour, minute, second = (*rest, 0)[:5]
    try:
        return datetime(2000 + year, month, day, hour, minute, second)
    except ValueError:
        return None


_NAMED: Mapping[str, Callable[[str], datetime | None]] = {
    "iso": parse_timestamp,
    **{name: _epoch(unit) for name, unit in EPOCHS.items()},
    "smpp": _smpp,
}


# --- patterns as of strptime, with the names of months in English whatever the locale ---


def _any_of(names: tuple[str, ...], length: int | None = None) -> str:
    return "|".join(name[:length] for name in names)


_DIRECTIVES: Mapping[str, str] = {
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "m": "[0-9]{1,2}",
    "b": _any_of(_MONTHS, 3),
    "B": _any_of(_MONTHS),
    "d": "[0-9]{1,2}",
    "H": "[0-9]{1,2}",
    "I": "[0-9]{1,2}",
    "p": "AM|PM",
    "M": "[0-9]{1,2}",
    "S": "[0-9]{1,2}",
    "f": "[0-9]{1,9}",
    "a": _any_of(_DAYS, 3),
    "A": _any_of(_DAYS),
    "z": r"Z|[+-][0-9]{2}(?::?[0-5][0-9])?",
    "Z": "UTC|GMT|Z",
}
_NUMBERS = frozenset("YymdHIMSf")


@lru_cache(maxsize=256)
def _by_pattern(pattern: str) -> Callable[[str], datetime | None]:
    """The format of a pattern without a problem."""
    parts = re.findall(r"%.|\s+|[^%\s]+", pattern)
    # Numbers without anything between them have all their digits, or it would be a guess whose they are.
    tight = {
        part
        for one, other in pairwise(parts)
        for part in (one, other)
        if one[1:] in _NUMBERS and other[1:] in _NUMBERS and one[0] == other[0] == "%"
    }
    compiled = re.compile(
        "".join(_expression(t, t in tight) for t in parts), re.IGNORECASE | re.ASCII
    )

    def parsed(text: str) -> datetime | None:
        found = compiled.fullmatch(text)
        return None if found is None else _of_groups(found.groupdict())

    return parsed


def _expression(part: str, tight: bool) -> str:  # noqa: FBT001
    if part.isspace():
        return r"\s+"
    if part[0] != "%" or part == "%%":
        return re.escape(part.replace("%%", "%"))
    expression = _DIRECTIVES[part[1]]
    if tight:
        expression = expression.replace("{1,2}", "{2}")
    return f"(?P<{part[1]}>{expression})"


def _of_groups(said: Mapping[str, str | None]) -> datetime | None:
    told = {name: text for name, text in said.items() if text is not None}
    year = int(told.get("Y") or told["y"])
    if "y" in told:
        # As POSIX has it.
        year += 1900 if year >= 69 else 2000
    if "m" in told:
        month = int(told["m"])
    else:
        name = told.get("b") or told["B"]
        month = next(n for n, one in enumerate(_MONTHS, 1) if one[:3].lower() == name[:3].lower())
    hour = _hour(told)
    if hour is None:
        return None
    second, micro = int(told.get("S", "0")), int(told.get("f", "0").ljust(6, "0")[:6])
    day, minute = int(told["d"]), int(told["M"])
    try:
        return datetime(year, month, day, hour, minute, second, micro, _zone(told))
    except ValueError:
        return None


def _hour(told: Mapping[str, str]) -> int | None:
    if "H" in told:
        return int(told["H"])
    hour = int(told["I"])
    if not 1 <= hour <= 12:
        return None
    return hour % 12 + (12 if told["p"].upper() == "PM" else 0)


def _zone(told: Mapping[str, str]) -> tzinfo | None:
    """The zone that is named; raises ``ValueError`` for one of a day or more."""
    if "z" in told:
        return offset_of(told["z"].upper())
    return UTC if "Z" in told else None


# --- from TOML ---


def load_timestamps(table: Table, fields: Mapping[str, object], base: Timestamps) -> Timestamps:
    """The timestamps of a table of a definition file, which has what it leaves out from another.

    Raises ``DefinitionError``.
    """
    if not isinstance(table.row, dict):
        raise table.fault(f"is {table.row!r}", f'write {table.place} with field = "…"')
    table.only(TIMESTAMPS.keys())
    field = table.row.get("field", base.field)
    if "field" in table.row and field not in list(fields):
        raise table.fault(f"field {field!r} is unknown", "name it in [fields]")
    formats = base.formats
    if "format" in table.row:
        formats = listed(table, "format", table.row["format"])
        if not formats:
            raise table.fault("format is an empty list", FORMAT_FIX)
        for one in formats:
            if problem := problem_of(one):
                raise table.fault(f"format {one!r} {problem}", FORMAT_FIX)
    return Timestamps(field, formats, _naive(table, base.naive))


def _naive(table: Table, base: tzinfo) -> tzinfo:
    if "naive" not in table.row:
        return base
    try:
        return zone_of(table.row["naive"])
    except (ValueError, TypeError):
        fix = 'write a zone such as "UTC", "America/New_York" or "-05:00"'
        raise table.fault(f"naive zone {table.row['naive']!r} is unknown", fix) from None
