"""One action on a ledger in a process of its own, and the peak memory of that process.

The ledger is a file or a server's, whose own memory is not counted.
"""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.measure import any_core
from postledger import Ledger
from postledger.export.formats import exported, line_of


def export(ledger: Ledger) -> None:
    """Write the log as JSON Lines, to nowhere."""
    for event in exported(ledger.events()):
        line_of(event)


def through(iterate: Callable[[Ledger], Iterable[object]]) -> Callable[[Ledger], None]:
    """What goes through all that something yields, and keeps nothing."""

    def go(ledger: Ledger) -> None:
        for _ in iterate(ledger):
            pass

    return go


READING: dict[str, Callable[[Ledger], object]] = {
    "verify": Ledger.verify,
    "audit": Ledger.audit,
    "export": export,
    "deliveries": through(Ledger.deliveries),
    "follow": through(lambda ledger: ledger.follow(live=False)),
    "changes": through(lambda ledger: ledger.changes(-1)),
}
WRITING: dict[str, Callable[[Ledger], object]] = {
    "replay": Ledger.replay,
    "replay --index": lambda ledger: ledger.replay(index=True),
}
"""What is measured, by its name, in this order."""


def main(action: str, where: str) -> None:
    """Do it and print the peak in megabytes."""
    any_core()
    with Ledger(where) as ledger:
        (READING | WRITING)[action](ledger)
    print(peak_megabytes())


def peak_megabytes() -> float:
    """The peak of this program alone: what getrusage says is never below that of its parent."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        # macOS counts in bytes, and has no other count.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(peak) / 1e3


if __name__ == "__main__":
    main(*sys.argv[1:])
