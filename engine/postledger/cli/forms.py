"""The forms of output: a table for people, JSON and CSV for programs, Markdown for a page."""

from __future__ import annotations

import csv
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import wraps
from typing import Any, TextIO, TypeVar

import click
from tabulate import tabulate

from postledger.cli.layout import CONTROL, cell, escaped, table
from postledger.cli.params import WholeRange
from postledger.cli.terminal import Tone, colour_option, paged

Command = TypeVar("Command", bound=Callable[..., Any])
Record = Mapping[str, Any]

_MOST_FOR_PEOPLE = 100
_RARE = ("space", "reason", "reason_class", "sender", "labels", "amounts")
_UNTONED: Mapping[str, Tone] = {}
_SIGNED = re.compile(r"\s*[+-][\d .()-]*")
# Letters and signs that show nothing; spaces, marks and what is not seen are known by their category.
_BLANK = "\u115f\u1160\u3164\uffa0\u2800"


class Form(StrEnum):
    """A form of output, by the word of ``--fmt``."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    MARKDOWN = "markdown"

    @property
    def for_people(self) -> bool:
        """Whether people read it: it has what they look for, and not all there is."""
        return self in (Form.TABLE, Form.MARKDOWN)

    @property
    def is_flat(self) -> bool:
        """Whether a record is a row of texts."""
        return self in (Form.CSV, Form.TSV)


_FLAGS = {"json": Form.JSON, "nl": Form.JSONL, "csv": Form.CSV}


# --- options ---


def output_options(
    *,
    json: str = "A JSON array: --fmt json.",
    nl: str = "JSON, one object a line: --fmt jsonl.",
    csv: str = "CSV with a header line: --fmt csv.",
    pages: bool = True,
) -> Callable[[Command], Command]:
    """``--fmt``, with ``--json``, ``--nl`` and ``--csv`` for short; what is long is paged.

    The command gets a ``Form``; the default is a table for people. One whose exit status is its answer,
    or that does more than list, has no ``pages``: whoever leaves a pager ends it.
    """

    def with_them(command: Command) -> Command:
        @wraps(command)
        def call(*args: Any, form: str | None, fmt: Form | None, **kwargs: Any) -> Any:
            if form is not None and fmt is not None:
                raise click.UsageError(f"--{form} and --fmt exclude each other: give one.")
            return command(*args, form=_FLAGS[form] if form else fmt or Form.TABLE, **kwargs)

        option = click.option(
            "--fmt",
            type=click.Choice([one.value for one in Form]),
            callback=lambda _, __, word: None if word is None else Form(word),
            help="A table (default), JSON, JSON Lines, CSV, TSV, or the table as Markdown.",
        )
        made = option(one_form(json=json, nl=nl, csv=csv)(call))
        return (paged if pages else colour_option)(made)  # type: ignore[return-value]

    return with_them


def one_form(**forms: str) -> Callable[[Command], Command]:
    """A flag for each form, by its help; the command gets the one that is given as ``form``."""

    def with_flags(command: Command) -> Command:
        @wraps(command)
        def call(*args: Any, **kwargs: Any) -> Any:
            given = [name for name in forms if kwargs.pop(f"form_{name}")]
            if len(given) > 1:
                flags = " and ".join(f"--{name}" for name in given)
                raise click.UsageError(f"{flags} exclude each other: give one.")
            return command(*args, form=given[0] if given else None, **kwargs)

        flagged = call
        for name, text in reversed(forms.items()):
            flagged = click.option(f"--{name}", f"form_{name}", is_flag=True, help=text)(flagged)
        return flagged  # type: ignore[return-value]

    return with_flags


def json_option(command: Command) -> Command:
    """``--json`` of commands that answer with one object."""
    return click.option("--json", "as_json", is_flag=True, help="JSON for programs.")(command)


def limit_option(command: Command) -> Command:
    """``--limit``."""
    return click.option("--limit", type=WholeRange(min=0), help="Show at most this many.")(command)


def shown(form: Form, limit: int | None) -> int | None:
    """How many records are shown: people see 100 of them where they don't ask for a number."""
    return _MOST_FOR_PEOPLE if form.for_people and limit is None else limit


# --- writing ---


