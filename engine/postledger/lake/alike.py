"""Streams that run alike, as groups: each has one plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import attrs

from postledger.definitions.conditions import Word
from postledger.lake.columns import np, pa
from postledger.lake.distinct import Distinct
from postledger.state.plans import LONGEST, MOST_PLANS, Key, Plan, Plans, order_of
from postledger.times import UNDATED

_WIDTH = 1 << 11
_MOST = 1 << 62

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


Told = tuple[int, int, tuple[Word, ...]]
"""What an event is to plans: its kind, how many texts it has, and the words that decide."""


@attrs.frozen
class Known:
    """What was learned of earlier tables: which texts decide what events say, and the groups."""

    deciding: dict[tuple[int, int], Deciding | None] = attrs.field(factory=dict)
    groups: dict[Key, Group | None] = attrs.field(factory=dict)


class Groups:
    """The groups of streams; ``of`` is the group of each stream, or -1."""

    def __init__(self, plans: Plans, distinct: Distinct, known: Known) -> None:
        self.all: list[Group] = []
        self.of = np.full(len(distinct), -1, dtype=np.int64)
        self._plans, self._distinct, self._known = plans, distinct, known
        self._codes, self._told = self._events()
        codes = self._codes * 2 + distinct.tied()
        charts = distinct.charts.dictionary_encode().indices.to_numpy().astype(np.int64)
        lengths = np.where(distinct.closer, LONGEST + 1, distinct.counts)
        for length in range(1, LONGEST + 1):
            some = np.flatnonzero(lengths == length)
            if len(some):
                self._learn(some, *self._alike(some, charts[some], length, codes))

    def _events(self) -> tuple[Any, list[Told]]:
        """A number for what each event is to plans, and what each number stands for."""
        distinct = self._distinct
        codes, firsts = encoded(distinct.kind * _WIDTH + distinct.texts)
        pairs = zip(distinct.kind[firsts].tolist(), distinct.texts[firsts].tolist(), strict=True)
        told: list[Told] = [(kind, texts, ()) for kind, texts in pairs]
        for number, (kind, texts, _) in enumerate(tuple(told)):
            if kind < 0:
                continue
            deciding = self._deciding(kind, texts, int(firsts[number]))
            if deciding == ():
                continue
            members = np.flatnonzero(codes == number)
            if deciding is None:
                distinct.look_closer(members)
                continue
            classes, words = self._classes(members, deciding)
            codes[members] = classes + len(told)
            told += [(kind, texts, one) for one in words]
        return codes, told

    def _deciding(self, kind: int, texts: int, event: int) -> Deciding | None:
        """The texts of an event that decide what it says; ``None`` where that is damaged."""
        known = self._known.deciding
        if (kind, texts) not in known:
            if len(known) >= MOST_PLANS:
                known.clear()
            known[kind, texts] = self._plans.deciding(self._distinct.rows(slice(event, event + 1)))
        return known[kind, texts]

    def _classes(self, members: Any, deciding: Deciding) -> tuple[Any, list[tuple[Word, ...]]]:
        """A number for the deciding words of each of some events, and the words of each number."""
        pool, start = self._distinct.columns.pool, self._distinct.start[members]
        key = np.zeros(len(members), dtype=np.int64)
        each: list[tuple[list[Word], Any]] = []
        firsts = key[:1]
        for text, class_of in deciding:
            texts = pool.take(pa.array(start + text)).dictionary_encode()
            numbers: dict[Word, int] = {}
            found = texts.dictionary.to_pylist()
            words = [numbers.setdefault(class_of(one), len(numbers)) for one in found]
            classes = np.array(words, dtype=np.int64)[texts.indices.to_numpy()]
            each.append((list(numbers), classes))
            key, firsts = encoded(key * len(numbers) + classes)
        return key, [tuple([words[c[one]] for words, c in each]) for one in firsts.tolist()]

    def _alike(self, some: Any, key: Any, length: int, codes: Any) -> tuple[Any, Any]:
        """A number for each of some streams, the same for those that run alike."""
        first = self._distinct.first[some]
        key = key * 2 + (self._distinct.occurred[first + (length - 1)] == UNDATED)
        most, width = int(key.max()) + 1, 2 * len(self._told)
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
        for number, stream in enumerate(some[firsts].tolist()):
            group = self._group(stream)
            if group is not None:
                groups[number] = len(self.all)
                self.all.append(group)
        self.of[some] = groups[alike]

    def _group(self, stream: int) -> Group | None:
        """The group of a stream; ``None``: it has no plan."""
        distinct, known = self._distinct, self._known.groups
        between, chart = distinct.between(stream), distinct.charts[stream].as_py()
        told = [self._told[code] for code in self._codes[between].tolist()]
        key = (chart, *told, order_of(distinct.occurred[between].tolist()))
        if key not in known:
            if len(known) >= MOST_PLANS:
                known.clear()
            found = self._plans.of(chart, distinct.rows(between))
            sources = self._plans.sources(tuple([kind for kind, _, _ in told]))
            known[key] = None
            if found is not None and sources is not None:
                before = _before([texts for _, texts, _ in told])
                known[key] = Group(found[0], before, sources)
        return known[key]


def _before(texts: Sequence[int]) -> tuple[int, ...]:
    return tuple(accumulate(texts[:-1], initial=0))


def encoded(values: Any) -> tuple[Any, Any]:
    """Numbers from 0 for values, in the order of their first place, and these places."""
    found = pa.array(values).dictionary_encode()
    codes = found.indices.to_numpy().astype(np.int64)
    firsts = np.empty(len(found.dictionary), dtype=np.int64)
    firsts[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return codes, firsts
