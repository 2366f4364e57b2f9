"""The ledger for async programs: the same, awaited."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from sqlite_utils import Database

from postledger import (
    AsyncLedger,
    AsyncSubscription,
    Change,
    Ledger,
    LedgerError,
    Receipt,
    Retry,
    StateChanged,
    Subscription,
    SubscriptionFailed,
    UnknownKey,
    UnknownWord,
)
from tests.samples import delivered, failed, first_outcome_stands, sent
from tests.stores import both_stores, in_file, location_of, long_on_server, write_lock

pytestmark = both_stores


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_the_names_are_those_of_the_ledger(tmp_path: Path) -> None:
    """Whatever a ledger has, its async form has, with the same parameters."""
    with Ledger(tmp_path / "l.db") as ledger:
        assert public(AsyncLedger) == {name for name in dir(ledger) if name[0] != "_"}
    methods = {name for name in public(Ledger) if callable(getattr(Ledger, name))}
    for name in sorted(methods | {"__init__"}):
        mine, its = (
            list(inspect.signature(getattr(k, name)).parameters) for k in (AsyncLedger, Ledger)
        )
        assert mine == its, name
    assert public(AsyncSubscription) <= public(Subscription) | {"error"}


def test_a_creation_needs_a_space_here_too(tmp_path: Path) -> None:
    """One that postbacks can meet, by the vocabularies in force; an empty list chooses none."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db", providers="plivo") as ledger:
            with pytest.raises(UnknownWord, match="space is missing: expected space='plivo'"):
                await ledger.created("a", to="1")
            await ledger.created("a", to="1", space="plivo")
        async with AsyncLedger(tmp_path / "several.db", providers="telnyx") as ledger:
            with pytest.raises(ValueError, match="must have the fields message / to"):
                await ledger.created("a", to="+1650", space="telnyx")
            recorded = await ledger.created(["a", "+1650"], to="+1650", space="telnyx")
            assert recorded.delivery is not None
            assert recorded.delivery.tracking_id == "a/1650"
        async with AsyncLedger(tmp_path / "none.db", providers=[]) as ledger:
            assert [one.name for one in ledger.definitions.vocabularies] == ["postledger"]

    asyncio.run(main())


def test_recording_and_reading(tmp_path: Path, specification: list[bytes]) -> None:
    """What is awaited gives what the call gives; iterations are asynchronous."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            recorded = await ledger.record(specification[0], content_type="text/xml")
            assert (recorded.event.position, recorded.verdict) == (1, "applied")
            summary = await ledger.record_many(specification)
            assert (summary.repeated, summary.anchor.size) == (2, 13)
            states = {d.tracking_id: d.state async for d in ledger.deliveries(state="delivered")}
            assert len(states) == 3
            assert [event.position async for event in ledger.events()] == list(range(13))
            assert (await ledger.delivery("U01TXzgwNjc4")).state == "delivered"
            assert len(await ledger.timeline("U01TXzgwNjc4")) == 3
            assert (await ledger.verify()).ok
            with pytest.raises(UnknownKey):
                await ledger.delivery("nobody")
            receipts = [Receipt(sent(f"SMS_{n}")) for n in range(5)]
            batches = [len(batch) async for batch in ledger.record_batches(receipts, 2)]
            assert batches == [2, 2, 1]
            assert ledger.definitions.charts
            assert (ledger.path, ledger.readonly) == (location_of(tmp_path / "l.db"), False)

    asyncio.run(main())


def test_an_iteration_that_is_left_is_closed(tmp_path: Path) -> None:
    """Its thread ends with it, and what it held open is given back."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            await ledger.record_many(sent(f"SMS_{n}") for n in range(250))
            found = ledger.deliveries(as_of=200)
            assert (await anext(found)).tracking_id == "SMS_0"
            assert any("iteration" in thread.name for thread in threading.enumerate())
            await found.aclose()
            assert not any("iteration" in thread.name for thread in threading.enumerate())
            assert len([d async for d in ledger.deliveries(as_of=200)]) == 200

    asyncio.run(main())


