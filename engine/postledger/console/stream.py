"""The stream: what is heard of deliveries, event by event, as server-sent events.

Each member of each event of the log is one message, whose id is position and member. So a stream goes
on exactly where another one ended, whichever process serves it: by the header ``Last-Event-ID``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Protocol, TypeVar

import attrs

from postledger.console.asking import Asking, Line, Place, Wanted
from postledger.console.render import row_of
from postledger.console.sessions import Session
from postledger.ledger.connections import Own
from postledger.projections.changes import PAGE, changes_of
from postledger.projections.generations import Lives
from postledger.store.store import LARGEST

MOST_STREAMS, MOST_OF_SESSION = 200, 12
"""Streams that are open at once: of all sessions, and of one."""

LONGEST = 3_600.0
"""Seconds after which a stream ends, so that the browser begins the next one where it was."""

_FIRST = 16
_BETWEEN = 0.2
_BEAT = 15.0
_RETRY = 1_000

T = TypeVar("T")


class Ask(Protocol):
    """What asks the ledger in a thread: ``Desk.ask``."""

    def __call__(self, question: Callable[[], T], /) -> Awaitable[T]:
        """What the question is answered."""


@attrs.frozen
class Message:
    """What is said of one member of an event: ``text`` as server-sent events have it."""

    place: Place
    text: str


def place_of(text: str) -> Place:
    """The place of an id such as ``48790.0``; raises ``ValueError``."""
    position, _, member = text.partition(".")
    if not (position.isascii() and position.isdecimal() and len(position) < 16):
        raise ValueError(f"expected POSITION.MEMBER, got {text[:50]!r}")
    if member and not (member.isascii() and member.isdecimal() and len(member) < 10):
        raise ValueError(f"expected POSITION.MEMBER, got {text[:50]!r}")
    # Of a position alone all members were seen.
    return int(position), int(member) if member else LARGEST


class Sizes:
    """How many events the log has, looked up once for all streams."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._looked: tuple[float, int] = (0.0, 0)
        self._looking: asyncio.Future[int] | None = None

    async def now(self, ask: Ask) -> int:
        """The size, at most a moment old."""
        if time.monotonic() - self._looked[0] < _BETWEEN:
            return self._looked[1]
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(ask(self._asking.size))
        size = await asyncio.shield(self._looking)
        self._looked = time.monotonic(), size
        return size


class Stream:
    """Reads the messages after a place, page by page, for one browser."""

    def __init__(self, asking: Asking, after: Place, wanted: Wanted | None, root: str) -> None:
        self._asking, self._wanted, self._root = asking, wanted, root
        self._lives = Lives()
        self._size = _FIRST
        self.after = after

    def page(self) -> list[Message]:
        """The next messages; those of a position of which some were seen come from the others."""
        with self._asking.read() as own:
            position, member = self.after
            first = position - 1 if member < LARGEST else position
            found = list(self._messages(own, first))
        if found:
            self.after = found[-1].place
            # What was missed for long comes in larger pieces; whoever only looks in reads little.
            self._size = min(2 * self._size, PAGE)
        return found

    def _messages(self, own: Own, first: int) -> Iterator[Message]:
        definitions = own.reader.definitions
        until = min(first + self._size, own.log.last())
        changes = changes_of(own.reader, first, until, self._lives)
        mask = self._asking.mask_of(definitions)
        for change in changes:
            event = change.event
            place = event.position, event.member
            if place <= self.after:
                continue
            said: dict[str, object] = {"at": event.position}
            if change.after is not None:
                named = self._asking.named(mask, change.after)
                line = Line(event.position, event.member, event.received_at, *named)
                said["key"] = line.key
                if self._wanted is None or self._wanted(change.after):
                    said["row"] = row_of(line, definitions, self._root)
            yield Message(place, _written(place, said))


def _written(place: Place, said: dict[str, object]) -> str:
    # JSON has no line breaks, which would end a field.
    return f"id: {place[0]}.{place[1]}\nevent: heard\ndata: {json.dumps(said)}\n\n"


class Streams:
    """The streams that are open."""

    def __init__(self, asking: Asking) -> None:
        self._sizes = Sizes(asking)
        self._stopped = False
        self.open = 0

    def stop(self) -> None:
        """End all of them, for good."""
        self._stopped = True

    def is_full(self, session: Session) -> bool:
        """Whether no more may be opened."""
        return self.open >= MOST_STREAMS or session.streams >= MOST_OF_SESSION

    async def messages(self, stream: Stream, session: Session, ask: Ask) -> AsyncIterator[str]:
        """What one browser is sent, until it goes away or the session ends."""
        # Others may have begun since it was looked at; the browser comes again.
        # guard: streams counted where they begin
        if self.is_full(session):
            return
        self.open += 1
        session.streams += 1
        began = beat = time.monotonic()
        try:
            yield f"retry: {_RETRY}\n\n"
            while not (self._stopped or session.is_over) and time.monotonic() - began < LONGEST:
                size = await self._sizes.now(ask)
                if size - 1 > stream.after[0] or stream.after[1] < LARGEST:
                    found: list[Message] = await ask(stream.page)
                    if found:
                        yield "".join(message.text for message in found)
                        beat = time.monotonic()
                        continue
                await asyncio.sleep(_BETWEEN)
                if time.monotonic() - beat > _BEAT:
                    beat = time.monotonic()
                    # Where nobody listens any more it fails.
                    yield ": still here\n\n"
        finally:
            self.open -= 1
            session.streams -= 1
