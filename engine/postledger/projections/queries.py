"""Queries: which deliveries are asked for, as SQL over a table of the projection."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
from attrs import validators
from sqlite_utils import Database

from postledger.definitions.definitions import Definitions
from postledger.errors import IntegrityError, PostledgerError
from postledger.findings import named
from postledger.projections.generations import Row
from postledger.times import aware, micros, now

_WORD = validators.optional(validators.instance_of(str))


def _aware(_instance: object, _attribute: object, moment: datetime) -> None:
    aware(moment)


def _count(_instance: object, _attribute: object, number: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"a limit is a whole number, and not {number!r}")
    if number < 0:
        raise ValueError(f"a limit of {number} is below 0")


@attrs.frozen
class Query:
    """Which deliveries are asked for; ``None`` asks for all.

    ``since`` and ``until`` bound the moment at which a delivery began: sent, or else created, or
    else first received; ``until`` is exclusive. ``stuck`` asks for those without an outcome that
    began at least so long before ``now``. ``finding`` is a word of ``postledger.findings``. Moments are
    aware; raises ``ValueError`` or ``TypeError`` for what can't be asked for.

    >>> [delivery.tracking_id for delivery in ledger.deliveries(Query(route="sms"))]
    ['U01TXzgwNjc4']
    """

    chart: str = attrs.field(default="delivery", validator=validators.instance_of(str))
    state: str | None = attrs.field(default=None, validator=_WORD)
    route: str | None = attrs.field(default=None, validator=_WORD)
    spid: str | None = attrs.field(default=None, validator=_WORD)
    to: str | None = attrs.field(default=None, validator=_WORD)
    since: datetime | None = attrs.field(default=None, validator=validators.optional(_aware))
    until: datetime | None = attrs.field(default=None, validator=validators.optional(_aware))
    finding: str | None = attrs.field(default=None, validator=_WORD)
    stuck: timedelta | None = attrs.field(
        default=None, validator=validators.optional(validators.instance_of(timedelta))
    )
    limit: int | None = attrs.field(default=None, validator=validators.optional(_count))
    now: datetime = attrs.field(factory=now, validator=_aware)

    def page(
        self, db: Database, table: str, definitions: Definitions, after: int, size: int
    ) -> list[tuple[str, Row]]:
        """The next pairs of key and row behind stream ``after``, in order of the streams.

        Streams are in the order in which they were first heard of. Raises ``PostledgerError`` where
        a word is asked for that the chart doesn't have.
        """
        where, parameters = self._where(definitions)
        cursor = db.conn.execute(
            f"SELECT t.key, s.* FROM {table} s JOIN streams t ON t.id = s.stream_id"
            f" WHERE {where} AND s.stream_id > ? ORDER BY s.stream_id LIMIT ?",
            (*parameters, after, size),
        )
        page = [(key, tuple(row)) for key, *row in cursor]
        if not all(isinstance(key, str) for key, _ in page):
            raise IntegrityError("a key of a stream is damaged; run verify")
        return page

    def _where(self, definitions: Definitions) -> tuple[str, list[object]]:
        region, *beside = definitions.chart(self.chart).regions
        if self.state is not None and self.state not in region.states:
            raise PostledgerError(f"no state {self.state!r}; there are: {', '.join(region.states)}")
        routes = next((r.states for r in beside if r.name == "route"), ())
        if self.route is not None and self.route not in routes:
            raise PostledgerError(f"no route {self.route!r}; there are: {', '.join(routes)}")
        wanted: list[tuple[str, object]] = [("t.chart = ?", self.chart)]
        for column, text in (
            ("state", self.state),
            ("route", self.route),
            ("spid", self.spid),
            ("recipient", self.to),
        ):
            if text is not None:
                wanted.append((f"s.{column} = ?", text))
        if self.since is not None:
            wanted.append((f"{BEGAN} >= ?", micros(self.since)))
        if self.until is not None:
            wanted.append((f"{BEGAN} < ?", micros(self.until)))
        if self.finding is not None:
            try:
                wanted.append(("s.findings & ?", int(named(self.finding))))
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
