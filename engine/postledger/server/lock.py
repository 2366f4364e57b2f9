"""The lock of an endpoint: one process at a time sends there, which keeps the order."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from postledger.errors import PostledgerError


class Lock:
    """Held by the one process that serves an endpoint; the kernel frees it when that dies.

    ``endpoint`` is what a message calls it.
    """

    def __init__(self, path: Path, endpoint: str) -> None:
        """Take it; raises ``PostledgerError`` where another has it, or the file can't be opened."""
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        except OSError as error:
            raise PostledgerError(
                f"{path}: can't be opened ({error.strerror}); forward as the user whose file it is"
            ) from None
        try:
            # guard: one process for each endpoint
            _lock(self._file)
        except OSError:
            os.close(self._file)
            raise PostledgerError(
                f"{endpoint}: another forwarder sends there; one at a time keeps the order"
            ) from None

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
