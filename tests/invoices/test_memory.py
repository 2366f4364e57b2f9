"""Memory: an invoice takes no more of it for ten times the rows."""

from __future__ import annotations

import tracemalloc
from collections import deque
from collections.abc import Iterator

from postledger import InvoiceRow, Ledger


def peak(ledger: Ledger, count: int) -> int:
    """The most bytes of Python's heap that an invoice of so many rows takes at once."""

    def rows() -> Iterator[InvoiceRow]:
        for line in range(count):
            yield InvoiceRow(line, f"nobody-{line:09}")

    tracemalloc.start()
    try:
        deque(ledger.reconcile(rows()), maxlen=0)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_rows(ledger: Ledger) -> None:
    """What is billed stands in a scratch table: a set of ids of 18,000 more would take some 2 MB."""
    peak(ledger, 2000)
    assert peak(ledger, 20_000) - peak(ledger, 2000) < 800_000
