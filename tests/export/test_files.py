"""Files: packed ones, and whole ones in place of what was there."""

from __future__ import annotations

import os
import shlex
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from postledger import Ledger, PostledgerError
from postledger.export import files as packed
from postledger.export.files import whole, whole_folder
from tests.cli import Run
from tests.samples import DEGRADED


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_an_export_keeps_the_mode_of_the_file_and_follows_a_link(
    run: Run, tmp_path: Path, filled: Path, suffix: str
) -> None:
    """What others may not read they may not read afterwards."""
    target = tmp_path / f"{'n' * 200}{suffix}"
    target.write_bytes(b"before")
    target.chmod(0o600)
    link = tmp_path / f"link{suffix}"
    link.symlink_to(target)
    assert run("export", filled, link).exit_code == 0
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    assert run("ingest", tmp_path / "b.db", link).exit_code == 0
    with Ledger(tmp_path / "b.db") as copy:
        assert copy.delivery(DEGRADED).state == "delivered"


def test_what_an_export_can_not_take_the_place_of_is_written_to(
    run: Run, tmp_path: Path, filled: Path
) -> None:
    """A device stays one."""
    device = tmp_path / "device.jsonl"
    device.symlink_to("/dev/null")
    assert run("export", filled, device).exit_code == 0
    assert device.is_symlink()


def test_a_broken_zstd_file_is_told(run: Run, tmp_path: Path) -> None:
    """A damaged archive is one line and that no ledger was made, not a traceback."""
    (tmp_path / "x.jsonl.zst").write_bytes(b"(\xb5/\xfd not really")
    done = run("ingest", tmp_path / "l.db", tmp_path / "x.jsonl.zst")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 2)


def test_without_the_extra_the_line_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra is named with the command that installs it."""

    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(packed, "import_module", missing)
    with pytest.raises(PostledgerError, match=r"-m pip install backports\.zstd"):
        packed.zstd()


def test_a_database_is_never_replaced(tmp_path: Path) -> None:
    """Nor what SQLite keeps next to it, whether or not it is a ledger."""
    Ledger(tmp_path / "l.db").close()
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE t (n)").connection.close()
    for name in ("l.db", "other.sqlite", "l.db-wal", "l.db-shm", "l.db-journal"):
        with pytest.raises(PostledgerError, match="name another file"), whole(tmp_path / name):
            raise AssertionError("it was begun")
    with whole(tmp_path / "some-wal") as partial:
        partial.write_text("no database is there")
    assert (tmp_path / "some-wal").read_text() == "no database is there"


def test_a_file_is_whole_or_as_before(tmp_path: Path) -> None:
    """What fails half way leaves neither half a file nor another one next to it."""
    target = tmp_path / "report.html"
    for before in (None, "before"):
        if before is not None:
            target.write_text(before)
        with pytest.raises(UnicodeEncodeError), whole(target) as partial:
            partial.write_text("half\ud800", "utf-8")
        assert [path.name for path in tmp_path.iterdir()] == ["report.html"] * (before is not None)
    assert target.read_text() == "before"


def test_a_link_into_a_folder_that_is_not_there_is_told(run: Run, tmp_path: Path) -> None:
    """With where it leads; one to what isn't there yet is followed, one to itself is not."""
    Ledger(tmp_path / "l.db").close()
    (tmp_path / "lost").symlink_to(tmp_path / "gone" / "b")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "new").symlink_to("made")
    for option in ("--bundle", "--html"):
        done = run("audit", tmp_path / "l.db", option, tmp_path / "lost")
        assert done.exit_code == 1
        assert (
            f"lost: it is a link to {tmp_path / 'gone' / 'b'}, and that folder isn't" in done.stderr
        )
    assert (
        "leads to itself" in run("audit", tmp_path / "l.db", "--bundle", tmp_path / "loop").stderr
    )
    assert run("audit", tmp_path / "l.db", "--bundle", tmp_path / "new").exit_code == 0
    assert (tmp_path / "made" / "report.html").is_file()


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_a_folder_is_its_owners_alone_until_it_is_whole(tmp_path: Path) -> None:
    """Then it is as folders are made here, or as the empty one was that it replaces."""
    before = os.umask(0o027)
    try:
        for name, mode in (("new", 0o750), ("there", 0o711)):
            if name == "there":
                (tmp_path / name).mkdir()
                (tmp_path / name).chmod(mode)
            with whole_folder(tmp_path / name) as folder:
                (partial,) = tmp_path.glob(".*")
                assert stat.S_IMODE(partial.stat().st_mode) == 0o700
                with folder("inner/report.txt") as file:
                    file.write(b"whole")
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode
            assert [
                str(one.relative_to(tmp_path / name)) for one in (tmp_path / name).iterdir()
            ] == ["inner"]
    finally:
        os.umask(before)


ENDED = """
import sys, time
from pathlib import Path
from postledger.cli.common import in_order
from postledger.export.files import whole, whole_folder

path = Path(sys.argv[1])
with in_order(), (whole if path.suffix else whole_folder)(path) as given:
    file = given.open("wb") if path.suffix else given("report.html").__enter__()
    file.write(b"half")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
@pytest.mark.parametrize("name", ["b", "b.html"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_ended_leaves_no_partial_file(
    tmp_path: Path, name: str, number: signal.Signals
) -> None:
    """It ends by the signal that ended it, as a supervisor expects."""
    command = [sys.executable, "-c", ENDED, str(tmp_path / name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        assert process.wait(60) == -number
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
@pytest.mark.parametrize("ignored", [False, True])
def test_a_command_that_is_ended_leaves_no_partial_file(tmp_path: Path, ignored: bool) -> None:
    """Whichever it is: the command line sees to it for all. A signal that is ignored stays so."""
    out = shlex.quote(str(tmp_path / "out.jsonl"))
    line = f"exec {sys.executable} -m postledger simulate {out} --messages 100000000"
    line = f"trap '' HUP; {line}" if ignored else line
    with subprocess.Popen(["/bin/sh", "-c", line], stderr=subprocess.DEVNULL) as process:
        while not list(tmp_path.iterdir()):
            assert process.poll() is None
            time.sleep(0.01)
        if ignored:
            process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    """By the name that was given, and not by that of the file next to it."""
    with pytest.raises(OSError, match="No such file") as caught, whole(tmp_path / "no" / "x.html"):
        raise AssertionError("it was begun")
    assert caught.value.filename == str(tmp_path / "no" / "x.html")
