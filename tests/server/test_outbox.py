"""The outbox: what is pending and parked, chain by chain."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger import Ledger, LedgerError, NotALedger, PostledgerError, UnknownKey
from postledger.server import outbox as outboxes
from postledger.server.endpoints import Endpoint, endpoint_lock, endpoint_of, endpoints
from postledger.server.outbox import Ended, Message, Outbox, Waiting, outbox_of

NOW, LEDGER_ID = 1_000.0, "5e0f"


def message(key: str, *chains: str, body: bytes = b"{}") -> Message:
    """A message of some chains."""
    return Message(key, chains[0], chains, 1, "application/json", None, body)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """An outbox with one endpoint, number 1."""
    with closing(Outbox.open(tmp_path / "a.db", LEDGER_ID)) as opened:
        assert opened.add("one", "https://one/", "changes", -1) == 1
        yield opened


def due(outbox: Outbox, now: float = NOW, endpoint: int = 1) -> list[str]:
    """The keys of what is due."""
    return [one.key for one in outbox.due(endpoint, now, fresh=100, again=100)]


def end(outbox: Outbox, key: str, problem: str | None = None, wait: float | None = None) -> None:
    """End an attempt of a message."""
    (one,) = [one for one in outbox.due(1, NOW, fresh=99, again=99) if one.key == key]
    outbox.end(1, [Ended(one.seq, problem, wait, one.attempts)], NOW)


def test_messages_of_a_chain_come_one_after_the_other(outbox: Outbox) -> None:
    """The next is due when the one before it was taken; those of another chain don't wait."""
    outbox.take_in(1, [message("a1", "a"), message("a2", "a"), message("b1", "b")], position=3)
    assert due(outbox) == ["a1", "b1"]
    end(outbox, "a1", "HTTP 500", 5.0)
    assert due(outbox) == ["b1"]
    assert due(outbox, NOW + 5) == ["b1", "a1"]
    outbox.redrive(1, "a1")
    end(outbox, "a1")
    assert due(outbox) == ["a2", "b1"]


def test_what_was_sent_leaves_nothing(outbox: Outbox) -> None:
    """The file holds no history."""
    outbox.take_in(1, [message("a1", "a"), message("a2", "a", "b")], position=3)
    end(outbox, "a1")
    end(outbox, "a2")
    for table in ("messages", "chains"):
        assert outbox.store.one(f"SELECT count(*) FROM {table}") == (0,)
    assert outbox.endpoint(1).position == 3


def test_the_place_moves_with_what_was_taken_in(outbox: Outbox) -> None:
    """In one transaction: where the messages can't be kept, the place stays."""

    def messages() -> Iterator[Message]:
        yield message("a1", "a")
        raise LedgerError("the page is damaged")

    with pytest.raises(LedgerError):
        outbox.take_in(1, messages(), position=7)
    assert outbox.endpoint(1).position == -1
    assert due(outbox) == []


def test_a_message_that_is_pending_is_not_taken_in_twice(outbox: Outbox) -> None:
    """Its key says that it is the same."""
    for _ in range(2):
        outbox.take_in(1, [message("a1", "a"), message("a2", "a")], position=2)
    assert outbox.counts(1) == (2, 0, 0)


def test_a_parked_message_holds_what_comes_behind_it(outbox: Outbox) -> None:
    """Also through a message of several chains; to skip it lets them go."""
    given = [message("a1", "a"), message("ab", "a", "b"), message("b2", "b"), message("c1", "c")]
    outbox.take_in(1, given, position=4)
    end(outbox, "a1", "HTTP 400")
    assert outbox.counts(1) == (1, 2, 1)
    assert due(outbox) == ["c1"]
    assert outbox.waiting(1, 1) == [Waiting("a1", "a", 1, 1, "parked", None, "HTTP 400")]
    outbox.skip(1, "a1")
    assert outbox.counts(1) == (3, 0, 0)
    assert due(outbox) == ["ab", "c1"]
    end(outbox, "ab")
    assert due(outbox) == ["b2", "c1"]


