"""Ending: a command that is ended from outside undoes what it had begun."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_FROM_OUTSIDE = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def in_order() -> Iterator[None]:
    """Let the signals that end a process end what runs within first: so no partial file stays.

    Then the process ends by that signal, as it would have at once. Who has set another handler, or sets
    one within, keeps it meanwhile.
    """
    # Only there can it be done; an embedding program sees to its own signals.
    main = threading.current_thread() is threading.main_thread()
    caught = [one for one in _FROM_OUTSIDE if main and signal.getsignal(one) is signal.SIG_DFL]
    came: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        came.append(number)
        # A second one breaks off nothing.
        for one in caught:
            signal.signal(one, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for one in caught:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in caught:
            signal.signal(one, signal.SIG_DFL)
        if came:
            os.kill(os.getpid(), came[0])
