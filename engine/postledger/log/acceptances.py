"""Acceptances: which unverified events the program accepted, as events of kind ``import`` say it."""

from __future__ import annotations

import json
from collections.abc import Iterable

import attrs

from postledger.errors import IntegrityError
from postledger.log.event import Stored


@attrs.frozen
class Acceptance:
    """The unverified events from position ``first`` to ``last``, or those of one ``source`` of them."""

    first: int
    last: int
    source: str | None = None

    def covers(self, position: int, source: str) -> bool:
        """Whether the unverified event at a position is one of them."""
        return self.first <= position <= self.last and self.source in (None, source)

    def body(self, receipts: int) -> bytes:
        """The body of the import event; ``receipts`` is the number of events that were recorded again."""
        said = {"accepted": [self.first, self.last], "source": self.source, "receipts": receipts}
        return json.dumps(said, ensure_ascii=False).encode()


def acceptances_of(imports: Iterable[Stored]) -> list[Acceptance]:
    """The acceptances among some imports; the others are of files.

    Raises ``IntegrityError`` where one is damaged.
    """
    found = []
    for stored in imports:
        try:
            said = json.loads(stored.body)
            if "accepted" in said:
                first, last = said["accepted"]
                found.append(Acceptance(int(first), int(last), said["source"]))
        except (ValueError, TypeError, KeyError) as error:
            text = f"position {stored.position}: the import is damaged; run verify"
            raise IntegrityError(text) from error
    return found
