"""Closing, forking, moving the file, changing the folder: what others do while a ledger is open.

Seen to fail: ``tests/faults/without.py`` takes the protections away one by one: closing that does not
wait ends the process with a segmentation fault, a path that is not resolved opens another file.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from postledger import Ledger, LedgerBusy, LedgerError
from tests.faults import traffic

# Threads use a ledger that the first thread closes. Prints each position that was acknowledged, and how
# the threads ended.
_CLOSING = """
import os, sys, threading, time
from postledger import Ledger
from tests.faults.traffic import bodies, body

path, what, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
ledger, ended = Ledger(path), set()
ledger.record_many(bodies(0, 30))

def record(seed):
    number = 100_000 * seed
    while True:
        position = ledger.record(body(number)).event.position
        os.write(1, b"%d %d\\n" % (position, number))
        number += 1

def read(_):
    while True:
        list(ledger.events())
        list(ledger.deliveries())
        ledger.timeline("TU1T3")

def use(seed):
    try:
        {"record": record, "read": read, "all": (record, read)[seed % 2]}[what](seed)
    except Exception as error:
        ended.add(f"{type(error).__name__}: {error}")

if what == "all":
    subscription = ledger.subscribe("told", lambda change: None)
count = 8 if what == "all" else 4
threads = [threading.Thread(target=use, args=(seed,)) for seed in range(1, count + 1)]
for thread in threads:
    thread.start()
time.sleep(pause)
ledger.close()
for thread in threads:
    thread.join()
print(sorted(ended))
"""


def _closed_while(path: Path, what: str, pause: float) -> None:
    code, out, err = traffic.finish(traffic.python("-c", _CLOSING, path, what, pause))
    assert (code, err) == (0, "")
    *lines, ended = out.splitlines()
    assert ended == str([f"LedgerError: {path}: the ledger is closed"])
    acknowledged = dict(tuple(map(int, line.split())) for line in lines)
    assert acknowledged or what == "read"
    with Ledger(path) as ledger:
        assert ledger.verify().problems == ()
        kept = {event.position: event.body for event in ledger.events()}
    assert all(kept[at] == traffic.body(number) for at, number in acknowledged.items())


@pytest.mark.parametrize("what", ["record", "read", "all"])
def test_closing_waits_for_the_calls_of_other_threads(tmp_path: Path, what: str) -> None:
    """They end with one line, the process lives, and what was acknowledged is there."""
    _closed_while(tmp_path / "test.db", what, 0.2)


@pytest.mark.long
def test_closing_at_many_times_waits_for_the_calls_of_others(tmp_path: Path) -> None:
    """In 200 processes with four threads that record, four that read, and a subscriber."""
    for number in range(200):
        _closed_while(tmp_path / f"{number}.db", "all", number % 20 * 0.021)


_FORKING = """
import os, sys
from postledger import Ledger
from tests.faults.traffic import body

