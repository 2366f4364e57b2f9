"""Every figure of the report, against a plain reckoning from timelines and events."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from postledger import UNVERIFIED, AuditReport, Ledger, Receipt
from postledger.audit import Request
from postledger.definitions import load_chart, load_vocabulary
from postledger.findings import Finding, names
from postledger.times import iso
from tests.audit import plain
from tests.audit.traffic import START, traffic
from tests.conftest import ledger_of
from tests.samples import delivered, sent
from tests.stores import both_stores, in_file, shell
from tests.strategies import receipts

pytestmark = both_stores

_FINDINGS = [names(finding)[0] for finding in Finding]
_MOMENT = st.integers(-5, 1005).map(
    lambda s: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s)
)
_STAMP = st.integers(-2, 6).map(
    lambda s: datetime(2013, 11, 5, 10, 41, 8, tzinfo=UTC) + timedelta(seconds=s)
)


_COUNTED = ("imported", "first_received_at", "last_received_at")
"""What is said of the log where it was read whole."""


def check(ledger: Ledger, **asked: Any) -> None:
    """Hold all figures of a report against the plain ones."""
    report = ledger.audit(unmask=True, verify=True, **asked)
    read = ledger.audit(unmask=True, **asked)
    assert (read.figures, read.as_of) == (report.figures, report.as_of)
    counted = {name: getattr(report.integrity, name) for name in _COUNTED}
    assert attrs.evolve(read.integrity, verified=True, **counted) == report.integrity
    said = json.loads(report.to_json())
    period = asked.get("since"), asked.get("until")
    when = {k: v for k, v in asked.items() if k in ("as_of", "occurred_by")}
    told = plain.deliveries(ledger, *period, **when)
    _check_outcomes(said["outcomes"], told)
    _check_durations(said["durations"], told, report.as_of)
    _check_findings(said, told)
    _check_contradictions(said["contradictions"], told, ledger, when)
    _check_before(said["before"], report, ledger, when)
    known = plain.distinct(ledger, asked.get("as_of"), asked.get("occurred_by"))
    unread = {
        (kind, u["code"], u["status"]): u["events"]
        for kind in ("unreadable", "unrecognised", "unverified")
        for u in said[kind]["listed"]
    }
    assert unread == plain.unread(known, *period)
    _check_integrity(said["integrity"], ledger)


def _check_outcomes(said: dict[str, Any], told: list[plain.Told]) -> None:
    whole = plain.by(told, lambda _: "").get(
        "", {"total": 0, "states": dict.fromkeys(plain.STATES, 0)}
    )
    assert {key: said["all"][key] for key in ("total", "states")} == whole
    assert said["events"] == sum(one.events for one in told)
    assert said["repeats"] == sum(one.repeats for one in told)
    for part, label in (
        ("routes", lambda one: one.route),
        ("days", plain.day),
        ("carriers", lambda one: one.texts.get("spid")),
        ("handsets", lambda one: one.texts.get("handset")),
    ):
        groups = {group.pop("label"): group for group in said[part]["groups"]}
        assert groups == plain.by(told, label), part
    degraded = [("degraded", one.degraded_because) for one in told if one.route == "degraded"]
    ended = [(one.state, one.ended_because) for one in told if one.state in plain.EXPLAINED]
    for part, reasons in (("degraded", degraded), ("failures", ended)):
        ranked = [(r["state"], r["reason"], r["deliveries"]) for r in said[part]["ranked"]]
        assert said[part]["total"] == len(reasons)
        assert sorted(ranked, key=str) == sorted(
            ((*reason, reasons.count(reason)) for reason in set(reasons)), key=str
        )
        assert [n for *_, n in ranked] == sorted((n for *_, n in ranked), reverse=True)


def _check_durations(said: dict[str, Any], told: list[plain.Told], as_of: datetime) -> None:
    assert said["overall"] == plain.percentiles(told)
    for part, label in (
        ("by_route", lambda one: one.route),
        ("by_carrier", lambda one: one.texts.get("spid")),
    ):
        found = {one.pop("label"): one for one in said[part]}
        labels = {label(one) for one in told}
        expected = {name: plain.percentiles(o for o in told if label(o) == name) for name in labels}
        assert found == {label: one for label, one in expected.items() if one}, part
    assert [b["deliveries"] for b in said["histogram"]] == plain.histogram(told)
    assert said["disordered"] == sum(one.took is not None and one.took < 0 for one in told)
    ended = [one for one in told if one.state in plain.OUTCOMES]
    assert said["untimed"] == sum(one.took is None for one in ended)
    assert said["open_states"] == list(plain.OPEN)
    assert [age["states"] for age in said["open"]] == plain.ages(told, as_of)


def _check_findings(said: dict[str, Any], told: list[plain.Told]) -> None:
    assert [one["finding"] for one in said["findings"]] == _FINDINGS
    for one in said["findings"]:
        having = [t for t in told if one["finding"] in t.findings]
        assert one["deliveries"] == len(having), one["finding"]
        assert len(one["listed"]) == min(len(having), 20)
        at = Counter(t.texts.get("spid") for t in having)
        assert {(c["label"], c["deliveries"]) for c in one["carriers"]} == set(at.items())
        listed = {row["tracking_id"]: row for row in one["listed"]}
        for t in having:
            if row := listed.get(t.key):
                assert (row["state"], row["route"]) == (t.state, t.route)
                assert (row["to"], row["spid"]) == (t.texts.get("to"), t.texts.get("spid"))
        assert set(listed) <= {t.key for t in having}
    nodes: dict[str, int] = {}
    for one in said["missing"]:
        nodes[one["node"]] = nodes.get(one["node"], 0) + one["events"]
    expected = plain.missing(told)
    assert nodes == {ours.replace("_", "").upper(): n for ours, n in expected.items()}


def _check_contradictions(
    said: dict[str, Any], told: list[plain.Told], ledger: Ledger, when: dict[str, Any]
) -> None:
    having = [one for one in told if "contradiction" in one.findings]
    assert said["deliveries"] == said["compared"] == len(having)
    steps = {one.key: ledger.timeline(one.key, **when) for one in having}
    refused = [
        (key, number)
        for key, timeline in steps.items()
        for number, step in enumerate(timeline, 1)
        if step.verdict == "contradicts"
    ]
    # Of a receipt that contradicts two regions there are two pairs.
    assert sum(kind["pairs"] for kind in said["kinds"]) >= len(refused)
    for pair in said["latest"]:
        timeline = steps[pair["tracking_id"]]
        step = timeline[pair["against"]["event"] - 1]
        assert step.verdict == "contradicts"
        assert step.event.position == pair["against"]["position"]
        assert iso(step.event.occurred_at) == pair["against"]["occurred_at"]
        assert pair["stands"] in timeline[-1].after.values()
        if earlier := pair["earlier"]:
            entered = timeline[earlier["event"] - 1]
            assert entered.event.position == earlier["position"] == step.against
            assert entered.before != entered.after
    received = [
        min(step.event.received_at for step in steps[pair["tracking_id"]])
        for pair in said["latest"]
    ]
    assert received == sorted(received, reverse=True)


def _check_before(
    said: dict[str, Any] | None, report: AuditReport, ledger: Ledger, when: dict[str, Any]
) -> None:
    since, until = report.request.since, report.request.until
    if since is None or until is None:
        assert said is None
        return
    assert said is not None
    assert said["until"] == iso(since)
    begun = datetime.fromisoformat(said["since"])
    told = plain.deliveries(ledger, begun, since, **when)
    assert said["all"]["total"] == len(told)
    days = {group.pop("label"): group for group in said["days"]}
    assert days == plain.by(told, plain.day)
    for group in said["carriers"]:
        label = group.pop("label")
        assert group == plain.by(told, lambda one: one.texts.get("spid"))[label]


def _check_integrity(said: dict[str, Any], ledger: Ledger) -> None:
    assert said["ok"]
    assert said["events"] == ledger.head().size
    assert said["anchor"] == str(ledger.head())
    read = [event for event in ledger.events() if event.reading]
    assert said["first_received_at"] == iso(min((e.received_at for e in read), default=None))
    assert said["last_received_at"] == iso(max((e.received_at for e in read), default=None))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(receipts(), max_size=14),
    st.one_of(st.none(), _STAMP, _MOMENT),
    st.one_of(st.none(), _STAMP, _MOMENT),
    st.one_of(st.none(), st.integers(0, 15), _MOMENT),
    st.one_of(st.none(), _STAMP),
)
def test_figures_are_those_reckoned_from_the_timelines(
    given_: list[Receipt],
    since: datetime | None,
    until: datetime | None,
    as_of: int | datetime | None,
    occurred_by: datetime | None,
) -> None:
    """Whatever came, and whatever is asked for, each figure is that of the plain reckoning."""
    assume(since is None or until is None or since < until)
    with ledger_of(given_) as ledger:
        check(ledger, since=since, until=until, as_of=as_of, occurred_by=occurred_by)


@pytest.fixture(scope="module")
def busy() -> Any:
    """A ledger with every disturbance in it."""
    with ledger_of(traffic(250, seed=3, days=9)) as ledger:
        yield ledger


@in_file
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"since": START + timedelta(days=2), "until": START + timedelta(days=5)},
        {"as_of": START + timedelta(days=4, hours=7)},
        {"as_of": 300},
        {"occurred_by": START + timedelta(days=3), "since": START + timedelta(days=1)},
    ],
    ids=["all", "period", "moment", "position", "occurred"],
)
def test_figures_of_a_busy_ledger(busy: Ledger, asked: dict[str, Any]) -> None:
    """With hundreds of deliveries and every disturbance the figures are the plain ones too."""
    check(busy, **asked)


@in_file
@pytest.mark.parametrize(
    ("since", "until", "before"),
    [
        ("2026-03-01", "2026-04-01", "2026-02-01"),
        ("2026-01-01", "2026-04-01", "2025-10-01"),
        ("2026-03-08", "2026-03-15", "2026-03-01"),
        ("0001-01-01", "0001-02-01", None),
    ],
)
def test_the_period_before_is_as_long(since: str, until: str, before: str | None) -> None:
    """Of whole months it is as many months; where there is none before, nothing is compared."""
    one, other = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (since, until))
    found = Request(one, other).before
    expected = before and (datetime.fromisoformat(before).replace(tzinfo=UTC), one)
    assert found == expected
    assert Request(one).before is None


def test_of_many_contradictions_the_latest_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, a report folds a bounded number again, and says how many."""
    from postledger.audit import pairs

    monkeypatch.setattr(pairs, "MOST_COMPARED", 3)
    with ledger_of(traffic(400, seed=3, days=9)) as ledger:
        report = ledger.audit()
    found = report.to_dict()["contradictions"]
    assert found["deliveries"] > found["compared"] == 3
    assert sum(kind["pairs"] for kind in found["kinds"]) >= 3
    assert "Of the latest 3 deliveries alone." in report.to_html()


