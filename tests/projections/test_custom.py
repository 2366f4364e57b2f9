"""Projections of a user's own: tables that follow from the log."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from postledger import Change, Ledger, LedgerError, ProjectionFailed
from postledger.projections import custom
from tests.conftest import ledger_of
from tests.samples import delivered, failed, first_outcome_stands, sent
from tests.stores import both_stores
from tests.strategies import bodies

Apply = Callable[[Change, Database], None]


class Outcomes:
    """How many deliveries are in each state."""

    name = "outcomes"
    tables = {"outcomes": "state TEXT PRIMARY KEY, deliveries INTEGER NOT NULL"}  # noqa: RUF012

    def __init__(self, version: int = 1) -> None:
        self.version = version

    def apply(self, change: Change, db: Database) -> None:
        for delivery, by in ((change.before, -1), (change.after, 1)):
            if delivery is not None:
                db.execute(
                    "INSERT INTO outcomes VALUES (?1, ?2)"
                    " ON CONFLICT (state) DO UPDATE SET deliveries = deliveries + ?2",
                    (delivery.state, by),
                )


class Seen:
    """Every event, with a way to misbehave at each."""

    name = "seen"

    def __init__(self, also: Apply = lambda change, db: None, version: int = 1) -> None:
        self.version = version
        self.tables = {
            "seen": "position INTEGER, member INTEGER DEFAULT 0, kind TEXT UNIQUE,"
            " PRIMARY KEY (position, member)"
        }
        self._also = also

    def apply(self, change: Change, db: Database) -> None:
        place = (change.position, change.event.member)
        db.execute("INSERT INTO seen (position, member) VALUES (?, ?)", place)
        self._also(change, db)


def failing_at(position: int) -> Apply:
    def fail(change: Change, db: Database) -> None:
        if change.position == position:
            raise ValueError("not this one")

    return fail


def outcomes(ledger: Ledger) -> dict[str, int]:
    rows = ledger.query("SELECT * FROM outcomes WHERE deliveries <> 0")
    return {row["state"]: row["deliveries"] for row in rows}


_SEEN = "SELECT position FROM seen WHERE position > 0 ORDER BY position"


def seen(ledger: Ledger) -> list[int]:
    return [row["position"] for row in ledger.query(_SEEN)]


def states(ledger: Ledger) -> dict[str, int]:
    return dict(Counter(delivery.state for delivery in ledger.deliveries()))


@both_stores
def test_it_is_in_a_file(ledger: Ledger) -> None:
    """On a server nothing would hold it to its own tables; nothing is made there."""
    if isinstance(ledger.path, Path):
        ledger.project(Outcomes())
        return
    with pytest.raises(LedgerError, match="requires a ledger in a file; on a server, subscribe"):
        ledger.project(Outcomes())
    assert ledger.checkpoints() == ()
    assert ledger.record(sent("a")).verdict == "applied"
    assert ledger.verify().problems == ()


@given(st.lists(bodies(), max_size=12), st.integers(0, 12))
@settings(max_examples=30, deadline=None)
def test_kept_up_or_built_anew_the_rows_are_those_of_the_states(
    bodies: list[bytes], at: int
) -> None:
    """Whenever the projection comes in, it counts what a look at all deliveries counts."""
    with ledger_of(bodies[:at]) as ledger:
        ledger.project(Outcomes())
        for body in bodies[at:]:
            ledger.record(body)
        assert outcomes(ledger) == states(ledger)
        ledger.project(Outcomes(version=2))
        assert outcomes(ledger) == states(ledger)


@given(st.lists(bodies(), max_size=8))
@settings(max_examples=30, deadline=None)
def test_every_event_is_told_once_and_in_order(bodies: list[bytes]) -> None:
    """Events of no delivery too; before is what after was at the last event of that delivery."""
    told: list[Change] = []
    with ledger_of([]) as ledger:
        ledger.project(Seen(lambda change, db: told.append(change)))
        ledger.record_many(bodies)
        assert [change.event for change in told] == list(ledger.events())
        known = {}
        for change in told:
            if change.event.chart != "delivery":
                assert (change.before, change.after) == (None, None)
            else:
                assert change.before == known.get(change.event.key)
                known[change.event.key] = change.after
        assert [known[d.tracking_id] for d in ledger.deliveries()] == list(ledger.deliveries())


def test_the_rows_are_written_with_the_event(ledger: Ledger) -> None:
    """A program that reads after recording finds its own projection there too."""
    ledger.project(Outcomes())
    ledger.record(sent("SMS_1"))
    assert outcomes(ledger) == {"sent": 1}
    (checkpoint,) = ledger.checkpoints()
    assert (checkpoint.kind, checkpoint.position, checkpoint.behind) == ("projection", 1, 0)


def test_a_batch_larger_than_a_page_is_kept_up(ledger: Ledger) -> None:
    """However many events a transaction has, the projection is not behind after it."""
    ledger.project(Outcomes())
    ledger.record_many(sent(f"SMS_{n}") for n in range(1500))
    assert ledger.checkpoints()[0].behind == 0
    assert outcomes(ledger) == {"sent": 1500}


def test_another_version_is_built_anew(ledger: Ledger) -> None:
    """Its old tables go, its new ones hold the whole log."""
    ledger.record_many([sent("SMS_1"), delivered("SMS_1")])
    ledger.project(Seen())
    new = Seen(version=2)
    new.tables = {"seen": "position INTEGER PRIMARY KEY, member INTEGER", "more": "n INTEGER"}
    ledger.project(new)
    assert seen(ledger) == [1, 2]
    assert ledger.query("SELECT count(*) AS n FROM more") == [{"n": 0}]
    ledger.project(Seen(version=3))
    with pytest.raises(LedgerError, match="no such table: more"):
        ledger.query("SELECT * FROM more")


def test_the_old_rows_are_read_until_the_new_are_whole(ledger: Ledger) -> None:
    """A reader in the midst of building sees the old version, whole."""
    ledger.record_many(sent(f"SMS_{n}") for n in range(1200))
    ledger.project(Seen())
    counts: set[int] = set()

    def look(change: Change, db: Database) -> None:
        if change.position % 100 == 0:
            with closing(sqlite3.connect(ledger.path)) as reader:
                counts.update(*reader.execute("SELECT count(*) FROM seen"))

    ledger.project(Seen(look, version=2))
    assert counts == {1201}


def test_its_tables_are_copied_in_steps(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others record between them; killed, it leaves the old version, and the next build is whole."""
    monkeypatch.setattr(custom, "PAGE", 4)
    ledger.record_many(sent(f"SMS_{n}") for n in range(30))
    ledger.project(Seen())
    old, insert, left = seen(ledger), custom.insert, 5

    def meanwhile(*given: Any) -> str:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return insert(*given)

    monkeypatch.setattr(custom, "insert", meanwhile)
    with pytest.raises(KeyboardInterrupt):
        ledger.project(Seen(version=2))
    assert seen(ledger) == old
    with Ledger(ledger.path) as beside:
        assert beside.verify().problems == ()
        beside.record(sent("SMS_beside"))

        def recording(*given: Any) -> str:
            threads.append(threading.Thread(target=beside.record, args=(sent("SMS_more"),)))
            threads[-1].start()
            return insert(*given)

        threads: list[threading.Thread] = []
        monkeypatch.setattr(custom, "insert", recording)
        ledger.project(Seen(version=2))
        for thread in threads:
            thread.join()
        assert len(threads) > 5
        ledger.project(Seen(version=2))
    assert seen(ledger) == list(range(1, ledger.head().size))
    with closing(sqlite3.connect(ledger.path)) as conn:
        made = conn.execute("SELECT name FROM sqlite_master WHERE name LIKE 'seen%'").fetchall()
    assert made == [("seen",)]
    assert ledger.verify().problems == ()


