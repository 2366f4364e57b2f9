"""Narrowing: which events, and which changes, ``events`` and ``follow`` are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import wraps
from typing import Any

import attrs
import click

from postledger.cli.common import Command, check_period, zone_option
from postledger.cli.params import Time
from postledger.definitions.definitions import Definitions
from postledger.errors import UnknownWord
from postledger.keys import keys_meant
from postledger.ledger.ledger import Ledger
from postledger.model import DELIVERY, Event, StateChanged


@attrs.frozen
class Narrow:
    """What events are held to; ``None`` lets all through.

    ``since`` and ``until`` bound the time of reception, ``key`` is a TRACKINGID or MMSID, ``state`` one
    that the event brought its delivery into, ``code`` the code that it states.
    """

    since: datetime | None = None
    until: datetime | None = None
    key: str | None = None
    state: str | None = None
    code: str | None = None

    def require_known(self, ledger: Ledger) -> None:
        """Raise ``UnknownWord`` for a state that deliveries don't have."""
        regions = ledger.definitions.chart(DELIVERY).regions
        states = [state for region in regions for state in region.states]
        if self.state is not None and self.state not in states:
            raise UnknownWord(f"unknown state {self.state!r}: expected {', '.join(states)}")

    def events(self, ledger: Ledger, after: int) -> Iterator[Event]:
        """The events after a position that it lets through, in order of position."""
        self.require_known(ledger)
        found = ledger.events(after, since=self.since, until=self.until, key=self.key)
        if self.code is not None:
            definitions = ledger.definitions
            found = (event for event in found if self.code in codes_of(event, definitions))
        return found if self.state is None else self._entering(ledger, found)

    def _entering(self, ledger: Ledger, found: Iterator[Event]) -> Iterator[Event]:
        """Those of the events that brought their delivery into the state."""
        changes: Iterator[StateChanged] | None = None
        for event in found:
            if changes is None:
                changes = ledger.follow(event.position - 1, live=False)
                change = next(changes, None)
            while change is not None and _place(change.event) < _place(event):
                change = next(changes, None)
            if change is None:
                return
            if _place(change.event) == _place(event) and self._is_entered(change):
                yield event

    def lets(self, change: StateChanged, definitions: Definitions) -> bool:
        """Whether a change is one that is asked for."""
        event = change.event
        return (
            (self.since is None or self.since <= event.received_at)
            and (self.until is None or event.received_at < self.until)
            and (self.key is None or self._names(change))
            and (self.state is None or self._is_entered(change))
            and (self.code is None or self.code in codes_of(event, definitions))
        )

    def _names(self, change: StateChanged) -> bool:
        assert self.key is not None
        key = change.delivery.tracking_id
        return key == self.key or key in keys_meant(self.key)

    def _is_entered(self, change: StateChanged) -> bool:
        before = change.before or {}
        return any(
            state == self.state and before.get(region) != state
            for region, state in change.after.items()
        )


def codes_of(event: Event, definitions: Definitions) -> set[str]:
    """The codes that an event states, as the vocabulary has them that knows it, or else any."""
    postback = event.postback
    if postback is None:
        return set()
    readings = [one.read(postback) for one in definitions.vocabularies if one.fits(postback)]
    known = [one for one in readings if one.recognised] or readings
    return {postback.fields[one.code_at][1] for one in known if one.code_at is not None}


def narrow_options(
    what: str, until: str = "", ids: str = "TRACKINGID or MMSID"
) -> Callable[[Command], Command]:
    """``--since``, ``--until``, ``--id``, ``--state``, ``--code`` and ``--tz``; given as ``narrow``."""
    options = (
        click.option("--since", type=Time(), help=f"{what} received at that time or later."),
        click.option("--until", type=Time(), help=f"{what} received before that time{until}."),
        click.option("--id", "key", metavar="ID", help=f"{what} of that {ids}."),
        click.option("--state", help=f"{what} that brought a delivery into that state."),
        click.option("--code", help=f"{what} that state that code of the provider."),
        zone_option,
    )

    def with_them(command: Command) -> Command:
        @wraps(command)
        def call(*args: Any, **kwargs: Any) -> Any:
            narrow = Narrow(*(kwargs.pop(one.name) for one in attrs.fields(Narrow)))
            check_period(narrow.since, narrow.until)
            return command(*args, narrow=narrow, **kwargs)

        narrowed = call
        for option in reversed(options):
            narrowed = option(narrowed)
        return narrowed  # type: ignore[return-value]

    return with_them


def _place(event: Event) -> tuple[int, int]:
    return event.position, event.member