def write_json(value: object) -> None:
    """One JSON value on stdout."""
    click.echo(as_json(value, indent=2))


def write_records(
    records: Iterable[Record],
    form: Form,
    columns: Mapping[str, str],
    fields: Sequence[str] = (),
    tones: Mapping[str, Tone] = _UNTONED,
) -> int:
    """Write records as they come, in the form asked for; returns their number.

    ``columns`` are those of the table for people: the key of the record and the heading; what most
    records lack (spaces, senders, reasons, amounts) is shown where there are any. ``fields`` are the
    keys of a record, for the header of a CSV. ``tones`` are those of the headings.
    """
    if form.is_flat:
        return _as_csv(records, fields, "," if form is Form.CSV else "\t")
    if not form.for_people:
        return _as_json(records) if form is Form.JSON else _as_lines(records)
    listed = list(records)
    there = columns or dict.fromkeys(key for record in listed for key in record)
    names = columns or {key: key.replace("_", " ") for key in there}
    shown = [key for key in names if key not in _RARE or any(one[key] for one in listed)]
    rows = [[cell(record[key]) for key in shown] for record in listed]
    write_table(rows, [names[key] for key in shown], form, tones)
    return len(rows)


def write_table(
    rows: Iterable[Iterable[str]],
    headings: Sequence[str],
    form: Form = Form.TABLE,
    tones: Mapping[str, Tone] = _UNTONED,
) -> None:
    """A table for people: laid out for the terminal, or as one of Markdown."""
    if form is not Form.MARKDOWN:
        click.echo(table(rows, headings, tones))
        return
    # Of no use elsewhere, and its import delays the start.
    from postledger.audit.render import as_markdown

    cells = [[as_markdown(text) for text in row] for row in (headings, *rows)]
    click.echo(tabulate(cells[1:], cells[0], tablefmt="github", disable_numparse=True))


def as_json(value: object, indent: int | None = None) -> str:
    """JSON in which what a terminal would obey, or not show, is written out."""
    return shown_json(json.dumps(value, ensure_ascii=False, indent=indent))


def shown_json(text: str) -> str:
    """A text of JSON in which what a terminal would obey, or not show, is written out."""
    return CONTROL.sub(lambda found: _written_out(found[0]), text)


def _written_out(text: str) -> str:
    # What stands between values is white space of JSON itself.
    return text if text == "\n" else json.dumps(text)[1:-1]


def _as_json(records: Iterable[Record]) -> int:
    count = 0
    for count, record in enumerate(records, 1):
        click.echo(("[" if count == 1 else ",\n ") + as_json(record), nl=False)
    click.echo("]" if count else "[]")
    return count


def _as_lines(records: Iterable[Record]) -> int:
    return sum(1 for _ in map(click.echo, map(as_json, records)))


def _as_csv(records: Iterable[Record], fields: Sequence[str], delimiter: str) -> int:
    return write_csv(sys.stdout, records, fields, delimiter)


def write_csv(
    file: TextIO, records: Iterable[Record], fields: Sequence[str], delimiter: str = ","
) -> int:
    """Write records as CSV in which no spreadsheet computes anything; returns their number."""
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    count = 0
    if fields:
        writer.writerow(fields)
    for count, record in enumerate(records, 1):
        if count == 1 and not fields:
            writer.writerow(record)
        writer.writerow(_csv_cell(value) for value in record.values())
    return count


def _csv_cell(value: object) -> object:
    if isinstance(value, Mapping):
        return as_json(value) if value else ""
    if not isinstance(value, (list, str)):
        return value
    text = " ".join(map(str, value)) if isinstance(value, list) else value
    # Lines of a body stay lines, which CSV quotes.
    text = "\n".join(map(escaped, text.split("\n")))
    return f"'{text}" if _is_formula(text) else text


def _is_formula(text: str) -> bool:
    """Whether a spreadsheet may compute a text: a sign of any width says so, behind what isn't seen.

    A signed number is not a formula.
    """
    seen = (one for one in text if one not in _BLANK and unicodedata.category(one)[0] not in "ZCM")
    sign = unicodedata.normalize("NFKC", next(seen, ""))[:1]
    if sign in ("+", "-", "\u2212"):
        return _SIGNED.fullmatch(text) is None
    return sign in ("=", "@")
