"""Figures read from the live states are those of a verification, whatever came."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import attrs
import pytest

from postledger import Event, Ledger, Query, Receipt
from postledger.audit import AuditReport
from postledger.simulate import ALL, START, Disturbances, simulate
from tests.conftest import ledger_of, lose_rows

MORE = attrs.evolve(ALL, malformed=0.3, strangers=0.3, lost=0.2)
"""Many events that are read by nobody."""


def both(ledger: Ledger, since: datetime | None, until: datetime | None) -> AuditReport:
    """The report by a verification, which is the same by the live states."""
    whole = ledger.audit(since=since, until=until, verify=True, unmask=True)
    read = ledger.audit(since=since, until=until, unmask=True)
    assert read.figures == whole.figures
    assert read.as_of == whole.as_of
    return whole


@pytest.mark.parametrize("disturbances", [ALL, MORE], ids=["all", "more"])
@pytest.mark.parametrize("seed", range(3))
def test_figures_of_any_period_are_equal(seed: int, disturbances: Disturbances) -> None:
    """What is read from the states is what a verification counts, with every disturbance."""
    random = Random(seed)
    receipts = list(simulate(250, seed=seed, disturbances=disturbances, rate=0.01))
    random.shuffle(receipts)
    length = timedelta(seconds=250 / 0.01)
    with ledger_of(receipts) as ledger:
        assert both(ledger, None, None).figures.outcomes.all.total > 200  # type: ignore[union-attr]
        for _ in range(4):
            ends = sorted(START + length * random.uniform(-0.1, 1.1) for _ in range(2))
            both(ledger, ends[0], ends[1])
        both(ledger, ends[0], None)
        both(ledger, None, ends[0])
        # One that begins and ends as a delivery does: the ends are in, and out.
        began = [d.sent_at for d in ledger.deliveries(Query()) if d.sent_at is not None]
        both(ledger, *sorted(random.sample(sorted(set(began)), 2)))


def test_an_unread_event_counts_when_it_came(ledger: Ledger) -> None:
    """It may be of a delivery that began in another period, and its repeat may come in this one."""
    body = (
        "<POSTBACK><ORIGIN>SMS_MT</ORIGIN><CODE>{}</CODE><STATUS>Message Sent</STATUS>"
        "<TO>16503333058</TO><TRACKINGID>A</TRACKINGID><SPID>0001470</SPID>"
        "<TIMESTAMP>2013-11-01T10:00:00Z</TIMESTAMP></POSTBACK>"
    )
    for day, code in ((1, "N201"), (3, "N999"), (5, "N999")):
        when = datetime.fromisoformat(f"2013-11-0{day}T12:00:00+00:00")
        ledger.record(body.format(code).encode(), "text/xml", received_at=when)
    found = []
    for day in range(1, 7):
        since = datetime.fromisoformat(f"2013-11-0{day}T00:00:00+00:00")
        figures = both(ledger, since, since + timedelta(days=1)).figures
        assert figures is not None
        unread = sum(kind.events for kind in figures.events.unrecognised.listed)
        found.append((figures.outcomes.all.total, unread))
    assert found == [(1, 0), (0, 0), (0, 1), (0, 0), (0, 0), (0, 0)]


def test_what_is_imported_later_changes_no_report_of_before(ledger: Ledger) -> None:
    """Nor where it says that it was received before the period: it was not known then."""
    body, day = b"<P><CODE>X1</CODE></P>", timedelta(days=1)
    ledger.record(body, "text/xml", received_at=START + 9 * day)
    period = {"since": START + 8 * day, "until": START + 10 * day}
    before = ledger.audit(**period, as_of=1).figures
    ledger.record_many([Receipt(body, "text/xml", START)])
    assert ledger.audit(**period, as_of=1).figures == before
    assert before is not None
    assert sum(kind.events for kind in before.events.unrecognised.listed) == 1


@pytest.mark.parametrize("verify", [False, True], ids=["read", "verified"])
def test_unread_events_are_those_that_the_log_has(verify: bool) -> None:
    """Each counts once, in the period in which it first came, wherever it belongs."""
    receipts = list(simulate(300, seed=8, disturbances=MORE, rate=0.01))
    Random(8).shuffle(receipts)
    length = timedelta(seconds=300 / 0.01)
    with ledger_of(receipts) as ledger:
        first: dict[bytes, Event] = {}
        for one in ledger.events():
            if one.reading in ("unrecognised", "unreadable"):
                key = one.identity + repr((one.space, one.chart, one.key)).encode()
                known = first.get(key)
                if known is None or one.received_at < known.received_at:
                    first[key] = one
        for since, until in ((0.0, 1.0), (0.2, 0.5), (0.5, 0.8)):
            ends = START + length * since, START + length * until
            told = ledger.audit(since=ends[0], until=ends[1], verify=verify).figures
            assert told is not None
            for kinds, reading in (
                (told.events.unrecognised, "unrecognised"),
                (told.events.unreadable, "unreadable"),
            ):
                counted = sum(kind.events for kind in kinds.listed) + kinds.rest
                came = [e for e in first.values() if e.reading == reading]
                within = [e for e in came if ends[0] <= e.received_at < ends[1]]
                assert counted == len(within) > 0


def test_what_is_recognised_and_of_no_delivery_is_not_unreadable(ledger: Ledger) -> None:
    """An API's answer that a request failed names no message."""
    failure = b"<RESPONSE><STATUS>Failure</STATUS><ERRORCODE>E1</ERRORCODE></RESPONSE>"
    assert ledger.record(failure, "text/xml").event.reading == "recognised"
    told = both(ledger, None, None).figures
    assert told is not None
    assert told.events.unreadable.kinds == told.events.unrecognised.kinds == 0


