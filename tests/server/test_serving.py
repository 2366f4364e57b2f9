"""The server as a process: hostile clients, stopping, several workers, secrets in no log."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from standardwebhooks import Webhook

from postledger import UNVERIFIED, Ledger, PostledgerError
from postledger.server.app import LIMIT
from postledger.server.serving import Serving, _app, serve
from tests.conftest import FIXTURES
from tests.samples import SMS, sent
from tests.server import H11, SECRETS, Server, serving, status_of

HTTP = pytest.mark.parametrize("first", ["", H11], ids=["httptools", "h11"])
NO_PORT = 70_000
KEY = "signing-k3y"
WEBHOOK = f"whsec_{base64.b64encode(KEY.encode()).decode()}"

SENDERS = f"""
proxies = ["127.0.0.1"]
[[sources.signed.checks]]
kind = "hmac"
header = "X-Signature"
prefix = "sha256="
secret = "{KEY}"
[[sources.webhooks.checks]]
kind = "standard-webhooks"
secret = "{WEBHOOK}"
[[sources.placed.checks]]
kind = "addresses"
addresses = ["203.0.113.0/24"]
[sources.secret]
response = "respOnse-token"
[[sources.secret.checks]]
kind = "path"
secret = "path-5ecret"
[[sources.secret.checks]]
kind = "basic"
user = "user"
password = "b4sic-password"
[[sources.secret.checks]]
kind = "header"
header = "X-Token"
secret = "t0ken-of-header"
[sources.refusing]
refuse = true
[[sources.refusing.checks]]
kind = "path"
secret = "path-5ecret"
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "deliveries.db"


@pytest.fixture
def senders(tmp_path: Path) -> Path:
    """A file of rules."""
    path = tmp_path / "senders.toml"
    path.write_text(SENDERS)
    return path


def senders_of(ledger: Path) -> list[str]:
    """By which check each event was taken."""
    with Ledger(ledger) as opened:
        return [event.sender for event in opened.events(after=0)]


def bodies_of(ledger: Path) -> set[bytes]:
    """What was recorded."""
    with Ledger(ledger) as opened:
        return {event.body for event in opened.events(after=0)}


def test_first_postback_needs_no_file(ledger: Path) -> None:
    """A ledger and a sample are enough; the delivery is there as soon as the answer is."""
    sample = FIXTURES / "specification/02-sms-mt-status.xml"
    with serving(ledger) as server:
        answer = httpx2.post(f"{server.url}/skycore", content=sample.read_bytes())
        assert (answer.status_code, answer.content) == (200, b"")
        with Ledger(ledger, readonly=True) as opened:
            assert opened.delivery(SMS).state == "delivered"
        assert httpx2.get(f"{server.url}/livez").status_code == 200
        assert httpx2.get(f"{server.url}/readyz").status_code == 200
        assert server.stop() == 0
        assert "POST /skycore 200 " in server.log.read_text()


# --- hostile clients ---


def test_forged_signature_is_unverified(ledger: Path, senders: Path) -> None:
    """So is one of another body; the right one passes."""
    with serving(ledger, "--senders", senders) as server:
        for body, key in ((b"1", KEY), (b"2", "guessed"), (b"3", KEY)):
            made = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
            headers = {"X-Signature": f"sha256={made}"}
            given = b"4" if body == b"3" else body
            assert httpx2.post(f"{server.url}/signed", content=given, headers=headers).is_success
    assert senders_of(ledger) == ["hmac", UNVERIFIED, UNVERIFIED]


def test_replayed_timestamp_is_unverified(ledger: Path, senders: Path) -> None:
    """A signature is good for five minutes."""
    with serving(ledger, "--senders", senders) as server:
        for age in (0, 200, 400):
            at = int(time.time()) - age
            made = Webhook(WEBHOOK).sign("msg_1", datetime.fromtimestamp(at, UTC), "{}")
            headers = {
                "webhook-id": "msg_1",
                "webhook-timestamp": str(at),
                "webhook-signature": made,
            }
            assert httpx2.post(f"{server.url}/webhooks", content=b"{}", headers=headers).is_success
    assert senders_of(ledger) == ["standard-webhooks", "standard-webhooks", UNVERIFIED]


