"""Tables: the figures of a report as rows of words, for HTML and Markdown alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from postledger.audit.dossier import Exhibit
from postledger.audit.durations import Durations, Percentiles
from postledger.audit.events import Kinds, Missing
from postledger.audit.figures import Figures, Other, Sums
from postledger.audit.findings import Listed
from postledger.audit.mask import traced
from postledger.audit.outcomes import Breakdown, Group, Outcomes, Reasons
from postledger.audit.words import NONE, bare, between, count, second, share, span, time
from postledger.model import Amount, part_line, plain

UNKNOWN = "not known"
COMMON = "common space"


@attrs.frozen
class Table:
    """A table; the first ``texts`` columns are words, all others numbers.

    ``marks`` name, for each row or for none, the state whose sign stands before its first cell.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1
    note: str | None = None
    marks: tuple[str, ...] = ()


def states(outcomes: Outcomes) -> Table:
    """Deliveries by state."""
    total = outcomes.all.total
    pairs = zip(outcomes.states, outcomes.all.states, strict=True)
    return Table(
        "Deliveries by state",
        ("State", "Deliveries", "Share"),
        (
            *((state, count(n), share(n, total)) for state, n in pairs),
            ("All", count(total), share(total, total)),
        ),
        marks=(*outcomes.states, ""),
    )


def grouped(
    outcomes: Outcomes,
    breakdown: Breakdown,
    caption: str,
    label: str,
    times: dict[str | None, Percentiles] | None = None,
    rest: str = "All others",
) -> Table:
    """Deliveries by something and by state, with the times to outcome where they are given."""
    took = () if times is None else ("p50", "p90", "p99")
    groups = [(UNKNOWN if g.label is None else g.label or COMMON, g) for g in breakdown.groups]
    if breakdown.rest is not None:
        groups.append((f"{rest} ({count(breakdown.kinds)})", breakdown.rest))
    rows = (
        (*_group(name, g, outcomes), *_took(None if g is breakdown.rest else g, times))
        for name, g in groups
    )
    success = " or ".join(sorted(outcomes.succeeded)) or "success"
    return Table(
        caption,
        (label, "Deliveries", f"{success}, share", *outcomes.states, *took),
        tuple(rows),
        note="The times are from sent to outcome." if took else None,
    )


def _group(name: str, group: Group, outcomes: Outcomes) -> tuple[str, ...]:
    pairs = zip(outcomes.states, group.states, strict=True)
    succeeded = sum(n for state, n in pairs if state in outcomes.succeeded)
    counts = (count(n) if n else NONE for n in group.states)
    return (name, count(group.total), share(succeeded, group.total), *counts)


def _took(group: Group | None, times: dict[str | None, Percentiles] | None) -> tuple[str, ...]:
    """The times of a group, in the table that has them; of ``None`` they aren't known."""
    if times is None:
        return ()
    found = None if group is None else times.get(group.label)
    return (NONE,) * 3 if found is None else _percentiles(found)


def _percentiles(found: Percentiles) -> tuple[str, str, str]:
    return span(found.p50), span(found.p90), span(found.p99)


def reasons(found: Reasons, caption: str) -> Table:
    """Reasons, most frequent first."""
    rows = [
        (one.reason or "no reason was given", one.state, one.deliveries) for one in found.ranked
    ]
    if found.rest:
        rows.append((f"All other reasons ({count(found.kinds)})", NONE, found.rest))
    return Table(
        caption,
        ("Reason as received", "Led to", "Deliveries", "Share"),
        tuple((reason, state, count(n), share(n, found.total)) for reason, state, n in rows),
        texts=2,
    )


def sums(found: Sums) -> Table:
    """The sums of amounts, by name and currency."""
    hidden = sum(one.hidden for one in found.listed)
    notes = [
        f"{count(hidden)} amounts that may tell a number are left out." if hidden else "",
        f"{count(found.kinds)} other sums are left out." if found.kinds else "",
    ]
    return Table(
        "Amounts as the provider states them, added up",
        ("Amount", "Currency", "Deliveries", "Sum"),
        tuple(
            (words(s.name), s.currency or NONE, count(s.deliveries), plain(s.total))
            for s in found.listed
        ),
        texts=2,
        note=" ".join(filter(None, notes)) or None,
    )


def amount(found: Amount) -> str:
    """An amount with its currency."""
    return " ".join(filter(None, (plain(found.value), found.currency)))


def percentiles(durations: Durations) -> Table:
    """The times from sent to outcome, all and by route."""
    routes = sorted(durations.by_route.items(), key=lambda item: -item[1].count)
    rows = [(UNKNOWN if route is None else route, found) for route, found in routes]
    if durations.overall is not None:
        rows.insert(0, ("All", durations.overall))
    return Table(
        "Time from sent to outcome, by route",
        ("Route", "Deliveries timed", "p50", "p90", "p99"),
        tuple((name, count(found.count), *_percentiles(found)) for name, found in rows),
        note="p90 is the smallest time that 90% of the deliveries did not exceed (nearest rank).",
    )


