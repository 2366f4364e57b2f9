"""Replay: the projection built anew from the log, beside the live one, and switched in whole.

The streams are folded in the order of their ids, a chunk per write transaction, so that writers go
on in between and memory stays flat. The cursor and the checkpoint move with each chunk: a replay
that was killed goes on where it was. What writers appended meanwhile is folded again at the end, and
the last of it in the transaction that switches.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from sqlite_utils import Database

from postledger.definitions.definitions import Definitions
from postledger.log.log import Log
from postledger.progress import Progress, silent
from postledger.projections.generations import Generation, Row
from postledger.projections.generations import generations as projections
from postledger.projections.rereading import moved
from postledger.projections.rows import Folded, rows_in, rows_of
from postledger.state.streams import Facts, Stream
from postledger.store.sqlite import immediate
from postledger.wire import Limits

CHUNK = 2_000
"""How many streams are folded in one write transaction: some tens of milliseconds."""


def project(log: Log, facts: Facts, generation: Generation, streams: Iterable[int]) -> None:
    """Fold streams anew and write their rows; the caller holds the write transaction."""
    project_rows(log, facts, generation, list(facts.rows_of(sorted(streams))))


def project_rows(
    log: Log, facts: Facts, generation: Generation, streams: list[Stream]
) -> list[Row]:
    """The same of streams whose events are at hand; gives the rows."""
    rows = [row for _, _, row in rows_in(log, facts, streams) if row is not None]
    projections.put(log.db, generation.table, rows)
    return rows


def rebuild(
    db: Database,
    log: Log,
    definitions: Definitions,
    limits: Limits,
    progress: Progress = silent,
) -> Generation:
    """Build the projection by ``definitions`` and make it the live one: ``build``, ``finish``.

    Raises ``IntegrityError``, with the positions and the reason, where the log can't be folded.
    """
    built = build(db, log, definitions, progress)
    return finish(db, log, definitions, built, limits, progress)


def build(
    db: Database, log: Log, definitions: Definitions, progress: Progress = silent
) -> Generation:
    """Build a generation beside the live one, or go on with one that was begun.

    Each chunk is a transaction of its own, between which others may write.
    """
    facts = Facts(log, definitions)
    with immediate(db):
        begun = projections.building(db, projections.version_of(definitions))
        generation = begun or projections.begin(db, definitions, log.head()[0])
    while generation.cursor is not None:
        with immediate(db):
            assert generation.cursor is not None
            # Not by blocks: what is kept is to follow from the log and from nothing else.
            chunk = list(islice(rows_of(log, facts, generation.cursor), CHUNK))
            generation = _put(db, generation, chunk, progress)
    while log.head()[0] - generation.position > CHUNK:
        with immediate(db):
            generation = _catch_up(db, log, facts, generation, progress)
    return generation


def finish(
    db: Database,
    log: Log,
    definitions: Definitions,
    generation: Generation,
    limits: Limits,
    progress: Progress = silent,
) -> Generation:
    """Catch up with the rest and make a built generation the live one, in one transaction.

    Events that ``definitions`` place elsewhere are read again there, within ``limits``, which appends to
    the log.
    """
    facts = Facts(log, definitions)
    with immediate(db):
        _reread(db, log, facts, limits)
        while generation.position < log.head()[0]:
            generation = _catch_up(db, log, facts, generation, progress)
        projections.switch(db, generation)
    return generation


def _reread(db: Database, log: Log, facts: Facts, limits: Limits) -> None:
    """Append the events that belong elsewhere by the new definitions."""
    live = projections.live(db)
    if live is not None:
        old = Facts(log, projections.kept_definitions(db, live))
        for found in moved(log, old, facts, limits).values():
            for one in found:
                (stream_id,), _ = log.stream_ids([one.entry.stream])
                log.append([one.entry._replace(stream_id=stream_id)], log.head())


def _put(
    db: Database, generation: Generation, chunk: list[Folded], progress: Progress
) -> Generation:
    """Write the rows of the next streams; without a next one the cursor is done with."""
    projections.put(db, generation.table, (row for _, _, row in chunk if row is not None))
    progress(sum(events for _, events, _ in chunk))
    cursor = chunk[-1][0] if chunk else None
    return projections.move(db, generation, generation.position, cursor)


def _catch_up(
    db: Database, log: Log, facts: Facts, generation: Generation, progress: Progress
) -> Generation:
    """Fold the streams of the next events that the generation has not seen."""
    until = min(generation.position + CHUNK, log.head()[0])
    project(log, facts, generation, log.streams_of(generation.position, until))
    progress(until - generation.position)
    return projections.move(db, generation, until, generation.cursor)