def test_a_build_that_fails_changes_nothing(ledger: Ledger) -> None:
    """It says at which event and why; the old version stays and is kept up."""
    ledger.record_many([sent("SMS_1"), sent("SMS_2")])
    ledger.project(Seen())
    with pytest.raises(ProjectionFailed, match=r"the event at 2: .*not this one") as caught:
        ledger.project(Seen(failing_at(2), version=2))
    assert caught.value.position == 2
    ledger.record(sent("SMS_3"))
    assert seen(ledger) == [1, 2, 3]


RECORDING = """
import signal, sys, threading
from postledger import Ledger, LedgerError

signal.alarm(60)
kind = sys.argv[2]
ledger = Ledger(sys.argv[1], timeout=0.05)
ledger.record_many([b"1", b"2", b"3"])
refused = []


def record():
    try:
        ledger.record(b"one more")
    except LedgerError as error:
        refused.append(str(error))


class Recording:
    name, version, tables = "recording", 1, {"recording": "position INTEGER"}

    def apply(self, change, db):
        db.execute("INSERT INTO recording VALUES (?)", (change.position,))
        if kind == "this":
            record()
        else:
            thread = threading.Thread(target=record)
            thread.start()
            thread.join()


ledger.project(Recording())
print(ledger.head().size, *refused[:1], sep="\\n")
"""


