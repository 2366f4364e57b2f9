"""A ledger on a server whose connections, backends and host fail: nothing acknowledged is lost.

The server is Debian's PostgreSQL, killed and restarted; the proxy loses a COMMIT, or the answer to it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from postledger import Address, IntegrityError, Ledger, LedgerBusy, LedgerError, Receipt
from postledger.log.event import Kind
from postledger.store import postgres as store
from tests.postgres_server import LONG, PostgresServer
from tests.proxy import Proxy
from tests.samples import delivered, sent

_WRITER = """
import sys, threading
from postledger import Ledger, LedgerError
from tests.samples import sent

address, process, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
told = threading.Lock()
with Ledger(address) as ledger:
    print("ready", flush=True)
    stop = threading.Event()

    def work(number):
        count = 0
        while not stop.is_set():
            key = f"{process}-{number}-{count}"
            count += 1
            try:
                recorded = ledger.record(sent(key))
            except LedgerError as error:
                print(f"refused {key} {error}", file=sys.stderr, flush=True)
                continue
            with told:
                print(f"{recorded.event.position} {key} {recorded.verdict}", flush=True)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    sys.stdin.read()
    stop.set()
    for worker in workers:
        worker.join()
"""


class Writer:
    """A process that records in several threads until told to stop; ``told`` is what was acknowledged."""

    def __init__(self, address: str, name: str, threads: int = 4) -> None:
        self.told: list[tuple[int, str]] = []
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, address, name, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            position, key, _ = line.split()
            self.told.append((int(position), key))

    def stop(self) -> str:
        """End it; what it said of calls that failed."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        status = self.process.wait()
        self._said.seek(0)
        with self._said:
            said = self._said.read()
        assert status == 0, said
        return said


def require_whole(address: str, told: list[tuple[int, str]]) -> None:
    """Each acknowledged event is where it was said to be, without a gap, and all of it verifies."""
    with Ledger(address) as ledger:
        events = {event.position: event for event in ledger.events()}
        for position, key in told:
            assert events[position].key == key
        assert sorted(events) == list(range(ledger.head().size))
        assert ledger.verify().problems == ()
        keys = [event.key for event in events.values() if event.key]
        assert len(keys) == len(set(keys)), "an event was recorded twice"
        assert len(told) == len(set(told)) <= len(events)


def hit(
    postgres: PostgresServer, address: str, times: int, blow: Callable[[], object], *, pause: float
) -> None:
    """16 writers in 4 processes, and blows while they record."""
    with Ledger(address):
        pass
    writers = [Writer(address, f"w{n}") for n in range(4)]
    try:
        for _ in range(times):
            before = sum(len(one.told) for one in writers)
            blow()
            end = time.monotonic() + LONG
            while sum(len(one.told) for one in writers) < before + 40:
                assert time.monotonic() < end, "nobody records any more"
                time.sleep(pause)
    finally:
        said = [one.stop() for one in writers]
    told = [one for writer in writers for one in writer.told]
    assert len(told) >= 40 * times
    require_whole(address, told)
    assert "Traceback" not in "".join(said)


def test_writers_outlive_50_backends_and_10_servers(
    postgres: PostgresServer, postgres_address: str
) -> None:
    """16 writers in 4 processes: nothing acknowledged is lost, and nothing is there twice."""
    count = 0

    def blow() -> None:
        nonlocal count
        count += 1
        if count % 6:
            postgres.terminate_backends()
        elif count % 12:
            postgres.kill()
            postgres.start()
        else:
            postgres.stop("immediate")
            postgres.start()

    hit(postgres, postgres_address, 60, blow, pause=0.02)


