"""A terminal: the command line run in a real one, a pseudo-terminal, with keys that are pressed."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import termios
import time

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r|.\x08")
_PATIENCE = 60.0
"""Seconds after which a command that says nothing more is given up."""


def terminal(
    *words: object, keys: str = "", columns: int = 200, **environment: str | None
) -> tuple[int, str]:
    """The exit status of a command in a terminal, and all that this was sent.

    The ``keys`` are pressed one by one, each when something is shown and nothing new has come for a
    while. A variable of the environment that is ``None`` is not set. The terminal has 24 lines.
    """
    pid, screen = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(0, (24, columns))
        given: dict[str, str | None] = {**os.environ, **_PLAIN, **environment}
        there = {name: value for name, value in given.items() if value is not None}
        os.execve(sys.executable, [sys.executable, "-m", "postledger", *map(str, words)], there)
    try:
        shown = _shown(screen, list(keys))
    finally:
        os.close(screen)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), shown.decode()


_PLAIN = {
    "TERM": "xterm",
    "PAGER": "cat",
    **dict.fromkeys(("NO_COLOR", "LESS", "COLUMNS", "LINES")),
}


def _shown(screen: int, keys: list[str]) -> bytes:
    shown, last = b"", time.monotonic()
    while time.monotonic() - last < _PATIENCE:
        if select.select([screen], [], [], 2.0 if keys else _PATIENCE)[0]:
            try:
                part = os.read(screen, 65536)
            except OSError:
                # On Linux this is how a terminal ends.
                return shown
            if not part:
                return shown
            shown, last = shown + part, time.monotonic()
        elif keys and shown:
            os.write(screen, keys.pop(0).encode())
    raise AssertionError(f"no end after {_PATIENCE:.0f} s: {shown[-200:]!r}")


def plain(shown: str) -> str:
    """What a terminal was sent, without colours and what moves the cursor."""
    return _ESCAPE.sub("", shown)
