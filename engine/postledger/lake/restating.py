"""Restating: the events of an archive read again, what they say sorted by stream, in bounded memory.

What is read is written to a file for each bucket first, as it comes; then each bucket is sorted alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from postledger.definitions.definitions import Definitions
from postledger.lake.folder import arrow
from postledger.lake.layout import (
    GROUP_BYTES,
    MOST_BUCKETS,
    ORDER,
    STATEMENTS,
    Raw,
    Said,
    bucket_of,
    schema_of,
)
from postledger.lake.rows import rows_of, said_of, table_of
from postledger.log.event import Stored
from postledger.progress import Progress
from postledger.state.patterns import Patterns
from postledger.state.streams import Events, Facts, Values
from postledger.templates import written
from postledger.wire import Limits

_LEAF = 32
"""The bytes of a leaf."""

_WAITING = 20_000
"""So many rows wait in memory to be written."""


class Paged(Events, Protocol):
    """The events of an archive, or of several, to look up or to read all of."""

    def pages(self) -> Iterator[list[Raw]]:
        """All of them, in order of position."""
        ...


class Leaves:
    """The events of an archive, whose leaves are kept by position in a file as they are read."""

    def __init__(self, events: Paged, folder: Path) -> None:
        self._events = events
        self._path = folder / "leaves"

    @property
    def interned(self) -> Values:
        """Templates and envelopes."""
        return self._events.interned

    def at(self, position: int) -> Stored:
        """The event at a position."""
        return self._events.at(position)

    def pages(self) -> Iterator[list[Raw]]:
        """All of them, in order of position."""
        with self._path.open("wb") as file:
            for page in self._events.pages():
                file.write(b"".join([raw.leaf for raw in page]))
                yield page

    @contextmanager
    def reading(self) -> Iterator[Callable[[int], bytes]]:
        """The leaf at a position, once all were read."""
        # Not mapped to memory: of a long log that alone would be more than all else.
        with self._path.open("rb", buffering=0) as file:

            def leaf(position: int) -> bytes:
                file.seek(_LEAF * position)
                return file.read(_LEAF)

            yield leaf


class Sorted:
    """What events say, by bucket, in a folder for what is needed meanwhile."""

    def __init__(self, folder: Path, buckets: int) -> None:
        self._folder = folder
        self.buckets = buckets
        self._waiting: dict[int, list[Said]] = {}
        self._size = self._bytes = 0
        self.bytes = 0
        self._files: dict[int, Any] = {}
        self._open = ExitStack()

    def add(self, row: Said) -> None:
        """Take a row."""
        bucket = bucket_of(row[:3], row.position, self.buckets)
        self._waiting.setdefault(bucket, []).append(row)
        self._size += 1
        self._bytes += _bytes_of(row)
        if self._size >= _WAITING or self._bytes >= GROUP_BYTES:
            self._write()

    def _write(self) -> None:
        ipc = arrow("ipc")
        for bucket, rows in self._waiting.items():
            if bucket not in self._files:
                file = ipc.new_stream(str(self._path(bucket)), schema_of(STATEMENTS))
                self._files[bucket] = self._open.enter_context(file)
            self._files[bucket].write_table(table_of(STATEMENTS, rows))
        self._waiting.clear()
        self.bytes += self._bytes
        self._size = self._bytes = 0

    def end(self) -> None:
        """All is there."""
        self._write()
        self._open.close()

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket}.arrow"

    def taken(self) -> Iterator[Said]:
        """All rows as they came, bucket by bucket, of which nothing is kept here."""
        pa = arrow()
        for bucket in self._files:
            with (
                pa.memory_map(str(self._path(bucket))) as file,
                pa.ipc.open_stream(file) as batches,
            ):
                for batch in batches:
                    yield from map(Said._make, rows_of(batch))
            self._path(bucket).unlink()

    def table(self, bucket: int) -> Any:
        """The rows of a bucket in their order."""
        pa = arrow()
        if bucket not in self._files:
            return table_of(STATEMENTS, [])
        with pa.memory_map(str(self._path(bucket))) as file:
            table = pa.ipc.open_stream(file).read_all()
        # What has no time stands last, as it does in the index.
        return table.sort_by([(name, "ascending") for name in ORDER])


@contextmanager
def sorted_rows(rows: Iterable[Said], folder: Path, buckets: int) -> Iterator[Sorted]:
    """Rows by bucket, each in its order; what is in the folder is removed by who made it."""
    made = Sorted(folder, buckets)
    try:
        for row in rows:
            made.add(row)
    finally:
        made.end()
    yield made


@contextmanager
def spread(made: Sorted, folder: Path, most: int) -> Iterator[Sorted]:
    """The same rows in so many buckets that each has about ``most`` bytes of texts at the most."""
    buckets = min(-(-made.bytes // most), MOST_BUCKETS)
    if buckets <= made.buckets:
        yield made
        return
    wider = folder / "wider"
    wider.mkdir()
    with sorted_rows(made.taken(), wider, buckets) as found:
        yield found


def _bytes_of(row: Said) -> int:
    """About how many bytes the texts of a row take."""
    said = 0 if row.said is None else len(row.said)
    return said if row.texts is None else said + sum(map(len, row.texts))


def restated(
    events: Paged, definitions: Definitions, limits: Limits, progress: Progress
) -> Iterator[Said]:
    """What all events say by some definitions, member by member.

    Raises ``IntegrityError`` where an event is damaged.
    """
    yield from stated(Facts(events, Patterns(definitions, limits)), events.pages(), progress)


def stated(facts: Facts, pages: Iterable[list[Raw]], progress: Progress) -> Iterator[Said]:
    """What the events of some pages say, member by member; likewise."""
    for page in pages:
        by_position = {raw.position: raw for raw in page}
        rows = [(*raw[:2], raw.envelope, None, raw.template, _texts(raw)) for raw in page]
        for one in facts.unplaced(rows):
            yield said_of(by_position[one[3]], one)
        progress(len(page))


def _texts(raw: Raw) -> str | None:
    return None if raw.texts is None else written(raw.texts)
