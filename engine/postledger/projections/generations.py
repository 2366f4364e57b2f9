"""Generations: the index and the states as they follow from one set of definitions.

A generation has an index (which generations of the same vocabularies share) and a table of states.
The live one is kept up in each write transaction, and is what the views show; another is built next to
it and takes its place. The last adoption in the log says which definitions are in force.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from secrets import token_bytes
from typing import Any, NamedTuple

from postledger.definitions.definitions import Definitions, from_sources, sources
from postledger.errors import DefinitionError, IntegrityError
from postledger.findings import Finding, names
from postledger.log.event import Entry, Envelope, Kind, Stored
from postledger.log.log import Log
from postledger.model import DELIVERY
from postledger.projections.index import NOWHERE_ID, UNREAD, Index, chunks
from postledger.projections.tallies import Tallies
from postledger.state.life import Life
from postledger.state.row import (
    COLUMNS,
    COUNTED,
    FOUND_BY,
    KEY,
    LATEST,
    MOST_TALLIED,
    NEAR,
    SUMS,
    Row,
    Searched,
    Tallied,
)
from postledger.state.search import entries_changed
from postledger.store.store import Store, bare_of, insert, unindexed
from postledger.times import UNDATED, micros, now

READER_VERSION = 7
"""Counted up when what is read of a body changes, so that an old index is not taken for new."""

COLUMNS_VERSION = 8
"""Counted up when the columns, the fold, the tallies or the search change: old rows are not new ones."""

TABLE = """CREATE TABLE generations (
    number INTEGER PRIMARY KEY,
    indexed INTEGER NOT NULL,
    vocabularies TEXT NOT NULL,
    version TEXT NOT NULL,
    adoption INTEGER NOT NULL,
    size INTEGER NOT NULL,
    stage TEXT NOT NULL,
    cursor INTEGER NOT NULL
) STRICT"""

TABLES = {"generations": TABLE}
INDEXES = {
    "generations_live": "CREATE UNIQUE INDEX generations_live ON generations (stage)"
    " WHERE stage = 'live'"
}

INDEXING, FOLDING, BUILT, LIVE = "indexing", "folding", "built", "live"
"""The stages: its index is built, then its states; it is ready to be switched to; it is in force.

One that was live is ``replaced`` until it is dropped.
"""

MOST_LIVES, MOST_BYTES = 256, 100_000_000
"""How many long streams are kept in memory, and how many bytes they may take together."""

_FIELDS = "number, indexed, vocabularies, version, adoption, size, stage, cursor"


class Generation(NamedTuple):
    """One generation, as of the first ``size`` events of the log.

    ``indexed`` is the number of its index, ``adoption`` the position of the event that adopted its
    definitions (-1 while it is built), ``cursor`` the last stream whose state is made.
    """

    number: int
    indexed: int
    vocabularies: str
    version: str
    adoption: int
    size: int
    stage: str
    cursor: int

    @property
    def table(self) -> str:
        """The table that holds its states."""
        return f"states_{self.number}"

    @property
    def index_name(self) -> str:
        """The name of its index."""
        return f"index_{self.indexed}"

    def tables(self) -> dict[str, str]:
        """The tables that hold it, with the SQL that makes them."""
        return {
            **Index.tables(self.index_name),
            self.table: _states(self.table),
            self.tallies_name: Tallies.table(self.tallies_name),
            self.search_name: search_table(self.search_name),
        }

    def indexes(self) -> dict[str, str]:
        """The indexes on these tables, with the SQL that makes them."""
        return {**Index.indexes(self.index_name), **_states_indexes(self.table)}

    @property
    def tallies_name(self) -> str:
        """The name of its tallies."""
        return f"tallies_{self.number}"

    @property
    def search_name(self) -> str:
        """The name of the table that deliveries are found by."""
        return f"search_{self.number}"

    def tallies_of(self, store: Store) -> Tallies:
        """Its tallies."""
        return Tallies(store, self.tallies_name)

    def index_of(self, store: Store) -> Index:
        """Its index."""
        return Index(store, self.index_name)


NONE = Generation(-1, -1, "", "", -1, -1, "", -1)
"""Stands in for the live generation if that is missing or can't be read."""


