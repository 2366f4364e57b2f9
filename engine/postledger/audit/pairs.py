"""Contradictions as pairs: which event contradicts which, when each was stamped, and what stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from statistics import median_low

import attrs

from postledger.audit.argument import Claim, claims_of
from postledger.audit.mask import Mask
from postledger.definitions.chart import Region, Statechart
from postledger.errors import IntegrityError
from postledger.findings import Finding, names
from postledger.log.as_of import Bounds
from postledger.model import Position, Timeline
from postledger.projections.groups import Groups
from postledger.state.timeline import timeline_of

MOST_COMPARED = 300
"""How many deliveries are folded again, the latest of those that have a contradiction."""

MOST_LISTED = 20
"""How many pairs are listed."""

(_LATE,) = names(Finding.LATE)
(CONTRADICTION,) = names(Finding.CONTRADICTION)


@attrs.frozen
class Side:
    """What one event of a pair says: its number in the timeline, where it stands, its times."""

    event: int
    position: Position
    member: int
    says: str
    occurred_at: datetime | None
    received_at: datetime
    late: bool


@attrs.frozen
class Pair:
    """Two claims about a delivery that can't both be true, and the state that stands.

    ``earlier`` is the one that was taken first, and ``against`` the event that contradicts it;
    ``earlier`` is ``None`` where that is the state in which the chart begins. ``over`` is the state that
    was claimed and doesn't stand. ``apart`` is in seconds of the provider's clock, ``None`` where a time
    is missing. ``first`` is the position of the delivery's first event.
    """

    tracking_id: str
    first: Position
    spid: str | None
    stands: str
    over: str
    earlier: Side | None
    against: Side
    apart: float | None


@attrs.frozen
class Upheld:
    """The pairs in which one state stands over another, and how far apart the events were, in seconds.

    Of ``late`` pairs the event that doesn't stand arrived after one that follows it.
    """

    stands: str
    over: str
    pairs: int
    late: int
    median: float | None
    widest: float | None


@attrs.frozen
class Contradictions:
    """The deliveries with a contradiction; the latest of them, ``compared``, were folded again for pairs.

    ``kinds`` has the most frequent first, ``latest`` the pairs of the deliveries received last.
    """

    deliveries: int
    compared: int
    kinds: tuple[Upheld, ...]
    latest: tuple[Pair, ...]


def contradictions(
    groups: Groups, deliveries: int, chart: Statechart, bounds: Bounds, mask: Mask
) -> Contradictions:
    """The pairs of the latest of the ``deliveries`` that have a contradiction, as of ``bounds``."""
    found: list[Pair] = []
    compared = 0
    for row in groups.having(Finding.CONTRADICTION, MOST_COMPARED, bounds) if deliveries else ():
        key, _, _, to, spid, _, findings, first, stream = row
        several = bool(findings & Finding.RECIPIENT_DIFFERS)
        try:
            with groups.reader.log.store.read():
                rows = groups.reader.index.rows_of(stream, bounds)
                steps = timeline_of(groups.reader.facts, chart, rows)
        except IntegrityError:
            # A damaged event: to say so is the integrity's part.
            continue
        compared += 1
        if len(found) < MOST_LISTED:
            # No other is shown.
            key, spid = (mask.id(text, to, several=several) for text in (key, spid))
        found += _pairs(chart, steps, key or "", first, spid)
    return Contradictions(deliveries, compared, tuple(_kinds(found)), tuple(found[:MOST_LISTED]))


def _pairs(
    chart: Statechart, steps: Timeline, key: str, first: int, spid: str | None
) -> Iterator[Pair]:
    """The pairs of one delivery, in the order in which its events are taken."""
    for region in chart.regions:
        claims = tuple(claims_of(region, steps))
        by_number = {claim.number: claim for claim in claims}
        for claim in claims:
            if claim.against is not None:
                earlier = by_number.get(claim.against)
                stands = steps[-1].after[region.name]
                over = _over(region, stands, earlier, claim)
                apart = _apart(earlier, claim)
                sides = None if earlier is None else _side(earlier), _side(claim)
                yield Pair(key, first, spid, stands, over, *sides, apart)


def _over(region: Region, stands: str, earlier: Claim | None, claim: Claim) -> str:
    """The state of a pair that doesn't stand."""
    if claim.says != stands:
        return claim.says
    return region.initial if earlier is None else earlier.says


def _side(claim: Claim) -> Side:
    event = claim.step.event
    late = _LATE in claim.step.findings
    return Side(
        claim.number,
        event.position,
        event.member,
        claim.says,
        event.occurred_at,
        event.received_at,
        late,
    )


def _apart(earlier: Claim | None, claim: Claim) -> float | None:
    times = [None if one is None else one.step.event.occurred_at for one in (earlier, claim)]
    one, other = times
    return None if one is None or other is None else abs(other - one) / timedelta(seconds=1)


def _kinds(pairs: Iterable[Pair]) -> list[Upheld]:
    """The pairs counted by what stands over what."""
    by_kind: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        by_kind.setdefault((pair.stands, pair.over), []).append(pair)
    kinds = [
        Upheld(
            stands,
            over,
            len(of_kind),
            sum(_lost(pair).late for pair in of_kind),
            median_low(apart) if apart else None,
            max(apart, default=None),
        )
        for (stands, over), of_kind in by_kind.items()
        for apart in [[pair.apart for pair in of_kind if pair.apart is not None]]
    ]
    return sorted(kinds, key=lambda one: (-one.pairs, one.stands, one.over))


def _lost(pair: Pair) -> Side:
    """The side of a pair that doesn't stand."""
    if pair.earlier is not None and pair.earlier.says == pair.over:
        return pair.earlier
    return pair.against
