"""Group commit: calls that record at the same time, each as if it were alone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from postledger import (
    AsyncLedger,
    Change,
    Kept,
    Ledger,
    LedgerBusy,
    LedgerError,
    Recorded,
    StateChanged,
)
from postledger.ledger import group
from postledger.projections import generations
from postledger.store.sqlite import SqliteStore, Turn
from tests.samples import delivered, failed, sent
from tests.stores import both_stores, in_file, tamper, write_lock

pytestmark = both_stores


@contextmanager
def held(ledger: Ledger) -> Iterator[ThreadPoolExecutor]:
    """Threads whose calls come while another connection writes: they are written together after it."""
    with ThreadPoolExecutor(64) as pool, write_lock(ledger.path):
        # The first one leads, and waits for the lock; those that come later are of its group.
        yield pool


def waiting(ledger: Ledger, count: int) -> None:
    """Wait until so many calls wait to be written."""
    while len(ledger._groups._waiting) < count:
        threading.Event().wait(0.002)


def raising(error: Exception) -> Callable[..., None]:
    """A function that raises an error."""

    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def failing_disk() -> sqlite3.OperationalError:
    """What SQLite raises where a sync fails."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    return error


def together(
    ledger: Ledger, bodies: list[bytes], **words: Any
) -> list[Future[Recorded]] | list[Future[Kept]]:
    """Record bodies at the same time, in that order."""
    futures = []
    with held(ledger) as pool:
        for count, body in enumerate(bodies, 1):
            futures.append(pool.submit(ledger.record, body, **words))
            waiting(ledger, count)
    return futures


class AtOnce:
    """Runs what is submitted at once, so that nothing is left to do when all is durable."""

    submit = staticmethod(lambda function, *args: function(*args))
    shutdown = staticmethod(lambda **_: None)


STORIES = st.lists(
    st.tuples(st.sampled_from((sent, delivered, failed)), st.sampled_from("abc")),
    min_size=2,
    max_size=9,
)


@pytest.mark.parametrize("ahead", [False, True])
@given(story=STORIES, junk=st.booleans())
@settings(max_examples=25, deadline=None)
def test_each_is_answered_as_if_it_were_alone(
    tmp_path_factory: pytest.TempPathFactory,
    ahead: bool,
    story: list[tuple[Callable[[str], bytes], str]],
    junk: bool,
) -> None:
    """Also where several are of one delivery, or say the same, and where answers are made ahead."""
    folder = tmp_path_factory.mktemp("group")
    bodies = [make(key) for make, key in story]
    bodies = [bodies[0], b"?", *bodies, b"?"] if junk else bodies
    with (
        Ledger(folder / "group.db") as ledger,
        Ledger(folder / "alone.db") as other,
        pytest.MonkeyPatch.context() as patch,
    ):
        if ahead:
            patch.setattr(group, "FEW", 1)
            patch.setattr(group, "SLOW", -1)
            patch.setattr(ledger._groups, "_answerer", AtOnce())
        done = [future.result() for future in together(ledger, bodies)]
        for body, recorded in zip(bodies, done, strict=True):
            alone = other.record(body)
            assert (recorded.verdict, recorded.event.position, recorded.event.repeats) == (
                alone.verdict, alone.event.position, alone.event.repeats,
            )  # fmt: skip
            mine, its = recorded.delivery, alone.delivery
            assert (mine and mine.state) == (its and its.state)
            assert (mine and (mine.events, mine.repeats)) == (its and (its.events, its.repeats))
        assert ledger.verify().problems == ()


def test_calls_of_many_threads_share_transactions(tmp_path: Path) -> None:
    """Those that wait are written by one sync."""
    with Ledger(tmp_path / "l.db") as ledger:
        counted = []
        with monitored(ledger, counted):
            done = together(ledger, [sent(f"SMS_{n}") for n in range(40)])
            assert sorted(future.result().event.position for future in done) == list(range(1, 41))
        assert counted == [40]


@contextmanager
def monitored(ledger: Ledger, counted: list[int]) -> Iterator[None]:
    """Note how many receipts each transaction writes."""
    write = ledger._groups._write

    def counting(own: Any, given: Any, *, answered: bool) -> Any:
        counted.append(len(given))
        return write(own, given, answered=answered)

    ledger._groups._write = counting
    yield
    ledger._groups._write = write


