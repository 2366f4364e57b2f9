"""The catalog: what PostgreSQL says that a schema has, next to the SQL that made it.

What acts by itself, the triggers, rules and functions, is held against what this program makes. The SQL
of each table, index and view stands in its comment, with a digest of how the catalog described it when it
was made: where that differs now, it was altered since. Whoever owns a table can forge that note; the rows
of the log are held by its tree, and the others follow from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, cast

import psycopg
from psycopg import errors

from postledger.store.dialect import FUNCTIONS, Made

# Each object: kind, name, the table it is on, its comment, its description.
_DESCRIBED = """
SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END AS kind, c.relname AS name, c.relname AS on_,
    obj_description(c.oid, 'pg_class') AS comment,
    concat_ws(' / ', c.relkind::text, c.relpersistence::text,
        (SELECT string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            a.attgenerated::text, a.attcollation::regcollation::text), ', ' ORDER BY a.attnum)
         FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        (SELECT string_agg(pg_get_constraintdef(k.oid), ', ' ORDER BY k.conname)
         FROM pg_constraint k WHERE k.conrelid = c.oid),
        (SELECT string_agg(pg_get_indexdef(i.indexrelid), ', ' ORDER BY i.indexrelid::regclass::text)
         FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND x.relname <> ALL ($2::text[])
            AND obj_description(i.indexrelid, 'pg_class') IS NULL),
        (SELECT string_agg(r.rulename || ' ' || pg_get_ruledef(r.oid), ', ' ORDER BY r.rulename)
         FROM pg_rewrite r WHERE r.ev_class = c.oid),
        c.relrowsecurity::text, c.relhassubclass::text) AS described
FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'v', 'p', 'f', 'm')
    AND pg_table_is_visible(c.oid)
