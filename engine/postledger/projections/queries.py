"""Queries: which deliveries are asked for, as SQL over a table of the projection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from string import ascii_letters
from string import digits as ascii_digits

import attrs

from postledger.arguments import at_least, require, require_order, typed
from postledger.definitions.definitions import Definitions
from postledger.definitions.said import CLASSES
from postledger.errors import IntegrityError, UnknownWord
from postledger.findings import named
from postledger.model import DELIVERY
from postledger.phone import SEPARATORS, digits_of
from postledger.projections.generations import BEGAN, FIRST
from postledger.projections.index import chunks
from postledger.state.patterns import Stream
from postledger.state.row import UNFOLDED, Row
from postledger.state.said import label_within
from postledger.state.search import search_of
from postledger.store.store import LARGEST, Store
from postledger.times import micros, now


@attrs.frozen
class Listing:
    """Where deliveries are listed from: a table of states, one of streams, and their definitions.

    ``search`` is the table that deliveries are found by, and ``tallies`` that in which they are counted,
    where there is one.
    """

    definitions: Definitions
    states: str
    streams: str
    search: str | None = None
    tallies: str | None = None


@attrs.frozen(field_transformer=typed)
class Query:
    """Which deliveries are asked for; ``None`` asks for all.

    ``since`` and ``until`` bound the time at which a delivery began: sent, or else created, or
    else first received (also where a TIMESTAMP is implausible); ``until`` is exclusive. ``stuck``
    asks for those without an outcome that began at least so long before ``now``. ``to`` is a phone
    number in any spelling. ``finding`` is a
    word of ``postledger.findings``, ``reason_class`` one of those of the vocabularies. Of ``labels``
    all must be there, each with that text. ``search`` is a text that a person looks for: a recipient in
    any spelling, or at least its last four digits, the beginning of an id, an MMSID, a label, or words of
    the reason; the newest deliveries come first then. Times are aware; raises ``ValueError`` or
    ``TypeError`` for what can't be asked for.

    >>> [delivery.tracking_id for delivery in ledger.deliveries(Query(route="sms"))]
    ['U01TXzgwNjc4']
    """

    chart: str = "delivery"
    state: str | None = None
    route: str | None = None
    read: str | None = None
    grade: str | None = None
    spid: str | None = None
    to: str | None = None
    space: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    finding: str | None = None
    stuck: timedelta | None = None
    reason_class: str | None = None
    labels: Mapping[str, str] | None = attrs.field(default=None, hash=False)
    search: str | None = None
    limit: int | None = attrs.field(default=None, validator=at_least(0))
    now: datetime = attrs.field(factory=now)

    def __attrs_post_init__(self) -> None:
        require_order(self.since, self.until)
        if self.stuck is not None and self.stuck < timedelta():
            raise ValueError(f"stuck must not be negative, got {self.stuck}")
        for name, text in (self.labels or {}).items():
            require("labels", name, str)
            require(f"label {name}", text, str)
        if self.search is not None:
            search_of(self.search)


def page_of(
    query: Query,
    store: Store,
    listing: Listing,
    after: After | None,
    size: int,
    among: Sequence[object] = (),
) -> list[tuple[Stream, Row]]:
    """The next streams and rows after ``after``, in the order in which they were first received.

    Where that is the same, keys and spaces order them: the order depends on nothing but what was
    received. With a search it is turned round; whether they have its text is for the caller to see.
    ``among`` are the only streams that are looked at. Raises ``UnknownWord`` where a word is asked for
    that the chart doesn't have.
    """
    held, parameters = where(query, listing.definitions)
    if among:
        held += f" AND s.stream IN ({', '.join('?' * len(among))})"
        parameters += among
    than, order = (">", "") if query.search is None else ("<", " DESC")
    if after is not None:
        held += (
            f" AND (s.first_received_at {than} ? OR s.first_received_at = ?"
            f" AND (t.key {than} ? OR t.key = ? AND t.space {than} ?))"
        )
        parameters += [after[0], after[0], after[1], after[1], after[2]]
        held += f" AND s.first_received_at {than}= ?"
        parameters.append(after[0])
    # Crossed: the rows are read in the order of the index on that time, no further than the page goes.
    rows = store.execute(
        f"SELECT t.space, t.chart, t.key, s.* FROM {listing.states} s"
        f" CROSS JOIN {listing.streams} t WHERE t.id = s.stream AND {held}"
        f" ORDER BY s.first_received_at{order}, t.key{order}, t.space{order} LIMIT ?",
        (*parameters, size),
    ).fetchall()
    page = [((space, chart, key), tuple(row)) for space, chart, key, *row in rows]
    if not all(isinstance(text, str) for stream, _ in page for text in stream):
        raise IntegrityError("a key of a stream is damaged; run verify")
    return page


def rows_of_keys(store: Store, listing: Listing, space: str, keys: Iterable[str]) -> dict[str, Row]:
    """The rows of the deliveries of a space that have some keys, by the key."""
    found: dict[str, Row] = {}
    for chunk in chunks(sorted(keys)):
        holes = ", ".join("?" * len(chunk))
        rows = store.execute(
            f"SELECT t.key, s.* FROM {listing.streams} t JOIN {listing.states} s"
            f" ON s.stream = t.id WHERE t.key IN ({holes}) AND t.chart = ? AND t.space = ?",
            (*chunk, DELIVERY, space),
        )
        found.update((key, tuple(row)) for key, *row in rows.fetchall())
    return found


def require_known(query: Query, definitions: Definitions) -> None:
    """Raise where a word is asked for that the definitions don't have."""
    where(query, definitions)


