"""Integrity: whether the log is what was received, and by which definitions it was read."""

from __future__ import annotations

from datetime import datetime

import attrs

from postledger.definitions.definitions import Definitions
from postledger.log.log import Log
from postledger.log.schema import guards
from postledger.log.verifications import Verified
from postledger.times import is_time, time_of
from postledger.verify import Standing


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
    """What was found of the ledger; ``problems`` is empty where nothing was.

    ``verified`` says whether it was verified whole in this run; else only what the report says is
    proven, or read from the states, and ``last`` is the last verification of the whole that the log
    states. ``events`` counts all events of the log, adoptions of definitions
    too. ``anchor`` is ``size:root``:
    whoever keeps it can show later that none of the first ``size`` events was altered. Of ``imported``
    events a file stated when they were received; it is ``None``, and so are the times, where nobody
    went through the log for them.
    """

    verified: bool
    last: Verified | None
    events: int
    anchor: str
    imported: int | None
    guards: int
    problems: tuple[str, ...]
    first_received_at: datetime | None
    last_received_at: datetime | None
    definitions: tuple[Definition, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def integrity(log: Log, definitions: Definitions, standing: Standing) -> Integrity:
    """The integrity of a ledger as it stands, and the definitions of the report."""
    verification = standing.verification
    first, last, imported = None, None, None
    if standing.whole:
        first, last, imported = log.received(verification.events - 1)
    return Integrity(
        verified=standing.whole,
        last=standing.last,
        events=verification.events,
        anchor=str(verification.anchor),
        imported=imported,
        guards=len(guards(log.store)),
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