def test_the_list_says_why_each_message_waits(outbox: Outbox) -> None:
    """Due now, later, after a pending one, after a parked one, or parked: each as it is counted."""
    given = [message(f"{one}{n}", one) for one in "abc" for n in (1, 2)]
    outbox.take_in(1, given, position=6)
    end(outbox, "a1", "HTTP 400")
    end(outbox, "b1", "HTTP 500", 60.0)
    assert {one.key: (one.status, one.due) for one in outbox.waiting(1, 9)} == {
        "a1": ("parked", None),
        "a2": ("held", None),
        "b1": ("pending", NOW + 60),
        "b2": ("queued", None),
        "c1": ("pending", 0),
        "c2": ("queued", None),
    }
    assert outbox.counts(1) == (4, 1, 1)


def test_a_parked_message_is_redriven_by_a_new_schedule(outbox: Outbox) -> None:
    """Also what waits for its time: one, by its key, or all."""
    outbox.take_in(1, [message(one, one) for one in "abc"], position=3)
    end(outbox, "a", "HTTP 400")
    end(outbox, "b", "HTTP 400")
    end(outbox, "c", "HTTP 500", 60.0)
    assert outbox.redrive(1, "b") == 1
    assert due(outbox) == ["b"]
    assert outbox.redrive(1) == 2
    assert outbox.redrive(1) == 0
    found = outbox.due(1, NOW, fresh=9, again=9)
    assert [(one.key, one.attempts) for one in found] == [("a", 0), ("b", 0), ("c", 0)]
    with pytest.raises(UnknownKey, match="no message 'x' waits for this endpoint"):
        outbox.redrive(1, "x")


def test_endpoints_have_nothing_in_common(outbox: Outbox) -> None:
    """Each has its place, its messages, and its parked ones."""
    two = outbox.add("two", "https://two/", "changes", 5)
    assert outbox.add("two", "https://two/", "changes", 9) == two
    outbox.take_in(1, [message("a1", "a")], position=3)
    outbox.take_in(two, [message("a1", "a"), message("a2", "a")], position=8)
    end(outbox, "a1", "HTTP 410")
    assert due(outbox, endpoint=two) == ["a1"]
    assert [one.position for one in outbox.endpoints()] == [3, 8]
    assert (outbox.counts(1), outbox.counts(two)) == ((0, 0, 1), (2, 0, 0))


def test_what_failed_before_leaves_room_for_what_is_new(outbox: Outbox) -> None:
    """Each kind has its own bound."""
    outbox.take_in(1, [message(str(n), str(n)) for n in range(6)], position=6)
    for n in range(3):
        end(outbox, str(n), "HTTP 500", 0.0)
    found = outbox.due(1, NOW, fresh=2, again=1)
    assert [one.key for one in found] == ["3", "4", "0"]
    again = outbox.due(1, NOW, fresh=2, again=1, busy={"3", "4", "0"})
    assert [one.key for one in again] == ["5", "1"]


def test_what_follows_an_attempt_under_way_is_not_due(outbox: Outbox) -> None:
    """Though its message was skipped: its chains are busy until the attempt has ended."""
    given = [message("a1", "a", "b"), message("a2", "a"), message("b2", "b"), message("c1", "c")]
    outbox.take_in(1, given, position=4)
    (flying, _) = outbox.due(1, NOW, fresh=9, again=9)
    outbox.skip(1, "a1")
    found = outbox.due(1, NOW, fresh=1, again=9, busy=flying.chains)
    assert [one.key for one in found] == ["c1"]
    assert due(outbox) == ["a2", "b2", "c1"]


def test_all_that_is_parked_is_skipped_at_once(outbox: Outbox) -> None:
    """What it held goes on; what is pending stays."""
    outbox.take_in(1, [message(f"{a}{n}", a) for a in "abc" for n in (1, 2)], position=6)
    end(outbox, "a1", "HTTP 400")
    end(outbox, "b1", "HTTP 400")
    end(outbox, "c1", "HTTP 500", 60.0)
    assert outbox.skip_parked(1) == 2
    assert due(outbox) == ["a2", "b2"]
    assert outbox.counts(1) == (4, 0, 0)


