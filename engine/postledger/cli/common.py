"""What the commands share: arguments, errors, remarks and progress."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import click

from postledger.address import Location, hidden
from postledger.cli.ending import in_order
from postledger.cli.forms import Form, shown
from postledger.cli.layout import cell
from postledger.cli.params import (
    LedgerOrArchive,
    LedgerPath,
    Time,
    TimeOrPosition,
    WholeRange,
    Zone,
    keep_zone,
)
from postledger.cli.terminal import coloured, styled
from postledger.definitions.definitions import providers
from postledger.errors import NotALedger, PostledgerError, UnknownKey, UnknownWord
from postledger.ledger.ledger import Ledger
from postledger.ledger.several import Ledgers
from postledger.store.opening import exists

Command = TypeVar("Command", bound=Callable[..., Any])

_ERROR = "Error:"

MOST_COUNTED = 1_000
"""How many are counted, at most, of those that a list leaves out."""

NAMES = (
    *("accept", "archive", "audit", "changes", "charts", "check", "console", "copy"),
    *("deliveries", "events", "export", "follow", "forward", "grant", "ingest"),
    *("query", "reconcile", "replay", "serve", "show", "simulate", "verify"),
)
"""The commands, each in the module of its name."""


class Commands(click.Group):
    """A group whose commands end with one line where the answer is no.

    Each is imported when it is called, so that the imports of the others don't delay its start.
    """

    def list_commands(self, _: click.Context) -> list[str]:
        """The names of the commands."""
        return list(NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with that name, or ``None``."""
        if cmd_name not in NAMES:
            return None
        module = import_module(f"postledger.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        if ctx.resilient_parsing:
            # Only a shell that completes a line reads one without all that it must have.
            from postledger.cli.completion import completing

            return completing(cmd_name, command)
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
        with in_order():
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                # Here and not when Python ends, where a closed pipe would be a traceback.
                sys.stdout.flush()
        except click.UsageError as error:
            # It cites what was given, in whatever place.
            said = error.format_message()
            if hidden(said) == said:
                raise
            raise click.UsageError(hidden(said), error.ctx) from None
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


def ledger_argument(*, exists: bool = True, archives: bool = False) -> Callable[[Command], Command]:
    """The ledger's path, the first argument of every command; of some an archive will do."""
    kind = LedgerOrArchive if archives else LedgerPath
    return click.argument("ledger", type=kind(exists=exists))


def with_option(command: Command) -> Command:
    """``--with``: further ledgers, read with the first as one."""
    return click.option(
        "--with",
        "beside",
        type=LedgerPath(exists=True),
        multiple=True,
        metavar="LEDGER",
        help="Another ledger, read with the first as one that has the events of both; repeatable.",
    )(command)


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
    return bounds_options(
        click.option(
            "--definitions",
            type=click.Choice(["now", "then"]),
            default="now",
            help="Read by the definitions in force now (default), or by those in force then.",
        )(command)
    )


def bounds_options(command: Command) -> Command:
    """``--as-of``, ``--occurred-by`` and ``--tz``."""
    command = zone_option(command)
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


def after_option(command: Command) -> Command:
    """``--after``."""
    kind = WholeRange(min=-1)
    return click.option("--after", type=kind, default=-1, help="Those after that position.")(
        command
    )


def remark_more(
    count: int, left: Iterable[object], form: Form, limit: int | None, most: int = MOST_COUNTED
) -> None:
    """Say how many more there are than the ``count`` that are shown, and how to see them.

    ``left`` are the others, of which no more than ``most`` are counted: each takes a while.
    """
    more = 0 if shown(form, limit) is None else sum(1 for _ in islice(left, most + 1))
    if more:
        said = f"{more:,} more" if more <= most else f"more than {most:,} more" if most else "more"
        remark_first(count, limit, said)


def remark_first(count: int, limit: int | None, others: str) -> None:
    """Say that a list has the first ``count`` alone, and what shows the others."""
    how = "--limit, --json, --nl or --csv give" if limit is None else "a larger --limit gives"
    # It stands behind what it is about.
    sys.stdout.flush()
    remark(f"the first {count}; {how} {others}")


def remark_end(ledger: Ledger | Ledgers, as_of: datetime | int | None) -> None:
    """Say where the log ends, where it is asked for as of a position after that."""
    if isinstance(ledger, Ledgers) or not isinstance(as_of, int):
        return
    last = ledger.head().size - 1
    if as_of > last:
        remark(f"the log ends at position {last}: --as-of {as_of} shows all of it")


def space_option(help_text: str) -> Callable[[Command], Command]:
    """``--space``: the namespace of keys that a vocabulary gives."""
    return click.option("--space", metavar="NAME", help=help_text)


@contextmanager
def asking_space(*words: str | Location) -> Iterator[None]:
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


def require_space(ledger: Ledger | Ledgers, space: str | None) -> None:
    """Raise ``UnknownWord`` for a space that neither a vocabulary nor an event has."""
    known = {one.space for one in ledger.definitions.vocabularies} | {""}
    if space is None or space in known:
        return
    whole = ledger._merge.ledger if isinstance(ledger, Ledgers) else ledger
    with whole._connections.read() as own:
        known.update(own.reader.index.every_space())
    if space not in known:
        there = ", ".join(sorted(known - {""})) or "none, as all ids are in the common space"
        raise UnknownWord(f"unknown space {space!r}: expected {there}")


def reading(ledger: Location) -> Ledger:
    """The ledger, opened for reading only."""
    return Ledger(ledger, readonly=True)


def writing(ledger: Location) -> Ledger:
    """The ledger, opened to write to it; raises ``NotALedger`` where there is none."""
    if not exists(ledger):
        raise NotALedger(f"{ledger}: no such ledger")
    return Ledger(ledger)


@contextmanager
def reading_with(
    path: Location, beside: Sequence[Location], *, key: str | None = None, guarded: bool = True
) -> Iterator[Ledger | Ledgers]:
    """The ledger, or it and those next to it as one; with a ``key`` only of the events that name it."""
    if not beside:
        with Ledger(path, readonly=True, guarded=guarded) as opened:
            yield opened
        return
    with ExitStack() as stack:
        with progress("merge") as advance:
            several = Ledgers(path, *beside, key=key, guarded=guarded, progress=advance)
            stack.enter_context(several)
        yield several


def when_of(beside: Sequence[Location], given: Mapping[str, Any]) -> dict[str, Any]:
    """As of when is asked, as one ledger takes it, or several; these have no positions in common."""
    if not beside:
        return dict(given)
    if isinstance(given["as_of"], int):
        raise click.UsageError("--as-of must be a time where --with is given, got a position.")
    if given["definitions"] != "now":
        raise click.UsageError("--definitions then takes one ledger; leave out --with.")
    return {name: value for name, value in given.items() if name != "definitions"}


def beside_words(beside: Sequence[Location]) -> list[str]:
    """The options that name further ledgers again."""
    return [word for path in beside for word in ("--with", str(path))]


def remark(text: str) -> None:
    """A line for people on stderr; what begins with ``Error:`` stands out where there are colours."""
    said = hidden(cell(text))
    if said.startswith(_ERROR) and coloured(sys.stderr):
        said = styled(_ERROR, "red") + said.removeprefix(_ERROR)
    click.echo(said, err=True)


@contextmanager
def progress(
    what: str, total: int | None = None, unit: str = "events", *, printing: bool = False
) -> Iterator[Callable[[int], None]]:
    """A bar on stderr with count, rate and time left; only on a terminal.

    Where what is found is ``printing`` to the terminal meanwhile, there is no bar.
    """
    # Only long commands need it, and its import delays the start.
    from tqdm import tqdm

    # ``None`` stands for: unless stderr is a terminal.
    disable = True if printing and sys.stdout.isatty() else None
    with tqdm(total=total, desc=what, unit=f" {unit}", disable=disable, leave=False) as bar:

        def advance(count: int) -> None:
            bar.update(count)

        yield advance
