"""``postledger archive``: a ledger as Parquet in a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from postledger import Archive, Ledger
from tests.cli import Run


def test_a_ledger_is_archived(run: Run, samples: Path, tmp_path: Path) -> None:
    """The anchor is that of the ledger; what is there stays."""
    with Ledger(samples, readonly=True) as ledger:
        head = ledger.head()
    done = run("archive", samples, tmp_path / "archive")
    assert done.stdout.splitlines() == ["archived 12 events in 5 files", f"anchor {head}"]
    with Archive(tmp_path / "archive") as archive:
        assert archive.verify(head).ok
    again = run("archive", samples, tmp_path / "archive")
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr.endswith("archive: an archive is there; name another folder\n")
    done = run("archive", samples, tmp_path / "other", "--rows", 5, "--json")
    assert json.loads(done.stdout) == {"anchor": str(head), "files": 9, "kept": 0}


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_no_archive_takes_the_place_of_a_ledger(
    run: Run, samples: Path, tmp_path: Path, suffix: str
) -> None:
    """Nor of a file next to it, nor is it made inside of what is a file."""
    with Ledger(samples) as opened:
        opened.record(b"?")
        place = samples.with_name(f"{samples.name}{suffix}")
        before = place.stat().st_size
        for folder in (place, place / "inside"):
            done = run("archive", samples, folder)
            assert (done.exit_code, done.stdout) == (1, "")
            assert done.stderr.startswith("Error: ")
        assert place.stat().st_size == before
        assert opened.verify().ok


def test_a_missing_package_is_one_line(
    run: Run, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it; no folder is made."""
    for name in ("pyarrow", "pyarrow.fs"):
        monkeypatch.setitem(sys.modules, name, None)
    done = run("archive", samples, tmp_path / "archive")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: an archive requires PyArrow: ")
    assert done.stderr.endswith("-m pip install pyarrow\n")
    assert not (tmp_path / "archive").exists()


def test_an_address_shows_no_password(run: Run, samples: Path) -> None:
    """Not in what is said of it either."""
    done = run("archive", samples, "nonsense://key:secret@bucket/folder")
    assert (done.exit_code, "secret" in done.output) == (1, False)