def test_a_number_is_never_given_twice(outbox: Outbox) -> None:
    """Whoever still has that of an endpoint which was forgotten reaches no other."""
    two = outbox.add("two", "https://two/", "changes", -1)
    outbox.take_in(two, [message("a1", "a"), message("a2", "a")], position=1)
    outbox.take_in(1, [message("a1", "a")], position=1)
    assert outbox.forget(two) == 2
    assert outbox.add("three", "https://three/", "changes", -1) > two
    assert due(outbox) == ["a1"]
    with pytest.raises(LedgerError, match=f"endpoint {two} is gone"):
        outbox.endpoint(two)


@pytest.mark.parametrize("shift", [-1e9, -3600.0, 0.0])
def test_a_clock_set_back_makes_nothing_wait_longer(outbox: Outbox, shift: float) -> None:
    """No longer than it was to wait at all, from when it is noticed; and not shorter without need."""
    outbox.take_in(1, [message("a1", "a")], position=1)
    end(outbox, "a1", "HTTP 500", 300.0)
    outbox.clamp(1, NOW + shift)
    assert outbox.next_due(1, NOW + shift) == NOW + shift + 300.0
    outbox.clamp(1, NOW + shift + 100)
    assert outbox.next_due(1, NOW + shift) == NOW + shift + 300.0


