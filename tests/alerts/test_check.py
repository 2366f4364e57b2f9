"""Checks of real ledgers: what is said of their traffic, live, replayed and as of a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path

import pytest

from postledger import (
    UNVERIFIED,
    Alert,
    AsyncLedger,
    Ledger,
    Ratio,
    Receipt,
    Rules,
    Silence,
    Unreadable,
)
from tests.alerts.traffic import START, traffic
from tests.stores import both_stores

DAY = timedelta(days=1)
DAYS = 6


def ledger_of(path: Path, *receipts: list[Receipt]) -> Ledger:
    """A ledger of some traffic in order of arrival."""
    opened = Ledger(path)
    listed = (one for some in receipts for one in some)
    opened.record_many(sorted(listed, key=attrgetter("received_at")))
    return opened


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Six days on which nothing was amiss, and a day on which fewer of one carrier are delivered."""
    path = tmp_path_factory.mktemp("alerts") / "a.db"
    one = {"every": 120, "ratio": 0.9}
    with ledger_of(
        path,
        traffic(DAYS + 1, seed=1, carriers=("0001470",), name="a", **one),  # type: ignore[arg-type]
        traffic(DAYS, seed=2, carriers=("0001570",), name="b", **one),  # type: ignore[arg-type]
        traffic(
            1, seed=3, every=120, carriers=("0001570",), ratio=0.5, begins=DAYS * DAY, name="c"
        ),
    ) as opened:
        yield opened


def said(found: tuple[Alert, ...]) -> list[tuple[str, str, str | None]]:
    """What alerts are about."""
    return [(one.rule, one.of, one.name) for one in found]


def test_nothing_is_said_of_usual_days(usual: Ledger) -> None:
    """Neither at their end, nor in the nights before."""
    for hours in (0, 1, 5, 12, 24):
        assert usual.check(at=START + DAYS * DAY - timedelta(hours=hours)) == ()


def test_a_drop_is_said_with_its_figures(usual: Ledger) -> None:
    """Of the carrier that has it alone."""
    at = START + (DAYS + 1) * DAY - timedelta(seconds=1)
    (found,) = usual.check(at=at)
    assert said((found,)) == [("ratio", "carrier", "0001570")]
    assert found.share is not None
    assert found.usual is not None
    assert found.count is not None
    assert 0.4 < found.share < 0.6
    assert 0.87 < found.usual < 0.93
    assert abs(found.since - (START + DAYS * DAY)) < timedelta(hours=1)
    assert str(found).startswith("ratio: carrier 0001570: ")
    assert f" of {found.count} are delivered since 2026-03-0" in found.text


def test_a_check_of_then_is_that_of_a_ledger_of_then(usual: Ledger, tmp_path: Path) -> None:
    """So it is of replayed ones: it follows from what was received, and the time."""
    rules = Rules(silence=Silence(after=timedelta(minutes=1)))
    at = START + DAYS * DAY + timedelta(hours=6, minutes=31, seconds=7)
    known = [
        Receipt(one.body, one.content_type, one.received_at, source=one.source)
        for one in usual.events(until=at)
        if one.kind == "receipt"
    ]
    with ledger_of(tmp_path / "then.db", known[::-1]) as then:
        found = then.check(rules, at=at)
        assert ("ratio", "carrier", "0001570") in said(found)
        assert usual.check(rules, at=at) == found
        then.replay(index=True)
        assert then.check(rules, at=at) == found


def test_what_is_left_out_is_not_said(usual: Ledger) -> None:
    """A rule, or a carrier of it; and what a rule takes for usual is taken."""
    at = START + (DAYS + 1) * DAY - timedelta(seconds=1)
    assert usual.check(Rules(ratio=None), at=at) == ()
    assert usual.check(Rules(ratio=Ratio(without=("0001570",))), at=at) == ()
    assert usual.check(Rules(ratio=Ratio(usual=0.5)), at=at) == ()
    both = usual.check(Rules(ratio=Ratio(usual=0.99, drop=0.1)), at=at)
    assert said(both) == [("ratio", "carrier", "0001470"), ("ratio", "carrier", "0001570")]


