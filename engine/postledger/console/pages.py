"""The pages: what each address answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import attrs
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

from postledger.audit.words import text_of
from postledger.console import downloads
from postledger.console.access import Access, reason_of
from postledger.console.asking import Asking, Place, Wanted, to_try
from postledger.console.desk import Desk, Refused, Visit
from postledger.console.panels import ROUTES as PANELS
from postledger.console.panels import Page, number_of
from postledger.console.stream import Stream, place_of
from postledger.console.views.case import Asked, Case, case_of
from postledger.console.views.holding import held_by
from postledger.console.views.overview import overview_of, states_of
from postledger.invoices.invoice import DELIVERED
from postledger.times import parse_moment

_LONGEST_SEARCH = 200
_LATER = 30


# --- signing in ---


async def sign_in(desk: Desk, visit: Visit) -> Response:
    """The form to sign in by."""
    if visit.session.user is not None:
        return RedirectResponse(f"{visit.root}/", 303)
    return await desk.show(visit, "sign-in.html", problem="", name="")


async def signed_in(desk: Desk, visit: Visit) -> Response:
    """A name and a password were given: a new session begins, or the form says what is wrong."""
    name, password = visit.form.get("name", "")[:100], visit.form.get("password", "")[:1024]
    client = visit.client
    if wait := desk.attempts.wait(client, name):
        said = f"Too many wrong passwords from your address; try again in {wait} s."
        return await desk.show(visit, "sign-in.html", 429, problem=said, name=name)
    user = await desk.signed_in(name, password, client)
    if user is None:
        desk.attempts.failed(client, name)
        said = "Name or password is wrong."
        return await desk.show(visit, "sign-in.html", 403, problem=said, name=name)
    desk.sessions.end(desk.secret_of(visit.request))
    response = RedirectResponse(visit.root + (visit.session.next or "/"), 303)
    # guard: a new secret for whoever signed in
    desk.keep(visit.request, response, desk.sessions.begin(user)[0])
    return response


async def sign_out(desk: Desk, visit: Visit) -> Response:
    """The session ends."""
    desk.sessions.end(desk.secret_of(visit.request))
    return RedirectResponse(f"{visit.root}/sign-in", 303)


# --- the list ---


async def listed(desk: Desk, visit: Visit) -> Response:
    """The list of deliveries: those that were heard of last, or those that are searched for."""
    query = visit.request.query_params
    text, only = query.get("q", "").strip()[:_LONGEST_SEARCH], query.get("only", "")
    before = _before(query.get("before", ""))
    values = await desk.ask(_list, desk.asking, text, only, before)
    return await desk.show(visit, "list.html", text=text, only=only, before=before, **values)


def _list(asking: Asking, text: str, only: str, before: Place | None) -> dict[str, object]:
    wanted = _wanted(only, *states_of(asking))
    overview = overview_of(asking)
    page = asking.found(text) if text else asking.heard(before, wanted)
    verified = held_by(asking).verified
    hint = to_try(text) if text and not page.lines else ""
    values = {"overview": overview, "page": page, "size": page.head, "verified": verified}
    return values | {"hint": hint}


def _before(text: str) -> Place | None:
    """The place to begin before, such as ``48790`` or ``48790.3``; ``None`` for the newest."""
    position, _, member = text.partition(".")
    place = number_of(position), number_of(member or "0")
    if not text:
        return None
    if place[0] is None or place[1] is None:
        raise Refused(400, "Before which event? The address names no position.")
    return place[0], place[1]


def _wanted(only: str, final: frozenset[str], states: tuple[str, ...]) -> Wanted | None:
    """Which deliveries are meant by a word of an address; raises ``Refused`` for any other."""
    kinds: dict[str, Wanted] = {
        "open": lambda one: one.state not in final,
        "other": lambda one: one.state in final and one.state != DELIVERED,
        "contradicting": lambda one: "contradiction" in one.findings,
    }
    if not only:
        return None
    if only in kinds:
        return kinds[only]
    if only not in states:
        raise Refused(400, "Which deliveries? The address names no state, and nothing else known.")
    return lambda one: one.state == only


async def stream(desk: Desk, visit: Visit) -> Response:
    """What is heard of deliveries from now on, or from the last event that the browser heard."""
    query, headers = visit.request.query_params, visit.request.headers
    try:
        after = place_of(headers.get("last-event-id") or query.get("after", ""))
    except ValueError as error:
        raise Refused(400, f"Where to begin is not clear: {error}.") from None
    if desk.streams.is_full(visit.session):
        return PlainTextResponse("too many are open", 503, {"Retry-After": str(_LATER)})
    states = await desk.ask(states_of, desk.asking)
    begun = Stream(desk.asking, after, _wanted(query.get("only", ""), *states), visit.root)
    return StreamingResponse(
        desk.streams.messages(begun, visit.session, desk.ask),
        media_type="text/event-stream",
        # nginx keeps nothing back then.
        headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"},
    )


# --- a delivery ---


async def delivery(desk: Desk, visit: Visit) -> Response:
    """One delivery."""
    asked = _asked(desk, visit.request.query_params)
    case = await desk.ask(case_of, desk.asking, asked)
    return await _case(desk, visit, case, asked)


async def _case(desk: Desk, visit: Visit, case: Case, asked: Asked, problem: str = "") -> Response:
    case, asked = await _as_shown(desk, visit, case, asked)
    return await desk.show(
        visit,
        "delivery.html",
        case=case,
        unmasked=asked.unmask,
        problem=problem,
        size=case.anchor.size - 1,
    )


async def _as_shown(desk: Desk, visit: Visit, case: Case, asked: Asked) -> tuple[Case, Asked]:
    """The case with its numbers, where they are unmasked in this session now."""
    if visit.session.shows(case.stream):
        asked = attrs.evolve(asked, key=case.stream[1], space=case.stream[0], unmask=True)
        case = await desk.ask(case_of, desk.asking, asked)
    return case, asked


def _download(made: Callable[[Asking, Case, Asked], Response]) -> Page:
    """A page that a browser saves, of what the page of a delivery shows."""

    async def page(desk: Desk, visit: Visit) -> Response:
        asked = _asked(desk, visit.request.query_params)
        case = await desk.ask(case_of, desk.asking, asked)
        return await desk.ask(made, desk.asking, *await _as_shown(desk, visit, case, asked))

    return page


def _asked(desk: Desk, query: Mapping[str, str]) -> Asked:
    """What the address, or a form, asks for."""
    key, space = query.get("id") or "", query.get("space")
    if ref := query.get("ref"):
        space, key = desk.asking.names.meant(ref)
    if not key:
        raise Refused(400, "Which delivery? The address names none.")
    at = None
    if moment := (query.get("at") or "").strip():
        try:
            at = parse_moment(moment)
        except ValueError:
            said = f"{moment!r} is not a time; write one such as 2026-10-14 11:04:05, in UTC."
            raise Refused(400, said) from None
    return Asked(key, space, number_of(query.get("step")), at, number_of(query.get("event")))


async def unmask(desk: Desk, visit: Visit) -> Response:
    """Unmask a delivery for a while, once that is on record."""
    asked = _asked(desk, visit.form)
    user, record = visit.session.user, desk.record
    if user is None or not visit.session.can_unmask or record is None:
        raise Refused(403, "Your role does not allow to unmask numbers.")
    case = await desk.ask(case_of, desk.asking, asked)
    try:
        reason = reason_of(visit.form.get("reason", ""))
    except ValueError as error:
        said = f"Nothing was unmasked: {error}."
        return await _case(desk, visit, case, asked, said)
    space, key = case.stream
    access = Access(user.name, user.role, reason, delivery=key, space=space)
    # guard: on record before it is shown
    await desk.ask(record.append, access)
    visit.session.show(case.stream)
    return RedirectResponse(_to(visit, "/delivery", case), 303)


async def mask_again(desk: Desk, visit: Visit) -> Response:
    """Mask a delivery again, before its time."""
    case = await desk.ask(case_of, desk.asking, _asked(desk, visit.form))
    visit.session.hide(case.stream)
    return RedirectResponse(_to(visit, "/delivery", case), 303)


async def body(desk: Desk, visit: Visit) -> Response:
    """The body of an event of a delivery that is unmasked, as it was received: as text, never as HTML."""
    asked = _asked(desk, visit.request.query_params)
    case = await desk.ask(case_of, desk.asking, asked)
    if not visit.session.shows(case.stream):
        raise Refused(403, "The body is shown of deliveries that are unmasked.")
    text = await desk.ask(_body, desk.asking, case.shown.position)
    return PlainTextResponse(text, headers={"Content-Disposition": "inline"})


def _body(asking: Asking, position: int) -> str:
    with asking.read() as own:
        return text_of(own.log.at(position).body)


def _to(visit: Visit, path: str, case: Case) -> str:
    return f"{visit.root}{path}?{urlencode(case.link)}"


ROUTES: list[tuple[str, str, Page]] = [
    ("GET", "/sign-in", sign_in),
    ("POST", "/sign-in", signed_in),
    ("POST", "/sign-out", sign_out),
    ("GET", "/", listed),
    ("GET", "/stream", stream),
    ("GET", "/delivery", delivery),
    ("GET", "/delivery/body", body),
    ("GET", "/delivery/dossier", _download(downloads.dossier)),
    ("GET", "/delivery/chart", _download(downloads.chart)),
    ("GET", "/delivery/proof", _download(downloads.proof)),
    ("POST", "/delivery/unmask", unmask),
    ("POST", "/delivery/mask", mask_again),
    *PANELS,
]
"""Methods, addresses, and what answers them."""
