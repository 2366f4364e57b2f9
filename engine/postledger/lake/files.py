"""Archived: the files of one archive, read with what the manifest says of them in hand."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Any

import attrs

from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError, LedgerError, of_medium
from postledger.lake.folder import Folder, arrow
from postledger.lake.layout import (
    ENVELOPES,
    EVENTS,
    GROUP_BYTES,
    MANIFEST,
    ORDER,
    PIECE,
    STATEMENTS,
    TEMPLATES,
    File,
    Manifest,
    Raw,
    bucket_of,
    file_name,
    kind_of,
    manifest_of,
    schema_of,
)
from postledger.lake.rows import envelope_of, ordered, rows_of, stored_of
from postledger.log.event import Envelope, Stored
from postledger.log.tree import EMPTY, extend
from postledger.model import Anchor
from postledger.templates import Template
from postledger.wire import Limits

_GROUPS = 4
"""So many row groups are kept in memory, to look up events."""


class Interned:
    """The templates and envelopes of an archive, by their numbers."""

    def __init__(self, files: Files) -> None:
        self._files = files

    @cached_property
    def _templates(self) -> dict[int, tuple[Template, bytes]]:
        found = {}
        for number, digest, skeleton, pieces in self._files.rows(TEMPLATES):
            if pieces is None or None in pieces:
                raise self._files.damaged(TEMPLATES, f"template {number} is damaged")
            template = Template(tuple(pieces))
            if template.digest != digest:
                raise self._files.damaged(TEMPLATES, f"template {number} is damaged")
            found[number] = template, skeleton
        return found

    @cached_property
    def _envelopes(self) -> dict[int, Envelope]:
        try:
            return {number: envelope_of(said) for number, *said in self._files.rows(ENVELOPES)}
        except (ValueError, TypeError) as error:
            raise self._files.damaged(ENVELOPES, str(error)) from None

    def template(self, number: int) -> Template:
        """A template by its number; raises ``IntegrityError`` if it is missing."""
        return self.known(number)[0]

    def known(self, number: int) -> tuple[Template, bytes]:
        """A template by its number, and what it is known by without fixed words; likewise."""
        if number not in self._templates:
            raise self._files.damaged(TEMPLATES, f"template {number} is missing")
        return self._templates[number]

    def envelope(self, number: int) -> Envelope:
        """An envelope by its number; raises ``IntegrityError`` if it is missing."""
        if number not in self._envelopes:
            raise self._files.damaged(ENVELOPES, f"envelope {number} is missing")
        return self._envelopes[number]


@attrs.frozen(slots=False)
class Files:
    """The files of an archive. Errors name the file that is missing, damaged or out of order."""

    folder: Folder
    manifest: Manifest

    @classmethod
    def of(cls, folder: Folder) -> Files:
        """The archive in a folder; raises ``LedgerError`` where there is none."""
        return cls(folder, manifest_of(folder, MANIFEST))

    def says(self, name: str, reason: str) -> str:
        """What is wrong with a file, in one line."""
        return f"{self.name}: {name}: {reason}"

    def damaged(self, name: str, reason: str) -> IntegrityError:
        """The error for a file that is not as it was written."""
        return of_medium(IntegrityError(self.says(name, reason)))

    def require_size(self, name: str) -> File:
        """What is known of a file; raises ``IntegrityError`` where it is missing or of another size."""
        known = self.manifest.files.get(name)
        if known is None:
            raise self.damaged(name, "it is not in the manifest")
        size = self.folder.size_of(name)
        if size < 0:
            raise self.damaged(name, "it is missing")
        if size != known.bytes:
            raise self.damaged(name, f"expected {known.bytes} bytes, got {size}")
        return known

    @contextmanager
    def reading(self, name: str, *, is_new: bool = True) -> Iterator[Any]:
        """A Parquet file of it; raises ``IntegrityError`` where it is not what the manifest says.

        The hash of one that is not new was compared before.
        """
        known = self.require_size(name)
        try:
            # guard: files of an archive compared with their hashes
            if is_new and self.folder.digest_of(name) != known.sha256:
                raise self.damaged(name, "its SHA-256 is not that of the manifest")
            with self.folder.open(name) as source, arrow("parquet").ParquetFile(source) as file:
                if file.metadata.num_rows != known.rows:
                    found = file.metadata.num_rows
                    raise self.damaged(name, f"expected {known.rows} rows, got {found}")
                if not file.schema_arrow.equals(schema_of(kind_of(name))):
                    raise self.damaged(name, "it has other columns or types than an archive")
                yield file
        except PermissionError:
            said = self.says(name, "it can't be read: Permission denied")
            raise of_medium(LedgerError(said)) from None
        except (arrow().ArrowException, OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise self.damaged(name, f"it is damaged: {reason}") from None

    def groups(self, name: str, columns: list[str] | None = None) -> Iterator[Any]:
        """The row groups of a file."""
        with self.reading(name) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns)

    def rows(self, name: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a file."""
        for table in self.groups(name):
            yield from rows_of(table)

    # --- events ---

    @cached_property
    def interned(self) -> Interned:
        """Its templates and envelopes."""
        return Interned(self)

    @property
    def size(self) -> int:
        """How many events it has."""
        return self.manifest.anchor.size

    def pages(self) -> Iterator[list[Raw]]:
        """The events in order of position; raises ``IntegrityError`` where one is out of place."""
        expected = 0
        for name in self.manifest.names(EVENTS):
            for table in self.groups(name):
                page = list(map(Raw._make, rows_of(table)))
                self._require_next(name, page, expected)
                expected += len(page)
                yield page
        if expected != self.size:
            raise self.damaged(EVENTS, f"expected {self.size} events, got {expected}")

    def part(self, name: str, part: int, parts: int) -> Iterator[list[Raw]]:
        """The events of one of so many parts of a file, which have about as many row groups each.

        The hash of the file is compared by the first that this process reads of it.
        """
        names = self.manifest.names(EVENTS)
        expected = sum(self.manifest.files[one].rows for one in names[: names.index(name)])
        with self.reading(name, is_new=name not in self._known) as file:
            self._known.add(name)
            first, until = (file.num_row_groups * at // parts for at in (part, part + 1))
            expected += sum(file.metadata.row_group(group).num_rows for group in range(first))
            for group in range(first, until):
                page = list(map(Raw._make, rows_of(file.read_row_group(group))))
                self._require_next(name, page, expected)
                expected += len(page)
                yield page

    @cached_property
    def _known(self) -> set[str]:
        """The files whose hash was compared."""
        return set()

    def _require_next(self, name: str, page: list[Raw], expected: int) -> None:
        for raw in page:
            if None in (raw.received_at, raw.salt, raw.leaf) or None in (raw.texts or ()):
                raise self.damaged(name, f"position {raw.position} is damaged")
        for at, raw in enumerate(page, expected):
            if raw.position != at:
                raise self.damaged(name, f"expected position {at}, got {raw.position}")

    def stored(self, raw: Raw) -> Stored:
        """The event of a row; raises ``IntegrityError`` where it is damaged."""
        template = None if raw.template is None else self.interned.template(raw.template)
        return stored_of(raw, template)

    @cached_property
    def _groups(self) -> list[tuple[int, str, int]]:
        """The first position of each row group of the events, its file and its number there.

        With these the files are known to be those that were written.
        """
        found, first = [], 0
        for name in self.manifest.names(EVENTS):
            with self.reading(name) as file:
                for group in range(file.num_row_groups):
                    found.append((first, name, group))
                    first += file.metadata.row_group(group).num_rows
        return found

    @cached_property
    def _group(self) -> Any:
        @lru_cache(_GROUPS)
        def read(name: str, group: int) -> Any:
            with self.reading(name, is_new=False) as file:
                return file.read_row_group(group)

        return read

    def at(self, position: int) -> Stored:
        """The event at a position; raises ``IntegrityError`` where it is missing or damaged."""
        return self.page(position, position)[0]

    def page(self, first: int, until: int) -> list[Stored]:
        """The events from ``first`` up to ``until``, or fewer: those of one row group."""
        number = bisect_right(self._groups, first, key=itemgetter(0)) - 1
        if number < 0 or not 0 <= first < self.size:
            raise self.damaged(EVENTS, f"position {first} is missing")
        begins, name, group = self._groups[number]
        table = self._group(name, group).slice(first - begins, until - first + 1)
        page = list(map(Raw._make, rows_of(table)))
        if not page:
            raise self.damaged(name, f"position {first} is missing")
        self._require_next(name, page, first)
        return list(map(self.stored, page))

    # --- what is copied from ---

    @property
    def name(self) -> str:
        """The folder, as people call it."""
        return self.folder.name

    def head(self) -> Anchor:
        """The anchor of the archive."""
        return self.manifest.anchor

    def root(self, size: int) -> bytes:
        """The root over its first ``size`` events, by their leaves."""
        frontier = EMPTY
        for name in self.manifest.names(EVENTS):
            for table in self.groups(name, ["leaf"]):
                leaves = table.column("leaf").to_pylist()[: size - frontier.size]
                frontier, _ = extend(frontier, leaves)
                if frontier.size == size:
                    return frontier.root()
        return frontier.root()

    def template(self, number: int) -> tuple[Template, bytes]:
        """A template by its number, and what it is known by without fixed words."""
        return self.interned.known(number)

    def envelope(self, number: int) -> Envelope:
        """An envelope by its number."""
        return self.interned.envelope(number)

    # --- statements ---

    @property
    def definitions(self) -> Definitions:
        """The definitions that its statements are read by."""
        return self.manifest.definitions

    @property
    def limits(self) -> Limits:
        """The limits that its bodies were read within."""
        return self.manifest.limits

    @property
    def buckets(self) -> int:
        """How many buckets its streams are in."""
        return self.manifest.buckets

    def tables(self, bucket: int) -> Iterator[Any]:
        """The statements of a bucket; raises ``IntegrityError`` where they are out of order or place."""
        name = file_name(STATEMENTS, bucket)
        for table in ordered(self._pieces(name), lambda reason: self.says(name, reason)):
            space, chart, key, *_, position, _ = (table[column][0].as_py() for column in ORDER)
            there = bucket_of((space, chart, key), position, self.buckets)
            if there != bucket:
                raise self.damaged(name, f"expected streams of bucket {bucket}, got one of {there}")
            yield table

    def _pieces(self, name: str) -> Iterator[Any]:
        """The rows of a file, as many row groups together as make a piece."""
        with self.reading(name) as file:
            waiting: list[int] = []
            rows = size = 0
            for group in range(file.num_row_groups):
                found = file.metadata.row_group(group)
                waiting.append(group)
                rows, size = rows + found.num_rows, size + found.total_byte_size
                if rows >= PIECE or size >= GROUP_BYTES:
                    yield file.read_row_groups(waiting)
                    waiting, rows, size = [], 0, 0
            if waiting:
                yield file.read_row_groups(waiting)
