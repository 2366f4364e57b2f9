"""Completion: the values that a shell offers for what is being typed, of the ledger named before.

Shells ask by a variable of the environment (``_POSTLEDGER_COMPLETE``), which click answers. What goes
wrong has no place on a line that is being typed: nothing is offered then, and nothing is said.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from postledger.address import Address, is_address
from postledger.definitions.definitions import Definitions, builtin, providers
from postledger.definitions.said import CLASSES
from postledger.findings import Finding
from postledger.ledger.connections import Connections
from postledger.ledger.ledger import require_openable
from postledger.model import DELIVERY
from postledger.projections.counts import COUNTED_BY
from postledger.wire import Limits

Values = Callable[[click.Context, str], Iterable[str]]
"""The values that there are, by what was typed before and the beginning of the one that is typed."""

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem[Any]]]

_MOST_IDS = 100
"""So many ids are offered: who sees that many goes on typing."""

_PATIENCE = 2.0
"""How many seconds a server is waited for, by whoever waits for a shell."""


def completed(values: Values) -> Completer:
    """What ``shell_complete`` of an option takes: the values that begin as what is typed does."""

    def complete(
        ctx: click.Context, _: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        logging.disable()
        try:
            found = [one for one in values(ctx, incomplete) if one.startswith(incomplete)]
        except Exception:
            return []
        finally:
            logging.disable(logging.NOTSET)
        return [CompletionItem(one) for one in found if _is_word(one, incomplete)]

    return complete


def _is_word(value: str, incomplete: str) -> bool:
    """Whether a value means itself on the line: a shell puts it there as it is.

    What begins with a dash is an option, but where one is typed already: that stands behind ``--``.
    """
    return shlex.quote(value) == value and value.startswith("-") <= incomplete.startswith("-")


def _opened(ctx: click.Context) -> Connections | None:
    # Where the value of an option is still missing, click has not told the arguments apart.
    given = ctx.params.get("ledger") or next(iter(ctx.args), "")
    on_server = isinstance(given, Address) or is_address(str(given))
    if not on_server and not (given and Path(given).is_file()):
        return None
    # Whoever types leaves no files next to a ledger.
    return Connections(
        require_openable(given),
        None,
        limits=Limits(),
        timeout=_PATIENCE,
        readonly=True,
        guarded=True,
        traceless=True,
    )


def _definitions(ctx: click.Context) -> Definitions:
    """Those that the ledger reads by; without one those that ship."""
    ledger = _opened(ctx)
    if ledger is None:
        return builtin()
    with closing(ledger):
        return ledger.definitions


def _region(name: str | None = None) -> Completer:
    def states(ctx: click.Context, _: str) -> Iterable[str]:
        regions = _definitions(ctx).chart(ctx.params.get("chart") or DELIVERY).regions
        named = {one.name: one for one in regions}
        return (regions[0] if name is None else named[name]).states

    return completed(states)


def _every_state(ctx: click.Context, _: str) -> Iterable[str]:
    regions = _definitions(ctx).chart(DELIVERY).regions
    return [state for region in regions for state in region.states]


def _spaces(ctx: click.Context, _: str) -> Iterable[str]:
    return sorted({one.space for one in _definitions(ctx).vocabularies} - {""})


def _labels(ctx: click.Context, _: str) -> Iterable[str]:
    words = _definitions(ctx).vocabularies
    return sorted({f"{name}=" for one in words for name in one.said.labels})


def _tallied(by: str) -> Completer:
    """What deliveries, or events, are counted by: the tallies have it without going through them."""

    def values(ctx: click.Context, _: str) -> Iterable[str]:
        ledger = _opened(ctx)
        if ledger is None:
            return []
        what = "events" if by == "source" else "deliveries"
        with closing(ledger), ledger.read() as own:
            counted = list(own.generation.tallies_of(own.store).sums(what, [by]))
        return sorted({str(value) for value, *_ in counted if value})

    return completed(values)


def _ids(chart: str | None) -> Completer:
    def values(ctx: click.Context, incomplete: str) -> Iterable[str]:
        ledger = _opened(ctx)
        if ledger is None:
            return []
        of = chart or ctx.params.get("chart") or DELIVERY
        with closing(ledger), ledger.read() as own:
            return own.reader.index.keys_from(incomplete, of, _MOST_IDS)

    return completed(values)


def _dimensions(_: click.Context, incomplete: str) -> Iterable[str]:
    """Names behind those that are there already."""
    *before, _last = incomplete.split(",")
    there = "".join(f"{one}," for one in before)
    names = [name.replace("_", "-") for name in COUNTED_BY]
    return [there + name for name in names if name not in before]


def _zones(_: click.Context, __: str) -> Iterable[str]:
    from zoneinfo import available_timezones

    return sorted(available_timezones())


def _charts(ctx: click.Context, _: str) -> Iterable[str]:
    return _definitions(ctx).charts


def _shown_charts(ctx: click.Context, _: str) -> Iterable[str]:
    """What ``charts`` takes as its first word: charts, other commands, and providers by their files."""
    commands = getattr(ctx.command, "commands", {})
    return sorted({*_definitions(ctx).charts, *commands, *providers()})


_TIME = completed(lambda *_: ("now", "today", "yesterday"))
_STATE, _EVERY_STATE = _region(), completed(_every_state)
_SOURCE, _ID, _PROVIDER = _tallied("source"), _ids(DELIVERY), completed(lambda *_: providers())

VALUES: dict[str, Completer] = {
    **dict.fromkeys(("--as-of", "--at", "--occurred-by", "--since", "--until"), _TIME),
    "--by": completed(_dimensions),
    "--chart": completed(_charts),
    "--finding": completed(lambda *_: [one.name.lower() for one in Finding if one.name]),
    "--grade": _region("grade"),
    "--id": _ID,
    "--label": completed(_labels),
    "--mms": _ids("content"),
    "--provider": _PROVIDER,
    "--read": _region("reading"),
    "--reason-class": completed(lambda *_: CLASSES),
    "--route": _region("route"),
    "--source": _SOURCE,
    "--space": completed(_spaces),
    "--spid": _tallied("carrier"),
    "--state": _STATE,
    "--tz": completed(_zones),
    "charts name": completed(_shown_charts),
    "charts providers named": _PROVIDER,
    "charts try file": _PROVIDER,
    "events --state": _EVERY_STATE,
    "follow --state": _EVERY_STATE,
    "show tracking_id": _ids(None),
}
"""What is offered for an option, or for an argument of a command by its name; that of a command first."""

# Columns of an invoice: other things under a name that stands above.
_OTHERS = {"COLUMN"}


def completing(path: str, command: click.Command) -> click.Command:
    """The command, with values for its parameters and those of the commands below it."""
    for param in command.params:
        names = [f"{path} {param.name}", *(f"{path} {flag}" for flag in param.opts), *param.opts]
        values = next((VALUES[name] for name in names if name in VALUES), None)
        if values is not None and not _is_other(param):
            # In one table here, and not at each option: the commands don't need it.
            param._custom_shell_complete = values
    for name, below in getattr(command, "commands", {}).items():
        completing(f"{path} {name}", below)
    return command


def _is_other(param: click.Parameter) -> bool:
    return param.metavar in _OTHERS or isinstance(param.type, click.Path)
