"""Several processes, and threads of each, that record into one ledger, replay it and adopt.

Seen to fail: ``tests/faults/without.py`` takes the protections away one by one:
with a plain BEGIN in place of BEGIN IMMEDIATE, or without waiting for the lock, a writer stops with
"another process holds the write lock"; without the refusal the forked child records; without the closing
of left connections files stay open.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from postledger import Ledger, Receipt, UnknownKey
from postledger.definitions.definitions import builtin
from tests.faults import traffic
from tests.states import rows, states


@pytest.mark.long
def test_two_processes_record_10_000_receipts_of_overlapping_ids(tmp_path: Path) -> None:
    """All are there, without a gap, each id has all of its events, and nobody was turned away."""
    path = tmp_path / "test.db"
    running = [traffic.start("batches", path, first, first + 5000) for first in (0, 2500)]
    for process in running:
        assert traffic.finish(process) == (0, "", "")
    with Ledger(path) as ledger:
        found = ledger.verify()
        assert (found.events, found.problems) == (10_001, ())
        assert [event.position for event in ledger.events()] == list(range(10_001))
        assert sum(delivery.repeats for delivery in ledger.deliveries()) == 2500
        together = states(ledger)
    with Ledger(tmp_path / "alone.db") as alone:
        alone.record_many(traffic.bodies(0, 7500))
        assert states(alone) == together


def test_two_processes_record_overlapping_ids(tmp_path: Path) -> None:
    """The same in short."""
    path = tmp_path / "test.db"
    running = [traffic.start("batches", path, first, first + 500) for first in (0, 250)]
    for process in running:
        assert traffic.finish(process) == (0, "", "")
    with Ledger(path) as ledger:
        found = ledger.verify()
        assert (found.events, found.problems) == (1_001, ())
        assert sum(delivery.repeats for delivery in ledger.deliveries()) == 250


def test_several_threads_of_two_processes(tmp_path: Path) -> None:
    """The threads of one process share a ledger while another process records into its file."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        other = traffic.start("batches", path, 0, 400)
        failed: list[BaseException] = []

        def record(seed: int) -> None:
            numbers = list(range(100))
            random.Random(seed).shuffle(numbers)
            try:
                for number in numbers:
                    ledger.record(traffic.body(number))
                ledger.record_many(map(traffic.body, numbers))
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=record, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert traffic.finish(other) == (0, "", "")
        found = ledger.verify()
        assert (found.events, found.problems) == (1201, ())
        assert {delivery.events for delivery in ledger.deliveries()} == {1, 3}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files can't be counted here")
def test_threads_that_come_and_go_leave_no_open_files(tmp_path: Path) -> None:
    """A server may use a new thread for each request: its connection is closed when it has ended."""
    with Ledger(tmp_path / "test.db") as ledger:
        for number in range(60):
            thread = threading.Thread(target=ledger.record, args=(traffic.body(number),))
            thread.start()
            thread.join()
        assert len(list(Path("/proc/self/fd").iterdir())) < 60
        assert ledger.head().size == 61


def test_processes_that_create_a_ledger_together(tmp_path: Path) -> None:
    """Each of them opens it, and it is one ledger."""
    for attempt in range(3):
        path = tmp_path / f"{attempt}.db"
        running = [traffic.start("acknowledge", path, n, n + 1) for n in range(4)]
        done = [traffic.finish(process) for process in running]
        assert sorted(done) == [(0, f"{position}\n", "") for position in (1, 2, 3, 4)]
        with Ledger(path) as ledger:
            assert ledger.verify().ok


_OPENING = """
import sys
from postledger import Ledger

with Ledger(sys.argv[1], timeout=60) as ledger:
    print(ledger.delivery(sys.argv[2]).state)
"""


