"""Subscriptions: every change, in order, at least once."""

from __future__ import annotations

import asyncio
import queue
import random
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from postledger import Ledger, LedgerError, Retry, StateChanged, SubscriptionFailed
from postledger.ledger import following
from postledger.store import listening
from tests.faults import traffic
from tests.postgres_server import PostgresServer
from tests.samples import delivered, failed, first_outcome_stands, sent
from tests.stores import both_stores, in_file

pytestmark = both_stores

QUICK = Retry(times=2, wait=0.001)


class Told:
    """A handler that keeps the positions it is told, and raises where it is asked to."""

    def __init__(self, *failing: int, times: float = float("inf")) -> None:
        self.positions: list[int] = []
        self._left = dict.fromkeys(failing, times)

    def __call__(self, change: StateChanged) -> None:
        if self._left.get(change.position, 0) > 0:
            self._left[change.position] -= 1
            raise ValueError("not now")
        self.positions.append(change.position)


def test_a_handler_is_told_what_was_and_what_comes(ledger: Ledger) -> None:
    """It catches up first, and then goes on with what is recorded."""
    ledger.record(sent("SMS_1"))
    told = Told()
    subscription = ledger.subscribe("a", told)
    subscription.wait(10)
    assert told.positions == [1]
    ledger.record(delivered("SMS_1"))
    subscription.wait(10)
    assert told.positions == [1, 2]
    assert subscription.running


def test_events_that_change_nothing_are_passed_over(ledger: Ledger) -> None:
    """The checkpoint moves behind them, the handler is not told."""
    ledger.record_many([sent("SMS_1"), sent("SMS_1"), b"?"])
    told = Told()
    subscription = ledger.subscribe("a", told, live=False)
    assert (told.positions, subscription.status().position) == ([1], 3)


def test_a_subscription_goes_on_where_it_was(tmp_path: Path) -> None:
    """The checkpoint is kept in the ledger under the name, from one process to the next."""
    told = Told()
    for key in ("SMS_1", "SMS_2"):
        with Ledger(tmp_path / "l.db") as ledger:
            ledger.record(sent(key))
            ledger.subscribe("a", told, live=False)
    assert told.positions == [1, 2]


def test_a_new_name_begins_where_it_is_told_to(ledger: Ledger) -> None:
    """``after`` counts for a new name only; a kept checkpoint has the say afterwards."""
    ledger.record_many([sent("SMS_1"), sent("SMS_2"), sent("SMS_3")])
    told = Told()
    ledger.subscribe("a", told, after=2, live=False)
    ledger.subscribe("a", told, after=-1, live=False)
    assert told.positions == [3]


def test_a_handler_that_raises_is_called_again(ledger: Ledger) -> None:
    """A passing fault costs a repetition of that change, and nothing is skipped."""
    ledger.record_many([sent("SMS_1"), sent("SMS_2"), sent("SMS_3")])
    told = Told(2, times=2)
    ledger.subscribe("a", told, live=False, retry=QUICK)
    assert told.positions == [1, 2, 3]


def test_a_handler_that_goes_on_raising_stops_at_that_position(ledger: Ledger) -> None:
    """It says where and why, in the process and in the ledger; others go on."""
    ledger.record_many([sent("SMS_1"), sent("SMS_2")])
    failing = ledger.subscribe("failing", Told(2), retry=QUICK)
    fine = ledger.subscribe("fine", Told())
    with pytest.raises(
        SubscriptionFailed, match=r"at position 2: .*not now.* on attempt 3"
    ) as caught:
        failing.wait(10)
    assert caught.value.position == 2
    assert isinstance(caught.value.__cause__, ValueError)
    ledger.record(sent("SMS_3"))
    fine.wait(10)
    assert (failing.running, fine.running) == (False, True)
    checkpoint, other = ledger.checkpoints()
    assert (checkpoint.name, checkpoint.position, checkpoint.behind) == ("failing", 1, 2)
    assert checkpoint.problem == str(caught.value)
    assert (other.position, other.behind, other.problem) == (3, 0, None)


def test_a_mended_handler_goes_on_at_the_change_that_it_could_not_take(ledger: Ledger) -> None:
    """The same name is subscribed again, and the problem is forgotten."""
    ledger.record_many([sent("SMS_1"), sent("SMS_2"), sent("SMS_3")])
    with pytest.raises(SubscriptionFailed):
        ledger.subscribe("a", Told(2), live=False, retry=QUICK)
    told = Told()
    subscription = ledger.subscribe("a", told, live=False)
    assert told.positions == [2, 3]
    assert subscription.status().problem is None


