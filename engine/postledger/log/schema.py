"""The log's tables and the guards that keep what is written as it is."""

from __future__ import annotations

from postledger.errors import IntegrityError
from postledger.store.sqlite import Store, iso_of

TABLES = {
    # One row an event. Its bytes are the template with its texts, or stand whole in body. The envelope
    # is a row of envelopes, or stands inline where that table is full.
    "events": """CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    envelope INTEGER,
    inline TEXT,
    template INTEGER,
    texts TEXT,
    body BLOB,
    salt BLOB,
    leaf BLOB NOT NULL
) STRICT""",
    "envelopes": """CREATE TABLE envelopes (
    id INTEGER PRIMARY KEY,
    envelope TEXT NOT NULL UNIQUE
) STRICT""",
    # skeleton: the digest of the template in which no word is fixed; total: the characters of all
    # pieces up to this row.
    "templates": """CREATE TABLE templates (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    skeleton BLOB NOT NULL,
    pieces TEXT NOT NULL,
    total INTEGER NOT NULL
) STRICT""",
    # The root of each perfect subtree of 256 leaves.
    "nodes": """CREATE TABLE nodes (
    number INTEGER PRIMARY KEY,
    hash BLOB NOT NULL
) STRICT""",
    # The one row says how far the tree has come; adoption: the position of the last adoption.
    "head": """CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    size INTEGER NOT NULL,
    frontier BLOB NOT NULL,
    adoption INTEGER NOT NULL
) STRICT""",
}

INDEXES = {
    "templates_skeleton": "CREATE INDEX templates_skeleton ON templates (skeleton)",
}

# For people with an SQLite browser; the engine itself reads none of it.
VIEWS = {
    "event_log": f"""SELECT e.position, {iso_of("e.received_at")} AS received_at,
    coalesce(v.envelope, e.inline) ->> 0 AS kind,
    coalesce(v.envelope, e.inline) ->> 1 AS clock,
    coalesce(v.envelope, e.inline) ->> 2 AS source,
    coalesce(v.envelope, e.inline) ->> 3 AS sender,
    coalesce(v.envelope, e.inline) ->> 4 AS content_type,
    coalesce(v.envelope, e.inline) ->> 5 AS content_encoding,
    coalesce(v.envelope, e.inline) ->> 6 AS part,
    coalesce(CAST(e.body AS TEXT), (
        SELECT group_concat(p.value || coalesce(t.value, ''), '')
        FROM json_each(m.pieces) p LEFT JOIN json_each(e.texts) t ON t.key = p.key)) AS body,
    lower(hex(e.leaf)) AS leaf
FROM events e
LEFT JOIN envelopes v ON v.id = e.envelope
LEFT JOIN templates m ON m.id = e.template""",
}

_GUARDED = {
    # INSERT OR REPLACE takes away rows that are in the way of any unique index without a DELETE
    # trigger firing; so an insert that would meet a row is stopped before it.
    "events": "NEW.position <> (SELECT coalesce(max(position), -1) + 1 FROM events)",
    "envelopes": """NEW.id <> (SELECT coalesce(max(id), 0) + 1 FROM envelopes)
        OR EXISTS (SELECT 1 FROM envelopes WHERE envelope = NEW.envelope)""",
    # guard: no REPLACE by another unique index
    "templates": """NEW.id <> (SELECT coalesce(max(id), 0) + 1 FROM templates)
        OR EXISTS (SELECT 1 FROM templates WHERE digest = NEW.digest)""",
    "nodes": "NEW.number <> (SELECT coalesce(max(number), -1) + 1 FROM nodes)",
}


def guards() -> dict[str, str]:
    """The triggers that keep what is written as it is: name to SQL."""
    made: dict[str, str] = {}
    for table, taken in _GUARDED.items():
        stop = f"SELECT RAISE(ABORT, '{table} are append-only')"
        # guard: no UPDATE and no DELETE
        for verb in ("UPDATE", "DELETE"):
            name = f"{table}_no_{verb.lower()}"
            made[name] = f"CREATE TRIGGER {name} BEFORE {verb} ON {table} BEGIN {stop}; END"
        name = f"{table}_no_replace"
        made[name] = (
            # guard: no REPLACE
            f"CREATE TRIGGER {name} BEFORE INSERT ON {table} WHEN {taken} BEGIN {stop}; END"
        )
    return made


def make(store: Store) -> None:
    """Make the log's tables and guards; the caller holds the transaction."""
    for sql in (*TABLES.values(), *INDEXES.values(), *guards().values()):
        store.execute(sql)
    for name, select in VIEWS.items():
        store.view(name, select)


def check_guards(store: Store) -> list[str]:
    """What is wrong with the guards: one line each, none where all stand as they were made.

    A trigger of somebody else's on a table of the log counts too: it could skip what is appended.
    """
    there = {name: found for (kind, name), found in store.objects().items() if kind == "trigger"}
    wanted = guards()
    wrong = [
        f"guard {name} is {'missing' if name not in there else 'changed'}:"
        f" {name.split('_', 1)[0]} can be altered"
        for name, sql in wanted.items()
        if there.get(name, ("", ""))[1] != sql
    ]
    return wrong + [
        f"trigger {name} on {table} is not Postledger's: what it does is not recorded"
        for name, (table, _) in there.items()
        # guard: foreign triggers reported
        if table in TABLES and name not in wanted
    ]


def require_guards(store: Store) -> None:
    """Raise ``IntegrityError`` where a guard is missing or changed."""
    if wrong := check_guards(store):
        raise IntegrityError(f"{store.path}: {wrong[0]}; run verify to check the log")
