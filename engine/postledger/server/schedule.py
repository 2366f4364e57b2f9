"""The schedule of attempts: when what was not taken is sent again, and when no more."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import attrs

_MINUTE, _HOUR = 60.0, 3600.0

STANDARD = (
    5.0,
    *(5 * _MINUTE, 30 * _MINUTE),
    *(2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR),
)
"""The waits that Standard Webhooks suggests: 75 hours and 35 minutes over ten attempts."""

MOST_ASKED = 24 * _HOUR
"""A receiver can ask for no longer wait than this."""


@attrs.frozen
class Schedule:
    """The seconds to wait after each failed attempt; after the last, the message is parked.

    Up to ``jitter``, a part of each wait, is added at random: what failed together does not come
    together again. The default is the schedule that Standard Webhooks suggests ("Deliverability and
    reliability").

    >>> from postledger.server.schedule import Schedule
    >>> Schedule(waits=(5.0, 300.0), jitter=0.0).wait(2)
    300.0
    >>> Schedule(waits=(5.0, 300.0)).wait(3) is None
    True
    """

    waits: tuple[float, ...] = STANDARD
    jitter: float = 0.2

    def wait(self, attempts: int, asked: float | None = None) -> float | None:
        """The seconds to wait after ``attempts`` failed, or ``None`` after the last.

        ``asked`` are those that the receiver asks for; they lengthen the wait, within a bound.
        """
        if attempts > len(self.waits):
            return None
        planned = self.waits[attempts - 1] * (1 + random.uniform(0, self.jitter))  # noqa: S311
        # guard: a receiver's wait is bounded
        return max(planned, min(asked or 0.0, MOST_ASKED))


def seconds_of(retry_after: str, now: float) -> float | None:
    """The seconds that a ``Retry-After`` asks for (RFC 9110, section 10.2.3); ``None`` for another text.

    ``now`` is in seconds since 1970.

    >>> seconds_of("120", 0.0), seconds_of("Thu, 01 Jan 1970 00:02:00 GMT", 60.0), seconds_of("soon", 0.0)
    (120.0, 60.0, None)
    """
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.fromtimestamp(now, UTC)).total_seconds())
