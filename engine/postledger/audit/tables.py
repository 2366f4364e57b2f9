"""Tables: the figures of a report as rows of words, for HTML and Markdown alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

import attrs

from postledger.audit.argument import QUESTIONING
from postledger.audit.dossier import Exhibit
from postledger.audit.durations import Durations, Percentiles
from postledger.audit.events import Kinds, Missing, Unread
from postledger.audit.figures import Figures, Other, Sums
from postledger.audit.findings import Found
from postledger.audit.integrity import Definition
from postledger.audit.mask import traced
from postledger.audit.outcomes import Breakdown, Group, Outcomes, Reasons
from postledger.audit.pairs import Contradictions, Side
from postledger.audit.plots.calendar import spans, summed, unit_of
from postledger.audit.words import NONE, bare, between, count, second, share, span
from postledger.model import Amount, Position, part_line, place_line, plain

MOST_ROWS = 12
"""How many rows a table of groups has; the data has more."""

MOST_PAIRS = 5
"""How many contradictions are shown event by event; the data has more."""

MOST_LATEST = 3
"""How many deliveries are shown with each finding; the data has more, and a command lists all."""

PERCENTS = ("Half within", "90% within", "99% within")

_NARROW = 4

UNKNOWN = "not known"
COMMON = "common space"


@attrs.frozen
class Cell:
    """A picture in a row, in per cent: a bar up to ``now``, or a dot there and a ring at ``then``."""

    now: float
    then: float | None = None
    bar: bool = False


Key = tuple[str, Position]
"""What tells a delivery in a report: its id as shown, and the position of its first event."""


@attrs.frozen
class Made:
    """A dossier next to a report: its number and file, and its delivery's name and state."""

    number: int
    file: str
    name: str
    state: str