def test_groups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the number of callers, and by the bytes of their bodies; one always goes."""
    monkeypatch.setattr(group, "MOST", 4)
    monkeypatch.setattr(group, "MOST_BYTES", 3_000)
    counted: list[int] = []
    with Ledger(tmp_path / "l.db") as ledger, monitored(ledger, counted):
        bodies = [b"x"] * 6 + [b"y" * 5_000] * 2
        for future in together(ledger, bodies):
            future.result()
    assert counted == [4, 3, 1]


def test_a_short_answer_is_where_the_event_is(tmp_path: Path) -> None:
    """Position and leaf, for those who ask no more; others of the group have theirs."""
    with Ledger(tmp_path / "l.db") as ledger:
        kept = ledger.record(sent("SMS_1"), answer=False)
        (event,) = ledger.events(after=0)
        assert kept == Kept(event.position, event.leaf)
        (whole,) = together(ledger, [delivered("SMS_1")])
        assert whole.result().delivery.state == "delivered"
        with pytest.raises(TypeError, match="answer must be True or False, got 1"):
            ledger.record(b"", answer=1)  # type: ignore[call-overload]


def test_what_is_wrong_with_one_fails_that_one(tmp_path: Path) -> None:
    """A text that can't be stored undoes the group; then each is tried alone."""
    with Ledger(tmp_path / "l.db") as ledger:
        with held(ledger) as pool:
            first = pool.submit(ledger.record, sent("SMS_1"))
            waiting(ledger, 1)
            bad = pool.submit(ledger.record, sent("SMS_2"), source="\ud800")
            waiting(ledger, 2)
            last = pool.submit(ledger.record, delivered("SMS_1"))
            waiting(ledger, 3)
        assert first.result().delivery.state == "sent"
        with pytest.raises(LedgerError, match="surrogate"):
            bad.result()
        assert last.result().delivery.state == "delivered"
        assert ledger.verify().problems == ()
        assert ledger.head().size == 3


@in_file
def test_a_disk_that_fails_fails_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told that it was kept, and each has an error of its own to raise."""
    fail = raising(failing_disk())
    with Ledger(tmp_path / "l.db") as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(generations, "put", fail)
            done = together(ledger, [sent(f"SMS_{n}") for n in range(5)])
            errors = [future.exception() for future in done]
        assert all("the disk failed" in str(one) for one in errors)
        assert len({id(one) for one in errors}) == 5
        assert ledger.head().size == 1
        assert ledger.record(sent("SMS_1")).verdict == "applied"


@in_file
def test_after_the_disk_failed_the_file_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the connection took for written, what was acknowledged must be there."""
    fail = raising(failing_disk())
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record(sent("SMS_1"))
        before = ledger._connections._own().store
        with monkeypatch.context() as patch:
            patch.setattr(generations, "put", fail)
            with pytest.raises(LedgerError, match="the disk failed"):
                ledger.record(sent("SMS_2"))
        assert ledger.record(sent("SMS_2")).event.position == 2
        assert ledger._connections._own().store is not before
        with monkeypatch.context() as patch:
            patch.setattr(generations, "put", fail)
            with pytest.raises(LedgerError, match="the disk failed"):
                ledger.record(sent("SMS_3"))
        tamper(path, "DELETE FROM events WHERE position = 2")
        for _ in range(2):
            with pytest.raises(LedgerError, match="position 2 is not what was acknowledged"):
                ledger.record(sent("SMS_3"))
        with (
            ThreadPoolExecutor(1) as other,
            pytest.raises(LedgerError, match="position 2 is not what was acknowledged"),
        ):
            other.submit(ledger.record, sent("SMS_3")).result()


@in_file
def test_a_disk_that_fails_for_long_leaves_one_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure opens the file again, and what was open before is closed and forgotten."""
    with Ledger(tmp_path / "l.db") as ledger:
        monkeypatch.setattr(generations, "put", raising(failing_disk()))
        for _ in range(5):
            with pytest.raises(LedgerError, match="the disk failed"):
                ledger.record(sent("SMS_1"))
        assert len(ledger._connections._opened) == 1


@in_file
def test_what_was_undone_was_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that fails leaves nothing that a later one would take for durable."""
    fail = raising(LedgerError("moved"))
    with Ledger(tmp_path / "l.db") as ledger:
        position = ledger.record(sent("SMS_1")).event.position
        with monkeypatch.context() as patch:
            patch.setattr(SqliteStore, "_require_file", fail)
            with pytest.raises(LedgerError, match="moved"):
                ledger.record(sent("SMS_2"))
        ledger.subscribe("webhooks", lambda _: None, live=False)
        assert ledger._connections._acknowledged[0] == position


