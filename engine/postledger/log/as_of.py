"""Bounds: what a fold leaves out, to tell of an earlier moment."""

from __future__ import annotations

from datetime import datetime

import attrs

from postledger.log.log import Stored
from postledger.state.fold import UNDATED
from postledger.times import aware, micros


@attrs.frozen
class Bounds:
    """What is left out of a fold: all that was not known yet, or had not happened yet.

    ``position``: events up to it. ``received_by``: events known by then (microseconds), whenever
    recorded. ``occurred_by``: events that had happened by then by the provider's clock; one without
    a time had happened when it was received, at the latest.
    """

    position: int | None = None
    received_by: int | None = None
    occurred_by: int | None = None

    def sql(self, event: str = "e") -> tuple[str, tuple[int, ...]]:
        """Conditions on distinct events, each beginning with AND, and their parameters."""
        conditions, parameters = "", []
        if self.position is not None:
            conditions += f" AND {event}.position <= ?"
            parameters.append(self.position)
        if self.received_by is not None:
            # Of an event received several times, any of the times made it known.
            conditions += (
                f" AND ({event}.received_at <= ? OR EXISTS (SELECT 1 FROM events r WHERE"
                f" r.stream_id = {event}.stream_id AND r.repeats = {event}.position"
                " AND r.received_at <= ?))"
            )
            parameters += [self.received_by, self.received_by]
        if self.occurred_by is not None:
            conditions += f" AND {_HAPPENED_AT.format(event + '.')} <= ?"
            parameters.append(self.occurred_by)
        return conditions, tuple(parameters)

    def of_repeats(self) -> tuple[str, tuple[int, ...]]:
        """The same for repeats: each was known when it arrived, and says what had happened before."""
        conditions, parameters = "", []
        for column, bound in (
            ("position", self.position),
            ("received_at", self.received_by),
            (_HAPPENED_AT.format(""), self.occurred_by),
        ):
            if bound is not None:
                conditions += f" AND {column} <= ?"
                parameters.append(bound)
        return conditions, tuple(parameters)

    def hold(self, repeat: Stored) -> bool:
        """Whether a repeat is within them."""
        happened_at = repeat.received_at if repeat.occurred_at == UNDATED else repeat.occurred_at
        return all(
            bound is None or value <= bound
            for value, bound in (
                (repeat.position, self.position),
                (repeat.received_at, self.received_by),
                (happened_at, self.occurred_by),
            )
        )


# Of an event without a time the latest moment is known at which it can have happened.
_HAPPENED_AT = (
    f"CASE WHEN {{0}}occurred_at = {UNDATED} THEN {{0}}received_at ELSE {{0}}occurred_at END"
)


EVERYTHING = Bounds()


def bounds_of(as_of: int | datetime | None, occurred_by: datetime | None) -> Bounds:
    """The bounds of what was known at a moment or position, and of what had happened by a moment.

    Raises ``TypeError`` for what is neither, ``ValueError`` for a naive moment.
    """
    happened = None if occurred_by is None else micros(occurred_by)
    if isinstance(as_of, int) and not isinstance(as_of, bool):
        # No position is beyond what SQLite counts to.
        return Bounds(max(-1, min(as_of, UNDATED)), None, happened)
    return Bounds(None, None if as_of is None else micros(aware(as_of)), happened)
