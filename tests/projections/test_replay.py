"""Replay: the states built anew, and what others would make of the log."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import IntegrityError, Ledger, LedgerError
from postledger.definitions.definitions import Definitions, builtin, define
from postledger.ledger.ledger import connections as session
from postledger.log.log import Log, Stored
from postledger.projections.generations import generations as projections
from postledger.projections.generations import replay
from postledger.state import plans as courses
from postledger.state.patterns import Intake
from postledger.wire import Limits
from tests import strategies
from tests.conftest import ledger_of
from tests.states import rows
from tests.samples import DEGRADED, delivered, sent

DELIVERY = builtin().charts["delivery"].source
FAILS = '["failed", "sending_failed"], source = ["created", "sent", "failed"], dest = "failed" }'


def chart(tmp_path: Path, *, last_stands: bool) -> Path:
    """The chart with another policy: the first, or the last outcome stands."""
    path = tmp_path / "delivery.toml"
    text = DELIVERY.replace("version = 1", "version = 2")
    if last_stands:
        taken = FAILS.replace('"created", "sent", "failed"', '"delivered"').replace(
            " }", ", overrides = true }"
        )
        text = text.replace(
            f"    {{ trigger = {FAILS},", f"    {{ trigger = {FAILS},\n    {{ trigger = {taken},"
        )
    else:
        text = re.sub(r".*overrides = true.*\n", "", text)
    assert text.count("overrides = true") == (2 if last_stands else 0)
    path.write_text(text)
    return path


def other(tmp_path: Path, *, last_stands: bool) -> Definitions:
    """The definitions with that chart."""
    return builtin().with_files([chart(tmp_path, last_stands=last_stands)])


def test_another_policy_shows_exactly_the_delivery_that_changes(
    ledger: Ledger, specification: list[bytes], tmp_path: Path
) -> None:
    """With the last outcome standing, of the samples one delivery changes, and the reason is told."""
    ledger.record_many(specification)
    (difference,) = ledger.differences(other(tmp_path, last_stands=True))
    assert difference.before is not None
    assert difference.after is not None
    assert (difference.key, difference.before.state) == (DEGRADED, "delivered")
    assert difference.after.state == "failed"
    assert difference.why == (
        "before: position 9 (E101 Message Failed) contradicts, delivered, degraded"
        " and after: position 9 (E101 Message Failed) contradicts, failed, degraded"
    )


def test_a_policy_that_changes_nothing_shows_nothing(
    ledger: Ledger, specification: list[bytes], tmp_path: Path
) -> None:
    """With the first outcome standing the samples stay: there, delivered is the first."""
    ledger.record_many(specification)
    assert list(ledger.differences(other(tmp_path, last_stands=False))) == []


def test_the_first_outcome_stands_by_a_chart_that_says_so(ledger: Ledger, tmp_path: Path) -> None:
    """Failed before delivered is delivered by the shipped policy and failed by the other."""
    failed = delivered("a", STATUS="Message Sent/Failed", TIMESTAMP="2013-11-05T05:41:10Z")
    ledger.record_many([sent("a"), failed, delivered("a"), sent("b"), delivered("b")])
    (difference,) = ledger.differences(other(tmp_path, last_stands=False))
    assert difference.before is not None
    assert difference.after is not None
    assert (difference.key, difference.before.state, difference.after.state) == (
        "a",
        "delivered",
        "failed",
    )


def test_a_thread_that_is_still_comparing_is_told_that_it_cannot_write(
    ledger: Ledger, specification: list[bytes], tmp_path: Path
) -> None:
    """One clear line, and nothing is written; when the comparison is over, it can."""
    ledger.record_many(specification)
    comparison = ledger.differences(other(tmp_path, last_stands=True))
    next(comparison)
    with pytest.raises(LedgerError, match="this thread is still reading; end that first"):
        ledger.record(specification[0])
    assert list(comparison) == []
    assert ledger.record(specification[0]).event.position == len(specification) + 1


def test_by_other_charts_alone_only_unreadable_bodies_are_asked_where_they_belong(
    ledger: Ledger, specification: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vocabularies say to which stream an event belongs, and they are the same."""
    ledger.record_many([*specification, b"?"])
    unreadable = [event.position for event in ledger.events() if event.kind == "unreadable"]
    by_shapes, asked = Log.of_shapes, list[int]()

    def of_shapes(log: Log, shape_ids: list[int]) -> Iterator[Stored]:
        for stored in by_shapes(log, shape_ids):
            asked.append(stored.position)
            yield stored

    monkeypatch.setattr(Log, "of_shapes", of_shapes)
    assert len(list(ledger.differences(other(tmp_path, last_stands=True)))) == 1
    assert asked == unreadable == [12]