@pytest.mark.parametrize("limit", ["MOST_PENDING", "MOST_BYTES"])
def test_the_outbox_is_bounded(outbox: Outbox, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """By number and by bytes; what is parked, and held behind that, takes no room."""
    monkeypatch.setattr(outboxes, limit, 4 if limit == "MOST_PENDING" else 4_000)
    body = b" " * 1_000
    assert outbox.has_room(1)
    outbox.take_in(1, [message(f"a{n}", "a", body=body) for n in range(4)], position=4)
    assert not outbox.has_room(1)
    end(outbox, "a0", "HTTP 400")
    assert outbox.has_room(1)
    outbox.take_in(1, [message(f"b{n}", f"b{n}", body=body) for n in range(4)], position=8)
    assert not outbox.has_room(1)


def test_nothing_is_taken_in_long_before_it_can_be_sent(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While much can be sent at once the log keeps the rest."""
    monkeypatch.setattr(outboxes, "MOST_SENDABLE", 3)
    outbox.take_in(1, [message(str(n), str(n)) for n in range(3)], position=3)
    assert not outbox.has_room(1)
    end(outbox, "1", "HTTP 500", 60.0)
    assert outbox.has_room(1)


def test_the_outbox_of_another_ledger_is_refused(outbox: Outbox, tmp_path: Path) -> None:
    """It says what becomes of moving it away."""
    with pytest.raises(LedgerError, match=r"a.db-outbox: the outbox of another ledger; move it"):
        Outbox.open(tmp_path / "a.db", "another")


def test_nothing_is_done_to_the_outbox_of_another_ledger(outbox: Outbox, tmp_path: Path) -> None:
    """Neither is it listed: what waits there is not of this ledger."""
    outbox.take_in(1, [message("a1", "a")], position=1)
    with Ledger(tmp_path / "a.db") as ledger:
        one = Endpoint(ledger, 1)
        for asked in (
            lambda: endpoints(ledger),
            lambda: endpoint_of(ledger, "https://one/"),
            one.status,
            one.waiting,
            lambda: one.skip("a1"),
            one.redrive,
            one.enable,
        ):
            with pytest.raises(LedgerError, match="the outbox of another ledger"):
                asked()
    assert due(outbox) == ["a1"]


def test_a_file_that_is_no_outbox_is_refused(tmp_path: Path) -> None:
    """A ledger at its place, any SQLite file, and an outbox of a later format."""
    Ledger(tmp_path / "b.db-outbox").close()
    with pytest.raises(NotALedger, match=r"b.db-outbox: not an outbox"):
        Outbox.open(tmp_path / "b.db", LEDGER_ID)
    with closing(sqlite3.connect(tmp_path / "c.db-outbox")) as other:
        other.execute("CREATE TABLE mine (x)")
    with pytest.raises(NotALedger, match="not an outbox: this SQLite file has other tables"):
        Outbox.open(tmp_path / "c.db", LEDGER_ID)
    Outbox.open(tmp_path / "d.db", LEDGER_ID).close()
    with closing(sqlite3.connect(tmp_path / "d.db-outbox")) as later:
        later.execute("PRAGMA user_version = 2")
    with pytest.raises(NotALedger, match="expected an outbox of format 1, got format 2"):
        Outbox.open(tmp_path / "d.db", LEDGER_ID)
    with pytest.raises(NotALedger, match="no such outbox"):
        Outbox.open(tmp_path / "e.db", LEDGER_ID, readonly=True)
    with pytest.raises(NotALedger, match="not a ledger"):
        Ledger(outbox_of(tmp_path / "d.db"))


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """Another gets one line, and the lock when it is free."""
    lock = endpoint_lock(tmp_path / "lock", "https://example.org/hook")
    with pytest.raises(PostledgerError, match="hook: another forwarder sends there"):
        endpoint_lock(tmp_path / "lock", "https://example.org/hook")
    lock.close()
    endpoint_lock(tmp_path / "lock", "https://example.org/hook").close()


def test_a_lock_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    """In one line, with its name."""
    with pytest.raises(PostledgerError, match=rf"{tmp_path}: can't be opened \(Is a directory\)"):
        endpoint_lock(tmp_path, "https://example.org/hook")


CHAINS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.lists(CHAINS, max_size=4)),
        st.tuples(
            st.sampled_from(["sent", "failed", "parked", "skip", "redrive"]), st.integers(0, 9)
        ),
    ),
    max_size=30,
)


@given(STEPS)
def test_what_is_due_is_first_of_all_its_chains(steps: list[tuple[str, object]]) -> None:
    """Whatever is taken in and ends as it may: nothing overtakes, nothing is stuck, nothing is lost."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Outbox.open(Path(folder) / "a.db", LEDGER_ID)) as outbox,
    ):
        outbox.add("one", "https://one/", "changes", -1)
        outbox.store.execute("PRAGMA synchronous = OFF")
        # What is there, in order: its key to its chains; and what is parked.
        there: dict[str, list[str]] = {}
        parked: set[str] = set()
        count = 0
        for what, how in steps:
            if what == "take":
                assert isinstance(how, list)
                new = {f"{count + n}": chains for n, chains in enumerate(how)}
                count += len(new)
                outbox.take_in(1, [message(key, *chains) for key, chains in new.items()], cursor=0)
                there |= new
            else:
                assert isinstance(how, int)
                _step(outbox, what, how, there, parked)
            first = [
                key
                for n, (key, chains) in enumerate(there.items())
                if not any(set(chains) & set(c) for c in list(there.values())[:n])
            ]
            assert sorted(due(outbox)) == sorted(set(first) - parked)
            waiting = {one.key: one.status == "parked" for one in outbox.waiting(1, 1_000)}
            assert waiting == {key: key in parked for key in there}
            assert sum(outbox.counts(1)) == len(there)


def _step(
    outbox: Outbox, what: str, number: int, there: dict[str, list[str]], parked: set[str]
) -> None:
    """Do one thing to a message that it can be done to."""
    keys = list(there) if what == "skip" else sorted(parked) if what == "redrive" else due(outbox)
    if not keys:
        return
    key = keys[number % len(keys)]
    if what == "skip":
        outbox.skip(1, key)
    elif what == "redrive":
        outbox.redrive(1, key)
    else:
        problem, wait = {"sent": (None, None), "failed": ("no", 0.0), "parked": ("no", None)}[what]
        end(outbox, key, problem, wait)
    if what in ("sent", "skip"):
        del there[key]
    if what == "parked":
        parked.add(key)
    else:
        parked.discard(key)
