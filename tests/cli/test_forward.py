"""``postledger forward``."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from postledger import Ledger
from postledger.server.outbox import outbox_of
from tests.samples import delivered, failed, first_outcome_stands, sent
from tests.server.peer import Peer, Reply

Run = Callable[..., Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of two deliveries."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record_many([sent("a"), delivered("a"), sent("b")])
    return tmp_path / "l.db"


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A server that takes all."""
    with Peer() as serving:
        yield serving


def refuse(peer: Peer, *about: str, status: int = 500) -> None:
    """Have the peer refuse some deliveries."""
    peer.answer = lambda got: Reply(status if got.about in about else 200)


def once(run: Run, path: Path, peer: Peer, *words: str) -> Any:
    """Send what is due."""
    return run("forward", path, "--to", peer.url, "--allow-private", "--once", *words)


def test_what_is_due_is_sent_and_counted(run: Run, path: Path, peer: Peer) -> None:
    """Once; what comes later is sent by the next run."""
    done = once(run, path, peer)
    assert (done.exit_code, done.stdout) == (0, "sent 3, pending 0, held 0, parked 0\n")
    assert done.stderr.splitlines()[0] == "messages are not signed; give --secret to sign them"
    assert once(run, path, peer).stdout == "sent 0, pending 0, held 0, parked 0\n"
    assert len(peer.taken) == 3


def test_what_waits_is_listed_skipped_and_redriven(run: Run, path: Path, peer: Peer) -> None:
    """What is not taken makes the exit 1; the list says why, and the key to give."""
    refuse(peer, "a")
    done = once(run, path, peer)
    assert (done.exit_code, done.stdout) == (1, "sent 1, pending 2, held 0, parked 0\n")
    assert "HTTP 500; the next attempt is in" in done.stderr
    (one,) = json.loads(run("forward", path, "--list", "--json").stdout)
    assert (one["pending"], one["behind"], one["feed"]) == (2, 0, "changes")
    first, second = one["waiting"]
    assert (first["about"], first["attempts"], first["problem"]) == ("a", 1, "HTTP 500")
    assert (first["status"], second["status"], second["due"]) == ("pending", "queued", None)
    listed = run("forward", path, "--list", "--to", peer.url).stdout
    assert first["key"] in listed
    assert first["due"][:4] in listed
    assert run("forward", path, "--redrive", first["key"]).stdout == "redriven 1 message\n"
    refuse(peer)
    assert run("forward", path, "--skip", second["key"]).stdout == f"skipped {second['key']}\n"
    assert once(run, path, peer).stdout == "sent 1, pending 0, held 0, parked 0\n"
    assert run("forward", path, "--redrive", "all").stdout == "redriven 0 messages\n"
    unknown = run("forward", path, "--skip", "x")
    assert (unknown.exit_code, unknown.stderr) == (
        1,
        "Error: no message 'x' waits for this endpoint\n",
    )


def test_an_endpoint_that_is_gone_is_enabled_again(run: Run, path: Path, peer: Peer) -> None:
    """The list says that it is disabled, and a run too."""
    refuse(peer, "a", "b", status=410)
    first = once(run, path, peer)
    assert (first.exit_code, first.stderr.count("disabled")) == (1, 1)
    assert "HTTP 410" in run("forward", path, "--list").stdout
    again = once(run, path, peer)
    assert (again.exit_code, again.stderr.splitlines()[1:]) == (
        1,
        [
            f"Error: {peer.url}: disabled: it answered HTTP 410;"
            " nothing more is sent until it is enabled (postledger forward --enable)"
        ],
    )
    assert run("forward", path, "--enable").stdout == f"enabled {peer.url}\n"
    assert run("forward", path, "--enable").stdout == f"{peer.url} is not disabled\n"
    refuse(peer)
    assert once(run, path, peer).exit_code == 0
    assert len(peer.taken) == 3


def test_a_new_endpoint_begins_where_asked(run: Run, path: Path, peer: Peer) -> None:
    """After a position, or with what comes from now on; a known one goes on where it is."""
    assert once(run, path, peer, "--after", "now").stdout.startswith("sent 0,")
    known = once(run, path, peer, "--after", "-1")
    assert known.stdout.startswith("sent 0,")
    assert "is known: --after is for a new endpoint; it goes on after 3" in known.stderr
    assert once(run, path, peer, "--after", "2", "--postbacks").stdout.startswith("sent 1,")


