"""Tables and words: how the figures are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger import Ledger
from postledger.audit import tables, words
from postledger.audit.durations import BINS
from postledger.audit.events import Kinds, Unread
from postledger.audit.outcomes import Reason, Reasons
from postledger.audit.plots import drawing
from postledger.audit.plots.diagram import diagrams
from postledger.audit.request import Request
from tests.audit.traffic import START, traffic
from tests.conftest import ledger_of
from tests.samples import delivered, sent

FORM = "application/x-www-form-urlencoded"


def test_rare_kinds_are_counted_together() -> None:
    """Beyond the twenty most frequent kinds the events are counted, not listed."""
    unknown = Kinds(tuple(Unread(f"N{n}", None, 1, n) for n in range(20)), 3, 3)
    broken = Kinds(tuple(Unread(None, f"why {n}", 2, n) for n in range(20)), 4, 2)
    assert tables.unrecognised(unknown).rows[-1] == ("All others (3)", "–", "3", "–")
    assert tables.unreadable(broken).rows[-1] == ("All others (2)", "4", "–")
    assert {len(row) for row in tables.unrecognised(unknown).rows} == {4}
    assert {len(row) for row in tables.unreadable(broken).rows} == {3}


def test_rare_reasons_are_counted_together() -> None:
    """Likewise reasons, and a reason that was not given is told as such."""
    found = Reasons(10, (Reason("failed", None, 7),), 3, 2)
    assert tables.reasons(found, "Why").rows == (
        ("no reason was given", "failed", "7", "70.0%"),
        ("All other reasons (2)", "–", "3", "30.0%"),
    )


def test_rest_of_a_breakdown_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of a table add up to all deliveries."""
    from postledger.audit import outcomes

    monkeypatch.setattr(outcomes, "MOST_GROUPS", 2)
    with ledger_of(traffic(80, seed=2)) as ledger:
        figures = ledger.audit().figures
    assert figures is not None
    found = figures.outcomes
    table = tables.grouped(found, found.carriers, "Carriers", "SPID", figures.durations.by_carrier)
    assert table.rows[-1][0].startswith("All others (")
    assert table.rows[-1][-3:] == ("–", "–", "–")
    assert sum(int(row[1]) for row in table.rows) == found.all.total


def test_times_of_deliveries_without_a_carrier_are_shown() -> None:
    """What is timed has times, whether or not it is known by whom it went."""
    bodies = [sent("one", SPID=None), delivered("one", SPID=None), sent("two"), delivered("two")]
    with ledger_of(bodies) as ledger:
        figures = ledger.audit().figures
    assert figures is not None
    found = figures.outcomes
    rows = tables.grouped(found, found.carriers, "", "", figures.durations.by_carrier).rows
    unknown = next(row for row in rows if row[0] == tables.UNKNOWN)
    assert unknown[-3:] == (words.span(figures.durations.by_carrier[None].p50),) * 3


@pytest.mark.parametrize("provider", ["twilio", None])
def test_a_report_leaves_out_what_says_nothing(tmp_path: Path, provider: str | None) -> None:
    """Carriers, handsets and degraded deliveries stand in it where there are any."""
    with Ledger(tmp_path / "l.db", providers=[provider] if provider else None) as ledger:
        if provider:
            ledger.record(b"MessageSid=SM1&MessageStatus=sent", content_type=FORM)
        else:
            ledger.record_many(traffic(80, seed=2))
        report = ledger.audit()
    for text in (report.to_html(), report.to_markdown()):
        for said in ("by carrier", "by handset", "egraded"):
            assert (said in text.replace('id="finding', "")) is (provider is None), said


def test_hidden_reasons_of_two_spaces_are_two_rows(tmp_path: Path) -> None:
    """Unknown codes of two providers have nothing in common."""
    with Ledger(tmp_path / "l.db", providers=["twilio", "plivo"]) as ledger:
        for code in (99001, 99002):
            body = f"MessageSid=SM{code}&MessageStatus=failed&ErrorCode={code}"
            ledger.record(body.encode(), content_type=FORM)
        body = b"MessageUUID=M1&Status=failed&ErrorCode=99003&To=1650"
        ledger.record(body, content_type=FORM)
        shown, full = (ledger.audit(unmask=unmask).figures for unmask in (False, True))
    assert shown is not None
    assert full is not None
    assert {one.reason for one in full.outcomes.failures.ranked} == {"99001", "99002", "99003"}
    assert [(one.reason, one.deliveries) for one in shown.outcomes.failures.ranked] == [
        ("••• (twilio)", 2), ("••• (plivo)", 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Request(), "all that is recorded, the last of it received at 2013-11-01 00:00:00 UTC"),
        (Request(as_of=1200), "what was known at position 1,200 of the log"),
        (Request(as_of=START), "what was known at 2013-11-01 00:00:00 UTC"),
        (
            Request(occurred_by=START),
            "all that is recorded, as far as it had happened by 2013-11-01 00:00:00 UTC"
            " by the provider's clock",
        ),
    ],
)
def test_moment_is_told(asked: Request, said: str) -> None:
    """What the report knows is said in words."""
    assert words.as_of(asked, START) == said


