"""The programs of the embedding guide: they do what the provider's transport asks for."""

from __future__ import annotations

import re
import runpy
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from postledger import Ledger

GUIDE = Path(__file__).parent.parent.parent / "docs/how-to/embed.md"
BODIES = (
    b"",
    b"\x00\xff",
    b"<POSTBACK>",
    b"xml=%3CPOSTBACK%2F%3E",
    b"<POSTBACK/>",
    b"{}",
    b"a" * 1_000_000,
)


def program(name: str, folder: Path) -> Path:
    """A program of the guide, as a file; impatient, so that the tests are quick."""
    found = re.search(rf"```python file={name}\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
    assert found
    (folder / name).write_text(found[1].replace("timeout=5", "timeout=0.3"))
    return folder / name


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of the FastAPI program."""
    monkeypatch.chdir(tmp_path)
    app: Any = runpy.run_path(str(program("app.py", tmp_path)))["app"]
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def recorded(folder: Path) -> list[bytes]:
    """What is in the ledger, as another process sees it."""
    with Ledger(folder / "deliveries.db", readonly=True) as ledger:
        return [event.body for event in ledger.events() if event.kind == "receipt"]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("kind", ["text/xml", "application/x-www-form-urlencoded", None])
def test_fastapi_keeps_any_body_and_answers_200(
    client: TestClient, tmp_path: Path, body: bytes, kind: str | None
) -> None:
    """When the answer is there the body is in the ledger, byte for byte, whatever it is."""
    headers = {} if kind is None else {"content-type": kind}
    assert client.post("/postbacks", content=body, headers=headers).status_code == 200
    assert recorded(tmp_path) == [body]


def test_fastapi_refuses_what_is_too_large(client: TestClient, tmp_path: Path) -> None:
    """It is not 200, and nothing is recorded."""
    assert client.post("/postbacks", content=b"a" * ((1 << 20) + 1)).status_code == 413
    assert recorded(tmp_path) == []


def test_fastapi_does_not_say_200_before_the_commit(client: TestClient, tmp_path: Path) -> None:
    """While another process holds the lock there is no answer; held too long, it is an error."""
    with closing(sqlite3.connect("deliveries.db", check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert client.post("/postbacks", content=b"1").status_code == 500
        released = threading.Event()

        def release() -> None:
            released.set()
            other.rollback()

        timer = threading.Timer(0.1, release)
        timer.start()
        assert client.post("/postbacks", content=b"2").status_code == 200
        assert released.is_set()
        timer.join()
    assert recorded(tmp_path) == [b"2"]


def test_fastapi_does_not_know_a_delivery_that_nobody_told_of(client: TestClient) -> None:
    """It answers 404; an id may hold a slash."""
    assert client.get("/deliveries/TU1/TXzU=").status_code == 404


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_servers_with_a_thread_for_each_request_do_not_run_out_of_files(ledger: Ledger) -> None:
    """What a thread has opened is closed when it has ended, at the latest when the next one opens."""

    def opened() -> int:
        links = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
        return sum(link.name.startswith(ledger.path.name) for link in links)

    before = opened()
    for _ in range(30):
        thread = threading.Thread(target=ledger.record, args=[b"?"])
        thread.start()
        thread.join()
    assert opened() <= before + 6


DJANGO = """
import sqlite3
import django, receiver
from django.test import Client
django.setup()
client = Client(raise_request_exception=False)

for body in (b"", b"\\x00\\xff", b"<POSTBACK>", b"xml=%3CPOSTBACK%2F%3E"):
    for kind in ("text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert client.post("/postbacks", body, kind).status_code == 200
        assert list(receiver.ledger().events())[-1].body == body
before = receiver.ledger().head()
assert client.post("/postbacks", b"a" * ((1 << 20) + 1), "text/xml").status_code == 400
assert client.get("/postbacks").status_code == 405
other = sqlite3.connect("deliveries.db")
other.execute("BEGIN IMMEDIATE")
assert client.post("/postbacks", b"late", "text/xml").status_code == 500
other.close()
assert receiver.ledger().head() == before
"""


def test_django_keeps_any_body_and_answers_200_after_the_commit(tmp_path: Path) -> None:
    """Too large is 400, a lock held too long 500; neither is recorded."""
    program("receiver.py", tmp_path)
    (tmp_path / "drive.py").write_text(DJANGO)
    done = subprocess.run(
        [sys.executable, "drive.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
