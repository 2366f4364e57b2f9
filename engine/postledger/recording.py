"""Recording: one write transaction's worth of receipts, from bytes to entries of the log."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import NamedTuple

import attrs

from postledger.facts import Facts, Stream, row_of
from postledger.intake import Intake, Said
from postledger.log.entry import IMPORTED, Entry
from postledger.log.sqlite import Head, Log, Stored, fields_of, texts_of
from postledger.model import Receipt
from postledger.times import micros, now


@attrs.frozen
class Appended:
    """One entry with its position; ``kind`` is ``postback``, ``unrecognised`` or ``unreadable``."""

    position: int
    entry: Entry
    kind: str

    @property
    def count(self) -> str:
        """Under which count of a ``Summary`` it falls."""
        if self.entry.repeats is not None:
            return "repeated"
        return "recorded" if self.kind == "postback" else self.kind

    @property
    def problem(self) -> str:
        """Why it can't be read; empty where it can, or was received before."""
        unreadable = self.kind == "unreadable" and self.entry.fields is not None
        return texts_of(self.entry.fields or "")[0] if unreadable else ""


class _Taken(NamedTuple):
    """What one postback of a receipt says, before it has a place; ``into`` gets it appended."""

    receipt: Receipt
    received_at: int
    said: Said
    into: list[Appended]


@attrs.define
class Recording:
    """Collects what receipts say and appends it; the caller holds the write transaction throughout.

    ``streams`` are the streams that ``write`` has touched, with their distinct events.
    """

    log: Log
    facts: Facts
    intake: Intake
    head: Head
    appended: list[Appended] = attrs.field(factory=list)
    streams: dict[int, Stream] = attrs.field(factory=dict)
    _taken: list[_Taken] = attrs.field(factory=list)

    def add(self, receipt: Receipt) -> list[Appended]:
        """Take one receipt; gives the list that ``write`` fills.

        That is an event for each postback in it, or one that it can't be read.
        """
        received_at = micros(receipt.received_at or now())
        into: list[Appended] = []
        self._taken += [
            _Taken(receipt, received_at, said, into) for said in self.intake.take(receipt)
        ]
        return into

    def write(self) -> Head:
        """Append what was collected."""
        stream_ids = self._placed()
        seen = {row[:3]: row[3] for _, _, rows in self.streams.values() for row in rows}
        placed = zip(self._taken, stream_ids, strict=True)
        for position, (taken, stream_id) in enumerate(placed, self.head[0] + 1):
            entry = _entry(taken, stream_id)
            identity = (stream_id, entry.occurred_at, entry.digest)
            first = seen.get(identity)
            if first is None and stream_id == 0:
                first = self.log.find(identity)
            if first is None:
                seen[identity] = position
                self._touch(entry, position)
            else:
                entry = self._repeat(entry, first)
            appended = Appended(position, entry, taken.said.kind)
            self.appended.append(appended)
            taken.into.append(appended)
        self._taken.clear()
        self.head = self.log.append((a.entry for a in self.appended), self.head)
        return self.head

    def _placed(self) -> list[int]:
        """The streams of what was taken; their events so far are read, of all of them together."""
        placed, made = self.log.stream_ids(taken.said.stream for taken in self._taken)
        charts = {i: t.said.stream[0] for i, t in zip(placed, self._taken, strict=True) if i}
        known = sorted(charts.keys() - made)
        self.streams = {stream_id: (stream_id, chart, []) for stream_id, chart in charts.items()}
        self.streams.update((stream[0], stream) for stream in self.facts.rows_of(known, charts))
        return placed

    def _touch(self, entry: Entry, position: int) -> None:
        """Put a distinct event among those of its stream."""
        if entry.stream_id and entry.shape is not None and entry.fields is not None:
            shape_id = self.log.shape_id(entry.shape)
            insort(self.streams[entry.stream_id][2], row_of(entry, position, shape_id))

    def _repeat(self, entry: Entry, first: int) -> Entry:
        """The entry as a repeat: it refers to the first, and keeps its own bytes if they differ."""
        new = first - self.head[0] - 1
        same: Entry | Stored = self.appended[new].entry if new >= 0 else self.log.at(first)
        if (entry.content_type, entry.body) != (same.content_type, same.body):
            return entry._replace(repeats=first)
        return entry._replace(repeats=first, shape=None, fields=None, whole=False)


def _entry(taken: _Taken, stream_id: int) -> Entry:
    receipt, received_at, said, into = taken
    # The first postback of a bundle holds the body for the others.
    body_of = into[0].position if into else None
    flags = said.when.flags | (IMPORTED if receipt.imported else 0)
    # In their order: by their names it takes five times as long, for every event.
    return Entry(
        received_at,
        said.stream,
        stream_id,
        said.when.occurred_at,
        said.digest,
        flags,
        said.shape,
        fields_of(said.values),
        receipt.content_type,
        receipt.body,
        body_of is None and said.shape.template is None,
        None,
        body_of,
    )


def batches(receipts: Iterator[Receipt], size: int) -> Iterator[list[Receipt]]:
    """The receipts in lists of at most ``size``."""
    batch: list[Receipt] = []
    for receipt in receipts:
        batch.append(receipt)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
