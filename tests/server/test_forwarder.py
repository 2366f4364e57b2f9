"""The forwarder: each change at least once, in order, to a real HTTP server."""

from __future__ import annotations

import gzip
import itertools
import logging
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from postledger import Ledger, LedgerError, PostledgerError, UnknownKey
from postledger.definitions.definitions import Definitions, builtin
from postledger.log.event import Entry, Envelope, Part
from postledger.server import outbox as outboxes
from postledger.server import sending
from postledger.server.addresses import Address
from postledger.server.endpoints import Endpoint, endpoint_of, endpoints
from postledger.server.forwarder import Forwarder
from postledger.server.outbox import outbox_of
from postledger.server.schedule import MOST_ASKED, STANDARD, Schedule
from tests.conftest import ledger_of
from tests.samples import delivered, failed, first_outcome_stands, sent
from tests.server import killed
from tests.server.peer import Got, Peer, Reply

SECRET, OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "A" * 40
AT_ONCE, NEVER = Schedule(waits=(0.0,) * 5, jitter=0.0), Schedule(waits=())


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A server that takes all."""
    with Peer() as serving:
        yield serving


def forwarder(ledger: Ledger, peer: Peer, **options: Any) -> Forwarder:
    """A forwarder to the peer, which is on this machine."""
    return Forwarder(ledger, peer.url, **{"allow_private": True, "schedule": AT_ONCE, **options})


def send(ledger: Ledger, peer: Peer, **options: Any) -> Forwarder:
    """Send what is due."""
    made = forwarder(ledger, peer, **options)
    made.run(live=False)
    return made


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    for _ in range(2_000):
        if holds():
            return
        time.sleep(0.005)
    raise AssertionError("it never held")


def refusing(*about: str, status: int = 500) -> Callable[[Got], Reply]:
    """Answers that refuse all of some deliveries."""
    return lambda got: Reply(status if got.about in about else 200)


# --- what is sent ---


def test_each_change_is_a_cloudevent_with_its_key(ledger: Ledger, peer: Peer) -> None:
    """In the JSON format of CloudEvents 1.0; what changes nothing is not sent, and nothing twice."""
    ledger.record_many([sent("a"), delivered("a"), delivered("a"), b"?"])
    send(ledger, peer)
    changes = list(ledger.follow(live=False))
    assert [got.key for got in peer.got] == [change.key for change in changes]
    said = peer.got[1].event
    assert peer.got[1].headers["content-type"] == "application/cloudevents+json; charset=UTF-8"
    assert said.pop("source").startswith("/ledgers/")
    assert datetime.fromisoformat(said.pop("time")) == changes[1].event.received_at
    assert said == {
        "specversion": "1.0",
        "id": changes[1].key,
        "type": "postledger.delivery.changed",
        "subject": "a",
        "datacontenttype": "application/json",
        "data": changes[1].to_dict(),
    }
    assert send(ledger, peer).status().position == 4
    assert len(peer.got) == 2


def test_a_subject_that_no_cloudevent_may_have_is_left_out(ledger: Ledger, peer: Peer) -> None:
    """The data have the id all the same."""
    ledger.record(sent("a\u0085b"))
    send(ledger, peer)
    assert "subject" not in peer.got[0].event
    assert peer.got[0].event["data"]["delivery"]["tracking_id"] == "a\u0085b"


def test_the_signature_is_accepted_by_standardwebhooks(
    ledger: Ledger, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By each secret while one is replaced; not by another one, and not of other bytes."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    monkeypatch.setenv("HOOK", OTHER)
    ledger.record(sent("a"))
    send(ledger, peer, secrets=[f"file:{tmp_path / 'secret'}", "env:HOOK"])
    (got,) = peer.got
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(got.body, dict(got.headers)) == got.event
    for secret, body in ((SECRET[:-4] + "AAAA", got.body), (SECRET, got.body + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, dict(got.headers))


def test_without_a_secret_nothing_is_signed(ledger: Ledger, peer: Peer) -> None:
    """The key and the time stand there all the same."""
    ledger.record(sent("a"))
    send(ledger, peer)
    assert "webhook-signature" not in peer.got[0].headers
    assert abs(int(peer.got[0].headers["webhook-timestamp"]) - time.time()) < 60


def test_postbacks_are_sent_as_received(ledger: Ledger, peer: Peer) -> None:
    """Each receipt, its bytes and headers, whatever it is; a statement of the program is none."""
    bodies = [sent("a"), sent("a"), b"\0\xff?", delivered("a")]
    ledger.created("a", to="1650")
    for body in bodies:
        ledger.record(body, content_type="text/xml")
    ledger.record(gzip.compress(sent("b")), content_type="a\nb", content_encoding="gzip")
    send(ledger, peer, postbacks=True)
    sent_as = {got.key: got for got in peer.got}
    events = [event for event in ledger.events() if event.kind == "receipt"]
    assert sent_as.keys() == {event.leaf.hex() for event in events}
    assert [sent_as[event.leaf.hex()].body for event in events][:4] == bodies
    assert [got.body for got in peer.got if got.body in (sent("a"), delivered("a"))] == [
        sent("a"),
        sent("a"),
        delivered("a"),
    ]
    last = sent_as[events[-1].leaf.hex()]
    assert gzip.decompress(last.body) == sent("b")
    assert last.headers["content-encoding"] == "gzip"
    # What a file said of it is no header.
    assert last.headers["content-type"] == "application/octet-stream"


def test_what_is_unverified_is_not_sent_on(ledger: Ledger, peer: Peer) -> None:
    """A signature would vouch for it; a query string is sent as the form that it is."""
    envelopes = [
        Envelope(sender="unverified"),
        Envelope(sender="basic"),
        Envelope(part=Part.QUERY, content_type=None),
    ]
    with ledger._connections.write() as own:
        for n, envelope in enumerate(envelopes):
            own.log.append([Entry(n, envelope, f"body={n}".encode())], own.log.head())
    send(ledger, peer, postbacks=True)
    got = {one.body: one.headers.get("content-type") for one in peer.got}
    assert got == {b"body=1": None, b"body=2": "application/x-www-form-urlencoded"}


# --- order, and what is refused ---


def test_a_delivery_that_is_refused_delays_no_other(ledger: Ledger, peer: Peer) -> None:
    """Its changes wait, in their order; those of others are taken."""
    peer.answer = refusing("a")
    ledger.record_many([sent("a"), sent("b"), delivered("a"), delivered("b")])
    made = send(ledger, peer, schedule=Schedule(waits=(3600.0,)))
    assert [got.about for got in peer.taken] == ["b", "b"]
    assert [got.about for got in peer.got].count("a") == 1
    assert [(one.about, one.attempts, one.problem) for one in made.waiting()] == [
        ("a", 1, "HTTP 500"),
        ("a", 0, None),
    ]
    assert (made.status().pending, made.status().parked) == (2, 0)


def test_what_is_refused_until_the_schedule_ends_is_parked(ledger: Ledger, peer: Peer) -> None:
    """What comes behind it is held until it is skipped; nothing else is."""
    peer.answer = refusing("a", status=400)
    ledger.record_many([sent("a"), sent("b"), delivered("a")])
    made = forwarder(ledger, peer, schedule=Schedule(waits=(0.0, 0.0)))
    for _ in range(3):
        made.run(live=False)
    keys = [change.key for change in ledger.follow(live=False)]
    assert [got.key for got in peer.got].count(keys[0]) == 3
    assert [(w.key, w.status) for w in made.waiting()] == [(keys[0], "parked"), (keys[2], "held")]
    status = made.status()
    assert (status.pending, status.held, status.parked) == (0, 1, 1)
    peer.answer = refusing()
    made.run(live=False)
    assert keys[2] not in [got.key for got in peer.got]
    made.skip(keys[0])
    made.run(live=False)
    assert [got.key for got in peer.taken] == [keys[1], keys[2]]
    with pytest.raises(UnknownKey, match=f"no message '{keys[0]}' waits"):
        made.skip(keys[0])


def test_what_is_parked_is_redriven_while_a_forwarder_runs(ledger: Ledger, peer: Peer) -> None:
    """From another process too: the outbox is looked at again and again."""
    peer.answer = refusing("a")
    ledger.record_many([sent("a"), delivered("a")])
    with forwarder(ledger, peer, schedule=NEVER) as made:
        wait_until(lambda: made.status().parked == 1)
        peer.answer = refusing()
        assert endpoint_of(ledger, peer.url).redrive() == 1
        wait_until(lambda: len(peer.taken) == 2)
    assert [got.event["data"]["position"] for got in peer.taken] == [1, 2]


def test_an_endpoint_that_is_gone_is_disabled_and_keeps_all(ledger: Ledger, peer: Peer) -> None:
    """410: nothing more is sent, also by the next run, until it is enabled."""
    peer.answer = lambda _: Reply(410)
    ledger.record_many([sent("a"), delivered("a"), sent("b")])
    made = send(ledger, peer)
    assert made.status().disabled == "HTTP 410"
    assert made.status().pending == 3
    count = len(peer.got)
    with pytest.raises(PostledgerError, match="disabled: it answered HTTP 410"):
        send(ledger, peer)
    with forwarder(ledger, peer) as running:
        ledger.record(sent("c"))
        peer.answer = refusing()
        time.sleep(0.5)
        assert len(peer.got) == count
        running.enable()
        wait_until(lambda: len(peer.taken) == 4)
    assert running.status().disabled is None


def test_each_time_that_an_endpoint_is_disabled_is_logged(
    ledger: Ledger, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, however many attempts were answered 410 at that time."""
    peer.answer = lambda _: Reply(410)
    ledger.record_many([sent(one) for one in "abc"])
    with forwarder(ledger, peer) as running:
        wait_until(lambda: running.status().disabled is not None)
        running.enable()
        wait_until(lambda: caplog.text.count("disabled: it answered HTTP 410") > 1)
    said = [one for one in caplog.messages if "disabled" in one]
    assert said == [
        f"{peer.url}: disabled: it answered HTTP 410; nothing more is sent until it is enabled"
        " (postledger forward --enable)"
    ] * len(said)
    assert len(said) == 2


