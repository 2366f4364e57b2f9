"""The receiver as an app: what is recorded, what is refused, and what is shown of it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hmac
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from postledger import UNVERIFIED, AsyncLedger, Event, Ledger
from postledger.log.event import Part
from postledger.server import receiver
from postledger.server.addresses import networks_of
from postledger.server.app import Receiver
from postledger.server.senders import (
    Basic,
    InPath,
    Posted,
    Rule,
    Rules,
    Senders,
    SignedBody,
    SignedUrl,
)
from tests.conftest import FIXTURES
from tests.samples import SMS, delivered, sent
from tests.server import SECRETS
from tests.stores import both_stores

SECRET = SECRETS[0]
BY_PATH = Rule("path", (InPath((SECRET.encode(),)),))


@contextmanager
def client_of(app: Any) -> Iterator[TestClient]:
    """A client of an app that runs."""
    with TestClient(app, raise_server_exceptions=True) as client:
        yield client


def events(path: Path) -> list[Event]:
    """The events of a ledger, but the first."""
    with Ledger(path) as ledger:
        return list(ledger.events(after=0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "deliveries.db"


# --- what is recorded ---


@both_stores
def test_body_is_recorded_as_it_came(path: Path) -> None:
    """With its source, its content type and its encoding, whatever they are."""
    packed = gzip.compress(sent(SMS))
    with client_of(receiver(path)) as client:
        assert client.post("/skycore", content=sent(SMS)).status_code == 200
        odd = {"content-type": "video/mp4; ?;"}
        assert client.post("/skycore/", content=b"\x00\xff", headers=odd).status_code == 200
        encoded = {"content-encoding": "gzip", "content-type": "text/xml"}
        assert client.post("/sinch", content=packed, headers=encoded).status_code == 200
        assert client.post("/sinch").status_code == 200
    found = [(e.source, e.content_type, e.content_encoding, e.body, e.sender) for e in events(path)]
    assert found == [
        ("skycore", None, None, sent(SMS), ""),
        ("skycore", "video/mp4; ?;", None, b"\x00\xff", ""),
        ("sinch", "text/xml", "gzip", packed, ""),
        ("sinch", None, None, b"", ""),
    ]


def test_query_of_a_get_is_recorded_as_it_came(path: Path) -> None:
    """Marked as a query string, not decoded."""
    with client_of(receiver(path)) as client:
        assert client.get("/skycore?b=%41&a=+&&b").status_code == 200
    assert [event.body for event in events(path)] == [b"b=%41&a=+&&b"]
    with closing(sqlite3.connect(path)) as db:
        (text,) = db.execute(
            "SELECT coalesce(inline, '') || (SELECT group_concat(envelope)"
            " FROM envelopes) FROM events WHERE position = 1"
        ).fetchone()
    assert f'"{Part.QUERY}"' in text


@both_stores
def test_answer_of_the_provider_begins_a_delivery(path: Path) -> None:
    """The program that sends posts it, with a token of its own."""
    answer = (FIXTURES / "api/response-success.xml").read_bytes()
    rules = Rules((BY_PATH,), response=(b"respOnse-token",))
    senders = Senders({"skycore": rules, "sinch": Rules((BY_PATH,))})
    with client_of(receiver(path, senders=senders)) as client:
        url = "/skycore/response"
        assert client.post(url, content=answer).status_code == 401
        wrong = {"authorization": "Bearer respOnse"}
        assert client.post(url, content=answer, headers=wrong).status_code == 401
        right = {"authorization": "Bearer respOnse-token"}
        assert client.post("/sinch/response", content=answer, headers=right).status_code == 404
        assert client.get(url, headers=right).status_code == 405
        assert events(path) == []
        assert client.post(url, content=answer, headers=right).status_code == 200
    (event,) = events(path)
    assert (event.source, event.sender) == ("skycore", "response")
    with Ledger(path) as ledger:
        assert event.key is not None
        assert ledger.delivery(event.key).state == "created"


def test_sources_are_the_vocabularies_by_default(path: Path) -> None:
    """Or those that are named, or those that the senders file names, or both."""
    with client_of(receiver(path)) as client:
        assert client.post("/postledger").status_code == 404
        assert client.post("/acme").status_code == 404
        assert client.post("/sinch").status_code == 200
    senders = Senders({"twilio": Rules((BY_PATH,))})
    with client_of(receiver(path, sources=["acme"], senders=senders)) as client:
        assert client.post("/acme").status_code == 200
        assert client.post("/twilio").status_code == 200
        assert client.post("/sinch").status_code == 404


@pytest.mark.parametrize("outer", [Starlette, FastAPI])
def test_receiver_is_mounted_in_another_app(path: Path, outer: Any) -> None:
    """It takes a ledger that is open, below any path, and leaves it open."""

    async def main() -> None:
        async with AsyncLedger(path) as ledger:
            senders = Senders({"skycore": Rules((BY_PATH,))})
            app = outer(routes=[Mount("/hooks", receiver(ledger, senders=senders))])
            with TestClient(app) as client:
                assert client.post(f"/hooks/skycore/{SECRET}", content=b"x").status_code == 200
                assert client.get("/hooks/livez").status_code == 200
                assert client.post("/skycore", content=b"x").status_code == 404
            assert (await ledger.head()).size == 2

    asyncio.run(main())
    assert [event.sender for event in events(path)] == ["path"]


# --- what is refused ---


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("POST", "/", 404),
        ("POST", "/nobody", 404),
        ("POST", "/skycore/other", 404),
        ("POST", "/skycore/response/x", 404),
        ("GET", "/livez/x", 404),
        ("GET", "/metrics", 404),
        ("POST", "/livez", 405),
        ("GET", "/skycore", 400),
        ("GET", "/skycore?", 400),
        ("PUT", "/skycore", 405),
        ("HEAD", "/skycore", 405),
        ("DELETE", "/skycore", 405),
        ("OPTIONS", "/skycore", 405),
    ],
)
def test_what_names_nothing_is_refused(path: Path, method: str, url: str, status: int) -> None:
    """And counted; of what may be taken there the answer says how."""
    app = receiver(path, sources=["skycore"])
    with client_of(app) as client:
        answer = client.request(method, url)
    assert answer.status_code == status
    assert ("allow" in answer.headers) == (status == 405)
    assert events(path) == []
    assert sum(app.counts.values()) == (not url.startswith(("/livez", "/metrics")))


@pytest.mark.parametrize("size", [1000, 1001, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_body_is_taken_up_to_the_limit(path: Path, size: int, *, chunked: bool) -> None:
    """By what comes, whatever Content-Length says."""
    app = receiver(path, limit=1000)
    body = b"x" * size
    with client_of(app) as client:
        content: Any = iter([body[:500], body[500:]]) if chunked else body
        answer = client.post("/skycore", content=content)
    assert answer.status_code == (200 if size <= 1000 else 413)
    assert [event.body for event in events(path)] == [body][: size <= 1000]
    assert app.counts["skycore", str(answer.status_code)] == 1


async def answer_of(app: Receiver, messages: list[dict[str, Any]], **scope: Any) -> dict[str, Any]:
    """The start of an answer to a request of these messages, after which nothing comes."""
    got: list[Any] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Any) -> None:
        got.append(message)

    given = {"type": "http", "method": "POST", "path": "/skycore", "headers": [], **scope}
    await app(given, receive, send)
    return got[0] if got else {}


def part(body: bytes, *, more: bool = True) -> dict[str, Any]:
    """A part of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


