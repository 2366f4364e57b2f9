"""What the tests of the console share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console import CONSOLES, Visitor, visitor


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Where the access record is."""
    return tmp_path / "access.jsonl"


@pytest.fixture
def known(filled: Path, record: Path) -> Visitor:
    """One who may unmask, on the samples."""
    return visitor(filled, access_record=record)


@pytest.fixture(autouse=True)
def _consoles_are_closed() -> Iterator[None]:
    """What a visitor looked at is closed when the test ends, as a server would."""
    yield
    while CONSOLES:
        asyncio.run(CONSOLES.pop().aclose())
