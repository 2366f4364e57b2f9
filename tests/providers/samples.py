"""The documented samples of providers, with what each of their postbacks must say."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from postledger import Receipt

FOLDER = Path(__file__).parents[2] / "fixtures" / "providers"
NAMES = tuple(sorted(path.parent.name for path in FOLDER.glob("*/samples.toml")))


@attrs.frozen
class Sample:
    """One body as a provider posts it; ``expects`` has a row for each postback that it holds."""

    provider: str
    file: str
    content_type: str | None
    query: bool
    expects: tuple[dict[str, Any], ...]

    @property
    def receipt(self) -> Receipt:
        """The body as it is received."""
        body = (FOLDER / self.provider / self.file).read_bytes()
        return Receipt(body, self.content_type, query=self.query, source=self.provider)


def samples_of(provider: str) -> list[Sample]:
    """The samples of one provider."""
    read = tomllib.loads((FOLDER / provider / "samples.toml").read_text("utf-8"))
    return [
        Sample(
            provider,
            row["file"],
            row.get("content_type"),
            row.get("query", False),
            tuple(row["expects"]),
        )
        for row in read["samples"]
    ]


def all_samples() -> Iterator[Sample]:
    """The samples of all providers."""
    for name in NAMES:
        yield from samples_of(name)
