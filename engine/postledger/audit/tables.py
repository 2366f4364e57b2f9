"""Tables: the figures of a report as rows of words, for HTML and Markdown alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from postledger.audit.dossier import Exhibit
from postledger.audit.durations import Durations, Percentiles
from postledger.audit.figures import Figures, Other
from postledger.audit.noted import MOST_LISTED, Listed, Missing, Unread
from postledger.audit.outcomes import Breakdown, Group, Outcomes, Reasons
from postledger.audit.words import NONE, between, count, share, span, time

UNKNOWN = "not known"


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
    groups = [(UNKNOWN if g.label is None else g.label, g) for g in breakdown.groups]
    if breakdown.rest is not None:
        groups.append((f"{rest} ({count(breakdown.kinds)})", breakdown.rest))
    rows = (
        (*_group(name, group, outcomes), *(() if times is None else _took(group, times)))
        for name, group in groups
    )
    success = " or ".join(sorted(outcomes.succeeded)) or "success"
    return Table(
        caption,
        (label, "Deliveries", *outcomes.states, f"{success}, share", *took),
        tuple(rows),
        note="The times are from sent to outcome." if took else None,
    )


def _group(name: str, group: Group, outcomes: Outcomes) -> tuple[str, ...]:
    pairs = zip(outcomes.states, group.states, strict=True)
    succeeded = sum(n for state, n in pairs if state in outcomes.succeeded)
    counts = (count(n) if n else NONE for n in group.states)
    return (name, count(group.total), *counts, share(succeeded, group.total))


def _took(group: Group, times: dict[str | None, Percentiles]) -> tuple[str, ...]:
    found = times.get(group.label) if group.label is not None else None
    return (NONE,) * 3 if found is None else _percentiles(found)


def _percentiles(found: Percentiles) -> tuple[str, str, str]:
    return span(found.p50), span(found.p90), span(found.p99)


def reasons(found: Reasons, caption: str) -> Table:
    """Reasons, most frequent first."""
    rows = [
        (one.reason or "no reason was given", one.state, count(one.deliveries),
         share(one.deliveries, found.total))
        for one in found.ranked
    ]  # fmt: skip
    if found.rest:
        rest = (f"All other reasons ({count(found.kinds)})", NONE, count(found.rest))
        rows.append((*rest, share(found.rest, found.total)))
    return Table(
        caption, ("Reason as received", "Led to", "Deliveries", "Share"), tuple(rows), texts=2
    )


def percentiles(durations: Durations) -> Table:
    """The times from sent to outcome, all and by route."""
    rows = [("All", durations.overall)] if durations.overall else []
    rows += [(UNKNOWN if k is None else k, v) for k, v in sorted(
        durations.by_route.items(), key=lambda item: -item[1].count)]  # fmt: skip
    return Table(
        "Time from sent to outcome, by route",
        ("Route", "Deliveries timed", "p50", "p90", "p99"),
        tuple((name, count(found.count), *_percentiles(found)) for name, found in rows if found),
        note="p90 is the smallest time that 90% of the deliveries did not exceed (nearest rank).",
    )


def histogram(durations: Durations) -> Table:
    """The histogram as numbers; empty bins before the first and behind the last are left out."""
    filled = [i for i, one in enumerate(durations.histogram) if one.deliveries]
    bins = durations.histogram[filled[0] : filled[-1] + 1] if filled else ()
    total = sum(one.deliveries for one in bins)
    rows, so_far = [], 0
    for one in bins:
        so_far += one.deliveries
        within = (share(one.deliveries, total), share(so_far, total))
        rows.append((between(one.least, one.below), count(one.deliveries), *within))
    return Table(
        "Time from sent to outcome, distribution",
        ("Time", "Deliveries", "Share", "Share so far"),
        tuple(rows),
    )


def ages(durations: Durations) -> Table:
    """Deliveries without outcome by age."""
    rows = [
        (between(one.least, one.below), *map(count, one.states), count(sum(one.states)))
        for one in durations.open
        if one.least is not None or sum(one.states)
    ]
    totals = [sum(column) for column in zip(*(one.states for one in durations.open), strict=True)]
    return Table(
        f"Deliveries without outcome by age at {time(durations.as_of)}",
        ("Age", *durations.open_states, "All"),
        (*rows, ("All", *map(count, totals), count(sum(totals)))),
    )


def findings(figures: Figures) -> Table:
    """All findings with their counts."""
    total = figures.outcomes.all.total
    return Table(
        "Findings",
        ("Finding", "What it means", "Deliveries", "Share"),
        tuple(
            (words(one.finding), one.means, count(one.deliveries), share(one.deliveries, total))
            for one in figures.noted
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
    return Table(
        f"Deliveries with {words(finding)}",
        ("TRACKINGID", "State", "Route", "To", "Carrier (SPID)", "Began"),
        tuple(
            (d.tracking_id, d.state, d.route or NONE, d.to or NONE, d.spid or NONE,
             time(d.began_at))
            for d in deliveries
        ),
        texts=6,
    )  # fmt: skip


def unread(found: Sequence[Unread], kind: str) -> Table:
    """Events that are unreadable or unrecognised, by what they say."""
    of_kind = [one for one in found if one.kind == kind]
    rows = [_unread(one) for one in of_kind[:MOST_LISTED]]
    if rest := of_kind[MOST_LISTED:]:
        last = (count(sum(one.events for one in rest)), NONE)
        rows.append((*(f"All others ({count(len(rest))})", NONE)[-len(rows[0]) + 2 :], *last))
    if kind == "unreadable":
        head: tuple[str, ...] = ("Why it can't be read", "Events", "First at position")
        return Table("Unreadable bodies, by reason", head, tuple(rows))
    head = ("Code", "Status", "Events", "First at position")
    return Table("Unrecognised events, by code", head, tuple(rows), texts=2)


def _unread(one: Unread) -> tuple[str, ...]:
    said = (one.status or NONE,) if one.kind == "unreadable" else (one.code or "no code",
                                                                   one.status or NONE)  # fmt: skip
    return (*said, count(one.events), str(one.first))


def missing(found: Iterable[Missing]) -> Table:
    """Nodes that events lack, against the specification."""
    return Table(
        "Missing nodes, by node and section of the specification",
        ("Node", "Section", "Events", "First at position"),
        tuple((one.node, one.section, count(one.events), str(one.first)) for one in found),
        texts=2,
    )


def other(found: Other) -> Table:
    """The streams of another chart by state."""
    pairs = zip(found.states, found.all.states, strict=True)
    return Table(
        f"{found.title}, by state",
        ("State", "Number", "Share"),
        tuple((state, count(n), share(n, found.all.total)) for state, n in pairs),
    )


def steps(exhibits: Sequence[Exhibit]) -> Table:
    """The events of a delivery at a glance."""
    return Table(
        "The events in the order in which they are taken",
        ("No.", "Position", "Received", "Occurred", "Code", "Says", "Verdict", "Effect"),
        tuple(
            (str(e.number), str(e.position), time(e.received_at), time(e.occurred_at),
             e.code or NONE, words(e.trigger or NONE), words(e.verdict), effect(e))
            for e in exhibits
        ),
        texts=8,
    )  # fmt: skip


def effect(exhibit: Exhibit) -> str:
    """What an event changed, region by region."""
    pairs = ((exhibit.before[region], exhibit.after[region]) for region in exhibit.after)
    return ", ".join(f"{one} → {other}" for one, other in pairs if one != other) or "none"