def test_what_is_not_listed_is_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups beyond those listed stand as one, so that the columns still add up."""
    from postledger.audit import outcomes

    monkeypatch.setattr(outcomes, "MOST_GROUPS", 2)
    monkeypatch.setattr(outcomes, "MOST_DAYS", 3)
    with ledger_of(traffic(150, seed=1, days=9)) as ledger:
        said = ledger.audit(unmask=True).to_dict()["outcomes"]
    for part in ("carriers", "handsets", "days"):
        groups, rest = said[part]["groups"], said[part]["rest"]
        assert len(groups) == (3 if part == "days" else 2)
        assert sum(g["total"] for g in groups) + rest["total"] == said["all"]["total"]
        for state, count in said["all"]["states"].items():
            assert sum(g["states"][state] for g in [*groups, rest]) == count
    assert [day["label"] for day in said["days"]["groups"]] == [
        "2013-11-07",
        "2013-11-08",
        "2013-11-09",
    ]
    failures = said["failures"]
    assert failures["rest"] > 0
    assert sum(r["deliveries"] for r in failures["ranked"]) + failures["rest"] == failures["total"]


def test_hidden_reasons_are_one() -> None:
    """A masked report counts all reasons in the provider's own words together; unmasked it shows each."""
    with ledger_of(traffic(120, seed=5)) as ledger:
        masked = ledger.audit().to_dict()["outcomes"]["failures"]
        shown = ledger.audit(unmask=True).to_dict()["outcomes"]["failures"]
    given: Counter[tuple[str, bool]] = Counter()
    for reason in shown["ranked"]:
        given[reason["state"], reason["reason"] is not None] += reason["deliveries"]
    hidden = {(r["state"], r["reason"] is not None): r["deliveries"] for r in masked["ranked"]}
    assert hidden == dict(given)
    assert {r["reason"] for r in masked["ranked"]} <= {None, "•••"}
    assert masked["total"] == shown["total"]


