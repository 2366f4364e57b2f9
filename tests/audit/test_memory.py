"""Memory: a report takes no more of it for three times the deliveries."""

from __future__ import annotations

import tracemalloc

from tests.audit.traffic import traffic
from tests.conftest import ledger_of


def peak(messages: int) -> int:
    """The most bytes of Python's heap that an audit of so many messages takes at once."""
    with ledger_of(traffic(messages, seed=6)) as ledger:
        ledger.audit(as_of=10**9).to_html()
        tracemalloc.start()
        try:
            ledger.audit(as_of=10**9).to_html()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_memory_does_not_grow_with_the_deliveries() -> None:
    """Counting is the store's, lists are cut, and what is read is streamed; as of a time likewise.

    A list of all deliveries in the audit would take some 400 bytes for each of the 6,000 more: 2.4 MB.
    """
    assert peak(9000) - peak(3000) < 800_000
