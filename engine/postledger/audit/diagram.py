"""The diagram: one region of a statechart, with the way that a delivery took through it.

States stand in columns by the longest way from the initial state, so that arrows run to the right;
an arrow within a column, or back, bows out at the side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from postledger.audit.dossier import Exhibit
from postledger.definitions.chart import Region, Statechart

_BOX_HEIGHT, _ROW, _GAP, _MARGIN = 36, 62, 78, 28
_LETTER, _PADDING, _TIP, _BADGE = 7.8, 30, 3, 22

Point = tuple[float, float]


@attrs.frozen
class Badge:
    """The number of an event; ``kind`` is ``moved``, ``stayed`` or ``refused``."""

    x: float
    y: float
    text: str
    kind: str


@attrs.frozen
class Box:
    """A state; ``visited`` where the delivery stood in it, ``current`` where it stands now."""

    name: str
    x: float
    y: float
    width: float
    height: float
    final: bool
    visited: bool
    current: bool


@attrs.frozen
class Arrow:
    """A transition between two states, whatever its triggers; ``steps`` took it."""

    path: str
    steps: tuple[int, ...]


@attrs.frozen
class Diagram:
    """One region, drawn."""

    region: str
    title: str
    description: str
    width: float
    height: float
    start: Point
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    badges: tuple[Badge, ...]


@attrs.frozen
class Visit:
    """What one event did in a region."""

    number: int
    before: str
    after: str
    refused: bool


def diagrams(chart: Statechart, exhibits: Sequence[Exhibit]) -> tuple[Diagram, ...]:
    """A diagram for each region of the chart."""
    return tuple(_diagram(region, tuple(_visits(region, exhibits))) for region in chart.regions)


def _visits(region: Region, exhibits: Iterable[Exhibit]) -> Iterator[Visit]:
    """What the events did in a region: those that moved it, and those that it heard in vain."""
    heard = {transition.trigger for transition in region.transitions}
    for e in exhibits:
        before, after = e.before[region.name], e.after[region.name]
        if e.repeats is None and (before != after or e.trigger in heard):
            yield Visit(e.number, before, after, e.verdict == "contradicts")


def _diagram(region: Region, visits: tuple[Visit, ...]) -> Diagram:
    boxes = _boxes(region, visits)
    taken: dict[tuple[str, str], list[int]] = {}
    for visit in visits:
        if visit.before != visit.after:
            taken.setdefault((visit.before, visit.after), []).append(visit.number)
    pairs = [(t.source, t.dest) for t in region.transitions if t.source != t.dest]
    drawn = [
        _arrow(boxes, source, dest, tuple(taken.get((source, dest), ())))
        for source, dest in dict.fromkeys((*pairs, *taken))
    ]
    # Those that were taken lie on top of the others.
    drawn.sort(key=lambda one: len(one[0].steps))
    moved = [_moved(middle, arrow.steps) for arrow, middle in drawn if arrow.steps]
    stayed = [badge for box in boxes.values() for badge in _stayed(box, visits)]
    first = boxes[region.initial]
    ends = [(boxes[source], boxes[dest]) for source, dest in pairs]
    beside = 56.0 if any(one.x == other.x for one, other in ends) else 0.0
    below = max((_depth(one, other) for one, other in ends if other.x < one.x), default=0.0)
    return Diagram(
        region=region.name,
        title=f"Region {region.name} of the statechart, with the path taken",
        description=_described(region, visits),
        width=max(box.x + box.width for box in boxes.values()) + _MARGIN + beside,
        height=round(_floor(boxes.values()) + _MARGIN + below, 1),
        start=(first.x - 22, first.y + first.height / 2),
        boxes=tuple(boxes.values()),
        arrows=tuple(arrow for arrow, _ in drawn),
        badges=(*moved, *stayed),
    )


def _boxes(region: Region, visits: Sequence[Visit]) -> dict[str, Box]:
    columns = _columns(region)
    width = max(len(state) for state in region.states) * _LETTER + _PADDING
    rows = {c: [s for s in region.states if columns[s] == c] for c in set(columns.values())}
    tallest = max(map(len, rows.values()))
    stood = {visit.after for visit in visits} | {visit.before for visit in visits}
    now = visits[-1].after if visits else region.initial
    boxes = {}
    for state in region.states:
        column = columns[state]
        row = rows[column].index(state) + (tallest - len(rows[column])) / 2
        x, y = _MARGIN + 16 + column * (width + _GAP), _MARGIN + row * _ROW
        marks = state in region.final, state in stood, state == now
        boxes[state] = Box(state, round(x, 1), round(y, 1), round(width, 1), _BOX_HEIGHT, *marks)
    return boxes


def _columns(region: Region) -> dict[str, int]:
    """The length of the longest way to each state, what contradicts or leads back left out."""
    onward: dict[str, list[str]] = {state: [] for state in region.states}
    for t in region.transitions:
        if t.source != t.dest and not t.overrides and t.dest not in onward[t.source]:
            onward[t.source].append(t.dest)
    columns = dict.fromkeys(region.states, 0)
    for way in _ways(onward, (region.initial,)):
        columns[way[-1]] = max(columns[way[-1]], len(way) - 1)
    return columns


def _ways(onward: Mapping[str, Sequence[str]], way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """All ways without a circle that begin with ``way``."""
    yield way
    for state in onward[way[-1]]:
        if state not in way:
            yield from _ways(onward, (*way, state))


def _arrow(
    boxes: Mapping[str, Box], source: str, dest: str, steps: tuple[int, ...]
) -> tuple[Arrow, Point]:
    """The arrow and its middle."""
    one, other = boxes[source], boxes[dest]
    between = [box for box in boxes.values() if one.x < box.x < other.x]
    if between:
        path, middle = _past(one, other, between)
    elif other.x > one.x:
        path, middle = _across(one, other)
    elif other.x == one.x:
        path, middle = _around(one, other)
    else:
        path, middle = _back(one, other, _floor(boxes.values()))
    return Arrow(path, steps), middle


def _across(one: Box, other: Box) -> tuple[str, Point]:
    """From the right side to the left side of the next column."""
    start, end = (one.x + one.width, _centre(one)), (other.x - _TIP, _centre(other))
    return _path(start, _bend(start, end)), _halfway(start, end)


def _past(one: Box, other: Box, between: Sequence[Box]) -> tuple[str, Point]:
    """Past the columns between, in the free lane that is nearest to where the arrow ends."""
    start, end = (one.x + one.width, _centre(one)), (other.x - _TIP, _centre(other))
    lane = _lane(_centre(other), between)
    enter = (min(box.x for box in between), lane)
    leave = (max(box.x + box.width for box in between), lane)
    along = f"L{leave[0]:.1f} {leave[1]:.1f}"
    return _path(start, _bend(start, enter), along, _bend(leave, end)), _halfway(enter, leave)


def _lane(wanted: float, between: Sequence[Box]) -> float:
    """The height nearest to ``wanted`` at which no box is in the way."""
    lanes = [wanted + half * _ROW / 2 for half in range(-20, 21)]
    apart = _BOX_HEIGHT / 2 + 6
    free = (y for y in lanes if y > 0 and all(abs(y - _centre(b)) >= apart for b in between))
    return min(free, key=lambda y: (abs(y - wanted), y), default=wanted)


def _around(one: Box, other: Box) -> tuple[str, Point]:
    """Within a column: bowing out on the right."""
    down = other.y > one.y
    start = (one.x + one.width, _centre(one) + (4 if down else -4))
    end = (other.x + other.width + _TIP, _centre(other) + (-6 if down else 6))
    out = max(start[0], end[0]) + 22 + abs(other.y - one.y) / _ROW * 13
    bow = f"C{out:.1f} {start[1]:.1f} {out:.1f} {end[1]:.1f} {end[0]:.1f} {end[1]:.1f}"
    # A cubic curve's middle lies at three quarters of the way out.
    middle = _halfway(start, end)
    return _path(start, bow), (round(middle[0] + (out - middle[0]) * 0.75, 1), middle[1])


def _back(one: Box, other: Box, floor: float) -> tuple[str, Point]:
    """To a column before: below all boxes."""
    start, end = ((box.x + box.width / 2, box.y + box.height) for box in (one, other))
    end = (end[0], end[1] + _TIP)
    lowest = floor + _depth(one, other)
    # A cubic curve comes down to three quarters of the way to its bend.
    bend = lowest + (lowest - (start[1] + end[1]) / 2) / 3
    bow = f"C{start[0]:.1f} {bend:.1f} {end[0]:.1f} {bend:.1f} {end[0]:.1f} {end[1]:.1f}"
    return _path(start, bow), (round((start[0] + end[0]) / 2, 1), round(lowest, 1))


def _depth(one: Box, other: Box) -> float:
    """How far below the boxes an arrow that leads back runs: the longer, the deeper."""
    return 18 + (one.x - other.x) / 14


def _floor(boxes: Iterable[Box]) -> float:
    return max(box.y + box.height for box in boxes)


def _path(start: Point, *pieces: str) -> str:
    return f"M{start[0]:.1f} {start[1]:.1f}{''.join(pieces)}"


def _bend(start: Point, end: Point) -> str:
    """A curve that leaves and arrives level."""
    x = (start[0] + end[0]) / 2
    return f"C{x:.1f} {start[1]:.1f} {x:.1f} {end[1]:.1f} {end[0]:.1f} {end[1]:.1f}"


def _halfway(start: Point, end: Point) -> Point:
    return round((start[0] + end[0]) / 2, 1), round((start[1] + end[1]) / 2, 1)


def _centre(box: Box) -> float:
    return box.y + box.height / 2


def _moved(middle: Point, steps: tuple[int, ...]) -> Badge:
    return Badge(*middle, ", ".join(map(str, steps)), "moved")


def _stayed(box: Box, visits: Sequence[Visit]) -> Iterator[Badge]:
    """The events that left the delivery in this state, along the lower edge of its box."""
    here = [v for v in visits if v.before == v.after == box.name]
    room = int((box.width - 28) // _BADGE) + 1
    for i, visit in enumerate(here[:room]):
        # The last place stands for all that find none.
        text = "…" if i == room - 1 and len(here) > room else str(visit.number)
        kind = "refused" if visit.refused else "stayed"
        yield Badge(box.x + 14 + i * _BADGE, box.y + box.height, text, kind)


def _described(region: Region, visits: Sequence[Visit]) -> str:
    """The path in words, for those who don't see it."""
    said = [f"It starts in {region.initial}."]
    for visit in visits:
        if visit.before != visit.after:
            although = ", contradicting it" if visit.refused else ""
            said.append(
                f"Event {visit.number} moves it from {visit.before} to {visit.after}{although}."
            )
        elif visit.refused:
            said.append(f"Event {visit.number} contradicts and leaves it {visit.after}.")
        else:
            said.append(f"Event {visit.number} leaves it {visit.after}.")
    return " ".join(said)
