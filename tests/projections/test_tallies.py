"""Tallies: what they count, how they are asked for, and that ``verify`` compares them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from postledger import Ledger, Receipt
from postledger.projections.tallies import hash_of
from postledger.state.row import HOUR, Key, bound_of
from tests.faults import traffic
from tests.samples import delivered, failed, sent
from tests.scan import scanned, tallied
from tests.stores import both_stores, in_file, shell

pytestmark = both_stores

STATES = "deliveries differ from the states; run replay"
INDEX = "events differ from the index; run replay --index"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_delivery_is_subtracted_where_it_was(ledger: Ledger) -> None:
    """The hour is that of its first event, the source too; a state that it left counts nothing."""
    ledger.record(sent("a"), received_at=NOON, source="one")
    ledger.record(delivered("a"), received_at=NOON + timedelta(hours=3), source="two")
    (tally,) = ledger.tallies(by=["hour", "source", "carrier", "route", "value", "seconds"])
    assert (tally.hour, tally.source, tally.carrier, tally.route) == (NOON, "one", "0001470", "sms")
    assert (tally.value, tally.seconds, tally.count) == ("delivered", 8, 1)
    assert (tally.duration, tally.repeats) == (timedelta(seconds=7), 0)
    hours = ledger.tallies("events", by=["hour", "source"])
    assert [(one.hour, one.source, one.count) for one in hours] == [
        (NOON, "one", 1),
        (NOON + timedelta(hours=3), "two", 1),
    ]


def test_an_earlier_reception_moves_a_delivery(ledger: Ledger) -> None:
    """As an import brings it: hour and source are those of the event received first."""
    ledger.record(delivered("a"), received_at=NOON, source="two")
    ledger.record(sent("a"), received_at=NOON - timedelta(hours=1), source="one")
    ledger.record(sent("a"), received_at=NOON - timedelta(hours=1), source="a last one")
    (tally,) = ledger.tallies(by=["hour", "source"])
    assert (tally.hour, tally.source) == (NOON - timedelta(hours=1), "a last one")
    assert (tally.count, tally.repeats) == (1, 1)


def test_findings_are_counted_one_by_one(ledger: Ledger) -> None:
    """A delivery with two findings counts for both."""
    ledger.record_many([delivered("a"), sent("b"), sent("b")])
    found = {one.value: one.count for one in ledger.tallies("findings", by=["value"])}
    assert found == {"no_creation": 2, "outcome_without_sent": 1, "repeated": 1}
    assert sum(one.count for one in ledger.tallies("findings")) == 4


def test_times_from_created_to_sent_are_counted(ledger: Ledger) -> None:
    """They are those of deliveries that were created, whatever became of them."""
    ledger.created("a", to="1650", at=datetime(2013, 11, 5, 5, 40, tzinfo=UTC))
    ledger.record_many([sent("a"), failed("a"), sent("b")])
    (tally,) = ledger.tallies("sendings", by=["seconds"])
    assert (tally.seconds, tally.count, tally.duration) == (128, 1, timedelta(seconds=68))


def test_times_that_can_not_be_true_fill_no_sum(tmp_path: Path) -> None:
    """Whoever says that a delivery took from the year 1 to 9999 stops nobody from being counted."""
    first, last = "0001-01-02T00:00:00Z", "9999-12-30T00:00:00Z"
    bodies = [sent(f"k{n}", SPID=f"{n % 3}", TIMESTAMP=first) for n in range(100)]
    bodies += [delivered(f"k{n}", SPID=f"{n % 3}", TIMESTAMP=last) for n in range(100)]
    with Ledger(tmp_path / "1.db") as ledger, Ledger(tmp_path / "2.db") as other:
        for body in bodies:
            assert ledger.record(body, received_at=NOON).verdict == "applied"
        for index in (False, True):
            assert ledger.verify().problems == ()
            assert tallied(ledger) == scanned(ledger)
            assert [(one.count, one.duration) for one in ledger.tallies()] == [(100, timedelta())]
            ledger.replay(index=index)
        other.record_many(Receipt(body, received_at=NOON) for body in reversed(bodies))
        assert tallied(other) == scanned(other)
        assert other.verify().problems == ()
        assert other.record(delivered("k0")).event.position == 201


def test_the_longest_durations_add_up(ledger: Ledger) -> None:
    """Also where a ``timedelta`` holds no more."""
    ledger.record_many([sent("a"), delivered("a", TIMESTAMP="2023-11-03T05:41:08Z")])
    (tally,) = ledger.tallies()
    assert tally.duration == timedelta(days=3650)
    with shell(ledger.path) as db:
        db.execute("UPDATE tallies_1 SET n = n * 1000000, took = took * 1000000 WHERE took > 0")
    (tally,) = ledger.tallies()
    assert (tally.count, tally.duration.days) == (1_000_000, timedelta.max.days)
    ledger.replay()
    assert ledger.tallies()[0].duration == timedelta(days=3650)


def test_a_period_takes_whole_hours(ledger: Ledger) -> None:
    """An hour belongs to the period in which it begins."""
    for hours in range(4):
        ledger.record(sent(str(hours)), received_at=NOON + timedelta(hours=hours, minutes=30))

    def count(since: timedelta | None, until: timedelta | None) -> int:
        found = ledger.tallies(
            since=None if since is None else NOON + since,
            until=None if until is None else NOON + until,
        )
        return sum(one.count for one in found)

    assert count(None, None) == 4
    assert count(timedelta(), timedelta(hours=2)) == 2
    assert count(timedelta(minutes=1), timedelta(hours=2, minutes=1)) == 2
    assert count(timedelta(hours=4), None) == 0


@pytest.mark.parametrize(
    ("by", "problem"),
    [
        (
            ["state"],
            "by must name some of hour, source, carrier, route, value, seconds, got 'state'",
        ),
        (["hour", "hour"], "by must be distinct names, got hour, hour"),
    ],
)
def test_what_can_not_be_counted_apart_is_refused(
    by: list[str], problem: str, ledger: Ledger
) -> None:
    """The error names all that may be asked for."""
    with pytest.raises(ValueError, match=problem):
        ledger.tallies(by=by)  # type: ignore[arg-type]


def test_other_charts_are_not_counted(ledger: Ledger, specification: list[bytes]) -> None:
    """What becomes of an MMS that is saved shows among the events alone."""
    ledger.record_many(specification)
    assert sum(one.count for one in ledger.tallies()) == 3
    assert sum(one.count for one in ledger.tallies("events")) == 11
    assert tallied(ledger) == scanned(ledger)


def test_buckets_are_powers_of_two_and_hold_their_bound() -> None:
    """As the ``le`` of Prometheus does."""
    for power in range(1, 30):
        assert bound_of(1_000_000 << power) == 1 << power
        assert bound_of((1_000_000 << power) + 1) == 2 << power


def test_times_before_1970_have_their_hour(ledger: Ledger) -> None:
    """Numbers of hours are floored, not cut towards zero."""
    ledger.record(sent("a"), received_at=datetime(1969, 12, 31, 23, 30, tzinfo=UTC))
    (tally,) = ledger.tallies("events", by=["hour"])
    assert tally.hour == datetime(1969, 12, 31, 23, tzinfo=UTC)
    assert timedelta(hours=1) / timedelta(microseconds=1) == HOUR


def test_callers_that_share_a_transaction_count_together(ledger: Ledger) -> None:
    """Also where several events of one delivery are written at once."""
    bodies = [said(key) for key in "abcabc" for said in (sent, delivered, failed)]
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(ledger.record, bodies * 3))
    assert tallied(ledger) == scanned(ledger)
    assert ledger.verify().problems == ()


@in_file
def test_several_processes_count_together(tmp_path: Path) -> None:
    """Whoever writes, and whoever replays meanwhile."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 50))
    running = [traffic.start("batches", path, first, first + 200) for first in (50, 150)]
    running.append(traffic.start("replay", path, 0, 0))
    for process in running:
        code, _, said = traffic.finish(process)
        assert (code, said) == (0, "")
    with Ledger(path) as ledger:
        assert tallied(ledger) == scanned(ledger)
        assert sum(one.repeats for one in ledger.tallies()) == 100


