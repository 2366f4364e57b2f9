"""Faults under clients that post at once: whatever was answered with 200 is in the ledger, with its body.

The server is killed, its disk fails, is full or slow, another holds the lock; it goes on by itself as
soon as it can. The trace shows that no 200 stands before the sync of its group.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from postledger import Ledger
from tests.faults import traffic
from tests.faults.posting import TRACED, Clients, Trace, check
from tests.faults.test_kill import KILLS
from tests.faults.test_media import IN_TMPFS, mounted, traced
from tests.server import Server, serving

UNSYNCED = (
    "from postledger.store import sqlite;"
    " sqlite._SETTINGS = ('PRAGMA synchronous=OFF', *sqlite._SETTINGS[1:])"
)
"""What makes a server that syncs nothing."""

HURRIED = "from postledger.server import receiver; receiver.BUSY_TIMEOUT = 0.5"
"""What makes a server that waits for others no longer than that."""


@pytest.fixture
def hurried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All processes of a server are such."""
    (tmp_path / "sitecustomize.py").write_text(HURRIED)
    there = filter(None, [os.environ.get("PYTHONPATH")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *there]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "test.db"


# --- kills ---


@pytest.mark.parametrize(("workers", "kills"), [(1, 5), (2, 3)])
def test_what_a_killed_server_answered_is_recorded(path: Path, workers: int, kills: int) -> None:
    """Each goes on where the one before was killed, with all its processes."""
    _killed(path, kills, workers)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_server_answered_outlives_200_kills(path: Path, workers: int) -> None:
    """The same at length."""
    _killed(path, max(200, KILLS), workers)


def _killed(path: Path, kills: int, workers: int) -> None:
    clients, dice = Clients(), random.Random(23)
    for number in range(kills):
        with (
            serving(path, "--workers", workers, "--no-access-log") as server,
            clients.posting(server.port),
        ):
            clients.wait(200, dice.randint(1, 40))
            time.sleep(dice.uniform(0.0, 0.02))
            for pid in (server.process.pid, *_workers(server)):
                os.kill(pid, signal.SIGKILL)
        if number % 20 == 4:
            check(path, clients)
    assert check(path, clients) >= clients.counts[200] > kills
    assert clients.counts.keys() == {200}


def test_a_killed_worker_is_replaced(path: Path) -> None:
    """The others serve meanwhile, and what it answered is recorded."""
    clients, dice = Clients(), random.Random(29)
    with serving(path, "--workers", 2, "--no-access-log") as server:
        with clients.posting(server.port):
            for _ in range(5):
                clients.wait(200, dice.randint(1, 40))
                before = _workers(server)
                os.kill(dice.choice(before), signal.SIGKILL)
                clients.wait(200, 20)
                assert len(before) == 2
                _wait_for_others(server, before)
        assert server.stop() == 0
    check(path, clients)
    assert clients.counts.keys() == {200}


def test_workers_stop_without_the_first_process(path: Path) -> None:
    """A server that is started after it was killed can listen where it did; nothing is lost."""
    clients = Clients()
    with (
        serving(path, "--workers", 2, "--no-access-log") as server,
        clients.posting(server.port),
    ):
        clients.wait(200, 20)
        workers = _workers(server)
        assert len(workers) == 2
        server.process.kill()
        server.process.wait()
        for _ in range(200):
            if not any(map(_command, workers)):
                break
            time.sleep(0.1)
        with serving(path, "--port", server.port, "--no-access-log"):
            clients.wait(200, 20)
    check(path, clients)
    assert clients.counts.keys() == {200}


def test_a_worker_that_cannot_start_ends_the_server(path: Path) -> None:
    """With a status of failure, so that whoever watches over it starts it again."""
    with serving(path, "--workers", 2, "--no-access-log") as server:
        with Clients().posting(server.port):
            time.sleep(0.5)
        for file in path.parent.glob("test.db*"):
            file.unlink()
        path.write_text("something else\n" * 100)
        os.kill(_workers(server)[0], signal.SIGKILL)
        assert server.process.wait(60) == 1
        last = server.log.read_text().splitlines()[-1]
    assert last == "Error: a process could not be started; the log says why"
    assert path.read_text() == "something else\n" * 100


def _workers(server: Server) -> list[int]:
    """The processes that serve, but the first."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(pid) for pid in children if "spawn_main" in _command(pid)]


def _command(pid: str | int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _wait_for_others(server: Server, before: list[int]) -> None:
    for _ in range(600):
        now = _workers(server)
        if len(now) == len(before) and set(now) != set(before):
            return
        time.sleep(0.1)
    raise AssertionError(now)


# --- what a trace says ---


def _tracing(trace: Path, *inject: str) -> tuple[str, ...]:
    """strace of a server; what it injects are faults of calls. The server stays our own child."""
    words = ["strace", "-D", "-f", "-qq", "-y", "-s", "5000", "-o", str(trace)]
    words += ["-e", f"trace={TRACED}"]
    for one in inject:
        words += ["-e", f"inject={one}"]
    return tuple(words)


def _traced(path: Path, trace: Path, clients: Clients, *inject: str, first: str = "") -> Trace:
    """Post until there were enough answers, and after any that were refused enough again."""
    Ledger(path).close()
    prefix = _tracing(trace, *inject)
    with serving(path, "--no-access-log", first=first, prefix=prefix) as server:
        with clients.posting(server.port):
            if inject and "error" in inject[0]:
                clients.wait(503)
            clients.wait(200, 100)
        assert server.stop() == 0
    check(path, clients)
    with trace.open(encoding="latin-1") as lines:
        return Trace(path.with_name(f"{path.name}-wal"), lines)


@traced
@pytest.mark.parametrize("first", ["", "sys.modules['uvloop'] = None"], ids=["uvloop", "asyncio"])
def test_no_answer_stands_before_the_sync_of_its_group(
    path: Path, tmp_path: Path, first: str
) -> None:
    """Between the last write of a group and its first 200 the write-ahead file was synced."""
    clients = Clients()
    found = _traced(path, tmp_path / "trace", clients, first=first)
    assert found.early == []
    assert found.answered == clients.counts[200] > 100
    assert clients.counts.keys() == {200}


@traced
def test_a_server_that_syncs_nothing_is_found(path: Path, tmp_path: Path) -> None:
    """The same trace says so of each of its answers."""
    found = _traced(path, tmp_path / "trace", Clients(), first=UNSYNCED)
    assert len(found.early) == found.answered > 100


@traced
@pytest.mark.parametrize(
    "fault",
    [
        "fdatasync,fsync:error=EIO:when=5..9",
        "fdatasync,fsync:error=EIO:when=5..95+3",
        pytest.param("fdatasync,fsync:error=ENOSPC:when=5..9", marks=pytest.mark.long),
        pytest.param("pwrite64:error=EIO:when=90..300", marks=pytest.mark.long),
        "pwrite64:error=ENOSPC:when=90..500+7",
    ],
)
def test_a_failing_disk_answers_nobody(path: Path, tmp_path: Path, fault: str) -> None:
    """Whoever is in the group gets a 503, and as soon as the disk works others are answered."""
    clients = Clients()
    found = _traced(path, tmp_path / "trace", clients, fault)
    assert found.early == []
    assert found.answered == clients.counts[200]
    assert clients.counts.keys() == {200, 503}


@traced
def test_a_slow_disk_answers_later(path: Path, tmp_path: Path) -> None:
    """No sooner than its sync ends, also where that takes longer than others are waited for."""
    clients = Clients()
    slow = "fdatasync,fsync:delay_exit=700000:when=5..9"
    found = _traced(path, tmp_path / "trace", clients, slow, first=HURRIED)
    assert found.early == []
    assert found.answered == clients.counts[200]
    assert clients.counts.keys() <= {200, 503}


# --- what is in the way ---


# Holds the write lock, and the turn to write, as somebody would who stopped in a transaction.
_HOLD = """
import sys, time
from postledger import Ledger
with Ledger(sys.argv[1]) as ledger, ledger._connections.write():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_lock_that_is_held_too_long_answers_nobody(
    path: Path, hurried: None, workers: int
) -> None:
    """Whoever waits longer than the patience gets a 503; when the lock is free, others are answered."""
    clients = Clients()
    with (
        serving(path, "--workers", workers, "--no-access-log") as server,
        clients.posting(server.port),
    ):
        clients.wait(200, 20)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA busy_timeout = 60000")
            other.execute("BEGIN IMMEDIATE")
            _require_503(clients)
            other.execute("ROLLBACK")
        clients.wait(200, 50)
    check(path, clients)
    assert clients.counts.keys() == {200, 503}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_writer_that_stands_still_answers_nobody(path: Path, hurried: None, workers: int) -> None:
    """Also where it has the turn to write; when it is killed, others are answered."""
    clients = Clients()
    with (
        serving(path, "--workers", workers, "--no-access-log") as server,
        clients.posting(server.port),
    ):
        clients.wait(200, 20)
        holder = traffic.python("-c", _HOLD, path)
        assert traffic.first_line(holder) == "held\n"
        _require_503(clients)
        traffic.kill(holder)
        clients.wait(200, 50)
    check(path, clients)
    assert clients.counts.keys() == {200, 503}


def _require_503(clients: Clients) -> None:
    """That is all that is answered now, apart from what was written before."""
    clients.wait(503, 20)
    answered = clients.counts[200]
    clients.wait(503, 10)
    assert clients.counts[200] == answered


# Posts until the disk is full, makes room, and posts on. The room holds ten times what is waited for,
# even where each post is a group of its own, with some 40 kB of pages.
_UNTIL_FULL = """
import sys
from pathlib import Path
from tests.faults.posting import Clients, check
from tests.server import serving

folder, clients = Path(sys.argv[1]), Clients()
ballast = folder / "ballast"
ballast.write_bytes(bytes(2_000_000))
with serving(folder / "test.db", "--no-access-log") as server:
    with clients.posting(server.port):
        clients.wait(503, 20)
        ballast.unlink()
        clients.wait(200, 5)
    assert server.stop() == 0
check(folder / "test.db", clients)
assert clients.counts.keys() == {200, 503}, clients.counts
assert clients.counts[200] > 50, clients.counts
"""


@mounted
def test_a_full_disk_answers_nobody(tmp_path: Path) -> None:
    """Whoever finds it full gets a 503; when there is room, others are answered."""
    inside = ("unshare", "-rm", "sh", "-c", IN_TMPFS, "sh", str(tmp_path / "full"))
    process = traffic.python("-c", _UNTIL_FULL, tmp_path / "full", prefix=inside)
    assert traffic.finish(process) == (0, "", "")
