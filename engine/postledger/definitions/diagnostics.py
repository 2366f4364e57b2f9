"""Diagnostics: reading a definition file, and what is wrong with it, where, and how to fix it.

A loader notes the faults of the parts that don't depend on each other (every trigger, every
transition, every row) and raises them together, so that a file is fixed in one go.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Set
from hashlib import sha256
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import attrs

from postledger.errors import DefinitionError

Loaded = TypeVar("Loaded")
Given = ParamSpec("Given")

NAME = re.compile(r"[a-z]([a-z0-9]|_(?!_))*")
"""What a name must be: of charts, states, triggers, stages, vocabularies and spaces."""

NAME_FIX = "write a name of lower-case letters, digits and single underscores"

_REQUIRED = object()


def is_name(value: object) -> bool:
    """Whether a value is a name."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


@attrs.frozen
class Faults:
    """The faults of one file; ``where`` names the file in messages."""

    where: str
    found: list[DefinitionError] = attrs.field(factory=list)

    def __call__(self, table: str, fault: str, fix: str) -> DefinitionError:
        """The error that says where a fault is, what it is and how to fix it."""
        place = f"{self.where}: {table}: " if table else f"{self.where}: "
        return DefinitionError(f"{place}{fault}; {fix}")

    def note(self, table: str, fault: str, fix: str) -> None:
        """Note a fault and go on."""
        self.found.append(self(table, fault, fix))

    def attempt(
        self, load: Callable[Given, Loaded], *args: Given.args, **kwargs: Given.kwargs
    ) -> Loaded | None:
        """Load one part; where it is wrong, note that and return ``None``."""
        try:
            return load(*args, **kwargs)
        except DefinitionError as error:
            self.found.append(error)
            return None

    def settle(self) -> None:
        """Raise what was noted, all of it as one ``DefinitionError``."""
        if self.found:
            raise DefinitionError(*(line for error in self.found for line in error.faults))


@attrs.frozen
class Table:
    """A table of a definition file; ``place`` names it in messages.

    Methods that take the value of a key raise ``DefinitionError`` where it is wrong or missing.
    """

    faults: Faults
    row: Mapping[str, Any]
    place: str = ""

    def fault(self, fault: str, fix: str) -> DefinitionError:
        """The error that says what is wrong in this table and how to fix it."""
        return self.faults(self.place, fault, fix)

    def take(
        self, key: str, fits: Callable[[Any], object], fix: str, default: object = _REQUIRED
    ) -> Any:
        """The value of a key, or the default where it is missing and there is one."""
        if key not in self.row and default is not _REQUIRED:
            return default
        value = self.row.get(key)
        if not fits(value):
            raise self.fault(f"{key} is {value!r}" if key in self.row else f"{key} is missing", fix)
        return value

    def only(self, known: Set[str]) -> None:
        """Raise where the table has an unknown key."""
        for key in self.row:
            if key not in known:
                fix = f"the keys are {', '.join(sorted(known))}"
                raise self.fault(f"unknown key {key!r}", fix)

    def flag(self, key: str) -> bool:
        """A key that is true or false, and false where it is missing."""
        fix = "write true or false"
        flag: bool = self.take(key, lambda value: isinstance(value, bool), fix, default=False)
        return flag

    def version(self) -> int:
        """The version of a definition."""
        fix = "write version = 1 and count up with each change"
        version: int = self.take("version", lambda value: type(value) is int and value > 0, fix)
        return version


def listed(table: Table, what: str, value: object) -> tuple[str, ...]:
    """A text or a list of texts as a tuple; raises ``DefinitionError`` for anything else."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise table.fault(f"{what} is {value!r}", "write a text or a list of texts")
    return tuple(texts)


def load_toml(path: Path) -> dict[str, Any]:
    """A file of TOML to a dict; raises ``DefinitionError`` where it can't be read."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DefinitionError(f"{path}: can't be read: {reason}; name a TOML file") from None
    return read_toml(text, str(path))


def read_toml(source: str, where: str) -> dict[str, Any]:
    """TOML text to a dict; raises ``DefinitionError`` with the line and column."""
    try:
        return tomllib.loads(source)
    except RecursionError:
        raise DefinitionError(f"{where}: not TOML that can be read: nested far too deep") from None
    # Of a number that is far too long it is no TOMLDecodeError.
    except ValueError as error:
        raise DefinitionError(f"{where}: not TOML: {error}") from None


def content_hash(data: Mapping[str, Any]) -> str:
    """SHA-256 over the parsed content, so that comments and layout don't count."""
    return sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()