def test_verify_counts_what_comes_meanwhile(tmp_path: Path) -> None:
    """What is recorded while it reads belongs to the tallies that it compares."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 300))
        process = traffic.start("acknowledge", path, 300, 700)
        assert traffic.first_line(process)
        tried = 0
        while process.poll() is None or not tried:
            assert ledger.verify().problems == ()
            tried += 1
        assert traffic.finish(process)[0] == 0
        assert ledger.verify().problems == ()


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE tallies_1 SET n = n + 1 WHERE what = 'deliveries'", STATES),
        ("UPDATE tallies_1 SET took = took + 1 WHERE seconds > 0", STATES),
        ("UPDATE tallies_1 SET hour = hour + 1 WHERE what = 'events'", INDEX),
        ("DELETE FROM tallies_1 WHERE what = 'events'", INDEX),
    ],
)
def test_verify_compares_tallies_and_replay_heals_them(
    statement: str, problem: str, tmp_path: Path
) -> None:
    """They follow from index and states, and are made from these again."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record_many([sent("a"), delivered("a"), sent("b")])
        whole = tallied(ledger)
    with shell(path) as db:
        assert db.execute(statement).rowcount > 0
    with Ledger(path) as ledger:
        assert ledger.verify().problems == (f"the tallies of {problem}",)
        ledger.replay(index="--index" in problem)
        assert ledger.verify().problems == ()
        assert tallied(ledger) == whole


