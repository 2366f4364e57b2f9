"""Console blocks of the documentation: what they run, and whether it prints what they say."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Pairs of a command and what it must print."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next((n for n, line in enumerate(lines[1:], 1) if line[:2] not in ("> ", ">")), None)
        command = [lines[0], *(line[2:] for line in lines[1:end])]
        yield "\n".join(command), "\n".join(lines[end:] if end else [])


def printed(command: str) -> str:
    """What a command prints, errors too; one that fails says so, unless the page tells how it ends."""
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env=environment(),
        check=False,
        timeout=120,
    )
    failed = f"(exit status {done.returncode})" if done.returncode else ""
    return "\n".join(filter(None, (done.stdout.rstrip("\n"), failed)))


def started(command: str) -> subprocess.Popen[str]:
    """A server that goes on; its log goes nowhere."""
    return subprocess.Popen(
        ["/bin/sh", "-c", f"exec env {command}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env=environment(),
    )


def environment() -> dict[str, str]:
    """What commands are run with: this Python's first, and the same on every machine."""
    scripts = Path(sys.executable).parent
    given = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "TZ": "UTC"}
    given |= {"NO_COLOR": "1", "PYTHONWARNINGS": "error", "NO_PROXY": "*"}
    given.pop("COLUMNS", None)
    return given


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def difference(command: str, expected: str, got: str) -> str | None:
    """What to say where a command does not print what the page says."""
    wanted = [line.rstrip() for line in expected.strip("\n").splitlines()]
    lines = [line.rstrip() for line in got.strip("\n").splitlines()]
    if re.fullmatch("".join(map(pattern, wanted)), "".join(f"{line}\n" for line in lines)):
        return None
    return f"$ {command}\n--- the page says\n{expected.rstrip()}\n--- it prints\n{got}"


def pattern(line: str) -> str:
    """The lines that a line of a page stands for, as a regular expression."""
    if line == "...":
        return r"(?:[^\n]*\n)*?"
    first, *others = line.split("...")
    # Blanks after it only keep a column.
    rest = [re.sub(r"^(\\ ){2,}", r"\\ +", re.escape(part)) for part in others]
    return r"[^\n]*".join([re.escape(first), *rest]) + r"\n"
