"""Changes: what each event of the log changed, told in order of position.

The state of a delivery as known at a position is the fold of its events up to there. So the states
before and after an event are two folds over few facts, and nothing needs to be kept beside the log:
a change can be told again at any time, by any process, and is the same each time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import attrs

from postledger.errors import LedgerError
from postledger.log.as_of import Bounds
from postledger.log.log import Log, Stored
from postledger.model import Change, Delivery, StateChanged
from postledger.projections.generations import delivery_of, row_of
from postledger.state.fold import Tally, fold
from postledger.state.streams import Facts, repeats
from postledger.state.timeline import event_of

CHART = "delivery"
"""The chart whose streams are deliveries."""

PAGE = 500
"""How many events are looked at in one read transaction."""

_SOONEST, _LATEST = 0.01, 0.25


class Known(NamedTuple):
    """A delivery as it was known at some position."""

    stream_id: int
    key: str
    tally: Tally
    repeats: int

    @property
    def states(self) -> dict[str, str]:
        """The state of each region."""
        regions = self.tally.chart.regions
        return {r.name: s for r, s in zip(regions, self.tally.states, strict=True)}

    def delivery(self) -> Delivery:
        """The public value."""
        row = row_of(self.stream_id, self.tally, self.repeats)
        assert row is not None
        return delivery_of(self.key, row)


class Passage(NamedTuple):
    """One event, and its delivery as known before and after; ``None`` where none was known."""

    stored: Stored
    before: Known | None = None
    after: Known | None = None


def passages(log: Log, facts: Facts, after: int, until: int) -> Iterator[Passage]:
    """The passages of all events behind position ``after`` up to ``until``, in order of position."""
    streams: dict[str, _Stream] = {}
    for stored in log.events(after, until):
        chart, key = stored.stream
        # A chart that was given up tells of nothing.
        if chart != CHART or CHART not in facts.definitions.charts:
            yield Passage(stored)
            continue
        if key not in streams:
            streams[key] = _Stream(log, facts, key, stored.position - 1, until)
        yield streams[key].take(stored)


class _Stream:
    """One delivery, as known at a position that moves on with each event of it."""

    def __init__(self, log: Log, facts: Facts, key: str, position: int, until: int) -> None:
        found = log.find_stream((CHART, key))
        assert found is not None
        self._id, self._key = found, key
        self._chart = facts.definitions.charts[CHART]
        self._facts = sorted(facts.of_stream(found, Bounds(position=until)))
        counted = repeats(log, found - 1, found, Bounds(position=position))
        self._repeats = sum(count for _, count in counted)
        self._known = self._at(position)

    def take(self, stored: Stored) -> Passage:
        before = self._known
        if stored.repeats is None:
            self._known = self._at(stored.position)
        else:
            self._repeats += 1
            self._known = before and before._replace(repeats=self._repeats)
        return Passage(stored, before, self._known)

    def _at(self, position: int) -> Known | None:
        tally = fold(self._chart, (fact for fact in self._facts if fact.position <= position))
        return Known(self._id, self._key, tally, self._repeats) if tally.heard else None


def change_of(passage: Passage, facts: Facts) -> Change:
    """What a projection is told of an event."""
    return Change(
        event=event_of(passage.stored, facts),
        before=passage.before and passage.before.delivery(),
        after=passage.after and passage.after.delivery(),
    )


def state_changed(passage: Passage, facts: Facts) -> StateChanged | None:
    """What a subscriber is told of an event; ``None`` where no state changed."""
    if passage.after is None:
        return None
    before: Mapping[str, str] | None = passage.before and passage.before.states
    after = passage.after.states
    if before == after:
        return None
    return StateChanged(
        delivery=passage.after.delivery(),
        before=before,
        after=after,
        event=event_of(passage.stored, facts),
    )


@attrs.frozen
class Page:
    """The changes of the events behind some position, up to ``until``."""

    until: int
    changes: tuple[StateChanged, ...]


def page_of(log: Log, facts: Facts, after: int) -> Page:
    """The next page behind position ``after``; the caller holds a read transaction."""
    until = max(after, min(after + PAGE, log.head()[0]))
    told = (state_changed(passage, facts) for passage in passages(log, facts, after, until))
    return Page(until, tuple(change for change in told if change is not None))


class Bell:
    """Wakes those who wait for events, in the process that writes them."""

    def __init__(self) -> None:
        self._ears: set[Callable[[], object]] = set()
        self.closed = False

    @contextmanager
    def heard_by(self, ear: Callable[[], object]) -> Iterator[None]:
        """Call ``ear``, from whichever thread writes, after each write."""
        self._ears.add(ear)
        try:
            yield
        finally:
            self._ears.discard(ear)

    def ring(self) -> None:
        """Tell that something was written."""
        for ear in tuple(self._ears):
            ear()

    def close(self) -> None:
        """Tell that nothing more will come: the ledger is closed."""
        self.closed = True
        self.ring()


def patience() -> Iterator[float]:
    """How many seconds to wait for events of other processes before looking again."""
    delay = _SOONEST
    while True:
        yield delay
        delay = min(2 * delay, _LATEST)


def pages(
    read: Callable[[int], Page],
    after: int,
    *,
    bell: Bell,
    live: bool,
    heard: threading.Event,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Page]:
    """The pages behind position ``after``; where ``live``, also those to come.

    Before it waits it gives an empty page. ``heard`` is set to look again at once, as the bell does.
    Ends when the ledger is closed or ``stopped`` says so.
    """
    waits = patience()
    with bell.heard_by(heard.set):
        while not bell.closed and not stopped():
            heard.clear()
            try:
                page = read(after)
            except LedgerError:
                if bell.closed:
                    return
                raise
            yield page
            if page.until > after:
                after, waits = page.until, patience()
            elif not live:
                return
            else:
                heard.wait(next(waits))


def follow(
    read: Callable[[int], Page], after: int, *, bell: Bell, live: bool
) -> Iterator[StateChanged]:
    """The changes of those pages, one by one."""
    for page in pages(read, after, bell=bell, live=live, heard=threading.Event()):
        yield from page.changes
