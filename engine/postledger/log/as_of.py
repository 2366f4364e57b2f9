"""As of: what a fold leaves out, to show what was known at an earlier time."""

from __future__ import annotations

from datetime import datetime

import attrs

from postledger.store.store import LARGEST
from postledger.times import UNDATED, aware, micros


@attrs.frozen
class Bounds:
    """What is left out of a fold: all that was not known yet, or had not happened yet.

    ``position``: events up to it. ``received_by``: events received by then (microseconds), whenever
    they were recorded. ``occurred_by``: events that had happened by then by the provider's clock; one
    without a time had happened when it was received, at the latest.
    """

    position: int | None = None
    received_by: int | None = None
    occurred_by: int | None = None

    def within(self, size: int) -> Bounds:
        """These bounds, of the first ``size`` events of the log."""
        last = size - 1
        return attrs.evolve(
            self, position=last if self.position is None else min(self.position, last)
        )

    def sql(self, row: str = "i", event: str = "e") -> tuple[str, tuple[int, ...]]:
        """Conditions on an event and its row of the index, by these names; each begins with AND.

        With them come their parameters.
        """
        conditions, parameters = "", []
        for column, bound in (
            (f"{row}.position", self.position),
            (f"{event}.received_at", self.received_by),
            (_HAPPENED_AT.format(row=row, event=event), self.occurred_by),
        ):
            if bound is not None:
                conditions += f" AND {column} <= ?"
                parameters.append(bound)
        return conditions, tuple(parameters)

    def take(self, position: int, received_at: int, occurred_at: int) -> bool:
        """Whether they leave an event in, as those conditions do."""
        happened = received_at if occurred_at == UNDATED else occurred_at
        return (
            (self.position is None or position <= self.position)
            and (self.received_by is None or received_at <= self.received_by)
            and (self.occurred_by is None or happened <= self.occurred_by)
        )


# Of an event without a time the latest time is known at which it can have happened.
_HAPPENED_AT = (
    f"CASE WHEN {{row}}.occurred_at = {UNDATED} THEN {{event}}.received_at"
    " ELSE {row}.occurred_at END"
)

EVERYTHING = Bounds()


def bounds_of(as_of: int | datetime | None, occurred_by: datetime | None) -> Bounds:
    """The bounds of what was known at a time or position, and of what had happened by a time.

    Raises ``ValueError`` for a naive time.
    """
    happened = None if occurred_by is None else micros(aware(occurred_by, "occurred_by"))
    if isinstance(as_of, int) and not isinstance(as_of, bool):
        # No position is beyond what a store counts to.
        return Bounds(max(-1, min(as_of, LARGEST)), None, happened)
    known = None if as_of is None else micros(aware(as_of, "as_of"))
    return Bounds(None, known, happened)