def test_stopping_ends_behind_the_change_in_hand(ledger: Ledger) -> None:
    """What the handler took is not told again, and the rest is told the next time."""
    ledger.record_many([sent("SMS_1"), sent("SMS_2")])
    begun, go_on, told = threading.Event(), threading.Event(), Told()

    def handler(change: StateChanged) -> None:
        told(change)
        begun.set()
        go_on.wait(10)

    subscription = ledger.subscribe("a", handler)
    assert begun.wait(10)
    threading.Timer(0.05, go_on.set).start()
    subscription.stop()
    assert (told.positions, subscription.status().position) == ([1], 1)
    with pytest.raises(SubscriptionFailed, match="stopped"):
        subscription.wait()


def test_stopping_does_not_wait_for_the_retries(ledger: Ledger) -> None:
    """A handler that is about to be called again in an hour is not called again, and not blamed."""
    ledger.record(sent("SMS_1"))
    raised = threading.Event()

    def handler(change: StateChanged) -> None:
        raised.set()
        raise ValueError

    subscription = ledger.subscribe("a", handler, retry=Retry(times=1, wait=3600))
    assert raised.wait(10)
    subscription.stop()
    assert (subscription.running, subscription.error) == (False, None)
    assert (subscription.status().position, subscription.status().problem) == (-1, None)


def test_a_slow_handler_has_its_checkpoint_kept_in_between(ledger: Ledger) -> None:
    """After a tenth of a second the checkpoint is kept though the page is not done."""
    ledger.record_many([sent("SMS_1"), sent("SMS_2"), sent("SMS_3")])
    positions: list[int] = []

    def handler(change: StateChanged) -> None:
        positions.append(ledger.checkpoints()[0].position)
        time.sleep(0.2 if change.position == 2 else 0)

    ledger.subscribe("a", handler, live=False)
    assert positions == [-1, -1, 2]


def test_a_name_runs_once_in_a_process(ledger: Ledger) -> None:
    """To subscribe a running name again is an error that says so."""
    subscription = ledger.subscribe("a", Told())
    with pytest.raises(LedgerError, match="running already"):
        ledger.subscribe("a", Told())
    subscription.stop()
    ledger.subscribe("a", Told())


def test_a_name_that_another_process_runs_stops(tmp_path: Path) -> None:
    """Of two that run one name, the one that finds the checkpoint moved stops and says why."""
    with Ledger(tmp_path / "l.db") as one, Ledger(tmp_path / "l.db") as other:
        one.record(sent("SMS_1"))

        def handler(change: StateChanged) -> None:
            other.subscribe("a", Told(), live=False)

        with pytest.raises(SubscriptionFailed, match="another program runs it too"):
            one.subscribe("a", handler, live=False)


def test_a_subscription_goes_on_by_adopted_definitions(tmp_path: Path) -> None:
    """Where another process adopts others, what comes is told by those, with another key."""
    with Ledger(tmp_path / "l.db") as ledger, Ledger(tmp_path / "l.db") as other:
        ledger.record(sent("SMS_1"))
        changes: list[StateChanged] = []
        subscription = ledger.subscribe("a", changes.append)
        subscription.wait(10)
        other.replay(first_outcome_stands())
        other.record_many([failed("SMS_1"), delivered("SMS_1"), sent("SMS_2")])
        subscription.wait(10)
        assert [change.delivery.tracking_id for change in changes] == ["SMS_1", "SMS_1", "SMS_2"]
        assert ledger.definitions.hash == first_outcome_stands().hash
        again = next(ledger.follow(live=False))
        assert (again.position, again.key == changes[0].key) == (1, False)


@in_file
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, print), "name must be text, got 5"),
        (("", print), "name must be non-empty text without white space around it"),
        (("a", "b"), "handler must be callable, got 'b'"),
        (("a", asyncio.sleep), "handler must be a plain function"),
        (("a", print, "1"), "after must be a whole number, got '1'"),
    ],
)
def test_a_mistake_of_the_caller_is_raised_at_once(
    ledger: Ledger, arguments: Any, message: str
) -> None:
    """It is a ``TypeError`` or ``ValueError`` that names the argument, and nothing is kept."""
    name, handler, *after = arguments
    with pytest.raises((TypeError, ValueError), match=message):
        ledger.subscribe(name, handler, **dict(zip(["after"], after, strict=False)))
    assert ledger.checkpoints() == ()


@in_file
@pytest.mark.parametrize("wrong", [{"times": -1}, {"wait": -0.1}])
def test_a_retry_counts_from_zero(wrong: Any) -> None:
    """Fewer than no times, or seconds, is a mistake that is raised."""
    with pytest.raises(ValueError, match=r"times|wait"):
        Retry(**wrong)


