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
from typing import Any, ParamSpec, TypeVar

import attrs

from postledger.errors import DefinitionError

Loaded = TypeVar("Loaded")
Given = ParamSpec("Given")

NAME = re.compile(r"[a-z]([a-z0-9]|_(?!_))*")
"""What a name must be: of charts, states, triggers, stages, vocabularies and spaces."""


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

    def only(self, data: Mapping[str, Any], known: Set[str], table: str) -> None:
        """Raise where a table has an unknown key."""
        for key in data:
            if key not in known:
                fix = f"the keys are {', '.join(sorted(known))}"
                raise self(table, f"unknown key {key!r}", fix)

    def flag(self, data: Mapping[str, Any], key: str, table: str) -> bool:
        """A key that is true or false, and false where it is missing."""
        value = data.get(key, False)
        if not isinstance(value, bool):
            raise self(table, f"{key} is {value!r}", "write true or false")
        return value


def read_toml(source: str, where: str) -> dict[str, Any]:
    """TOML text to a dict; raises ``DefinitionError`` with the line and column."""
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{where}: not TOML: {error}") from None


def content_hash(data: Mapping[str, Any]) -> str:
    """SHA-256 over the parsed content, so that comments and layout don't count."""
    return sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


def version_number(data: Mapping[str, Any], faults: Faults) -> int:
    """The version of a definition; raises ``DefinitionError``."""
    value = data.get("version")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise faults("", f"version is {value!r}", "write version = 1 and count up with each change")
    return value
