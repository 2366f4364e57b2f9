"""The ledger for async programs: the same calls, made in threads, awaited.

Each method is the one of ``Ledger``; only ``follow`` waits without a thread. What is recorded is written
by one thread, for all who wait by then together; other writes have one thread, reads a few, and an
iteration one of its own, so that a long call holds up no recording. ``definitions`` reads a row in the
event loop's own thread.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial, wraps
from itertools import islice
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, overload

from postledger.address import Location
from postledger.arguments import check, checked, names_of, paths_of
from postledger.definitions.definitions import Definitions
from postledger.errors import LedgerError, SubscriptionFailed
from postledger.ledger.following import patience
from postledger.ledger.group import Caller, Ring
from postledger.ledger.ledger import Ledger, require_openable, within_reach
from postledger.ledger.subscriptions import Handler, Retry, Subscription
from postledger.ledger.writing import Given, creation_of, receipt_of
from postledger.model import Body, Kept, Recorded, StateChanged
from postledger.projections.checkpoints import Checkpoint
from postledger.store.opening import translated

P = ParamSpec("P")
T = TypeVar("T")

_READERS = 4
_TURN = 0.25
_AHEAD = 100


async def _settled(future: Future[T], *, revocable: bool = True) -> T:
    """The result of a call in a thread; cancelled, it was never begun or is finished.

    A call that has begun can't be stopped, so its end is waited for; the error it may have ended
    with is the cause of the cancellation that is raised then. One that is not ``revocable`` is made
    even so.
    """
    waiting = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError as cancelled:
        if revocable and future.cancel():
            raise
        while not waiting.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([waiting])
        raise cancelled from waiting.exception()


def _in_thread(
    method: Callable[Concatenate[Ledger, P], T], *, writes: bool = False
) -> Callable[Concatenate[AsyncLedger, P], Coroutine[Any, Any, T]]:
    @wraps(method)
    async def call(self: AsyncLedger, /, *args: P.args, **kwargs: P.kwargs) -> T:
        ledger = self._opened
        executor = self._writer if writes else self._readers
        return await _settled(executor.submit(partial(method, ledger, *args, **kwargs)))

    return call


def _iterating(
    method: Callable[Concatenate[Ledger, P], Iterator[T]], *, ahead: int = _AHEAD
) -> Callable[Concatenate[AsyncLedger, P], AsyncGenerator[T, None]]:
    @wraps(method)
    def call(self: AsyncLedger, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        # Called at once, so that what is wrong is raised here; nothing is read before the first step.
        return _iterate(method(self._opened, *args, **kwargs), ahead)

    return call


async def _iterate(iterator: Iterator[T], ahead: int) -> AsyncGenerator[T, None]:
    """An iteration in a thread of its own, since what it holds open belongs to that thread.

    ``ahead`` is the number of values that are fetched at once.
    """
    with ThreadPoolExecutor(1, "postledger iteration") as thread:
        try:
            while values := await _settled(thread.submit(list, islice(iterator, ahead))):
                for value in values:
                    yield value
        finally:
            await _settled(thread.submit(_close, iterator))


class _Inbox:
    """Futures of a loop that another thread is done with; those of a group come together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.done: deque[asyncio.Future[None]] = deque()
        self._wake = partial(loop.call_soon_threadsafe, self._empty)

    def ring(self) -> None:
        """Have the loop set what is done."""
        # A loop that is closed has nobody waiting in it.
        with suppress(RuntimeError):
            self._wake()

    def _empty(self) -> None:
        while self.done:
            future = self.done.popleft()
            if not future.done():
                future.set_result(None)


def _close(iterator: Iterator[object]) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()


def _opening(
    opened: Callable[P, Ledger],
) -> Callable[[Callable[..., None]], Callable[Concatenate[AsyncLedger, P], None]]:
    """Give a constructor the parameters of the ledger's."""
    return wraps(opened.__init__)


