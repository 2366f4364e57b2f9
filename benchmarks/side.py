"""One side of ``benchmarks.before``: a tree's engine in a process of its own, told what to do by pipe.

It runs with the engine of its tree first in ``PYTHONPATH``, and reads one name of an action a line. For
each it answers with a line of JSON: the events, and the seconds that passed and that the processor took.
What an action needs is prepared before, untimed. The collector is on.
"""

from __future__ import annotations

import gc
import json
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.measure import file_bytes
from postledger import Ledger, Receipt

WARMING = 2_000
ONE_BY_ONE = 500
BULK = 10_000

Timed = Callable[[], int]


class Side:
    """The actions by their names; ``prepare`` is what comes before the clock starts."""

    def __init__(self, folder: Path, traffic: Path) -> None:
        self._folder = folder
        self._traffic = traffic
        self._fresh = count()
        self._uniform = self._receipts("rates")
        self._ledger = self._filled()

    def prepare(self, action: str) -> Timed:
        """What is timed: it gives the number of events."""
        made: Timed = getattr(self, f"_{action}")()
        return made

    def disk(self, kind: str) -> float:
        """Bytes an event of a closed ledger that recorded the traffic of a kind."""
        told = self._receipts(kind)
        path = self._path()
        with Ledger(path) as ledger:
            ledger.record_many(told)
        size = file_bytes(path)
        path.unlink()
        return size / len(told)

    # --- the actions ---

    def _record(self) -> Timed:
        ledger = Ledger(self._path())
        # What is learned of the first bodies is learned once.
        ledger.record_many(self._uniform[:WARMING])

        def timed() -> int:
            for receipt in self._uniform[WARMING : WARMING + ONE_BY_ONE]:
                ledger.record(
                    receipt.body,
                    content_type=receipt.content_type,
                    received_at=receipt.received_at,
                )
            return ONE_BY_ONE

        return timed

    def _bulk(self) -> Timed:
        ledger = Ledger(self._path())
        told = self._uniform[:BULK]
        return lambda: (ledger.record_many(told), len(told))[1]

    def _fold(self) -> Timed:
        return lambda: sum(events for _, events, _ in _rows(self._ledger))

    def _states(self) -> Timed:
        ledger: Any = self._ledger
        again = ledger.replay if hasattr(ledger, "replay") else ledger.rebuild
        return lambda: (again(), len(self._uniform))[1]

    def _reread(self) -> Timed:
        """The log read again, against the states folded again of the tree that had no index."""
        ledger: Any = self._ledger
        if not hasattr(ledger, "replay"):
            return self._states()
        return lambda: (ledger.replay(index=True), len(self._uniform))[1]

    def _verify(self) -> Timed:
        def timed() -> int:
            found = self._ledger.verify()
            if not found.ok:
                raise SystemExit(f"verify found: {found.problems[0]}")
            return len(self._uniform)

        return timed

    def _compare(self) -> Timed:
        definitions = self._ledger.definitions
        chart = definitions.charts["delivery"]
        later = _chart(chart.source.replace(f"version = {chart.version}", "version = 99", 1))
        others = definitions.with_charts([later])
        return lambda: (list(self._ledger.differences(others)), len(self._uniform))[1]

    # --- what they need ---

    def _path(self) -> Path:
        return self._folder / f"{next(self._fresh)}.db"

    def _receipts(self, kind: str) -> list[Receipt]:
        told = pickle.loads((self._traffic / kind).read_bytes())
        return [Receipt(*one) for one in told]

    def _filled(self) -> Ledger:
        ledger = Ledger(self._path())
        ledger.record_many(self._uniform)
        return ledger


def _rows(ledger: Any) -> Iterator[tuple[Any, ...]]:
    """The row of every stream, by a fold row by row; nothing is written."""
    if hasattr(ledger, "_connections"):
        with ledger._connections.read() as own:
            yield from own.reader.rows()
        return
    from postledger.rows import rows_of  # type: ignore[import-not-found]

    with ledger._session.read() as reader:
        yield from rows_of(reader.log, reader.facts)


def _chart(source: str) -> Any:
    try:
        from postledger.definitions.chart_toml import load_chart
    except ImportError:
        from postledger.charts import load_chart  # type: ignore[import-not-found, no-redef]
    return load_chart(source)


def main(folder: str, traffic: str) -> None:
    """Answer each line until there is none."""
    side = Side(Path(folder), Path(traffic))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        action, _, kind = line.strip().partition(" ")
        if action == "disk":
            print(json.dumps(side.disk(kind)), flush=True)
            continue
        timed = side.prepare(action)
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        events = timed()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(json.dumps([events, wall, cpu]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
