"""Packed files: gzip and zstd by the name of the file."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Literal, cast

from postledger.errors import PostledgerError

_SUFFIXES = (".gz", ".zst")


def plain_suffix(path: Path) -> str:
    """The suffix of a file's name apart from that of the packing: ``.jsonl`` of ``a.jsonl.gz``."""
    return Path(path.stem).suffix if path.suffix in _SUFFIXES else path.suffix


def open_packed(path: Path, mode: Literal["rb", "wb"]) -> IO[bytes]:
    """Open a file, packed or not as its name says; raises ``PostledgerError`` without zstd."""
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, mode))
    if path.suffix == ".zst":
        return cast(IO[bytes], zstd().open(path, mode))
    return path.open(mode)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what is to stand at ``path`` once it is whole; if it fails nothing changes there."""
    if path.exists() and not path.is_file():
        # A pipe or a device: what is written to it can't be taken back.
        yield path
        return
    path = path.resolve()
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        partial.replace(path)
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