def test_following(tmp_path: Path) -> None:
    """What was, and what comes, whoever writes it; it ends with the last, or is cancelled."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            await ledger.record(sent("SMS_1"))
            assert [change.position async for change in ledger.follow(live=False)] == [1]
            changes = ledger.follow()
            assert (await anext(changes)).before is None
            for write, body in (
                (ledger.record, delivered("SMS_1")),
                (in_another_process(tmp_path / "l.db"), sent("SMS_2")),
            ):
                coming = asyncio.ensure_future(anext(changes))
                await asyncio.sleep(0.05)
                await write(body)
                assert (await coming).event.body == body
            waiting = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(main())


def test_following_ends_when_the_ledger_is_closed(tmp_path: Path) -> None:
    """A task that follows is not left waiting for ever."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            coming = asyncio.ensure_future(anext(ledger.follow(), None))
            await asyncio.sleep(0.05)
        assert await asyncio.wait_for(coming, 10) is None

    asyncio.run(main())


def test_following_goes_on_by_definitions_that_another_process_adopted(tmp_path: Path) -> None:
    """What comes is reported by those."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            changes = ledger.follow()
            await ledger.record(sent("SMS_1"))
            await anext(changes)
            with Ledger(tmp_path / "l.db") as other:
                other.replay(first_outcome_stands())
                other.record_many([failed("SMS_1"), delivered("SMS_1"), sent("SMS_2")])
            states = [(await anext(changes)).delivery.state for _ in range(2)]
            assert states == ["failed", "sent"]
            assert ledger.definitions.hash == first_outcome_stands().hash

    asyncio.run(main())


def in_another_process(path: Path) -> Callable[[bytes], Awaitable[object]]:
    """Recording by a ledger of its own."""

    def record(body: bytes) -> None:
        with Ledger(path) as other:
            other.record(body)

    return lambda body: asyncio.to_thread(record, body)


def test_a_handler_may_be_a_coroutine_function(tmp_path: Path) -> None:
    """It runs in the event loop, where it may await the ledger; one that raises is told of."""
    told: list[tuple[int, str]] = []

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            loop = asyncio.get_running_loop()

            async def handler(change: StateChanged) -> None:
                assert asyncio.get_running_loop() is loop
                told.append((change.position, (await ledger.delivery("SMS_1")).state))

            async def fails(change: StateChanged) -> None:
                raise ValueError("no")

            await ledger.record(sent("SMS_1"))
            subscription = await ledger.subscribe("a", handler)
            await subscription.wait(10)
            await ledger.record(delivered("SMS_1"))
            await subscription.wait(10)
            assert (await subscription.status()).position == 2
            assert (subscription.running, subscription.error, subscription.name) == (
                True,
                None,
                "a",
            )
            await subscription.stop()
            assert not subscription.running
            failing = await ledger.subscribe("b", fails, retry=Retry(times=0))
            with pytest.raises(SubscriptionFailed, match="at position 1"):
                await failing.wait(10)
            with pytest.raises(SubscriptionFailed, match="at position 1"):
                await ledger.subscribe("c", fails, live=False, retry=Retry(times=0))
            await ledger.subscribe("d", lambda change: told.append((0, "")), live=False)

    asyncio.run(main())
    assert told == [(1, "sent"), (2, "delivered"), (0, ""), (0, "")]


def test_a_subscription_that_is_cancelled_at_its_beginning_does_not_go_on(tmp_path: Path) -> None:
    """Nobody would have it in hand; its name can be subscribed again."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            with write_lock(tmp_path / "l.db") as other:
                beginning = asyncio.ensure_future(ledger.subscribe("a", lambda _: None))
                await asyncio.sleep(0.1)
                beginning.cancel()
                await asyncio.sleep(0.05)
                other.execute("ROLLBACK")
                with pytest.raises(asyncio.CancelledError):
                    await beginning
            assert (await ledger.checkpoints())[0].name == "a"
            subscription = await ledger.subscribe("a", lambda _: None)
            assert subscription.running

    asyncio.run(main())