path, forks = sys.argv[1], int(sys.argv[2])
ledger, number = Ledger(path), 0
for fork in range(forks):
    for _ in range(3):
        ledger.record(body(number))
        number += 1
    child = os.fork()
    if child == 0:
        if fork % 3 != 1:
            ledger.close()
        del ledger
        if fork % 3 == 2:
            with Ledger(path) as own:
                own.record(body(10**6 + fork))
        os._exit(0) if fork % 2 else sys.exit(0)
    for _ in range(3):
        ledger.record(body(number))
        number += 1
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
ledger.close()
print(number)
"""


def test_a_child_that_closes_an_inherited_ledger_harms_nothing(tmp_path: Path) -> None:
    """Whether it closes it, forgets it or opens its own: what the parent records is kept."""
    path = tmp_path / "test.db"
    code, out, err = traffic.finish(traffic.python("-W", "ignore", "-c", _FORKING, path, 24))
    assert (code, err) == (0, "")
    with Ledger(path) as ledger:
        assert ledger.verify().problems == ()
        bodies = [event.body for event in ledger.events(after=0)]
    expected = {*traffic.bodies(0, int(out)), *(traffic.body(10**6 + n) for n in range(2, 24, 3))}
    assert set(bodies) == expected
    assert len(bodies) == len(expected)


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced", "write-ahead log deleted"])
def test_a_file_that_is_no_longer_there_acknowledges_nothing(tmp_path: Path, how: str) -> None:
    """Recording is refused in one line that says so; what took its place is left alone."""
    path, other = tmp_path / "test.db", tmp_path / "march.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 3))
        if how == "deleted":
            path.unlink()
        elif how == "write-ahead log deleted":
            Path(f"{path}-wal").unlink()
        else:
            path.rename(other)
        if how == "replaced":
            # As a tool does that restores a copy.
            path.write_bytes(other.read_bytes())
        for number in range(3, 6):
            with pytest.raises(LedgerError, match="moved") as caught:
                ledger.record(traffic.body(number))
            assert traffic.one_line(f"Error: {caught.value}")
    if how == "moved":
        # What belongs to it was not moved with it, and is not lost.
        Path(f"{path}-wal").rename(f"{other}-wal")
        with Ledger(other) as ledger:
            assert ledger.head().size == 4
            assert ledger.verify().problems == ()


def test_an_open_ledger_is_never_made_again(tmp_path: Path) -> None:
    """A thread that comes after the file was moved makes no other, whose log would replace its events."""
    path, other = tmp_path / "test.db", tmp_path / "march.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 3))
    with Ledger(path) as ledger, ThreadPoolExecutor(1) as pool:
        path.rename(other)
        for call in (ledger.head, ledger.health, partial(ledger.record, b"late")):
            with pytest.raises(LedgerError, match="the file was moved"):
                pool.submit(call).result()
        assert not path.exists()
        other.rename(path)
    with Ledger(path) as ledger:
        assert [event.body for event in ledger.events(after=0)] == list(traffic.bodies(0, 3))


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_the_write_ahead_log_of_a_ledger_that_is_gone_is_left_alone(
    tmp_path: Path, how: str
) -> None:
    """No new ledger is made next to it, since SQLite would delete what it holds."""
    path, other = tmp_path / "test.db", tmp_path / "march.db"
    ledger = Ledger(path)
    ledger.record_many(traffic.bodies(0, 3))
    if how == "moved":
        path.rename(other)
    else:
        path.unlink()
    ahead = Path(f"{path}-wal")
    kept = ahead.read_bytes()
    for readonly in (False, True):
        with pytest.raises(LedgerError, match="no ledger here, but the write-ahead log") as caught:
            Ledger(path, readonly=readonly)
        assert traffic.one_line(f"Error: {caught.value}")
    ledger.close()
    assert ahead.read_bytes() == kept
    assert not path.exists()
    if how == "moved":
        ahead.rename(f"{other}-wal")
        with Ledger(other) as moved:
            assert [event.body for event in moved.events(0)] == [*traffic.bodies(0, 3)]


def test_a_change_of_the_folder_opens_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is that of the folder in which the ledger was opened, in all threads."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    with Ledger(two / "test.db") as other:
        other.record(traffic.body(0))
    monkeypatch.chdir(one)
    with Ledger("test.db") as ledger:
        monkeypatch.chdir(two)
        _in_thread(lambda: ledger.record(traffic.body(1)))
        assert ledger.head().size == 2
    with Ledger("test.db") as other:
        assert [event.body for event in other.events(after=0)] == [traffic.body(0)]
    assert {file.name for file in one.iterdir()} == {"test.db", "test.db-turn"}


def _in_thread(call: Callable[[], object]) -> None:
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.append(call()))
    thread.start()
    thread.join()
    assert done


def test_threads_wait_no_longer_than_the_timeout(tmp_path: Path) -> None:
    """While another process holds the lock each is refused in time, and not after all before it."""
    path, waited = tmp_path / "test.db", []
    with Ledger(path, timeout=0.3) as ledger, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")

        def record(number: int) -> None:
            began = time.monotonic()
            with pytest.raises(LedgerBusy, match="nothing was written"):
                ledger.record(traffic.body(number))
            waited.append(time.monotonic() - began)

        threads = [threading.Thread(target=record, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(waited) == 12
        assert max(waited) < 2.0
        other.rollback()
        assert ledger.record(traffic.body(0)).event.position == 1


def test_adopting_holds_no_recorder_up(tmp_path: Path) -> None:
    """Reading the whole log again by other vocabularies takes short transactions."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 3000))
        adopting = traffic.start("adopt", path, 500, 2)
        traffic.first_line(adopting)
        longest, number = 0.0, 3000
        while adopting.poll() is None:
            began = time.monotonic()
            ledger.record(traffic.body(number))
            longest = max(longest, time.monotonic() - began)
            number += 1
            time.sleep(0.003)
        assert traffic.finish(adopting)[0] == 0
        assert number > 3010
        assert longest < 2.0
        assert ledger.verify().problems == ()
