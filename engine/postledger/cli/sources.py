"""Sources: the receipts that paths of the command line hold."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import attrs

from postledger.errors import PostledgerError
from postledger.export.files import open_packed, plain_suffix
from postledger.export.formats import read_parquet, receipt_of
from postledger.model import Receipt

LARGEST_BODY = 64 << 20
"""Bytes of the largest body that is recorded from a file: what is larger is no postback."""

_CONTENT_TYPES = {".xml": "text/xml", ".json": "application/json"}
_LINES = (".jsonl", ".ndjson")


@attrs.frozen
class Found(Receipt):
    """A receipt and where it was found: the path, and the line in it."""

    where: str = ""


@attrs.frozen
class Unfit:
    """Something that can't be recorded, where it is, and why."""

    where: str
    why: str


def receipts(paths: Iterable[str]) -> Iterator[Found | Unfit]:
    """The receipts of files, folders and ``-``, in order of their names within a folder."""
    for path in paths:
        if path == "-":
            yield from _of_stdin(sys.stdin.buffer)
        else:
            for file in _files(Path(path)):
                yield from _of_file(file)


def _files(path: Path) -> Iterator[Path]:
    """The files of a folder, recursively, without hidden ones; a file itself."""
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.iterdir()):
        if not entry.name.startswith("."):
            yield from _files(entry)


def _of_file(path: Path) -> Iterator[Found | Unfit]:
    suffix = plain_suffix(path)
    try:
        if suffix == ".parquet":
            for number, receipt in enumerate(read_parquet(path), 1):
                yield _found(receipt, f"{path}:{number}")
            return
        with open_packed(path, "rb") as file:
            if suffix in _LINES:
                yield from _of_lines(file, str(path))
            else:
                yield _fit(file.read(LARGEST_BODY + 1), str(path), _CONTENT_TYPES.get(suffix))
    except (OSError, EOFError, zlib.error) as error:
        yield Unfit(str(path), getattr(error, "strerror", None) or str(error))
    except PostledgerError as error:
        yield Unfit(str(path), str(error))
    except Exception as error:
        # zstd has an error class of its own, in whichever module it comes from.
        if type(error).__name__ != "ZstdError":
            raise
        yield Unfit(str(path), str(error))


def _of_stdin(stdin: IO[bytes]) -> Iterator[Found | Unfit]:
    """One body, or the lines that ``export`` writes: the first line tells."""
    first = stdin.readline(LARGEST_BODY + 1)
    if receipt_of(first) is not None:
        yield _of_line(first, "-:1")
        yield from _of_lines(stdin, "-", 2)
    else:
        body = first + stdin.read(max(0, LARGEST_BODY + 1 - len(first)))
        yield _fit(body, "-", None)


def _fit(body: bytes, where: str, content_type: str | None) -> Found | Unfit:
    if len(body) > LARGEST_BODY:
        return Unfit(where, f"larger than {LARGEST_BODY} bytes")
    return Found(body, content_type, where=where)


def _of_lines(file: IO[bytes], where: str, number: int = 1) -> Iterator[Found | Unfit]:
    while line := file.readline(LARGEST_BODY + 1):
        if len(line) > LARGEST_BODY:
            yield Unfit(f"{where}:{number}", f"a line of more than {LARGEST_BODY} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(LARGEST_BODY)
        elif line.strip():
            yield _of_line(line, f"{where}:{number}")
        number += 1


def _of_line(line: bytes, where: str) -> Found:
    """The receipt that a line describes; any other line is a body itself."""
    return _found(receipt_of(line) or Receipt(line.strip()), where)


def _found(receipt: Receipt, where: str) -> Found:
    return Found(**attrs.asdict(receipt, recurse=False), where=where)