def test_waiting_for_a_subscription_has_an_end(tmp_path: Path) -> None:
    """A wait that is too short, or cancelled, leaves nothing behind."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            await ledger.record(sent("SMS_1"))
            go_on = threading.Event()
            subscription = await ledger.subscribe("a", lambda _: go_on.wait(10))
            with pytest.raises(TimeoutError, match=r"^subscription 'a' is at -1 of 1$"):
                await subscription.wait(0.05)
            go_on.set()
            await subscription.wait(10)

    asyncio.run(main())


ENDING = """
import asyncio, signal, sys
from postledger import AsyncLedger, Ledger

signal.alarm(30)
_, path, body, how = sys.argv


async def main():
    loop, told, ended = asyncio.get_running_loop(), [], asyncio.Event()
    ledger = AsyncLedger(path)
    async with ledger:

        async def end():
            await (ledger.close() if "close" in how else subscription.stop())

        async def handler(change):
            told.append(change.position)
            await ledger.record(b"acknowledged")
            if "task" in how:
                await asyncio.gather(end())
            elif "thread" in how:
                await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(end(), loop).result())
            else:
                await end()
            ended.set()

        def plain(change):
            told.append(change.position)
            asyncio.run_coroutine_threadsafe(ledger.record(b"acknowledged"), loop).result()
            asyncio.run_coroutine_threadsafe(end(), loop).result()
            loop.call_soon_threadsafe(ended.set)

        subscription = await ledger.subscribe("a", plain if "plain" in how else handler)
        await ledger.record_many([body.encode(), body.replace("SMS_1", "SMS_2").encode()])
        await ended.wait()
        await subscription.stop()
        assert not subscription.running and subscription.error is None
    await ledger.close()
    assert told == [1], told


asyncio.run(main())
with Ledger(path) as ledger:
    assert ledger.checkpoints()[0].position == 1, ledger.checkpoints()
    assert ledger.head().size == 4, ledger.head()
    assert ledger.verify().ok
print("ended")
"""


@in_file
@pytest.mark.parametrize("end", ["stop", "close"])
@pytest.mark.parametrize("where", ["", "in a task", "in a thread", "in a plain handler"])
def test_a_handler_may_end_what_calls_it(tmp_path: Path, end: str, where: str) -> None:
    """It asks for the end and waits for nothing; the checkpoint and what was recorded are kept."""
    program = [sys.executable, "-c", ENDING, tmp_path / "l.db", sent("SMS_1"), f"{end} {where}"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("ended\n", "", 0)


def test_what_a_handler_left_running_waits_for_the_end(tmp_path: Path) -> None:
    """A task that it began is no longer the handler once that has returned."""

    async def main() -> None:
        begun: list[asyncio.Task[None]] = []
        go_on = asyncio.Event()

        async def stop() -> None:
            await go_on.wait()
            await subscription.stop()
            assert not subscription.running

        async def handler(change: StateChanged) -> None:
            begun.append(asyncio.create_task(stop()))

        async with AsyncLedger(tmp_path / "l.db") as ledger, asyncio.timeout(30):
            subscription = await ledger.subscribe("a", handler)
            await ledger.record(sent("SMS_1"))
            await subscription.wait()
            go_on.set()
            await begun[0]

    asyncio.run(main())


FORKED = """
import asyncio, os, signal, sys
from postledger import AsyncLedger, LedgerError


async def child(ledger, subscription):
    calls = (
        lambda: ledger.record(b"child"),
        lambda: ledger.created("a", to="1"),
        ledger.head,
        ledger.__aenter__,
        lambda: anext(ledger.events()),
        lambda: ledger.subscribe("b", print),
        subscription.status,
    )
    for call in calls:
        try:
            await call()
        except LedgerError as error:
            print(error, flush=True)
    await subscription.stop()
    await ledger.close()
    await ledger.close()
    try:
        await ledger.head()
    except LedgerError as error:
        print(error, flush=True)


async def main():
    async with AsyncLedger(sys.argv[1]) as ledger:
        subscription = await ledger.subscribe("a", lambda _: None)
        await ledger.record(b"before")
        await ledger.head()
        forked = os.fork()
        if not forked:
            signal.alarm(30)
            asyncio._set_running_loop(None)
            asyncio.new_event_loop().run_until_complete(child(ledger, subscription))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]), flush=True)
        assert (await ledger.record(b"after")).event.position == 2
        assert subscription.running
        assert (await ledger.verify()).ok


