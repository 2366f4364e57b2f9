"""The file format: tables, guards and views, made by the migrations of sqlite-utils."""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from postledger.errors import IntegrityError, LedgerError
from postledger.log.shapes import MOST_HOLES

APPLICATION_ID = 0x504C4752
"""The application id in the file's header: "PLGR"."""

FORMAT = 2
"""The format of the file, kept as its user version; a newer one is not opened, an older one is brought
up to this by the first who may write."""

BLOCKS_SINCE = 2
"""The format from which on a file has blocks."""

_FIRST_LACKED = {1: "blocks"}
"""The first migration that a file of an older format has not seen."""

migrations = Migrations("postledger")

_TABLES = """
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    chart TEXT NOT NULL,
    key TEXT NOT NULL,
    UNIQUE (key, chart)
) STRICT;

CREATE TABLE shapes (
    id INTEGER PRIMARY KEY,
    content_type TEXT,
    root TEXT,
    repaired INTEGER NOT NULL,
    template TEXT,
    fields TEXT NOT NULL
) STRICT;
CREATE INDEX shapes_fields ON shapes (fields);

-- occurred_at: microseconds since 1970, 9223372036854775807 where the event has no time.
-- fields: the texts that the shape leaves open, as a JSON array (of an unreadable body, the reason).
-- body: as received, where the shape has no template that gives it back.
-- repeats: the position of the event that this one repeats; shape, fields and body are then NULL
-- unless bytes or wording differ. body_of: the position of the event that holds the body (of a
-- bundle, or of an event that was read again).
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    stream_id INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL,
    shape_id INTEGER,
    fields TEXT,
    body BLOB,
    flags INTEGER NOT NULL,
    repeats INTEGER,
    body_of INTEGER,
    digest BLOB NOT NULL,
    chain BLOB NOT NULL,
    CHECK (length(digest) = 16 AND length(chain) = 32),
    CHECK (repeats < position AND body_of < position)
) STRICT;

-- One row per distinct event, in fold order but for the stage: what finds a repeat is what is folded.
CREATE UNIQUE INDEX events_fold ON events (stream_id, occurred_at, digest) WHERE repeats IS NULL;
CREATE INDEX events_repeats ON events (stream_id, repeats) WHERE repeats IS NOT NULL;

CREATE TABLE definitions (
    hash TEXT PRIMARY KEY,
    label TEXT NOT NULL,
    sources TEXT NOT NULL,
    adopted_at INTEGER NOT NULL
) STRICT;

CREATE TABLE projections (
    generation INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    definitions TEXT NOT NULL REFERENCES definitions (hash),
    position INTEGER NOT NULL,
    cursor INTEGER,
    live INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX projections_live ON projections (name) WHERE live;

-- Where subscriptions and users' own projections stand; tables: those of a projection, as JSON.
CREATE TABLE checkpoints (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT,
    tables TEXT NOT NULL,
    position INTEGER NOT NULL,
    problem TEXT,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
"""

# What a fold reads of the streams from first to last, as of position: a copy that optimize makes.
_BLOCKS = """
CREATE TABLE blocks (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    position INTEGER NOT NULL,
    columns BLOB NOT NULL
) STRICT""".lstrip()

_GUARDED = {
    # INSERT OR REPLACE takes away rows that are in the way of any unique index without a DELETE
    # trigger firing; so an insert that would meet a row is stopped before it.
    "events": """NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM events)
        OR NEW.repeats IS NULL AND EXISTS (
            SELECT 1 FROM events WHERE repeats IS NULL AND stream_id = NEW.stream_id
            AND occurred_at = NEW.occurred_at AND digest = NEW.digest)""",
    "streams": """NEW.id IS NOT (SELECT coalesce(max(id), -1) + 1 FROM streams)
        OR EXISTS (SELECT 1 FROM streams WHERE key = NEW.key AND chart = NEW.chart)""",
    "shapes": "NEW.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM shapes)",
    "definitions": "EXISTS (SELECT 1 FROM definitions WHERE hash = NEW.hash)",
}


def guards() -> dict[str, str]:
    """The triggers that keep what is written as it is: name to SQL."""
    made: dict[str, str] = {}
    for table, taken in _GUARDED.items():
        stop = f"SELECT RAISE(ABORT, '{table} are append-only')"
        for verb in ("UPDATE", "DELETE"):
            name = f"{table}_no_{verb.lower()}"
            made[name] = f"CREATE TRIGGER {name} BEFORE {verb} ON {table} BEGIN {stop}; END"
        name = f"{table}_no_replace"
        made[name] = (
            f"CREATE TRIGGER {name} BEFORE INSERT ON {table} WHEN {taken} BEGIN {stop}; END"
        )
    return made


