"""Changing: what each event changed, bucket by bucket, as whoever follows the ledger is told it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from postledger.lake.folding import event_rows
from postledger.lake.layout import CHANGES, GROUP
from postledger.lake.rows import changed_of, regrouped, streams_of, tables_of
from postledger.projections.changes import Turns
from postledger.projections.reader import Folding
from postledger.state.changes import key_of


def changes(
    folding: Folding,
    ledger: str,
    table: Any,
    leaf: Callable[[int], bytes],
    *,
    plainly: bool = False,
) -> Iterator[Any]:
    """Tables of what the events of a table of statements changed, stream by stream.

    ``ledger`` is the id of the ledger in hexadecimal, ``leaf`` gives that of the event at a position.
    """
    definitions, turns = folding.definitions.hash, Turns(folding, plainly=plainly)
    ledger_id = bytes.fromhex(ledger)
    # As rows of Python they take more memory than as a table.
    pages = regrouped([table], GROUP)
    rows = (
        changed_of(
            stream, turn, key_of(ledger_id, leaf(turn.row[3]), turn.row[4], stream, definitions)
        )
        for stream, said in streams_of(pages)
        for turn in turns.of(stream, event_rows(said))
    )
    yield from regrouped(tables_of(CHANGES, rows))
