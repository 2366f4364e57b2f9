"""Messages: what is raised, reported and remarked is plain English."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULES = sorted((Path(__file__).parents[1] / "engine").rglob("*.py"))
_REPORTING = {"remark", "Unfit", "ReadError", "unreadable", "UsageError", "BadParameter", "fault"}
_BARRED = re.compile(
    r"\bis none\b|(?<!there )\bis no (?!longer)[a-z]|\bof its own\b|\btold\b|\btells?\b|\bmend(s|ed)?\b"
    r"|\banew\b|\bhangs? on\b|\bmoments?\b|\bwants?\b|\bwanted\b|\breckon|\bwhat\?|\bnot sooner\b",
    re.IGNORECASE,
)


def _messages(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The texts of what a module raises, yields as a problem, or remarks, with their lines."""
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        name = getattr(called, "id", getattr(called, "attr", None))
        if isinstance(node, ast.Raise | ast.Yield) or name in _REPORTING:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


_EXPECTED = re.compile(r"\b(must|expected)\b|\b(got both|can't both be given)\b")
# What is wrong with a stored value: who catches it puts before it what the value is.
_CAUGHT = ("it is not ", "they are not ")


def _refusals(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """The texts by which arguments are refused, with their lines, and whether they show a value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            (text, *_) = node.exc.args
            parts = [
                part.value
                for part in ast.walk(text)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            ]
            kind = getattr(node.exc.func, "id", "")
            if kind in ("TypeError", "ValueError", "UnknownWord") and parts:
                shows = any(isinstance(part, ast.FormattedValue) for part in ast.walk(text))
                yield node.lineno, "".join(parts), shows


@pytest.mark.parametrize("path", MODULES, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_refused_argument_is_shown_with_what_was_expected(path: Path) -> None:
    """Whoever reads it knows what to give instead."""
    found = [
        f"{line}: {text}"
        for line, text, shows in _refusals(ast.parse(path.read_text()))
        if not text.startswith(_CAUGHT)
        if not _EXPECTED.search(text) or not (shows or " both" in text)
    ]
    assert found == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: "/".join(path.parts[-2:]))
def test_messages_have_none_of_the_barred_phrases(path: Path) -> None:
    """Those that read as if translated."""
    found = [
        f"{line}: {text}"
        for line, text in _messages(ast.parse(path.read_text()))
        if _BARRED.search(text)
    ]
    assert found == []
