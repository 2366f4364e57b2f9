"""Integrity: whether the log is what was written, and by which definitions it was folded."""

from __future__ import annotations

from datetime import datetime

import attrs

from postledger.definitions.definitions import Definitions
from postledger.log.log import Log
from postledger.log.schema import guards
from postledger.progress import Progress
from postledger.times import time_of
from postledger.verify import verify


@attrs.frozen
class Definition:
    """A chart or vocabulary that the states were folded by."""

    kind: str
    name: str
    version: int
    title: str
    hash: str
    policy: str | None = None


@attrs.frozen
class Integrity:
    """What ``verify`` found of the whole ledger; ``problems`` is empty where all holds.

    ``anchor`` is ``position:hash``: whoever keeps it can show later that nothing up to that
    position was altered. Of ``imported`` events a file stated when they were received.
    """

    events: int
    position: int
    head: str
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


def integrity(log: Log, definitions: Definitions, progress: Progress) -> Integrity:
    """Verify the ledger; the caller holds a read transaction."""
    found = verify(log, definitions, progress=progress)
    first, last, imported = log.db.conn.execute(
        f"SELECT min(received_at), max(received_at), coalesce(sum(flags & {IMPORTED} <> 0), 0)"
        " FROM events"
    ).fetchone()
    return Integrity(
        events=found.events,
        position=found.position,
        head=found.head,
        anchor=f"{found.position}:{found.head}",
        imported=imported,
        guards=len(guards()),
        problems=found.problems,
        first_received_at=None if first is None else time_of(first),
        last_received_at=None if last is None else time_of(last),
        definitions=_definitions(definitions),
    )


def _definitions(definitions: Definitions) -> tuple[Definition, ...]:
    charts = (
        Definition("chart", c.name, c.version, c.title, c.hash, c.policy)
        for c in definitions.charts.values()
    )
    vocabularies = (
        Definition("vocabulary", v.name, v.version, v.title, v.hash)
        for v in definitions.vocabularies
    )
    return (*charts, *vocabularies)
