"""The desk: what all pages share: the ledger that is asked, who may sign in, how an answer is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import attrs
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from postledger.console.access import AccessRecord
from postledger.console.asking import Asking
from postledger.console.guard import COOKIE
from postledger.console.render import render
from postledger.console.sessions import Attempts, Session, Sessions
from postledger.console.stream import Streams
from postledger.console.users import User, Users
from postledger.server.addresses import address_of, networks_of

THREADS = 4
"""How many questions are asked of the ledger at once."""

LARGEST_FORM = 1 << 20
"""Bytes of a form, at most."""

PATIENCE = 30.0
"""Seconds in which a form must be there."""

WAITING, OF_CLIENT = 20, 5
"""Passwords that wait to be looked at, in all and of one address: each takes a part of a second."""

_MOST_FIELDS = 20
_THIS_MACHINE = networks_of(["127.0.0.0/8", "::1"])
_FORM = "application/x-www-form-urlencoded"
T = TypeVar("T")


class Refused(Exception):
    """A page that is not shown: a status, and why in words."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status, self.said = status, said


@attrs.frozen(eq=False)
class Visit:
    """A request with its session, and with the form that it sends."""

    request: Request
    session: Session
    form: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def root(self) -> str:
        """The path that the console is mounted at; empty for the root."""
        return root_of(self.request)

    @property
    def path(self) -> str:
        """The path of the page, below that of the console."""
        path: str = self.request.scope["path"]
        return path.removeprefix(self.root) or "/"

    @property
    def client(self) -> str:
        """The address that asks; of a proxy on this machine the one that it says it heard."""
        peer = self.request.client and self.request.client.host
        forwarded = self.request.headers.getlist("x-forwarded-for")
        return str(address_of(peer, forwarded, _THIS_MACHINE) or peer or "")

    @property
    def names_hidden(self) -> bool:
        """Whether it asks for a delivery whose id is not shown."""
        return "ref" in self.request.query_params or "ref" in self.form


@attrs.frozen(eq=False)
class Desk:
    """What the pages of one console work with."""

    asking: Asking
    users: Users
    record: AccessRecord | None
    https: bool
    sessions: Sessions = attrs.field(factory=Sessions)
    attempts: Attempts = attrs.field(factory=Attempts)
    streams: Streams = attrs.field()
    _threads: ThreadPoolExecutor = attrs.field(
        factory=lambda: ThreadPoolExecutor(THREADS, "postledger-console")
    )
    # Strangers take none of those that answer whoever is signed in.
    _doorman: ThreadPoolExecutor = attrs.field(
        factory=lambda: ThreadPoolExecutor(1, "postledger-console")
    )
    _waiting: list[str] = attrs.field(factory=list)

    @streams.default
    def _streams_of_ledger(self) -> Streams:
        return Streams(self.asking)

    async def ask(self, question: Callable[..., T], *given: Any) -> T:
        """Ask the ledger in a thread; others are answered meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, question, *given)

    async def signed_in(self, name: str, password: str, client: str) -> User | None:
        """The user of that name and password; raises ``Refused`` where too many wait.

        ``client`` is the address that asks: whoever guesses takes no more than a share of those.
        """
        # guard: passwords looked at one by one
        if len(self._waiting) >= WAITING or self._waiting.count(client) >= OF_CLIENT:
            raise Refused(503, "Too many people are signing in at once. Try again in a minute.")
        self._waiting.append(client)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._doorman, self.users.signed_in, name, password
            )
        finally:
            self._waiting.remove(client)

    def close(self) -> None:
        """End the threads, and close what was opened."""
        self._doorman.shutdown()
        self._threads.shutdown()
        self.asking.close()

    # --- answers ---

    async def show(
        self, visit: Visit, template: str, status: int = 200, /, **values: Any
    ) -> Response:
        """A page by a template."""
        common = {"session": visit.session, "desk": self, "size": None, "path": visit.path}
        text = await self.ask(render, template, visit.root, common | values)
        return HTMLResponse(text, status)

    async def refuse(self, visit: Visit, status: int, said: str) -> Response:
        """A page that says why there is no other."""
        return await self.show(visit, "refused.html", status, said=said, status_code=status)

    # --- what the browser keeps ---

    def keep(self, request: Request, response: Response, secret: str) -> None:
        """Have the browser keep the secret of a session."""
        response.set_cookie(
            self._cookie(request),
            secret,
            path=root_of(request) or "/",
            secure=self._is_secure(request),
            httponly=True,
            samesite="strict",
        )

    def secret_of(self, request: Request) -> str | None:
        """The secret that the browser sent."""
        return request.cookies.get(self._cookie(request))

    def _cookie(self, request: Request) -> str:
        if not self._is_secure(request):
            return COOKIE
        # What is sent to one path of a host can't say that it is the host's.
        return f"__Secure-{COOKIE}" if root_of(request) else f"__Host-{COOKIE}"

    def _is_secure(self, request: Request) -> bool:
        return self.https or request.url.scheme == "https"


def root_of(request: Request) -> str:
    """The path that the console is mounted at; empty for the root."""
    root: str = request.scope.get("root_path", "")
    return root


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, of one megabyte at most; raises ``Refused``."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise Refused(415, "Only forms are taken here.")
    body = bytearray()
    try:
        # guard: slow forms cut off
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                body += chunk
                # guard: forms bounded
                if len(body) > LARGEST_FORM:
                    raise Refused(413, "The form is too large: at most a megabyte is taken.")
    except TimeoutError:
        raise Refused(408, "The form was not there in time. Send it again.") from None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise Refused(400, "The form can't be read.") from None