class AsyncLedger:
    """A ``Ledger`` for async programs: the same names, awaited; iterations are ``async for``.

    It is opened by ``async with`` and closed with it; then it may be opened again. Cancelling an
    ``await`` is safe: a call that has not begun never will, and one that has is finished before the
    cancellation goes on, so that whatever was being written is durable or was never begun.
    Recording the same again is a repeat, so a program that can't know may simply record it again.

    >>> import asyncio
    >>> async def main():
    ...     async with AsyncLedger("deliveries.db") as ledger:
    ...         await ledger.created("TU1TXzU5Nzg3OQ==", to="16501112222")
    ...         return await ledger.delivery("TU1TXzU5Nzg3OQ==")
    >>> asyncio.run(main()).state
    'created'
    """

    @_opening(Ledger)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = inspect.signature(Ledger).bind(*args, **kwargs).arguments
        check(Ledger.__init__, (), given)
        self._path = require_openable(**given)
        for name in given.keys() & {"charts", "vocabulary"}:
            given[name] = paths_of(name, given[name])
        if given.get("providers") is not None:
            given["providers"] = names_of("providers", given["providers"])
        self._open: Callable[[], Ledger] = partial(Ledger, **given)
        self._renew()

    def _renew(self) -> None:
        self._recorder: Executor = ThreadPoolExecutor(1, "postledger recorder")
        self._writer: Executor = ThreadPoolExecutor(1, "postledger writer")
        self._readers: Executor = ThreadPoolExecutor(_READERS, "postledger reader")
        self._inbox: _Inbox | None = None
        self._ledger: Ledger | None = None
        self._begun = self._closed = False
        self._ending: Future[None] | None = None

    @property
    def path(self) -> Location:
        """Where the ledger is."""
        return self._opened.path

    @property
    def readonly(self) -> bool:
        """Whether it is open for reading only."""
        return self._opened.readonly

    @property
    def definitions(self) -> Definitions:
        """The charts and vocabularies that the ledger reads by: those that were adopted last."""
        return self._opened.definitions

    @overload
    async def record(
        self,
        body: Body,
        content_type: str | None = None,
        *,
        received_at: datetime | None = None,
        source: str = "",
        content_encoding: str | None = None,
        sender: str = "",
        query: bool = False,
        answer: Literal[True] = True,
    ) -> Recorded: ...
    @overload
    async def record(
        self,
        body: Body,
        content_type: str | None = None,
        *,
        received_at: datetime | None = None,
        source: str = "",
        content_encoding: str | None = None,
        sender: str = "",
        query: bool = False,
        answer: Literal[False],
    ) -> Kept: ...
    @wraps(Ledger.record)
    async def record(self, *args: Any, **kwargs: Any) -> Recorded | Kept:
        return await self._record(*receipt_of(*args, **kwargs))

    @wraps(Ledger.created)
    async def created(self, *args: Any, **kwargs: Any) -> Recorded:
        with translated(self.path):
            given = creation_of(self._opened._key_in, *args, **kwargs)
        recorded = await self._record(given, answered=True)
        assert isinstance(recorded, Recorded)
        return recorded

    record_many = _in_thread(Ledger.record_many, writes=True)
    accept = _in_thread(Ledger.accept, writes=True)
    imported = _in_thread(Ledger.imported, writes=True)
    replay = _in_thread(Ledger.replay, writes=True)
    archive = _in_thread(Ledger.archive)
    copy = _in_thread(Ledger.copy)
    project = _in_thread(Ledger.project, writes=True)

    delivery = _in_thread(Ledger.delivery)
    content = _in_thread(Ledger.content)
    timeline = _in_thread(Ledger.timeline)
    head = _in_thread(Ledger.head)
    health = _in_thread(Ledger.health)
    check = _in_thread(Ledger.check)
    tallies = _in_thread(Ledger.tallies)
    counts = _in_thread(Ledger.counts)
    verify = _in_thread(Ledger.verify)
    verified = _in_thread(Ledger.verified, writes=True)
    audit = _in_thread(Ledger.audit)
    checkpoints = _in_thread(Ledger.checkpoints)
    query = _in_thread(Ledger.query)

    deliveries = _iterating(Ledger.deliveries)
    events = _iterating(Ledger.events)
    changes = _iterating(Ledger.changes)
    differences = _iterating(Ledger.differences)
    reconcile = _iterating(Ledger.reconcile)
    record_batches = _iterating(Ledger.record_batches, ahead=1)

    async def _record(self, given: Given, answered: bool) -> Recorded | Kept:  # noqa: FBT001
        """Have something written, together with what others give."""
        groups, loop = self._opened._groups, asyncio.get_running_loop()
        settled = loop.create_future()
        inbox = self._inbox
        if inbox is None or inbox.loop is not loop:
            inbox = self._inbox = _Inbox(loop)

        def wake(caller: Caller) -> Ring | None:
            if caller.settled:
                inbox.done.append(settled)
                return inbox.ring
            # What is left when the recorder has ended is written as the ledger closes.
            with suppress(RuntimeError):
                self._recorder.submit(groups.lead, caller, caller.patience)
            return None

        caller = Caller(given, answered=answered, wake=wake)
        if groups.enter(caller):
            wake(caller)
        try:
            await settled
        except asyncio.CancelledError as cancelled:
            # guard: cancelled calls are skipped
            if groups.withdraw(caller):
                raise
            while True:
                # It is being written. In this order: whoever settles it from now on wakes this one.
                settled = loop.create_future()
                if caller.settled:
                    break
                with suppress(asyncio.CancelledError):
                    await settled
            raise cancelled from caller.error
        return caller.outcome()

    @checked
    def follow(self, after: int = -1, *, live: bool = True) -> AsyncGenerator[StateChanged, None]:
        """The changes of deliveries after position ``after``: see ``Ledger.follow``."""
        return self._follow(self._opened, within_reach(after), live=live)

    async def _follow(
        self, ledger: Ledger, after: int, *, live: bool
    ) -> AsyncGenerator[StateChanged, None]:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()

        def hear() -> None:
            # A loop that is closed has nobody waiting in it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(heard.set)

        page_of, waits = ledger._pages(), patience()
        with ledger._bell.heard_by(hear):
            while not ledger._bell.closed:
                heard.clear()
                try:
                    page = await _settled(self._readers.submit(page_of, after))
                except (LedgerError, RuntimeError):
                    if self._closed or ledger._bell.closed:
                        return
                    raise
                for change in page.changes:
                    yield change
                if page.until > after:
                    after, waits = page.until, patience()
                elif not live:
                    return
                else:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(heard.wait(), next(waits))

    @checked
    async def subscribe(
        self,
        name: str,
        handler: Handler,
        *,
        after: int = -1,
        live: bool = True,
        retry: Retry | None = None,
    ) -> AsyncSubscription:
        """Have ``handler`` called with every change: see ``Ledger.subscribe``.

        Where the handler is a coroutine function it runs in the event loop, else in a thread.
        """
        subscribe = partial(self._opened.subscribe, after=after, live=live, retry=retry)
        # What can't be called is refused by the ledger, as it was given.
        in_loop = _in_loop(handler, asyncio.get_running_loop()) if callable(handler) else handler
        with ThreadPoolExecutor(1, "postledger subscribe") as thread:
            begun = thread.submit(subscribe, name, in_loop)
            try:
                return AsyncSubscription(await _settled(begun))
            except asyncio.CancelledError:
                # Nobody has it in hand, so it must not go on.
                if not begun.cancelled() and begun.exception() is None:
                    await _settled(thread.submit(begun.result().stop), revocable=False)
                raise

    async def close(self) -> None:
        """Stop the subscriptions and close the file; the ledger can't be used until it is opened again.

        In a handler it only asks for that: the file is closed once the handler has returned, and
        whoever closes it elsewhere, as the end of ``async with`` does, waits for it.
        """
        self._closed = True
        try:
            self._require_process()
        except LedgerError:
            # It is the parent's to close.
            return
        subscriptions = tuple(self._ledger._subscriptions.values()) if self._ledger else ()
        if self._ending is None:
            for subscription in subscriptions:
                subscription._ask()
            self._ending = self._writer.submit(self._end)
            self._writer.shutdown(wait=False)
        # guard: a handler that closes the ledger is not waited for
        if not any(subscription._is_calling() for subscription in subscriptions):
            await _settled(self._ending, revocable=False)

    def _end(self) -> None:
        self._recorder.shutdown()
        if self._ledger is not None:
            self._ledger._groups.close()
        # What is being read is read to its end: a connection in use can't be closed.
        self._readers.shutdown()
        if self._ledger is not None:
            self._ledger.close()

    async def __aenter__(self) -> Self:
        def open_it() -> None:
            self._ledger = self._open()

        self._require_process()
        if self._closed:
            # A handler may have asked for its end, which is not waited for there.
            await self.close()
            self._renew()
        elif self._begun:
            raise LedgerError(f"{self._path}: the ledger is open already")
        self._begun = True
        try:
            await _settled(self._writer.submit(open_it))
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def _opened(self) -> Ledger:
        if self._closed:
            raise LedgerError(f"{self._path}: the ledger is closed")
        if self._ledger is None:
            raise LedgerError(
                f"{self._path}: the ledger is not open yet; write `async with AsyncLedger(...)`"
            )
        self._require_process()
        return self._ledger

    def _require_process(self) -> None:
        # A forked child has none of the threads that a call would wait for.
        if self._ledger is not None:
            # guard: an async ledger refused in a forked child
            self._ledger._connections.require_process()


