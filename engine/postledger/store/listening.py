"""Listening: a server tells each process that follows a ledger when another wrote to it."""

from __future__ import annotations

import os
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import psycopg

from postledger.errors import LedgerError

_AGAIN = 5.0
"""Seconds after which it is tried again to connect."""


class Listener:
    """A thread that calls ``ring`` after each write to a ledger on a server, by whichever process.

    It has a connection of its own. As long as there is none, followers look by themselves all the same.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        listen: str,
        ring: Callable[[], object],
    ) -> None:
        self._connect, self._listen, self._ring = connect, listen, ring
        self._ended, self._end = socket.socketpair()
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="postledger listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; one that is just connecting ends when it has."""
        if os.getpid() == self._process:
            with suppress(OSError):
                self._end.send(b"\0")
            self._thread.join(1.0)

    def _run(self) -> None:
        with self._ended, self._end:
            while True:
                try:
                    self._hear()
                    return
                except psycopg.OperationalError:
                    self._ended.settimeout(_AGAIN)
                    with suppress(TimeoutError):
                        self._ended.recv(1)
                        return
                except (psycopg.Error, LedgerError):
                    # As of a standby, which has no LISTEN: it would be the same again.
                    return

    def _hear(self) -> None:
        with closing(self._connect()) as conn, selectors.DefaultSelector() as either:
            conn.execute(self._listen)
            either.register(self._ended, selectors.EVENT_READ)
            either.register(conn, selectors.EVENT_READ)
            # Something may have been written before.
            self._ring()
            while not any(key.fileobj is self._ended for key, _ in either.select()):
                conn.pgconn.consume_input()
                while conn.pgconn.notifies() is not None:
                    pass
                self._ring()
