"""The disk: full, read-only, or failing at any call; what was acknowledged is there afterwards.

The calls are failed with strace, which needs the right to trace; the full disk is a small tmpfs, which
needs the right to make one. Where these rights are missing the tests say so and are skipped.

Seen to fail: ``tests/faults/without.py`` takes the protections away one by one:
with ``PRAGMA synchronous=OFF`` no sync stands before an acknowledgement; with what was interned in a
commit that failed kept, the next events refer to what is not there.
"""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

from postledger import Ledger, LedgerError
from tests.faults import traffic

SHUT_OUT = 65534
"""The user nobody, who may read what all may read."""


@cache
def can_trace() -> bool:
    """Whether strace is there and may trace."""
    strace = shutil.which("strace")
    done = strace and subprocess.run([strace, "-f", "true"], capture_output=True, check=False)
    return bool(done) and done.returncode == 0


@cache
def can_mount() -> bool:
    """Whether a mount of our own can be made."""
    if shutil.which("unshare") is None:
        return False
    words = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


traced = pytest.mark.skipif(not can_trace(), reason="strace is missing or may not trace here")
mounted = pytest.mark.skipif(not can_mount(), reason="no right to mount a tmpfs here")

# Which calls are failed, and how. SQLite tries a call that was interrupted again.
CALLS = {
    "pwrite64": ("EIO", "ENOSPC"),
    "fdatasync,fsync": ("EIO", "ENOSPC"),
    "pread64": ("EIO",),
    "ftruncate": ("EIO", "ENOSPC"),
    "openat": ("ENOSPC", "EMFILE"),
}


def _fault(call: str, error: str, when: str) -> tuple[str, ...]:
    """strace that fails a call of the process on files of a ledger."""
    inject = f"inject={call}:error={error}:when={when}"
    return ("strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", inject)


def _paths(path: Path) -> tuple[str, ...]:
    """The options that confine strace to the files of a ledger."""
    words: list[str] = []
    for end in ("", "-wal", "-shm", "-journal"):
        words += ["-P", f"{path}{end}"]
    return tuple(words)


def _check(path: Path, before: int, acknowledged: list[int]) -> None:
    """The log is sound, and holds whatever was acknowledged."""
    with Ledger(path) as ledger:
        found = ledger.verify()
        assert found.problems == ()
        assert acknowledged == list(range(before + 1, before + len(acknowledged) + 1))
        assert found.events > before + len(acknowledged)
        for event in ledger.events(after=before):
            assert event.body == traffic.body(event.position - 1)


@traced
@pytest.mark.long
@pytest.mark.parametrize(
    ("call", "error"), [(call, error) for call, errors in CALLS.items() for error in errors]
)
def test_a_call_that_fails_loses_nothing_that_was_acknowledged(
    tmp_path: Path, call: str, error: str
) -> None:
    """Each such call on the ledger's files fails in turn: an error of one line, or none."""
    whole = tmp_path / "whole.db"
    with Ledger(whole) as ledger:
        ledger.record_many(traffic.bodies(0, BEFORE))

    def failing(when: int) -> int:
        path = Path(shutil.copy(whole, tmp_path / f"{when}.db"))
        strace = (*_fault(call, error, str(when)), *_paths(path))
        code, out, err = traffic.finish(_recorder(path, strace))
        assert code in (0, 1)
        assert (err == "") if code == 0 else traffic.one_line(err), err
        acknowledged = [int(line) for line in out.split()]
        assert code == 1 or len(acknowledged) == RECORDED
        _check(path, BEFORE, acknowledged)
        return code

    with ThreadPoolExecutor(2) as pool:
        failed = sum(pool.map(failing, range(1, _calls(whole, call) + 1)))
    assert failed


BEFORE, RECORDED = 5, int(os.environ.get("POSTLEDGER_CALLS", "2"))
"""How many events there are before, and how many are recorded while a call fails."""


def _recorder(path: Path, strace: tuple[str, ...]) -> subprocess.Popen[str]:
    return traffic.start("acknowledge", path, BEFORE, BEFORE + RECORDED, prefix=strace)


def _calls(whole: Path, call: str) -> int:
    """How many such calls on the ledger's files there are when none of them fails."""
    path, trace = whole.with_name("traced.db"), whole.with_name("trace")
    shutil.copy(whole, path)
    strace = ("strace", "-f", "-qq", "-o", str(trace), "-e", f"trace={call}", *_paths(path))
    assert traffic.finish(_recorder(path, strace))[0] == 0
    return len(trace.read_text().splitlines())


