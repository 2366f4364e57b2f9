"""Groups: the streams that began in a period, counted by what they have in common, and listed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal

import attrs

from postledger.findings import Finding
from postledger.log.as_of import Bounds
from postledger.log.log import JOINED, JOINED_TOO
from postledger.projections.generations import BEGAN, by_unread
from postledger.projections.index import BEHIND, EVENT_ROW, FOLD_ORDER, UNREAD
from postledger.projections.queries import Listing, floored
from postledger.projections.reader import Reader
from postledger.state.streams import EventRow
from postledger.store.store import Row, holes

PAGE = 1_000
"""How many rows of events are read in one transaction."""

LACKING = Finding.NODE_MISSING | Finding.UNFOLDED
"""What is found of a stream where some event may lack a node."""

_TOOK = "(s.outcome_at - s.sent_at)"
_TIMED = "s.outcome_at >= s.sent_at"

By = Literal["route", "spid", "handset", "day", "reason_class", "space"]
"""What streams are grouped by; ``day`` is the number of the day since 1970 on which they began."""

_LABELS: dict[By | None, str] = {
    None: "''",
    "route": "s.route",
    "spid": "s.spid",
    "handset": "s.handset",
    "day": floored("s.began", 86_400_000_000),
    "reason_class": "s.reason_class",
    "space": "s.space",
}

_COUNTED = (
    *("space", "key", "state", "route", "reason", "route_reason", "reason_class", "recipient"),
    *("spid", "handset", "sent_at", "outcome_at", "first_received_at", "events", "repeats"),
    *("findings", "amounts"),
)
"""What is counted of a stream, next to its chart and its beginning: a narrow table, read many times."""

_NUMBERS = {"sent_at", "outcome_at", "first_received_at", "events", "repeats", "findings"}

Group = tuple[Any, int, tuple[int, ...]]
"""What its streams have in common, how many they are, and how many are in each state."""


@attrs.frozen
class Groups:
    """The streams of one chart that began in a period, in the table ``counted``.

    ``since`` is inclusive, ``until`` exclusive, both in microseconds; ``None`` leaves an end open.
    """

    reader: Reader
    counted: str
    chart: str
    since: int | None = None
    until: int | None = None

    # --- counts ---

    def totals(self) -> tuple[int, int, int]:
        """How many streams, distinct events and repeats there are."""
        (row,) = self._rows("count(*), coalesce(sum(s.events), 0), coalesce(sum(s.repeats), 0)")
        return row[0], row[1], row[2]

    def by_state(self) -> dict[str, int]:
        """How many streams are in each state."""
        return dict(self._rows("s.state, count(*)", tail="GROUP BY s.state"))

    def by(self, by: By, states: Sequence[str]) -> Iterator[Group]:
        """The groups, the largest first, then by label; days begin with the newest."""
        label = _LABELS[by]
        order = "1 DESC" if by == "day" else "2 DESC, label IS NOT NULL, 1"
        each = ", sum(CASE WHEN state = ? THEN n ELSE 0 END)" * len(states)
        # Counted by the state first, so that it is compared once for all streams that share both.
        sql, parameters = self._sql(f"{label} AS label, s.state AS state, count(*) AS n")
        rows = self.reader.log.store.stream(
            f"SELECT label, sum(n){each} FROM ({sql} GROUP BY 1, 2) equal GROUP BY 1 ORDER BY {order}",
            (*states, *parameters),
        )
        return ((label, total, tuple(counts)) for label, total, *counts in rows)

    def by_finding(self) -> dict[Finding, int]:
        """How many streams have each finding."""
        found = dict.fromkeys(Finding, 0)
        for findings, n in self._rows("s.findings, count(*)", tail="GROUP BY 1"):
            _count(found, findings, n)
        return found

    def by_finding_and(self, by: By) -> Iterator[tuple[Any, dict[Finding, int]]]:
        """The groups, each with how many of its streams have each finding; in no order."""
        rows = self._rows(f"{_LABELS[by]}, s.findings, count(*)", tail="GROUP BY 1, 2 ORDER BY 1")
        for label, equal in groupby(rows, itemgetter(0)):
            found = dict.fromkeys(Finding, 0)
            for _, findings, n in equal:
                _count(found, findings, n)
            yield label, found

    def reasons(self, region: Literal["state", "route"], states: Sequence[str]) -> Iterator[Row]:
        """State, reason and space of each stream of which a region is in one of the states."""
        reason = "s.reason" if region == "state" else "s.route_reason"
        where = f"s.{region} IN ({holes(len(states))})"
        return self._rows(f"s.{region}, {reason}, s.space", (), where, states)

    def amounts(self) -> Iterator[Row]:
        """The texts of amounts that streams have, and how many streams have each."""
        return self._rows("s.amounts, count(*)", (), "s.amounts <> ''", tail="GROUP BY 1")

    # --- durations ---

    def by_took(self, edges: Sequence[int]) -> dict[int, int]:
        """How many streams took a time between two edges from sent to outcome, by bin."""
        bin_ = _nested(_TOOK, edges, 0)
        return dict(self._rows(f"{bin_}, count(*)", (), _TIMED, tail="GROUP BY 1"))

    def by_age(
        self, time: int, edges: Sequence[int], states: Sequence[str]
    ) -> dict[int, tuple[int, ...]]:
        """How many streams in each of the states have, at a time, an age between two edges, by bin."""
        cases, values = _bins("(? - s.began)", edges)
        given = [value for edge in values for value in (time, edge)]
        rows = self._rows(
            f"{cases}{_in_each(states)}",
            (*given, *states),
            f"s.state IN ({holes(len(states))})",
            states,
            tail="GROUP BY 1",
        )
        return {number: tuple(counts) for number, *counts in rows}

    def disordered(self) -> int:
        """How many streams have an outcome that is stamped before the sending."""
        (row,) = self._rows("count(*)", (), "s.outcome_at < s.sent_at")
        return int(row[0])

    def untimed(self, states: Sequence[str]) -> int:
        """How many streams in one of the states lack the time of sending, or of the outcome."""
        where = f"s.state IN ({holes(len(states))}) AND (s.outcome_at IS NULL OR s.sent_at IS NULL)"
        (row,) = self._rows("count(*)", (), where, states)
        return int(row[0])

    def percentiles(
        self, by: By | None, percents: Sequence[int], most: int
    ) -> dict[Any, tuple[int, ...]]:
        """By label: how many streams took a time from sent to outcome, and its percentiles.

        Those are by nearest rank. Only the ``most`` largest groups are listed, in the order of ``by``.
        """
        label = _LABELS[by]
        order = f"ORDER BY 2 DESC, {label} IS NOT NULL, 1 LIMIT {most}"
        timed = f"sum(CASE WHEN {_TIMED} THEN 1 ELSE 0 END)"
        rows = self._rows(f"{label}, count(*), {timed}", (), tail=f"GROUP BY 1 {order}")
        counts = {label: n for label, _, n in rows if n}
        sql, parameters = self._sql(
            f"{label} AS label, {_TOOK} AS took, row_number() OVER (PARTITION BY {label}"
            f" ORDER BY {_TOOK}) AS place, count(*) OVER (PARTITION BY {label}) AS n",
            (),
            _TIMED,
        )
        wanted = ", ".join(f"(n * {percent} + 99) / 100" for percent in percents)
        found = {
            (label, place): took
            for label, place, took in self.reader.log.store.stream(
                f"SELECT label, place, took FROM ({sql}) ranked WHERE place IN ({wanted})",
                parameters,
            )
            if label in counts
        }
        return {
            label: (n, *(found[label, (n * percent + 99) // 100] for percent in percents))
            for label, n in counts.items()
        }

    # --- lists ---

    def having(self, finding: Finding, most: int, bounds: Bounds) -> list[Row]:
        """The latest streams with a finding: key, state, route, recipient, SPID, beginning, findings.

        At the end stand the position of its first event and the stream. Those that were first received
        last come first, then by key and space.
        """
        sql, parameters = self._sql(
            "s.key, s.state, s.route, s.recipient, s.spid, s.began, s.findings, s.stream",
            (),
            "(s.findings & ?) <> 0",
            (int(finding),),
        )
        known, bounded = bounds.sql()
        first = (
            f"SELECT min(i.position) FROM {self.reader.index.name} i {JOINED}"
            f" WHERE i.stream = f.stream{known}"
        )
        return list(
            self.reader.log.store.stream(
                f"SELECT key, state, route, recipient, spid, began, findings, ({first}), stream"
                f" FROM ({sql} ORDER BY s.first_received_at DESC, s.key DESC, s.space DESC"
                f" LIMIT {most}) f",
                (*bounded, *parameters),
            )
        )

    def unread(self, bounds: Bounds) -> Iterator[EventRow]:
        """The distinct events that changed no state and came in the period, of whatever stream.

        Of equal events it is the one that was received first.
        """
        ends = [
            (f"e.received_at {sign} ?", end)
            for sign, end in ((">=", self.since), ("<", self.until))
            if end is not None
        ]
        name, store = self.reader.index.name, self.reader.log.store
        with store.read():
            by_index, unread = by_unread(store, name)
        held = [unread, *(sql for sql, _ in ends)]
        values = [end for _, end in ends]
        if self.since is not None:
            # An equal one that came before, and was known, is the one that counts.
            known, bounded = bounds.sql("j", "f")
            held.append(
                f"NOT EXISTS (SELECT 1 FROM {name} j {JOINED_TOO}"
                " WHERE j.stream = i.stream AND j.occurred_at = i.occurred_at"
                f" AND j.identity = i.identity AND f.received_at < ?{known})"
            )
            values += [self.since, *bounded]
        return self._distinct("i", f"{name} i{by_index}", held, values, bounds)

    def lacking(self, bounds: Bounds) -> Iterator[EventRow]:
        """The distinct events of the period's streams of which any may lack a node."""
        within, given = self._where()
        # In the order in which the tables stand: each stream is looked up by its number.
        source = f"{self.counted} s CROSS JOIN {self.reader.index.name} i"
        held = [
            "i.stream = s.stream",
            within,
            f"(s.findings & {int(LACKING)}) <> 0",
            f"NOT {UNREAD}",
        ]
        return self._distinct("s", source, held, given, bounds)

    def _distinct(
        self, by: str, source: str, held: Sequence[str], values: Sequence[object], bounds: Bounds
    ) -> Iterator[EventRow]:
        rows = self._pages(by, source, held, values, bounds)
        for _, equal in groupby(rows, itemgetter(0, 1, 2)):
            yield self.reader.facts.ranked(list(equal))[0]

    def _pages(
        self, by: str, source: str, held: Sequence[str], values: Sequence[object], bounds: Bounds
    ) -> Iterator[EventRow]:
        """Rows of events, page by page, each in a read transaction of its own.

        ``by`` is the table of ``source`` through whose streams they are found.
        """
        conditions, bounded = bounds.sql()
        store, last = self.reader.log.store, None
        select = f"SELECT {EVENT_ROW} FROM {source} {JOINED} WHERE {' AND '.join(held)}{conditions}"
        while True:
            behind, place = "", tuple[object, ...]()
            if last is not None:
                behind, place = f" AND {BEHIND} AND {by}.stream >= ?", (*last[:5], last[0])
            with store.read():
                rows: list[EventRow] = store.execute(
                    f"{select}{behind} {FOLD_ORDER} LIMIT ?", (*values, *bounded, *place, PAGE)
                ).fetchall()
            yield from rows
            if len(rows) < PAGE:
                return
            last = rows[-1]

    # --- SQL ---

    def _rows(
        self,
        select: str,
        selected: Sequence[object] = (),
        also: str = "1 = 1",
        given: Iterable[object] = (),
        tail: str = "",
    ) -> Iterator[Row]:
        sql, parameters = self._sql(select, selected, also, given)
        return self.reader.log.store.stream(f"{sql} {tail}", parameters)

    def _sql(
        self,
        select: str,
        selected: Sequence[object] = (),
        also: str = "1 = 1",
        given: Iterable[object] = (),
    ) -> tuple[str, tuple[object, ...]]:
        """A SELECT over the streams, with its parameters: those selected by, those held to."""
        where, parameters = self._where()
        sql = f"SELECT {select} FROM {self.counted} s WHERE {where} AND {also}"
        return sql, (*selected, *parameters, *given)

    def _where(self) -> tuple[str, tuple[object, ...]]:
        """The condition of the chart and the period, with its parameters."""
        ends = (("s.began >= ?", self.since), ("s.began < ?", self.until))
        held = [("s.chart = ?", self.chart), *(one for one in ends if one[1] is not None)]
        return " AND ".join(one for one, _ in held), tuple(value for _, value in held)


