"""The console: a web page for operations people, an ASGI app to mount anywhere or to serve alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from postledger.address import Address
from postledger.arguments import FilePath, checked
from postledger.console.access import AccessRecord
from postledger.console.asking import Asking
from postledger.console.desk import Desk, Refused, Visit, form_of
from postledger.console.guard import COOKIE, LOCAL, Guard
from postledger.console.pages import ROUTES
from postledger.console.panels import Page
from postledger.console.render import environment
from postledger.console.sessions import Session
from postledger.console.users import Users
from postledger.errors import PostledgerError, UnknownKey, UnknownWord
from postledger.ledger.ledger import Ledger
from postledger.store.store import Lost

STATIC = Path(__file__).parent / "static"
SHEET = ("postledger", "sheet")
"""Where the style sheet is that reports and dossiers wear too."""

_HIDDEN = "Nothing is known of it, or was then. Search for the delivery again."
_PUBLIC = ("/sign-in",)
_LONGEST_NEXT = 1_000
_log = logging.getLogger("postledger.console")


class Console:
    """An ASGI app that shows a ledger to those who sign in, and never writes to it.

    ``ledger`` is a path, opened for reading only, or an open ``Ledger``. ``users`` are those who may
    sign in (see ``load_users``), ``hosts`` the names that the page may be asked for by, without port;
    by default those of this machine. Numbers are masked; who has the role ``unmasker`` unmasks them
    by saying why, and each time is first appended to the file ``access_record``. Without one nobody
    can. With ``https`` browsers send the cookie by HTTPS alone. Sign-ins live in this process, so that
    one process serves all of it. Raises ``PostledgerError`` without Jinja2.

    >>> from postledger.console import User, Users, app, hashed
    >>> from starlette.testclient import TestClient
    >>> console = app(ledger, users=Users([User("I. Okafor", hashed("correct horse"))]))
    >>> client = TestClient(console, "http://localhost", follow_redirects=False)
    >>> client.get("/").headers["location"], client.get("/", headers={"Host": "evil"}).status_code
    ('/sign-in', 421)
    """

    @checked
    def __init__(
        self,
        ledger: Ledger | FilePath | Address,
        *,
        users: Users,
        hosts: Iterable[str] = LOCAL,
        access_record: FilePath | None = None,
        https: bool = False,
    ) -> None:
        environment()
        asking = Asking(ledger)
        record = None if access_record is None else AccessRecord(Path(access_record))
        self._desk = Desk(asking, users, record, https)
        self._pages = Starlette(
            routes=[
                *(Route(path, self._route(page), methods=[how]) for how, path, page in ROUTES),
                Mount("/static", StaticFiles(directory=STATIC, packages=[SHEET])),
            ],
            exception_handlers={404: self._missing, 405: self._missing},
            lifespan=self._lifespan,
        )
        self._guard = Guard(self._pages, self._desk.sessions, hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._guard(scope, receive, send)

    def require_readable(self) -> None:
        """Open the ledger; raises ``PostledgerError`` where it can't be read."""
        self._desk.asking.size()

    def stop(self) -> None:
        """End the streams: they go on as long as somebody looks."""
        self._desk.streams.stop()

    def close(self) -> None:
        """End the streams, and close what was opened here."""
        self.stop()
        self._desk.close()

    async def aclose(self) -> None:
        """Close what was opened here; an app that mounts this one calls it at its end."""
        await asyncio.to_thread(self.close)

    @asynccontextmanager
    async def _lifespan(self, _: object) -> AsyncIterator[None]:
        yield
        await self.aclose()

    async def _missing(self, request: Request, _: Exception) -> Response:
        # For whoever is a stranger no session is kept.
        session = self._desk.sessions.find(self._desk.secret_of(request))
        visit = Visit(request, session or Session(time.monotonic))
        return await self._desk.refuse(visit, 404, "There is no such page.")

    def _session(self, request: Request) -> tuple[str | None, Session]:
        """The session of a request; a new one comes with the secret that the browser is to keep."""
        session = self._desk.sessions.find(self._desk.secret_of(request))
        return self._desk.sessions.begin() if session is None else (None, session)

    def _route(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """A page as a route takes it: with its session, and with errors as pages."""

        async def answer(request: Request) -> Response:
            secret, session = self._session(request)
            visit = Visit(request, session)
            try:
                response = await self._admitted(page, visit)
            except Refused as refused:
                response = await self._desk.refuse(visit, refused.status, refused.said)
            except (UnknownKey, UnknownWord) as error:
                # An id that is hidden stands in no message either.
                # guard: a hidden id in no message
                said = _HIDDEN if visit.names_hidden else _sentence(error)
                response = await self._desk.refuse(visit, 404, said)
            except Lost as error:
                _log.error("%s: %s", visit.path, error)
                # Where the server is concerns nobody who looks.
                response = await self._desk.refuse(visit, 503, "The ledger can't be reached now.")
            except PostledgerError as error:
                _log.error("%s: %s", visit.path, error)
                response = await self._desk.refuse(visit, 503, _sentence(error))
            if secret is not None and COOKIE not in response.headers.get("set-cookie", ""):
                self._desk.keep(request, response, secret)
            return response

        return answer

    async def _admitted(self, page: Page, visit: Visit) -> Response:
        """What a page answers to one who may see it."""
        request, session = visit.request, visit.session
        # guard: nothing is shown to strangers
        if session.user is None and visit.path not in _PUBLIC:
            if request.method == "GET":
                query = request.url.query
                meant = visit.path + (f"?{query}" if query else "")
                session.next = meant if len(meant) <= _LONGEST_NEXT else ""
            return RedirectResponse(f"{visit.root}/sign-in", 303)
        if request.method == "POST":
            visit = attrs.evolve(visit, form=await form_of(request))
            # guard: a token for each form, taken once
            if not session.spend(visit.form.get("csrf", "")):
                said = (
                    "This form was sent before, or is too old. Go back, load the page, try again."
                )
                raise Refused(403, said)
        return await page(self._desk, visit)


def _sentence(error: Exception) -> str:
    said = str(error)
    return said[:1].upper() + said[1:] + ("" if said.endswith(".") else ".")