class Held:
    """Answers of which some wait until they are let go; what began and ended, in order."""

    def __init__(self, peer: Peer, *positions: int) -> None:
        self.go, self.said = threading.Event(), list[tuple[str, int]]()
        self.positions, self.reply = positions, Reply()
        peer.answer = self.answer

    def answer(self, got: Got) -> Reply:
        """The answer to one attempt."""
        position = got.event["data"]["position"]
        self.said.append(("begin", position))
        held = position in self.positions and not self.go.is_set()
        if held:
            self.go.wait(10)
        self.said.append(("end", position))
        return self.reply if held else Reply()


def test_what_follows_a_skipped_message_waits_for_the_attempt_under_way(
    ledger: Ledger, peer: Peer
) -> None:
    """It was given up while it was sent: the next of the delivery comes after that has ended."""
    held = Held(peer, 1)
    ledger.record_many([sent("a"), delivered("a")])
    with forwarder(ledger, peer) as made:
        wait_until(lambda: held.said == [("begin", 1)])
        made.skip(made.waiting()[0].key)
        ledger.record(sent("b"))
        # Others don't wait.
        wait_until(lambda: ("end", 3) in held.said)
        time.sleep(0.6)
        held.go.set()
        wait_until(lambda: ("end", 2) in held.said)
    of_a = [one for one in held.said if one[1] != 3]
    assert of_a == [("begin", 1), ("end", 1), ("begin", 2), ("end", 2)]