@contextmanager
def counted(reader: Reader, snapshot: Listing) -> Iterator[str]:
    """A table of what is counted of the streams of a snapshot; it goes at the end."""
    store = reader.log.store
    with store.scratch("counted") as table:
        columns = ", ".join(_COUNTED)
        kinds = ", ".join(
            f"{name} {'INTEGER' if name in _NUMBERS else 'TEXT'}" for name in _COUNTED
        )
        store.execute(
            f"CREATE TABLE {table} (stream INTEGER PRIMARY KEY, chart TEXT, began INTEGER, {kinds})"
        )
        # Ended here: what is read next has a transaction of its own.
        with store.read():
            store.execute(
                f"INSERT INTO {table} SELECT s.stream, t.chart, {BEGAN}, {columns} FROM"
                f" {snapshot.states} s JOIN {snapshot.streams} t ON t.id = s.stream"
            )
        yield table


def _count(found: dict[Finding, int], findings: int, n: int) -> None:
    for finding in Finding:
        if findings & finding:
            found[finding] += n


def _in_each(states: Sequence[str]) -> str:
    return ", sum(CASE WHEN s.state = ? THEN 1 ELSE 0 END)" * len(states)


def _bins(value: str, edges: Sequence[int]) -> tuple[str, Sequence[int]]:
    """The number of the bin that a value falls into, which ends before an edge."""
    whens = " ".join(f"WHEN {value} < ? THEN {number}" for number in range(len(edges)))
    return f"CASE {whens} ELSE {len(edges)} END", edges


def _nested(value: str, edges: Sequence[int], first: int) -> str:
    """The number of a bin as ``_bins`` has it, from ``first`` on, by few comparisons of many edges."""
    if not edges:
        return str(first)
    half = len(edges) // 2
    below = _nested(value, edges[:half], first)
    above = _nested(value, edges[half + 1 :], first + half + 1)
    return f"CASE WHEN {value} < {int(edges[half])} THEN {below} ELSE {above} END"
