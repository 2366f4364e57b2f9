"""Work: what processes of Spark do with archives; the fold is that of ``folding``.

Each Python worker opens the archive itself, with all checks that a fold in one process makes, and keeps
it open with the plans that it learned. Where the vocabularies are those of one archive, a task is a
bucket: nothing is shuffled. Of several archives, or by other vocabularies, Spark first brings what events
say into the order of the fold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime
from functools import lru_cache, partial
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import attrs

from postledger.arguments import FilePath
from postledger.definitions.definitions import Definitions, from_sources, sources
from postledger.errors import IntegrityError, LedgerError, requires
from postledger.lake.files import Files
from postledger.lake.folder import PARTIAL, Folder, arrow, telling
from postledger.lake.folding import Engine, differing, engine_of, states
from postledger.lake.lake import Lake
from postledger.lake.layout import (
    CHANGES,
    DELIVERIES,
    EVENTS,
    GROUP,
    MANIFEST,
    ORDER,
    PIECE,
    STATEMENTS,
    STREAM,
    file_name,
    kind_of,
    schema_of,
)
from postledger.lake.rows import of_streams, ordered, regrouped, tables_of
from postledger.lake.spark.session import NEEDED, plain_errors
from postledger.lake.statements import stated
from postledger.lake.writing import write_tables
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.progress import silent
from postledger.projections.compare import Difference
from postledger.projections.reader import Folding

try:
    from pyspark import TaskContext
    from pyspark.sql import DataFrame, SparkSession
except ImportError:
    raise requires(*NEEDED) from None

_SHARE = 50_000
"""About so many events a task reads again."""

_DIFFERENCE = ("space", "chart", "key", "before", "after", "why")
_SIDE = "side"


class Opened(Protocol):
    """An ``Archive``, of one folder or several."""

    _lake: Lake


def fold(
    spark: SparkSession,
    archive: Opened | FilePath,
    definitions: Definitions | None = None,
    *,
    as_of: datetime | int | None = None,
    occurred_by: datetime | None = None,
    engine: Engine | None = None,
) -> DataFrame:
    """The state of every stream, as a DataFrame with the columns of the deliveries of an archive.

    ``archive`` is an ``Archive``, of one ledger or several, or where one is: all nodes must reach it
    there. The other arguments are those of ``Archive.fold``. Raises ``IntegrityError`` at once where a
    file is missing or has another size. What workers find, they raise when rows are asked for: Spark's
    error has the line that names the file, and ``plain_errors`` raises that line alone.
    """
    lake = _opened(archive)
    work = _Work.of(lake, definitions, lake.bounds(as_of, occurred_by), engine)
    frame, step = _deliveries(spark, work)
    return frame.mapInArrow(partial(_batches, step, work), _columns(schema_of(DELIVERIES)))


def differences(
    spark: SparkSession,
    archive: Opened | FilePath,
    definitions: Definitions,
    *,
    engine: Engine | None = None,
) -> DataFrame:
    """What would change if it were read by other definitions: ``Archive.differences`` as a DataFrame.

    Its columns are texts: ``space``, ``chart``, ``key``, ``before`` and ``after`` (the delivery as JSON,
    or null) and ``why``. Errors are those of ``fold``.
    """
    lake = _opened(archive)
    work = _Work.of(lake, definitions, EVERYTHING, engine)
    # Said here rather than by a worker.
    lake.require_alike()
    if lake.is_one and work.is_as_stated(lake):
        frame, step = _numbers(spark, lake.buckets), _differences_of_buckets
    else:
        pieces = [*_statements(lake), *(() if work.is_as_stated(lake) else _events(lake))]
        frame, step = _in_order(spark, work, lake, pieces), _differences_of_sorted
    return frame.mapInArrow(partial(_batches, step, work), _columns(_difference_schema()))


def replay(
    spark: SparkSession,
    archive: Opened | FilePath,
    folder: FilePath,
    definitions: Definitions | None = None,
    *,
    as_of: datetime | int | None = None,
    occurred_by: datetime | None = None,
    engine: Engine | None = None,
) -> int:
    """Fold every stream, and write the states to a new folder as Parquet: ``Archive.replay`` by Spark.

    The workers write, so all nodes must reach the folder. Returns how many states there are. Raises what
    ``Archive.replay`` raises, in one line; and ``LedgerError`` where Spark itself fails.
    """
    lake, place = _opened(archive), Folder.of(folder)
    work = _Work.of(lake, definitions, lake.bounds(as_of, occurred_by), engine)
    with _shared(place) as (target, made):
        with plain_errors():
            frame, step = _deliveries(spark, work)
            wrote = partial(_batches, partial(_wrote, step, made), work)
            told = frame.mapInArrow(wrote, "name string, rows bigint").collect()
        _settle(target, made, {name for name, _ in told})
    return sum(rows for _, rows in told)


# --- what workers are sent ---


def _opened(archive: Opened | FilePath) -> Lake:
    given = getattr(archive, "_lake", None)
    return Lake([Files.of(Folder.of(archive))]) if given is None else given  # type: ignore[arg-type]


@attrs.frozen
class _Work:
    """What is to be folded, and by what: small values, of which each worker makes the rest, once."""

    folders: tuple[Folder, ...]
    manifests: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]
    bounds: Bounds
    engine: Engine

    @classmethod
    def of(
        cls,
        lake: Lake,
        definitions: Definitions | None,
        bounds: Bounds,
        engine: Engine | None,
    ) -> _Work:
        """The work on archives, whose files are there; raises ``IntegrityError`` where one is not."""
        if find_spec("pandas") is None:
            raise requires(*NEEDED)
        for one in lake.files:
            for name in one.manifest.files:
                if kind_of(name) not in (DELIVERIES, CHANGES):
                    one.require_size(name)
        folders = tuple(one.folder for one in lake.files)
        wanted = lake.definitions if definitions is None else definitions
        told = tuple(sources(wanted))
        return cls(folders, tuple(map(_hash, folders)), told, bounds, engine_of(engine))

    def lake(self) -> Lake:
        """The archive, or several as one, which this process opened before."""
        return _lake(self.folders, self.manifests)

    def folding(self) -> Folding:
        """The fold by the definitions that are asked for."""
        return _folding(self.folders, self.manifests, self.sources)

    def own(self) -> Folding:
        """The fold by the definitions of the archive."""
        own = tuple(sources(self.lake().definitions))
        return _folding(self.folders, self.manifests, own)

    def is_as_stated(self, lake: Lake) -> bool:
        """Whether the statements of the archive are what the definitions read."""
        return lake.is_read_by(from_sources(self.sources))


def _hash(folder: Folder) -> str:
    return sha256(folder.read(MANIFEST)).hexdigest()


@lru_cache(maxsize=4)
def _lake(folders: tuple[Folder, ...], manifests: tuple[str, ...]) -> Lake:
    files = [Files.of(folder) for folder in folders]
    for folder, expected in zip(folders, manifests, strict=True):
        if _hash(folder) != expected:
            raise LedgerError(f"{folder.name}: {MANIFEST} was changed meanwhile")
    return Lake(files)


@lru_cache(maxsize=4)
def _folding(
    folders: tuple[Folder, ...], manifests: tuple[str, ...], told: tuple[tuple[str, str], ...]
) -> Folding:
    lake = _lake(folders, manifests)
    return Folding.by(lake, from_sources(told), lake.limits)


Step = Callable[[_Work, Iterator[Any]], Iterator[Any]]
"""What a task does: batches of Arrow in, tables out."""


def _batches(step: Step, work: _Work, batches: Iterator[Any]) -> Iterator[Any]:
    for table in step(work, batches):
        yield from table.to_batches(max_chunksize=GROUP)


def _columns(schema: Any) -> str:
    """Spark's words for the columns of a table."""
    types = {
        "string": "string",
        "int64": "bigint",
        "int32": "int",
        "binary": "binary",
        "timestamp[us, tz=UTC]": "timestamp_ltz",
    }
    told = {field.name: types.get(str(field.type), "array<string>") for field in schema}
    return ", ".join(f"{name} {kind}" for name, kind in told.items())


