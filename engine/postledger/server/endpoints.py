"""The endpoints of a ledger: where each stands, what waits for it, and what people do about that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from postledger.address import Location
from postledger.errors import NotALedger, UnknownKey
from postledger.ledger.ledger import Ledger
from postledger.lock import Lock
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

    >>> from postledger.server.endpoints import endpoint_of
    >>> from postledger.server.forwarder import Forwarder
    >>> url, last = "http://localhost/hook", ledger.head().size - 1
    >>> Forwarder(ledger, url, allow_private=True, after=last).run(live=False)
    >>> endpoint_of(ledger, url).waiting()
    []
    """

    def __init__(self, ledger: Ledger, number: int) -> None:
        self.ledger = ledger
        self._number = number

    @property
    def number(self) -> int:
        """Its number in the outbox."""
        return self._number

    @contextmanager
    def _outbox(self, *, readonly: bool = False) -> Iterator[tuple[Outbox, int]]:
        # What is not there yet has no file either.
        number = self.number
        with closing(_open(self.ledger, readonly=readonly)) as outbox:
            # It may have been forgotten.
            outbox.endpoint(number)
            yield outbox, number

    def status(self) -> Status:
        """Where it stands."""
        with self._outbox(readonly=True) as (outbox, number):
            place = outbox.endpoint(number)
            pending, held, parked = outbox.counts(number)
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
        """At most ``most`` of the messages that wait, the parked ones first."""
        with self._outbox(readonly=True) as (outbox, number):
            return outbox.waiting(number, most)

    def skip(self, key: str) -> None:
        """Give up a message; what waits behind it goes on. Raises ``UnknownKey``.

        If an attempt for it is being made, what waits behind it goes on when that has ended.
        """
        with self._outbox() as (outbox, number):
            outbox.skip(number, key)

    def skip_parked(self) -> int:
        """Give up all that is parked; what it held goes on. Returns how many messages that were."""
        with self._outbox() as (outbox, number):
            return outbox.skip_parked(number)

    def redrive(self, key: str | None = None) -> int:
        """Send what was refused, all of it or one message, by a new schedule; returns how many.

        That is what is parked, and what waits for its next attempt. Raises ``UnknownKey``.
        """
        with self._outbox() as (outbox, number):
            return outbox.redrive(number, key)

    def enable(self) -> bool:
        """Send to the endpoint again, though it answered 410; returns whether it was disabled."""
        with self._outbox() as (outbox, number):
            return outbox.enable(number)

    def forget(self) -> int:
        """Remove the endpoint with its messages; returns how many waited.

        If it is forwarded to again, it begins as a new one. Raises ``PostledgerError`` while a
        forwarder sends there.
        """
        with self._outbox() as (outbox, number):
            path = lock_of(self.ledger.path, number)
            # guard: an endpoint is not removed while it is served
            with closing(endpoint_lock(path, outbox.endpoint(number).shown)):
                count = outbox.forget(number)
                # Windows removes no file that is open.
                with suppress(OSError):
                    path.unlink()
        return count


def endpoints(ledger: Ledger) -> list[Endpoint]:
    """All endpoints of a ledger, in the order in which they were added; none without an outbox.

    >>> from postledger.server.endpoints import endpoints
    >>> [one.status().endpoint for one in endpoints(ledger)]
    ['http://localhost/hook']
    """
    outbox = _existing(ledger)
    if outbox is None:
        return []
    with closing(outbox):
        return [Endpoint(ledger, one.id) for one in outbox.endpoints()]


def endpoint_of(ledger: Ledger, to: str, *, postbacks: bool = False) -> Endpoint:
    """The endpoint of a URL; raises ``UnknownKey`` where nothing was ever forwarded to it.

    The URL may be given as ``env:NAME`` or ``file:PATH``.
    """
    from postledger.server.sending import Target

    return Endpoint(ledger, number_of(ledger, Target(to), postbacks=postbacks))


def number_of(ledger: Ledger, target: Target, *, postbacks: bool) -> int:
    """The number of an endpoint in the outbox; raises ``UnknownKey`` where it is not there."""
    found = None
    outbox = _existing(ledger)
    if outbox is not None:
        with closing(outbox):
            found = outbox.find(identity_of(target, postbacks=postbacks))
    if found is None:
        what = POSTBACKS if postbacks else CHANGES
        raise UnknownKey(f"{target.shown}: no {what} were forwarded there yet")
    return found


def _existing(ledger: Ledger) -> Outbox | None:
    """The outbox of a ledger, for reading, or ``None`` if it is missing."""
    try:
        return _open(ledger, readonly=True)
    except NotALedger:
        if outbox_of(ledger.path).exists():
            raise
        return None


def _open(ledger: Ledger, *, readonly: bool) -> Outbox:
    return Outbox.open(ledger.path, ledger_id_of(ledger), readonly=readonly)


def endpoint_lock(path: Path, endpoint: str) -> Lock:
    """The lock of an endpoint: one process at a time sends there, which keeps the order."""
    return Lock(
        path,
        f"{endpoint}: another forwarder sends there; one at a time keeps the order",
        "forward as the user whose file it is",
    )


def lock_of(ledger: Location, number: int) -> Path:
    """The file that the process which serves an endpoint locks."""
    outbox = outbox_of(ledger)
    return outbox.with_name(f"{outbox.name}-{number}.lock")


def identity_of(target: Target, *, postbacks: bool) -> str:
    """What tells an endpoint from others: what is sent to it, and its URL, as a hash."""
    return f"{POSTBACKS if postbacks else CHANGES} {target.identity}"
