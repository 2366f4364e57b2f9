"""What a process of the soak holds in memory: after a third of its time, and at the end."""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path

_PAGE = 4096


class Memory:
    """The resident memory in bytes, looked at as the time goes."""

    def __init__(self, seconds: float) -> None:
        self._third_at = time.monotonic() + seconds / 3
        self._third = 0

    def look(self) -> None:
        """Look, if a third of the time is over and nobody has."""
        if not self._third and time.monotonic() > self._third_at:
            self._third = _resident()

    def report(self, did: int) -> None:
        """Print what was done, and the memory, as JSON."""
        print(json.dumps({"did": did, "third": self._third or _resident(), "end": _resident()}))


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
