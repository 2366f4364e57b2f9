"""Sources: what the paths of the command line hold, as receipts to record."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from hashlib import file_digest, sha256
from io import BufferedReader, RawIOBase
from itertools import chain, groupby
from pathlib import Path
from typing import IO, Any

import attrs

from postledger import wire
from postledger.errors import LedgerError, PostledgerError, ReadError
from postledger.export.files import is_archive, is_database, plain_suffix, unpacked
from postledger.export.formats import LINES, Row, begins_row, is_export, read_parquet, row_of
from postledger.log.event import Kind
from postledger.model import Receipt

LARGEST_BODY = 64 << 20
"""Bytes of the largest body that is recorded from a file: a larger one is not a postback.

A row of an export may be larger: a ledger recorded it.
"""

FORM = "application/x-www-form-urlencoded"
_AS_A_FORM = f"if it is a form, say --content-type {FORM}, or --query for the query string of a GET"
# Names and values as a form or an address has them: percent-encoded, without white space between.
_LIKE_A_FORM = re.compile(rb"\s*[^\s=&<>{}]+=[^\s<>{}]*\s*")

_CONTENT_TYPES = {".xml": "text/xml", ".json": "application/json", ".form": FORM}
_QUERY = ".query"
_NO_BODY = {
    ".toml": "a TOML file, not a body",
    ".csv": "a table, not a body; --body names the column that holds the bodies",
}
_STDIN = "-"
_GIVEN_BY_SHELL = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
_BUFFER = 1 << 20


def is_like_a_form(body: bytes) -> bool:
    """Whether a body could be read as a form, though nothing says that it is one."""
    if not _LIKE_A_FORM.fullmatch(body):
        return False
    try:
        wire.read(body, query=True)
    except ReadError:
        # It is one, and can't be read for another reason.
        return False
    return True


def form_hint(body: bytes, content_type: str | None, *, query: bool) -> str:
    """What to do about a form that nothing says to be one: to read it as one would be a guess."""
    is_told = query or content_type is not None
    return f"; {_AS_A_FORM}" if not is_told and is_like_a_form(body) else ""


@attrs.frozen
class Found(Receipt):
    """A receipt, the kind that its file claims for it, and where it was found."""

    kind: Kind = Kind.RECEIPT
    where: str = ""


@attrs.frozen
class Unfit:
    """Something that can't be recorded, where it is, and why."""

    where: str
    why: str
    line: int = attrs.field(default=0, eq=False)


@attrs.frozen
class Stated:
    """What the caller states of bodies: their content type, or that they are query strings."""

    content_type: str | None = None
    query: bool = False

    def body(self, body: bytes, where: str, suffix: str = "") -> Found | Unfit:
        """A body with what is stated of it, or else with what the suffix of its file tells."""
        if self.query or (suffix == _QUERY and self.content_type is None):
            try:
                return _fit(query_of(body), where, None, query=True)
            except ValueError as error:
                return Unfit(where, str(error))
        return _fit(body, where, self.content_type or _CONTENT_TYPES.get(suffix))

    def row(self, found: Found) -> Found:
        """What a row holds, with what is stated where the row says nothing of it."""
        if found.query or found.content_type is not None or found.kind is not Kind.RECEIPT:
            return found
        return attrs.evolve(found, content_type=self.content_type, query=self.query)


_REQUEST = re.compile(rb"GET ((?:/|https?://)\S*) HTTP/[0-9.]+")


def query_of(body: bytes, field: str = "the body") -> bytes:
    """The query string, of one, of the address that was called or of its request line.

    Raises ``ValueError``.

    >>> query_of(b"id=1"), query_of(b"/path?id=1"), query_of(b"GET /path?id=1 HTTP/1.1")
    (b'id=1', b'id=1', b'id=1')
    """
    request = _REQUEST.fullmatch(body.strip())
    body = request[1] if request else body
    # Neither can stand in a query (RFC 3986, section 3.4); a file may end a line.
    if re.search(rb"[\s#]", body.strip()):
        raise ValueError(
            f"expected a query string, an address or the request line of a GET in {field}, got"
            f" {body.decode('latin-1')!r:.60}"
        )
    if not body.startswith((b"?", b"/", b"http://", b"https://")):
        return body
    _, _, query = body.partition(b"?")
    if not query:
        raise ValueError(f"expected a query in {field}, got an address without one")
    return query


