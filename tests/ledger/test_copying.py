"""Copies: the same log in another place, whole or not at all, whatever stops it, between both stores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from postledger import UNVERIFIED, Anchor, IntegrityError, Ledger, LedgerError, NotALedger, Receipt
from postledger.address import Address
from postledger.definitions.definitions import builtin
from postledger.ledger import copying
from postledger.log import log as log_module
from postledger.log.event import Clock
from tests.faults import traffic
from tests.postgres_server import PostgresServer
from tests.samples import first_outcome_stands, sent
from tests.states import rows

Place = str | Path
LOG = (
    "SELECT * FROM events ORDER BY position",
    "SELECT * FROM envelopes ORDER BY id",
    "SELECT * FROM templates ORDER BY id",
    "SELECT * FROM nodes ORDER BY number",
    "SELECT * FROM head",
)


@pytest.fixture
def schema(postgres: PostgresServer) -> Iterator[Callable[[], str]]:
    """Addresses of new schemas."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda: postgres.address(stack.enter_context(postgres.new_schema()))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A ledger of 600 events of all kinds, that adopted other definitions on its way."""
    with Ledger(tmp_path / "source.db") as ledger:
        ledger.record_many(traffic.bodies(0, 560))
        ledger.record(b"\0\1 neither \xff", "text/plain")
        ledger.record(b'{"a": "\\u0000\\u0001\0"}', "application/json", sender="rule")
        ledger.record(sent("k" * 3_000), sender=UNVERIFIED, source="gate")
        ledger.replay(first_outcome_stands())
        ledger.created("made-here", to="+1 650 333 3058")
        ledger.record_many(Receipt(one, "text/xml") for one in traffic.bodies(561, 594))
        ledger.verified(ledger.verify())
    return ledger.path


def whole(place: Place) -> dict[str, Any]:
    """All that a ledger has, but for how its states are numbered."""
    with Ledger(place, readonly=True) as ledger:
        with ledger._connections.read() as own:
            log = [[bytes_of(row) for row in own.store.execute(sql).fetchall()] for sql in LOG]
        return {
            "log": log,
            "anchor": ledger.head(),
            "rows": rows(ledger),
            "then": rows(ledger, as_of=300, definitions="then"),
            "tallies": ledger.tallies(by=["carrier", "value"]),
            "events": [(one.position, one.body, one.received_at) for one in ledger.events()],
            "problems": ledger.verify(ledger.head()).problems,
        }


