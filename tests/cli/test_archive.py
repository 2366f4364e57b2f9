"""``postledger archive``: a ledger as Parquet in a folder."""

from __future__ import annotations

import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from pyarrow import parquet

from postledger import Archive, Ledger
from postledger.lake.folding import ENGINES
from postledger.lake.layout import schema_of
from tests.cli import Run
from tests.samples import first_outcome_stands


def test_a_ledger_is_archived(run: Run, samples: Path, tmp_path: Path) -> None:
    """The anchor is that of the ledger; what is there stays."""
    with Ledger(samples, readonly=True) as ledger:
        head = ledger.head()
    done = run("archive", samples, tmp_path / "archive")
    assert done.stdout.splitlines() == ["archived 12 events in 6 files", f"anchor {head}"]
    with Archive(tmp_path / "archive") as archive:
        assert archive.verify(head).ok
    again = run("archive", samples, tmp_path / "archive")
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr.endswith("archive: an archive is there already; name another folder\n")
    done = run("archive", samples, tmp_path / "other", "--rows", 5, "--json")
    assert json.loads(done.stdout) == {"anchor": str(head), "files": 12, "kept": 0}


def test_an_archive_is_copied_to_a_ledger(run: Run, samples: Path, tmp_path: Path) -> None:
    """With the same anchor; what is whole stays, and what is another ledger is refused."""
    archive, target = tmp_path / "archive", tmp_path / "restored.db"
    (*_, anchor) = run("archive", samples, archive).stdout.splitlines()
    done = run("copy", archive, target)
    assert done.stdout.splitlines() == ["copied 12 events", anchor]
    assert run("verify", target, "--anchor", anchor.split()[1]).exit_code == 0
    done = run("copy", archive, target)
    assert done.stdout.splitlines() == ["copied 0 events; 12 events were there", anchor]
    with Ledger(tmp_path / "mine.db") as ledger:
        ledger.record(b"?")
    done = run("copy", archive, tmp_path / "mine.db")
    assert (done.exit_code, done.stdout, done.stderr[:7]) == (1, "", "Error: ")
    with Ledger(tmp_path / "mine.db") as ledger:
        assert ledger.head().size == 2


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


@pytest.fixture
def archived(run: Run, samples: Path, tmp_path: Path) -> Path:
    """The archive of the samples."""
    assert run("archive", samples, tmp_path / "archive").exit_code == 0
    return tmp_path / "archive"


def test_an_archive_is_verified_as_a_ledger_is(run: Run, samples: Path, archived: Path) -> None:
    """With the same words and exit codes; by its address too."""
    of_ledger = run("verify", samples, "--json").stdout
    for place in (archived, archived.as_uri()):
        done = run("verify", place, "--json")
        assert (done.exit_code, done.stdout) == (0, of_ledger)
    anchor = json.loads(of_ledger)["anchor"]
    assert run("verify", archived, "--anchor", anchor).stdout == run("verify", samples).stdout
    done = run("verify", archived, "--anchor", f"11:{anchor.partition(':')[2]}")
    assert (done.exit_code, done.stdout.count("\n")) == (1, 2)
    (archived / "deliveries/00000.parquet").write_bytes(b"")
    done = run("verify", archived)
    assert (done.exit_code, "deliveries/00000.parquet: expected" in done.stdout) == (1, True)


def lines(text: str) -> list[str]:
    """The lines of an output in any order: which is the last of a list in JSON makes no difference."""
    return sorted(one.strip(" [],") for one in text.splitlines())


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]])
def test_an_archive_is_compared_as_a_ledger_is(
    run: Run, samples: Path, archived: Path, form: list[str]
) -> None:
    """The same rows in each form."""
    words = ["--provider", "smpp", "--only", *form]
    of_ledger = run("replay", samples, *words)
    for engine in ([], *(["--engine", name] for name in ENGINES)):
        of_archive = run("replay", archived, *words, *engine)
        assert of_archive.exit_code == 0
        assert lines(of_archive.stdout) == lines(of_ledger.stdout)
        assert "4 states would change" in of_archive.stderr


