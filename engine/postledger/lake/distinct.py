"""Distinct events: those of whole streams without what repeats another, still as columns."""

from __future__ import annotations

from typing import Any

import attrs

from postledger.lake.columns import Columns, np, pa


@attrs.frozen
class Distinct:
    """The distinct events of whole streams, as NumPy arrays.

    Of each event: ``at``, its row of the columns, when it occurred and was received, its ``kind`` and
    findings, the first of its texts in the pool as ``start``, and how many ``texts`` it has. Of each
    stream: its ``first`` event here, how many it has as ``counts``, how many ``repeats`` besides, and
    whether its events take a closer look (``closer``); ``charts`` is a PyArrow array.
    """

    at: Any
    occurred: Any
    received: Any
    kind: Any
    findings: Any
    start: Any
    texts: Any
    first: Any
    counts: Any
    repeats: Any
    closer: Any
    streams: Any
    charts: Any
    begins: Any
    """The first row of each stream in the columns."""

    @classmethod
    def of(cls, columns: Columns) -> Distinct:
        """Those of columns; raises ``ValueError`` where these are not in the order of the fold."""
        new = np.ones(len(columns), dtype=bool)
        np.not_equal(columns.stream[1:], columns.stream[:-1], out=new[1:])
        begins = np.flatnonzero(new)
        events = np.diff(begins, append=len(columns))
        repeats = np.zeros_like(events)
        closer = np.zeros(len(begins), dtype=bool)
        again = _again(columns, new)
        keep: Any = slice(None)
        if len(again):
            dropped, tied = _dropped(columns, again)
            keep = np.ones(len(columns), dtype=bool)
            keep[dropped] = False
            np.add.at(repeats, _before(begins, dropped), 1)
            # Which of equal events of one time is the first, their bytes tell.
            closer[_before(begins, tied)] = True
        counts = events - repeats
        return cls(
            at=np.arange(len(columns))[keep],
            occurred=columns.occurred_at[keep],
            received=columns.received_at[keep],
            kind=columns.kind[keep],
            findings=columns.findings[keep],
            start=columns.start[:-1][keep],
            texts=np.diff(columns.start)[keep],
            first=np.cumsum(counts) - counts,
            counts=counts,
            repeats=repeats,
            closer=closer,
            streams=columns.stream[begins],
            charts=columns.chart.take(pa.array(begins)),
            begins=begins,
        )

    def stream_of(self, events: Any) -> Any:
        """The streams of some of the events."""
        return _before(self.first, events)

    def tied(self) -> Any:
        """Of each event whether it has the time of the one before it in its stream."""
        tied = np.zeros(len(self.at), dtype=bool)
        np.equal(self.occurred[1:], self.occurred[:-1], out=tied[1:])
        tied[self.first] = False
        return tied

    def between(self, stream: int) -> slice:
        """The events of a stream."""
        first = int(self.first[stream])
        return slice(first, first + int(self.counts[stream]))


def _before(begins: Any, at: Any) -> Any:
    return np.searchsorted(begins, at, side="right") - 1


def _again(columns: Columns, new: Any) -> Any:
    """The rows that say what the one before them says."""
    stream, occurred = columns.stream, columns.occurred_at
    disordered = stream[1:] < stream[:-1]
    disordered |= ~new[1:] & (occurred[1:] < occurred[:-1])
    same = np.flatnonzero(~new[1:] & (occurred[1:] == occurred[:-1])) + 1
    identities = columns.identities()
    here, before = identities[same], identities[same - 1]
    equal = (here == before).all(axis=1)
    less = (here[:, 0] < before[:, 0]) | (
        (here[:, 0] == before[:, 0]) & (here[:, 1] < before[:, 1])
    )
    for at in (*(np.flatnonzero(disordered)[:1] + 1).tolist(), *same[less][:1].tolist()):
        raise ValueError(
            f"expected events in the order of the fold, got position {columns.position[at]} after"
            f" {columns.position[at - 1]}"
        )
    return same[equal]


def _dropped(columns: Columns, again: Any) -> tuple[Any, Any]:
    """The rows that are left out as repeats, and those of which the time doesn't tell which these are."""
    members = np.union1d(again - 1, again)
    begins = np.flatnonzero(~np.isin(members, again, assume_unique=True))
    received = columns.received_at[members]
    least = np.repeat(np.minimum.reduceat(received, begins), np.diff(begins, append=len(members)))
    is_first = received == least
    tied = np.add.reduceat(is_first, begins, dtype=np.int64) > 1
    return members[~is_first], members[begins[tied]]
