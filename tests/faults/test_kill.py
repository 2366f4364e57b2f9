"""SIGKILL at random moments: whatever was acknowledged is there, whatever was begun goes on.

A writer is killed 200 times in a row; the processes that take longer to start, ``POSTLEDGER_KILLS``
times each (10 by default, hundreds by hand).

Seen to fail: ``tests/faults/without.py`` takes the protections away one by one:
with an acknowledgement before ``record`` printed positions are missing; with tables made one by one a
killed creation is no ledger; with a rebuild that shows its rows at once readers see half of them.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from postledger import Ledger
from tests.faults import traffic
from tests.faults.test_media import can_trace
from tests.states import states

KILLS = int(os.environ.get("POSTLEDGER_KILLS", "10"))
EVENTS, SMALL = 2999, 999


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is ingested."""
    return traffic.write_lines(tmp_path_factory.mktemp("kill") / "all.jsonl", EVENTS)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger to replay."""
    path = tmp_path_factory.mktemp("kill") / "small.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, SMALL))
    return path


def _length(path: Path) -> int:
    """How many events were committed to a file that may not be there yet, or not made yet."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as conn:
        try:
            return int(conn.execute("SELECT count(*) FROM events").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_an_ingest_that_is_killed_is_taken_up_by_ingesting_again(
    tmp_path: Path, lines: Path
) -> None:
    """Batches that were committed stay, the log is sound, and in the end the states are the same."""
    began = time.monotonic()
    assert traffic.finish(traffic.postledger("ingest", tmp_path / "whole.db", lines))[0] == 0
    whole, dice = time.monotonic() - began, random.Random(5)
    path, before = tmp_path / "test.db", 0
    for number in range(KILLS):
        process = traffic.postledger("ingest", path, lines)
        time.sleep(whole * dice.uniform(0.3, 1.0))
        traffic.kill(process)
        after = _length(path)
        assert after >= before
        if after:
            with Ledger(path) as ledger:
                assert ledger.verify().problems == ()
        before = after
        if number % 4 == 3:
            for file in tmp_path.glob("test.db*"):
                file.unlink()
            before = 0
    code, out, err = traffic.finish(traffic.postledger("ingest", path, lines))
    assert (code, err) == (0, "")
    assert out.startswith("recorded ")
    with Ledger(path) as ledger, Ledger(tmp_path / "whole.db") as unbroken:
        assert ledger.verify().ok
        assert states(ledger) == states(unbroken)


def test_what_a_writer_acknowledged_outlives_it(tmp_path: Path) -> None:
    """Every position that was printed after ``record`` returned is in the log, with its body."""
    dice, path, first = random.Random(7), tmp_path / "test.db", 0
    for _ in range(KILLS):
        process = traffic.start("acknowledge", path, first, first + 10_000)
        said = traffic.first_line(process)
        time.sleep(dice.uniform(0.0, 0.12))
        printed = [int(line) for line in (said + traffic.kill(process)).split()]
        with Ledger(path) as ledger:
            kept = {event.position: event.body for event in ledger.events(after=first)}
            assert ledger.verify().ok
        # At most the one event behind the last that was printed was committed too.
        assert printed == list(range(first + 1, first + len(printed) + 1))
        assert len(printed) <= len(kept) <= len(printed) + 1
        assert all(kept[position] == traffic.body(position - 1) for position in kept)
        first += len(kept)
    assert first > KILLS


def test_a_writer_is_killed_200_times_in_a_row(tmp_path: Path) -> None:
    """Each goes on where the one before was killed: no acknowledged position is ever missing."""
    path = tmp_path / "test.db"
    code, out, err = traffic.finish(traffic.python("-c", _KILLED_WRITERS, path, 20 * KILLS))
    assert (code, err) == (0, "")
    killed, acknowledged, kept = map(int, out.split())
    assert killed == 20 * KILLS
    assert kept >= acknowledged > killed
    with Ledger(path) as ledger:
        assert ledger.verify().problems == ()
        bodies = [event.body for event in ledger.events()]
        assert bodies == list(traffic.bodies(0, kept))


# Children of a process that has everything imported: they record, singly and in batches, and print each
# position once it is durable, until they are killed. Prints how many were, what they acknowledged, and
# what is kept.
_KILLED_WRITERS = """
import os, random, signal, sys, time
from postledger import Ledger
from tests.faults.traffic import bodies, body

path, kills, dice = sys.argv[1], int(sys.argv[2]), random.Random(19)
first, told = 3, 3
with Ledger(path) as ledger:
    ledger.record_many(bodies(0, first))

def record(pipe):
    at = first
    with Ledger(path) as ledger:
        while True:
            count = dice.choice((1, 1, 1, 7))
            if count == 1:
                ledger.record(body(at))
            else:
                ledger.record_many(bodies(at, at + count))
            at += count
            os.write(pipe, b"%d\\n" % at)

for _ in range(kills):
    there, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        dice.seed(first)
        record(pipe)
    os.close(pipe)
    said = os.read(there, 100)
    time.sleep(dice.uniform(0.0, 0.02))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    while more := os.read(there, 100_000):
        said += more
    os.close(there)
    acknowledged = int(said.split()[-1])
    told += acknowledged - first
    with Ledger(path) as ledger:
        kept = ledger.head()[0]
        events = list(ledger.events(after=first))
        assert acknowledged <= kept <= acknowledged + 7, (acknowledged, kept)
        assert [event.body for event in events] == list(bodies(first, kept))
        assert ledger.delivery("TU1T0").state == "delivered"
    first = kept
print(kills, told, first)
"""


@pytest.mark.skipif(not can_trace(), reason="strace is missing or may not trace here")
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync,fsync"])
def test_a_writer_that_is_killed_within_a_commit(tmp_path: Path, call: str) -> None:
    """At the n-th write or sync of its files: what was acknowledged stays, the next is whole or not."""
    path, first = tmp_path / "test.db", 0
    Ledger(path).close()
    moments = range(1, 1 + KILLS) if KILLS > 10 else WITHIN[call]
    kept_too = 0
    for when in moments:
        strace = killing(call, when, path)
        # A record makes at least one of either calls.
        process = traffic.start("acknowledge", path, first, first + when + 9, prefix=strace)
        code, out, _ = traffic.finish(process)
        assert code not in (0, 1)
        printed = [int(line) for line in out.split()]
        assert printed == list(range(first + 1, first + len(printed) + 1))
        with Ledger(path) as ledger:
            assert ledger.verify().problems == ()
            kept = {event.position: event.body for event in ledger.events(after=first)}
        assert len(printed) <= len(kept) <= len(printed) + 1
        assert all(kept[position] == traffic.body(position - 1) for position in kept)
        kept_too += len(kept) - len(printed)
        first += len(kept)
    # Before a sync all is written, and outlives the process; before a write not all is.
    assert kept_too if call != "pwrite64" else kept_too < len(moments)


WITHIN = {"pwrite64": range(2, 40, 7), "fdatasync,fsync": range(2, 8, 2)}
"""At which call the writer is killed: in several commits, each time at another call."""


def killing(call: str, when: int, path: Path) -> tuple[str, ...]:
    """strace that kills the process before the n-th such call on the files of a ledger."""
    words = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}"]
    words += ["-e", f"inject={call}:signal=KILL:when={when}"]
    for end in ("", "-wal"):
        words += ["-P", f"{path}{end}"]
    return tuple(words)