class AsyncSubscription:
    """A ``Subscription`` whose calls are awaited; made by ``AsyncLedger.subscribe``.

    >>> import asyncio
    >>> async def main():
    ...     async with AsyncLedger("specification.db") as ledger:
    ...         subscription = await ledger.subscribe("webhooks", lambda change: None)
    ...         await subscription.wait()
    ...         return await subscription.status()
    >>> asyncio.run(main()).behind
    0
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self.name = subscription.name

    @property
    def running(self) -> bool:
        """Whether its handler is being called in this process."""
        return self._subscription.running

    @property
    def error(self) -> SubscriptionFailed | None:
        """Why it stopped, ``None`` while nothing is wrong."""
        return self._subscription.error

    async def status(self) -> Checkpoint:
        """Where it stands by the ledger."""
        return await asyncio.to_thread(self._subscription.status)

    @checked
    async def wait(self, timeout: float | None = None) -> None:
        """Wait until the handler was called with all that the ledger holds now.

        Raises as ``Subscription.wait`` does.
        """
        until = await asyncio.to_thread(self._subscription.head)
        try:
            async with asyncio.timeout(timeout):
                # In short turns, so that no thread goes on waiting for what nobody wants any more.
                while not await asyncio.to_thread(self._subscription.reached, until, _TURN):
                    pass
        except TimeoutError:
            raise self._subscription._late(until) from None

    async def stop(self) -> None:
        """Stop after the change in hand, with the checkpoint after it.

        In its own handler it only asks for that.
        """
        await asyncio.to_thread(self._subscription.stop)


def _in_loop(handler: Handler, loop: asyncio.AbstractEventLoop) -> Handler:
    """The handler as a thread calls it; a coroutine that it returns is awaited in the event loop."""

    def call(change: StateChanged) -> None:
        returned = handler(change)
        if inspect.iscoroutine(returned):
            asyncio.run_coroutine_threadsafe(returned, loop).result()

    return call
