"""The ledger: what programs embed. It records receipts and answers what became of each delivery."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from postledger import audit
from postledger.audit import AuditReport
from postledger.definitions.chart_toml import Statechart
from postledger.definitions.definitions import Definitions, builtin
from postledger.errors import (
    LedgerError,
    UnknownKey,
)
from postledger.ledger.answer import answer
from postledger.ledger.connections import Reader, Session
from postledger.ledger.subscriptions import Handler, Place, Retry, Subscription
from postledger.ledger.writing import Appended, Recording, batches
from postledger.log.as_of import EVERYTHING, Bounds, bounds_of
from postledger.model import (
    Content,
    Delivery,
    Event,
    Receipt,
    Recorded,
    StateChanged,
    Summary,
    Timeline,
    Verification,
)
from postledger.progress import Progress, silent
from postledger.projections.checkpoints import SUBSCRIPTION, Checkpoint
from postledger.projections.compare import Difference, differences
from postledger.projections.custom import Projection
from postledger.projections.generations import Row, checkpoints, custom
from postledger.projections.generations import generations as projections
from postledger.projections.queries import Query
from postledger.projections.replay import project_rows
from postledger.projections.rows import rows_of
from postledger.state import changes
from postledger.state.changes import Bell, Page
from postledger.state.streams import Facts
from postledger.state.timeline import content_of, event_of, timeline_of
from postledger.store.sqlite import translated
from postledger.times import aware, iso
from postledger.verify import Anchor, check_stream, verify
from postledger.wire import Limits

BATCH = 1_000
"""How many receipts ``record_many`` commits at once."""

_PAGE = 1_000
_STATELESS = " (events of it are, but none that says its state)"
_CREATED = "application/vnd.postledger.created+json"


class Ledger:
    """A ledger of postbacks in one SQLite file.

    Opens the file, and creates it where there is none. One ledger may be used from several threads,
    and one file by several processes. ``timeout`` is how many seconds a write waits for another's
    write to end. ``charts`` and ``vocabulary`` are TOML files to fold by, beside those that ship
    with Postledger or in place of those of the same names; ``definitions`` are all of them as a
    value. A new ledger adopts them and keeps their text; an existing one must have been folded by
    the same, or ``DefinitionsDiffer`` is raised; ``rebuild`` adopts others. ``limits`` bound what
    is read of a body. A file whose guards against alteration are missing is refused with
    ``IntegrityError``, unless ``guarded`` is false: so ``verify`` can say what else is wrong.

    >>> with Ledger("deliveries.db") as opened:
    ...     recorded = opened.record(body, content_type="text/xml")
    ...     opened.delivery("TU1TXzU5Nzg3OQ==").state
    'delivered'
    """

    def __init__(
        self,
        path: str | Path,
        *,
        charts: Iterable[str | Path] = (),
        vocabulary: Iterable[str | Path] = (),
        definitions: Definitions | None = None,
        limits: Limits | None = None,
        timeout: float = 60.0,
        readonly: bool = False,
        guarded: bool = True,
    ) -> None:
        self.path = Path(path)
        self.readonly = readonly
        self._bell = Bell()
        self._subscriptions: dict[str, Subscription] = {}
        self._custom: dict[str, Projection] = {}
        if charts or vocabulary:
            definitions = (definitions or builtin()).with_files(charts, vocabulary)
        self._session = Session(
            self.path,
            definitions,
            limits=limits or Limits(),
            timeout=timeout,
            readonly=readonly,
            guarded=guarded,
        )

    @property
    def definitions(self) -> Definitions:
        """The charts and vocabularies that the ledger folds by.

        >>> sorted(ledger.definitions.charts)
        ['content', 'delivery', 'discovery']
        """
        return self._session.definitions

    # --- record: append, fold, projection rows and checkpoint in one transaction ---

    def record(
        self,
        body: bytes,
        *,
        content_type: str | None = None,
        received_at: datetime | None = None,
    ) -> Recorded:
        """Record one request body. What this returns is durable.

        Whatever the body is, it is kept: a repeat, a body that can't be read and one of an unknown
        type are events too, which change no state. ``received_at`` is the moment of reception,
        aware, by default now. Raises ``LedgerBusy`` or ``LedgerError`` where nothing was written.

        >>> recorded = ledger.record(body, content_type="text/xml")
        >>> recorded.verdict, recorded.delivery.state
        ('repeated', 'delivered')
        """
        with self._session.write() as reader:
            recording = Recording(reader.log, reader.facts, reader.intake)
            appended = recording.add(Receipt(body, content_type, received_at))
            rows = {row[0]: row for row in self._project(reader, recording)}
        self._bell.ring()
        first, *others = [answer(one, recording, rows) for one in appended]
        return attrs.evolve(first, others=tuple(others)) if others else first

    def record_many(
        self, receipts: Iterable[Receipt | bytes], *, progress: Progress = silent
    ) -> Summary:
        """Record many receipts, ``BATCH`` of them in each transaction; counts what became of them.

        When it raises, the batches before are durable, and nothing of the batch in which it raised.
        ``progress`` is called with the number of receipts after each batch.

        >>> ledger.record_many([body, b"?"]).to_dict()
        {'recorded': 0, 'repeated': 1, 'unrecognised': 0, 'unreadable': 1, 'position': ...}
        """
        counts = dict.fromkeys(("recorded", "repeated", "unrecognised", "unreadable"), 0)
        for batch in self.record_batches(map(_receipt, receipts)):
            for _, appended in batch:
                for one in appended:
                    counts[one.counted_as] += 1
            progress(len(batch))
        position, head = self.head()
        return Summary(**counts, position=position, head=head)

    def record_batches(
        self, receipts: Iterable[Receipt], size: int = BATCH
    ) -> Iterator[list[tuple[Receipt, list[Appended]]]]:
        """Record receipts, ``size`` in each transaction, and give each batch once it is durable.

        Raises ``ValueError`` for a ``size`` below 1.

        >>> receipts = [Receipt(body), Receipt(body), Receipt(body)]
        >>> [len(batch) for batch in ledger.record_batches(receipts, size=2)]
        [2, 1]
        """
        for batch in batches(iter(receipts), size):
            with self._session.write() as reader:
                recording = Recording(reader.log, reader.facts, reader.intake)
                appended = [(receipt, recording.add(receipt)) for receipt in batch]
                self._project(reader, recording)
            self._bell.ring()
            yield appended

    def created(
        self,
        tracking_id: str,
        *,
        to: str,
        mms_id: str | None = None,
        at: datetime | None = None,
        received_at: datetime | None = None,
    ) -> Recorded:
        """Record that the provider accepted a message: for programs that have its answer already.

        ``at`` is when it did, aware; without it the creation has no time. To say the same again is a
        repeat. The provider's own answer (``<RESPONSE>``) can be given to ``record`` instead.

        >>> recorded = ledger.created("U01TXzE=", to="16503333058")
        >>> recorded.delivery.state
        'created'
        """
        if at is not None:
            aware(at)
        said = {"tracking-id": tracking_id, "to": to, "mms-id": mms_id, "timestamp": iso(at)}
        created = {"created": {name: text for name, text in said.items() if text is not None}}
        with translated(self.path):
            body = json.dumps(created, ensure_ascii=False).encode()
        return self.record(body, content_type=_CREATED, received_at=received_at)

    def _project(self, reader: Reader, recording: Recording) -> list[Row]:
        """Append, and bring the projection to the new head; gives its new rows."""
        count = recording.count
        generation, head = self._session.advance(reader, count)
        recording.write(head)
        touched = list(recording.streams.values())
        rows = project_rows(reader.log, reader.facts, generation, touched)
        custom.keep_up(reader.log, reader.facts, self._custom.values(), count)
        return rows

    # --- read ---

    def delivery(
        self,
        tracking_id: str,
        *,
        as_of: int | datetime | None = None,
        occurred_by: datetime | None = None,
    ) -> Delivery:
        """The state of one delivery; raises ``UnknownKey``.

        ``as_of`` asks for what was known at a moment (aware) or up to a position of the log,
        ``occurred_by`` for what had happened by a moment of the provider's clock.

        >>> ledger.delivery("U01TXzgwNjc4").state, ledger.delivery("U01TXzgwNjc4", as_of=1).state
        ('delivered', 'sent')
        """
        bounds = bounds_of(as_of, occurred_by)
        with self._session.read() as reader:
            row = self._row(reader, ("delivery", tracking_id), bounds)
            return projections.delivery_of(tracking_id, row)

    def content(
        self,
        mms_id: str,
        *,
        as_of: int | datetime | None = None,
        occurred_by: datetime | None = None,
    ) -> Content:
        """The state of one saved MMS; raises ``UnknownKey``.

        >>> ledger.content("35674").failures
        ('sample.mp3',)
        """
        bounds = bounds_of(as_of, occurred_by)
        with self._session.read() as reader:
            row = self._row(reader, ("content", mms_id), bounds)
            steps = self._proven(reader, ("content", mms_id), bounds)
            return content_of(mms_id, projections.delivery_of(mms_id, row), steps)

    def timeline(
        self,
        key: str,
        *,
        chart: str = "delivery",
        as_of: int | datetime | None = None,
        occurred_by: datetime | None = None,
    ) -> Timeline:
        """The steps of one delivery (or MMS: ``chart="content"``) in fold order, with verdicts.

        What they show is proven, and the state with it: each event by the hash chain, the row of
        the live projection, unless as of another moment, by a fold. Raises ``IntegrityError`` where
        either was altered or damaged, ``UnknownKey`` where no event names the key or there is no such
        chart. Whether anything is missing only ``verify`` says.

        >>> [(step.verdict, step.after["delivery"]) for step in ledger.timeline("U01TXzgwNjc4")]
        [('applied', 'sent'), ('applied', 'delivered')]
        """
        with self._session.read() as reader:
            return self._proven(reader, (chart, key), bounds_of(as_of, occurred_by))

    def deliveries(
        self,
        /,
        query: Query | None = None,
        *,
        as_of: int | datetime | None = None,
        occurred_by: datetime | None = None,
        **wanted: Any,
    ) -> Iterator[Delivery]:
        """The deliveries that a ``Query`` asks for, given whole or by its fields.

        They come in the order in which they were first heard of, page by page: each page is as of
        the moment it is read, but with ``as_of`` or ``occurred_by`` all are as of that.

        >>> [delivery.tracking_id for delivery in ledger.deliveries(finding="contradiction")]
        ['TU1TXzU5Nzg3Nw==']
        """
        query = query or Query(**wanted)
        left, after = query.limit, 0
        with self._rows(bounds_of(as_of, occurred_by)) as table:
            while left is None or left > 0:
                size = _PAGE if left is None else min(left, _PAGE)
                with self._session.read() as reader:
                    named = table or self._session.live(reader.log.db).table
                    page = query.page(reader.log.db, named, self.definitions, after, size)
                    found = [projections.delivery_of(key, row) for key, row in page]
                yield from found
                if len(page) < size:
                    return
                after = page[-1][1][0]
                left = None if left is None else left - size

    def events(self, after: int = 0) -> Iterator[Event]:
        """All events behind position ``after``, in order of position.

        >>> [event.position for event in ledger.events(after=1)][:3]
        [2, 3, 4]
        """
        while True:
            with self._session.read() as reader:
                page = list(islice(reader.log.events(after), _PAGE))
                events = [event_of(stored, reader.facts) for stored in page]
            yield from events
            if len(page) < _PAGE:
                return
            after = page[-1].position

    def head(self) -> tuple[int, str]:
        """The last position and the hash there in hexadecimal: the anchor to keep elsewhere.

        >>> position, digest = ledger.head()
        >>> ledger.verify(Anchor(position, digest)).ok
        True
        """
        with self._session.read() as reader:
            position, chain = reader.log.head()
            return position, chain.hex()

    def verify(self, anchor: Anchor | None = None, *, progress: Progress = silent) -> Verification:
        """Check the file, the guards, the hash chain, an anchor, and the projection by a new fold.

        >>> ledger.verify().problems
        ()
        """
        with self._session.read() as reader:
            return verify(reader.log, self.definitions, anchor, progress)

    def audit(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: int | datetime | None = None,
        occurred_by: datetime | None = None,
        unmask: bool = False,
        tracking_id: str | None = None,
        progress: Progress = silent,
    ) -> AuditReport:
        """The state audit report: of the deliveries that began in a period, or of one of them.

        ``since`` is inclusive, ``until`` exclusive; ``as_of`` and ``occurred_by`` are as of
        ``delivery``. Personal numbers are masked unless ``unmask``. ``progress`` is that of
        ``verify``. Raises ``UnknownKey`` for a ``tracking_id`` of which nothing is known.

        >>> report = ledger.audit()
        >>> "U01TXzgwNjc4" in ledger.audit(tracking_id="U01TXzgwNjc4").to_json()
        True
        """
        asked = audit.Asked(since, until, as_of, occurred_by, unmask)
        with self._session.read() as reader:
            made_by = reader.log, reader.facts
            ledger = self.path.name
            if tracking_id is not None:
                stream = (audit.CHART, tracking_id)
                row = self._row(reader, stream, asked.bounds)
                steps = self._steps(reader, stream, asked.bounds)
                told = projections.delivery_of(tracking_id, row), steps
                return audit.of_delivery(*made_by, told, asked, ledger, progress)
            with self._rows(asked.bounds) as table:
                named = table or self._session.live(reader.log.db).table
                return audit.of_period(*made_by, named, asked, ledger, progress)

    def rebuild(
        self, definitions: Definitions | None = None, *, progress: Progress = silent
    ) -> None:
        """Build the projection anew from the log, by ``definitions`` if given, and switch to it.

        Other threads and processes may go on recording. The old projection stays live until the new
        one is whole; a rebuild that was interrupted goes on where it was.

        >>> ledger.rebuild()
        >>> ledger.verify().ok
        True
        """
        self._session.rebuild(definitions or self.definitions, progress)
        # What users derive from the states is of other states now.
        for projection in self._custom.values():
            self.project(projection)
        self._bell.ring()

    def optimize(self, *, progress: Progress = silent) -> int:
        """Keep what a fold of the whole log reads in blocks; gives the number of streams in them.

        ``differences`` then takes a third of the time, for some 12 bytes an event in the file. Events
        that come later are folded from the log, until it is called again. Others may go on recording;
        interrupted, it leaves whole blocks. The blocks are a copy of what the log says: ``verify``
        compares them with it, and no state that is kept hangs on them. ``progress`` is called with
        numbers of streams.

        >>> ledger.optimize()
        5
        """
        return self._session.optimize(progress)

    def differences(
        self, definitions: Definitions, *, progress: Progress = silent
    ) -> Iterator[Difference]:
        """What would change if the log were folded by other definitions; nothing is written.

        The log is read in one read transaction, which lasts as long as the iteration.

        >>> list(ledger.differences(ledger.definitions))
        []
        """
        with self._session.read() as reader:
            # Not the reader's own: what a comparison learns of blocks is not to be recorded by.
            old = Facts(reader.log, reader.facts.definitions)
            new = Facts(reader.log, definitions)
            yield from differences(reader.log, old, new, self._session.limits, progress)

    def _row(self, reader: Reader, stream: tuple[str, str], bounds: Bounds) -> Row:
        log, found = reader.log, reader.log.find_stream(stream)
        row: Row | None = None
        if found is not None and bounds != EVERYTHING:
            rows = rows_of(log, reader.facts, found - 1, found, bounds)
            row = next((row for _, _, row in rows), None)
        elif found is not None:
            row = projections.kept_row(log.db, self._session.live(log.db), found)
        if row is None:
            is_known = "is known" if bounds == EVERYTHING else "was known then"
            but = "" if found is None or bounds != EVERYTHING else _STATELESS
            raise UnknownKey(f"no {stream[0]} {stream[1]!r} {is_known}{but}")
        return row

    def _proven(self, reader: Reader, stream: tuple[str, str], bounds: Bounds) -> Timeline:
        """The steps of a stream, each proven, and without bounds its live row too."""
        found, _ = self._known(reader, stream)
        generation = self._session.live(reader.log.db) if bounds == EVERYTHING else None
        check_stream(reader.log, reader.facts, found, stream, generation)
        return self._steps(reader, stream, bounds)

    def _steps(self, reader: Reader, stream: tuple[str, str], bounds: Bounds) -> Timeline:
        found, chart = self._known(reader, stream)
        return timeline_of(reader.log, reader.facts, found, chart, bounds)

    def _known(self, reader: Reader, stream: tuple[str, str]) -> tuple[int, Statechart]:
        """The id and the chart of a stream; raises ``UnknownKey``."""
        chart = self.definitions.chart(stream[0])
        found = reader.log.find_stream(stream)
        if found is None:
            raise UnknownKey(f"no {stream[0]} {stream[1]!r} is known")
        return found, chart

    @contextmanager
    def _rows(self, bounds: Bounds) -> Iterator[str | None]:
        """A table with the rows as of the bounds; ``None`` stands for the live one."""
        if bounds == EVERYTHING:
            yield None
            return
        with self._session.read() as reader:
            folded = rows_of(reader.log, reader.facts, bounds=bounds)
            rows = (row for _, _, row in folded if row is not None)
            made = projections.scratch(reader.log.db, rows)
            table = made.__enter__()
        try:
            yield table
        finally:
            made.__exit__(None, None, None)

    # --- follow: what changed, in order of position ---

    def follow(self, after: int = 0, *, live: bool = True) -> Iterator[StateChanged]:
        """The changes of deliveries behind position ``after``, in order of position.

        It goes on with those to come until the ledger is closed, or with ``live=False`` ends with
        the last there is. Events that change no state give none.

        >>> for change in ledger.follow(after=1, live=False):
        ...     print(change.position, change.delivery.tracking_id, change.after["delivery"])
        ...     break
        2 U01TXzgwNjc4 delivered
        """
        return changes.follow(self._page, after, bell=self._bell, live=live)

    def subscribe(
        self,
        name: str,
        handler: Handler,
        *,
        after: int = 0,
        live: bool = True,
        retry: Retry | None = None,
    ) -> Subscription:
        """Have ``handler`` told of every change of a delivery, in order of position, at least once.

        The ledger keeps under ``name`` how far it has come, behind the handler and never before it;
        a new name begins behind position ``after``. The handler is called in a thread of its own
        until the ledger is closed; with ``live=False`` in this one, until there is no more. One that
        raises is called again as ``retry`` says, then the subscription stops at that position:
        ``Subscription.wait`` and ``live=False`` raise ``SubscriptionFailed``, the checkpoint says
        why, and others go on. Raises ``LedgerError`` where that name is running already.

        >>> told = []
        >>> subscription = ledger.subscribe("webhooks", told.append)
        >>> subscription.wait()
        >>> [change.after["delivery"] for change in told][:2]
        ['sent', 'delivered']
        """
        running = self._subscriptions.get(name)
        if running is not None and running.running:
            raise LedgerError(f"subscription {name!r} is running already; stop it first")
        with self._session.write() as reader:
            db = reader.log.db
            if checkpoints.load(db, SUBSCRIPTION, name) is None:
                checkpoints.begin(db, SUBSCRIPTION, name, after)
        subscription = Subscription(name, handler, self._place(name), retry or Retry())
        self._subscriptions[name] = subscription
        if live:
            subscription.start()
        else:
            subscription.run(live=False)
        return subscription

    def project(self, projection: Projection) -> None:
        """Keep a projection of your own: its tables in the ledger, up to date with each write.

        It is first built from the log, or brought up to it, while writers go on; anew where its
        version or the definitions are others than before. Other processes that record without it
        leave it behind until this one writes. Raises ``ProjectionFailed``, with the position and the
        reason, where its ``apply`` raises. While recording that never raises: the projection stays
        where it was, and the checkpoint says why.

        >>> class Kinds:
        ...     name, version = "kinds", 1
        ...     tables = {"kinds": "kind TEXT PRIMARY KEY, events INTEGER"}
        ...
        ...     def apply(self, change, db):
        ...         db.execute("INSERT INTO kinds VALUES (?, 1) ON CONFLICT (kind)"
        ...             " DO UPDATE SET events = events + 1", (change.event.kind,))
        >>> ledger.project(Kinds())
        >>> ledger.query("SELECT kind FROM kinds ORDER BY kind")
        [{'kind': 'postback'}, ...]
        """
        self._session.require_writable()
        with translated(self.path):
            reader = self._session.own()
            self._session.live(reader.log.db)
            custom.settle(reader.log, reader.facts, projection, self._session.writing)
        # Replaced and not changed: another thread may be going through it in a write.
        self._custom = {**self._custom, projection.name: projection}

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Where the subscriptions and the projections of your own stand, whoever runs them.

        >>> for checkpoint in ledger.checkpoints():
        ...     print(checkpoint.kind, checkpoint.name, checkpoint.behind)
        projection kinds 0
        subscription webhooks 0
        """
        with self._session.read() as reader:
            return checkpoints.all_of(reader.log.db)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """The rows of a SELECT over the views and over tables of your own; nothing can be written.

        The views are ``deliveries``, ``contents`` and ``event_log``. Raises ``LedgerError`` with what
        SQLite says where the statement is wrong.

        >>> ledger.query("SELECT state, route FROM deliveries WHERE tracking_id = ?", ["U01TXzgwNjc4"])
        [{'state': 'delivered', 'route': 'sms'}]
        """
        with self._session.read() as reader:
            db = reader.log.db
            db.execute("PRAGMA query_only=ON")
            try:
                return list(db.query(sql, parameters))
            except (sqlite3.Error, ValueError, OverflowError) as error:
                raise LedgerError(f"{self.path}: the query fails: {error}") from None
            finally:
                db.execute("PRAGMA query_only=OFF")

    def _page(self, after: int) -> Page:
        with self._session.read() as reader:
            self._session.live(reader.log.db)
            return changes.page_of(reader.log, reader.facts, after)

    def _place(self, name: str) -> Place:
        """What the subscription of that name reads from and keeps its checkpoint in."""

        def load() -> Checkpoint:
            with self._session.read() as reader:
                there = checkpoints.load(reader.log.db, SUBSCRIPTION, name)
            if there is None:
                raise LedgerError(f"subscription {name!r} is not kept in {self.path}")
            return there

        def move(checkpoint: Checkpoint, position: int, problem: str | None) -> Checkpoint:
            with self._session.write() as reader:
                return checkpoints.move(reader.log.db, checkpoint, position, problem)

        return Place(self._bell, self._page, load, move, lambda: self.head()[0])

    # --- the file ---

    def close(self) -> None:
        """Stop the subscriptions and close the file; the ledger can't be used afterwards.

        >>> opened = Ledger("deliveries.db")
        >>> opened.close()
        """
        self._bell.close()
        for subscription in self._subscriptions.values():
            subscription.stop()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _receipt(given: Receipt | bytes) -> Receipt:
    if not isinstance(given, Receipt | bytes):
        raise TypeError(f"a receipt is bytes or a Receipt, and not {type(given).__name__}")
    return Receipt(given) if isinstance(given, bytes) else given
