"""Traffic for the fault tests: bodies, where they are written, and processes that record them.

Run as a program it is such a process: ``python -m tests.faults.traffic acknowledge LEDGER FIRST LAST``
records the bodies of a range one by one, and prints the position of each once ``record`` returned.
``batches`` records them in small batches in turn with single ones, ``ingest`` in batches of 200,
``stubborn`` one by one, each again until it is acknowledged. ``replay``, ``reindex`` and ``adopt``
replay in small chunks, and print a line after each. What Postledger raises becomes one line and exit 1.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from postledger import Definitions, Ledger, PostledgerError, Receipt
from postledger.definitions.chart_toml import load_chart
from postledger.definitions.definitions import builtin
from postledger.definitions.vocabulary_toml import load_vocabulary
from postledger.projections import replay

ROOT = Path(__file__).parent.parent.parent
PYTHONPATH = os.pathsep.join(
    [str(ROOT / "engine"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)
"""So that each process runs the engine of this tree, whichever one is installed."""

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


def other_chart() -> Definitions:
    """The definitions that ship, with another version of a chart: states by it are the same."""
    source = builtin().charts["delivery"].source
    return builtin().with_charts([load_chart(source.replace("version = 1", "version = 2", 1))])


def other_vocabulary() -> Definitions:
    """The definitions that ship, with one more vocabulary: the log has to be read again by it."""
    return builtin().with_vocabularies([load_vocabulary(_ACME)])


_ACME = """
name = "acme"
version = 1
roots = [""]

[fields]
id = "id"
status = "status"
acme = "acme"

[[postbacks]]
section = "callback"
match = { acme = true }
chart = "delivery"
key = "id"
undated = true
means = [
    { status = "sent", trigger = "sent_sms" },
    { status = "delivered", trigger = "delivered" },
]
"""


def start(*words: object, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A process of its own that runs this module."""
    return python("-m", "tests.faults.traffic", *words, prefix=prefix)


def python(*words: object, prefix: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[str]:
    """Python in a process of its own, with all that it prints."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-W", "error", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PYTHONPATH, "PYTHONDONTWRITEBYTECODE": "1"},
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
        _say(f"{position}\n")


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
            _say(f"{number} {position}\n")
            number += 1
    if ledger is not None:
        ledger.close()


def _batches(ledger: Ledger, first: int, last: int) -> None:
    at = first
    while at < last:
        ledger.record(body(at))
        ledger.record_many(bodies(at + 1, min(at + 50, last)))
        at += 50


def _ingest(ledger: Ledger, first: int, last: int) -> None:
    for batch in ledger.record_batches(map(Receipt, bodies(first, last)), 200):
        _say(f"{len(batch)}\n")


def _replaying(
    definitions: Callable[[], Definitions | None], *, index: bool
) -> Callable[[Ledger, int, int], None]:
    """Replay in chunks of so many events and streams, again and again as often as is said."""

    def doing(ledger: Ledger, chunk: int, times: int) -> None:
        replay.CHUNK = chunk
        for number in range(times):
            wanted = definitions() if number % 2 == 0 else None if index else builtin()
            ledger.replay(wanted, index=index, progress=lambda n: _say(f"{n}\n"))

    return doing


def _say(text: str) -> None:
    os.write(1, text.encode())


ROLES: dict[str, Callable[[Ledger, int, int], None]] = {
    "acknowledge": _acknowledge,
    "batches": _batches,
    "ingest": _ingest,
    "replay": _replaying(lambda: None, index=False),
    "reindex": _replaying(lambda: None, index=True),
    "adopt": _replaying(other_vocabulary, index=False),
}


def main(what: str, path: str, first: str, last: str) -> None:
    """Play a role; an error of Postledger becomes one line and exit 1."""
    # What it logs is not what it says.
    logging.getLogger("postledger").addHandler(logging.NullHandler())
    if what == "stubborn":
        _stubborn(path, int(first), int(last))
        return
    try:
        with Ledger(path, timeout=60) as ledger:
            ROLES[what](ledger, int(first), int(last))
    except PostledgerError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