_PLAIN = Stated()


class Bodies:
    """Files and folders of which each file is one body."""

    sha256 = None

    def __init__(self, paths: Iterable[Path], stated: Stated = _PLAIN) -> None:
        self._paths, self._stated = paths, stated

    def __iter__(self) -> Iterator[Found | Unfit]:
        for path in self._paths:
            yield from until_unreadable(path, _body_of(path, self._stated))


class Lines:
    """One file of lines or of Parquet; ``sha256`` is that of the file, once it was read to its end."""

    def __init__(self, path: Path, stated: Stated = _PLAIN) -> None:
        self.sha256: str | None = None
        self._path, self._stated = path, stated

    def __iter__(self) -> Iterator[Found | Unfit]:
        is_parquet = plain_suffix(self._path) == ".parquet"
        return until_unreadable(self._path, self._parquet() if is_parquet else self._lines())

    def _lines(self) -> Iterator[Found | Unfit]:
        with self._path.open("rb", buffering=0) as raw:
            hashing = _Hashing(raw)
            try:
                with unpacked(BufferedReader(hashing, _BUFFER), self._path) as file:
                    yield from _of_lines(file, str(self._path), self._stated)
            finally:
                self.sha256 = hashing.to_the_end()

    def _parquet(self) -> Iterator[Found | Unfit]:
        with self._path.open("rb") as file:
            self.sha256 = file_digest(file, "sha256").hexdigest()
        for number, row in enumerate(read_parquet(self._path), 1):
            where = f"{self._path}:{number}"
            if isinstance(row, Row):
                yield self._stated.row(_found(row, where))
            else:
                yield Unfit(where, str(row))


class Stdin:
    """What stands on stdin: one body, or the lines that ``export`` writes, as the first line tells."""

    def __init__(self, stdin: IO[bytes], stated: Stated = _PLAIN) -> None:
        self.sha256: str | None = None
        self._stdin, self._stated = stdin, stated

    def __iter__(self) -> Iterator[Found | Unfit]:
        hashing = _Hashing(self._stdin)
        file = BufferedReader(hashing, _BUFFER)
        first = file.readline(LARGEST_BODY + 1)
        if _is_row(first):
            yield from _of_lines(file, _STDIN, self._stated, first)
            self.sha256 = hashing.to_the_end()
        else:
            body = first + file.read(max(0, LARGEST_BODY + 1 - len(first)))
            yield self._stated.body(body, _STDIN)


def sources(paths: Iterable[str], stated: Stated = _PLAIN) -> Iterator[Bodies | Lines | Stdin]:
    """What files, folders and ``-`` hold, in order of their names within a folder.

    Bodies that follow each other are one source.
    """
    files = chain.from_iterable(_files(path) for path in paths)
    for is_body, group in groupby(files, key=_is_body):
        if is_body:
            yield Bodies(filter(None, group), stated)
            continue
        for path in group:
            yield Lines(path, stated) if path else Stdin(sys.stdin.buffer, stated)


def _is_body(path: Path | None) -> bool:
    return path is not None and plain_suffix(path) not in (*LINES, ".parquet")


def _files(path: str) -> Iterator[Path] | Iterator[None]:
    return iter([None]) if path == _STDIN else _below(Path(path), set())


def _below(path: Path, seen: set[Path]) -> Iterator[Path]:
    """The files of a folder, recursively, without hidden ones; a file itself.

    A folder is gone through once: links may lead back to one that is ``seen``.
    """
    if not path.is_dir():
        yield path
        return
    if is_archive(path):
        raise LedgerError(f"{path}: an archive; `postledger copy` makes it a ledger")
    folder = path.resolve()
    if folder not in seen:
        seen.add(folder)
        for entry in sorted(path.iterdir()):
            # The lock files of a ledger and its outbox hold nothing.
            is_lock = entry.name.endswith(("-turn", ".lock")) and is_database(entry)
            if not entry.name.startswith(".") and not is_lock:
                yield from _below(entry, seen)


