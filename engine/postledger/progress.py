"""Progress: how long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int], None]
"""Called with how much was done since the last call: receipts, events or streams, as the work says."""


def silent(_: int) -> None:
    """Tell nobody."""


@contextmanager
def foreign(progress: Progress) -> Iterator[Progress]:
    """The progress of a program, whose errors come through as they are.

    Whatever stands around it, nothing that it raises is taken for an error of the file.
    """
    raised: list[Exception] = []

    def call(done: int) -> None:
        try:
            progress(done)
        except Exception as error:
            raised.append(error)
            raise

    try:
        yield call
    except Exception:
        if not raised:
            raise
    if raised:
        raise raised[0]
