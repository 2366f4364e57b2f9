"""Writing: a ledger as an archive, file by file; the manifest is written last.

What is whole stands in ``begun.json`` meanwhile, with its hash: a run that was killed goes on there, of
the same events. Only the events are read from the ledger: what they say, and what became of deliveries,
follows from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError, LedgerError
from postledger.lake.changes import Changing
from postledger.lake.files import Files
from postledger.lake.folder import LOCK, PARTIAL, SCRATCH, Folder, arrow, telling
from postledger.lake.folding import Engine, folded, states
from postledger.lake.lake import Lake
from postledger.lake.layout import (
    BEGUN,
    CHANGES,
    DELIVERIES,
    DERIVED,
    ENVELOPES,
    EVENTS,
    FEW,
    GROUP,
    GROUP_BYTES,
    MANIFEST,
    MOST_BUCKETS,
    PER_FILE,
    ROW_BYTES,
    STATEMENTS,
    TEMPLATES,
    File,
    Manifest,
    file_name,
    kind_of,
    manifest_of,
    schema_of,
)
from postledger.lake.rows import raw_of, regrouped, table_of, tables_of
from postledger.lake.statements import (
    Buckets,
    keeping_leaves,
    reading_leaves,
    repartitioned,
    stated,
)
from postledger.log.as_of import Bounds
from postledger.log.event import Stored
from postledger.log.source import Source
from postledger.model import Anchor
from postledger.progress import Progress
from postledger.projections.reader import Folding
from postledger.wire import Limits

_PAGE = 2_000
"""How many events are read at once."""

_LEFT = (LOCK, f"{BEGUN}{PARTIAL}")
"""What a run leaves that was killed before anything was whole."""


@attrs.frozen
class Archiving:
    """What is to be archived: the events of a source up to a size, and how they are read."""

    source: Source
    ledger: bytes
    anchor: Anchor
    definitions: Definitions
    limits: Limits
    rows: int


@attrs.frozen
class Archived:
    """What was archived: the events up to ``anchor``, in ``files`` files, of which ``kept`` were there.

    >>> archived = ledger.archive("made")
    >>> archived.anchor == ledger.head(), archived.files, archived.kept
    (True, 6, 0)
    """

    anchor: Anchor
    files: int
    kept: int


def write(work: Archiving, folder: Folder, progress: Progress) -> Archived:
    """Write an archive, or the rest of one; raises ``LedgerError`` where something else is there."""
    with telling(folder.name, "written"), _alone(folder):
        manifest = _begin(work, folder)
        # Where nothing derived is left to write, no scratch is made in its place.
        folder.drop(SCRATCH)
        writer = _Writer(folder, manifest)
        _write_events(work, writer, progress)
        _write_interned(work, writer)
        _write_derived(work, writer, progress)
        folder.write(MANIFEST, writer.manifest.to_json())
        folder.drop(BEGUN)
    files = writer.manifest.files
    kept = sum(files.get(name) == file for name, file in manifest.files.items())
    return Archived(manifest.anchor, len(files), kept)


@contextmanager
def _alone(folder: Folder) -> Iterator[None]:
    """Keep other runs out, of a folder where something may be written."""
    if folder.has(MANIFEST):
        raise LedgerError(f"{folder.name}: an archive is there already; name another folder")
    if not folder.has(BEGUN):
        folder.require_free(*_LEFT)
    with folder.alone():
        yield


def _begin(work: Archiving, folder: Folder) -> Manifest:
    """The manifest to begin with: that of a run that was killed, as far as its files are whole."""
    if (begun := _begun(work, folder)) is not None:
        return begun
    if folder.has(BEGUN):
        folder.drop(EVENTS, *DERIVED, TEMPLATES, ENVELOPES)
    else:
        folder.require_free(*_LEFT)
    begun = _manifest(work, work.anchor)
    folder.write(BEGUN, begun.to_json())
    return begun


def _manifest(work: Archiving, anchor: Anchor) -> Manifest:
    # The buckets are settled when it is known what the events say.
    return Manifest(work.ledger.hex(), anchor, work.definitions, work.limits, 0, {})


def _begun(work: Archiving, folder: Folder) -> Manifest | None:
    """The manifest of a run of the same ledger that was killed, with the files that are whole."""
    if not folder.has(BEGUN):
        return None
    try:
        begun = manifest_of(folder, BEGUN)
    except LedgerError:
        return None
    # guard: what a run of another ledger began is left alone
    if begun.ledger != work.ledger.hex():
        raise LedgerError(
            f"{folder.name}: an archive of another ledger was begun there; name another folder"
        )
    size = begun.anchor.size
    if size > work.anchor.size or work.source.root(size).hex() != begun.anchor.root:
        return None
    if attrs.evolve(begun, buckets=0, files={}) != _manifest(work, begun.anchor):
        return None
    whole = {
        name: file
        for name, file in begun.files.items()
        if folder.has(name) and folder.digest_of(name) == file.sha256
    }
    return attrs.evolve(begun, files=whole)


class _Writer:
    """Writes the files of an archive that it lacks, and notes each."""

    def __init__(self, folder: Folder, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    def lacks(self, name: str) -> bool:
        """Whether a file is to be written."""
        return name not in self.manifest.files

    def write(self, name: str, tables: Iterable[Any]) -> None:
        """Write a file of tables, each a row group."""
        found = write_tables(self.folder, name, kind_of(name), tables)
        self.manifest = attrs.evolve(self.manifest, files={**self.manifest.files, name: found})
        self.folder.write(BEGUN, self.manifest.to_json())

    def settle(self, buckets: int) -> None:
        """Have so many buckets: what there is by another number is removed."""
        if buckets != self.manifest.buckets:
            self.folder.drop(*DERIVED)
            known = self.manifest.files.items()
            files = {name: file for name, file in known if kind_of(name) not in DERIVED}
            self.manifest = attrs.evolve(self.manifest, buckets=buckets, files=files)

    @property
    def files(self) -> Files:
        """What is there already, to read."""
        return Files(self.folder, self.manifest)


def write_tables(folder: Folder, name: str, kind: str, tables: Iterable[Any]) -> File:
    """Write a file of tables, each a row group."""
    count, schema = 0, schema_of(kind)
    # To read a list of texts takes three times as long where a dictionary was tried first.
    few = [one for one in FEW if one in schema.names]
    how = {"compression": "zstd", "use_dictionary": few}
    with folder.written(name) as file:
        with arrow("parquet").ParquetWriter(file, schema, **how) as writer:
            for table in tables:
                writer.write_table(table)
                count += table.num_rows
        return File(count, file.size, file.digest)


def _write_events(work: Archiving, writer: _Writer, progress: Progress) -> None:
    size = writer.manifest.anchor.size
    for number, first in enumerate(range(0, size, PER_FILE)):
        until = min(first + PER_FILE, size)
        if writer.lacks(name := file_name(EVENTS, number)):
            writer.write(name, _event_tables(work.source, first, until, progress))
        else:
            progress(until - first)


def _event_tables(source: Source, first: int, until: int, progress: Progress) -> Iterator[Any]:
    """The events from ``first`` up to, and without, ``until``, in tables of bounded size."""
    waiting: list[Stored] = []
    held = 0
    while first < until:
        page = source.page(first, min(first + _PAGE, until) - 1)
        for stored in page:
            # guard: what is archived is what was received
            if stored.computed_leaf() != stored.leaf:
                raise IntegrityError(
                    f"position {stored.position}: its leaf is not that of its bytes; run verify on"
                    " the ledger"
                )
            waiting.append(stored)
            held += len(stored.body)
            if len(waiting) == GROUP or held >= GROUP_BYTES:
                yield table_of(EVENTS, list(map(raw_of, waiting)))
                waiting, held = [], 0
        first = page[-1].position + 1
        progress(len(page))
    if waiting:
        yield table_of(EVENTS, list(map(raw_of, waiting)))


def _write_interned(work: Archiving, writer: _Writer) -> None:
    """Write the templates and envelopes that the events name."""
    if not writer.lacks(TEMPLATES) and not writer.lacks(ENVELOPES):
        return
    templates, envelopes = set[int](), set[int]()
    for name in writer.manifest.names(EVENTS):
        for table in writer.files.groups(name, ["template", "envelope"]):
            templates |= set(table.column("template").unique().to_pylist())
            envelopes |= set(table.column("envelope").unique().to_pylist())
    known = ((n, *work.source.template(n)) for n in sorted(templates - {None}))
    writer.write(
        TEMPLATES,
        tables_of(TEMPLATES, ((n, one.digest, skeleton, one.pieces) for n, one, skeleton in known)),
    )
    rows = (
        (number, *attrs.astuple(work.source.envelope(number)))
        for number in sorted(envelopes - {None})
    )
    writer.write(ENVELOPES, tables_of(ENVELOPES, rows))


def _write_derived(work: Archiving, writer: _Writer, progress: Progress) -> None:
    """Write what the events say, what became of deliveries and what changed them, bucket by bucket."""
    size, known = writer.manifest.anchor.size, range(writer.manifest.buckets)
    names = [file_name(kind, number) for kind in DERIVED for number in known]
    if names and not any(map(writer.lacks, names)):
        progress(2 * size)
        return
    files = writer.files
    folding = Folding.by(files, work.definitions, work.limits)
    buckets = min(max(-(-size // work.rows), 1), MOST_BUCKETS)
    with writer.folder.scratch() as scratch:
        leaves = scratch / "leaves"
        rows = stated(folding.facts, keeping_leaves(files.pages(), leaves), progress)
        made = repartitioned(Buckets(scratch, buckets, rows), scratch, work.rows * ROW_BYTES)
        with reading_leaves(leaves) as leaf:
            writer.settle(made.buckets)
            for number in range(made.buckets):
                table = made.table(number)
                _write_bucket(writer, folding, number, table, leaf)
                progress(table.num_rows)


def _write_bucket(
    writer: _Writer, folding: Folding, number: int, table: Any, leaf: Callable[[int], bytes]
) -> None:
    if writer.lacks(name := file_name(STATEMENTS, number)):
        writer.write(name, regrouped([table]))
    if writer.lacks(name := file_name(DELIVERIES, number)):
        writer.write(name, regrouped(states(folding, [table])))
    if writer.lacks(name := file_name(CHANGES, number)):
        ledger = bytes.fromhex(writer.manifest.ledger)
        writer.write(name, Changing(folding, ledger, leaf).changes(table))


def write_states(
    lake: Lake,
    definitions: Definitions,
    bounds: Bounds,
    engine: Engine,
    folder: Folder,
    progress: Progress,
) -> int:
    """Write the deliveries of an archive, folded by some definitions, to a new folder.

    There is a file for each bucket. Returns how many deliveries there are.
    """
    count = 0
    with folder.whole() as made:
        for bucket, tables in enumerate(folded(lake, definitions, bounds, engine, progress)):
            name = f"{bucket:05}.parquet"
            count += write_tables(made, name, DELIVERIES, regrouped(tables)).rows
    return count