def test_slow_body_ends_with_the_patience(path: Path) -> None:
    """Nothing of it is recorded."""

    async def main() -> None:
        async with AsyncLedger(path) as ledger:
            app = receiver(ledger, patience=0.05)
            assert (await answer_of(app, [part(b"<")]))["status"] == 408
            assert app.counts["skycore", "408"] == 1
            assert (await ledger.head()).size == 1

    asyncio.run(main())


def test_client_that_goes_away_leaves_nothing(path: Path) -> None:
    """Half a body is not recorded; it is counted, and nobody is answered."""

    async def main() -> None:
        async with AsyncLedger(path) as ledger:
            app = receiver(ledger)
            assert await answer_of(app, [part(b"<"), {"type": "http.disconnect"}]) == {}
            assert app.counts["skycore", "disconnected"] == 1
            assert (await ledger.head()).size == 1

    asyncio.run(main())


def test_bytes_in_flight_are_bounded(path: Path) -> None:
    """More than that are refused for a while; what was held is free again afterwards."""

    async def main() -> None:
        async with AsyncLedger(path) as ledger:
            app = receiver(ledger, limit=1000, in_flight=1500, patience=60)
            first = {"client": ("192.0.2.1", 1)}
            waiting = asyncio.create_task(answer_of(app, [part(b"x" * 1000)], **first))
            await asyncio.sleep(0)
            answer = await answer_of(app, [part(b"x" * 1000, more=False)])
            assert answer["status"] == 503
            assert (b"retry-after", b"1") in answer["headers"]
            small = await answer_of(app, [part(b"x" * 500, more=False)])
            assert small["status"] == 200
            waiting.cancel()
            await asyncio.wait([waiting])
            again = await answer_of(app, [part(b"x" * 1000, more=False)])
            assert again["status"] == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    ("mine", "other"),
    [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8:0:1::1"), ("testclient", "192.0.2.2")],
)
def test_one_address_holds_a_quarter_of_the_bytes(path: Path, mine: str, other: str) -> None:
    """Or one body of the largest size; others are served meanwhile, and it is free again afterwards."""

    async def main() -> None:
        async with AsyncLedger(path) as ledger:
            app = receiver(ledger, limit=1000, in_flight=8000, patience=60)

            async def post(address: str, *, more: bool = False) -> int:
                body = [part(b"x" * 1000, more=more)]
                return int((await answer_of(app, body, client=(address, 1)))["status"])

            waiting = [asyncio.create_task(post(mine, more=True)) for _ in range(2)]
            await asyncio.sleep(0)
            assert await post(mine) == 503
            assert await post(mine.replace("db8::1", "db8::2")) == 503
            assert await post(other) == 200
            for one in waiting:
                one.cancel()
            await asyncio.wait(waiting)
            assert await post(mine) == 200

    asyncio.run(main())