def test_an_archive_is_folded_to_a_folder(run: Run, archived: Path, tmp_path: Path) -> None:
    """By its own definitions or others, as of a position or a time; alone or with others as one."""
    done = run("replay", archived, "--out", tmp_path / "own")
    assert done.stdout.startswith("wrote 4 states by content 1 ")
    (own,) = (tmp_path / "own").iterdir()
    found, wanted = map(parquet.read_table, (own, archived / "deliveries/00000.parquet"))
    assert found.schema.equals(schema_of("deliveries"))
    assert found.equals(wanted)
    for engine in ENGINES:
        run("replay", archived, "--out", tmp_path / engine, "--engine", engine)
        assert parquet.read_table(tmp_path / engine).equals(wanted)
    done = run("replay", archived, "--out", tmp_path / "then", "--as-of", "3", "--json")
    assert json.loads(done.stdout)[0]["states"] == 2
    words = ["--out", tmp_path / "none", "--provider", "smpp", "--only", "--json"]
    (said,) = json.loads(run("replay", archived, *words).stdout)
    assert (said["states"], "smpp" in said["definitions"]) == (0, True)
    with Ledger(tmp_path / "other.db") as ledger:
        ledger.record(b"?")
        ledger.archive(tmp_path / "other")
    words = ["--with", tmp_path / "other", "--out", tmp_path / "both"]
    assert run("replay", archived, *words).stdout.startswith("wrote 4 states")
    assert len(list((tmp_path / "both").iterdir())) == 2
    with Ledger(tmp_path / "other.db") as ledger:
        ledger.replay(first_outcome_stands())
        ledger.archive(tmp_path / "unlike")
    words = ["--with", tmp_path / "unlike", "--out", tmp_path / "named"]
    assert "were read by different definitions" in run("replay", archived, *words).stderr
    assert not (tmp_path / "named").exists()
    done = run("replay", archived, *words, "--builtin")
    assert done.stdout.startswith("wrote 4 states"), done.stderr


def test_states_go_where_a_link_leads(run: Run, archived: Path, tmp_path: Path) -> None:
    """The folder is made there; the link stays."""
    (tmp_path / "link").symlink_to("real")
    assert run("replay", archived, "--out", tmp_path / "link").stdout.startswith("wrote 4 states")
    assert (tmp_path / "link").is_symlink()
    assert [one.name for one in (tmp_path / "real").iterdir()] == ["00000.parquet"]


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_no_states_take_the_place_of_a_ledger_or_an_archive(
    run: Run, samples: Path, archived: Path, suffix: str
) -> None:
    """Nor of a file next to it, nor of what is in a folder."""
    with Ledger(samples) as opened:
        opened.record(b"?")
        place = samples.with_name(f"{samples.name}{suffix}")
        before, there = place.stat().st_size, sorted(samples.parent.iterdir())
        for out in (place, place / "inside", archived, samples.parent):
            done = run("replay", archived, "--out", out)
            assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
            assert done.stderr.startswith(f"Error: {out}: ")
        assert place.stat().st_size == before
        assert sorted(samples.parent.iterdir()) == there
        assert opened.verify().ok


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify", "{archive}", "--record"], "--record requires a ledger, got an archive."),
        (["replay", "{archive}"], "An archive is folded with --out, or compared with"),
        (["replay", "{archive}", "--index"], "--index requires a ledger, got an archive."),
        (["replay", "{archive}", "--builtin", "--adopt"], "--adopt requires a ledger, got an"),
        (["replay", "{archive}", "--builtin", "--as-of", "0"], "--as-of requires --out."),
        (
            ["replay", "{archive}", "--builtin", "--engine", "spark"],
            "--engine spark requires --out.",
        ),
        (["replay", "{ledger}", "--out", "x"], "--out requires an archive, got a ledger."),
        (
            ["replay", "{ledger}", "--engine", "plain"],
            "--engine requires an archive, got a ledger.",
        ),
        (["replay", "{ledger}", "--as-of", "0"], "--as-of requires an archive, got a ledger."),
        (["replay", "{ledger}", "--with", "{archive}"], "--with requires an archive, got a"),
        (["replay", "{archive}", "--with", "{ledger}"], "expected the folder of an archive, got"),
        (
            ["replay", "{archive}", "--with", "{archive}", "--as-of", "3", "--out", "x"],
            "--as-of must be a time where --with is given, got a position.",
        ),
    ],
)
def test_what_an_archive_or_a_ledger_does_not_take_is_wrong_usage(
    run: Run, samples: Path, archived: Path, words: list[str], said: str
) -> None:
    """One line says which of the two it takes."""
    done = run(*(word.format(archive=archived, ledger=samples) for word in words))
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_folder_that_is_no_archive_says_so(run: Run, tmp_path: Path) -> None:
    """A place that isn't there too, and an address of no file system."""
    for command in ("verify", "replay"):
        words = ["--builtin"] if command == "replay" else []
        done = run(command, tmp_path, *words)
        said = f"Error: {tmp_path}: not an archive: manifest.json is missing\n"
        assert (done.exit_code, done.stderr) == (1, said)
        done = run(command, "nonsense://key:secret@bucket/folder", *words)
        assert (done.exit_code, "secret" in done.output) == (1, False)
        assert run(command, tmp_path / "nothing", *words).exit_code == 2