def check_guards(db: Database) -> list[str]:
    """What is wrong with the guards: one line each, none where all stand as they were made.

    A trigger of somebody else's on a guarded table counts too: it could skip what is to be appended.
    """
    rows = db.conn.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
    there = {name: (table, sql) for name, table, sql in rows}
    wanted = guards()
    wrong = [
        f"guard {name} is {'missing' if name not in there else 'changed'}: "
        f"{name.split('_', 1)[0]} can be altered"
        for name, sql in wanted.items()
        if there.get(name, ("", ""))[1] != sql
    ]
    return wrong + [
        f"trigger {name} on {table} is none of Postledger's: what it does is not recorded"
        for name, (table, _) in there.items()
        if table in _GUARDED and name not in wanted
    ]


def check_schema(db: Database) -> list[str]:
    """Which tables, indexes and views are not as they were made: one line each.

    An older file, which was opened for reading only, has those of its format.
    """
    made = Database(memory=True)
    try:
        migrations.apply(made, stop_before=_FIRST_LACKED.get(format_of(db), ()))
        wanted = _objects(made)
    finally:
        made.close()
    there = _objects(db)
    return [
        f"{kind} {name} is {'missing' if (kind, name) not in there else 'not as it was made'}"
        for (kind, name), sql in wanted.items()
        if there.get((kind, name)) != sql
    ]


def _objects(db: Database) -> dict[tuple[str, str], str]:
    """Tables, indexes and views with their SQL; those that a constraint implies have none."""
    rows = db.conn.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type <> 'trigger' AND sql IS NOT NULL"
        # The tables of sqlite-utils itself differ with its version.
        " AND tbl_name NOT LIKE '\\_%' ESCAPE '\\'"
    )
    return {(kind, name): sql for kind, name, sql in rows}


_OF = "CASE WHEN {0} = 9223372036854775807 THEN NULL ELSE {0} END"
_ISO = "strftime('%Y-%m-%dT%H:%M:%fZ', ({0}) / 1e6, 'unixepoch')"
_HOLES = ", ".join(f"e.fields ->> {n}" for n in range(MOST_HOLES))

_EVENTS_VIEW = f"""
SELECT
    e.position,
    {_ISO.format("e.received_at")} AS received_at,
    {_ISO.format(_OF.format("e.occurred_at"))} AS occurred_at,
    CASE WHEN s.root IS NULL AND e.shape_id IS NOT NULL THEN 'unreadable' ELSE 'postback' END AS kind,
    nullif(t.chart, '') AS chart,
    nullif(t.key, '') AS key,
    e.repeats,
    s.content_type,
    coalesce(CAST(e.body AS TEXT), printf(s.template, {_HOLES})) AS body,
    e.body_of,
    lower(hex(e.digest)) AS digest,
    lower(hex(e.chain)) AS hash
FROM events e
JOIN streams t ON t.id = e.stream_id
LEFT JOIN shapes s ON s.id = e.shape_id
"""

# What the hash chain covers, in the order in which it does, so that anybody can compute it again.
# An event that repeats another, or shares a body, takes bytes and content type from where they are.
_CHAIN_VIEW = f"""
SELECT e.position, e.received_at, s.content_type, t.chart, t.key, e.occurred_at,
    lower(hex(e.digest)) AS digest, e.flags, e.repeats, e.body_of,
    coalesce(b.body, CAST(printf(s.template, {_HOLES.replace("e.", "b.")}) AS BLOB)) AS body,
    lower(hex(e.chain)) AS hash
FROM events e
JOIN streams t ON t.id = e.stream_id
JOIN events b ON b.position = (
    WITH RECURSIVE hop (at) AS (
        SELECT e.position
        UNION ALL
        SELECT coalesce(x.body_of, x.repeats) FROM hop
        JOIN events x ON x.position = hop.at
        LEFT JOIN shapes y ON y.id = x.shape_id
        WHERE x.body IS NULL AND y.template IS NULL)
    SELECT min(at) FROM hop)
JOIN shapes s ON s.id = b.shape_id
"""


@migrations()
def tables(db: Database) -> None:
    """The tables of format 1."""
    db.executescript(_TABLES)
    # Stream 0 holds the events that belong to no stream.
    db.execute("INSERT INTO streams (id, chart, key) VALUES (0, '', '')")
    for sql in guards().values():
        db.execute(sql)
    db.create_view("event_log", _EVENTS_VIEW)
    db.create_view("hash_chain", _CHAIN_VIEW)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


@migrations()
def blocks(db: Database) -> None:
    """What format 2 has beside it."""
    there = _objects(db).get(("table", "blocks"))
    if there is None:
        db.execute(_BLOCKS)
    elif there != _BLOCKS:
        # Format 1 left the name to projections of the user's own.
        raise LedgerError("a table of your own is named blocks, as one of format 2 is: rename it")


def make(db: Database) -> None:
    """Bring a new file, or one of an older format, up to this one; the caller holds the transaction."""
    migrations.apply(db)
    db.execute(f"PRAGMA user_version = {FORMAT}")


def format_of(db: Database) -> int:
    """The format of a file; 0 where it is none of Postledger's, or a new one."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def require_guards(db: Database) -> None:
    """Raise ``IntegrityError`` where a guard is missing or changed."""
    if wrong := check_guards(db):
        raise IntegrityError(f"{wrong[0]}; run verify to see whether anything was")
