"""Alerts: the values that ``Ledger.check`` returns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from postledger.model import plain


@attrs.frozen
class Alert:
    """Something that somebody should look at.

    ``rule`` is ``ratio``, ``stuck``, ``unreadable`` or ``silence``. ``of`` says what it is about: a
    ``carrier`` or a ``source``, of that ``name`` (``None``: the deliveries that name no carrier, the
    events of no named source), or ``all``. ``since`` is when it began, as far as can be said: of a
    silence it is when there was something last. ``count`` is how many are judged since then, ``share``
    their part that was delivered, is stuck or can't be read, ``usual`` what that part usually is; of a
    silence these are ``None``. ``text`` says it in words.

    >>> since = datetime.fromisoformat("2026-11-05T00:00:00Z")
    >>> alert = Alert("stuck", "carrier", "0001470", since, "12.0% are stuck")
    >>> print(alert)
    stuck: carrier 0001470: 12.0% are stuck
    """

    rule: str
    of: str
    name: str | None
    since: datetime
    text: str
    count: int | None = None
    share: float | None = None
    usual: float | None = None

    def __str__(self) -> str:
        return f"{self.rule}: {subject(self.of, self.name)}: {self.text}"

    def to_dict(self) -> dict[str, Any]:
        """The alert as JSON has it."""
        return dict(plain(self))


def subject(of: str, name: str | None) -> str:
    """What an alert is about, in words.

    >>> subject("carrier", "0001470"), subject("source", None)
    ('carrier 0001470', 'no named source')
    """
    if of == "all":
        return "all sources"
    return f"no named {of}" if name is None else f"{of} {name}"
