"""Merging: the events of several ledgers in one, with where each of them stands.

It is a ledger like any other, in a temporary folder: what one ledger with all the events would show is
what it shows. Index, states, tallies and reports are made of it as of any other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError
from postledger.ledger.ledger import Ledger
from postledger.ledger.writing import JSON, Given, as_received
from postledger.log.acceptances import Acceptance, acceptances_of
from postledger.log.event import READ, Kind, Stored
from postledger.log.log import Log, require_whole
from postledger.model import Receipt
from postledger.times import time_of
from postledger.wire import Limits

PAGE = 1_000
"""How many events are taken in at once."""


@attrs.frozen
class Run:
    """Events that follow each other in a ledger and in the merge: where they begin in each.

    ``number`` is that of the ledger.
    """

    first: int
    number: int
    begins: int
    count: int

    def within(self, first: int, last: int) -> tuple[int, int] | None:
        """Where the events from ``first`` to ``last`` of the ledger stand in the merge, if any do."""
        start, end = max(first, self.begins), min(last, self.begins + self.count - 1)
        shift = self.first - self.begins
        return (start + shift, end + shift) if start <= end else None


class Merge:
    """A ledger that others are taken into, in a new folder that only this user may read."""

    def __init__(
        self, folder: Path, definitions: Definitions, limits: Limits | None = None
    ) -> None:
        self._runs: list[Run] = []
        folder.mkdir(mode=0o700)
        self.ledger = Ledger(folder / "merge.db", definitions=definitions, limits=limits)

    def take(self, number: int, page: Sequence[Stored]) -> None:
        """Take in the next events of a ledger: what was received, and which of it was accepted.

        Adoptions, imports of files and verifications are of the ledger that they stand in.
        """
        read = [stored for stored in page if stored.kind in READ]
        with self.ledger._connections.write() as own:
            runs = [*self._runs, *_runs(read, own.log.size(), number)]
            given: list[Given] = [(as_received(stored), stored.kind) for stored in read]
            given += _accepted(page, [run for run in runs if run.number == number])
            if given:
                self.ledger._write(own, given)
        self._runs = runs

    def at(self, position: int) -> tuple[int, int]:
        """The number of the ledger whose event stands at a position, and its position there.

        Raises ``IndexError`` for a position at which there is none.
        """
        run = self._runs[bisect_right(self._runs, position, key=lambda run: run.first) - 1]
        if not 0 <= position - run.first < run.count:
            raise IndexError(f"no ledger has an event at position {position} of the merge")
        return run.number, run.begins + position - run.first


def _runs(read: Iterable[Stored], first: int, number: int) -> Iterator[Run]:
    """The runs of events that are appended from ``first`` on."""
    run: Run | None = None
    for at, stored in enumerate(read, first):
        if run is not None and stored.position == run.begins + run.count:
            run = attrs.evolve(run, count=run.count + 1)
            continue
        if run is not None:
            yield run
        run = Run(at, number, stored.position, 1)
    if run is not None:
        yield run


def _accepted(page: Iterable[Stored], runs: Sequence[Run]) -> Iterator[Given]:
    """The acceptances of a page, as the merge is to state them: of its own positions."""
    for stored in page:
        for one in acceptances_of([stored]) if stored.kind is Kind.IMPORT else ():
            for run in runs:
                there = run.within(one.first, one.last)
                if there is not None:
                    first, last = there
                    body = Acceptance(first, last, one.source).body(last - first + 1)
                    yield Receipt(body, JSON, time_of(stored.received_at)), Kind.IMPORT


def pages(ledger: Ledger, first: int, size: int, key: str | None) -> Iterator[list[Stored]]:
    """The events of a ledger from a position up to its first ``size``, each proven by its leaf.

    With a ``key`` only those that name it, and those that index and states have not taken in yet.
    """
    places = None if key is None else _naming(ledger, key, first, size)
    while places if places is not None else first < size:
        with ledger._connections.read_log() as own:
            if places is None:
                page = own.log.page(first, min(first + PAGE, size) - 1)
                until = page[-1].position + 1 if page else first + 1
                require_whole([stored.position for stored in page], first, until)
                first = until
            else:
                page = _at(own.log, places[:PAGE])
                places = places[len(page) :]
            _require_proven(page)
        yield page


def _at(log: Log, places: Iterable[int]) -> list[Stored]:
    return [log.at(position) for position in places]


def _naming(ledger: Ledger, key: str, first: int, size: int) -> list[int]:
    """The positions of the events that name a key, and of those that the index doesn't have."""
    _, named = ledger._naming(key)
    with ledger._connections.read() as own:
        behind = own.generation.size
    known = {position for position in named if first <= position < size}
    return sorted(known | set(range(max(first, behind), size)))


def _require_proven(page: Iterable[Stored]) -> None:
    """Raise ``IntegrityError`` where an event is not what was received."""
    for stored in page:
        # guard: leaves proven where they are merged
        if stored.computed_leaf() != stored.leaf:
            raise IntegrityError(
                f"position {stored.position}: the event is not what was received; run verify"
            )
