"""Several ledgers, read as one: lists, timelines and reports over all their events."""

from __future__ import annotations

import os
import shlex
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from secrets import token_hex
from tempfile import gettempdir
from typing import Any, Self
from urllib.parse import urlsplit

import attrs

from postledger.address import Address, Location, named_in_reports
from postledger.arguments import FilePath, checked, names_of, require_least, require_name
from postledger.audit.dossier import Dossier, Prover
from postledger.audit.integrity import Integrity, integrity
from postledger.audit.mask import Mask
from postledger.audit.report import AuditReport, Cover, Included, placed
from postledger.definitions.definitions import Definitions, adding, unshared
from postledger.errors import DefinitionsDiffer, LedgerError
from postledger.invoices.invoice import InvoiceRow, Reconciled
from postledger.ledger.ledger import Ledger
from postledger.ledger.merge import Merge, pages
from postledger.model import Anchor, Content, Count, Delivery, Place, Tally, Timeline, Verification
from postledger.progress import Progress, foreign, silent
from postledger.projections import generations
from postledger.projections.counts import CountBy
from postledger.projections.queries import Query
from postledger.projections.tallies import TallyBy, TallyOf
from postledger.verify import Standing, standing
from postledger.verify import verify as verify_whole
from postledger.wire import Limits


@attrs.define
class _One:
    """One of the ledgers, and how it stood when its events were taken in."""

    name: str
    ledger: Ledger
    found: Standing

    @property
    def size(self) -> int:
        """How many of its events were taken in."""
        return self.found.verification.events

    @property
    def anchor(self) -> Anchor:
        """Its head after these."""
        return self.found.verification.anchor