@attrs.frozen
class Table:
    """A table; the first ``texts`` columns are words, and those of ``words``; all others numbers.

    ``marks`` name, for each row or for none, the state whose sign stands before its first cell, ``keys``
    the delivery that the cell in column ``link`` is about, ``files`` where that cell leads whatever the
    delivery is, ``cells`` the picture in column ``drawn``. ``places`` are columns that lead to a place on
    the page of that delivery, or else on this one.
    Column ``code`` holds hashes. ``told`` says that the heading says what the caption does, ``total``
    that the last row is one.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1
    note: str | None = None
    marks: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    files: tuple[str, ...] = ()
    places: tuple[Mapping[int, str], ...] = ()
    link: int = 0
    cells: tuple[Cell | None, ...] = ()
    drawn: int = 0
    words: tuple[int, ...] = ()
    code: int | None = None
    told: bool = False
    total: bool = False

    @property
    def is_of_numbers(self) -> bool:
        """Whether all but the first column are numbers: two of these have room side by side."""
        return self.texts == 1 and not self.words

    @property
    def is_narrow(self) -> bool:
        """Whether it has room on a phone as it is."""
        return self.is_of_numbers and len(self.head) <= _NARROW

    def is_word(self, column: int) -> bool:
        """Whether a column holds words."""
        return column < self.texts or column in self.words


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
        total=True,
    )


def days(outcomes: Outcomes, since: datetime | None, until: datetime) -> Table:
    """Deliveries by the day on which they began, or by week or month where there are many days."""
    groups = outcomes.days.groups
    unit = unit_of(groups)
    shown = [(one.label, one.group) for one in spans(groups, unit, since, until)]
    rest = outcomes.days.rest
    if rest is not None:
        shown.insert(0, (f"Earlier days ({count(outcomes.days.kinds)})", rest))
    notes = {"day": None, "week": "Weeks are from Monday to Sunday; the data has the days."}
    return Table(
        f"Deliveries by {unit} (UTC) on which they began"
        if unit == "day"
        else f"Deliveries by {unit} (UTC) in which they began",
        (unit.capitalize(), *_counted(outcomes)),
        tuple(_group(name, group, outcomes) for name, group in shown),
        note=notes.get(unit, "The data has the days."),
    )


def grouped(
    outcomes: Outcomes,
    breakdown: Breakdown,
    caption: str,
    label: str,
) -> Table:
    """Deliveries by something and by state: the largest groups, all others together."""
    shown = breakdown.groups[:MOST_ROWS]
    groups = [(UNKNOWN if g.label is None else g.label or COMMON, g) for g in shown]
    others = (*breakdown.groups[MOST_ROWS:], *filter(None, [breakdown.rest]))
    if others:
        kinds = len(breakdown.groups) - len(shown) + breakdown.kinds
        groups.append((f"All others ({count(kinds)})", summed(others)))
    return Table(
        caption,
        (label, *_counted(outcomes)),
        tuple(_group(name, group, outcomes) for name, group in groups),
    )


def _counted(outcomes: Outcomes) -> tuple[str, ...]:
    """The heads of the columns of a group."""
    success = " or ".join(sorted(outcomes.succeeded)) or "success"
    return "Deliveries", f"{success}, share", *outcomes.states


def _group(name: str, group: Group, outcomes: Outcomes) -> tuple[str, ...]:
    pairs = zip(outcomes.states, group.states, strict=True)
    succeeded = sum(n for state, n in pairs if state in outcomes.succeeded)
    counts = (count(n) if n else NONE for n in group.states)
    return (name, count(group.total), share(succeeded, group.total), *counts)


def percentiles_of(found: Percentiles) -> tuple[str, str, str]:
    """The percentiles as words."""
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
        note=_hidden(found.hidden),
    )


def _hidden(deliveries: int) -> str | None:
    """That reasons are not shown, and how to see them; ``None`` where all are."""
    if not deliveries:
        return None
    of = "1 delivery" if deliveries == 1 else f"{count(deliveries)} deliveries"
    return (
        f"The reason of {of} is hidden, or a part of it: no vocabulary lists it, and it may hold a"
        " number or a name. --unmask shows all as received."
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
        ("Route", "Deliveries timed", *PERCENTS),
        tuple((name, count(found.count), *percentiles_of(found)) for name, found in rows),
        note="By nearest rank: the smallest time that so many of the deliveries did not exceed.",
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


def findings(figures: Figures, *, questioning: bool) -> Table:
    """The findings that deliveries have: those that question the outcome, or all others.

    Those come in their fixed order, the gravest first; these by how many deliveries have them.
    """
    total = figures.outcomes.all.total
    found = [
        one
        for one in figures.findings
        if one.deliveries and (one.finding in QUESTIONING) == questioning
    ]
    if not questioning:
        found.sort(key=lambda one: -one.deliveries)
    most = max((one.deliveries for one in figures.findings), default=1) or 1
    return Table(
        "Findings that question an outcome" if questioning else "Findings of form or arrival",
        ("Finding", "What it says", "Deliveries", "Share", "Most at carrier (SPID)", "Latest"),
        tuple(
            (
                words(one.finding).capitalize(),
                one.means,
                count(one.deliveries),
                share(one.deliveries, total),
                _most(one),
                traced(one.listed[0].tracking_id, one.listed[0].first),
            )
            for one in found
        ),
        texts=2,
        keys=tuple((one.listed[0].tracking_id, one.listed[0].first) for one in found),
        link=5,
        cells=tuple(Cell(round(100 * one.deliveries / most, 1), bar=True) for one in found),
        drawn=3,
        words=(4, 5),
    )


def _most(found: Found) -> str:
    at = found.carriers[0]
    return f"{UNKNOWN if at.label is None else at.label}: {count(at.deliveries)}"


def absent(figures: Figures) -> str:
    """The findings that no delivery has, as words."""
    return ", ".join(words(one.finding) for one in figures.findings if not one.deliveries)


def upheld(found: Contradictions) -> Table:
    """Which claims stand over which others."""
    few = found.compared < found.deliveries
    return Table(
        "Contradictions by what stands",
        ("Stands, over what", "Pairs", "Came late", "Median apart", "Widest apart"),
        tuple(
            (
                f"{words(one.stands)} over {words(one.over)}",
                count(one.pairs),
                count(one.late),
                _apart(one.median),
                _apart(one.widest),
            )
            for one in found.kinds
        ),
        marks=tuple(one.stands for one in found.kinds),
        note="Late: what doesn't stand arrived after an event that follows it. Apart: by the provider's"
        " clock." + (f" Of the latest {count(found.compared)} deliveries alone." if few else ""),
        told=True,
    )


def pairs(found: Contradictions) -> Table:
    """The latest contradictions: which event said what and when, which contradicts it, what stands."""
    shown = found.latest[:MOST_PAIRS]
    return Table(
        "The latest contradictions, event by event",
        ("TRACKINGID", "Taken first", "Contradicted by", "Apart", "Stands", "Carrier (SPID)"),
        tuple(
            (
                traced(one.tracking_id, one.first),
                _side(one.earlier),
                _side(one.against),
                _apart(one.apart),
                words(one.stands),
                one.spid or NONE,
            )
            for one in shown
        ),
        texts=3,
        keys=tuple((one.tracking_id, one.first) for one in shown),
        places=tuple(
            {at: f"#event-{one.event}" for at, one in ((1, p.earlier), (2, p.against)) if one}
            for p in shown
        ),
        words=(4, 5),
        note=None
        if found.deliveries <= len(shown)
        else f"The latest of {count(found.deliveries)}"
        " deliveries that have a contradiction; the data has more of them.",
    )


def _side(side: Side | None) -> str:
    if side is None:
        return "where the chart begins"
    at = "without a time" if side.occurred_at is None else bare(side.occurred_at)
    place = place_line(side.position, side.member)
    return f"event {side.event} (position {place}): {words(side.says)}, {at}"


def _apart(seconds: float | None) -> str:
    return NONE if seconds is None else span(round(seconds * 1_000_000))


def words(finding: str) -> str:
    """A finding for people.

    >>> words("no_creation")
    'no creation'
    """
    return finding.replace("_", " ")


def listed(found: Found) -> Table:
    """The latest deliveries that a finding concerns."""
    shown = found.listed[:MOST_LATEST]
    rows = (
        (traced(d.tracking_id, d.first), words(d.state), d.spid, _second(d.began_at)) for d in shown
    )
    return Table(
        f"Deliveries with {words(found.finding)}",
        ("TRACKINGID", "State", "Carrier (SPID)", "Began (UTC)"),
        tuple(tuple(cell or NONE for cell in row) for row in rows),
        texts=4,
        keys=tuple((d.tracking_id, d.first) for d in shown),
    )


def dossiers(made: Sequence[Made]) -> Table:
    """All dossiers that stand next to a report, in the order of their numbers."""
    return Table(
        "All dossiers of this bundle",
        ("TRACKINGID", "State", "Number"),
        tuple((one.name, words(one.state), f"{one.number:03}") for one in made),
        texts=2,
        files=tuple(one.file for one in made),
        told=True,
    )


def unreadable(found: Kinds) -> Table:
    """Events whose body can't be read, by the kind of error."""
    rows = [(one.status or NONE,) for one in found.listed]
    return _unread(found, "Unreadable bodies by kind of error", ("Kind of error",), rows)


