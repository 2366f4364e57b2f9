"""Recording: one write transaction's worth of receipts, from bytes to entries of the log."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from postledger.intake import Intake, Said
from postledger.log.entry import IMPORTED, Entry
from postledger.log.sqlite import Head, Log
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


@attrs.define
class Recording:
    """Collects entries behind a head; the caller holds the write transaction throughout."""

    log: Log
    intake: Intake
    head: Head
    appended: list[Appended] = attrs.field(factory=list)
    touched: set[int] = attrs.field(factory=set)
    _new: dict[tuple[int, int, bytes], Appended] = attrs.field(factory=dict)

    def add(self, receipt: Receipt) -> list[Appended]:
        """Take one receipt: an event for each postback in it, or one that it can't be read."""
        received_at = micros(receipt.received_at or now())
        first, *others = self.intake.take(receipt)
        holder = self._add(receipt, received_at, first, None)
        return [holder, *(self._add(receipt, received_at, o, holder.position) for o in others)]

    def write(self) -> Head:
        """Append what was collected."""
        self.head = self.log.append((a.entry for a in self.appended), self.head)
        return self.head

    def _add(self, receipt: Receipt, received_at: int, said: Said, body_of: int | None) -> Appended:
        position = self.head[0] + len(self.appended) + 1
        stream_id, made = self.log.stream_id(said.stream)
        identity = (stream_id, said.when.occurred_at, said.digest)
        first = None if made else self._first(identity)
        entry = _entry(said, receipt, received_at, stream_id, body_of)
        if first is not None:
            entry = _repeat(entry, *first)
        appended = Appended(position, entry, said.kind)
        self.appended.append(appended)
        if first is None:
            self._new[identity] = appended
        if stream_id:
            self.touched.add(stream_id)
        return appended

    def _first(self, identity: tuple[int, int, bytes]) -> tuple[int, str | None, bytes] | None:
        """Position, content type and body of the event that has this identity already."""
        if (new := self._new.get(identity)) is not None:
            return new.position, new.entry.content_type, new.entry.body
        position = self.log.find(identity)
        if position is None:
            return None
        stored = self.log.at(position)
        return position, stored.content_type, stored.body


def _entry(
    said: Said, receipt: Receipt, received_at: int, stream_id: int, body_of: int | None
) -> Entry:
    return Entry(
        received_at=received_at,
        stream=said.stream,
        stream_id=stream_id,
        occurred_at=said.when.occurred_at,
        digest=said.digest,
        flags=said.when.flags | (IMPORTED if receipt.imported else 0),
        shape=said.shape,
        values=said.values,
        content_type=receipt.content_type,
        body=receipt.body,
        whole=body_of is None and said.shape.template is None,
        repeats=None,
        body_of=body_of,
    )


def _repeat(entry: Entry, position: int, content_type: str | None, body: bytes) -> Entry:
    """The entry as a repeat: it refers to the first, and keeps its own bytes only if they differ."""
    if (entry.content_type, entry.body) != (content_type, body):
        return entry._replace(repeats=position)
    return entry._replace(repeats=position, shape=None, values=None, whole=False)


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
