"""Subscriptions: a handler that is called with every change, in order, at least once.

The checkpoint is kept in the ledger. It moves after the handler, never before it: after a crash the
handler is called again with what it may not have done, and nothing is skipped.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import attrs

from postledger.arguments import at_least, checked, typed
from postledger.errors import PostledgerError, SubscriptionFailed
from postledger.ledger.following import Bell, pages
from postledger.model import StateChanged
from postledger.projections.changes import Page
from postledger.projections.checkpoints import Checkpoint

Handler = Callable[[StateChanged], object]
"""What a subscription calls with each change; what it returns is ignored."""

_MOST_RETRIES = 1_000
_KEEP_EVERY = 0.1
"""How many seconds apart the checkpoint is kept: each time is a commit, which writers wait for."""

_log = logging.getLogger("postledger")

_calling: ContextVar[Subscription | None] = ContextVar("postledger subscription", default=None)
"""Whose handler this is, or a task or a thread of it."""


@attrs.frozen(field_transformer=typed)
class Retry:
    """How often a handler that raises is called again, and after how many seconds at first.

    The wait doubles each time. Raises ``TypeError`` or ``ValueError`` for what can't be counted.

    >>> list(Retry(times=3, wait=0.5).waits())
    [0.5, 1.0, 2.0]
    """

    times: int = attrs.field(default=4, validator=at_least(0, _MOST_RETRIES))
    wait: float = attrs.field(default=0.1, validator=at_least(0, threading.TIMEOUT_MAX))

    def waits(self) -> list[float]:
        """The seconds before each further call."""
        return [min(self.wait * 2**n, threading.TIMEOUT_MAX) for n in range(self.times)]


@attrs.frozen
class Place:
    """What a subscription reads from, and where it keeps its checkpoint."""

    bell: Bell
    page: Callable[[int], Page]
    load: Callable[[], Checkpoint]
    move: Callable[[Checkpoint, int, str | None], Checkpoint]
    head: Callable[[], int]


def require_handler(handler: object) -> None:
    """Raise ``TypeError`` for what would only return a coroutine."""
    if inspect.iscoroutinefunction(handler):
        raise TypeError(
            f"handler must be a plain function, got the coroutine function {handler!r};"
            " AsyncLedger takes these"
        )


class Subscription:
    """A handler and how far it has come; made by ``Ledger.subscribe``.

    >>> subscription = ledger.subscribe("webhooks", lambda change: None)
    >>> subscription.wait()
    >>> subscription.status().behind
    0
    >>> subscription.stop()
    """

    @checked
    def __init__(self, name: str, handler: Handler, place: Place, retry: Retry) -> None:
        self.name = name
        self.error: SubscriptionFailed | None = None
        self._handler = handler
        self._place = place
        self._retry = retry
        self._kept = place.load()
        self._position = self._kept.position
        self._kept_at = time.monotonic()
        self._stopping = threading.Event()
        self._heard = threading.Event()
        self._reached = threading.Condition()
        self._waiting = 0
        self._in_hand = False
        self._ended = True
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether its handler is being called in a thread of this process."""
        return not self._ended

    def status(self) -> Checkpoint:
        """Where it stands by the ledger: position, how far behind, and why it stopped, if it did."""
        return self._place.load()

    @checked
    def wait(self, timeout: float | None = None) -> None:
        """Wait until the handler was called with all that the ledger holds now.

        Raises ``SubscriptionFailed`` where the handler failed before, ``TimeoutError`` after
        ``timeout`` seconds.
        """
        until = self.head()
        if not self.reached(until, timeout):
            raise self._late(until)

    def _late(self, until: int) -> TimeoutError:
        return TimeoutError(f"subscription {self.name!r} is at {self._kept.position} of {until}")

    def head(self) -> int:
        """The last position of the ledger: what ``wait`` waits for."""
        return self._place.head()

    @checked
    def reached(self, position: int, timeout: float | None = None) -> bool:
        """Wait, at most ``timeout`` seconds, until it is done with a position; whether it is.

        Raises ``SubscriptionFailed`` where it never will be, since it has stopped.
        """
        longest = None if timeout is None else min(timeout, threading.TIMEOUT_MAX)
        with self._reached:
            self._waiting += 1
            self._heard.set()
            self._reached.wait_for(lambda: self._kept.position >= position or self._ended, longest)
            self._waiting -= 1
            done, ended = self._kept.position >= position, self._ended
        if self.error is not None:
            raise self.error
        if ended and not done:
            raise SubscriptionFailed(
                f"subscription {self.name!r} was stopped before position {position}"
            )
        return done

    def stop(self) -> None:
        """Stop after the change in hand, with the checkpoint after it.

        In its own handler it only asks for that.
        """
        self._ask()
        # guard: a handler that stops its subscription is not waited for
        if self._thread is not None and not self._is_calling():
            self._thread.join()

    def _is_calling(self) -> bool:
        """Whether it is its handler that asks, or what that awaits: the end would never come."""
        # What a handler leaves running is in its context still.
        return self._in_hand and _calling.get() is self

    @contextmanager
    def _handing(self) -> Iterator[None]:
        token, self._in_hand = _calling.set(self), True
        try:
            yield
        finally:
            self._in_hand = False
            _calling.reset(token)

    def _ask(self) -> None:
        """Ask for the end, without waiting for it."""
        self._stopping.set()
        self._heard.set()

    def start(self) -> None:
        """Catch up, then go on with what comes, in a thread of its own."""
        self._ended = False
        self._thread = threading.Thread(
            target=self._run_to_the_end, name=f"postledger {self.name}", daemon=True
        )
        self._thread.start()

    def run(self, *, live: bool) -> None:
        """Catch up in this thread, and where ``live`` go on until stopped.

        Raises ``SubscriptionFailed`` where the handler, or the ledger, fails for good.
        """
        try:
            for page in pages(
                self._place.page,
                self._position,
                bell=self._place.bell,
                live=live,
                heard=self._heard,
                stopped=self._stopping.is_set,
            ):
                self._take(page)
            self._keep(None)
        except SubscriptionFailed as error:
            self._fail(error)
            raise
        except PostledgerError as error:
            failed = SubscriptionFailed(
                f"subscription {self.name!r} stopped after position {self._position}: {error}"
            )
            self._fail(failed)
            raise failed from error

    def _run_to_the_end(self) -> None:
        try:
            self.run(live=True)
        except SubscriptionFailed as error:
            _log.error("%s", error)
        finally:
            with self._reached:
                self._ended = True
                self._reached.notify_all()

    def _take(self, page: Page) -> None:
        """Call the handler with each change of a page, until stopped; keep the checkpoint in time."""
        for change in page.changes:
            if self._stopping.is_set() or not self._call(change):
                return
            self._position = change.position
            self._keep_in_time()
        self._position = page.until
        self._keep_in_time()

    def _call(self, change: StateChanged) -> bool:
        """Call the handler until it succeeds; ``False`` where it was stopped before it did."""
        waits = self._retry.waits()
        while True:
            try:
                with self._handing():
                    self._handler(change)
                return True
            except Exception as error:
                if not waits:
                    raise SubscriptionFailed(
                        f"subscription {self.name!r} stopped at position {change.position}: its"
                        f" handler raised {error!r} on attempt {self._retry.times + 1}; fix it, then"
                        " subscribe again",
                        position=change.position,
                    ) from error
                if self._stopping.wait(waits.pop(0)):
                    return False

    def _keep_in_time(self) -> None:
        if self._waiting or time.monotonic() - self._kept_at > _KEEP_EVERY:
            self._keep(None)

    def _keep(self, problem: str | None) -> None:
        if (self._position, problem) != (self._kept.position, self._kept.problem):
            kept = self._place.move(self._kept, self._position, problem)
            with self._reached:
                self._kept = kept
                self._reached.notify_all()
        self._kept_at = time.monotonic()

    def _fail(self, error: SubscriptionFailed) -> None:
        self.error = error
        try:
            self._keep(str(error))
        except PostledgerError as another:
            _log.error("subscription %r: its checkpoint can't be kept: %s", self.name, another)
