"""Folding: the states of all streams of an archive, bucket by bucket, by any definitions.

The fold is that of ``state``. Where the vocabularies are those of the archive, its statements are folded
as they stand; by others the events are read again first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError
from postledger.lake.folder import arrow
from postledger.lake.lake import Lake
from postledger.lake.layout import DELIVERIES, STREAM, Said, schema_of
from postledger.lake.rows import (
    StreamSaid,
    as_statements,
    event_row,
    ordered,
    rows_of,
    state_of,
    streams_of,
    tables_of,
    within,
)
from postledger.lake.statements import Buckets, stated
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.log.event import Stored
from postledger.progress import Progress
from postledger.projections.compare import Difference, difference_of
from postledger.projections.reader import Folding
from postledger.state.patterns import Stream
from postledger.state.row import Row
from postledger.state.streams import EventRow

Tables = Callable[[int], Iterator[Any]]
"""The statements of a bucket, in their order."""

Engine = Literal["plain", "columnar"]
"""What folds: stream after stream, or many streams at once; of both the rows are the same."""

ENGINES: tuple[Engine, ...] = get_args(Engine)


def engine_of(wanted: Engine | None) -> Engine:
    """The engine that was asked for; without a wish the columnar one, where NumPy is installed."""
    if wanted is None:
        return "plain" if find_spec("numpy") is None else "columnar"
    return wanted


@contextmanager
def stating(lake: Lake, folding: Folding, progress: Progress) -> Iterator[Tables]:
    """The statements of each bucket, as the definitions of a folding read them."""
    if lake.is_read_by(folding.definitions):
        yield lake.tables
        return
    with TemporaryDirectory(prefix="postledger-") as folder:
        rows = stated(folding.facts, lake.pages(), progress)
        made = Buckets(Path(folder), lake.buckets, rows)
        yield lambda bucket: iter([made.table(bucket)])


def folded(
    lake: Lake, definitions: Definitions, bounds: Bounds, engine: Engine, progress: Progress
) -> Iterator[Iterator[Any]]:
    """The deliveries of each bucket, in tables: all that have an event within the bounds."""
    folding = Folding.by(lake, definitions, lake.limits)
    with stating(lake, folding, progress) as tables:
        for bucket in range(lake.buckets):
            yield states(folding, counting(tables(bucket), progress), bounds, engine)


def given(lake: Lake, definitions: Definitions, statements: object) -> Iterator[Any]:
    """Tables of statements that another engine has of an archive; raises ``ValueError``."""
    if not lake.is_read_by(definitions):
        raise ValueError(
            "definitions must have the vocabularies that the statements are read by, those of the"
            f" archive, got {definitions.label}"
        )
    return _of_this_archive(lake, ordered(as_statements(statements), "statements: {}".format))


def _of_this_archive(lake: Lake, tables: Iterable[Any]) -> Iterator[Any]:
    """The tables; raises ``IntegrityError`` where the first or last row of one is of no event here."""
    for table in tables:
        for at in {0, table.num_rows - 1}:
            (one,) = map(Said._make, rows_of(table.slice(at, 1)))
            known = lake.at(one.position) if 0 <= one.position < lake.size else None
            # guard: statements of another archive are refused
            if known is None or _numbers_of(known) != (one.received_at, one.template, one.envelope):
                raise IntegrityError(
                    f"statements: position {one.position} is another event in the archive"
                )
        yield table


def _numbers_of(stored: Stored) -> tuple[int, int | None, int | None]:
    return stored.received_at, stored.template_id, stored.envelope_id


def counting(tables: Iterable[Any], progress: Progress) -> Iterator[Any]:
    """The tables; reports the number of rows of each once it has been folded."""
    for table in tables:
        yield table
        progress(table.num_rows)


def states(
    folding: Folding,
    tables: Iterable[Any],
    bounds: Bounds = EVERYTHING,
    engine: Engine | None = None,
) -> Iterator[Any]:
    """Tables of the deliveries that follow from tables of statements, which are in order.

    One table is in memory at a time, next to what a stream has in those before.
    """
    some = (within(table, bounds) for table in tables)
    if engine_of(engine) == "columnar":
        columnar = import_module("postledger.lake.columnar")
        yield from columnar.states(folding, some)
        return
    rows = ((stream, folding.row(0, stream[1], event_rows(s))) for stream, s in streams_of(some))
    yield from tables_of(DELIVERIES, (state_of(stream, row) for stream, row in rows if row))


def event_rows(said: Iterable[Said]) -> list[EventRow]:
    """What the fold reads of a stream."""
    return [event_row(0, one) for one in said]


def differences(
    lake: Lake, definitions: Definitions, engine: Engine | None, progress: Progress
) -> Iterator[Difference]:
    """What would change if the events were read by other definitions."""
    old = Folding.by(lake, lake.definitions, lake.limits)
    new = Folding.by(lake, definitions, lake.limits)
    with stating(lake, new, progress) as tables:
        for bucket in range(lake.buckets):
            before, after = partial(lake.tables, bucket), partial(tables, bucket)
            yield from differing((old, before), (new, after), engine, progress)


Reading = tuple[Folding, Callable[[], Iterable[Any]]]
"""How statements are folded, and these, as often as they are asked for."""


def differing(
    old: Reading, new: Reading, engine: Engine | None, progress: Progress
) -> Iterator[Difference]:
    """Where two readings of the same events differ, and why.

    Both are folded; of the streams that are not the same, each is looked at closely.
    """
    (one, before), (other, after) = old, new
    unlike = _unlike(
        states(one, counting(before(), progress), EVERYTHING, engine),
        states(other, after(), EVERYTHING, engine),
    )
    if not unlike:
        return
    for stream, was, will in _pairs(_only(unlike, before()), _only(unlike, after())):
        rows = _row(one, stream, was), _row(other, stream, will)
        yield difference_of(stream, (one, was, rows[0]), (other, will, rows[1]))


def _unlike(one: Iterable[Any], other: Iterable[Any]) -> set[Stream]:
    """The streams whose deliveries are not the same in both, or are in one alone."""
    pa, pc = arrow(), arrow("compute")
    schema = schema_of(DELIVERIES)
    told = [pa.concat_tables([schema.empty_table(), *tables]) for tables in (one, other)]
    ids = [ids_of(table) for table in told]
    common = [pc.is_in(ids[at], value_set=ids[1 - at]) for at in (0, 1)]
    found = [table.filter(pc.invert(some)) for table, some in zip(told, common, strict=True)]
    # What is in both stands in the same place of both: they are in order.
    was, will = (table.filter(some) for table, some in zip(told, common, strict=True))
    found.append(was.filter(_differ(was, will)))
    return {stream for table in found for stream in rows_of(table.select(STREAM))}


def _differ(one: Any, other: Any) -> Any:
    """Of each row whether it is not the same in both tables."""
    pc = arrow("compute")
    unlike: Any = None
    for name in one.column_names:
        a, b = one[name], other[name]
        if name == "findings":
            a, b = pc.binary_join(a, " "), pc.binary_join(b, " ")
        differ = pc.fill_null(pc.not_equal(a, b), pc.xor(a.is_null(), b.is_null()))
        unlike = differ if unlike is None else pc.or_(unlike, differ)
    return unlike


def ids_of(table: Any) -> Any:
    """Of each row a text that is its stream's, and no other's."""
    pa, pc = arrow(), arrow("compute")
    space, chart, key = (table[name] for name in STREAM)
    length = pc.binary_length(space).cast(pa.string())
    return pc.binary_join_element_wise(length, space, chart, key, " ")


def _only(streams: set[Stream], tables: Iterable[Any]) -> Iterator[StreamSaid]:
    """Some streams alone."""
    pa, pc = arrow(), arrow("compute")
    keys = pa.array({key for _, _, key in streams}, pa.string())
    some = (table.filter(pc.is_in(table["key"], value_set=keys)) for table in tables)
    return (found for found in streams_of(some) if found[0] in streams)


def _pairs(
    old: Iterator[StreamSaid], new: Iterator[StreamSaid]
) -> Iterator[tuple[Stream, list[EventRow], list[EventRow]]]:
    """The streams of both, each once, in their order."""
    one, other = next(old, None), next(new, None)
    while one is not None or other is not None:
        stream = min(found[0] for found in (one, other) if found is not None)
        before, after = [], []
        if one is not None and one[0] == stream:
            before, one = event_rows(one[1]), next(old, None)
        if other is not None and other[0] == stream:
            after, other = event_rows(other[1]), next(new, None)
        yield stream, before, after


def _row(folding: Folding, stream: Stream, events: list[EventRow]) -> Row | None:
    return folding.row(0, stream[1], events) if events else None
