"""Deliveries counted by what they have in common."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Count, CountBy, Delivery, Ledger, Receipt, UnknownWord
from postledger.projections.counts import COUNTED_BY
from postledger.times import zone_of
from tests import strategies
from tests.conftest import ledger_of
from tests.samples import delivered, failed, sent
from tests.stores import both_stores, in_file

pytestmark = both_stores

FIELDS = {"aggregator": "aggregator_id"}
ZONES = [UTC, *map(zone_of, ("Asia/Kolkata", "America/New_York", "-05:00"))]
ASKED: list[dict[str, Any]] = [
    {},
    {},
    {"state": "delivered"},
    {"route": "sms"},
    {"finding": "late"},
    {"since": datetime(2013, 11, 5, 10, 41, 9, tzinfo=UTC), "limit": 100},
    {"until": datetime(2013, 11, 6, tzinfo=UTC), "spid": "0001470"},
]


def value(ledger: Ledger, one: Delivery, name: str, zone: tzinfo) -> str | None:
    """What a delivery that is listed has of a dimension."""
    if name == "source":
        events = [step.event for step in ledger.timeline(one.tracking_id)]
        return min((event.received_at, event.source) for event in events)[1]
    if name not in ("day", "hour"):
        found: str | None = getattr(one, FIELDS.get(name, name))
        return found
    began = one.sent_at or one.created_at or one.first_received_at
    if "timestamp_implausible" in one.findings:
        began = one.first_received_at
    local = began.astimezone(zone)
    hour = local.replace(minute=0, second=0, microsecond=0).isoformat()
    return f"{local:%Y-%m-%d}" if name == "day" else hour.replace("+00:00", "Z")


@pytest.mark.parametrize("first", COUNTED_BY)
@settings(max_examples=12)
@given(
    st.lists(st.tuples(strategies.receipts(), st.sampled_from("xy")), min_size=5, max_size=15),
    st.none() | st.sampled_from(COUNTED_BY),
    st.sampled_from(ZONES),
    st.sampled_from(ASKED),
)
def test_counts_are_those_of_the_deliveries_that_are_listed(
    first: CountBy,
    given: list[tuple[Receipt, str]],
    second: CountBy | None,
    zone: tzinfo,
    asked: dict[str, Any],
) -> None:
    """Whatever is asked for, and by whatever they are counted."""
    by: list[CountBy] = [first] if second in (None, first) else [first, second]
    receipts = [attrs.evolve(receipt, source=source) for receipt, source in given]
    with ledger_of(receipts) as ledger:
        listed = list(ledger.deliveries(**asked))
        keys = [tuple(value(ledger, one, name, zone) for name in by) for one in listed]
        counts = ledger.counts(by=by, zone=zone, **asked)
        assert {tuple(one.by.values()): one.deliveries for one in counts} == Counter(keys)
        good = Counter(
            key for key, one in zip(keys, listed, strict=True) if one.state == "delivered"
        )
        assert Counter({tuple(one.by.values()): one.delivered for one in counts}) == good
        assert all(list(one.by) == by for one in counts)


@settings(max_examples=20)
@given(st.lists(strategies.receipts(), max_size=10), st.integers(0, 10))
def test_counts_as_of_are_those_of_the_list_as_of(receipts: list[Receipt], position: int) -> None:
    """Time travel counts what was known then."""
    with ledger_of(receipts) as ledger:
        for when in (
            {"as_of": position},
            {"occurred_by": datetime(2013, 11, 5, 10, 41, 9, tzinfo=UTC)},
        ):
            listed = Counter(one.state for one in ledger.deliveries(**when))  # type: ignore[arg-type]
            counts = ledger.counts(by=["state"], **when)  # type: ignore[arg-type]
            assert {one.by["state"]: one.deliveries for one in counts} == listed


def test_a_day_and_an_hour_are_those_of_the_clocks_of_the_zone(ledger: Ledger) -> None:
    """Also where these go back: the hour that is shown twice counts as two."""
    times = [
        "2013-11-03T05:30:00Z",
        "2013-11-03T06:30:00Z",
        "2013-11-03T04:59:59Z",
    ]
    ledger.record_many(sent(f"m{n}", TIMESTAMP=time) for n, time in enumerate(times))
    ledger.record(
        sent("old", TIMESTAMP=None), received_at=datetime(1969, 12, 31, 23, 59, tzinfo=UTC)
    )
    zone = zone_of("America/New_York")
    hours = [one.by["hour"] for one in ledger.counts(by=["hour"], zone=zone)]
    assert hours == [
        "1969-12-31T18:00:00-05:00",
        "2013-11-03T00:00:00-04:00",
        "2013-11-03T01:00:00-04:00",
        "2013-11-03T01:00:00-05:00",
    ]
    days = {one.by["day"]: one.deliveries for one in ledger.counts(by=["day"])}
    assert days == {"1969-12-31": 1, "2013-11-03": 3}


def test_groups_come_in_order(ledger: Ledger) -> None:
    """Of times from the earliest, of others the largest first."""
    ledger.record_many([sent("a"), sent("b"), failed("c"), delivered("d", SPID=None)])
    assert ledger.counts(by=["state"], limit=2) == (
        Count({"state": "sent"}, 2, 0),
        Count({"state": "delivered"}, 1, 1),
    )
    by_day = [(one.by["spid"], one.by["day"]) for one in ledger.counts(by=["spid", "day"])]
    assert by_day == sorted(by_day, key=lambda pair: (pair[0] or "", pair[1]))
    assert ledger.counts(by=["state"])[0].share == 0


@in_file
@pytest.mark.parametrize(
    ("by", "error"),
    [(["code"], UnknownWord), ([], ValueError), (["day", "day"], ValueError)],
)
def test_dimensions_that_can_not_be_counted_by_are_refused(
    ledger: Ledger, by: list[Any], error: type[Exception]
) -> None:
    """The error names all that deliveries can be counted by."""
    with pytest.raises(error, match=r"unknown dimension 'code': expected state, |by must name one"):
        ledger.counts(by=by)


@pytest.mark.parametrize("zone", ZONES)
def test_times_at_the_ends_of_the_calendar_are_counted(ledger: Ledger, zone: tzinfo) -> None:
    """By UTC, where the clocks of the zone would show a year that there is not."""
    for year in (1, 9999):
        at = datetime(year, 1 if year == 1 else 12, 1 if year == 1 else 31, tzinfo=UTC)
        late = at if year == 1 else at + timedelta(hours=23, minutes=59)
        body = sent(f"m{year}", TIMESTAMP=None)
        ledger.record(body, received_at=late)
    assert sum(one.deliveries for one in ledger.counts(by=["day", "hour"], zone=zone)) == 2
