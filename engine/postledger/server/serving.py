"""Serving: the receiver on uvicorn, in one process or several, until it is stopped.

The socket is bound before any process is made, and each process opens the ledger for itself: SQLite's
connections must not be carried through a fork. On SIGTERM and SIGINT no new connection is accepted,
what is in flight is finished, and the ledger is closed.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import multiprocessing
import os
import re
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from postledger.address import Location
from postledger.definitions.definitions import Definitions
from postledger.errors import PostledgerError, requires
from postledger.ledger.ledger import Ledger
from postledger.server.app import (
    LIMIT,
    PACKAGES,
    PATIENCE,
    Receiver,
    require_metrics,
    sources_of,
)
from postledger.server.senders import Senders
from postledger.server.senders_toml import load_senders

try:
    from uvicorn import Config, Server
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.protocols.http.auto import AutoHTTPProtocol
    from uvicorn.supervisors import Multiprocess
except ModuleNotFoundError as error:
    raise requires(f"serve requires {error.name}", PACKAGES) from None

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

CONNECTIONS = 900
"""How many connections a process has at once: many systems allow it 1024 files."""

HEAD = 64 << 10
"""Bytes of a request before its body, at most."""

_PIECE = 4 << 10
_STOPPING = 8
_BACKLOG = 2048
_STALLED = 12
_YOUNG = 10_000
"""So many new objects, of thousands of requests, are looked through for garbage at once."""
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Retry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)

_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)

_log = logging.getLogger("postledger.server")


@attrs.frozen
class Serving:
    """What is served, and how: what each process is given to begin with.

    >>> Serving(Path("deliveries.db")).host
    '127.0.0.1'
    """

    ledger: Location
    host: str = "127.0.0.1"
    port: int = 8000
    sources: tuple[str, ...] = ()
    senders: Path | None = None
    limit: int = LIMIT
    patience: float = PATIENCE
    workers: int = 1
    access_log: bool = True
    metrics: bool = False
    providers: tuple[str, ...] | None = None
    vocabulary: tuple[Path, ...] = ()


@attrs.frozen
class Mounted:
    """An app that is served next to the receiver, in its process, at ``/place`` and below.

    ``begin`` is called with its URL once the ledger is there, and may raise ``PostledgerError``;
    ``stop`` when no more requests are taken, to end answers that go on.
    """

    place: str
    app: ASGIApp
    begin: Callable[[str], None]
    stop: Callable[[], None]


def serve(
    serving: Serving, listening: Callable[[str], None], mounted: Mounted | None = None
) -> None:
    """Serve until SIGTERM or SIGINT; ``listening`` is called with a line of where and what.

    Raises ``PostledgerError`` where it can't begin: the ledger can't be opened, the senders file is
    wrong or lacks one of the sources, the address is taken or another machine's, a package is missing,
    others than this machine could post without any rule, or a source has the path of what is
    ``mounted``, which is for one process.
    """
    if serving.metrics:
        require_metrics()
    senders = load_senders(serving.senders) if serving.senders else None
    if senders:
        _require_named(serving, senders)
    else:
        _require_loopback(serving)
    named = {*serving.sources, *(senders.sources if senders else ())}
    with bound(serving.host, serving.port) as sock:
        definitions = _in_force(serving)
        # They are named here, so that all processes have the same.
        sources = tuple(sorted(named or sources_of(definitions)))
        _require_apart(sources, mounted)
        _log_to_stderr(serving)
        for text in _unserved(senders, definitions) if senders else ():
            _log.warning("%s: %s", serving.senders, text)
        paths = ", ".join(f"/{source}" for source in sources)
        listening(f"listening on {url_of(sock)}: {paths}")
        if mounted is not None:
            mounted.begin(f"{url_of(sock)}/{mounted.place}/")
        app = partial(_app, attrs.evolve(serving, sources=sources), mounted)
        config = config_of(app, _STOPPING, factory=True, workers=serving.workers)
        _run(config, sock, mounted.stop if mounted is not None else _nothing)


def config_of(app: Callable[..., Any], stopping: int, **more: Any) -> Config:
    """How uvicorn serves an app that has ``counts`` and ``patience``; ``stopping`` are seconds."""
    return Config(
        app,
        interface="asgi3",
        http=_Bounded,
        h11_max_incomplete_event_size=HEAD,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=stopping,
        **more,
    )


class Front:
    """What a connection is for: an app, and what it counts and waits for.

    ``counts`` are the answers by source and status, ``patience`` is how many seconds a client may take
    for the head of a request. What is ``mounted`` takes the requests to its paths, and no others.
    """

    def __init__(
        self,
        app: ASGIApp,
        mounted: Mounted | None = None,
        counts: Counter[tuple[str, str]] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._app, self._mounted = app, mounted
        self.counts = Counter[tuple[str, str]]() if counts is None else counts
        self.patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to whose path it has."""
        app, one = self._app, self._mounted
        if one is not None and scope["type"] == "http":
            root = f"/{one.place}"
            # guard: what is mounted takes its own paths alone
            if f"{scope['path']}/".startswith(f"{root}/"):
                app = one.app
                path = f"{root}/" if scope["path"] == root else scope["path"]
                scope = {**scope, "path": path, "root_path": root}
        await app(scope, receive, send)