def figures(ledger: Ledger, **asked: Any) -> dict[str, Any]:
    """All figures of a report, as JSON has them, and what it was read by."""
    said = json.loads(ledger.audit(**asked).to_json())
    for part in ("ledger", "generated_at", "request", "integrity"):
        del said[part]
    return said


def without_positions(said: dict[str, Any]) -> dict[str, Any]:
    """The figures without the positions, which depend on the order of arrival."""
    for kind in ("unreadable", "unrecognised", "unverified"):
        for one in said[kind]["listed"]:
            del one["first"]
    pairs = said["contradictions"]["latest"]
    listed = (one for found in said["findings"] for one in found["listed"])
    for one in (*said["missing"], *listed, *pairs):
        del one["first"]
    for side in (side for pair in pairs for side in (pair["earlier"], pair["against"]) if side):
        del side["position"]
    return said


@pytest.fixture
def adopted(ledger: Ledger) -> tuple[Ledger, dict[str, Any]]:
    """A ledger that went on recording and adopted a chart and a vocabulary, and its report before."""
    receipts_ = traffic(80, seed=11)
    ledger.record_many(receipts_[:150])
    before = figures(ledger)
    anchor = ledger.head()
    before["at"] = anchor.size - 1
    ledger.record_many(receipts_[100:])
    skycore = next(v for v in ledger.definitions.vocabularies if v.name == "skycore")
    words = load_vocabulary(skycore.source.replace('"N333"', '"N334"').replace('"N201"', '"N299"'))
    chart = ledger.definitions.charts["delivery"].source.replace("version = 1", "version = 2", 1)
    definitions = ledger.definitions.with_vocabularies([words]).with_charts([load_chart(chart)])
    ledger.replay(definitions)
    ledger.record_many(receipts_[:30])
    assert ledger.verify(anchor).ok
    return ledger, before


