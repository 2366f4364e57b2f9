"""Progress: how long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int], None]
"""Called with how much was done since the last call: receipts, events or streams, as the work says."""


def silent(_: int) -> None:
    """Tell nobody."""
