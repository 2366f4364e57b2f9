"""Statements: what the events of an archive say, read again and sorted by stream, in bounded memory.

What is read is spilled to a file a bucket first, as it comes; then each bucket is sorted alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

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
from postledger.progress import Progress
from postledger.state.streams import Facts
from postledger.templates import written

_LEAF = 32
"""The bytes of a leaf."""

_WAITING = 20_000
"""So many rows wait in memory to be written."""


def keeping_leaves(pages: Iterable[list[Raw]], path: Path) -> Iterator[list[Raw]]:
    """The pages of all events, whose leaves are written to a file in order of position."""
    with path.open("wb") as file:
        for page in pages:
            file.write(b"".join([raw.leaf for raw in page]))
            yield page


@contextmanager
def reading_leaves(path: Path) -> Iterator[Callable[[int], bytes]]:
    """The leaf at a position, from such a file."""
    # Not mapped to memory: of a long log that alone would be more than all else.
    with path.open("rb", buffering=0) as file:

        def leaf(position: int) -> bytes:
            file.seek(_LEAF * position)
            return file.read(_LEAF)

        yield leaf


class Buckets:
    """Statements in a file a bucket, each of which ``table`` sorts.

    The folder is removed by who made it.
    """

    def __init__(self, folder: Path, buckets: int, rows: Iterable[Said]) -> None:
        self._folder = folder
        self.buckets = buckets
        self.bytes = 0
        self._waiting: dict[int, list[Said]] = {}
        self._size = self._bytes = 0
        self._files: dict[int, Any] = {}
        with ExitStack() as self._open:
            for row in rows:
                self._add(row)
            self._write()

    def _add(self, row: Said) -> None:
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

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket}.arrow"

    def drained(self) -> Iterator[Said]:
        """All rows as they came, bucket by bucket; each file goes once it was read."""
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


def repartitioned(made: Buckets, folder: Path, most: int) -> Buckets:
    """The same rows in so many buckets that each has about ``most`` bytes of texts at the most."""
    buckets = min(-(-made.bytes // most), MOST_BUCKETS)
    if buckets <= made.buckets:
        return made
    wider = folder / "wider"
    wider.mkdir()
    return Buckets(wider, buckets, made.drained())


def _bytes_of(row: Said) -> int:
    """About how many bytes the texts of a row take."""
    said = 0 if row.said is None else len(row.said)
    return said if row.texts is None else said + sum(map(len, row.texts))


def stated(facts: Facts, pages: Iterable[list[Raw]], progress: Progress) -> Iterator[Said]:
    """What the events of some pages say, member by member.

    Raises ``IntegrityError`` where an event is damaged.
    """
    for page in pages:
        by_position = {raw.position: raw for raw in page}
        rows = [(*raw[:2], raw.envelope, None, raw.template, _texts(raw)) for raw in page]
        for one in facts.unplaced(rows):
            yield said_of(by_position[one[3]], one)
        progress(len(page))


def _texts(raw: Raw) -> str | None:
    return None if raw.texts is None else written(raw.texts)