# --- a task for each bucket ---


def _numbers(spark: SparkSession, count: int) -> DataFrame:
    """So many tasks, each with its number."""
    return spark.range(0, count, 1, count)


def _numbers_of(batches: Iterable[Any]) -> Iterator[int]:
    for batch in batches:
        yield from batch.column(0).to_pylist()


def _deliveries(spark: SparkSession, work: _Work) -> tuple[DataFrame, Step]:
    """What a fold takes, and the step that folds it."""
    lake = work.lake()
    if not work.is_as_stated(lake):
        return _in_order(spark, work, lake, _events(lake)), _states_of_sorted
    if lake.is_one:
        return _numbers(spark, lake.buckets), _states_of_buckets
    return _in_order(spark, work, lake, _statements(lake)), _states_of_sorted


def _states_of_buckets(work: _Work, batches: Iterator[Any]) -> Iterator[Any]:
    lake, folding = work.lake(), work.folding()
    for bucket in _numbers_of(batches):
        yield from states(folding, lake.tables(bucket), work.bounds, work.engine)


def _differences_of_buckets(work: _Work, batches: Iterator[Any]) -> Iterator[Any]:
    lake = work.lake()
    for bucket in _numbers_of(batches):
        tables = partial(lake.tables, bucket)
        found = differing((work.own(), tables), (work.folding(), tables), work.engine, silent)
        yield from _told(found)