def test_a_folder_that_can_not_be_written_is_named_with_the_reason(
    run: Run, samples: Path, archived: Path, tmp_path: Path
) -> None:
    """In one line, and no other path stands in it."""
    (tmp_path / "file").touch()
    for place, reason in (
        (tmp_path / "file/inside", "Not a directory"),
        (tmp_path / ("long" * 100), "File name too long"),
        (Path("/dev/full/inside"), "Not a directory"),
    ):
        for words in (["archive", samples, place], ["replay", archived, "--out", place]):
            done = run(*words)
            assert (done.exit_code, done.stdout) == (1, "")
            assert re.fullmatch(
                rf"Error: {re.escape(str(place))}: it can't be (read|written): {reason}\n",
                done.stderr,
            )


def test_an_archive_is_told_from_a_ledger(run: Run, samples: Path, tmp_path: Path) -> None:
    """Commands that take none say which do; none is ingested as if it were postbacks."""
    archive = tmp_path / "archive"
    run("archive", samples, archive)
    for command in ("deliveries", "audit", "check", "follow"):
        done = run(command, archive)
        assert done.exit_code == 2
        assert "is an archive, which verify, replay and copy take" in " ".join(done.stderr.split())
    with Ledger(samples, readonly=True) as ledger:
        head = ledger.head()
    done = run("ingest", samples, archive)
    assert done.exit_code == 1
    assert "an archive; `postledger copy` makes it a ledger" in done.stderr
    with Ledger(samples, readonly=True) as ledger:
        assert ledger.head() == head


def test_secrets_of_an_address_are_hidden(run: Run) -> None:
    """Whatever is wrong with it."""
    address = "s3://AK:SECRET1@bucket/x?secret_key=SECRET2&session_token=SECRET3&no=1"
    done = run("verify", address)
    assert done.exit_code == 1
    assert "SECRET" not in done.stdout + done.stderr
    done = run("verify", "s3://")
    assert done.stderr == "Error: s3://: not the address of a folder: it names none\n"


@pytest.mark.parametrize("way", ["itself", "link", "loop"])
def test_states_take_the_place_of_no_folder(
    run: Run, archived: Path, tmp_path: Path, way: str
) -> None:
    """Not of an empty one either, nor where a link leads: nothing there changes."""
    folder, out = tmp_path / "private", tmp_path / way
    folder.mkdir(0o700)
    before = folder.stat()
    if way == "itself":
        out = folder
    else:
        out.symlink_to(folder if way == "link" else out)
    done = run("replay", archived, "--out", out)
    said = f"Error: {out}: the folder is there already; name a new one\n"
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", said)
    after = folder.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("place", ["states", "deliveries/states", "deep/er"])
def test_states_are_not_written_within_an_archive(run: Run, archived: Path, place: str) -> None:
    """It would have files that are not its own."""
    done = run("replay", archived, "--out", archived / place)
    said = f"Error: {archived / place}: it is within an archive; name a folder elsewhere\n"
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", said)
    assert run("verify", archived).exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["archive", "{ledger}", ""],
        ["replay", "{archive}", "--out", ""],
        ["verify", ""],
        ["replay", ""],
    ],
)
def test_an_empty_name_is_wrong_usage(
    run: Run, samples: Path, archived: Path, words: list[str]
) -> None:
    """As it is where a ledger is named."""
    done = run(*(word.format(archive=archived, ledger=samples) for word in words))
    assert (done.exit_code, done.stdout) == (2, "")
    assert re.search(
        r"Error: Invalid value for .*: (path|folder) must name a f.*, got ''", done.stderr
    )


def test_a_name_that_is_not_utf_8_says_so(run: Run, samples: Path) -> None:
    """In one line, of the name and nothing else."""
    done = run("archive", samples, "x\udcff")
    said = "Error: x\\udcff: the name of a folder must be UTF-8\n"
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", said)


def test_a_store_that_can_not_be_asked_is_one_line(run: Run, samples: Path) -> None:
    """Azure's too, without its secret."""
    address = "abfs://c:{}@127.0.0.1:9/x?credential_kind=environment"
    done = run("archive", samples, address.format("SECRET"))
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"Error: {address.format('***')}: it can't be read: ")


def test_a_file_system_says_what_it_lacks(run: Run, samples: Path) -> None:
    """In the words of fsspec, which is there."""
    if find_spec("paramiko") is not None:
        pytest.skip("paramiko is installed")
    done = run("archive", samples, "fsspec+sftp://user:pw@127.0.0.1/x")
    said = 'x: SFTPFileSystem requires "paramiko" to be installed\n'
    assert (done.exit_code, done.stderr) == (1, f"Error: fsspec+sftp://user:***@127.0.0.1/{said}")
