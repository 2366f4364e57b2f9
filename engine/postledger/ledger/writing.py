"""Recording: one write transaction's worth of receipts, from bytes to entries of the log."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import attrs

from postledger.errors import IntegrityError
from postledger.log.entry import IMPORTED, Entry
from postledger.log.log import Head, Log, Stored, fields_of
from postledger.model import Receipt
from postledger.state.patterns import Intake, Said
from postledger.state.streams import Facts, Stream, row_of
from postledger.times import micros, now


class Appended(NamedTuple):
    """One entry with its position, what it says, and the value of the chain there."""

    position: int
    entry: Entry
    said: Said
    chain: bytes

    @property
    def kind(self) -> str:
        """``postback``, ``unrecognised`` or ``unreadable``."""
        return self.said.kind

    @property
    def counted_as(self) -> str:
        """Under which count of a ``Summary`` it falls."""
        if self.entry.repeats is not None:
            return "repeated"
        return "recorded" if self.kind == "postback" else self.kind

    @property
    def problem(self) -> str:
        """Why it can't be read; empty where it can, or was received before."""
        unreadable = self.kind == "unreadable" and self.entry.fields is not None
        return self.said.values[0] if unreadable else ""

    @property
    def stored(self) -> Stored:
        """The event as the log has it now."""
        entry, said = self.entry, self.said
        return Stored(
            self.position,
            entry.received_at,
            entry.stream,
            entry.occurred_at,
            said.shape,
            said.values,
            entry.body,
            entry.flags,
            entry.repeats,
            entry.body_of,
            entry.digest,
            self.chain,
        )


class _Taken(NamedTuple):
    """What one postback of a receipt says, before it has a place; ``into`` gets it appended.

    ``member`` is its number in a bundle of postbacks, from 0.
    """

    receipt: Receipt
    received_at: int
    said: Said
    member: int
    into: list[Appended]


@attrs.define
class Recording:
    """Collects what receipts say and appends it; the caller holds the write transaction throughout.

    ``streams`` are the streams that ``write`` has touched, with their distinct events.
    """

    log: Log
    facts: Facts
    intake: Intake
    streams: dict[int, Stream] = attrs.field(factory=dict)
    _taken: list[_Taken] = attrs.field(factory=list)

    def add(self, receipt: Receipt) -> list[Appended]:
        """Take one receipt; gives the list that ``write`` fills.

        That is an event for each postback in it, or one that it can't be read. Raises ``TypeError`` for
        a body that is not bytes, a content type that is no text, a time that is no datetime, and
        ``ValueError`` for a naive one.
        """
        if not isinstance(receipt.body, bytes):
            raise TypeError(f"a body is bytes, as received, and not {type(receipt.body).__name__}")
        if not isinstance(receipt.content_type, str | None):
            raise TypeError(f"a content type is text, and not {receipt.content_type!r}")
        received_at = micros(now() if receipt.received_at is None else receipt.received_at)
        into: list[Appended] = []
        self._taken += [
            _Taken(receipt, received_at, said, member, into)
            for member, said in enumerate(self.intake.take(receipt))
        ]
        return into

    @property
    def count(self) -> int:
        """How many events there are to append."""
        return len(self._taken)

    def write(self, head: Head) -> Head:
        """Append what was collected behind ``head``; gives the new head."""
        stream_ids = self._placed()
        seen = {row[:3]: row[3] for _, _, rows in self.streams.values() for row in rows}
        entries: list[Entry] = []
        position = head[0]
        for taken, stream_id in zip(self._taken, stream_ids, strict=True):
            position += 1
            entry = _entry(taken, stream_id, position)
            identity = (stream_id, entry.occurred_at, entry.digest)
            first = seen.get(identity)
            if first is None and stream_id == 0:
                first = self.log.find(identity)
            if first is None:
                seen[identity] = position
                self._touch(entry, position)
            else:
                new = first - head[0] - 1
                same = entries[new] if new >= 0 else self.log.at(first)
                entry = _repeat(entry, first, same)
            entries.append(entry)
        chains = self.log.append(entries, head)
        placed = zip(self._taken, entries, chains, strict=True)
        for at, (taken, entry, chain) in enumerate(placed, head[0] + 1):
            taken.into.append(Appended(at, entry, taken.said, chain))
        return (position, chains[-1]) if chains else head

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
            try:
                insort(self.streams[entry.stream_id][2], row_of(entry, position, shape_id))
            except TypeError as error:
                key = self.log.key_of(entry.stream_id)
                raise IntegrityError(f"{key}: an event is damaged; run verify") from error


def _entry(taken: _Taken, stream_id: int, position: int) -> Entry:
    receipt, received_at, said, member, _ = taken
    # The first postback of a bundle holds the body for the others.
    body_of = position - member if member else None
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


def _repeat(entry: Entry, first: int, same: Entry | Stored) -> Entry:
    """The entry as a repeat: it refers to the first, and keeps its own bytes if they differ.

    Two members of a bundle are of the same bytes, and may yet be worded otherwise: the order and
    the case of names are no part of what they say.
    """
    fields = same.fields if isinstance(same, Entry) else fields_of(same.values)
    if (entry.content_type, entry.body) != (same.content_type, same.body):
        return entry._replace(repeats=first)
    if (entry.shape, entry.fields) != (same.shape, fields):
        return entry._replace(repeats=first, whole=False)
    return entry._replace(repeats=first, shape=None, fields=None, whole=False)


def batches(receipts: Iterator[Receipt], size: int) -> Iterator[list[Receipt]]:
    """The receipts in lists of at most ``size``; raises ``ValueError`` for less than one."""
    if size < 1:
        raise ValueError(f"a batch of {size} receipts holds none; give at least 1")
    while batch := list(islice(receipts, size)):
        yield batch
