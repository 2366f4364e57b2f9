"""The endpoints of a ledger: where each stands, what waits for it, and what people do about that."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import attrs

from postledger.errors import NotALedger, UnknownKey
from postledger.ledger.ledger import Ledger
from postledger.model import plain
from postledger.server.feed import CHANGES, POSTBACKS, ledger_id_of
from postledger.server.outbox import Outbox, Waiting, outbox_of

if TYPE_CHECKING:
    from postledger.server.sending import Target


@attrs.frozen
class Status:
    """Where an endpoint stands: what metrics show of a forwarder.

    ``endpoint`` is the URL without what may be secret in it, ``feed`` is ``changes`` or ``postbacks``.
    ``position`` is the last one that was taken in, ``behind`` the number of events after it. ``pending``
    messages are sent when their time comes; ``held`` ones wait behind a parked one of the same
    delivery; ``parked`` ones were refused until the schedule ended. ``disabled`` is why nothing is sent
    any more, ``None`` while it is.

    >>> from postledger.server.endpoints import Status
    >>> status = Status("https://example.org/", "changes", 41, 0, 2, 0, 1, None)
    >>> status.pending, status.parked
    (2, 1)
    """

    endpoint: str
    feed: str
    position: int
    behind: int
    pending: int
    held: int
    parked: int
    disabled: str | None

    def to_dict(self) -> dict[str, Any]:
        """The status as JSON has it."""
        return dict(plain(self))


class Endpoint:
    """One endpoint of a ledger, whoever serves it; ``number`` is that of the outbox.

    What is done here is noticed at once by a forwarder that is running.

    >>> from postledger.server.endpoints import Endpoint
    >>> from postledger.server.forwarder import Forwarder
    >>> endpoint: Endpoint = Forwarder(ledger, "https://example.org/hook")
    >>> endpoint.waiting()
    []
    """

    def __init__(self, ledger: Ledger, number: int) -> None:
        self.ledger = ledger
        self.number = number

    def _outbox(self, *, readonly: bool = False) -> closing[Outbox]:
        return closing(_open(self.ledger, readonly=readonly))

    def status(self) -> Status:
        """Where it stands."""
        with self._outbox(readonly=True) as outbox:
            place = outbox.endpoint(self.number)
            pending, held, parked = outbox.counts(self.number)
        behind = max(0, self.ledger.head().size - 1 - place.position)
        return Status(
            place.shown,
            place.feed,
            place.position,
            behind,
            pending,
            held,
            parked,
            place.disabled,
        )

    def waiting(self, most: int = 100) -> list[Waiting]:
        """The messages that wait, the parked ones first, at most so many."""
        with self._outbox(readonly=True) as outbox:
            return outbox.waiting(self.number, most)

    def skip(self, key: str) -> None:
        """Give up a message; what waits behind it goes on. Raises ``UnknownKey``."""
        with self._outbox() as outbox:
            outbox.skip(self.number, key)

    def redrive(self, key: str | None = None) -> int:
        """Send what is parked, all of it or one message, by a new schedule; returns how many.

        With a key, also one that waits for its next attempt. Raises ``UnknownKey``.
        """
        with self._outbox() as outbox:
            return outbox.redrive(self.number, key)

    def enable(self) -> None:
        """Send to the endpoint again, though it answered 410."""
        with self._outbox() as outbox:
            outbox.set_place(self.number, disabled=None)


def endpoints(ledger: Ledger) -> list[Endpoint]:
    """All endpoints of a ledger, in the order in which they were added; none without an outbox.

    >>> from postledger.server.endpoints import endpoints
    >>> [one.status().endpoint for one in endpoints(ledger)]
    ['https://example.org/hook']
    """
    outbox = _existing(ledger)
    if outbox is None:
        return []
    with closing(outbox):
        return [Endpoint(ledger, one.id) for one in outbox.endpoints()]


def endpoint_of(ledger: Ledger, to: str, *, postbacks: bool = False) -> Endpoint:
    """The endpoint of a URL; raises ``UnknownKey`` where nothing was ever forwarded to it."""
    from postledger.server.sending import Target

    target, found = Target(to), None
    outbox = _existing(ledger)
    if outbox is not None:
        with closing(outbox):
            found = outbox.find(identity_of(target, postbacks=postbacks))
    if found is None:
        what = POSTBACKS if postbacks else CHANGES
        raise UnknownKey(f"{target.shown}: no {what} were forwarded there yet")
    return Endpoint(ledger, found)


def _existing(ledger: Ledger) -> Outbox | None:
    """The outbox of a ledger, for reading; ``None`` where there is none."""
    try:
        return _open(ledger, readonly=True)
    except NotALedger:
        if outbox_of(ledger.path).exists():
            raise
        return None


def _open(ledger: Ledger, *, readonly: bool) -> Outbox:
    return Outbox.open(ledger.path, ledger_id_of(ledger), readonly=readonly)


def identity_of(target: Target, *, postbacks: bool) -> str:
    """What tells an endpoint from others: what is sent to it, and its URL, as a hash."""
    return f"{POSTBACKS if postbacks else CHANGES} {target.identity}"
