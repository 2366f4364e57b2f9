"""Files: packed ones, and whole ones in place of what was there."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from postledger import Ledger, PostledgerError
from postledger.export import files as packed
from postledger.export.files import whole
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


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    """By the name that was given, and not by that of the file next to it."""
    with pytest.raises(OSError, match="No such file") as caught, whole(tmp_path / "no" / "x.html"):
        raise AssertionError("it was begun")
    assert caught.value.filename == str(tmp_path / "no" / "x.html")
