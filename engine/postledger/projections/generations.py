"""Projections: disposable tables that hold what the fold made of each stream.

A projection has a name and a version (the definitions it was folded by, and the version of its own
columns). Its rows stand in a table of their own, one per generation; the live generation is the one
that is kept up in each write transaction and that the views show. A rebuild fills a new generation
beside it and switches.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from secrets import token_hex
from typing import Any

import attrs
from sqlite_utils import Database

from postledger.definitions.definitions import Definitions, from_sources, sources
from postledger.errors import DefinitionError, IntegrityError
from postledger.findings import Finding, names
from postledger.model import Delivery
from postledger.state.fold import UNDATED, Tally
from postledger.times import micros, moment, now

NAME = "states"
COLUMNS_VERSION = 1
"""Counted up when the columns or the fold itself change, so that old rows are not taken for new."""

COLUMNS = (
    "stream_id",
    "state",
    "route",
    "reason",
    "route_reason",
    "recipient",
    "mms_id",
    "spid",
    "handset",
    "aggregator_id",
    "created_at",
    "sent_at",
    "outcome_at",
    "first_received_at",
    "events",
    "repeats",
    "findings",
)

_HOLES = ", ".join("?" * len(COLUMNS))

Row = tuple[Any, ...]
"""One row of the projection, in the order of its columns; times in microseconds or ``None``."""


def row_of(stream_id: int, tally: Tally, repeats: int) -> Row | None:
    """The row of a folded stream; ``None`` where no event said anything to its chart."""
    if not tally.heard:
        return None
    regions = [region.name for region in tally.chart.regions]
    route = regions.index("route") if "route" in regions[1:] else None
    findings = tally.findings | (Finding.REPEATED if repeats else 0)
    return (
        stream_id,
        tally.states[0],
        None if route is None else tally.states[route],
        tally.reasons[0],
        None if route is None else tally.reasons[route],
        *tally.texts,
        _stage_time(tally, "created"),
        _stage_time(tally, "sent"),
        _dated(tally.outcome_at),
        tally.first_received_at,
        tally.events,
        repeats,
        int(findings),
    )


def _stage_time(tally: Tally, stage: str) -> int | None:
    stages = tally.chart.stages
    return _dated(tally.times[stages.index(stage)]) if stage in stages else None


def _dated(time: int | None) -> int | None:
    return None if time == UNDATED else time


def kept_row(db: Database, generation: Generation, stream_id: int) -> Row | None:
    """The row of a stream in a generation."""
    sql = f"SELECT * FROM {generation.table} WHERE stream_id = ?"
    row: Row | None = db.conn.execute(sql, (stream_id,)).fetchone()
    return row


def delivery_of(key: str, row: Row) -> Delivery:
    """The public value of a row; raises ``IntegrityError`` for one that a damaged file gives."""
    if not all(text is None or isinstance(text, str) for text in row[1:10]):
        raise IntegrityError(f"the row of {key!r} is damaged; run replay")
    return Delivery(
        tracking_id=key,
        state=row[1],
        route=row[2],
        # A failed outcome is the nearer reason; a degraded route stands in its timeline all the same.
        reason=row[3] if row[3] is not None else row[4],
        to=row[5],
        mms_id=row[6],
        spid=row[7],
        handset=row[8],
        aggregator_id=row[9],
        created_at=_moment(row[10]),
        sent_at=_moment(row[11]),
        outcome_at=_moment(row[12]),
        first_received_at=moment(row[13]),
        events=row[14],
        repeats=row[15],
        findings=names(row[16]),
    )


def _moment(time: int | None) -> datetime | None:
    return None if time is None else moment(time)


@attrs.frozen
class Generation:
    """One generation of the projection: the table ``states_<number>`` as of ``position``."""

    number: int
    version: str
    definitions: str
    position: int
    cursor: int | None

    @property
    def table(self) -> str:
        """The table that holds its rows."""
        return f"{NAME}_{self.number}"


def version_of(definitions: Definitions) -> str:
    """The version of a projection by these definitions."""
    return f"{COLUMNS_VERSION}:{definitions.hash}"


def live(db: Database) -> Generation | None:
    """The live generation; ``None`` in a ledger that has none yet."""
    return _generation(db, "live")


def building(db: Database, version: str) -> Generation | None:
    """The generation of that version that a rebuild has begun and not finished."""
    return _generation(db, "NOT live AND version = ?", version)


def _generation(db: Database, condition: str, *parameters: str) -> Generation | None:
    row = db.conn.execute(
        "SELECT generation, version, definitions, position, cursor FROM projections"
        f" WHERE name = '{NAME}' AND {condition} ORDER BY generation DESC LIMIT 1",
        parameters,
    ).fetchone()
    return None if row is None else Generation(*row)


def begin(db: Database, definitions: Definitions, position: int) -> Generation:
    """Begin a new generation, empty, of the log up to ``position``; not live yet."""
    keep_definitions(db, definitions)
    newest = db.conn.execute("SELECT coalesce(max(generation), 0) FROM projections").fetchone()[0]
    generation = Generation(newest + 1, version_of(definitions), definitions.hash, position, 0)
    db.conn.execute(
        "INSERT INTO projections (generation, name, version, definitions, position, cursor, live)"
        " VALUES (?, ?, ?, ?, ?, ?, 0)",
        (generation.number, NAME, generation.version, definitions.hash, position, 0),
    )
    # A table of that name belongs to no generation.
    db.conn.execute(f"DROP TABLE IF EXISTS {generation.table}")
    db.conn.execute(_CREATE.format(table=generation.table))
    return generation


def put(db: Database, table: str, rows: Iterable[Row]) -> None:
    """Write rows in place of those of the same streams."""
    db.conn.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({_HOLES})", rows)


@contextmanager
def scratch(db: Database, rows: Iterable[Row]) -> Iterator[str]:
    """A table of the connection's own, with the columns of the projection; gives its name."""
    table = f"temp.{NAME}_{token_hex(8)}"
    db.conn.execute(_CREATE.format(table=table).replace("CREATE TABLE", "CREATE TEMP TABLE", 1))
    try:
        put(db, table, rows)
        yield table
    finally:
        db.conn.execute(f"DROP TABLE IF EXISTS {table}")


