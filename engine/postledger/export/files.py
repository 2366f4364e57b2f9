"""Files: packed ones by their names, and whole ones in place of what was there."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, cast

from postledger.errors import PostledgerError, requires

_SUFFIXES = (".gz", ".zst")
_LONGEST_SUFFIX = len(".parquet.zst")
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
    # Not Path.resolve, which fails where a link leads to itself: such a link is replaced.
    target = Path(os.path.realpath(path))
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
        partial.touch(exist_ok=False)
        if target.exists():
            # Before anything is in it: what others may not read they may not read meanwhile.
            shutil.copymode(target, partial)
        yield partial
        partial.replace(target)
    except OSError as error:
        if error.filename is not None and Path(error.filename) == partial:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


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