def test_address_that_holds_bytes_is_that_of_the_client(path: Path) -> None:
    """As trusted proxies give it, so that not all share what the proxy's address may hold."""

    async def main() -> None:
        async with AsyncLedger(path) as ledger:
            senders = Senders({"skycore": Rules((BY_PATH,))}, networks_of(["127.0.0.1"]))
            app = receiver(ledger, senders=senders, limit=1000, in_flight=4000, patience=60)

            async def post(address: str, *, more: bool = False) -> int:
                headers = [(b"x-forwarded-for", address.encode())]
                body, client = [part(b"x" * 1000, more=more)], ("127.0.0.1", 1)
                answer = await answer_of(app, body, client=client, headers=headers)
                return int(answer["status"])

            waiting = asyncio.create_task(post("192.0.2.1", more=True))
            await asyncio.sleep(0)
            assert await post("192.0.2.1") == 503
            assert await post("192.0.2.2") == 200
            waiting.cancel()
            await asyncio.wait([waiting])

    asyncio.run(main())


UNSIGNED = Rule("hmac", (SignedBody("x-sig", "sha256", "hex", "", (b"signing-k3y",)),))


def test_sender_that_cannot_pass_holds_no_bytes(path: Path) -> None:
    """Where the source refuses: what needs no body is looked at before it is read."""

    async def main() -> None:
        async with AsyncLedger(path) as ledger:
            rules = Rules((BY_PATH, UNSIGNED), refuse=True)
            senders = Senders({"skycore": rules})
            app = receiver(ledger, senders=senders, limit=1000, in_flight=1000, patience=60)
            guessing = {"path": "/skycore/guessed"}
            waiting = asyncio.create_task(answer_of(app, [part(b"x" * 1000)], **guessing))
            await asyncio.sleep(0)
            right = {"path": f"/skycore/{SECRET}"}
            assert (await answer_of(app, [part(b"x" * 1000, more=False)], **right))["status"] == 200
            # One that may be right is read.
            signed = {"headers": [(b"x-sig", b"0" * 64)]}
            reading = asyncio.create_task(answer_of(app, [part(b"x" * 1000)], **signed))
            await asyncio.sleep(0)
            assert (await answer_of(app, [part(b"x", more=False)], **right))["status"] == 503
            for one in (waiting, reading):
                one.cancel()
            await asyncio.wait([waiting, reading])
            large = [part(b"x" * 1000)] * 2000
            assert (await answer_of(app, large, **guessing))["status"] == 401
            assert len(large) > 900
            large, length = [part(b"x")], {"headers": [(b"content-length", b"2000000")]}
            assert (await answer_of(app, large, **guessing, **length))["status"] == 401
            assert len(large) == 1
            app.patience = 0.05
            assert (await answer_of(app, [part(b"x")], **guessing))["status"] == 401

    asyncio.run(main())