def test_comparing_changes_no_byte(specification: list[bytes], tmp_path: Path) -> None:
    """The file is the same before and after a comparison."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record_many(specification)
    before = path.read_bytes()
    with Ledger(path, readonly=True) as ledger:
        assert len(list(ledger.differences(other(tmp_path, last_stands=True)))) == 1
    assert path.read_bytes() == before


def test_an_adopted_chart_is_folded_by_from_then_on(
    ledger: Ledger, specification: list[bytes], tmp_path: Path
) -> None:
    """A rebuild by another chart gives its states, keeps its text, and verifies."""
    ledger.record_many(specification)
    ledger.replay(other(tmp_path, last_stands=True))
    assert ledger.delivery(DEGRADED).state == "failed"
    assert ledger.verify().ok
    with Ledger(ledger.path, readonly=True) as again:
        assert again.definitions.charts["delivery"].version == 2


NEW = """
name = "newcomer"
version = 1
roots = [""]
[fields]
tracking_id = "Id"
status = "What"
timestamp = "When"
[[postbacks]]
match = { status = ["gone out", "arrived"] }
chart = "delivery"
key = "tracking_id"
means = [
    { status = "gone out", trigger = "sent_sms" },
    { status = "arrived", trigger = "delivered" },
]
"""


def test_a_vocabulary_that_comes_later_reads_again_what_was_not_understood(
    ledger: Ledger, tmp_path: Path
) -> None:
    """Unrecognised events are appended anew, refer to the old ones, and give the states."""
    gone = b'{"Id": "n1", "What": "gone out", "When": "2026-11-05T12:00:00Z"}'
    came = b'{"Id": "n1", "What": "arrived", "When": "2026-11-05T12:00:07Z"}'
    summary = ledger.record_many([gone, came, came, sent("a")])
    assert (summary.unrecognised, summary.repeated) == (2, 1)
    words = tmp_path / "newcomer.toml"
    words.write_text(NEW)
    definitions = ledger.definitions.with_files([], [words])
    (difference,) = ledger.differences(definitions)
    assert (difference.before, difference.key) == (None, "n1")
    assert difference.after is not None
    assert difference.after.state == "delivered"
    ledger.replay(definitions)
    assert ledger.delivery("n1").state == "delivered"
    new = list(ledger.events())[4:]
    assert [(event.body_of, event.body, event.kind) for event in new] == [
        (1, gone, "postback"),
        (2, came, "postback"),
    ]
    assert ledger.verify().ok
    ledger.replay()
    assert ledger.head().size == 6 + 1
    again = ledger.record(came)
    assert (again.verdict, again.event.repeats) == ("repeated", 6)
    assert list(ledger.differences(definitions)) == []


@pytest.mark.parametrize("optimized", [False, True])
def test_an_event_that_comes_to_a_delivery_that_there_is_changes_it_as_was_told(
    ledger: Ledger,
    tmp_path: Path,
    optimized: bool,
) -> None:
    """A comparison says what adopting then makes of it, and why no event of its own explains it."""
    ledger.record_many([sent("n1"), sent("n2"), b'{"Id": "n1", "What": "arrived"}'])
    if optimized:
        ledger.optimize()
    words = tmp_path / "newcomer.toml"
    words.write_text(NEW.replace('key = "tracking_id"', 'key = "tracking_id"\nundated = true'))
    definitions = ledger.definitions.with_files([], [words])
    (difference,) = ledger.differences(definitions)
    assert difference.before == ledger.delivery("n1")
    assert difference.why == "events of other streams belong to it"
    ledger.replay(definitions)
    assert difference.after == ledger.delivery("n1")
    assert ledger.delivery("n1").state == "delivered"
    assert ledger.verify().ok


def test_a_comparison_tells_the_findings_that_adopting_gives(
    ledger: Ledger, tmp_path: Path
) -> None:
    """An event that is read again arrives last, wherever it stood before."""
    gone = b'{"Id": "n1", "What": "gone out", "When": "2026-11-05T12:00:00Z"}'
    ledger.record_many([gone, delivered("n1", TIMESTAMP="2026-11-05T12:00:07Z")])
    words = tmp_path / "newcomer.toml"
    words.write_text(NEW)
    definitions = ledger.definitions.with_files([], [words])
    (difference,) = ledger.differences(definitions)
    ledger.replay(definitions)
    assert difference.after == ledger.delivery("n1")
    assert "late" in ledger.delivery("n1").findings


def test_a_chart_that_was_given_up_is_told_as_new(
    ledger: Ledger, specification: list[bytes]
) -> None:
    """There is nothing before to be told of."""
    ledger.record_many(specification)
    ledger.replay(define([builtin().charts["delivery"]], []))
    told = {one.key: one.why for one in ledger.differences(builtin())}
    assert told["35674"].startswith("after: position 10 (N003) applied, saved")


def test_a_meaning_that_changes_within_a_stream_needs_no_new_event(
    ledger: Ledger, tmp_path: Path
) -> None:
    """A new word of a known postback is understood by folding again."""
    ledger.record_many([sent("a"), delivered("a", STATUS="Message Sent/Eaten")])
    assert ledger.delivery("a").state == "sent"
    words = tmp_path / "skycore.toml"
    shipped = next(v for v in builtin().vocabularies if v.name == "skycore")
    known = 'status = "Message Sent/Failed"'
    assert known in shipped.source
    words.write_text(
        shipped.source.replace(known, 'status = ["Message Sent/Failed", "Message Sent/Eaten"]')
    )
    ledger.replay(ledger.definitions.with_files([], [words]))
    assert ledger.delivery("a").state == "failed"
    assert ledger.head().size == 2 + 1
    assert ledger.verify().ok


@settings(max_examples=25, deadline=None)
@given(st.lists(strategies.bodies(), min_size=1, max_size=12), st.integers(1, 4))
def test_a_rebuild_in_chunks_equals_the_rows_kept_live(bodies: list[bytes], chunk: int) -> None:
    """However many streams a chunk has, the rows are those that were kept up."""
    with ledger_of(bodies) as ledger, pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "CHUNK", chunk)
        kept = rows(ledger)
        ledger.replay()
        assert rows(ledger) == kept
        assert ledger.verify().ok


def test_a_rebuild_that_was_interrupted_goes_on_where_it_was(ledger: Ledger) -> None:
    """Stopped in the middle, it leaves the live rows, and the next one finishes the same table."""
    ledger.record_many(sent(f"m{number}") for number in range(5000))
    before = rows(ledger)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    calls: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        ledger.replay(progress=lambda n: calls.append(n) if not calls else stop(n))
    assert rows(ledger) == before
    db = ledger._connections.own().log.db
    begun = projections.building(db, projections.version_of(ledger.definitions))
    assert begun is not None
    assert begun.cursor == 2000
    ledger.record(delivered("m1"))
    done: list[int] = []
    ledger.replay(progress=done.append)
    assert sum(done) < 5000
    assert ledger.delivery("m1").state == "delivered"
    assert ledger.verify().ok
    live = projections.live(db)
    assert live is not None
    assert live.number == begun.number
    assert [t for t in db.table_names() if t.startswith("states_")] == [live.table]


def test_a_rebuild_fails_loudly_with_position_and_reason(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that can't be applied stops the rebuild; recording and the live rows go on."""
    ledger.record_many([sent("a"), sent("b")])

    def broken(*_: object) -> object:
        raise ZeroDivisionError("no such thing")

    with monkeypatch.context() as patch:
        patch.setattr("postledger.projections.rows.fold", broken)
        patch.setattr(courses, "fold", broken)
        with pytest.raises(IntegrityError, match=r"the events at 1 can't be folded by delivery 1"):
            ledger.replay()
    assert ledger.delivery("a").state == "sent"
    assert ledger.record(delivered("a")).verdict == "applied"


