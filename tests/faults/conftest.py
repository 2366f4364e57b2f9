"""What the fault tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import traffic


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """End the processes that a test which failed has left."""
    yield
    for process in traffic.started:
        if process.returncode is None:
            traffic.kill(process)
    traffic.started.clear()
