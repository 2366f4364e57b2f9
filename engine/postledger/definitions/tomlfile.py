"""TOML files of definitions: what charts and vocabularies have in common."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from postledger.definitions.diagnostics import Faults
from postledger.errors import DefinitionError

NAME = re.compile(r"[a-z]([a-z0-9]|_(?!_))*")
"""What a name must be: of charts, states, triggers, stages and vocabularies."""


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