def test_spoofed_address_is_unverified(ledger: Path, senders: Path, tmp_path: Path) -> None:
    """Only what the trusted proxy itself wrote counts, and nothing where there is none."""
    inside, outside = "203.0.113.9", "198.51.100.7"
    with serving(ledger, "--senders", senders) as server:
        for forwarded in (f"{outside}, {inside}", f"{inside}, {outside}", ""):
            headers = {"X-Forwarded-For": forwarded, "Forwarded": f"for={inside}"}
            assert httpx2.post(f"{server.url}/placed", content=b"x", headers=headers).is_success
    assert senders_of(ledger) == ["addresses", UNVERIFIED, UNVERIFIED]
    senders.write_text(SENDERS.replace('proxies = ["127.0.0.1"]', ""))
    with serving(tmp_path / "other.db", "--senders", senders) as server:
        headers = {"X-Forwarded-For": inside, "X-Real-IP": inside}
        assert httpx2.post(f"{server.url}/placed", content=b"x", headers=headers).is_success
    assert senders_of(tmp_path / "other.db") == [UNVERIFIED]


@HTTP
def test_body_of_10_gb_in_chunks_is_cut_off(ledger: Path, first: str) -> None:
    """A little after the limit, with 413; nothing is recorded, and others are served."""
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    taken = 0
    with serving(ledger, first=first) as server:
        with server.connect() as connection:
            connection.sendall(
                b"POST /skycore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            try:
                while taken < 10 << 30:
                    connection.sendall(chunk)
                    taken += 65536
            except OSError:
                pass
        # What the sockets hold comes on top.
        assert LIMIT <= taken < LIMIT + (32 << 20)
        assert httpx2.post(f"{server.url}/skycore", content=b"x").is_success
        server.stop()
        assert "413 for skycore" in server.log.read_text()
    assert bodies_of(ledger) == {b"x"}


@HTTP
@pytest.mark.parametrize(
    "begun",
    [
        b"POST /skycore HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
        b"POST /skycore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n",
        b"POST /skycore HTTP/1.1\r\nHost: ",
    ],
    ids=["length", "chunks", "headers"],
)
def test_client_that_sends_a_byte_at_a_time_is_cut_off(
    ledger: Path, first: str, begun: bytes
) -> None:
    """Its body with 408, its headers without a word; whoever is quick is served meanwhile."""
    with serving(ledger, "--patience", 0.5, first=first) as server, server.connect() as connection:
        connection.sendall(begun)
        got = dripped(connection)
        assert httpx2.post(f"{server.url}/skycore", content=b"quick").is_success
        assert (status_of(got) == 408) if b"\r\n\r\n" in begun else (got == b"")
    assert bodies_of(ledger) == {b"quick"}


def dripped(connection: socket.socket) -> bytes:
    """Send a byte now and then until the other end closes; what it said."""
    connection.settimeout(0.1)
    got = b""
    while True:
        try:
            connection.sendall(b"x")
            part = connection.recv(1000)
        except TimeoutError:
            continue
        except OSError:
            return got
        if not part:
            return got
        got += part


def test_connection_that_says_nothing_is_closed(ledger: Path) -> None:
    """Also one that was used before, and then begins a request that never ends."""
    request = b"POST /skycore HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
    with serving(ledger, "--patience", 0.5) as server:
        with server.connect() as connection:
            assert connection.recv(1) == b""
        with server.connect() as connection:
            connection.sendall(request)
            assert status_of(connection.recv(1000)) == 200
            connection.sendall(request[:20])
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""


HEAD = b"POST /skycore HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
CHUNKED = b"POST /skycore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"


@HTTP
@pytest.mark.parametrize(
    ("before", "unit"),
    [
        (HEAD + b"X-Long: ", b"a" * 1000),
        (HEAD, b"X-Many: a\r\n" * 100),
        (b"POST /skycore?", b"a" * 1000),
        (b"POST ", b"/" * 1000),
        (CHUNKED, b"X-Behind: a\r\n" * 100),
        (CHUNKED.removesuffix(b"0\r\n") + b"1;", b"a" * 1000),
    ],
    ids=["value", "names", "query", "path", "trailers", "extension"],
)
def test_what_stands_around_a_body_is_bounded(
    ledger: Path, first: str, before: bytes, unit: bytes
) -> None:
    """A head that is larger, or goes on and on, is answered and cut off; so is what is no body else."""
    with serving(ledger, first=first) as server:
        with server.connect() as connection:
            connection.sendall(before + unit * 80)
            assert status_of(connection.recv(1000)) == 431
            assert connection.recv(1000) == b""
        with server.connect() as connection:
            connection.sendall(before)
            with pytest.raises(OSError, match=r"reset|pipe|abort"):
                for _ in range(64):
                    connection.sendall(unit * 1000)
        assert httpx2.get(f"{server.url}/livez").status_code == 200
        assert server.stop() == 0
        assert server.log.read_text().count(" WARNING postledger.server: 431: a request has ") == 2
    assert bodies_of(ledger) == set()


@HTTP
def test_large_heads_and_pieces_of_bodies_pass(ledger: Path, first: str) -> None:
    """One after the other, at once, on one connection, and what makes up most of a body in chunks."""
    head = b"POST /skycore HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 50_000 + b"\r\n"
    whole = head + b"Content-Length: 1\r\n\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\ny\r\n" * 30_000 + b"0\r\n\r\n"
    with serving(ledger, first=first) as server, server.connect() as connection:
        for number in range(3):
            connection.sendall(whole + b"%d" % number)
            assert status_of(connection.recv(1000)) == 200
        connection.sendall(chunked)
        assert status_of(connection.recv(1000)) == 200
    assert bodies_of(ledger) == {b"0", b"1", b"2", b"y" * 30_000}


@HTTP
def test_refusals_are_answered_as_such(ledger: Path, first: str) -> None:
    """By the server as by the app; lying lengths are cut off, too."""
    with serving(ledger, "--limit", 1000, "--source", "skycore", first=first) as server:
        url = f"{server.url}/skycore"
        assert httpx2.post(f"{server.url}/nobody").status_code == 404
        put = httpx2.put(url, content=b"x")
        assert (put.status_code, put.headers["allow"]) == (405, "GET, POST")
        assert httpx2.post(url, content=b"x" * 1001).status_code == 413
        with server.connect() as connection:
            connection.sendall(
                b"POST /skycore HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"
            )
            assert status_of(connection.recv(1000)) == 413
        with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            busy = httpx2.post(url, content=b"x", timeout=60)
            assert (busy.status_code, "retry-after" in busy.headers) == (503, True)
            assert httpx2.get(f"{server.url}/readyz").status_code == 503
        assert httpx2.post(url, content=b"after").status_code == 200
    assert bodies_of(ledger) == {b"after"}


def test_connections_are_bounded(ledger: Path) -> None:
    """One more is told to come again."""
    few = "from postledger.server import serving; serving.CONNECTIONS = 3"
    with serving(ledger, first=few) as server, ExitStack() as stack:
        for _ in range(3):
            held = stack.enter_context(server.connect())
            held.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            assert status_of(held.recv(1000)) == 200
        more = stack.enter_context(server.connect())
        more.settimeout(10)
        assert status_of(more.recv(1000)) == 503


# --- stopping, and several processes ---


def load(server: Server, stop: int, count: int = 8) -> Iterator[bytes]:
    """The bodies for which a 200 came from clients of which each posts until the server is gone.

    After ``stop`` answers of each the server is told to stop.
    """

    def post(client: int) -> list[bytes]:
        done: list[bytes] = []
        with httpx2.Client() as http:
            for number in range(100_000):
                body = sent(f"{client}-{number}")
                try:
                    answer = http.post(f"{server.url}/skycore", content=body, timeout=60)
                except httpx2.HTTPError:
                    return done
                if answer.status_code == 200:
                    done.append(body)
                if number == stop and client == 0:
                    server.process.send_signal(signal.SIGTERM)
        raise AssertionError("the server never stopped")

    with ThreadPoolExecutor(count) as pool:
        for done in pool.map(post, range(count)):
            yield from done


def assert_only_stopped(server: Server) -> None:
    """The log of a server says that it stopped, and nothing else."""
    (line,) = server.log.read_text().splitlines()
    assert line.endswith("INFO postledger.server: stopped")


@pytest.mark.parametrize("workers", [1, 2])
def test_stop_under_load_loses_nothing(ledger: Path, workers: int) -> None:
    """Whatever was answered with 200 is in the ledger, and the server ends well."""
    with serving(ledger, "--workers", workers, "--no-access-log") as server:
        answered = set(load(server, stop=20))
        assert server.process.wait(60) == 0
        assert_only_stopped(server)
    assert len(answered) > 20
    assert answered <= bodies_of(ledger)
    with Ledger(ledger) as opened:
        assert opened.verify().ok


def test_process_that_ends_is_logged_and_replaced(ledger: Path) -> None:
    """In one line, with what ended it."""
    with serving(ledger, "--workers", 2, "--metrics", "--no-access-log") as server:
        httpx2.post(f"{server.url}/skycore", content=b"x")
        found = None
        while found is None:
            # Either may answer; that which took the request shows it.
            found = re.search(r'worker="(\d+)"', httpx2.get(f"{server.url}/metrics").text)
        os.kill(int(found[1]), signal.SIGKILL)
        for _ in range(600):
            if "takes its place" in server.log.read_text():
                break
            time.sleep(0.05)
        assert server.stop() == 0
        ended, stopped = server.log.read_text().splitlines()
    assert f"WARNING postledger.server: process {found[1]} ended (exit code -9); process" in ended
    assert stopped.endswith("stopped")


def test_interrupt_stops_it_too(ledger: Path) -> None:
    """Ctrl-C is no failure and no traceback."""
    with serving(ledger, "--no-access-log") as server:
        assert httpx2.post(f"{server.url}/skycore", content=b"x").is_success
        assert server.stop(signal.SIGINT) == 0
        assert_only_stopped(server)


# --- who may listen, and secrets ---


def test_nobody_else_may_post_without_rules(ledger: Path, senders: Path) -> None:
    """Each source that others reach has rules, or it is not served."""
    for given in (
        Serving(ledger, host="0.0.0.0", port=NO_PORT),
        Serving(ledger, host="::", port=NO_PORT),
        Serving(ledger, host="0.0.0.0", port=NO_PORT, sources=("skycore",)),
    ):
        with pytest.raises(PostledgerError, match=r"anybody could post to (it|skycore); write"):
            serve(given, print)
    for host in ("0.0.0.0", "127.0.0.1"):
        given = Serving(ledger, host=host, port=NO_PORT, senders=senders, sources=("skycore",))
        with pytest.raises(PostledgerError, match=r"senders\.toml has no rules for it; write"):
            serve(given, print)
    assert not ledger.exists()


def test_a_process_that_starts_later_serves_no_source_without_rules(
    ledger: Path, senders: Path
) -> None:
    """The file of the senders may have been written anew meanwhile."""
    given = Serving(ledger, senders=senders, sources=("skycore",))
    with pytest.raises(PostledgerError, match=r"senders\.toml has no rules for it; write"):
        _app(given)


def test_address_that_is_taken_is_one_line(ledger: Path) -> None:
    """So is a name that no machine has."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PostledgerError, match=rf"can't listen on 127.0.0.1:{port}: [^()]*$"):
            serve(Serving(ledger, port=port), print)


def test_a_mistyped_source_is_remarked_on(ledger: Path, senders: Path) -> None:
    """So is a vocabulary that it leaves without a path; a file without a fault has no remark."""
    rules = '[[sources.{}.checks]]\nkind = "path"\nsecret = "path-5ecret"\n'
    senders.write_text(rules.format("plvio"))
    with serving(ledger, "--provider", "plivo", "--senders", senders) as server:
        log = server.log.read_text()
    assert f"{senders}: sources that no vocabulary is named after: plvio; all read" in log
    assert (
        f"{senders}: vocabularies in force without a source of their name: nothing is served at /plivo"
        in log
    )
    senders.write_text(rules.format("plivo"))
    with serving(ledger, "--senders", senders) as server:
        assert "WARNING" not in server.log.read_text()


def test_secrets_show_nowhere_in_what_is_written(ledger: Path, senders: Path) -> None:
    """Not in a log, an answer or the ledger, however a request is wrong."""
    with serving(ledger, "--senders", senders, "--limit", 100, "--workers", 2) as server:
        basic = httpx2.BasicAuth("user", "b4sic-password")
        answers = [
            httpx2.post(f"{server.url}{path}", content=body, headers=headers, auth=auth)
            for path in (
                "/secret",
                "/secret/path-5ecret",
                "/secret/path-5ecrets",
                "/path-5ecret",
                "/refusing/path-5ecrets",
                "/secret/response",
                "/secret?path-5ecret",
            )
            for headers in (
                {},
                {"X-Token": "t0ken-of-header"},
                {"Authorization": "Bearer respOnse-token"},
            )
            for auth in (None, basic)
            for body in (b"x", b"x" * 101)
        ]
        answers += [
            httpx2.get(f"{server.url}{path}") for path in ("/readyz", "/metrics", "/path-5ecret")
        ]
        with server.connect() as connection:
            connection.sendall(b"path-5ecret /secret/path-5ecret\r\n\r\n")
            text = connection.recv(1000).decode()
        assert {answer.status_code for answer in answers} >= {200, 401, 404, 413}
        server.stop()
        text += "".join(f"{answer.text}{answer.headers}" for answer in answers)
        log = server.log.read_text()
        assert "POST /secret 200" in log
        for file in ledger.parent.glob("deliveries.db*"):
            text += file.read_bytes().decode("latin-1")
    assert [secret for secret in (*SECRETS, WEBHOOK) if secret in text + log] == []


def test_access_log_of_uvicorn_shows_no_secret(ledger: Path, tmp_path: Path, senders: Path) -> None:
    """Where a program runs the app by uvicorn itself, as it comes."""
    (tmp_path / "app.py").write_text(
        "from postledger.server import receiver\n"
        "from postledger.server.senders_toml import load_senders\n"
        f"app = receiver({str(ledger)!r}, senders=load_senders({str(senders)!r}))\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as sock:
        command = [sys.executable, "-m", "uvicorn", "app:app", "--fd", str(sock.fileno())]
        log = tmp_path / "uvicorn.log"
        with (
            log.open("w") as out,
            subprocess.Popen(
                command, cwd=tmp_path, stdout=out, stderr=out, pass_fds=[sock.fileno()]
            ) as process,
        ):
            url = f"http://127.0.0.1:{sock.getsockname()[1]}"
            assert httpx2.post(f"{url}/secret/path-5ecret?a=path-5ecret", content=b"x").is_success
            assert httpx2.post(f"{url}/secrets/path-5ecret", content=b"x").status_code == 404
            process.terminate()
    assert '"POST /secret HTTP/1.1" 200' in log.read_text()
    assert "path-5ecret" not in log.read_text()
    assert senders_of(ledger) == ["path"]
