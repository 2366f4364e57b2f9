"""Backfill: what was committed goes from the write-ahead log to the database, and nobody waits for it.

SQLite would do it in the commit that makes the write-ahead log long, whose caller and all after it then
wait for the disk. It still does where this falls far behind, so that the log stays bounded.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from postledger.errors import PostledgerError
from postledger.store.opening import translated
from postledger.store.store import Backlog, Store

_log = logging.getLogger("postledger")


class Backfill:
    """A thread of its own that backfills a file when writers ask for it; it starts with the first time.

    ``open_store`` opens the connection that it uses. Those who write count in its ``backlog``.
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self.backlog = Backlog(self._ask)
        self._open_store = open_store
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._process = os.getpid()

    def _ask(self) -> None:
        self._asked.set()
        with self._lock:
            if self._thread is None and not self._closed and os.getpid() == self._process:
                thread = threading.Thread(target=self._run, name="postledger backfill", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    # There are too many threads; what was written is durable all the same.
                    _log.warning("backfilling: %s", error)
                else:
                    self._thread = thread

    def close(self) -> None:
        """End it, once it is done with what is in hand."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._asked.set()
        if thread is not None and os.getpid() == self._process:
            thread.join()

    def _run(self) -> None:
        try:
            store = self._open_store()
        except PostledgerError as error:
            _log.info("%s", error)
            with self._lock:
                # Whoever asks next tries again.
                self._thread = None
            return
        try:
            while not self._closed:
                self._asked.wait()
                self._asked.clear()
                try:
                    with translated(store.path):
                        store.backfill()
                except PostledgerError as error:
                    # The commits that follow meet what is wrong too, and say so.
                    _log.info("%s: backfilling: %s", store.path, error)
        finally:
            store.close()
