"""Reception: how a log writes the times at which it received what it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

import attrs
import click

from postledger.definitions.language import FORMATS
from postledger.definitions.timestamps import problem_of, read_time
from postledger.times import micros, placed, time_of

_NUMBER = re.compile(r"-?([0-9]+)(?:\.[0-9]*)?")
# From 2001 to 2033 in seconds, milliseconds and microseconds. Others could be dates without marks:
# 2603011000 is 10:00 on 1 March 2026 as well.
_SURE: Mapping[int, str] = {10: "epoch_s", 13: "epoch_ms", 16: "epoch_us"}


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
        name = self.format or _sure_format(text)
        is_iso = name == "iso"
        time = read_time(re.sub(r" (?:UTC|GMT)\Z", "Z", text) if is_iso else text, (name,))
        if time is None:
            like = "such as 2026-11-05T14:30:00Z" if is_iso else f"as {name}"
            raise ValueError(f"expected a time {like}, got {_shown(text)}")
        if time.tzinfo is None:
            if self.zone is None:
                raise ValueError(
                    f"expected a time with a zone, got {_shown(text)}; --tz says which"
                )
            time = placed(time, self.zone)
        return time_of(micros(time))


def _sure_format(text: str) -> str:
    """The one format that a text can have; raises ``ValueError`` where there are several."""
    number = _NUMBER.fullmatch(text)
    if number is None:
        return "iso"
    if text.startswith("1") and (name := _SURE.get(len(number[1]))):
        return name
    raise ValueError(
        f"expected a time such as 2026-11-05T14:30:00Z or 1772359205, got {_shown(text)};"
        " --received-format says how times are written"
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


class Format(click.ParamType):  # type: ignore[type-arg]
    """How times are written: by the name of a format, or by a pattern with %."""

    name = "format"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The format; a usage error where it is not one."""
        if problem := problem_of(value):
            expected = f"expected {', '.join(FORMATS)} or a pattern such as %d/%m/%Y %H:%M:%S"
            self.fail(f"format {_shown(value)} {problem}; {expected}", param, ctx)
        return str(value)
