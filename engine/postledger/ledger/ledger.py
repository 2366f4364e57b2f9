"""The ledger: what programs embed. It records receipts and answers what became of each delivery."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, overload

import attrs

from postledger.address import Address, Location, is_address, named_in_reports
from postledger.alerts.alert import Alert
from postledger.alerts.counted import Counted, Periods
from postledger.alerts.judged import alerts_of
from postledger.alerts.rules import Rules
from postledger.arguments import (
    FilePath,
    checked,
    names_of,
    paths_of,
    require_least,
    require_name,
    require_order,
)
from postledger.audit.report import AuditReport, Cover, of_delivery, of_period
from postledger.audit.request import Request
from postledger.definitions.chart import Statechart
from postledger.definitions.definitions import Definitions, builtin
from postledger.errors import LedgerError, UnknownKey, UnknownWord
from postledger.invoices.invoice import DELIVERED, InvoiceRow, Reconciled
from postledger.invoices.reconciliation import Ids
from postledger.keys import keys_meant, require_key
from postledger.lake.folder import Folder
from postledger.lake.layout import ROWS
from postledger.lake.writing import Archived, Archiving
from postledger.lake.writing import write as write_archive
from postledger.ledger import copying, following
from postledger.ledger.checking import counted_of
from postledger.ledger.connections import Connections, Own
from postledger.ledger.copying import Copied
from postledger.ledger.following import Bell
from postledger.ledger.group import Groups
from postledger.ledger.health import Health, health_of
from postledger.ledger.subscriptions import (
    Handler,
    Place,
    Retry,
    Subscription,
    require_handler,
)
from postledger.ledger.writing import (
    COUNTED,
    JSON,
    Appended,
    Batches,
    Given,
    Told,
    accepted,
    batches,
    creation_of,
    import_of,
    receipt_of,
    write,
)
from postledger.log.acceptances import Acceptance, acceptances_of
from postledger.log.as_of import EVERYTHING, Bounds, bounds_of
from postledger.log.event import Kind, Stored
from postledger.log.log import Log, require_whole
from postledger.log.verifications import body_of
from postledger.model import (
    DELIVERY,
    UNVERIFIED,
    Anchor,
    Body,
    Change,
    Content,
    Count,
    Delivery,
    Event,
    Kept,
    Receipt,
    Recorded,
    StateChanged,
    Summary,
    Tally,
    Timeline,
    Verification,
)
from postledger.progress import Progress, foreign, silent
from postledger.projections import changes, checkpoints, custom, generations
from postledger.projections.changes import Page
from postledger.projections.checkpoints import SUBSCRIPTION, Checkpoint
from postledger.projections.compare import Difference, differences, reading_by
from postledger.projections.counts import CountBy, counts_of, require_dimensions
from postledger.projections.custom import Projection
from postledger.projections.generations import Lives
from postledger.projections.queries import (
    After,
    Listing,
    Query,
    after_of,
    require_known,
)
from postledger.projections.reader import Reader
from postledger.projections.replay import Disturbed, undisturbed
from postledger.projections.search import page_of
from postledger.projections.snapshots import live_snapshot, snapshot
from postledger.projections.tallies import TallyBy, TallyOf, public_tallies, require_by
from postledger.state.patterns import Stream
from postledger.state.row import HOUR, Row, delivery_of, event_of
from postledger.state.timeline import content_of, timeline_of
from postledger.store.opening import translated
from postledger.store.store import LARGEST, Store
from postledger.times import micros, now, time_of
from postledger.verify import (
    Standing,
    check_stream,
    fold_of,
    last_verified,
    standing,
    state_differs,
    stream_problems,
)
from postledger.verify import verify as verify_whole
from postledger.wire import Limits

BATCH = 1_000
"""How many receipts ``record_many`` commits at once."""

_ATTEMPTS = 3
_DAY = timedelta(days=1)
_PAGE = 1_000
_FIRST_PAGE = 50
_FEW = 20
_LONGEST_WAIT = 2_000_000.0
_STATELESS = " (it has events, but none that states what became of it)"

T = TypeVar("T")

_Named = tuple[str | None, str, str]
"""The space, the chart and the key of a stream; any space for ``None``."""

Then = Literal["now", "then"]
"""Which definitions read what was known at an earlier time: those in force now, or then."""


class Ledger:
    """A ledger of postbacks, in one SQLite file or in a schema of a PostgreSQL database.

    ``path`` is the file, or the address of the schema. Opens it, or creates it if it does not exist. It
    may be used from several threads, and by several processes. ``timeout`` is how many seconds a write
    waits for another's write to end, and opening for another process that makes the states again.
    ``providers`` are the names of the vocabularies that ship to read by (an empty list: none of them),
    ``charts`` and ``vocabulary`` TOML
    files (one, or several) to read by next to those, or in place of those of the same names;
    ``definitions`` are all of them as a value. A new ledger adopts them and keeps their text; an
    existing one must have been read by the same, or ``DefinitionsDiffer`` is raised, which says how to
    adopt them; where none are given, it is read by those that it has. ``limits`` bound what is read of
    a body. A file whose guards against alteration are missing is refused with ``IntegrityError``,
    unless ``guarded`` is false: so ``verify`` can say what else is wrong.

    >>> with Ledger("deliveries.db") as opened:
    ...     recorded = opened.record(body, content_type="text/xml")
    ...     opened.delivery("TU1TXzU5Nzg3OQ==").state
    'delivered'
    """

    @checked
    def __init__(
        self,
        path: FilePath | Address,
        *,
        providers: str | Iterable[str] | None = None,
        charts: FilePath | Iterable[FilePath] = (),
        vocabulary: FilePath | Iterable[FilePath] = (),
        definitions: Definitions | None = None,
        limits: Limits | None = None,
        timeout: float = 60.0,
        readonly: bool = False,
        guarded: bool = True,
    ) -> None:
        self.path = require_openable(path, timeout=timeout)
        self.readonly = readonly
        self._bell = Bell(lambda ring: self._connections.listen(ring))
        self._subscriptions: dict[str, Subscription] = {}
        self._custom: dict[str, Projection] = {}
        files = paths_of("charts", charts), paths_of("vocabulary", vocabulary)
        chosen = None if providers is None else names_of("providers", providers)
        if chosen is not None and definitions is not None:
            raise TypeError(
                "providers and definitions can't both be given: pass definitions=builtin(providers)"
            )
        if chosen is not None or any(files):
            definitions = (definitions or builtin(chosen)).with_files(*files)
        self._connections = Connections(
            self.path,
            definitions,
            limits=limits or Limits(),
            timeout=min(timeout, _LONGEST_WAIT),
            readonly=readonly,
            guarded=guarded,
        )
        self._groups = Groups(self._connections, self._write, self._ring)

    @property
    def definitions(self) -> Definitions:
        """The charts and vocabularies that the ledger reads by: those that were adopted last.

        >>> sorted(ledger.definitions.charts)
        ['content', 'delivery', 'discovery']
        """
        # Another process may have adopted others since this one read the last time.
        with self._connections.read_log() as own:
            return self._connections.in_force(own.log)

    # --- record: log, index and states in one transaction ---

    @overload
    def record(
        self,
        body: Body,
        content_type: str | None = None,
        *,
        received_at: datetime | None = None,
        source: str = "",
        content_encoding: str | None = None,
        sender: str = "",
        query: bool = False,
        answer: Literal[True] = True,
    ) -> Recorded: ...
    @overload
    def record(
        self,
        body: Body,
        content_type: str | None = None,
        *,
        received_at: datetime | None = None,
        source: str = "",
        content_encoding: str | None = None,
        sender: str = "",
        query: bool = False,
        answer: Literal[False],
    ) -> Kept: ...
    def record(
        self,
        body: Body,
        content_type: str | None = None,
        *,
        received_at: datetime | None = None,
        source: str = "",
        content_encoding: str | None = None,
        sender: str = "",
        query: bool = False,
        answer: bool = True,
    ) -> Recorded | Kept:
        """Record one request body. What this returns is durable.

        Whatever the body is, it is kept: a repeat, a body that can't be read and one of an unknown
        type are events too, which change no state. ``received_at`` is the time of reception,
        aware, by default now; ``source`` the name that the program gives the endpoint; ``sender`` the
        name of the sender check that passed, or ``UNVERIFIED``: such an event is kept unread, and
        moves no state until ``accept``; its ``event.reading`` is ``unverified``, and so is the verdict
        unless it repeats another (``repeated``). With ``query`` the bytes are the query string of a GET.
        Without ``answer`` only position and leaf are returned, which is quicker. Calls of several
        threads are written together. Raises ``LedgerBusy`` or ``LedgerError`` where nothing was written,
        ``ValueError`` for a ``sender`` that is not the name of a check: lower-case letters, digits,
        ``-`` and ``_``, and not ``accepted``.

        >>> recorded = ledger.record(body, content_type="text/xml")
        >>> recorded.verdict.value, recorded.delivery.state
        ('repeated', 'delivered')
        """
        given, answered = receipt_of(
            body,
            content_type,
            received_at=received_at,
            source=source,
            content_encoding=content_encoding,
            sender=sender,
            query=query,
            answer=answer,
        )
        return self._groups.record(given, answered=answered)

    def _write(self, own: Own, given: Sequence[Given], *, answered: bool = False) -> list[Told]:
        """Write in the open transaction, and take it into the projections of a program."""
        with own.store.together():
            done = write(own, self._connections, given, answered=answered)
        # They follow from an index that has it.
        if self._custom and not done[0][0].behind:
            custom.keep_up(own.reader, self._custom.values(), len(given))
        return done

    def _written(self, given: Sequence[Given]) -> list[Told]:
        with self._connections.write() as own:
            return self._write(own, given)

    def _ring(self) -> None:
        if self._bell.ears:
            self._bell.ring()

    @checked
    def record_many(
        self, receipts: Iterable[Receipt | Body], *, progress: Progress = silent
    ) -> Summary:
        """Record many receipts, ``BATCH`` of them in each transaction; counts what became of them.

        When it raises, the batches before are durable, and nothing of the batch in which it raised.
        ``progress`` is called with the number of receipts after each batch.

        >>> summary = ledger.record_many([body, b"?"])
        >>> summary.repeated, summary.unreadable
        (1, 1)
        """
        counts = dict.fromkeys(COUNTED, 0)
        for batch in self.record_batches(map(_receipt, receipts)):
            for _, appended in batch:
                for one in appended:
                    counts[one.counted_as] += 1
            progress(len(batch))
        return Summary(**counts, anchor=self.head())

    @checked
    def record_batches(
        self, receipts: Iterable[Receipt], size: int = BATCH
    ) -> Iterator[list[tuple[Receipt, list[Appended]]]]:
        """Record receipts, ``size`` in each transaction, and yield each batch once it is durable.

        A batch is recorded when it is asked for: whoever does not iterate records nothing, and is
        warned of it. Raises ``ValueError`` for a ``size`` below 1.

        >>> receipts = [Receipt(body), Receipt(body), Receipt(body)]
        >>> [len(batch) for batch in ledger.record_batches(receipts, size=2)]
        [2, 1]
        """
        require_least("size", size, 1)
        given = ((_known_receipt(receipt), Kind.RECEIPT) for receipt in receipts)
        return Batches(self._batches(given, size))

    def _batches(
        self,
        given: Iterable[Given],
        size: int = BATCH,
        note: Callable[[Sequence[Given]], bytes] | None = None,
    ) -> Generator[list[tuple[Receipt, list[Appended]]]]:
        """Record receipts and statements in batches: the kind is for this program alone to say.

        ``note`` gives the body of the import that is stated of each batch, in its transaction.
        """
        for batch in batches(given, size):
            if note is not None:
                batch.append((Receipt(note(batch), JSON), Kind.IMPORT))
            done = self._connections.surely(partial(self._written, batch))
            self._ring()
            yield [(receipt, told) for (receipt, _), (_, told) in zip(batch, done, strict=True)]

    @checked
    def imported(self, sha256: str, receipts: int, origin: Anchor | None = None) -> int:
        """State that receipts were taken from a file; returns the position of the event.

        ``sha256`` is the hash of the file in hexadecimal, ``receipts`` how many were taken from it,
        ``origin`` the anchor of the ledger it comes from. What was taken is recorded before, by
        ``record_many``. Raises ``ValueError`` or ``TypeError`` for invalid arguments.

        >>> from hashlib import sha256
        >>> ledger.imported(sha256(b"the file").hexdigest(), receipts=2) == ledger.head().size - 1
        True
        """
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise ValueError(f"sha256 must be 64 hexadecimal digits, got {sha256!r}")
        require_least("receipts", receipts, 0)
        return self._state_import(import_of(sha256, receipts, origin))

    def _imports(self) -> list[bytes]:
        """The bodies of all imports, in order."""
        with self._connections.read_log() as own:
            return [stored.body for stored in own.log.imports()]

    def _state_import(self, body: bytes) -> int:
        return self._state(body, Kind.IMPORT)

    def _state(self, body: bytes, kind: Kind) -> int:
        """Append what the program itself states; returns the position."""

        def write() -> int:
            with self._connections.write() as own:
                self._write(own, [(Receipt(body, JSON), kind)])
                return own.log.last()

        position = self._connections.surely(write)
        self._ring()
        return position

    @checked
    def accept(self, first: int, last: int, *, source: str | None = None) -> int:
        """Accept unverified events, from position ``first`` to ``last``; returns how many there were.

        For a check that was set up wrongly: what was received is genuine after all. With ``source``
        only those of that endpoint. Each is recorded again as it was received, at the time at which it
        was, with the sender ``accepted``; an event of kind ``import`` says which they were, and so does
        ``Event.accepted``. Events that are not unverified are left alone. To accept the same again adds
        repeats, so what was cut short can be done again. Raises ``ValueError`` for positions that are
        not in order, ``LedgerError`` where the log ends before ``last``.

        >>> recorded = ledger.record(body, sender=UNVERIFIED)
        >>> position = recorded.event.position
        >>> str(recorded.verdict), ledger.accept(position, position)
        ('unverified', 1)
        """
        require_least("first", first, 0)
        require_least("last", last, first)
        end = self.head().size - 1
        if last > end:
            raise LedgerError(f"{self.path}: last must be at most {end}, got {last}")
        given = self._unverified(first, last, source)
        count = sum(len(batch) for batch in self._batches(given))
        if count:
            self._state_import(Acceptance(first, last, source).body(count))
        return count

    def _unverified(self, first: int, last: int, source: str | None) -> Iterator[Given]:
        """The unverified events of a range of positions, as they are recorded again."""
        while first <= last:
            with self._connections.read_log() as own:
                page = own.log.page(first, min(last, first + _PAGE - 1))
            until = page[-1].position + 1 if page else first + 1
            require_whole([stored.position for stored in page], first, until)
            for stored in page:
                envelope = stored.envelope
                if not envelope.is_verified and source in (None, envelope.source):
                    yield accepted(stored), stored.kind
            first = until

    @checked
    def created(
        self,
        tracking_id: str | Sequence[str],
        *,
        to: str,
        mms_id: str | None = None,
        at: datetime | None = None,
        space: str = "",
        received_at: datetime | None = None,
        source: str = "",
    ) -> Recorded:
        """State that the provider accepted a message: for programs that have its answer already.

        ``at`` is when it did, aware; without it the creation has no time. ``space`` is that of the
        vocabulary by which postbacks of the message are read, where it has one. Where they name a
        delivery by several fields, ``tracking_id`` is a list of these as the provider writes them, or
        a text with ``/`` between. To state the same again is a repeat. The provider's own answer
        (``<RESPONSE>``) can be given to ``record`` instead. Raises ``ValueError`` for an id that is
        empty, padded or not on one line, or hasn't these fields, ``UnknownWord`` for a space that no
        vocabulary in force reads into.

        >>> recorded = ledger.created("U01TXzE=", to="16503333058")
        >>> recorded.delivery.state
        'created'
        """
        with translated(self.path):
            given = creation_of(
                self._key_in,
                tracking_id,
                to=to,
                mms_id=mms_id,
                at=at,
                space=space,
                received_at=received_at,
                source=source,
            )
        recorded = self._groups.record(given, answered=True)
        assert isinstance(recorded, Recorded)
        return recorded

    def _key_in(self, given: str | Sequence[str], space: str) -> str:
        """The key that postbacks have of a delivery of a space.

        Raises ``UnknownWord`` or ``ValueError`` where none would ever meet it.
        """
        with suppress(ValueError):
            if known := self._connections.definitions.keys_of(space):
                return require_key("tracking_id", given, known)
        # Another process may have adopted others since this one wrote: looked up only to refuse.
        definitions = self.definitions
        if definitions.reads_into(space):
            return require_key("tracking_id", given, definitions.keys_of(space))
        *others, last = (f"space={name!r}" for name in definitions.spaces)
        said = f"unknown space {space!r}" if space else "space is missing"
        listed = f"{', '.join(others)} or {last}" if others else last
        raise UnknownWord(f"{said}: expected {listed}, of the vocabularies in force")

    # --- read ---

    @checked
    def delivery(
        self,
        tracking_id: str,
        *,
        chart: str = "delivery",
        space: str | None = None,
        as_of: int | datetime | None = None,
        occurred_by: datetime | None = None,
        definitions: Then = "now",
    ) -> Delivery:
        """The state of one delivery; raises ``UnknownKey``.

        ``chart`` and ``space`` are those of its stream. Without a ``space`` it is the one that has the
        id; an id that several have is refused with their names. ``as_of`` asks for what was known at a
        time (aware) or up to a position of the log, ``occurred_by`` for what had happened by a time of
        the provider's clock; ``definitions="then"`` reads it by those in force then.

        >>> ledger.delivery("U01TXzgwNjc4").state, ledger.delivery("U01TXzgwNjc4", as_of=1).state
        ('delivered', 'sent')
        """
        bounds = bounds_of(as_of, occurred_by)

        def read(own: Own, reader: Reader) -> Delivery:
            stream = _stream(reader, space, chart, tracking_id, bounds)
            return delivery_of(stream, self._row(own, reader, stream, bounds))

        return self._read(read, bounds, definitions)

    @checked
    def content(
        self,
        mms_id: str,
        *,
        space: str | None = None,
        as_of: int | datetime | None = None,
        occurred_by: datetime | None = None,
        definitions: Then = "now",
    ) -> Content:
        """The state of one saved MMS; raises ``UnknownKey``.

        >>> ledger.content("35674").failures
        ('sample.mp3',)
        """
        bounds = bounds_of(as_of, occurred_by)

        def read(own: Own, reader: Reader) -> Content:
            stream = _stream(reader, space, "content", mms_id, bounds)
            row = self._row(own, reader, stream, bounds)
            return content_of(delivery_of(stream, row), self._proven(own, reader, stream, bounds))

        return self._read(read, bounds, definitions)

    @checked
    def timeline(
        self,
        key: str,
        *,
        chart: str = "delivery",
        space: str | None = None,
        as_of: int | datetime | None = None,
        occurred_by: datetime | None = None,
        definitions: Then = "now",
    ) -> Timeline:
        """The steps of one delivery (or MMS: ``chart="content"``) in fold order, with verdicts.

        What they show is proven, and the state with it: each event by its leaf, the row of the live
        states, unless as of another time, by a fold. Raises ``IntegrityError`` where either was
        altered or damaged, ``UnknownKey`` where no event names the key, ``UnknownWord`` where there is
        no such chart. Whether anything is missing only ``verify`` says.

        >>> [(str(step.verdict), step.after["delivery"]) for step in ledger.timeline("U01TXzgwNjc4")]
        [('applied', 'sent'), ('applied', 'delivered')]
        """
        bounds = bounds_of(as_of, occurred_by)

        def read(own: Own, reader: Reader) -> Timeline:
            stream = _stream(reader, space, chart, key, bounds)
            return self._proven(own, reader, stream, bounds)

        return self._read(read, bounds, definitions)

    @checked
    def deliveries(
        self,
        /,
        query: Query | None = None,
        *,
        as_of: int | datetime | None = None,
        occurred_by: datetime | None = None,
        definitions: Then = "now",
        **wanted: Any,
    ) -> Iterator[Delivery]:
        """The deliveries that a ``Query`` asks for, given whole or by its fields.

        They come in the order in which they were first received, with ``search`` the newest first, page
        by page: each page is as of the time it is read, but with ``as_of`` or ``occurred_by`` all are as
        of that.

        >>> [delivery.tracking_id for delivery in ledger.deliveries(finding="contradiction")]
        ['TU1TXzU5Nzg3Nw==']
        """
        query, bounds = _query(query, wanted), bounds_of(as_of, occurred_by)
        self._require_known(query, bounds, definitions)
        return self._listed(query, bounds, definitions)

    def _require_known(self, query: Query, bounds: Bounds, definitions: Then) -> None:
        """Raise ``UnknownWord`` where a word is asked for that the definitions don't have."""
        if definitions == "now":
            require_known(query, self.definitions)
        else:
            with self._connections.read() as own:
                require_known(query, _definitions_then(own, bounds))

    def _listed(self, query: Query, bounds: Bounds, definitions: Then) -> Iterator[Delivery]:
        left, after = query.limit, None
        # Whoever searches looks at the newest first, and mostly at no more.
        page = _PAGE if query.search is None else _FIRST_PAGE
        with self._states(bounds, definitions) as states:
            while left is None or left > 0:
                size, page = page if left is None else min(left, page), _PAGE
                found, after = self._page_of(query, states, after, size)
                yield from found
                if len(found) < size:
                    return
                left = None if left is None else left - size

    def _page_of(
        self, query: Query, states: Listing | None, after: After | None, size: int
    ) -> tuple[list[Delivery], After | None]:
        """The next page of a listing, and the place after it."""
        with self._connections.read() as own:
            page = page_of(query, own.store, states or _live(own), after, size)
            found = [delivery_of(stream, row) for stream, row in page]
            return found, after_of(page) if page else after

    @contextmanager
    def _listing(self, states: Listing | None) -> Iterator[tuple[Store, Listing]]:
        """A read transaction, and where the states are in it: these, or else the live ones."""
        with self._connections.read() as own:
            yield own.store, states or _live(own)

    @checked
    def reconcile(
        self,
        rows: Iterable[InvoiceRow],
        *,
        space: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: int | datetime | None = None,
        occurred_by: datetime | None = None,
        definitions: Then = "now",
        progress: Progress = silent,
    ) -> Iterator[Reconciled]:
        """Hold the rows of a provider's invoice against the deliveries, and say how each differs.

        Each row comes next to its delivery, in the order of the invoice, then each delivery that was
        delivered, began in the period and is on no row. Each is as of the time it is read, but with
        ``as_of`` or ``occurred_by`` all are as of that; the ledger may be written meanwhile, and memory
        holds a page. ``space`` is that of the ids, and must be given where deliveries are of several
        (``UnknownKey``). Prices and numbers of segments are compared with the amounts ``price`` and
        ``segments`` of the postbacks, where they have these. ``progress`` is called with the number of
        rows, and then of deliveries, that were looked at since the last call.
        ``postledger.invoices.totals.InvoiceTotals`` adds up what came.

        >>> rows = [InvoiceRow(2, "U01TXzgwNjc4"), InvoiceRow(3, "U01TXzgwNjc4"), InvoiceRow(4, "x")]
        >>> for found in ledger.reconcile(rows):
        ...     print([(one.kind, one.line, one.tracking_id) for one in found.differences])
        []
        [('billed_twice', 3, 'U01TXzgwNjc4')]
        [('unknown', 4, 'x')]
        [('not_billed', None, 'TU1TXzU5Nzg3OQ==')]
        [('not_billed', None, 'TU1TXzU5Nzg3Nw==')]
        """
        query, bounds = (
            Query(state=DELIVERED, since=since, until=until),
            bounds_of(as_of, occurred_by),
        )
        self._require_known(query, bounds, definitions)
        states = self._states(bounds, definitions)
        return self._reconciled(rows, space, query, states, progress)

    def _reconciled(
        self,
        rows: Iterable[InvoiceRow],
        space: str | None,
        query: Query,
        as_of: AbstractContextManager[Listing | None],
        progress: Progress,
    ) -> Iterator[Reconciled]:
        with (
            foreign(progress) as told,
            as_of as states,
            self._connections.pages() as own,
            own.store.scratch("billed") as billed,
        ):
            if space is None:
                # Also one whose deliveries came later: which is meant must not depend on the time.
                spaces = own.reader.index.every_space(DELIVERY)
                if len(spaces) > 1:
                    listed = ", ".join(map(repr, spaces))
                    raise UnknownKey(
                        f"several spaces have deliveries: {listed}; say which: space", spaces
                    )
                space = spaces[0] if spaces else ""
            ids = Ids(partial(self._listing, states), billed, space, told)
            yield from ids.reconciled(rows, attrs.evolve(query, space=space))

    @checked
    def counts(
        self,
        /,
        query: Query | None = None,
        *,
        by: Iterable[CountBy],
        zone: tzinfo = UTC,
        as_of: int | datetime | None = None,
        occurred_by: datetime | None = None,
        definitions: Then = "now",
        **wanted: Any,
    ) -> tuple[Count, ...]:
        """The deliveries that a ``Query`` asks for, counted for each combination of what ``by`` names.

        They are exactly those that ``deliveries`` lists, all as of one time. ``by`` names ``state``,
        ``route``, ``read``, ``grade``, ``spid``, ``aggregator``, ``handset``, ``space``, ``source``,
        ``reason``, ``reason_class``, and ``day`` or ``hour``, in which a delivery began by the clocks of
        ``zone``. With a time they come in that order, else the largest first; ``limit`` is that of the
        counts. Raises ``UnknownWord`` for other names.

        >>> ledger.counts(by=["spid"], state="delivered", route="sms")
        (Count(by={'spid': '0001470'}, deliveries=1, delivered=1),)
        """
        dimensions = require_dimensions(by)
        query, bounds = _query(query, wanted), bounds_of(as_of, occurred_by)
        with self._states(bounds, definitions) as states, self._connections.read() as own:
            return counts_of(query, dimensions, zone, own.store, states or _live(own))

    @checked
    def tallies(
        self,
        what: TallyOf = "deliveries",
        *,
        by: Iterable[TallyBy] = (),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> tuple[Tally, ...]:
        """How many events or deliveries there are, for each combination of what ``by`` names.

        They are counted by the ``hour`` of reception (of deliveries: of the first event), ``source``,
        ``carrier`` (the SPID), ``route`` and ``value``, without going through them. ``what`` is one of

        - ``events``: of a bundle each member; ``value`` is the reading. They have no carrier or route;
        - ``deliveries``: ``value`` is the state, ``seconds`` the time from sent to outcome;
        - ``findings``: of the deliveries; ``value`` is the finding;
        - ``sendings``: deliveries that were created and sent; ``seconds`` is the time between.

        ``seconds`` is the least power of two that a duration doesn't exceed. It is 0 for a missing
        duration, and for one of more than ten years, which is not added up either. Only hours that
        begin at ``since`` or later, and before ``until``, are counted, so that periods can be added up:
        for the last minutes give the beginning of the hour. Raises ``ValueError`` for other names.

        >>> [(tally.value, tally.count) for tally in ledger.tallies(by=["value"])]
        [...('delivered', 3)...]
        """
        require_order(since, until)
        columns = require_by(by)
        with self._connections.read() as own:
            return public_tallies(own.generation.tallies_of(own.store), what, columns, since, until)

    @checked
    def health(self) -> Health:
        """How the ledger is: how large, how far behind, what waits and what is wrong.

        It reads little and changes nothing, and raises only where the file can't be read at all.

        >>> health = ledger.health()
        >>> health.size == ledger.head().size, health.behind, health.problems
        (True, 0, ())
        """
        return health_of(self._connections, self._groups.pressure())

    @checked
    def check(self, rules: Rules | None = None, *, at: datetime | None = None) -> tuple[Alert, ...]:
        """What somebody should look at, by rules; without these by ``Rules()``.

        A carrier that delivers less than it usually does, more deliveries without outcome or events that
        can't be read than usual, and silence. What is usual comes from the ledger's own past; where there
        is too little of it, nothing is judged. ``at`` (aware) asks for what a check would have said then:
        where anything was received after it, the states as of it are made first, which takes longer.

        >>> later = ledger.health().last_received + timedelta(days=1)
        >>> ledger.check(Rules(silence=Silence(after=timedelta(hours=1), minimum=1)), at=later)
        (Alert(rule='silence', of='all', name=None, ...),)
        """
        rules, time = rules or Rules(), micros(now() if at is None else at)
        periods = Periods.of(rules, time)
        # What is stamped later than now makes no check of now one of the past.
        running = None if at is None else self._running(time)

        def counted(own: Own) -> Counted:
            if running is None:
                with own.store.read():
                    return counted_of(own, own.reader, _live(own), periods, None)
            bounds = Bounds(received_by=time).within(own.log.size())
            with self._snapshot(own, own.reader.definitions, bounds) as (reader, listing):
                return counted_of(own, reader, listing, periods, running)

        return alerts_of(self._again(counted), rules)

    def _running(self, time: int) -> list[Event] | None:
        """The events of the hour in which a time lies, up to it; ``None`` where none came later."""
        with self._connections.read() as own:
            newest = own.generation.tallies_of(own.store).newest()
        if newest is None or newest <= time:
            return None
        begins, ends = time_of(time // HOUR * HOUR), time_of(time) + timedelta(microseconds=1)
        return list(self.events(since=begins, until=ends))

    @checked
    def events(
        self,
        after: int = -1,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        key: str | None = None,
    ) -> Iterator[Event]:
        """All events after position ``after``, in order of position; of a bundle each member.

        With ``since`` and ``until`` only those received at ``since`` or later, and before ``until``
        (aware times); with ``key`` those that name that TRACKINGID or MMSID, in any space.

        >>> [event.position for event in ledger.events(after=1)][:3]
        [2, 3, 4]
        >>> [event.position for event in ledger.events(key="U01TXzgwNjc4")][:2]
        [1, 2]
        """
        require_order(since, until)
        received = None if since is until is None else (_at(since, -LARGEST), _at(until, LARGEST))
        return self._events(within_reach(after), received, key)

    def _events(
        self, after: int, received: tuple[int, int] | None, key: str | None
    ) -> Iterator[Event]:
        accepted: list[Acceptance] | None = None
        streams, places = (None, None) if key is None else self._naming(key)
        while True:
            with self._connections.read() as own:
                page = _page_of_events(own.log, after, received, places)
                if accepted is None and not all(one.envelope.is_verified for one in page):
                    accepted = acceptances_of(own.log.imports())
                events = [
                    event
                    for event in _members(own.reader, page, accepted or ())
                    if streams is None or (event.space, event.chart, event.key) in streams
                ]
            yield from events
            if not page:
                return
            after = page[-1].position

    def _naming(self, key: str) -> tuple[set[Stream], list[int]]:
        """The streams of a key, and the positions of their events."""
        with self._connections.read() as own:
            index = own.reader.index
            streams = {
                stream
                for chart in own.reader.definitions.charts
                for stream in _meant(own.reader, None, chart, key)
            }
            numbers = (index.find(stream) for stream in streams)
            rows = (row for one in numbers if one is not None for row in index.rows_of(one))
            return streams, sorted({row[3] for row in rows})

    def head(self) -> Anchor:
        """The head of the log's tree, its size and its root: the anchor to keep elsewhere.

        >>> ledger.verify(ledger.head()).ok
        True
        """
        with self._connections.read_log() as own:
            frontier = own.log.head().frontier
            return Anchor(frontier.size, frontier.root().hex())

    @checked
    def verify(self, anchor: Anchor | None = None, *, progress: Progress = silent) -> Verification:
        """Check the file, the guards, the log's tree, an anchor, and index and states by a new reading.

        >>> ledger.verify().problems
        ()
        """
        with foreign(progress) as told, self._connections.pages() as own:
            return verify_whole(own.reader, anchor, told)

    @checked
    def verified(self, verification: Verification) -> int | None:
        """State in the log that the whole ledger was verified, and that all was well.

        Reports say when that was last. Returns the position of the event; ``None`` where nothing was
        written, since nothing else was recorded since the last one, and that is less than a day old.
        Raises ``ValueError`` for a verification that found problems, or is of another log.

        >>> ledger.verified(ledger.verify()) == ledger.head().size - 1
        True
        >>> ledger.verified(ledger.verify())
        """
        if not verification.ok:
            raise ValueError(f"verification must be ok, got {verification.problems[0]}")
        anchor = verification.anchor
        with self._connections.read() as own:
            log, last = own.log, last_verified(own.log, own.generation.tallies_of(own.store))
            if anchor.size > log.size() or log.root(anchor.size).hex() != anchor.root:
                raise ValueError(f"verification must be of this ledger, got one at {anchor}")
            stated = own.generation.tallies_of(own.store).verified()
            if last is not None and stated == log.last() and now() - last.at < _DAY:
                return None
        return self._state(body_of(anchor), Kind.VERIFICATION)

    @checked
    def audit(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: int | datetime | None = None,
        occurred_by: datetime | None = None,
        definitions: Then = "now",
        unmask: bool = False,
        verify: bool = False,
        tracking_id: str | None = None,
        space: str | None = None,
        cover: Cover | None = None,
        progress: Progress = silent,
    ) -> AuditReport:
        """The audit report: of the deliveries that began in a period, or of one of them.

        ``since`` is inclusive, ``until`` exclusive; ``as_of``, ``occurred_by`` and ``definitions`` are
        as in ``delivery``. Personal numbers are masked unless ``unmask``. With ``verify`` the whole
        ledger is verified first, with its ``progress``; else figures are those of the states as they
        stand, and the report says so. One delivery is folded from its events in any case, each proven
        to stand under the root of the anchor, and compared with its state. ``cover`` has title, parties,
        reference and author for the first page. Raises ``UnknownKey``
        for a ``tracking_id`` of which nothing is known, ``ValueError`` for a period that ends before it
        begins, or that goes with a ``tracking_id``.

        >>> ledger.audit(verify=True).integrity.verified, ledger.audit().integrity.verified
        (True, False)
        >>> "U01TXzgwNjc4" in ledger.audit(tracking_id="U01TXzgwNjc4").to_json()
        True
        """
        if tracking_id is None and space is not None:
            raise ValueError(f"space must go with a tracking_id, got {space!r} alone")
        if tracking_id is not None and (since or until):
            raise ValueError(
                f"since and until must be left out where tracking_id is given, got {tracking_id!r}"
            )
        asked = Request(since, until, as_of, occurred_by, definitions, unmask)
        name = named_in_reports(self.path)
        found = None
        if verify:
            with foreign(progress) as told, self._connections.pages() as own:
                found = Standing(verify_whole(own.reader, progress=told), whole=True)
        named = None if tracking_id is None else (space, DELIVERY, tracking_id)
        report = self._again(lambda own: self._report(own, asked, named, name, found))
        return attrs.evolve(report, cover=cover or Cover())

    def _report(
        self, own: Own, asked: Request, named: _Named | None, name: str, found: Standing | None
    ) -> AuditReport:
        """The report on the events that were verified, or else on those that there are."""
        if found is None and named is None and asked.is_live:
            report = self._report_live(own, asked, name)
            if report is not None:
                return report
        if found is None:
            with own.store.read():
                found = standing(own.log, own.generation)
                if named is None:
                    found = found.beside(_damaged(own).values())
        size = found.verification.events
        by, bounds = _definitions_of(own, asked, size), asked.bounds.within(size)
        if named is None:
            with self._snapshot(own, by, bounds) as (reader, listing):
                return of_period(reader, listing, asked, name, found)
        with self._reading_by(own, by, bounds) as reader, own.store.read():
            stream = _stream(reader, *named, bounds)
            row, problems = self._folded(own, reader, stream, bounds, asked.bounds)
            steps = self._steps(reader, stream, bounds)
            found = found.beside(problems)
            return of_delivery(reader, delivery_of(stream, row), steps, asked, name, found)

    def _report_live(self, own: Own, asked: Request, name: str) -> AuditReport | None:
        """The report on the live states of a period; ``None`` where they are not up to the log."""
        with live_snapshot(own.reader) as states:
            with own.store.read():
                live = generations.live(own.store)
                found = standing(own.log, own.generation)
                if (
                    live is None
                    or (live.number, live.version)
                    != (own.generation.number, own.generation.version)
                    or live.size != found.verification.events
                ):
                    return None
                damaged = generations.damaged_indexes(own.store, live)
                states.fill(live, damaged, *asked.reach)
                found = found.beside(damaged.values())
            return of_period(own.reader, states.listing, asked, name, found)

    def _folded(
        self, own: Own, reader: Reader, stream: Stream, bounds: Bounds, asked: Bounds
    ) -> tuple[Row, list[str]]:
        """The row of a stream as its events are folded now, and what is wrong with them or its state."""
        number = reader.index.find(stream)
        rows = [] if number is None else reader.index.rows_of(number, bounds)
        if number is None or not rows:
            return self._row(own, reader, stream, bounds, asked), []
        # The row that is kept is of all events, by the definitions in force.
        whole = reader is own.reader and len(reader.index.rows_of(number)) == len(rows)
        kept = generations.kept_row(own.store, own.generation.table, number) if whole else None
        problems = list(stream_problems(reader, stream, rows))
        row, problem = fold_of(reader, stream, rows)
        # guard: the state compared with the fold of a dossier
        if problem is None and whole and kept != row:
            problem = state_differs(stream)
        if row is None:
            row = self._row(own, reader, stream, bounds, asked)
        return row, problems + ([] if problem is None else [problem])

    @checked
    def replay(
        self,
        definitions: Definitions | None = None,
        *,
        index: bool = False,
        progress: Progress = silent,
    ) -> None:
        """Fold the states again from the index, by ``definitions`` if given, and switch to them.

        Where their vocabularies are others than those in force, or with ``index``, the log itself is
        read again. Other threads and processes may go on recording. The old states stay live until
        the new ones are whole; a replay that was interrupted goes on where it was. ``definitions`` take
        the place of all that are in force: ``ledger.definitions.with_providers(…)`` and ``with_files``
        add to these, and ``differences`` says what would change.

        >>> ledger.replay()
        >>> ledger.verify().ok
        True
        """
        with foreign(progress) as told:
            self._connections.replay(definitions, told, index=index)
        # What users derive from the states is of other states now.
        for projection in self._custom.values():
            self.project(projection)
        self._bell.ring()

    @checked
    def copy(self, target: FilePath | Address, *, progress: Progress = silent) -> Copied:
        """Copy the ledger as it is now to a new file or schema, or to one that has its beginning.

        Every event is copied as it is, so that the root is the same and anchors hold there too; index
        and states are made there. Others may record meanwhile: what they add is of the next copy, which
        adds what is new. A copy that was interrupted goes on when it is called again; a new file stands
        as ``target`` with ``-copy`` behind it until it is whole. Checkpoints of subscriptions and
        projections of your own are not copied. ``progress`` is called with the number of events that
        were copied, then of those that index and states were made of. Raises ``LedgerError`` where
        the target has other events, or gets some meanwhile, ``NotALedger`` where it is anything else.

        >>> ledger.copy("another.db").anchor == ledger.head()
        True
        >>> ledger.copy("another.db").added
        0
        """
        place, own = require_openable(target), self._connections
        if place == self.path:
            raise LedgerError(f"{place}: the source itself; name another ledger to copy it to")
        how = copying.How(own.limits, own.timeout)
        with foreign(progress) as told:
            return copying.copy(copying.OwnLog(own), place, how, told)

    @checked
    def archive(
        self, folder: FilePath, *, rows: int = ROWS, progress: Progress = silent
    ) -> Archived:
        """Write the ledger as it is now to a folder as Parquet, with what follows from it: an archive.

        ``folder`` is a path, or the address of a folder that PyArrow knows, such as
        ``s3://bucket/folder``. It must be new or empty, or have what a run left that was killed: what is
        whole of that is kept, and the run goes on, of the events that it began with. It is an archive
        once its manifest is there, which is written last. About ``rows`` rows are held in memory at
        once (one of more than 1 kB counts as several), or those of the longest stream. Others may
        record meanwhile. An archive has the salts of the events, as a copy does. ``progress`` is called
        with the number of events, three times for each. Raises ``LedgerError`` where something else is
        in the folder, or it can't be written, ``PostledgerError`` without PyArrow.

        >>> ledger.archive("another-archive").anchor == ledger.head()
        True
        """
        require_least("rows", rows, 1)
        place = Folder.of(folder)
        with self._connections.read_log() as own:
            head, ledger = own.log.head(), generations.ledger_id(own.log)
            definitions = self._connections.in_force(own.log)
        anchor = Anchor(head.size, head.frontier.root().hex())
        work = Archiving(
            copying.OwnLog(self._connections),
            ledger,
            anchor,
            definitions,
            self._connections.limits,
            rows,
        )
        with foreign(progress) as told:
            return write_archive(work, place, told)

    @checked
    def differences(
        self, definitions: Definitions, *, progress: Progress = silent
    ) -> Iterator[Difference]:
        """What would change if the log were read by other definitions; nothing is written.

        It is said of the log as it is when the iteration begins, whatever is recorded meanwhile. Raises
        ``LedgerError`` where another replay takes the index away that is being compared.

        >>> list(ledger.differences(ledger.definitions))
        []
        """
        return self._differences(definitions, progress)

    def _differences(self, definitions: Definitions, progress: Progress) -> Iterator[Difference]:
        limits = self._connections.limits
        with (
            foreign(progress) as told,
            self._connections.pages() as own,
            undisturbed(own.store, own.generation),
        ):
            yield from differences(own.reader, definitions, limits, told)

    def _read(self, work: Callable[[Own, Reader], T], bounds: Bounds, definitions: Then) -> T:
        """What is read in one transaction, by the definitions in force now or then."""
        if definitions == "now":
            with self._connections.read() as own:
                return work(own, own.reader)

        def then(own: Own) -> T:
            by = _definitions_then(own, bounds)
            with self._reading_by(own, by, bounds) as reader, own.store.read():
                return work(own, reader)

        return self._again(then)

    def _again(self, work: Callable[[Own], T]) -> T:
        """What is read page by page, begun again where a replay takes away what is being read."""
        for _ in range(_ATTEMPTS):
            with (
                suppress(Disturbed),
                self._connections.pages() as own,
                undisturbed(own.store, own.generation),
            ):
                return work(own)
        # It happens again and again: this is read as of one time.
        with self._connections.read() as own:
            return work(own)

    @contextmanager
    def _reading_by(self, own: Own, definitions: Definitions, bounds: Bounds) -> Iterator[Reader]:
        """A reader by definitions, of the first events up to the position of the bounds."""
        if definitions.hash == own.reader.definitions.hash:
            yield own.reader
            return
        with reading_by(own.reader, definitions, self._connections.limits, bounds) as reader:
            yield reader

    @contextmanager
    def _snapshot(
        self, own: Own, definitions: Definitions, bounds: Bounds
    ) -> Iterator[tuple[Reader, Listing]]:
        """The states by definitions as of bounds, and what they were read by."""
        with self._reading_by(own, definitions, bounds) as reader:
            live = own.generation.table if reader is own.reader else None
            with snapshot(reader, live, bounds) as listing:
                yield reader, listing

    def _row(
        self, own: Own, reader: Reader, stream: Stream, bounds: Bounds, asked: Bounds | None = None
    ) -> Row:
        """The row of a stream as of bounds; ``asked`` are those asked for, where wider."""
        found = reader.index.find(stream)
        row: Row | None = None
        if found is not None and bounds == EVERYTHING and reader is own.reader:
            row = generations.kept_row(own.store, own.generation.table, found)
        elif found is not None:
            row = reader.row_of(found, bounds)
        if row is None:
            now = (bounds if asked is None else asked) == EVERYTHING
            but = _STATELESS if now and found is not None else ""
            reader.definitions.chart(stream[1])
            raise UnknownKey(f"no {_named(stream)} {'is known' if now else 'was known then'}{but}")
        return row

    def _proven(self, own: Own, reader: Reader, stream: Stream, bounds: Bounds) -> Timeline:
        """The steps of a stream, each proven, and without bounds its live row too."""
        _known(reader, stream)
        live = bounds == EVERYTHING and reader is own.reader
        check_stream(reader, stream, own.generation.table if live else None)
        return self._steps(reader, stream, bounds)

    def _steps(self, reader: Reader, stream: Stream, bounds: Bounds) -> Timeline:
        chart = _known(reader, stream)
        return timeline_of(reader.facts, chart, reader.known(stream, bounds))

    @contextmanager
    def _states(self, bounds: Bounds, definitions: Then) -> Iterator[Listing | None]:
        """Where the states as of the bounds are; ``None`` stands for the live ones."""
        if bounds == EVERYTHING and definitions == "now":
            yield None
            return

        def filled(own: Own) -> tuple[ExitStack, Listing]:
            by = own.reader.definitions if definitions == "now" else _definitions_then(own, bounds)
            with ExitStack() as stack:
                at = bounds.within(own.log.size())
                _, listing = stack.enter_context(self._snapshot(own, by, at))
                return stack.pop_all(), listing

        stack, listing = self._again(filled)
        with stack:
            yield listing

    # --- follow: what changed, in order of position ---

    @checked
    def changes(
        self, since: int | datetime, until: int | datetime | None = None
    ) -> Iterator[Change]:
        """What changed between two times: each delivery whose states as of the two differ.

        ``since`` and ``until`` are as ``as_of``: times (aware), or positions of the log; without
        ``until`` it is the end of the log. ``before`` and ``after`` of a change are its delivery as known
        then, ``event`` is the one that brought it into the states of after. They come in the order in
        which the deliveries came up in the log. Raises ``ValueError`` unless ``since`` is before
        ``until``, ``TypeError`` for a time and a position.

        >>> for change in ledger.changes(1, 2):
        ...     print(change.after.tracking_id, change.before.state, change.after.state, change.position)
        U01TXzgwNjc4 sent delivered 2
        """
        if until is not None and isinstance(since, datetime) != isinstance(until, datetime):
            raise TypeError(
                f"since and until must both be times or positions, got {since} and {until}"
            )
        earlier, later = bounds_of(since, None), bounds_of(until, None)
        if until is not None and since >= until:  # type: ignore[operator]
            raise ValueError(f"since must be before until, got {since} and {until}")
        return self._changes(earlier, later)

    def _changes(self, earlier: Bounds, later: Bounds) -> Iterator[Change]:
        with self._connections.pages() as own, undisturbed(own.store, own.generation):
            yield from changes.between(own.reader, earlier, later)

    @checked
    def follow(self, after: int = -1, *, live: bool = True) -> Iterator[StateChanged]:
        """The changes of deliveries after position ``after``, in order of position.

        It goes on with those to come until the ledger is closed, or with ``live=False`` ends with
        the last there is. Events that change no state yield none.

        >>> for change in ledger.follow(after=1, live=False):
        ...     print(change.position, change.delivery.tracking_id, change.after["delivery"])
        ...     break
        2 U01TXzgwNjc4 delivered
        """
        return following.follow(self._pages(), within_reach(after), bell=self._bell, live=live)

    @checked
    def subscribe(
        self,
        name: str,
        handler: Handler,
        *,
        after: int = -1,
        live: bool = True,
        retry: Retry | None = None,
    ) -> Subscription:
        """Have ``handler`` called with every change of a delivery, in order, at least once.

        The ledger keeps under ``name`` how far it has come, after the handler and never before it;
        a new name begins after position ``after``. The handler is called in a thread of its own
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
        require_name("name", name)
        require_handler(handler)
        running = self._subscriptions.get(name)
        if running is not None and running.running:
            raise LedgerError(f"subscription {name!r} is running already; stop it first")
        with self._connections.write() as own:
            last = own.log.last()
            if checkpoints.load(own.store, last, SUBSCRIPTION, name) is None:
                checkpoints.begin(own.store, SUBSCRIPTION, name, within_reach(after))
        subscription = Subscription(name, handler, self._place(name), retry or Retry())
        self._subscriptions[name] = subscription
        if live:
            subscription.start()
        else:
            subscription.run(live=False)
        return subscription

    def project(self, projection: Projection) -> None:
        """Keep a projection of your own: its tables in the ledger, up to date with each write.

        It is first built from the log, or brought up to it, while writers go on; again where its
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
        [{'kind': 'adoption'}, ...]
        """
        with self._connections.read() as own:
            reader = own.reader
        self._connections.require_writable()
        with translated(self.path):
            custom.settle(reader, projection)
        # Replaced and not changed: another thread may be going through it in a write.
        self._custom = {**self._custom, projection.name: projection}

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Where the subscriptions and the projections of your own stand, whoever runs them.

        >>> for checkpoint in ledger.checkpoints():
        ...     print(checkpoint.kind, checkpoint.name, checkpoint.behind)
        projection kinds 0
        subscription webhooks 0
        """
        with self._connections.read() as own:
            return checkpoints.all_of(own.store, own.log.last())

    @checked
    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """The rows of a SELECT over the views and over tables of your own; nothing can be written.

        The views are ``deliveries``, ``contents``, ``statements`` and ``event_log``. Raises
        ``LedgerError`` with what SQLite says where the statement is wrong.

        >>> ledger.query("SELECT state, route FROM deliveries WHERE tracking_id = ?", ["U01TXzgwNjc4"])
        [{'state': 'delivered', 'route': 'sms'}]
        """
        with self._connections.read() as own, own.store.query(sql, parameters) as (columns, rows):
            return [dict(zip(columns, row, strict=True)) for row in rows]

    def _pages(self) -> Callable[[int], Page]:
        """What reads the page after a position, for one who follows."""
        kept = Lives()

        def page(after: int) -> Page:
            with self._connections.read() as own:
                return changes.page_of(own.reader, after, generations.ledger_id(own.log), kept)

        return page

    def _place(self, name: str) -> Place:
        """What the subscription of that name reads from and keeps its checkpoint in."""

        def load() -> Checkpoint:
            with self._connections.read() as own:
                there = checkpoints.load(own.store, own.log.last(), SUBSCRIPTION, name)
            if there is None:
                raise LedgerError(f"subscription {name!r} is not kept in {self.path}")
            return there

        def move(checkpoint: Checkpoint, position: int, problem: str | None) -> Checkpoint:
            def write() -> Checkpoint:
                with self._connections.write() as own:
                    return checkpoints.move(own.store, checkpoint, position, problem)

            return self._connections.surely(write)

        return Place(self._bell, self._pages(), load, move, lambda: self.head().size - 1)

    # --- the file ---

    def close(self) -> None:
        """Stop the subscriptions and close the file; the ledger can't be used afterwards.

        >>> opened = Ledger("deliveries.db")
        >>> opened.close()
        """
        self._bell.close()
        for subscription in self._subscriptions.values():
            subscription.stop()
        self._connections.close()
        if self._connections.is_of_process:
            self._groups.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require_openable(path: FilePath | Address, *, timeout: float = 60.0, **_: object) -> Location:
    """Where a ledger is; raises ``ValueError`` before anything is made there."""
    require_least("timeout", timeout, 0)
    if isinstance(path, Address):
        return path
    name = str(path)
    if is_address(name):
        return Address.parse(name)
    if not name:
        raise ValueError(f"path must name a file, got {name!r}")
    if name == ":memory:" or name.startswith("file:"):
        raise ValueError(
            f"path must name a file, got {name!r}: a ledger is kept; use a temporary file"
        )
    # Resolved once: a later change of the working directory opens no other file.
    # guard: the path resolved once
    return Path(path).absolute()


def _receipt(given: Receipt | Body) -> Receipt:
    if not isinstance(given, Receipt | Body):
        raise TypeError(f"receipts must be bytes or Receipt, got {type(given).__name__}")
    return given if isinstance(given, Receipt) else Receipt(given)


def _known_receipt(given: Receipt) -> Receipt:
    if not isinstance(given, Receipt):
        raise TypeError(f"receipts must be Receipt, got {type(given).__name__}")
    return given


def within_reach(position: int) -> int:
    """A position to read after: before the first there is nothing, and after the last neither."""
    return max(-1, min(position, LARGEST))


def _named(stream: Stream) -> str:
    """A stream in the words of a message."""
    space, chart, key = stream
    return f"{chart} {key!r} of the space {space!r}" if space else f"{chart} {key!r}"


def _stream(
    reader: Reader, space: str | None, chart: str, key: str, bounds: Bounds = EVERYTHING
) -> Stream:
    """The stream of a key, in the space that is named or in the only one that has it.

    Where none has it, a key of several fields is looked for by the fields as the provider writes them.
    """
    found = reader.having(_meant(reader, space, chart, key), bounds)
    spaces = list(dict.fromkeys(one[0] for one in found))
    if len(spaces) > 1:
        told = ", ".join(map(repr, spaces))
        raise UnknownKey(f"several spaces have a {chart} {key!r}: {told}; say which: space", spaces)
    if len(found) > 1:
        told = ", ".join(repr(one[2]) for one in found)
        raise UnknownKey(f"{key!r} may be each {chart} of {told}; give one of these")
    return found[0] if found else (space or "", chart, key)


def _meant(reader: Reader, space: str | None, chart: str, key: str) -> list[Stream]:
    """The streams of a key, or else of the keys whose fields it may have as the provider writes them."""
    return _streams(reader, space, chart, [key]) or _streams(reader, space, chart, keys_meant(key))


def _streams(reader: Reader, space: str | None, chart: str, keys: Iterable[str]) -> list[Stream]:
    """The streams of any of the keys, in the space if one is named."""
    every = ((known, chart, key) for key in keys for known in reader.index.spaces(chart, key))
    return [stream for stream in every if space in (None, stream[0])]


def _query(query: Query | None, wanted: Mapping[str, Any]) -> Query:
    """The query that is given, whole or by its fields."""
    if query is not None and wanted:
        raise TypeError(f"give a query or its fields, got both: {', '.join(wanted)}")
    return query or Query(**wanted)


def _live(own: Own) -> Listing:
    """Where the live states are."""
    there, streams = own.generation, own.reader.index.streams_table
    return Listing(
        own.reader.definitions, there.table, streams, there.search_name, there.tallies_name
    )


def _damaged(own: Own) -> dict[str, str]:
    """What is wrong with the indexes of the live states that figures are read by."""
    live = generations.live(own.store)
    return {} if live is None else generations.damaged_indexes(own.store, live)


def _known(reader: Reader, stream: Stream) -> Statechart:
    """The chart of a stream; raises ``UnknownWord`` or ``UnknownKey``."""
    chart = reader.definitions.chart(stream[1])
    if reader.index.find(stream) is None:
        raise UnknownKey(f"no {_named(stream)} is known")
    return chart


def _definitions_of(own: Own, asked: Request, size: int) -> Definitions:
    """The definitions of a report on the first events: those in force at their end, or then."""
    if asked.definitions == "then":
        return _definitions_then(own, asked.bounds.within(size))
    if own.log.head().adoption < size:
        return own.reader.definitions
    return _definitions_then(own, Bounds(size - 1))


def _definitions_then(own: Own, bounds: Bounds) -> Definitions:
    """The definitions that were in force as of the bounds; the first ones before any."""
    found = None
    for stored in own.log.adoptions(bounds.position):
        late = bounds.received_by is not None and stored.received_at > bounds.received_by
        if found is None or not late:
            found = stored
    if found is None:
        found = own.log.at(0)
    return generations.adopted(found)


def _at(time: datetime | None, otherwise: int) -> int:
    return otherwise if time is None else micros(time)


def _page_of_events(
    log: Log, after: int, received: tuple[int, int] | None, places: list[int] | None
) -> list[Stored]:
    """The next events after a position: received in a period, or at some of the positions."""
    since, until = received or (-LARGEST, LARGEST)
    if places is None:
        if received is None:
            return log.page(after + 1, after + _PAGE)
        return log.page_received(after + 1, since, until, _PAGE)
    # One by one, since bodies may be large.
    rest = map(log.at, places[bisect_right(places, after) :])
    return list(islice((one for one in rest if since <= one.received_at < until), _FEW))


def _members(
    reader: Reader, page: Sequence[Stored], acceptances: Iterable[Acceptance] = ()
) -> Iterator[Event]:
    """The public values of events: one each, or one for each member of a bundle."""
    said = [
        (stored, member, statement)
        for stored in page
        for member, statement in enumerate(reader.facts.statements_of(stored) or [None])
    ]
    asked = [(one, stored.position, member) for stored, member, one in said if one is not None]
    repeats = iter(reader.repeats_of(asked))
    for stored, member, statement in said:
        event = event_of(stored, member, statement, None if statement is None else next(repeats))
        if event.reading == UNVERIFIED:
            covered = any(one.covers(event.position, event.source) for one in acceptances)
            event = attrs.evolve(event, accepted=covered)
        yield event
