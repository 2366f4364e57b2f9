"""Archives: a ledger as Parquet in a folder, and what can be asked of one, or of several as one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from postledger.address import Address
from postledger.arguments import FilePath, checked, require_least
from postledger.audit.report import AuditReport, Cover
from postledger.definitions.definitions import Definitions
from postledger.errors import LedgerError
from postledger.lake import folding, verification
from postledger.lake.files import Files
from postledger.lake.folder import Folder
from postledger.lake.folding import Engine, engine_of
from postledger.lake.lake import Lake
from postledger.lake.rows import deliveries_of
from postledger.lake.writing import write_states
from postledger.ledger import copying
from postledger.ledger.copying import Copied
from postledger.ledger.ledger import Ledger, require_openable
from postledger.ledger.several import Ledgers
from postledger.log.as_of import Bounds
from postledger.model import Anchor, Delivery, Place, Verification
from postledger.progress import Progress, foreign, silent
from postledger.projections.compare import Difference
from postledger.projections.reader import Folding
from postledger.wire import Limits


class Archive:
    """An archive that ``Ledger.archive`` made, or several that are read as one with the events of all.

    Each is a folder, or the address of one that PyArrow knows, such as ``s3://bucket/folder``. Several
    must be of different ledgers, made within the same limits; those that read by different definitions
    fold by others that are named. Positions of each begin where those of the one before end, and
    ``place`` says what stands there. Each file is checked as it is read; what several say is sorted once,
    for the first fold. Raises ``LedgerError`` where no archive is, and where several are not such;
    ``PostledgerError`` without PyArrow.

    >>> archived = ledger.archive("archive")
    >>> with Archive("archive") as archive:
    ...     archive.anchor == ledger.head(), archive.verify().ok
    (True, True)
    """

    @checked
    def __init__(self, *places: FilePath) -> None:
        require_least("places", len(places), 1)
        self._lake = Lake([Files.of(Folder.of(place)) for place in places])

    @property
    def definitions(self) -> Definitions:
        """The definitions that it is read by, those in force when it was made.

        Raises ``DefinitionsDiffer`` where several were read by different ones.

        >>> Archive("archive").definitions.hash == ledger.definitions.hash
        True
        """
        return self._lake.definitions

    @checked
    def is_read_by(self, definitions: Definitions) -> bool:
        """Whether it has what these definitions read, or must read all events again to fold by them.

        >>> Archive("archive").is_read_by(ledger.definitions)
        True
        """
        return self._lake.is_read_by(definitions)

    @property
    def anchor(self) -> Anchor:
        """The head of the tree when it was made; raises ``LedgerError`` of several archives.

        >>> Archive("archive").anchor == ledger.head()
        True
        """
        return self._only("an anchor").head()

    @property
    def size(self) -> int:
        """How many events there are, in all archives together.

        >>> Archive("archive").size == ledger.head().size
        True
        """
        return self._lake.size

    @checked
    def place(self, position: int) -> Place:
        """Which archive has the event at a position, and where; raises ``IndexError`` where none has.

        >>> print(Archive("archive").place(7))
        archive:7
        """
        which, there = self._lake.place(position)
        return Place(self._lake.files[which].name, there)

    @checked
    def fold(
        self,
        definitions: Definitions | None = None,
        *,
        as_of: datetime | int | None = None,
        occurred_by: datetime | None = None,
        statements: object = None,
        engine: Engine | None = None,
        progress: Progress = silent,
    ) -> Iterator[Delivery]:
        """The state of every stream, of each chart, by the definitions of the archive or by others.

        They come in no particular order. With other vocabularies the events are read again first,
        into a temporary folder. ``as_of`` and ``occurred_by`` are those of ``Ledger.deliveries``, but of
        several archives no position.

        ``statements`` are those of the archive, or some of them, in their order, as another engine reads
        them: a table or a stream of Arrow, such as DuckDB and Polars have. Only the first and the last of
        each table are compared with the events, which finds statements of another archive. ``engine``
        is ``"plain"`` (stream after stream) or ``"columnar"`` (many at once; by default, where NumPy is
        installed): of both the states are the same. ``progress`` is called with the number of events
        that were read, and folded.

        Raises ``IntegrityError`` where a file is missing, damaged or out of order: it names the file;
        ``ValueError`` for statements with other columns, or that other vocabularies are to read;
        ``DefinitionsDiffer`` without ``definitions`` where several archives were read by different ones.

        >>> sorted({delivery.state for delivery in Archive("archive").fold()})
        ['delivered', 'failed']
        """
        wanted = self.definitions if definitions is None else definitions
        bounds, chosen = self._lake.bounds(as_of, occurred_by), engine_of(engine)
        given = None if statements is None else folding.given(self._lake, wanted, statements)
        return self._fold(wanted, bounds, given, chosen, progress)

    def _fold(
        self,
        definitions: Definitions,
        bounds: Bounds,
        given: Iterator[Any] | None,
        engine: Engine,
        progress: Progress,
    ) -> Iterator[Delivery]:
        lake = self._lake
        with foreign(progress) as told:
            tables: Iterator[Any]
            if given is None:
                tables = chain.from_iterable(
                    folding.folded(lake, definitions, bounds, engine, told)
                )
            else:
                how = Folding.by(lake, definitions, lake.limits)
                tables = folding.states(how, folding.counting(given, told), bounds, engine)
            for table in tables:
                yield from deliveries_of(table)

    @checked
    def replay(
        self,
        folder: FilePath,
        definitions: Definitions | None = None,
        *,
        as_of: datetime | int | None = None,
        occurred_by: datetime | None = None,
        engine: Engine | None = None,
        progress: Progress = silent,
    ) -> int:
        """Fold every stream, as ``fold`` does, and write the states to a new folder as Parquet.

        The columns are those of the deliveries of an archive. ``folder`` is a path, or an address as
        that of an archive; it must be new, and not within an archive, and is there once it is whole.
        Returns how many states there are. Raises ``LedgerError`` where something is there already, or it
        can't be written, and what ``fold`` raises.

        >>> Archive("archive").replay("deliveries") == sum(1 for _ in Archive("archive").fold())
        True
        """
        wanted = self.definitions if definitions is None else definitions
        bounds, place = self._lake.bounds(as_of, occurred_by), Folder.of(folder)
        with foreign(progress) as told:
            return write_states(self._lake, wanted, bounds, engine_of(engine), place, told)

    @checked
    def differences(
        self,
        definitions: Definitions,
        *,
        engine: Engine | None = None,
        progress: Progress = silent,
    ) -> Iterator[Difference]:
        """What would change if it were read by other definitions, as ``Ledger.differences`` says it.

        ``engine`` is that of ``fold``. Raises ``DefinitionsDiffer`` as that does without definitions.

        >>> list(Archive("archive").differences(ledger.definitions))
        []
        """
        return self._differences(definitions, engine_of(engine), progress)

    def _differences(
        self, definitions: Definitions, engine: Engine, progress: Progress
    ) -> Iterator[Difference]:
        with foreign(progress) as told:
            yield from folding.differences(self._lake, definitions, engine, told)

    @checked
    def verify(self, anchor: Anchor | None = None, *, progress: Progress = silent) -> Verification:
        """Check every file, every event by its leaf, the tree, an anchor, and all states by a new fold.

        ``progress`` is called with the number of events, three times for each. Raises ``LedgerError`` of
        several archives.

        >>> Archive("archive").verify(ledger.head()).ok
        True
        """
        files = self._only("a verification")
        with foreign(progress) as told:
            return verification.verify(files, anchor, told)

    @checked
    def to_ledger(
        self,
        target: FilePath | Address,
        *,
        limits: Limits | None = None,
        progress: Progress = silent,
    ) -> Copied:
        """Make the ledger that was archived, with the same root, so that anchors hold there too.

        It is made as ``Ledger.copy`` makes one: index and states by a replay; what was interrupted goes
        on when it is called again. ``limits`` are those of the archive by default. Raises
        ``LedgerError`` of several archives, and where the target has other events.

        >>> Archive("archive").to_ledger("restored.db").anchor == ledger.head()
        True
        """
        place = require_openable(target)
        files = self._only("a ledger")
        how = copying.How(files.limits if limits is None else limits, 60.0)
        with foreign(progress) as told:
            return copying.copy(files, place, how, told)

    @checked
    def audit(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
        occurred_by: datetime | None = None,
        unmask: bool = False,
        tracking_id: str | None = None,
        space: str | None = None,
        cover: Cover | None = None,
        progress: Progress = silent,
    ) -> AuditReport:
        """The audit report, as ``Ledger.audit`` makes it, or ``Ledgers.audit`` of several archives.

        The ledgers are made again in a temporary folder for it: it takes as much room as they do. Raises
        ``DefinitionsDiffer`` where several were read by different definitions, and what those raise.

        >>> report = Archive("archive").audit()
        >>> report.integrity.anchor == str(ledger.head())
        True
        """
        # Before any is made again.
        self._lake.require_alike()
        with TemporaryDirectory(prefix="postledger-") as folder:
            paths = []
            for number, files in enumerate(self._lake.files):
                paths.append(Path(folder, f"{number}-{Path(files.folder.root).name}.db"))
                with foreign(progress) as told:
                    copying.copy(files, paths[-1], copying.How(files.limits, 60.0), told)
            with self._ledger(paths) as made:
                return made.audit(
                    since=since,
                    until=until,
                    as_of=as_of,
                    occurred_by=occurred_by,
                    unmask=unmask,
                    tracking_id=tracking_id,
                    space=space,
                    cover=cover,
                )

    def _ledger(self, paths: list[Path]) -> Ledger | Ledgers:
        if len(paths) == 1:
            return Ledger(paths[0], readonly=True, limits=self._lake.limits)
        return Ledgers(*paths, names=[one.name for one in self._lake.files])

    def _only(self, what: str) -> Files:
        first, *others = self._lake.files
        if others:
            raise LedgerError(
                f"{what} requires one archive, got {1 + len(others)}; open each alone"
            )
        return first

    def close(self) -> None:
        """Remove what was made meanwhile.

        >>> Archive("archive").close()
        """
        self._lake.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