def test_no_rows_are_made_so_that_their_sums_agree(ledger: Ledger) -> None:
    """Two that leave the sums of ``verify`` as they are could be found if its hashes were known."""
    ledger.record(sent("a"))
    keys = [(hour, "events", "", "recognised", 0, "", "", 0) for hour in range(100)]
    counts = next(filter(None, (nothing(one, other) for one, other in pairwise(keys))))
    columns = ", ".join("?" * 11)
    with shell(ledger.path) as db:
        rows = [(*key, n, 0, 0) for key, n in counts]
        for row in rows:
            db.execute(f"INSERT INTO tallies_1 VALUES ({columns})", row)
    assert ledger.verify().problems == (f"the tallies of {INDEX}",)


def nothing(one: Key, other: Key) -> list[tuple[Key, int]] | None:
    """Counts of two keys, which a column holds, whose hashes without a secret add up to 0."""
    modulus, most = 1 << 128, 1 << 63
    first, second = hash_of(one, b""), hash_of(other, b"")
    if first % 2 == 0:
        return None
    # By Euclid: n * first + m * second is 0 for each pair of m and the remainder that goes with it.
    rest, m = (modulus, -second * pow(first, -1, modulus) % modulus), (0, 1)
    while rest[1] >= most:
        quotient = rest[0] // rest[1]
        rest = rest[1], rest[0] - quotient * rest[1]
        m = m[1], m[0] - quotient * m[1]
    n = rest[1]
    assert (n * first + m[1] * second) % modulus == 0
    return [(one, n), (other, m[1])] if abs(m[1]) < most else None


def test_rows_that_count_nothing_do_not_differ(ledger: Ledger) -> None:
    """Deliveries leave the state in which they were counted first."""
    ledger.record_many(Receipt(sent(str(n)), received_at=NOON) for n in range(20))
    ledger.record_many(Receipt(delivered(str(n)), received_at=NOON) for n in range(20))
    assert ledger.verify().problems == ()
    assert [(one.value, one.count) for one in ledger.tallies(by=["value"])] == [("delivered", 20)]
