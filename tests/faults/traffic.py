"""Traffic for the fault tests: bodies, where they are written, and processes that record them.

Run as a program it is such a process: ``python -m tests.faults.traffic acknowledge LEDGER FIRST LAST``
records the bodies of a range one by one, and prints the position of each once ``record`` returned.
``batches`` records them in small batches in turn with single ones, ``stubborn`` one by one, each again
until it is acknowledged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from postledger import Ledger, PostledgerError

ROOT = Path(__file__).parent.parent.parent
_SAID = (
    ("N101", "Message Sent"),
    ("N102", "Message Sent/Delivered"),
    ("N102", "Message Sent/Rejected"),
)

started: list[subprocess.Popen[str]] = []
"""The processes of the running test."""


def body(number: int) -> bytes:
    """The body of that number: three events of one delivery follow each other."""
    message, step = divmod(number, 3)
    code, status = _SAID[step]
    return (
        f"<?xml version='1.0'?>\n<POSTBACK>\n  <ORIGIN>MMS_MT</ORIGIN>\n  <CODE>{code}</CODE>\n"
        f"  <SENTAS>MMS</SENTAS>\n  <STATUS>{status}</STATUS>\n  <MMSID>{message % 7}</MMSID>\n"
        f"  <TO>1650{message:07}</TO>\n  <TRACKINGID>TU1T{message}</TRACKINGID>\n"
        f"  <SPID>0001570</SPID>\n"
        f"  <TIMESTAMP>2013-11-05T05:{message // 60 % 60:02}:{step:02}-05:00</TIMESTAMP>\n"
        "</POSTBACK>\n"
    ).encode()


def bodies(first: int, last: int) -> Iterator[bytes]:
    """The bodies of a range."""
    return map(body, range(first, last))


def write_lines(path: Path, count: int) -> Path:
    """A .jsonl file of so many bodies, as ``ingest`` takes it."""
    with path.open("w") as file:
        for number in range(count):
            line = {"body": body(number).decode(), "received_at": "2026-01-01T00:00:00Z"}
            file.write(json.dumps(line) + "\n")
    return path


def start(*words: object, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A process of its own that runs this module."""
    return python("-m", "tests.faults.traffic", *words, prefix=prefix)


def postledger(*words: object, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    return python("-m", "postledger", *words, prefix=prefix)


def python(*words: object, prefix: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[str]:
    """Python in a process of its own, with all that it prints."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-W", "error", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    started.append(process)
    return process


def first_line(process: subprocess.Popen[str]) -> str:
    """Wait for the first line; no byte behind it is read, as a buffer would."""
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(process.stdout.fileno(), 1)):
        line += byte
    return line.decode()


def finish(process: subprocess.Popen[str], timeout: float = 120) -> tuple[int, str, str]:
    """Wait for a process: its exit code and what it printed."""
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out, err


def kill(process: subprocess.Popen[str]) -> str:
    """SIGKILL, which no program can catch; gives what it had printed."""
    process.kill()
    out, _ = process.communicate()
    return out


def one_line(err: str) -> bool:
    """Whether a program told its error in one line, and not by a traceback."""
    lines = err.strip().splitlines()
    return len(lines) == 1 and lines[0].startswith("Error: ")


def _acknowledge(ledger: Ledger, first: int, last: int) -> None:
    for number in range(first, last):
        position = ledger.record(body(number)).event.position
        # In one call: what is printed is printed whole.
        os.write(1, f"{position}\n".encode())


def _stubborn(path: str, first: int, last: int) -> None:
    """Record as a provider sends: again and again until it is acknowledged, opening it anew at times."""
    number, tries, ledger = first, 0, None
    while number < last and tries < 40 * (last - first):
        tries += 1
        try:
            ledger = ledger or Ledger(path, timeout=60)
            position = ledger.record(body(number)).event.position
        except PostledgerError as error:
            print(f"Error: {error}", file=sys.stderr)
            if ledger is not None and tries % 3 == 0:
                ledger.close()
                ledger = None
        else:
            os.write(1, f"{number} {position}\n".encode())
            number += 1
    if ledger is not None:
        ledger.close()


def _batches(ledger: Ledger, first: int, last: int) -> None:
    at = first
    while at < last:
        ledger.record(body(at))
        ledger.record_many(bodies(at + 1, min(at + 50, last)))
        at += 50


def main(what: str, path: str, first: str, last: str) -> None:
    """Record a range of bodies; an error of Postledger becomes one line and exit 1."""
    if what == "stubborn":
        _stubborn(path, int(first), int(last))
        return
    doing = {"acknowledge": _acknowledge, "batches": _batches}[what]
    try:
        with Ledger(path, timeout=60) as ledger:
            doing(ledger, int(first), int(last))
    except PostledgerError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