def test_waiting_has_an_end(ledger: Ledger) -> None:
    """A wait that is too short says how far the handler has come."""
    ledger.record(sent("SMS_1"))
    go_on = threading.Event()
    subscription = ledger.subscribe("a", lambda _: go_on.wait(10))
    with pytest.raises(TimeoutError, match="is at -1 of 1"):
        subscription.wait(0.01)
    go_on.set()
    subscription.wait(10)


def test_a_ledger_for_reading_keeps_no_checkpoints(tmp_path: Path) -> None:
    """It can be followed, not subscribed to."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record(sent("SMS_1"))
    with Ledger(tmp_path / "l.db", readonly=True) as ledger:
        assert len(list(ledger.follow(live=False))) == 1
        with pytest.raises(LedgerError, match="reading only"):
            ledger.subscribe("a", Told())


def test_a_handler_may_use_the_ledger(ledger: Ledger) -> None:
    """It runs outside of any transaction: it may read, and record."""
    ledger.record(sent("SMS_1"))

    def handler(change: StateChanged) -> None:
        if change.after["delivery"] == "sent":
            ledger.record(delivered(change.delivery.tracking_id))

    ledger.subscribe("a", handler, live=False)
    assert ledger.delivery("SMS_1").state == "delivered"


SUBSCRIBER = """
import os, sys
from postledger import Ledger

told = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
with Ledger(sys.argv[1]) as ledger:
    def handler(change):
        os.write(told, b"%d\\n" % change.position)
    ledger.subscribe("killed", handler, live=sys.argv[3] == "live").wait()
    while sys.argv[3] == "live":
        sys.stdin.read()
"""


@in_file
def test_a_subscriber_that_is_killed_skips_nothing(tmp_path: Path) -> None:
    """SIGKILL at random moments, while another process records: all is told, in order, no gap."""
    ledger_path, told_path = tmp_path / "l.db", tmp_path / "told"
    chance = random.Random(4)
    told_path.touch()
    with Ledger(ledger_path) as ledger:
        for turn in range(6):
            keys = [f"SMS_{turn}_{n}" for n in range(150)]
            ledger.record_many(make(key) for make in (sent, delivered) for key in keys)
            before = told_path.stat().st_size
            command = [sys.executable, "-c", SUBSCRIBER, str(ledger_path), str(told_path), "live"]
            with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
                while told_path.stat().st_size == before:
                    ledger.record(sent(f"SMS_{turn}_{chance.random()}"))
                    time.sleep(0.002)
                time.sleep(chance.uniform(0, 0.02))
                process.kill()
        last = [sys.executable, "-c", SUBSCRIBER, str(ledger_path), str(told_path), "once"]
        subprocess.run(last, check=True)
        changes = [change.position for change in ledger.follow(live=False)]
    told = [int(line) for line in told_path.read_text().split()]
    index = {position: at for at, position in enumerate(changes)}
    assert sorted(set(told)) == changes
    furthest = -1
    for position in told:
        assert index[position] <= furthest + 1, f"{position} was told before what precedes it"
        furthest = max(furthest, index[position])
    steps = [index[b] - index[a] for a, b in pairwise(told)]
    assert all(step == 1 or step <= 0 for step in steps)
    assert sum(step <= 0 for step in steps) > 0, "no kill came between a change and its checkpoint"


def test_what_other_processes_write_to_a_server_is_heard(
    postgres: PostgresServer, postgres_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, also after the connection was lost: who follows need not look by himself."""
    monkeypatch.setattr(following, "_SOONEST", 1e6)
    monkeypatch.setattr(following, "_LATEST", 1e6)
    monkeypatch.setattr(listening, "_AGAIN", 0.05)
    write = "import sys; from postledger import Ledger; from tests.samples import sent\n"
    write += "with Ledger(sys.argv[1]) as ledger: ledger.record(sent(sys.argv[2]))"
    heard = queue.Queue[StateChanged]()
    with Ledger(postgres_address) as ledger:
        ledger.record(sent("SMS_1"))
        ledger.subscribe("a", heard.put)
        assert heard.get(timeout=60).delivery.tracking_id == "SMS_1"
        for key in ("SMS_2", "SMS_3"):
            assert traffic.finish(traffic.python("-c", write, postgres_address, key))[0] == 0
            assert heard.get(timeout=60).delivery.tracking_id == key
            postgres.terminate_backends()


def test_a_server_that_is_away_leaves_a_ledger_to_be_closed(
    postgres: PostgresServer, postgres_address: str
) -> None:
    """Nothing waits for it."""
    with Ledger(postgres_address, timeout=1) as ledger:
        subscription = ledger.subscribe("a", Told())
        postgres.stop("immediate")
        subscription.stop()
