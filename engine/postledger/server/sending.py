"""One attempt: an HTTP request to an address that may be reached, and what its answer means."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any

import attrs

from postledger.errors import PostledgerError, requires
from postledger.server.addresses import Address, is_within, networks_of
from postledger.server.schedule import seconds_of
from postledger.server.signing import read_secret

try:
    import httpcore2
    import httpx2
except ImportError:  # pragma: no cover
    raise requires("forwarding requires HTTPX 2", "httpx2") from None

if TYPE_CHECKING:
    from httpcore2 import AsyncNetworkStream

CONNECT, ANSWER = 10.0, 20.0
"""Seconds that a connection may take, and an attempt as a whole."""

MOST_READ, DRAIN = 16 << 10, 1.0
"""Bytes of an answer that are read, and the seconds that this may take: only the status counts."""

_GONE = 410
_SAID = 200
# An IPv4 address stands in the last 32 bits (RFC 6052); the local prefix of RFC 8215.
_NAT64, _NAT64_LOCAL = IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48")
# Of a host in an IPv4 network ::0:5efe:a.b.c.d is the lower half; 0200 where it is public (RFC 5214).
_ISATAP, _ISATAP_BITS = 0x5EFE, 0xFDFFFFFF
# What IANA's registries of special-purpose addresses have beyond what each Python knows of them.
_SPECIAL = networks_of(
    [
        "192.0.0.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "2001::/23",
        "2620:4f:8000::/48",
        "3fff::/20",
        "5f00::/16",
    ]
)
_KINDS = ("loopback", "link_local", "multicast", "unspecified", "private")
_LONG_SEGMENT = re.compile(r"[^/]{16,}")
_HOST = re.compile(rb"[A-Za-z0-9._:-]*[A-Za-z0-9:][.]?")
_PLAIN = re.compile(r"[\x20-\x7e]+")


class InvalidURL(PostledgerError, ValueError):
    """A URL can't be sent to."""


class Target:
    """A URL to send to, or where it stands: ``env:NAME`` or ``file:PATH``.

    Raises ``InvalidURL`` for what can't be sent to, ``PostledgerError`` where it can't be read.
    ``shown`` is without what may be secret in it: credentials, the query, long segments of the path.
    ``identity`` is the same for the same URL, whatever its credentials are; it is a hash.

    >>> from postledger.server.sending import Target
    >>> Target("https://me:pw@example.org/hooks/T02ABCDEF0123456789?token=x").shown
    'https://***@example.org/hooks/***?***'
    """

    def __init__(self, url: str) -> None:
        if url.startswith(("env:", "file:")):
            url = read_secret(url).decode().strip()
        parsed = _parsed(url)
        self.host, self.port = parsed.raw_host.decode("ascii"), parsed.port or _PORTS[parsed.scheme]
        self.core = httpcore2.URL(
            scheme=parsed.raw_scheme,
            host=parsed.raw_host,
            port=parsed.port,
            target=parsed.raw_path,
        )
        self.headers = _authorization(parsed)
        bare = parsed.copy_with(username=None, password=None, fragment=None)
        self.identity = sha256(str(bare).encode()).hexdigest()
        self.shown = _shown(parsed)

    def __repr__(self) -> str:
        return f"Target({self.shown!r})"


_PORTS = {"http": 80, "https": 443}


def _parsed(url: str) -> httpx2.URL:
    # It stands in no message: it may hold secrets.
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError, ValueError):
        raise InvalidURL("the URL is invalid: expected https://HOST/PATH") from None
    wanted = "the URL must be https://HOST/PATH or http://…, got"
    if "://" not in url:
        raise InvalidURL(f"{wanted} one without http:// or https://")
    if parsed.scheme not in _PORTS:
        raise InvalidURL(f"{wanted} scheme {parsed.scheme!r}")
    if not _HOST.fullmatch(parsed.raw_host):
        raise InvalidURL(f"{wanted} one without a valid host")
    # RFC 1035, section 2.3.4.
    labels = parsed.raw_host.removesuffix(b".").split(b".")
    # guard: names that are too long are refused
    if len(parsed.raw_host) > 254 or not all(0 < len(label) <= 63 for label in labels):
        raise InvalidURL(
            "the URL must have a host of at most 253 characters, with 1 to 63 between its dots"
        )
    # guard: ports that no host has are refused
    if parsed.port is not None and not 0 < parsed.port < 1 << 16:
        raise InvalidURL(f"the URL must have a port from 1 to 65535, got {parsed.port}")
    return parsed


def _authorization(url: httpx2.URL) -> dict[str, str]:
    if not url.userinfo:
        return {}
    auth = httpx2.BasicAuth(url.username, url.password)
    request = next(auth.auth_flow(httpx2.Request("POST", url)))
    return {"authorization": request.headers["authorization"]}


def _shown(url: httpx2.URL) -> str:
    who = "***@" if url.userinfo else ""
    path = _LONG_SEGMENT.sub("***", url.raw_path.decode("ascii", "replace").partition("?")[0])
    port = "" if url.port is None else f":{url.port}"
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{who}{host}{port}{path}{'?***' if url.query else ''}"


# --- where to ---


def refused(address: Address) -> str | None:
    """Why nothing is sent to an address: it is not one of the public internet; ``None`` where it is.

    An IPv4 address within an IPv6 one is what counts.

    >>> from ipaddress import ip_address
    >>> refused(ip_address("::ffff:127.0.0.1")), refused(ip_address("93.184.215.14"))
    ('loopback', None)
    """
    if isinstance(address, IPv6Address):
        # guard: addresses within others are looked at
        inner = _embedded(address)
        if inner:
            return next(filter(None, map(refused, inner)), None)
        low = int(address) & 0xFFFFFFFF
        is_isatap = int(address) >> 32 & _ISATAP_BITS == _ISATAP
        if is_isatap and (reason := refused(IPv4Address(low))) is not None:
            return reason
        if address.is_site_local or address in _NAT64_LOCAL:
            return "private"
    for kind in _KINDS:
        if getattr(address, f"is_{kind}"):
            return kind.replace("_", "-")
    # guard: special addresses are refused
    special = address.is_reserved or is_within(address, _SPECIAL)
    return None if address.is_global and not special else "reserved"