class Lives:
    """The lives of long streams, by their numbers, as writers of one process or a follower keep them.

    They stand for one place in the log, told from any other: after a rollback they are of none. Who
    uses them has them alone: writers hold the write lock.
    """

    def __init__(self) -> None:
        self._lives: dict[int, Life] = {}
        self._as_of: object = None

    def as_of(self, place: object) -> dict[int, Life]:
        """The lives as of a place, to be brought forward; empty where they are of another one."""
        # guard: lives are of the log as it is
        if place != self._as_of:
            self._lives.clear()
        self._as_of = None
        return self._lives

    def keep(self, place: object) -> None:
        """Keep the lives of long streams as of a later place, if they are not too large together."""
        self._as_of = place
        lives = self._lives
        for number in [number for number, life in lives.items() if not life.is_long]:
            del lives[number]
        if len(lives) > MOST_LIVES or sum(life.size for life in lives.values()) > MOST_BYTES:
            lives.clear()


def version_of(definitions: Definitions) -> str:
    """The version of states by these definitions."""
    return f"{READER_VERSION}.{COLUMNS_VERSION}:{definitions.hash}"


def counts_alike(generation: Generation) -> bool:
    """Whether this version of Postledger made a generation, by whatever definitions."""
    return generation.version.startswith(f"{READER_VERSION}.{COLUMNS_VERSION}:")


def vocabularies_of(definitions: Definitions) -> str:
    """The version of an index by these definitions: it depends on their vocabularies alone."""
    hashes = "".join(sorted(vocabulary.hash for vocabulary in definitions.vocabularies))
    return f"{READER_VERSION}:{sha256(hashes.encode()).hexdigest()}"


# --- which definitions: adoptions in the log ---


def adoption(definitions: Definitions, *, genesis: bool = False) -> Entry:
    """The event that adopts definitions: their full text as JSON; the genesis names the ledger too."""
    said: dict[str, object] = {"ledger": token_bytes(16).hex()} if genesis else {}
    said |= {"hash": definitions.hash, "definitions": sources(definitions)}
    body = json.dumps(said, ensure_ascii=False).encode()
    envelope = Envelope(kind=Kind.ADOPTION, content_type="application/json")
    return Entry(micros(now()), envelope, body)


def adopted(stored: Stored) -> Definitions:
    """The definitions that an event adopted; raises ``IntegrityError`` where it is damaged."""
    where = f"position {stored.position}: the definitions"
    if stored.kind != Kind.ADOPTION:
        raise IntegrityError(f"position {stored.position} is not an adoption of definitions")
    try:
        said = json.loads(stored.body)
        definitions = from_sources((name, source) for name, source in said["definitions"])
        hashed = said["hash"]
    except (ValueError, TypeError, KeyError, RecursionError, DefinitionError) as error:
        raise IntegrityError(f"{where} are damaged: {error}") from error
    # guard: definitions are what was adopted
    if definitions.hash != hashed:
        raise IntegrityError(f"{where} are not what was adopted")
    return definitions


def read_by(log: Log, generation: Generation, known: Definitions) -> Definitions:
    """The definitions of a generation, as the log says; ``known`` where it is these.

    Raises ``IntegrityError`` where it is marked as of others than its adoption adopted.
    """
    if generation.version == version_of(known):
        return known
    definitions = adopted(log.at(generation.adoption))
    if generation.version != version_of(definitions):
        raise IntegrityError("the states are marked as made by other definitions; run replay")
    return definitions


def ledger_id(log: Log) -> bytes:
    """The id of a ledger, 16 bytes, as its genesis says it."""
    return ledger_of(log.at(0))


def ledger_of(genesis: Stored) -> bytes:
    """The id of the ledger that an event begins; raises ``IntegrityError`` where it is damaged."""
    try:
        found = bytes.fromhex(json.loads(genesis.body)["ledger"])
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityError(f"position 0: the genesis is damaged: {error}") from error
    return found


# --- generations ---


def live(store: Store) -> Generation | None:
    """The live generation, or ``None``."""
    row = store.one(f"SELECT {_FIELDS} FROM generations WHERE stage = 'live'")
    if row is None:
        return None
    if (found := _generation(row)) is None:
        raise IntegrityError("the row of the live states is damaged; run replay")
    return found


def building(store: Store, version: str) -> Generation | None:
    """The generation of that version that was begun and not finished; ``None`` where it is damaged."""
    row = store.one(
        f"SELECT {_FIELDS} FROM generations WHERE stage <> 'live' AND version = ?"
        " ORDER BY number DESC LIMIT 1",
        (version,),
    )
    return None if row is None else _generation(row)