def test_a_leader_that_is_interrupted_while_it_waits_hands_over_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its interruption is what it raises, and the one who waits is written."""
    with Ledger(tmp_path / "l.db") as ledger:
        groups, write = ledger._groups, ledger._connections.write
        follower: list[Future[Recorded]] = []

        def interrupted(patience: float | None = None) -> object:
            if follower:
                return write(patience)
            follower.append(pool.submit(ledger.record, sent("SMS_2")))
            waiting(ledger, 2)
            raise KeyboardInterrupt

        monkeypatch.setattr(ledger._connections, "write", interrupted)
        with ThreadPoolExecutor(1) as pool:
            with pytest.raises(KeyboardInterrupt):
                ledger.record(sent("SMS_1"))
            assert follower[0].result().event.position == 1
        assert groups.pressure().waiting == 0


@in_file
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
def test_what_was_durable_when_its_leader_was_interrupted_is_recorded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    """Those of its group are told that it is there, and nobody writes it again."""
    leave, interrupted = Turn.leave, []

    def leave_and_interrupt(turn: Turn) -> None:
        leave(turn)
        if not interrupted:
            interrupted.append(turn)
            raise interruption

    bodies = [sent(f"SMS_{n}") for n in range(6)]
    with Ledger(tmp_path / "l.db") as ledger:
        monkeypatch.setattr(Turn, "leave", leave_and_interrupt)
        first, *others = together(ledger, bodies)
        with pytest.raises(interruption):
            first.result()
        assert [future.result().event.position for future in others] == [2, 3, 4, 5, 6]
        assert [future.result().verdict for future in others] == ["applied"] * 5
        assert [event.body for event in ledger.events(after=0)] == bodies
        assert ledger.record(sent("SMS_6")).event.position == 7
        assert ledger.verify().problems == ()


def test_two_that_lead_write_each_event_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who is to lead, and whom another has taken along, waits for what that one says."""
    settle, led = group._settle, threading.Event()

    def settle_late(taken: list[group.Caller], told: list[Any]) -> None:
        # The other leader has found nobody to write by now.
        if len(taken) == 2:
            led.wait(10)
        settle(taken, told)

    def lead(groups: group.Groups, leader: group.Caller, patience: float | None) -> None:
        real(groups, leader, patience)
        led.set()

    real = group.Groups.lead
    with Ledger(tmp_path / "l.db") as ledger:
        with held(ledger) as pool:
            futures = [pool.submit(ledger.record, sent("SMS_0"))]
            waiting(ledger, 1)
            futures.append(pool.submit(ledger.record, sent("SMS_1")))
            waiting(ledger, 2)
            monkeypatch.setattr(group, "_settle", settle_late)
            monkeypatch.setattr(group.Groups, "lead", lead)
            second = ledger._groups._waiting[1]
            second.leads = True
            second.wake(second)
        assert [future.result().event.position for future in futures] == [1, 2]
        assert led.is_set()


def test_one_that_times_out_leaves_the_others(tmp_path: Path) -> None:
    """Each waits as long as the timeout from its own call, and no longer."""
    with Ledger(tmp_path / "l.db", timeout=0.4) as ledger:
        with held(ledger) as pool:
            first = pool.submit(ledger.record, sent("SMS_1"))
            waiting(ledger, 1)
            with pytest.raises(LedgerBusy, match="nothing was written"):
                first.result()
            later = pool.submit(ledger.record, sent("SMS_2"))
            waiting(ledger, 1)
        assert later.result().event.position == 1
        assert [event.body for event in ledger.events(after=0)] == [sent("SMS_2")]


class Slow:
    """A projection that holds the first write up until it may go on."""

    name, version = "slow", 1
    tables: Mapping[str, str] = {"slow": "n INTEGER"}

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()

    def apply(self, change: Change, db: Database) -> None:
        if change.event.kind == "receipt":
            self.began.set()
            self.go_on.wait(60)


@in_file
def test_nobody_waits_longer_than_the_timeout_for_a_slow_group(tmp_path: Path) -> None:
    """Whoever came after its beginning is told that nothing was written, and isn't written."""
    slow = Slow()
    with Ledger(tmp_path / "l.db", timeout=0.3) as ledger, ThreadPoolExecutor(2) as pool:
        ledger.project(slow)
        try:
            first = pool.submit(ledger.record, sent("SMS_1"))
            slow.began.wait()
            with pytest.raises(LedgerBusy, match="nothing was written"):
                pool.submit(ledger.record, sent("SMS_2")).result(timeout=30)
        finally:
            slow.go_on.set()
        assert first.result().event.position == 1
        assert [event.body for event in ledger.events(after=0)] == [sent("SMS_1")]


class Dying:
    """A projection whose first event ends the thread that writes it."""

    name, version = "dying", 1
    tables: Mapping[str, str] = {"dying": "n INTEGER"}

    def __init__(self) -> None:
        self.done = False

    def apply(self, change: Change, db: Database) -> None:
        if change.event.kind == "receipt" and not self.done:
            self.done = True
            raise SystemExit