def bytes_of(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row, of which both stores have the same values."""
    return tuple(bytes(one) if isinstance(one, memoryview) else one for one in row)


def copied(source: Place, target: Place, **how: Any) -> tuple[Anchor, int]:
    """The anchor of a copy, and how many events came to it."""
    with Ledger(source, readonly=True) as ledger:
        done = ledger.copy(target, **how)
    return done.anchor, done.added


def size_of(place: Place) -> int:
    """How many events there are, at a place where a copy may not be whole."""
    path = place if isinstance(place, str) else place.with_name(f"{place.name}-copy")
    with Ledger(path, readonly=False) as ledger:
        return ledger.head().size


def test_a_file_is_the_same_after_a_way_through_servers(
    source: Path, schema: Callable[[], str], tmp_path: Path
) -> None:
    """From file to server to server to file: the log to the last bit, and all that follows from it."""
    before = whole(source)
    assert before["problems"] == ()
    places: list[Place] = [source, schema(), schema(), tmp_path / "end.db", tmp_path / "next.db"]
    for one, other in pairwise(places):
        assert copied(one, other) == (before["anchor"], 600)
        assert whole(other) == before
    assert sorted(path.name for path in tmp_path.iterdir() if "copy" in path.name) == []


def test_a_copy_gets_what_came_since_and_nothing_else(
    source: Path, schema: Callable[[], str]
) -> None:
    """Also the adoption of other definitions, by which it is read then."""
    target = schema()
    copied(source, target)
    assert copied(source, target)[1] == 0
    with Ledger(source) as ledger:
        ledger.record_many(traffic.bodies(594, 700))
        assert copied(source, target) == (ledger.head(), 106)
        ledger.replay(builtin())
        ledger.record(sent("after"))
    assert copied(source, target)[1] == 2
    assert whole(target) == whole(source)


def test_what_comes_meanwhile_is_of_the_next_copy(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy is of the size at its start."""
    monkeypatch.setattr(copying, "_PAGE", 100)
    with Ledger(source) as ledger:
        before = ledger.head()
        assert (
            ledger.copy(tmp_path / "b.db", progress=lambda _: ledger.record(b"?")).anchor == before
        )
        assert ledger.head().size > before.size
        ledger.copy(tmp_path / "b.db")
    assert whole(tmp_path / "b.db") == whole(source)


# Copies, and once that many pages or chunks are done says so and waits to be killed.
_COPYING = """
import sys, time
from postledger import Ledger
from postledger.ledger import copying
from postledger.projections import replay
copying._PAGE = replay.CHUNK = 50
source, target, last = sys.argv[1:]
done = 0
def wait(_):
    global done
    done += 1
    if done == int(last):
        print("there", flush=True)
        time.sleep(600)
with Ledger(source, readonly=True) as ledger:
    ledger.copy(target, progress=wait)
"""


def killed(source: Place, target: Place, after: int) -> None:
    """Begin a copy, and kill its process after so many pages or chunks."""
    words = [sys.executable, "-c", _COPYING, str(source), str(target), str(after)]
    environment = {**os.environ, "PYTHONPATH": traffic.PYTHONPATH}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("to_server", [True, False])
def test_a_copy_that_was_killed_goes_on(
    source: Path, schema: Callable[[], str], tmp_path: Path, *, to_server: bool
) -> None:
    """Wherever that was: among the events, or while index and states were made."""
    start: Place = source
    if not to_server:
        start = schema()
        copied(source, start)
    target: Place = schema() if to_server else tmp_path / "target.db"
    before = whole(start)
    for after in (5, 3, 8, 9):
        killed(start, target, after)
        assert isinstance(target, str) or not target.exists()
    assert copied(start, target)[0] == before["anchor"]
    assert whole(target) == before


@pytest.mark.parametrize("on_server", [True, False])
def test_a_target_with_other_events_is_refused_and_left_as_it_is(
    source: Path, schema: Callable[[], str], tmp_path: Path, *, on_server: bool
) -> None:
    """One with another beginning, one that goes on otherwise, and one that is longer."""
    target: Place = schema() if on_server else tmp_path / "target.db"
    copied(source, target)
    with Ledger(target) as ledger:
        ledger.record(b"of its own")
    before = whole(target)
    with pytest.raises(LedgerError, match=r"expected at most its 600 events, got 601"):
        copied(source, target)
    with Ledger(source) as ledger:
        ledger.record_many([b"1", b"2"])
    with pytest.raises(LedgerError, match=r"not a copy of .*: its 601 events are others"):
        copied(source, target)
    other: Place = schema() if on_server else tmp_path / "other.db"
    Ledger(other).close()
    with pytest.raises(LedgerError, match=r"its 1 events are others"):
        copied(source, other)
    assert whole(target) == before


def test_what_is_no_ledger_is_not_touched(
    source: Path, postgres: PostgresServer, schema: Callable[[], str], tmp_path: Path
) -> None:
    """A file of something else, or a schema, and a file that SQLite would take for its own."""
    (tmp_path / "text.txt").write_text("mine")
    with pytest.raises(NotALedger):
        copied(source, tmp_path / "text.txt")
    assert (tmp_path / "text.txt").read_text() == "mine"
    address = schema()
    name = Address.parse(address).schema
    with postgres.connect() as conn:
        conn.execute(f"CREATE SCHEMA {name}; CREATE TABLE {name}.mine (a int)")
    with pytest.raises(NotALedger, match="the schema has other tables"):
        copied(source, address)
    with Ledger(source) as opened, pytest.raises(LedgerError, match="name another file"):
        opened.copy(f"{source}-journal")
    with pytest.raises(LedgerError, match="the source itself"):
        copied(source, source)


def test_who_writes_to_a_copy_meanwhile_ends_it(
    source: Path, schema: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others recorded there stays, and nothing comes behind it."""
    monkeypatch.setattr(copying, "_PAGE", 100)
    target = schema()

    def record(_: int) -> None:
        with Ledger(target) as other:
            other.record(b"another's")

    with pytest.raises(LedgerError, match="others wrote to it meanwhile"):
        copied(source, target, progress=record)
    with Ledger(target) as other:
        assert (other.head().size, other.verify().problems) == (101, ())


def test_an_event_that_is_not_what_was_received_is_not_copied(
    source: Path, tmp_path: Path, schema: Callable[[], str]
) -> None:
    """The position is named; what is before it was whole."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(source)) as conn:
        guard = conn.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'events_no_update'"
        ).fetchone()[0]
        conn.execute("DROP TRIGGER events_no_update")
        conn.execute("UPDATE events SET received_at = received_at + 1 WHERE position = 7")
        conn.execute(guard)
        conn.commit()
    for target in (tmp_path / "b.db", schema()):
        with pytest.raises(IntegrityError, match="position 7: its leaf is not that of its bytes"):
            copied(source, target)
    assert not (tmp_path / "b.db").exists()


def test_the_times_of_a_copy_are_those_of_the_source(source: Path, tmp_path: Path) -> None:
    """And who said them: our clock, and not the copy."""
    copied(source, tmp_path / "b.db")
    with Ledger(tmp_path / "b.db", readonly=True) as ledger, ledger._connections.read_log() as own:
        clocks = {stored.envelope.clock for stored in own.log.events()}
    assert clocks == {Clock.OURS}


@pytest.mark.parametrize("from_server", [False, True])
def test_a_copy_holds_few_events_in_memory(
    tmp_path: Path, schema: Callable[[], str], *, from_server: bool
) -> None:
    """A page ends with the body that makes it large, whatever the number of events."""
    body, events = log_module.PAGE_BYTES // 2, 24
    start = schema() if from_server else tmp_path / "source.db"
    with Ledger(start) as ledger:
        ledger.record_many(os.urandom(body) for _ in range(events))
        ledger.record_many(traffic.bodies(0, 300))
    pages: list[int] = []
    tracemalloc.start()
    try:
        copied(start, tmp_path / "b.db", progress=pages.append)
        assert tracemalloc.get_traced_memory()[1] < 10 * body
    finally:
        tracemalloc.stop()
    assert pages[:5] == [3, 2, 2, 2, 2]


def test_a_copy_that_was_killed_as_it_took_its_name_has_one_name(
    source: Path, tmp_path: Path
) -> None:
    """The other is gone after the next copy."""
    target = tmp_path / "b.db"
    copied(source, target)
    (tmp_path / "b.db-copy").hardlink_to(target)
    assert copied(source, target)[1] == 0
    assert not (tmp_path / "b.db-copy").exists()
    assert whole(target) == whole(source)