def test_a_message_redriven_while_it_is_sent_is_sent_by_the_new_schedule(
    ledger: Ledger, peer: Peer
) -> None:
    """The attempt under way, the last of the old one, parks nothing."""
    peer.answer = refusing("a")
    ledger.record(sent("a"))
    send(ledger, peer, schedule=Schedule(waits=(3600.0,)))
    held = Held(peer, 1)
    held.reply = Reply(500)
    later = time.time() + 8_000
    with forwarder(ledger, peer, schedule=Schedule(waits=(3600.0,)), clock=lambda: later) as made:
        wait_until(lambda: held.said == [("begin", 1)])
        assert made.redrive(made.waiting()[0].key) == 1
        held.go.set()
        wait_until(lambda: len(peer.taken) == 1)
    assert made.status().parked == 0


def test_a_410_from_before_the_endpoint_was_enabled_disables_nothing(
    ledger: Ledger, peer: Peer
) -> None:
    """What it answered is known already; its message is sent again."""
    held = Held(peer, 1)
    held.reply = Reply(410)
    ledger.record(sent("a"))
    with forwarder(ledger, peer) as made:
        wait_until(lambda: held.said == [("begin", 1)])
        peer.answer = lambda _: Reply(410)
        ledger.record(sent("b"))
        wait_until(lambda: made.status().disabled is not None)
        peer.answer = refusing()
        assert made.enable()
        wait_until(lambda: len(peer.taken) == 1)
        held.go.set()
        wait_until(lambda: len(peer.taken) == 2)
        assert made.status().disabled is None
        assert not made.enable()


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 429, 500, 503])
def test_only_2xx_is_success(ledger: Ledger, peer: Peer, status: int) -> None:
    """A redirect is not followed."""
    with Peer() as elsewhere:
        peer.answer = lambda _: Reply(status, {"location": elsewhere.url})
        ledger.record(sent("a"))
        made = send(ledger, peer, schedule=NEVER)
        assert made.waiting()[0].problem == f"HTTP {status}"
        assert elsewhere.got == []


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [("120", 119, 121), ("9999999999999999999", 86_399, 86_401), ("soon", 0, 6.1), ("-5", 0, 6.1)],
)
def test_a_wait_that_is_asked_for_is_kept(
    ledger: Ledger, peer: Peer, asked: str, least: float, most: float
) -> None:
    """Within a day; what can't be read asks for nothing."""
    peer.answer = lambda _: Reply(503, {"retry-after": asked})
    ledger.record(sent("a"))
    made = send(ledger, peer, schedule=Schedule(), clock=lambda: 1_000.0)
    due = made.waiting()[0].due
    assert due is not None
    assert least <= due - 1_000.0 <= most + 30


def test_the_schedule_is_that_of_standard_webhooks() -> None:
    """Ten attempts over three days; a random part of each wait is added, never taken away."""
    assert sum(STANDARD) == 75 * 3600 + 35 * 60 + 5
    waits = [Schedule().wait(n) for n in range(1, 11)]
    assert waits[-1] is None
    assert all(w <= wait <= 1.2 * w for w, wait in zip(STANDARD, waits, strict=False) if wait)
    assert len({Schedule().wait(9) for _ in range(50)}) > 40
    assert Schedule().wait(1, MOST_ASKED * 2) == MOST_ASKED


def test_three_days_of_failures_end_with_a_parked_message(ledger: Ledger, peer: Peer) -> None:
    """Each attempt when its time comes, by the process that is running then, and none before."""
    peer.answer = refusing("a")
    ledger.record(sent("a"))
    now = [1e9]
    for number, wait in enumerate((*STANDARD, 0.0), 1):
        for _ in range(2):
            made = send(ledger, peer, schedule=Schedule(jitter=0.0), clock=lambda: now[0])
            assert len(peer.got) == number
        now[0] += wait + 1
    assert made.status().parked == 1


@pytest.mark.parametrize("jump", [-1e8, 1e8])
@pytest.mark.parametrize(("wait", "tries"), [(0.2, 3), (3600.0, 1)])
def test_a_jump_of_the_clock_changes_no_wait(
    ledger: Ledger, peer: Peer, jump: float, wait: float, tries: int
) -> None:
    """What is due soon is not put off, and what is due late does not come at once."""
    now = [1e9]
    peer.answer = refusing("a")
    ledger.record(sent("a"))
    schedule = Schedule(waits=(wait,) * 99)
    with forwarder(ledger, peer, schedule=schedule, clock=lambda: now[0]):
        wait_until(lambda: len(peer.got) > 0)
        now[0] += jump
        wait_until(lambda: len(peer.got) >= tries)
        time.sleep(0.4 if tries == 1 else 0)
    assert len(peer.got) >= tries if tries > 1 else len(peer.got) == 1