asyncio.run(main())
"""


@in_file
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_an_async_ledger_is_refused_in_a_forked_child(tmp_path: Path) -> None:
    """None of its threads is there: each call is refused, and closing it harms nothing."""
    path = tmp_path / "l.db"
    program = [sys.executable, "-W", "ignore", "-c", FORKED, path]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    refusal = f"{path}: opened before a fork; open it again in each process"
    assert done.stdout.splitlines() == [refusal] * 7 + [f"{path}: the ledger is closed", "0"]


class Held:
    """A projection that holds each write until it may go on; then ``ending`` is done in it."""

    name, version = "held", 1
    tables: Mapping[str, str] = {"held": "n INTEGER PRIMARY KEY"}

    def __init__(self, ending: str = "") -> None:
        self.begun, self.go_on, self.ending = threading.Event(), threading.Event(), ending

    def apply(self, change: Change, db: Database) -> None:
        if change.event.kind == "receipt":
            self.begun.set()
            self.go_on.wait(10)
            if self.ending:
                db.execute("INSERT INTO held VALUES (1)")
                db.execute(self.ending)


@in_file
def test_a_call_that_is_cancelled_was_never_begun_or_is_finished(tmp_path: Path) -> None:
    """The one that waits in the queue is taken back; the one that is under way is waited for."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            held = Held()
            await ledger.project(held)
            under_way = asyncio.ensure_future(ledger.record(sent("SMS_1")))
            await asyncio.to_thread(held.begun.wait, 10)
            in_the_queue = asyncio.ensure_future(ledger.record(sent("SMS_2")))
            await asyncio.sleep(0.05)
            in_the_queue.cancel()
            with pytest.raises(asyncio.CancelledError):
                await in_the_queue
            for _ in range(3):
                under_way.cancel()
                await asyncio.sleep(0.02)
            assert not under_way.done()
            held.go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await under_way
            events = [event.body async for event in ledger.events(0)]
            assert events == [sent("SMS_1")]

    asyncio.run(main())


def test_a_call_that_waits_for_its_turn_can_be_cancelled(tmp_path: Path) -> None:
    """Another process writes: nothing was begun, and nothing of it is recorded later."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            with write_lock(tmp_path / "l.db"):
                recording = asyncio.ensure_future(ledger.record(sent("SMS_1")))
                await asyncio.sleep(0.05)
                recording.cancel()
                await asyncio.sleep(0.05)
                assert recording.cancelled()
            await ledger.record(sent("SMS_2"))
            assert [event.body async for event in ledger.events(0)] == [sent("SMS_2")]

    asyncio.run(main())


@in_file
def test_a_cancelled_call_that_fails_tells_its_error(tmp_path: Path) -> None:
    """The error is the cause of the cancellation, so that it is not lost."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            held = Held("INSERT OR ROLLBACK INTO held VALUES (1)")
            await ledger.project(held)
            recording = asyncio.ensure_future(ledger.record(sent("SMS_1")))
            await asyncio.to_thread(held.begun.wait, 10)
            recording.cancel()
            held.go_on.set()
            with pytest.raises(asyncio.CancelledError) as caught:
                await recording
            assert "rolled the transaction back" in str(caught.value.__cause__)
            assert (await ledger.head()).size == 1

    asyncio.run(main())


@long_on_server
def test_cancelled_at_random_nothing_is_lost_or_half_written(tmp_path: Path) -> None:
    """All that gave a result is in the ledger; what is in it whole was asked for; it verifies."""
    chance = random.Random(7)
    keys = [f"SMS_{n}" for n in range(150)]

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            tasks = {key: asyncio.ensure_future(ledger.record(sent(key))) for key in keys}
            while not all(task.done() for task in tasks.values()):
                chance.choice(list(tasks.values())).cancel()
                await asyncio.sleep(chance.choice((0, 0.002)))
            await asyncio.wait(tasks.values())
            done = {key for key, task in tasks.items() if not task.cancelled()}
            there = {d.tracking_id async for d in ledger.deliveries()}
            assert done <= there <= set(keys)
            assert 0 < len(done) < len(keys)
            assert (await ledger.verify()).ok

    asyncio.run(main())


