"""What an audit is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Literal

import attrs

from postledger.arguments import require_order, typed
from postledger.log.as_of import EVERYTHING, Bounds, bounds_of
from postledger.log.log import Log
from postledger.times import is_time, iso, micros, now, time_of


@attrs.frozen(field_transformer=typed)
class Request:
    """The period (deliveries that began in it), the time it is told as of, and how it is shown.

    ``since`` is inclusive, ``until`` exclusive. ``as_of`` is a time or a position of the log,
    ``occurred_by`` a time of the provider's clock. ``definitions`` are those in force ``"now"``, or
    those in force ``"then"``. ``now`` is when the report is made. Raises ``TypeError`` for what is not
    a time, ``ValueError`` for one without a zone, a period that ends before it begins, and for other
    definitions.
    """

    since: datetime | None = None
    until: datetime | None = None
    as_of: int | datetime | None = None
    occurred_by: datetime | None = None
    definitions: Literal["now", "then"] = "now"
    unmask: bool = False
    now: datetime = attrs.field(factory=now)

    def __attrs_post_init__(self) -> None:
        require_order(self.since, self.until)

    @property
    def bounds(self) -> Bounds:
        """What is left out: all that was not known yet, or had not happened yet."""
        return bounds_of(self.as_of, self.occurred_by)

    @property
    def is_live(self) -> bool:
        """Whether it is asked for what is known now, by the definitions in force."""
        return self.bounds == EVERYTHING and self.definitions == "now"

    @property
    def period(self) -> tuple[int | None, int | None]:
        """The ends of the period in microseconds."""
        since, until = (None if end is None else micros(end) for end in (self.since, self.until))
        return since, until

    @property
    def before(self) -> tuple[datetime, datetime] | None:
        """The period before: of the same length, or of as many months where it is of whole ones.

        Months begin by the clocks of the zone in which the ends of the period are given. ``None`` where
        this one has an open end, or begins too early to have one before it.
        """
        if self.since is None or self.until is None:
            return None
        since, until = self.since, self.until
        try:
            if is_month(since) and is_month(until):
                months = 12 * (until.year - since.year) + until.month - since.month
                year, month = divmod(12 * since.year + since.month - 1 - months, 12)
                return day_in(year, month + 1, 1, since.tzinfo), since
            begun, ended = since.astimezone(UTC), until.astimezone(UTC)
            return begun - (ended - begun), begun
        except (OverflowError, ValueError):
            return None

    @property
    def reach(self) -> tuple[int | None, int | None]:
        """The ends of the period and of the one before it in microseconds."""
        since, until = self.period
        return (since if self.before is None else micros(self.before[0])), until

    def time_of(self, log: Log, size: int, newest: int | None = None) -> datetime:
        """The time that the report is as of, and to which ages are counted, of ``size`` events.

        Where none is asked for, it is that of the last reception: so a report can be reproduced from
        the log alone. ``newest`` is that of all ``size`` events, where it is known.
        """
        if self.occurred_by is not None:
            return self.occurred_by
        if isinstance(self.as_of, datetime):
            return self.as_of
        last = newest if self.as_of is None else None
        if last is None:
            last = log.received(self.bounds.within(size).position)[1]
        # Nothing was received: the ledger is as old as its genesis.
        time = log.received_up_to(0) if last is None else last
        return time_of(time) if time is not None and is_time(time) else self.now

    def options(self) -> str:
        """The same period and time, as options of the command line."""
        options = {
            "--since": iso(self.since),
            "--until": iso(self.until),
            "--as-of": iso(self.as_of) if isinstance(self.as_of, datetime) else self.as_of,
            "--occurred-by": iso(self.occurred_by),
            "--definitions": "then" if self.definitions == "then" else None,
        }
        return "".join(f" {name} {value}" for name, value in options.items() if value is not None)

    def listing(self, ledgers: str, finding: str) -> str:
        """The command that lists all deliveries with a finding; the ledgers are its arguments."""
        word = finding.replace("_", "-")
        return f"postledger deliveries {ledgers} --finding {word}{self.options()}"


def day_in(year: int, month: int, day: int, zone: tzinfo | None) -> datetime:
    """When a day begins by the clocks of a zone: at midnight, or at what they show in its place."""
    # Midnight that clocks skip is, by those of the day before, the time at which the day began.
    return datetime(year, month, day, tzinfo=zone).astimezone(UTC).astimezone(zone)


def is_day(at: datetime) -> bool:
    """Whether a day begins at a time, by the clocks of its zone."""
    return at.astimezone(UTC) == day_in(at.year, at.month, at.day, at.tzinfo).astimezone(UTC)


def is_month(at: datetime) -> bool:
    """Whether a month begins at a time, by the clocks of its zone."""
    return at.day == 1 and is_day(at)
