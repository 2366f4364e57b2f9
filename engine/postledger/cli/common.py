"""What the commands share: arguments, errors, progress, and the forms of output."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click
from tabulate import tabulate

from postledger.cli.params import (
    LedgerPath,
    Time,
    TimeOrPosition,
    WholeRange,
    Zone,
    keep_zone,
)
from postledger.definitions.definitions import providers
from postledger.errors import PostledgerError, UnknownKey, UnknownWord
from postledger.ledger.ledger import Ledger

Command = TypeVar("Command", bound=Callable[..., Any])
Record = Mapping[str, Any]

NAMES = (
    *(
        "accept",
        "audit",
        "changes",
        "charts",
        "check",
        "console",
        "deliveries",
        "events",
        "export",
        "follow",
    ),
    *("forward", "ingest", "query", "reconcile", "replay", "serve", "show", "simulate", "verify"),
)
"""The commands, each in the module of its name."""

_MOST_FOR_PEOPLE = 100
_RARE = ("space", "reason", "reason_class", "sender", "labels", "amounts")
# Control characters, and those that are not seen but move or hide others.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_SIGNED = re.compile(r"\s*[+-][\d .()-]*")
# Letters and signs that show nothing; spaces, marks and what is not seen are known by their category.
_BLANK = "\u115f\u1160\u3164\uffa0\u2800"


class Commands(click.Group):
    """A group whose commands end with one line where the answer is no.

    Each is imported when it is called, so that the imports of the others don't delay its start.
    """

    def list_commands(self, _: click.Context) -> list[str]:
        """The names of the commands."""
        return list(NAMES)

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        """The command with that name, or ``None``."""
        if cmd_name not in NAMES:
            return None
        module = import_module(f"postledger.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called; for a mistyped one the error suggests the nearest."""
        if args[0] not in NAMES and not ctx.resilient_parsing:
            # Of no use where nothing is mistyped.
            from difflib import get_close_matches

            for near in get_close_matches(args[0], NAMES, 1):
                ctx.fail(f"No such command {args[0]!r}. Did you mean {near!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what Postledger raises becomes a line on stderr and exit 1."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                # Here and not when Python ends, where a closed pipe would be a traceback.
                sys.stdout.flush()
        except PostledgerError as error:
            remark(f"Error: {error}")
            ctx.exit(1)
        except BrokenPipeError:
            # The reader has had enough (head, less): that is its right, and not a failure.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except MemoryError:
            remark("Error: out of memory")
            ctx.exit(1)
        except UnicodeEncodeError as error:
            remark(
                f"Error: {sys.stdout.encoding} can't represent it; set PYTHONIOENCODING=utf-8: {error}"
            )
            ctx.exit(1)
        except OSError as error:
            remark(f"Error: {error.filename or 'writing'}: {error.strerror or error}")
            ctx.exit(1)


def ledger_argument(*, exists: bool = True) -> Callable[[Command], Command]:
    """The ledger's path, the first argument of every command."""
    return click.argument("ledger", type=LedgerPath(exists=exists))


def zone_option(command: Command) -> Command:
    """``--tz``, for the times that are given with the same command."""
    return click.option(
        "--tz",
        type=Zone(),
        # Before the times are read.
        is_eager=True,
        expose_value=False,
        callback=keep_zone,
        help="The zone of times that name none: Europe/Berlin, -05:00; UTC by default.",
    )(command)


def time_travel(command: Command) -> Command:
    """``--as-of``, ``--occurred-by``, ``--definitions`` and ``--tz``."""
    command = zone_option(command)
    command = click.option(
        "--definitions",
        type=click.Choice(["now", "then"]),
        default="now",
        help="Read by the definitions in force now (default), or by those in force then.",
    )(command)
    command = click.option(
        "--occurred-by",
        type=Time(),
        help="What had happened by that time of the provider's clock.",
    )(command)
    return click.option(
        "--as-of",
        type=TimeOrPosition(),
        help="What was known at that time, or up to that position of the log.",
    )(command)


def check_period(since: datetime | None, until: datetime | None) -> None:
    """A usage error for a period that ends before it begins."""
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since must be before --until.")


def provider_option(command: Command) -> Command:
    """``--provider``: vocabularies that ship, by their names."""
    return click.option(
        "--provider",
        "names",
        multiple=True,
        metavar="NAME",
        callback=known_providers,
        help="A provider to read; `charts providers` lists them. May be repeated.",
    )(command)


def known_providers(
    _: click.Context | None, __: click.Parameter | None, names: tuple[str, ...]
) -> tuple[str, ...]:
    """The names, of vocabularies that ship."""
    known = providers()
    for name in names:
        if name not in known:
            raise click.BadParameter(f"unknown provider {name!r}: expected {', '.join(known)}")
    return names


def delimiter_of(text: str) -> str:
    """The character of a ``--delimiter``; a usage error for what can't stand between columns."""
    delimiter = {"tab": "\t", r"\t": "\t"}.get(text, text)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise click.UsageError(f"--delimiter must be one character or tab, got {delimiter!r}.")
    return delimiter


_TOML = click.Path(exists=True, dir_okay=False, path_type=Path)


def definition_options(verb: str) -> Callable[[Command], Command]:
    """``--chart`` and ``--vocabulary``: TOML files."""

    def with_them(command: Command) -> Command:
        option = vocabulary_option(f"{verb.replace('chart', 'vocabulary')}.")
        names = ("--chart", "--charts", "charts")
        return click.option(*names, type=_TOML, multiple=True, help=f"{verb}.")(option(command))

    return with_them


def vocabulary_option(help_text: str) -> Callable[[Command], Command]:
    """``--vocabulary``: TOML files."""
    return click.option("--vocabulary", "words", type=_TOML, multiple=True, help=help_text)


def only_option(command: Command) -> Command:
    """``--only``: what a new ledger reads, and nothing that ships next to it."""
    return click.option(
        "--only",
        is_flag=True,
        help="Read by the given vocabularies alone (with --chart by those charts), not by what ships.",
    )(command)


def limit_option(command: Command) -> Command:
    """``--limit``."""
    return click.option("--limit", type=WholeRange(min=0), help="Show at most this many.")(command)


def after_option(command: Command) -> Command:
    """``--after``."""
    kind = WholeRange(min=-1)
    return click.option("--after", type=kind, default=-1, help="Those after that position.")(
        command
    )


def shown(form: str | None, limit: int | None) -> int | None:
    """How many records are shown: people see 100 of them where they don't ask for a number."""
    return _MOST_FOR_PEOPLE if form is None and limit is None else limit


def remark_more(count: int, form: str | None, limit: int | None) -> None:
    """Say that there may be more than is shown."""
    if limit is None and count == shown(form, limit):
        remark(f"the first {count}; --limit, --json, --nl or --csv give more")


def remark_end(ledger: Ledger, as_of: datetime | int | None) -> None:
    """Say where the log ends, where it is asked for as of a position after that."""
    last = ledger.head().size - 1
    if isinstance(as_of, int) and as_of > last:
        remark(f"the log ends at position {last}: --as-of {as_of} shows all of it")


def space_option(help_text: str) -> Callable[[Command], Command]:
    """``--space``: the namespace of keys that a vocabulary gives."""
    return click.option("--space", metavar="NAME", help=help_text)


@contextmanager
def asking_space(*words: str | Path) -> Iterator[None]:
    """Where several spaces have an id, the error says which option, or command, names one."""
    try:
        yield
    except UnknownKey as error:
        if not error.spaces:
            raise
        said = str(error).removesuffix("space")
        command = ["postledger", *map(str, words)] if words else []
        option = shlex.join([*command, "--space", error.spaces[0]])
        raise UnknownKey(f"{said}{option}", error.spaces) from None


def require_space(ledger: Ledger, space: str | None) -> None:
    """Raise ``UnknownWord`` for a space that neither a vocabulary nor an event has."""
    known = {one.space for one in ledger.definitions.vocabularies} | {""}
    if space is None or space in known:
        return
    with ledger._connections.read() as own:
        known.update(own.reader.index.every_space())
    if space not in known:
        there = ", ".join(sorted(known - {""})) or "none, as all ids are in the common space"
        raise UnknownWord(f"unknown space {space!r}: expected {there}")


def output_options(command: Command) -> Command:
    """``--json``, ``--nl`` and ``--csv``: forms for programs; the default is a table for people."""
    return one_form(
        json="A JSON array.", nl="JSON, one object a line.", csv="CSV with a header line."
    )(command)


def one_form(**forms: str) -> Callable[[Command], Command]:
    """A flag for each form, by its help; the command gets the one that is given as ``form``."""

    def with_flags(command: Command) -> Command:
        @wraps(command)
        def call(*args: Any, **kwargs: Any) -> Any:
            given = [name for name in forms if kwargs.pop(f"form_{name}")]
            if len(given) > 1:
                flags = " and ".join(f"--{name}" for name in given)
                raise click.UsageError(f"{flags} exclude each other: give one.")
            return command(*args, form=given[0] if given else None, **kwargs)

        flagged = call
        for name, text in reversed(forms.items()):
            flagged = click.option(f"--{name}", f"form_{name}", is_flag=True, help=text)(flagged)
        return flagged  # type: ignore[return-value]

    return with_flags


def json_option(command: Command) -> Command:
    """``--json`` of commands that answer with one object."""
    return click.option("--json", "as_json", is_flag=True, help="JSON for programs.")(command)


def reading(path: Path) -> Ledger:
    """The ledger, opened for reading only."""
    return Ledger(path, readonly=True)


def write_json(value: object) -> None:
    """One JSON value on stdout."""
    click.echo(_json(value, indent=2))


def write_records(
    records: Iterable[Record],
    form: str | None,
    columns: Mapping[str, str],
    fields: Sequence[str] = (),
) -> int:
    """Write records as they come, in the form asked for; returns their number.

    ``columns`` are those of the table for people: the key of the record and the heading; what most
    records lack (spaces, senders, reasons, amounts) is shown where there are any. ``fields`` are the
    keys of a record, for the header of a CSV.
    """
    if form == "csv":
        return _as_csv(records, fields)
    if form is not None:
        return {"json": _as_json, "nl": _as_lines}[form](records)
    listed = list(records)
    shown = [key for key in columns if key not in _RARE or any(one[key] for one in listed)]
    rows = [[cell(record[key]) for key in shown] for record in listed]
    click.echo(table(rows, [columns[key] for key in shown]))
    return len(rows)


def table(rows: Iterable[Iterable[str]], headings: Sequence[str]) -> str:
    """A plain table of texts; numbers stay as they are, with their leading zeros.

    Where the terminal is too narrow for it, texts are wrapped at blanks, or else each row stands as a
    block of lines.
    """
    listed, width = [list(row) for row in rows], _width()
    columns = list(zip(headings, *listed, strict=True))
    # A heading takes two blanks more.
    widths = [max([len(head) + _GAP, *map(len, texts)]) for head, *texts in columns]
    if width is not None and _total(widths) > width:
        narrowed = _narrowed(columns, widths, width)
        if narrowed is None:
            blocks = ("\n".join(block(zip(headings, row, strict=True))) for row in listed)
            return "\n\n".join(blocks)
        widths = narrowed
    return tabulate(
        [
            ["\n".join(_wrapped(text, most)) for text, most in zip(row, widths, strict=True)]
            for row in listed
        ],
        headers=headings,
        tablefmt="simple",
        disable_numparse=True,
    )


def block(fields: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Lines of names and texts, without those that are empty, wrapped where the terminal is narrow."""
    given, width = list(fields), _width()
    left = max(len(name) for name, _ in given) + _GAP
    for name, text in given:
        if text:
            lines = [text] if width is None else _wrapped(text, max(_NARROWEST, width - left))
            yield from (f"{name * (not n):<{left}}{line}" for n, line in enumerate(lines))


def counted(count: int, noun: str) -> str:
    """A number of things: 1 event, 2 events."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def paragraph(text: str) -> str:
    """A text, wrapped where the terminal is narrow."""
    width = _width()
    return text if width is None else "\n".join(_wrapped(text, width))


_NARROWEST = 20
_GAP = 2


def _width() -> int | None:
    """The columns of the terminal, or of ``COLUMNS``; ``None`` where the output goes elsewhere."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return None


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _narrowed(
    columns: Sequence[Sequence[str]], widths: Sequence[int], width: int
) -> list[int] | None:
    """Narrower widths that fit, the widest columns first; ``None`` where words are too long."""
    words = [
        max(len(word) for text in column for word in text.split() or [""]) for column in columns
    ]
    # A heading is not wrapped.
    least = [max(len(column[0]) + _GAP, word) for column, word in zip(columns, words, strict=True)]
    narrow = list(widths)
    while _total(narrow) > width:
        spare = [(now, at) for at, now in enumerate(narrow) if now > least[at]]
        if not spare:
            return None
        narrow[max(spare)[1]] -= 1
    return narrow


def _wrapped(text: str, width: int) -> list[str]:
    if len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, break_on_hyphens=False)


def cell(value: object) -> str:
    """A value for people, on one line; what could move the cursor is shown, not done."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        value = [f"{name}: {_member(held)}" for name, held in value.items()]
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return _escaped(text)


def _member(held: object) -> str:
    """What stands under a name: a text, or the parts of an amount."""
    parts = held.values() if isinstance(held, Mapping) else [held]
    return " ".join(str(part) for part in parts if part is not None)


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def remark(text: str) -> None:
    """A line for people on stderr."""
    click.echo(cell(text), err=True)


@contextmanager
def progress(
    what: str, total: int | None = None, unit: str = "events", *, form: str | None = None
) -> Iterator[Callable[[int], None]]:
    """A bar on stderr with count, rate and time left; only on a terminal.

    With a ``form`` what is found is printed meanwhile: where that is to the terminal, there is no bar.
    """
    # Only long commands need it, and its import delays the start.
    from tqdm import tqdm

    # ``None`` stands for: unless stderr is a terminal.
    disable = True if form is not None and sys.stdout.isatty() else None
    with tqdm(total=total, desc=what, unit=f" {unit}", disable=disable, leave=False) as bar:

        def advance(count: int) -> None:
            bar.update(count)

        yield advance


def _as_json(records: Iterable[Record]) -> int:
    count = 0
    for count, record in enumerate(records, 1):
        click.echo(("[" if count == 1 else ",\n ") + _line(record), nl=False)
    click.echo("]" if count else "[]")
    return count


def _as_lines(records: Iterable[Record]) -> int:
    return sum(1 for _ in map(click.echo, map(_line, records)))


def _as_csv(records: Iterable[Record], fields: Sequence[str]) -> int:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    count = 0
    if fields:
        writer.writerow(fields)
    for count, record in enumerate(records, 1):
        if count == 1 and not fields:
            writer.writerow(record)
        writer.writerow(_csv_cell(value) for value in record.values())
    return count


def _csv_cell(value: object) -> object:
    if isinstance(value, Mapping):
        return _json(value) if value else ""
    if not isinstance(value, (list, str)):
        return value
    text = " ".join(map(str, value)) if isinstance(value, list) else value
    # Lines of a body stay lines, which CSV quotes.
    text = "\n".join(map(_escaped, text.split("\n")))
    return f"'{text}" if _is_formula(text) else text


def _is_formula(text: str) -> bool:
    """Whether a spreadsheet may compute a text: a sign of any width says so, behind what isn't seen.

    A signed number is not a formula.
    """
    seen = (one for one in text if one not in _BLANK and unicodedata.category(one)[0] not in "ZCM")
    sign = unicodedata.normalize("NFKC", next(seen, ""))[:1]
    if sign in ("+", "-", "\u2212"):
        return _SIGNED.fullmatch(text) is None
    return sign in ("=", "@")


def _line(record: Record) -> str:
    return _json(record)


def _json(value: object, indent: int | None = None) -> str:
    """JSON in which what a terminal would obey, or not show, is written out."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _CONTROL.sub(lambda found: _written_out(found[0]), text)


def _written_out(text: str) -> str:
    # What stands between values is white space of JSON itself.
    return text if text == "\n" else json.dumps(text)[1:-1]
