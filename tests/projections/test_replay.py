"""Replay: index and states built again, and what other definitions would make of the log."""

from __future__ import annotations

import re
import threading
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import IntegrityError, Ledger, LedgerError
from postledger.definitions.definitions import Definitions, builtin, define
from postledger.ledger import connections
from postledger.log.log import Log
from postledger.projections import compare, generations, replay
from postledger.projections import reader as readers
from postledger.projections.generations import Generation
from postledger.store.store import Store
from postledger.wire import Limits
from tests import strategies
from tests.conftest import ledger_of
from tests.samples import DEGRADED, NEWCOMER, delivered, first_outcome_stands, other, sent
from tests.scan import scanned, tallied
from tests.states import rows
from tests.stores import both_stores, in_file, shell, tamper

pytestmark = both_stores


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


@pytest.mark.parametrize("vocabulary", [False, True])
def test_a_comparison_is_of_the_log_as_it_was_when_it_began(
    ledger: Ledger,
    specification: list[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vocabulary: bool,
) -> None:
    """The same thread records between two differences; what it records is not told."""
    monkeypatch.setattr(compare, "CHUNK", 1)
    ledger.record_many(specification)
    definitions = other(tmp_path, last_stands=True)
    if vocabulary:
        words = tmp_path / "newcomer.toml"
        words.write_text(NEWCOMER)
        definitions = definitions.with_files([], [words])
    told = list(ledger.differences(definitions))
    comparison = ledger.differences(definitions)
    first = next(comparison)
    failed = delivered("a", STATUS="Message Sent/Failed", TIMESTAMP="2013-11-06T05:41:10Z")
    ledger.record_many([sent("a"), delivered("a"), failed, GONE, *specification])
    assert [first, *comparison] == told
    assert len(list(ledger.differences(definitions))) > len(told) >= 1


def test_a_comparison_ends_where_its_index_is_taken_away(
    ledger: Ledger, specification: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells nothing twice and leaves nothing out in silence: it is to be tried again."""
    monkeypatch.setattr(compare, "CHUNK", 1)
    ledger.record_many(specification)
    definitions = other(tmp_path, last_stands=True)
    comparison = ledger.differences(definitions)
    told = [next(comparison)]
    ledger.replay()
    assert [*told, *comparison] == list(ledger.differences(definitions))
    comparison = ledger.differences(definitions)
    next(comparison)
    ledger.replay(index=True)
    with pytest.raises(LedgerError, match="another process replays the same ledger"):
        list(comparison)


@pytest.mark.parametrize("vocabulary", [False, True])
def test_comparing_teaches_nothing(
    ledger: Ledger, specification: list[bytes], tmp_path: Path, vocabulary: bool
) -> None:
    """What is recorded next is read and folded by the definitions in force."""
    ledger.record_many(specification)
    before, definitions = rows(ledger), other(tmp_path, last_stands=True)
    if vocabulary:
        words = tmp_path / "newcomer.toml"
        words.write_text(NEWCOMER)
        definitions = definitions.with_files([], [words])
    assert [one.key for one in ledger.differences(definitions)] == [DEGRADED]
    assert rows(ledger) == before
    ledger.record_many(body.replace(b"TU1T", b"XU1T") for body in specification)
    assert ledger.delivery(DEGRADED.replace("TU1T", "XU1T")).state == "delivered"
    assert ledger.verify().problems == ()


@in_file
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
    """A replay by another chart gives its states, keeps its text, and verifies."""
    ledger.record_many(specification)
    ledger.replay(other(tmp_path, last_stands=True))
    assert ledger.delivery(DEGRADED).state == "failed"
    assert ledger.verify().ok
    with Ledger(ledger.path, readonly=True) as again:
        assert again.definitions.charts["delivery"].version == 2


GONE = b'{"Id": "n1", "What": "gone out", "When": "2026-11-05T12:00:00Z"}'
CAME = b'{"Id": "n1", "What": "arrived", "When": "2026-11-05T12:00:07Z"}'


def test_a_vocabulary_that_comes_later_reads_the_log_again(ledger: Ledger, tmp_path: Path) -> None:
    """What was not understood gives the states that a fresh recording would; the events stay."""
    summary = ledger.record_many([GONE, CAME, CAME, sent("a")])
    assert (summary.unrecognised, summary.repeated) == (2, 1)
    words = tmp_path / "newcomer.toml"
    words.write_text(NEWCOMER)
    definitions = ledger.definitions.with_files([], [words])
    (difference,) = ledger.differences(definitions)
    assert (difference.before, difference.key) == (None, "n1")
    assert difference.after is not None
    assert difference.after.state == "delivered"
    before = [(event.position, event.body, event.leaf) for event in ledger.events()]
    ledger.replay(definitions)
    assert ledger.delivery("n1") == difference.after
    after = [(event.position, event.body, event.leaf) for event in ledger.events()]
    assert (after[:-1], list(ledger.events())[-1].kind) == (before, "adoption")
    assert ledger.verify().problems == ()
    again = ledger.record(CAME)
    assert (again.verdict, again.event.repeats) == ("repeated", 2)
    assert list(ledger.differences(definitions)) == []


def test_an_event_that_comes_to_a_delivery_changes_it_as_was_told(
    ledger: Ledger, tmp_path: Path
) -> None:
    """A comparison says what adopting then makes of it, and by which event."""
    ledger.record_many([sent("n1"), sent("n2"), b'{"Id": "n1", "What": "arrived"}'])
    words = tmp_path / "newcomer.toml"
    words.write_text(NEWCOMER.replace('key = "tracking_id"', 'key = "tracking_id"\nundated = true'))
    definitions = ledger.definitions.with_files([], [words])
    (difference,) = ledger.differences(definitions)
    assert difference.before == ledger.delivery("n1")
    assert difference.why == "after: position 3 (arrived) applied, delivered, sms"
    ledger.replay(definitions)
    assert difference.after == ledger.delivery("n1")
    assert ledger.delivery("n1").state == "delivered"
    assert ledger.verify().ok


def test_a_comparison_tells_the_findings_that_adopting_gives(
    ledger: Ledger, tmp_path: Path
) -> None:
    """Late is who was received late, whenever it was understood."""
    ledger.record_many([delivered("n1", TIMESTAMP="2026-11-05T12:00:07Z"), GONE])
    words = tmp_path / "newcomer.toml"
    words.write_text(NEWCOMER)
    definitions = ledger.definitions.with_files([], [words])
    (difference,) = ledger.differences(definitions)
    ledger.replay(definitions)
    assert difference.after == ledger.delivery("n1")
    assert "late" in ledger.delivery("n1").findings


def test_a_corrected_time_zone_leaves_nothing_behind(ledger: Ledger, tmp_path: Path) -> None:
    """Old events are read by it too: repeats are recognised, and there is one delivery."""
    naive = sent("a", TIMESTAMP="2013-11-05 05:41:08")
    ledger.record_many([naive, delivered("a")])
    shipped = next(v for v in builtin().vocabularies if v.name == "skycore")
    words = tmp_path / "skycore.toml"
    corrected = re.sub(r'(?m)^naive = ".*"', 'naive = "America/New_York"', shipped.source)
    assert corrected != shipped.source
    words.write_text(corrected)
    ledger.replay(ledger.definitions.with_files([], [words]))
    assert str(ledger.delivery("a").sent_at) == "2013-11-05 10:41:08+00:00"
    assert ledger.record(naive).verdict == "repeated"
    assert (ledger.delivery("a").events, ledger.delivery("a").repeats) == (2, 1)
    assert ledger.verify().problems == ()


def test_a_time_that_clocks_showed_twice_or_never_is_missing(
    ledger: Ledger, tmp_path: Path
) -> None:
    """The postback counts, without a time; an hour later there is no doubt."""
    times = {"a": "2013-11-03 01:30:00", "b": "2013-03-10 02:30:00", "c": "2013-11-03 02:30:00"}
    ledger.record_many([sent(key, TIMESTAMP=time) for key, time in times.items()])
    shipped = next(v for v in builtin().vocabularies if v.name == "skycore")
    words = tmp_path / "skycore.toml"
    words.write_text(shipped.source.replace('naive = "UTC"', 'naive = "America/New_York"'))
    ledger.replay(ledger.definitions.with_files([], [words]))
    for key in "ab":
        delivery = ledger.delivery(key)
        assert (delivery.state, delivery.sent_at) == ("sent", None)
        assert "timestamp_missing" in delivery.findings
        assert "timestamp_naive" not in delivery.findings
    assert str(ledger.delivery("c").sent_at) == "2013-11-03 07:30:00+00:00"
    assert ledger.verify().problems == ()


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
    assert [event.kind for event in ledger.events(after=2)] == ["adoption"]
    assert ledger.verify().ok


@settings(max_examples=25, deadline=None)
@given(st.lists(strategies.bodies(), min_size=1, max_size=12), st.integers(1, 4))
def test_a_replay_in_chunks_equals_the_rows_kept_live(bodies: list[bytes], chunk: int) -> None:
    """However many streams a chunk has, the rows are those that were kept up."""
    with ledger_of(bodies) as ledger, pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "CHUNK", chunk)
        kept = rows(ledger)
        for index in (False, True):
            ledger.replay(index=index)
            assert rows(ledger) == kept
            assert ledger.verify().ok


class Killed(BaseException):
    """What stands for a kill: no handler is to take it for an error."""


def generation_of(ledger: Ledger) -> Generation | None:
    """The generation that was begun and not finished."""
    store = ledger._connections._own().store
    return generations.building(store, generations.version_of(ledger.definitions))


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("at", range(12))
def test_a_replay_that_was_killed_goes_on_where_it_was(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, at: int, index: bool
) -> None:
    """Killed after any transaction, it leaves the live rows; the next one finishes the same tables."""
    monkeypatch.setattr(replay, "CHUNK", 3)
    ledger.record_many(sent(f"m{number}") for number in range(10))
    before, store = rows(ledger), ledger._connections._own().store
    left, moved = at, generations.move

    def move(*args: object, **changes: object) -> Generation | None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return moved(*args, **changes)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(generations, "move", move)
        try:
            ledger.replay(index=index)
        except Killed:
            begun = generation_of(ledger)
            assert begun is not None
            assert rows(ledger) == before
        else:
            begun = None
    ledger.record(delivered("m1"))
    assert ledger.verify().problems == ()
    done: list[int] = []
    ledger.replay(index=index, progress=done.append)
    live = generations.live(store)
    assert live is not None
    assert begun is None or live.number == begun.number
    assert ledger.delivery("m1").state == "delivered"
    assert len(rows(ledger)) == 10
    assert ledger.verify().problems == ()
    derived = {t for kind, t in store.names() if kind == "table" and generations.is_derived(t)}
    assert derived == live.tables().keys()


def test_what_a_killed_replay_left_to_drop_goes_with_the_next(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables that belong to no generation are no fault, and their numbers are not taken again."""
    ledger.record_many([sent("a"), delivered("a")])
    store = ledger._connections._own().store

    def killed(_: object) -> None:
        raise Killed

    def derived() -> set[str]:
        return {name for _, name in store.names() if generations.is_derived(name)}

    with monkeypatch.context() as patch:
        patch.setattr(generations, "sweep", killed)
        for _ in range(3):
            with pytest.raises(Killed):
                ledger.replay(index=True)
    assert len(derived()) > 3
    assert ledger.verify().problems == ()
    ledger.record(sent("b"))
    ledger.replay(index=True)
    live = generations.live(store)
    assert live is not None
    assert derived() == live.tables().keys()
    assert live.number > 2
    assert len(rows(ledger)) == 2
    assert ledger.verify().problems == ()


def test_an_index_is_shared_where_the_vocabularies_are_the_same(
    ledger: Ledger, specification: list[bytes], tmp_path: Path
) -> None:
    """Other charts fold from it; other vocabularies, and ``index``, read the log again."""
    ledger.record_many(specification)
    words = tmp_path / "newcomer.toml"
    words.write_text(NEWCOMER)
    store = ledger._connections._own().store

    def indexed() -> int:
        live = generations.live(store)
        assert live is not None
        return live.indexed

    first = indexed()
    ledger.replay()
    ledger.replay(other(tmp_path, last_stands=True))
    assert indexed() == first
    ledger.replay(ledger.definitions.with_files([], [words]))
    second = indexed()
    ledger.replay(index=True)
    assert len({first, second, indexed()}) == 3
    assert ledger.verify().problems == ()


@pytest.mark.parametrize("index", [False, True])
def test_a_stream_that_can_not_be_folded_stops_no_replay(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, index: bool
) -> None:
    """Its row says so, recording goes on, and the next good replay heals it."""
    ledger.record_many([sent("a"), sent("b")])

    def broken(*_: object) -> None:
        raise ZeroDivisionError("no such thing")

    with monkeypatch.context() as patch:
        patch.setattr(readers, "folded_row", broken)
        patch.setattr(readers.Plans, "of", broken)
        ledger.replay(index=index)
        assert {d.state for d in ledger.deliveries()} == {"unfolded"}
        assert ledger.record(delivered("a")).event.position == 3
    assert ledger.record(delivered("b")).verdict == "applied"
    ledger.replay()
    assert {d.state for d in ledger.deliveries()} == {"delivered"}
    assert ledger.verify().problems == ()


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("faults", [*product([False, True], repeat=3)])
def test_a_replay_takes_in_what_the_live_states_lack(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, faults: tuple[bool, bool, bool], index: bool
) -> None:
    """Before it began, while it built or before it ended: what a fault left unread is lost to nobody."""
    before, during, last = faults
    monkeypatch.setattr(replay, "REST", 2)
    built = replay.build
    number = 0

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault that passes")

    def records(fault: bool) -> None:
        nonlocal number
        with monkeypatch.context() as patch:
            if fault:
                patch.setattr(generations, "tally", broken)
            for body in [sent, sent, delivered, sent, sent]:
                number += 1
                verdict = ledger.record(body(f"m{number}")).verdict
                assert verdict == ("unfolded" if fault else "applied")

    def build(work: replay.Work, generation: Generation) -> Generation:
        records(during)
        # What one transaction took in is taken in by the live states, too.
        found = built(work, generation)
        records(last)
        return found

    def indexed() -> int:
        live = generations.live(ledger._connections._own().store)
        assert live is not None
        return live.indexed

    records(False)
    records(before)
    first = indexed()
    with monkeypatch.context() as patch:
        patch.setattr(replay, "build", build)
        ledger.replay(index=index)
    # Where much may lack, it is not made up for while others wait.
    assert (indexed() == first) == (not before and not index)
    assert ledger.verify().problems == ()
    assert tallied(ledger) == scanned(ledger)
    states = [delivery.state for delivery in ledger.deliveries()]
    assert (states.count("sent"), states.count("delivered")) == (16, 4)
    assert ledger.record(sent("m1")).verdict == "repeated"


def test_a_damaged_event_stops_a_reading_of_the_log(ledger: Ledger) -> None:
    """It says which; the live rows stay, and others are recorded."""
    ledger.record_many([sent("a"), sent("b")])
    tamper(ledger.path, "UPDATE events SET texts = '[]' WHERE position = 1")
    with pytest.raises(IntegrityError, match="position 1: "):
        ledger.replay(index=True)
    assert ledger.delivery("b").state == "sent"
    recorded = ledger.record(delivered("a"))
    assert (recorded.event.position, recorded.verdict) == (3, "unfolded")
    assert ledger.delivery("a").state == "unfolded"
    assert ledger.record(delivered("b")).verdict == "applied"
    assert not ledger.verify().ok


def test_a_thread_that_opens_while_another_adopts_reads_by_one_of_both(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it reads bodies by and what it folds by are the same definitions."""
    ledger.record(sent("a"))
    adopted = other(tmp_path, last_stands=True)
    made = connections.Connections._first

    def while_another_adopts(self: connections.Connections, *args: object) -> object:
        monkeypatch.setattr(connections.Connections, "_first", made)
        thread = threading.Thread(target=ledger.replay, args=(adopted,))
        thread.start()
        thread.join()
        return made(self, *args)  # type: ignore[arg-type]

    def opens() -> None:
        monkeypatch.setattr(connections.Connections, "_first", while_another_adopts)
        held.append(ledger.record(sent("b")).verdict)
        held.append(ledger._connections._own().reader.definitions.hash)

    held: list[str] = []
    thread = threading.Thread(target=opens)
    thread.start()
    thread.join()
    assert held == ["applied", adopted.hash]
    assert ledger.verify().problems == ()


def test_threads_of_the_same_ledger_record_while_it_replays(ledger: Ledger) -> None:
    """A replay holds no lock between its chunks: in each of them another thread gets its turn."""
    ledger.record_many(sent(f"m{number}") for number in range(2000))
    recorded: list[str] = []

    def record_beside(_: int) -> None:
        thread = threading.Thread(
            target=lambda: recorded.append(ledger.record(delivered(f"m{len(recorded)}")).verdict)
        )
        thread.start()
        threads.append(thread)

    threads: list[threading.Thread] = []
    ledger.replay(index=True, progress=record_beside)
    for thread in threads:
        thread.join()
    assert len(recorded) == len(threads) >= 3
    assert ledger.verify().problems == ()


def test_two_replays_at_once_don_t_spoil_each_other(ledger: Ledger) -> None:
    """One of them wins, or both take part; the states are right either way."""
    ledger.record_many(sent(f"m{number}") for number in range(1200))
    errors: list[LedgerError] = []

    def replays(index: bool) -> None:
        try:
            with Ledger(ledger.path) as mine:
                mine.replay(index=index)
        except LedgerError as error:
            errors.append(error)

    threads = [threading.Thread(target=replays, args=(n % 2 == 0,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) < 4
    assert all("try again" in str(error) or "replay" in str(error) for error in errors)
    ledger.record(delivered("m7"))
    assert ledger.delivery("m7").state == "delivered"
    ledger.replay()
    assert len(rows(ledger)) == 1200
    assert ledger.verify().problems == ()


@pytest.mark.parametrize("version", ["COLUMNS_VERSION", "READER_VERSION"])
def test_what_an_older_version_derived_is_made_again_when_it_is_opened(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """A ledger whose states or index an older Postledger wrote is brought up to date by opening it."""
    ledger.record_many([sent("a"), delivered("a")])
    ledger.close()
    monkeypatch.setattr(generations, version, getattr(generations, version) + 1)
    with pytest.raises(IntegrityError, match="run replay"):
        Ledger(ledger.path, readonly=True)
    with Ledger(ledger.path) as again:
        assert again.delivery("a").state == "delivered"
        assert again.verify().ok


def test_what_an_older_version_counted_is_counted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tallies of events may lack what is kept there since."""
    with monkeypatch.context() as patch:
        patch.setattr(generations, "COLUMNS_VERSION", 2)
        with Ledger(tmp_path / "old.db") as old:
            old.record_many([sent("a"), delivered("a")])
    with shell(old.path) as db:
        assert db.execute("DELETE FROM tallies_1 WHERE what = 'newest'").rowcount == 1
    with Ledger(old.path) as again:
        assert again.verify().problems == ()
        assert tallied(again) == scanned(again)


def test_half_a_character_that_was_refused_is_refused_again(ledger: Ledger) -> None:
    """A body that is kept unreadable for a lone surrogate stops no replay."""
    body = b'{"ORIGIN":"MMS_MT","CODE":"N101","STATUS":"Message Sent","SENTAS":"MMS",'
    body += b'"TRACKINGID":"k\\ud800","TO":"16","MMSID":"1","SPID":"1"}'
    assert ledger.record(body, content_type="application/json").event.reading == "unreadable"
    ledger.replay(index=True)
    assert ledger.verify().problems == ()


def test_a_body_beyond_the_limits_is_beyond_them_when_it_is_read_again(tmp_path: Path) -> None:
    """Live or replayed: the limits of the ledger are those of its rebuilds and comparisons."""
    with Ledger(tmp_path / "test.db", limits=Limits(body_bytes=100)) as ledger:
        ledger.record(sent("a"))
        assert list(ledger.differences(ledger.definitions)) == []
        ledger.replay(index=True)
        assert [event.reading for event in ledger.events(after=0)] == ["unreadable"]


def test_two_unreadable_bodies_that_say_the_same_become_one_event(tmp_path: Path) -> None:
    """Both are kept; read again by a reader that can, one repeats the other."""
    path = tmp_path / "test.db"
    with Ledger(path, limits=Limits(body_bytes=100)) as ledger:
        ledger.record_many([sent("a"), sent("a") + b"\n"])
        assert [event.reading for event in ledger.events(after=0)] == ["unreadable"] * 2
    with Ledger(path) as ledger:
        ledger.replay(index=True)
        assert (ledger.delivery("a").events, ledger.delivery("a").repeats) == (1, 1)
        assert ledger.verify().problems == ()


def _adoptions(path: Path) -> list[int]:
    with Ledger(path, readonly=True) as ledger:
        return [event.position for event in ledger.events() if event.kind == "adoption"]


def test_a_replay_by_what_is_in_force_undoes_no_adoption_of_another(ledger: Ledger) -> None:
    """Though this program has read nothing since: only who gives definitions adopts them."""
    ledger.record(sent("a"))
    with Ledger(ledger.path) as another:
        another.replay(first_outcome_stands())
    assert ledger.definitions.hash == first_outcome_stands().hash
    ledger.replay()
    assert _adoptions(ledger.path) == [0, 2]
    assert ledger.definitions.hash == first_outcome_stands().hash


@pytest.mark.parametrize("index", [False, True])
def test_an_adoption_in_the_middle_of_a_replay_stands(ledger: Ledger, index: bool) -> None:
    """The replay says in one line what is in its way, and changes nothing."""
    ledger.record_many(sent(f"m{number}") for number in range(3))
    adopted: list[int] = []

    def adopt(_: int) -> None:
        if not adopted:
            adopted.append(1)
            with Ledger(ledger.path) as another:
                another.replay(first_outcome_stands())

    with pytest.raises(LedgerError, match=r"another process .* adopted definitions meanwhile"):
        ledger.replay(index=index, progress=adopt)
    assert _adoptions(ledger.path) == [0, 4]
    assert ledger.verify().problems == ()
    assert ledger.definitions.hash == first_outcome_stands().hash
    ledger.replay(index=index)
    assert _adoptions(ledger.path) == [0, 4]


def test_an_adoption_just_before_a_replay_stands(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay by what was in force when it was called must not bring that back."""
    ledger.record(sent("a"))
    begin, adopted = replay.begin, []

    def late(work: replay.Work, *, index: bool = False) -> tuple[Generation, bool]:
        if not adopted:
            adopted.append(1)
            with Ledger(ledger.path) as another:
                another.replay(first_outcome_stands())
        return begin(work, index=index)

    monkeypatch.setattr(replay, "begin", late)
    with pytest.raises(LedgerError, match="try again"):
        ledger.replay()
    assert _adoptions(ledger.path) == [0, 2]
    assert ledger.verify().problems == ()


@pytest.mark.parametrize("readonly", [False, True])
def test_an_adoption_in_the_middle_of_opening_stands(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, readonly: bool
) -> None:
    """Definitions and states are read as of one time, so that opening makes no states again."""
    ledger.record(sent("a"))
    in_force, adopted = connections.Connections.in_force, []

    def late(self: connections.Connections, log: Log) -> Definitions:
        found = in_force(self, log)
        if not adopted:
            adopted.append(1)
            ledger.replay(first_outcome_stands())
        return found

    monkeypatch.setattr(connections.Connections, "in_force", late)
    with Ledger(ledger.path, readonly=readonly) as another:
        assert another.delivery("a").state == "sent"
        assert another.definitions.hash == first_outcome_stands().hash
    assert _adoptions(ledger.path) == [0, 2]


def test_recording_in_the_middle_of_opening_is_not_waited_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever records takes it in: opening has nothing to write."""
    whole = connections.Connections._whole
    with shell(ledger.path) as other:

        def late(self: connections.Connections, store: Store) -> Generation | None:
            found = whole(self, store)
            ledger.record(sent("a"))
            other.lock()
            return found

        monkeypatch.setattr(connections.Connections, "_whole", late)
        with Ledger(ledger.path, timeout=0.1) as another:
            assert another.delivery("a").state == "sent"


def test_states_that_another_makes_again_are_waited_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they were taken away, and two open the ledger, the second is not refused."""
    ledger.record(sent("a"))
    with shell(ledger.path) as db:
        db.execute("DELETE FROM generations")
    build, begun = replay.build, []

    def slow(work: replay.Work, generation: Generation) -> Generation:
        if not begun:
            begun.append(1)
            Ledger(ledger.path).close()
        return build(work, generation)

    monkeypatch.setattr(replay, "build", slow)
    with Ledger(ledger.path) as another:
        assert another.delivery("a").state == "sent"
        assert another.verify().problems == ()
    assert _adoptions(ledger.path) == [0]
