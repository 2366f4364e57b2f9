"""The columnar fold: the rows of many streams at once, picked by their plans.

Streams of the same kinds, whose events stand in the same order, have one plan (``state.plans``), which
says from which time or text of which event each column of the row comes. So a column of all streams is
one gather. No rule of the fold stands here: what no plan gives is folded stream by stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from postledger.findings import Finding, names
from postledger.lake.alike import Groups, Known
from postledger.lake.columns import Columns, in_whole_streams, np, pa, pc
from postledger.lake.distinct import Distinct, ranges
from postledger.lake.layout import DELIVERIES, STREAM, schema_of
from postledger.lake.rows import of_streams
from postledger.projections.reader import Folding
from postledger.state.plans import FIXED, MADE, TEXT, TIME, Made, made_text
from postledger.state.row import COLUMNS, Row

_LATE, _REPEATED = int(Finding.LATE), int(Finding.REPEATED)
_AMOUNT_UNREADABLE = int(Finding.AMOUNT_UNREADABLE)
_SCHEMA = schema_of(DELIVERIES)
_FINDINGS = _SCHEMA.field("findings").type

TIMES = ("created_at", "sent_at", "outcome_at", "first_received_at")
COUNTS = ("events", "repeats", "findings")
WORDS = ("state", "route", "source", "read", "grade", "reason_class")
"""The columns of few values. All others are texts."""


def states(folding: Folding, tables: Iterable[Any]) -> Iterator[Any]:
    """Tables of the deliveries that follow from tables of statements, which are in order.

    One table is in memory at a time, next to what a stream has in those before. Raises what ``folding``
    raises.
    """
    known = Known()
    for table in in_whole_streams(map(of_streams, tables)):
        distinct = Distinct.of(Columns.of(table))
        yield _Gather(distinct, Groups(folding.plans, distinct, known)).states(folding)


class _Gather:
    """The columns of the rows of streams that have plans: ``some`` of them all."""

    def __init__(self, distinct: Distinct, groups: Groups) -> None:
        self._distinct, self._all, self._pool = distinct, groups.all, distinct.columns.pool
        self._choose(np.flatnonzero(groups.of >= 0), groups.of)
        differ = self._differ()
        if differ.any():
            self._choose(self._some[~differ], groups.of)
        findings = self._found()
        sound = (findings & _AMOUNT_UNREADABLE) == 0
        if not sound.all():
            self._choose(self._some[sound], groups.of)
        self._findings = findings[sound]

    def _choose(self, some: Any, of: Any) -> None:
        distinct = self._distinct
        self._some, self._of = some, of[some]
        self._first = distinct.first[some]
        self._start = distinct.start[self._first]
        self._repeated = distinct.counts[some] < distinct.events[some]

    def _per_group(self, values: Iterable[Any], dtype: Any = None) -> Any:
        """A value of each group, for each stream."""
        return np.array([*values], dtype=dtype or np.int64)[self._of]

    def _texts_at(self, texts: Sequence[int], among: Any) -> Any:
        """Where texts of some streams stand in the pool, of which each group has the index."""
        of = self._of[among]
        at = self._start[among] + np.array(texts, dtype=np.int64)[of]
        # Between the texts of other streams stand no texts of repeats.
        again = np.flatnonzero(self._repeated[among])
        if len(again):
            places = [
                g.places[text] if g.places else (0, 0)
                for g, text in zip(self._all, texts, strict=True)
            ]
            event, text = np.array(places, dtype=np.int64)[of[again]].T
            at[again] = self._distinct.start[self._first[among][again] + event] + text
        return at

    def _taken(self, at: Any) -> Any:
        return pc.take(self._pool, pa.array(at), boundscheck=False)

    # --- what takes a closer look, and findings ---

    def _differ(self) -> Any:
        """The streams whose recipients are not the same."""
        differ = np.zeros(len(self._some), dtype=bool)
        if not self._all:
            return differ
        recipients = [group.plan.recipients or (0,) for group in self._all]
        counts = np.array([len(one) for one in recipients])
        among = np.flatnonzero(counts[self._of] > 1)
        first = self._taken(self._texts_at([one[0] for one in recipients], among))
        for number in range(1, counts.max()):
            more = counts[self._of[among]] > number
            if number > 1:
                among, first = among[more], first.filter(pa.array(more))
            texts = [one[min(number, len(one) - 1)] for one in recipients]
            other = self._taken(self._texts_at(texts, among))
            differ[among] |= pc.not_equal(first, other).to_numpy(zero_copy_only=False)
        return differ

    def _found(self) -> Any:
        """The findings of each stream, as ``Plan.noted`` has them."""
        distinct = self._distinct
        found = self._per_group(group.plan.findings for group in self._all)
        found |= distinct.noted()[self._some]
        ordered = [group.plan.ordered for group in self._all]
        counts = np.array([len(one) for one in ordered], dtype=np.int64)
        among = np.arange(len(self._some))
        for number in range(max(counts, default=0)):
            among = among[counts[self._of[among]] > number]
            pairs = np.array([one[number] if len(one) > number else (0, 0) for one in ordered])
            of, first = self._of[among], self._first[among]
            before, after = (distinct.received[first + pairs[of, at]] for at in (0, 1))
            found[among[before > after]] |= _LATE
        found[self._repeated] |= _REPEATED
        return found

    # --- columns ---

    def states(self, folding: Folding) -> Any:
        """The deliveries of all streams: of those without a plan as ``folding`` gives them."""
        distinct = self._distinct
        rest = np.ones(len(distinct), dtype=bool)
        rest[self._some] = False
        others = np.flatnonzero(rest)
        rows = self._plainly(folding, others)
        blank: Row = (None,) * len(COLUMNS)
        told = list(zip(*[row or blank for row in rows], strict=True)) or [()] * len(COLUMNS)
        begins = pa.array(distinct.begins)
        found = [getattr(distinct.columns, name).take(begins) for name in STREAM]
        for number, name in enumerate(COLUMNS[1:], 1):
            numbers = name in COUNTS or name in TIMES
            column = self._numbers if numbers else self._words if name in WORDS else self._texts
            found.append(column(number, others, told[number]))
        table = pa.Table.from_arrays(
            [_typed(one, field.type) for one, field in zip(found, _SCHEMA, strict=True)],
            schema=_SCHEMA,
        )
        if None not in rows:
            return table
        # Where there is no row, no event says a thing to the chart.
        heard = np.ones(len(distinct), dtype=bool)
        heard[others] = [row is not None for row in rows]
        return table.filter(pa.array(heard))

    def _plainly(self, folding: Folding, streams: Any) -> list[Row | None]:
        """The rows of some streams, folded one by one."""
        distinct = self._distinct
        counts = distinct.events[streams]
        ends = np.cumsum(counts)
        rows = distinct.columns.rows(ranges(distinct.begins[streams], counts))
        charts = distinct.charts.take(pa.array(streams)).to_pylist()
        return [
            folding.row(0, chart, rows[end - count : end])
            for chart, count, end in zip(charts, counts.tolist(), ends.tolist(), strict=True)
        ]

    def _origins_of(self, number: int) -> list[tuple[int, Any]]:
        return [group.origins[number] for group in self._all]

    def _numbers(self, number: int, others: Any, told: Sequence[Any]) -> Any:
        """A column of numbers; ``told`` are those of the ``others``."""
        distinct, name = self._distinct, COLUMNS[number]
        some, missing = self._own_numbers(number, name)
        if not len(others):
            return pa.array(some, mask=missing if missing is not False and missing.any() else None)
        values = np.zeros(len(distinct), dtype=np.int64)
        nulls = np.zeros(len(values), dtype=bool)
        values[self._some], nulls[self._some] = some, missing
        values[others] = [value or 0 for value in told]
        nulls[others] = [value is None for value in told]
        return pa.array(values, mask=nulls)

    def _own_numbers(self, number: int, name: str) -> tuple[Any, Any]:
        """The numbers of streams with a plan, and where there is none."""
        distinct, some = self._distinct, self._some
        if name == "first_received_at":
            return distinct.first_received()[some], False
        if name == "repeats":
            return distinct.repeats[some], False
        if name == "findings":
            return self._findings, False
        origins = self._origins_of(number)
        if name not in TIMES:
            return self._per_group(value for _, value in origins), False
        event = self._per_group(at if kind == TIME else -1 for kind, at in origins)
        return distinct.occurred[self._first + np.maximum(event, 0)], event < 0

    def _words(self, number: int, others: Any, told: Sequence[Any]) -> Any:
        """A column of few values."""
        words: dict[Any, int] = {None: -1}

        def code(word: str | None) -> int:
            return words.setdefault(word, len(words) - 1)

        codes = np.empty(len(self._distinct), dtype=np.int32)
        if COLUMNS[number] == "source":
            codes[self._some] = self._source_codes(code)
        else:
            values = [value for _, value in self._origins_of(number)]
            codes[self._some] = self._per_group(map(code, values), np.int32)
        codes[others] = [code(word) for word in told]
        dictionary = pa.array(list(words)[1:], pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), dictionary)

    def _source_codes(self, code: Callable[[str], int]) -> Any:
        """The source of the event that was received first, of those received at once the least."""
        sources = [group.sources for group in self._all]
        codes = self._per_group(code(one) if isinstance(one, str) else 0 for one in sources)
        for number, each in enumerate(sources):
            if not isinstance(each, str):
                members = np.flatnonzero(self._of == number)
                order = sorted(range(len(each)), key=each.__getitem__)
                received = self._distinct.received[self._first[members] + np.array(order)[:, None]]
                ranked = np.array([code(each[at]) for at in order])
                codes[members] = ranked[received.argmin(axis=0)]
        return codes

    def _texts(self, number: int, others: Any, told: Sequence[Any]) -> Any:
        """A column of texts: those of events, those that are fixed, and those that are made."""
        origins = self._origins_of(number)
        picked = np.array([kind == TEXT for kind, _ in origins], dtype=bool)
        among = slice(None) if picked.all() else np.flatnonzero(picked[self._of])
        at = self._texts_at([text if kind == TEXT else 0 for kind, text in origins], among)
        found = self._spread(at, self._some[among])
        if all(one is None for one in told) and all(
            k == TEXT or value is None for k, value in origins
        ):
            return found
        codes, values = self._told_texts(origins, others, told)
        mask = codes >= 0
        told_texts = pa.array(values, self._pool.type).take(pa.array(codes[mask]))
        return pc.replace_with_mask(found, pa.array(mask), told_texts)

    def _spread(self, at: Any, streams: Any) -> Any:
        """Texts of the pool as a column, in which some of the streams have one."""
        count = len(self._distinct)
        if not len(streams):
            return pa.nulls(count, self._pool.type)
        if len(streams) == count:
            return self._taken(at)
        places, nulls = np.zeros(count, dtype=np.int64), np.ones(count, dtype=bool)
        places[streams], nulls[streams] = at, False
        return pc.take(self._pool, pa.array(places, mask=nulls), boundscheck=False)

    def _told_texts(
        self, origins: list[tuple[int, Any]], others: Any, told: Sequence[Any]
    ) -> tuple[Any, list[str]]:
        """The texts that are not those of events, and of each stream which it has; -1: none."""
        values: list[str] = []
        fixed = np.full(len(origins), -1, dtype=np.int64)
        codes = np.full(len(self._distinct), -1, dtype=np.int64)
        for number, (kind, value) in enumerate(origins):
            if kind == FIXED and value is not None:
                fixed[number] = len(values)
                values.append(value)
        codes[self._some] = fixed[self._of]
        for number, (kind, value) in enumerate(origins):
            if kind == MADE:
                members = np.flatnonzero(self._of == number)
                codes[self._some[members]] = np.arange(len(members)) + len(values)
                values += self._made(number, members, value)
        codes[others] = [-1 if text is None else len(values) + at for at, text in enumerate(told)]
        values += ["" if text is None else text for text in told]
        return codes, values

    def _made(self, number: int, members: Any, made: Made) -> list[str]:
        """The texts of a group that are made of pieces."""
        pieces = [one for one in made[1] if isinstance(one, int)]
        start, lists = self._distinct.start, []
        for event, text in map(self._all[number].places.__getitem__, pieces):
            at = start[self._first[members] + event] + text
            lists.append(self._taken(at).to_pylist())
        each = zip(*lists, strict=True) if lists else ()
        return [made_text(made, dict(zip(pieces, texts, strict=True))) for texts in each]


def _typed(column: Any, kind: Any) -> Any:
    """A column as the deliveries have it: findings by their names."""
    if kind != _FINDINGS:
        return column.cast(kind)
    found = column.dictionary_encode()
    words = [names(one) for one in found.dictionary.to_pylist()]
    return pa.array(words, kind).take(found.indices)
