"""Integrity: whether the log is what was received, and by which definitions it was read."""

from __future__ import annotations

from datetime import datetime

import attrs

from postledger.definitions.definitions import Definitions
from postledger.log.log import Log
from postledger.log.schema import guards
from postledger.model import Verification
from postledger.times import is_time, time_of


@attrs.frozen
class Definition:
    """A chart or vocabulary that the report was read by."""

    kind: str
    name: str
    version: int
    title: str
    hash: str
    policy: str | None = None


@attrs.frozen
class Integrity:
    """What ``verify`` found of the whole ledger; ``problems`` is empty where all holds.

    ``events`` counts all events of the log, adoptions of definitions too. ``anchor`` is ``size:root``:
    whoever keeps it can show later that none of the first ``size`` events was altered. Of ``imported``
    events a file stated when they were received.
    """

    events: int
    anchor: str
    imported: int
    guards: int
    problems: tuple[str, ...]
    first_received_at: datetime | None
    last_received_at: datetime | None
    definitions: tuple[Definition, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def integrity(log: Log, definitions: Definitions, verification: Verification) -> Integrity:
    """The integrity of a ledger by what ``verify`` found, and the definitions of the report."""
    first, last, imported = log.received(verification.events - 1)
    return Integrity(
        events=verification.events,
        anchor=str(verification.anchor),
        imported=imported,
        guards=len(guards()),
        problems=verification.problems,
        first_received_at=_time(first),
        last_received_at=_time(last),
        definitions=tuple(
            Definition(kind, d.name, d.version, d.title, d.hash, getattr(d, "policy", None))
            for kind, group in (
                ("chart", definitions.charts.values()),
                ("vocabulary", definitions.vocabularies),
            )
            for d in group
        ),
    )


def _time(time: int | None) -> datetime | None:
    """A time of the log; in a damaged file it may be out of reach."""
    return time_of(time) if time is not None and is_time(time) else None
