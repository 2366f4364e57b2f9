"""Rows: what the lines of a log that another program kept have, by the names of their fields."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import attrs

from postledger.cli.sources import LARGEST_BODY, Unfit, other_encoding
from postledger.errors import PostledgerError
from postledger.export.files import plain_suffix, unpacked
from postledger.export.formats import LINES, number

SUFFIXES = (".csv", *LINES)
"""The suffixes of logs, apart from those of their packing."""

_LOOKED_AT = 100
"""In so many rows of JSON at the beginning, or fewer large ones, each field must be found once."""

_LONGEST = 2 * LARGEST_BODY
"""Characters of the longest line: a body may stand in it in base64, or with escapes."""

_SHOWN = 40
_NOTHING: Any = object()


@attrs.frozen
class Line:
    """A row: the number of the line on which it begins, and the values of the fields asked for.

    A field that the row doesn't have is ``None``.
    """

    number: int
    values: tuple[Any, ...]


def rows(
    path: Path, fields: Sequence[str], delimiter: str = ",", *, as_written: bool = False
) -> Iterator[Line | Unfit]:
    """The rows of a log; what can't be taken apart is named, and the next row goes on.

    With ``as_written`` the numbers of JSON are ``Written`` as they stand there: none is rounded. Raises
    ``PostledgerError`` for a field that the file doesn't have, before the first row, and where what
    comes after can't be read.
    """
    with path.open("rb") as raw, unpacked(raw, path) as file:
        if plain_suffix(path) == ".csv":
            yield from _of_csv(file, path, fields, delimiter)
        else:
            yield from _of_json(file, path, fields, _AS_WRITTEN if as_written else _NUMBERS)


def columns(path: Path, delimiter: str = ",") -> list[str]:
    """The columns of a CSV, or the fields that the first rows of JSON have.

    Raises ``PostledgerError`` for a file that isn't a log.
    """
    require_log(path)
    with path.open("rb") as raw, unpacked(raw, path) as file:
        if plain_suffix(path) == ".csv":
            with _reading(file, path, delimiter) as (_, reader):
                return _header(reader, path)
        first = islice(_parsed(file, path, _NUMBERS), _LOOKED_AT)
        return list(dict.fromkeys(_names([row for _, row in first if isinstance(row, dict)])))


def require_fields(path: Path, fields: Sequence[str], delimiter: str = ",") -> None:
    """Raise ``PostledgerError`` for a file that isn't a log, or doesn't have the fields."""
    require_log(path, " for --body")
    next(rows(path, fields, delimiter), None)


def require_log(path: Path, purpose: str = "") -> None:
    """Raise ``PostledgerError`` for a file that isn't named like a log, or isn't a file."""
    # Nothing is read of a pipe here that would be missing later.
    if plain_suffix(path) not in SUFFIXES or (path.exists() and not path.is_file()):
        said = f", packed or not,{purpose}" if purpose else ", packed or not"
        raise PostledgerError(f"{path}: expected a file named .csv, .jsonl or .ndjson{said}")


def _missing(path: Path, field: str, names: Sequence[str], hint: str = "") -> PostledgerError:
    """The error for a field that a file doesn't have, with those that it has."""
    there = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return PostledgerError(f"{path}: no field {field}; it has: {there or 'none'}{hint}")


# --- CSV ---


def _of_csv(
    file: IO[bytes], path: Path, fields: Sequence[str], delimiter: str
) -> Iterator[Line | Unfit]:
    with _reading(file, path, delimiter) as (lines, reader):
        header = _header(reader, path)
        places = [_place(path, field, header) for field in fields]
        for first, row in _records(reader):
            if isinstance(row, csv.Error):
                yield Unfit(f"{path}:{first}", f"not CSV, {_problem(row)}", first)
                if reader.line_num > first or lines.ended:
                    said = "where the next row begins is unclear: nothing after it was read"
                    raise PostledgerError(f"{path}: after line {first}, {said}")
            elif len(row) == len(header):
                yield Line(first, tuple(row[place] for place in places))
            elif row:
                said = f"expected {len(header)} columns, got {len(row)}"
                yield Unfit(f"{path}:{first}", said, first)


@contextmanager
def _reading(file: IO[bytes], path: Path, delimiter: str) -> Iterator[tuple[_Lines, Any]]:
    """The lines of a CSV, and what takes them apart."""
    # One limit for the whole process: of several files the largest holds.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
    # What is not UTF-8 stays as it is, for a body is bytes.
    with TextIOWrapper(file, "utf-8", "surrogateescape", newline="") as text:
        lines = _Lines(text, path)
        yield lines, csv.reader(lines, delimiter=delimiter, strict=True)


def _header(reader: Any, path: Path) -> list[str]:
    try:
        return list(next(reader, []))
    except csv.Error as error:
        raise PostledgerError(f"{path}: line 1 is not CSV: {_problem(error)}") from None


def _records(reader: Any) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """The rows with the numbers of their first lines, and what is wrong with those that are not CSV."""
    while True:
        first = reader.line_num + 1
        try:
            yield first, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield first, error


def _place(path: Path, field: str, header: Sequence[str]) -> int:
    found = header.count(field)
    if found > 1:
        raise PostledgerError(f"{path}: expected one column {field}, got {found}")
    if not found:
        raise _missing(path, field, header, delimiter_hint(path, header))
    return header.index(field)