@pytest.mark.parametrize(
    "lost",
    ["DELETE FROM generations", "UPDATE generations SET version = '0.0:', vocabularies = ''"],
)
def test_processes_that_open_a_ledger_without_states_together(tmp_path: Path, lost: str) -> None:
    """They make the states between them: none is refused, and none adopts anything."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 2_000))
        (delivery,) = ledger.deliveries(limit=1)
        whole = rows(ledger)
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(lost)
    opening = [
        traffic.python("-W", "ignore", "-c", _OPENING, path, delivery.tracking_id) for _ in range(4)
    ]
    for process in opening:
        assert traffic.finish(process)[:2] == (0, f"{delivery.state}\n")
    with Ledger(path) as ledger:
        assert rows(ledger) == whole
        assert ledger.verify().problems == ()
        assert [event.position for event in ledger.events() if event.kind == "adoption"] == [0]


def test_a_ledger_is_refused_in_a_forked_child(tmp_path: Path) -> None:
    """A connection that two processes share would damage the file: each opens the ledger anew."""
    program = (
        "import os, sys\n"
        "from postledger import Ledger, LedgerError\n"
        "ledger = Ledger(sys.argv[1])\n"
        "child = os.fork()\n"
        "if child:\n"
        "    ledger.close()\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "try:\n"
        "    ledger.record(b'<a/>')\n"
        "except LedgerError as error:\n"
        "    print(error, flush=True)\n"
        "    os._exit(0)\n"
        "os._exit(1)\n"
    )
    path = tmp_path / "test.db"
    code, out, err = traffic.finish(traffic.python("-c", program, path))
    assert (code, err) == (0, "")
    assert out == f"{path}: opened before a fork; open it again in each process\n"


def test_receptions_whose_clock_steps_back(tmp_path: Path) -> None:
    """Order is that of recording: a clock that is set back changes no state and harms no proof."""
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    with Ledger(tmp_path / "back.db") as back, Ledger(tmp_path / "forth.db") as forth:
        for number in range(30):
            hours = timedelta(hours=number)
            back.record_many([Receipt(traffic.body(number), received_at=noon - hours)])
            forth.record_many([Receipt(traffic.body(number), received_at=noon + hours)])
        assert states(back) == states(forth)
        assert back.verify().ok
        known = {d.tracking_id for d in back.deliveries(as_of=noon - timedelta(hours=27))}
        assert known == {"TU1T9"}
        first = back.delivery("TU1T0").first_received_at
        assert first == noon - timedelta(hours=2)


# --- while another replays or adopts ---


@pytest.mark.parametrize("what", ["replay", "reindex", "adopt"])
def test_two_record_while_another_replays(tmp_path: Path, what: str) -> None:
    """Nobody is turned away, all that was acknowledged is kept, and readers see whole tables.

    ``verify`` finds nothing wrong meanwhile.
    """
    _record_while(what, tmp_path, before=600, each=400)


@pytest.mark.long
@pytest.mark.parametrize("what", ["replay", "reindex", "adopt"])
def test_two_record_at_length_while_another_replays(tmp_path: Path, what: str) -> None:
    """The same with more events than a replay takes in at its end."""
    _record_while(what, tmp_path, before=3000, each=6000)


def _record_while(what: str, folder: Path, *, before: int, each: int) -> None:
    path = folder / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, before))
    writers = [
        traffic.start("acknowledge", path, first, first + each)
        for first in (before, before + each // 2)
    ]
    replays = 0
    with Ledger(path) as reader:
        while any(writer.poll() is None for writer in writers):
            replaying = traffic.start(what, path, 50, 2)
            while replaying.poll() is None:
                found = [row.events for row in reader.deliveries(limit=before // 3)]
                assert found == [3] * (before // 3)
                assert reader.verify().problems == ()
            assert traffic.finish(replaying)[::2] == (0, "")
            replays += 1
        acknowledged: list[int] = []
        for writer in writers:
            code, out, err = traffic.finish(writer)
            assert (code, err) == (0, "")
            acknowledged += map(int, out.split())
        assert replays
        assert len(acknowledged) == len(set(acknowledged)) == 2 * each
        assert reader.verify().problems == ()
        kept = {event.position: event.kind for event in reader.events()}
        assert {kept[position] for position in acknowledged} == {"receipt"}
        together = states(reader)
    with Ledger(folder / "alone.db") as alone:
        alone.record_many(traffic.bodies(0, before + each + each // 2))
        assert states(alone) == together


def test_an_open_ledger_follows_what_another_process_adopts(tmp_path: Path) -> None:
    """It goes on recording, by the new definitions, and never raises for them."""
    path = tmp_path / "test.db"
    acme = b'{"acme": "1", "id": "m1", "status": "delivered"}'
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 60))
        assert ledger.record(acme).verdict == "unrecognised"
        assert traffic.finish(traffic.start("adopt", path, 50, 1))[0] == 0
        assert ledger.record(traffic.body(60)).verdict == "applied"
        assert ledger.record(acme).verdict == "repeated"
        assert ledger.delivery("m1").state == "delivered"
        assert ledger.verify().problems == ()
        # And back, in a thread of this one, which others hear of as well.
        thread = threading.Thread(target=ledger.replay, args=(builtin(),))
        thread.start()
        thread.join()
        assert ledger.record(acme).verdict in ("unrecognised", "repeated")
        with pytest.raises(UnknownKey):
            ledger.delivery("m1")
        assert ledger.verify().problems == ()


def test_two_replays_at_once(tmp_path: Path) -> None:
    """One of them finishes; the other does as well, or says in one line who is in its way."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 999))
    for what in ("replay", "reindex", "adopt"):
        replays = [traffic.start(what, path, 50, 2) for _ in range(2)]
        done = [traffic.finish(replay) for replay in replays]
        assert 0 in [code for code, _, _ in done]
        assert all(code == 0 or traffic.one_line(err) for code, _, err in done)
        with Ledger(path) as ledger:
            assert ledger.verify().problems == ()
