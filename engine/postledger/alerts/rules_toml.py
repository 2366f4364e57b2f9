"""The rules file: TOML to rules, with all that is wrong in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from postledger.alerts.rules import LONGEST, Ratio, Rules, Silence, Stuck, Unreadable
from postledger.arguments import FilePath
from postledger.definitions.diagnostics import Faults, Table, listed, load_toml, read_toml

_SPAN = re.compile(r"([0-9]{1,4})([mhd])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_MOST = 10**9

Rule = TypeVar("Rule", Ratio, Stuck, Unreadable, Silence)


def load_rules(path: FilePath) -> Rules:
    """Read a rules file; raises ``DefinitionError`` with all that is wrong in it.

    What the file leaves out is as without a file.

    >>> import pathlib
    >>> file = pathlib.Path("alerts.toml")
    >>> written = file.write_text("ratio.drop = 20")
    >>> load_rules(file)
    Traceback (most recent call last):
        ...
    postledger.errors.DefinitionError: alerts.toml: ratio: drop is 20; write a number above 0 and ...
    """
    file = Path(path)
    return _rules_of(load_toml(file), str(file))


def read_rules(text: str, where: str = "rules") -> Rules:
    """The rules that a text in TOML states; raises as ``load_rules`` does, naming ``where``."""
    return _rules_of(read_toml(text, where), where)


def _rules_of(said: dict[str, Any], where: str) -> Rules:
    faults = Faults(where)
    top = Table(faults, said)
    faults.attempt(top.only, {"days", *_KINDS})
    fix = "write the number of days to learn from, from 3 to 90"
    days = faults.attempt(top.take, "days", _whole(3, 90), fix, 14)
    ratio = _rule(top, Ratio)
    stuck = _rule(top, Stuck)
    unreadable = _rule(top, Unreadable)
    silence = _rule(top, Silence)
    faults.settle()
    assert days is not None
    return Rules(ratio, stuck, unreadable, silence, days)


def _rule(top: Table, kind: type[Rule]) -> Rule | None:
    """The rule of a table; ``None`` where it is off, or wrong, which is noted."""
    name = kind.__name__.lower()
    row = top.row.get(name, {})
    if row is False:
        return None
    if not isinstance(row, dict):
        top.faults.note("", f"{name} is {row!r}", f"write a table [{name}], or {name} = false")
        return None
    table = Table(top.faults, row, name)
    keys = _KINDS[name]
    top.faults.attempt(table.only, set(keys))
    given = {key: top.faults.attempt(_KEYS[key], table, key) for key in keys if key in row}
    return kind(**{key: value for key, value in given.items() if value is not None})


def _share(table: Table, key: str) -> float:
    def fits(value: object) -> bool:
        return type(value) in (int, float) and 0 < float(str(value)) < 1

    share: float = table.take(key, fits, "write a number above 0 and below 1, such as 0.2")
    return share


def _count(table: Table, key: str) -> int:
    count: int = table.take(key, _whole(1, _MOST), "write a whole number of at least 1")
    return count


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _span(table: Table, key: str) -> timedelta:
    fix = 'write a span such as "30m", "24h" or "7d", at most "30d"'
    text: str = table.take(key, lambda value: _length(value) is not None, fix)
    return _length(text) or LONGEST


def _length(value: object) -> timedelta | None:
    """The span that a text states; ``None`` where it states none, or one that is too long."""
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    span = found and int(found[1]) * _UNITS[found[2]]
    return span if span and span <= LONGEST else None


def _names(table: Table, key: str) -> tuple[str, ...]:
    return listed(table, key, table.row[key])


_KEYS: Mapping[str, Callable[[Table, str], Any]] = {
    "drop": _share,
    "rise": _share,
    "usual": _share,
    "minimum": _count,
    "age": _span,
    "after": _span,
    "without": _names,
}

_KINDS: Mapping[str, tuple[str, ...]] = {
    "ratio": ("drop", "minimum", "usual", "without"),
    "stuck": ("age", "rise", "minimum", "usual", "without"),
    "unreadable": ("rise", "minimum", "usual", "without"),
    "silence": ("after", "minimum", "without"),
}
