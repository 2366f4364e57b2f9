"""The dialect: what SQLite takes too, as PostgreSQL wants it: statements, and values on the way there.

A NUL, which no text of PostgreSQL can have, is kept as the two characters ``\\x01\\x01``, and
``\\x01`` as ``\\x01\\x02``: texts stay in their order.
Texts stand in the order of their bytes, as in SQLite.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple, cast

import psycopg
from psycopg.abc import Buffer
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumperUnknown, TextLoader

SHORT = 200
"""So many characters of a key stand in the index by which beginnings are found."""

_TYPES = {"INTEGER": "bigint", "TEXT": 'text COLLATE "C"', "BLOB": "bytea"}
_TYPE = re.compile(r"\b(INTEGER|TEXT|BLOB)\b")
_STRICT = re.compile(r"\) STRICT(, WITHOUT ROWID)?\s*$")
_MADE = re.compile(r"\s*CREATE (?:UNIQUE )?(TABLE|INDEX|TRIGGER) (\S+)(?: ON (\S+))?")
_ON = re.compile(r"\bON (\w+)")
# Of texts of any length: a B-tree holds 2,700 bytes.
_UNIQUE_TEXTS = re.compile(r",\n    UNIQUE \((key), chart, space\)")
_UNIQUE_TEXT = re.compile(r"(\benvelope TEXT NOT NULL) UNIQUE")
_TEXTS = re.compile(r"\b(\w+) TEXT\b")
_KEY = re.compile(r",\n    PRIMARY KEY \(([^()]*)\)")
_TEXT_KEY = re.compile(r"\b(\w+) TEXT PRIMARY KEY")
_CONFLICT = re.compile(r"INSERT INTO (?P<table>\S+).* ON CONFLICT \((?P<columns>[^()]*)\)", re.S)
# Texts, names, comments, and what stands for a parameter.
_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|--[^\n]*|/\*.*?\*/|\?""", re.S)
_INSERT = re.compile(
    r"INSERT INTO (?P<table>\S+)(?: \((?P<columns>[^()]*)\))? VALUES \([?, ]*\)(?P<rest>.*)", re.S
)

FUNCTIONS = {
    "append_only()": """CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% are append-only', TG_TABLE_NAME;
END $$""",
    "legible(body bytea)": """CREATE FUNCTION legible(body bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN convert_from(body, 'UTF8');
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$""",
}
"""What the guards call, and a body as text where it is one."""


class Made(NamedTuple):
    """A statement that makes something: what, its name, the table that it is on, its SQL as it was given.

    ``told`` is what PostgreSQL is told; ``scratch`` says that it goes with the connection.
    """

    kind: str
    name: str
    table: str
    sql: str
    told: str
    scratch: bool


class Insert(NamedTuple):
    """A statement that inserts rows: into which table and columns (all: none), and what comes behind."""

    table: str
    columns: tuple[str, ...]
    rest: str

    def of(self, kinds: Sequence[str]) -> bytes:
        """The statement that inserts any number of rows, of which each column is an array.

        ``kinds`` are the types of the columns. So the server knows the statement again.
        """
        return _unnested(self, tuple(kinds))


@lru_cache(maxsize=256)
def _unnested(insert: Insert, kinds: tuple[str, ...]) -> bytes:
    columns = f" ({', '.join(insert.columns)})" if insert.columns else ""
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(kinds, 1))
    return (
        f"INSERT INTO {insert.table}{columns} SELECT * FROM unnest({arrays}){insert.rest}".encode()
    )


@lru_cache(maxsize=1024)
def translated(sql: str) -> bytes:
    """A statement with ``$1`` and so on for its parameters."""
    first, *others = sql.split("?")
    numbered = (f"${number}{part}" for number, part in enumerate(others, 1))
    return "".join([first, *numbered]).encode()


def asked(sql: str, parameters: Sequence[object]) -> Any:
    """A user's statement with ``$1`` and so on for its parameters, where it has any: not within texts."""
    if not parameters:
        # It may have an operator with a question mark.
        return sql
    numbers = count(1)
    return _QUOTED.sub(lambda one: f"${next(numbers)}" if one[0] == "?" else one[0], sql)


