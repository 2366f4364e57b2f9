"""Cases: one delivery as its page has it, as of any of the events that it was known by."""

from __future__ import annotations

from datetime import datetime

import attrs

from postledger.audit.argument import Argument, argument
from postledger.audit.dossier import Dossier, Exhibit, dossier
from postledger.audit.mask import Mask
from postledger.audit.request import Request
from postledger.console.asking import Asking, Place
from postledger.console.views.bodies import Body, body_of
from postledger.console.views.clocks import Clocks, clocks_of
from postledger.errors import UnknownKey
from postledger.findings import Finding, names
from postledger.ledger.connections import Own
from postledger.model import DELIVERY, Anchor, Delivery, Event, Timeline
from postledger.state.changes import known_after_each
from postledger.times import time_of

MOST_EVENTS = 200
"""Events of a delivery that its page shows."""

MOST_STOPS = 7
"""Places of the slider that are named."""

_SEVERAL = names(Finding.RECIPIENT_DIFFERS)[0]


@attrs.frozen
class Stop:
    """A place of the slider: the delivery as known after ``number`` events, the last at ``position``.

    ``event`` is the number of that event among all that are known now.
    """

    number: int
    position: int
    at: datetime
    state: str
    event: int


@attrs.frozen
class Asked:
    """Which delivery is asked for, and as of when; ``event`` is the one whose body is shown."""

    key: str
    space: str | None = None
    stop: int | None = None
    at: datetime | None = None
    event: int | None = None
    unmask: bool = False


@attrs.frozen
class Case:
    """One delivery: its dossier as of the stop that was asked for, and all stops there are.

    Events are numbered among all that are known now, whatever the stop: a number means one event.
    ``stream`` is its space and its id as they are, which are shown nowhere.
    """

    stream: tuple[str, str] = attrs.field(repr=False)
    name: str
    link: dict[str, str]
    dossier: Dossier
    argument: Argument
    stops: tuple[Stop, ...]
    stop: Stop
    clocks: Clocks
    shown: Exhibit
    body: Body
    anchor: Anchor
    left: int
    known: int

    @property
    def delivery(self) -> Delivery:
        """The delivery as of the stop, masked."""
        return self.dossier.delivery

    @property
    def is_latest(self) -> bool:
        """Whether nothing came after the stop."""
        return self.stop == self.stops[-1]

    @property
    def named(self) -> tuple[Stop, ...]:
        """The stops that are named: first, last, the one shown, and those that changed a state."""
        if len(self.stops) <= MOST_STOPS:
            return self.stops
        pairs = zip(self.stops[1:], self.stops, strict=False)
        moved = [stop for stop, before in pairs if stop.state != before.state]
        kept = [self.stops[0], self.stop, self.stops[-1], *reversed(moved)]
        chosen = {one.number for one in list(dict.fromkeys(kept))[:MOST_STOPS]}
        return tuple(one for one in self.stops if one.number in chosen)

    def beside(self, step: int) -> int | None:
        """The number of the event so many places after the one shown; ``None`` where there is none."""
        numbers = [one.number for one in self.dossier.exhibits]
        at = numbers.index(self.shown.number) + step
        return numbers[at] if 0 <= at < len(numbers) else None

    @property
    def problems(self) -> tuple[str, ...]:
        """What doesn't hold: proofs that lead elsewhere."""
        return self.dossier.problems


def case_of(asking: Asking, asked: Asked) -> Case:
    """The case of a delivery; raises ``UnknownKey`` where nothing was known of it then."""
    ledger = asking.ledger
    with asking.read() as own:
        now = ledger.delivery(asked.key, space=asked.space)
        space, key = now.space, now.tracking_id
        whole = ledger.timeline(key, space=space)
        stops = _stops(own, (space, DELIVERY, key), whole)
        stop = _stop(stops, asked)
        latest = stop == stops[-1]
        delivery = now if latest else ledger.delivery(key, space=space, as_of=stop.position)
        as_of = None if latest else stop.position
        then = whole if latest else ledger.timeline(key, space=space, as_of=as_of)
        steps = _numbered(then, whole)
        frontier = own.log.head().frontier
        anchor = Anchor(frontier.size, frontier.root().hex())
        mask = Mask() if asked.unmask else asking.mask_of(own.reader.definitions)
        request = Request(as_of=as_of, unmask=asked.unmask)
        found = dossier(own.reader, delivery, steps[:MOST_EVENTS], request, anchor)
        shown = _shown(found, asked)
        event, several = _event(steps, shown.number), _SEVERAL in now.findings
        masked = asking.mask_of(own.reader.definitions)
        return Case(
            stream=(space, key),
            name=masked.delivery(now).tracking_id,
            link=asking.named(masked, now)[2],
            dossier=found,
            argument=argument(steps, own.reader.definitions.chart(DELIVERY)),
            stops=stops,
            stop=stop,
            clocks=clocks_of(found.exhibits),
            shown=shown,
            body=body_of(event, own.reader.definitions, mask, delivery.to, several=several),
            anchor=anchor,
            left=max(0, len(steps) - MOST_EVENTS),
            known=len(whole),
        )


def _stops(own: Own, stream: tuple[str, str, str], whole: Timeline) -> tuple[Stop, ...]:
    """A stop for each event after which a state was known."""
    region = own.reader.definitions.chart(DELIVERY).regions[0].name
    rows, numbers = own.reader.known(stream), _numbers(whole)
    known = (
        (row, then.states[region])
        for row, then in known_after_each(own.reader.facts, stream, rows)
        if then is not None
    )
    found = tuple(
        Stop(number, row[3], time_of(row[5]), state, numbers[row[3], row[4]])
        for number, (row, state) in enumerate(known, 1)
    )
    if not found:
        raise UnknownKey(f"no event says what became of {stream[2]!r}")
    return found


def _stop(stops: tuple[Stop, ...], asked: Asked) -> Stop:
    """The stop that is asked for, by its number or by a time; the last where neither is."""
    if asked.at is not None:
        before = [one for one in stops if one.at <= asked.at]
        if not before:
            raise UnknownKey("nothing was known of it then; the first event came later")
        return before[-1]
    if asked.stop is not None:
        return stops[max(1, min(asked.stop, len(stops))) - 1]
    return stops[-1]


def _numbers(whole: Timeline) -> dict[Place, int]:
    """The numbers of the events, by where these stand in the log."""
    return {(step.event.position, step.event.member): step.number for step in whole}


def _numbered(steps: Timeline, whole: Timeline) -> Timeline:
    """What was known then, with the numbers that the events have now."""
    numbers = _numbers(whole)
    return tuple(
        attrs.evolve(one, number=numbers[one.event.position, one.event.member]) for one in steps
    )


def _event(steps: Timeline, number: int) -> Event:
    return next(one.event for one in steps if one.number == number)


def _shown(found: Dossier, asked: Asked) -> Exhibit:
    """The event whose body is shown: that which is asked for, or else the one that decides."""
    exhibits = found.exhibits
    for one in exhibits:
        if one.number == asked.event:
            return one
    against = [one for one in exhibits if one.verdict == "contradicts"]
    moved = [one for one in exhibits if one.before != one.after]
    return (against or moved or [*exhibits])[-1]
