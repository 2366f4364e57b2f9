"""The room ``server``: the receiver in this process, and the server as a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attrs

SECRETS = ("path-5ecret", "b4sic-password", "t0ken-of-header", "respOnse-token", "signing-k3y")
"""What must show nowhere."""


@attrs.frozen
class Server:
    """A server that runs; ``log`` is what it writes."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Tell it to stop, and wait until it did; returns its exit status."""
        self.process.send_signal(with_signal)
        return self.process.wait(60)


H11 = "sys.modules['httptools'] = None"
"""What makes a server that has no httptools."""


@contextmanager
def serving(
    ledger: Path, *words: object, first: str = "", prefix: tuple[str, ...] = ()
) -> Iterator[Server]:
    """``postledger serve`` on a free port; ``first`` is what its process does before all else.

    ``prefix`` is a program that runs it.
    """
    program = f"import sys; {first}; from postledger.cli import main; main()"
    begin = ["-c", program] if first else ["-m", "postledger"]
    command = [
        *prefix,
        sys.executable,
        *begin,
        "serve",
        str(ledger),
        "--port",
        "0",
        *map(str, words),
    ]
    log = ledger.with_suffix(".log")
    with log.open("w") as stderr:
        process = _started(command, stderr)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on http://127.0.0.1:"), log.read_text()
            yield Server(process, int(line.split(":")[2]), log)
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=60)


def _started(command: list[str], stderr: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def status_of(answer: bytes) -> int:
    """The status of an answer as it came."""
    return int(answer.split(b" ", 2)[1])