@attrs.frozen
class Noted:
    """A check that fails, and notes the threads in which it looked at a body."""

    threads: list[int]
    kind = "noted"

    def passes(self, posted: Posted, at: float) -> bool:
        self.threads.append(threading.get_ident())
        return False

    def may_pass(self, posted: Posted, at: float) -> bool:
        return True


@pytest.mark.parametrize(("size", "here"), [(64 << 10, True), ((64 << 10) + 1, False)])
@pytest.mark.parametrize("refuse", [False, True])
def test_large_body_is_checked_while_others_are_answered(
    path: Path, size: int, *, here: bool, refuse: bool
) -> None:
    """Not in the event loop's thread; and each check looks at a body once."""

    async def main() -> None:
        async with AsyncLedger(path) as ledger:
            threads: list[int] = []
            rules = Rules((Rule("noted", (Noted(threads),)),), refuse=refuse)
            app = receiver(ledger, senders=Senders({"skycore": rules}))
            answer = await answer_of(app, [part(b"x" * size, more=False)])
            assert answer["status"] == (401 if refuse else 200)
            assert [one == threading.get_ident() for one in threads] == [here]

    asyncio.run(main())


def test_body_above_the_limit_holds_no_bytes(path: Path) -> None:
    """From where it is cut off, though more of it is on its way."""

    async def main() -> None:
        async with AsyncLedger(path) as ledger:
            app = receiver(ledger, limit=1000, in_flight=1000, patience=60)
            large = [part(b"x" * 1000), part(b"x")]
            waiting = asyncio.create_task(answer_of(app, large))
            while large:
                await asyncio.sleep(0)
            answer = await answer_of(app, [part(b"x" * 1000, more=False)])
            assert answer["status"] == 200
            waiting.cancel()
            await asyncio.wait([waiting])
            # What was freed is not freed again.
            waiting = asyncio.create_task(answer_of(app, [part(b"x" * 1000)]))
            await asyncio.sleep(0)
            assert (await answer_of(app, [part(b"x", more=False)]))["status"] == 503
            waiting.cancel()
            await asyncio.wait([waiting])

    asyncio.run(main())


def test_one_body_as_large_as_the_limit_fits(path: Path) -> None:
    """However large the limit is."""
    app = receiver(path, sources=["a"], limit=65 << 20)
    with client_of(app) as client:
        assert client.post("/a", content=b"x" * (65 << 20)).status_code == 200


