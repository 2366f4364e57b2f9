"""The table of protections and the markers in the engine name the same things."""

from __future__ import annotations

import pytest

from tests.faults.without import MARKER, PROTECTIONS, ROOT, Without, place


@pytest.mark.parametrize("without", PROTECTIONS, ids=lambda without: without.guard)
def test_a_protection_stands_where_its_marker_does(without: Without) -> None:
    """Once, with the text that is taken away."""
    file, _ = place(ROOT / "engine", without)
    assert file.suffix == ".py"


def test_every_marker_is_in_the_table() -> None:
    """No protection is marked that nothing takes away."""
    marked = [
        marker[1]
        for file in (ROOT / "engine").rglob("*.py")
        for marker in MARKER.finditer(file.read_text())
    ]
    assert sorted(marked) == sorted(without.guard for without in PROTECTIONS)