def test_period_is_told() -> None:
    """So is the period, open at either end."""
    assert words.period(None, None) == "all deliveries"
    assert words.period(START, None) == "deliveries that began from 2013-11-01 00:00:00 UTC"
    assert words.period(None, START) == "deliveries that began until 2013-11-01 00:00:00 UTC"
    later = START + timedelta(milliseconds=1500)
    assert words.period(START, later) == (
        "deliveries that began from 2013-11-01 00:00:00 UTC until 2013-11-01 00:00:01.500 UTC"
    )


@given(st.integers(0, 10**7), st.integers(1, 10**7))
def test_share_never_hides_a_few(part: int, whole: int) -> None:
    """Zero is written for none only, and all for all only."""
    part = min(part, whole)
    said = words.share(part, whole)
    assert (said == "0.0%") is (part == 0)
    assert (said == "100.0%") is (part == whole)


@given(st.integers(0, 10**13))
def test_span_is_near_what_it_says(micros: int) -> None:
    """A duration in words is off by no more than its smaller unit."""
    sizes = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
    parts = words.span(micros).split()
    told = sum(float(n) * sizes[unit] for n, unit in zip(parts[::2], parts[1::2], strict=True))
    smallest = min(sizes[unit] for unit in parts[1::2])
    least = {86_400: 3_600, 3_600: 60, 60: 1}.get(max(sizes[u] for u in parts[1::2]), 0)
    allowed = max(smallest if len(parts) > 2 else least, 0.06 * micros / 1e6 if micros < 6e7 else 0)
    assert abs(told - micros / 1e6) <= allowed + 0.5


@given(st.integers(0, 10**8))
def test_percentile_stands_in_its_bin(micros: int) -> None:
    """The line of a percentile stands over the column that holds it."""
    blank = drawing._columns("", "", [[("any", 1, "")]] * (len(BINS) + 1), [], centred=False)
    took = micros * 10_000
    mark = drawing._place(blank, "", took, 0)
    step = (blank.right - blank.left) / (len(BINS) + 1)
    number = sum(bound * 1_000_000 <= took for bound in BINS)
    assert blank.left + number * step - 0.1 <= mark.at <= blank.left + (number + 1) * step + 0.1


@pytest.mark.parametrize("days", [300, 900])
def test_days_without_deliveries_have_room(days: int) -> None:
    """The axis of days has no gaps, unless bars would be hairlines: then days stand side by side.

    In both the last day is named, within the picture.
    """
    with ledger_of(traffic(2, seed=0, days=days)) as ledger:
        figures = ledger.audit().figures
    assert figures is not None
    chart = drawing.days(figures.outcomes)
    assert chart is not None
    first, last = chart.blocks[0], chart.blocks[-1]
    room = chart.right - chart.left
    assert (last.x - first.x > 0.9 * room) is (days == 300)
    assert (last.width > 0.4 * room) is (days == 900)
    assert chart.across[-1].text == figures.outcomes.days.groups[-1].label
    assert chart.across[-1].at <= chart.right
    assert chart.across[-1].end is (days == 300)


def test_many_events_at_a_state_are_cut_in_the_picture() -> None:
    """The badges stay within the box; the last stands for those without room."""
    moment = datetime(2013, 11, 5, tzinfo=UTC)
    bodies = [
        b"<POSTBACK><ORIGIN>SMS_MT</ORIGIN><CODE>N201</CODE><STATUS>Message Sent</STATUS>"
        b"<TO>16503333058</TO><TRACKINGID>MANY</TRACKINGID><SPID>000%d</SPID></POSTBACK>" % n
        for n in range(12)
    ]
    with ledger_of(bodies) as ledger:
        dossier = ledger.audit(tracking_id="MANY", as_of=moment.replace(year=2100)).dossier
    assert dossier is not None
    delivery = diagrams(dossier.chart, dossier.exhibits)[0]
    sent = next(box for box in delivery.boxes if box.name == "sent")
    badges = [badge for badge in delivery.badges if badge.kind == "stayed"]
    assert badges[-1].text == "…"
    assert all(sent.x < badge.x < sent.x + sent.width for badge in badges)
