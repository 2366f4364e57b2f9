"""Files: packed ones by their names, and whole ones in place of what was there."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, Protocol, cast

from postledger.errors import PostledgerError, requires

_SUFFIXES = (".gz", ".zst")
_LONGEST_SUFFIX = len(".parquet.zst")
_OWN = 0o700
_DATABASE = b"SQLite format 3\0"
_BESIDE_A_DATABASE = re.compile(r"-(wal|shm|journal|turn|[0-9]+\.lock)\Z")


def plain_suffix(path: Path) -> str:
    """The suffix of a file's name apart from that of the packing: ``.jsonl`` of ``a.jsonl.gz``."""
    return Path(path.stem).suffix if path.suffix in _SUFFIXES else path.suffix


def create_packed(path: Path) -> IO[bytes]:
    """Open a file to write, packed or not as its name says; raises ``PostledgerError`` without zstd."""
    if path.suffix == ".gz":
        # Without the name, which is not yet that of the file, and the time: one log, one file.
        packed = gzip.GzipFile("", "wb", fileobj=(raw := path.open("wb")), mtime=0)
        cast(Any, packed).myfileobj = raw
        return cast(IO[bytes], packed)
    if path.suffix == ".zst":
        return cast(IO[bytes], zstd().open(path, "wb"))
    return path.open("wb")


@contextmanager
def unpacked(file: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    """What an open file holds, unpacked as its name says.

    Raises ``PostledgerError`` without zstd, and where what is packed is damaged.
    """
    if path.suffix not in _SUFFIXES:
        yield file
        return
    module: Any = gzip if path.suffix == ".gz" else zstd()
    damage = (EOFError, zlib.error, gzip.BadGzipFile, getattr(module, "ZstdError", EOFError))
    try:
        with module.open(file, "rb") as packed:
            yield packed
    except damage as error:
        raise PostledgerError(f"{path}: the packing is damaged: {error}") from error


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what is to stand at ``path`` once it is whole; if it fails nothing changes there.

    A pipe or a device is written to itself. Raises ``PostledgerError`` for a database: no report or
    export takes the place of a ledger.
    """
    target = _target(path)
    if is_database(target):
        raise PostledgerError(
            f"{path}: a ledger, or another SQLite database, is there; name another file"
        )
    if target.exists() and not target.is_file():
        yield path
        return
    # A name of its own, for others may write to the same target.
    suffix = "".join(target.suffixes[-2:])[-_LONGEST_SUFFIX:]
    partial = target.with_name(f".{token_hex(8)}{suffix}")
    try:
        with _named(path, partial):
            partial.touch(exist_ok=False)
            if target.exists():
                # Before anything is in it: what others may not read they may not read meanwhile.
                shutil.copymode(target, partial)
            yield partial
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _target(path: Path) -> Path:
    """Where a path leads; raises ``PostledgerError`` for a link into a folder that isn't there."""
    # Not Path.resolve, which fails where a link leads to itself: such a link is replaced.
    target = Path(os.path.realpath(path))
    if path.is_symlink() and not target.parent.is_dir():
        raise PostledgerError(
            f"{path}: it is a link to {target}, and that folder isn't there; make it, or name another"
        )
    return target


@contextmanager
def _named(path: Path, partial: Path) -> Iterator[None]:
    """Errors about what stands for a path meanwhile name the path."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and Path(error.filename) == partial:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


class Folder(Protocol):
    """Where the files of a whole folder are written, one after the other."""

    def __call__(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open a file to write, by its name with ``/`` between folders."""
        ...


@contextmanager
def whole_folder(path: Path) -> Iterator[Folder]:
    """A folder to write, or a zip of one where the name says so; if it fails nothing changes there.

    A pipe or a device is written a zip. Only its owner reads a folder before it is whole. Raises
    ``PostledgerError`` where a file is, or a folder that is not empty, or a database.
    """
    if path.suffix == ".zip" or _is_of_another_kind(path):
        with (
            whole(path) as partial,
            partial.open("wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
        ):
            yield lambda name: packed.open(_member(name), "w")
        return
    target = _target(path)
    _require_room(path, target)
    partial = target.with_name(f".{token_hex(8)}")
    try:
        with _named(path, partial):
            partial.mkdir(_OWN)
            yield lambda name: _within(partial, name)
            partial.chmod(_usual_mode(partial, target))
            partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _usual_mode(partial: Path, target: Path) -> int:
    """The mode of the folder that is replaced, or else the one that folders are made with here."""
    if target.is_dir():
        return stat.S_IMODE(target.stat().st_mode)
    probe = partial / token_hex(8)
    probe.mkdir()
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.rmdir()
    return mode


def _member(name: str) -> zipfile.ZipInfo:
    """A file of a zip without its time: what is in it says when it was made."""
    made = zipfile.ZipInfo(name)
    made.compress_type = zipfile.ZIP_DEFLATED
    return made


def _is_of_another_kind(path: Path) -> bool:
    """Whether something is there that is neither a file nor a folder."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _require_room(path: Path, target: Path) -> None:
    """Raise where a folder would take the place of something."""
    if is_database(target):
        raise PostledgerError(
            f"{path}: a ledger, or another SQLite database, is there; name another folder"
        )
    if target.is_symlink():
        raise PostledgerError(f"{path}: a link that leads to itself is there; name another folder")
    if target.is_file():
        raise PostledgerError(f"{path}: a file is there; name a folder, or a file ending in .zip")
    if target.is_dir() and any(target.iterdir()):
        raise PostledgerError(f"{path}: the folder is not empty; name another one")


def _within(folder: Path, name: str) -> IO[bytes]:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    return file.open("wb")


def is_archive(path: Path) -> bool:
    """Whether an archive of a ledger is in a folder."""
    return path.joinpath("manifest.json").is_file() and path.joinpath("events").is_dir()


def is_database(path: Path) -> bool:
    """Whether a SQLite database is at ``path``, or a file that is kept next to one."""
    target = Path(os.path.realpath(path))
    names = {target.name, _BESIDE_A_DATABASE.sub("", target.name)} - {""}
    return any(_holds_database(target.with_name(name)) for name in names)


def _holds_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_DATABASE)) == _DATABASE


def zstd() -> Any:
    """The zstd module: of the standard library from Python 3.14 on, before it an extra."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise requires("zstd requires a package before Python 3.14", "backports.zstd")
