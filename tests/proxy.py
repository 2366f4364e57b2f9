"""Between clients and PostgreSQL on TCP: connections that are cut, also at a COMMIT, or take longer."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import BinaryIO

_COMMIT = re.compile(rb"[QP].{4}.*\bcommit\b", re.DOTALL | re.IGNORECASE)
"""A query or a statement to be parsed that commits."""

_COMMITTED = b"C\0\0\0\x0bCOMMIT\0"
"""What the server answers to a COMMIT."""

_TLS, _GSS = (code.to_bytes(4) for code in (80877103, 80877104))


class Proxy(ThreadingTCPServer):
    """Forwards to a port of 127.0.0.1, message by message.

    ``delay`` is how many seconds each round trip takes longer; ``lost`` counts the COMMITs of which
    a client was not answered. Where it ``names_itself`` a client is told another process than the
    server's, as a pooler does.
    """

    def __init__(self, server_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.server_port = server_port
        self.port: int = self.server_address[1]
        self.delay = 0.0
        self.lost = 0
        self.names_itself = False
        self._arrives: list[bool] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._ended = threading.Event()

    def lose_commits(self, number: int = 1, *, arrives: bool = True) -> None:
        """Cut the connection at each of the next COMMITs.

        Where it arrives, the server has committed and answered, and the answer is kept from the
        client; otherwise the server never sees it, and rolls back. One that ``Bind`` names, of a
        prepared statement, is only seen where it arrives.
        """
        with self._lock:
            self._arrives += [arrives] * number

    def loses(self, *, arrives: bool) -> bool:
        """Whether this COMMIT, or the answer to it, is the next one to be lost."""
        with self._lock:
            if self._arrives[:1] != [arrives]:
                return False
            del self._arrives[0]
            self.lost += 1
            return True

    def cut(self) -> int:
        """Cut all connections; returns how many there were. New ones are taken."""
        with self._lock:
            ends = list(self._open)
        for end in ends:
            _shut(end)
        return len(ends) // 2

    def end(self) -> None:
        """Cut all connections, and take no more."""
        self.shutdown()
        self._ended.set()
        self.cut()

    def wait(self) -> None:
        """Wait for as long as a round trip takes longer."""
        self._ended.wait(self.delay)

    @contextmanager
    def holding(self, *ends: socket.socket) -> Iterator[None]:
        """The two ends of a connection, for as long as it is open."""
        with self._lock:
            self._open |= {*ends}
        if self._ended.is_set():
            self.cut()
        try:
            yield
        finally:
            with self._lock:
                self._open -= {*ends}


class _Connection(BaseRequestHandler):
    server: Proxy
    request: socket.socket

    def handle(self) -> None:
        client = self.request
        try:
            server = socket.create_connection(("127.0.0.1", self.server.server_port))
        except OSError:
            return
        with server, self.server.holding(client, server):
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            with client.makefile("rb") as asked, server.makefile("rb") as answered:
                answers = threading.Thread(target=self._answers, args=(answered, client, server))
                # Whoever is cut reads no further, and has nobody to write to.
                with suppress(OSError):
                    _introduce(asked, answered, client, server)
                    answers.start()
                    self._requests(asked, client, server)
                _shut(client, server)
                if answers.ident is not None:
                    answers.join()

    def _requests(self, asked: BinaryIO, client: socket.socket, server: socket.socket) -> None:
        for message in _messages(asked):
            if _COMMIT.match(message) and self.server.loses(arrives=False):
                return
            if message[:1] in b"QS":
                self.server.wait()
            server.sendall(message)

    def _answers(self, answered: BinaryIO, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            for message in _messages(answered):
                if message == _COMMITTED and self.server.loses(arrives=True):
                    break
                if message[:1] == b"K" and self.server.names_itself:
                    message = message[:5] + b"\0\0\0\x07" + message[9:]
                client.sendall(message)
        _shut(client, server)


def _introduce(
    asked: BinaryIO, answered: BinaryIO, client: socket.socket, server: socket.socket
) -> None:
    """What stands before the messages: whether there is TLS, which there is not, and who it is."""
    while True:
        size = asked.read(4)
        first = size + asked.read(int.from_bytes(size) - 4)
        server.sendall(first)
        if first[4:8] not in (_TLS, _GSS):
            return
        client.sendall(answered.read(1))


def _messages(stream: BinaryIO) -> Iterator[bytes]:
    """The messages of one side, each with its kind and its size."""
    while len(head := stream.read(5)) == 5:
        yield head + stream.read(int.from_bytes(head[1:]) - 4)


def _shut(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_of(server_port: int) -> Iterator[Proxy]:
    """A proxy on a port of its own: addresses that name the server's go through it with that."""
    with Proxy(server_port) as proxy:
        serving = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        serving.start()
        try:
            yield proxy
        finally:
            proxy.end()
            serving.join()
