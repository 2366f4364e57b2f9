"""What the tests of the console share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.console import CONSOLES


@pytest.fixture(autouse=True)
def _consoles_are_closed() -> Iterator[None]:
    """What a visitor looked at is closed when the test ends, as a server would."""
    yield
    while CONSOLES:
        asyncio.run(CONSOLES.pop().aclose())
