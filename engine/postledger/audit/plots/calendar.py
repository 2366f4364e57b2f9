"""The calendar: days as they are where there are few, else weeks or months, and a period's name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import add
from typing import Literal

import attrs

from postledger.audit.figures import Figures
from postledger.audit.outcomes import Before, Group
from postledger.audit.request import Request, is_day
from postledger.audit.words import NONE, points, share

MOST_DAYS = 14
"""More days are shown as weeks."""

MOST_WEEKS = 27
"""More weeks are shown as months."""

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

Unit = Literal["day", "week", "month"]


@attrs.frozen
class Span:
    """The deliveries of some days; ``part`` says that the period has only some of the days."""

    first: date
    last: date
    name: str
    part: bool
    group: Group

    @property
    def label(self) -> str:
        """Its name, and whether it is a part of it."""
        return f"{self.name}, part" if self.part else self.name


def unit_of(groups: Sequence[Group]) -> Unit:
    """In which units days are shown."""
    days = [_date(group) for group in groups if group.label]
    size = (max(days) - min(days)).days + 1 if days else 0
    if size <= MOST_DAYS:
        return "day"
    return "week" if size <= 7 * MOST_WEEKS else "month"


def spans(
    groups: Sequence[Group], unit: Unit, since: datetime | None, until: datetime
) -> tuple[Span, ...]:
    """Groups by day as spans of a unit; ``since`` and ``until`` are the ends of what was counted."""
    days = sorted((group for group in groups if group.label), key=_date)
    return tuple(
        _span(unit, first, tuple(held), since, until)
        for first, held in groupby(days, lambda group: _first(unit, _date(group)))
    )


def _span(
    unit: Unit, first: date, held: Sequence[Group], since: datetime | None, until: datetime
) -> Span:
    after = _first(unit, first + timedelta(days={"day": 1, "week": 7, "month": 31}[unit]))
    last = after - timedelta(days=1)
    early = since is not None and since > _start(first)
    part = unit != "day" and (early or until < _start(after))
    begun = max(first, since.astimezone(UTC).date()) if since is not None else first
    ended = min(last, (until.astimezone(UTC) - timedelta(microseconds=1)).date())
    shown = (begun, max(begun, ended)) if part else (first, last)
    name = _named(unit, *shown)
    return Span(first, last, name, part, summed(held))


def _named(unit: Unit, first: date, last: date) -> str:
    if unit == "day":
        return first.isoformat()
    return month(first) if unit == "month" else between(first, last)


def summed(groups: Iterable[Group]) -> Group:
    """Groups as one, without a label; at least one is required."""
    first, *others = groups
    total = Group(None, first.total, first.states)
    for group in others:
        states = tuple(map(add, total.states, group.states))
        total = Group(None, total.total + group.total, states)
    return total


def _date(group: Group) -> date:
    return date.fromisoformat(group.label or "")


def _first(unit: Unit, day: date) -> date:
    """The day on which the unit begins in which a day lies; weeks begin on Monday."""
    if unit == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if unit == "week" else day


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def month(day: date) -> str:
    """The month of a day.

    >>> month(date(2026, 10, 3))
    'October 2026'
    """
    return f"{_MONTHS[day.month - 1]} {day.year}"


def short(day: date) -> str:
    """A day without its year.

    >>> short(date(2026, 10, 3))
    '3 Oct'
    """
    return f"{day.day} {_MONTHS[day.month - 1][:3]}"


def between(first: date, last: date) -> str:
    """The days from one to another.

    >>> between(date(2026, 9, 28), date(2026, 10, 4)), between(date(2026, 10, 5), date(2026, 10, 11))
    ('28 Sep to 4 Oct 2026', '5 to 11 Oct 2026')
    """
    if first == last:
        return f"{short(first)} {first.year}"
    if first.year != last.year:
        return f"{short(first)} {first.year} to {short(last)} {last.year}"
    begun = short(first) if first.month != last.month else str(first.day)
    return f"{begun} to {short(last)} {last.year}"


def period(since: datetime | None, until: datetime | None) -> str:
    """A period's name: its month, its days, or its ends; by the clocks of the zone in which it is given.

    >>> period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    'October 2026'
    """
    if since is None or until is None:
        ends = ((since, "since"), (until, "until"))
        said = [f"{word} {_moment(end)}" for end, word in ends if end is not None]
        return said[0].capitalize() if said else "All deliveries"
    if not (is_day(since) and is_day(until)):
        return f"{_moment(since)} to {_moment(until)}"
    first, last = since.date(), until.date() - timedelta(days=1)
    whole = first.day == 1 and until.day == 1
    return month(first) if whole and month(first) == month(last) else between(first, last)


def _moment(at: datetime) -> str:
    said = at if is_day(at) else at.astimezone(UTC)
    day = f"{short(said.date())} {said.year}"
    return day if is_day(at) else f"{day} {said:%H:%M} UTC"


def headline(figures: Figures, request: Request) -> str:
    """The share of success in a period, and by how much it changed."""
    name, o = period(request.since, request.until), figures.outcomes
    if not o.all.total:
        return f"{name}: no deliveries"
    said = f"{name}: {share(o.count(o.succeeded), o.all.total)} {' or '.join(sorted(o.succeeded))}"
    changed = points(o.rate(o.all), None if figures.before is None else o.rate(figures.before.all))
    if changed in (NONE, "0.0"):
        return said
    than = f"{'more' if changed[0] == '+' else 'fewer'} than in {name_of(figures.before)}"
    return f"{said}, {changed[1:]}\u00a0points {than}"


def name_of(before: Before | None) -> str:
    """The period before by the name of its month, or as what it is."""
    name = "" if before is None else period(before.since, before.until)
    return name if name.partition(" ")[0] in _MONTHS else "the period before"