def until_unreadable(path: Path, found: Iterator[Found | Unfit]) -> Iterator[Found | Unfit]:
    """What is found in a file; where it can't be read, that is the last of it."""
    try:
        # To read a pipe or a device waits, maybe for ever, for what may have no end.
        if path.exists() and not path.is_file() and not str(path).startswith(_GIVEN_BY_SHELL):
            yield Unfit(str(path), "not a regular file; - reads from a pipe")
        # A folder may hold the ledger itself, which would grow by its own size each time.
        elif is_database(path):
            yield Unfit(
                str(path), "a ledger, or another SQLite database; export it, and ingest that"
            )
        else:
            yield from found
    except OSError as error:
        yield Unfit(str(path), error.strerror or str(error))
    except PostledgerError as error:
        yield Unfit(str(path), str(error).removeprefix(f"{path}: "))


def _body_of(path: Path, stated: Stated) -> Iterator[Found | Unfit]:
    suffix = plain_suffix(path)
    if suffix in _NO_BODY:
        yield Unfit(str(path), _NO_BODY[suffix])
        return
    with path.open("rb") as raw, unpacked(raw, path) as file:
        body = file.read(LARGEST_BODY + 1)
    yield stated.body(body, str(path), suffix)


def _fit(
    body: bytes, where: str, content_type: str | None, *, query: bool = False
) -> Found | Unfit:
    if len(body) > LARGEST_BODY:
        return Unfit(where, f"larger than {LARGEST_BODY} bytes")
    if body.lstrip(_BLANKS)[:1] in (b"{", b"[") and is_export(_text_of(body)):
        return Unfit(
            where,
            "rows of an export, not a body; write one a line in a .jsonl file, encoded in UTF-8",
        )
    return Found(body, content_type, query=query, where=where)


# White space, and what a text in UTF-16 or UTF-32 has before and between its characters.
_BLANKS = b" \t\r\n\xef\xbb\xbf\xff\xfe\0"


def _text_of(body: bytes) -> str:
    """The text of a body in whichever encoding JSON may have."""
    return body.decode(json.detect_encoding(body), "replace").lstrip("\ufeff")


def _is_row(line: bytes) -> bool:
    """Whether a first line is a row of an export, be it a damaged one or in another encoding."""
    if line.lstrip(_BLANKS)[:1] != b"{":
        return False
    try:
        return row_of(_text_of(line)) is not None
    except ValueError:
        return True


def _of_lines(
    file: IO[bytes], where: str, stated: Stated, first: bytes = b""
) -> Iterator[Found | Unfit]:
    number = 0
    while line := first or file.readline(LARGEST_BODY + 1):
        first, number = b"", number + 1
        if number == 1 and (encoding := other_encoding(line)):
            yield Unfit(f"{where}:1", f"expected UTF-8, got {encoding}; convert the file")
            return
        is_long = len(line) > LARGEST_BODY
        is_row = is_long and begins_row(line)
        if is_row and not line.endswith(b"\n"):
            line += file.readline()
        if is_long and not is_row:
            yield Unfit(f"{where}:{number}", f"a line of more than {LARGEST_BODY} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(LARGEST_BODY)
        elif line.strip():
            yield _of_line(line, f"{where}:{number}", stated)


def other_encoding(line: bytes) -> str | None:
    """The encoding of a file by its first line; ``None`` where it can be UTF-8."""
    encoding = json.detect_encoding(line)
    return None if encoding.startswith("utf-8") else encoding.upper()


def _of_line(line: bytes, where: str, stated: Stated) -> Found | Unfit:
    """What a line describes; a line that is not a row of an export is a body itself."""
    try:
        row = row_of(line.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        return Unfit(where, f"expected UTF-8, got byte 0x{line[error.start]:02x} at {error.start}")
    except ValueError as error:
        return Unfit(where, str(error))
    return stated.row(_found(row, where)) if row else stated.body(line.strip(), where)


def _found(row: Row, where: str) -> Found:
    one = row.receipt
    return Found(
        one.body,
        one.content_type,
        one.received_at,
        one.imported,
        one.source,
        one.content_encoding,
        one.sender,
        one.query,
        row.kind,
        where,
    )


class _Hashing(RawIOBase):
    """A file that hashes what is read of it."""

    def __init__(self, raw: Any) -> None:
        # Where it can, what is there already, without waiting for more.
        self._read = getattr(raw, "readinto1", raw.readinto)
        self._hash = sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._read(buffer) or 0
        self._hash.update(memoryview(buffer)[:count])
        return count

    def to_the_end(self) -> str:
        """Read what is left; the hash of all of it in hexadecimal."""
        buffer = bytearray(_BUFFER)
        while self.readinto(buffer):
            pass
        return self._hash.hexdigest()