UNION ALL
SELECT 'index', c.relname, t.relname, obj_description(c.oid, 'pg_class'), pg_get_indexdef(c.oid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
WHERE c.relnamespace = $1::regnamespace AND pg_table_is_visible(c.oid)
    AND (c.relname = ANY ($2::text[]) OR obj_description(c.oid, 'pg_class') IS NOT NULL)
"""
# What acts by itself: kind, name, the table it is on, its definition, and what it rests on.
_ACTING = """
SELECT 'trigger' AS kind, g.tgname AS name, t.relname AS on_, pg_get_triggerdef(g.oid, true) AS sql,
    ARRAY[g.tgenabled::text, p.prosrc, l.lanname, p.prosecdef::text, p.proconfig::text] AS rests
FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid JOIN pg_proc p ON p.oid = g.tgfoid
JOIN pg_language l ON l.oid = p.prolang
WHERE t.relnamespace = $1::regnamespace AND NOT g.tgisinternal
UNION ALL
SELECT 'trigger', r.rulename, t.relname, pg_get_ruledef(r.oid), '{}'
FROM pg_rewrite r JOIN pg_class t ON t.oid = r.ev_class
WHERE t.relnamespace = $1::regnamespace AND r.rulename <> '_RETURN'
UNION ALL
SELECT 'function', p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', '', p.prosrc,
    ARRAY[l.lanname, p.prosecdef::text, p.proconfig::text, p.provolatile::text, p.prokind::text]
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = $1::regnamespace AND NOT EXISTS (
    SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""
# Tables that lose rows, or hide them.
_LOSING = """
SELECT relname, CASE WHEN relrowsecurity THEN 'hides rows (row security)'
    WHEN relpersistence <> 'p' THEN 'is emptied by a crash (unlogged)' ELSE 'is no plain table' END
FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p', 'f')
    AND (relrowsecurity OR relpersistence <> 'p' OR relkind <> 'r' OR relhassubclass) ORDER BY 1
"""
# As the transaction sees them: the functions above know nothing of what was dropped since.
_NAMED = """
SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'i' THEN 'index' ELSE 'table' END, relname
FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'v', 'p', 'f', 'm', 'i')
"""
_CHECKED = """
SELECT c.oid::int8, CASE c.relkind WHEN 'r' THEN 'table' ELSE 'index' END, c.relname
FROM pg_class c LEFT JOIN pg_am m ON m.oid = c.relam
WHERE c.relnamespace = $1::regnamespace AND (c.relkind = 'r' OR c.relkind = 'i' AND m.amname = 'btree')
ORDER BY c.relkind DESC, c.relname
"""
_MARK = "\n-- as made: "


Named = tuple[str, str]
"""The kind of something, and its name."""


def names(conn: psycopg.Connection[Any], schema: str) -> set[Named]:
    """The tables, views and indexes of a schema: (kind, name)."""
    return {(kind, name) for kind, name in conn.execute(_NAMED, (_identifier(schema),)).fetchall()}


def objects(conn: psycopg.Connection[Any], schema: str) -> dict[Named, tuple[str, str]]:
    """What a schema has: (kind, name) to the table and the SQL that made it, or else its description."""
    found: dict[Named, tuple[str, str]] = {}
    for kind, name, table, comment, described in conn.execute(_DESCRIBED, _of(schema)).fetchall():
        sql, _, digest = (comment or "").rpartition(_MARK)
        found[kind, name] = table, sql if digest == _digest(described) else f"altered: {described}"
    return found | acting(conn, schema)


def acting(conn: psycopg.Connection[Any], schema: str) -> dict[Named, tuple[str, str]]:
    """The triggers, rules and functions of a schema, likewise; it waits for no lock."""
    found: dict[Named, tuple[str, str]] = {}
    for kind, name, table, sql, rests in conn.execute(_ACTING, (_identifier(schema),)).fetchall():
        # guard: what acts by itself is what this program makes
        sound = _is_sound_guard(rests) if kind == "trigger" else _is_sound(name, sql, rests)
        made = FUNCTIONS.get(name, sql) if kind == "function" else sql
        found[kind, name] = table, made if sound else f"altered: {sql}"
    return found


def losing(conn: psycopg.Connection[Any], schema: str) -> str | None:
    """Which table of a schema loses rows or hides them, and how; ``None`` where none does."""
    row = conn.execute(_LOSING, (_identifier(schema),)).fetchone()
    return None if row is None else f"table {row[0]} {row[1]}"


def _is_sound_guard(rests: Sequence[str | None]) -> bool:
    """Whether a trigger is always fired, and its function is the one that refuses."""
    return list(rests) == ["A", _body(FUNCTIONS["append_only()"]), "plpgsql", "false", None]


def _is_sound(name: str, source: str, rests: Sequence[str | None]) -> bool:
    made = FUNCTIONS.get(name)
    volatile = "i" if made is not None and "IMMUTABLE" in made else "v"
    as_made = ["plpgsql", "false", None, volatile, "f"]
    return made is not None and source == _body(made) and list(rests) == as_made


def _body(function: str) -> str:
    return function.split("$$")[1]


def note(conn: psycopg.Connection[Any], schema: str, made: Mapping[Named, Made]) -> None:
    """Keep the SQL that made things in their comments, with a digest of how each is described by now.

    What is not there any more has none.
    """
    comments = []
    # An index without a comment, unless it is one of these, is part of its table.
    given = _of(schema, [name for kind, name in made if kind == "index"])
    for kind, name, _, _, described in conn.execute(_DESCRIBED, given).fetchall():
        if (one := made.get((kind, name))) is not None:
            comments.append(_comment(kind, name, f"{one.sql}{_MARK}{_digest(described)}"))
    conn.execute(cast("Any", "; ".join(comments)))


def kinds(conn: psycopg.Connection[Any], table: str) -> dict[str, str]:
    """The types of a table's columns, in their order."""
    rows = conn.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (table,),
    )
    return dict(rows.fetchall())


def problems(conn: psycopg.Connection[Any], schema: str) -> Iterator[str]:
    """What is wrong with a schema's functions, and what the server knows to be damaged, a line each."""
    found = objects(conn, schema).items()
    there = {name: sql for (kind, name), (_, sql) in found if kind == "function"}
    for name, sql in FUNCTIONS.items():
        if there.pop(name, None) != sql:
            yield f"database: function {name} is not as it was made"
    yield from (f"database: function {name} is not Postledger's" for name in there)
    row = conn.execute(
        "SELECT checksum_failures, to_char(checksum_last_failure, 'YYYY-MM-DD HH24:MI')"
        " FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    if row is not None and row[0]:
        yield f"database: {row[0]} times a page did not have its checksum, last at {row[1]} UTC"
    # guard: pages of a server are looked into
    yield from _of_pages(conn, schema)


def _of_pages(conn: psycopg.Connection[Any], schema: str) -> Iterator[str]:
    """What amcheck says of the tables and indexes, where it is installed and this role may ask it."""
    place = conn.execute(
        "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace"
        " WHERE extname = 'amcheck'"
    ).fetchone()
    if place is None:
        return
    rows = conn.execute(_CHECKED, (_identifier(schema),)).fetchall()
    for oid, kind, name in rows:
        check = "verify_heapam($1)" if kind == "table" else "bt_index_check($1, true)"
        what = "msg" if kind == "table" else "NULL"
        try:
            for (said,) in conn.execute(
                f"SELECT {what} FROM {place[0]}.{check.replace('$1', '$1::oid::regclass')}", (oid,)
            ).fetchall():
                if said:
                    yield f"database: {kind} {name}: {said}"
        except (errors.InsufficientPrivilege, errors.UndefinedFunction):
            # Who may not ask is not told.
            return
        except psycopg.OperationalError:
            # Nothing was found: the connection is lost.
            raise
        except psycopg.DatabaseError as error:
            said = error.diag.message_primary or error
            yield f"database: {kind} {name}: {' '.join(str(said).split())}"


def _of(schema: str, made: Sequence[str] = ()) -> tuple[object, ...]:
    return _identifier(schema), list(made)


def _comment(kind: str, of: str, text: str) -> str:
    quoted = text.replace("'", "''")
    return f"COMMENT ON {kind} {of} IS '{quoted}'"


def _identifier(schema: str) -> str:
    return f'"{schema}"'


def _digest(described: str) -> str:
    return sha256(described.encode()).hexdigest()[:32]
