"""The receiver: postbacks by HTTP into a ledger, an ASGI app to mount anywhere or to serve alone.

It answers 200 after the commit and at no other time. What is not recorded is refused with a status
that makes a provider send again where that helps, logged by ``postledger.server``, and counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from ipaddress import IPv6Address, ip_network
from typing import TYPE_CHECKING

import attrs

from postledger.address import Location
from postledger.arguments import FilePath, checked, require_least
from postledger.definitions.definitions import Definitions
from postledger.definitions.vocabulary import Reads
from postledger.errors import LedgerError, requires
from postledger.ledger.aio import AsyncLedger
from postledger.model import UNVERIFIED
from postledger.server.addresses import Address, Network, address_of
from postledger.server.senders import (
    RESERVED,
    RESPONSE,
    Judgement,
    Posted,
    Rules,
    Senders,
    require_source,
)
from postledger.store.store import Lost

PACKAGES = " ".join(
    (
        "httptools",
        "prometheus-client",
        "starlette",
        "uvicorn",
        *("uvloop",) * (sys.platform != "win32"),
    )
)
"""The packages of the extra ``server``, as pip takes them."""

try:
    from starlette.datastructures import Headers
    from starlette.requests import ClientDisconnect
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Router
    from starlette.types import Receive, Scope, Send
except ModuleNotFoundError as error:
    raise requires(f"the receiver requires {error.name}", PACKAGES) from None

if TYPE_CHECKING:
    from prometheus_client import Metric

LIMIT = 10 << 20
"""Bytes of the largest body that is taken, unless another limit is given."""

IN_FLIGHT = 64 << 20
"""Bytes of bodies that are held at once while they are read and recorded, or the limit if it is more."""

PATIENCE = 30.0
"""Seconds in which a client must have sent its body."""

BUSY_TIMEOUT = 5.0
"""Seconds that a write waits for another's: a provider waits ten."""

_LONGEST_HEADER = 1024
"""Bytes of a Content-Type or Content-Encoding, at most: these are kept next to the body."""

_LINGER = 1 << 20
_LARGE = 64 << 10
"""Bytes of a body that the event loop itself looks through: a larger one takes up to a second."""

_NETWORK = 64
"""Bits of the network that one client of IPv6 usually has for itself (RFC 6177)."""

_EVENT = 300
_HOUR, _DAY = 3_600, 86_400
_RECENT = 10.0
_SHORT = re.compile(r"[A-Za-z0-9_-]{1,40}")
_METHODS = {"GET", "POST"}
_KNOWN_METHODS = _METHODS | {"HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}

_log = logging.getLogger("postledger.server")
_access = logging.getLogger("postledger.server.access")


@attrs.define
class _Exchange:
    """A request as far as it was read, and what is noted of it.

    ``place`` and ``rest`` are the parts of its path, ``source`` is the place where it names one.
    ``size`` is how many bytes of its body came, ``held`` how many of them are in memory. ``client`` is
    whose bytes they are: the address, or the network that one client has of IPv6.
    """

    scope: Scope
    method: str
    place: str
    rest: str | None
    posted: Posted
    source: str = ""
    size: int = 0
    held: int = 0
    client: Address | Network | None = attrs.field(init=False)

    @client.default
    def _client_of_address(self) -> Address | Network | None:
        address = self.posted.address
        if isinstance(address, IPv6Address):
            return ip_network((address, _NETWORK), strict=False)
        return address

    def shows(self, path: str) -> None:
        """Have whatever logs the request show that path, and no query."""
        shown = f"{self.scope.get('root_path', '')}/{path}"
        self.scope.update(path=shown, raw_path=shown.encode(), query_string=b"")


@attrs.define
class Refusal(Exception):
    """An answer that is not 200: a status, a text, headers; and what the log says instead of the text."""

    status: int
    answer: str
    log: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict)


