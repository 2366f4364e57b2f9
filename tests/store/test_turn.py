"""The turn to write: first come, first served, whatever becomes of those before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from postledger import Ledger
from postledger.store import sqlite
from postledger.store.sqlite import Turn
from tests.faults import traffic
from tests.samples import sent

linux = pytest.mark.skipif(sys.platform != "linux", reason="locks of open files are of Linux")

# Takes the turn again and again; prints when it came, and when it had it.
_TAKING = """
import sys, time
from postledger.store.sqlite import Turn
turn, until = Turn(sys.argv[1]), time.monotonic() + float(sys.argv[2])
print("ready", flush=True)
while time.monotonic() < until:
    came = time.monotonic_ns()
    turn.take(60)
    had = time.monotonic_ns()
    time.sleep(0.001)
    turn.leave()
    print(came, had)
"""


@linux
def test_no_waiter_is_overtaken_more_than_16_times(tmp_path: Path) -> None:
    """Of eight processes that never pause, each has its turn in the order in which they came."""
    path = str(tmp_path / "turn")
    processes = [traffic.python("-c", _TAKING, path, 2) for _ in range(8)]
    turns: list[tuple[int, int]] = []
    for process in processes:
        code, out, err = traffic.finish(process)
        assert (code, err) == (0, "")
        lines = [line.split() for line in out.splitlines()[1:]]
        turns += [(int(came), int(had)) for came, had in lines]
    assert len(turns) > 100
    turns.sort(key=lambda turn: turn[1])
    for at, (came, _) in enumerate(turns):
        # A turn is taken once at a time, so that those who overtook one stand just before it.
        overtaken = sum(1 for later, _ in turns[max(0, at - 100) : at] if later > came)
        assert overtaken <= 16, overtaken


@linux
def test_the_turn_of_a_process_that_dies_is_free(tmp_path: Path) -> None:
    """Whether it had the turn, or waited for it."""
    path = str(tmp_path / "turn")
    script = (
        "import sys, time; from postledger.store.sqlite import Turn; turn = Turn(sys.argv[1]);"
        "print('ready', flush=True); turn.take(60); print('had', flush=True); time.sleep(60)"
    )
    first = traffic.python("-c", script, path)
    assert [traffic.first_line(first) for _ in range(2)] == ["ready\n", "had\n"]
    second = traffic.python("-c", script, path)
    assert traffic.first_line(second) == "ready\n"
    with ThreadPoolExecutor(1) as pool:
        turn = Turn(path)
        assert turn._opened()
        _until(lambda: _waits(turn))
        waits = pool.submit(turn.take, 60)
        traffic.kill(second)
        assert not waits.done()
        traffic.kill(first)
        assert waits.result() > 0
    turn.close()


def _waits(turn: Turn) -> bool:
    """Whether somebody waits for the turn."""
    nobody = turn._lock(1, 2**62)
    turn.leave()
    return not nobody


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


@linux
def test_waiting_for_the_turn_has_an_end(tmp_path: Path) -> None:
    """Then nothing is left of the timeout, and the place is given up."""
    mine, other = Turn(str(tmp_path / "turn")), Turn(str(tmp_path / "turn"))
    assert mine.take(5) == 5
    assert other.take(0.05) == 0
    other.leave()
    mine.leave()
    assert other.take(5) == 5
    other.leave()
    mine.close()
    other.close()


@linux
def test_whoever_is_stopped_in_line_is_passed(tmp_path: Path) -> None:
    """It holds nothing but its place; those behind it keep their order, and it has its turn later."""
    path = str(tmp_path / "turn")
    mine, other, last = Turn(path), Turn(path), Turn(path)
    mine.take(5)
    program = (
        "import sys; from postledger.store.sqlite import Turn; turn = Turn(sys.argv[1]);"
        " print(turn.take(600) > 0, flush=True)"
    )
    stopped = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE)
    try:
        assert last._opened()
        _until(lambda: _waits(last))
        stopped.send_signal(signal.SIGSTOP)
        mine.leave()
        for turn in (other, last, mine, other):
            assert turn.take(20) > 0
            turn.leave()
        stopped.send_signal(signal.SIGCONT)
        assert stopped.communicate(timeout=60)[0] == b"True\n"
    finally:
        stopped.kill()
        stopped.wait()
        for turn in (mine, other, last):
            turn.close()


@linux
def test_nobody_starves_behind_one_that_was_stopped(tmp_path: Path) -> None:
    """Those who were passed themselves meanwhile have their turn as well."""
    path, left = str(tmp_path / "turn"), list[float]()
    stopped = Turn(path)
    assert stopped._opened()

    def write() -> None:
        turn = Turn(path)
        for _ in range(60):
            left.append(turn.take(5))
            time.sleep(0.003)
            turn.leave()
        turn.close()

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write) for _ in range(4)]
        _until(lambda: len(left) > 20)
        assert stopped._lock(time.monotonic_ns(), 1)
        for writer in writers:
            writer.result()
    assert min(left) > 0
    stopped.close()


@linux
def test_a_turn_that_never_ends_costs_fairness_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who holds it, and writes nothing, can't keep others from the database."""
    monkeypatch.setattr(sqlite, "_LONGEST_TURN", 50_000_000)
    other = Turn(str(tmp_path / "l.db-turn"))
    with Ledger(tmp_path / "l.db", timeout=600) as ledger:
        other.take(5)
        assert ledger.record(sent("SMS_1")).event.position == 1
    other.close()