def test_a_creation_that_is_killed_leaves_a_file_that_opens(tmp_path: Path) -> None:
    """Killed before any of the statements that make the file, it is made by the next that opens it."""
    code, out, err = traffic.finish(traffic.python("-c", _KILLED_CREATIONS, tmp_path))
    assert (code, err) == (0, "")
    assert int(out) > 10
    for path in sorted(tmp_path.glob("*.db")):
        with Ledger(path) as ledger:
            ledger.record(traffic.body(0))
            assert ledger.verify().ok


# Each child is killed before its n-th statement; prints how many were.
_KILLED_CREATIONS = """
import os, signal, sqlite3, sys
from postledger import Ledger
from postledger.definitions.definitions import builtin

class Killed(sqlite3.Connection):
    steps = 0

    def execute(self, *words):
        Killed.steps -= 1
        if Killed.steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*words)

builtin()
plain, killed = sqlite3.connect, 0
sqlite3.connect = lambda *words, **named: plain(*words, factory=Killed, **named)
for steps in range(0, 200, 2):
    child = os.fork()
    if child == 0:
        Killed.steps = steps
        Ledger(f"{sys.argv[1]}/{steps}.db").close()
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
    killed += 1
print(killed)
"""


def test_a_replay_that_is_killed_leaves_the_live_rows_and_goes_on(
    tmp_path: Path, small: Path
) -> None:
    """While another process records: readers see whole tables, and in the end a fold from zero."""
    path = Path(shutil.copy(small, tmp_path / "test.db"))
    with Ledger(path) as ledger:
        live = states(ledger)
    dice = random.Random(11)
    writer = traffic.start("acknowledge", path, SMALL, 1_000_000)
    killed = 0
    try:
        for _ in range(10):
            # One that was killed goes on where it was, so that several finish together.
            killed += _is_killed(_SLOW_REPLAY, path, dice)
            with Ledger(path) as ledger:
                seen = states(ledger)
                # The streams of before get no more events: their rows must not have moved.
                assert {key: seen[key] for key in live} == live
    finally:
        recorded = traffic.kill(writer).split()
    assert killed > 3
    assert len(recorded) > 20
    code, _, err = traffic.finish(traffic.postledger("replay", path))
    assert (code, err) == (0, "")
    assert _generations(path) == 1
    with Ledger(path) as ledger, Ledger(tmp_path / "other.db") as other:
        assert ledger.verify().ok
        position, _ = ledger.head()
        assert position >= SMALL + len(recorded)
        other.record_many(traffic.bodies(0, position))
        assert states(ledger) == states(other)


