"""Findings: how many deliveries have each of them, and which."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import attrs

from postledger.audit.mask import Mask
from postledger.findings import MEANINGS, Finding, names
from postledger.projections.groups import Groups
from postledger.times import time_of

MOST_LISTED = 20
"""How many deliveries are listed with each finding."""


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
    first: int


@attrs.frozen
class Found:
    """A finding: what it means, how many deliveries have it, and the first of them."""

    finding: str
    means: str
    deliveries: int
    listed: tuple[Listed, ...]


def findings(groups: Groups, mask: Mask) -> tuple[Found, ...]:
    """All findings in their fixed order, those that no delivery has too."""
    return tuple(
        Found(
            names(finding)[0],
            MEANINGS[finding],
            count,
            tuple(_listed(groups, finding, mask)) if count else (),
        )
        for finding, count in groups.by_finding().items()
    )


def _listed(groups: Groups, finding: Finding, mask: Mask) -> Iterator[Listed]:
    for key, state, route, to, spid, began, found, first in groups.having(finding, MOST_LISTED):
        several = bool(found & Finding.RECIPIENT_DIFFERS)
        key_, spid_ = (mask.id(text, to, several=several) for text in (key, spid))
        yield Listed(key_ or "", state, route, mask.recipient(to), spid_, time_of(began), first)
