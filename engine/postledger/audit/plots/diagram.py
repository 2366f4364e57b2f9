"""The diagram: one region of a statechart, with the way that a delivery took through it.

States stand in columns by the longest way from the initial state, so that arrows run to the right;
an arrow within a column, or back, bows out at the side. Where a picture is turned the columns are rows,
and arrows run down: all is laid out as if they ran to the right, and turned at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from postledger.audit.dossier import Exhibit
from postledger.definitions.chart import Region, Statechart

_BOX_HEIGHT, _ROW, _MARGIN = 36, 62, 28
_LETTER, _PADDING, _TIP, _BADGE = 7.8, 30, 3, 22
_SIDE, _BETWEEN = 6, 8
_POINT = re.compile(r"(-?[0-9.]+) (-?[0-9.]+)")


@attrs.frozen
class Style:
    """How much room a picture has: ``gap`` between the columns, for the arrows.

    Where they are ``fitted`` each column is as wide as its widest state. ``turned`` is for pages of the
    width of a phone.
    """

    gap: float = 78
    fitted: bool = False
    turned: bool = False


WIDE, COMPACT, TURNED = Style(), Style(44, fitted=True), Style(34, turned=True)


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

    @property
    def centre(self) -> complex:
        """The point in its middle."""
        return complex(self.x + self.width / 2, self.y + self.height / 2)


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
    start: tuple[float, float]
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


def diagrams(
    chart: Statechart, exhibits: Sequence[Exhibit], style: Style = WIDE
) -> tuple[Diagram, ...]:
    """A diagram for each region of the chart."""
    return tuple(
        _diagram(region, tuple(_visits(region, exhibits)), style) for region in chart.regions
    )


def _visits(region: Region, exhibits: Iterable[Exhibit]) -> Iterator[Visit]:
    """What the events did in a region: those that moved it, and those that it heard in vain."""
    heard = {transition.trigger for transition in region.transitions}
    for e in exhibits:
        before, after = e.before[region.name], e.after[region.name]
        if e.repeats is None and (before != after or e.trigger in heard):
            yield Visit(e.number, before, after, e.verdict == "contradicts")


def _diagram(region: Region, visits: tuple[Visit, ...], style: Style) -> Diagram:
    boxes = _boxes(region, visits, style)
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
    against = {visit.number for visit in visits if visit.refused}
    moved = [
        Badge(
            round(at.real, 1),
            round(at.imag, 1),
            ", ".join(map(str, arrow.steps)),
            "moved" if against.isdisjoint(arrow.steps) else "refused",
        )
        for arrow, at in drawn
        if arrow.steps
    ]
    first = boxes[region.initial]
    ends = [(boxes[source], boxes[dest]) for source, dest in pairs]
    beside = 56.0 if any(one.x == other.x for one, other in ends) else 0.0
    below = max((_depth(one, other) for one, other in ends if other.x < one.x), default=0.0)
    lowest, edge = _floor(boxes.values()) + below, _MARGIN
    if style.turned:
        # There is hardly room for an arrow next to the states.
        points = (float(y) for one, _ in drawn for _, y in _POINT.findall(one.path))
        lowest, edge = max([lowest, *points]), _SIDE
    made = Diagram(
        region=region.name,
        title=f"Region {region.name} of the statechart, with the path taken",
        description=_described(region, visits),
        width=max(box.x + box.width for box in boxes.values()) + _MARGIN + beside,
        height=round(lowest + edge, 1),
        start=(first.x - 22, first.centre.imag),
        boxes=tuple(boxes.values()),
        arrows=tuple(arrow for arrow, _ in drawn),
        badges=tuple(moved),
    )
    made = _turned(made) if style.turned else made
    stayed = (badge for box in made.boxes for badge in _stayed(box, visits))
    return attrs.evolve(made, badges=(*made.badges, *stayed))


def _turned(one: Diagram) -> Diagram:
    """The diagram with its columns as rows."""
    return attrs.evolve(
        one,
        width=one.height,
        height=one.width,
        start=one.start[::-1],
        boxes=tuple(
            attrs.evolve(box, x=box.y, y=box.x, width=box.height, height=box.width)
            for box in one.boxes
        ),
        arrows=tuple(
            attrs.evolve(arrow, path=_POINT.sub(r"\2 \1", arrow.path)) for arrow in one.arrows
        ),
        badges=tuple(attrs.evolve(badge, x=badge.y, y=badge.x) for badge in one.badges),
    )


def _boxes(region: Region, visits: Sequence[Visit], style: Style) -> dict[str, Box]:
    columns = _columns(region)
    rows = {c: [s for s in region.states if columns[s] == c] for c in set(columns.values())}
    tallest = max(map(len, rows.values()))
    stood = {visit.after for visit in visits} | {visit.before for visit in visits}
    now = visits[-1].after if visits else region.initial
    widest = _wide(region.states, style)
    # Along the way, and across it.
    along = {c: _wide(states, style) if style.fitted else widest for c, states in rows.items()}
    size, row, edge = _BOX_HEIGHT, float(_ROW), _MARGIN
    if style.turned:
        along = dict.fromkeys(rows, float(_BOX_HEIGHT))
        size, row, edge = round(widest), widest + _BETWEEN, _SIDE
    boxes = {}
    for state in region.states:
        column = columns[state]
        place = rows[column].index(state) + (tallest - len(rows[column])) / 2
        # A column may be without states.
        before = sum(along.get(c, widest) + style.gap for c in range(column))
        x, y = _MARGIN + 16 + before, edge + place * row
        marks = state in region.final, state in stood, state == now
        boxes[state] = Box(state, round(x, 1), round(y, 1), round(along[column], 1), size, *marks)
    return boxes


def _wide(states: Iterable[str], style: Style) -> float:
    """How wide the widest of some states is."""
    letter, padding = _LETTER, _PADDING
    if style.fitted or style.turned:
        letter, padding = (7.4, 24) if style.fitted else (7.2, 12)
    return max(map(len, states)) * letter + padding


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
) -> tuple[Arrow, complex]:
    """The arrow and its middle."""
    one, other = boxes[source], boxes[dest]
    between = [box for box in boxes.values() if one.x < box.x < other.x]
    start, end = one.centre + one.width / 2, other.centre - other.width / 2 - _TIP
    if between:
        pieces, middle = _past(start, end, between)
    elif other.x > one.x:
        pieces, middle = _level(start, end), (start + end) / 2
    elif other.x == one.x:
        start, pieces, middle = _around(one, other)
    else:
        start, pieces, middle = _back(one, other, _floor(boxes.values()))
    return Arrow(f"M{_xy(start)}{pieces}", steps), middle


def _past(start: complex, end: complex, between: Sequence[Box]) -> tuple[str, complex]:
    """Past the columns between, in the free lane that is nearest to where the arrow ends."""
    # In turned pictures states are higher than they are wide, until they are turned.
    size = between[0].height
    lanes = [end.imag + half * _ROW / 2 for half in range(-20, 21)]
    apart = size / 2 + 6
    free = (y for y in lanes if y > 0 and all(abs(y - b.centre.imag) >= apart for b in between))
    lane = min(free, key=lambda y: (abs(y - end.imag), y), default=end.imag)
    enter = complex(min(box.x for box in between), lane)
    leave = complex(max(box.x + box.width for box in between), lane)
    return f"{_level(start, enter)}L{_xy(leave)}{_level(leave, end)}", (enter + leave) / 2


def _around(one: Box, other: Box) -> tuple[complex, str, complex]:
    """Within a column: bowing out on the right."""
    down = 1 if other.y > one.y else -1
    start = one.centre + complex(one.width / 2, 4 * down)
    end = other.centre + complex(other.width / 2 + _TIP, -6 * down)
    out = max(start.real, end.real) + 22 + min(40, abs(other.y - one.y) / _ROW * 13)
    # A cubic curve's middle lies at three quarters of the way out.
    middle = (start + end) / 2
    middle += (out - middle.real) * 0.75
    return start, _bow(complex(out, start.imag), complex(out, end.imag), end), middle


def _back(one: Box, other: Box, floor: float) -> tuple[complex, str, complex]:
    """To a column before: below all boxes."""
    start = one.centre + complex(0, one.height / 2)
    end = other.centre + complex(0, other.height / 2 + _TIP)
    lowest = floor + _depth(one, other)
    # A cubic curve comes down to three quarters of the way to its bend.
    bend = lowest + (lowest - (start.imag + end.imag) / 2) / 3
    middle = complex((start.real + end.real) / 2, lowest)
    return start, _bow(complex(start.real, bend), complex(end.real, bend), end), middle


def _depth(one: Box, other: Box) -> float:
    """How far below the boxes an arrow that leads back runs: the longer, the deeper."""
    return 18 + (one.x - other.x) / 14


def _floor(boxes: Iterable[Box]) -> float:
    return max(box.y + box.height for box in boxes)


def _level(start: complex, end: complex) -> str:
    """A curve that leaves and arrives level."""
    x = (start.real + end.real) / 2
    return _bow(complex(x, start.imag), complex(x, end.imag), end)


def _bow(*points: complex) -> str:
    return f"C{' '.join(map(_xy, points))}"


def _xy(point: complex) -> str:
    return f"{point.real:.1f} {point.imag:.1f}"


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
        did = f"leaves it {visit.after}"
        if visit.before != visit.after:
            although = ", contradicting it" if visit.refused else ""
            did = f"moves it from {visit.before} to {visit.after}{although}"
        elif visit.refused:
            did = f"contradicts and {did}"
        said.append(f"Event {visit.number} {did}.")
    return " ".join(said)
