"""Soak: compressed traffic by several writers, a subscriber, and now and then a replay.

``POSTLEDGER_SOAK`` is the number of seconds (6 by default; an hour by hand). Memory must be flat: what
each process holds at the end is what it held after a first part of the traffic.

Seen to fail: ``tests/faults/without.py`` lets a writer keep 40 kB of each transaction.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from postledger import Ledger
from tests.faults import traffic

SECONDS = float(os.environ.get("POSTLEDGER_SOAK", "6"))
GROWTH = 24 << 20
"""Bytes that a process may grow by between a third of the time and its end.

A writer remembers the ids of up to 100,000 streams, some 15 MB, which a minute or so fills.
"""

_WRITER = """
import random, sys, time
from postledger import Ledger, Receipt
from tests.faults.traffic import body
from tests.soak.memory import Memory

path, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
dice, memory, end, number = random.Random(seed), Memory(seconds), time.monotonic() + float(seconds), 0
with Ledger(path) as ledger:
    while time.monotonic() < end:
        # Repeats, late ones, and ids of the other writers too.
        numbers = [max(0, number + dice.randrange(-300, 30)) for _ in range(dice.choice((1, 1, 1, 50)))]
        if len(numbers) == 1:
            ledger.record(body(numbers[0]))
        else:
            ledger.record_many([body(n) for n in numbers] + [dice.randbytes(20)])
        number += len(numbers)
        memory.look()
memory.report(number)
"""

_SUBSCRIBER = """
import sys, time
from postledger import Ledger
from tests.soak.memory import Memory

path, _, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
memory, seen, last = Memory(seconds), 0, 0

def handle(change):
    global seen, last
    assert change.position > last
    seen, last = seen + 1, change.position

with Ledger(path) as ledger:
    subscription = ledger.subscribe("soak", handle)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.1)
        memory.look()
    subscription.stop()
    ledger.subscribe("soak", handle, live=False)
memory.report(seen)
"""

_REPLAYER = """
import sys, time
from postledger import Ledger
from tests.soak.memory import Memory

path, pause, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
memory, replayed, end = Memory(seconds), 0, time.monotonic() + float(seconds)
with Ledger(path) as ledger:
    while time.monotonic() < end:
        ledger.replay(index=replayed % 2 == 1)
        replayed += 1
        time.sleep(pause)
        memory.look()
memory.report(replayed)
"""


@pytest.mark.long
def test_traffic_with_replays_and_a_subscriber_stays_flat_and_sound(tmp_path: Path) -> None:
    """At the end the log verifies, the subscriber saw every change, and no process has grown."""
    path = tmp_path / "soak.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 300))
        roles = [
            *(("-c", _WRITER, path, seed, SECONDS) for seed in (1, 2)),
            ("-c", _REPLAYER, path, min(SECONDS / 6, 60), SECONDS),
            ("-c", _SUBSCRIBER, path, 0, SECONDS + 1),
        ]
        running = [traffic.python(*words) for words in roles]
        reads, end = 0, time.monotonic() + SECONDS
        while time.monotonic() < end:
            assert ledger.delivery("TU1T3").state == "delivered"
            reads += 1
            time.sleep(0.01)
        done = [traffic.finish(process, timeout=SECONDS + 120) for process in running]
        assert [(code, err) for code, _, err in done] == [(0, "")] * len(done)
        said = [json.loads(out) for _, out, _ in done]
        assert all(one["did"] for one in said), said
        assert all(one["end"] - one["third"] < GROWTH for one in said), said
        found = ledger.verify()
        assert found.problems == ()
        assert found.events > 300 + said[0]["did"] + said[1]["did"]
        changes = sum(1 for _ in ledger.follow(live=False))
        assert said[-1]["did"] == changes
