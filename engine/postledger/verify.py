"""Verification: is the log what was received, and do index and states follow from it?

The log is checked event by event against the leaves of its tree, the tree against its head and an
anchor. Then every row of the index is read again from the log, and every state folded again without
plans: what keeps them up does not vouch for itself. The readers of record read the first bodies of each
kind, its layout the others.

All of it is read in pages, each in a read transaction of its own, so that the write-ahead log never
waits for it. The log is append-only, so that its first events stay as they are; of a page of streams the
rows of index and states are of one time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from itertools import islice
from typing import NamedTuple

import attrs

from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError, LedgerError, PostledgerError
from postledger.log import schema
from postledger.log.event import READ, Kind, Stored
from postledger.log.log import Head, Log, texts_at
from postledger.log.tree import EMPTY, STRIDE, Frontier, extend
from postledger.log.verifications import Verified, verified_of
from postledger.model import Anchor, Verification
from postledger.progress import Progress, silent
from postledger.projections import checkpoints, generations
from postledger.projections.generations import FOLDING, INDEXING, Generation
from postledger.projections.index import NOWHERE_ID, Index, StreamRows
from postledger.projections.reader import Reader
from postledger.projections.tallies import Digest, Tallies
from postledger.state.patterns import Statement, Stream, of_times, placed
from postledger.state.row import EVENTS, MOST_TALLIED, Row, Tallied, sound
from postledger.state.search import STREAM, entries_kept
from postledger.state.streams import EventRow, require_rows
from postledger.store.opening import translated
from postledger.store.store import LARGEST, Store
from postledger.store.store import Row as LogRow

MOST_PROBLEMS = 20
PAGE = 2_000
"""How many events, or rows of the index, are read in one transaction, and worked on after it."""

_ATTEMPTS = 3
_DIFFERS = "the state differs from the fold; run replay"
_HEAD_DIFFERS = "the head of the tree is not what its leaves give"
_PLAIN_SIGHTS = 3
"""So many events of each kind of body are read by the readers of record; the others by its layout."""


class _Switched(Exception):
    """Others took the place of the index and states that were being read."""


class _Start(NamedTuple):
    """The log when it begins to be verified: its head, and what is kept of the tree.

    ``kept`` is the row of the head, of ``heads``; ``nodes`` are their count and the number after the
    last; ``lowest`` is the first position.
    """

    head: Head
    lowest: int
    kept: LogRow | None
    heads: LogRow | None
    nodes: LogRow | None

    @classmethod
    def of(cls, log: Log) -> _Start:
        (lowest,) = log.store.one("SELECT coalesce(min(position), 0) FROM events") or (0,)
        return cls(
            log.head(),
            lowest,
            log.store.one("SELECT id, size, frontier, adoption FROM head"),
            log.store.one("SELECT count(*) FROM head"),
            log.store.one("SELECT count(*), coalesce(max(number), -1) + 1 FROM nodes"),
        )


@attrs.define
class _Seen:
    """What was seen on the way through the log: how many rows its index has, and the adoptions."""

    rows: int = 0
    adoptions: list[int] = attrs.field(factory=list)


def verify(
    reader: Reader, anchor: Anchor | None = None, progress: Progress = silent
) -> Verification:
    """Check the database, the guards, the log, an anchor, and index and states by a new reading.

    What is wrong is listed, the first twenty of it, each in one line with its position. It is said of
    the log as of its size at the start, and of the states that are live, whoever records, adopts or
    replays meanwhile.
    """
    # What was read and is remembered does not vouch for what stands in the file.
    store, limits = reader.log.store, reader.facts.patterns.limits
    reader = Reader.of(Log(store), reader.index, reader.definitions, limits)
    with store.read():
        start = _Start.of(reader.log)
    found = tuple(islice(_problems(reader, start, anchor, progress), MOST_PROBLEMS))
    head = start.head
    return Verification(head.size, Anchor(head.size, head.frontier.root().hex()), found)


def follows(reader: Reader, generation: Generation) -> bool:
    """Whether what there is of a generation that is not live follows from the log.

    States that are not made yet, and those of streams with events that it has not read, are not looked
    at: it will make them.
    """
    store = reader.log.store
    tables = {**generation.tables(), **generation.indexes()}
    made = generation.cursor if generation.stage != INDEXING else NOWHERE_ID
    with store.read():
        there = {name: sql for (_, name), (on, sql) in store.objects().items() if on in tables}
        if there != tables or not generation.cursor <= made <= reader.index.newest():
            return False
        beyond = f"SELECT 1 FROM {generation.table} WHERE stream > ? LIMIT 1"
        if generation.stage in (INDEXING, FOLDING) and store.one(beyond, (made,)):
            return False
        kept = generations.live(store)
        # Where it is that of the live one, that has read more.
        shared = kept is not None and kept.indexed == generation.indexed
        size = generation.size if shared else LARGEST

    def still() -> None:
        if not generations.is_there(store, generation):
            raise _Switched

    try:
        wanted = None if shared else _rows_of(reader, generation.size)
        found = _until_error(store, _of_index(reader, generation, size, wanted, still))
        return not any(found)
    except _Switched:
        return False


def check_stream(reader: Reader, stream: Stream, table: str | None) -> None:
    """Check one stream alone: its events by their leaves, and its row, where its table is given.

    This part of ``verify`` costs little. It can't tell whether an event is missing that an index no
    longer leads to. Raises ``IntegrityError``; the caller holds a read transaction.
    """
    number = reader.index.find(stream)
    assert number is not None
    rows = reader.index.rows_of(number)
    for problem in stream_problems(reader, stream, rows):
        raise IntegrityError(problem)
    if table is None:
        return
    # guard: the state proven where it is shown
    if generations.kept_row(reader.log.store, table, number) != reader.plain_row(number, rows):
        raise IntegrityError(f"{_name(stream)}: {_DIFFERS}")


def stream_problems(reader: Reader, stream: Stream, rows: list[EventRow]) -> Iterator[str]:
    """What is wrong with events of one stream: their leaves, and what the index has of them.

    Raises ``IntegrityError`` where the rows are damaged; the caller holds a read transaction.
    """
    name = _name(stream)
    require_rows(rows)
    # The members of a bundle are read together.
    proven = lru_cache(16)(partial(_proven_at, reader, name))
    for row in rows:
        try:
            statements = proven(row[3])
        except IntegrityError as error:
            yield str(error)
            continue
        if not 0 <= row[4] < len(statements) or not _is_of(reader, row, stream, statements[row[4]]):
            yield f"{name}: {_index_differs(row)}"


def fold_of(reader: Reader, stream: Stream, rows: list[EventRow]) -> tuple[Row | None, str | None]:
    """The row of a stream by a fold of its events, and why they can't be folded: the row says so then.

    There is no row where nothing states what became of it.
    """
    number = rows[0][0]
    try:
        return reader.plain_row(number, rows), None
    except IntegrityError as error:
        return reader.row(number, stream[1], rows), f"{_name(stream)}: {error}"


def state_differs(stream: Stream) -> str:
    """The problem of a stream whose row is not what a fold of its events gives."""
    return f"{_name(stream)}: {_DIFFERS}"


@attrs.frozen
class Standing:
    """How a ledger stands: what was found of it, and whether it was verified ``whole`` for that.

    ``newest`` is the last time of reception, where it is known without going through the log, ``last``
    the last verification of the whole that is stated in it.
    """

    verification: Verification
    whole: bool
    newest: int | None = None
    last: Verified | None = None

    def beside(self, problems: Iterable[str]) -> Standing:
        """The same with more problems."""
        known = self.verification.problems
        more = tuple(one for one in problems if one not in known)
        found = attrs.evolve(self.verification, problems=(*known, *more))
        return attrs.evolve(self, verification=found)


def standing(log: Log, generation: Generation) -> Standing:
    """How a ledger stands by what is quickly known: its anchor as the head has it, guards and head.

    The caller holds a read transaction.
    """
    store = log.store
    problems = schema.check_guards(store)
    if log.kept_head() is None:
        problems.append(_HEAD_DIFFERS)
    head = log.head()
    anchor = Anchor(head.size, head.frontier.root().hex())
    counted = generations.size_of(store, generation) == head.size
    tallies = generation.tallies_of(store)
    last = None
    try:
        last = last_verified(log, tallies)
    except IntegrityError as error:
        problems.append(str(error))
    found = Verification(head.size, anchor, tuple(problems))
    return Standing(found, whole=False, newest=tallies.newest() if counted else None, last=last)


def last_verified(log: Log, tallies: Tallies) -> Verified | None:
    """The last verification of the whole ledger that is stated in the log, or ``None``.

    Raises ``IntegrityError`` where it is damaged.
    """
    position = tallies.verified()
    return None if position is None else verified_of(log.at(position))


def _name(stream: Stream) -> str:
    return " ".join(filter(None, stream))


def _proven_at(reader: Reader, name: str, position: int) -> list[Statement]:
    """What the event at a position says; raises ``IntegrityError`` unless it is what was received."""
    stored = reader.log.at(position)
    # guard: leaves proven where they are shown
    if stored.computed_leaf() != stored.leaf:
        raise IntegrityError(
            f"{name}: position {position}: the event is not what was received; run verify"
        )
    require_split(stored, set())
    return reader.facts.statements_of(stored)


def _index_differs(row: EventRow) -> str:
    return f"position {row[3]}: the index differs from the log; run replay --index"


def _is_of(reader: Reader, row: EventRow, stream: Stream, statement: Statement) -> bool:
    """Whether a row of the index is what a member of its event says."""
    given = row[4] == 0 and reader.facts.gives(row[6], row[7]) and row[8] is not None
    wanted = placed(row[0], statement, row[5], row[3], row[4], given=given)
    return statement.stream == stream and wanted == (*row[:5], row[9], row[10])


def _problems(
    reader: Reader, start: _Start, anchor: Anchor | None, progress: Progress
) -> Iterator[str]:
    store, seen = reader.log.store, _Seen()
    yield from _until_error(store, store.problems(MOST_PROBLEMS))
    yield from schema.check_guards(store)
    # guard: the schema compared
    yield from _until_error(store, _of_schema(store))
    found = list(
        islice(_until_error(store, _of_log(reader, start, anchor, seen, progress)), MOST_PROBLEMS)
    )
    yield from found
    if found:
        # Where the log itself is wrong, what doesn't follow from it would only be noise.
        return
    yield from _of_live(reader, start.head.size, seen)


def _until_error(store: Store, problems: Iterator[str]) -> Iterator[str]:
    """The problems; the error that ends the search for more is one of them."""
    try:
        with translated(store.path):
            yield from problems
    except PostledgerError as error:
        yield str(error).removeprefix(f"{store.path}: ")


# --- the schema ---


def _of_schema(store: Store) -> Iterator[str]:
    """Which tables, indexes, views and triggers are not as they were made, and which are too many."""
    with store.read():
        there, wanted = store.objects(), _wanted(store, _live(store))
        own = set(checkpoints.tables_of_all(store))
    for (kind, name), sql in wanted.items():
        found = there.get((kind, name))
        if found is None:
            yield f"{kind} {name} is missing"
        elif found[1] != sql:
            yield f"{kind} {name} is not as it was made"
    guards = schema.guards(store)
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
    """Whether an index is on tables that are being built next to the live ones."""
    return generations.is_derived(table) and name in generations.indexes_on(table)


def _live(store: Store) -> Generation:
    live = generations.live(store)
    if live is None:
        raise IntegrityError("there are no live states; run replay")
    return live


def _wanted(store: Store, generation: Generation) -> dict[tuple[str, str], str]:
    """What the schema has to have: (kind, name) to the SQL that made it."""
    tables = {**schema.TABLES, **generations.TABLES, **checkpoints.TABLES, **generation.tables()}
    wanted = {("table", name): sql for name, sql in tables.items()}
    for name, sql in {**schema.INDEXES, **generations.INDEXES, **generation.indexes()}.items():
        wanted["index", name] = sql
    for name, select in {**schema.views(store), **generations.views(store, generation)}.items():
        wanted["view", name] = f"CREATE VIEW {name} AS {select.strip()}"
    return wanted


# --- the log ---


def _of_log(
    reader: Reader, start: _Start, anchor: Anchor | None, seen: _Seen, progress: Progress
) -> Iterator[str]:
    log, size = reader.log, start.head.size
    # guard: positions from 0
    if start.lowest != 0:
        yield f"position {start.lowest} is impossible: positions count from 0"
    frontier, expected = EMPTY, 0
    leaves: list[bytes] = []
    split: set[int] = set()
    for stored in _events(log, size, progress):
        # guard: positions without gaps
        if stored.position != expected:
            break
        # guard: leaves compared
        if stored.computed_leaf() != stored.leaf:
            yield f"position {expected}: the event is not what was received"
            return
        if stored.kind == Kind.ADOPTION:
            seen.adoptions.append(expected)
        require_split(stored, split)
        seen.rows += _members_of(reader, stored)
        leaves.append(stored.leaf)
        expected += 1
        if len(leaves) == STRIDE or (anchor is not None and expected == anchor.size):
            frontier, nodes = extend(frontier, leaves)
            leaves.clear()
            yield from _of_nodes(log, nodes)
            if anchor is not None and expected == anchor.size:
                yield from anchor_problems(frontier, anchor)
    if expected < size:
        yield f"position {expected} is missing"
        return
    frontier, nodes = extend(frontier, leaves)
    yield from _of_nodes(log, nodes)
    yield from _of_head(start, frontier, max(seen.adoptions, default=-1))
    yield from _of_interned(log)
    # guard: the end compared with the anchor
    if anchor is not None and anchor.size > expected:
        yield f"the log ends at size {expected}, before the anchor at size {anchor.size}"
    if anchor is not None and anchor.size == 0:
        yield from anchor_problems(EMPTY, anchor)


def _events(log: Log, size: int, progress: Progress = silent) -> Iterator[Stored]:
    """The first events of the log, in pages: each is one statement, and what it reads stays."""
    first = 0
    while first < size and (rows := log.page_rows(first, min(first + PAGE, size) - 1)):
        yield from map(log.stored, rows)
        progress(len(rows))
        first = rows[-1][0] + 1


def require_split(stored: Stored, split: set[int]) -> None:
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


def _rows_of(reader: Reader, size: int) -> int:
    """How many rows of the index the first events have."""
    return sum(_members_of(reader, stored) for stored in _events(reader.log, size))


def _of_nodes(log: Log, nodes: list[tuple[int, bytes]]) -> Iterator[str]:
    for number, node in nodes:
        row = log.store.one("SELECT hash FROM nodes WHERE number = ?", (number,))
        # guard: nodes compared
        if row != (node,):
            yield f"node {number} of the tree is not what its leaves give"


def anchor_problems(frontier: Frontier, anchor: Anchor) -> Iterator[str]:
    """What is wrong with an anchor, next to the tree at its size."""
    # guard: the anchor compared
    if frontier.root().hex() != anchor.root:
        yield (
            f"size {anchor.size}: the root is not that of the anchor;"
            " the log was rewritten, or the anchor is of another ledger"
        )


def _of_head(start: _Start, frontier: Frontier, adoption: int) -> Iterator[str]:
    # guard: the head compared
    if start.kept != (0, frontier.size, frontier.to_bytes(), adoption):
        yield _HEAD_DIFFERS
    whole = frontier.size // STRIDE
    if start.heads != (1,) or start.nodes != (whole, whole):
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


def _of_live(reader: Reader, size: int, seen: _Seen) -> Iterator[str]:
    """What is wrong with definitions, index and states that are live.

    Where others take their place meanwhile, what was found of them says nothing: these are read instead.
    """
    store = reader.log.store

    def found() -> list[str]:
        problems = _until_error(store, _of_states(reader, size, seen))
        return list(islice(problems, MOST_PROBLEMS))

    for _ in range(_ATTEMPTS):
        # guard: states that were replaced say nothing
        with suppress(_Switched):
            yield from found()
            return
    # It happens again and again: these are read as of one time.
    with store.read():
        last = found()
    yield from last


def _of_states(before: Reader, size: int, seen: _Seen) -> Iterator[str]:
    log, store = before.log, before.log.store
    with store.read():
        live = _live(store)
        definitions = generations.read_by(log, live, before.definitions)
        marks = list(_until_error(store, _of_marks(log, live, definitions, seen)))
    yield from marks
    reader, wanted = before, seen.rows
    if definitions is not before.definitions or live.index_name != before.index.name:
        limits = before.facts.patterns.limits
        reader = Reader.of(log, live.index_of(store), definitions, limits)
        wanted = _rows_of(reader, size)

    def still() -> None:
        there = generations.live(store)
        if there is None or (there.number, there.version) != (live.number, live.version):
            raise _Switched

    # Whatever size is marked, every state is compared.
    whole = live._replace(size=LARGEST)
    yield from _until_error(store, _of_index(reader, whole, size, wanted, still))


def _of_marks(log: Log, live: Generation, definitions: Definitions, seen: _Seen) -> Iterator[str]:
    """What the live states are marked as, next to what was adopted; of one time."""
    generations.ledger_id(log)
    for position in seen.adoptions:
        generations.adopted(log.at(position))
    head = log.head()
    adopted = generations.adopted(log.at(head.adoption))
    if adopted.hash != definitions.hash:
        yield "the ledger reads by other definitions than were adopted last; run replay"
    if (
        live.version != generations.version_of(adopted)
        or live.vocabularies != generations.vocabularies_of(adopted)
        or live.adoption != head.adoption
    ):
        yield "the states are marked as made by other definitions; run replay"
    if live.size != head.size:
        yield f"the states are at size {live.size}, the log at {head.size}; run replay"


def _of_index(
    reader: Reader,
    generation: Generation,
    size: int,
    wanted: int | None,
    still: Callable[[], None],
) -> Iterator[str]:
    """Read each row of the index again, and fold each stream, next to the row of its state.

    ``wanted`` is how many rows the first ``size`` events must have in the index, where that is known.
    ``still`` raises where the generation is not what it was: each page is read after it has not.
    """
    index, store = reader.index, reader.log.store
    with store.read():
        still()
        newest = index.newest()
        found = list(_of_ends(index, generation.table))
    yield from found
    checker, after = _Checker(reader, size), NOWHERE_ID
    yield from _of_nowhere(checker, still)
    while after < newest:
        with store.read():
            still()
            page = _Page.of(index, generation.table, after, newest, size)
        yield from _of_page(checker, generation, page)
        after = page.until
    yield from _of_count(checker, wanted)
    yield from _of_tallies(checker, generation, still)
    yield from _of_search(index.store, generation, still)


def _of_count(checker: _Checker, wanted: int | None) -> Iterator[str]:
    """Every row is of an event, every stream has rows, and the index has as many as the log gives."""
    count, leading = checker.rows, checker.leading
    # guard: rows of the index counted
    if wanted is not None and {count, leading} != {wanted}:
        yield (
            f"the index has {count} rows, {leading} of them with an event, but the events of the"
            f" log give {wanted}; run replay --index"
        )
    if count != leading:
        yield "the index has rows of events that the log doesn't have; run replay --index"
    if checker.empty:
        yield "the index has streams without events; run replay --index"


def _of_ends(index: Index, table: str) -> Iterator[str]:
    """Stream 0 is nowhere, and no row stands before it or behind the last."""
    name, newest = index.name, index.newest()
    first = f"SELECT space, chart, key FROM {name}_streams WHERE id = {NOWHERE_ID}"
    if index.store.one(first) != ("", "", ""):
        yield "stream 0 of the index is not that of the events that belong to none; run replay"
    for table_, column in ((f"{name}_streams", "id"), (name, "stream")):
        if index.store.one(f"SELECT 1 FROM {table_} WHERE {column} < {NOWHERE_ID} LIMIT 1"):
            yield "the index has streams that were never numbered; run replay --index"
    behind = f"SELECT stream FROM {name} WHERE stream > ? LIMIT 1"
    if (row := index.store.one(behind, (newest,))) is not None:
        yield f"stream {row[0]} is missing; run replay --index"
    beside = f"SELECT stream FROM {table} WHERE stream <= {NOWHERE_ID} OR stream > ? LIMIT 1"
    if (row := index.store.one(beside, (newest,))) is not None:
        yield f"stream {row[0]}: a row without events; run replay"


class _Page(NamedTuple):
    """What stands of some streams up to ``until`` at one time: names, rows of the index, states.

    ``counts`` are those of ``Index.count``.
    """

    until: int
    named: dict[int, Stream]
    streams: list[StreamRows]
    kept: dict[int, Row]
    counts: tuple[int, int]

    @classmethod
    def of(cls, index: Index, table: str, after: int, newest: int, size: int) -> _Page:
        """The streams after ``after``, but of more rows than a page has, fewer."""
        until = min(index.next(after, PAGE), newest)
        streams, left = [], PAGE
        for stream in index.streams(after, until):
            streams.append(stream)
            left -= len(stream[2])
            if left <= 0:
                until = stream[0]
                break
        named, counts = index.named(after, until), index.count(after, until, size)
        kept = {row[0]: row for row in generations.kept_rows(index.store, table, after, until)}
        return cls(until, named, streams, kept, counts)


def _of_page(checker: _Checker, generation: Generation, page: _Page) -> Iterator[str]:
    made = generation.cursor if generation.stage in (INDEXING, FOLDING) else LARGEST
    checker.count(page.counts)
    checker.empty |= len(page.streams) < len(page.named)
    for number, _, rows in page.streams:
        if number not in page.named:
            raise IntegrityError(f"stream {number} is missing; run replay --index")
        stream, found = page.named[number], page.kept.pop(number, None)
        yield from checker.problems(stream, rows)
        if number <= made and all(row[3] < generation.size for row in rows):
            yield from _of_state(checker.reader, number, stream, rows, found)
    for number in page.kept:
        yield f"stream {number}: a row without events; run replay"


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


def _of_tallies(
    checker: _Checker, generation: Generation, still: Callable[[], None]
) -> Iterator[str]:
    """What is not counted as index and states have it; all of it is of one time."""
    reader, counted = checker.reader, checker.counted
    log, store = reader.log, reader.log.store
    with store.scratch("counted") as copy:
        with store.read():
            still()
            size = min(generations.size_of(store, generation), log.size())
            generations.copy_counted(store, generation, copy)
            kept = counted.of_others(generation.tallies_of(store).rows())
            live = generations.live(store)
        counted.add(generations.deliveries_counted(store, copy))
    # What came since the index was read, as the index has it by now.
    for first in range(checker.size, size, PAGE):
        with store.read():
            said = reader.facts.unplaced(log.rows(first, min(first + PAGE, size)))
        tallied = Tallied()
        for one in said:
            tallied.event(*one[7])
        counted.add(tallied.taken())
    if (verification := log.verification(0, size)) is not None:
        tallied = Tallied()
        tallied.verified(verification)
        counted.add(tallied.taken())
    # One that is being built takes the events from the live one at last.
    waits = live and live.indexed == generation.indexed and live.number != generation.number
    # guard: tallies compared
    for what in counted.differing(kept):
        if what != EVENTS:
            yield f"the tallies of {what} differ from the states; run replay"
        elif not waits:
            yield f"the tallies of {what} differ from the index; run replay --index"


def _of_search(store: Store, generation: Generation, still: Callable[[], None]) -> Iterator[str]:
    """Which deliveries are not found by what their rows have; all of it is of one time."""
    with (
        store.scratch("found") as rows,
        store.scratch("entries") as kept,
        store.scratch("wanted") as wanted,
    ):
        with store.read():
            still()
            generations.copy_found(store, generation, rows, kept)
        with store.read():
            store.execute(f"CREATE TABLE {wanted} (entry BLOB)")
            found = store.stream(f"SELECT * FROM {rows}")
            while page := list(islice(found, PAGE)):
                entries = [(entry,) for row in page for entry in entries_kept(row) or ()]
                store.executemany(f"INSERT INTO {wanted} VALUES (?)", entries)
        # guard: what deliveries are found by compared
        differing = " UNION ALL ".join(
            f"SELECT * FROM (SELECT entry FROM {one} EXCEPT SELECT entry FROM {other}) apart"
            for one, other in ((wanted, kept), (kept, wanted))
        )
        begin = STREAM + 1
        streams = f"SELECT DISTINCT substr(entry, {begin}) FROM ({differing}) apart"
        for (stream,) in store.stream(streams):
            # A malformed or truncated entry names no stream: 0 stands for it.
            number = int.from_bytes(stream if isinstance(stream, bytes) else b"")
            yield f"stream {number}: the search differs from the state; run replay"


def _of_nowhere(checker: _Checker, still: Callable[[], None]) -> Iterator[str]:
    """The rows of events that belong to no stream."""
    index, last = checker.reader.index, None
    with index.store.read():
        still()
        nowhere = index.stream_of(NOWHERE_ID)
        checker.count(index.count(NOWHERE_ID - 1, NOWHERE_ID, checker.size))
    while True:
        with index.store.read():
            still()
            rows = index.rows_after(last, NOWHERE_ID, PAGE)
        if not rows:
            return
        yield from checker.problems(nowhere, rows)
        last = rows[-1]


class _Checker:
    """Reads rows of the index again from the log, and counts them.

    ``rows`` are those of the first ``size`` events, ``leading`` those that lead to one; ``empty`` says
    that a stream has none.
    """

    def __init__(self, reader: Reader, size: int) -> None:
        self.reader = reader
        self.size = size
        self.rows = self.leading = 0
        self.empty = False
        self._sights: dict[tuple[int, int], int] = {}
        # The members of a bundle are read together.
        self._read = lru_cache(16)(self._read_again)
        self._tallied = Tallied()
        self._counted = Digest()

    @property
    def counted(self) -> Digest:
        """The tallies of the events whose rows were read, of the first ``size`` of the log."""
        self._counted.add(self._tallied.taken())
        return self._counted

    def count(self, counts: tuple[int, int]) -> None:
        """Add what ``Index.count`` says of a page."""
        self.rows += counts[0]
        self.leading += counts[1]

    def problems(self, stream: Stream, rows: list[EventRow]) -> Iterator[str]:
        require_rows(rows)
        for row in rows:
            reading = self._reading_of(row, stream)
            # guard: the index compared
            if reading is None:
                yield _index_differs(row)
                continue
            if row[3] < self.size:
                self._tallied.event(row[5], self.reader.facts.source(row), reading)
        if len(self._tallied) > MOST_TALLIED:
            self._counted.add(self._tallied.taken())

    def _reading_of(self, row: EventRow, stream: Stream) -> str | None:
        """The reading of an event; ``None`` where a row is not what the member of its event says.

        The body is read by the readers of record, or by the layout of its kind.
        """
        reader = self.reader
        template, envelope, texts = row[6], row[7], row[8]
        if template is not None and envelope is not None and texts is not None and row[4] == 0:
            family = reader.facts.family(template, envelope)
            kind = (template, envelope)
            seen = self._sights[kind] = self._sights.get(kind, 0) + 1
            if family is not None and seen > _PLAIN_SIGHTS:
                values = texts_at(row[3], texts)
                where, reading = reader.facts.patterns.place(family.layout.postback(values))
                there, occurred_at, identity, findings = where
                findings |= of_times(occurred_at, row[5])
                # The texts of the log give the rest, so that the index must not.
                wanted = (there, occurred_at, identity, findings, None)
                alike = wanted == (stream, row[1], row[2], row[9], row[10])
                return reading.kind if alike else None
        statements = self._read(row[3])
        if not 0 <= row[4] < len(statements):
            raise IntegrityError(_index_differs(row))
        statement = statements[row[4]]
        return statement.kind if _is_of(reader, row, stream, statement) else None

    def _read_again(self, position: int) -> list[Statement]:
        stored = self.reader.log.at(position)
        return self.reader.facts.patterns.read_plainly(stored.body, stored.envelope)
