"""Distinct events: those of whole streams without what repeats another, still as columns."""

from __future__ import annotations

from typing import Any

import attrs

from postledger.lake.columns import Columns, np, pa
from postledger.state.streams import EventRow

MOST_TEXTS = 1000
"""Streams of events of more texts are folded one by one."""


@attrs.frozen
class Distinct:
    """The distinct events of whole streams, as NumPy arrays.

    Of each event: when it occurred and was received, its ``kind`` and findings, the first of its texts in
    the pool as ``start``, and how many ``texts`` it has. The events stand as in the columns; behind them,
    once more and without repeats, those of streams that have repeats: ``moved`` are their rows. Of
    each stream: where it ``begins`` in the columns, how many ``events`` it has there, its ``first`` event
    here, how many it has as ``counts``, and whether they take a closer look (``closer``). ``charts``
    is a PyArrow array.
    """

    columns: Columns
    occurred: Any
    received: Any
    kind: Any
    findings: Any
    start: Any
    texts: Any
    moved: Any
    begins: Any
    events: Any
    first: Any
    counts: Any
    closer: Any
    charts: Any

    @classmethod
    def of(cls, columns: Columns) -> Distinct:
        """Those of columns, which are in the order of the fold."""
        begins = np.flatnonzero(columns.new)
        events = np.diff(begins, append=len(columns))
        texts = np.diff(columns.start)
        closer = np.zeros(len(begins), dtype=bool)
        closer[_before(begins, np.flatnonzero((columns.kind < 0) | (texts > MOST_TEXTS)))] = True
        again = _again(columns)
        dropped, tied = _dropped(columns, again) if len(again) else (again, again)
        # Which of equal events of one time is the first, their bytes tell.
        closer[_before(begins, tied)] = True
        counts, first = events.copy(), begins.copy()
        np.subtract.at(counts, _before(begins, dropped), 1)
        repeated = np.flatnonzero(counts < events)
        first[repeated] = len(columns) + np.cumsum(counts[repeated]) - counts[repeated]
        rows = ranges(begins[repeated], events[repeated])
        moved = rows[~np.isin(rows, dropped, assume_unique=True)]

        def told(values: Any) -> Any:
            return np.concatenate([values, values[moved]]) if len(moved) else values

        return cls(
            columns=columns,
            occurred=told(columns.occurred_at),
            received=told(columns.received_at),
            kind=told(columns.kind),
            findings=told(columns.findings),
            start=told(columns.start[:-1]),
            texts=told(texts),
            moved=moved,
            begins=begins,
            events=events,
            first=first,
            counts=counts,
            closer=closer,
            charts=columns.chart.take(pa.array(begins)),
        )

    def __len__(self) -> int:
        return len(self.begins)

    @property
    def repeats(self) -> Any:
        """How many events of each stream repeat others."""
        return self.events - self.counts

    def first_received(self) -> Any:
        """When the first event of each stream was received."""
        return np.minimum.reduceat(self.columns.received_at, self.begins)

    def noted(self) -> Any:
        """The findings of all distinct events of each stream."""
        noted = np.zeros_like(self.begins)
        if self.columns.findings.any():
            np.bitwise_or.reduceat(self.columns.findings, self.begins, out=noted)
            behind = np.flatnonzero(self.first >= len(self.columns))
            if len(behind):
                noted[behind] = np.bitwise_or.reduceat(self.findings, self.first[behind])
        return noted

    def rows(self, between: slice) -> list[EventRow]:
        """Some events as the plain fold takes them."""
        at, size = np.arange(between.start, between.stop), len(self.columns)
        return self.columns.rows(at if between.start < size else self.moved[at - size])

    def look_closer(self, events: Any) -> None:
        """Fold the streams of some events one by one."""
        events, size = events.copy(), len(self.columns)
        behind = events >= size
        events[behind] = self.moved[events[behind] - size]
        self.closer[_before(self.begins, events)] = True

    def tied(self) -> Any:
        """Of each event whether it has the time of the one before it in its stream."""
        tied = np.zeros(len(self.occurred), dtype=bool)
        np.equal(self.occurred[1:], self.occurred[:-1], out=tied[1:])
        tied[self.first] = False
        return tied

    def between(self, stream: int) -> slice:
        """The events of a stream."""
        first = int(self.first[stream])
        return slice(first, first + int(self.counts[stream]))


def ranges(begins: Any, counts: Any) -> Any:
    """The numbers from each beginning on, so many of each."""
    ends = np.cumsum(counts)
    return np.arange(counts.sum()) + np.repeat(begins - (ends - counts), counts)


def _before(begins: Any, at: Any) -> Any:
    return np.searchsorted(begins, at, side="right") - 1


def _again(columns: Columns) -> Any:
    """The rows that say what the one before them says."""
    occurred = columns.occurred_at
    same = np.flatnonzero(~columns.new[1:] & (occurred[1:] == occurred[:-1])) + 1
    identities = columns.identities()
    return same[(identities[same] == identities[same - 1]).all(axis=1)]


def _dropped(columns: Columns, again: Any) -> tuple[Any, Any]:
    """The rows that are left out as repeats, and those of which the time doesn't tell which these are."""
    members = np.union1d(again - 1, again)
    begins = np.flatnonzero(~np.isin(members, again, assume_unique=True))
    received = columns.received_at[members]
    least = np.repeat(np.minimum.reduceat(received, begins), np.diff(begins, append=len(members)))
    is_first = received == least
    tied = np.add.reduceat(is_first, begins, dtype=np.int64) > 1
    return members[~is_first], members[begins[tied]]
