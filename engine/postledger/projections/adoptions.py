"""Adoptions: what other definitions change of the deliveries as they were known at a position.

Those who follow the log get every change by the definitions in force. Of what they were given by earlier
ones an adoption can change the state without any event of the delivery: that is found here, by one
more walk through the log. A delivery comes up where its first event is, so that the walk can be left and
taken up again at any position.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError
from postledger.log.as_of import Bounds
from postledger.log.event import Stored
from postledger.model import DELIVERY, StateChanged
from postledger.projections.changes import PAGE, Page
from postledger.projections.compare import reading_by
from postledger.projections.reader import Reader
from postledger.state.changes import Known, known_at, reread
from postledger.state.patterns import Stream
from postledger.wire import Limits


@attrs.frozen
class Rereading:
    """The readers by the definitions of before and by the adopted ones, as of the same position."""

    before: Reader
    after: Reader
    adoption: Stored
    position: int
    ledger_id: bytes

    def page(self, after: int) -> Page:
        """What changed of the deliveries whose first event is on the page after a position.

        The caller holds a read transaction.
        """
        until = min(after + PAGE, self.position)
        events = self.after.log.page(after + 1, until)
        until = events[-1].position if events else until
        changes: dict[str, StateChanged] = {}
        for stored in events:
            for stream in dict.fromkeys(self._streams(stored)):
                change = self._change(stream, stored.position)
                if change is not None:
                    changes[change.key] = change
        return Page(until, tuple(changes.values()), self.after.definitions.hash)

    def _streams(self, stored: Stored) -> Iterator[Stream]:
        for reader in (self.before, self.after):
            for statement in reader.facts.statements_of(stored):
                if statement.stream[1] == DELIVERY:
                    yield statement.stream

    def _change(self, stream: Stream, position: int) -> StateChanged | None:
        """What changed of a delivery; ``None`` too where an earlier event is its first."""
        bounds = Bounds(position=self.position)
        rows = [(one, one.known(stream, bounds)) for one in (self.before, self.after)]
        first = min((row[3] for _, known in rows for row in known), default=None)
        if first is None:
            raise IntegrityError(
                f"position {position}: the index differs from the log; run replay --index"
            )
        if first < position:
            return None
        found: list[Known | None] = [
            known_at(one.facts, stream, known, self.position) if known else None
            for one, known in rows
        ]
        return reread(found[0], found[1], self.adoption, self.ledger_id)


@contextmanager
def rereading(
    reader: Reader,
    before: Definitions,
    after: Definitions,
    limits: Limits,
    *,
    adoption: Stored,
    position: int,
    ledger_id: bytes,
) -> Iterator[Rereading]:
    """What compares two definitions as of a position; the caller holds a read transaction.

    That need not last until the end: what is read of the log stands there for good.
    """
    bounds = Bounds(position=position)
    with (
        reading_by(reader, before, limits, bounds) as old,
        reading_by(reader, after, limits, bounds) as new,
    ):
        yield Rereading(old, new, adoption, position, ledger_id)
