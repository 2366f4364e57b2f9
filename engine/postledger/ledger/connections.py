"""The session: one ledger's file, as the threads of one process use it.

Each thread has a connection of its own, opened at its first use. All of them fold by the same
definitions, those that the live projection was made by.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from sqlite_utils import Database

from postledger import blocks
from postledger.definitions.definitions import Definitions, builtin
from postledger.errors import DefinitionsDiffer, IntegrityError, LedgerError, PostledgerError
from postledger.log.log import DAMAGE, Head, Log
from postledger.progress import Progress
from postledger.projections.generations import Generation, replay
from postledger.projections.generations import generations as projections
from postledger.state.patterns import Intake
from postledger.state.streams import Facts
from postledger.store.sqlite import immediate, open_database, translated
from postledger.verify import verify
from postledger.wire import Limits


@attrs.define
class Reader:
    """What one thread reads and writes with; made anew when the definitions change.

    ``generation`` is the live one as its last write left it.
    """

    log: Log
    facts: Facts
    intake: Intake
    generation: Generation | None = None


class Session:
    """The connections to one file; see ``Ledger`` for the parameters and the errors."""

    def __init__(
        self,
        path: Path,
        definitions: Definitions | None,
        *,
        limits: Limits,
        timeout: float,
        readonly: bool,
        guarded: bool,
    ) -> None:
        self.path = path
        self.readonly = readonly
        self.writing = threading.RLock()
        self.limits = limits
        self._timeout = timeout
        self._guarded = guarded
        self._process = os.getpid()
        self._local = threading.local()
        self._opening = threading.Lock()
        self._opened: list[tuple[threading.Thread, Database]] = []
        self._closed = False
        try:
            with translated(path):
                self.definitions = self._settle(self._open(), definitions)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """A read transaction: all that is read in it is of one moment."""
        with self.snapshot() as reader, self._blamed():
            yield reader

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Blame a damaged file for what it makes fail."""
        try:
            yield
        except (PostledgerError, UnicodeEncodeError):
            raise
        except (AssertionError, AttributeError, OverflowError, *DAMAGE) as error:
            # A value of a damaged file may be anything; where it is sound, this is a mistake.
            with self.snapshot() as reader:
                wrong = verify(reader.log, self.definitions, with_blocks=False).problems
            if wrong:
                raise IntegrityError(f"{self.path}: the file is damaged: {wrong[0]}") from error
            raise

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        """A transaction around several of this thread's ``read``: they are all of one moment."""
        with translated(self.path):
            reader = self.own()
            if reader.log.db.conn.in_transaction:
                yield reader
                return
            reader.log.db.execute("BEGIN")
            try:
                yield reader
            finally:
                # A read transaction may have filled a scratch table.
                reader.log.db.conn.commit()

    @contextmanager
    def write(self) -> Iterator[Reader]:
        """A write transaction; raises ``LedgerError`` where the ledger is for reading only."""
        # Before the lock: in a forked child another thread may hold it for ever.
        reader = self.require_writable()
        with self.writing, translated(self.path):
            # Another thread may have adopted other definitions while this one waited.
            reader = self._current(reader)
            try:
                with immediate(reader.log.db):
                    yield reader
            except BaseException:
                # What was interned in the transaction is gone with it.
                self._renew(reader.log.db)
                raise

    def require_writable(self) -> Reader:
        """What this thread writes with; raises ``LedgerError`` where it is for reading only now."""
        if self.readonly:
            raise LedgerError(f"{self.path}: opened for reading only")
        reader = self.own()
        if reader.log.db.conn.in_transaction:
            raise LedgerError(
                f"{self.path}: this thread is still reading; end that first, or write in another"
            )
        return reader

    def live(self, db: Database) -> Generation:
        """The live generation, which must be one by the definitions that this session holds."""
        generation = projections.live(db)
        if generation is None:
            raise IntegrityError(f"{self.path}: there is no live projection; run replay")
        if generation.version != projections.version_of(self.definitions):
            raise DefinitionsDiffer(
                f"{self.path}: another process has rebuilt it by other definitions; open it again"
            )
        return generation

    def advance(self, reader: Reader, count: int) -> tuple[Generation, Head]:
        """Move the live checkpoint past ``count`` events to come; the caller appends them.

        Gives the generation and the head of the log before them. Where nobody else wrote since this
        thread did, the generation is as it left it, and that its checkpoint can be moved proves it.
        """
        db, head = reader.log.db, reader.log.head()
        moved = None
        if reader.generation is not None:
            moved = projections.try_move(db, reader.generation, head[0] + count)
        # A write that fails renews the reader, so what is kept here is what was committed.
        reader.generation = moved or projections.move(db, self.live(db), head[0] + count)
        return reader.generation, head

    def own(self) -> Reader:
        """The connection of this thread, opened at its first use."""
        if os.getpid() != self._process:
            # A connection that two processes share would damage the file.
            raise LedgerError(f"{self.path}: opened before a fork; open it again in each process")
        reader: Reader | None = getattr(self._local, "reader", None)
        if reader is None and not self._closed:
            with translated(self.path):
                reader = self._renew(self._open())
        return self._current(reader)

    def _current(self, reader: Reader | None) -> Reader:
        """The same, anew where another thread has adopted other definitions."""
        if self._closed or reader is None:
            raise LedgerError(f"{self.path}: the ledger is closed")
        if reader.facts.definitions is not self.definitions:
            reader = self._renew(reader.log.db)
        return reader

    def rebuild(self, definitions: Definitions, progress: Progress) -> None:
        """Build the projection by ``definitions``, and switch to it and them.

        Threads of this process record in between, but for the moment of switching.
        """
        self.require_writable()
        with translated(self.path), self._blamed():
            # Not the thread's own log: what a rebuild interns is gone again if it fails.
            log = Log(self.own().log.db)
            built = replay.build(log.db, log, definitions, progress)
            with self.writing:
                replay.finish(log.db, log, definitions, built, self.limits, progress)
                self.definitions = definitions

    def optimize(self, progress: Progress) -> int:
        """Make the blocks; gives the number of streams in them."""
        self.require_writable()
        with translated(self.path), self._blamed():
            reader = self.own()
            return blocks.optimize(reader.log.db, reader.log, reader.facts, progress)

    def close(self) -> None:
        """Close all connections."""
        self._closed = True
        for _, db in self._opened:
            db.close()
        self._opened.clear()

    def _open(self) -> Database:
        db = open_database(
            self.path, timeout=self._timeout, readonly=self.readonly, guarded=self._guarded
        )
        with self._opening:
            # Servers that make a thread for each request must not use up all file descriptors.
            for thread, left in self._opened:
                if not thread.is_alive():
                    left.close()
            self._opened = [one for one in self._opened if one[0].is_alive()]
            self._opened.append((threading.current_thread(), db))
        return db

    def _renew(self, db: Database) -> Reader:
        """What this thread works with, with nothing interned yet."""
        # Read once: another thread may adopt others meanwhile.
        log, definitions = Log(db), self.definitions
        intake = Intake(definitions, self.limits)
        reader = self._local.reader = Reader(log, Facts(log, definitions), intake)
        return reader

    # --- which definitions ---

    def _settle(self, db: Database, wanted: Definitions | None) -> Definitions:
        """The definitions that the ledger folds by; a new ledger adopts those that are wanted."""
        generation = self._settled(db, wanted)
        kept = projections.kept_definitions(db, generation)
        if wanted is not None and wanted.hash != kept.hash:
            raise DefinitionsDiffer(
                f"{self.path}: folded by {kept.label}, asked for {wanted.label};"
                " open it without, then rebuild by the others to adopt them"
            )
        if generation.version != projections.version_of(kept):
            # The definitions are the same, but an older Postledger wrote the rows.
            self._refold(db, kept)
        return kept

    def _settled(self, db: Database, wanted: Definitions | None) -> Generation:
        """The live generation, begun in a new ledger, made anew where it was taken away."""
        generation = projections.live(db)
        if generation is None and Log(db).head()[0]:
            return self._refold(db, wanted or projections.adopted_last(db) or builtin())
        if generation is None and self.readonly:
            raise LedgerError(f"{self.path}: nothing was ever recorded")
        if generation is None:
            with immediate(db):
                # Another process may have been quicker.
                generation = projections.live(db)
                if generation is None:
                    begun = projections.begin(db, wanted or builtin(), 0)
                    generation = projections.move(db, begun, 0, None)
                    projections.switch(db, generation)
        return generation

    def _refold(self, db: Database, definitions: Definitions) -> Generation:
        """A projection in place of one that can't be read: the log says all that it said."""
        if self.readonly:
            raise IntegrityError(f"{self.path}: the projection can't be read; run replay")
        return replay.rebuild(db, Log(db), definitions, self.limits)
