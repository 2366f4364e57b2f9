"""Sources: the receipts that paths of the command line hold."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import attrs

from postledger.model import Receipt
from postledger.times import parse_moment

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
    packed = path.suffix == ".gz"
    suffix = Path(path.stem).suffix if packed else path.suffix
    try:
        with gzip.open(path) if packed else path.open("rb") as opened:
            file = cast(IO[bytes], opened)
            if suffix in _LINES:
                yield from _of_lines(file, str(path))
            else:
                yield _whole(file, str(path), _CONTENT_TYPES.get(suffix))
    except (OSError, EOFError, zlib.error) as error:
        yield Unfit(str(path), getattr(error, "strerror", None) or str(error))


def _of_stdin(stdin: IO[bytes]) -> Iterator[Found | Unfit]:
    """One body, or the lines that ``export`` writes: the first line tells."""
    first = stdin.readline(LARGEST_BODY + 1)
    if _said(first) is not None:
        yield _of_line(first, "-:1")
        yield from _of_lines(stdin, "-", 2)
    else:
        body = first + stdin.read(max(0, LARGEST_BODY + 1 - len(first)))
        yield _fit(body, "-", None)


def _whole(file: IO[bytes], where: str, content_type: str | None) -> Found | Unfit:
    return _fit(file.read(LARGEST_BODY + 1), where, content_type)


def _fit(body: bytes, where: str, content_type: str | None) -> Found | Unfit:
    if len(body) > LARGEST_BODY:
        return Unfit(where, f"larger than {LARGEST_BODY} bytes")
    return Found(body, content_type, None, where)


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
    said = _said(line)
    if said is None:
        return Found(line.strip(), None, None, where)
    body, content_type, received_at = said
    return Found(body, content_type, received_at, where)


def _said(line: bytes) -> tuple[bytes, str | None, Any] | None:
    """Body, content type and reception of a line of ``export``; ``None`` where it is none."""
    try:
        data = json.loads(line)
        if not isinstance(data, dict):
            return None
        if "body_base64" in data:
            body = base64.b64decode(data["body_base64"], validate=True)
        else:
            body = data["body"].encode()
        content_type, received_at = data.get("content_type"), data.get("received_at")
        if content_type is not None and not isinstance(content_type, str):
            return None
        return body, content_type, None if received_at is None else parse_moment(received_at)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, binascii.Error):
        return None
