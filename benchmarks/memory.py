"""One action on a ledger in a process of its own, and the peak memory of that process."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Mapping

from postledger import Ledger


ACTIONS: Mapping[str, Callable[[Ledger], object]] = {
    "replay": Ledger.rebuild,
    "verify": Ledger.verify,
    "audit": Ledger.audit,
}
"""What is measured, by its name."""


def main(action: str, path: str) -> None:
    """Do it and print the peak in megabytes."""
    with Ledger(path) as ledger:
        ACTIONS[action](ledger)
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


if __name__ == "__main__":
    main(*sys.argv[1:])