def test_states_that_are_behind_the_log_are_not_read_as_they_stand(ledger: Ledger) -> None:
    """The report is of what the log has, by the slower way."""
    ledger.record_many(simulate(30, seed=1))
    calm = ledger.audit().figures
    with ledger._connections.write() as own:
        own.store.execute("UPDATE generations SET size = size - 1")
    ledger_size = ledger.head().size
    report = ledger.audit()
    assert report.integrity.events == ledger_size
    assert report.figures == calm


@pytest.mark.parametrize("name", ["states_1_apart", "index_1_unread"])
def test_an_index_that_lost_its_rows_changes_no_figure(filled: Path, name: str) -> None:
    """It is told by how many rows the tallies expect, read without, and said on the first screen."""
    with Ledger(filled) as ledger:
        ledger.record(b"<P><CODE>X1</CODE></P>", "text/xml")
        ledger.record_many(simulate(20, seed=1, disturbances=MORE))
        before, later = ledger.audit(), ledger.audit(since=START).figures
        assert before.integrity.problems == ()
        position = ledger.head().size - 1
    lose_rows(filled, name)
    with Ledger(filled, readonly=True) as ledger:
        for report in (ledger.audit(), ledger.audit(as_of=position)):
            assert report.figures == before.figures
            (problem,) = report.integrity.problems
            assert problem.startswith(f"index {name} leads to 0 rows, expected ")
        assert ledger.audit(since=START).figures == later
    with Ledger(filled) as ledger:
        ledger.replay(index=True)
        assert ledger.audit().integrity.problems == ledger.verify().problems == ()


@pytest.mark.parametrize("verify", [False, True], ids=["read", "verified"])
def test_tallies_know_how_many_rows_the_small_indexes_have(verify: bool) -> None:
    """In any order of arrival, of disturbed traffic, one by one or many at once."""
    receipts = list(simulate(200, seed=5, disturbances=MORE, rate=0.01))
    Random(5).shuffle(receipts)
    with ledger_of(receipts[:100]) as ledger:
        for receipt in receipts[100:]:
            ledger.record_many([receipt])
        assert ledger.audit(verify=verify).integrity.problems == ()
        ledger.replay()
        assert ledger.audit(verify=verify).integrity.problems == ()


@pytest.mark.parametrize("name", ["states_1_apart", "index_1_unread"])
@pytest.mark.parametrize("other", [False, True], ids=["gone", "another"])
def test_an_index_that_is_gone_changes_no_figure(filled: Path, name: str, other: bool) -> None:
    """Nor one of another kind under its name: verify says so, and a replay makes it again."""
    with Ledger(filled) as ledger:
        ledger.record(b"<P><CODE>X1</CODE></P>", "text/xml")
        before = ledger.audit(since=START).figures
    with closing(sqlite3.connect(filled)) as db:
        db.execute(f"DROP INDEX {name}")
        if other:
            table = name.rpartition("_")[0]
            db.execute(f"CREATE INDEX {name} ON {table} (findings) WHERE findings > 4711")
    with Ledger(filled, readonly=True) as ledger:
        report = ledger.audit(since=START)
        assert report.figures == before
        assert any(name in problem for problem in report.integrity.problems)
        report = ledger.audit(since=START, verify=True)
        assert report.figures == before
        assert any(name in problem for problem in report.integrity.problems)
    with Ledger(filled) as ledger:
        ledger.replay()
        assert ledger.verify().problems == ()
