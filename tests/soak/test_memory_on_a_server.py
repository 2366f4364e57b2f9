"""Memory of a process whose ledger is on a server: the rows come by cursors, and few are in memory.

``POSTLEDGER_SOAK_EVENTS`` is the number of events, a million by default. It takes most of an hour.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

import pytest
from benchmarks.measure import peaks_megabytes
from benchmarks.memory import READING, WRITING
from benchmarks.postbacks import receipts

from postledger import Ledger, Receipt
from tests.postgres_server import PostgresServer, missing, postgres_server

EVENTS = int(os.environ.get("POSTLEDGER_SOAK_EVENTS", "1_000_000"))
GROWTH = 20
"""Megabytes that an action may take more of ten times the events."""

_PIECE = 20_000


@pytest.fixture
def fast() -> Iterator[PostgresServer]:
    """A server of its own that syncs nothing: no test of durability is here."""
    if (lacking := missing()) is not None:
        pytest.skip(lacking)
    with postgres_server() as server:
        server.settings(fsync="off", autovacuum_naptime="10s")
        yield server


@pytest.mark.long
def test_a_process_takes_no_more_memory_of_ten_times_the_events(fast: PostgresServer) -> None:
    """Verify, audits, exports, lists, changes and replays: each in a process of its own."""
    address = fast.address("large", durability="off")
    traffic = receipts(seed=7)

    def grow(events: int) -> dict[str, float]:
        with Ledger(address) as ledger:
            while (left := events - ledger.head().size) > 0:
                ledger.record_many(_piece(traffic, left))
        return peaks_megabytes(address, list(READING), list(WRITING))

    small, large = grow(EVENTS // 10), grow(EVENTS)
    more = {action: large[action] - small[action] for action in small}
    assert {action: grown for action, grown in more.items() if grown > GROWTH} == {}


def _piece(traffic: Iterator[Receipt], most: int) -> Iterator[Receipt]:
    return islice(traffic, min(most, _PIECE))
