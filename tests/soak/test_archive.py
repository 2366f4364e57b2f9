"""An archive of a million events: whatever folds, no row differs from the ledger's, in bounded memory.

``POSTLEDGER_SOAK_EVENTS`` is the number of events, a million by default.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from benchmarks.hostile import hot, names, nonces
from benchmarks.postbacks import START, receipts

from postledger import Archive, Delivery, Ledger
from postledger.lake.rows import deliveries_of
from tests.faults import traffic
from tests.lake.feeds import sorted_by_duckdb, sorted_by_polars
from tests.samples import delivered, failed, first_outcome_stands, sent
from tests.spark_cluster import missing, spark_cluster

EVENTS = int(os.environ.get("POSTLEDGER_SOAK_EVENTS", "1_000_000"))
GROWTH = 40
"""Megabytes that a run may take more of ten times the events: each bucket has a file that is open."""

_PIECE = 50_000

_ARCHIVE = """
import resource, sys
from postledger import Archive, Ledger

with Ledger(sys.argv[1], readonly=True) as ledger:
    ledger.archive(sys.argv[2], rows=20_000)
with Archive(sys.argv[2]) as archive:
    assert archive.replay(sys.argv[2] + "-states") > 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

Fold = Callable[..., Iterable[Delivery]]


def hostile(count: int) -> Iterator[bytes]:
    """Long streams, contradicting and undated ones, with many recipients, received again, unreadable."""
    yield from hot(2_000)
    yield from nonces(200)
    yield from names(200)
    for number in range(count):
        key = f"hostile-{number % 5_000}"
        yield sent(key, TIMESTAMP="" if number % 7 == 0 else f"2013-11-05T05:{number % 60:02}:08Z")
        yield delivered(key, TO=f"1650{number % 11}")
        if number % 3 == 0:
            yield failed(key)
        if number % 50 == 0:
            yield sent("many", TO=f"1650{number}")
            yield number.to_bytes(8, "big")
    yield from traffic.bodies(0, count)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A ledger of the usual traffic and of a hostile tenth, which is archived next to it."""
    path = tmp_path_factory.mktemp("million") / "million.db"
    with Ledger(path) as made:
        usual, other = receipts(seed=11), hostile(EVENTS // 30)
        made.record_many(other)
        while (left := EVENTS - made.head().size) > 0:
            made.record_many(islice(usual, min(left, _PIECE)))
        made.archive(path.with_name("archive"))
        yield made


@pytest.fixture(scope="module")
def archived(ledger: Ledger) -> Path:
    """The archive of it."""
    return Path(ledger.path).with_name("archive")


def differing(wanted: dict[Any, Delivery], folded: Iterable[Delivery]) -> int:
    """How many rows are not the same, or in one alone."""
    left, count = dict(wanted), 0
    for one in folded:
        count += left.pop((one.chart, one.space, one.tracking_id), None) != one
    return count + len(left)


def of(ledger: Ledger, **bounds: Any) -> dict[Any, Delivery]:
    """The rows of a ledger, of all charts."""
    return {
        (chart, one.space, one.tracking_id): one
        for chart in ledger.definitions.charts
        for one in ledger.deliveries(chart=chart, **bounds)
    }


def by_spark(tmp_path: Path, archived: Path) -> Iterator[Fold]:
    """A fold by a cluster of two workers."""
    if (lacking := missing()) is not None:
        pytest.skip(lacking)
    from postledger.lake.spark import fold

    with spark_cluster(tmp_path) as spark:

        def folded(*given: Any, **bounds: Any) -> Iterator[Delivery]:
            table = fold(spark, archived, *given, **bounds).toArrow()
            yield from deliveries_of(table)

        yield folded


@pytest.fixture(params=["plain", "columnar", "duckdb", "polars", "spark"])
def fold(request: pytest.FixtureRequest, archived: Path, tmp_path: Path) -> Iterator[Fold]:
    """What folds the archive, or brings its statements in order."""
    if request.param == "spark":
        yield from by_spark(tmp_path, archived)
        return
    with Archive(archived) as archive:
        if request.param in ("plain", "columnar"):
            yield lambda *given, **bounds: archive.fold(*given, engine=request.param, **bounds)
        else:
            feed = sorted_by_duckdb if request.param == "duckdb" else sorted_by_polars
            yield lambda *given, **bounds: archive.fold(*given, statements=feed(archived), **bounds)


@pytest.mark.long
def test_no_row_of_an_archive_of_a_million_events_differs(ledger: Ledger, fold: Fold) -> None:
    """Findings included: by its definitions and other charts, and as of a time or position."""
    assert differing(of(ledger), fold()) == 0
    size = ledger.head().size
    known, happened = START + timedelta(hours=2), START + timedelta(hours=1)
    for bounds in ({"as_of": size // 2}, {"as_of": known}, {"occurred_by": happened}):
        assert differing(of(ledger, **bounds), fold(**bounds)) == 0
    with Archive(Path(ledger.path).with_name("archive")) as archive:
        others = archive.definitions.with_charts(first_outcome_stands().charts.values())
        wanted = dict(of(ledger))
        for one in ledger.differences(others):
            wanted.pop((one.chart, one.space, one.key), None)
            if one.after is not None:
                wanted[one.chart, one.space, one.key] = one.after
        assert wanted != of(ledger)
        assert differing(wanted, fold(others)) == 0


@pytest.mark.long
def test_the_memory_of_an_archive_run_is_bounded_by_its_setting(tmp_path: Path) -> None:
    """A process that writes and folds one takes no more of ten times the events."""
    traffic, peaks = receipts(seed=12), []
    with Ledger(tmp_path / "grows.db") as ledger:
        for events in (EVENTS // 10, EVENTS):
            while (left := events - ledger.head().size) > 0:
                ledger.record_many(islice(traffic, min(left, _PIECE)))
            told = [sys.executable, "-c", _ARCHIVE, ledger.path, tmp_path / str(events)]
            done = subprocess.run(told, check=True, capture_output=True, text=True)
            peaks.append(float(done.stdout))
    assert peaks[1] - peaks[0] < GROWTH