def test_closing_is_not_cancelled(tmp_path: Path) -> None:
    """What was asked for before is done, and the file is closed, whoever is cancelled meanwhile."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            with write_lock(tmp_path / "l.db") as other:
                writing = asyncio.ensure_future(ledger.record(sent("SMS_1")))
                await asyncio.sleep(0.05)
                closing = asyncio.ensure_future(ledger.close())
                await asyncio.sleep(0.05)
                closing.cancel()
                await asyncio.sleep(0.05)
                assert not closing.done()
                other.execute("ROLLBACK")
                with pytest.raises(asyncio.CancelledError):
                    await closing
            assert (await writing).event.position == 1
        # The thread that closes it ends a moment later.
        async with asyncio.timeout(30):
            while any("postledger" in thread.name for thread in threading.enumerate()):
                await asyncio.sleep(0.01)

    asyncio.run(main())


@in_file
def test_it_can_be_opened_again(tmp_path: Path) -> None:
    """Also by another event loop, and after it could not be opened; not while it is open."""
    folder = tmp_path / "later"
    ledger = AsyncLedger(folder / "l.db")

    async def main() -> None:
        async with ledger:
            await ledger.record(sent("SMS_1"))
            with pytest.raises(LedgerError, match=r": the ledger is open already"):
                await ledger.__aenter__()
            assert (await ledger.delivery("SMS_1")).state == "sent"
        with pytest.raises(LedgerError, match="closed"):
            await ledger.head()

    async def refused() -> None:
        with pytest.raises(LedgerError, match="can't be opened"):
            await ledger.__aenter__()

    asyncio.run(refused())
    folder.mkdir()
    before = set(threading.enumerate())
    asyncio.run(main())
    asyncio.run(main())
    # The last one ends by itself, a little later.
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive(), thread.name


def test_what_followed_ends_though_it_is_opened_again(tmp_path: Path) -> None:
    """Whoever follows hears of what it followed, and a subscription ends with it."""

    async def main() -> None:
        ledger = AsyncLedger(tmp_path / "l.db")
        async with ledger:
            await ledger.record(sent("SMS_1"))
            changes = ledger.follow()
            await anext(changes)
            waiting = asyncio.ensure_future(anext(changes, None))
            await asyncio.sleep(0)
        async with ledger:
            assert await waiting is None
            await ledger.record(delivered("SMS_1"))

    asyncio.run(main())


def test_reads_go_on_while_a_write_waits(tmp_path: Path) -> None:
    """A writer that is kept waiting holds up no reader."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            await ledger.record(sent("SMS_1"))
            with write_lock(tmp_path / "l.db") as other:
                writing = asyncio.ensure_future(ledger.record(delivered("SMS_1")))
                states = await asyncio.gather(*(ledger.delivery("SMS_1") for _ in range(20)))
                assert {delivery.state for delivery in states} == {"sent"}
                assert not writing.done()
                other.execute("ROLLBACK")
                await writing

    asyncio.run(main())


@in_file
def test_it_is_open_within_async_with_only(tmp_path: Path) -> None:
    """Before and after, and where it can't be opened, the error says what is the matter."""

    async def main() -> None:
        ledger = AsyncLedger(tmp_path / "l.db")
        with pytest.raises(LedgerError, match=r": the ledger is not open yet; .*async with"):
            await ledger.head()
        async with ledger:
            assert (await ledger.head()).size == 1
        with pytest.raises(LedgerError, match=r": the ledger is closed"):
            await ledger.head()
        await ledger.close()
        with pytest.raises(LedgerError, match="can't be opened"):
            async with AsyncLedger(tmp_path / "nowhere" / "l.db"):
                pass

    asyncio.run(main())


def test_an_import_is_noted(tmp_path: Path) -> None:
    """The event names the hash of the file, and comes after what was taken."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            await ledger.record(sent("SMS_1"))
            assert await ledger.imported("0" * 64, 1, await ledger.head()) == 2
            with pytest.raises(ValueError, match="sha256 must be 64 hexadecimal digits"):
                await ledger.imported("0", 1)

    asyncio.run(main())
