"""Connections: processes that adopt definitions while others record, and what imitates an adoption."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from postledger import IntegrityError, Ledger, Receipt
from postledger.definitions.definitions import builtin
from postledger.ledger import connections
from postledger.log.event import Kind
from postledger.projections import generations
from tests.samples import NEWCOMER, delivered, failed, first_outcome_stands, sent
from tests.states import rows
from tests.stores import both_stores, in_file, shell, tamper

pytestmark = both_stores

ROOT = Path(__file__).parents[2]

RECORDS = """
import sys
from postledger import Ledger
from tests.samples import sent

with Ledger(sys.argv[1]) as ledger:
    for number in range(int(sys.argv[2])):
        print(ledger.record(sent(f"{sys.argv[3]}-{number}")).verdict, flush=True)
"""


def recorder(path: Path, count: int, name: str) -> subprocess.Popen[str]:
    """A process that records messages one by one."""
    command = [sys.executable, "-c", RECORDS, str(path), str(count), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@in_file
def test_processes_record_while_another_adopts(tmp_path: Path) -> None:
    """Each event is kept and acknowledged, and read by what was adopted last."""
    path = tmp_path / "test.db"
    words = tmp_path / "newcomer.toml"
    words.write_text(NEWCOMER)
    with Ledger(path) as ledger:
        ledger.record_many(sent(f"m{n}") for n in range(1500))
        processes = [recorder(path, 60, name) for name in ("a", "b")]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "applied\n"
        ledger.replay(first_outcome_stands())
        ledger.replay(first_outcome_stands().with_files([], [words]))
        said = [process.communicate()[0].split() for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        assert said == [["applied"] * 59] * 2
        assert len(rows(ledger)) == 1500 + 120
        assert ledger.verify().problems == ()
        assert [e.kind for e in ledger.events()].count("adoption") == 3
    with Ledger(tmp_path / "fresh.db", definitions=first_outcome_stands()) as fresh:
        fresh.replay(first_outcome_stands().with_files([], [words]))
        with Ledger(path) as ledger:
            fresh.record_many(
                Receipt(e.body, e.content_type, e.received_at)
                for e in ledger.events()
                if e.kind == "receipt"
            )
            assert rows(fresh) == rows(ledger)


def test_a_ledger_follows_what_another_adopted(ledger: Ledger) -> None:
    """It reads and records by it from then on; nobody has to open anything again."""
    with Ledger(ledger.path) as other:
        ledger.record_many([failed("a"), delivered("a")])
        assert other.delivery("a").state == "delivered"
        ledger.replay(first_outcome_stands())
        assert other.delivery("a").state == "failed"
        assert other.record(failed("b")).verdict == "applied"
        recorded = other.record(delivered("b"))
        assert recorded.delivery is not None
        assert recorded.delivery.state == "failed"
        assert other.definitions.hash == ledger.definitions.hash
        assert other.verify().problems == ()


def test_one_that_can_not_load_the_definitions_appends_only(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its events are kept, acknowledged as unfolded, and taken in by the next that can."""
    with Ledger(ledger.path) as other:
        other.record(sent("a"))
        ledger.replay(first_outcome_stands())

        def broken(_: object) -> None:
            raise IntegrityError("position 2: the definitions are damaged: unknown key 'new'")

        with monkeypatch.context() as patch:
            patch.setattr(generations, "adopted", broken)
            recorded = other.record(sent("b"))
            assert (recorded.event.position, recorded.verdict) == (3, "unfolded")
            assert recorded.delivery is None
            summary = other.record_many([sent("c"), sent("d")])
            assert summary.anchor.size == 6
            assert "recording without reading" in caplog.text
            thread = threading.Thread(target=other.record, args=(sent("e"),))
            thread.start()
            thread.join()
            assert other.head().size == 7
            with pytest.raises(IntegrityError, match="the definitions are damaged"):
                other.delivery("a")
        assert [event.body for event in ledger.events(after=2)] == [sent(key) for key in "bcde"]
        assert "the states are at size 3, the log at 7; run replay" in ledger.verify().problems
        assert ledger.record(delivered("b")).verdict == "applied"
        assert {d.tracking_id: d.state for d in ledger.deliveries()} == {
            "a": "sent",
            "b": "delivered",
            "c": "sent",
            "d": "sent",
            "e": "sent",
        }
        assert ledger.verify().problems == ()