def test_a_retry_that_is_due_is_sent_while_new_ones_never_end(ledger: Ledger, peer: Peer) -> None:
    """Each answer brings one more postback, and more than are sent at once wait from the start."""
    most, first = 300, b"first"
    count = itertools.count()

    def answer(got: Got) -> Reply:
        number = next(count)
        if number < most:
            ledger.record(b"%d" % number)
        again = [one.body for one in peer.got].count(first) > 1
        return Reply(200 if again or got.body != first else 500)

    peer.answer = answer
    ledger.record_many([first, *(b"waits %d" % n for n in range(100))])
    send(ledger, peer, postbacks=True)
    came = [got.body for got in peer.got]
    assert len(came) > most
    assert came.count(first) == 2
    assert came.index(first, came.index(first) + 1) < most


# --- one forwarder, its place, its outbox ---


def test_start_raises_what_hinders_it(ledger: Ledger, peer: Peer) -> None:
    """A private address, a name without address, another that sends there; and stores no endpoint."""
    for to, said in (
        (peer.url, r"127.0.0.1 is loopback; nothing is sent there unless allow_private is true"),
        ("http://nowhere.invalid/", r"nowhere.invalid has no address: [A-Z]"),
    ):
        made = Forwarder(ledger, to)
        for begin in (made.start, made.__enter__, made.run):
            with pytest.raises(PostledgerError, match=said):
                begin()
        made.stop()
        with pytest.raises(UnknownKey, match="no changes were forwarded there yet"):
            made.status()
    assert not outbox_of(ledger.path).exists()
    with forwarder(ledger, peer):
        with pytest.raises(PostledgerError, match="another forwarder sends there") as raised:
            (second := forwarder(ledger, peer)).start()
        assert second.error is raised.value
    forwarder(ledger, peer).run(live=False)


def test_a_known_name_that_is_unknown_now_is_tried_later(
    ledger: Ledger, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was forwarded to before waits for its name."""
    real, known = socket.getaddrinfo, [True]

    def lookup(host: Any, *args: Any, **options: Any) -> Any:
        if host in ("later.test", b"later.test"):
            if not known[0]:
                raise socket.gaierror(-2, "Name or service not known")
            host = "127.0.0.1"
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    made = Forwarder(
        ledger, f"http://later.test:{peer.port}/", allow_private=True, schedule=AT_ONCE
    )
    made.run(live=False)
    ledger.record(sent("a"))
    known[0] = False
    with made:
        wait_until(lambda: made.waiting() != [] and made.waiting()[0].attempts > 0)
        assert made.waiting()[0].problem == (
            "no answer: later.test has no address: Name or service not known"
        )
        made.redrive()
        known[0] = True
        made.redrive()
        wait_until(lambda: len(peer.taken) == 1)
    assert (made.sent, made.error) == (1, None)


def test_what_ends_the_thread_is_kept(
    ledger: Ledger, peer: Peer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And logged, since nobody waits for it."""
    made = forwarder(ledger, peer)
    with made:
        assert made.error is None
        monkeypatch.setattr("postledger.server.outbox.Outbox.due", _damaged)
        wait_until(lambda: made.error is not None)
    assert str(made.error) == "the index is damaged"
    assert "forwarding ended: the index is damaged" in caplog.text


def test_an_endpoint_is_forgotten_with_its_messages(ledger: Ledger, peer: Peer) -> None:
    """Not while it is served; what is forwarded there later begins as new, by another number."""
    peer.answer = refusing("a")
    ledger.record_many([sent("a"), delivered("a"), sent("b")])
    with Peer() as other:
        send(ledger, other)
        with forwarder(ledger, peer, schedule=Schedule(waits=(3600.0,))) as made:
            wait_until(lambda: len(peer.taken) == 1)
            with pytest.raises(PostledgerError, match="another forwarder sends there"):
                made.forget()
        number = made.number
        assert made.forget() == 2
        assert [one.status().endpoint for one in endpoints(ledger)] == [other.url]
        assert not list(ledger.path.parent.glob(f"*-{number}.lock"))
        with pytest.raises(UnknownKey):
            made.status()
        with pytest.raises(LedgerError, match=f"endpoint {number} is gone"):
            Endpoint(ledger, number).enable()
        peer.answer = refusing()
        assert send(ledger, peer).number > number
    assert [got.about for got in peer.taken].count("b") == 2


def test_an_endpoint_is_served_by_one_process(ledger: Ledger, peer: Peer) -> None:
    """A second forwarder is refused; of another endpoint, or of the postbacks, it is not."""
    with forwarder(ledger, peer) as first:
        wait_until(lambda: not first.status().behind)
        with pytest.raises(PostledgerError, match="forwarding already; stop it first"):
            first.start()
        with pytest.raises(PostledgerError, match="another forwarder sends there"):
            send(ledger, peer)
        send(ledger, peer, postbacks=True)
    assert first.error is None
    send(ledger, peer)


def test_a_lost_outbox_is_served_from_the_beginning(ledger: Ledger, peer: Peer) -> None:
    """With the same keys, so that the receiver knows them; or after a position, where asked."""
    ledger.record_many([sent("a"), delivered("a"), sent("b")])
    send(ledger, peer)
    for file in ledger.path.parent.glob(f"{outbox_of(ledger.path).name}*"):
        file.unlink()
    send(ledger, peer)
    keys = [got.key for got in peer.got]
    assert len(keys) == 6
    assert set(keys[:3]) == set(keys[3:])
    with Peer() as other:
        send(ledger, other, after=2)
        assert [got.event["data"]["position"] for got in other.got] == [3]
        # It is known by now.
        send(ledger, other, after=-1)
        assert len(other.got) == 1


def test_a_restored_ledger_is_sent_from_the_beginning(tmp_path: Path, peer: Peer) -> None:
    """Its positions count anew: what they held before is not what they hold now."""
    import sqlite3

    path, kept = tmp_path / "a.db", tmp_path / "kept.db"
    with Ledger(path) as ledger:
        ledger.record(sent("a"))
        with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(kept)) as copy:
            db.backup(copy)
        ledger.record_many([delivered("a"), sent("b")])
        send(ledger, peer)
    for file in tmp_path.glob("a.db-[ws]*"):
        file.unlink()
    kept.replace(path)
    with Ledger(path) as ledger:
        ledger.record_many([sent("c"), sent("d"), failed("a")])
        send(ledger, peer)
        changes = {change.key for change in ledger.follow(live=False)}
    assert changes <= {got.key for got in peer.got}
    assert len({got.key for got in peer.got}) == 6