@lru_cache(maxsize=256)
def insert_of(sql: str) -> Insert | None:
    """The parts of a statement that inserts a row of parameters; ``None`` for any other."""
    found = _INSERT.fullmatch(sql)
    if found is None:
        return None
    columns = (found["columns"] or "").replace(" ", "")
    rest = f" {found['rest'].strip()}" if found["rest"].strip() else ""
    return Insert(found["table"], tuple(filter(None, columns.split(","))), rest)


def arrays(rows: Sequence[Sequence[Any]], kinds: Sequence[str]) -> list[str]:
    """The columns of rows as the server reads arrays."""
    columns = zip(*rows, strict=True)
    return [
        f"{{{','.join(map(_ELEMENT[kind], one))}}}"
        for kind, one in zip(kinds, columns, strict=True)
    ]


def _number(value: Any) -> str:
    return "NULL" if value is None else str(value)


def _text(value: Any) -> str:
    if value is None:
        return "NULL"
    # What stands for a NUL is put in its place as of any text that goes to the server.
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def _bytes(value: Any) -> str:
    return "NULL" if value is None else f'"\\\\x{value.hex()}"'


_ELEMENT: dict[str, Callable[[Any], str]] = {"bigint": _number, "text": _text, "bytea": _bytes}


def made_by(sql: str) -> Made | None:
    """What a statement makes; ``None`` where it makes nothing that lasts as its SQL says."""
    head = sql[:200].lstrip()
    if not head.startswith("CREATE "):
        return None
    found = _MADE.match(sql)
    if found is None:
        return None
    kind, name, on = found.groups()
    bare = name.rpartition(".")[2]
    scratch = name != bare or bool(on and on.startswith("pg_temp."))
    table = bare if kind == "TABLE" else (_ON.search(sql) or [bare, bare])[1]
    return Made(kind.lower(), bare, table, sql, "; ".join(_made(kind, name, sql)), scratch)


def _made(kind: str, name: str, sql: str) -> tuple[str, ...]:
    if kind == "TABLE":
        return _table(name, sql)
    if kind == "INDEX":
        return (sql.replace(f"INDEX {name} ", f"INDEX {name.rpartition('.')[2]} ", 1),)
    # guard: guards that no role turns off
    return sql, f"ALTER TABLE {(_ON.search(sql) or ['', ''])[1]} ENABLE ALWAYS TRIGGER {name}"


@lru_cache(maxsize=256)
def conflicting(sql: str) -> str | None:
    """The table of a statement that says what to do with a row that is in the way, by its columns."""
    found = _CONFLICT.match(sql)
    return None if found is None else found["table"]


def keyed(sql: str, kinds: Mapping[str, str]) -> str:
    """Such a statement with the columns as the unique index has them; ``kinds`` are the types of all."""
    texts = {name for name, kind in kinds.items() if kind == "text"}
    found = cast("re.Match[str]", _CONFLICT.match(sql))
    start, end = found.span("columns")
    return f"{sql[:start]}{_key(found['columns'], texts)}{sql[end:]}"


def _key(columns: str, texts: Collection[str]) -> str:
    """The columns of a key, of which texts stand as hashes: they are of any length.

    Whoever could make one hash meet would have to make both meet.
    """
    names = columns.replace(" ", "").split(",")
    hashed = {name: f"md5({name}), hashtextextended({name}, 0)" for name in texts}
    return ", ".join(hashed.get(name, name) for name in names)


def _table(name: str, sql: str) -> tuple[str, ...]:
    also = []
    texts = {*_TEXTS.findall(sql)}
    if (found := _KEY.search(sql)) is not None and texts & {*found[1].replace(" ", "").split(",")}:
        sql = sql.replace(found[0], "")
        also.append(f"CREATE UNIQUE INDEX ON {name} ({_key(found[1], texts)})")
    if (found := _TEXT_KEY.search(sql)) is not None:
        sql = sql.replace(found[0], f"{found[1]} TEXT NOT NULL")
        also.append(f"CREATE UNIQUE INDEX ON {name} ({_key(found[1], texts)})")
        also.append(f"CREATE INDEX ON {name} USING hash ({found[1]})")
    if _UNIQUE_TEXTS.search(sql):
        sql = _UNIQUE_TEXTS.sub("", sql)
        also.append(f"CREATE INDEX ON {name} USING hash (key)")
        also.append(f"CREATE INDEX ON {name} (left(key, {SHORT}))")
    if _UNIQUE_TEXT.search(sql):
        sql = _UNIQUE_TEXT.sub(r"\1", sql)
        also.append(f"CREATE INDEX ON {name} USING hash (envelope)")
    if " AS SELECT " not in sql:
        sql = _TYPE.sub(lambda one: _TYPES[one[1]], _STRICT.sub(")", sql))
    return sql, *also


