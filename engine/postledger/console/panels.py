"""Panels: the pages next to the deliveries: carriers, unread bodies, parked messages, integrity."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.responses import PlainTextResponse, RedirectResponse, Response

from postledger.audit.words import text_of
from postledger.console.access import Access, reason_of
from postledger.console.asking import Asking
from postledger.console.desk import Desk, Refused, Visit
from postledger.console.views.carriers import carriers_of
from postledger.console.views.holding import held_by, outgoing_of
from postledger.console.views.unread import one_of, unread_of
from postledger.definitions.vocabulary_toml import load_vocabulary
from postledger.errors import DefinitionError
from postledger.log.event import Stored
from postledger.state.trial import Tried, tried

Page = Callable[[Desk, Visit], Awaitable[Response]]

LONGEST_VOCABULARY = 64 << 10
"""Characters of a vocabulary that is tried."""

_MOST_MEMBERS = 20


async def carriers(desk: Desk, visit: Visit) -> Response:
    """The carriers over the last days."""
    return await desk.show(visit, "carriers.html", found=await desk.ask(carriers_of, desk.asking))


async def parked(desk: Desk, visit: Visit) -> Response:
    """What the forwarder sends, and what it parked."""
    return await desk.show(visit, "parked.html", found=await desk.ask(outgoing_of, desk.asking))


async def integrity(desk: Desk, visit: Visit) -> Response:
    """The head, the last verification, and the definitions in force."""
    held = await desk.ask(held_by, desk.asking)
    return await desk.show(visit, "integrity.html", held=held, size=held.anchor.size - 1)


async def unread(desk: Desk, visit: Visit) -> Response:
    """Bodies that say nothing, by their wording."""
    before = number_of(visit.request.query_params.get("before"))
    found = await desk.ask(unread_of, desk.asking, before)
    return await desk.show(visit, "unread.html", found=found, before=before)


# --- one event ---


async def event(desk: Desk, visit: Visit) -> Response:
    """One event, and a vocabulary to be tried with it."""
    return await _event(desk, visit, _position(visit.request.query_params.get("position")))


async def _event(desk: Desk, visit: Visit, position: int, **more: object) -> Response:
    unmasked = visit.session.shows(("event", position))
    one = await desk.ask(lambda: one_of(desk.asking, position, unmask=unmasked))
    values = {"problem": "", "toml": "", "tried": None, **more}
    return await desk.show(visit, "event.html", one=one, unmasked=unmasked, **values)


async def unmask_event(desk: Desk, visit: Visit) -> Response:
    """Unmask one event for a while, once that is on record."""
    position = _position(visit.form.get("position"))
    user, record = visit.session.user, desk.record
    if user is None or not visit.session.can_unmask or record is None:
        raise Refused(403, "Your role does not allow to unmask numbers.")
    # A position that the log does not have raises here, before anything is recorded.
    await desk.ask(lambda: one_of(desk.asking, position, unmask=False))
    try:
        reason = reason_of(visit.form.get("reason", ""))
    except ValueError as error:
        said = f"Nothing was unmasked: {error}."
        return await _event(desk, visit, position, problem=said)
    # guard: an event, too, is on record before it is shown
    await desk.ask(record.append, Access(user.name, user.role, reason, position=position))
    visit.session.show(("event", position))
    return RedirectResponse(f"{visit.root}/event?position={position}", 303)


async def event_body(desk: Desk, visit: Visit) -> Response:
    """The body of an event that is unmasked, as it was received: as text, never as HTML."""
    position = _position(visit.request.query_params.get("position"))
    _require_shown(visit, position)
    stored = await desk.ask(_stored, desk.asking, position)
    return PlainTextResponse(text_of(stored.body))


async def try_vocabulary(desk: Desk, visit: Visit) -> Response:
    """How a vocabulary would read the body of an event that is unmasked; nothing is written."""
    position, toml = _position(visit.form.get("position")), visit.form.get("toml", "")
    # What a vocabulary says of a body tells what stands in it.
    _require_shown(visit, position)
    if len(toml) > LONGEST_VOCABULARY:
        raise Refused(413, f"A vocabulary has at most {LONGEST_VOCABULARY} characters here.")
    try:
        found = await desk.ask(_tried, desk.asking, position, toml)
    except DefinitionError as error:
        said = "; ".join(error.faults[:5])
        return await _event(desk, visit, position, problem=said, toml=toml)
    return await _event(desk, visit, position, toml=toml, tried=found)


def _tried(asking: Asking, position: int, toml: str) -> tuple[Tried, ...]:
    vocabulary = load_vocabulary(toml)
    stored = _stored(asking, position)
    found = tried(vocabulary, asking.ledger.definitions.charts, stored.body, stored.envelope)
    return tuple(one for one, _ in zip(found, range(_MOST_MEMBERS), strict=False))


def _stored(asking: Asking, position: int) -> Stored:
    with asking.read() as own:
        return own.log.at(position)


def _require_shown(visit: Visit, position: int) -> None:
    if not visit.session.shows(("event", position)):
        raise Refused(403, "Bodies are shown, and vocabularies tried, of what is unmasked.")


def _position(text: str | None) -> int:
    position = number_of(text)
    if position is None:
        raise Refused(400, "Which event? The address names no position.")
    return position


def number_of(text: str | None) -> int | None:
    """A number in an address; ``None`` where it is no number, or too large for a position."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 16 else None


ROUTES: list[tuple[str, str, Page]] = [
    ("GET", "/carriers", carriers),
    ("GET", "/unread", unread),
    ("GET", "/event", event),
    ("GET", "/event/body", event_body),
    ("POST", "/event/unmask", unmask_event),
    ("POST", "/event/try", try_vocabulary),
    ("GET", "/parked", parked),
    ("GET", "/integrity", integrity),
]
"""Methods, addresses, and what answers them."""