class Receiver:
    """An ASGI app that records what is posted to ``/SOURCE``, for each of the ``sources``.

    ``ledger`` is a path, or an ``AsyncLedger``: one that isn't open is opened and closed by the
    app's lifespan, and opened again by the next. ``sources`` are by default those that ``senders``
    names, or else the vocabularies in force. ``senders`` says who may post (see ``load_senders``);
    a source that it doesn't name takes from everybody. ``limit`` is the size in bytes of the
    largest body, ``in_flight`` that of all bodies at once (64 MiB, or ``limit`` where that is
    more), of which one address may hold a quarter, or ``limit``; ``patience`` is the seconds in
    which a body must be there. ``/livez`` and ``/readyz`` answer for whoever watches the server,
    and with ``metrics`` also ``/metrics``.
    Raises ``TypeError`` or ``ValueError`` for invalid arguments, ``PostledgerError`` for ``metrics``
    without prometheus-client.

    ``counts`` has the answers by source and status (``200``, ``413``); what names no source has those
    of an empty one. ``unverified`` has the requests by source that were recorded though no check
    passed.

    >>> from postledger.server import receiver
    >>> from starlette.testclient import TestClient
    >>> app = receiver("received.db")
    >>> with TestClient(app) as client:
    ...     client.post("/skycore", content=body).status_code
    200
    >>> app.counts
    Counter({('skycore', '200'): 1})
    >>> with Ledger("received.db") as received:
    ...     received.delivery("TU1TXzU5Nzg3OQ==").state
    'delivered'
    """

    @checked
    def __init__(
        self,
        ledger: AsyncLedger | FilePath | Location,
        *,
        sources: Iterable[str] | None = None,
        senders: Senders | None = None,
        limit: int = LIMIT,
        in_flight: int | None = None,
        patience: float = PATIENCE,
        metrics: bool = False,
    ) -> None:
        require_least("limit", limit, 1)
        self._limit, self._in_flight = limit, max(limit, IN_FLIGHT)
        if in_flight is not None:
            require_least("in_flight", in_flight, limit)
            self._in_flight = in_flight
        if not 0 < patience <= _DAY:
            raise ValueError(f"patience must be above 0, at most {_DAY}, got {patience}")
        if metrics:
            require_metrics()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.unverified: Counter[str] = Counter()
        self._ledger = (
            ledger if isinstance(ledger, AsyncLedger) else AsyncLedger(ledger, timeout=BUSY_TIMEOUT)
        )
        self._senders = senders or Senders({})
        self._sources = _named(sources, self._senders)
        self.patience = patience
        self._metrics = metrics
        self._share = max(limit, self._in_flight // 4)
        self._held, self._held_by = 0, Counter[Address | Network | None]()
        self._hour, self._charged = -1, Counter[str]()
        self._failure: tuple[float, LedgerError] | None = None
        # For what is not a request: lifespan and web sockets.
        self._router = Router(lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: object) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if _path_of(self._ledger) is None:
                await stack.enter_async_context(self._ledger)
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        began, exchange = time.perf_counter(), self._exchange(scope)
        response: Response | None = None
        try:
            response = await self._answer(exchange, receive)
        except Refusal as refusal:
            response = self._refused(exchange, refusal)
        except ClientDisconnect:
            _log.info("a client went away before its request was read")
        except Exception:
            # The server answers it with 500, and logs what it was.
            self._note(exchange, "500", began)
            raise
        finally:
            self._release(exchange)
        self._note(exchange, str(response.status_code) if response else "disconnected", began)
        if response:
            await response(scope, receive, send)

    def _exchange(self, scope: Scope) -> _Exchange:
        headers, path, proxies = Headers(scope=scope), scope["path"], self._senders.proxies
        query: bytes = scope.get("query_string", b"")
        raw = scope.get("raw_path") or path.encode()
        forwarded = headers.getlist("x-forwarded-for") if proxies else ()
        address = address_of((scope.get("client") or (None,))[0], forwarded, proxies)
        place, _, rest = path.removeprefix(scope.get("root_path", "")).strip("/").partition("/")
        url = (raw + b"?" + query if query else raw).decode("latin-1")
        is_query = scope["method"] == "GET"
        posted = Posted(url, query, headers, b"", address, rest or None, is_query=is_query)
        exchange = _Exchange(scope, scope["method"], place, rest or None, posted)
        # guard: paths that may hold a secret in no log
        exchange.shows("-")
        return exchange

    async def _answer(self, exchange: _Exchange, receive: Receive) -> Response:
        if exchange.place in RESERVED:
            return await self._own(exchange)
        rules = self._admitted(exchange)
        size = _kept_of(exchange.posted.headers) + _EVENT
        if rules is None or exchange.rest == RESPONSE:
            body = await self._body(exchange, receive, self._limit)
            await self._record(exchange, body, RESPONSE if rules else "")
            return _RECORDED
        # guard: no body is held of a sender that can't pass
        if rules.refuse and (
            failed := rules.judge(exchange.posted, time.time(), is_read=False).failed
        ):
            with suppress(Refusal):
                await self._body(exchange, receive, 0)
            raise _unknown(exchange.source, rules, failed)
        body = await self._body(exchange, receive, self._limit)
        judged = await _judged(rules, attrs.evolve(exchange.posted, body=body))
        if judged.sender != UNVERIFIED:
            await self._record(exchange, body, judged.sender)
            return _RECORDED
        refusal = _unknown(exchange.source, rules, judged.failed)
        if rules.refuse:
            raise refusal
        with self._charged_for(exchange.source, rules.quota, size + len(body)):
            await self._record(exchange, body, judged.sender)
        self.unverified[exchange.source] += 1
        address = exchange.posted.address
        _log.warning("unverified for %s from %s: %s", exchange.source, address, refusal.log)
        return _RECORDED

    def _admitted(self, exchange: _Exchange) -> Rules | None:
        """The rules of the source, if any; raises where there is nothing at that path."""
        if exchange.place not in self._names():
            raise Refusal(404, "this path names no source", self._meant(exchange.place))
        exchange.source, is_response = exchange.place, exchange.rest == RESPONSE
        exchange.shows(f"{exchange.source}/{RESPONSE}" if is_response else exchange.source)
        rules = self._senders.sources.get(exchange.source)
        takes_rest = not rules or rules.response if is_response else rules and rules.in_path
        if exchange.rest and not takes_rest:
            raise Refusal(404, "nothing is taken below this source")
        allowed = {"POST"} if is_response else _METHODS
        if exchange.method not in allowed:
            names = ", ".join(sorted(allowed))
            raise Refusal(405, f"this takes {names}", headers={"Allow": names})
        # guard: a look by a browser is not an event
        if exchange.method == "GET" and not exchange.posted.query:
            raise Refusal(400, "this takes POST, or GET with a query")
        if is_response and rules and not rules.may_respond(exchange.posted):
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Refusal(401, "the token is not right", headers=challenge)
        return rules

    def _meant(self, place: str) -> str:
        """What the log says of a path that differs from a source by case alone: others may be secrets."""
        meant = next((name for name in self._names() if name.lower() == place.lower()), None)
        if meant is None or not _SHORT.fullmatch(place):
            return ""
        return f"/{place} names no source, /{meant} does"

    def _names(self) -> frozenset[str]:
        """The sources; read once where they are those of the vocabularies in force."""
        if self._sources is None:
            try:
                definitions = self._ledger.definitions
            except LedgerError as error:
                raise self._failed(error) from error
            self._sources = sources_of(definitions)
        return self._sources

    async def _body(self, exchange: _Exchange, receive: Receive, limit: int) -> bytes:
        """The body as received, or the query; of one that is too large nothing stays in memory."""
        if exchange.posted.is_query:
            if len(exchange.posted.query) > limit:
                raise self._too_large()
            return exchange.posted.query
        stated = exchange.posted.headers.get("content-length", "")
        if stated.isdecimal() and (len(stated) > 18 or int(stated) > limit + _LINGER):
            raise self._too_large()
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(self.patience):
                while more:
                    chunk, more = await _chunk(receive)
                    exchange.size += len(chunk)
                    # guard: a body is cut off at the limit
                    if exchange.size > limit:
                        body.clear()
                        self._release(exchange)
                        # Who sends a little more reads the answer; who goes on is cut off.
                        more = more and exchange.size <= limit + _LINGER
                    else:
                        self._hold(exchange, len(chunk))
                        body += chunk
        except TimeoutError:
            raise Refusal(408, f"the body was not there in {self.patience:g} seconds") from None
        if exchange.size > limit:
            raise self._too_large()
        return bytes(body)

    def _too_large(self) -> Refusal:
        return Refusal(413, f"at most {self._limit} bytes are taken")

    def _hold(self, exchange: _Exchange, size: int) -> None:
        # guard: bytes in flight bounded
        if self._held + size > self._in_flight:
            raise Refusal(503, "too many bytes are being recorded", headers=_soon(1))
        # guard: one address holds a part of them
        if self._held_by[exchange.client] + size > self._share:
            raise Refusal(503, "too many bytes of this address are recorded", headers=_soon(1))
        self._held += size
        self._held_by[exchange.client] += size
        exchange.held += size

    def _release(self, exchange: _Exchange) -> None:
        self._held -= exchange.held
        self._held_by[exchange.client] -= exchange.held
        if not self._held_by[exchange.client]:
            del self._held_by[exchange.client]
        exchange.held = 0

    @contextmanager
    def _charged_for(self, source: str, quota: int, size: int) -> Iterator[None]:
        """Count what is unverified towards the quota of this hour, unless it can't be recorded."""
        hour, seconds = divmod(int(time.monotonic()), _HOUR)
        if hour != self._hour:
            self._hour, self._charged = hour, Counter()
        charged = self._charged
        # guard: unverified events up to a quota
        if charged[source] + size > quota:
            reason = f"{quota} bytes of unknown senders were recorded in this hour"
            raise Refusal(429, reason, headers=_soon(_HOUR - seconds))
        # Before it is recorded: many are at the same time.
        charged[source] += size
        try:
            yield
        except Refusal:
            charged[source] -= size
            raise

    async def _record(self, exchange: _Exchange, body: bytes, sender: str) -> None:
        headers = exchange.posted.headers
        try:
            await self._ledger.record(
                body,
                headers.get("content-type"),
                source=exchange.source,
                content_encoding=headers.get("content-encoding"),
                sender=sender,
                query=exchange.posted.is_query,
                answer=False,
            )
        except LedgerError as error:
            raise self._failed(error) from error
        self._failure = None

    def _failed(self, error: LedgerError) -> Refusal:
        self._failure = (time.monotonic(), error)
        return Refusal(503, "the ledger can't record now", str(error), _soon(5))

    # --- for whoever watches the server ---

    async def _own(self, exchange: _Exchange) -> Response:
        exchange.shows(exchange.place)
        if exchange.rest or (exchange.place == "metrics" and not self._metrics):
            raise Refusal(404, "this path names no source")
        if exchange.method not in ("GET", "HEAD"):
            raise Refusal(405, "this takes GET", headers={"Allow": "GET, HEAD"})
        if exchange.place == "readyz":
            return await self._ready()
        return _OK if exchange.place == "livez" else await self._measured()

    async def _ready(self) -> Response:
        """Whether the ledger can be read, and took what came last."""
        reason: LedgerError | None = None
        try:
            # What is no longer there can be read as long as it is open.
            # guard: a ledger that was moved away is not ready
            self._ledger._opened._connections.require_there()
            await self._ledger.head()
        except LedgerError as error:
            reason = error
        if reason is None and self._failure and time.monotonic() - self._failure[0] < _RECENT:
            reason = self._failure[1]
        if reason is None:
            return _OK
        if isinstance(reason, Lost):
            # Where the server is concerns nobody who asks.
            return PlainTextResponse("the ledger can't be reached now", 503)
        return PlainTextResponse(str(reason).removeprefix(f"{_path_of(self._ledger)}: "), 503)

    async def _measured(self) -> Response:
        """What Prometheus reads: of the ledger, and of the requests to this process."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

        from postledger.server.metrics import collector

        registry = CollectorRegistry()
        registry.register(self)
        try:
            registry.register(collector(self._ledger._opened))
            text = await asyncio.to_thread(generate_latest, registry)
        except LedgerError as error:
            raise Refusal(503, "the ledger can't be read now", str(error), _soon(5)) from error
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    def collect(self) -> Iterator[Metric]:
        """The counts, as a collector of prometheus-client yields them."""
        from prometheus_client.core import CounterMetricFamily

        labels, worker = ("source", "outcome", "worker"), str(os.getpid())
        family = CounterMetricFamily("postledger_requests", "Requests by outcome.", labels=labels)
        # A copy: it is read in a thread while others are counted.
        for (source, outcome), count in tuple(self.counts.items()):
            family.add_metric((source, outcome, worker), count)
        yield family
        said = "Requests that were recorded though no check passed."
        unverified = CounterMetricFamily(
            "postledger_unverified_requests", said, labels=("source", "worker")
        )
        for source, count in tuple(self.unverified.items()):
            unverified.add_metric((source, worker), count)
        yield unverified

    def _refused(self, exchange: _Exchange, refusal: Refusal) -> Response:
        why, where = refusal.log or refusal.answer, exchange.source or "-"
        _log.warning("%d for %s from %s: %s", refusal.status, where, exchange.posted.address, why)
        # The body may not have been read, so that nothing else can follow on this connection.
        headers = {"Connection": "close", **refusal.headers}
        return PlainTextResponse(refusal.answer, refusal.status, headers)

    def _note(self, exchange: _Exchange, outcome: str, began: float) -> None:
        if exchange.place not in RESERVED:
            self.counts[exchange.source, outcome] += 1
        if _access.isEnabledFor(logging.INFO):
            _access.info(
                "%s %s %s %d bytes %.1f ms %s",
                exchange.method if exchange.method in _KNOWN_METHODS else "?",
                exchange.scope["path"],
                outcome,
                exchange.size,
                (time.perf_counter() - began) * 1000,
                exchange.posted.address,
            )


def require_metrics() -> None:
    """Raise ``PostledgerError`` where prometheus-client is missing, with the command that installs it."""
    import postledger.server.metrics  # noqa: F401


_OK = PlainTextResponse("OK")
# Nothing but the head: servers write a body by a second call of the operating system.
_RECORDED = Response()


def sources_of(definitions: Definitions) -> frozenset[str]:
    """The names of the vocabularies that read what providers send.

    >>> sorted(sources_of(ledger.definitions))
    ['sinch', 'skycore']
    """
    return frozenset(v.name for v in definitions.vocabularies if v.reads is Reads.RECEIPTS)


def _named(sources: Iterable[str] | None, senders: Senders) -> frozenset[str] | None:
    """The sources by name; ``None`` where they are those of the vocabularies in force."""
    if sources is None and not senders.sources:
        return None
    names = frozenset(sources or ()) | senders.sources.keys()
    for name in names:
        require_source(name)
    return names


def _path_of(ledger: AsyncLedger) -> Location | None:
    """Where it is; ``None`` while it is not open."""
    try:
        return ledger.path
    except LedgerError:
        return None


def _kept_of(headers: Mapping[str, str]) -> int:
    """The bytes of the headers that are kept; raises where one is too long."""
    sizes = {
        name: len(headers.get(name, "").encode()) for name in ("content-type", "content-encoding")
    }
    for name, size in sizes.items():
        # guard: headers that are kept are short
        if size > _LONGEST_HEADER:
            raise Refusal(431, f"{name} has more than {_LONGEST_HEADER} bytes")
    return sum(sizes.values())


async def _chunk(receive: Receive) -> tuple[bytes, bool]:
    """The next bytes of a body, and whether more follow."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)


async def _judged(rules: Rules, posted: Posted) -> Judgement:
    """Who posted; a large body is looked through while others are answered."""
    # guard: a large body is looked through in a thread
    if len(posted.body) <= _LARGE:
        return rules.judge(posted, time.time())
    return await asyncio.to_thread(rules.judge, posted, time.time())


def _unknown(source: str, rules: Rules, failed: Iterable[str]) -> Refusal:
    """The answer to a sender that is not known; browsers and some providers wait to be asked."""
    challenge = {"WWW-Authenticate": f'Basic realm="{source}"'} if rules.by_basic else {}
    said = "the sender is not known"
    return Refusal(401, said, f"{said}: {', '.join(failed)} failed", challenge)


def _soon(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}
