"""Connections: one ledger's file, as the threads of one process use it.

Each thread has a connection of its own, opened at its first use. All of them read by the definitions
in force, which the log says: a process that finds that another has adopted others reads by those from
then on.
"""

from __future__ import annotations

import logging
import os
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import attrs

from postledger.address import Location
from postledger.definitions.definitions import Definitions, adding, apart, builtin
from postledger.errors import DefinitionsDiffer, IntegrityError, LedgerBusy, LedgerError
from postledger.log import schema
from postledger.log.log import Log
from postledger.progress import Progress, silent
from postledger.projections import checkpoints, generations, replay
from postledger.projections.generations import Generation, Lives
from postledger.projections.reader import Reader
from postledger.projections.replay import Disturbed, Work
from postledger.store.backfill import Backfill
from postledger.store.opening import (
    is_of_disk,
    is_of_medium,
    listen,
    open_store,
    require_there,
    translated,
)
from postledger.store.store import STILL_READING, Lost, Opened, Store
from postledger.verify import follows
from postledger.wire import Limits

T = TypeVar("T")

_log = logging.getLogger("postledger")

_BETWEEN = 0.05
"""Seconds after which a ledger is opened again that another process works on."""

MOST_BEHIND = 2_000
"""How many events the index may be behind for whoever records next to take them in."""

DERIVED = {**generations.TABLES, **checkpoints.TABLES}
"""The tables next to the log's that have one name; indexes and states are numbered."""


Acknowledged = tuple[int, bytes]
"""The position and the leaf of an event that is durable."""

NOTHING: Acknowledged = (-1, b"")


@attrs.define
class Own:
    """What one thread works with; ``reader`` and ``generation`` change with the definitions.

    ``epoch`` counts how often the disk had failed when it was opened, ``last`` is the last event that
    it wrote.
    """

    store: Store
    reader: Reader
    generation: Generation
    epoch: int = 0
    last: Acknowledged = NOTHING

    @property
    def log(self) -> Log:
        """The log over this thread's connection."""
        return self.reader.log

    def is_written(self) -> bool:
        """Whether what this thread wrote last is there."""
        position, leaf = self.last
        return position < 0 or Log(self.store).leaf(position) == leaf