def test_an_index_far_behind_is_taken_in_by_opening_or_replay(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recording does not wait for it, and is not lost."""
    with monkeypatch.context() as patch:
        patch.setattr(connections.Connections, "advance", lambda *_: None)
        ledger.record_many(sent(f"m{n}") for n in range(9))
    monkeypatch.setattr(connections, "MOST_BEHIND", 3)
    assert ledger.record(sent("x")).verdict == "unfolded"
    assert list(ledger.deliveries()) == []
    with Ledger(ledger.path) as again:
        assert len(list(again.deliveries())) == 10
        assert again.verify().problems == ()
    assert ledger.record(sent("y")).verdict == "applied"


def adoption_of(ledger: Ledger) -> bytes:
    """The body of the ledger's own adoption."""
    return next(ledger.events()).body


@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/vnd.postledger.adoption+json",
        '["adoption","ours","","","application/json",null,"body"]',
        "application/json; kind=adoption",
    ],
)
def test_what_imitates_an_event_of_the_program_is_a_receipt(
    ledger: Ledger, content_type: str, imported: bool
) -> None:
    """Statements, adoptions and erasures are made by the program's own calls alone."""
    imitations = [
        adoption_of(ledger),
        json.dumps({"kind": "erasure", "positions": [0]}).encode(),
        json.dumps({"import": {"sha256": "0" * 64, "count": 7}}).encode(),
        json.dumps({"created": {"tracking-id": "k", "to": "1"}}).encode(),
    ]
    before = ledger.definitions.hash
    ledger.record_many(Receipt(body, content_type, imported=imported) for body in imitations)
    events = list(ledger.events(after=0))
    assert {event.kind for event in events} == {"receipt"}
    assert "recognised" not in {event.reading for event in events}
    assert list(ledger.deliveries()) == []
    ledger.replay(index=True)
    with Ledger(ledger.path) as again:
        assert again.definitions.hash == before == builtin().hash
        assert again.head().size == 5
        assert again.verify().problems == ()
    assert ledger.created("k", to="1").verdict == "applied"


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.RECEIPT])
def test_a_changed_kind_is_reported(ledger: Ledger, kind: Kind) -> None:
    """The leaf covers it: an envelope of another kind is not what was received."""
    ledger.record_many(
        [sent("a"), json.dumps({"created": {"tracking-id": "k", "to": "1"}}).encode()]
    )
    anchor = ledger.head()
    tamper(
        ledger.path,
        "UPDATE envelopes SET envelope = replace(envelope, 'receipt', ?) WHERE id = 2",
        kind.value,
    )
    with Ledger(ledger.path, readonly=True) as again:
        for given in (None, anchor):
            problems = again.verify(given).problems
            assert "position 1: the event is not what was received" in problems


DERIVED = [
    *("generations", "checkpoints", "states_1", "search_1", "tallies_1", "index_1"),
    "index_1_streams",
]


@pytest.mark.parametrize("dropped", [*[[name] for name in DERIVED], DERIVED], ids="+".join)
def test_derived_tables_that_were_dropped_come_back(ledger: Ledger, dropped: list[str]) -> None:
    """Opening gives back every row; replay, all the same."""
    ledger.record_many([sent("a"), delivered("a"), sent("a"), b"?", b"[1, 2]"])
    ledger.created("c", to="1")
    before = rows(ledger)
    statements = ledger.query("SELECT * FROM statements ORDER BY position, member")
    ledger.close()
    with shell(ledger.path) as db:
        for name in dropped:
            db.drop(name)
    with Ledger(ledger.path) as again:
        for doing in (lambda: None, again.replay, lambda: again.replay(index=True)):
            doing()
            assert rows(again) == before
            assert again.query("SELECT * FROM statements ORDER BY position, member") == statements
            assert again.verify().problems == ()
        assert again.record(delivered("c")).verdict == "applied"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_a_new_thread_appends_where_the_live_states_are_lost(ledger: Ledger) -> None:
    """It keeps one connection, however often it asks; reading is refused."""
    with shell(ledger.path) as db:
        db.execute("DELETE FROM generations")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(ledger.record, sent("a")).result().verdict == "unfolded"
        before = len(list(Path("/proc/self/fd").iterdir()))
        for key in "bcdef":
            assert pool.submit(ledger.record, sent(key)).result().verdict == "unfolded"
            with pytest.raises(IntegrityError, match="there are no live states; run replay"):
                pool.submit(ledger.delivery, key).result()
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    with Ledger(ledger.path) as another:
        assert sorted(one.tracking_id for one in another.deliveries()) == list("abcdef")
