"""Listening: the options of the commands that serve by HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click

from postledger.cli.common import Command
from postledger.cli.params import WholeRange

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
"""A file that is there."""


def address_options(port: int) -> Callable[[Command], Command]:
    """``--host`` and ``--port``."""

    def with_options(command: Command) -> Command:
        command = click.option(
            "--port",
            type=WholeRange(0, 65535),
            default=port,
            show_default=True,
            help="The port to listen on; 0 takes one that is free.",
        )(command)
        return click.option(
            "--host", default="127.0.0.1", show_default=True, help="The address to listen on."
        )(command)

    return with_options


_ENTRANCE: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "users": (
        "--users",
        {"type": FILE, "help": "Who may sign in to the console, with which role: a TOML file."},
    ),
    "access_record": (
        "--access-record",
        {
            "type": click.Path(dir_okay=False, path_type=Path),
            "help": "The file to which each unmasking is appended; without it nobody can unmask.",
        },
    ),
    "hosts": (
        "--allow-host",
        {
            "multiple": True,
            "metavar": "NAME",
            "help": "A name by which the console may be asked for, without port; by default those"
            " of this machine.",
        },
    ),
    "https": (
        "--https",
        {"is_flag": True, "help": "HTTPS is in front: cookies are sent by it alone."},
    ),
}
"""The options of who comes in to the console, and by which names."""


def entrance_options(command: Command) -> Command:
    """Who may look at the console: the command gets what is given as ``entrance``, by its names."""

    @wraps(command)
    def call(*args: Any, **kwargs: Any) -> Any:
        entrance = {name: kwargs.pop(name) for name in _ENTRANCE}
        return command(*args, entrance=entrance, **kwargs)

    made = call
    for name, (flag, more) in reversed([*_ENTRANCE.items()]):
        made = click.option(flag, name, **more)(made)
    return made  # type: ignore[return-value]


def require_no_entrance(entrance: Mapping[str, object], required: str) -> None:
    """A usage error where an option of the console is given without the one that serves it."""
    for name, (flag, _) in _ENTRANCE.items():
        if entrance[name]:
            raise click.UsageError(f"{flag} requires {required}.")