def test_busy_ledger_is_said_and_recovers(path: Path) -> None:
    """503 with Retry-After, not ready for a while, and 200 as soon as it can be written."""
    Ledger(path).close()

    async def main() -> None:
        async with AsyncLedger(path, timeout=0.05) as ledger:
            app = receiver(ledger, sources=["skycore"])

            async def status(url: str = "/readyz") -> int:
                answer = await answer_of(app, [], method="GET", path=url)
                return int(answer["status"])

            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                answer = await answer_of(app, [part(b"x", more=False)])
                assert answer["status"] == 503
                assert any(name == b"retry-after" for name, _ in answer["headers"])
                assert await status() == 503
                assert await status("/livez") == 200
            assert (await answer_of(app, [part(b"x", more=False)]))["status"] == 200
            assert await status() == 200
        assert await status() == 503
        assert (await answer_of(app, [part(b"x", more=False)]))["status"] == 503
        assert app.counts["skycore", "503"] == 2

    asyncio.run(main())


def test_ledger_that_was_moved_away_is_not_ready(path: Path) -> None:
    """Though it can be read as long as it is open, and before a post failed; health says so too."""
    Ledger(path).close()
    with Ledger(path) as opened, client_of(receiver(path)) as client:
        assert client.get("/readyz").status_code == 200
        path.rename(path.with_name("away.db"))
        answer = client.get("/readyz")
        said = "the file was moved, replaced or deleted while it was open"
        assert (answer.status_code, answer.text.partition(";")[0]) == (503, said)
        assert [one.partition(";")[0] for one in opened.health().problems] == [said]
        path.with_name("away.db").rename(path)
        assert client.get("/readyz").status_code == 200
        assert opened.health().ok


def test_reason_for_not_being_ready_names_no_path(tmp_path: Path) -> None:
    """Of the file; the log has it."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "here.db") as ledger:
            app = receiver(ledger, sources=["skycore"])
            (tmp_path / "here.db").rename(tmp_path / "there.db")
            got: list[Any] = []

            async def send(message: Any) -> None:
                got.append(message)

            assert (await answer_of(app, [part(b"x", more=False)]))["status"] == 503
            scope = {"type": "http", "method": "GET", "path": "/readyz", "headers": []}
            await app(scope, send, send)
            assert got[0]["status"] == 503
            assert got[1]["body"]
            assert str(tmp_path).encode() not in got[1]["body"]

    asyncio.run(main())


# --- who may post ---


def test_failed_check_is_recorded_as_unverified(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And logged; it moves no state. What passes is recorded with the name of the check."""
    senders = Senders({"skycore": Rules((BY_PATH, Rule("basic", (Basic((b"a:b",)),))))})
    app = receiver(path, senders=senders)
    with client_of(app) as client:
        for url in ("/skycore", "/skycore/guessed", f"/skycore/{SECRET}/x"):
            assert client.post(url, content=sent(SMS)).status_code == 200
        assert client.post(f"/skycore/{SECRET}", content=sent(SMS)).status_code == 200
        assert client.post("/skycore", content=delivered(SMS), auth=("a", "b")).status_code == 200
    found = [event.sender for event in events(path)]
    assert found == [UNVERIFIED, UNVERIFIED, UNVERIFIED, "path", "basic"]
    assert app.counts == {("skycore", "200"): 5}
    assert app.unverified == {"skycore": 3}
    said = "unverified for skycore from None: the sender is not known: path, basic failed"
    assert [one.getMessage() for one in caplog.records if one.levelname == "WARNING"] == [said] * 3


def test_unverified_events_have_a_quota(path: Path) -> None:
    """Of bytes for each source; who passes is not bounded by it."""
    rules = Rules((BY_PATH,), quota=3000)
    app = receiver(path, senders=Senders({"a": rules, "b": rules}))
    with client_of(app) as client:
        statuses = [client.post("/a", content=b"x" * 1000).status_code for _ in range(4)]
        assert statuses == [200, 200, 429, 429]
        assert int(client.post("/a", content=b"x" * 1000).headers["retry-after"]) <= 3600
        assert client.post("/b", content=b"x" * 1000).status_code == 200
        assert client.post(f"/a/{SECRET}", content=b"x" * 9000).status_code == 200
        # Each event takes something, be its body empty.
        assert 429 in [client.post("/b").status_code for _ in range(20)]
    assert app.counts["a", "429"] == 3
    assert app.unverified["a"] == 2