def _generation(row: Sequence[Any]) -> Generation | None:
    generation = Generation(*row)
    numbers = (row[0], row[1], row[4], row[5], row[7])
    texts = (row[2], row[3], row[6])
    sound = all(isinstance(number, int) for number in numbers)
    sound &= all(isinstance(text, str) for text in texts)
    return generation if sound and min(generation.size, generation.cursor) >= 0 else None


def is_there(store: Store, generation: Generation) -> bool:
    """Whether a generation was not dropped; another may have its number since."""
    sql = "SELECT 1 FROM generations WHERE number = ? AND version = ?"
    return store.one(sql, (generation.number, generation.version)) is not None


def size_of(store: Store, generation: Generation) -> int:
    """Of how many events a generation is now: another process may move it."""
    row = store.one("SELECT size FROM generations WHERE number = ?", (generation.number,))
    return 0 if row is None else int(row[0])


def begin(store: Store, definitions: Definitions, shared: Generation | None) -> Generation:
    """Begin a generation: with the index of ``shared``, or one of its own; not live yet."""
    row = store.one("SELECT coalesce(max(number), 0), coalesce(max(indexed), 0) FROM generations")
    assert row is not None
    generation = Generation(
        number=max(row[0], *(n for kind in _NUMBERED for n in _numbers(store, kind))) + 1,
        indexed=max(row[1], *_numbers(store, "index")) + 1 if shared is None else shared.indexed,
        vocabularies=vocabularies_of(definitions),
        version=version_of(definitions),
        adoption=-1,
        size=0 if shared is None else shared.size,
        stage=INDEXING if shared is None else FOLDING,
        cursor=0,
    )
    store.execute(insert("generations", 8), generation)
    if shared is None:
        generation.index_of(store).make()
    else:
        shared.index_of(store).restore_indexes()
    own = Tallies.table(generation.tallies_name), search_table(generation.search_name)
    for sql in (*states_tables(generation.table), *own):
        store.execute(sql)
    return generation


def _numbers(store: Store, kind: str) -> list[int]:
    """The numbers of the tables of a kind, also of those that belong to no generation any more."""
    names_ = (name.removesuffix("_streams") for _, name in store.names() if is_derived(name))
    return [0, *(int(name.removeprefix(f"{kind}_")) for name in names_ if name.startswith(kind))]


def move(store: Store, generation: Generation, **changes: Any) -> Generation | None:
    """Move a generation on; ``None`` where it is not as it was: somebody else moved it."""
    moved = generation._replace(**changes)
    # What stays is not written: there is an index on the stage.
    done = store.execute(
        f"UPDATE generations SET {', '.join(f'{name} = ?' for name in changes)}"
        " WHERE number = ? AND version = ? AND size = ? AND stage = ? AND cursor = ?",
        (
            *changes.values(),
            generation.number,
            generation.version,
            generation.size,
            generation.stage,
            generation.cursor,
        ),
    )
    # guard: generations moved from where they are
    return moved if done.rowcount == 1 else None


def switch(store: Store, generation: Generation, adoption: int) -> Generation:
    """Make a generation the live one; the one before stays until ``discard``."""
    store.execute("UPDATE generations SET stage = 'replaced' WHERE stage = 'live'")
    switched = move(store, generation, stage=LIVE, adoption=adoption)
    if switched is None:
        raise IntegrityError(f"{generation.table} was built by somebody else too; run replay again")
    for name, select in views(store, switched).items():
        store.view(name, select)
    return switched


def discard(store: Store, *, also_live: bool = False) -> None:
    """Give up the generations that are not live, or with ``also_live`` that one too.

    Their tables are those of none then: ``sweep`` drops them. The caller holds a write transaction.
    """
    kept = None if also_live else live(store)
    if kept is None:
        store.execute("DELETE FROM generations")
    else:
        store.execute("DELETE FROM generations WHERE number <> ?", (kept.number,))


def sweep(store: Store) -> None:
    """Drop the tables that belong to no generation, one in each write transaction: it takes a while."""
    for name in _left(store):
        with store.write():
            # Another process may have begun a generation meanwhile, or swept.
            if name in _left(store):
                store.drop(name)


