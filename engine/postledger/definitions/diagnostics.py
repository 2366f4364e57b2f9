"""Faults: what is wrong with a definition file, where, and how to mend it.

A loader notes the faults of the parts that don't depend on each other (every trigger, every
transition, every row) and raises them together, so that a file is mended in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any, ParamSpec, TypeVar

import attrs

from postledger.errors import DefinitionError

Loaded = TypeVar("Loaded")
Given = ParamSpec("Given")


@attrs.frozen
class Faults:
    """The faults of one file; ``where`` names the file in messages."""

    where: str
    found: list[DefinitionError] = attrs.field(factory=list)

    def __call__(self, table: str, fault: str, mend: str) -> DefinitionError:
        """The error that says where a fault is, what it is and how to mend it."""
        place = f"{self.where}: {table}: " if table else f"{self.where}: "
        return DefinitionError(f"{place}{fault}; {mend}")

    def note(self, table: str, fault: str, mend: str) -> None:
        """Note a fault and go on."""
        self.found.append(self(table, fault, mend))

    def attempt(
        self, load: Callable[Given, Loaded], *args: Given.args, **kwargs: Given.kwargs
    ) -> Loaded | None:
        """Load one part; where it is wrong, note that and give ``None``."""
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
        """Raise where a table holds a key that nobody reads."""
        for key in data:
            if key not in known:
                mend = f"the keys are {', '.join(sorted(known))}"
                raise self(table, f"unknown key {key!r}", mend)

    def flag(self, data: Mapping[str, Any], key: str, table: str) -> bool:
        """A key that is true or false, and false where it is missing."""
        value = data.get(key, False)
        if not isinstance(value, bool):
            raise self(table, f"{key} is {value!r}", "write true or false")
        return value