@pytest.mark.parametrize("name", ["Content-Type", "Content-Encoding"])
def test_headers_that_are_kept_are_bounded(path: Path, name: str) -> None:
    """They are kept next to the body, which says nothing of their size; who passes is refused too."""
    app = receiver(path, senders=Senders({"a": Rules((BY_PATH,))}))
    with client_of(app) as client:
        for url in ("/a", f"/a/{SECRET}"):
            for size, status in ((1024, 200), (1025, 431), (60_000, 431)):
                answer = client.post(url, content=b"x", headers={name: "x" * size})
                assert answer.status_code == status
        assert client.get("/a?b=1", headers={name: b"\xe9" * 513}).status_code == 431
    assert app.counts["a", "431"] == 5
    assert len(events(path)) == 2


def test_headers_that_are_kept_count_towards_the_quota(path: Path) -> None:
    """Otherwise an empty body could bring thousands of bytes at the price of none."""
    app = receiver(path, senders=Senders({"a": Rules((BY_PATH,), quota=3000)}))
    headers = {"Content-Type": "x" * 600, "Content-Encoding": "y" * 600}
    with client_of(app) as client:
        statuses = [client.post("/a", content=b"x", headers=headers).status_code for _ in range(3)]
    assert statuses == [200, 429, 429]


def test_a_query_is_bounded_as_a_body_is(path: Path) -> None:
    """It is kept as one."""
    app = receiver(path, sources=["a"], limit=100)
    with client_of(app) as client:
        assert client.get(f"/a?{'x' * 100}").status_code == 200
        assert client.get(f"/a?{'x' * 101}").status_code == 413
    assert len(events(path)) == 1


