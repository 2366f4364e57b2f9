"""Entries: what is appended to the log, before it has a position."""

from __future__ import annotations

from typing import NamedTuple

from postledger.log.shapes import Shape


class Entry(NamedTuple):
    """One event to append.

    ``stream`` is its chart and key, ``NOWHERE`` for an event of no stream. Times are microseconds
    since 1970. ``fields`` are the texts that the shape leaves open, as a JSON array. ``body`` is as
    received; ``whole`` tells that the row must hold it, because neither
    the shape nor another event gives it back. ``repeats`` and ``body_of`` are positions.
    """

    received_at: int
    stream: tuple[str, str]
    stream_id: int
    occurred_at: int
    digest: bytes
    flags: int
    shape: Shape | None
    fields: str | None
    content_type: str | None
    body: bytes
    whole: bool
    repeats: int | None
    body_of: int | None


IMPORTED = 1 << 16
"""The flag of an event whose time of reception a file stated; the bits below it are findings."""

NOWHERE = ("", "")
"""The stream of events that belong to no stream."""
