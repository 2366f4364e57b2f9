"""Benchmarks: what they take from the engine is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import floors, hostile, http, search, wal

from postledger import Ledger
from tests.postgres_server import PostgresServer
from tests.samples import delivered, sent


def test_the_floors_write_and_read_the_rows_of_a_ledger(tmp_path: Path) -> None:
    """All statements of the engine that are taken as floors run."""
    filled = tmp_path / "a.db"
    with Ledger(filled) as ledger:
        ledger.record_many([*map(sent, "abcdefghijkl"), *map(delivered, "abcdefghijkl")])
    for size in (1, 20):
        assert floors.Statements(filled, tmp_path / f"{size}.db").write(size) == 24
        assert floors.select(tmp_path / f"{size}.db") == 24
    assert floors.blind_fold(filled) == 24
    assert floors.select_and_insert(filled, tmp_path / "copy.db") == 24


@pytest.mark.parametrize("traffic", sorted(hostile.TRAFFIC))
def test_hostile_traffic_is_readable(traffic: str, tmp_path: Path) -> None:
    """Each body is an event of a delivery: rates of refusals would say nothing."""
    bodies, _, _ = hostile.TRAFFIC[traffic]
    with Ledger(tmp_path / "a.db") as ledger:
        readings = [ledger.record(body).event.reading for body in bodies(3)]
    assert readings == ["recognised"] * 3


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="what a process took is not told")
@pytest.mark.parametrize("way", [http.GROUPED, http.SINGLE])
def test_a_server_takes_what_clients_post(way: str, tmp_path: Path) -> None:
    """In one transaction or in many: nothing is missing."""
    assert http.run(tmp_path / "a.db", way, "", 200, delayed=False).wall > 0
    with Ledger(tmp_path / "a.db") as ledger:
        assert ledger.head().size == 701


@pytest.mark.parametrize("reader", sorted(wal.ACTIONS))
def test_readers_run_next_to_a_recorder(reader: str, tmp_path: Path) -> None:
    """Each command that reads ends well, and others record until it does."""
    path = tmp_path / "test.db"
    traffic = wal.fill(path, 30)
    seen = wal.beside(path, wal.ACTIONS[reader], traffic)
    assert seen.recorded > 0
    assert seen.largest > 0


@pytest.mark.parametrize("way", ["bare_threads", "bare_tasks", "ledger_threads", "ledger_tasks"])
def test_callers_record_on_postgresql(way: str, postgres: PostgresServer) -> None:
    """As many rows as there are bodies, next to the first of a ledger, which says how it reads."""
    from benchmarks.concurrency import bodies
    from benchmarks.postgres import WARM, WAYS

    with postgres.new_schema() as schema:
        assert WAYS[way](postgres, schema, bodies("a", 200)).wall > 0
        with postgres.connect() as conn:
            counted = conn.execute(f"SELECT count(*) FROM {schema}.events WHERE position > 0")
            assert counted.fetchone() == (WARM + 200,)


def test_each_kind_of_search_finds_something_or_is_said_to_find_nothing(tmp_path: Path) -> None:
    """A page of nothing is quick: its figure would say nothing."""
    path = tmp_path / "test.db"
    search.fill(path, 3_000)
    with Ledger(path, readonly=True) as ledger:
        for name, kind in search.kinds(ledger).items():
            found = [list(ledger.deliveries(search=t, **kind.wanted)) for t in kind.texts]
            assert all(found) is not ("none" in name or " no " in name), name
    assert {one.met for one in search.figures(path)} >= {None}


def test_the_columnar_fold_stands_beside_select(tmp_path: Path) -> None:
    """From memory and from a file, with the rows of the plain fold."""
    # It stays on one core, and so is a process of its own.
    ran = [sys.executable, "-m", "benchmarks.columnar", "--events", "600", "--rounds", "1"]
    done = subprocess.run([*ran, "--scratch", tmp_path], check=True, capture_output=True, text=True)
    first, *others = done.stdout.splitlines()
    assert first == "601 events, 0 deliveries differ"
    assert [line[:22].rstrip() for line in others] == [
        "SELECT",
        "stream by stream",
        "columns, from memory",
        "columns, from file",
    ]