@linux
def test_threads_take_turns_too(tmp_path: Path) -> None:
    """The locks are of the open file, not of the process."""
    mine, other = Turn(str(tmp_path / "turn")), Turn(str(tmp_path / "turn"))
    mine.take(5)
    had = threading.Event()
    thread = threading.Thread(target=lambda: (other.take(30), had.set()))
    thread.start()
    assert not had.wait(0.05)
    mine.leave()
    assert had.wait(30)
    thread.join()
    mine.close()
    other.close()


@linux
def test_a_writer_waits_while_another_has_the_turn(tmp_path: Path) -> None:
    """Though the lock of the database is free."""
    other, looking = (Turn(str(tmp_path / "l.db-turn")) for _ in range(2))
    with Ledger(tmp_path / "l.db") as ledger, ThreadPoolExecutor(1) as pool:
        other.take(5)
        assert looking._opened()
        recorded = pool.submit(ledger.record, sent("SMS_1"))
        _until(lambda: recorded.done() or _waits(looking))
        assert not recorded.done()
        other.leave()
        assert recorded.result().event.position == 1
    other.close()
    looking.close()


@linux
def test_a_forked_child_holds_no_turn(tmp_path: Path) -> None:
    """One that outlives its parent would hold up everybody."""
    mine = Turn(str(tmp_path / "turn"))
    mine.take(5)
    go_on, wait = os.pipe()
    child = os.fork()
    if not child:
        os.close(wait)
        os.read(go_on, 1)
        os._exit(0)
    # As the kernel does where the parent dies.
    mine.close()
    other = Turn(str(tmp_path / "turn"))
    try:
        assert other.take(30) > 0
    finally:
        os.write(wait, b".")
        os.waitpid(child, 0)
        other.close()


@pytest.mark.parametrize("obstacle", ["folder", "link"])
def test_without_a_lock_file_is_recorded_all_the_same(tmp_path: Path, obstacle: str) -> None:
    """It gives fairness alone; a link is not followed, so that no other file is made or opened."""
    lock = tmp_path / "l.db-turn"
    if obstacle == "folder":
        lock.mkdir()
    else:
        lock.symlink_to(tmp_path / "other")
    with Ledger(tmp_path / "l.db") as ledger:
        assert ledger.record(sent("SMS_1")).event.position == 1
    assert not (tmp_path / "other").exists()


def test_the_lock_file_holds_nothing(tmp_path: Path) -> None:
    """It can be deleted while nobody has the ledger open."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record(sent("SMS_1"))
    assert (tmp_path / "l.db-turn").read_bytes() == b""
    (tmp_path / "l.db-turn").unlink()
    with Ledger(tmp_path / "l.db") as ledger:
        assert ledger.record(sent("SMS_2")).event.position == 2