def histogram(durations: Durations) -> Table:
    """The histogram as numbers; empty bins before the first and after the last are left out."""
    filled = [i for i, one in enumerate(durations.histogram) if one.deliveries]
    bins = durations.histogram[filled[0] : filled[-1] + 1] if filled else ()
    total = sum(one.deliveries for one in bins)
    rows, so_far = [], 0
    for one in bins:
        so_far += one.deliveries
        within = (share(one.deliveries, total), share(so_far, total))
        rows.append((between(one.least, one.below), count(one.deliveries), *within))
    return Table(
        "Distribution of the time from sent to outcome",
        ("Time", "Deliveries", "Share", "Share so far"),
        tuple(rows),
    )


def ages(durations: Durations) -> Table:
    """Deliveries without outcome by age."""
    rows = [
        (between(one.least, one.below), one.states)
        for one in durations.open
        if one.least is not None or any(one.states)
    ]
    totals = map(sum, zip(*(one.states for one in durations.open), strict=True))
    rows.append(("All", tuple(totals)))
    return Table(
        f"Deliveries without outcome by age at {second(durations.as_of)}",
        ("Age", *durations.open_states, "All"),
        tuple((age, *map(count, states), count(sum(states))) for age, states in rows),
    )


def findings(figures: Figures) -> Table:
    """All findings with their counts."""
    total = figures.outcomes.all.total
    return Table(
        "Findings",
        ("Finding", "What it means", "Deliveries", "Share"),
        tuple(
            (words(one.finding), one.means, count(one.deliveries), share(one.deliveries, total))
            for one in figures.findings
        ),
        texts=2,
    )


def words(finding: str) -> str:
    """A finding for people.

    >>> words("no_creation")
    'no creation'
    """
    return finding.replace("_", " ")


def listed(deliveries: Sequence[Listed], finding: str) -> Table:
    """The deliveries that a finding concerns."""
    rows = (
        (traced(d.tracking_id, d.first), d.state, d.route, d.to, d.spid, time(d.began_at))
        for d in deliveries
    )
    return Table(
        f"Deliveries with {words(finding)}",
        ("TRACKINGID", "State", "Route", "To", "Carrier (SPID)", "Began"),
        tuple(tuple(cell or NONE for cell in row) for row in rows),
        texts=6,
    )


def unreadable(found: Kinds) -> Table:
    """Events whose body can't be read, by the reason."""
    rows = [(one.status or NONE,) for one in found.listed]
    return _unread(found, "Unreadable bodies, by reason", ("Why it can't be read",), rows)


def unverified(found: Kinds) -> Table:
    """Events whose sender check failed, by the source that received them."""
    rows = [(one.status or NONE,) for one in found.listed]
    return _unread(found, "Unverified events, by source", ("Source",), rows)


def unrecognised(found: Kinds) -> Table:
    """Events that the vocabularies don't know, by what they say."""
    rows = [(one.code or "no code", one.status or NONE) for one in found.listed]
    return _unread(found, "Unrecognised events, by code", ("Code", "Status"), rows)


def _unread(
    found: Kinds, caption: str, head: tuple[str, ...], named: Sequence[tuple[str, ...]]
) -> Table:
    pairs = zip(named, found.listed, strict=True)
    rows = [(*names, count(one.events), str(one.first)) for names, one in pairs]
    if found.kinds:
        names = (f"All others ({count(found.kinds)})", NONE)[: len(head)]
        rows.append((*names, count(found.rest), NONE))
    return Table(caption, (*head, "Events", "First at position"), tuple(rows), len(head))


def missing(found: Iterable[Missing]) -> Table:
    """Fields that events lack, against the specification."""
    return Table(
        "Missing fields, by field and section of the specification",
        ("Field", "Section", "Events", "First at position"),
        tuple((one.node, one.section, count(one.events), str(one.first)) for one in found),
        texts=2,
    )


def other(found: Other) -> Table:
    """The streams of another chart by state."""
    pairs = zip(found.states, found.all.states, strict=True)
    return Table(
        f"By state, chart {found.chart}",
        ("State", "Number", "Share"),
        tuple((state, count(n), share(n, found.all.total)) for state, n in pairs),
    )


def steps(exhibits: Sequence[Exhibit]) -> Table:
    """The events of a delivery at a glance."""
    rows = tuple(
        (
            *(str(e.number), str(e.position), bare(e.received_at), bare(e.occurred_at)),
            *(e.code or NONE, says(e), verdict(e), effect(e)),
        )
        for e in exhibits
    )
    head = ("No.", "Position", "Received (UTC)", "Occurred (UTC)", "Code", "Says", "Verdict")
    return Table("The events in the order in which they are taken", (*head, "Effect"), rows, 8)


def says(exhibit: Exhibit) -> str:
    """What an event says, and about which part of the message."""
    said = words(exhibit.trigger or NONE)
    return f"{said} ({part_line(exhibit.part)})" if exhibit.part else said


def verdict(exhibit: Exhibit) -> str:
    """The verdict on an event, and the position of the one that it contradicts."""
    # What it repeats stands at its own position.
    against = exhibit.against if exhibit.verdict == "contradicts" else None
    return words(exhibit.verdict) + ("" if against is None else f" {against}")


def effect(exhibit: Exhibit) -> str:
    """What an event changed, region by region."""
    pairs = ((exhibit.before[region], exhibit.after[region]) for region in exhibit.after)
    return ", ".join(f"{one} → {other}" for one, other in pairs if one != other) or "none"
