"""Changes page by page: what each event of the log changed, for those who follow it."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from postledger.log.log import require_whole
from postledger.model import StateChanged
from postledger.projections.reader import Reader
from postledger.state.changes import Passage, passages, state_changed

PAGE = 500
"""How many events are looked at in one read transaction."""


@attrs.frozen
class Page:
    """The changes of the events after some position, up to ``until``."""

    until: int
    changes: tuple[StateChanged, ...]


def passages_of(reader: Reader, after: int, until: int) -> Iterator[Passage]:
    """The passages of the events after ``after`` up to ``until``, in order of position."""
    events = list(reader.log.events(after + 1, until))
    first, end = max(0, after + 1), min(until, reader.log.last()) + 1
    require_whole([stored.position for stored in events], first, end)
    return passages(reader.facts, events, reader.known)


def page_of(reader: Reader, after: int, ledger_id: bytes) -> Page:
    """The next page after a position; the caller holds a read transaction."""
    after = max(after, -1)
    until = max(after, min(after + PAGE, reader.log.last()))
    definitions = reader.definitions.hash
    found = (
        state_changed(passage, ledger_id, definitions)
        for passage in passages_of(reader, after, until)
    )
    return Page(until, tuple(change for change in found if change is not None))
