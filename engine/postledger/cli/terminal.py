"""The terminal: whether there is one, its colours, and the pager between it and long output.

Colours only stress what words say. Where the output goes elsewhere, there are none, and no pager.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import IO, Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

Tone = Callable[[str], str | None]
"""What says in which colour of ``click.style`` a text stands; ``None``: as any other."""

_COLOUR, _UNPAGED = "postledger.colour", "postledger.unpaged"
_LESS = {"LESS": "FRX", "LV": "-c"}
"""What less does unless the user says otherwise, as git has it: colours, and no page for a few lines."""


# --- options ---


def colour_option(command: Command) -> Command:
    """``--color``."""
    return click.option(
        "--color",
        "--colour",
        type=click.Choice(["auto", "always", "never"]),
        is_eager=True,
        expose_value=False,
        callback=_keep_colour,
        help="Colours: on a terminal unless NO_COLOR is set or TERM is dumb (auto), always, or never.",
    )(command)


def pager_option(command: Command) -> Command:
    """``--no-pager``."""
    return click.option(
        "--no-pager",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_keep_pager,
        help="Don't show long output by $PAGER (by default less) on a terminal.",
    )(command)


def paged(command: Command) -> Command:
    """``--color`` and ``--no-pager`` of a command whose output may be long."""

    @wraps(command)
    def call(*args: Any, **kwargs: Any) -> Any:
        with paging():
            return command(*args, **kwargs)

    return colour_option(pager_option(call))  # type: ignore[return-value]


def _keep_colour(ctx: click.Context, _: click.Parameter, when: str | None) -> None:
    if when is not None:
        ctx.meta[_COLOUR] = when
        if when == "always":
            # Else click takes them out again.
            ctx.color = True


def _keep_pager(ctx: click.Context, _: click.Parameter, none: bool) -> None:  # noqa: FBT001
    if none:
        ctx.meta[_UNPAGED] = True


def _said(name: str, otherwise: Any) -> Any:
    context = click.get_current_context(silent=True)
    return otherwise if context is None else context.meta.get(name, otherwise)


# --- colours ---


def coloured(stream: IO[str]) -> bool:
    """Whether what is written to a stream has colours."""
    when = _said(_COLOUR, otherwise="auto")
    if when != "auto":
        return bool(when == "always")
    return stream.isatty() and not os.environ.get("NO_COLOR") and not _is_dumb()


def toned(text: str, tone: str | None) -> str:
    """A text for stdout in a colour, if there are any."""
    return text if tone is None or not text or not coloured(sys.stdout) else styled(text, tone)


def styled(text: str, tone: str) -> str:
    """A text in a colour, or bold."""
    return click.style(text, bold=True) if tone == "bold" else click.style(text, fg=tone)


def width() -> int | None:
    """The columns of the terminal, or of ``COLUMNS``; ``None`` where the output goes elsewhere."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return None


def _is_dumb() -> bool:
    return os.environ.get("TERM") == "dumb"


# --- the pager ---


@contextmanager
def paging() -> Iterator[None]:
    """Show what is printed meanwhile by a pager, if there is a terminal; the first text starts it."""
    wanted = sys.stdout.isatty() and not _said(_UNPAGED, otherwise=False) and not _is_dumb()
    command = _pager() if wanted else None
    if command is None or isinstance(sys.stdout, _Paged):
        yield
        return
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout = pager = _Paged(command, stdout)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        pager.finish()


def _pager() -> list[str] | None:
    """The command in ``$PAGER``, by default ``less``, as words; ``None`` if it can't be found."""
    try:
        words = shlex.split(os.environ.get("PAGER", "less"))
    except ValueError:
        return None
    return words if words and words != ["cat"] and shutil.which(words[0]) else None


class _Paged(io.TextIOBase):
    """What stands for a terminal while a pager shows what is written to it, remarks too."""

    def __init__(self, command: list[str], terminal: Any) -> None:
        self._command, self._terminal = command, terminal
        self._process: subprocess.Popen[str] | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return str(self._terminal.encoding)

    @property
    def errors(self) -> str:  # type: ignore[override]
        return str(self._terminal.errors)

    def isatty(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return self._pipe().write(text)

    def flush(self) -> None:
        if self._process is not None:
            self._pipe().flush()

    def finish(self) -> None:
        """Wait until the pager was left."""
        if self._process is None:
            return
        # Whoever left it before the end had enough.
        with suppress(BrokenPipeError):
            self._pipe().close()
        while True:
            try:
                status = self._process.wait()
                break
            except KeyboardInterrupt:
                # Meant for the pager, which has the terminal.
                continue
        if status > 0:
            told = f"the pager {self._command[0]} ended with status {status}; --no-pager prints all"
            click.echo(told, err=True)

    def _pipe(self) -> IO[str]:
        if self._process is None:
            self._terminal.flush()
            try:
                self._process = subprocess.Popen(  # noqa: S603
                    self._command,
                    stdin=subprocess.PIPE,
                    encoding=self.encoding,
                    errors=self.errors,
                    env={**_LESS, **os.environ},
                )
            except OSError:
                # What is named can't be started: the text is shown without.
                return self._terminal  # type: ignore[no-any-return]
            if sys.stderr.isatty():
                assert self._process.stdin is not None
                sys.stderr = self._process.stdin
        assert self._process.stdin is not None
        return self._process.stdin