@in_file
def test_report_is_reproduced_from_its_anchor(adopted: tuple[Ledger, dict[str, Any]]) -> None:
    """By the definitions in force then, figure for figure, whatever came and was adopted since."""
    ledger, before = adopted
    at = before.pop("at")
    assert before["outcomes"]["all"]["total"] > 50
    assert figures(ledger, as_of=at, definitions="then") == before
    assert figures(ledger, as_of=at) != before


@in_file
def test_report_says_by_which_definitions_it_was_read(
    adopted: tuple[Ledger, dict[str, Any]],
) -> None:
    """Their labels stand in each form, and whether they are in force now or were then."""
    ledger, before = adopted
    for asked in ("now", "then"):
        report = ledger.audit(as_of=before["at"], definitions=asked)  # type: ignore[arg-type]
        label = before["definitions"] if asked == "then" else ledger.definitions.label
        assert json.loads(report.to_json())["request"]["definitions"] == asked
        assert report.definitions == label
        assert f"{label}; in force {asked}" in report.to_html()
        versions = {d.version for d in report.integrity.definitions if d.name == "delivery"}
        assert versions == ({1} if asked == "then" else {2})


@pytest.mark.parametrize("definitions", ["now", "then"])
def test_order_of_arrival_changes_no_figure(definitions: Any) -> None:
    """The same receipts in any order, with repeats, give the same figures and the same lists."""
    receipts_ = [*traffic(120, seed=7), *traffic(120, seed=7)[:9]]
    other = Random(3).sample(receipts_, len(receipts_))
    with ledger_of(receipts_) as one, ledger_of(other) as two:
        assert without_positions(figures(one, definitions=definitions)) == without_positions(
            figures(two, definitions=definitions)
        )


def test_counts_beyond_memory_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """What doesn't fit into memory is counted in a scratch table: the figures are the same."""
    from postledger.store import counting

    with ledger_of(traffic(120, seed=5)) as ledger:
        whole = figures(ledger)
        monkeypatch.setattr(counting, "MOST_IN_MEMORY", 1)
        assert figures(ledger) == whole


def test_stream_that_can_not_be_folded_has_a_column(ledger: Ledger, tmp_path: Path) -> None:
    """A delivery whose row says that it can't be folded is counted as that, and has no outcome."""
    ledger.record_many(traffic(5, seed=1))
    with shell(ledger.path) as db:
        (table,) = db.execute("SELECT 'states_' || number FROM generations").fetchone()
        db.execute(f"UPDATE {table} SET state = 'unfolded' WHERE stream = 1")
    report = ledger.audit()
    found = report.to_dict()["outcomes"]
    assert found["all"]["states"]["unfolded"] == 1
    assert "unfolded" in found["open"]
    assert sum(found["all"]["states"].values()) == found["all"]["total"]
    assert "unfolded" in report.to_html()


