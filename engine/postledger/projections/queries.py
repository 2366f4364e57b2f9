"""Queries: which deliveries are asked for, as SQL over a table of the projection."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
from attrs import validators

from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError, PostledgerError
from postledger.findings import named
from postledger.projections.generations import FIRST
from postledger.state.patterns import Stream
from postledger.state.row import UNFOLDED, Row
from postledger.store.sqlite import Store
from postledger.times import aware, micros, now

_WORD = validators.optional(validators.instance_of(str))


def _aware(_instance: object, attribute: attrs.Attribute[datetime], time: datetime) -> None:
    aware(time, attribute.name)


def _count(_instance: object, _attribute: object, number: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"limit must be a whole number, got {number!r}")
    if number < 0:
        raise ValueError(f"limit must be at least 0, got {number}")


@attrs.frozen
class Listing:
    """Where deliveries are listed from: a table of states, one of streams, and their definitions."""

    definitions: Definitions
    states: str
    streams: str


@attrs.frozen
class Query:
    """Which deliveries are asked for; ``None`` asks for all.

    ``since`` and ``until`` bound the time at which a delivery began: sent, or else created, or
    else first received; ``until`` is exclusive. ``stuck`` asks for those without an outcome that
    began at least so long before ``now``. ``finding`` is a word of ``postledger.findings``. Times are
    aware; raises ``ValueError`` or ``TypeError`` for what can't be asked for.

    >>> [delivery.tracking_id for delivery in ledger.deliveries(Query(route="sms"))]
    ['U01TXzgwNjc4']
    """

    chart: str = attrs.field(default="delivery", validator=validators.instance_of(str))
    state: str | None = attrs.field(default=None, validator=_WORD)
    route: str | None = attrs.field(default=None, validator=_WORD)
    spid: str | None = attrs.field(default=None, validator=_WORD)
    to: str | None = attrs.field(default=None, validator=_WORD)
    space: str | None = attrs.field(default=None, validator=_WORD)
    since: datetime | None = attrs.field(default=None, validator=validators.optional(_aware))
    until: datetime | None = attrs.field(default=None, validator=validators.optional(_aware))
    finding: str | None = attrs.field(default=None, validator=_WORD)
    stuck: timedelta | None = attrs.field(
        default=None, validator=validators.optional(validators.instance_of(timedelta))
    )
    limit: int | None = attrs.field(default=None, validator=validators.optional(_count))
    now: datetime = attrs.field(factory=now, validator=_aware)

    def page(
        self, store: Store, listing: Listing, after: After | None, size: int
    ) -> list[tuple[Stream, Row]]:
        """The next streams and rows after ``after``, in the order in which they were first received.

        Where that is the same, keys and spaces order them: the order depends on nothing but what was
        received. Raises ``PostledgerError`` where a word is asked for that the chart doesn't have.
        """
        where, parameters = self._where(listing.definitions)
        if after is not None:
            where += (
                " AND (s.first_received_at > ? OR s.first_received_at = ?"
                " AND (t.key > ? OR t.key = ? AND t.space > ?))"
            )
            parameters += [after[0], after[0], after[1], after[1], after[2]]
            # Implied by the above; it lets SQLite begin at that place of the index.
            where += " AND s.first_received_at >= ?"
            parameters.append(after[0])
        rows = store.execute(
            f"SELECT t.space, t.chart, t.key, s.* FROM {listing.states} s"
            f" JOIN {listing.streams} t ON t.id = s.stream WHERE {where}"
            " ORDER BY s.first_received_at, t.key, t.space LIMIT ?",
            (*parameters, size),
        ).fetchall()
        page = [((space, chart, key), tuple(row)) for space, chart, key, *row in rows]
        if not all(isinstance(text, str) for stream, _ in page for text in stream):
            raise IntegrityError("a key of a stream is damaged; run verify")
        return page

    def require(self, definitions: Definitions) -> None:
        """Raise where a word is asked for that the definitions don't have."""
        self._where(definitions)

    def _where(self, definitions: Definitions) -> tuple[str, list[object]]:
        region, *beside = definitions.chart(self.chart).regions
        states = (*region.states, UNFOLDED)
        if self.state is not None and self.state not in states:
            raise PostledgerError(f"unknown state {self.state!r}: expected {', '.join(states)}")
        routes = next((r.states for r in beside if r.name == "route"), ())
        if self.route is not None and self.route not in routes:
            raise PostledgerError(f"unknown route {self.route!r}: expected {', '.join(routes)}")
        wanted: list[tuple[str, object]] = [("t.chart = ?", self.chart)]
        for column, text in (
            ("s.state", self.state),
            ("s.route", self.route),
            ("s.spid", self.spid),
            ("s.recipient", self.to),
            ("t.space", self.space),
        ):
            if text is not None:
                wanted.append((f"{column} = ?", text))
        if self.since is not None:
            wanted.append((f"{BEGAN} >= ?", micros(self.since)))
        if self.until is not None:
            wanted.append((f"{BEGAN} < ?", micros(self.until)))
        if self.finding is not None:
            try:
                wanted.append(("(s.findings & ?) <> 0", int(named(self.finding))))
            except ValueError as error:
                raise PostledgerError(str(error)) from None
        if self.stuck is not None:
            final = ", ".join(f"'{state}'" for state in sorted(region.final))
            wanted.append(
                (
                    f"s.state NOT IN ({final}) AND {BEGAN} <= ?",
                    micros(self.now) - self.stuck // timedelta(microseconds=1),
                )
            )
        return " AND ".join(sql for sql, _ in wanted), [value for _, value in wanted]


BEGAN = "coalesce(s.sent_at, s.created_at, s.first_received_at)"
"""When a delivery began, in microseconds: what periods and ages are reckoned by."""

After = tuple[int, str, str]
"""The place of the last delivery of a page: its first reception, its key and its space."""


def after_of(page: list[tuple[Stream, Row]]) -> After:
    """The place after a page."""
    (space, _, key), row = page[-1]
    return row[FIRST], key, space
