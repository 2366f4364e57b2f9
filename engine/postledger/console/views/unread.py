"""Unread: bodies that say nothing to the vocabularies in force, those of one wording together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import attrs

from postledger.audit.mask import Mask
from postledger.console.asking import Asking, newest_first
from postledger.console.views.bodies import MOST_FIELDS, Body, body_of
from postledger.definitions.definitions import Definitions
from postledger.errors import UnknownKey
from postledger.ledger.connections import Own
from postledger.log.event import READ, Stored
from postledger.model import UNVERIFIED, Event
from postledger.postback import Postback
from postledger.state.row import event_of

MOST_LOOKED_AT = 10_000
"""Events that one page looks at, back from the end or from a position."""

MOST_GROUPS = 40
MOST_BYTES = 64 << 20
"""Bytes of bodies that one page looks at."""

_WINDOW = 500
_TITLES = {
    "unreadable": "Can’t be read",
    "unrecognised": "Wording not known",
    UNVERIFIED: "Sender not verified",
}


@attrs.frozen
class Wording:
    """Bodies of one wording: how many, the latest of them, and what is shown of that."""

    reading: str
    problem: str
    count: int
    position: int
    member: int
    at: datetime
    body: Body

    @property
    def title(self) -> str:
        """What is wrong with them."""
        return _TITLES[self.reading]


@attrs.frozen
class Unread:
    """The wordings of some events, the most frequent first; ``older`` is where to go on, if anywhere."""

    wordings: tuple[Wording, ...]
    left: int
    first: int
    until: int
    older: int | None


def unread_of(asking: Asking, before: int | None = None) -> Unread:
    """The unread bodies among the last events, or the last before a position."""
    with asking.read() as own:
        mask, definitions = asking.mask_of(own.reader.definitions), own.reader.definitions
        last = own.log.last()
        until = last if before is None else min(before - 1, last)
        lowest, left = max(0, until - MOST_LOOKED_AT), MOST_BYTES
        groups: dict[tuple[object, ...], Wording] = {}
        top = until
        while until > lowest and left > 0:
            first = max(lowest, until - _WINDOW) + 1
            for stored in newest_first(own.log, first, until):
                until = stored.position - 1
                left -= len(stored.body)
                for event in _unread(own, stored):
                    _add(groups, event, definitions, mask)
                if left <= 0:
                    break
    found = sorted(groups.values(), key=lambda one: (-one.count, -one.position))
    older = until + 1 if until > 0 else None
    return Unread(tuple(found[:MOST_GROUPS]), len(found[MOST_GROUPS:]), until + 1, top, older)


def _unread(own: Own, stored: Stored) -> Iterator[Event]:
    """The members of an event that say nothing; most say something, and are not looked into."""
    said = own.reader.facts.statements_of(stored) if stored.kind in READ else []
    for member, one in enumerate(said):
        if one.pattern is None or not one.pattern.reading.recognised:
            event = event_of(stored, member, one, None)
            if event.reading in _TITLES:
                yield event


def _events(own: Own, stored: Stored) -> list[Event]:
    said = own.reader.facts.statements_of(stored) if stored.kind in READ else []
    return [event_of(stored, member, one, None) for member, one in enumerate(said)] or [
        event_of(stored, 0, None, None)
    ]


def _add(
    groups: dict[tuple[object, ...], Wording], event: Event, definitions: Definitions, mask: Mask
) -> None:
    problem = mask.problem(event.problem) or ""
    postback = event.postback
    # To mask a whole body takes milliseconds: that is done once for each wording.
    said = () if postback is None else (postback.root, *_wording(postback, mask))
    key = (event.reading, problem, event.source, said)
    if known := groups.get(key):
        groups[key] = attrs.evolve(known, count=known.count + 1)
        return
    body = body_of(event, definitions, mask, None, several=True)
    groups[key] = Wording(
        event.reading, problem, 1, event.position, event.member, event.received_at, body
    )


def _wording(postback: Postback, mask: Mask) -> Iterator[tuple[str, str | None]]:
    """The fields of a postback, with those of their texts that are words."""
    return ((path, mask.text(text)) for path, text in postback.fields[:MOST_FIELDS])


@attrs.frozen
class One:
    """One event, whatever it belongs to, and what is shown of its body."""

    position: int
    reading: str
    problem: str
    kind: str
    received_at: datetime
    source: str
    content_type: str | None
    body: Body


def one_of(asking: Asking, position: int, *, unmask: bool) -> One:
    """The event at a position; raises ``UnknownKey`` where the log has none there."""
    with asking.read() as own:
        if not 0 < position <= own.log.last():
            raise UnknownKey(f"the log has no event at position {position}")
        definitions = own.reader.definitions
        stored = own.log.at(position)
        event = _events(own, stored)[0]
    mask = Mask() if unmask else asking.mask_of(definitions)
    return One(
        position=position,
        reading=str(event.reading or event.kind),
        problem=mask.problem(event.problem) or "",
        kind=str(event.kind),
        received_at=event.received_at,
        source=mask.id(event.source) or "",
        content_type=mask.media(event.content_type),
        body=body_of(event, definitions, mask, None, several=True),
    )