@contextmanager
def _shared(place: Folder) -> Iterator[tuple[Folder, Folder]]:
    """A folder that all nodes reach, and one in it for the files of this run's tasks meanwhile."""
    partial = f"{PARTIAL}-{token_hex(8)}"
    with place.whole() if place.local is not None else nullcontext(place) as target:
        target.require_free()
        try:
            yield target, attrs.evolve(target, root=f"{target.root}/{partial}")
        finally:
            target.drop(partial)


def _settle(target: Folder, made: Folder, names: set[str]) -> None:
    """Give the files of tasks their names; those of attempts that came to nothing stay where they are.

    Raises ``LedgerError`` where another run writes there too.
    """
    with telling(target.name, "written"):
        target.require_free(made.root.rpartition("/")[2])
        found = made.system.get_file_info(arrow("fs").FileSelector(made.root, allow_not_found=True))
        paths = {info.base_name: info.path for info in found}
        if lost := names - paths.keys():
            raise LedgerError(f"{target.name}: {len(lost)} files of it were removed meanwhile")
        for name in sorted(names):
            made.system.move(paths[name], f"{target.root}/{name.partition('-')[0]}.parquet")


def _wrote(step: Step, made: Folder, work: _Work, batches: Iterator[Any]) -> Iterator[Any]:
    """Write the file of a task under a name of this attempt, which may not be the only one."""
    task = TaskContext.get()
    assert task is not None
    name = f"{task.partitionId():05}-{task.taskAttemptId()}"
    with telling(made.name, "written"):
        rows = write_tables(made, name, DELIVERIES, regrouped(step(work, batches))).rows
    yield arrow().table({"name": [name], "rows": [rows]})


# --- what Spark brings into the order of the fold ---


@attrs.frozen
class _Piece:
    """What a task reads: a bucket of statements, or a part of a file of events to be read again.

    ``which`` is the number of the archive.
    """

    kind: str
    which: int
    number: int
    part: int = 0
    parts: int = 1

    @property
    def side(self) -> int:
        """0 for statements as they stand, 1 for those of events that are read again."""
        return int(self.kind == EVENTS)


def _statements(lake: Lake) -> list[_Piece]:
    return [
        _Piece(STATEMENTS, which, bucket)
        for which, files in enumerate(lake.files)
        for bucket in range(files.buckets)
    ]