def _embedded(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 one stands for: of Teredo the server's and the client's."""
    one = address.ipv4_mapped or address.sixtofour
    if one is None and address in _NAT64:
        one = IPv4Address(int(address) & 0xFFFFFFFF)
    return (one,) if one is not None else address.teredo or ()


async def resolved(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The addresses of a host to which may be sent.

    Raises ``OSError`` where it has no address, ``Refused`` where it has none that may be reached.
    """
    from socket import SOCK_STREAM

    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=SOCK_STREAM)
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    if allow_private:
        return addresses
    reasons = {one: refused(ip_address(one)) for one in addresses}
    # guard: private addresses are refused
    public = [one for one, reason in reasons.items() if reason is None]
    if not public:
        one, reason = next(iter(reasons.items()))
        raise Refused(f"{host}{'' if one == host else f': {one}'} is {reason}")
    return public


class Refused(PostledgerError):
    """A host has no address to which may be sent; ``reason`` is the message without what permits it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; nothing is sent there unless allow_private is true")
        self.reason = reason


class _Checked(httpcore2.AsyncNetworkBackend):
    """Connects to the addresses that were checked, and not to a name that may be another's by then."""

    def __init__(self, *, allow_private: bool) -> None:
        self._inner = httpcore2.AnyIOBackend()
        self._allow_private = allow_private

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        """A connection to the first address that takes one."""
        error: Exception = httpcore2.ConnectError("it has no address")
        try:
            addresses = await resolved(host, port, allow_private=self._allow_private)
        except OSError as unknown:
            reason = unknown.strerror or unknown
            raise httpcore2.ConnectError(f"{host} has no address: {reason}") from unknown
        for address in addresses:
            try:
                # guard: the address that was checked
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failed:
                error = failed
        raise error


# --- an attempt ---


@attrs.frozen
class Answer:
    """How an attempt ended: ``problem`` is ``None`` for a status from 200 to 299.

    ``asked`` are the seconds that the receiver asks to wait.
    """

    problem: str | None = None
    asked: float | None = None
    gone: bool = False


class Client:
    """Sends to one target over a bounded number of connections; redirects are not followed."""

    def __init__(self, target: Target, *, allow_private: bool, connections: int) -> None:
        self._target = target
        self._pool = httpcore2.AsyncConnectionPool(
            max_connections=connections,
            keepalive_expiry=30.0,
            network_backend=_Checked(allow_private=allow_private),
        )

    async def send(
        self, body: bytes, headers: dict[str, str], content_type: str | None, encoding: str | None,
        now: float,
    ) -> Answer:  # fmt: skip
        """Make one attempt; ``now`` is in seconds since 1970. It raises nothing of the network."""
        try:
            async with asyncio.timeout(ANSWER):
                given = _headers(content_type, encoding) | self._target.headers | headers
                return await self._send(body, given, now)
        except Refused as error:
            return Answer(str(error))
        except TimeoutError:
            return Answer(f"no answer within {ANSWER:.0f} s")
        except httpcore2.TimeoutException as error:
            return Answer(f"no answer in time ({type(error).__name__})")
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            return Answer(f"no answer: {_reason(error)}")

    async def _send(self, body: bytes, headers: dict[str, str], now: float) -> Answer:
        async with self._pool.stream(
            "POST",
            self._target.core,
            headers=list(headers.items()),
            content=body,
            extensions={"timeout": {"connect": CONNECT, "read": ANSWER, "write": ANSWER}},
        ) as response:
            await _drained(response.stream)
            # guard: only 2xx is success
            if 200 <= response.status <= 299:
                return Answer()
            asked = next((v for n, v in response.headers if n.lower() == b"retry-after"), b"")
            return Answer(
                f"HTTP {response.status}",
                seconds_of(asked.decode("latin-1"), now),
                gone=response.status == _GONE,
            )

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


async def _drained(stream: Any) -> None:
    """Read a short answer, so that its connection can be used again; of others the beginning."""
    left = MOST_READ
    with suppress(TimeoutError, httpcore2.NetworkError, httpcore2.ProtocolError):
        async with asyncio.timeout(DRAIN):
            async for chunk in stream:
                left -= len(chunk)
                # guard: answers are not read to their end
                if left <= 0:
                    return


def _headers(content_type: str | None, encoding: str | None) -> dict[str, str]:
    headers = {"user-agent": "postledger", "accept": "*/*"}
    if content_type is not None:
        # What a file said of a body may not be a valid header.
        fits = _PLAIN.fullmatch(content_type.strip())
        headers["content-type"] = content_type.strip() if fits else "application/octet-stream"
    if encoding is not None and _PLAIN.fullmatch(encoding.strip()):
        headers["content-encoding"] = encoding.strip()
    return headers


def _reason(error: Exception) -> str:
    """Why there is no answer, in one line that a sentence may go on after."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split()).rstrip(".")[:_SAID]
    # What httpcore has no text for.
    return text or _WITHOUT_TEXT.get(type(error).__name__, type(error).__name__)


_WITHOUT_TEXT = {
    "ConnectError": "no connection",
    "ReadError": "the connection was lost",
    "WriteError": "the connection was lost",
}
