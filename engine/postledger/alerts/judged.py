"""Judged: the alerts that follow from what was counted, by rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta

import attrs

from postledger.alerts.alert import Alert
from postledger.alerts.counted import DAY, SLOT, Carrier, Counted, Deliveries, Events
from postledger.alerts.rules import Ratio, Rules, Silence, Stuck, Unreadable
from postledger.alerts.shares import HOURS, LEAST_DAYS, Stretch, Sums, Usual, worse
from postledger.state.row import HOUR
from postledger.times import iso, time_of

_SLOTS = DAY // SLOT
_MICROSECOND = timedelta(microseconds=1)
_LEAST_SILENCE = HOUR
_TIMES = 2


def alerts_of(counted: Counted, rules: Rules) -> tuple[Alert, ...]:
    """What somebody should look at: by rule, then by name."""
    found: list[Alert] = []
    for name, carrier in sorted(counted.carriers.items()):
        if rules.ratio is not None and name not in rules.ratio.without:
            found += _ratio(name, carrier, counted.at, rules.ratio)
    for name, carrier in sorted(counted.carriers.items()):
        if rules.stuck is not None and name not in rules.stuck.without:
            found += _stuck(name, carrier, counted.at, rules.stuck)
    for name, hours in sorted(counted.sources.items()):
        if rules.unreadable is not None and name not in rules.unreadable.without:
            found += _unreadable(name, hours, counted.at, rules.unreadable)
    if rules.silence is not None:
        found += _silences(counted, rules.silence)
    return tuple(found)


# --- shares ---


def _ratio(name: str, carrier: Carrier, at: int, rule: Ratio) -> Iterator[Alert]:
    def sums(one: Deliveries) -> Sums:
        return one[0], one[0] - one[1]

    usual = None if rule.usual is None else 1 - rule.usual
    found = _worse(
        carrier,
        (at - carrier.settled) // SLOT,
        sums,
        _usual(carrier.past, sums, usual, rule.minimum),
        lambda share: 1 - (1 - share) * (1 - rule.drop),
        rule.minimum,
    )
    if found is not None:
        share, usually = 1 - found.bad / found.count, 1 - found.usual
        text = (
            f"{share:.1%} of {found.count} are delivered since {_time(found.since * SLOT)},"
            f" usually {usually:.1%}"
        )
        yield _of_share("ratio", "carrier", name, found, SLOT, share, usually, text)


def _stuck(name: str, carrier: Carrier, at: int, rule: Stuck) -> Iterator[Alert]:
    def sums(one: Deliveries) -> Sums:
        return one[0], one[2]

    found = _worse(
        carrier,
        (at - rule.age // _MICROSECOND) // SLOT,
        sums,
        _usual(carrier.past, sums, rule.usual, rule.minimum),
        lambda share: share + rule.rise,
        rule.minimum,
    )
    if found is not None:
        share = found.bad / found.count
        text = (
            f"{share:.1%} of {found.count} since {_time(found.since * SLOT)} have no outcome after"
            f" {span(rule.age // _MICROSECOND)}, usually {found.usual:.1%}"
        )
        yield _of_share("stuck", "carrier", name, found, SLOT, share, found.usual, text)


def _unreadable(
    name: str, hours: Mapping[int, Events], at: int, rule: Unreadable
) -> Iterator[Alert]:
    now = at // HOUR
    past = {hour: sums for hour, sums in hours.items() if hour <= now - HOURS}
    usual = _usual(past, lambda sums: sums, rule.usual, rule.minimum)
    if usual is None:
        return
    recent = ((n, n % HOURS, hours[n]) for n in range(now, now - HOURS, -1) if n in hours)
    found = worse(recent, usual, lambda share: share + rule.rise, rule.minimum)
    if found is not None:
        share = found.bad / found.count
        text = (
            f"{share:.1%} of {found.count} events since {_time(found.since * HOUR)} are unreadable"
            f" or unrecognised, usually {found.usual:.1%}"
        )
        yield _of_share("unreadable", "source", name, found, HOUR, share, found.usual, text)


def _usual(
    past: Mapping[int, tuple[int, ...]],
    sums: Callable[..., Sums],
    given: float | None,
    minimum: int,
) -> Usual | None:
    """What is usual: as it is given, or by the past."""
    if given is not None:
        return Usual(given=given)
    usual = Usual({hour: sums(one) for hour, one in past.items()}, minimum)
    return usual if usual.known else None


def _worse(
    carrier: Carrier,
    end: int,
    sums: Callable[[Deliveries], Sums],
    usual: Usual | None,
    expected: Callable[[float], float],
    minimum: int,
) -> Stretch | None:
    """The stretch of a day before the slot ``end`` that went worse than usual, if one did."""
    if usual is None:
        return None
    slots = (
        (number, number * SLOT // HOUR % HOURS, sums(carrier.recent[number]))
        for number in range(end - 1, end - 1 - _SLOTS, -1)
        if number in carrier.recent
    )
    return worse(slots, usual, expected, minimum)


def _of_share(
    rule: str,
    of: str,
    name: str,
    found: Stretch,
    length: int,
    share: float,
    usual: float,
    text: str,
) -> Alert:
    since = time_of(found.since * length)
    return Alert(rule, of, name or None, since, text, found.count, round(share, 4), round(usual, 4))


# --- silence ---


@attrs.frozen
class _Heard:
    """When there was anything: slots of a length by their numbers, and how many there were in them."""

    slots: Sequence[int]
    count: int
    length: int

    @property
    def until(self) -> int:
        """When the last slot with anything ended."""
        return (self.slots[-1] + 1) * self.length

    def limit(self, rule: Silence) -> int | None:
        """The longest silence that is not worth a look; ``None`` where too little is known."""
        if self.count < rule.minimum:
            return None
        if rule.after is not None:
            return rule.after // _MICROSECOND
        if len({slot * self.length // DAY for slot in self.slots}) < LEAST_DAYS:
            return None
        gaps = (b - a - 1 for a, b in zip(self.slots, self.slots[1:], strict=False))
        return max(_LEAST_SILENCE, _TIMES * max(gaps, default=0) * self.length)


def _silences(counted: Counted, rule: Silence) -> Iterator[Alert]:
    """That nothing comes at all; or else of which sources and carriers nothing comes."""
    sources = {name: _hours(hours) for name, hours in counted.sources.items() if hours}
    every = _every(list(sources.values()))
    if every is None:
        if counted.newest is not None and counted.newest <= counted.at:
            text = f"nothing since {_time(counted.newest)}, {span(counted.at - counted.newest)} ago"
            yield Alert("silence", "all", None, time_of(counted.newest), text)
        return
    silent = list(_silent("all", "", every, counted.at, rule))
    if silent:
        yield from silent
        return
    for name, heard in sorted(sources.items()):
        if len(sources) > 1:
            yield from _silent("source", name, heard, counted.at, rule)
    for name, carrier in sorted(counted.carriers.items()):
        if len(counted.carriers) > 1:
            yield from _silent("carrier", name, _begun(carrier), counted.at, rule)


def _silent(of: str, name: str, heard: _Heard, at: int, rule: Silence) -> Iterator[Alert]:
    limit = None if name in rule.without and of != "all" else heard.limit(rule)
    if limit is None or at - heard.until <= limit:
        return
    what = "no new delivery" if of == "carrier" else "nothing"
    known = "the limit is" if rule.after is not None else "usually at most"
    usual = limit if rule.after is not None else max(limit // _TIMES, heard.length)
    text = f"{what} since {_time(heard.until)}, {span(at - heard.until)} ago; {known} {span(usual)}"
    yield Alert("silence", of, name or None, time_of(heard.until), text)


def _hours(hours: Mapping[int, Events]) -> _Heard:
    return _Heard(sorted(hours), sum(count for count, _ in hours.values()), HOUR)


def _every(sources: Sequence[_Heard]) -> _Heard | None:
    hours = sorted({hour for one in sources for hour in one.slots})
    return _Heard(hours, sum(one.count for one in sources), HOUR) if hours else None


def _begun(carrier: Carrier) -> _Heard:
    """When deliveries of a carrier began: by the hour, as its past is."""
    hours = {slot * SLOT // HOUR for slot in carrier.recent} | set(carrier.past)
    counts = (one[0] for slots in (carrier.past, carrier.recent) for one in slots.values())
    return _Heard(sorted(hours), sum(counts), HOUR)


def _time(micros: int) -> str:
    return iso(time_of(micros)) or ""


def span(micros: int) -> str:
    """A span in its two largest units.

    >>> span(90 * 60_000_000), span(3 * DAY), span(1)
    ('1h 30m', '3d', '0m')
    """
    minutes = micros // 60_000_000
    parts = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "m")]
    said = [f"{value}{unit}" for value, unit in parts if value][:2]
    return " ".join(said) or "0m"