def recorded_in_apply(path: Path, thread: str) -> list[str]:
    """The size of a log of 4 whose projection records at each event, and what it is told, if refused."""
    program = [sys.executable, "-c", RECORDING, path, thread]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_projection_that_records_while_it_is_built_is_refused(tmp_path: Path) -> None:
    """Each event would be one more to apply: it is told that this thread is still reading."""
    size, refusal = recorded_in_apply(tmp_path / "l.db", "this")
    assert size == "4"
    assert refusal.endswith("this thread is still reading; end that first, or write in another")


def test_building_ends_whoever_records_meanwhile(tmp_path: Path) -> None:
    """One that records in another thread at each event is not followed for ever."""
    size, *_ = recorded_in_apply(tmp_path / "l.db", "another")
    assert 4 < int(size) <= 3 * 4


def test_recording_never_fails_for_a_projection(ledger: Ledger) -> None:
    """It is left where it was, with the problem noted; other projections go on."""
    ledger.project(Seen(failing_at(2)))
    ledger.project(Outcomes())
    for key in ("SMS_1", "SMS_2", "SMS_3"):
        assert ledger.record(sent(key)).delivery is not None
    kept, left = ledger.checkpoints()
    assert (kept.name, kept.position, kept.problem) == ("outcomes", 3, None)
    assert (left.name, left.position, left.behind) == ("seen", 1, 2)
    assert left.problem is not None
    assert "the event at 2" in left.problem
    assert seen(ledger) == [1]
    with pytest.raises(ProjectionFailed, match="the event at 2"):
        ledger.project(Seen(failing_at(2)))
    ledger.project(Seen(version=2))
    assert seen(ledger) == [1, 2, 3]


def test_one_that_another_process_left_behind_is_brought_up(tmp_path: Path) -> None:
    """A process that doesn't know the projection leaves it behind until one that does writes."""
    with Ledger(tmp_path / "l.db") as ledger, Ledger(tmp_path / "l.db") as other:
        ledger.project(Outcomes())
        other.record_many([sent("SMS_1"), sent("SMS_2")])
        assert ledger.checkpoints()[0].behind == 2
        ledger.record(sent("SMS_3"))
        assert (outcomes(ledger), ledger.checkpoints()[0].behind) == ({"sent": 3}, 0)
        other.record_many(sent(f"SMS_{n}") for n in range(1300))
        ledger.project(Outcomes())
        assert (outcomes(ledger), ledger.checkpoints()[0].behind) == ({"sent": 1300}, 0)


