"""Verifications: that the whole ledger was verified, as events of kind ``verification`` state it."""

from __future__ import annotations

import json
from datetime import datetime

import attrs

from postledger.errors import IntegrityError
from postledger.log.event import Kind, Stored
from postledger.model import Anchor
from postledger.times import time_of


@attrs.frozen
class Verified:
    """That all was well with a ledger when it was verified, at the head ``anchor``; stated ``at``."""

    anchor: Anchor
    at: datetime


def body_of(anchor: Anchor) -> bytes:
    """The body of the event that states a verification."""
    return json.dumps({"verified": str(anchor)}).encode()


def verified_of(stored: Stored) -> Verified:
    """The verification that an event states; raises ``IntegrityError`` where it is damaged."""
    try:
        if stored.kind is not Kind.VERIFICATION or stored.computed_leaf() != stored.leaf:
            raise ValueError("it is not what was stated")
        anchor = Anchor.parse(json.loads(stored.body)["verified"])
        return Verified(anchor, time_of(stored.received_at))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        text = f"position {stored.position}: the verification is damaged; run verify"
        raise IntegrityError(text) from error