def _left(store: Store) -> list[str]:
    rows = store.execute("SELECT number, indexed FROM generations").fetchall()
    kept = {f"{kind}_{number}" for number, _ in rows for kind in _NUMBERED}
    kept.update(name for _, number in rows for name in Index.tables(f"index_{number}"))
    names_ = store.names()
    return [n for kind, n in names_ if kind == "table" and is_derived(n) and n not in kept]


def is_derived(name: str) -> bool:
    """Whether a table's name is that of an index, of states, of tallies or of a search."""
    return _DERIVED.fullmatch(name) is not None


def indexes_on(table: str) -> dict[str, str]:
    """The SQLite indexes on a derived table of that name, with the SQL that makes them."""
    kind = table.rstrip("0123456789")
    made = {"index_": Index.indexes, "states_": _states_indexes}.get(kind)
    return {} if made is None else made(table)


_NUMBERED = ("states", "tallies", "search")
"""The tables that each generation has of its own."""

_DERIVED = re.compile(r"(states|index|tallies|search)_[0-9]{1,18}(_streams)?")


def put(store: Store, table: str, rows: Iterable[Row]) -> None:
    """Write rows in place of those of the same streams."""
    store.executemany(_put(table, COLUMNS[1:]), rows)


def clear(store: Store, table: str, streams: Iterable[int]) -> None:
    """Drop the rows of streams: one that can't be folded to a state any more must have none."""
    store.executemany(f"DELETE FROM {table} WHERE stream = ?", ((n,) for n in streams))


def put_again(store: Store, table: str, rows: Iterable[Row]) -> None:
    """Put rows whose first reception stays as it was: the index on it is left alone."""
    store.executemany(_put(table, _AGAIN), rows)


def tally(store: Store, table: str, tallied: Tallied) -> None:
    """Add to tallies; the caller holds the transaction in which what they count is written."""
    if rows := tallied.rows():
        store.executemany(_tally(table), rows)


@lru_cache(maxsize=16)
def _tally(table: str) -> str:
    newest, *sums = (f"{table}.{column} + excluded.{column}" for column in SUMS)
    # guard: the last reception is the newest
    latest = ", ".join(f"'{what}'" for what in LATEST)
    newest = (
        f"CASE WHEN {table}.what IN ({latest}) THEN CASE WHEN excluded.n > {table}.n THEN excluded.n"
        f" ELSE {table}.n END ELSE {newest} END"
    )
    added = ", ".join(
        f"{column} = {sum_}" for column, sum_ in zip(SUMS, [newest, *sums], strict=True)
    )
    into = insert(table, len(KEY) + len(SUMS))
    return f"{into} ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET {added}"


def search(store: Store, table: str, searched: Searched) -> None:
    """Change what deliveries are found by; the caller holds the transaction that writes their rows."""
    changed = searched.changed()
    if not changed:
        return
    gone, come = entries_changed(changed)
    store.executemany(f"DELETE FROM {table} WHERE entry = ?", ((entry,) for entry in gone))
    # In a damaged file one may be there.
    into = f"{insert(table, 1)} ON CONFLICT DO NOTHING"
    store.executemany(into, ((entry,) for entry in come))


FIRST = COLUMNS.index("first_received_at")
_AGAIN = COLUMNS[1:FIRST] + COLUMNS[FIRST + 1 :]


@lru_cache(maxsize=16)
def _put(table: str, columns: Sequence[str]) -> str:
    changed = ", ".join(f"{column} = excluded.{column}" for column in columns)
    return f"{insert(table, len(COLUMNS))} ON CONFLICT ({COLUMNS[0]}) DO UPDATE SET {changed}"


def kept_row(store: Store, table: str, stream: int) -> Row | None:
    """The row of a stream in a table of states."""
    return store.one(f"SELECT * FROM {table} WHERE stream = ?", (stream,))


def counted(store: Store, table: str, streams: Sequence[int]) -> list[Row]:
    """What some streams are counted by, then what they are found by, as a table of states has it."""
    found: list[Row] = []
    for chunk in chunks(streams):
        found += store.execute(_counted(table, len(chunk)), chunk).fetchall()
    return found


@lru_cache(maxsize=16)
def _counted(table: str, count: int) -> str:
    holes = ", ".join("?" * count)
    columns = ", ".join((*COUNTED, *FOUND_BY))
    return f"SELECT {columns} FROM {table} WHERE stream IN ({holes})"


