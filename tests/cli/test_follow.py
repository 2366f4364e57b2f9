"""``postledger follow``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from postledger import Ledger
from tests.samples import delivered, sent

Run = Callable[..., Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of one delivery, sent and delivered, with an event in between that changes nothing."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record_many([sent("SMS_1"), b"?", delivered("SMS_1")])
    return tmp_path / "l.db"


def test_each_change_is_a_line(run: Run, path: Path) -> None:
    """Position, time of reception, id, and the states before and after."""
    lines = [line.split("  ") for line in run("follow", path, "--no-live").stdout.splitlines()]
    assert [line[0] for line in lines] == ["1", "3"]
    assert [line[2:] for line in lines] == [
        ["SMS_1", "sent, sms"],
        ["SMS_1", "sent, sms → delivered, sms"],
    ]


def test_json_is_one_object_a_line(run: Run, path: Path) -> None:
    """It is that of the change, those behind a position only where asked so."""
    lines = run("follow", path, "--no-live", "--json", "--after", "1").stdout.splitlines()
    with Ledger(path) as ledger:
        assert [json.loads(line) for line in lines] == [
            change.to_dict() for change in ledger.follow(1, live=False)
        ]


@pytest.mark.parametrize("apart", [1, 100])
def test_without_a_position_the_last_ten_are_told(run: Run, path: Path, apart: int) -> None:
    """However many events lie between them that change nothing."""
    with Ledger(path) as ledger:
        for n in range(11):
            ledger.record_many([sent(f"SMS_{n + 2}"), *[b"?"] * apart])
        last = [change.position for change in ledger.follow(live=False)][-10:]
    lines = run("follow", path, "--no-live").stdout.splitlines()
    assert [int(line.split()[0]) for line in lines] == last


def test_an_empty_ledger_has_no_changes(run: Run, tmp_path: Path) -> None:
    """It prints nothing and ends with 0."""
    Ledger(tmp_path / "l.db").close()
    result = run("follow", tmp_path / "l.db", "--no-live")
    assert (result.output, result.exit_code) == ("", 0)


def test_following_tells_what_comes_until_it_is_interrupted(path: Path) -> None:
    """What another process records is told at once; Ctrl-C ends it quietly, with 0."""
    command = [sys.executable, "-m", "postledger", "follow", str(path), "--json"]
    # A shell that runs the tests in the background has its programs ignore Ctrl-C.
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, stdout=pipe, stderr=pipe, preexec_fn=listening) as process,
        Ledger(path) as ledger,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        assert [json.loads(process.stdout.readline())["position"] for _ in range(2)] == [1, 3]
        ledger.record(sent("SMS_2"))
        assert json.loads(process.stdout.readline())["delivery"]["tracking_id"] == "SMS_2"
        process.send_signal(signal.SIGINT)
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")
        assert process.wait() == 0