def test_several_writers_keep_it_up_together(tmp_path: Path) -> None:
    """Each takes in what it writes, and what the others wrote without it; nothing is counted twice."""

    def write(name: str) -> None:
        with Ledger(tmp_path / "l.db") as writer:
            if name != "b":
                writer.project(Outcomes())
            for n in range(60):
                writer.record(sent(f"SMS_{n}"))
                writer.record(delivered(f"SMS_{name}{n}"))

    writers = [threading.Thread(target=write, args=[name]) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.project(Outcomes())
        assert outcomes(ledger) == states(ledger) == {"sent": 60, "delivered": 180}


KILLED = """
import itertools, sys
from postledger import Ledger
from tests.samples import delivered, sent
from tests.projections.test_custom import Outcomes

with Ledger(sys.argv[1]) as ledger:
    ledger.project(Outcomes(version=int(sys.argv[2])))
    print(flush=True)
    for n in itertools.count(int(sys.argv[2]) * 10_000):
        ledger.record_many([sent(f"SMS_{n}"), sent(f"SMS_{n + 1}"), delivered(f"SMS_{n}")])
"""


def test_killed_at_any_moment_it_is_as_far_as_its_checkpoint_says(tmp_path: Path) -> None:
    """SIGKILL while recording: the rows are those of the log up to the checkpoint, and it goes on."""
    chance = random.Random(5)
    for version in (1, 1, 2, 2, 3):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "l.db"), str(version)]
        root = Path(__file__).parents[2]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            time.sleep(chance.uniform(0.01, 0.2))
            process.kill()
        with Ledger(tmp_path / "l.db") as ledger:
            assert outcomes(ledger) == states(ledger)
            assert ledger.checkpoints()[0].behind == 0


def test_a_process_with_an_older_version_leaves_the_newer_alone(tmp_path: Path) -> None:
    """While programs are being replaced, the old one does not write into the new tables."""
    with Ledger(tmp_path / "l.db") as old, Ledger(tmp_path / "l.db") as new:
        old.project(Outcomes(version=1))
        new.project(Outcomes(version=2))
        old.record(sent("SMS_1"))
        assert outcomes(new) == {}
        new.record(sent("SMS_2"))
        assert outcomes(new) == {"sent": 2}


def test_other_definitions_build_it_anew(ledger: Ledger) -> None:
    """What was derived from the states is derived from the new states."""
    ledger.project(Outcomes())
    ledger.record_many([failed("SMS_1"), delivered("SMS_1")])
    assert outcomes(ledger) == {"delivered": 1}
    ledger.replay(first_outcome_stands())
    assert outcomes(ledger) == states(ledger) == {"failed": 1}
    ledger.record(failed("SMS_2"))
    assert outcomes(ledger) == {"failed": 2}


@pytest.mark.parametrize(
    "misdeed",
    [
        "INSERT INTO checkpoints VALUES ('a', 'b', '', '[]', 0, NULL)",
        "UPDATE index_1_streams SET key = 'x'",
        "SELECT * FROM deliveries",
        "SELECT * FROM events",
        "DROP TABLE seen",
        "CREATE TABLE other (a)",
        "COMMIT",
        "PRAGMA query_only = ON",
        "ATTACH ':memory:' AS more",
    ],
)
def test_a_projection_is_confined_to_its_own_tables(ledger: Ledger, misdeed: str) -> None:
    """Else its rows would not follow from what it is told, or it would harm the log."""
    ledger.record(sent("SMS_1"))
    with pytest.raises(ProjectionFailed, match=r"not authorized|no such table|prohibited"):
        ledger.project(Seen(lambda change, db: list(db.execute(misdeed))))
    ledger.project(Seen(lambda change, db: change.position < 2 or list(db.execute(misdeed))))
    ledger.record(sent("SMS_2"))
    assert seen(ledger) == [1]
    assert "not authorized" in str(ledger.checkpoints()[0].problem) or "prohibited" in str(
        ledger.checkpoints()[0].problem
    )
    assert ledger.verify().ok
    assert [event.position for event in ledger.events()] == [0, 1, 2]


def test_a_projection_may_use_all_of_sqlite_utils(ledger: Ledger) -> None:
    """Its inserts, upserts and reads work within the transaction."""

    def use(change: Change, db: Database) -> None:
        db["seen"].upsert(
            {"position": change.position, "member": 0, "kind": str(change.position)},
            pk=("position", "member"),
        )
        with db.atomic():
            db["seen"].update((change.position, 0), {"kind": f"{change.position}!"})
        assert db["seen"].get((change.position, 0))["kind"] == f"{change.position}!"

    ledger.record(sent("SMS_1"))
    ledger.project(Seen(use))
    ledger.record(sent("SMS_2"))
    assert ledger.query("SELECT kind FROM seen ORDER BY 1") == [{"kind": f"{n}!"} for n in range(3)]


