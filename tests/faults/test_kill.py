"""SIGKILL at each step and at random times: what was acknowledged is there, what was begun goes on.

Quick tests kill at each statement that a call makes. Those marked ``long`` kill whole processes at
random, ``POSTLEDGER_KILLS`` times each (10 by default, hundreds by hand).

Seen to fail: ``tests/faults/without.py`` takes the protections away one by one.
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
from postledger.definitions.definitions import builtin
from tests.faults import traffic
from tests.faults.test_media import can_trace
from tests.states import rows, states

KILLS = int(os.environ.get("POSTLEDGER_KILLS", "10"))
EVENTS, SMALL = 2999, 999


def _small(path: Path, events: int = SMALL) -> Path:
    """A ledger to replay."""
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, events))
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger to replay, for all tests."""
    return _small(tmp_path_factory.mktemp("kill") / "small.db")


def _length(path: Path) -> int:
    """How many events were committed to a file that may not be there yet, or not made yet."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as conn:
        try:
            return int(conn.execute("SELECT count(*) FROM events").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


# --- at each statement ---

# Each child does its work and is killed before its n-th statement; what it prints stands before.
# Prints, for each, the number, a colon and what the child said; then how many were killed.
_KILLED_AT = """
import os, signal, sqlite3, sys
from shutil import copy
from postledger import Ledger
from postledger.definitions.definitions import builtin
from postledger.projections import replay
from tests.faults import traffic

class Killed(sqlite3.Connection):
    steps = sys.maxsize

    def execute(self, *words):
        self.step()
        return super().execute(*words)

    def executemany(self, *words):
        self.step()
        return super().executemany(*words)

    def commit(self):
        self.step()
        return super().commit()

    def step(self):
        Killed.steps -= 1
        if Killed.steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)

what, whole, folder, stride = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
builtin()
plain, killed = sqlite3.connect, 0
sqlite3.connect = lambda *words, **named: plain(*words, **{**named, "factory": Killed})

def work(steps, path):
    if what == "create":
        Killed.steps = steps
        Ledger(path).close()
        return
    with Ledger(path) as ledger:
        Killed.steps = steps
        if what == "record":
            position = ledger.record(traffic.body(3)).event.position
            os.write(1, b" %d" % position)
        elif what == "many":
            ledger.record_many([traffic.body(n) for n in range(3, 9)] + [b"?", b"{}"])
        else:
            replay.CHUNK = 20
            wanted = {"adopt": traffic.other_vocabulary, "charts": traffic.other_chart}.get(what)
            ledger.replay(wanted and wanted(), index=what == "reindex")
        Killed.steps = sys.maxsize

for steps in range(0, 2000, stride):
    path = f"{folder}/{steps}.db"
    if what != "create":
        copy(whole, path)
    os.write(1, b"%d:" % steps)
    child = os.fork()
    if child == 0:
        try:
            work(steps, path)
        except BaseException as error:
            os.write(1, repr(error).encode())
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.write(1, b"\\n")
    assert code in (0, -9), code
    if code == 0:
        break
    killed += 1