def copy_counted(store: Store, generation: Generation, table: str) -> None:
    """Copy what is counted of all deliveries to a table of that name."""
    columns = ", ".join(f"s.{column}" for column in COUNTED)
    store.execute(
        f"CREATE TABLE {table} AS SELECT {columns} FROM {generation.table} s"
        f" JOIN {generation.index_name}_streams t ON t.id = s.stream WHERE t.chart = '{DELIVERY}'"
    )


def deliveries_counted(store: Store, table: str) -> Iterator[Row]:
    """The tallies of copied deliveries; keys may stand more than once."""
    tallied = Tallied()
    for row in store.stream(f"SELECT * FROM {table}"):
        tallied.kept(row, 1)
        if len(tallied) > MOST_TALLIED:
            yield from tallied.taken()
    yield from tallied.taken()


def copy_found(store: Store, generation: Generation, rows: str, entries: str) -> None:
    """Copy what deliveries are found by to two tables: of their rows, and as it is kept."""
    columns = ", ".join(f"s.{column}" for column in FOUND_BY)
    store.execute(
        f"CREATE TABLE {rows} AS SELECT {columns} FROM {generation.table} s"
        f" JOIN {generation.index_name}_streams t ON t.id = s.stream WHERE t.chart = '{DELIVERY}'"
    )
    store.execute(f"CREATE TABLE {entries} AS SELECT entry FROM {generation.search_name}")


def kept_rows(store: Store, table: str, after: int, until: int) -> list[Row]:
    """The rows of the streams after ``after`` up to ``until``, in the order of their numbers."""
    rows: list[Row] = store.execute(
        f"SELECT * FROM {table} WHERE stream > ? AND stream <= ? ORDER BY stream", (after, until)
    ).fetchall()
    return rows


BEGAN = (
    f"CASE WHEN (s.findings & {int(Finding.TIMESTAMP_IMPLAUSIBLE)}) <> 0 THEN s.first_received_at"
    " ELSE coalesce(s.sent_at, s.created_at, s.first_received_at) END"
)
"""When a delivery began, in microseconds: what periods and ages are counted from.

A provider's time that can't be true keeps no delivery from being found.
"""

APART = f"(s.first_received_at - {BEGAN} NOT BETWEEN -{NEAR} AND {NEAR})"
"""What holds of a row ``s`` that began far from its first reception.

What a period has of these stands in an index of its own, by when they began.
"""


def states_tables(table: str) -> Iterator[str]:
    """The SQL that makes a table of states, and the indexes on it."""
    yield _states(table)
    yield from _states_indexes(table).values()


def _states_indexes(table: str) -> dict[str, str]:
    bare, apart, began = bare_of(table), APART.replace("s.", ""), BEGAN.replace("s.", "")
    return {
        f"{bare}_first": f"CREATE INDEX {table}_first ON {bare} (first_received_at)",
        f"{bare}_apart": f"CREATE INDEX {table}_apart ON {bare} (({began})) WHERE {apart}",
    }


def _states(table: str) -> str:
    return f"""CREATE TABLE {table} (
    stream INTEGER PRIMARY KEY,
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
    findings INTEGER NOT NULL,
    source TEXT NOT NULL,
    read TEXT,
    grade TEXT,
    reason_class TEXT,
    labels TEXT,
    amounts TEXT
) STRICT"""


# --- the indexes of few rows: figures are read by them ---


def by_unread(store: Store, index: str) -> tuple[str, str]:
    """What makes a statement read the rows ``i`` of an index that changed no state by those alone.

    It stands behind the name of the table; then the condition of those rows. Where not all of them are
    in the index of these rows, it is not read by. The caller holds a read transaction.
    """
    name, kept = f"{bare_of(index)}_unread", live(store)
    # guard: an index that lacks rows is not read by
    if kept is not None and kept.index_name == index and _lacking_unread(store, kept):
        return "", unindexed(UNREAD)
    return store.by_index(name, Index.indexes(index)) or "", UNREAD


def apart_of(table: str) -> str:
    """The name of the index of the rows of a table of states that began apart."""
    return f"{table}_apart"


def by_apart(store: Store, table: str) -> str | None:
    """What makes a statement read those rows by their index; ``None`` where that is not there."""
    return store.by_index(apart_of(table), _states_indexes(table))


