"""Replay: index and states built again from the log, next to the live ones, and switched in whole.

A chunk is read and worked out before its write transaction, which then takes some milliseconds: others
record in between, and memory stays flat. The generation says how far it has come, so that a replay
that was killed goes on where it was. What was appended meanwhile is taken in at the end, and the last
of it in the transaction that switches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import attrs

from postledger.address import Location
from postledger.definitions.definitions import Definitions
from postledger.errors import LedgerError
from postledger.log.log import Log
from postledger.model import DELIVERY
from postledger.progress import Progress, silent
from postledger.projections import generations
from postledger.projections.generations import BUILT, FOLDING, INDEXING, Generation
from postledger.projections.index import NOWHERE_ID
from postledger.projections.reader import Reader
from postledger.state.patterns import Unplaced
from postledger.state.row import Row, Searched, Tallied
from postledger.store.opening import is_of_medium
from postledger.store.store import Store
from postledger.wire import Limits

CHUNK = 500
"""How many events, or streams, one write transaction takes."""

REST = 100
"""How many events are taken in at once, whose streams are folded while others wait."""


class Disturbed(LedgerError):
    """Another process replays the same ledger, or adopted definitions meanwhile; nothing was changed."""

    def __init__(self, path: Location) -> None:
        super().__init__(
            f"{path}: another process replays the same ledger, or adopted definitions meanwhile;"
            " try again"
        )


@attrs.frozen
class Work:
    """A replay: a log over one connection, the definitions to replay by, and who hears of it."""

    store: Store
    definitions: Definitions
    limits: Limits
    progress: Progress = silent

    def reader(self, generation: Generation) -> Reader:
        """A reader of the generation, which nobody else learns from."""
        index = generation.index_of(self.store)
        return Reader.of(Log(self.store), index, self.definitions, self.limits)


def begin(work: Work, *, index: bool = False) -> tuple[Generation, bool]:
    """The generation to build, and whether somebody else began it: then what is there is to be checked.

    It shares the live index where the vocabularies are the same and no event is missing there, unless
    ``index`` asks for a new one.
    """
    vocabularies = generations.vocabularies_of(work.definitions)
    with work.store.write():
        begun = generations.building(work.store, generations.version_of(work.definitions))
        live = generations.live(work.store)
        size = Log(work.store).size()
        # What says that it has read more than there is says nothing; what has read less lacks rows.
        same = (
            live is not None
            and live.vocabularies == vocabularies
            and live.size == size
            # The events that an older version counted are counted again.
            and generations.counts_alike(live)
        )
        if begun is not None and begun.vocabularies == vocabularies and begun.size <= size:
            own = live is None or begun.indexed != live.indexed
            if own or (same and not index and begun.stage != INDEXING):
                return begun, True
        # A generation that shares the index of one that is gone, or of other readers, is no use.
        generations.discard(work.store)
        shared = live if same and not index else None
        generation = generations.begin(work.store, work.definitions, shared)
    generations.sweep(work.store)
    return generation, False


@contextmanager
def undisturbed(store: Store, generation: Generation) -> Iterator[None]:
    """Raise ``Disturbed`` where another process dropped the generation meanwhile."""
    try:
        yield
    except Disturbed:
        raise
    except Exception as error:
        if not is_of_medium(error) and not generations.is_there(store, generation):
            raise Disturbed(store.path) from error
        raise


def build(work: Work, generation: Generation) -> Generation:
    """Build a generation that was begun, next to the live one.

    Raises ``Disturbed`` where another process takes part, ``IntegrityError`` where an event of the
    log is damaged.
    """
    reader = work.reader(generation)
    while generation.stage == INDEXING:
        generation = _index_chunk(work, reader, generation)
    # Streams that others begin meanwhile have events that are taken in afterwards.
    newest = reader.index.newest()
    while generation.stage == FOLDING:
        generation = _fold_chunk(work, reader, generation, newest)
    while (size := _ready(reader, generation)) - generation.size > REST:
        generation = _catch_up_chunk(work, reader, generation, size)
    return generation


def finish(work: Work, generation: Generation, *, adopt: bool) -> Generation:
    """Take in the rest and make a built generation the live one, in one transaction.

    Where the definitions are others than those in force, the event that adopts them is appended with
    ``adopt``, else ``Disturbed`` is raised. The generation that was live is dropped afterwards.
    """
    reader = work.reader(generation)
    with work.store.write():
        head = reader.log.head()
        if (live := _sharing(reader, generation)) is not None:
            generation = catch_up(reader, generation, live.size)
            generation.tallies_of(work.store).take_events(live.tallies_of(work.store))
        # What the live one has not taken in, this one adds to the index, and counts.
        # guard: a replay takes in the rest before it switches
        generation = catch_up(reader, generation, head.size)
        position = head.adoption
        if (
            position < 0
            or generations.adopted(reader.log.at(position)).hash != work.definitions.hash
        ):
            # guard: only who adopts appends an adoption
            if not adopt:
                raise Disturbed(work.store.path)
            entry = generations.adoption(work.definitions, genesis=head.size == 0)
            position = head.size
            reader.log.append([entry], head)
            generation = _moved(
                work.store, generations.move(work.store, generation, size=head.size + 1)
            )
        generation = generations.switch(work.store, generation, position)
    with work.store.write():
        generations.discard(work.store)
    generations.sweep(work.store)
    return generation


def catch_up(reader: Reader, generation: Generation, until: int) -> Generation:
    """Take the events up to a size into a generation; the caller holds the transaction."""
    while generation.size < until:
        step = min(generation.size + CHUNK, until)
        generation = _take_in(reader, generation, _unplaced(reader, generation.size, step), step)
    return generation


def _index_chunk(work: Work, reader: Reader, generation: Generation) -> Generation:
    """Read the next events into the index; once all but a last chunk are in, the states come next."""
    until = min(generation.size + CHUNK, reader.log.size())
    rows = _unplaced(reader, generation.size, until)
    with work.store.write():
        done = until >= reader.log.size() - CHUNK
        stage = FOLDING if done else INDEXING
        # First, since it fails where another process was here.
        moved = _moved(
            work.store, generations.move(work.store, generation, size=until, stage=stage)
        )
        add(reader, generation, rows, until)
    work.progress(until - generation.size)
    return moved


def _fold_chunk(work: Work, reader: Reader, generation: Generation, newest: int) -> Generation:
    """Fold the next streams, up to ``newest``, and write their rows."""
    until = min(reader.index.next(generation.cursor, CHUNK), newest)
    chunk = list(reader.rows(generation.cursor, until))
    stage = FOLDING if until < newest else BUILT
    with work.store.write():
        # First, since it fails where another process was here: what it counted must not count twice.
        # guard: streams counted once by a replay
        moved = _moved(
            work.store, generations.move(work.store, generation, cursor=until, stage=stage)
        )
        put(work.store, generation, [], [(chart, row) for _, chart, _, row in chunk])
    work.progress(sum(events for _, _, events, _ in chunk))
    return moved


def _sharing(reader: Reader, generation: Generation) -> Generation | None:
    """The live generation, where another shares its index."""
    live = generations.live(reader.log.store)
    if live is None or live.indexed != generation.indexed or live.number == generation.number:
        return None
    return live


def _ready(reader: Reader, generation: Generation) -> int:
    """Up to which size events can be taken in: those that the live one lacks it may take in yet."""
    live = _sharing(reader, generation)
    return reader.log.size() if live is None else live.size


def _catch_up_chunk(work: Work, reader: Reader, generation: Generation, size: int) -> Generation:
    """Take in the next events, which came after those that the generation was built of."""
    until = min(generation.size + REST, size)
    rows = _unplaced(reader, generation.size, until)
    with work.store.write():
        moved = _take_in(reader, generation, rows, until)
    work.progress(until - generation.size)
    return moved


def _take_in(reader: Reader, generation: Generation, new: list[Unplaced], until: int) -> Generation:
    """Put events into the index, unless it has them of another, and fold the streams that they touch.

    The events are either all known to the live generation whose index is shared, or all unknown to it.
    """
    store = reader.log.store
    # First, since it fails where another process was here.
    moved = _moved(store, generations.move(store, generation, size=until))
    live = _sharing(reader, generation)
    # guard: events that a shared index lacks are added
    if live is not None and until <= live.size:
        found = map(reader.index.find, {stream for stream, *_ in new})
        touched = {number for number in found if number is not None}
    else:
        touched = add(reader, generation, new, until)
    rows = reader.index.rows_of_all(sorted(touched - {NOWHERE_ID}))
    charts = {n: reader.index.stream_of(n)[1] for n in rows}
    deliveries = [n for n, chart in charts.items() if chart == DELIVERY]
    before = generations.counted(store, generation.table, deliveries)
    generations.clear(store, generation.table, rows)
    made = [(charts[n], reader.row(n, charts[n], events)) for n, events in rows.items()]
    put(store, generation, before, made)
    return moved


def put(
    store: Store,
    generation: Generation,
    before: Iterable[Row],
    made: Sequence[tuple[str, Row | None]],
) -> None:
    """Write the rows of streams, each with its chart, and count and find deliveries as they are now.

    A stream of which nothing says its state has no row. ``before`` is what those deliveries are
    counted by that there were, and found by.
    """
    generations.put(store, generation.table, [row for _, row in made if row is not None])
    tallied, searched = Tallied(), Searched()
    for counted in before:
        tallied.kept(counted, -1)
        searched.kept(counted)
    for chart, row in made:
        if chart == DELIVERY and row is not None:
            tallied.delivery(row)
            searched.delivery(row)
    generations.tally(store, generation.tallies_name, tallied)
    generations.search(store, generation.search_name, searched)


def add(reader: Reader, generation: Generation, rows: list[Unplaced], until: int) -> set[int]:
    """Add what events up to a size say to the index, and count them; returns the streams they touch."""
    tallied = Tallied()
    if (verification := reader.log.verification(generation.size, until)) is not None:
        tallied.verified(verification)
    for one in rows:
        tallied.event(*one[7])
    generations.tally(reader.log.store, generation.tallies_name, tallied)
    return reader.index.put(rows)


def _unplaced(reader: Reader, first: int, until: int) -> list[Unplaced]:
    """What the events from ``first`` up to, and without, ``until`` say."""
    return reader.facts.unplaced(reader.log.rows(first, until))


def _moved(store: Store, generation: Generation | None) -> Generation:
    if generation is None:
        raise Disturbed(store.path)
    return generation
