"""Verification: is the log what was received, and do index and states follow from it?

The log is checked event by event against the leaves of its tree, the tree against its head and an
anchor. Then every row of the index is read again from the log, and every state folded again without
plans: what keeps them up does not vouch for itself. The readers of record read the first bodies of each
kind, its layout the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import islice

from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError, LedgerError, PostledgerError
from postledger.log import schema
from postledger.log.event import READ, Kind, Stored
from postledger.log.log import Head, Log, texts_at
from postledger.log.tree import EMPTY, STRIDE, Frontier, extend
from postledger.model import Anchor, Verification
from postledger.progress import Progress, silent
from postledger.projections import checkpoints, generations
from postledger.projections.generations import FOLDING, INDEXING, Generation
from postledger.projections.index import NOWHERE_ID, Index
from postledger.projections.reader import Reader
from postledger.state.patterns import Statement, Stream, of_times, placed
from postledger.state.row import Row, sound
from postledger.state.streams import EventRow, require_rows
from postledger.store.sqlite import LARGEST, Store, translated

MOST_PROBLEMS = 20
_DIFFERS = "the state differs from the fold; run replay"
_EVERY = 1_000
_PLAIN_SIGHTS = 3
"""So many events of each kind of body are read by the readers of record; the others by its layout."""


def verify(
    reader: Reader,
    generation: Generation,
    anchor: Anchor | None = None,
    progress: Progress = silent,
) -> Verification:
    """Check the database, the guards, the log, an anchor, and index and states by a new reading.

    What is wrong is listed, the first twenty of it, each in one line with its position. The caller
    holds a read transaction.
    """
    # What was read and is remembered does not vouch for what stands in the file.
    store, limits = reader.log.store, reader.facts.patterns.limits
    reader = Reader.of(Log(store), reader.index, reader.definitions, limits)
    log = reader.log
    head = log.head()
    problems = islice(_problems(reader, generation, head, anchor, progress), MOST_PROBLEMS)
    found = tuple(problems)
    return Verification(head.size, Anchor(head.size, head.frontier.root().hex()), found)


def follows(reader: Reader, generation: Generation) -> bool:
    """Whether what there is of a generation that is not live follows from the log.

    States that are not made yet, and those of streams with events that it has not read, are not looked
    at: it will make them.
    """
    store = reader.log.store
    tables = {
        **Index.tables(generation.index_name),
        **generations.states_tables(generation.table),
    }
    made = generation.cursor if generation.stage != INDEXING else NOWHERE_ID
    with store.read():
        there = {name: sql for (_, name), (on, sql) in store.objects().items() if on in tables}
        if there != tables or not generation.cursor <= made <= reader.index.newest():
            return False
        beyond = f"SELECT 1 FROM {generation.table} WHERE stream > ? LIMIT 1"
        if generation.stage in (INDEXING, FOLDING) and store.one(beyond, (made,)):
            return False
        kept = generations.live(store)
        if kept is not None and kept.indexed == generation.indexed:
            # It is that of the live one, which has read more.
            rows, _ = reader.index.count()
        else:
            read = reader.log.events(0, generation.size - 1)
            rows = sum(_members_of(reader, stored) for stored in read)
        return not any(_until_error(store, _of_index(reader, generation, rows)))


def check_stream(reader: Reader, stream: Stream, table: str | None) -> None:
    """Check one stream alone: its events by their leaves, and its row, where its table is given.

    This part of ``verify`` costs little. It can't tell whether an event is missing that an index no
    longer leads to. Raises ``IntegrityError``; the caller holds a read transaction.
    """
    name = " ".join(filter(None, stream))
    number = reader.index.find(stream)
    assert number is not None
    rows = reader.index.rows_of(number)
    require_rows(rows)
    # The members of a bundle are read together.
    proven = lru_cache(16)(partial(_proven_at, reader, name))
    for row in rows:
        statements = proven(row[3])
        if not 0 <= row[4] < len(statements) or not _is_of(reader, row, stream, statements[row[4]]):
            raise IntegrityError(f"{name}: {_index_differs(row)}")
    if table is None:
        return
    # guard: the state proven where it is shown
    if generations.kept_row(reader.log.store, table, number) != reader.plain_row(number, rows):
        raise IntegrityError(f"{name}: {_DIFFERS}")


def _proven_at(reader: Reader, name: str, position: int) -> list[Statement]:
    """What the event at a position says; raises ``IntegrityError`` unless it is what was received."""
    stored = reader.log.at(position)
    # guard: leaves proven where they are shown
    if stored.computed_leaf() != stored.leaf:
        raise IntegrityError(
            f"{name}: position {position}: the event is not what was received; run verify"
        )
    _require_split(stored, set())
    return reader.facts.statements_of(stored)


def _index_differs(row: EventRow) -> str:
    return f"position {row[3]}: the index differs from the log; run replay --index"


def _is_of(reader: Reader, row: EventRow, stream: Stream, statement: Statement) -> bool:
    """Whether a row of the index is what a member of its event says."""
    given = row[4] == 0 and reader.facts.gives(row[6], row[7]) and row[8] is not None
    wanted = placed(row[0], statement, row[5], row[3], row[4], given=given)
    return statement.stream == stream and wanted == (*row[:5], row[9], row[10])


def _problems(
    reader: Reader, generation: Generation, head: Head, anchor: Anchor | None, progress: Progress
) -> Iterator[str]:
    store, log = reader.log.store, reader.log
    yield from _until_error(store, store.problems(MOST_PROBLEMS))
    yield from schema.check_guards(store)
    # guard: the schema compared
    yield from _until_error(store, _of_schema(store, generation))
    counted: Counter[str] = Counter()
    found = list(
        islice(_until_error(store, _of_log(reader, anchor, counted, progress)), MOST_PROBLEMS)
    )
    yield from found
    if found:
        # Where the log itself is wrong, what doesn't follow from it would only be noise.
        return
    yield from _until_error(store, _of_definitions(log, head, generation, reader.definitions))
    # Whatever size is marked, every state is compared.
    whole = generation._replace(size=head.size)
    yield from _until_error(store, _of_index(reader, whole, counted["rows"]))


def _until_error(store: Store, problems: Iterator[str]) -> Iterator[str]:
    """The problems; the error that ends the search for more is one of them."""
    try:
        with translated(store.path):
            yield from problems
    except PostledgerError as error:
        yield str(error).removeprefix(f"{store.path}: ")


# --- the schema ---


def _of_schema(store: Store, generation: Generation) -> Iterator[str]:
    """Which tables, indexes, views and triggers are not as they were made, and which are too many."""
    there = store.objects()
    wanted = _wanted(generation)
    for (kind, name), sql in wanted.items():
        found = there.get((kind, name))
        if found is None:
            yield f"{kind} {name} is missing"
        elif found[1] != sql:
            yield f"{kind} {name} is not as it was made"
    own = set(checkpoints.tables_of_all(store))
    guards = schema.guards()
    for (kind, name), (table, _) in there.items():
        # guard: only a trigger is a guard
        if (kind, name) in wanted or (kind == "trigger" and name in guards):
            continue
        if kind == "trigger" and table not in schema.TABLES:
            yield f"trigger {name} on {table} is not Postledger's: what it does is not recorded"
        elif kind == "view":
            yield f"view {name} is not Postledger's"
        elif kind == "table" and name not in own and not generations.is_derived(name):
            yield f"table {name} is not Postledger's"
        elif kind == "index" and table not in own and not _is_of_build(name, table):
            yield f"index {name} on {table} is not Postledger's"


def _is_of_build(name: str, table: str) -> bool:
    """Whether an index is that of states which are being built next to the live ones."""
    return generations.is_derived(table) and name in generations.states_tables(table)


def _wanted(generation: Generation) -> dict[tuple[str, str], str]:
    """What the schema has to have: (kind, name) to the SQL that made it."""
    tables = {
        **schema.TABLES,
        **generations.TABLES,
        **checkpoints.TABLES,
        **Index.tables(generation.index_name),
    }
    wanted = {("table", name): sql for name, sql in tables.items()}
    for name, sql in generations.states_tables(generation.table).items():
        wanted["table" if name == generation.table else "index", name] = sql
    for name, sql in {**schema.INDEXES, **generations.INDEXES}.items():
        wanted["index", name] = sql
    for name, select in {**schema.VIEWS, **generations.views(generation)}.items():
        wanted["view", name] = f"CREATE VIEW {name} AS {select.strip()}"
    return wanted


# --- the log ---


def _of_log(
    reader: Reader, anchor: Anchor | None, counted: Counter[str], progress: Progress
) -> Iterator[str]:
    log = reader.log
    lowest = log.store.one("SELECT coalesce(min(position), 0) FROM events")
    # guard: positions from 0
    if lowest != (0,):
        yield f"position {lowest and lowest[0]} is impossible: positions count from 0"
    frontier, last_adoption, expected, pending = EMPTY, -1, 0, 0
    leaves: list[bytes] = []
    split: set[int] = set()
    for stored in log.events():
        # guard: positions without gaps
        if stored.position != expected:
            yield f"position {expected} is missing"
            return
        # guard: leaves compared
        if stored.computed_leaf() != stored.leaf:
            yield f"position {expected}: the event is not what was received"
            return
        if stored.kind == Kind.ADOPTION:
            last_adoption = expected
        _require_split(stored, split)
        counted["rows"] += _members_of(reader, stored)
        leaves.append(stored.leaf)
        expected += 1
        if len(leaves) == STRIDE or (anchor is not None and expected == anchor.size):
            frontier, nodes = extend(frontier, leaves)
            leaves.clear()
            yield from _of_nodes(log, nodes)
            if anchor is not None and expected == anchor.size:
                yield from _of_anchor(frontier, anchor)
        pending += 1
        if pending == _EVERY:
            progress(pending)
            pending = 0
    frontier, nodes = extend(frontier, leaves)
    yield from _of_nodes(log, nodes)
    if pending:
        progress(pending)
    yield from _of_head(log, frontier, last_adoption)
    yield from _of_interned(log)
    # guard: the end compared with the anchor
    if anchor is not None and anchor.size > expected:
        yield f"the log ends at size {expected}, before the anchor at size {anchor.size}"
    if anchor is not None and anchor.size == 0:
        yield from _of_anchor(EMPTY, anchor)


def _require_split(stored: Stored, split: set[int]) -> None:
    """Raise ``IntegrityError`` where an event is not split into texts as its body would be.

    A text that holds markup would hide what the body says. ``split`` are the templates known to be
    right: with plain texts all bodies of one are split alike.
    """
    template, texts = stored.template, stored.texts
    if template is None or texts is None:
        return
    if stored.template_id not in split and template.splits(texts):
        split.add(stored.template_id or 0)
    # guard: texts are plain where they stand
    if stored.template_id not in split or not template.takes(texts):
        raise IntegrityError(
            f"position {stored.position}: the event is not kept as such bodies are split"
        )


def _members_of(reader: Reader, stored: Stored) -> int:
    """How many rows of the index an event has."""
    if stored.kind not in READ:
        return 0
    if reader.facts.gives(stored.template_id, stored.envelope_id) and stored.texts is not None:
        return 1
    return len(reader.facts.statements_of(stored))


def _of_nodes(log: Log, nodes: list[tuple[int, bytes]]) -> Iterator[str]:
    for number, node in nodes:
        row = log.store.one("SELECT hash FROM nodes WHERE number = ?", (number,))
        # guard: nodes compared
        if row != (node,):
            yield f"node {number} of the tree is not what its leaves give"


def _of_anchor(frontier: Frontier, anchor: Anchor) -> Iterator[str]:
    # guard: the anchor compared
    if frontier.root().hex() != anchor.root:
        yield (
            f"size {anchor.size}: the root is not that of the anchor;"
            " the log was rewritten, or the anchor is of another ledger"
        )


def _of_head(log: Log, frontier: Frontier, adoption: int) -> Iterator[str]:
    row = log.store.one("SELECT id, size, frontier, adoption FROM head")
    # guard: the head compared
    if row != (0, frontier.size, frontier.to_bytes(), adoption):
        yield "the head of the tree is not what its leaves give"
    rows = log.store.one("SELECT count(*) FROM head")
    nodes = log.store.one("SELECT count(*), coalesce(max(number), -1) + 1 FROM nodes")
    whole = frontier.size // STRIDE
    if rows != (1,) or nodes != (whole, whole):
        yield "the tree has more nodes, or heads, than its leaves give"


def _of_interned(log: Log) -> Iterator[str]:
    """Templates and envelopes are what was interned, and numbered without gaps."""
    total = 0
    rows = log.store.execute("SELECT id, pieces, total FROM templates ORDER BY id").fetchall()
    for expected, (number, pieces, characters) in enumerate(rows, 1):
        if number != expected:
            yield f"template {expected} is missing"
            return
        log.interned.template(number)
        total += len(pieces)
        if characters != total:
            yield f"template {number} is damaged: its total is not that of the pieces"
    envelopes = log.store.execute("SELECT id FROM envelopes ORDER BY id").fetchall()
    for expected, (number,) in enumerate(envelopes, 1):
        if number != expected:
            yield f"envelope {expected} is missing"
            return
        log.interned.envelope(number)


# --- definitions, index and states ---


def _of_definitions(
    log: Log, head: Head, generation: Generation, definitions: Definitions
) -> Iterator[str]:
    generations.ledger_id(log)
    adopted = definitions
    for stored in log.adoptions():
        adopted = generations.adopted(stored)
    if adopted.hash != definitions.hash:
        yield "the ledger reads by other definitions than were adopted last; run replay"
    kept = generations.live(log.store)
    if kept is None or kept.number != generation.number:
        yield "there are no live states; run replay"
        return
    if (
        kept.version != generations.version_of(adopted)
        or kept.vocabularies != generations.vocabularies_of(adopted)
        or kept.adoption != head.adoption
    ):
        yield "the states are marked as made by other definitions; run replay"
    if kept.size != head.size:
        yield f"the states are at size {kept.size}, the log at {head.size}; run replay"


def _of_index(reader: Reader, generation: Generation, wanted: int) -> Iterator[str]:
    """Read each row of the index again, and fold each stream, next to the rows of its state.

    ``wanted`` is how many rows the index must have.
    """
    index = reader.index
    made = generation.cursor if generation.stage in (INDEXING, FOLDING) else LARGEST
    if reader.log.store.one(
        f"SELECT space, chart, key FROM {index.name}_streams WHERE id = {NOWHERE_ID}"
    ) != ("", "", ""):
        yield "stream 0 of the index is not that of the events that belong to none; run replay"
    count, leading = index.count()
    # guard: rows of the index counted
    if {count, leading} != {wanted}:
        yield (
            f"the index has {count} rows, {leading} of them with an event, but the events of the"
            f" log give {wanted}; run replay --index"
        )
    yield from _of_nowhere(reader)
    there = generations.kept_rows(reader.log.store, generation.table)
    kept = next(there, None)
    checker = _Checker(reader)
    named = index.named()
    for number, _, rows in index.streams():
        stream = next((stream for at, stream in named if at == number), None)
        if stream is None:
            yield f"stream {number} is missing; run replay --index"
            return
        while kept is not None and kept[0] < number:
            yield f"stream {kept[0]}: a row without events; run replay"
            kept = next(there, None)
        found, kept = (kept, next(there, None)) if kept and kept[0] == number else (None, kept)
        yield from checker.problems(stream, rows)
        if number <= made and all(row[3] < generation.size for row in rows):
            yield from _of_state(reader, number, stream, rows, found)
    if kept is not None:
        yield f"stream {kept[0]}: a row without events; run replay"
    yield from _of_streams(reader)


def _of_state(
    reader: Reader, number: int, stream: Stream, rows: list[EventRow], found: Row | None
) -> Iterator[str]:
    name = " ".join(filter(None, stream))
    try:
        row = reader.plain_row(number, rows)
        if found is not None:
            sound(found)
    except LedgerError as error:
        yield f"{name}: {error}"
        return
    # guard: states compared
    if found != row:
        yield f"{name}: {_DIFFERS}"


def _of_nowhere(reader: Reader) -> Iterator[str]:
    """The rows of events that belong to no stream."""
    checker = _Checker(reader)
    nowhere = reader.index.stream_of(NOWHERE_ID)
    for _, _, rows in reader.index.streams(NOWHERE_ID - 1, NOWHERE_ID):
        yield from checker.problems(nowhere, rows)


def _of_streams(reader: Reader) -> Iterator[str]:
    """Every row is of an event, every stream has rows, and none is numbered below nowhere."""
    name = reader.index.name
    row = reader.log.store.one(
        f"SELECT count(*) FROM {name}_streams t WHERE t.id <> {NOWHERE_ID}"
        f" AND NOT EXISTS (SELECT 1 FROM {name} i WHERE i.stream = t.id)"
    )
    if row != (0,):
        yield "the index has streams without events; run replay --index"
    if reader.log.store.one(
        f"SELECT 1 FROM {name} i"
        " WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.position = i.position)"
    ):
        yield "the index has rows of events that the log doesn't have; run replay --index"
    for table, column in ((f"{name}_streams", "id"), (name, "stream")):
        if reader.log.store.one(f"SELECT 1 FROM {table} WHERE {column} < {NOWHERE_ID}"):
            yield "the index has streams that were never numbered; run replay --index"


class _Checker:
    """Reads rows of the index again from the log."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sights: dict[tuple[int, int], int] = {}
        # The members of a bundle are read together.
        self._read = lru_cache(16)(self._read_again)

    def problems(self, stream: Stream, rows: list[EventRow]) -> Iterator[str]:
        require_rows(rows)
        for row in rows:
            # guard: the index compared
            if not self._is_of(row, stream):
                yield _index_differs(row)

    def _is_of(self, row: EventRow, stream: Stream) -> bool:
        """Whether a row is what the member of its event says.

        The body is read by the readers of record, or by the layout of its kind.
        """
        reader = self._reader
        template, envelope, texts = row[6], row[7], row[8]
        if template is not None and envelope is not None and texts is not None and row[4] == 0:
            family = reader.facts.family(template, envelope)
            kind = (template, envelope)
            seen = self._sights[kind] = self._sights.get(kind, 0) + 1
            if family is not None and seen > _PLAIN_SIGHTS:
                values = texts_at(row[3], texts)
                there, occurred_at, identity, findings = reader.facts.patterns.place(
                    family.layout.postback(values)
                )
                findings |= of_times(occurred_at, row[5])
                # The texts of the log give the rest, so that the index must not.
                wanted = (there, occurred_at, identity, findings, None)
                return wanted == (stream, row[1], row[2], row[9], row[10])
        statements = self._read(row[3])
        if not 0 <= row[4] < len(statements):
            raise IntegrityError(_index_differs(row))
        return _is_of(reader, row, stream, statements[row[4]])

    def _read_again(self, position: int) -> list[Statement]:
        stored = self._reader.log.at(position)
        return self._reader.facts.patterns.read_plainly(stored.body, stored.envelope)