def test_a_commit_of_which_the_answer_is_lost_is_recorded_once(
    postgres_tcp: PostgresServer, postgres_proxy: Proxy
) -> None:
    """The server is asked how it ended: the call is answered as any other."""
    with postgres_tcp.new_schema() as schema:
        address = postgres_tcp.address(schema, port=postgres_proxy.port)
        with Ledger(address) as ledger:
            for n in range(5):
                postgres_proxy.lose_commits(arrives=n % 2 == 0)
                recorded = ledger.record(sent(f"k{n}"))
                assert recorded.verdict == "applied"
                assert recorded.event.position == n + 1
            assert postgres_proxy.lost == 5
            assert ledger.head().size == 6
            assert ledger.verify().problems == ()


def test_a_server_that_says_it_committed_must_have_it(
    postgres_tcp: PostgresServer, postgres_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that took over may have given the transaction's number to something else."""
    with postgres_tcp.new_schema() as schema:
        address = postgres_tcp.address(schema, port=postgres_proxy.port)
        with Ledger(address) as ledger:
            ledger.record(sent("a"))
            monkeypatch.setattr(store, "_status", lambda *_: "committed")
            postgres_proxy.lose_commits(arrives=False)
            assert ledger.record(sent("b")).event.position == 2
            assert postgres_proxy.lost == 1
            assert ledger.delivery("b").state == "sent"


def test_of_many_callers_none_is_lost_with_a_commit(
    postgres_tcp: PostgresServer, postgres_proxy: Proxy
) -> None:
    """Callers share a transaction whose answer is lost; each has its own position."""
    with postgres_tcp.new_schema() as schema:
        address = postgres_tcp.address(schema, port=postgres_proxy.port)
        with Ledger(address) as ledger, ThreadPoolExecutor(16) as pool:
            for n in range(10):
                postgres_proxy.lose_commits(arrives=n % 2 == 0)
                keys = [f"k{n}-{m}" for m in range(16)]
                done = list(pool.map(ledger.record, map(sent, keys)))
                assert {one.verdict for one in done} == {"applied"}
            positions = [event.position for event in ledger.events()]
            assert positions == list(range(161))
            assert postgres_proxy.lost == 10


_HOLDER = """
import sys, time
from postledger import Ledger, LedgerError
from postledger.store import postgres

postgres.LONGEST_IDLE = 1.0
with Ledger(sys.argv[1]) as ledger:
    own = ledger._connections._own()
    try:
        with own.store.write():
            print("holds", flush=True)
            sys.stdin.readline()
            own.store.execute("SELECT 1")
    except LedgerError as error:
        print(error, flush=True)
"""


def test_a_writer_that_was_stopped_is_passed(postgres_address: str) -> None:
    """The server waits for its next word for a while; others go on then, and it is told when it wakes."""
    with Ledger(postgres_address, timeout=LONG) as ledger:
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, postgres_address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert holder.stdin is not None
        assert holder.stdout is not None
        with holder:
            assert holder.stdout.readline() == "holds\n"
            holder.send_signal(signal.SIGSTOP)
            assert ledger.record(sent("b")).event.position == 1
            holder.send_signal(signal.SIGCONT)
            holder.stdin.write("\n")
            holder.stdin.flush()
            assert "nothing was written" in holder.stdout.readline()
        assert ledger.record(sent("a")).event.position == 2


_REPLAYER = """
import sys
from postledger import Ledger

with Ledger(sys.argv[1]) as ledger:
    for n in range(12):
        ledger.replay(index=n % 2 == 0)
"""


def test_nobody_is_turned_away_while_another_replays(postgres_address: str) -> None:
    """Tables and views are replaced under those who open the ledger, record and read meanwhile."""
    with Ledger(postgres_address) as ledger:
        ledger.record_many(sent(f"k{n}") for n in range(100))
    replayer = subprocess.Popen([sys.executable, "-c", _REPLAYER, postgres_address])
    count = 0
    while replayer.poll() is None:
        with Ledger(postgres_address) as ledger, ThreadPoolExecutor(4) as pool:
            keys = [f"m{count + n}" for n in range(4)]
            assert {one.verdict for one in pool.map(ledger.record, map(sent, keys))} == {"applied"}
            count += 4
            assert len(list(ledger.deliveries())) == 100 + count
    assert replayer.returncode == 0
    with Ledger(postgres_address) as ledger:
        assert ledger.verify().problems == ()


def test_a_held_lock_is_said_to_be_held(postgres_address: str) -> None:
    """After the timeout, in one line."""
    with Ledger(postgres_address) as one, Ledger(postgres_address, timeout=0.2) as other:
        own = one._connections._own()
        with (
            own.store.write(),
            pytest.raises(
                LedgerBusy, match="another process holds the write lock; nothing was written"
            ),
        ):
            other.record(sent("a"))
        assert other.record(sent("a")).event.position == 1


def test_a_server_that_was_behind_is_refused(
    postgres: PostgresServer, postgres_address: str
) -> None:
    """With the positions that were acknowledged and are not there; to open it again accepts the loss."""
    data = postgres.folder / "data"
    with Ledger(postgres_address) as ledger:
        ledger.record(sent("a"))
        postgres.stop()
        kept = shutil.copytree(data, postgres.folder / "kept", symlinks=True)
        subprocess.run(["chown", "-R", f"--reference={data}", str(kept)], check=True)
        postgres.start()
        for n in range(3):
            ledger.record(sent(f"b{n}"))
        postgres.stop()
        shutil.rmtree(data)
        kept.rename(data)
        postgres.start()
        for _ in range(2):
            with pytest.raises(IntegrityError, match=r"positions 2 to 4 were acknowledged"):
                ledger.record(sent("c"))
    with Ledger(postgres_address) as ledger:
        assert ledger.record(sent("c")).event.position == 2


def test_a_server_that_may_lose_what_it_said_is_refused(
    postgres: PostgresServer, postgres_address: str
) -> None:
    """Unless who opens it says that it may."""
    for name in ("fsync", "full_page_writes"):
        postgres.settings(**{name: "off"})
        with pytest.raises(LedgerError, match=f"the server has {name} = off"):
            Ledger(postgres_address)
        with Ledger(f"{postgres_address}&durability=off") as ledger:
            ledger.record(sent("a"))
        postgres.settings()


def test_what_was_written_before_the_lock_is_seen(postgres_address: str) -> None:
    """A snapshot that is older than the lock would not show it, and the position be taken twice."""
    with Ledger(postgres_address) as one, Ledger(postgres_address) as other:
        started = threading.Event()
        own = other._connections._own()

        def second() -> int:
            started.set()
            return one.record(sent("b")).event.position

        with ThreadPoolExecutor(1) as pool:
            with own.store.write():
                waits = pool.submit(second)
                started.wait()
                time.sleep(0.3)
                other._write(own, [(Receipt(delivered("b")), Kind.RECEIPT)])
            assert waits.result(30) == 2


def test_listeners_hear_of_what_is_written(postgres: PostgresServer, postgres_address: str) -> None:
    """Programs of others need not ask again and again."""
    schema = Address.parse(postgres_address).schema
    with Ledger(postgres_address) as ledger, postgres.connect() as conn:
        conn.execute(f'LISTEN "postledger_{schema}"')
        ledger.record(sent("a"))
        (heard,) = conn.notifies(timeout=10, stop_after=1)
        assert heard.channel == f"postledger_{schema}"
        assert ledger.head().size == 2


def test_a_notice_comes_behind_the_commit(postgres: PostgresServer, postgres_address: str) -> None:
    """Inside, all who commit would wait for each other, whatever their ledger."""
    with Ledger(postgres_address) as ledger:
        postgres.settings(log_statement="all", log_line_prefix="said ")
        ledger.record(sent("a"))
        ledger.close()
        said = [one for one in postgres.log.read_text().split("said ") if "statement: " in one]
    kinds = [one.split("statement: ")[1].split()[0] for one in said]
    notices = [n for n, kind in enumerate(kinds) if kind == "NOTIFY"]
    assert notices
    assert {kinds[n - 1] for n in notices} == {"COMMIT"}
