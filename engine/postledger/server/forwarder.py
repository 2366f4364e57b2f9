"""The forwarder: sends a ledger's changes, or its postbacks, to a URL: at least once, in order.

One asyncio loop makes the attempts, one thread next to it reads the ledger and writes the outbox. What
one step of that thread found to be due is tried at the same time; what ended meanwhile is kept by the
next step, in one transaction.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self

from postledger.arguments import all_of, checked
from postledger.errors import LedgerError, PostledgerError, UnknownKey
from postledger.ledger.ledger import Ledger
from postledger.progress import Progress, silent
from postledger.server.endpoints import Endpoint, endpoint_lock, identity_of, lock_of, number_of
from postledger.server.feed import CHANGES, POSTBACKS, Feed, ledger_id_of
from postledger.server.intake import Intake
from postledger.server.outbox import Due, Ended, Outbox
from postledger.server.schedule import Schedule
from postledger.server.signing import headers_of, secret_of

if TYPE_CHECKING:
    from postledger.server.sending import Answer, Client

_log = logging.getLogger("postledger")

AT_ONCE = 16
"""How many attempts are made at the same time; what failed before takes at most half of them."""

_POLL, _AGAIN = 0.25, 5.0
"""Seconds after which others' writes are looked for, and a ledger that could not be read."""


class _Step(NamedTuple):
    """What a step found: the messages that are due, whether there may be more, when the next is due."""

    due: list[Due]
    more: bool
    wait: float


class Forwarder(Endpoint):
    """Sends each change of a delivery's state (or each postback) of a ledger to a URL.

    It is an ``Endpoint``, with ``status``, ``waiting`` and the rest of it.

    Each is sent at least once, those of one delivery in order: a change waits until the one before it
    was taken, that is answered by a status from 200 to 299. What is refused is sent again as
    ``schedule`` says, then parked; what comes after it of the same delivery waits until it is
    skipped or redriven. 410 disables the endpoint. ``webhook-id`` and the id of the CloudEvent are the
    key of the change, by which a receiver knows what it has.

    ``to`` and each of the ``secrets``, which sign, may be ``env:NAME`` or ``file:PATH``. ``adoptions``
    sends what an adoption of definitions changes, one message for each delivery. A new endpoint
    begins after position ``after``. ``clock`` is the time in seconds since 1970. Raises
    ``PostledgerError`` for an invalid URL or secret; that of a URL is a ``ValueError`` too.

    Nothing is stored before ``start`` or ``run`` found an address to which may be sent; until then
    the endpoint is unknown (``UnknownKey``). ``sent`` is the number of messages that were taken since
    this object was made. ``error`` is what ended the thread of ``start``, ``None`` while it runs and
    after it was stopped.

    >>> from postledger.server.forwarder import Forwarder
    >>> last = ledger.head().size - 1
    >>> with Forwarder(ledger, "http://localhost/hook", allow_private=True, after=last) as forwarder:
    ...     forwarder.status().pending, forwarder.sent, forwarder.error
    (0, 0, None)
    """

    sent: int
    error: Exception | None

    @checked
    def __init__(
        self,
        ledger: Ledger,
        to: str,
        *,
        secrets: Iterable[str] = (),
        postbacks: bool = False,
        adoptions: bool = False,
        allow_private: bool = False,
        after: int = -1,
        schedule: Schedule | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        from postledger.server.sending import Target

        if postbacks and adoptions:
            raise ValueError("postbacks must be False where adoptions is True, got both")
        self._target = Target(to)
        self._secrets = [secret_of(one) for one in all_of(str, "secrets", secrets)]
        self._feed = POSTBACKS if postbacks else CHANGES
        self._adoptions = adoptions
        self._allow_private = allow_private
        self._schedule = schedule or Schedule()
        self._clock = clock
        self._stopping = threading.Event()
        self._wake: Callable[[], object] = lambda: None
        self._thread: threading.Thread | None = None
        self.sent = 0
        self.error = None
        self.ledger = ledger
        self._after = max(-1, min(after, ledger.head().size - 1))
        self._identity = identity_of(self._target, postbacks=postbacks)

    @property
    def number(self) -> int:
        """The number of the endpoint in the outbox; raises ``UnknownKey`` until it is stored."""
        return number_of(self.ledger, self._target, postbacks=self._feed == POSTBACKS)

    def _add(self) -> int:
        with closing(Outbox.open(self.ledger.path, ledger_id_of(self.ledger))) as outbox:
            return outbox.add(self._identity, self.shown, self._feed, self._after)

    @property
    def shown(self) -> str:
        """The URL without what may be secret in it."""
        return self._target.shown

    def run(self, *, live: bool = True, progress: Progress = silent) -> None:
        """Send until stopped; without ``live`` until nothing more is due.

        ``progress`` is called with the number of messages that were taken. Raises ``PostledgerError``
        where another process serves the endpoint, where all its addresses are private, and where the
        outbox can't be written.
        """
        try:
            asyncio.run(_Run(self, progress, live=live).serve())
        finally:
            # At its end, not at its beginning: somebody may have asked for the end before.
            self._stopping.clear()

    def start(self) -> None:
        """Send in a thread of its own until stopped, or the ledger is closed.

        Returns once it serves the endpoint. What ``run`` raises until then is raised, and
        ``PostledgerError`` where it was started already. What ends it later is logged, and kept as
        ``error``.
        """
        if self._thread is not None and self._thread.is_alive():
            raise PostledgerError(f"{self.shown}: forwarding already; stop it first")
        self._stopping.clear()
        self.error = None
        begun: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(begun,), name="postledger forward", daemon=True
        )
        self._thread.start()
        try:
            # guard: what hinders it is raised
            begun.result()
        except BaseException:
            self._thread.join()
            raise

    def stop(self) -> None:
        """Stop after the attempts that are being made; may be called in a handler of a signal."""
        self._stopping.set()
        self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, begun: Future[None]) -> None:
        try:
            asyncio.run(_Run(self, silent, live=True, begun=begun).serve())
        except Exception as error:
            self.error = error
            if not begun.done():
                begun.set_exception(error)
            else:
                _log.error("%s: forwarding ended: %s", self.shown, error)


