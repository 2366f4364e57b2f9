"""The figures of an audit reckoned again, slowly and plainly, from timelines and events alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import attrs

from postledger import Event, Ledger, Step
from postledger.audit.events import kind_of

OUTCOMES = ("delivered", "expired", "rejected", "failed")
OPEN = ("created", "accepted", "sent")
STATES = (*OPEN, *OUTCOMES)
SENT = ("sent_sms", "sent_binary", "sent_xhtml", "degraded")
EXPLAINED = ("expired", "rejected", "failed")
MEANT = {trigger: trigger for trigger in (*SENT, *OUTCOMES)} | {"sending_failed": "failed"}
BOUNDS = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 259200]
AGES = [0, 3600, 21600, 86400, 259200, 604800]
WIRE = {
    "to": ("TO",),
    "spid": ("SPID", "OPERATORID"),
    "handset": ("HANDSET",),
}


@attrs.define
class Told:
    """One stream as its timeline tells it."""

    key: str
    state: str
    route: str
    texts: dict[str, str]
    began: datetime
    sent: datetime | None
    outcome: datetime | None
    degraded_because: str | None
    ended_because: str | None
    findings: set[str]
    events: int
    repeats: int
    steps: list[Step]

    @property
    def took(self) -> float | None:
        """Seconds from sent to outcome."""
        if self.sent is None or self.outcome is None:
            return None
        return (self.outcome - self.sent).total_seconds()


def deliveries(
    ledger: Ledger, since: datetime | None, until: datetime | None, **when: Any
) -> list[Told]:
    """The deliveries that began in a period."""
    keys = dict.fromkeys(e.key for e in ledger.events() if e.chart == "delivery" and e.key)
    told = [one for key in keys if (one := _told(key, list(ledger.timeline(key, **when))))]
    return [
        one
        for one in told
        if (since is None or one.began >= since) and (until is None or one.began < until)
    ]


def _told(key: str, steps: list[Step]) -> Told | None:
    distinct = [step for step in steps if step.event.repeats is None]
    heard = [step for step in distinct if step.trigger is not None]
    if not heard:
        return None
    sent = [s.event.occurred_at for s in heard if s.trigger in SENT]
    created = [s.event.occurred_at for s in heard if s.trigger == "created"]
    ending = [s for s in heard if _moved(s, "delivery") and s.after["delivery"] in OUTCOMES]
    routing = [s for s in heard if _moved(s, "route")]
    findings = {finding for step in steps for finding in step.findings}
    findings |= set() if created else {"no_creation"}
    received = min(step.event.received_at for step in distinct)
    last = distinct[-1].after
    return Told(
        key=key,
        state=last["delivery"],
        route=last["route"],
        texts=_texts(heard),
        began=received
        if "timestamp_implausible" in findings
        else (sent or [None])[0] or (created or [None])[0] or received,
        sent=sent[0] if sent else None,
        outcome=ending[-1].event.occurred_at if ending else None,
        degraded_because=_because(routing, heard) if last["route"] == "degraded" else None,
        ended_because=_because(ending, heard) if last["delivery"] in EXPLAINED else None,
        findings=findings,
        events=len(distinct),
        repeats=len(steps) - len(distinct),
        steps=distinct,
    )


def _because(entering: list[Step], heard: list[Step]) -> str | None:
    """The details of the event that entered a state, or else of a later one that says the same."""
    entered = entering[-1]
    later = heard[heard.index(entered) :]
    agreeing = [step.details for step in later if MEANT.get(step.trigger) == MEANT[entered.trigger]]
    return next(filter(None, agreeing), None)


def _moved(step: Step, region: str) -> bool:
    return step.before[region] != step.after[region]


def _texts(heard: list[Step]) -> dict[str, str]:
    """Who took effect has the say; others only fill what nobody said."""
    texts: dict[str, str] = {}
    for step in heard:
        said = {name.replace("-", "").upper(): text for name, text in step.event.postback.fields}  # type: ignore[union-attr]
        for ours, names in WIRE.items():
            for name in names:
                if said.get(name) and (step.before != step.after or ours not in texts):
                    texts[ours] = said[name]
    return texts


def by(told: Iterable[Told], label: Any) -> dict[str | None, dict[str, Any]]:
    """Groups as JSON has them, by label."""
    groups: dict[str | None, Counter[str]] = {}
    for one in told:
        groups.setdefault(label(one), Counter())[one.state] += 1
    return {
        label: {"total": sum(counts.values()), "states": {s: counts[s] for s in STATES}}
        for label, counts in groups.items()
    }


def rank(took: list[float], percent: int) -> float:
    """The nearest-rank percentile."""
    for one in sorted(took):
        if 100 * sum(other <= one for other in took) >= percent * len(took):
            return one
    raise AssertionError("no durations")


def percentiles(told: Iterable[Told]) -> dict[str, Any] | None:
    """Count and percentiles in seconds of those that took no negative time."""
    took = [one.took for one in told if one.took is not None and one.took >= 0]
    return {"count": len(took), **{f"p{p}": rank(took, p) for p in (50, 90, 99)}} if took else None


def histogram(told: Iterable[Told]) -> list[int]:
    """How many deliveries are in each bin."""
    bins = [0] * (len(BOUNDS) + 1)
    for one in told:
        if one.took is not None and one.took >= 0:
            bins[sum(bound <= one.took for bound in BOUNDS)] += 1
    return bins


def ages(told: Iterable[Told], as_of: datetime) -> list[list[int]]:
    """How many of each open state are in each age."""
    bins = [[0] * len(OPEN) for _ in range(len(AGES) + 1)]
    for one in told:
        if one.state in OPEN:
            age = (as_of - one.began).total_seconds()
            bins[sum(bound <= age for bound in AGES)][OPEN.index(one.state)] += 1
    return bins


def day(one: Told) -> str:
    """The day in UTC on which a delivery began."""
    return one.began.astimezone(UTC).date().isoformat()


def missing(told: Iterable[Told]) -> Counter[str]:
    """The nodes that the events of deliveries lack, by our name."""
    return Counter(node for one in told for step in one.steps for node in step.missing)


def unread(
    events: Iterable[Event], since: datetime | None, until: datetime | None
) -> Counter[tuple[str, str | None, str | None]]:
    """Distinct events that changed nothing, by reading, code and status or reason."""
    counted: Counter[tuple[str, str | None, str | None]] = Counter()
    for event in events:
        if (since and event.received_at < since) or (until and event.received_at >= until):
            continue
        if event.reading == "unreadable":
            counted["unreadable", None, kind_of(event.problem or "")] += 1
        elif event.reading == "unverified":
            # What was accepted counts where it was recorded again.
            counted["unverified", None, event.source or None] += not event.accepted
        elif event.reading == "unrecognised":
            assert event.postback is not None
            said = {name.upper(): text for name, text in event.postback.fields if text}
            counted["unrecognised", said.get("CODE"), said.get("STATUS")] += 1
    return counted


def distinct(
    ledger: Ledger, as_of: int | datetime | None, occurred_by: datetime | None
) -> list[Event]:
    """The distinct events that were known, and had happened, by then: of equal ones the first."""
    first: dict[tuple[object, ...], Event] = {}
    for event in ledger.events():
        if isinstance(as_of, int) and event.position > as_of:
            continue
        if isinstance(as_of, datetime) and event.received_at > as_of:
            continue
        if occurred_by is not None and (event.occurred_at or event.received_at) > occurred_by:
            continue
        same = (event.space, event.chart, event.key, event.occurred_at, event.identity)
        if event.reading and event.received_at < first.get(same, event).received_at:
            first[same] = event
        elif event.reading:
            first.setdefault(same, event)
    return list(first.values())