@contextmanager
def until_stopped(log: logging.Logger) -> Iterator[None]:
    """SIGTERM and SIGINT end what runs within, without a traceback; that it ended is logged."""
    # uvicorn stops by itself, and raises the signal again when all is done.
    signal.signal(signal.SIGTERM, _end)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        log.info("stopped")


def _nothing() -> None:
    """What there is to stop where nothing is mounted."""


def run(config: Config, sock: socket.socket, stop: Callable[[], None]) -> None:
    """Serve in this process; ``stop`` is called when no more requests are taken."""
    _Stopped(config, stop).run([sock])


class _Stopped(Server):
    """A server that ends the answers that go on when it stops: else it would wait for them."""

    def __init__(self, config: Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, and wait for what is in flight."""
        self._stop()
        await super().shutdown(sockets)


def _run(config: Config, sock: socket.socket, stop: Callable[[], None]) -> None:
    with until_stopped(_log):
        if config.workers > 1:
            supervisor = _Supervisor(config, [sock])
            supervisor.run()
            # It has stopped the others; whoever watches over it is to start it again.
            # guard: a process that can't start is a failure
            if any(one.exitcode == STARTUP_FAILURE for one in supervisor.processes):
                raise PostledgerError("a process could not be started; the log says why")
        else:
            run(config, sock, stop)


class _Supervisor(Multiprocess):
    """What starts a process again that ended, and logs it."""

    def keep_subprocess_alive(self) -> None:
        before = list(self.processes)
        super().keep_subprocess_alive()
        for old, new in zip(before, self.processes, strict=True):
            if old is not new:
                text = "process %s ended (exit code %s); process %s takes its place"
                _log.warning(text, old.pid, old.exitcode, new.pid)


def _end(*_: object) -> NoReturn:
    sys.exit(0)


def _app(serving: Serving, mounted: Mounted | None = None) -> Receiver | Front:
    """The app of one process; it opens the ledger when it starts."""
    # guard: no process outlives the first
    if first := multiprocessing.parent_process():
        threading.Thread(target=_end_after, args=(first,), daemon=True).start()
    _log_to_stderr(serving)
    senders = load_senders(serving.senders) if serving.senders else None
    if senders is not None:
        # The file may have been written anew since the first process read it.
        _require_named(serving, senders)
    app = Receiver(
        serving.ledger,
        sources=serving.sources,
        senders=senders,
        limit=serving.limit,
        patience=serving.patience,
        metrics=serving.metrics,
    )
    # To look through all that was imported for garbage took 60 ms each time, in which nobody is answered.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
    return app if mounted is None else Front(app, mounted, app.counts, app.patience)


def _log_to_stderr(serving: Serving) -> None:
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form)
    # Its lowest levels log paths and headers.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if not serving.access_log:
        logging.getLogger("postledger.server.access").setLevel(logging.WARNING)


def _end_after(first: BaseProcess) -> None:
    """Stop when the first process is gone: its successor could not listen where this one does."""
    first.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _in_force(serving: Serving) -> Definitions:
    """The definitions that the ledger reads by. Makes a new ledger."""
    path, words = serving.ledger, serving.vocabulary
    with Ledger(path, providers=serving.providers, vocabulary=words) as ledger:
        return ledger.definitions


def _unserved(senders: Senders, definitions: Definitions) -> Iterator[str]:
    """The mismatches between the file of senders and the vocabularies in force, a line each."""
    known = sources_of(definitions)
    if strange := ", ".join(sorted(senders.sources.keys() - known)):
        yield f"sources that no vocabulary is named after: {strange}; all read what they receive"
    if without := ", ".join(f"/{name}" for name in sorted(known - senders.sources.keys())):
        yield f"vocabularies in force without a source of their name: nothing is served at {without}"


def _require_named(serving: Serving, senders: Senders) -> None:
    # guard: no source without rules next to those that have some
    if without := sorted({*serving.sources} - senders.sources.keys()):
        raise PostledgerError(
            f"--source {without[0]}: {serving.senders} has no rules for it; write"
            f" [[sources.{without[0]}.checks]] there, or leave --source out"
        )


def _require_apart(sources: tuple[str, ...], mounted: Mounted | None) -> None:
    # guard: no source is hidden by what is mounted
    if mounted is not None and mounted.place in sources:
        raise PostledgerError(
            f"/{mounted.place} is the path of the source {mounted.place!r}; leave --{mounted.place}"
            f" out, and serve it by itself: postledger {mounted.place}"
        )


def _require_loopback(serving: Serving) -> None:
    # guard: nobody but this machine posts without rules
    if not is_loopback(serving.host):
        named = ", ".join(sorted(set(serving.sources))) or "it"
        raise PostledgerError(
            f"--host {serving.host}: anybody could post to {named}; write rules in a file for"
            " --senders, or leave --host out"
        )


def is_loopback(host: str) -> bool:
    """Whether an address is reached by this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens; raises ``PostledgerError`` where it can't."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    foreign = f"--host {host}: it is not an address of this machine; write one, or 127.0.0.1"
    try:
        socket.getaddrinfo(host, None, family)
    except (OSError, UnicodeError):
        is_name = re.search("[^0-9.:]", host)
        unknown = f"--host {host}: the name can't be resolved"
        raise PostledgerError(unknown if is_name else foreign) from None
    try:
        sock = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.EADDRNOTAVAIL:
            raise PostledgerError(foreign) from None
        # socket.create_server adds the address as Python writes it.
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (while ")[0]
        raise PostledgerError(f"can't listen on {host}:{port}: {reason}") from None
    sock.set_inheritable(True)
    return sock


def url_of(sock: socket.socket) -> str:
    """Where a socket listens."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Bounded(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """A connection of uvicorn's: one of a bounded number, and closed where nothing goes on.

    ``app`` is the receiver, or a ``Front``. Headers must be there after one to two times its patience,
    in seconds, and in 64 KiB: httptools keeps what comes, as long as it comes. h11 has a bound of its
    own.
    """

    _since = 0
    """Bytes since httptools last had a whole head, a whole request or some of a body."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin, or turn away where there are too many."""
        super().connection_made(transport)
        # guard: number of connections bounded
        if len(self.connections) > CONNECTIONS:
            _log.warning("503: more than %d connections", CONNECTIONS)
            self.app.counts["", "503"] += 1
            transport.write(_BUSY)
            transport.close()
        else:
            self._look(None, 0)

    def data_received(self, data: bytes) -> None:
        """Hand on the data piece by piece until the connection is closing or the head is too long."""
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            self._since += len(piece)
            super().data_received(piece)
            if self.transport.is_closing():
                return
            # A piece may hold the end of one thing and the beginning of another.
            # guard: heads bounded
            if self._is_httptools and self._since > HEAD - 2 * _PIECE:
                self._refuse()
                return

    @property
    def _is_httptools(self) -> bool:
        return hasattr(self, "parser")

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._since = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of the body is there; how much of it is taken the receiver sees to."""
        self._since = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there, and what may stand behind the body."""
        self._since = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or what h11 finds too long."""
        # guard: what h11 finds too long is answered as such
        if getattr(sys.exc_info()[1], "error_status_hint", 400) == 431:
            self._refuse()
        else:
            super().send_400_response(msg)

    def _refuse(self) -> None:
        _log.warning("431: a request has more than %d bytes before or behind its body", HEAD)
        self.app.counts["", "431"] += 1
        self.transport.write(_TOO_LONG)
        self.transport.close()

    def _look(self, before: Any, looks: int) -> None:
        """Close the connection if nothing was finished since the last look."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        is_idle = cycle is None or cycle.response_complete
        same = before is not None and before == (cycle, is_idle)
        # An answer that goes on, and is read, is not stalled.
        if same and not is_idle and cycle.response_started:
            same = self.transport.get_write_buffer_size() > 0
        # guard: slow headers cut off
        if same and (is_idle or looks > _STALLED):
            self.transport.abort()
            return
        self.loop.call_later(
            self.app.patience, self._look, (cycle, is_idle), looks + 1 if same else 0
        )