def move(
    db: Database, generation: Generation, position: int, cursor: int | None = None
) -> Generation:
    """Move the checkpoint; raises ``IntegrityError`` where it is not where it was."""
    moved = try_move(db, generation, position, cursor)
    if moved is None:
        raise IntegrityError(
            f"the checkpoint of {generation.table} is not at {generation.position}"
        )
    return moved


def try_move(
    db: Database, generation: Generation, position: int, cursor: int | None = None
) -> Generation | None:
    """The same, with ``None`` where the checkpoint is not where it was."""
    moved = db.conn.execute(
        "UPDATE projections SET position = ?, cursor = ?"
        " WHERE generation = ? AND version = ? AND position = ? AND cursor IS ?",
        (
            position,
            cursor,
            generation.number,
            generation.version,
            generation.position,
            generation.cursor,
        ),
    )
    if moved.rowcount != 1:
        return None
    return Generation(
        generation.number, generation.version, generation.definitions, position, cursor
    )


def switch(db: Database, generation: Generation) -> None:
    """Make a generation the live one, and do away with all others that are behind it."""
    db.conn.execute("UPDATE projections SET live = 0 WHERE live")
    db.conn.execute("UPDATE projections SET live = 1 WHERE generation = ?", (generation.number,))
    for chart, view in (("delivery", "deliveries"), ("content", "contents")):
        db.create_view(view, _view(generation.table, chart), replace=True)
    for number in others(db, generation):
        discard(db, number)


def others(db: Database, generation: Generation) -> list[int]:
    """The numbers of the generations that are not this one."""
    rows = db.conn.execute(
        "SELECT generation FROM projections WHERE generation <> ?", (generation.number,)
    )
    return [number for (number,) in rows]


def discard(db: Database, number: int) -> None:
    """Do away with a generation and its rows."""
    db.conn.execute("DELETE FROM projections WHERE generation = ?", (number,))
    db.conn.execute(f"DROP TABLE IF EXISTS {NAME}_{number}")


def keep_definitions(db: Database, definitions: Definitions) -> None:
    """Keep the text of the definitions in the ledger, once."""
    db.conn.execute(
        "INSERT INTO definitions SELECT ?1, ?2, ?3, ?4"
        " WHERE NOT EXISTS (SELECT 1 FROM definitions WHERE hash = ?1)",
        (
            definitions.hash,
            definitions.label,
            json.dumps(sources(definitions), ensure_ascii=False),
            micros(now()),
        ),
    )


def kept_definitions(db: Database, generation: Generation) -> Definitions:
    """The definitions that a generation was folded by, from the ledger's own text of them."""
    row = db.conn.execute(
        "SELECT hash, sources FROM definitions WHERE hash = ?", (generation.definitions,)
    ).fetchone()
    if row is None:
        raise IntegrityError(f"the definitions of {generation.table} are missing")
    return _kept(*row)


def adopted_last(db: Database) -> Definitions | None:
    """The definitions that were kept last; ``None`` in a ledger that has none yet."""
    row = db.conn.execute(
        "SELECT hash, sources FROM definitions ORDER BY adopted_at DESC LIMIT 1"
    ).fetchone()
    return None if row is None else _kept(*row)


def _kept(hashed: str, text: str) -> Definitions:
    try:
        definitions = from_sources((name, source) for name, source in json.loads(text))
    except (ValueError, TypeError, RecursionError, DefinitionError) as error:
        raise IntegrityError(f"the definitions {hashed[:8]} are damaged: {error}") from error
    if definitions.hash != hashed:
        raise IntegrityError(f"the definitions {hashed[:8]} are not what they were")
    return definitions


_CREATE = """
CREATE TABLE {table} (
    stream_id INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    route TEXT,
    reason TEXT,
    route_reason TEXT,
    recipient TEXT,
    mms_id TEXT,
    spid TEXT,
    handset TEXT,
    aggregator_id TEXT,
    created_at INTEGER,
    sent_at INTEGER,
    outcome_at INTEGER,
    first_received_at INTEGER NOT NULL,
    events INTEGER NOT NULL,
    repeats INTEGER NOT NULL,
    findings INTEGER NOT NULL
) STRICT
"""


def _view(table: str, chart: str) -> str:
    """The view for people: plain names, ISO times, findings as words."""

    def iso(column: str) -> str:
        return f"strftime('%Y-%m-%dT%H:%M:%fZ', s.{column} / 1e6, 'unixepoch') AS {column}"

    words = " || ".join(
        f"CASE WHEN s.findings & {int(f)} THEN '{names(f)[0]} ' ELSE '' END" for f in Finding
    )
    key = "mms_id" if chart == "content" else "tracking_id"
    kept = "" if chart == "content" else "s.mms_id, "
    return f"""
SELECT t.key AS {key}, s.state, s.route, coalesce(s.reason, s.route_reason) AS reason,
    s.recipient AS "to", {kept}s.spid, s.handset, s.aggregator_id,
    {iso("created_at")}, {iso("sent_at")}, {iso("outcome_at")}, {iso("first_received_at")},
    s.events, s.repeats, rtrim({words}) AS findings
FROM {table} s JOIN streams t ON t.id = s.stream_id WHERE t.chart = '{chart}'
"""