def test_one_endpoint_that_is_dead_delays_no_other(ledger: Ledger, peer: Peer) -> None:
    """Each has its own place; what waits for the dead one is bounded."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        ledger.record_many([sent(str(n)) for n in range(20)])
        Forwarder(ledger, dead, allow_private=True).run(live=False)
        send(ledger, peer)
    assert len(peer.taken) == 20
    first, second = (one.status() for one in endpoints(ledger))
    assert (first.pending, second.pending) == (20, 0)
    (waiting, *_) = endpoints(ledger)[0].waiting()
    assert waiting.problem is not None
    assert waiting.problem.startswith("no answer: ")


def test_no_more_is_taken_in_than_the_outbox_is_to_hold(
    ledger: Ledger, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest stays in the log until there is room; then all of it is sent."""
    monkeypatch.setattr(outboxes, "MOST_PENDING", 30)
    monkeypatch.setattr("postledger.projections.changes.PAGE", 20)
    ledger.record_many([sent(str(n)) for n in range(200)])
    peer.answer = lambda _: Reply(500)
    made = send(ledger, peer, schedule=Schedule(waits=(3600.0,)))
    assert made.status().pending == 39
    assert made.status().behind == 161
    peer.answer = refusing()
    send(ledger, peer, clock=lambda: time.time() + 8_000)
    assert {got.about for got in peer.taken} == {str(n) for n in range(200)}


def test_a_forwarder_that_is_stopped_ends_what_is_in_flight(ledger: Ledger, peer: Peer) -> None:
    """What was taken is not sent again by the next."""
    begun, go = threading.Event(), threading.Event()

    def answer(_: Got) -> Reply:
        begun.set()
        go.wait(10)
        return Reply()

    peer.answer = answer
    ledger.record_many([sent("a"), delivered("a")])
    made = forwarder(ledger, peer)
    made.start()
    begun.wait(10)
    stopping = threading.Thread(target=made.stop)
    stopping.start()
    time.sleep(0.05)
    go.set()
    stopping.join()
    assert len(peer.got) == 1
    send(ledger, peer)
    assert [got.event["data"]["position"] for got in peer.got] == [1, 2]


def test_a_forwarder_ends_with_its_ledger(tmp_path: Path, peer: Peer) -> None:
    """Closing waits for it; nothing goes wrong."""
    with Ledger(tmp_path / "a.db") as ledger:
        made = forwarder(ledger, peer)
        made.start()
        ledger.record(sent("a"))
        wait_until(lambda: len(peer.taken) == 1)
    made.stop()
    assert made.error is None