def _events(lake: Lake) -> list[_Piece]:
    found = []
    for which, files in enumerate(lake.files):
        rows = [files.manifest.files[name].rows for name in files.manifest.names(EVENTS)]
        if sum(rows) != files.size:
            said = f"expected {files.size} events, got {sum(rows)}"
            raise IntegrityError(f"{files.folder.name}: {said}")
        for number, count in enumerate(rows):
            parts = -(-count // _SHARE)
            found += [_Piece(EVENTS, which, number, part, parts) for part in range(parts)]
    return found


def _in_order(spark: SparkSession, work: _Work, lake: Lake, pieces: Sequence[_Piece]) -> DataFrame:
    """The statements of pieces: each stream in one partition, and each partition in order."""
    columns = import_module("pyspark.sql.functions")
    said = _numbers(spark, len(pieces)).mapInArrow(
        partial(_batches, partial(_said, tuple(pieces)), work), _columns(_sent_schema())
    )
    # Only a number that was asked for stays as it is: no stream is in two partitions.
    order = (columns.col(name).asc_nulls_last() for name in (_SIDE, *ORDER))
    return said.repartition(lake.buckets, *STREAM).sortWithinPartitions(*order)


def _sent_schema() -> Any:
    """The columns of statements on their way: Spark has no binary of a fixed size."""
    pa = arrow()
    schema = schema_of(STATEMENTS)
    at = schema.get_field_index("identity")
    return schema.set(at, pa.field("identity", pa.binary())).append(pa.field(_SIDE, pa.int32()))


def _said(pieces: Sequence[_Piece], work: _Work, batches: Iterator[Any]) -> Iterator[Any]:
    pa = arrow()
    schema = _sent_schema()
    for piece in (pieces[number] for number in _numbers_of(batches)):
        for table in _tables_of(work, piece):
            # What belongs to none would be one large partition.
            some = of_streams(table)
            sides = pa.repeat(pa.scalar(piece.side, pa.int32()), some.num_rows)
            yield some.append_column(_SIDE, sides).cast(schema)


def _tables_of(work: _Work, piece: _Piece) -> Iterator[Any]:
    """The statements of a piece, as a union numbers them."""
    lake = work.lake()
    if piece.kind == EVENTS:
        pages = lake.part(piece.which, file_name(EVENTS, piece.number), piece.part, piece.parts)
        return tables_of(STATEMENTS, stated(work.folding().facts, pages, silent))
    if lake.is_one:
        return lake.tables(piece.number)
    return tables_of(STATEMENTS, lake.statements(piece.which, piece.number))


def _sorted(batches: Iterable[Any]) -> Iterator[Any]:
    """Tables of statements as Spark sorted them, and their sides."""
    schema = schema_of(STATEMENTS)
    for batch in batches:
        table = arrow().Table.from_batches([batch])
        sides = table[_SIDE]
        told = table.select(schema.names).cast(schema)
        for side in sides.unique().to_pylist():
            yield side, told.filter(arrow("compute").equal(sides, side))


def _in_sorted_order(tables: Iterable[Any]) -> Iterator[Any]:
    return regrouped(ordered(tables, "what Spark sorted: {}".format), PIECE)


def _states_of_sorted(work: _Work, batches: Iterator[Any]) -> Iterator[Any]:
    tables = _in_sorted_order(table for _, table in _sorted(batches))
    yield from states(work.folding(), tables, work.bounds, work.engine)


def _differences_of_sorted(work: _Work, batches: Iterator[Any]) -> Iterator[Any]:
    ipc, schema = arrow("ipc"), schema_of(STATEMENTS)
    with TemporaryDirectory(prefix="postledger-") as folder:
        paths = [Path(folder, f"{side}.arrow") for side in (0, 1)]
        with ExitStack() as stack:
            files = [stack.enter_context(ipc.new_stream(str(one), schema)) for one in paths]
            for side, table in _sorted(batches):
                files[side].write_table(table)
        before = after = partial(_kept, paths[0])
        if not work.is_as_stated(work.lake()):
            after = partial(_kept, paths[1])
        yield from _told(
            differing((work.own(), before), (work.folding(), after), work.engine, silent)
        )


def _kept(path: Path) -> Iterator[Any]:
    pa = arrow()
    with pa.memory_map(str(path)) as file:
        tables = (pa.Table.from_batches([one]) for one in pa.ipc.open_stream(file))
        yield from _in_sorted_order(tables)


# --- differences as columns ---


def _difference_schema() -> Any:
    pa = arrow()
    return pa.schema([(name, pa.string()) for name in _DIFFERENCE])


def _told(found: Iterable[Difference]) -> Iterator[Any]:
    rows = [
        {
            **{name: getattr(one, name) for name in (*STREAM, "why")},
            **{
                side: None
                if delivery is None
                else json.dumps(delivery.to_dict(), ensure_ascii=False)
                for side, delivery in (("before", one.before), ("after", one.after))
            },
        }
        for one in found
    ]
    yield arrow().Table.from_pylist(rows, schema=_difference_schema())
