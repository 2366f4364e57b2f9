"""What of a report was verified in its run, and that what is tampered with stands in it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from postledger import Ledger
from postledger.audit import AuditReport
from tests.audit.test_command import Run
from tests.audit.traffic import traffic
from tests.guards import guards

KEY = "MSG0000003=="
NEVER = "the state differs from the fold; run replay"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of some thousand events: its tree has nodes."""
    path = tmp_path_factory.mktemp("verified") / "made.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic(300, seed=5))
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """A copy of that ledger to tamper with."""
    return Path(shutil.copy(made, tmp_path / "copy.db"))


def tamper(path: Path, sql: str, *parameters: object) -> None:
    """Change a ledger behind its guards, which are put back."""
    with closing(sqlite3.connect(path)) as db, db:
        for name in guards():
            db.execute(f"DROP TRIGGER {name}")
        assert db.execute(sql, parameters).rowcount > 0
        for trigger in guards().values():
            db.execute(trigger)


def audited(path: Path, key: str = KEY) -> AuditReport:
    """The dossier of a delivery as whoever doubts the file makes it."""
    with Ledger(path, readonly=True, guarded=False) as ledger:
        return ledger.audit(tracking_id=key)


def positions(path: Path, key: str = KEY) -> list[int]:
    """Where the events of a delivery stand."""
    with Ledger(path, readonly=True) as ledger:
        return sorted(step.event.position for step in ledger.timeline(key))


def _fails(path: Path, problem: str) -> None:
    report = audited(path)
    assert not report.integrity.ok
    assert any(problem in found for found in report.integrity.problems), report.integrity.problems
    assert "Not all holds" in report.to_markdown()
    assert "not all holds" in report.to_html()


def test_a_delivery_is_proven_without_a_verification(path: Path) -> None:
    """Its dossier is whole, and says that the ledger was not verified for it."""
    report = audited(path)
    assert report.integrity.ok
    assert not report.integrity.verified
    assert (report.integrity.imported, report.integrity.first_received_at) == (None, None)
    with Ledger(path, readonly=True) as ledger:
        whole = ledger.audit(tracking_id=KEY, verify=True)
    assert whole.integrity.verified
    assert (report.dossier, report.as_of) == (whole.dossier, whole.as_of)
    assert report.integrity.anchor == whole.integrity.anchor
    assert "not verified" in report.to_markdown()
    assert "not verified" not in whole.to_markdown()


@pytest.mark.parametrize(
    ("column", "value"), [("received_at", "received_at + 1"), ("salt", "zeroblob(16)")]
)
def test_a_tampered_event_is_told(path: Path, column: str, value: str) -> None:
    """Its leaf is not what its fields give."""
    position = positions(path)[-1]
    tamper(path, f"UPDATE events SET {column} = {value} WHERE position = ?", position)
    _fails(path, f"position {position}: the event is not what was received")


def test_a_tampered_leaf_is_told(path: Path) -> None:
    """Neither do the fields of the event give it, nor does it lead to the root."""
    position = positions(path)[0]
    tamper(path, "UPDATE events SET leaf = zeroblob(32) WHERE position = ?", position)
    _fails(path, f"position {position}: the event is not what was received")
    _fails(path, f"position {position}: its proof doesn't lead to the anchor")


def test_any_tampered_node_is_told(path: Path) -> None:
    """The proofs have all nodes but that over the event, which is compared with its leaves."""
    with closing(sqlite3.connect(path)) as db:
        nodes = [number for (number,) in db.execute("SELECT number FROM nodes").fetchall()]
    assert len(nodes) > 2
    for number in nodes:
        copy = path.with_name(f"{number}.db")
        shutil.copy(path, copy)
        tamper(copy, "UPDATE nodes SET hash = zeroblob(32) WHERE number = ?", number)
        _fails(copy, "doesn't lead to the anchor" if number not in _over(path) else "of the tree")


def _over(path: Path) -> set[int]:
    return {position // 256 for position in positions(path)}


@pytest.mark.parametrize("size", [1, 0])
def test_a_tampered_head_is_told(path: Path, size: int) -> None:
    """Whether its hashes are others, or it is of another size."""
    if size:
        with closing(sqlite3.connect(path)) as db:
            (frontier,) = db.execute("SELECT frontier FROM head").fetchone()
        tamper(path, "UPDATE head SET frontier = ?", bytes(len(frontier)))
        _fails(path, "its proof doesn't lead to the anchor")
    else:
        tamper(path, "UPDATE head SET size = size - 1")
        _fails(path, "the head of the tree is not what its leaves give")


def test_a_tampered_state_is_told_next_to_the_fold(path: Path, run: Run) -> None:
    """The dossier shows what the events give, and that the row says otherwise."""
    before = audited(path).dossier
    with closing(sqlite3.connect(path)) as db:
        (table,) = db.execute("SELECT 'states_' || number FROM generations").fetchone()
    tamper(path, f"UPDATE {table} SET state = 'failed', spid = '7'")
    report = audited(path)
    assert report.integrity.problems == (f"delivery {KEY}: {NEVER}",)
    assert report.dossier == before
    done = run("audit", path, "--id", KEY, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["integrity"]["ok"] is False
    assert NEVER in done.stderr


def test_a_tampered_index_is_told(path: Path) -> None:
    """What it says of an event differs from the event."""
    position = positions(path)[0]
    with closing(sqlite3.connect(path)) as db:
        (index,) = db.execute("SELECT 'index_' || indexed FROM generations").fetchone()
    tamper(path, f"UPDATE {index} SET findings = findings | 64 WHERE position = ?", position)
    _fails(path, f"position {position}: the index differs from the log")


def test_a_missing_guard_is_told(path: Path) -> None:
    """A report looks for the guards each time, and lists a missing one as a problem."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TRIGGER events_no_update")
    _fails(path, "guard events_no_update is missing")
    with Ledger(path, readonly=True, guarded=False) as ledger:
        assert not ledger.audit().integrity.ok


@pytest.mark.parametrize("asked", [{}, {"as_of": 800}, {"definitions": "then"}])
def test_a_dossier_reads_little_of_the_log(
    path: Path, asked: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events of the delivery, and the leaves next to them: no pass over the log."""
    from postledger.log.log import Log

    def never(*_: object) -> None:
        raise AssertionError("the log is read whole")

    passes: list[Callable[..., object]] = [Log.events, Log.page_rows, Log.computed_head]
    for one in passes:
        monkeypatch.setattr(Log, one.__name__, never)
    with Ledger(path, readonly=True) as ledger:
        assert ledger.audit(tracking_id=KEY, **asked).integrity.ok  # type: ignore[arg-type]