def guards(table: str) -> dict[str, str]:
    """The triggers that refuse what would alter a table: name to SQL."""
    return {
        (name := f"{table}_no_{verb.lower()}"): f"CREATE TRIGGER {name} BEFORE {verb} ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        # guard: no UPDATE, DELETE or TRUNCATE on a server
        for verb in ("UPDATE", "DELETE", "TRUNCATE")
    }


def iso(column: str) -> str:
    """A column of microseconds as ISO 8601 in UTC, with milliseconds; no such text for other years."""
    whole = f"(({column}) / 1000 - CASE WHEN ({column}) % 1000 < 0 THEN 1 ELSE 0 END)"
    return (
        f"CASE WHEN ({column}) BETWEEN -62135596800000000 AND 253402300799999999 THEN"
        f" to_char(timestamp '1970-01-01' + {whole} * interval '1 millisecond',"
        ' \'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\') END'
    )


def filled(body: str, pieces: str, texts: str) -> str:
    """A body as text; none where it is no UTF-8, or has a NUL."""
    return f"""CASE
        WHEN {body} IS NULL THEN CASE WHEN strpos({pieces} || {texts}, '\\u0000') = 0 THEN (
            SELECT string_agg(p.value || coalesce(t.value, ''), '' ORDER BY p.place)
            FROM json_array_elements_text(({pieces})::json) WITH ORDINALITY p (value, place)
            LEFT JOIN json_array_elements_text(({texts})::json) WITH ORDINALITY t (value, place)
                ON t.place = p.place) END
        ELSE legible({body}) END"""


def begins(column: str, begin: str, end: str | None) -> tuple[str, tuple[str, ...]]:
    """What holds of texts from ``begin`` on, before ``end``."""
    # Cut by the server: there a NUL takes two characters.
    beginning, short = f"left({column}, {SHORT})", f"left(?, {SHORT})"
    held, given = f"{beginning} >= {short} AND {column} >= ?", (begin, begin)
    if end is None:
        return held, given
    return f"{held} AND {beginning} <= {short} AND {column} < ?", (*given, end, end)


# --- values ---


def _kept(text: str) -> str:
    return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")


def _given(text: str) -> str:
    return text.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01")


class _StrDumper(StrDumperUnknown):
    """Texts, with what stands for a NUL."""

    def dump(self, obj: str) -> Buffer | None:
        if "\x00" in obj or "\x01" in obj:
            obj = _kept(obj)
        return obj.encode()


class _StrLoader(TextLoader):
    """Texts, with their NUL."""

    def load(self, data: Buffer) -> str:
        text = str(data, "utf-8")
        return _given(text) if "\x01" in text else text


class _NumericLoader(psycopg.adapt.Loader):
    """What a sum of whole numbers is, and any other exact number."""

    def load(self, data: Buffer) -> int | float:
        number = Decimal(str(data, "ascii"))
        return int(number) if number == number.to_integral_value() else float(number)


class _Cursor(psycopg.RawCursor[Any]):
    """One that waits for its statement where it is asked how many rows that changed."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""
        self._fetch_pipeline()
        return super().rowcount


def adapt(conn: psycopg.Connection[Any]) -> None:
    """Have values go to the server, and come from it, as they do with SQLite."""
    # All of one type, so that a statement is known again whatever its numbers.
    conn.adapters.register_dumper(int, Int8Dumper)
    conn.adapters.register_dumper(str, _StrDumper)
    for name in ("text", "varchar", "bpchar", "name"):
        conn.adapters.register_loader(name, _StrLoader)
    conn.adapters.register_loader("numeric", _NumericLoader)
    # Those that take statements as the server has them: long ones would be parsed each time.
    conn.cursor_factory = _Cursor
    conn.server_cursor_factory = psycopg.RawServerCursor