@in_file
def test_a_leader_that_dies_leaves_the_others(tmp_path: Path) -> None:
    """What it had begun is undone, and the next one writes the rest."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.project(Dying())
        bodies = [sent(f"SMS_{n}") for n in range(6)]
        dead, *others = together(ledger, bodies)
        with pytest.raises(SystemExit):
            dead.result()
        assert sorted(future.result().event.position for future in others) == [1, 2, 3, 4, 5]
        assert [event.body for event in ledger.events(after=0)] == bodies[1:]
        assert ledger.verify().problems == ()


class Recording:
    """A projection that records, which it must not."""

    name, version = "recording", 1
    tables: Mapping[str, str] = {"recording": "n INTEGER"}

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def apply(self, change: Change, db: Database) -> None:
        if change.event.kind == "receipt":
            self.ledger.record(b"again")


@in_file
def test_a_projection_that_records_is_refused(tmp_path: Path) -> None:
    """It would wait for itself; its checkpoint says why it stopped, and the event is kept."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.project(Recording(ledger))
        assert ledger.record(sent("SMS_1")).verdict == "applied"
        (checkpoint,) = ledger.checkpoints()
        assert "this thread is still reading" in str(checkpoint.problem)
        assert ledger.record(sent("SMS_2")).event.position == 2


def test_a_handler_that_records_waits_its_turn(tmp_path: Path) -> None:
    """It has a thread of its own."""
    with Ledger(tmp_path / "l.db") as ledger:

        def handle(change: StateChanged) -> None:
            if change.after["delivery"] == "sent":
                ledger.record(delivered(change.delivery.tracking_id))

        subscription = ledger.subscribe("a", handle)
        for future in together(ledger, [sent(f"SMS_{n}") for n in range(8)]):
            future.result()
        subscription.wait(30)
        subscription.wait(30)
        assert [d.state for d in ledger.deliveries()] == ["delivered"] * 8


def test_closing_ends_the_thread_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that opens and closes ledgers doesn't gather threads."""
    monkeypatch.setattr(group, "FEW", 1)
    monkeypatch.setattr(group, "SLOW", -1)
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record(sent("SMS_1"))
        (answers,) = (t for t in threading.enumerate() if t.name.startswith("postledger answers"))
    assert not answers.is_alive()


def test_closing_writes_those_who_wait(tmp_path: Path) -> None:
    """Each call that came before is finished; those after it are refused."""
    ledger = Ledger(tmp_path / "l.db")
    with ThreadPoolExecutor(1) as closer:
        with held(ledger) as pool:
            done = []
            for count in range(1, 9):
                done.append(pool.submit(ledger.record, sent(f"SMS_{count}")))
                waiting(ledger, count)
            closed = closer.submit(ledger.close)
            while not ledger._connections._closed:
                threading.Event().wait(0.002)
            with pytest.raises(LedgerError, match="closed"):
                ledger.record(b"late")
        assert sorted(future.result().event.position for future in done) == list(range(1, 9))
        closed.result()
    with Ledger(tmp_path / "l.db") as ledger:
        assert ledger.head().size == 9


def test_closing_writes_the_tasks_that_wait(tmp_path: Path) -> None:
    """The same of tasks."""

    async def main() -> None:
        ledger = AsyncLedger(tmp_path / "l.db")
        async with ledger:
            with write_lock(tmp_path / "l.db") as other:
                tasks = [asyncio.ensure_future(ledger.record(sent(f"SMS_{n}"))) for n in range(9)]
                await asyncio.sleep(0.05)
                closed = asyncio.ensure_future(ledger.close())
                await asyncio.sleep(0.05)
                other.execute("ROLLBACK")
                done = await asyncio.gather(*tasks)
                await closed
        assert sorted(one.event.position for one in done) == list(range(1, 10))

    asyncio.run(main())


def test_nobody_enters_what_is_closed(tmp_path: Path) -> None:
    """Else a task of another loop could wait for a leader that never comes."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger._groups.close()
        with pytest.raises(LedgerError, match="the ledger is closed"):
            ledger.record(sent("SMS_1"))
        assert ledger.health().pressure.waiting == 0


def test_tasks_are_written_together(tmp_path: Path) -> None:
    """Those that wait share a transaction; one that is cancelled is not in it."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            counted: list[int] = []
            inner = ledger._opened
            with monitored(inner, counted):
                with write_lock(inner.path) as other:
                    tasks = [
                        asyncio.ensure_future(ledger.record(sent(f"SMS_{n}"), answer=n % 2 == 0))
                        for n in range(30)
                    ]
                    await asyncio.sleep(0.05)
                    tasks[7].cancel()
                    await asyncio.sleep(0.05)
                    other.execute("ROLLBACK")
                done = await asyncio.gather(*tasks, return_exceptions=True)
            assert counted == [29]
            assert isinstance(done.pop(7), asyncio.CancelledError)
            kept = [one.position for one in done if isinstance(one, Kept)]
            whole = [one.event.position for one in done if isinstance(one, Recorded)]
            assert (len(kept), len(whole)) == (14, 15)
            assert sorted(kept + whole) == list(range(1, 30))

    asyncio.run(main())