def where(query: Query, definitions: Definitions) -> tuple[str, list[object]]:
    """What holds of a row ``s`` and its stream ``t`` that is asked for, with its parameters.

    Raises ``UnknownWord`` where a word is asked for that the chart doesn't have.
    """
    region = definitions.chart(query.chart).regions[0]
    _require_words(query, definitions)
    wanted: list[tuple[str, object]] = [("t.chart = ?", query.chart)]
    for column, text in (
        ("s.state", query.state),
        ("s.route", query.route),
        ("s.read", query.read),
        ("s.grade", query.grade),
        ("s.spid", query.spid),
        ("t.space", query.space),
        ("s.reason_class", query.reason_class),
    ):
        if text is not None:
            wanted.append((f"{column} = ?", text))
    if query.to is not None:
        wanted.append(_to(query.to))
    wanted += _with_labels(query.labels or {}, definitions)
    if query.since is not None:
        wanted.append((f"{BEGAN} >= ?", micros(query.since)))
    if query.until is not None:
        wanted.append((f"{BEGAN} < ?", micros(query.until)))
    if query.finding is not None:
        try:
            wanted.append(("(s.findings & ?) <> 0", int(named(query.finding))))
        except ValueError as error:
            raise UnknownWord(str(error)) from None
    if query.stuck is not None:
        # No state has an empty name.
        final = ", ".join(f"'{state}'" for state in ("", *sorted(region.final)))
        wanted.append(
            (
                f"s.state NOT IN ({final}) AND {BEGAN} <= ?",
                max(-LARGEST, micros(query.now) - query.stuck // timedelta(microseconds=1)),
            )
        )
    return " AND ".join(sql for sql, _ in wanted), [value for _, value in wanted]


def _require_words(query: Query, definitions: Definitions) -> None:
    region, *beside = definitions.chart(query.chart).regions
    states = (*region.states, UNFOLDED)
    if query.state is not None and query.state not in states:
        raise UnknownWord(f"unknown state {query.state!r}: expected {', '.join(states)}")
    for name, word in (("route", query.route), ("reading", query.read), ("grade", query.grade)):
        known = next((r.states for r in beside if r.name == name), ())
        if word is not None and word not in known:
            raise UnknownWord(f"unknown {name} {word!r}: expected {', '.join(known)}")
    if query.reason_class is not None and query.reason_class not in CLASSES:
        expected = ", ".join(CLASSES)
        raise UnknownWord(f"unknown reason_class {query.reason_class!r}: expected {expected}")


def _with_labels(
    labels: Mapping[str, str], definitions: Definitions
) -> Iterator[tuple[str, object]]:
    """What holds of streams with these labels; raises ``UnknownWord`` for one that none can have."""
    known = {name for vocabulary in definitions.vocabularies for name in vocabulary.said.labels}
    for name, text in labels.items():
        if name not in known:
            expected = ", ".join(sorted(known)) or "none, as no vocabulary has labels"
            raise UnknownWord(f"unknown label {name!r}: expected {expected}")
        # Without what is looked for the text is shorter, if that stands in it.
        yield "replace(s.labels, ?, '') <> s.labels", label_within(name, text)


def _to(wanted: str) -> tuple[str, object]:
    """What holds of recipients that are the same number, in whatever spelling (``digits_of``)."""
    digits = digits_of(wanted)
    if not (digits.isascii() and digits.isdecimal()):
        return "s.recipient = ?", wanted
    # A scheme is a letter, then what schemes have, up to the colon (RFC 3986, 3.1).
    behind = f"ltrim(s.recipient, '{ascii_letters}{ascii_digits}+.-')"
    bare = (
        f"CASE WHEN substr({behind}, 1, 1) = ':' AND ltrim(substr(s.recipient, 1, 1),"
        f" ':{ascii_digits}+.-') <> '' THEN substr({behind}, 2) ELSE s.recipient END"
    )
    for separator in SEPARATORS:
        bare = f"replace({bare}, '{separator}', '')"
    return (
        f"CASE WHEN substr({bare}, 1, 2) = '00' AND substr({bare}, 3, 1) BETWEEN '1' AND '9'"
        f" AND length({bare}) >= 9 THEN substr({bare}, 3) ELSE {bare} END = ?",
        digits,
    )


def floored(micros: str, length: int) -> str:
    """The number of the day, or of another length in microseconds, in which a time lies.

    Floored: division cuts towards zero, which would give the eve of 1970 two days' worth.
    """
    return f"({micros} - (({micros} % {length}) + {length}) % {length}) / {length}"


After = tuple[int, str, str]
"""The place of the last delivery of a page: its first reception, its key and its space."""


def after_of(page: list[tuple[Stream, Row]]) -> After:
    """The place after a page."""
    (space, _, key), row = page[-1]
    return row[FIRST], key, space
