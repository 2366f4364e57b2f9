"""Columns: the members of events in the order of the fold, as arrays in place of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

import attrs

from postledger.errors import requires
from postledger.state.streams import KIND, EventRow
from postledger.templates import written
from postledger.times import UNDATED

try:
    np: Any = import_module("numpy")
    pa: Any = import_module("pyarrow")
    pc: Any = import_module("pyarrow.compute")
except ImportError:
    raise requires("a columnar fold requires NumPy and PyArrow", "numpy pyarrow") from None

NAMES = (
    "stream", "chart", "occurred_at", "identity", "position", "member", "received_at",
    "template", "envelope", "texts", "findings", "said",
)  # fmt: skip
"""The columns of a table that is folded, as ``EventRow`` has them, and the chart of the stream."""

_NUMBERS = ("stream", "occurred_at", "position", "member", "received_at", "findings")
PIECE = 100_000
"""How many rows are folded together: their numbers stay in a processor's cache."""

_TEMPLATES = 1 << 31
"""No log gives a template such a number, or a larger one."""

_NOTHING = -1
"""What stands in place of the number of a template or of an envelope where there is none."""


@attrs.frozen
class Columns:
    """Whole streams, one after the other: NumPy arrays of numbers, PyArrow arrays of all else.

    ``texts`` are lists of texts: those of event ``i`` are ``pool[start[i] : start[i + 1]]``. ``kind``
    is less than 0 where a plan can't read an event: it is kept whole, or the index keeps what it says.
    """

    stream: Any
    chart: Any
    occurred_at: Any
    identity: Any
    position: Any
    member: Any
    received_at: Any
    template: Any
    envelope: Any
    texts: Any
    findings: Any
    said: Any
    start: Any
    pool: Any
    kind: Any

    @classmethod
    def of(cls, table: Any) -> Columns:
        """The columns of a PyArrow table; raises ``ValueError`` where one is missing.

        Times are microseconds or timestamps, those that the provider left out null or ``UNDATED``.
        """
        if missing := [name for name in NAMES if name not in table.column_names]:
            raise ValueError(f"table must have the columns {', '.join(NAMES)}; missing: {missing}")
        found = {name: _whole(table[name]) for name in NAMES}
        found["occurred_at"] = found["occurred_at"].cast(pa.int64()).fill_null(UNDATED)
        for name in _NUMBERS:
            if found[name].null_count:
                raise ValueError(f"{name} must not be null, got {found[name].null_count} nulls")
            found[name] = found[name].cast(pa.int64()).to_numpy(zero_copy_only=False)
        template, envelope = (
            found[name].cast(pa.int64()).fill_null(_NOTHING).to_numpy(zero_copy_only=False)
            for name in ("template", "envelope")
        )
        texts, said = found["texts"], found["said"]
        kind = template * KIND + envelope
        # A number that no log gives is looked up as it is, not as what it wraps around to.
        kind[(template < 0) | (template >= _TEMPLATES)] = _NOTHING
        kind[(envelope < 0) | (envelope >= KIND)] = _NOTHING
        for whole in (pc.invert(texts.is_null()) if texts.null_count else None, said.is_null()):
            if whole is not None and not pc.all(whole).as_py():
                kind[~whole.to_numpy(zero_copy_only=False)] = _NOTHING
        start = texts.offsets.to_numpy().astype(np.int64)
        return cls(**found, start=start, pool=texts.values, kind=kind)

    def __len__(self) -> int:
        return len(self.stream)

    def identities(self) -> Any:
        """The identities as two numbers each, which are in the order of the bytes."""
        identity = self.identity
        at = identity.offset
        numbers = np.frombuffer(identity.buffers()[1], dtype=">u8")
        return numbers[2 * at : 2 * (at + len(identity))].reshape(-1, 2)

    def rows(self, at: Any) -> list[EventRow]:
        """Some members of events as the plain fold takes them."""
        names = (
            "stream", "occurred_at", "identity", "position", "member", "received_at",
            "template", "envelope", "texts", "findings", "said",
        )  # fmt: skip
        lists = []
        for name in names:
            column = getattr(self, name)
            numbers = name in _NUMBERS
            lists.append(column[at].tolist() if numbers else column.take(pa.array(at)).to_pylist())
        texts = names.index("texts")
        lists[texts] = [None if one is None else written(one) for one in lists[texts]]
        return list(zip(*lists, strict=True))


def _whole(column: Any) -> Any:
    """A column in one piece."""
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def in_whole_streams(tables: Iterable[Any]) -> Iterator[Any]:
    """Tables of fold order in pieces of some ``PIECE`` rows, cut where a stream begins.

    A stream that goes on in the next table waits for it, and is a piece of its own.
    """
    waiting: list[Any] = []
    for table in tables:
        if not len(table):
            continue
        stream = _whole(table["stream"]).to_numpy()
        if waiting and waiting[-1]["stream"][-1].as_py() != stream[0]:
            yield _together(waiting)
            waiting = []
        at = int(np.searchsorted(stream, stream[0], side="right")) if waiting else 0
        waiting += [table.slice(0, at)] if at else []
        begins = int(np.searchsorted(stream, stream[-1]))
        if waiting and at < len(table):
            yield _together(waiting)
            waiting = []
        while at < begins:
            until = int(np.searchsorted(stream, stream[min(at + PIECE, begins)]))
            if until == at:
                # A stream of more than one piece.
                until = int(np.searchsorted(stream, stream[at], side="right"))
            yield table.slice(at, until - at)
            at = until
        if at < len(table):
            waiting = [table.slice(at)]
    if waiting:
        yield _together(waiting)


def _together(tables: Sequence[Any]) -> Any:
    return pa.concat_tables(
        [pa.Table.from_batches([t]) if isinstance(t, pa.RecordBatch) else t for t in tables]
    )