def test_commands_need_the_url_where_there_are_several(run: Run, path: Path, peer: Peer) -> None:
    """The list shows them all."""
    once(run, path, peer)
    once(run, path, peer, "--postbacks")
    assert len(json.loads(run("forward", path, "--list", "--json").stdout)) == 2
    asked = run("forward", path, "--enable")
    assert (asked.exit_code, "choose one by --to" in asked.stderr) == (2, True)
    assert run("forward", path, "--enable", "--to", peer.url).exit_code == 0
    unknown = run("forward", path, "--enable", "--to", "https://example.org/x")
    assert "https://example.org/x: no changes were forwarded there yet" in unknown.stderr


def test_the_feeds_of_one_url_are_told_apart(run: Run, path: Path, peer: Peer) -> None:
    """By --postbacks, or by the number that the list shows; the list of a URL shows both."""
    once(run, path, peer)
    peer.answer = lambda _: Reply(500)
    once(run, path, peer, "--postbacks")
    both = json.loads(run("forward", path, "--list", "--to", peer.url, "--json").stdout)
    assert [(one["number"], one["feed"]) for one in both] == [(1, "changes"), (2, "postbacks")]
    key = both[1]["waiting"][0]["key"]
    asked = run("forward", path, "--skip", key)
    assert (asked.exit_code, "--postbacks for the one that is sent postbacks" in asked.stderr) == (
        2,
        True,
    )
    assert "no message" in run("forward", path, "--skip", key, "--to", peer.url).stderr
    assert run("forward", path, "--skip", key, "--postbacks").exit_code == 0
    assert run("forward", path, "--redrive", "all", "--to", "2").stdout == "redriven 1 message\n"
    (one,) = json.loads(run("forward", path, "--list", "--postbacks", "--json").stdout)
    assert (one["number"], one["pending"]) == (2, 2)
    assert "no such endpoint" in run("forward", path, "--list", "--to", "3").stderr


def test_what_is_parked_is_skipped_at_once(run: Run, path: Path, peer: Peer) -> None:
    """What is pending stays."""
    refuse(peer, "a", "b")
    once(run, path, peer)
    assert run("forward", path, "--skip", "all").stdout == "skipped 0 messages\n"
    with closing(sqlite3.connect(outbox_of(path))) as outbox, outbox:
        outbox.execute("UPDATE messages SET parked = 1, due = NULL WHERE about = 'a' AND attempts")
    assert run("forward", path, "--skip", "all").stdout == "skipped 1 message\n"
    assert run("forward", path, "--redrive", "all").stdout == "redriven 1 message\n"


def test_an_endpoint_is_forgotten(run: Run, path: Path, peer: Peer) -> None:
    """With what waited for it."""
    refuse(peer, "a")
    once(run, path, peer)
    assert run("forward", path, "--forget").stdout == f"forgot {peer.url}; 2 messages waited\n"
    assert run("forward", path, "--list").stderr == "no endpoint: nothing was forwarded yet\n"


def test_what_was_refused_stores_no_endpoint(run: Run, path: Path, peer: Peer) -> None:
    """A private address, and a name that has none."""
    for url in (peer.url, "http://nowhere.invalid/"):
        done = run("forward", path, "--to", url, "--once")
        assert done.exit_code == 1
        assert "[Errno" not in done.stderr
    assert run("forward", path, "--list").stderr == "no endpoint: nothing was forwarded yet\n"


