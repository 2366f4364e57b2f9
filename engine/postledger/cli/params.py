"""The types of the command line's values: times, positions, spans of time, anchors."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import attrs
import click
from click.shell_completion import CompletionItem

from postledger.address import hidden, is_address
from postledger.cli.when import SECONDS, when
from postledger.errors import UnknownWord
from postledger.export.files import is_archive
from postledger.ledger.ledger import require_openable
from postledger.model import Anchor
from postledger.projections.counts import require_dimensions
from postledger.times import now, zone_of

_MOST_DIGITS = 4_000
"""What Python itself takes for a number of any length."""


class LedgerPath(click.Path):
    """Where a ledger is: the path of a file, or an address."""

    def __init__(self, *, exists: bool) -> None:
        super().__init__(exists=exists, dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, absolute as in all messages, or the address; a usage error where it is neither."""
        try:
            location = require_openable(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if isinstance(location, Path):
            if is_archive(location):
                self.fail(
                    f"{str(value)!r} is an archive, which verify, replay and copy take; copy it to a"
                    " ledger first.",
                    param,
                    ctx,
                )
            super().convert(value, param, ctx)
        # Whether a server has it is asked when it is opened.
        return location

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """The files that there are; nothing for an address, which no shell knows."""
        return [] if is_address(incomplete) else super().shell_complete(ctx, param, incomplete)


@attrs.frozen
class ArchiveAt:
    """Where an archive is: the path of a folder, or its address."""

    place: str

    def __str__(self) -> str:
        return hidden(self.place)


class LedgerOrArchive(LedgerPath):
    """Where a ledger is, or an archive: a folder, or the address of one in a file system."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The place of an archive for a folder, or its address; of a ledger for all else."""
        text = str(value)
        if text and not is_address(text) and ("://" in text or Path(text).is_dir()):
            return ArchiveAt(text)
        return super().convert(value, param, ctx)


class FolderText(click.ParamType):  # type: ignore[type-arg]
    """Where a folder is to be: a path, or the address of one in a file system."""

    name = "folder"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the text; an empty one is a usage error."""
        if not value:
            self.fail(f"folder must name a folder, got {value!r}", param, ctx)
        return value


_ZONE = "postledger.zone"


def zone_of_times() -> tzinfo:
    """The zone of ``--tz``; UTC where it isn't given."""
    context = click.get_current_context(silent=True)
    zone: tzinfo = UTC if context is None else context.meta.get(_ZONE, UTC)
    return zone


def keep_zone(ctx: click.Context, _: click.Parameter, zone: tzinfo | None) -> None:
    """Keep the zone of ``--tz`` for the times of the same command line."""
    if zone is not None:
        ctx.meta[_ZONE] = zone


class Zone(click.ParamType):  # type: ignore[type-arg]
    """A time zone: an IANA name, or an offset from UTC."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The zone; a usage error where it is not one."""
        try:
            return value if isinstance(value, tzinfo) else zone_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Time(click.ParamType):  # type: ignore[type-arg]
    """A time: ISO 8601, a day, or how long ago; without a zone in that of ``--tz``."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The aware datetime; a usage error where it is not one."""
        try:
            return value if isinstance(value, datetime) else when(value, zone_of_times(), now())
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TimeOrPosition(Time):
    """A time, or a position of the log as a whole number."""

    name = "time|position"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The position where it is a whole number, else the time."""
        if isinstance(value, int):
            return value
        if value.isdecimal() and len(value) <= _MOST_DIGITS:
            return int(value)
        return super().convert(value, param, ctx)


class PositionOrNow(click.ParamType):  # type: ignore[type-arg]
    """A position of the log, -1 for before the first, or ``now``."""

    name = "position|now"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The position, or ``now``; a usage error where it is neither."""
        if isinstance(value, int) or value == "now":
            return value
        if not re.fullmatch(r"-1|[0-9]{1,18}", value):
            self.fail(f"invalid position {_shown(value)}: expected a number or now", param, ctx)
        return int(value)


class Span(click.ParamType):  # type: ignore[type-arg]
    """A span of time: a number and s, m, h, d or w."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The span; a usage error where it is not one."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,6})([smhdw])", value)
        if match is None:
            self.fail(f"invalid span {_shown(value)}: expected 30m, 24h or 7d", param, ctx)
        return timedelta(seconds=int(match[1]) * SECONDS[match[2]])


class Dimensions(click.ParamType):  # type: ignore[type-arg]
    """What deliveries are counted by: names, with a comma between them."""

    name = "name,name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The names; a usage error for one that is unknown or given twice."""
        try:
            return require_dimensions(value.replace("-", "_").split(","))
        except (ValueError, UnknownWord) as error:
            self.fail(str(error), param, ctx)


class LabelText(click.ParamType):  # type: ignore[type-arg]
    """A label: its name and its text."""

    name = "name=text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name and the text; a usage error where it has no ``=``."""
        name, equals, text = value.partition("=")
        if not equals or not name:
            self.fail(f"invalid label {_shown(value)}: expected NAME=TEXT", param, ctx)
        return name, text


class AnchorText(click.ParamType):  # type: ignore[type-arg]
    """An anchor as ``ingest`` and ``verify`` print it."""

    name = "size:root"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The anchor; a usage error where it is not one."""
        try:
            return value if isinstance(value, Anchor) else Anchor.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _shown(value: str) -> str:
    return repr(value if len(value) <= 60 else f"{value[:60]}…")


class NumberRange(click.FloatRange):
    """A number within bounds; ``nan`` and ``inf``, which click lets through, are refused."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number, or a usage error."""
        try:
            number = float(super().convert(value, param, ctx))
        except click.BadParameter:
            number = math.nan
        if not math.isfinite(number):
            raise _not_within(self, "a number", value, param, ctx)
        return number


class WholeRange(click.IntRange):
    """A whole number within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or a usage error."""
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            raise _not_within(self, "a whole number", value, param, ctx) from None


def _not_within(
    kind: click.IntRange | click.FloatRange,
    what: str,
    value: Any,
    param: click.Parameter | None,
    ctx: click.Context | None,
) -> click.UsageError:
    name = param.opts[0] if isinstance(param, click.Option) else param and param.human_readable_name
    said = f"{name or 'it'} must be {what} {_bounds(kind)}, got {_shown(str(value))}"
    return click.UsageError(said, ctx)


def _bounds(kind: click.IntRange | click.FloatRange) -> str:
    least, most = f"{kind.min:.15g}", "" if kind.max is None else f"{kind.max:.15g}"
    if kind.min_open:
        return f"above {least}{most and f', at most {most}'}"
    return f"from {least} to {most}" if most else f"of at least {least}"