@traced
@pytest.mark.parametrize(
    ("call", "error"),
    [(call, error) for call, errors in CALLS.items() for error in errors if call != "ftruncate"],
)
def test_a_disk_that_fails_now_and_then(tmp_path: Path, call: str, error: str) -> None:
    """A writer that tries again gets through, and finds at its position what was acknowledged."""
    path = tmp_path / "test.db"
    Ledger(path).close()
    # A commit is many calls: were one of each commit's to fail, none would get through.
    often = 67 if call in ("pwrite64", "pread64") else 5
    strace = (*_fault(call, error, f"2+{often}"), *_paths(path))
    code, out, err = traffic.finish(traffic.start("stubborn", path, 0, 40, prefix=strace))
    assert code == 0
    assert err
    assert all(line.startswith("Error: ") for line in err.splitlines()), err
    acknowledged = dict(tuple(map(int, line.split())) for line in out.splitlines())
    assert list(acknowledged) == list(range(40))
    with Ledger(path) as ledger:
        assert ledger.verify().ok
        kept = {event.position: event.body for event in ledger.events(after=0)}
    assert all(kept[at] == traffic.body(number) for number, at in acknowledged.items())


@traced
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync,fsync"])
def test_a_disk_that_goes_on_failing(tmp_path: Path, call: str) -> None:
    """From one call on all fail: one line says so, and a sound disk finds all that was acknowledged."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 5))
    strace = (*_fault(call, "EIO", "9+"), *_paths(path))
    process = traffic.start("acknowledge", path, 5, 500, prefix=strace)
    code, out, err = traffic.finish(process)
    assert code == 1
    assert traffic.one_line(err)
    _check(path, 5, [int(line) for line in out.split()])


@traced
def test_every_commit_is_synced_before_it_is_acknowledged(tmp_path: Path) -> None:
    """Between two positions that are printed stands a sync of the ledger's write-ahead file."""
    path, trace = tmp_path / "test.db", tmp_path / "trace"
    Ledger(path).close()
    strace = ("strace", "-f", "-y", "-o", str(trace), "-e", "trace=fdatasync,fsync,write")
    process = traffic.start("acknowledge", path, 0, 5, prefix=strace)
    assert traffic.finish(process)[0] == 0
    since, seen = False, 0
    for line in trace.read_text().splitlines():
        if "sync(" in line and "test.db-wal" in line:
            since = True
        elif "write(1<" in line:
            assert since, line
            since, seen = False, seen + 1
    assert seen == 5


IN_TMPFS = """
mkdir -p "$1" && mount -t tmpfs -o size=6m none "$1" || exit 3
shift
exec "$@"
"""
"""Runs a program in which a folder is a disk of 6 MB."""

# Records until the disk is full, makes room, records on; prints what was acknowledged in between.
_UNTIL_FULL = """
import os, sys
from postledger import Ledger, LedgerError
from tests.faults.traffic import body
folder = sys.argv[1]
ballast = os.path.join(folder, "ballast")
with open(ballast, "wb") as file:
    file.write(bytes(300_000))
with Ledger(os.path.join(folder, "test.db")) as ledger:
    done = 0
    try:
        while True:
            assert ledger.record(body(done)).event.position == done + 1
            done += 1
    except LedgerError as error:
        print(error)
    assert done > 100, done
    try:
        ledger.record_many(body(number) for number in range(10_000, 12_000))
    except LedgerError as error:
        print(error)
    assert ledger.verify().ok
    # What was backfilled meanwhile may have made room for a batch.
    more = ledger.head().size - done - 1
    assert more in (0, 1_000, 2_000)
    os.unlink(ballast)
    for number in range(done, done + 5):
        assert ledger.record(body(number)).event.position == number + more + 1
    assert ledger.verify().ok
numbers = [*range(done), *range(10_000, 10_000 + more), *range(done, done + 5)]
with Ledger(os.path.join(folder, "test.db")) as ledger:
    assert [event.body for event in ledger.events(after=0)] == list(map(body, numbers))
    assert ledger.verify().ok
"""


@mounted
def test_a_full_disk_refuses_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """Nothing that was acknowledged is lost, nothing is half written, and one line says why."""
    inside = ("unshare", "-rm", "sh", "-c", IN_TMPFS, "sh", str(tmp_path / "full"))
    process = traffic.python("-c", _UNTIL_FULL, tmp_path / "full", prefix=inside)
    code, out, err = traffic.finish(process)
    assert (code, err) == (0, "")
    assert out
    assert all(
        "nothing was written" in line or "not acknowledged" in line for line in out.splitlines()
    )


_READ_ONLY = """
mkdir -p "$1" && mount -t tmpfs -o size=6m none "$1" || exit 3
cp "$2" "$1/test.db" && if [ -e "$2-wal" ]; then cp "$2-wal" "$1/test.db-wal"; fi || exit 3
mount -o remount,ro "$1" || exit 3
shift 2
exec "$@"
"""