def _failing_with(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("said")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full; nothing was written"),
        (sqlite3.SQLITE_IOERR_WRITE, "the disk failed"),
    ],
)
def test_a_failing_disk_stops_no_projection(ledger: Ledger, code: int, meaning: str) -> None:
    """The recording fails, and can be done again; the projection goes on with it."""
    fails = True

    def apply(change: Change, db: Database) -> None:
        if fails and change.position == 2:
            raise _failing_with(code)

    ledger.project(Seen(apply))
    ledger.record(sent("SMS_1"))
    with pytest.raises(LedgerError, match=meaning):
        ledger.record(sent("SMS_2"))
    assert ledger.head().size == 2
    fails = False
    assert ledger.record(sent("SMS_2")).event.position == 2
    assert [(one.position, one.problem) for one in ledger.checkpoints()] == [(2, None)]
    assert ledger.query("SELECT position FROM seen ORDER BY 1") == [
        {"position": n} for n in range(3)
    ]


def test_a_disk_that_fails_at_the_checkpoint_stops_no_projection(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever statement meets it, the recording fails."""
    ledger.project(Seen())

    def fail(*_: object) -> None:
        raise _failing_with(sqlite3.SQLITE_FULL)

    with monkeypatch.context() as patch:
        patch.setattr(custom, "changes_of", fail)
        with pytest.raises(LedgerError, match="the disk is full"):
            ledger.record(sent("SMS_1"))
    assert ledger.record(sent("SMS_1")).event.position == 1
    assert [(one.position, one.problem) for one in ledger.checkpoints()] == [(1, None)]


def test_another_database_that_is_busy_stops_the_projection_alone(ledger: Ledger) -> None:
    """To record never fails for a database of the projection's own."""

    def apply(change: Change, db: Database) -> None:
        if change.position == 1:
            raise _failing_with(sqlite3.SQLITE_BUSY)

    ledger.project(Seen(apply))
    assert ledger.record(sent("SMS_1")).event.position == 1
    (checkpoint,) = ledger.checkpoints()
    assert "can't apply the event at 1" in str(checkpoint.problem)


@pytest.mark.parametrize("swallows", [True, False])
def test_a_rolled_back_transaction_is_never_taken_for_a_recorded_one(
    ledger: Ledger, swallows: bool
) -> None:
    """``INSERT OR ROLLBACK`` takes the event with it: recording must then say that it failed."""

    def roll_back(change: Change, db: Database) -> None:
        try:
            if change.position == 2:
                db.execute("INSERT OR ROLLBACK INTO seen (position) VALUES (2)")
        except sqlite3.IntegrityError:
            if not swallows:
                raise

    ledger.project(Seen(roll_back))
    ledger.record(sent("SMS_1"))
    with pytest.raises(LedgerError, match="nothing was written"):
        ledger.record(sent("SMS_2"))
    assert ledger.head().size == 1 + 1


def test_recording_without_an_index_leaves_projections_behind(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are brought up once it was taken in."""
    ledger.project(Outcomes())
    ledger.record(sent("SMS_1"))
    with monkeypatch.context() as patch:
        patch.setattr(type(ledger._connections), "advance", lambda *_: None)
        assert ledger.record(sent("SMS_2")).verdict == "unfolded"
    assert ledger.checkpoints()[0].behind == 1
    ledger.record(sent("SMS_3"))
    assert (outcomes(ledger), ledger.checkpoints()[0].behind) == ({"sent": 3}, 0)


@pytest.mark.parametrize(
    "name",
    [
        *("events", "deliveries", "Own", "sqlite_x", "a; DROP TABLE b", ""),
        # Later generations will have these.
        *(
            "states_2",
            "states_7_first",
            "states_7_apart",
            "index_3_unread",
            "index_2",
            "index_2_streams",
            "tallies_2",
            "search_2",
        ),
    ],
)
def test_a_table_needs_a_name_that_is_free(ledger: Ledger, name: str) -> None:
    """Neither the ledger's own tables, now or later, nor what is no name are taken."""
    projection = Seen(lambda change, db: None)
    projection.tables = {**projection.tables, name: "n INTEGER"}
    with pytest.raises(LedgerError, match="'seen'"):
        ledger.project(projection)
    assert ledger.checkpoints() == ()


def test_a_query_reads_only(ledger: Ledger) -> None:
    """It gives rows as dicts; a statement that writes, or is wrong, is an error that says so."""
    ledger.record(sent("SMS_1"))
    rows = ledger.query("SELECT tracking_id, state FROM deliveries WHERE state = ?", ["sent"])
    assert rows == [{"tracking_id": "SMS_1", "state": "sent"}]
    with pytest.raises(LedgerError, match="the query fails"):
        ledger.query("DELETE FROM checkpoints")
    with pytest.raises(LedgerError, match="no such column: colour"):
        ledger.query("SELECT colour FROM deliveries")
    ledger.record(sent("SMS_2"))


def test_a_ledger_for_reading_keeps_no_projection(tmp_path: Path) -> None:
    """It says so, and its tables can be read."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.project(Outcomes())
        ledger.record(sent("SMS_1"))
    with Ledger(tmp_path / "l.db", readonly=True) as ledger:
        assert outcomes(ledger) == {"sent": 1}
        with pytest.raises(LedgerError, match="reading only"):
            ledger.project(Outcomes())


PAGE = Path(__file__).parents[2] / "docs/how-to/own-projection.md"
STATUSES = (
    ("N101", "Sent", 5),
    ("N102", "Delivered", 7),
    ("N102", "Expired", 65),
    ("N101", "Sent", 1),
)


@st.composite
def campaign_postbacks(draw: st.DrawFn) -> bytes:
    """A postback of the JSON generation, of few messages, campaigns and hours."""
    code, status, minute = draw(st.sampled_from(STATUSES))
    hour, minute = divmod(minute + draw(st.sampled_from((0, 60))), 60)
    said = {
        "origin": "MMS_MT",
        "code": code,
        "status": status,
        "sent-as": "MMS",
        "tracking-id": draw(st.sampled_from(("MMS_1", "MMS_2"))),
        "campaign-ref": draw(st.sampled_from((None, "autumn", "winter"))),
        "timestamp": f"2024-03-11T{9 + hour:02}:{minute:02}:00Z",
    }
    return json.dumps({key: text for key, text in said.items() if text is not None}).encode()


def campaign_hours(ledger: Ledger) -> dict[tuple[str, str, str], int]:
    """The count that the worked example keeps, made from all deliveries and all events."""
    campaigns: dict[str, str] = {}
    for event in ledger.events(after=0):
        assert event.postback is not None
        campaign = dict(event.postback.fields).get("campaign-ref")
        if campaign is not None:
            key = str(event.key)
            campaigns[key] = min(campaign, campaigns.get(key, campaign))
    return dict(
        Counter(
            (campaigns[d.tracking_id], f"{d.sent_at or d.first_received_at:%Y-%m-%dT%H}", d.state)
            for d in ledger.deliveries()
            if d.tracking_id in campaigns
        )
    )


@given(st.lists(campaign_postbacks(), max_size=8), st.integers(0, 8))
@settings(max_examples=30, deadline=None)
def test_the_worked_example_is_a_function_of_the_set_of_events(
    bodies: list[bytes], at: int
) -> None:
    """Late, repeated, contradicting, kept up or built: it holds what a count of all gives."""
    found = re.search(r"```python file=campaigns.py\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert found
    names: dict[str, Any] = {}
    exec(found[1], names)
    with ledger_of(bodies[:at]) as ledger:
        ledger.project(names["CampaignHours"]())
        for body in bodies[at:]:
            ledger.record(body, content_type="application/json")
        rows = ledger.query("SELECT campaign, hour, state, deliveries FROM campaign_hours")
        assert {(r["campaign"], r["hour"], r["state"]): r["deliveries"] for r in rows} == (
            campaign_hours(ledger)
        )