def _is_killed(program: str, path: Path, dice: random.Random) -> bool:
    """Kill a program that prints a line at each step, after a few of them; false where it had ended."""
    running = traffic.python("-c", program, path)
    for _ in range(dice.randint(1, 6)):
        traffic.first_line(running)
    time.sleep(dice.uniform(0.0, 0.01))
    traffic.kill(running)
    return running.returncode == -9


def test_an_optimize_that_is_killed_leaves_whole_blocks(tmp_path: Path, small: Path) -> None:
    """While another process records: what blocks there are say what the log says."""
    path = Path(shutil.copy(small, tmp_path / "test.db"))
    dice = random.Random(17)
    writer = traffic.start("acknowledge", path, SMALL, 1_000_000)
    killed = 0
    try:
        for _ in range(10):
            killed += _is_killed(_SLOW_OPTIMIZE, path, dice)
    finally:
        traffic.kill(writer)
    assert killed > 5
    with Ledger(path) as ledger:
        assert ledger.verify().problems == ()
        assert ledger.query("SELECT 1 FROM blocks LIMIT 2 OFFSET 1") != []
        ledger.optimize()
        assert ledger.verify().problems == ()


# Blocks of so few streams that it takes many transactions.
_SLOW_OPTIMIZE = """
import sys
from postledger import Ledger, blocks

blocks.SPAN = 20
with Ledger(sys.argv[1]) as ledger:
    while True:
        ledger.optimize(progress=lambda count: print(count, flush=True))
"""

# A chunk of so few streams that it takes many transactions.
_SLOW_REPLAY = """
import sys
from postledger import Ledger
from postledger.projections.generations import replay
replay.CHUNK = 20
with Ledger(sys.argv[1]) as ledger:
    ledger.rebuild(progress=lambda events: print(events, flush=True))
"""


def _generations(path: Path) -> int:
    with closing(sqlite3.connect(path)) as conn:
        rows = conn.execute("SELECT name FROM sqlite_master WHERE name GLOB 'states_[0-9]*'")
        return len(rows.fetchall())


def test_replays_while_others_record_and_read(tmp_path: Path) -> None:
    """No event is lost or doubled, and no reader ever sees a table that is not whole."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 1500))
        writers = [
            traffic.start("batches", path, 1500, 2500),
            traffic.start("batches", path, 2000, 3000),
        ]
        while any(writer.poll() is None for writer in writers):
            replay = traffic.python("-c", _SLOW_REPLAY, path)
            while replay.poll() is None:
                rows = list(ledger.deliveries())
                assert len(rows) >= 500
                assert {row.events for row in rows[:500]} == {3}
            assert traffic.finish(replay)[0] == 0
        for writer in writers:
            assert traffic.finish(writer) == (0, "", "")
        found = ledger.verify()
        assert (found.events, found.problems) == (3500, ())
        with Ledger(tmp_path / "other.db") as other:
            other.record_many(traffic.bodies(0, 3000))
            assert states(ledger) == states(other)


def test_two_replays_at_once(tmp_path: Path, small: Path) -> None:
    """One of them finishes; the other does as well, or says in one line who is in its way."""
    path = Path(shutil.copy(small, tmp_path / "test.db"))
    replays = [traffic.postledger("replay", path) for _ in range(2)]
    done = [traffic.finish(replay) for replay in replays]
    assert 0 in [code for code, _, _ in done]
    assert all(code == 0 or traffic.one_line(err) for code, _, err in done)
    with Ledger(path) as ledger:
        assert ledger.verify().ok