# Reads all that there is of a ledger, and tries to record; prints what it found, or the error.
_READ_ALL = """
import sys
from postledger import Ledger, PostledgerError
from tests.faults.traffic import body

try:
    with Ledger(sys.argv[1], readonly=True, guarded=False) as ledger:
        found = ledger.verify()
        print(found.ok, found.events, len(list(ledger.deliveries())), len(ledger.timeline("TU1T3")))
except PostledgerError as error:
    print(f"Error: {error}")
try:
    with Ledger(sys.argv[1]) as ledger:
        ledger.record(body(20))
        print("recorded")
except PostledgerError as error:
    print(f"Error: {error}")
"""


@mounted
def test_a_ledger_on_a_read_only_medium_is_read(tmp_path: Path) -> None:
    """An auditor reads it where it lies; to record into it is refused in one line."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 12))
    there = tmp_path / "medium"
    inside = ("unshare", "-rm", "sh", "-c", _READ_ONLY, "sh", str(there), str(path))
    process = traffic.python("-c", _READ_ALL, there / "test.db", prefix=inside)
    code, out, err = traffic.finish(process)
    assert (code, err) == (0, "")
    read, recorded = out.splitlines()
    assert read == "True 13 4 3"
    assert recorded.startswith(f"Error: {there / 'test.db'}: ")


@mounted
@pytest.mark.parametrize("ahead", ["empty", "whole"])
def test_a_read_only_medium_with_a_write_ahead_file(tmp_path: Path, ahead: str) -> None:
    """An empty one is as none; what stands in one is told, or the ledger is refused in one line."""
    path, copy = tmp_path / "test.db", tmp_path / "copy.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 12))
    with Ledger(path) as ledger:
        ledger.record(traffic.body(12))
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
    if ahead == "empty":
        Path(f"{copy}-wal").write_bytes(b"")
    there = tmp_path / "medium"
    inside = ("unshare", "-rm", "sh", "-c", _READ_ONLY, "sh", str(there), str(copy))
    process = traffic.python("-c", _READ_ALL, there / "test.db", prefix=inside)
    code, out, err = traffic.finish(process)
    assert (code, err) == (0, "")
    read, recorded = out.splitlines()
    assert recorded.startswith("Error: ")
    if ahead == "empty":
        assert read == "True 13 4 3"
    else:
        assert read.startswith("Error: ")


def test_a_file_that_may_not_grow_refuses_and_goes_on(tmp_path: Path) -> None:
    """The same by a limit on the size of files, which needs no rights."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 300))
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    program = (
        "import resource, signal, sys\n"
        "from tests.faults.traffic import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size + 50_000}, {hard}))\n"
        "main('acknowledge', sys.argv[1], '300', '100000')\n"
    )
    code, out, err = traffic.finish(traffic.python("-c", program, path))
    assert code == 1
    assert traffic.one_line(err)
    _check(path, 300, [int(line) for line in out.split()])
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == (soft, hard)


# As a user who may not write: root may write everywhere.
_AS_NOBODY = """
import os, sys
from tests.faults.traffic import main
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({user})
    os.setuid({user})
main("ingest", sys.argv[1], "0", "3")
"""


def _as_nobody(path: Path) -> tuple[int, str, str]:
    program = _AS_NOBODY.format(user=SHUT_OUT)
    return traffic.finish(traffic.python("-c", program, path))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may look into: those of pytest are shut to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_file_and_a_folder_that_may_not_be_written(open_folder: Path) -> None:
    """To record is refused in one line; the ledger stays as it is."""
    folder = open_folder / "shut"
    folder.mkdir()
    path = folder / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 30))
    before = path.read_bytes()
    path.chmod(0o444)
    folder.chmod(0o777)
    code, out, err = _as_nobody(path)
    assert (code, out) == (1, "")
    assert traffic.one_line(err)
    assert "read-only" in err
    assert path.read_bytes() == before
    for file in folder.glob("test.db-*"):
        file.unlink()
    folder.chmod(0o555)
    code, out, err = _as_nobody(path)
    assert (code, out) == (1, "")
    assert traffic.one_line(err)
    code, out, err = _as_nobody(folder / "new.db")
    assert (code, out) == (1, "")
    assert traffic.one_line(err)
    folder.chmod(stat.S_IRWXU)
    assert path.read_bytes() == before
    with Ledger(path) as ledger:
        assert ledger.verify().ok


def test_an_opened_ledger_whose_file_is_made_read_only_says_so(tmp_path: Path) -> None:
    """Nothing is written, and one line says why."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record(traffic.body(0))
        ledger.query("SELECT 1")
        store = ledger._connections.require_writable().store
        store.execute("PRAGMA query_only=ON")
        with pytest.raises(LedgerError, match="read-only; nothing was written"):
            ledger.record(traffic.body(1))
        store.execute("PRAGMA query_only=OFF")
        assert ledger.record(traffic.body(1)).event.position == 2
