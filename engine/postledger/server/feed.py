"""The feed: what of a ledger is to be sent, as messages: changes as CloudEvents, or the postbacks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import attrs

from postledger.definitions.definitions import Definitions
from postledger.ledger.connections import Own
from postledger.ledger.ledger import Ledger
from postledger.log.event import Kind, Part, Stored
from postledger.model import StateChanged
from postledger.projections import changes, generations
from postledger.projections.adoptions import Rereading, rereading
from postledger.projections.generations import Lives
from postledger.server.outbox import Message
from postledger.state.patterns import NOWHERE, Stream
from postledger.times import iso

CHANGES, POSTBACKS = "changes", "postbacks"
"""What an endpoint is sent: state changes as CloudEvents, or postbacks as received."""

CHANGED, ADOPTED = "postledger.delivery.changed", "postledger.delivery.adopted"
"""The types of the CloudEvents: an event changed a state, or an adoption of definitions did."""

# The query string of a GET has the pairs of a form.
_FORM = "application/x-www-form-urlencoded"
_CLOUDEVENT = "application/cloudevents+json; charset=UTF-8"
# What no attribute of a CloudEvent may hold ("Type System", String).
_BARRED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


@attrs.frozen
class Batch:
    """Messages of the events up to ``until``, whose leaf is given; ``definitions`` is a hash."""

    until: int
    leaf: bytes | None
    definitions: str
    messages: tuple[Message, ...]


class Feed:
    """Reads messages from a ledger, for one thread at a time."""

    def __init__(self, ledger: Ledger, kind: str) -> None:
        self._ledger = ledger
        self._postbacks = kind == POSTBACKS
        self._lives = Lives()
        self._stack = ExitStack()
        # What is compared, as long as the live generation is the same.
        self._comparing: tuple[object, Rereading] | None = None
        self.ledger_id = ledger_id_of(ledger)
        self._id = bytes.fromhex(self.ledger_id)

    def _reading(self) -> Any:
        return self._ledger._connections.read()

    def leaf(self, position: int) -> bytes | None:
        """The leaf of the event at a position; ``None`` where the log has none there."""
        with self._ledger._connections.read_log() as own:
            return self._leaf(own, position)

    def _leaf(self, own: Own, position: int) -> bytes | None:
        if not 0 <= position <= own.log.last():
            return None
        return own.log.at(position).leaf

    def in_force(self) -> tuple[str, int]:
        """The hash of the definitions that changes are read by, and the position of their adoption."""
        with self._reading() as own:
            return own.reader.definitions.hash, own.generation.adoption

    def page(self, after: int) -> Batch:
        """The messages of the next events after a position."""
        with self._reading() as own:
            definitions = own.reader.definitions.hash
            if self._postbacks:
                events = own.log.page(after + 1, after + changes.PAGE)
                messages = tuple(postbacks_of(own, events))
                until = events[-1].position if events else after
            else:
                page = changes.page_of(own.reader, after, self._id, self._lives)
                messages = tuple(cloudevent(one, self.ledger_id) for one in page.changes)
                until = page.until
            return Batch(until, self._leaf(own, until), definitions, messages)

    # --- adoptions ---

    def adopted(self, definitions: str, adoption: int, position: int, after: int) -> Batch | None:
        """What an adoption changed of the deliveries as known at a position, by further pages.

        ``definitions`` is the hash of those of before; ``None`` where no event of the log has them.
        """
        with self._reading() as own:
            comparing = self._compare(own, definitions, adoption, position)
            if comparing is None:
                return None
            page = comparing.page(after)
            messages = tuple(cloudevent(one, self.ledger_id) for one in page.changes)
            return Batch(page.until, None, page.definitions, messages)

    def _compare(
        self, own: Own, definitions: str, adoption: int, position: int
    ) -> Rereading | None:
        asked = (own.generation.number, definitions, adoption, position)
        if self._comparing is not None and self._comparing[0] == asked:
            return self._comparing[1]
        self.settle()
        before = _adopted_as(definitions, own)
        if before is None:
            return None
        stored = own.log.at(adoption)
        made = self._stack.enter_context(
            rereading(
                own.reader,
                before,
                generations.adopted(stored),
                self._ledger._connections.limits,
                adoption=stored,
                position=position,
                ledger_id=self._id,
            )
        )
        self._comparing = asked, made
        return made

    def settle(self) -> None:
        """Drop what a comparison took."""
        self._comparing = None
        self._stack.close()


def ledger_id_of(ledger: Ledger) -> str:
    """The id of a ledger, in hexadecimal."""
    with ledger._connections.read_log() as own:
        return generations.ledger_id(own.log).hex()


def _adopted_as(definitions: str, own: Own) -> Definitions | None:
    """The definitions of a hash, as the log has them."""
    for stored in own.log.adoptions():
        found = generations.adopted(stored)
        if found.hash == definitions:
            return found
    return None


# --- messages ---


def cloudevent(change: StateChanged, ledger_id: str) -> Message:
    """A change as a CloudEvent (CloudEvents 1.0.2, JSON format, structured mode).

    >>> from postledger.server.feed import cloudevent
    >>> import json
    >>> message = cloudevent(next(ledger.follow()), "5e0f")
    >>> said = json.loads(message.body)
    >>> said["type"], said["subject"], said["id"] == message.key
    ('postledger.delivery.changed', 'U01TXzgwNjc4', True)
    """
    about = change.delivery.tracking_id
    said: dict[str, object] = {
        "specversion": "1.0",
        "id": change.key,
        "source": f"/ledgers/{ledger_id}",
        "type": ADOPTED if change.event.kind == Kind.ADOPTION else CHANGED,
        "time": iso(change.event.received_at),
        "datacontenttype": "application/json",
        "data": change.to_dict(),
    }
    if not _BARRED.search(about):
        said["subject"] = about
    body = json.dumps(said, separators=(",", ":")).encode()
    stream = (change.delivery.space, change.delivery.chart, about)
    return Message(change.key, about, (_chain(stream),), change.position, _CLOUDEVENT, None, body)


def postbacks_of(own: Own, events: Iterable[Stored]) -> Iterator[Message]:
    """The receipts among events, as they were received; the key of each is its leaf in the log.

    Those whose sender check failed are left out: a signature of ours would vouch for them.
    """
    for stored in events:
        # guard: nothing unverified is sent on
        if stored.kind != Kind.RECEIPT or not stored.envelope.is_verified:
            continue
        streams = [one.stream for one in own.reader.facts.statements_of(stored)]
        placed = [stream for stream in dict.fromkeys(streams) if stream != NOWHERE]
        key = stored.leaf.hex()
        yield Message(
            key,
            placed[0][2] if placed else "",
            # What belongs to no delivery waits for nothing.
            tuple(map(_chain, placed)) or (key,),
            stored.position,
            _FORM if stored.envelope.part is Part.QUERY else stored.envelope.content_type,
            stored.envelope.content_encoding,
            stored.body,
        )


def _chain(stream: Stream) -> str:
    """One text for a stream; of a text with half a character, what can be stored of it."""
    return json.dumps(stream)
