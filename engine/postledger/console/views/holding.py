"""Holding: whether the ledger holds, by which definitions it is read, and what the forwarder parked."""

from __future__ import annotations

import shlex

import attrs

from postledger.address import is_address, named_in_reports
from postledger.audit.mask import HIDDEN
from postledger.console.asking import Asking
from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError
from postledger.ledger.health import Health
from postledger.log.verifications import Verified
from postledger.model import Anchor
from postledger.server.endpoints import Status, endpoints
from postledger.verify import last_verified

MOST_PARKED = 100
"""Messages of an endpoint that are listed."""


@attrs.frozen
class Held:
    """What is known of the integrity of a ledger; ``problem`` is why the last verification can't be read.

    ``verified`` is the last verification of all of it that the log states, ``since`` how many events
    came after.
    """

    anchor: Anchor
    verified: Verified | None
    problem: str
    health: Health
    definitions: Definitions
    file: str

    @property
    def on_server(self) -> bool:
        """Whether it is a schema, and not a file."""
        return is_address(self.file)

    @property
    def argument(self) -> str:
        """The ledger as the command line takes it."""
        return shlex.quote(self.file)

    @property
    def since(self) -> int:
        """How many events came after the last verification."""
        return self.anchor.size - (self.verified.anchor.size if self.verified else 0)


def held_by(asking: Asking) -> Held:
    """The integrity of a ledger, without verifying it: that reads all of it."""
    ledger = asking.ledger
    verified, problem = None, ""
    with asking.read() as own:
        anchor = ledger.head()
        try:
            verified = last_verified(own.log, own.generation.tallies_of(own.store))
        except IntegrityError as error:
            problem = str(error)
        definitions = own.reader.definitions
    mask = asking.mask_of(definitions)
    return Held(
        anchor,
        verified,
        problem,
        ledger.health(),
        definitions,
        mask.file(named_in_reports(ledger.path)),
    )


@attrs.frozen
class Parked:
    """A message that waits; ``name`` is the delivery that it is about, empty where it is hidden."""

    name: str
    position: int
    attempts: int
    status: str
    problem: str


@attrs.frozen
class Outgoing:
    """An endpoint of the forwarder, and what waits for it, the parked first."""

    status: Status
    waiting: tuple[Parked, ...]


def outgoing_of(asking: Asking) -> tuple[Outgoing, ...]:
    """All endpoints of a ledger; none where nothing is forwarded."""
    ledger = asking.ledger
    mask = asking.mask_of(ledger.definitions)
    found = []
    for endpoint in endpoints(ledger):
        waiting = tuple(
            Parked(
                name="" if (shown := mask.id(one.about) or "") == HIDDEN else shown,
                position=one.position,
                attempts=one.attempts,
                status=one.status,
                problem=one.problem or "",
            )
            for one in endpoint.waiting(MOST_PARKED)
        )
        found.append(Outgoing(endpoint.status(), waiting))
    return tuple(found)


def parked_in(asking: Asking) -> int:
    """How many messages are parked."""
    return sum(one.status().parked for one in endpoints(asking.ledger))
