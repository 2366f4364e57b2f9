"""Locks: what one process at a time does; the kernel frees one when its holder dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from postledger.errors import PostledgerError


class Lock:
    """Held by one process; ``taken`` and ``denied`` say what it means that another holds it, or may."""

    def __init__(self, path: Path, taken: str, denied: str) -> None:
        """Take it; raises ``PostledgerError`` where another has it, or the file can't be opened."""
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        except OSError as error:
            raise PostledgerError(f"{path}: can't be opened ({error.strerror}); {denied}") from None
        try:
            # guard: one process for each endpoint
            _lock(self._file)
        except OSError:
            os.close(self._file)
            raise PostledgerError(taken) from None

    def close(self) -> None:
        """Let another have it."""
        os.close(self._file)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
