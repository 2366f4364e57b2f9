"""Group commit: calls that record at the same time share transactions.

The first caller leads: it writes what is waiting once it has the turn, and what comes meanwhile waits
for the next group, whose oldest caller then leads. Nobody waits for others to come. Whatever fails for
one caller alone fails that caller alone.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

import attrs

from postledger.errors import LedgerBusy, LedgerError
from postledger.ledger.connections import Connections, Own
from postledger.ledger.writing import Given, Told, answer, answer_ahead
from postledger.model import Kept, Recorded
from postledger.store.opening import is_of_medium

FEW, SLOW = 8, 0.001
"""How many callers, and seconds of a sync, make it worth the while to make answers meanwhile."""

LONGEST = 600.0
"""How many seconds a transaction may take that has begun."""

MOST, MOST_BYTES = 256, 8 << 20
"""How many callers one transaction serves, and how many bytes of bodies."""


Ring = Callable[[], None]
"""Tells a loop that some of its callers are settled."""


class Write(Protocol):
    """Writes what is given in the open transaction; ``answered`` says that somebody asks what it said."""

    def __call__(self, own: Own, given: Sequence[Given], *, answered: bool) -> list[Told]:
        """What is said of each that was given, in order."""


@attrs.frozen
class Pressure:
    """What was written together since a ledger was opened here, by calls of ``record`` and ``created``.

    ``waiting`` is how many calls wait now. ``sizes`` counts the groups by the number of their calls,
    ``commits`` by the seconds of their transactions: each by the least upper bound that is a power of
    two (of calls, of milliseconds). ``calls`` and ``seconds`` are their sums.

    >>> pressure = ledger.health().pressure
    >>> pressure.waiting, sum(pressure.sizes.values()) <= pressure.calls
    (0, True)
    """

    waiting: int
    calls: int
    seconds: float
    sizes: Mapping[int, int]
    commits: Mapping[float, int]


class Caller:
    """One call that records: what it gives, and how it came out.

    ``wake`` is called when it is settled, and before that if it is to lead; what it returns is called
    once for all that are settled together. ``deadline`` is when it waits no longer for its turn, by the
    monotonic clock. ``ahead`` is what it will be answered, made while that becomes durable.
    """

    __slots__ = ("ahead", "answered", "deadline", "error", "given", "leads", "recorded", "wake")

    def __init__(
        self, given: Given, *, answered: bool, wake: Callable[[Caller], Ring | None]
    ) -> None:
        self.given = given
        self.answered = answered
        self.wake = wake
        self.deadline = 0.0
        self.leads = False
        self.recorded: Recorded | Kept | None = None
        self.ahead: Recorded | None = None
        self.error: BaseException | None = None

    @property
    def settled(self) -> bool:
        """Whether it was recorded, or has failed."""
        return self.recorded is not None or self.error is not None

    @property
    def patience(self) -> float:
        """How many seconds it still waits for its turn."""
        return max(0.0, self.deadline - time.monotonic())

    def outcome(self) -> Recorded | Kept:
        """What is returned to it; raises what went wrong."""
        if self.error is not None:
            raise self.error
        assert self.recorded is not None
        return self.recorded


class Groups:
    """The callers of one ledger that wait to be written, in the order in which they came.

    ``write`` writes them, ``written`` is called once they are durable.
    """

    def __init__(
        self, connections: Connections, write: Write, written: Callable[[], object]
    ) -> None:
        self._connections = connections
        self._write = write
        self._written = written
        self._lock = threading.Lock()
        self._waiting: deque[Caller] = deque()
        self._led = self._closed = False
        self._answerer = ThreadPoolExecutor(1, "postledger answers")
        self._calls, self._seconds, self._synced = 0, 0.0, 0.0
        self._sizes, self._commits = Counter[int](), Counter[int]()

    def pressure(self) -> Pressure:
        """What was written together so far."""
        return Pressure(
            len(self._waiting),
            self._calls,
            self._seconds,
            {1 << power: self._sizes[power] for power in sorted(self._sizes)},
            {(1 << power) / 1e3: self._commits[power] for power in sorted(self._commits)},
        )

    def record(self, given: Given, *, answered: bool) -> Recorded | Kept:
        """Record what is given, together with what others give; returns once it is durable.

        Raises ``LedgerBusy`` or ``LedgerError`` where nothing was written.
        """
        signal = SimpleQueue[None]()
        caller = Caller(given, answered=answered, wake=lambda _: signal.put(None))
        with self._connections.call():
            try:
                if self.enter(caller):
                    # It came just now: to say how long it may wait would cost two statements.
                    self.lead(caller, None)
                # Two may lead: then one of them writes both.
                while not caller.settled:
                    self._follow(caller, signal)
            except BaseException:
                self.withdraw(caller)
                raise
        return caller.outcome()

    def enter(self, caller: Caller) -> bool:
        """Have somebody wait to be written; whether it is to ``lead``, since nobody else does."""
        self._connections.require_free()
        caller.deadline = time.monotonic() + self._connections.timeout
        with self._lock:
            if self._closed:
                raise LedgerError(f"{self._connections.path}: the ledger is closed")
            self._waiting.append(caller)
            caller.leads, self._led = not self._led, True
        return caller.leads

    def withdraw(self, caller: Caller) -> bool:
        """Take back a caller whose writing has not begun; whether there was still time."""
        if not self._removed(caller):
            return False
        if caller.leads:
            self._hand_over()
        return True

    def _removed(self, caller: Caller) -> bool:
        with self._lock:
            there = caller in self._waiting
            if there:
                self._waiting.remove(caller)
        return there

    def lead(self, leader: Caller, patience: float | None) -> None:
        """Write those who wait, of whom the leader is the first, and settle them all.

        ``patience`` is how many seconds to wait for the turn, by default the timeout. Leaders that are
        not alone only share the work.
        """
        group: list[Caller] = []
        try:
            self._connections.surely(lambda: self._commit(group, patience), patience)
        except Exception as error:
            if leader.settled:
                # It was interrupted when all was done.
                raise
            try:
                self._fail(leader, group, error)
            finally:
                self._hand_over()
        except BaseException:
            self._put_back(leader, group)
            self._hand_over()
            raise
        finally:
            self._wake(group)

    def close(self) -> None:
        """Write all who wait and have nobody else to lead; nobody can wait any more."""
        with self._lock:
            self._closed = True
        while waiting := tuple(self._waiting):
            self.lead(waiting[0], waiting[0].patience)

    def end(self) -> None:
        """End the thread that makes answers, where nobody is written any more."""
        self._answerer.shutdown()

    def _commit(self, group: list[Caller], patience: float | None) -> None:
        """Write a group in one transaction, and settle it once that is durable.

        The group is those who are in it, or else those who wait when it begins.
        """
        own, told = None, list[Told]()
        try:
            with self._connections.write(patience) as own:
                began = time.perf_counter()
                if not group:
                    self._gather(group)
                given = [one.given for one in group]
                if not given:
                    # All were withdrawn by now.
                    self._hand_over()
                    return
                told = self._write(own, given, answered=any(one.answered for one in group))
                self._answer_ahead(group, told)
                written = time.perf_counter()
            self._synced = time.perf_counter() - written
            seconds = time.perf_counter() - began
            self._calls += len(group)
            self._seconds += seconds
            self._sizes[(len(group) - 1).bit_length()] += 1
            self._commits[int(seconds * 1e3).bit_length()] += 1
        finally:
            # It may have been interrupted when it was durable.
            # guard: what is durable is not recorded again
            if own is not None and told and own.store.committed:
                # The next group is written while this one is answered.
                try:
                    self._hand_over()
                finally:
                    _settle(group, told)
                self._written()

    def _answer_ahead(self, group: list[Caller], told: list[Told]) -> None:
        """Have another thread make the answers while the disk syncs, where that takes long enough."""
        if len(group) >= FEW and self._synced > SLOW:
            # At the end of the program there are no new threads.
            with suppress(RuntimeError):
                self._answerer.submit(_answer_ahead, list(group), told)

    def _gather(self, group: list[Caller]) -> None:
        """Take those who wait and are written together."""
        left = MOST_BYTES
        with self._lock:
            while self._waiting and len(group) < MOST and left > 0:
                # In this order nobody is lost where this is interrupted.
                group.append(self._waiting[0])
                self._waiting.popleft()
                left -= len(group[-1].given[0].body)

    def _put_back(self, leader: Caller, group: list[Caller]) -> None:
        """Have those who are not settled written by whoever leads next, but for the leader itself."""
        with self._lock:
            known = {id(one) for one in self._waiting}
            back = [one for one in group if not one.settled and one is not leader]
            for one in back:
                one.leads = False
            self._waiting.extendleft(one for one in reversed(back) if id(one) not in known)
            group[:] = [one for one in group if one.settled and one is not leader]
            leader.leads = False
        self.withdraw(leader)

    def _hand_over(self) -> None:
        """Have the oldest of those who wait lead; nobody does where none waits."""
        with self._lock:
            oldest = self._waiting[0] if self._waiting else None
            self._led = oldest is not None
            if oldest is None or oldest.leads:
                return
            oldest.leads = True
        oldest.wake(oldest)

    def _follow(self, caller: Caller, signal: SimpleQueue[None]) -> None:
        """Wait until a caller is settled, or is to lead, and then lead."""
        # guard: threads wait no longer than the timeout
        if not _signalled(signal, timeout=caller.patience):
            if self.withdraw(caller):
                # Its leader may have been stopped: those who still wait have another one.
                self._hand_over()
                raise LedgerBusy(
                    f"{self._connections.path}: other threads held the write lock;"
                    " nothing was written"
                )
            # It is being written: how that ends must be known.
            ends = time.monotonic() + LONGEST
            # The leader may be interrupted between settling it and waking it.
            while not caller.settled and not _signalled(signal, timeout=1.0):
                if time.monotonic() > ends:
                    raise LedgerError(
                        f"{self._connections.path}: it is not known whether this was recorded: the"
                        " thread that wrote it was stopped; record it again"
                    )
        if not caller.settled:
            self.lead(caller, caller.patience)

    def _fail(self, leader: Caller, group: list[Caller], error: Exception) -> None:
        """Settle a group that was undone: all fail with its medium, else each is tried alone."""
        if not group:
            # It had no turn. One that was withdrawn meanwhile needs no answer.
            group += [leader] if self._removed(leader) else []
        for caller in group:
            # One that was being taken when that was interrupted waits still.
            self._removed(caller)
        rest = deque(one for one in group if not one.settled)
        # guard: the fault of one caller is that of one
        while len(group) > 1 and rest and not is_of_medium(error.__cause__ or error):
            caller = rest.popleft()
            try:
                self._commit([caller], caller.patience)
            except Exception as another:
                error = another
                caller.error = None if caller.settled else error
        for caller in rest:
            # Each has one of its own to raise.
            caller.error = copy.copy(error)
            caller.error.__cause__ = error.__cause__

    def _wake(self, group: Sequence[Caller]) -> None:
        for caller in group:
            if not caller.settled:
                caller.error = LedgerError(
                    f"{self._connections.path}: the thread that recorded this was stopped before it"
                    " could answer; record it again"
                )
        for ring in {caller.wake(caller) for caller in group}:
            if ring is not None:
                ring()


def _signalled(signal: SimpleQueue[None], timeout: float) -> bool:
    try:
        signal.get(timeout=timeout)
    except Empty:
        return False
    return True


def _answer_ahead(group: Sequence[Caller], told: Iterable[Told]) -> None:
    for caller, one in zip(group, told, strict=True):
        # What is wrong shows when it is settled.
        with suppress(Exception):
            if caller.answered and not caller.settled:
                caller.ahead = answer_ahead(one)


def _settle(group: Sequence[Caller], told: Iterable[Told]) -> None:
    """Give each caller what is said of its own event; interrupted, once all have theirs.

    All is durable: a caller without an answer would record its event again.
    """
    interrupted: BaseException | None = None
    for caller, one in zip(group, told, strict=True):
        try:
            caller.recorded = caller.ahead or answer(one, whole=caller.answered)
        except Exception as error:
            caller.error = error
        except BaseException as error:
            interrupted = error
            caller.recorded = answer(one, whole=caller.answered)
    if interrupted is not None:
        raise interrupted
