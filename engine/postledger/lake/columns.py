"""Columns: statements in the order of the fold, as arrays in place of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import repeat
from typing import Any

import attrs

from postledger.errors import requires
from postledger.lake.layout import PIECE, STREAM, Said
from postledger.state.streams import KIND, EventRow
from postledger.templates import written
from postledger.times import UNDATED

try:
    np: Any = import_module("numpy")
    pa: Any = import_module("pyarrow")
    pc: Any = import_module("pyarrow.compute")
except ImportError:
    raise requires("a columnar fold requires NumPy and PyArrow", "numpy pyarrow") from None

_NUMBERS = ("occurred_at", "position", "member", "received_at", "findings")

_TEMPLATES = 1 << 31
"""No log gives a template such a number, or a larger one."""

_NOTHING = -1
"""What stands in place of the number of a template or of an envelope where there is none."""


@attrs.frozen
class Columns:
    """Whole streams, one after the other: NumPy arrays of numbers, PyArrow arrays of all else.

    ``new`` says of each event whether a stream begins with it. ``texts`` are lists of texts: those of
    event ``i`` are ``pool[start[i] : start[i + 1]]``. ``kind`` is less than 0 where a plan can't read
    an event: it is kept whole, or the index keeps what it says.
    """

    new: Any
    space: Any
    chart: Any
    key: Any
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
        """The columns of a table of statements; times are microseconds, no time is ``UNDATED``."""
        found = {name: _whole(table[name]) for name in Said._fields}
        found["occurred_at"] = found["occurred_at"].cast(pa.int64()).fill_null(UNDATED)
        for name in _NUMBERS:
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
        return cls(new=new_in(table), **found, start=start, pool=texts.values, kind=kind)

    def __len__(self) -> int:
        return len(self.new)

    def identities(self) -> Any:
        """The identities as two numbers each, which are in the order of the bytes."""
        identity = self.identity
        at = identity.offset
        numbers = np.frombuffer(identity.buffers()[1], dtype=">u8")
        return numbers[2 * at : 2 * (at + len(identity))].reshape(-1, 2)

    def rows(self, at: Any) -> list[EventRow]:
        """Some members of events as the plain fold takes them."""
        names = Said._fields[len(STREAM) :]
        lists = []
        for name in names:
            column = getattr(self, name)
            numbers = name in _NUMBERS
            lists.append(column[at].tolist() if numbers else column.take(pa.array(at)).to_pylist())
        texts = names.index("texts")
        lists[texts] = [None if one is None else written(one) for one in lists[texts]]
        return list(zip(repeat(0, len(at)), *lists, strict=True))


def _whole(column: Any) -> Any:
    """A column in one piece."""
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def new_in(table: Any) -> Any:
    """Of each row whether a stream begins with it, as a NumPy array."""
    new = np.zeros(len(table), dtype=bool)
    new[:1] = True
    for name in STREAM:
        column = _whole(table[name])
        differ = pc.not_equal(column.slice(1), column.slice(0, max(len(column) - 1, 0)))
        new[1:] |= differ.to_numpy(zero_copy_only=False)
    return new


def in_whole_streams(tables: Iterable[Any]) -> Iterator[Any]:
    """Tables of statements in pieces of some ``PIECE`` rows, cut where a stream begins.

    A stream that goes on in the next table waits for it, and is a piece of its own.
    """
    waiting: list[Any] = []
    for table in tables:
        if not len(table):
            continue
        begins = np.flatnonzero(new_in(table))
        at = 0
        if waiting:
            if _stream_at(waiting[-1], -1) == _stream_at(table, 0):
                at = int(begins[1]) if len(begins) > 1 else len(table)
                waiting.append(table.slice(0, at))
            if at == len(table):
                continue
            yield pa.concat_tables(waiting)
        last = int(begins[-1])
        while at < last:
            until = int(begins[np.searchsorted(begins, min(at + PIECE, last), side="right") - 1])
            if until == at:
                # A stream of more than one piece.
                until = int(begins[np.searchsorted(begins, at, side="right")])
            yield table.slice(at, until - at)
            at = until
        waiting = [table.slice(last)]
    if waiting:
        yield pa.concat_tables(waiting)


def _stream_at(table: Any, row: int) -> tuple[str, ...]:
    return tuple([table[name][row].as_py() for name in STREAM])
