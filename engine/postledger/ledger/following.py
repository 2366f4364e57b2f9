"""Following: who waits for events, and how they hear of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from postledger.errors import LedgerError
from postledger.model import StateChanged
from postledger.projections.changes import Page
from postledger.store.store import Lost

_SOONEST, _LATEST = 0.01, 0.25


class Bell:
    """Wakes those who wait for events, in the process that writes them, and where a server tells of them.

    ``listen`` is called with ``ring`` once anybody waits; what it returns, if anything, is closed in
    the end.
    """

    def __init__(self, listen: Callable[[Callable[[], object]], Any] = lambda _: None) -> None:
        self.ears: set[Callable[[], object]] = set()
        self.closed = False
        self._listen = listen
        self._listener: Any = None
        self._starting = threading.Lock()

    @contextmanager
    def heard_by(self, ear: Callable[[], object]) -> Iterator[None]:
        """Call ``ear``, from whichever thread writes, after each write."""
        self.ears.add(ear)
        try:
            self._start()
            yield
        finally:
            self.ears.discard(ear)

    def ring(self) -> None:
        """Say that something was written."""
        for ear in tuple(self.ears):
            ear()

    def close(self) -> None:
        """Say that nothing more will come: the ledger is closed."""
        self.closed = True
        self.ring()
        if self._listener is not None:
            self._listener.close()

    def _start(self) -> None:
        with self._starting:
            if self._listener is None and not self.closed:
                self._listener = self._listen(self.ring)
                if self.closed and self._listener is not None:
                    self._listener.close()


def patience() -> Iterator[float]:
    """How many seconds to wait for events of other processes before looking again."""
    delay = _SOONEST
    while True:
        yield delay
        delay = min(2 * delay, _LATEST)


def pages(
    read: Callable[[int], Page],
    after: int,
    *,
    bell: Bell,
    live: bool,
    heard: threading.Event,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Page]:
    """The pages after position ``after``; where ``live``, also those to come.

    Before it waits it yields an empty page. ``heard`` is set to look again at once, as the bell does.
    Ends when the ledger is closed or ``stopped`` says so.
    """
    waits = patience()
    with bell.heard_by(heard.set) if live else nullcontext():
        while not bell.closed and not stopped():
            heard.clear()
            try:
                page = read(after)
            except Lost:
                # A server that is started again comes back.
                if bell.closed or not live:
                    raise
                heard.wait(next(waits))
                continue
            except LedgerError:
                if bell.closed:
                    return
                raise
            yield page
            if page.until > after:
                after, waits = page.until, patience()
            elif not live:
                return
            else:
                heard.wait(next(waits))


def follow(
    read: Callable[[int], Page], after: int, *, bell: Bell, live: bool
) -> Iterator[StateChanged]:
    """The changes of those pages, one by one."""
    for page in pages(read, after, bell=bell, live=live, heard=threading.Event()):
        yield from page.changes