def test_adoptions_are_sent_where_asked(run: Run, path: Path, peer: Peer) -> None:
    """One message for each delivery that they change."""
    with Ledger(path) as ledger:
        ledger.record_many([failed("c"), delivered("c")])
    once(run, path, peer, "--with-adoptions")
    with Ledger(path) as ledger:
        ledger.replay(first_outcome_stands())
    assert once(run, path, peer, "--with-adoptions").stdout.startswith("sent 1,")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing option '--to'."),
        (["--list", "--enable"], "exclude each other: give one"),
        (["--forget", "--enable"], "exclude each other: give one"),
        (["--to", "http://x/", "--to", "http://y/"], "give it once; run one command for each."),
        (["--list", "--once"], "--once is for sending: leave it out with --list."),
        (["--skip", "x", "--after", "now"], "--after is for sending: leave it out with --skip."),
        (["--to", "http://x/", "--postbacks", "--with-adoptions"], "exclude each other"),
        (["--to", "http://x/", "--after", "soon"], "invalid position 'soon': expected a number"),
        (["--to", "ftp://x/"], "the URL must be https://HOST/PATH or http://…, got scheme 'ftp'"),
        (["--to", "localhost:18040/ok"], "got one without http:// or https://"),
        (["--to", "example.org"], "got one without http:// or https://"),
        (
            ["--to", f"http://{'a' * 64}.org/"],
            "Error: the URL must have a host of at most 253 char",
        ),
        (["--to", "http://x:99999/"], "Error: the URL must have a port from 1 to 65535, got 99999"),
        (["--to", "http://x:99999/", "--list"], "Error: the URL must have a port from 1 to 65535"),
        (["--to", "http://x/", "--after", "500"], "--after 500: the log ends at position 3"),
        (
            ["--to", "http://127.0.0.1/", "--once"],
            "Error: 127.0.0.1 is loopback; nothing is sent there unless --allow-private is given",
        ),
        (["--to", "http://x/", "--secret", "hush"], "the secret: expected whsec_ and base64 of"),
        (["--enable"], "nothing was forwarded yet"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    run: Run, path: Path, words: list[str], said: str
) -> None:
    """And nothing is sent, nor a secret shown."""
    done = run("forward", path, *words)
    assert done.exit_code in (1, 2)
    assert said in done.stderr
    assert "hush" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_library_is_named(path: Path) -> None:
    """With the command that installs it; the other commands don't need it."""
    program = "import sys; sys.modules['httpx2'] = None; from postledger.cli import main; main()"
    for words, code in ((["forward", "--help"], 0), (["forward", path, "--to", "http://x/"], 1)):
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
        assert ("pip install httpx2" in done.stderr) == bool(code)


def test_listing_makes_no_outbox(run: Run, path: Path) -> None:
    """Where nothing was forwarded there is nothing to list."""
    listed = run("forward", path, "--list")
    assert (listed.stdout, listed.stderr) == ("", "no endpoint: nothing was forwarded yet\n")
    assert run("forward", path, "--list", "--json").stdout == "[]\n"
    assert not outbox_of(path).exists()


def test_the_outbox_of_another_ledger_is_not_listed(run: Run, path: Path, peer: Peer) -> None:
    """Nor is anything done to it."""
    once(run, path, peer)
    other = path.with_name("other.db")
    Ledger(other).close()
    outbox_of(path).rename(outbox_of(other))
    for words in (["--list"], ["--redrive", "all"], ["--skip", "x"], ["--enable"]):
        done = run("forward", other, *words)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "other.db-outbox: the outbox of another ledger; move it away" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_what_is_in_flight(
    path: Path, peer: Peer, number: signal.Signals
) -> None:
    """With the counts, and exit 0."""
    words = ["forward", path, "--to", peer.url, "--allow-private"]
    command = [sys.executable, "-m", "postledger", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        assert p.stderr is not None
        lines = [p.stderr.readline() for _ in range(2)]
        assert lines[1] == f"{peer.url}: forwarding from the beginning\n"
        with Ledger(path) as ledger:
            ledger.record(sent("c"))
        for _ in range(500):
            if len(peer.taken) == 4:
                break
            time.sleep(0.01)
        p.send_signal(number)
        out, err = p.communicate(timeout=30)
    assert (p.returncode, out, err) == (0, "sent 4, pending 0, held 0, parked 0\n", "")


def test_ingest_passes_over_the_lock_file(run: Run, path: Path, peer: Peer) -> None:
    """Of a folder with a ledger and its outbox no file is taken for a body."""
    once(run, path, peer)
    assert any(path.parent.glob("*.lock"))
    done = run("ingest", path, path.parent)
    assert ".lock" not in done.stderr
    with Ledger(path) as ledger:
        assert ledger.head().size == 4