class Ledgers:
    """Several ledgers, read as one that has the events of all: none of them is written to.

    For ledgers that are split by source or by receiving host, where the events of one delivery may stand
    in several. All that is shown is what one ledger with all the events would show: a postback that two
    of them received is a repeat. They must read by the same definitions, or ``DefinitionsDiffer`` is
    raised, which says how to adopt them. ``names`` are what places call them by, one for each; by
    default the names of the files, or of the schemas. With ``key``, a TRACKINGID or MMSID, only the
    events that name it are taken in, which is quick. ``limits`` bound what is read of a body, as they did
    for whoever recorded. ``progress`` is called with the number of events that were taken in since the
    last call.

    The events are taken into a temporary folder, and what is asked later is of these; ``refresh`` takes
    in what came since. Positions in timelines are those of the merge: ``place`` says which ledger has the
    event, and where. Raises ``LedgerError`` where a ledger is given twice, or a copy of it.

    >>> with Ledger("berlin.db") as berlin, Ledger("lyon.db") as lyon:
    ...     made = berlin.record_many([body]), lyon.record_many([body])
    >>> with Ledgers("berlin.db", "lyon.db") as ledgers:
    ...     delivery = ledgers.delivery("TU1TXzU5Nzg3OQ==")
    ...     delivery.state, delivery.events, delivery.repeats
    ('delivered', 1, 1)
    """

    @checked
    def __init__(
        self,
        *paths: FilePath | Address,
        names: Iterable[str] | None = None,
        key: str | None = None,
        limits: Limits | None = None,
        timeout: float = 60.0,
        guarded: bool = True,
        progress: Progress = silent,
    ) -> None:
        require_least("paths", len(paths), 1)
        self._key = key
        self._lock = threading.Lock()
        with ExitStack() as stack:
            opened = [
                stack.enter_context(
                    Ledger(path, limits=limits, timeout=timeout, readonly=True, guarded=guarded)
                )
                for path in paths
            ]
            _require_distinct(opened)
            self.definitions = _alike(opened)
            self.names = _names([one.path for one in opened], names)
            self._ones = [
                _One(name, one, Standing(Verification(0, Anchor(0, "0" * 64), ()), whole=False))
                for name, one in zip(self.names, opened, strict=True)
            ]
            # Named before it is there: a signal that ends the process meanwhile leaves none.
            folder = Path(gettempdir(), f"postledger-{token_hex(8)}")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self._merge = Merge(folder, self.definitions, limits)
            stack.callback(self._merge.ledger.close)
            self.refresh(progress=progress)
            self._opened = stack.pop_all()

    @checked
    def refresh(self, *, progress: Progress = silent) -> int:
        """Take in what was recorded since; returns how many events that is.

        Raises ``DefinitionsDiffer`` where a ledger has adopted others meanwhile, ``IntegrityError`` where
        an event isn't what was received: it names the ledger.

        >>> ledgers = Ledgers("specification.db")
        >>> position = ledger.record(body, answer=False).position
        >>> ledgers.refresh()
        1
        >>> ledgers.close()
        """
        before = sum(one.size for one in self._ones)
        with self._lock, foreign(progress) as told:
            if _alike([one.ledger for one in self._ones]).hash != self.definitions.hash:
                raise DefinitionsDiffer(
                    "the ledgers have adopted other definitions; open them again"
                )
            for number, one in enumerate(self._ones):
                found = _standing(one.ledger)
                size = found.verification.events
                for page in pages(one.ledger, one.size, size, self._key):
                    self._merge.take(number, page)
                    told(len(page))
                one.found = found
        return sum(one.size for one in self._ones) - before

    @checked
    def place(self, position: int) -> Place:
        """Which ledger has the event at a position of the merge, and where it stands there.

        Raises ``IndexError`` where no event of theirs has that position.

        >>> with Ledgers("specification.db") as ledgers:
        ...     print(ledgers.place(ledgers.timeline("U01TXzgwNjc4")[0].event.position))
        specification:1
        """
        number, there = self._merge.at(position)
        return Place(self.names[number], there)

    @property
    def anchors(self) -> Mapping[str, Anchor]:
        """The anchor of each ledger, by its name, as of the events that were taken in.

        >>> with Ledgers("specification.db") as ledgers:
        ...     ledgers.anchors["specification"] == ledger.head()
        True
        """
        return {one.name: one.anchor for one in self._ones}

    # --- read ---

    @checked
    def delivery(
        self,
        tracking_id: str,
        *,
        chart: str = "delivery",
        space: str | None = None,
        as_of: datetime | None = None,
        occurred_by: datetime | None = None,
    ) -> Delivery:
        """The state of one delivery; as ``Ledger.delivery``, but as of times alone.

        >>> with Ledgers("specification.db") as ledgers:
        ...     ledgers.delivery("U01TXzgwNjc4").state
        'delivered'
        """
        return self._merge.ledger.delivery(
            tracking_id, chart=chart, space=space, as_of=as_of, occurred_by=occurred_by
        )

    @checked
    def content(
        self,
        mms_id: str,
        *,
        space: str | None = None,
        as_of: datetime | None = None,
        occurred_by: datetime | None = None,
    ) -> Content:
        """The state of one saved MMS; likewise.

        >>> with Ledgers("specification.db") as ledgers:
        ...     ledgers.content("35674").failures
        ('sample.mp3',)
        """
        return self._merge.ledger.content(mms_id, space=space, as_of=as_of, occurred_by=occurred_by)

    @checked
    def timeline(
        self,
        key: str,
        *,
        chart: str = "delivery",
        space: str | None = None,
        as_of: datetime | None = None,
        occurred_by: datetime | None = None,
    ) -> Timeline:
        """The steps of one delivery (or MMS) in fold order; ``place`` says where each event stands.

        >>> with Ledgers("specification.db") as ledgers:
        ...     [step.after["delivery"] for step in ledgers.timeline("U01TXzgwNjc4")]
        ['sent', 'delivered']
        """
        return self._merge.ledger.timeline(
            key, chart=chart, space=space, as_of=as_of, occurred_by=occurred_by
        )

    @checked
    def deliveries(
        self,
        /,
        query: Query | None = None,
        *,
        as_of: datetime | None = None,
        occurred_by: datetime | None = None,
        **wanted: Any,
    ) -> Iterator[Delivery]:
        """The deliveries that a ``Query`` asks for; filters, order and pages are ``Ledger.deliveries``'.

        >>> with Ledgers("specification.db") as ledgers:
        ...     [delivery.tracking_id for delivery in ledgers.deliveries(finding="contradiction")]
        ['TU1TXzU5Nzg3Nw==']
        """
        return self._merge.ledger.deliveries(query, as_of=as_of, occurred_by=occurred_by, **wanted)

    @checked
    def counts(
        self,
        /,
        query: Query | None = None,
        *,
        by: Iterable[CountBy],
        zone: tzinfo = UTC,
        as_of: datetime | None = None,
        occurred_by: datetime | None = None,
        **wanted: Any,
    ) -> tuple[Count, ...]:
        """The deliveries that a ``Query`` asks for, counted, as ``Ledger.counts`` does.

        >>> with Ledgers("specification.db") as ledgers:
        ...     ledgers.counts(by=["spid"], state="delivered", route="sms")
        (Count(by={'spid': '0001470'}, deliveries=1, delivered=1),)
        """
        return self._merge.ledger.counts(
            query, by=by, zone=zone, as_of=as_of, occurred_by=occurred_by, **wanted
        )

    @checked
    def tallies(
        self,
        what: TallyOf = "deliveries",
        *,
        by: Iterable[TallyBy] = (),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> tuple[Tally, ...]:
        """How many events or deliveries there are, as ``Ledger.tallies`` counts them.

        >>> with Ledgers("specification.db") as ledgers:
        ...     [(tally.value, tally.count) for tally in ledgers.tallies(by=["value"])]
        [...('delivered', 3)...]
        """
        return self._merge.ledger.tallies(what, by=by, since=since, until=until)

    @checked
    def reconcile(
        self,
        rows: Iterable[InvoiceRow],
        *,
        space: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
        occurred_by: datetime | None = None,
        progress: Progress = silent,
    ) -> Iterator[Reconciled]:
        """Hold the rows of a provider's invoice against the deliveries, as ``Ledger.reconcile`` does.

        >>> with Ledgers("specification.db") as ledgers:
        ...     (unknown, *_) = ledgers.reconcile([InvoiceRow(2, "x")])
        ...     [one.kind for one in unknown.differences]
        ['unknown']
        """
        return self._merge.ledger.reconcile(
            rows,
            space=space,
            since=since,
            until=until,
            as_of=as_of,
            occurred_by=occurred_by,
            progress=progress,
        )

    @checked
    def audit(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
        occurred_by: datetime | None = None,
        unmask: bool = False,
        verify: bool = False,
        tracking_id: str | None = None,
        space: str | None = None,
        cover: Cover | None = None,
        progress: Progress = silent,
    ) -> AuditReport:
        """The audit report over all of them, as ``Ledger.audit`` makes one.

        Each position has the name of its ledger, and each ledger its integrity and anchor. With
        ``verify`` each is verified whole first; else the events that were taken in are proven by their
        leaves.

        >>> with Ledgers("specification.db") as ledgers:
        ...     report = ledgers.audit(tracking_id="U01TXzgwNjc4")
        ...     print(report.dossier.exhibits[0].position)
        specification:1
        """
        report = self._merge.ledger.audit(
            since=since,
            until=until,
            as_of=as_of,
            occurred_by=occurred_by,
            unmask=unmask,
            tracking_id=tracking_id,
            space=space,
            cover=cover,
        )
        with foreign(progress) as told:
            found = [_verified(one, told) if verify else one.found for one in self._ones]
        mask = Mask.of(self.definitions, unmask=unmask)
        return self._placed(report, found, mask)

    def _placed(self, report: AuditReport, found: Sequence[Standing], mask: Mask) -> AuditReport:
        """The report of the merge as one over its ledgers: with their places, proofs and integrity."""
        # What is wrong with the merge itself is said too.
        problems = [f"the merge: {one}" for one in report.integrity.problems]
        if report.dossier is not None:
            dossier, unproven = self._proven(report.dossier)
            report, problems = attrs.evolve(report, dossier=dossier), [*problems, *unproven]
        shown = [mask.file(name) for name in self.names]
        files = map(mask.file, _files([one.ledger.path for one in self._ones]))
        each = zip(shown, files, map(_integrity, self._ones, found), strict=True)
        included = tuple(Included(*one) for one in each)

        def place(position: int) -> Place:
            number, there = self._merge.at(position)
            return Place(shown[number], there)

        return attrs.evolve(
            placed(report, place),
            ledger=", ".join(one.ledger for one in included),
            ledgers=included,
            integrity=_together(report.integrity, included, problems),
        )

    def _proven(self, dossier: Dossier) -> tuple[Dossier, list[str]]:
        """A dossier with the proofs of its events from their own ledgers, and those that don't hold."""
        exhibits = list(dossier.exhibits)
        places = [self._merge.at(one.position) for one in exhibits if isinstance(one.position, int)]
        problems: list[str] = []
        for number, one in enumerate(self._ones):
            with one.ledger._connections.read_log() as own:
                prover = Prover(own.log, one.anchor)
                for at, (of, there) in enumerate(places):
                    if of == number:
                        proof = prover.proof(there, own.log.at(there).leaf)
                        exhibits[at] = attrs.evolve(exhibits[at], proof=proof)
            problems += [f"{one.name}: {problem}" for problem in prover.problems]
        return attrs.evolve(dossier, exhibits=tuple(exhibits), problems=tuple(problems)), problems

    # --- the files ---

    def close(self) -> None:
        """Close all of them, and remove what was made of them.

        >>> ledgers = Ledgers("specification.db")
        >>> ledgers.close()
        """
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _names(paths: Sequence[Location], given: Iterable[str] | None) -> tuple[str, ...]:
    """What the ledgers are called: as given, or by their files, with folders where these are alike."""
    if given is not None:
        names = tuple(names_of("names", given))
        for name in names:
            require_name("names", name)
        if len(names) != len(paths) or len(set(names)) < len(names):
            raise ValueError(
                f"names must be one for each of {len(paths)} ledgers, all different,"
                f" got {', '.join(names)}"
            )
        return names
    parts = [_parts(path) for path in paths]
    # What all of them are called says nothing.
    while len({one[-1] for one in parts}) == 1 < min(len(parts), *map(len, parts)):
        parts = [one[:-1] for one in parts]
    return _told_apart(parts)


def _files(paths: Sequence[Location]) -> tuple[str, ...]:
    """The names of the files, with folders where these are alike, or the addresses."""
    files = [path for path in paths if not isinstance(path, Address)]
    told = iter(_told_apart([(*_parts(path)[:-1], named_in_reports(path)) for path in files]))
    return tuple(str(path) if isinstance(path, Address) else next(told) for path in paths)


def _told_apart(parts: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The least of the ends of some paths that are all different, or else the whole paths."""
    ends: tuple[str, ...] = ()
    for depth in range(1, max(map(len, parts), default=0) + 1):
        ends = tuple("/".join(one[-depth:]) for one in parts)
        if len(set(ends)) == len(ends):
            break
    return ends


def _parts(path: Location) -> tuple[str, ...]:
    """What may name a ledger, the nearest last: its folders and file, or server, database and schema."""
    if isinstance(path, Address):
        shown = urlsplit(str(path))
        return shown.netloc, shown.path.strip("/"), path.schema
    return (*map(_text, path.parts[:-1]), _text(path.stem))


def _text(name: str) -> str:
    """A name as it can be written: what is not UTF-8 can't be as it is."""
    return os.fsencode(name).decode(errors="replace")


def _require_distinct(ledgers: Sequence[Ledger]) -> None:
    """Raise ``LedgerError`` for a ledger that is given twice, or next to a copy of it."""
    known: dict[bytes, Ledger] = {}
    for one in ledgers:
        with one._connections.read_log() as own:
            number = generations.ledger_id(own.log)
        before = known.setdefault(number, one)
        if before is not one:
            raise LedgerError(
                f"{before.path} and {one.path} are the same ledger, or a copy of it; name it once"
            )


def _alike(ledgers: Sequence[Ledger]) -> Definitions:
    """The definitions that all of them read by; raises ``DefinitionsDiffer``."""
    first, *others = ledgers
    definitions = first.definitions
    for other in others:
        theirs = other.definitions
        if theirs.hash != definitions.hash:
            said = unshared((str(first.path), definitions), (str(other.path), theirs))
            raise DefinitionsDiffer(
                f"all must read by the same definitions: {said}."
                f" {_adopting(other, first) or _adopting(first, other) or _BY_HAND}"
            )
    return definitions


_BY_HAND = (
    "Have each adopt the same: postledger replay LEDGER --adopt,"
    " with --chart, --vocabulary or --provider"
)


def _adopting(ledger: Ledger, other: Ledger) -> str | None:
    """How a ledger adopts what only the other reads by; ``None`` where no command does."""
    options = adding(ledger.definitions, other.definitions)
    if not options:
        return None
    command = shlex.join(["postledger", "replay", str(ledger.path), *options, "--adopt"])
    return f"To add what {ledger.path.name} lacks: {command}"


def _standing(ledger: Ledger) -> Standing:
    """How a ledger stands, by what is quickly known."""
    with ledger._connections.read() as own:
        return standing(own.log, own.generation)


def _verified(one: _One, progress: Progress) -> Standing:
    """How a ledger stands after it was verified whole, at the anchor up to which it was taken in."""
    with one.ledger._connections.pages() as own:
        whole = verify_whole(own.reader, one.anchor, progress)
    return attrs.evolve(
        one.found,
        verification=Verification(one.size, one.anchor, whole.problems),
        whole=True,
    )


def _integrity(one: _One, found: Standing) -> Integrity:
    with one.ledger._connections.read() as own:
        return integrity(own.log, own.reader.definitions, found)


def _together(
    merged: Integrity, included: Iterable[Included], problems: Iterable[str]
) -> Integrity:
    """The integrity of all: what holds of each holds of all."""
    each = [(one.name, one.integrity) for one in included]
    first, last = (
        [at for _, one in each for at in (getattr(one, name),) if at is not None]
        for name in ("first_received_at", "last_received_at")
    )
    stated = [one.imported for _, one in each if one.imported is not None]
    return attrs.evolve(
        merged,
        verified=all(one.verified for _, one in each),
        last=None,
        events=sum(one.events for _, one in each),
        anchor=", ".join(f"{name} {one.anchor}" for name, one in each),
        imported=sum(stated) if len(stated) == len(each) else None,
        problems=(
            *(f"{name}: {problem}" for name, one in each for problem in one.problems),
            *problems,
        ),
        first_received_at=min(first, default=None),
        last_received_at=max(last, default=None),
    )