class _Run:
    """One run of a forwarder: what its loop and its thread work with."""

    def __init__(
        self,
        forwarder: Forwarder,
        progress: Progress,
        *,
        live: bool,
        begun: Future[None] | None = None,
    ) -> None:
        self._of = forwarder
        self._progress = progress
        self._live = live
        self._begun = Future[None]() if begun is None else begun
        # Within a run no jump of the clock is seen: time counts on from here.
        self._began = forwarder._clock() - time.monotonic()
        self._not_before = 0.0
        self._failing = 0
        self._flying: dict[asyncio.Task[Ended], Due] = {}
        self._outdated: set[int] = set()
        self._waking = asyncio.Event()

    def _now(self) -> float:
        # guard: a jump of the clock moves nothing within a run
        return self._began + time.monotonic()

    @property
    def _stopping(self) -> bool:
        return self._of._stopping.is_set() or self._of.ledger._bell.closed

    async def serve(self) -> None:
        """Send until there is nothing more to do, or it is to stop."""
        from postledger.server.sending import Client

        loop = asyncio.get_running_loop()

        def wake() -> None:
            # The loop may be closed by the time that another thread writes.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._waking.set)

        self._of._wake = wake
        await self._require_reachable()
        client = Client(
            self._of._target, allow_private=self._of._allow_private, connections=AT_ONCE
        )
        number = self._of._add()
        with (
            closing(endpoint_lock(lock_of(self._of.ledger.path, number), self._of.shown)),
            ThreadPoolExecutor(1, "postledger outbox") as thread,
            self._of.ledger._bell.heard_by(wake),
        ):
            in_thread = partial(loop.run_in_executor, thread)
            intake = await in_thread(self._open, number)
            self._begun.set_result(None)
            try:
                await self._go_on(client, partial(in_thread, self._step, intake))
            finally:
                await in_thread(self._close, intake)
                await client.close()

    async def _require_reachable(self) -> None:
        """Say at once that all addresses are private: no later attempt would say it sooner."""
        from postledger.server.sending import resolved

        target = self._of._target
        try:
            await resolved(target.host, target.port, allow_private=self._of._allow_private)
        except OSError as error:
            # A name that was sent to before may be known again later; another may be a mistake.
            with suppress(UnknownKey):
                _ = self._of.number
                return
            raise PostledgerError(f"{target.host} has no address: {error.strerror}") from None

    async def _go_on(
        self, client: Client, step: Callable[[list[Ended]], asyncio.Future[_Step]]
    ) -> None:
        while True:
            self._waking.clear()
            done = [task for task in self._flying if task.done()]
            ended = [task.result() for task in done]
            for task in done:
                del self._flying[task]
            stopping = self._stopping
            found = await step(ended)
            if not stopping:
                for one in found.due:
                    self._send(client, one)
            if not self._flying and (stopping or not (self._live or found.due or found.more)):
                return
            if not found.more or stopping or len(self._flying) >= AT_ONCE:
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if stopping else found.wait):
                        await self._waking.wait()

    def _send(self, client: Client, one: Due) -> None:
        task = asyncio.create_task(self._attempt(client, one))
        self._flying[task] = one
        task.add_done_callback(lambda _: self._waking.set())

    async def _attempt(self, client: Client, one: Due) -> Ended:
        at = int(self._of._clock())
        signed = headers_of(self._of._secrets, one.key, at, one.body)
        try:
            answer = await client.send(one.body, signed, one.content_type, one.content_encoding, at)
        except Exception as error:
            # One message must not end the others; its text may hold what is secret.
            return self._failed(one, f"can't be sent: {type(error).__name__}", None)
        if answer.problem is None:
            return self._taken(one)
        return self._refused(one, answer)

    def _taken(self, one: Due) -> Ended:
        if self._failing > AT_ONCE:
            _log.info("%s: answers again after %s failures", self._of.shown, self._failing)
        self._failing = 0
        self._of.sent += 1
        self._progress(1)
        return Ended(one.seq)

    def _refused(self, one: Due, answer: Answer) -> Ended:
        if answer.gone:
            return Ended(one.seq, answer.problem, attempts=one.attempts, gone=True)
        return self._failed(one, answer.problem or "", answer.asked)

    def _failed(self, one: Due, problem: str, asked: float | None) -> Ended:
        self._failing += 1
        wait = self._of._schedule.wait(one.attempts + 1, asked)
        if wait is None:
            _log.warning(
                "%s: %s is parked after %s attempts: %s",
                self._of.shown,
                one.key,
                one.attempts + 1,
                problem,
            )
        else:
            # Of an endpoint that fails, the first failure says it; the list has the others.
            level = logging.WARNING if self._failing == 1 else logging.DEBUG
            text = "%s: %s: %s; the next attempt is in %.0f s"
            _log.log(level, text, self._of.shown, one.key, problem, wait)
        return Ended(one.seq, problem, wait, one.attempts)

    # --- in the thread ---

    def _open(self, number: int) -> Intake:
        feed = Feed(self._of.ledger, self._of._feed)
        outbox = Outbox.open(self._of.ledger.path, feed.ledger_id)
        intake = Intake(outbox, feed, number, self._of._adoptions)
        try:
            place = intake.begin()
            outbox.clamp(number, self._now())
            if place.disabled is None:
                at = place.position
                where = "from the beginning" if at < 0 else f"after position {at}"
                _log.info("%s: forwarding %s", place.shown, where)
            elif self._live:
                _log.warning("%s", self._disabled(place.disabled))
            else:
                raise PostledgerError(self._disabled(place.disabled))
        except BaseException:
            outbox.close()
            raise
        return intake

    def _disabled(self, answer: str) -> str:
        return (
            f"{self._of.shown}: disabled: it answered {answer}; nothing more is sent until it is"
            " enabled (postledger forward --enable)"
        )

    def _close(self, intake: Intake) -> None:
        with suppress(LedgerError):
            intake.feed.settle()
        intake.outbox.close()

    def _step(self, intake: Intake, ended: list[Ended]) -> _Step:
        """Keep how attempts ended, take in what there is room for, and find what is due."""
        outbox, number, now = intake.outbox, intake.endpoint, self._now()
        if ended:
            self._keep(intake, ended, now)
        if self._stopping:
            return _Step([], more=False, wait=_POLL)
        more = self._take(intake)
        if outbox.endpoint(number).disabled is not None:
            return _Step([], more=False, wait=_POLL)
        busy = frozenset[str]().union(*(one.chains for one in self._flying.values()))
        going = [one for task, one in self._flying.items() if not task.done()]
        free = AT_ONCE - len(going)
        again = min(free, AT_ONCE // 2 - sum(one.attempts > 0 for one in going))
        # Fresh ones may never end.
        # guard: what failed before has its share first
        due = sorted(
            outbox.due(number, now, fresh=free, again=again, busy=busy),
            key=lambda one: not one.attempts,
        )[:free]
        following = outbox.next_due(number, now)
        return _Step(due, more, min(_POLL, _POLL if following is None else following - now))

    def _keep(self, intake: Intake, ended: list[Ended], now: float) -> None:
        outbox, number = intake.outbox, intake.endpoint
        before = outbox.endpoint(number).disabled
        # guard: a 410 from before the endpoint was enabled
        said = [one for one in ended if not (one.gone and one.seq in self._outdated)]
        outbox.end(number, said, now)
        self._outdated -= {one.seq for one in ended}
        after = outbox.endpoint(number).disabled
        # Of several attempts at once, the first says it.
        if before is None and after is not None:
            self._outdated |= {one.seq for one in self._flying.values()}
            _log.warning("%s", self._disabled(after))

    def _take(self, intake: Intake) -> bool:
        """Take in a page; of a ledger that can't be read now, what was taken in is sent all the same."""
        if time.monotonic() < self._not_before:
            return False
        try:
            return intake.take()
        except LedgerError as error:
            if not self._live:
                raise
            if not self._stopping:
                _log.error("%s: nothing can be taken in: %s", self._of.shown, error)
            self._not_before = time.monotonic() + _AGAIN
            return False
