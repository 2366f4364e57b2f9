"""The access record: who saw the numbers of which delivery, when and why, one JSON object a line.

It is a file of its own next to the ledger, and only ever grows. What it doesn't have was not shown: a
line is on the disk before a number is.
"""

from __future__ import annotations

import json
import os
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from postledger.errors import PostledgerError
from postledger.export.files import is_database
from postledger.model import plain
from postledger.times import now

LONGEST_REASON = 500
"""Characters of a reason, at most."""

_SHORTEST_REASON = 5
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)


class Unrecorded(PostledgerError):
    """Nothing could be appended to the access record, so that nothing may be shown."""


@attrs.frozen
class Access:
    """One access: ``user`` saw, by that ``role`` and for that ``reason``, the numbers of something.

    That is the ``delivery`` of a ``space``, or else the event at ``position``, which belongs to none.

    >>> Access("I. Okafor", "unmasker", "the customer called", delivery="U01TXzE=").space
    ''
    """

    user: str
    role: str
    reason: str
    delivery: str | None = None
    space: str = ""
    position: int | None = None
    at: datetime = attrs.field(factory=now)

    def to_dict(self) -> dict[str, Any]:
        """The access as the record has it."""
        return dict(plain(self))


def reason_of(text: str) -> str:
    """A reason on one line; raises ``ValueError`` for one that says too little or too much."""
    reason = " ".join(text.split())
    if not _SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
        raise ValueError(
            f"the reason must have {_SHORTEST_REASON} to {LONGEST_REASON} characters,"
            f" got {len(reason)}"
        )
    return reason


class AccessRecord:
    """Appends to the record at ``path``, which is made where it is missing, for its owner alone.

    It is opened for each line: one that was moved away is begun again.

    >>> record = AccessRecord("access.jsonl")
    >>> record.append(Access("I. Okafor", "unmasker", "the customer called", delivery="U01TXzE="))
    >>> Path("access.jsonl").read_text().count("U01TXzE=")
    1
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self._lock = threading.Lock()

    def append(self, access: Access) -> None:
        """Append a line, and return once it is durable; raises ``Unrecorded``."""
        line = json.dumps(access.to_dict()).encode() + b"\n"
        self._require_no_database()
        try:
            with self._lock:
                self._append(line)
        except OSError as error:
            reason = error.strerror or str(error)
            raise Unrecorded(f"{self.path}: the access can't be recorded: {reason}") from error

    def require_writable(self) -> None:
        """Raise ``Unrecorded`` where nothing could be appended; makes the file if it is missing."""
        self._require_no_database()
        try:
            os.close(os.open(self.path, _FLAGS, 0o600))
        except OSError as error:
            raise Unrecorded(f"{self.path}: it can't be written: {error.strerror}") from error

    def _require_no_database(self) -> None:
        # guard: no access is written into a ledger
        if is_database(self.path):
            raise Unrecorded(
                f"{self.path}: a ledger, or another SQLite database, is there; name another file"
            )

    def _append(self, line: bytes) -> None:
        is_new = not self.path.exists()
        file = os.open(self.path, _FLAGS, 0o600)
        try:
            size = os.fstat(file).st_size
            # What was cut short stays a line that nobody takes for a whole one.
            # guard: each access has a line to itself
            if size and os.pread(file, 1, size - 1) != b"\n":
                line = b"\n" + line
            if os.write(file, line) != len(line):
                raise OSError(0, "the line was cut short")
            # guard: on the disk before anything is shown
            os.fsync(file)
        finally:
            os.close(file)
        if is_new:
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
