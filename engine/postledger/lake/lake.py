"""A lake: an archive, or several read as one that has the events of all."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from postledger.definitions.definitions import Definitions, unshared
from postledger.errors import DefinitionsDiffer, LedgerError
from postledger.lake.files import Files
from postledger.lake.layout import Raw, Said
from postledger.lake.rows import rows_of
from postledger.lake.statements import Buckets
from postledger.log.as_of import Bounds, bounds_of
from postledger.log.event import Envelope, Stored
from postledger.projections.generations import vocabularies_of
from postledger.state.streams import Values
from postledger.templates import Template
from postledger.wire import Limits

Row = TypeVar("Row", Raw, Said)


class Numbered:
    """The templates and envelopes of several archives: number *n* of archive *k* of *m* is *n m + k*."""

    def __init__(self, files: Sequence[Files]) -> None:
        self._files = files

    def number(self, which: int, own: int | None) -> int | None:
        """The number of what one of the archives has by a number of its own."""
        return None if own is None else own * len(self._files) + which

    def template(self, number: int) -> Template:
        """A template by its number."""
        own, which = divmod(number, len(self._files))
        return self._files[which].interned.template(own)

    def envelope(self, number: int) -> Envelope:
        """An envelope by its number."""
        own, which = divmod(number, len(self._files))
        return self._files[which].interned.envelope(own)


class Lake:
    """Archives of several ledgers as one; positions of each begin where those of the one before end.

    One archive alone is as it stands. Raises ``LedgerError`` where two are of the same ledger, or were
    made with different limits.
    """

    def __init__(self, files: Sequence[Files]) -> None:
        _require_distinct(files)
        self.files = files
        self.limits: Limits = _limits(files)
        self.buckets: int = sum(one.buckets for one in files)
        self.is_one: bool = len(files) == 1
        self._numbered = Numbered(files)
        self.interned: Values = files[0].interned if self.is_one else self._numbered
        *self._firsts, self.size = accumulate((one.size for one in files), initial=0)
        self._made = ExitStack()

    @cached_property
    def definitions(self) -> Definitions:
        """The definitions that all are read by; raises ``DefinitionsDiffer``."""
        return _alike(self.files)

    def require_alike(self) -> None:
        """Raise ``DefinitionsDiffer`` unless all are read by the same definitions."""
        _alike(self.files)

    def is_read_by(self, definitions: Definitions) -> bool:
        """Whether the statements of all are what those definitions read."""
        wanted = vocabularies_of(definitions)
        return all(vocabularies_of(one.definitions) == wanted for one in self.files)

    @cached_property
    def _sorted(self) -> Buckets:
        folder = self._made.enter_context(TemporaryDirectory(prefix="postledger-"))
        return Buckets(Path(folder), self.buckets, self._said())

    def bounds(self, as_of: datetime | int | None, occurred_by: datetime | None) -> Bounds:
        """The bounds of a fold; raises ``ValueError`` for a position in several, or a naive time."""
        if not self.is_one and isinstance(as_of, int):
            # Their positions are not in the order of time.
            raise ValueError(f"as_of must be a time for several archives, got {as_of}")
        return bounds_of(as_of, occurred_by)

    def close(self) -> None:
        """Remove what was made meanwhile."""
        self._made.close()
        self.__dict__.pop("_sorted", None)

    def place(self, position: int) -> tuple[int, int]:
        """Which archive has the event at a position, and where; raises ``IndexError`` where none has."""
        if not 0 <= position < self.size:
            raise IndexError(f"position must be from 0 to {self.size - 1}, got {position}")
        which = bisect_right(self._firsts, position) - 1
        return which, position - self._firsts[which]

    def at(self, position: int) -> Stored:
        """The event at a position; raises ``IntegrityError`` where it is missing or damaged."""
        if self.is_one or not 0 <= position < self.size:
            return self.files[0].at(position)
        which, there = self.place(position)
        stored = self.files[which].at(there)
        return stored._replace(
            position=position,
            envelope_id=self._numbered.number(which, stored.envelope_id),
            template_id=self._numbered.number(which, stored.template_id),
        )

    def pages(self) -> Iterator[list[Raw]]:
        """The events of all, one archive after the other."""
        for which, files in enumerate(self.files):
            for page in files.pages():
                yield self._renumbered(which, page)

    def part(self, which: int, name: str, part: int, parts: int) -> Iterator[list[Raw]]:
        """The events of a part of a file of one of the archives, as the union numbers them."""
        for page in self.files[which].part(name, part, parts):
            yield self._renumbered(which, page)

    def _renumbered(self, which: int, rows: list[Row]) -> list[Row]:
        if self.is_one:
            return rows
        first, number = self._firsts[which], self._numbered.number
        return [
            row._replace(
                position=row.position + first,
                envelope=number(which, row.envelope),
                template=number(which, row.template),
            )
            for row in rows
        ]

    def tables(self, bucket: int) -> Iterator[Any]:
        """The statements of a bucket in their order; raises ``IntegrityError`` for any other order."""
        if self.is_one:
            yield from self.files[0].tables(bucket)
        else:
            yield self._sorted.table(bucket)

    def statements(self, which: int, bucket: int) -> Iterator[Said]:
        """What one of the archives says in one of its buckets, as the union numbers it."""
        for table in self.files[which].tables(bucket):
            yield from self._renumbered(which, list(map(Said._make, rows_of(table))))

    def _said(self) -> Iterator[Said]:
        for which, files in enumerate(self.files):
            for bucket in range(files.buckets):
                yield from self.statements(which, bucket)


def _require_distinct(files: Sequence[Files]) -> None:
    known: dict[str, Files] = {}
    for one in files:
        before = known.setdefault(one.manifest.ledger, one)
        if before is not one:
            raise LedgerError(
                f"{before.name} and {one.name} are archives of the same ledger; name one of them"
            )


def _limits(files: Sequence[Files]) -> Limits:
    first, *others = files
    for other in others:
        if other.limits != first.limits:
            # By either's, bodies of the other would be read that were not, or the reverse.
            raise LedgerError(
                f"{first.name} and {other.name} were made with different limits, {first.limits} and"
                f" {other.limits}; archive one of the ledgers again with those of the other"
            )
    return first.limits


def _alike(files: Sequence[Files]) -> Definitions:
    """The definitions that all of them are read by; raises ``DefinitionsDiffer``."""
    first, *others = files
    for other in others:
        if other.definitions.hash != first.definitions.hash:
            said = unshared((first.name, first.definitions), (other.name, other.definitions))
            raise DefinitionsDiffer(
                f"the archives were read by different definitions: {said}. To fold them, name those"
                " that take the place of all (on the command line with --builtin and --out); to"
                " compare or audit them, adopt the same in each ledger and archive it again"
            )
    return first.definitions
