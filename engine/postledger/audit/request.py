"""What an audit is asked for, and the deliveries that it is about."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import attrs
from sqlite_utils import Database

from postledger.definitions.chart_toml import Region, Statechart
from postledger.log.as_of import Bounds, bounds_of
from postledger.log.log import Log
from postledger.projections.queries import BEGAN
from postledger.times import aware, iso, micros, now, time_of

CHART = "delivery"


@attrs.frozen
class Request:
    """The period (deliveries that began in it), the moment it is told as of, and how it is shown.

    ``since`` is inclusive, ``until`` exclusive. ``as_of`` is a moment or a position of the log,
    ``occurred_by`` a moment of the provider's clock. ``now`` is what ages are reckoned to where
    neither names a moment. Raises ``TypeError`` for a moment that is none, ``ValueError`` for a naive
    one.
    """

    since: datetime | None = None
    until: datetime | None = None
    as_of: int | datetime | None = None
    occurred_by: datetime | None = None
    unmask: bool = False
    now: datetime = attrs.field(factory=now)

    def __attrs_post_init__(self) -> None:
        for end in (self.since, self.until):
            if end is not None:
                aware(end)
        bounds_of(self.as_of, self.occurred_by)

    @property
    def bounds(self) -> Bounds:
        """What is left out: all that was not known yet, or had not happened yet."""
        return bounds_of(self.as_of, self.occurred_by)

    def time_of(self, log: Log) -> datetime:
        """The moment that the report is as of, and to which ages are reckoned."""
        if self.occurred_by is not None:
            return self.occurred_by
        if isinstance(self.as_of, datetime):
            return self.as_of
        if self.as_of is None:
            return self.now
        row = log.db.conn.execute(
            "SELECT received_at FROM events WHERE position <= ? ORDER BY position DESC LIMIT 1",
            (self.bounds.position,),
        ).fetchone()
        return time_of(row[0]) if row else self.now

    def options(self) -> str:
        """The same period and moment, as options of the command line."""
        options = {
            "--since": iso(self.since),
            "--until": iso(self.until),
            "--as-of": iso(self.as_of) if isinstance(self.as_of, datetime) else self.as_of,
            "--occurred-by": iso(self.occurred_by),
        }
        return "".join(f" {name} {value}" for name, value in options.items() if value is not None)

    def listing(self, ledger: str, finding: str) -> str:
        """The command that lists all deliveries with a finding."""
        word = finding.replace("_", "-")
        return f"postledger deliveries {shlex.quote(ledger)} --finding {word}{self.options()}"


@attrs.frozen
class Scope:
    """The deliveries of a period, in a table of the projection."""

    db: Database
    table: str
    chart: Statechart
    since: datetime | None = None
    until: datetime | None = None

    @property
    def region(self) -> Region:
        """The region that says whether there is an outcome."""
        return self.chart.regions[0]

    @property
    def where(self) -> str:
        """The conditions on ``s`` (the table) and ``t`` (the streams)."""
        conditions = f"t.chart = '{self.chart.name}'"
        if self.since is not None:
            conditions += f" AND {BEGAN} >= {micros(self.since)}"
        if self.until is not None:
            conditions += f" AND {BEGAN} < {micros(self.until)}"
        return conditions

    def rows(self, select: str, *, also: str = "1", tail: str = "") -> Iterator[tuple[Any, ...]]:
        """The rows of a SELECT over the deliveries."""
        return iter(self.db.conn.execute(self.sql(select, also=also, tail=tail)))

    def sql(self, select: str, *, also: str = "1", tail: str = "") -> str:
        """A SELECT over the deliveries, those for which ``also`` holds."""
        return (
            f"SELECT {select} FROM {self.table} s JOIN streams t ON t.id = s.stream_id"
            f" WHERE {self.where} AND {also} {tail}"
        )

    def within(self, column: str) -> str:
        """The condition that a time lies in the period."""
        conditions = ["1"]
        if self.since is not None:
            conditions.append(f"{column} >= {micros(self.since)}")
        if self.until is not None:
            conditions.append(f"{column} < {micros(self.until)}")
        return " AND ".join(conditions)


def quoted(states: frozenset[str] | tuple[str, ...]) -> str:
    """States as an SQL list; their names are checked to be plain words when a chart is loaded."""
    return "(" + ", ".join(f"'{state}'" for state in sorted(states)) + ")"
