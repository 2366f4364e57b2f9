"""Findings: how many deliveries have each of them, at which carriers, and which."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from heapq import nlargest

import attrs

from postledger.audit.mask import Mask
from postledger.findings import MEANINGS, Finding, names
from postledger.log.as_of import Bounds
from postledger.model import Position
from postledger.projections.groups import Groups
from postledger.times import time_of

MOST_LISTED = 20
"""How many deliveries are listed with each finding."""

MOST_CARRIERS = 10
"""How many carriers are listed with each finding."""

_HELD = 1_000


@attrs.frozen
class Listed:
    """One delivery that a finding concerns; ``to`` is masked unless asked otherwise.

    ``first`` is the position of its first event: that of a delivery whose id is hidden is found by it.
    """

    tracking_id: str
    state: str
    route: str | None
    to: str | None
    spid: str | None
    began_at: datetime
    first: Position


@attrs.frozen
class At:
    """How many deliveries of a carrier have a finding; ``label`` is ``None`` where it is not known."""

    label: str | None
    deliveries: int


@attrs.frozen
class Found:
    """A finding: what it means, how many deliveries have it, and the latest of them.

    ``carriers`` are those of the most such deliveries.
    """

    finding: str
    means: str
    deliveries: int
    listed: tuple[Listed, ...]
    carriers: tuple[At, ...]


def findings(groups: Groups, bounds: Bounds, mask: Mask) -> tuple[Found, ...]:
    """All findings in their fixed order, those that no delivery has too."""
    carriers = _carriers(groups)
    return tuple(
        Found(
            names(finding)[0],
            MEANINGS[finding],
            count,
            tuple(_listed(groups, finding, bounds, mask)) if count else (),
            tuple(At(mask.label(label), n) for n, label in carriers.get(finding, ())),
        )
        for finding, count in groups.by_finding().items()
    )


def _carriers(groups: Groups) -> dict[Finding, list[tuple[int, str | None]]]:
    """The carriers of the most deliveries with each finding: bounded, however many carriers there are."""
    most: dict[Finding, list[tuple[int, str | None]]] = {}
    for label, counts in groups.by_finding_and("spid"):
        for finding, n in counts.items():
            if n:
                held = most.setdefault(finding, [])
                held.append((n, label))
                if len(held) >= _HELD:
                    most[finding] = nlargest(MOST_CARRIERS, held, _rank)
    return {finding: nlargest(MOST_CARRIERS, held, _rank) for finding, held in most.items()}


def _rank(found: tuple[int, str | None]) -> tuple[int, bool, str]:
    n, label = found
    return n, label is None, label or ""


def _listed(groups: Groups, finding: Finding, bounds: Bounds, mask: Mask) -> Iterator[Listed]:
    rows = groups.having(finding, MOST_LISTED, bounds)
    for key, state, route, to, spid, began, found, first, _ in rows:
        several = bool(found & Finding.RECIPIENT_DIFFERS)
        key_, spid_ = (mask.id(text, to, several=several) for text in (key, spid))
        yield Listed(key_ or "", state, route, mask.recipient(to), spid_, time_of(began), first)
