"""The log's tables and the guards that keep what is written as it is."""

from __future__ import annotations

from postledger.errors import IntegrityError
from postledger.store.store import Store

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

HEAD = "head"
"""The only one of these tables whose row changes."""

LOG = (*TABLES, "event_log")
"""What shows the log: its tables, and the view of them."""

INDEXES = {
    "templates_skeleton": "CREATE INDEX templates_skeleton ON templates (skeleton)",
}


def views(store: Store) -> dict[str, str]:
    """The view of the log for people who look into the tables: name to SELECT.

    The engine itself reads none of it.
    """
    said = ("kind", "clock", "source", "sender", "content_type", "content_encoding", "part")
    envelope = "coalesce(v.envelope, e.inline)"
    columns = ",\n    ".join(
        f"{store.element(envelope, n)} AS {name}" for n, name in enumerate(said)
    )
    return {
        "event_log": f"""SELECT e.position, {store.iso("e.received_at")} AS received_at,
    {columns},
    {store.filled("e.body", "m.pieces", "e.texts")} AS body,
    {store.hex("e.leaf")} AS leaf
FROM events e
LEFT JOIN envelopes v ON v.id = e.envelope
LEFT JOIN templates m ON m.id = e.template"""
    }


_GUARDED = {
    # What holds of a row that would take the place of one.
    "events": "NEW.position <> (SELECT coalesce(max(position), -1) + 1 FROM events)",
    "envelopes": """NEW.id <> (SELECT coalesce(max(id), 0) + 1 FROM envelopes)
        OR EXISTS (SELECT 1 FROM envelopes WHERE envelope = NEW.envelope)""",
    # guard: no REPLACE by another unique index
    "templates": """NEW.id <> (SELECT coalesce(max(id), 0) + 1 FROM templates)
        OR EXISTS (SELECT 1 FROM templates WHERE digest = NEW.digest)""",
    "nodes": "NEW.number <> (SELECT coalesce(max(number), -1) + 1 FROM nodes)",
}


def guards(store: Store | type[Store]) -> dict[str, str]:
    """The triggers that keep what is written as it is: name to SQL."""
    made: dict[str, str] = {}
    for table, taken in _GUARDED.items():
        made |= store.guards(table, taken)
    return made


def make(store: Store) -> None:
    """Make the log's tables and guards; the caller holds the transaction."""
    for sql in (*TABLES.values(), *INDEXES.values(), *guards(store).values()):
        store.execute(sql)
    for name, select in views(store).items():
        store.view(name, select)


def check_guards(store: Store) -> list[str]:
    """What is wrong with the guards: one line each, none where all stand as they were made.

    A trigger of somebody else's on a table of the log counts too: it could skip what is appended.
    """
    there = store.triggers()
    wanted = guards(store)
    wrong = [
        f"guard {name} is {'missing' if name not in there else 'changed'}:"
        f" {name.split('_', 1)[0]} can be altered"
        for name, sql in wanted.items()
        if there.get(name, ("", ""))[1] != sql
    ]
    wrong += [
        f"trigger {name} on {table} is not Postledger's: what it does is not recorded"
        for name, (table, _) in there.items()
        # guard: foreign triggers reported
        if table in TABLES and name not in wanted
    ]
    # guard: tables that lose or hide rows are refused
    if (losing := store.losing()) is not None:
        wrong.append(losing)
    return wrong


def require_guards(store: Store) -> None:
    """Raise ``IntegrityError`` where a guard is missing or changed."""
    if wrong := check_guards(store):
        raise IntegrityError(f"{store.path}: {wrong[0]}; run verify to check the log")
