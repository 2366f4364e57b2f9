"""Foreign logs: which field of a row is the body that was received, which the time, and how far it came.

What is recorded of a log is noted batch by batch: each transaction ends with an import event that names
the file by its SHA-256, the fields, and the last line. The log itself so says where to go on.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from hashlib import file_digest
from pathlib import Path
from typing import Any

import attrs
import click

from postledger.address import Location
from postledger.cli.common import Command, delimiter_of, reading, remark
from postledger.cli.params import Zone
from postledger.cli.reception import Format, Reception
from postledger.cli.rows import Line, require_fields, rows
from postledger.cli.sources import LARGEST_BODY, Found, Stated, Unfit, query_of, until_unreadable
from postledger.definitions.language import FORMATS
from postledger.export.files import plain_suffix
from postledger.ledger.writing import Given, import_of
from postledger.store.opening import exists

_PLAIN = Reception()


@attrs.frozen
class Row(Found):
    """A row of a foreign log, and the number of its line."""

    line: int = 0


@attrs.frozen
class Foreign:
    """What the caller says of foreign logs; ``given`` are the options of it, as they are noted.

    ``body``, ``received_at`` and ``type_field`` are names of fields.
    """

    body: str
    given: dict[str, str | bool]
    received_at: str | None = None
    reception: Reception = _PLAIN
    content_type: str | None = None
    type_field: str | None = None
    base64: bool = False
    query: bool = False
    delimiter: str = ","
    source: str = ""
    keep_unreadable: bool = False

    def fields(self) -> list[str]:
        """The fields that each file must have, the body first."""
        return [name for name in (self.body, self.received_at, self.type_field) if name is not None]

    def logs(self, paths: Sequence[str], ledger: Location) -> Iterator[Log]:
        """The logs, each from where it came to; raises ``PostledgerError`` for one without a field.

        That is raised before the first of them is given.
        """
        files = [Path(path) for path in paths]
        for path in files:
            require_fields(path, self.fields(), self.delimiter)
        done = _noted(ledger)
        return (Log(path, self, done) for path in files)


_Done = dict[tuple[str, str], int]
"""The last line that was recorded, by the SHA-256 of the file and the options."""


class Log:
    """One file of a foreign log, from the line after the last that was recorded of it."""

    # It notes itself what was taken.
    sha256 = None

    def __init__(self, path: Path, foreign: Foreign, done: _Done) -> None:
        self._path, self._foreign, self._done = path, foreign, done
        self._key = ("", "")
        self.resumed = False

    @property
    def checked(self) -> bool:
        """Whether its first rows must be readable: it was not begun, and nobody says to keep them."""
        return not (self._foreign.keep_unreadable or self.resumed)

    def __iter__(self) -> Iterator[Found | Unfit]:
        return until_unreadable(self._path, self._rows())

    def _rows(self) -> Iterator[Found | Unfit]:
        before = _stamp(self._path)
        with self._path.open("rb") as file:
            sha256 = file_digest(file, "sha256").hexdigest()
        self._key = (sha256, json.dumps(self._foreign.given, sort_keys=True))
        after = self._done.get(self._key, 0)
        self.resumed = after > 0
        if after:
            remark(f"{self._path}: recorded before up to line {after}")
        mapped = _mapping(self._path, self._foreign)
        for row in rows(self._path, self._foreign.fields(), self._foreign.delimiter):
            found = mapped(row) if isinstance(row, Line) else row
            # What can't be taken is named by every run.
            if isinstance(found, Unfit) or found.line > after:
                yield found
        if _stamp(self._path) != before:
            yield Unfit(
                str(self._path), "expected a file that stays as it is, got one that changed"
            )

    def note(self, batch: Sequence[Given]) -> bytes:
        """The import that is stated of a batch: a later run goes on after its last line."""
        last = batch[-1][0]
        assert isinstance(last, Row)
        self._done[self._key] = last.line
        return import_of(
            self._key[0], len(batch), None, through=last.line, mapping=self._foreign.given
        )


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _noted(ledger: Location) -> _Done:
    """How far the logs came that are noted in a ledger, if there is one."""
    done: _Done = {}
    if exists(ledger):
        with reading(ledger) as opened:
            for said in map(_said, opened._imports()):
                if said is not None:
                    done[said[0]] = max(said[1], done.get(said[0], 0))
    return done


def _said(body: bytes) -> tuple[tuple[str, str], int] | None:
    """The file and the line of an import; ``None`` where it is not of a foreign log."""
    try:
        said = json.loads(body)
        mapping = json.dumps(said["mapping"], sort_keys=True)
        return (str(said["sha256"]), mapping), int(said["through"])
    except (ValueError, TypeError, KeyError):
        return None


# --- one row ---


def _mapping(path: Path, foreign: Foreign) -> Callable[[Line], Row | Unfit]:
    """What makes a receipt of a row."""
    # A file of JSON is UTF-8; in CSV a body may be of any bytes.
    errors = "surrogateescape" if plain_suffix(path) == ".csv" else "strict"
    timed, typed = foreign.received_at is not None, foreign.type_field is not None

    def mapped(line: Line) -> Row | Unfit:
        values = line.values
        try:
            body = _body(values[0], foreign, errors)
            content_type = _type(values[-1], foreign) if typed else foreign.content_type
        except ValueError as error:
            return Unfit(f"{path}:{line.number}", str(error))
        try:
            received_at = foreign.reception.read(values[1]) if timed else None
        except ValueError as error:
            return Unfit(f"{path}:{line.number}", f"{foreign.received_at}: {error}")
        return Row(
            body,
            content_type,
            received_at,
            received_at is not None,
            foreign.source,
            query=foreign.query,
            where=f"{path}:{line.number}",
            line=line.number,
        )

    return mapped


def _body(value: object, foreign: Foreign, errors: str) -> bytes:
    """The bytes that were received; raises ``ValueError`` where there are none, or others."""
    if value is None or value == "":
        raise ValueError(f"expected a body in {foreign.body}, got none")
    if not isinstance(value, str):
        raise ValueError(f"{foreign.body} must be the text that was received, got {_shown(value)}")
    try:
        body = value.encode("utf-8", errors)
        if foreign.base64:
            body = base64.b64decode(body, validate=True)
    except UnicodeEncodeError:
        raise ValueError(
            f"{foreign.body} must be whole characters, got half of one (a lone surrogate)"
        ) from None
    except binascii.Error as error:
        raise ValueError(f"{foreign.body} must be base64: {error}") from None
    if foreign.query:
        body = query_of(body, foreign.body)
    if len(body) > LARGEST_BODY:
        raise ValueError(
            f"expected at most {LARGEST_BODY} bytes in {foreign.body}, got {len(body)}"
        )
    return body


def _type(value: object, foreign: Foreign) -> str | None:
    if value is None or value == "":
        return foreign.content_type
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{foreign.type_field} must be text, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


# --- the options ---

_OPTIONS = (
    click.option("--body", metavar="FIELD", help="The field of CSV or JSON that holds the body."),
    click.option("--received-at", metavar="FIELD", help="The field of the time of reception."),
    click.option(
        "--received-format",
        type=Format(),
        help=f"How times are written: {', '.join(FORMATS)} or a pattern such as"
        " '%d/%m/%Y %H:%M:%S'; by default ISO 8601, or a number of seconds, milliseconds or"
        " microseconds.",
    ),
    click.option("--tz", type=Zone(), help="The zone of times that name none."),
    click.option(
        "--content-type",
        metavar="TYPE",
        help="The content type of the bodies, in place of what suffixes tell.",
    ),
    click.option("--content-type-field", metavar="FIELD", help="The field of the content type."),
    click.option("--base64", is_flag=True, help="Bodies are in base64."),
    click.option(
        "--query",
        is_flag=True,
        help="Bodies are the query strings, the addresses or the request lines of GETs.",
    ),
    click.option(
        "--keep-unreadable",
        is_flag=True,
        help="Record the rows even where none of the first can be read.",
    ),
    click.option(
        "--delimiter",
        metavar="CHAR",
        help="The character between columns: a comma by default; or tab.",
    ),
)
_NAMES = (
    *("received_at", "received_format", "tz", "content_type", "content_type_field", "base64"),
    *("query", "keep_unreadable", "delimiter"),
)
_OF_ALL = ("content_type", "query")


def foreign_options(command: Command) -> Command:
    """``--body`` and what goes with it; the command gets a ``Foreign``, or ``None``.

    ``--content-type`` and ``--query`` go without it too: the command gets them as ``stated``.
    """

    @wraps(command)
    def call(*args: Any, **kwargs: Any) -> Any:
        body = kwargs.pop("body")
        options = {name: kwargs.pop(name) for name in _NAMES}
        given = {name: value for name, value in options.items() if value not in (None, False)}
        if body is None:
            _exclude([name for name in given if name not in _OF_ALL], "requires --body")
            if len(given) > 1:
                raise click.UsageError("--content-type and --query can't go together.")
            return command(*args, foreign=None, stated=Stated(**given), **kwargs)
        others = {name: kwargs[name] for name in ("sources", "statements", "origin")}
        _exclude([name for name, value in others.items() if value], "excludes --body")
        foreign = _foreign(body, given, kwargs["source"])
        return command(*args, foreign=foreign, stated=Stated(), **kwargs)

    for option in reversed(_OPTIONS):
        call = option(call)
    return call  # type: ignore[return-value]


def _exclude(names: Iterable[str], why: str) -> None:
    for name in names:
        raise click.UsageError(f"--{name.replace('_', '-')} {why}.")


def _foreign(body: str, given: dict[str, Any], source: str) -> Foreign:
    if "received_at" not in given:
        _exclude(
            [name for name in ("received_format", "tz") if name in given], "requires --received-at"
        )
    # How a row is read doesn't depend on it.
    keep_unreadable = given.pop("keep_unreadable", False)
    delimiter = delimiter_of(given.get("delimiter", ","))
    noted = {"body": body, "source": source, **given}
    return Foreign(
        body,
        {name: value if isinstance(value, bool) else str(value) for name, value in noted.items()},
        given.get("received_at"),
        Reception(given.get("received_format"), given.get("tz")),
        given.get("content_type"),
        given.get("content_type_field"),
        given.get("base64", False),
        given.get("query", False),
        delimiter,
        source,
        keep_unreadable,
    )
