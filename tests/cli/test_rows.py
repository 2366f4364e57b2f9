"""Rows: what CSV and JSON Lines hold comes out as it stands, and what is damaged is named."""

from __future__ import annotations

import csv
import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger import PostledgerError
from postledger.cli import rows as module
from postledger.cli.rows import Line, require_fields, rows
from postledger.cli.sources import Unfit

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ['"', '""', "\n", "\r\n", "a,b;c\t", "\ufeff", "\0", '"\n"', "\r", "\udce9"]
)


def read(path: Path, *fields: str, delimiter: str = ",") -> list[Line | Unfit]:
    """All rows of a file."""
    return list(rows(path, fields, delimiter))


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8), st.sampled_from(",;\t|"), st.booleans())
def test_csv_gives_each_field_back(
    values: list[tuple[str, str]], delimiter: str, has_bom: bool
) -> None:
    """Quotes, newlines, delimiters and bytes of other encodings included, packed, with a BOM or not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv.gz"
        plain = Path(folder) / "x"
        with plain.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write("\ufeff" * has_bom)
            writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
            writer.writerows([("number", "a", "b"), *((n, *two) for n, two in enumerate(values))])
        path.write_bytes(gzip.compress(plain.read_bytes()))
        found = read(path, "b", "a", delimiter=delimiter)
    assert [line.values for line in found if isinstance(line, Line)] == [(b, a) for a, b in values]


@given(
    st.lists(st.tuples(TEXTS.filter(str.isprintable), TEXTS.filter(str.isprintable)), max_size=8)
)
def test_jsonl_gives_each_field_back(values: list[tuple[str, str]]) -> None:
    """By its name, or down through objects."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.ndjson"
        objects = ({"a": {"b.c": one}, "d": two} for one, two in values)
        path.write_text("".join(json.dumps(one) + "\n\n" for one in objects), "utf-8")
        found = read(path, "a/b.c", "d")
    assert found == [Line(2 * n + 1, two) for n, two in enumerate(values)]


def test_a_row_has_the_number_of_its_first_line(tmp_path: Path) -> None:
    """Where fields have lines of their own; blank lines are not rows."""
    path = tmp_path / "x.csv"
    path.write_bytes(b'a,b\n1,"x\ny\n"\n\n2,z\n')
    assert read(path, "a") == [Line(2, ("1",)), Line(6, ("2",))]


def test_rows_that_are_not_csv_are_named_and_the_next_is_read(tmp_path: Path) -> None:
    """Too few columns, too many, and a quote that is not doubled."""
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1\n2,"say "x" y"\n3,4,5\n6,7\n')
    assert read(path, "a") == [
        Unfit(f"{path}:2", "expected 2 columns, got 1"),
        Unfit(f"{path}:3", "not CSV, a quote within a quoted field must be doubled"),
        Unfit(f"{path}:4", "expected 2 columns, got 3"),
        Line(5, ("6",)),
    ]


@pytest.mark.parametrize("text", ['a,b\n1,"x\n2,y\n', 'a,b\n1,"x\ny" z\n2,y\n'])
def test_after_a_row_without_an_end_nothing_is_guessed(tmp_path: Path, text: str) -> None:
    """Where the next row begins is unclear: what comes after is not read, and that is said."""
    path = tmp_path / "x.csv"
    path.write_text(text)
    found = rows(path, ["a"])
    first = next(found)
    assert isinstance(first, Unfit)
    assert first.where == f"{path}:2"
    with pytest.raises(PostledgerError, match="nothing after it was read"):
        next(found)


def test_lines_that_are_not_objects_are_named_and_the_next_is_read(tmp_path: Path) -> None:
    """No JSON, another value, bytes that are not UTF-8, and nesting without end."""
    path = tmp_path / "x.jsonl"
    deep = b"[" * 100_000
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\nno\n[1]\n{"a": "\xe9"}\n' + deep + b'\n{"a": 2}\n')
    first, *others, last = read(path, "a")
    assert (first, last) == (Line(1, (1,)), Line(6, (2,)))
    said = [(one.where, one.why) for one in others if isinstance(one, Unfit)]
    assert [where for where, _ in said] == [f"{path}:{n}" for n in (2, 3, 4, 5)]
    assert said[1][1] == "expected a JSON object on one line, got another value"
    assert said[2][1] == "expected UTF-8, got byte 0xe9 at 7"


def test_fields_may_be_missing_in_some_rows_of_json(tmp_path: Path) -> None:
    """A row that has another type, or null, has it not."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"b": 1}\n{"a": "text"}\n{"a": {"b": null}}\n{"a": {"b": "x"}}\n')
    assert read(path, "a.b") == [
        Line(1, (None,)),
        Line(2, (None,)),
        Line(3, (None,)),
        Line(4, ("x",)),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.csv", "id,at,payload\n", "no field body; it has: id, at, payload"),
        ("x.csv", "", "no field body; it has: none"),
        ("x.csv", "id;body\n1;2\n", "no field body; it has: id;body; give --delimiter ';'"),
        ("x.csv", "body,body\n1,2\n", "expected one column body, got 2"),
        (
            "x.jsonl",
            '{"id": 1, "request": {"text": ""}}\n',
            "no field body; it has: id, request/text",
        ),
        ("x.txt", "body\n", "expected a file named .csv, .jsonl or .ndjson"),
    ],
)
def test_a_field_that_a_file_has_not_is_refused_at_once(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    """With the fields that there are."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(PostledgerError) as refused:
        require_fields(path, ["body"])
    assert str(refused.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_another_encoding_is_refused_whole(tmp_path: Path, name: str, encoding: str) -> None:
    """It is named, and not read by halves."""
    path = tmp_path / name
    path.write_text('{"body": "x"}\n' * 3, encoding)
    with pytest.raises(PostledgerError, match="expected UTF-8, got UTF-"):
        read(path, "body")


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """To take one of the two bodies would lose the other."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": "1", "a": "2"}\n{"b": {"a": "1", "a": "2"}}\n{"a": "3"}\n')
    first, second, third = read(path, "a")
    assert isinstance(first, Unfit)
    assert "expected each name once, got 'a' twice" in first.why
    assert isinstance(second, Unfit)
    assert third == Line(3, ("3",))


def test_a_line_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In JSON the next line is read; in CSV nobody knows where the next row begins."""
    monkeypatch.setattr(module, "_LONGEST", 100)
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"a": "x" * 1000}) + '\n{"a": "y"}\n')
    assert read(path, "a") == [Unfit(f"{path}:1", "a line of more than 100 bytes"), Line(2, ("y",))]
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n" + "x" * 1000 + ",1\n3,4\n")
    found = rows(path, ["a"])
    assert next(found) == Line(2, ("1",))
    with pytest.raises(PostledgerError, match="a line of more than 100 characters"):
        next(found)
