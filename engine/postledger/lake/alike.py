"""Streams that run alike, as groups: each has one plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from postledger.definitions.conditions import Word
from postledger.lake.columns import Columns, np, pa
from postledger.lake.distinct import Distinct
from postledger.state.plans import LONGEST, Plan, Plans
from postledger.times import UNDATED

_WIDTH = 1 << 11
"""Twice as many as an event of a group has texts, at most."""

_MOST = 1 << 62


@attrs.frozen
class Group:
    """Streams of one plan; ``before`` are the texts before those of each event.

    ``sources`` is the source of all events, or that of each.
    """

    plan: Plan
    before: tuple[int, ...]
    sources: str | tuple[str, ...]

    def place(self, text: int) -> tuple[int, int]:
        """The event that a text of a stream is of, and which of its texts it is."""
        event = max(at for at, before in enumerate(self.before) if before <= text)
        return event, text - self.before[event]


class Groups:
    """The groups of streams; ``of`` is the group of each stream, or -1."""

    def __init__(self, plans: Plans, columns: Columns, distinct: Distinct) -> None:
        self.all: list[Group] = []
        self.of = np.full(len(distinct.streams), -1, dtype=np.int64)
        self._plans, self._columns, self._distinct = plans, columns, distinct
        codes, width = self._codes()
        charts = distinct.charts.dictionary_encode().indices.to_numpy().astype(np.int64)
        lengths = np.where(distinct.closer, LONGEST + 1, distinct.counts)
        for length in range(1, LONGEST + 1):
            some = np.flatnonzero(lengths == length)
            if len(some):
                self._learn(some, *self._alike(some, charts[some], length, codes, width))

    def _codes(self) -> tuple[Any, int]:
        """A number for what of each event decides how its stream runs, and how many there are."""
        distinct = self._distinct
        bad = np.flatnonzero((distinct.kind < 0) | (distinct.texts >= _WIDTH // 2))
        distinct.closer[distinct.stream_of(bad)] = True
        codes, firsts = encoded(distinct.kind * _WIDTH + distinct.texts * 2 + distinct.tied())
        return codes, len(firsts)

    def _alike(self, some: Any, key: Any, length: int, codes: Any, width: int) -> tuple[Any, Any]:
        """A number for each of some streams, the same for those that run alike."""
        first = self._distinct.first[some]
        key = key * 2 + (self._distinct.occurred[first + (length - 1)] == UNDATED)
        most = int(key.max()) + 1
        for at in range(length):
            if most * width >= _MOST:
                key, firsts = encoded(key)
                most = len(firsts)
            key = key * width + codes[first + at]
            most *= width
        return encoded(key)

    def _learn(self, some: Any, alike: Any, firsts: Any) -> None:
        """Learn the plans of some streams, from the first of each kind."""
        groups = np.full(len(firsts), -1, dtype=np.int64)
        worded: list[tuple[Any, int]] = []
        for number, stream in enumerate(some[firsts].tolist()):
            between = self._distinct.between(stream)
            rows = self._columns.rows(self._distinct.at[between])
            deciding = self._plans.deciding(rows)
            if not deciding:
                groups[number] = self._group(stream, rows)
                continue
            before = _before(self._distinct.texts[between])
            of_words = list(self._worded(some[alike == number], before, deciding))
            worded += [(members, self._group(int(members[0]))) for members in of_words]
        self.of[some] = groups[alike]
        for members, group in worded:
            self.of[members] = group

    def _group(self, stream: int, rows: Sequence[Any] | None = None) -> int:
        """The number of the group of a stream that is like no other before; -1 where it has no plan."""
        between = self._distinct.between(stream)
        if rows is None:
            rows = self._columns.rows(self._distinct.at[between])
        found = self._plans.of(self._distinct.charts[stream].as_py(), rows)
        sources = self._plans.sources(tuple(self._distinct.kind[between].tolist()))
        if found is None or sources is None:
            return -1
        self.all.append(Group(found[0], _before(self._distinct.texts[between]), sources))
        return len(self.all) - 1

    def _worded(
        self,
        members: Any,
        before: tuple[int, ...],
        deciding: Sequence[tuple[int, Callable[[str], Word]]],
    ) -> Iterator[Any]:
        """Streams of the same kinds, by the words that decide their plan."""
        key = np.zeros(len(members), dtype=np.int64)
        for text, class_of in deciding:
            event = max(at for at, count in enumerate(before) if count <= text)
            at = self._distinct.start[self._distinct.first[members] + event] + text - before[event]
            texts = self._columns.pool.take(pa.array(at)).dictionary_encode()
            numbers: dict[Word, int] = {}
            words = [
                numbers.setdefault(class_of(one), len(numbers))
                for one in texts.dictionary.to_pylist()
            ]
            classes = np.array(words, dtype=np.int64)[texts.indices.to_numpy()]
            key, _ = encoded(key * len(numbers) + classes)
        for number in range(int(key.max()) + 1):
            yield members[key == number]


def _before(texts: Any) -> tuple[int, ...]:
    return tuple((np.cumsum(texts) - texts).tolist())


def encoded(values: Any) -> tuple[Any, Any]:
    """Numbers from 0 for values, in the order of their first place, and these places."""
    found = pa.array(values).dictionary_encode()
    codes = found.indices.to_numpy().astype(np.int64)
    firsts = np.empty(len(found.dictionary), dtype=np.int64)
    firsts[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return codes, firsts