class Connections:
    """The connections to one file; see ``Ledger`` for the parameters and the errors.

    ``traceless`` is for a glance: see ``open_store``.
    """

    def __init__(
        self,
        path: Location,
        definitions: Definitions | None,
        *,
        limits: Limits,
        timeout: float,
        readonly: bool,
        guarded: bool,
        traceless: bool = False,
        progress: Progress = silent,
    ) -> None:
        self.path = path
        self._progress = progress
        self.readonly = readonly
        # Of all threads: whoever writes holds the lock.
        self.lives = Lives()
        self.limits = limits
        self.timeout = timeout
        self._guarded = guarded
        self._traceless = traceless
        self._process = os.getpid()
        self._local = threading.local()
        self._opening = threading.Lock()
        self._file: Opened = None
        self._backfill = Backfill(self._opened_store)
        self._opened: list[tuple[threading.Thread, Store]] = []
        self._closed = False
        self._epoch = 0
        self._acknowledged = NOTHING
        self._calls: dict[int, int] = {}
        # Taken as itself: an interruption in the code of a condition would leave it taken.
        self._counting = threading.Lock()
        self._idle = threading.Condition(self._counting)
        try:
            with translated(path):
                self._settle(self._open(), definitions)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Own]:
        """A read transaction: all that is read in it is of one time."""
        with self.call(), translated(self.path), self._reading(self._own()) as own:
            yield own

    @contextmanager
    def pages(self) -> Iterator[Own]:
        """For what is read page by page: no transaction, so that each page has one of its own.

        The reader is by the definitions in force at first.
        """
        with self.call(), translated(self.path):
            with self._reading(self._own()) as own:
                pass
            yield own

    @contextmanager
    def read_log(self) -> Iterator[Own]:
        """A read transaction for the log alone: it takes no definitions."""
        with self.call(), translated(self.path):
            own = self._own()
            with own.store.read():
                yield own

    @contextmanager
    def write(self, patience: float | None = None) -> Iterator[Own]:
        """A write transaction; raises ``LedgerError`` where the ledger is for reading only.

        ``patience`` is how many seconds to wait for the lock, by default the timeout.
        """
        with self.call(), translated(self.path):
            own = self.require_writable()
            try:
                with own.store.write(patience):
                    yield own
            except BaseException as error:
                # What was appended in the transaction was never acknowledged.
                own.last = NOTHING
                # What was interned in the transaction is gone with it.
                # guard: what was interned goes with its transaction
                self._renew(own, own.generation, own.reader.definitions)
                if is_of_disk(error):
                    # guard: nothing is acknowledged on a connection whose disk failed
                    self._epoch += 1
                raise
            if own.last[0] > self._acknowledged[0]:
                self._acknowledged = own.last

    def surely(self, write: Callable[[], T], patience: float | None = None) -> T:
        """Do a write, and do it again where its connection was lost before anything was committed.

        ``patience`` is for how many seconds, by default the timeout.
        """
        end = time.monotonic() + (self.timeout if patience is None else patience)
        told = False
        while True:
            try:
                return write()
            except Lost as error:
                if time.monotonic() > end:
                    raise
                if not told:
                    told = True
                    _log.warning("%s; it is tried again", error)
                time.sleep(_BETWEEN)

    def require_writable(self) -> Own:
        """What this thread writes with; raises ``LedgerError`` where the ledger is for reading only."""
        self._require_not_readonly()
        return self._own()

    def advance(self, own: Own, size: int, count: int) -> Generation | None:
        """Move the live generation past ``count`` events that are appended after ``size``.

        ``None`` where it can't be: events are appended, and index and states stay behind. Where nobody
        else wrote since this thread did, the move itself proves that it is as this thread left it.
        The caller holds the write transaction.
        """
        moved = None
        if own.generation.size == size:
            moved = generations.move(own.store, own.generation, size=size + count)
        if moved is None and self._current(own, size):
            moved = generations.move(own.store, own.generation, size=size + count)
        return moved

    def _current(self, own: Own, size: int) -> bool:
        """Bring a writer to the live generation, and that to the size of the log, if it can be."""
        try:
            self._follow(own)
        except LedgerError as error:
            _log.error("%s: recording without reading: %s", self.path, error)
            return False
        if own.generation.size == size:
            return True
        if size - own.generation.size > MOST_BEHIND:
            _log.error("%s: the states are behind the log; run replay", self.path)
            return False
        try:
            with own.store.savepoint():
                own.generation = replay.catch_up(own.reader, own.generation, size)
        except Exception as error:
            if is_of_medium(error) or not own.store.in_transaction:
                raise
            self.left_behind(own, error)
            return False
        return True

    def left_behind(self, own: Own, error: Exception) -> None:
        """What an error means that index and states could not be brought up to the log for."""
        own.reader.index.forget()
        _log.error("%s: the states are behind the log; run replay: %r", self.path, error)

    def replay(self, adopted: Definitions | None, progress: Progress, *, index: bool) -> None:
        """Build index and states again, by what is adopted or else is in force, and switch to them.

        Others record in between.
        """
        with self.call(), translated(self.path):
            own = self.require_writable()
            definitions = adopted or self.in_force(own.log)
            work = Work(own.store, definitions, self.limits, progress)
            built = self._built(work, index=index)
            with replay.undisturbed(own.store, built):
                generation = replay.finish(work, built, adopt=adopted is not None)
            self._renew(own, generation, definitions)
            self.definitions = definitions
            _log.info("%s: reads by %s", self.path, definitions.label)

    def close(self) -> None:
        """Wait for the calls of other threads to end, then close all connections."""
        me = threading.get_ident()
        with self._idle:
            self._closed = True
            if self.is_of_process:
                # guard: closing waits for calls
                self._idle.wait_for(lambda: not any(n for n in self._calls if n != me))
        if self.is_of_process:
            self._backfill.close()
            for _, store in self._opened:
                store.close()
        self._opened.clear()

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call in flight: closing waits for its end."""
        # Before the lock: in a forked child another thread may hold it for ever.
        self.require_process()
        me = threading.get_ident()
        with self._counting:
            # What a call in flight does is part of it.
            if self._closed and me not in self._calls:
                raise LedgerError(f"{self.path}: the ledger is closed")
            self._calls[me] = self._calls.get(me, 0) + 1
        try:
            yield
        finally:
            with self._counting:
                self._calls[me] -= 1
                if not self._calls[me]:
                    del self._calls[me]
                    self._idle.notify_all()

    def _own(self) -> Own:
        """The connection of this thread, opened at its first use."""
        self.require_process()
        own: Own | None = getattr(self._local, "own", None)
        if own is None or (own.epoch != self._epoch and not own.store.in_transaction):
            return self._opened_by_thread(own)
        return own

    def _opened_by_thread(self, before: Own | None) -> Own:
        """The file opened for this thread: since the disk failed what was acknowledged must be there."""
        epoch, (position, leaf) = self._epoch, self._acknowledged
        store = self._open()
        try:
            # guard: what was acknowledged is there after the disk failed
            if epoch and position >= 0 and Log(store).leaf(position) != leaf:
                raise IntegrityError(
                    f"{self.path}: the disk failed, and position {position} is not what was"
                    " acknowledged before; close the ledger and run verify"
                )
            own = self._first(store)
        except BaseException:
            self._discard(store)
            raise
        if before is not None:
            self._discard(before.store)
        own.epoch = epoch
        return own

    def _discard(self, store: Store) -> None:
        """Close a store that its thread works with no more."""
        store.close()
        with self._opening:
            # guard: what a failing disk left is closed and forgotten
            self._opened = [one for one in self._opened if one[1] is not store]

    def listen(self, ring: Callable[[], object]) -> Any:
        """Call ``ring`` after each write by another process, where a server tells; see ``opening``."""
        return listen(self.path, self._file, ring) if self.is_of_process else None

    def require_there(self) -> None:
        """Raise ``LedgerError`` where the file is not the one that was opened: it can still be read."""
        require_there(self.path, self._file)

    def require_free(self) -> None:
        """Raise ``LedgerError`` where this thread can't write: in a fork, or while it still reads."""
        # Before any lock: in a forked child another thread may hold it for ever.
        self._require_not_readonly()
        own: Own | None = getattr(self._local, "own", None)
        if own is not None and own.store.in_transaction:
            raise LedgerError(f"{self.path}: {STILL_READING}")

    def _require_not_readonly(self) -> None:
        self.require_process()
        if self.readonly:
            raise LedgerError(f"{self.path}: opened for reading only")

    @property
    def is_of_process(self) -> bool:
        """Whether they were opened in this process, and not before a fork."""
        return os.getpid() == self._process

    def require_process(self) -> None:
        """Raise ``LedgerError`` in a forked child."""
        # guard: refused in a forked child
        if not self.is_of_process:
            # A connection that two processes share would damage the file.
            raise LedgerError(f"{self.path}: opened before a fork; open it again in each process")

    @contextmanager
    def _reading(self, own: Own) -> Iterator[Own]:
        """A read transaction over the live generation, whose tables stay until its end."""
        end = time.monotonic() + self.timeout
        while True:
            with own.store.read():
                self._follow(own)
                if own.store.hold(own.generation.tables()):
                    yield own
                    return
            # Another process replayed, and dropped them, just as this looked.
            if time.monotonic() > end:
                raise LedgerBusy(
                    f"{self.path}: another process keeps replaying it; try again later"
                )

    def _follow(self, own: Own) -> None:
        """Read by the live generation: another thread or process may have adopted definitions."""
        generation = generations.live(own.store)
        if generation is None:
            raise IntegrityError(f"{self.path}: there are no live states; run replay")
        if generation.number != own.generation.number:
            definitions = generations.read_by(own.log, generation, self.definitions)
            self._renew(own, generation, definitions)
            self.definitions = definitions
        own.generation = generation

    def _first(self, store: Store) -> Own:
        # Appending requires neither; a reader reports that the generation is missing or another.
        generation, definitions = generations.NONE, self.definitions
        with store.read(), suppress(LedgerError):
            live = generations.live(store)
            if live is not None:
                definitions = generations.read_by(Log(store), live, definitions)
                generation = live
        return self._made(store, generation, definitions)

    def _made(self, store: Store, generation: Generation, definitions: Definitions) -> Own:
        reader = Work(store, definitions, self.limits).reader(generation)
        own = self._local.own = Own(store, reader, generation)
        store.written = own.is_written
        return own

    def _renew(self, own: Own, generation: Generation, definitions: Definitions) -> None:
        """What this thread works with, with nothing interned yet."""
        own.reader = Work(own.store, definitions, self.limits).reader(generation)
        own.generation = generation

    def _opened_store(self) -> Store:
        store = open_store(
            self.path,
            make_tables,
            timeout=self.timeout,
            readonly=self.readonly,
            traceless=self._traceless,
            file=self._file,
        )
        self._file = store.file
        store.connected = lambda: self._require_acknowledged(store)
        return store

    def _require_acknowledged(self, store: Store) -> None:
        """Raise ``IntegrityError`` where a server doesn't have what was acknowledged here before."""
        position, leaf = self._acknowledged
        # guard: a server that was behind is refused
        if position >= 0 and (log := Log(store)).leaf(position) != leaf:
            size = log.size()
            lost = f"positions {size} to {position}" if size <= position else f"position {position}"
            raise IntegrityError(
                f"{self.path}: {lost} were acknowledged but are missing: this is another server, or a"
                " replica that lagged; nothing is recorded until the ledger is opened again, which"
                " accepts the loss"
            )

    def _open(self) -> Store:
        store = self._opened_store()
        store.backlog = self._backfill.backlog
        try:
            # guard: guards required at open
            if self._guarded:
                schema.require_guards(store)
        except BaseException:
            store.close()
            raise
        with self._opening:
            # Servers that make a thread for each request must not use up all file descriptors.
            for thread, left in self._opened:
                # guard: connections of ended threads closed
                if not thread.is_alive():
                    left.close()
            self._opened = [one for one in self._opened if one[0].is_alive()]
            self._opened.append((threading.current_thread(), store))
        return store

    # --- which definitions ---

    def _settle(self, store: Store, wanted: Definitions | None) -> None:
        """Read by the definitions in force; a new ledger adopts those that are wanted."""
        log = Log(store)
        if not log.size():
            self._begin(store, wanted or builtin())
        self._require_derived(store)
        # Whoever follows how they are made need not be told that they are missing.
        end, remarked = time.monotonic() + self.timeout, self._progress is not silent
        while True:
            # guard: definitions and states of one time
            with store.read():
                kept = self.in_force(log)
                generation = self._whole(store)
                # What others record from now on they take in themselves.
                size = log.size()
            if wanted is not None and wanted.hash not in (kept.hash, kept.without_muted().hash):
                raise DefinitionsDiffer(f"{self.path}: {_difference(self.path, kept, wanted)}")
            self.definitions = kept
            if generation is not None and generation.version == generations.version_of(kept):
                break
            if self.readonly:
                raise IntegrityError(f"{self.path}: the states can't be read; run replay")
            if not remarked:
                remarked = True
                said = "%s: the states are missing or another version's; making them again"
                _log.warning(said, self.path)
            try:
                generation = self._again(store, kept)
                break
            except Disturbed:
                # Another process makes them too, or has adopted other definitions.
                if time.monotonic() > end:
                    raise LedgerBusy(
                        f"{self.path}: another process is making its states again; open it later"
                    ) from None
                time.sleep(_BETWEEN)
        own = self._made(store, generation, kept)
        # guard: opening takes in no more than was there
        if generation.size < size and not self.readonly:
            self._catch_up(own)

    def in_force(self, log: Log) -> Definitions:
        """The definitions that were adopted last, as the log says."""
        position = log.head().adoption
        if position < 0:
            raise IntegrityError(f"{self.path}: no definitions were ever adopted; run verify")
        return generations.adopted(log.at(position))

    def _begin(self, store: Store, definitions: Definitions) -> None:
        """Give a new ledger its genesis, unless another process was quicker."""
        if self.readonly:
            raise LedgerError(f"{self.path}: nothing was ever recorded")
        with store.write():
            log = Log(store)
            if log.size():
                return
            head, _ = log.append([generations.adoption(definitions, genesis=True)], log.head())
            generation = generations.begin(store, definitions, None)
            moved = generations.move(store, generation, size=head.size)
            assert moved is not None
            generations.switch(store, moved, 0)
        _log.info("%s: begun; it reads by %s", self.path, definitions.label)

    def _require_derived(self, store: Store) -> None:
        """Make the tables next to the log's that are missing."""
        if DERIVED.keys() <= _tables_of(store):
            return
        if self.readonly:
            raise IntegrityError(f"{self.path}: derived tables are missing; run replay")
        with store.write():
            _make_derived(store)

    def _whole(self, store: Store) -> Generation | None:
        """The live generation, if all its tables are there."""
        try:
            generation = generations.live(store)
        except IntegrityError:
            if self.readonly:
                raise
            return None
        if generation is None:
            return None
        return generation if generation.tables().keys() <= _tables_of(store) else None

    def _again(self, store: Store, definitions: Definitions) -> Generation:
        """Index and states in place of those that are gone, or that another Postledger made."""
        work = Work(store, definitions, self.limits, self._progress)
        with store.write():
            if self._whole(store) is None and not self._begun(store, definitions):
                # What is there of it is no use without the rest.
                generations.discard(store, also_live=True)
        built = self._built(work)
        with replay.undisturbed(store, built):
            return replay.finish(work, built, adopt=False)

    def _begun(self, store: Store, definitions: Definitions) -> bool:
        """Whether another process makes the states by these definitions, and no others are there."""
        try:
            missing = generations.live(store) is None
        except IntegrityError:
            return False
        version = generations.version_of(definitions)
        return missing and generations.building(store, version) is not None

    def _built(self, work: Work, *, index: bool = False) -> Generation:
        """A generation that waits to be the live one: begun here, or by a replay that was killed."""
        generation, found = replay.begin(work, index=index)
        with replay.undisturbed(work.store, generation):
            # guard: what another replay left is checked
            damaged = found and not follows(work.reader(generation), generation)
        if damaged:
            with work.store.write():
                version = generations.version_of(work.definitions)
                if generations.building(work.store, version) != generation:
                    # Another process went on with it while it was checked.
                    raise Disturbed(self.path)
                generations.discard(work.store)
            _log.warning("%s: an unfinished replay is damaged; starting again", self.path)
            generation, _ = replay.begin(work, index=index)
        with replay.undisturbed(work.store, generation):
            return replay.build(work, generation)

    def _catch_up(self, own: Own) -> None:
        """Take in what was appended without being read."""
        try:
            while own.generation.size < own.log.size():
                with own.store.write():
                    # Another process may have taken them in since they were counted.
                    self._follow(own)
                    first = own.generation.size
                    until = min(own.log.size(), first + replay.REST)
                    own.generation = replay.catch_up(own.reader, own.generation, until)
                self._progress(until - first)
        except Exception as error:
            if is_of_medium(error):
                raise
            self.left_behind(own, error)


def _difference(path: Location, kept: Definitions, wanted: Definitions) -> str:
    """How the definitions of a ledger differ from those that are given, and what to do."""
    ours, theirs = apart(kept.without_muted(), wanted)
    options = adding(kept, wanted)
    if not theirs or options == []:
        return (
            f"what is given lacks {ours}; name all that it reads by, or none: it keeps what it has"
        )
    said = f"the ledger does not read by {theirs}"
    if ours and options is None:
        said = f"the ledger reads by {ours}, what is given has {theirs}"
    if options is None:
        return f"{said}; open it without charts and vocabularies; replay adopts others"
    command = shlex.join(["postledger", "replay", str(path), *options, "--adopt"])
    return f"{said}; to add it and keep what it has: {command}; then open it without naming any"


def _tables_of(store: Store) -> set[str]:
    return {name for kind, name in store.names() if kind == "table"}


def make_tables(store: Store) -> None:
    """Make all tables of a new ledger."""
    schema.make(store)
    _make_derived(store)


def _make_derived(store: Store) -> None:
    """Make the tables next to the log's, but those that are there."""
    there = {name for _, name in store.names()}
    for name, sql in {**DERIVED, **generations.INDEXES}.items():
        if name not in there:
            store.execute(sql)
