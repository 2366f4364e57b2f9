"""What is noted: the findings of deliveries, and the events that could not be taken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import attrs

from postledger.audit.mask import hide_numbers, mask
from postledger.audit.request import Request, Scope
from postledger.definitions.vocabulary import Reading
from postledger.findings import MEANINGS, Finding, names
from postledger.log.log import Log
from postledger.projections.queries import BEGAN
from postledger.projections.reader import Reader
from postledger.times import time_of

MOST_LISTED = 20
"""How many deliveries are listed with each finding, and how many kinds of unread events."""

_FINDINGS = [(finding, names(finding)[0]) for finding in Finding]


@attrs.frozen
class Listed:
    """One delivery that a finding concerns; ``to`` is masked unless asked otherwise."""

    tracking_id: str
    state: str
    route: str | None
    to: str | None
    spid: str | None
    began_at: datetime


@attrs.frozen
class Noted:
    """A finding: what it means, how many deliveries have it, and the first of them."""

    finding: str
    means: str
    deliveries: int
    listed: tuple[Listed, ...]


@attrs.frozen
class Unread:
    """Events of one kind that changed no state: ``events`` distinct ones, the first at ``first``.

    ``kind`` is ``unreadable`` (``status`` says why) or ``unrecognised``.
    """

    kind: str
    code: str | None
    status: str | None
    events: int
    first: int


@attrs.frozen
class Missing:
    """A node that the specification's section requires and so many events lack."""

    node: str
    section: str
    events: int
    first: int


def noted(scope: Scope, asked: Request) -> tuple[Noted, ...]:
    """The findings of the deliveries of a scope, in their fixed order, those without any too."""
    counts = ", ".join(f"coalesce(sum(s.findings & {int(f)} <> 0), 0)" for f, _ in _FINDINGS)
    row = next(scope.rows(counts))
    return tuple(
        Noted(word, MEANINGS[finding], count, tuple(_listed(scope, finding, asked, count)))
        for (finding, word), count in zip(_FINDINGS, row, strict=True)
    )


def _listed(scope: Scope, finding: Finding, asked: Request, count: int) -> Iterator[Listed]:
    if not count:
        return
    rows = scope.rows(
        f"t.key, s.state, s.route, s.recipient, s.spid, {BEGAN}",
        also=f"s.findings & {int(finding)}",
        tail=f"ORDER BY s.stream_id LIMIT {MOST_LISTED}",
    )
    for key, state, route, to, spid, began in rows:
        shown = to if asked.unmask or to is None else mask(to)
        yield Listed(key, state, route, shown, spid, time_of(began))


def unread(scope: Scope, log: Log, facts: Reader, asked: Request) -> tuple[Unread, ...]:
    """The unreadable and unrecognised events received in the period, the most frequent first.

    They may belong to no delivery, so the period is that of their reception.
    """
    counted: Counter[tuple[str, str | None, str | None]] = Counter()
    first: dict[tuple[str, str | None, str | None], int] = {}
    where = scope.within("e.received_at")
    for shape, values, events, position in _kinds(log, facts, asked, "", where):
        reading = facts.reading(shape, values)
        if reading is not None and reading.recognised:
            continue
        kind = ("unreadable", None, values[0]) if reading is None else _told(shape, values, facts)
        if not asked.unmask and kind[2] is not None:
            kind = (*kind[:2], hide_numbers(kind[2]))
        counted[kind] += events
        first[kind] = min(position, first.get(kind, position))
    ranked = sorted(counted.items(), key=lambda item: (-item[1], first[item[0]]))
    return tuple(Unread(*kind, events, first[kind]) for kind, events in ranked)


def _told(shape: Shape, values: list[str], facts: Reader) -> tuple[str, str | None, str | None]:
    """The code and the status of an unrecognised event."""
    texts = shape.texts(values)
    code, status = (None if at is None else texts[at][1] for at in _told_at(shape, values, facts))
    return "unrecognised", code, status


def _told_at(shape: Shape, values: list[str], facts: Reader) -> tuple[int | None, int | None]:
    """Where code and status stand: with what no vocabulary knows, any may know the fields."""
    postback = shape.postback(values)
    assert postback is not None
    readings = [vocabulary.read(postback) for vocabulary in facts.definitions.vocabularies]
    code = next((r.code_at for r in readings if r.code_at is not None), None)
    return code, next((r.status_at for r in readings if r.status_at is not None), None)


def missing(scope: Scope, log: Log, facts: Reader, asked: Request) -> tuple[Missing, ...]:
    """The nodes that events of the scope's deliveries lack, by the section that requires them."""
    counted: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], int] = {}
    join = (
        f" JOIN {scope.table} s ON s.stream_id = e.stream_id JOIN streams t ON t.id = s.stream_id"
    )
    for shape, values, events, position in _kinds(log, facts, asked, join, scope.where):
        reading = facts.reading(shape, values)
        if reading is None:
            continue
        for field in reading.missing:
            case = (_wire_name(facts, reading.vocabulary, field), reading.section or "")
            counted[case] += events
            first[case] = min(position, first.get(case, position))
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Missing(*case, events, first[case]) for case, events in ranked)


def _wire_name(facts: Reader, vocabulary: str | None, field: str) -> str:
    """The node as the provider calls it."""
    by_name = {known.name: known for known in facts.definitions.vocabularies}
    return by_name[vocabulary or ""].fields[field][0]


def _kinds(
    log: Log, facts: Reader, asked: Request, join: str, where: str
) -> Iterator[tuple[Shape, list[str], int, int]]:
    """The kinds of distinct events worth a look: shape, texts of one, how many, first position.

    All events of a shape read alike, unless a text that decides is left open by it: then they are
    told apart by their texts. Shapes that read well are left out from the start.
    """
    settled, open_ = _shapes(log, facts)
    conditions, parameters = asked.bounds.sql()
    rows = log.db.conn.execute(
        "SELECT e.shape_id, CASE WHEN e.shape_id IN (SELECT value FROM json_each(?)) THEN e.fields"
        " ELSE min(e.fields) END, count(*), min(e.position)"
        f" FROM events e{join} WHERE {where} AND e.repeats IS NULL"
        f" AND e.shape_id IN (SELECT value FROM json_each(?)){conditions}"
        " GROUP BY e.shape_id, CASE WHEN e.shape_id IN (SELECT value FROM json_each(?))"
        " THEN e.fields END",
        (json.dumps(open_), json.dumps(settled + open_), *parameters, json.dumps(open_)),
    )
    for shape_id, fields, events, position in rows:
        yield log.shape(shape_id), json.loads(fields), events, position


def _shapes(log: Log, facts: Reader) -> tuple[list[int], list[int]]:
    """The shapes worth a look: those all of whose events read alike, and the others."""
    settled: list[int] = []
    open_: list[int] = []
    for (shape_id,) in log.db.conn.execute("SELECT id FROM shapes ORDER BY id"):
        shape = log.shape(shape_id)
        reading = facts.reading(shape, ["?"] * len(shape.fields))
        if reading is None or facts.is_open(shape) or _untold(shape, reading, facts):
            open_.append(shape_id)
        elif not reading.recognised or reading.missing:
            settled.append(shape_id)
    return settled, open_


def _untold(shape: Shape, reading: Reading, facts: Reader) -> bool:
    """Whether the code or status of an unrecognised event differs between events of the shape."""
    told = () if reading.recognised else _told_at(shape, ["?"] * len(shape.fields), facts)
    return any(at is not None and shape.fields[at][1] is None for at in told)