def damaged_indexes(store: Store, generation: Generation) -> dict[str, str]:
    """What is wrong with the indexes of few rows, by their names: the tallies know how many they are.

    The caller holds a read transaction.
    """
    found = {}
    for name, problem in (
        (f"{generation.index_name}_unread", _lacking_unread(store, generation)),
        (apart_of(generation.table), _lacking_apart(store, generation)),
    ):
        if problem:
            found[name] = f"index {name} {problem}"
    return found


def _lacking_unread(store: Store, generation: Generation) -> str:
    """What is wrong with the index of rows that changed no state; empty for nothing."""
    index, name = generation.index_name, f"{generation.index_name}_unread"
    if not (by_index := store.by_index(name, generation.indexes())):
        return _missing(store, generation, name, "replay --index")
    # As a range: a condition of that index would be read by it.
    nowhere = (
        f"SELECT count(*) FROM {index} i WHERE i.stream BETWEEN {NOWHERE_ID} AND {NOWHERE_ID}"
        f" AND (i.findings & {int(Finding.UNRECOGNISED)}) = 0"
    )
    counted = f"SELECT count(*), ({nowhere}) FROM {index} i{by_index} WHERE {UNREAD}"
    found, beside = store.one(counted) or (0, 0)
    wanted = generation.tallies_of(store).unrecognised() + beside
    return _lacking(found, wanted, "replay --index")


def _lacking_apart(store: Store, generation: Generation) -> str:
    """What is wrong with the index of deliveries that began apart; empty for nothing."""
    if not (by_index := by_apart(store, generation.table)):
        return _missing(store, generation, apart_of(generation.table), "replay")
    counted = (
        f"SELECT count(*) FROM {generation.table} s{by_index}"
        f" JOIN {generation.index_name}_streams t ON t.id = s.stream"
        f" WHERE {APART} AND t.chart = '{DELIVERY}'"
    )
    (found,) = store.one(counted) or (0,)
    return _lacking(found, generation.tallies_of(store).apart(), "replay")


def _missing(store: Store, generation: Generation, name: str, fix: str) -> str:
    """That an index is gone or another: where it is there, the store itself chooses what it reads by."""
    _, sql = store.objects().get(("index", name), ("", ""))
    there = sql == generation.indexes()[name]
    return "" if there else f"is missing, or not as it was made; run {fix}"


def _lacking(found: int, wanted: int, fix: str) -> str:
    return "" if found == wanted else f"leads to {found} rows, expected {wanted}; run {fix}"


def search_table(name: str) -> str:
    """The SQL that makes a table of what deliveries are found by: see ``state.search``."""
    return f"CREATE TABLE {name} (\n    entry BLOB PRIMARY KEY\n) STRICT, WITHOUT ROWID"


def views(store: Store, generation: Generation) -> dict[str, str]:
    """The views of a generation for people: plain names, ISO times, findings as words."""
    index, states = generation.index_name, generation.table
    said_at = f"nullif(i.occurred_at, {UNDATED})"
    return {
        "deliveries": _view(store, states, index, "delivery"),
        "contents": _view(store, states, index, "content"),
        "statements": f"""
SELECT i.position, i.member, nullif(t.space, '') AS space, nullif(t.chart, '') AS chart,
    nullif(t.key, '') AS key, {store.iso(said_at)} AS occurred_at, {store.hex("i.identity")} AS identity
FROM {index} i JOIN {index}_streams t ON t.id = i.stream
""",
    }


def _view(store: Store, states: str, index: str, chart: str) -> str:
    times = ("created_at", "sent_at", "outcome_at", "first_received_at")
    iso = ", ".join(f"{store.iso(f's.{column}')} AS {column}" for column in times)
    words = " || ".join(
        f"CASE WHEN (s.findings & {int(f)}) <> 0 THEN '{names(f)[0]} ' ELSE '' END" for f in Finding
    )
    key = "mms_id" if chart == "content" else "tracking_id"
    said, kept = ("", "") if chart == "content" else ("s.read, s.grade, ", "s.mms_id, ")
    return f"""
SELECT t.key AS {key}, s.state, s.route, {said}coalesce(s.reason, s.route_reason) AS reason,
    s.recipient AS "to", {kept}s.spid, s.handset, s.aggregator_id, {iso},
    s.events, s.repeats, rtrim({words}) AS findings, t.space, s.reason_class, s.labels, s.amounts
FROM {states} s JOIN {index}_streams t ON t.id = s.stream WHERE t.chart = '{chart}'
"""
