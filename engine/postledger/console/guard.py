"""The guard: which requests come in at all, and the headers with which every answer goes out.

It stands in front of all pages. A request for another host, one that another site makes, one with a
secret in its URL, and one that changes something without an unused token, are refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postledger.console.sessions import Sessions

COOKIE = "postledger"
"""The name of the cookie; by HTTPS with ``__Host-`` in front, or ``__Secure-`` below a path."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With no referrer at all browsers would hide the origin of a form, which is checked.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""What every answer has; ``Cache-Control`` only where the answer says nothing else."""

LOCAL = ("127.0.0.1", "localhost", "[::1]")
"""The hosts that are served where none are named."""

_SAFE = ("GET", "HEAD")
_SECRET = re.compile(
    rf"token|csrf|passw|pwd|passphrase|session|secret|auth|api.?key|credential|{COOKIE}",
    re.IGNORECASE,
)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@?#\s]+)(:[0-9]{1,5})?")
_LONGEST_URL = 4_096


class Guard:
    """The ASGI app in front of ``app``; ``hosts`` are the names by which it may be asked for."""

    def __init__(self, app: ASGIApp, sessions: Sessions, hosts: Iterable[str]) -> None:
        self._app = app
        self._sessions = sessions
        self._hosts = frozenset(_bare(host) for host in hosts) - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, text in HEADERS.items():
                    headers.setdefault(name, text)
            await send(message)

        refusal = self._refusal(scope)
        app = self._app if refusal is None else PlainTextResponse(refusal[1], refusal[0])
        await app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the reason, where a request is refused."""
        headers = Headers(scope=scope)
        named = headers.getlist("host")
        # guard: other hosts refused, also by DNS rebinding
        if len(named) != 1 or _bare(named[0]) not in self._hosts:
            return 421, "this host is not served here; --allow-host names others"
        # guard: secrets in a URL refused
        if len(scope.get("query_string", b"")) > _LONGEST_URL:
            return 414, "the address is too long"
        if self._has_secret(scope):
            return 400, "a secret must never stand in an address; sign in by the form"
        # guard: other sites refused
        if scope["method"] in _SAFE:
            foreign = _is_foreign_read(headers, named[0])
        else:
            foreign = _is_foreign_write(headers, named[0])
        return (403, "another site asked for this; open it from the console") if foreign else None

    def _has_secret(self, scope: Scope) -> bool:
        """Whether a query names a secret, or has that of a session, which ends then."""
        found = False
        query = scope.get("query_string", b"").decode("latin-1")
        for name, text in parse_qsl(query, keep_blank_values=True, max_num_fields=None):
            if self._sessions.find(text) is not None:
                self._sessions.end(text)
                found = True
            found = found or bool(_SECRET.search(name))
        return found


def _bare(host: str) -> str:
    """A host without its port, in lower case; empty where it is something else."""
    found = _HOST.fullmatch(host.strip().lower())
    return found[1].rstrip(".") if found else ""


def _is_foreign_read(headers: Headers, host: str) -> bool:
    """Whether another site reads: links from there may be followed, and nothing else."""
    origin = headers.get("origin")
    if origin is not None and not _is_of(origin, host):
        return True
    if headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none"):
        return False
    mode, dest = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return (mode, dest) != ("navigate", "document")


def _is_foreign_write(headers: Headers, host: str) -> bool:
    """Whether another site writes, or one that doesn't say who it is."""
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return True
    return not _is_of(headers.get("origin", ""), host)


def _is_of(origin: str, host: str) -> bool:
    """Whether an origin is that of a host, with the same port."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.strip().lower()