def unverified(found: Kinds) -> Table:
    """Events whose sender check failed, by the source that received them."""
    rows = [(one.status or NONE,) for one in found.listed]
    return _unread(found, "Unverified events, by source", ("Source",), rows)


def unrecognised(found: Kinds) -> Table:
    """Events that the vocabularies don't know, by what they say."""
    rows = [(one.code or "no code", one.status or NONE) for one in found.listed]
    return _unread(
        found, "Unrecognised events, by code", ("Code as received", "Status as received"), rows
    )


def _unread(
    found: Kinds, caption: str, head: tuple[str, ...], named: Sequence[tuple[str, ...]]
) -> Table:
    pairs = zip(named, found.listed, strict=True)
    rows = [
        (*names, count(one.events), *map(_second, _received(one)), str(one.first))
        for names, one in pairs
    ]
    if found.kinds:
        names = (f"All others ({count(found.kinds)})", NONE)[: len(head)]
        rows.append((*names, count(found.rest), NONE, NONE, NONE))
    ends = ("First received (UTC)", "Last received (UTC)", "First at position")
    dates = (len(head) + 1, len(head) + 2)
    return Table(caption, (*head, "Events", *ends), tuple(rows), len(head), words=dates)


def _received(found: Unread) -> tuple[datetime | None, datetime | None]:
    return found.first_received_at, found.last_received_at


def _second(at: datetime | None) -> str:
    """A time of ours to the second, without its zone."""
    return NONE if at is None else second(at).removesuffix(" UTC")


def missing(found: Iterable[Missing]) -> Table:
    """Fields that events lack, against the specification."""
    return Table(
        "Missing fields, by field and section of the specification",
        ("Field", "Section", "Events", "First at position"),
        tuple((one.node, one.section, count(one.events), str(one.first)) for one in found),
        texts=2,
    )


def definitions(found: Iterable[Definition]) -> Table:
    """The charts and vocabularies that a report was read by."""
    return Table(
        "Charts and vocabularies that the report was read by",
        ("Name", "Version", "What it says", "SHA-256 of its content"),
        tuple((f"{one.name} ({one.kind})", str(one.version), one.title, one.hash) for one in found),
        texts=4,
        code=3,
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
            *(str(e.number), place(e), bare(e.received_at), bare(e.occurred_at)),
            *(e.code or NONE, says(e), verdict(e), effect(e)),
        )
        for e in exhibits
    )
    head = ("Event", "Position", "Received (UTC)", "Occurred (UTC)", "Code", "Says", "Verdict")
    return Table(
        "The events in the order in which they are taken",
        (*head, "Effect"),
        rows,
        texts=8,
        places=tuple({0: f"#event-{e.number}", 1: f"#{mark(e)}"} for e in exhibits),
    )


def place(exhibit: Exhibit) -> str:
    """Where an event stands in the log."""
    return place_line(exhibit.position, exhibit.member)


def mark(exhibit: Exhibit) -> str:
    """What that place is called within a page; the name of a ledger may have blanks."""
    return f"position-{quote(place(exhibit), safe=':.')}"


def says(exhibit: Exhibit) -> str:
    """What an event says, and about which part of the message."""
    said = words(exhibit.trigger or NONE)
    return f"{said} ({part_line(exhibit.part)})" if exhibit.part else said


def verdict(exhibit: Exhibit) -> str:
    """The verdict on an event, and where the one stands that it contradicts."""
    # What it repeats stands at its own position.
    against = exhibit.against if exhibit.verdict == "contradicts" else None
    return words(exhibit.verdict) + ("" if against is None else f" position {against}")


def effect(exhibit: Exhibit) -> str:
    """What an event changed, region by region."""
    pairs = ((exhibit.before[region], exhibit.after[region]) for region in exhibit.after)
    return ", ".join(f"{one} → {other}" for one, other in pairs if one != other) or "none"