def test_what_is_not_recorded_is_not_counted_as_unverified(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the log, and it takes nothing of the quota: the provider posts it again."""
    Ledger(path).close()

    async def main() -> None:
        async with AsyncLedger(path, timeout=0.05) as ledger:
            app = receiver(ledger, senders=Senders({"skycore": Rules((BY_PATH,), quota=1500)}))
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                for _ in range(3):
                    answer = await answer_of(app, [part(b"x" * 1000, more=False)])
                    assert answer["status"] == 503
            assert app.unverified.total() == 0
            assert "unverified for" not in caplog.text
            assert (await answer_of(app, [part(b"x" * 1000, more=False)]))["status"] == 200
            assert app.unverified == {"skycore": 1}
            assert caplog.text.count("unverified for") == 1

    asyncio.run(main())


def test_quota_holds_for_requests_at_the_same_time(path: Path) -> None:
    """What is being recorded counts already."""

    async def main() -> None:
        async with AsyncLedger(path) as ledger:
            app = receiver(ledger, senders=Senders({"skycore": Rules((BY_PATH,), quota=3000)}))
            requests = [answer_of(app, [part(b"x" * 1000, more=False)]) for _ in range(9)]
            answers = await asyncio.gather(*requests)
            assert sorted(answer["status"] for answer in answers) == [200] * 2 + [429] * 7

    asyncio.run(main())


def test_quota_is_new_each_hour(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that nobody sets."""
    began = time.monotonic()
    app = receiver(path, senders=Senders({"a": Rules((BY_PATH,), quota=1500)}))
    with client_of(app) as client:
        assert client.post("/a", content=b"x" * 1000).status_code == 200
        assert client.post("/a", content=b"x" * 1000).status_code == 429
        with monkeypatch.context() as patch:
            patch.setattr("postledger.server.app.time.monotonic", lambda: began + 3600)
            assert client.post("/a", content=b"x" * 1000).status_code == 200


def test_signature_of_a_get_covers_its_query(path: Path) -> None:
    """By the URL, or as the body; a query that was changed is unverified."""
    key = b"signing-k3y"

    def signed(text: str, algorithm: str) -> bytes:
        return hmac.new(key, text.encode(), algorithm).digest()

    url = Rule("url", (SignedUrl("x-url", "https://hooks.example.org", (key,)),))
    body = Rule("body", (SignedBody("x-body", "sha256", "hex", "", (key,)),))
    with client_of(receiver(path, senders=Senders({"a": Rules((url, body))}))) as client:
        digest = signed("https://hooks.example.org/a?b=%31", "sha1")
        by_url = {"x-url": base64.b64encode(digest).decode()}
        by_body = {"x-body": signed("b=%31", "sha256").hex()}
        for headers in (by_url, by_body):
            assert client.get("/a?b=%31", headers=headers).status_code == 200
            assert client.get("/a?b=%32", headers=headers).status_code == 200
    assert [event.sender for event in events(path)] == ["url", UNVERIFIED, "body", UNVERIFIED]


def test_refusing_is_a_choice(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """401, counted, and nothing is recorded; the log says what failed, the answer doesn't."""
    app = receiver(path, senders=Senders({"skycore": Rules((UNSIGNED,), refuse=True)}))
    with client_of(app) as client:
        for text in ("00", "00" * 32):
            answer = client.post("/skycore", content=sent(SMS), headers={"x-sig": text})
            assert answer.status_code == 401
            assert answer.text == "the sender is not known"
            # Nobody is asked for a password where none lets in.
            assert "www-authenticate" not in answer.headers
    assert "401 for skycore from None: the sender is not known: hmac failed" in caplog.text
    assert events(path) == []
    assert app.counts == {("skycore", "401"): 2}


def test_password_is_asked_for_where_one_lets_in(path: Path) -> None:
    """Some providers send it only then (RFC 7617)."""
    rules = Rules((BY_PATH, Rule("basic", (Basic((b"a:b",)),))), refuse=True)
    with client_of(receiver(path, senders=Senders({"skycore": rules}))) as client:
        answer = client.post("/skycore", content=sent(SMS))
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="skycore"'


def test_app_is_opened_again(path: Path) -> None:
    """By another lifespan, as test clients do: it takes what is posted again."""
    app = receiver(path)
    for count in (1, 2):
        with client_of(app) as client:
            assert client.post("/skycore", content=sent(SMS)).status_code == 200
        assert len(events(path)) == count


# --- what is shown of it ---


@pytest.mark.parametrize(
    ("place", "said"),
    [("SkyCore", "/SkyCore names no source, /skycore does"), (SECRET, "this path names no source")],
)
def test_path_that_differs_by_case_alone_is_shown(
    path: Path, caplog: pytest.LogCaptureFixture, place: str, said: str
) -> None:
    """Of any other, which may be a secret, nothing is."""
    with client_of(receiver(path, sources=["skycore"])) as client:
        assert client.post(f"/{place}", content=b"x").text == "this path names no source"
    assert said in caplog.text
    assert SECRET not in caplog.text


def test_access_log_has_a_line_for_each_request(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Method, path, status, bytes, duration and address; each refusal has a line of its own."""
    with caplog.at_level(logging.INFO), client_of(receiver(path, limit=10)) as client:
        client.post("/skycore?query=1", content=b"1234")
        client.post("/skycore", content=b"x" * 11)
        client.request("SECRETS", "/skycore")
        client.get("/livez")
    lines = {
        name: [r for r in caplog.records if r.name == name]
        for name in {r.name for r in caplog.records}
    }
    access = [record.getMessage() for record in lines["postledger.server.access"]]
    assert [line.split(" ms")[0].rpartition(" ")[0] for line in access] == [
        "POST /skycore 200 4 bytes",
        "POST /skycore 413 11 bytes",
        "? /skycore 405 0 bytes",
        "GET /livez 200 0 bytes",
    ]
    refusals = [record.getMessage() for record in lines["postledger.server"]]
    assert [line[:15] for line in refusals] == ["413 for skycore", "405 for skycore"]


def test_secrets_show_nowhere(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In no log line, answer or count, not in what outer apps log, and not in the ledger."""
    every = (
        Rule("path", (InPath((SECRET.encode(),)),)),
        Rule("basic", (Basic((b"user:b4sic-password",)),)),
        Rule("hmac", (SignedBody("x-sig", "sha256", "hex", "", (b"signing-k3y",)),)),
    )
    seen: list[str] = []

    def app_that_logs(inner: Any) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                await inner(scope, receive, send)
            finally:
                seen.append(
                    repr({key: scope.get(key) for key in ("path", "raw_path", "query_string")})
                )

        return app

    for refuse in (False, True):
        rules = Rules(every, refuse=refuse, response=(b"respOnse-token",))
        app = receiver(path, senders=Senders({"skycore": rules}), limit=100)
        with caplog.at_level(logging.DEBUG), client_of(app_that_logs(app)) as client:
            answers = [
                client.post(f"/skycore/{SECRET}", content=b"x"),
                client.post(f"/skycore/{SECRET}x", content=b"x"),
                client.post(f"/skycroe/{SECRET}", content=b"x"),
                client.post(f"/{SECRET}", content=b"x"),
                client.put(f"/skycore/{SECRET}"),
                client.post(f"/skycore/{SECRET}", content=b"x" * 101),
                client.post(f"/skycore/?{SECRET}", content=b"x"),
                client.post("/skycore", content=b"x", auth=("user", "b4sic-password")),
                client.post("/skycore", content=b"x", headers={"x-sig": "signing-k3y"}),
                client.post(
                    "/skycore/response", headers={"authorization": "Bearer respOnse-token"}
                ),
                client.post(
                    "/skycore/response", headers={"authorization": "Bearer respOnse-token."}
                ),
            ]
        text = "".join(f"{answer.text}{answer.headers}" for answer in answers)
        text += "".join(seen) + repr(app.counts) + repr(app)
        # The client's own library logs whom it asks.
        mine = [r for r in caplog.records if not r.name.startswith("http")]
        text += "".join(f"{record.getMessage()}{record.__dict__}" for record in mine)
        for file in path.parent.glob("deliveries.db*"):
            text += file.read_bytes().decode("latin-1")
        assert [secret for secret in SECRETS if secret in text] == []


def test_metrics_have_the_counts_of_requests(path: Path) -> None:
    """Next to those of the ledger, and only where it is asked for."""
    senders = Senders({"sinch": Rules((BY_PATH,))})
    app = receiver(path, metrics=True, sources=["skycore"], senders=senders)
    with client_of(app) as client:
        client.post("/skycore", content=b"x")
        client.post("/sinch", content=b"x")
        client.post("/nobody", content=b"x")
        text = client.get("/metrics").text
    # The adoption, and what was posted twice.
    assert "postledger_log_events 3.0" in text
    assert 'postledger_requests_total{outcome="200",source="skycore",worker="' in text
    assert 'postledger_requests_total{outcome="404",source="",worker="' in text
    # Once by its status, and once as unverified.
    lines = [line for line in text.splitlines() if "requests" in line]
    counted = [line for line in lines if 'source="sinch"' in line]
    assert [line.partition(",")[0] for line in counted] == [
        'postledger_requests_total{outcome="200"',
        'postledger_unverified_requests_total{source="sinch"',
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"limit": 0}, "limit must be at least 1, got 0"),
        ({"limit": 10, "in_flight": 9}, "in_flight must be at least 10, got 9"),
        ({"limit": 100 << 20, "in_flight": 64 << 20}, "in_flight must be at least 104857600, got"),
        ({"patience": 0}, "patience must be above 0, at most 86400, got 0"),
        ({"patience": float("inf")}, "patience must be above 0, at most 86400, got inf"),
        ({"sources": ["a/b"]}, "a source must be"),
        ({"sources": "skycore"}, "sources must be an iterable of str, got 'skycore'"),
        ({"senders": {}}, "senders must be"),
        ({"senders": "x.toml"}, "got 'x.toml'; load_senders reads a file"),
    ],
)
def test_arguments_are_checked_at_once(path: Path, given: dict[str, Any], message: str) -> None:
    """Before the ledger is opened, which makes none then."""
    with pytest.raises((TypeError, ValueError), match=message):
        receiver(path, **given)
    assert not path.exists()