def delimiter_hint(path: Path, header: Sequence[str]) -> str:
    """What ends an error about a column where the one of a CSV may be several; else nothing."""
    if len(header) != 1 or plain_suffix(path) != ".csv":
        return ""
    for sign, written in (";", "';'"), ("\t", "tab"), ("|", "'|'"):
        if sign in header[0]:
            return f"; give --delimiter {written} if that stands between columns"
    return "; --delimiter names the character between columns"


def _problem(error: csv.Error) -> str:
    text = str(error)
    if "expected after" in text:
        return "a quote within a quoted field must be doubled"
    return "a quoted field has no end" if "unexpected end" in text else text


class _Lines(Iterator[str]):
    """The lines of a text, none of them larger than memory; a BOM is left out."""

    def __init__(self, text: IO[str], path: Path) -> None:
        self._text, self._path = text, path
        self._begun = self.ended = False

    def __next__(self) -> str:
        line = self._text.readline(_LONGEST + 1)
        if len(line) > _LONGEST:
            raise PostledgerError(f"{self._path}: a line of more than {_LONGEST} characters")
        if not self._begun:
            self._begun = True
            encoded = line[:4].encode("utf-8", "surrogateescape")
            if encoding := other_encoding(encoded):
                raise PostledgerError(
                    f"{self._path}: expected UTF-8, got {encoding}; convert the file"
                )
            line = line.removeprefix("\ufeff")
        if not line:
            self.ended = True
            raise StopIteration
        return line


# --- JSON Lines ---


_NUMBERS: Mapping[str, Any] = {"parse_int": number}


class Written(str):
    """A number of JSON, as it is written there."""

    __slots__ = ()


_AS_WRITTEN: Mapping[str, Any] = dict.fromkeys(
    ("parse_int", "parse_float", "parse_constant"), Written
)


def _of_json(
    file: IO[bytes], path: Path, fields: Sequence[str], numbers: Mapping[str, Any]
) -> Iterator[Line | Unfit]:
    paths = [_paths(field) for field in fields]
    parsed = _parsed(file, path, numbers)
    # A row may lack a field; one that none of the first rows has is mistyped.
    begun: list[tuple[int, dict[str, Any] | str]] = []
    damage: Exception | None = None
    try:
        for one in islice(parsed, _LOOKED_AT):
            begun.append(one)
            if file.tell() > LARGEST_BODY:
                break
    except Exception as error:
        # What stands before the damage is read first.
        damage = error
    objects = [row for _, row in begun if isinstance(row, dict)]
    for field, ways in zip(fields, paths, strict=True):
        if objects and not any(_value(row, ways) is not _NOTHING for row in objects):
            raise _missing(path, field, list(dict.fromkeys(_names(objects))))
    for at, row in chain(begun, parsed):
        if isinstance(row, dict):
            values = (_value(row, ways) for ways in paths)
            yield Line(at, tuple(None if value is _NOTHING else value for value in values))
        else:
            yield Unfit(f"{path}:{at}", row, at)
    if damage is not None:
        raise damage


def _parsed(
    file: IO[bytes], path: Path, numbers: Mapping[str, Any]
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The object of each line with its number, or what is wrong with the line."""
    at = 0
    while line := file.readline(_LONGEST + 1):
        at += 1
        if at == 1 and (encoding := other_encoding(line)):
            raise PostledgerError(f"{path}: expected UTF-8, got {encoding}; convert the file")
        if len(line) > _LONGEST:
            yield at, f"a line of more than {_LONGEST} bytes"
            while line and not line.endswith(b"\n"):
                line = file.readline(_LONGEST)
        elif line.strip():
            yield at, _object(line, numbers)


def _object(line: bytes, numbers: Mapping[str, Any]) -> dict[str, Any] | str:
    try:
        text = line.decode().removeprefix("\ufeff")
        row = json.loads(text, object_pairs_hook=_distinct, **numbers)
    except UnicodeDecodeError as error:
        return f"expected UTF-8, got byte 0x{line[error.start]:02x} at {error.start}"
    except (ValueError, RecursionError) as error:
        return f"expected a JSON object on one line: {error}"
    return row if isinstance(row, dict) else "expected a JSON object on one line, got another value"


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # To take one of the two would lose the other.
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"expected each name once, got {name!r} twice")
    return found


def _paths(field: str) -> list[tuple[str, ...]]:
    """The ways to a field: by the name itself, or down through objects, by ``/`` or ``.``."""
    ways = [(field,), tuple(field.split("/")), tuple(field.split("."))]
    return list(dict.fromkeys(ways))


def _value(row: Mapping[str, Any], ways: Sequence[tuple[str, ...]]) -> Any:
    for way in ways:
        value: Any = row
        for name in way:
            value = value.get(name, _NOTHING) if isinstance(value, dict) else _NOTHING
        if value is not _NOTHING:
            return value
    return _NOTHING


def _names(objects: Sequence[Mapping[str, Any]], above: str = "") -> Iterator[str]:
    for row in objects:
        for name, value in row.items():
            if isinstance(value, dict) and value:
                yield from _names([value], f"{above}{name}/")
            else:
                yield f"{above}{name}"