def test_events_beyond_the_limits_are_counted(tmp_path: Path) -> None:
    """A body that is kept unread for its size is unreadable, whatever template it has."""
    from postledger import Limits

    with Ledger(tmp_path / "small.db", limits=Limits(body_bytes=300)) as ledger:
        ledger.record_many(traffic(5, seed=1))
        check(ledger)
        assert any(e.reading == "unreadable" for e in ledger.events())


def test_unverified_events_are_counted_by_source(ledger: Ledger) -> None:
    """They change no figure of the deliveries, and stand as what they are."""
    received = traffic(20, seed=4)
    ledger.record_many(received)
    before = ledger.audit()
    for receipt, source in zip(received, ("skycore", "other", "", "skycore"), strict=False):
        ledger.record_many([attrs.evolve(receipt, sender=UNVERIFIED, source=source)])
    ledger.record(b"\xff", sender=UNVERIFIED, source="skycore")
    check(ledger)
    after = ledger.audit()
    assert before.figures is not None
    assert after.figures is not None
    assert after.figures.outcomes == before.figures.outcomes
    assert after.figures.events.unreadable == before.figures.events.unreadable
    assert "Unverified events, by source" in after.to_html()
    assert "| skycore |" in after.to_markdown()


def test_what_was_accepted_counts_as_unverified_no_longer(ledger: Ledger) -> None:
    """From the acceptance on: a report as of before still counts it."""
    for receipt in traffic(4, seed=4)[:6]:
        ledger.record_many([attrs.evolve(receipt, sender=UNVERIFIED, source="skycore")])
    last = ledger.head().size - 1
    ledger.accept(1, last - 1)
    check(ledger)
    found = [ledger.audit(as_of=as_of).figures for as_of in (last, None)]
    listed = [one.events.unverified.listed for one in found if one is not None]
    assert [[kind.events for kind in kinds] for kinds in listed] == [[last], [1]]


def test_times_are_those_of_the_carriers_that_are_listed() -> None:
    """A carrier of many deliveries stands with its times, though few of them were timed."""
    bodies = [sent(f"b{number}", SPID="BIG") for number in range(9)]
    bodies += [delivered("b0", SPID="BIG")]
    for carrier in range(60):
        bodies += [of(f"c{carrier}", SPID=f"c{carrier}") for of in (sent, delivered)]
        bodies += [of(f"d{carrier}", SPID=f"c{carrier}") for of in (sent, delivered)]
    with ledger_of(bodies) as ledger:
        report = ledger.audit()
    assert report.figures is not None
    listed = [group.label for group in report.figures.outcomes.carriers.groups]
    assert listed[0] == "BIG"
    assert set(listed) <= set(report.figures.durations.by_carrier)


def test_deliveries_are_counted_by_space(tmp_path: Path) -> None:
    """Where there are several: the space is that of a provider's ids."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.created("a", to="1")
        report = ledger.audit()
        assert report.figures is not None
        assert [(g.label, g.total) for g in report.figures.outcomes.spaces.groups] == [("", 1)]
        assert "by space" not in report.to_markdown() + report.to_html()
        for key in ("a", "b"):
            ledger.created(key, to="1", space="carrier")
        report = ledger.audit()
        said = json.loads(report.to_json())["outcomes"]["spaces"]["groups"]
        assert [(one["label"], one["states"]["created"]) for one in said] == [
            ("carrier", 2),
            ("", 1),
        ]
        for page in (report.to_markdown(), report.to_html()):
            assert "Deliveries by space and state" in page
            assert "common space" in page
        assert "- Space: carrier" in ledger.audit(tracking_id="b").to_markdown()


def test_one_long_text_makes_no_long_report(ledger: Ledger) -> None:
    """Lists have the beginning of what an event says; the event has all of it."""
    body = sent("K").replace(b"N201", b"N999").replace(b"Message Sent", b"x" * 100_000)
    ledger.record(body, "text/xml")
    report = ledger.audit(unmask=True)
    assert report.figures is not None
    (kind,) = report.figures.events.unrecognised.listed
    assert kind.status == "x" * 200 + "…"
    assert max(map(len, (report.to_html(), report.to_json()))) < 100_000
