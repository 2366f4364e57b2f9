"""The types of the command line's values: moments, positions, spans of time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import click

from postledger.times import parse_moment

_MOST_DIGITS = 4_000
"""What Python itself takes for a number of any length."""

_UNITS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Moment(click.ParamType):  # type: ignore[type-arg]
    """A moment: ISO 8601, without a zone in UTC."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The aware datetime; a usage error where it is none."""
        try:
            return value if isinstance(value, datetime) else parse_moment(value)
        except ValueError:
            mend = "write 2026-11-05 or 2026-11-05T14:30:00Z"
            self.fail(f"{value!r} is no moment; {mend}", param, ctx)


class MomentOrPosition(Moment):
    """A moment, or a position of the log as a whole number."""

    name = "moment|position"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The position where it is a whole number, else the moment."""
        if isinstance(value, int):
            return value
        if value.isdecimal() and len(value) <= _MOST_DIGITS:
            return int(value)
        return super().convert(value, param, ctx)


class Span(click.ParamType):  # type: ignore[type-arg]
    """A span of time: a number and s, m, h, d or w."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The span; a usage error where it is none."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,6})([smhdw])", value)
        if match is None:
            self.fail(f"{value!r} is no span of time; write 30m, 24h or 7d", param, ctx)
        return timedelta(seconds=int(match[1]) * _UNITS[match[2]])