def test_a_ledger_that_cannot_be_read_stops_no_attempt(
    ledger: Ledger, peer: Peer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was taken in goes out; the ledger is looked at again later."""
    peer.answer = refusing("a")
    ledger.record(sent("a"))
    monkeypatch.setattr("postledger.server.forwarder._AGAIN", 0.1)
    with forwarder(ledger, peer, schedule=Schedule(waits=(0.05,) * 2_000)) as made:
        wait_until(lambda: len(peer.got) > 0)
        with monkeypatch.context() as broken:
            broken.setattr("postledger.projections.changes.page_of", _damaged)
            wait_until(lambda: "the index is damaged" in caplog.text)
            peer.answer = refusing()
            wait_until(lambda: len(peer.taken) == 1)
        ledger.record(delivered("a"))
        wait_until(lambda: len(peer.taken) == 2)
    assert made.error is None


def _damaged(*_: object, **__: object) -> None:
    raise LedgerError("the index is damaged")


# --- where to ---


PRIVATE = """
    127.0.0.1 127.9.9.9 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1
    255.255.255.255 240.0.0.1 192.0.2.1 198.18.0.1 ::1 :: fe80::1 fc00::1 fd12::1 ff02::1 fec0::1
    ::ffff:10.0.0.1 ::ffff:127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1:: 2002:a00:1:: 2001:db8::1
    2001:0:4136:e378:8000:63bf:80ff:fffe 2001:0:7f00:1::a247:28f1 3fff::1 3fff:fff:ffff::1 192.88.99.1
    192.0.0.100 192.31.196.1 192.52.193.1 192.175.48.1 2620:4f:8000::1 5f00::1 2001:4:112::1 2001:20::1
    2002:c058:6301:: 64:ff9b::a9fe:a9fe ::ffff:0:7f00:1 ::7f00:1 100:0:0:1::1
    2606:4700::5efe:7f00:1 2606:4700::5efe:10.1.2.3 2606:4700::200:5efe:192.168.1.1 fe80::5efe:5db8:d70e
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private_addresses_are_refused(address: str) -> None:
    """Loopback, private, link-local, multicast and reserved ones, also inside of others."""
    assert sending.refused(ip_address(address)) is not None


PUBLIC = """
    93.184.215.14 2606:4700::1111 64:ff9b::5db8:d70e 2002:5db8:d70e::1 2606:4700::200:5efe:93.184.215.14
    2001:0:4136:e378:8000:63bf:a247:28f1 2001:200::1 3ffe::1 2620:4f:8001::1 192.88.98.1 192.0.1.1
"""


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses_are_not_refused(address: str) -> None:
    """Those of the internet."""
    assert sending.refused(ip_address(address)) is None


@given(st.ip_addresses())
def test_nothing_is_sent_to_what_python_calls_private(address: Address) -> None:
    """Nor to such an address within another, wherever it is known to stand."""
    public = sending.refused(address) is None
    assert (
        not public
        or address.is_global
        or address in IPv6Network("64:ff9b::/96")
        or (address in IPv6Network("2001::/32"))
    )
    if isinstance(address, IPv4Address):
        number = int(address)
        for within in (
            0xFFFF << 32 | number,
            0x64FF9B << 96 | number,
            0x2002 << 112 | number << 80 | 1,
            0x20010000 << 96 | number << 64 | 0xA24728F1,
            0x20010000 << 96 | 0x4136E378 << 64 | ~number & 0xFFFFFFFF,
            0x26064700 << 96 | 0x5EFE << 32 | number,
            0x26064700 << 96 | 0x02005EFE << 32 | number,
        ):
            assert (sending.refused(IPv6Address(within)) is None) == public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433"])
def test_a_private_endpoint_is_refused_at_once(ledger: Ledger, peer: Peer, host: str) -> None:
    """By name and by number; nothing reaches it, and the message says what permits it."""
    ledger.record(sent("a"))
    made = Forwarder(ledger, f"http://{host}:{peer.port}/")
    reason = "unspecified" if host == "0.0.0.0" else "loopback"
    with pytest.raises(
        PostledgerError, match=rf"is {reason}; nothing is sent there unless allow_pri"
    ):
        made.run(live=False)
    assert peer.got == []


def test_the_connection_goes_to_the_address_that_was_checked(
    ledger: Ledger, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is another's when it is asked a second time gets nothing (DNS rebinding)."""
    ledger.record_many([sent("a"), sent("b")])
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: Any, *args: Any, **options: Any) -> Any:
        if host in ("rebinding.test", b"rebinding.test"):
            asked.append("127.0.0.2" if len(asked) < 2 else "127.0.0.1")
            host = asked[-1]
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    # Here the other address stands for a public one: no test reaches the internet.
    refused = sending.refused
    monkeypatch.setattr(sending, "refused", lambda a: None if str(a) == "127.0.0.2" else refused(a))
    made = Forwarder(ledger, f"http://rebinding.test:{peer.port}/", schedule=NEVER)
    made.run(live=False)
    # The peer listens on 127.0.0.1 alone: what was checked was 127.0.0.2, and nobody answers there.
    assert peer.got == []
    assert len(asked) >= 2
    assert all(one.status == "parked" for one in made.waiting())
    made.redrive()
    made2 = Forwarder(ledger, f"http://rebinding.test:{peer.port}/", schedule=NEVER)
    with pytest.raises(PostledgerError, match=r"rebinding.test: 127.0.0.1 is loopback;"):
        made2.run(live=False)


def test_proxies_of_the_environment_are_not_used(
    ledger: Ledger, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would look up the name once more."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    ledger.record(sent("a"))
    send(ledger, peer)
    assert len(peer.taken) == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "http://",
        "https://[::1",
        "http://a b/",
        "http://./",
        f"http://{'a' * 64}.example.org/",
        "http://example.org../",
        "http://a..example.org/",
        f"http://{'a.' * 122}example.org/",
        "https://example.org:99999/",
        "https://example.org:65536/",
        "https://example.org:0/",
        "https://example.org:-1/",
        "https://[::1]:70000/",
    ],
)
def test_an_invalid_url_is_refused(ledger: Ledger, url: str) -> None:
    """In one line, without the URL, which may hold secrets; it is a ``ValueError`` too."""
    with pytest.raises(PostledgerError, match="the URL") as raised:
        Forwarder(ledger, url)
    assert isinstance(raised.value, ValueError)
    assert not outbox_of(ledger.path).exists()
    assert "example.org" not in str(raised.value)


def test_the_longest_names_and_ports_are_taken() -> None:
    """63 characters between dots, 253 in all, and the one dot that may end them; also in IDNA."""
    label = "a" * 63
    longest = f"{label}.{label}.{label}.{label[:61]}"
    for host in (longest, f"{longest}.", "bücher.example"):
        target = sending.Target(f"https://{host}:65535/")
        assert target.port == 65535
        assert target.core.host == target.host.encode()


@pytest.mark.parametrize(
    "secret",
    [
        "abc",
        "whsec_",
        "whsec_c2hvcnQ=",
        "whsec_" + "A" * 100,
        "whsec_$$",
        "env:NOT_THERE",
        "file:/no",
    ],
)
def test_an_invalid_secret_is_refused_and_not_shown(ledger: Ledger, secret: str) -> None:
    """The message says what was expected, or what is missing."""
    with pytest.raises(PostledgerError) as raised:
        Forwarder(ledger, "https://example.org/", secrets=[secret])
    assert re.fullmatch(
        r"the secret: expected whsec_ and base64 of 24 to 64 bytes; another text was given"
        r"|env:NOT_THERE: the variable is missing; set it"
        r"|file:/no: can't be read: No such file or directory; check the path",
        str(raised.value),
    )


