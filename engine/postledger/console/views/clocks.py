"""Clocks: when each event occurred, above, and when it was received, below, in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median

import attrs

from postledger.audit.dossier import Exhibit

MOST = 12
"""Events that are drawn."""

_LEFT, _RIGHT = 5.0, 95.0
_LEAST = 0.045
_CUT = 4.0
_NEAR = 17.0


@attrs.frozen
class Mark:
    """An event on one of the clocks: x in per cent, ``level`` 0 or 1 that labels don't meet."""

    number: int
    x: float
    at: datetime
    word: str
    kind: str
    level: int
    anchor: str


@attrs.frozen
class Link:
    """An event from the one clock to the other; ``late`` where it came after others that follow it."""

    above: float
    below: float
    late: bool
    idle: bool


@attrs.frozen
class Clocks:
    """The picture; ``breaks`` are where time was left out, in per cent."""

    above: tuple[Mark, ...]
    below: tuple[Mark, ...]
    links: tuple[Link, ...]
    breaks: tuple[float, ...]
    left: int

    @property
    def description(self) -> str:
        """The picture in words."""
        times = {mark.number: mark for mark in self.below}
        said = [
            f"Event {mark.number}, {mark.word}, occurred at {mark.at:%H:%M:%S}"
            f" and was received at {times[mark.number].at:%H:%M:%S}."
            for mark in self.above
        ]
        return " ".join(said) or "No event names the time at which it occurred."


def clocks_of(exhibits: Sequence[Exhibit]) -> Clocks:
    """The picture of the first events."""
    drawn = exhibits[:MOST]
    placed, breaks = _placed(
        [at for one in drawn for at in (one.occurred_at, one.received_at) if at is not None]
    )
    above = [(one, one.occurred_at) for one in drawn if one.occurred_at is not None]
    links = tuple(
        Link(placed[at], placed[one.received_at], "late" in one.findings, _kind(one) == "idle")
        for one, at in above
    )
    return Clocks(
        above=_marks(above, placed),
        below=_marks([(one, one.received_at) for one in drawn], placed),
        links=links,
        breaks=breaks,
        left=len(exhibits) - len(drawn),
    )


def _placed(times: Sequence[datetime]) -> tuple[dict[datetime, float], tuple[float, ...]]:
    """Where times stand: in proportion, but the least gaps are widened and the largest cut."""
    distinct = sorted(set(times))
    gaps = [(late - early).total_seconds() for early, late in pairwise(distinct)]
    if not gaps:
        return dict.fromkeys(distinct, (_LEFT + _RIGHT) / 2), ()
    most = _CUT * median(gaps)
    cut = [gap > most for gap in gaps]
    kept = [min(gap, most) for gap in gaps]
    least = _LEAST * sum(kept)
    kept = [max(gap, least) for gap in kept]
    scale, at = (_RIGHT - _LEFT) / sum(kept), _LEFT
    placed, breaks = {distinct[0]: at}, []
    for time, gap, is_cut in zip(distinct[1:], kept, cut, strict=True):
        if is_cut:
            breaks.append(round(at + gap * scale / 2, 2))
        at += gap * scale
        placed[time] = round(at, 2)
    return placed, tuple(breaks)


def _marks(
    events: Sequence[tuple[Exhibit, datetime]], placed: dict[datetime, float]
) -> tuple[Mark, ...]:
    marks: list[Mark] = []
    ends = [-100.0, -100.0]
    for one, at in sorted(events, key=lambda pair: (pair[1], pair[0].number)):
        x = placed[at]
        level = 0 if x - ends[0] >= _NEAR else 1 if x - ends[1] >= _NEAR else -1
        if level >= 0:
            ends[level] = x
        anchor = "start" if x < 12 else "end" if x > 88 else "middle"
        marks.append(Mark(one.number, x, at, _word(one), _kind(one), level, anchor))
    return tuple(marks)


def _word(one: Exhibit) -> str:
    """What an event says, in a word: the state that it leads to, or its trigger."""
    if one.repeats is not None:
        return "again"
    moved = [state for region, state in one.after.items() if one.before.get(region) != state]
    return moved[0] if moved else (one.trigger or "unread").replace("_", " ")


def _kind(one: Exhibit) -> str:
    if one.verdict == "contradicts":
        return "against"
    return "idle" if one.before == one.after else "moved"