@both_stores
def test_deliveries_without_outcome_are_said(tmp_path: Path) -> None:
    """Once they are a day old; what carriers say of them comes too late or never."""
    receipts = traffic(5, every=120, name="a")
    begins = 5 * DAY
    stuck = traffic(1, seed=2, every=120, ratio=0.78, stuck=0.2, begins=begins, name="b")
    with ledger_of(tmp_path / "a.db", receipts, stuck) as ledger:
        at = START + 6 * DAY
        assert "stuck" not in [one.rule for one in ledger.check(Rules(silence=None), at=at)]
        found = ledger.check(Rules(silence=None, ratio=None), at=at + DAY)
        assert said(found) == [("stuck", "carrier", "0001470")]
        assert "have no outcome after 1d, usually" in found[0].text


@both_stores
def test_silence_is_said(tmp_path: Path) -> None:
    """Of a source and a carrier while others go on; of all together only that."""
    last = 4 * DAY
    one = traffic(4, name="a", source="one", carriers=("1",))
    two = traffic(5, seed=2, name="b", source="two", carriers=("2",))
    with ledger_of(tmp_path / "a.db", one, two) as ledger:
        at = START + last + timedelta(hours=4, minutes=1)
        found = ledger.check(at=at)
        assert said(found) == [("silence", "source", "one"), ("silence", "carrier", "1")]
        assert [one.since for one in found] == [START + last, START + last]
        assert ledger.check(at=START + last + timedelta(minutes=30)) == ()
        assert ledger.check(Rules(silence=Silence(without=("one", "1"))), at=at) == ()
        assert ledger.check(Rules(silence=Silence(after=timedelta(hours=5))), at=at) == ()
        found = ledger.check(at=START + 6 * DAY)
        assert said(found) == [("silence", "all", None)]
        assert "ago; usually at most 1h" in str(found[0])
        found = ledger.check(at=START + 100 * DAY)
        assert said(found) == [("silence", "all", None)]


@both_stores
def test_unreadable_events_are_said(tmp_path: Path) -> None:
    """Those whose sender nobody vouches for move nothing, and hide nothing."""
    receipts = traffic(6, every=120)
    at = START + 6 * DAY
    broken = [
        Receipt(b"?", received_at=at - timedelta(seconds=100 * n), source="skycore")
        for n in range(1, 90)
    ]
    forged = [Receipt(one.body, None, one.received_at, source="skycore", sender=UNVERIFIED)
              for one in broken]  # fmt: skip
    with ledger_of(tmp_path / "a.db", receipts, forged) as ledger:
        assert ledger.check(at=at) == ()
        ledger.record_many(broken)
        found = ledger.check(at=at)
        assert said(found) == [("unreadable", "source", "skycore")]
        assert "are unreadable or unrecognised, usually 0.5%" in found[0].text
        assert ledger.check(Rules(unreadable=Unreadable(without=("skycore",))), at=at) == ()


def test_a_new_ledger_has_nothing_to_say(ledger: Ledger) -> None:
    """There is no past to judge by."""
    assert ledger.check() == ()
    ledger.record_many(traffic(0.1, every=10, ratio=0.1))
    assert ledger.check(at=START + DAY / 10) == ()


def test_what_is_stamped_later_than_now_is_not_counted(tmp_path: Path) -> None:
    """A check of now is one of what was received by now."""
    ahead = [Receipt(b"?", received_at=START + 365_000 * DAY)]
    with ledger_of(tmp_path / "a.db", traffic(5), ahead) as ledger:
        assert said(ledger.check()) == []
        assert said(ledger.check(at=START + 5 * DAY)) == []


def test_a_check_can_be_awaited(usual: Ledger) -> None:
    """With the same alerts."""

    async def found(at: datetime) -> tuple[Alert, ...]:
        async with AsyncLedger(usual.path, readonly=True) as ledger:
            return await ledger.check(at=at)

    at = START + (DAYS + 1) * DAY
    assert asyncio.run(found(at)) == usual.check(at=at) != ()
