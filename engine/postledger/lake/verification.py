"""Checking: is an archive what the ledger was, and does what is derived follow from its events?

Every file by its hash, every event by its leaf, the tree by the manifest and an anchor; then the events
are read again, and every state folded again without plans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from postledger.errors import LedgerError
from postledger.lake.changes import Changing
from postledger.lake.files import Files
from postledger.lake.folding import event_rows
from postledger.lake.layout import (
    BEGUN,
    CHANGES,
    DELIVERIES,
    DERIVED,
    EVENTS,
    MANIFEST,
    STATEMENTS,
    file_name,
    kind_of,
)
from postledger.lake.rows import regrouped, state_of, streams_of, tables_of
from postledger.lake.statements import Buckets, keeping_leaves, reading_leaves, stated
from postledger.log.event import READ, Kind, Stored
from postledger.log.tree import EMPTY, Frontier, extend
from postledger.model import Anchor, Verification
from postledger.progress import Progress
from postledger.projections import generations
from postledger.projections.reader import Folding
from postledger.state.patterns import Statement
from postledger.verify import MOST_PROBLEMS, anchor_problems, require_split

_PLAIN_SIGHTS = 3
"""So many events of each kind of body are read by the readers of record too."""


def verify(files: Files, anchor: Anchor | None, progress: Progress) -> Verification:
    """Check an archive; what is wrong is listed, the first twenty of it, with its file or position."""
    found = tuple(islice(_problems(files, anchor, progress), MOST_PROBLEMS))
    return Verification(files.size, files.manifest.anchor, found)


def _problems(files: Files, anchor: Anchor | None, progress: Progress) -> Iterator[str]:
    broken = False
    for problem in _of_files(files):
        broken = True
        yield problem
    if broken:
        # Where files are others, what doesn't follow from them would only be noise.
        return
    try:
        for problem in _of_events(files, anchor, progress):
            broken = True
            yield problem
        if not broken:
            yield from _of_derived(files, progress)
    except LedgerError as error:
        yield str(error)


def _of_files(files: Files) -> Iterator[str]:
    """Which files are missing, or not what the manifest says."""
    kinds = {kind_of(name) for name in files.manifest.files}
    buckets = range(files.buckets)
    wanted = {file_name(kind, n) for kind in DERIVED for n in buckets}
    for name in sorted(wanted - files.manifest.files.keys()):
        yield files.says(name, "it is not in the manifest")
    # What a run begins with stays where it is killed in the end, and says what the manifest does.
    known = {
        MANIFEST,
        BEGUN,
        *(n for n in files.manifest.files if kind_of(n) not in DERIVED),
        *wanted,
    }
    # guard: files that an archive doesn't have are named
    for name in sorted({*files.folder.names(), *files.manifest.files} - known):
        yield files.says(name, "not a file of this archive")
    if EVENTS not in kinds:
        yield f"{files.folder.name}: the manifest names no events"
    for name in files.manifest.files:
        try:
            with files.reading(name):
                pass
        except LedgerError as error:
            yield str(error)


def _of_events(files: Files, anchor: Anchor | None, progress: Progress) -> Iterator[str]:
    """What is wrong with events, their tree, an anchor, and the definitions that were adopted last."""
    folding = Folding.by(files, files.definitions, files.limits)
    frontier, split, sights = EMPTY, set[int](), dict[tuple[int, int], int]()
    adopted: Stored | None = None
    size = -1 if anchor is None else anchor.size
    for page in files.pages():
        leaves = []
        for stored in map(files.stored, page):
            # guard: leaves of an archive compared
            if stored.computed_leaf() != stored.leaf:
                yield f"position {stored.position}: the event is not what was received"
                return
            require_split(stored, split)
            if not _reads_alike(folding, stored, sights):
                yield f"position {stored.position}: the quick reading and the plain one differ"
            adopted = stored if stored.kind == Kind.ADOPTION else adopted
            leaves.append(stored.leaf)
        until = size - frontier.size
        if anchor is not None and 0 <= until <= len(leaves):
            yield from anchor_problems(extend(frontier, leaves[:until])[0], anchor)
        frontier, _ = extend(frontier, leaves)
        progress(len(page))
    yield from _of_ends(files, frontier, adopted)
    if size > frontier.size:
        yield f"the archive ends at size {frontier.size}, before the anchor at size {size}"


def _reads_alike(folding: Folding, stored: Stored, sights: dict[tuple[int, int], int]) -> bool:
    """Whether an event says what the readers of record read; of each kind the first alone are read."""
    facts, kind = folding.facts, (stored.template_id or 0, stored.envelope_id or 0)
    seen = sights[kind] = sights.get(kind, 0) + 1
    if seen > _PLAIN_SIGHTS or not all(kind) or stored.kind not in READ:
        return True
    plain = facts.patterns.read_plainly(stored.body, stored.envelope)
    quick = facts.statements_of(stored)
    return list(map(_read, quick)) == list(map(_read, plain))


def _read(one: Statement) -> tuple[Any, ...]:
    return one.stream, one.occurred_at, one.identity, one.findings, one.kind, one.postback


def _of_ends(files: Files, frontier: Frontier, adopted: Stored | None) -> Iterator[str]:
    """What of the manifest does not follow from the events."""
    if frontier.root().hex() != files.manifest.anchor.root:
        yield f"{files.folder.name}: the root is not that of the manifest"
    ledger = generations.ledger_of(files.at(0))
    if ledger.hex() != files.manifest.ledger:
        yield f"{files.folder.name}: the manifest names another ledger than the genesis"
    if adopted is None or generations.adopted(adopted).hash != files.definitions.hash:
        yield f"{files.folder.name}: the definitions are not those that were adopted last"


def _of_derived(files: Files, progress: Progress) -> Iterator[str]:
    """Which files differ from what the events say, and from a fold of that."""
    folding = Folding.by(files, files.definitions, files.limits)
    with TemporaryDirectory(prefix="postledger-") as folder:
        leaves = Path(folder, "leaves")
        rows = stated(folding.facts, keeping_leaves(files.pages(), leaves), progress)
        made = Buckets(Path(folder), files.buckets, rows)
        with reading_leaves(leaves) as leaf:
            for bucket in range(files.buckets):
                table = made.table(bucket)
                yield from _of_bucket(files, folding, bucket, table, leaf)
                progress(table.num_rows)


def _of_bucket(
    files: Files, folding: Folding, bucket: int, table: Any, leaf: Callable[[int], bytes]
) -> Iterator[str]:
    name = file_name(STATEMENTS, bucket)
    # guard: statements of an archive compared
    if not _are_equal(regrouped([table]), files.groups(name)):
        yield files.says(name, "it differs from what the events say")
    name = file_name(DELIVERIES, bucket)
    folded = regrouped(tables_of(DELIVERIES, _states(folding, table)))
    # guard: deliveries of an archive compared
    if not _are_equal(folded, files.groups(name)):
        yield files.says(name, "it differs from the fold")
    name = file_name(CHANGES, bucket)
    changing = Changing(folding, bytes.fromhex(files.manifest.ledger), leaf)
    changed = changing.changes(table, plainly=True)
    # guard: changes of an archive compared
    if not _are_equal(changed, files.groups(name)):
        yield files.says(name, "it differs from a fold up to each event")


def _states(folding: Folding, table: Any) -> Iterator[tuple[Any, ...]]:
    for stream, said in streams_of([table]):
        row = folding.plain_row(0, event_rows(said))
        if row is not None:
            yield state_of(stream, row)


def _are_equal(wanted: Iterator[Any], found: Iterator[Any]) -> bool:
    """Whether tables have the same rows, wherever they are cut."""
    sides = [(table for table in tables if table.num_rows) for tables in (wanted, found)]
    one, other = (next(side, None) for side in sides)
    while one is not None and other is not None:
        count = min(one.num_rows, other.num_rows)
        if not one.slice(0, count).equals(other.slice(0, count)):
            return False
        one, other = (
            table.slice(count) if table.num_rows > count else next(side, None)
            for table, side in zip((one, other), sides, strict=True)
        )
    return one is other
