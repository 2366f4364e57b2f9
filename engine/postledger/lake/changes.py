"""Changing: what each event changed, bucket by bucket: the changes that ``Ledger.follow`` reports.

The state before and after an event are two folds, of what was received up to it. Where many streams are
folded at once, so are these: the first events of all streams, then the first two, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import attrs

from postledger.lake.folder import arrow
from postledger.lake.folding import engine_of, event_rows, ids_of, states
from postledger.lake.layout import CHANGES, DELIVERIES, GROUP, STREAM, schema_of
from postledger.lake.rows import changed_of, regrouped, streams_of, tables_of
from postledger.model import DELIVERY
from postledger.projections.changes import COLUMN_OF, turns_of
from postledger.projections.reader import Folding
from postledger.state.changes import key_of
from postledger.state.plans import LONGEST
from postledger.state.row import UNFOLDED

_SAID = (*STREAM, "position", "member", "received_at", "occurred_at")
"""What a change has of the statement."""


@attrs.frozen
class Changing:
    """What finds changes: how streams are folded, the id of the ledger, and the leaves by position."""

    folding: Folding
    ledger: bytes
    leaf: Callable[[int], bytes]

    def changes(self, table: Any, *, plainly: bool = False) -> Iterator[Any]:
        """Tables of what the events of a table of statements changed, stream by stream."""
        pc = arrow("compute")
        chart = self.folding.definitions.charts.get(DELIVERY)
        table = table.filter(pc.equal(table["chart"], DELIVERY)).combine_chunks()
        if chart is None or not table.num_rows:
            return
        names = [region.name for region in chart.regions]
        columns = ["state", *(COLUMN_OF[name] for name in names[1:] if name in COLUMN_OF)]
        if plainly or engine_of(None) == "plain" or len(columns) < len(names):
            yield from regrouped(self._one_by_one(table))
            return
        regions = dict(zip(names, columns, strict=True))
        pieces = import_module("postledger.lake.columns").in_whole_streams([table])
        yield from regrouped(self._at_once(piece, regions) for piece in pieces)

    def _at_once(self, table: Any, regions: dict[str, str]) -> Any:
        pa = arrow()
        rounds = _Rounds(self, table, regions)
        found = [rounds.found(), *self._one_by_one(table.filter(pa.array(rounds.rest())))]
        order = [(name, "ascending") for name in (*STREAM, "position", "member")]
        whole = pa.concat_tables(found)
        return whole if len(found) == 1 else whole.sort_by(order)

    def key(self, stream: tuple[str, str, str], position: int, member: int) -> str:
        """The key of a change."""
        definitions = self.folding.definitions.hash
        return key_of(self.ledger, self.leaf(position), member, stream, definitions)

    def _one_by_one(self, table: Any) -> Iterator[Any]:
        # As rows of Python they take more memory than as a table.
        rows = (
            changed_of(stream, turn, self.key(stream, turn.row[3], turn.row[4]))
            for stream, said in streams_of(regrouped([table], GROUP))
            for turn in turns_of(self.folding, stream, event_rows(said))
        )
        return tables_of(CHANGES, rows)


class _Rounds:
    """The changes of short streams: round by round each is folded with one event more."""

    def __init__(self, changing: Changing, table: Any, regions: dict[str, str]) -> None:
        columns = import_module("postledger.lake.columns")
        np = self._np = columns.np
        self._changing, self._table, self._regions = changing, table, regions
        new = columns.new_in(table)
        self._stream = np.cumsum(new) - 1
        self._begins = np.flatnonzero(new)
        self._counts = np.diff(self._begins, append=table.num_rows)
        position, member = (table[name].to_numpy() for name in ("position", "member"))
        # The events of each stream as they were received, and which of these each is.
        self._received = np.lexsort((member, position, self._stream))
        self._rank = np.empty(table.num_rows, dtype=np.int64)
        self._rank[self._received] = np.arange(table.num_rows) - self._begins[self._stream]
        self._short = self._counts <= LONGEST
        self._words: dict[str, int] = {}
        """The states of all regions, as a number."""

    def rest(self) -> Any:
        """Of each statement whether it is of a stream that is looked at by itself."""
        return ~self._short[self._stream]

    def found(self) -> Any:
        """What changed of all but the rest, stream by stream."""
        np = self._np
        before = np.full(len(self._begins), -1)
        parts = []
        for number in range(int(self._counts[self._short].max(initial=0))):
            streams = np.flatnonzero(self._short & (self._counts > number))
            streams, folded, codes = self._folded(number, streams)
            changed = codes != before[streams]
            some = streams[changed]
            at = self._received[self._begins[some] + number]
            parts.append((at, before[some], codes[changed], folded.filter(arrow().array(changed))))
            before[streams] = codes
        return self._told(parts)

    def _folded(self, number: int, streams: Any) -> tuple[Any, Any, Any]:
        """The streams of which something is known up to an event: these, their deliveries and states."""
        pa, pc, np = arrow(), arrow("compute"), self._np
        of = np.zeros(len(self._begins), dtype=bool)
        of[streams] = True
        some = self._table.filter(pa.array(of[self._stream] & (self._rank <= number)))
        made = list(states(self._changing.folding, [some], engine="columnar"))
        folded = pa.concat_tables([schema_of(DELIVERIES).empty_table(), *made])
        if folded.num_rows < len(streams):
            # Of some no event says a thing yet.
            ids = ids_of(self._table.take(pa.array(self._begins[streams])))
            streams = streams[pc.is_in(ids, value_set=ids_of(folded)).to_numpy()]
        unfolded = pc.equal(folded["state"], UNFOLDED).to_numpy()
        # The plain way says why.
        self._short[streams[unfolded]] = False
        parts = [pc.fill_null(folded[name], "") for name in self._regions.values()]
        told = pc.binary_join_element_wise(*parts, "\0").combine_chunks().dictionary_encode()
        known = [
            self._words.setdefault(one, len(self._words)) for one in told.dictionary.to_pylist()
        ]
        codes = np.array(known, dtype=np.int64)[told.indices.to_numpy()]
        return streams, folded, codes

    def _told(self, parts: list[Any]) -> Any:
        """The table of the changes of all rounds."""
        pa, pc, np = arrow(), arrow("compute"), self._np
        if not parts:
            return schema_of(CHANGES).empty_table()
        at, before, after = (np.concatenate([part[n] for part in parts]) for n in range(3))
        order = np.lexsort((self._rank[at], self._stream[at]))
        order = order[self._short[self._stream[at[order]]]]
        before, after = before[order], after[order]
        rows = self._table.take(pa.array(at[order]))
        folded = pa.concat_tables([part[3] for part in parts]).take(pa.array(order))
        names = list(self._regions)
        pairs = [list(zip(names, word.split("\0"), strict=True)) for word in self._words]
        maps = pa.array(pairs, schema_of(CHANGES).field("after").type)
        first = pa.array([word.partition("\0")[0] for word in self._words], pa.string())
        was = pa.array(np.maximum(before, 0), mask=before < 0)
        streams = zip(*(rows[name].to_pylist() for name in STREAM), strict=True)
        places = zip(rows["position"].to_pylist(), rows["member"].to_pylist(), strict=True)
        told = {
            **{name: rows[name] for name in _SAID},
            "change": pa.array(
                [self._changing.key(s, *place) for s, place in zip(streams, places, strict=True)]
            ),
            "before_state": first.take(was),
            "state": folded["state"],
            "reason": pc.coalesce(folded["reason"], folded["route_reason"]),
            "findings": folded["findings"],
            "before": maps.take(was),
            "after": maps.take(pa.array(after)),
        }
        return pa.table(told, schema=schema_of(CHANGES))
