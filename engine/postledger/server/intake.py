"""The intake: takes what a feed has into the outbox, and keeps the endpoint's place in the log."""

from __future__ import annotations

import logging

import attrs

from postledger.server.feed import Feed
from postledger.server.outbox import EndpointRow, Outbox

_log = logging.getLogger("postledger")

_BEGINNING = {"position": -1, "leaf": None, "definitions": None, "adopting": None, "cursor": -1}


@attrs.frozen
class Intake:
    """What one endpoint is sent of a feed, taken in page by page.

    ``adoptions`` says that what an adoption of definitions changes is sent too.
    """

    outbox: Outbox
    feed: Feed
    endpoint: int
    adoptions: bool

    def begin(self) -> EndpointRow:
        """Where the endpoint stands; at the beginning where the ledger is not the one of before."""
        place = self.outbox.endpoint(self.endpoint)
        if place.position >= 0 and place.leaf is None:
            leaf = self.feed.leaf(place.position)
            self.outbox.set_place(self.endpoint, leaf=leaf)
        # guard: a restored ledger is sent from the beginning
        elif place.leaf is not None and self.feed.leaf(place.position) != place.leaf:
            _log.warning(
                "%s: the log is not the one of before (restored?) at position %s; all is sent again",
                place.shown,
                place.position,
            )
            self.outbox.set_place(self.endpoint, **_BEGINNING)
        return self.outbox.endpoint(self.endpoint)

    def take(self) -> bool:
        """Take in the next page, where there is room; whether there may be more."""
        place = self.outbox.endpoint(self.endpoint)
        if place.disabled is not None or not self.outbox.has_room(self.endpoint):
            return False
        definitions, adoption = self.feed.in_force()
        if self.adoptions and place.adopting is not None:
            return self._take_adopted(place, place.adopting)
        if self.adoptions and place.definitions not in (None, definitions) and place.position >= 0:
            self.outbox.set_place(self.endpoint, adopting=adoption, cursor=-1)
            return True
        return self._take_page(place, definitions)

    def _take_page(self, place: EndpointRow, definitions: str) -> bool:
        batch = self.feed.page(place.position)
        if batch.definitions != definitions:
            # Adopted since they were asked for: what that changes comes first.
            return True
        if batch.until > place.position or place.definitions != definitions:
            self.outbox.take_in(
                self.endpoint,
                batch.messages,
                position=batch.until,
                leaf=batch.leaf,
                definitions=definitions,
                adopting=None,
                cursor=-1,
            )
        return batch.until > place.position

    def _take_adopted(self, place: EndpointRow, adoption: int) -> bool:
        """Take in what an adoption changed of what was taken in before it."""
        assert place.definitions is not None
        batch = self.feed.adopted(place.definitions, adoption, place.position, place.cursor)
        if batch is None:
            _log.warning("%s: the definitions of before are not in the log", place.shown)
            self.outbox.set_place(self.endpoint, definitions=None, adopting=None, cursor=-1)
            return True
        moved: dict[str, object] = {"cursor": batch.until}
        if batch.until >= place.position:
            moved = {"definitions": batch.definitions, "adopting": None, "cursor": -1}
            self.feed.settle()
        self.outbox.take_in(self.endpoint, batch.messages, **moved)
        return True