def test_secrets_stand_in_no_log_and_no_file(
    ledger: Ledger, peer: Peer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither the signing secret nor what the URL holds: credentials, a query, a path's token."""
    words = ["PASSWORD-X", "T0KEN-QUERY", "T0KENINPATH0123456789"]
    caplog.set_level(logging.DEBUG)
    ledger.record_many([sent("a"), sent("b")])
    url = f"http://me:{words[0]}@127.0.0.1:{peer.port}/{words[2]}?token={words[1]}"
    for status in (500, 200, 410):
        peer.answer = lambda _, status=status: Reply(status)  # type: ignore[misc]
        ledger.record(sent(f"c{status}"))
        made = Forwarder(ledger, url, secrets=[SECRET], allow_private=True, schedule=AT_ONCE)
        made.run(live=False)
    made.enable()
    assert peer.got[0].headers["authorization"].startswith("Basic ")
    assert peer.got[0].path == f"/{words[2]}?token={words[1]}"
    said = caplog.text + "".join(capfd.readouterr()) + repr(made.status()) + repr(made._target)
    files = b"".join(
        file.read_bytes() for file in ledger.path.parent.glob(f"{ledger.path.name}-outbox*")
    )
    for word in (*words, SECRET, SECRET[6:], peer.got[0].headers["authorization"][6:]):
        assert word not in said
        assert word.encode() not in files
    # New credentials make no new endpoint.
    Forwarder(ledger, url.replace(words[0], "new"), allow_private=True)
    assert len(endpoints(ledger)) == 1


def test_a_url_is_read_from_where_a_secret_is(
    ledger: Ledger, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable or a file: it may hold one. The endpoint is the same, and no error shows the URL."""
    (tmp_path / "hook").write_text(f"{peer.url}?token=x\n")
    monkeypatch.setenv("HOOK", f"{peer.url}?token=x")
    monkeypatch.setenv("WRONG", "ftp://hush/")
    ledger.record(sent("a"))
    for to in ("env:HOOK", f"file:{tmp_path / 'hook'}"):
        Forwarder(ledger, to, allow_private=True).run(live=False)
        assert endpoint_of(ledger, to).status().endpoint == f"{peer.url}?***"
    assert [got.path for got in peer.taken] == ["/hook?token=x"]
    for to, said in (
        ("env:NONE", "env:NONE: the variable is missing"),
        ("file:no", "can't be read"),
        ("env:WRONG", "got scheme 'ftp'"),
    ):
        with pytest.raises(PostledgerError, match=said) as raised:
            Forwarder(ledger, to)
        assert "hush" not in str(raised.value)


# --- slow and endless answers ---


def _raw_server(serve: Callable[[socket.socket], None]) -> tuple[str, socket.socket]:
    listening = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=_served, args=(serve, connection), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/", listening


def _served(serve: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with suppress(OSError), connection:
        serve(connection)


def _silent(connection: socket.socket) -> None:
    time.sleep(5)


def _dripping(connection: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


@pytest.mark.parametrize("serve", [_silent, _dripping])
def test_an_attempt_takes_no_longer_than_it_may(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, serve: Callable[[socket.socket], None]
) -> None:
    """Also where single bytes keep coming."""
    monkeypatch.setattr(sending, "ANSWER", 0.4)
    url, listening = _raw_server(serve)
    with listening:
        ledger.record(sent("a"))
        made = Forwarder(ledger, url, allow_private=True, schedule=NEVER)
        made.run(live=False)
        assert made.waiting()[0].problem in (
            "no answer within 0 s",
            "no answer in time (ReadTimeout)",
        )


def test_an_endless_answer_is_not_read(ledger: Ledger) -> None:
    """Its status counts; of the rest some KB are read."""
    read: list[int] = []

    def serve(connection: socket.socket) -> None:
        connection.recv(100_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
        read.append(0)
        with suppress(OSError):
            while read[0] < 200_000_000:
                read[0] += connection.send(b"x" * 65_536)

    url, listening = _raw_server(serve)
    with listening:
        ledger.record(sent("a"))
        made = Forwarder(ledger, url, allow_private=True, schedule=NEVER)
        made.run(live=False)
        assert (made.sent, made.status().pending) == (1, 0)
        # What the kernel's buffers take comes on top.
        assert read[0] < 50_000_000


@pytest.mark.parametrize("said", [b"", b"\0\0", b"HTTP/1.1 999999 \r\n\r\n", b"SSH-2.0-x\r\n"])
def test_an_answer_that_is_not_http_is_a_failure(ledger: Ledger, said: bytes) -> None:
    """Of one line, like any other."""

    def serve(connection: socket.socket) -> None:
        connection.recv(100_000)
        connection.sendall(said)

    url, listening = _raw_server(serve)
    with listening:
        ledger.record(sent("a"))
        made = Forwarder(ledger, url, allow_private=True, schedule=NEVER)
        made.run(live=False)
        problem = made.waiting()[0].problem
        assert problem is not None
        assert problem.startswith("no answer: ")
        assert "\n" not in problem


def _reset(connection: socket.socket) -> None:
    connection.recv(100)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _wordless(connection: socket.socket) -> None:
    """Reads the whole request: what is left unread would reset the connection."""
    with connection.makefile("rb") as request:
        length = 0
        while (line := request.readline()) not in {b"\r\n", b""}:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        request.read(length)


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        (_reset, "the connection was lost"),
        (_wordless, "Server disconnected without sending a response"),
    ],
)
def test_why_there_is_no_answer_is_said_in_words(
    ledger: Ledger, serve: Callable[[socket.socket], None], said: str
) -> None:
    """After which the sentence goes on."""
    url, listening = _raw_server(serve)
    with listening:
        ledger.record(sent("a"))
        made = Forwarder(ledger, url, allow_private=True, schedule=NEVER)
        made.run(live=False)
        assert made.waiting()[0].problem == f"no answer: {said}"


# --- adoptions ---


def _other() -> Definitions:
    return first_outcome_stands()


STORY = [sent("a"), failed("a"), delivered("a"), sent("b"), delivered("b"), failed("c")]


@pytest.mark.parametrize("adoptions", [True, False])
def test_what_an_adoption_changes_is_sent_once_where_asked(
    ledger: Ledger, peer: Peer, adoptions: bool
) -> None:
    """One message for each delivery whose state differs; without it, none."""
    ledger.record_many(STORY)
    send(ledger, peer, adoptions=adoptions)
    before = len(peer.got)
    ledger.replay(_other())
    ledger.record(delivered("c"))
    for _ in range(2):
        send(ledger, peer, adoptions=adoptions)
    # Those of two deliveries are sent at the same time.
    new = sorted((got.event for got in peer.got[before:]), key=lambda one: str(one["subject"]))
    kinds = [(one["type"].rpartition(".")[2], one["subject"]) for one in new]
    assert kinds == [*([("adopted", "a")] if adoptions else []), ("changed", "c")]
    if adoptions:
        data = new[0]["data"]
        assert (data["before"]["delivery"], data["after"]["delivery"]) == ("delivered", "failed")
        assert data["delivery"]["state"] == ledger.delivery("a").state == "failed"


WORLD = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([sent, delivered, failed]), st.sampled_from("abc")),
        st.sampled_from(["adopt", "send", "stop"]),
    ),
    min_size=2,
    max_size=25,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(WORLD)
def test_with_adoptions_each_message_goes_on_where_the_last_ended(world: list[Any]) -> None:
    """Whatever is adopted whenever, also in the middle: ``before`` is the ``after`` of the last.

    In the end each delivery is what was said of it last.
    """
    both = [_other(), builtin()]
    with ledger_of([]) as ledger, Peer() as peer, pytest.MonkeyPatch.context() as patch:
        patch.setattr("postledger.projections.changes.PAGE", 3)
        patch.setattr("postledger.projections.adoptions.PAGE", 2)
        for step in [*world, "send"]:
            if step == "adopt":
                ledger.replay(both[0])
                both.reverse()
            elif step == "send":
                send(ledger, peer, adoptions=True)
            elif step == "stop":
                # A run that ends in the middle, with what it had taken in.
                made = forwarder(ledger, peer, adoptions=True)
                made.start()
                made.stop()
            else:
                ledger.record(step[0](step[1]))
        for about in "abc":
            said = [got.event["data"] for got in peer.taken if got.about == about]
            assert len({one["key"] for one in said}) == len(said)
            for one, following in pairwise(said):
                assert following["before"] == one["after"]
            if said:
                assert said[-1]["after"]["delivery"] == ledger.delivery(about).state


def test_other_vocabularies_are_compared_too(ledger: Ledger, peer: Peer) -> None:
    """Deliveries that only they know come up, and those that they don't know any more."""
    from postledger.definitions.vocabulary_toml import load_vocabulary
    from tests.samples import NEWCOMER

    newcomer = load_vocabulary(NEWCOMER)
    with_it = builtin().with_vocabularies([newcomer])
    ledger.record(b'{"Id": "n1", "What": "gone out"}', content_type="application/json")
    ledger.record(sent("a"))
    send(ledger, peer, adoptions=True)
    ledger.replay(with_it)
    send(ledger, peer, adoptions=True)
    ledger.replay(builtin())
    send(ledger, peer, adoptions=True)
    said = [(g.about, g.event["type"][20:], g.event["data"]["after"]) for g in peer.got]
    assert [(about, kind) for about, kind, _ in said] == [
        ("a", "changed"),
        ("n1", "adopted"),
        ("n1", "adopted"),
    ]
    assert said[1][2]["delivery"] == "sent"
    assert said[2][2] == {}


def test_an_adoption_of_many_is_taken_in_page_by_page(
    ledger: Ledger, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound of the outbox holds for it too; what stopped goes on where it was."""
    monkeypatch.setattr(outboxes, "MOST_PENDING", 10)
    monkeypatch.setattr("postledger.projections.adoptions.PAGE", 6)
    ledger.record_many([f(str(n)) for n in range(40) for f in (sent, failed, delivered)])
    while send(ledger, peer, adoptions=True).status().behind:
        pass
    before = len(peer.got)
    ledger.replay(_other())
    peer.answer = lambda _: Reply(500)
    made = send(ledger, peer, adoptions=True, schedule=Schedule(waits=(3600.0,)))
    assert 10 <= made.status().pending <= 12
    peer.answer = refusing()
    send(ledger, peer, adoptions=True, clock=lambda: time.time() + 8_000)
    adopted = [got for got in peer.taken if got.event["type"].endswith("adopted")]
    assert len(peer.taken) == before + 40 == before + len({got.about for got in adopted})


# --- kills ---


def test_kills_lose_nothing_and_change_no_order(tmp_path: Path) -> None:
    """Of forwarder and peer, under clocks that jump: the peer has exactly the changes."""
    killed.run(tmp_path, kills=5, seed=int(time.time()))


@pytest.mark.long
def test_a_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    """A hundred kills of either side lose nothing."""
    killed.run(tmp_path, kills=100, seed=3)
