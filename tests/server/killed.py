"""A forwarder and its peer that are killed again and again while a ledger is recorded.

As a program (``python -m tests.server.killed LEDGER URL SHIFT JUMP``) it is the forwarder, under a clock
that is ``SHIFT`` seconds off, and jumps by ``JUMP`` there and back four times a second.
"""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from postledger import Ledger
from postledger.server.endpoints import Status, endpoints
from postledger.server.forwarder import Forwarder
from postledger.server.schedule import Schedule
from tests.samples import delivered, failed, sent

ROOT = Path(__file__).parents[2]

SHIFTS, JUMPS = (0.0, 0.0, 86_400.0, -86_400.0, 3e8, -1e9), (0.0, 9e4, -9e4)
"""By how many seconds the clock of a forwarder may be wrong, and jump."""

SCHEDULE = Schedule(waits=(0.05,) * 40 + (0.2,) * 4_000, jitter=1.0)


def forward(ledger: str, url: str, shift: float, jump: float) -> None:
    """Forward until killed."""
    began = time.monotonic()

    def clock() -> float:
        return time.time() + shift + jump * (int((time.monotonic() - began) * 4) % 2)

    with Ledger(ledger, readonly=True) as opened:
        forwarder = Forwarder(opened, url, allow_private=True, schedule=SCHEDULE, clock=clock)
        print("ready", flush=True)
        forwarder.run()


class Running:
    """A program that is killed and started again."""

    def __init__(self, *words: object) -> None:
        self._words = words
        self._process: subprocess.Popen[str] | None = None

    def start(self, *words: object) -> None:
        """Start it, with further words, and wait until it is ready."""
        command = [sys.executable, "-m", *map(str, (*self._words, *words))]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        """Kill it, which it must not have ended by itself before."""
        assert self._process is not None
        assert self._process.poll() is None
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


def run(folder: Path, kills: int, seed: int) -> None:
    """Kill forwarder and peer, so many times; in the end the peer has every change, in order."""
    dice = random.Random(seed)
    path, log, port = folder / "a.db", folder / "peer.log", _free_port()
    forwarder = Running("tests.server.killed", path, f"http://127.0.0.1:{port}/hook")
    peer = Running("tests.server.peer", port, log)
    with Ledger(path) as ledger:
        peer.start(seed)
        forwarder.start(0.0, 0.0)
        try:
            for number in range(kills):
                _record(ledger, number, dice)
                if dice.random() < 0.6:
                    forwarder.kill()
                    forwarder.start(dice.choice(SHIFTS), dice.choice(JUMPS))
                else:
                    peer.kill()
                    time.sleep(dice.choice((0.0, 0.0, 0.3)))
                    peer.start(seed + number)
            _wait_until_sent(ledger)
            assert _status(ledger).parked == 0
        finally:
            forwarder.kill()
            peer.kill()
        got = [tuple(json.loads(line)) for line in log.read_text().splitlines()]
        changes = [
            (change.key, change.delivery.tracking_id, change.position)
            for change in ledger.follow(live=False)
        ]
    assert len(changes) > 5 * kills
    distinct = list(dict.fromkeys(got))
    assert sorted(distinct) == sorted(changes)
    for delivery in {change[1] for change in changes}:
        positions = [position for _, about, position in got if about == delivery]
        # Not even what came again came out of order.
        assert positions == sorted(positions)


def _record(ledger: Ledger, number: int, dice: random.Random) -> None:
    """Record what may change a state, of a few deliveries each time, for a while."""
    for _ in range(dice.randint(1, 8)):
        keys = [f"D{number}-{dice.randrange(20)}" for _ in range(dice.randint(1, 8))]
        ledger.record_many([dice.choice((sent, delivered, failed))(key) for key in keys])
        time.sleep(dice.uniform(0.0, 0.08))


def _status(ledger: Ledger) -> Status:
    (endpoint,) = endpoints(ledger)
    return endpoint.status()


def _wait_until_sent(ledger: Ledger) -> None:
    for _ in range(600):
        status = _status(ledger)
        if not status.behind and not status.pending:
            return
        time.sleep(0.1)
    raise AssertionError(status)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


if __name__ == "__main__":
    forward(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