print(killed)
"""


def _killed_at(what: str, whole: Path, folder: Path, stride: int = 1) -> dict[int, str]:
    """What each child that was killed before its n-th statement had printed."""
    words = ("-c", _KILLED_AT, what, whole, folder, stride)
    code, out, err = traffic.finish(traffic.python(*words))
    assert (code, err) == (0, ""), out
    *lines, count = out.splitlines()
    # The last of them came to its end.
    assert len(lines) == int(count) + 1
    return {int(number): said for number, said in (line.split(":") for line in lines)}


def test_a_creation_killed_at_any_statement_leaves_a_file_that_opens(tmp_path: Path) -> None:
    """The next to open it makes it."""
    said = _killed_at("create", tmp_path, tmp_path, 3)
    assert len(said) > 10
    for number in said:
        with Ledger(tmp_path / f"{number}.db") as ledger:
            ledger.record(traffic.body(0))
            assert ledger.verify().problems == ()


@pytest.mark.parametrize("what", ["record", "many"])
def test_a_recording_killed_at_any_statement_is_whole_or_not_there(
    tmp_path: Path, what: str
) -> None:
    """An event is there with its state, or not at all; the next that records goes on."""
    whole = _small(tmp_path / "whole.db", 3)
    said = _killed_at(what, whole, tmp_path)
    assert len(said) > 10
    added = 1 if what == "record" else 8
    for number, printed in said.items():
        with Ledger(tmp_path / f"{number}.db", readonly=True) as ledger:
            assert ledger.verify().problems == ()
        with Ledger(tmp_path / f"{number}.db") as ledger:
            size = ledger.head().size
            assert size in (4, 4 + added)
            assert not printed or size == 4 + added
            assert ledger.verify().problems == ()
            assert ledger.record(traffic.body(20)).event.position == size
            assert ledger.verify().problems == ()


@pytest.mark.parametrize("what", ["replay", "reindex", "charts", "adopt"])
def test_a_replay_killed_at_any_statement_leaves_the_live_states(tmp_path: Path, what: str) -> None:
    """Nothing shown changes, recording goes on, and the next replay ends what was begun."""
    whole = _small(tmp_path / "whole.db", 90)
    with Ledger(whole) as ledger:
        live = rows(ledger)
    said = _killed_at(what, whole, tmp_path, 7)
    assert len(said) > 4
    wanted = {"adopt": traffic.other_vocabulary, "charts": traffic.other_chart}.get(what)
    for number in said:
        path = tmp_path / f"{number}.db"
        with Ledger(path) as ledger:
            assert rows(ledger) == live
            ledger.record(traffic.body(300))
            assert ledger.verify().problems == ()
            ledger.replay(wanted and wanted(), index=what == "reindex")
            assert ledger.verify().problems == ()
            assert ledger.delivery("TU1T100").events == 1
        assert _generations(path) == 1


def test_an_index_killed_while_it_is_built_goes_on_where_it_was(tmp_path: Path) -> None:
    """What one process read of the log, the next does not read again."""
    path = _small(tmp_path / "test.db", 600)
    running = traffic.start("adopt", path, 20, 1)
    for _ in range(8):
        traffic.first_line(running)
    traffic.kill(running)
    with closing(sqlite3.connect(path)) as conn:
        (begun,) = conn.execute("SELECT size FROM generations WHERE stage <> 'live'").fetchone()
    assert begun >= 160
    read: list[int] = []
    with Ledger(path) as ledger:
        ledger.replay(traffic.other_vocabulary(), progress=read.append)
        assert ledger.verify().problems == ()
    # All events are read once and folded once, at most; here some were read before.
    assert sum(read) <= 601 - begun + 600


# --- at random ---


@pytest.mark.long
def test_an_ingest_that_is_killed_is_taken_up_by_ingesting_again(tmp_path: Path) -> None:
    """Batches that were committed stay, the log is sound, and in the end the states are the same."""
    began = time.monotonic()
    assert traffic.finish(traffic.start("ingest", tmp_path / "whole.db", 0, EVENTS))[0] == 0
    whole, dice = time.monotonic() - began, random.Random(5)
    path, before = tmp_path / "test.db", 0
    for number in range(KILLS):
        process = traffic.start("ingest", path, 0, EVENTS)
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
    code, _, err = traffic.finish(traffic.start("ingest", path, 0, EVENTS))
    assert (code, err) == (0, "")
    with Ledger(path) as ledger, Ledger(tmp_path / "whole.db") as unbroken:
        assert ledger.verify().ok
        assert states(ledger) == states(unbroken)


@pytest.mark.long
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


def test_writers_killed_in_a_row_lose_nothing_acknowledged(tmp_path: Path) -> None:
    """Each goes on where the one before was killed: no acknowledged position is ever missing."""
    _killed_in_a_row(tmp_path / "test.db", 15)


@pytest.mark.long
def test_a_writer_is_killed_200_times_in_a_row(tmp_path: Path) -> None:
    """The same at length."""
    _killed_in_a_row(tmp_path / "test.db", 20 * KILLS)


def _killed_in_a_row(path: Path, kills: int) -> None:
    code, out, err = traffic.finish(traffic.python("-c", _KILLED_WRITERS, path, kills), 600)
    assert (code, err) == (0, "")
    killed, acknowledged, kept = map(int, out.split())
    assert killed == kills
    assert kept >= acknowledged > killed
    with Ledger(path) as ledger:
        assert ledger.verify().problems == ()
        bodies = [event.body for event in ledger.events(after=0)]
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
        kept = ledger.head().size - 1
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
    places = range(1, 1 + KILLS) if KILLS > 10 else WITHIN[call]
    kept_too = 0
    for when in places:
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
    assert kept_too if call != "pwrite64" else kept_too < len(places)


WITHIN = {"pwrite64": range(2, 40, 7), "fdatasync,fsync": range(2, 8, 2)}
"""At which call the writer is killed: in several commits, each time at another call."""


def killing(call: str, when: int, path: Path) -> tuple[str, ...]:
    """strace that kills the process before the n-th such call on the files of a ledger."""
    words = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}"]
    words += ["-e", f"inject={call}:signal=KILL:when={when}"]
    for end in ("", "-wal"):
        words += ["-P", f"{path}{end}"]
    return tuple(words)


@pytest.mark.long
@pytest.mark.parametrize("what", ["replay", "reindex", "adopt"])
def test_a_replay_that_is_killed_leaves_the_live_rows_and_goes_on(
    tmp_path: Path, small: Path, what: str
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
            killed += _is_killed((what, path, 20, 3), dice)
            with Ledger(path) as ledger:
                seen = states(ledger)
                # The streams of before get no more events: their rows must not have moved.
                assert {key: seen[key] for key in live} == live
    finally:
        recorded = traffic.kill(writer).split()
    assert killed > 3
    assert len(recorded) > 20
    with Ledger(path) as ledger, Ledger(tmp_path / "other.db") as other:
        ledger.replay(builtin())
        assert ledger.verify().problems == ()
        receipts = [event.body for event in ledger.events(after=0) if event.kind == "receipt"]
        assert receipts == list(traffic.bodies(0, len(receipts)))
        assert SMALL + len(recorded) <= len(receipts) <= SMALL + len(recorded) + 1
        other.record_many(receipts)
        assert states(ledger) == states(other)
    assert _generations(path) == 1


def _is_killed(words: tuple[object, ...], dice: random.Random) -> bool:
    """Kill a program that prints a line at each step, after a few of them; false where it had ended."""
    running = traffic.start(*words)
    for _ in range(dice.randint(1, 6)):
        traffic.first_line(running)
    time.sleep(dice.uniform(0.0, 0.01))
    traffic.kill(running)
    return running.returncode == -9


def _generations(path: Path) -> int:
    with closing(sqlite3.connect(path)) as conn:
        found = conn.execute("SELECT name FROM sqlite_master WHERE name GLOB 'states_[0-9]*'")
        names = [name for (name,) in found.fetchall() if not name.endswith(("_first", "_apart"))]
        (count,) = conn.execute("SELECT count(*) FROM generations").fetchone()
    assert len(names) == count
    return len(names)
