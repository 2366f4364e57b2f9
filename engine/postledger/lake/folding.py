"""Folding: the states of all streams of an archive, bucket by bucket, by any definitions.

The fold is that of ``state``. Where the vocabularies are those of the archive, its statements are folded
as they stand; by others the events are read again first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from postledger.definitions.definitions import Definitions
from postledger.lake.archived import StreamSaid, streams_of
from postledger.lake.layout import Said
from postledger.lake.restating import Paged, restated, sorted_rows
from postledger.lake.rows import event_row, rows_of
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.progress import Progress
from postledger.projections.compare import Difference, difference_of
from postledger.projections.generations import vocabularies_of
from postledger.projections.reader import Folding
from postledger.state.patterns import Stream
from postledger.state.row import Row
from postledger.state.streams import EventRow
from postledger.times import UNDATED
from postledger.wire import Limits


class Lake(Paged, Protocol):
    """An archive, or several as one."""

    @property
    def definitions(self) -> Definitions:
        """The definitions that the statements are read by."""
        ...

    @property
    def limits(self) -> Limits:
        """The limits that bodies are read within."""
        ...

    @property
    def buckets(self) -> int:
        """How many buckets the streams are in."""
        ...

    def streams(self, bucket: int) -> Iterator[StreamSaid]:
        """The streams of a bucket in their order; raises ``IntegrityError`` for any other order."""
        ...


Streams = Callable[[int], Iterator[StreamSaid]]
"""The streams of a bucket."""

FoldedStream = tuple[Stream, Row | None]
"""A stream, and its row; ``None`` where nothing says what became of it."""


@contextmanager
def stating(lake: Lake, definitions: Definitions, progress: Progress) -> Iterator[Streams]:
    """The streams of each bucket, as some definitions read them."""
    if vocabularies_of(definitions) == vocabularies_of(lake.definitions):
        yield lake.streams
        return
    with (
        TemporaryDirectory(prefix="postledger-") as folder,
        sorted_rows(
            restated(lake, definitions, lake.limits, progress), Path(folder), lake.buckets
        ) as made,
    ):
        yield lambda bucket: streams_of(map(Said._make, rows_of(made.table(bucket))))


def folded(
    lake: Lake, definitions: Definitions, bounds: Bounds, progress: Progress
) -> Iterator[FoldedStream]:
    """The rows of all streams that have an event within the bounds, by some definitions."""
    folding = Folding.by(lake, definitions, lake.limits)
    with stating(lake, definitions, progress) as streams:
        for bucket in range(lake.buckets):
            for stream, said in streams(bucket):
                if events := event_rows(said, bounds):
                    yield stream, folding.row(0, stream[1], events)
                progress(len(said))


def event_rows(said: list[Said], bounds: Bounds = EVERYTHING) -> list[EventRow]:
    """What the fold reads of a stream, within the bounds."""
    if bounds is EVERYTHING:
        return [event_row(0, one) for one in said]
    return [
        event_row(0, one)
        for one in said
        if bounds.take(
            one.position,
            one.received_at,
            UNDATED if one.occurred_at is None else one.occurred_at,
        )
    ]


def differences(lake: Lake, definitions: Definitions, progress: Progress) -> Iterator[Difference]:
    """What would change if the events were read by other definitions."""
    old = Folding.by(lake, lake.definitions, lake.limits)
    new = Folding.by(lake, definitions, lake.limits)
    with stating(lake, definitions, progress) as streams:
        for bucket in range(lake.buckets):
            # Of the same statements each stream is read once.
            same = streams == lake.streams
            pairs = _same(lake, bucket) if same else _pairs(lake.streams(bucket), streams(bucket))
            for stream, before, after in pairs:
                one, other = _row(old, stream, before), _row(new, stream, after)
                if one != other:
                    yield difference_of(stream, (old, before, one), (new, after, other))
                progress(len(before))


Pair = tuple[Stream, list[EventRow], list[EventRow]]
"""A stream, with its events as two sets of definitions read them."""


def _same(lake: Lake, bucket: int) -> Iterator[Pair]:
    for stream, said in lake.streams(bucket):
        events = event_rows(said)
        yield stream, events, events


def _pairs(old: Iterator[StreamSaid], new: Iterator[StreamSaid]) -> Iterator[Pair]:
    """The streams of both, each once, in their order."""
    one, other = next(old, None), next(new, None)
    while one is not None or other is not None:
        stream = min(found[0] for found in (one, other) if found is not None)
        before, after = [], []
        if one is not None and one[0] == stream:
            before, one = event_rows(one[1]), next(old, None)
        if other is not None and other[0] == stream:
            after, other = event_rows(other[1]), next(new, None)
        yield stream, before, after


def _row(folding: Folding, stream: Stream, events: list[EventRow]) -> Row | None:
    return folding.row(0, stream[1], events) if events else None
