"""Packed files: gzip and zstd by the name of the file."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, Literal, cast

from postledger.errors import PostledgerError

_SUFFIXES = (".gz", ".zst")
_LONGEST_SUFFIX = len(".parquet.zst")


def plain_suffix(path: Path) -> str:
    """The suffix of a file's name apart from that of the packing: ``.jsonl`` of ``a.jsonl.gz``."""
    return Path(path.stem).suffix if path.suffix in _SUFFIXES else path.suffix


def open_packed(path: Path, mode: Literal["rb", "wb"]) -> IO[bytes]:
    """Open a file, packed or not as its name says; raises ``PostledgerError`` without zstd."""
    if path.suffix == ".gz" and mode == "wb":
        # Without the name, which is not yet that of the file, and the moment: one log, one file.
        packed = gzip.GzipFile("", mode, fileobj=(raw := path.open(mode)), mtime=0)
        cast(Any, packed).myfileobj = raw
        return cast(IO[bytes], packed)
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, mode))
    if path.suffix == ".zst":
        return cast(IO[bytes], zstd().open(path, mode))
    return path.open(mode)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what is to stand at ``path`` once it is whole; if it fails nothing changes there.

    A pipe or a device is written to itself, and so is a file in a folder that may not be written.
    """
    # Not Path.resolve, which fails where a link leads to itself: such a link is replaced.
    target = Path(os.path.realpath(path))
    if (target.exists() and not target.is_file()) or not os.access(target.parent, os.W_OK):
        yield path
        return
    # A name of its own, for others may write to the same target.
    suffix = "".join(target.suffixes[-2:])[-_LONGEST_SUFFIX:]
    partial = target.with_name(f".{token_hex(8)}{suffix}")
    try:
        yield partial
        if target.exists():
            shutil.copymode(target, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def zstd() -> Any:
    """The zstd module: of the standard library from Python 3.14 on, before it an extra."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise PostledgerError("zstd needs an extra: pip install 'postledger[zstd]'")
