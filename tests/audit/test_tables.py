"""Tables and words: how the figures are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger import Ledger
from postledger.audit import tables, words
from postledger.audit.durations import STEPS, Durations, Percentiles
from postledger.audit.events import Kinds, Unread
from postledger.audit.outcomes import Before, Group, Reason, Reasons
from postledger.audit.plots import curves, drawing
from postledger.audit.plots.calendar import name_of, spans, unit_of
from postledger.audit.plots.carriers import carriers, findings_by_carrier
from postledger.audit.plots.diagram import diagrams
from postledger.audit.request import Request
from tests.audit.traffic import START, traffic
from tests.conftest import ledger_of
from tests.samples import delivered, sent

FORM = "application/x-www-form-urlencoded"


def test_rare_kinds_are_counted_together() -> None:
    """Beyond the twenty most frequent kinds the events are counted, not listed."""
    at = (START, START + timedelta(hours=1))
    unknown = Kinds(tuple(Unread(f"N{n}", None, 1, n, *at) for n in range(20)), 3, 3)
    broken = Kinds(tuple(Unread(None, f"why {n}", 2, n, *at) for n in range(20)), 4, 2)
    assert tables.unrecognised(unknown).rows[-1] == ("All others (3)", "–", "3", "–", "–", "–")
    assert tables.unreadable(broken).rows[-1] == ("All others (2)", "4", "–", "–", "–")
    assert {len(row) for row in tables.unrecognised(unknown).rows} == {6}
    assert {len(row) for row in tables.unreadable(broken).rows} == {5}
    assert tables.unreadable(broken).rows[0] == (
        *("why 0", "2", "2013-11-01 00:00:00", "2013-11-01 01:00:00", "0"),
    )


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
    table = tables.grouped(found, found.carriers, "Carriers", "SPID")
    assert table.rows[-1][0].startswith("All others (")
    assert sum(int(row[1]) for row in table.rows) == found.all.total


def test_a_table_of_many_groups_adds_up_those_it_does_not_show() -> None:
    """It has twelve rows at most, and the last stands for all others."""
    bodies = [sent(f"k{n}", SPID=f"000{n:04d}") for n in range(50)]
    with ledger_of(bodies) as ledger:
        figures = ledger.audit().figures
    assert figures is not None
    found = figures.outcomes
    rows = tables.grouped(found, found.carriers, "", "").rows
    assert len(rows) == 13
    assert rows[-1][:2] == ("All others (38)", "38")


def test_carriers_stand_next_to_each_other() -> None:
    """The worst change comes first, each with its rate, the points, its times and contradictions."""
    with ledger_of(traffic(400, seed=6, days=20)) as ledger:
        figures = ledger.audit(
            since=START + timedelta(days=10), until=START + timedelta(days=20)
        ).figures
    assert figures is not None
    assert figures.before is not None
    table = carriers(figures)
    outcomes = figures.outcomes
    groups = {group.label: group for group in outcomes.carriers.groups}
    before = {group.label: group for group in figures.before.carriers}
    changes = []
    for name, total, rate, points, *times, disputed in table.rows:
        now, then = outcomes.rate(groups[name]), outcomes.rate(before[name])
        assert now is not None
        assert then is not None
        assert (total, rate) == (words.count(groups[name].total), f"{100 * now:.1f}%")
        assert points == words.points(now, then)
        assert times[0] == words.span(figures.durations.by_carrier[name].p50)
        found = next(one for one in figures.findings if one.finding == "contradiction")
        assert int(disputed) == sum(o.deliveries for o in found.carriers if o.label == name)
        changes.append(now - then)
    assert changes == sorted(changes)
    assert len(changes) == len([label for label in groups if label is not None])


def test_the_note_of_carriers_says_what_is_there() -> None:
    """A ring only where one is drawn, a picture only where it is, and how many have no carrier."""
    with ledger_of([*traffic(400, seed=6, days=20), sent("NONE", SPID=None)]) as ledger:
        compared = ledger.audit(since=after(10), until=after(20))
        report = ledger.audit()
    assert compared.figures is not None
    assert report.figures is not None
    ring, picture = "a ring is the period before", "In the picture"
    assert ring in (carriers(compared.figures).note or "")
    note = carriers(report.figures).note or ""
    assert ring not in note
    assert picture in note
    assert " 1 delivery has no known carrier, and no row here." in note
    assert picture not in report.to_markdown()
    assert picture in report.to_html()


def test_the_last_week_is_as_long_as_the_period() -> None:
    """Though nothing was received on its last day; what is not over yet ends with the last reception."""
    with ledger_of(traffic(200, seed=6, days=16)) as ledger:
        last = ledger.audit().as_of.date()
        until = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=3)
        over = ledger.audit(since=after(0), until=until)
        still = ledger.audit(since=after(0), until=datetime(9000, 1, 1, tzinfo=UTC))
        then = ledger.audit(since=after(0), until=until, as_of=over.as_of)
    assert over.counted_until == until
    assert still.counted_until > until
    assert then.counted_until == over.as_of
    assert over.figures is not None
    chart = drawing.days(over.figures.outcomes, over.counted_until)
    assert chart is not None
    assert f"to {(until - timedelta(days=1)).date()};" in chart[0].description


def test_findings_stand_by_carrier() -> None:
    """In shares of its deliveries, contradictions first, and the worst carrier at the top."""
    with ledger_of(traffic(400, seed=6, days=20)) as ledger:
        figures = ledger.audit(unmask=True).figures
        told = list(ledger.deliveries())
    assert figures is not None
    table = findings_by_carrier(figures)
    assert table.head[:3] == ("Carrier (SPID)", "Deliveries", "Contradiction")
    shares = []
    for name, total, *cells in table.rows:
        mine = [one for one in told if one.spid == name]
        assert total == words.count(len(mine))
        for head, cell in zip(table.head[2:], cells, strict=True):
            having = [one for one in mine if head.lower().replace(" ", "_") in one.findings]
            assert cell == words.share(len(having), len(mine))
        shares.append(sum("contradiction" in one.findings for one in mine) / len(mine))
    assert shares == sorted(shares, reverse=True)


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


def test_a_report_says_how_many_reasons_are_hidden_and_how_to_see_them(tmp_path: Path) -> None:
    """No vocabulary lists them; one that is listed is shown, and so is the listed part of another."""
    with Ledger(tmp_path / "l.db", providers=["twilio"]) as ledger:
        for number, code in enumerate((99001, 99002, 30003)):
            body = f"MessageSid=SM{number}&MessageStatus=failed&ErrorCode={code}"
            ledger.record(body.encode(), content_type=FORM)
        period, full = (ledger.audit(unmask=unmask) for unmask in (False, True))
        hidden, listed = (ledger.audit(tracking_id=f"SM{number}") for number in (0, 2))
        unmasked = ledger.audit(tracking_id="SM0", unmask=True)
    assert period.to_dict()["outcomes"]["failures"]["hidden"] == 2
    assert full.to_dict()["outcomes"]["failures"]["hidden"] == 0
    for made, said in (
        (period, "The reason of 2 deliveries is hidden, or a part of it: no vocabulary lists it"),
        (hidden, "••• is text that no vocabulary lists; --unmask shows it"),
    ):
        assert said in made.to_html()
        assert said in made.to_markdown()
        assert "--unmask" in made.to_markdown()
    for made in (full, listed, unmasked):
        assert "no vocabulary lists" not in made.to_html()


BERLIN, HAVANA = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Havana")


@pytest.mark.parametrize(
    ("since", "until", "before", "name"),
    [
        (
            datetime(2026, 11, 1, tzinfo=UTC),
            datetime(2026, 12, 1, tzinfo=UTC),
            "2026-10-01",
            "October",
        ),
        (
            *(datetime(2026, 11, 1, tzinfo=BERLIN), datetime(2026, 12, 1, tzinfo=BERLIN)),
            *("2026-09-30T22:00", "October"),
        ),
        (
            *(datetime(2026, 3, 1, tzinfo=BERLIN), datetime(2026, 5, 1, tzinfo=BERLIN)),
            *("2025-12-31T23:00", None),
        ),
        # The month of Berlin, given in UTC, is none of UTC: as many hours before it.
        (
            *(datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC)),
            *("2026-10-01T23:00", None),
        ),
        # The hours of days with other clocks, by what they last.
        (
            *(datetime(2026, 10, 25, tzinfo=BERLIN), datetime(2026, 10, 26, tzinfo=BERLIN)),
            *("2026-10-23T21:00", None),
        ),
        (
            *(datetime(2026, 4, 1, tzinfo=HAVANA), datetime(2026, 5, 1, tzinfo=HAVANA)),
            *("2026-03-01T05:00", "March"),
        ),
    ],
)
def test_the_period_before_is_of_months_of_its_own_zone(
    since: datetime, until: datetime, before: str, name: str | None
) -> None:
    """By the clocks of the zone in which the ends are given; else it lasts as long."""
    found = Request(since, until).before
    assert found is not None
    begun = datetime.fromisoformat(before).replace(tzinfo=UTC)
    assert (found[0].astimezone(UTC), found[1]) == (begun, since)
    group = Group(None, 0, ())
    said = name_of(Before(*found, group, (), ()))
    assert said == (f"{name} 2026" if name else "the period before")


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
    took = micros * 10_000
    bins = len(STEPS) + 1
    number = sum(step <= took for step in STEPS)
    step = 100 / bins
    assert number * step - 0.02 <= curves.place(took, 0, bins) <= (number + 1) * step + 0.02


def test_histogram_wastes_no_width() -> None:
    """Its axis ends with the data: what lies far beyond is counted, and not drawn."""
    curve = [0] * (len(STEPS) + 1)
    curve[2], curve[20], curve[25], curve[50] = 1, 3_000, 5_000, 2
    found = Percentiles(8_003, STEPS[20], STEPS[25], STEPS[25])
    durations = Durations(found, {}, {}, (), tuple(curve), 0, 0, START, (), ())
    chart = curves.histogram(durations)
    assert chart is not None
    assert [block.x for block in chart.blocks] == [1.67, 85.0]
    assert chart.beyond == 3
    assert "3 beyond its ends are not drawn." in chart.description
    one = curves.histogram(attrs.evolve(durations, overall=attrs.evolve(found, count=8_001)))
    assert one is not None
    assert "1 beyond its ends is not drawn." in one.description


@pytest.mark.parametrize("days", [300, 900])
def test_days_without_deliveries_have_room(days: int) -> None:
    """Columns lie within the picture, and none is a hairline: of many days each stands for more."""
    with ledger_of(traffic(40, seed=0, days=days)) as ledger:
        figures = ledger.audit().figures
    assert figures is not None
    charts = drawing.days(figures.outcomes)
    assert charts is not None
    for chart in charts:
        assert all(0 <= block.x <= block.x + block.width <= 100 for block in chart.blocks)
        assert all(block.width > 0.5 for block in chart.blocks)


def test_an_axis_without_data_is_not_drawn() -> None:
    """Where all succeeded there are no others to draw, and days far apart make no line."""
    bodies = [
        said(key, TIMESTAMP=at)
        for key, at in (("one", "2013-11-05T10:00:00Z"), ("two", "2014-11-05T10:00:00Z"))
        for said in (sent, delivered)
    ]
    with ledger_of(bodies) as ledger:
        report = ledger.audit()
    assert report.figures is not None
    assert curves.rates(report.figures.outcomes, None, None) is None
    page = report.to_html()
    assert "days-t" in page
    assert "missed-t" not in page
    assert "All 2 stand delivered" in page
    assert "between 90 and 100%" in page


def after(days: float) -> datetime:
    """So many days after the traffic begins, which is a Friday."""
    return START + timedelta(days=days)


@pytest.mark.parametrize(
    ("days", "since", "until", "labels"),
    [
        (range(3), 0, 3, ["2013-11-01", "2013-11-02", "2013-11-03"]),
        (range(17), 0, 17, ["1 to 3 Nov 2013, part", "4 to 10 Nov 2013", "11 to 17 Nov 2013"]),
        (range(17), None, 16.5, ["28 Oct to 3 Nov 2013", "4 to 10 Nov 2013", "11 to 17 Nov 2013, part"]),
        (range(0, 400, 399), 0, 399.5, ["November 2013", "December 2014, part"]),
    ],
)  # fmt: skip
def test_many_days_are_weeks_or_months(
    days: range, since: float | None, until: float, labels: list[str]
) -> None:
    """Up to two weeks of days are shown as they are; a span that is not whole says so."""
    groups = [Group(after(n).date().isoformat(), 3, (1, 2)) for n in days]
    begun = None if since is None else after(since)
    found = spans(groups, unit_of(groups), begun, after(until))
    assert [one.label for one in found] == labels
    assert sum(one.group.total for one in found) == 3 * len(groups)
    assert all(one.group.states[1] == 2 * one.group.states[0] for one in found)


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
