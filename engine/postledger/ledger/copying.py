"""Copying: the log of a ledger to another place, event by event, so that its anchors hold there too.

Events go with their salts, which nothing else hands out. Index and states are made there by a replay.
A copy that was interrupted goes on, and one that was whole gets what came since.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import attrs

from postledger.address import Address, Location
from postledger.errors import IntegrityError, LedgerError
from postledger.export.files import is_database
from postledger.ledger.connections import Connections, make_tables
from postledger.log import schema
from postledger.log.event import Entry, Envelope, Stored
from postledger.log.log import Head, Log, require_whole
from postledger.log.source import Source
from postledger.model import Anchor
from postledger.progress import Progress
from postledger.store.opening import open_store, translated
from postledger.store.store import Store
from postledger.templates import Template, written
from postledger.wire import Limits

_PAGE = 2_000
"""How many events one write transaction takes."""


@attrs.frozen
class Copied:
    """What a copy did: it has ``anchor``, as the source had, and ``added`` events came to it.

    >>> copied = ledger.copy("copied.db")
    >>> copied.added == copied.anchor.size == ledger.head().size
    True
    """

    anchor: Anchor
    added: int


@attrs.frozen
class OwnLog:
    """The log of a ledger, to be copied: each page is read in a transaction of its own."""

    connections: Connections

    @property
    def name(self) -> str:
        """Where the ledger is."""
        return str(self.connections.path)

    def head(self) -> Anchor:
        """How far it has come."""
        with self.connections.read_log() as own:
            frontier = own.log.head().frontier
        return Anchor(frontier.size, frontier.root().hex())

    def root(self, size: int) -> bytes:
        """The root over its first ``size`` events."""
        with self.connections.read_log() as own:
            return own.log.root(size)

    def page(self, first: int, until: int) -> list[Stored]:
        """The events from ``first`` up to ``until``, but of larger bodies fewer."""
        with self.connections.read_log() as own:
            page = own.log.page(first, until)
        until = page[-1].position + 1 if page else first + 1
        require_whole([stored.position for stored in page], first, until)
        return page

    def template(self, number: int) -> tuple[Template, bytes]:
        """A template by its number, and what it is known by without fixed words."""
        with self.connections.read_log() as own:
            return own.log.interned.template(number), own.log.interned.skeleton(number)

    def envelope(self, number: int) -> Envelope:
        """An envelope by its number."""
        with self.connections.read_log() as own:
            return own.log.interned.envelope(number)


@attrs.frozen
class How:
    """How a copy is opened: within which limits, and how many seconds it waits for a lock."""

    limits: Limits
    timeout: float


def copy(source: Source, target: Location, how: How, progress: Progress) -> Copied:
    """Copy a log as it is now; see ``Ledger.copy``."""
    if isinstance(target, Address):
        return _copied(source, target, how, progress)
    with _renamed(target) as partial:
        return _copied(source, partial, how, progress)


@contextmanager
def _renamed(target: Path) -> Iterator[Path]:
    """Where a new file is made, which takes its name once it is whole; one that is there is itself."""
    partial = target.with_name(f"{target.name}-copy")
    if target.exists():
        if partial.exists() and partial.samefile(target):
            # What was killed between both: SQLite must not find a file by two names.
            partial.unlink()
        yield target
        return
    if is_database(target):
        raise LedgerError(f"{target}: SQLite keeps this file next to a ledger; name another file")
    yield partial
    if partial.with_name(f"{partial.name}-wal").exists():
        raise LedgerError(f"{partial}: another process has it open; close it, and copy again")
    try:
        # Unlike a rename this takes the place of nothing that came meanwhile.
        os.link(partial, target)
    except FileExistsError:
        raise LedgerError(f"{target}: it was made meanwhile; the copy is {partial}") from None
    except OSError:
        # A file system without such links.
        partial.replace(target)
    partial.unlink(missing_ok=True)
    partial.with_name(f"{partial.name}-turn").unlink(missing_ok=True)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    # Not every system opens folders.
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _copied(source: Source, target: Location, how: How, progress: Progress) -> Copied:
    head = source.head()
    with (
        translated(target),
        closing(open_store(target, make_tables, timeout=how.timeout)) as store,
    ):
        schema.require_guards(store)
        added = _copy_events(source, head, store, progress)
    made = Connections(
        target,
        None,
        limits=how.limits,
        timeout=how.timeout,
        readonly=False,
        guarded=True,
        # What is there of states is of no use before all events are.
        progress=progress,
    )
    try:
        with made.read() as own:
            _require_equal(own.log, head, own.generation.size)
    finally:
        made.close()
    return Copied(head, added)


def _copy_events(source: Source, head: Anchor, store: Store, progress: Progress) -> int:
    """Append what the log at the target lacks, page by page; returns how many events that was."""
    log = Log(store)
    with store.read():
        done = log.head()
    _require_beginning(source, head, done, store.path)
    first, skeletons = done.size, dict[int, bytes]()
    while done.size < head.size:
        page = source.page(done.size, min(done.size + _PAGE, head.size) - 1)
        for number in {one.template_id for one in page} - skeletons.keys() - {None}:
            assert number is not None
            skeletons[number] = source.template(number)[1]
        with store.write():
            if log.head().frontier != done.frontier:
                raise LedgerError(f"{store.path}: others wrote to it meanwhile: it is not a copy")
            done = _append(log, page, done, skeletons.__getitem__)
        progress(len(page))
    return done.size - first


def _require_beginning(source: Source, head: Anchor, there: Head, target: Location) -> None:
    """Raise ``LedgerError`` where a log is not the beginning of the source's."""
    what = f"{target}: not a copy of {source.name}"
    if there.size > head.size:
        raise LedgerError(f"{what}: expected at most its {head.size} events, got {there.size}")
    if source.root(there.size) != there.frontier.root():
        raise LedgerError(f"{what}: its {there.size} events are others; name another target")


def _append(log: Log, page: Sequence[Stored], head: Head, skeleton: Callable[[int], bytes]) -> Head:
    """Append events as they are; the caller holds the write transaction."""
    entries = [_entry(log, stored, skeleton) for stored in page]
    head, rows = log.append(entries, head, b"".join(stored.salt for stored in page))
    for stored, row in zip(page, rows, strict=True):
        # guard: what is copied is what was received
        if row[8] != stored.leaf:
            raise IntegrityError(
                f"position {stored.position}: its leaf is not that of its bytes; run verify on the"
                " source"
            )
    return head


def _entry(log: Log, stored: Stored, skeleton: Callable[[int], bytes]) -> Entry:
    whole = Entry(stored.received_at, stored.envelope, stored.body)
    template, number, texts = stored.template, stored.template_id, stored.texts
    if template is None or number is None or texts is None:
        return whole
    if not log.interned.keep(template, skeleton(number)):
        return whole
    return whole._replace(template=template, texts=written(texts))


def _require_equal(log: Log, head: Anchor, known: int) -> None:
    """Raise ``LedgerError`` unless a log ends as the source's did, and its states know all of it."""
    path = log.store.path
    size = log.size()
    if size != head.size or log.root(size).hex() != head.root:
        raise IntegrityError(f"{path}: it is not what the source was; delete it, and copy again")
    if known != head.size:
        raise LedgerError(f"{path}: the states are behind the log; run replay")