def test_what_a_failed_rebuild_interned_is_not_taken_for_kept(tmp_path: Path) -> None:
    """It reads a body again that was too long before, fails, and the next events are whole."""
    path = tmp_path / "test.db"
    with Ledger(path, limits=Limits(body_bytes=100)) as ledger:
        ledger.record(sent("a"))
    with Ledger(path) as ledger:
        db = ledger._connections.own().log.db
        db.execute(
            "CREATE TEMP TRIGGER stop BEFORE UPDATE ON projections WHEN NEW.live"
            " BEGIN SELECT RAISE(ABORT, 'stopped'); END"
        )
        with pytest.raises(LedgerError, match="stopped"):
            ledger.replay()
        db.execute("DROP TRIGGER stop")
        ledger.record(sent("b"))
        ledger.record(sent("a"))
        assert [event.key for event in ledger.events()] == [None, "b", "a"]
        assert [event.body for event in ledger.events()] == [sent("a"), sent("b"), sent("a")]
        assert ledger.verify().ok


def test_a_stream_that_is_gone_is_told_when_a_rebuild_catches_up(ledger: Ledger) -> None:
    """By its number, as everywhere else."""
    ledger.record(sent("a"))
    log = ledger._connections.own().log
    replay.build(log.db, log, ledger.definitions)
    ledger.record(sent("b"))
    log.db.execute("DROP TRIGGER streams_no_delete")
    log.db.execute("DELETE FROM streams WHERE id = 2")
    with pytest.raises(IntegrityError, match="stream 2 is missing"):
        ledger.replay()


