"""Streams that run alike, as groups: each has one plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import attrs

from postledger.definitions.conditions import Word
from postledger.lake.columns import np, pa
from postledger.lake.distinct import Distinct
from postledger.state.plans import LONGEST, MOST_PLANS, Key, Plan, Plans, order_of
from postledger.state.streams import EventRow
from postledger.times import UNDATED

_WIDTH = 1 << 11
_MOST = 1 << 62
_UNWORDED = 4

Deciding = tuple[tuple[int, Callable[[str], Word]], ...]


@attrs.frozen
class Group:
    """Streams of one plan; ``before`` are the texts before those of each event.

    ``sources`` is the source of all events, or that of each.
    """

    plan: Plan
    before: tuple[int, ...]
    sources: str | tuple[str, ...]
    origins: list[tuple[int, Any]] = attrs.field(init=False)
    places: list[tuple[int, int]] = attrs.field(init=False)
    """Of each text of a stream, the event that it is of, and which of its texts it is."""

    @origins.default
    def _origins_of_plan(self) -> list[tuple[int, Any]]:
        return self.plan.origins()

    @places.default
    def _places_of_texts(self) -> list[tuple[int, int]]:
        ends = (*self.before[1:], self.plan.texts)
        pairs = enumerate(zip(self.before, ends, strict=True))
        return [(event, at) for event, (begin, end) in pairs for at in range(end - begin)]


Known = dict[Key, Group | Deciding | None]
"""What was learned of streams of earlier tables: the group, or which texts decide it."""


class Groups:
    """The groups of streams; ``of`` is the group of each stream, or -1."""

    def __init__(self, plans: Plans, distinct: Distinct, known: Known) -> None:
        self.all: list[Group] = []
        self.of = np.full(len(distinct.streams), -1, dtype=np.int64)
        self._plans, self._distinct, self._known = plans, distinct, known
        codes, firsts = encoded(distinct.kind * _WIDTH + distinct.texts * 2 + distinct.tied())
        charts = distinct.charts.dictionary_encode().indices.to_numpy().astype(np.int64)
        lengths = np.where(distinct.closer, LONGEST + 1, distinct.counts)
        for length in range(1, LONGEST + 1):
            some = np.flatnonzero(lengths == length)
            if len(some):
                self._learn(some, *self._alike(some, charts[some], length, codes, len(firsts)))

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
            key = self._key(stream)
            found = self._found(key, stream)
            if isinstance(found, tuple):
                for words, members in self._worded(some[alike == number], found):
                    group = self._found((*key, words), int(members[0]))
                    assert not isinstance(group, tuple)
                    worded.append((members, self._number(group)))
            else:
                groups[number] = self._number(found)
        self.of[some] = groups[alike]
        for members, group_number in worded:
            self.of[members] = group_number

    def _key(self, stream: int) -> Key:
        distinct, between = self._distinct, self._distinct.between(stream)
        told = (distinct.kind, distinct.texts, distinct.occurred)
        kinds, texts, times = (tuple(one[between].tolist()) for one in told)
        return distinct.charts[stream].as_py(), kinds, texts, order_of(times)

    def _found(self, key: Key, stream: int) -> Group | Deciding | None:
        """The group of a stream, or which texts decide it; ``None``: it has no plan."""
        if key not in self._known:
            if len(self._known) >= MOST_PLANS:
                self._known.clear()
            rows = self._distinct.rows(stream)
            # The words that decide stand behind all else.
            deciding = self._plans.deciding(rows) if len(key) == _UNWORDED else ()
            self._known[key] = deciding or self._group(key, rows)
        return self._known[key]

    def _group(self, key: Key, rows: Sequence[EventRow]) -> Group | None:
        chart, kinds, texts = key[:3]
        found, sources = self._plans.of(chart, rows), self._plans.sources(kinds)
        if found is None or sources is None:
            return None
        return Group(found[0], _before(texts), sources)

    def _number(self, group: Group | None) -> int:
        if group is None:
            return -1
        self.all.append(group)
        return len(self.all) - 1

    def _worded(self, members: Any, deciding: Deciding) -> Iterator[tuple[tuple[Word, ...], Any]]:
        """Streams of the same kinds, by the words that decide their plan."""
        distinct = self._distinct
        first = distinct.first[members]
        before = _before(distinct.texts[distinct.between(int(members[0]))].tolist())
        key = np.zeros(len(members), dtype=np.int64)
        each: list[tuple[list[Word], Any]] = []
        for text, class_of in deciding:
            event = max(at for at, count in enumerate(before) if count <= text)
            at = distinct.start[first + event] + text - before[event]
            texts = distinct.columns.pool.take(pa.array(at)).dictionary_encode()
            numbers: dict[Word, int] = {}
            words = [
                numbers.setdefault(class_of(one), len(numbers))
                for one in texts.dictionary.to_pylist()
            ]
            classes = np.array(words, dtype=np.int64)[texts.indices.to_numpy()]
            each.append((list(numbers), classes))
            key, firsts = encoded(key * len(numbers) + classes)
        for number, one in enumerate(firsts.tolist()):
            yield tuple([words[classes[one]] for words, classes in each]), members[key == number]


def _before(texts: Sequence[int]) -> tuple[int, ...]:
    return tuple(accumulate(texts[:-1], initial=0))


def encoded(values: Any) -> tuple[Any, Any]:
    """Numbers from 0 for values, in the order of their first place, and these places."""
    found = pa.array(values).dictionary_encode()
    codes = found.indices.to_numpy().astype(np.int64)
    firsts = np.empty(len(found.dictionary), dtype=np.int64)
    firsts[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return codes, firsts
