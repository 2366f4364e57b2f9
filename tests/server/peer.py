"""The other side of a forwarder: a real HTTP server that keeps what it gets.

In a test it is a ``Peer``, in a thread, with answers of one's choice. As a program
(``python -m tests.server.peer PORT FILE SEED``) it writes each message to a file, synced, before it
answers, and now and then answers 500 instead, or closes the connection without a word.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self


class Got(NamedTuple):
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str:
        """Its ``webhook-id``."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def about(self) -> str:
        """The delivery of its CloudEvent."""
        return str(self.event["subject"])


class Reply(NamedTuple):
    """What is answered."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes = b""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        got = Got(self.path, headers, self.rfile.read(length))
        reply = self.server.answer(got)  # type: ignore[attr-defined]
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, answer: Callable[[Got], Reply | None]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answer = answer

    def handle_error(self, *_: object) -> None:
        """A client that is gone is not the server's fault."""


class Peer:
    """A server of a test, which keeps what it got in order; ``answer`` says what is answered."""

    def __init__(self, answer: Callable[[Got], Reply | None] = lambda _: Reply()) -> None:
        self.got: list[Got] = []
        self.taken: list[Got] = []
        self.answer = answer
        self._lock = threading.Lock()
        self._server = _Server(0, self._answer)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"

    def _answer(self, got: Got) -> Reply | None:
        with self._lock:
            self.got.append(got)
        reply = self.answer(got)
        if reply is not None and 200 <= reply.status <= 299:
            with self._lock:
                self.taken.append(got)
        return reply

    def __enter__(self) -> Self:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def main(port: int, path: str, seed: int) -> None:
    """Serve until killed; prints a line when it is ready."""
    dice, lock = random.Random(seed), threading.Lock()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def answer(got: Got) -> Reply | None:
        with lock:
            luck = dice.random()
            if luck < 0.05:
                return Reply(500)
            line = json.dumps([got.key, got.about, got.event["data"]["position"]]) + "\n"
            os.write(file, line.encode())
            os.fsync(file)
        return None if luck < 0.1 else Reply()

    server = _Server(port, answer)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