def test_a_thread_that_opens_while_another_adopts_folds_by_one_of_both(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it reads bodies by and what it folds by are the same definitions."""
    ledger.record(sent("a"))
    adopted = other(tmp_path, last_stands=True)

    def while_another_adopts(definitions: Definitions, limits: Limits) -> Intake:
        monkeypatch.setattr(session, "Intake", Intake)
        thread = threading.Thread(target=ledger.replay, args=(adopted,))
        thread.start()
        thread.join()
        return Intake(definitions, limits)

    def opens() -> None:
        monkeypatch.setattr(session, "Intake", while_another_adopts)
        reader = ledger._connections.own()
        assert reader.intake._lexicon is reader.facts.definitions.lexicon
        assert ledger._connections.own().facts.definitions is adopted
        held.append(True)

    held: list[bool] = []
    thread = threading.Thread(target=opens)
    thread.start()
    thread.join()
    assert held


def test_threads_of_the_same_ledger_record_while_it_rebuilds(ledger: Ledger) -> None:
    """A rebuild holds no lock between its chunks: in each of them another thread gets its turn."""
    ledger.record_many(sent(f"m{number}") for number in range(5000))
    recorded: list[str] = []

    def record_beside(_: int) -> None:
        # Called inside a chunk's transaction: the other thread waits for its end, not for ours.
        thread = threading.Thread(
            target=lambda: recorded.append(ledger.record(delivered(f"m{len(recorded)}")).verdict)
        )
        thread.start()
        threads.append(thread)

    threads: list[threading.Thread] = []
    ledger.replay(progress=record_beside)
    for thread in threads:
        thread.join()
    assert len(recorded) == len(threads) >= 3
    assert ledger.verify().ok


def test_rows_of_an_older_version_are_folded_again_when_it_is_opened(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger whose projection an older Postledger wrote is brought up to date by opening it."""
    ledger.record_many([sent("a"), delivered("a")])
    ledger.close()
    monkeypatch.setattr(projections, "COLUMNS_VERSION", projections.COLUMNS_VERSION + 1)
    with pytest.raises(IntegrityError, match="run replay"):
        Ledger(ledger.path, readonly=True)
    with Ledger(ledger.path) as again:
        assert again.delivery("a").state == "delivered"
        assert again.verify().ok


def test_half_a_character_that_was_refused_is_refused_again(ledger: Ledger) -> None:
    """A body that is kept unreadable for a lone surrogate stops no replay."""
    body = b'{"ORIGIN":"MMS_MT","CODE":"N101","STATUS":"Message Sent","SENTAS":"MMS",'
    body += b'"TRACKINGID":"k\\ud800","TO":"16","MMSID":"1","SPID":"1"}'
    assert ledger.record(body, content_type="application/json").event.reading == "unreadable"
    ledger.replay()
    assert ledger.verify().problems == ()


def test_a_body_beyond_the_limits_is_beyond_them_when_it_is_read_again(tmp_path: Path) -> None:
    """Live or replayed: the limits of the ledger are those of its rebuilds and comparisons."""
    with Ledger(tmp_path / "test.db", limits=Limits(body_bytes=100)) as ledger:
        ledger.record(sent("a"))
        assert list(ledger.differences(ledger.definitions)) == []
        ledger.replay()
        assert [event.kind for event in ledger.events()] == ["unreadable"]


def test_two_unreadable_bodies_that_say_the_same_become_one_event(tmp_path: Path) -> None:
    """Both are kept; read again, they are one event of the delivery."""
    path = tmp_path / "test.db"
    with Ledger(path, limits=Limits(body_bytes=100)) as ledger:
        ledger.record(sent("a"))
        ledger.record(sent("a") + b"\n")
        assert [event.kind for event in ledger.events()] == ["unreadable"] * 2
        definitions = ledger.definitions
    with Ledger(path) as ledger:
        (difference,) = ledger.differences(definitions)
        assert difference.key == "a"
        ledger.replay()
        assert (ledger.head()[0], ledger.delivery("a").events) == (3, 1)
        assert ledger.verify().problems == ()
