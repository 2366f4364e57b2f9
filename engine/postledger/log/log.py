"""The event log: what was received, append-only, in one sequence of positions from 0.

Nothing derived stands in it. Appending depends on nothing but the head of the tree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from postledger.errors import IntegrityError
from postledger.log.event import (
    READ,
    SALT_BYTES,
    Clock,
    Entry,
    Envelope,
    Kind,
    Stored,
    leaf_of,
)
from postledger.log.interned import Interned
from postledger.log.proofs import subtree_from
from postledger.log.tree import EMPTY, Frontier, extend
from postledger.store.store import LARGEST, Row, Store, holes
from postledger.templates import Template, texts_of, written
from postledger.times import is_time

_FIRST = "e.position, e.received_at, e.envelope, e.inline, e.template, e.texts"
EVENT = f"{_FIRST}, e.body, e.salt, e.leaf"
"""The columns of an event ``e``, in the order in which ``Log.stored`` takes them."""

_SELECT = f"SELECT {EVENT} FROM events e"
JOINED = "JOIN events e ON e.position = i.position"
"""How rows ``i`` that have a position take the events ``e`` there with them."""

JOINED_TOO = "JOIN events f ON f.position = j.position"
"""How other rows ``j`` take the events ``f`` there with them."""

_APPEND = (
    "INSERT INTO events (position, received_at, envelope, inline, template, texts, body, salt, leaf)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


_BETWEEN = "e.position >= ? AND e.position <= ?"
_REACH = """SELECT max(position) FROM (
    SELECT e.position, coalesce(sum(octet_length(e.body)) OVER (
        ORDER BY e.position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM events e WHERE {} ORDER BY e.position LIMIT ?
) p WHERE before < ?"""
"""The position of the last event of a page: that whose body makes it larger than it may be."""

_FEW = 8
"""How many of the last events are looked at together."""

PAGE_BYTES = 8 << 20
"""A page of events ends with the one whose body makes it larger."""


class Head(NamedTuple):
    """How far the log has come: its tree, and the position of the last adoption (-1: none)."""

    frontier: Frontier = EMPTY
    adoption: int = -1

    @property
    def size(self) -> int:
        """The number of events, and the position of the next one."""
        return self.frontier.size


class Log:
    """The event log over one connection; the caller holds the transaction."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.interned = Interned(store)

    # --- append ---

    def head(self) -> Head:
        """How far the log has come; worked out of the events where the row that says so is wrong."""
        return self.kept_head() or self.computed_head()

    def kept_head(self) -> Head | None:
        """The head as its row says it; ``None`` where that can't be of these events."""
        row = self.store.one(
            "SELECT size, frontier, adoption,"
            " (SELECT coalesce(max(position), -1) + 1 FROM events) FROM head"
        )
        if row is not None and row[0] == row[3] and isinstance(row[2], int):
            try:
                return Head(Frontier.from_bytes(row[0], row[1]), row[2])
            except (ValueError, TypeError):
                pass
        return None

    def computed_head(self) -> Head:
        """The head as the events alone give it."""
        frontier, adoption = EMPTY, -1
        # Without their bodies.
        given = self.store.stream(f"SELECT {_FIRST}, e.leaf FROM events e ORDER BY e.position")
        for rows in _pages(given):
            frontier, _ = extend(frontier, [_leaf(row[0], row[6]) for row in rows])
            for row in rows:
                if self._envelope(row).kind == Kind.ADOPTION:
                    adoption = row[0]
        return Head(frontier, adoption)

    def append(
        self, entries: Sequence[Entry], head: Head, salts: bytes | None = None
    ) -> tuple[Head, list[Row]]:
        """Append entries after ``head``; returns the new head, and the rows of ``EVENT`` they made.

        The templates of the entries are interned already. ``salts``, 16 bytes an entry, are given by
        a copy of another store alone; else they are random.
        """
        interned = self.interned
        salts = os.urandom(SALT_BYTES * len(entries)) if salts is None else salts
        position, adoption = head.size, head.adoption
        rows: list[Row] = []
        leaves: list[bytes] = []
        last: Envelope | None = None
        for number, entry in enumerate(entries):
            received_at, envelope, body, template, texts = entry
            salt = salts[SALT_BYTES * number : SALT_BYTES * (number + 1)]
            leaf = leaf_of(position, received_at, envelope, salt, body)
            leaves.append(leaf)
            if envelope is not last:
                last, envelope_id = envelope, interned.envelope_id(envelope)
                inline = envelope.to_json() if envelope_id is None else None
            kept: tuple[int | None, str | None, bytes | None] = (None, None, body)
            if template is not None and texts is not None:
                kept = (interned.template_id(template), texts, None)
            rows.append((position, received_at, envelope_id, inline, *kept, salt, leaf))
            if envelope.kind == Kind.ADOPTION:
                adoption = position
            position += 1
        self.store.executemany(_APPEND, rows)
        frontier, nodes = extend(head.frontier, leaves)
        if nodes:
            self.store.executemany("INSERT INTO nodes (number, hash) VALUES (?, ?)", nodes)
        self._put_head(frontier, adoption)
        return Head(frontier, adoption), rows

    def _put_head(self, frontier: Frontier, adoption: int) -> None:
        self.store.execute(
            "INSERT INTO head (id, size, frontier, adoption) VALUES (0, ?, ?, ?) ON CONFLICT (id)"
            " DO UPDATE SET size = excluded.size, frontier = excluded.frontier,"
            " adoption = excluded.adoption",
            (frontier.size, frontier.to_bytes(), adoption),
        )

    # --- read ---

    def events(self, first: int = 0, until: int | None = None) -> Iterator[Stored]:
        """The events from position ``first`` up to ``until``, in order of position."""
        return map(self.stored, self._rows(first, LARGEST if until is None else until))

    def _rows(self, first: int, until: int) -> Iterator[Row]:
        return self.store.stream(
            f"{_SELECT} WHERE {_BETWEEN} ORDER BY e.position", _ends(first, until)
        )

    def _page(self, where: str, parameters: tuple[int, ...], most: int = LARGEST) -> Iterator[Row]:
        """The rows of a page: no more of them in memory than a page may have."""
        if not self.store.one_by_one:
            # guard: no more of a page comes from a server than it may have
            row = self.store.one(_REACH.format(where), (*parameters, most, PAGE_BYTES))
            reach = -1 if row is None or row[0] is None else row[0]
            where, parameters = f"{where} AND e.position <= ?", (*parameters, reach)
        return self.store.stream(
            f"{_SELECT} WHERE {where} ORDER BY e.position LIMIT ?", (*parameters, most)
        )

    def page(self, first: int, until: int) -> list[Stored]:
        """The events from ``first`` up to ``until``, but of larger bodies than ``PAGE_BYTES`` fewer."""
        return _within_bytes(map(self.stored, self._page(_BETWEEN, _ends(first, until))))

    def page_received(self, first: int, since: int, until: int, most: int) -> list[Stored]:
        """The next events from ``first`` on that were received at ``since`` or later, before ``until``.

        At most ``most`` of them, and fewer of larger bodies; none where there are no more.
        """
        where = "e.position >= ? AND e.received_at >= ? AND e.received_at < ?"
        rows = self._page(where, (min(first, LARGEST), since, until), most)
        return _within_bytes(map(self.stored, rows))

    def page_rows(self, first: int, until: int) -> list[Row]:
        """The rows of ``EVENT`` of such a page, to look into one by one: what is kept counts."""
        found: list[Row] = []
        left = PAGE_BYTES
        for row in self._page(_BETWEEN, _ends(first, until)):
            found.append(row)
            kept = row[5] if row[6] is None else row[6]
            # What is damaged may be anything.
            left -= len(kept) if isinstance(kept, str | bytes) else 0
            if left <= 0:
                break
        return found

    def last(self) -> int:
        """The position of the last event, or -1 for an empty log."""
        row = self.store.one("SELECT coalesce(max(position), -1) FROM events")
        assert row is not None
        return int(row[0])

    def size(self) -> int:
        """The number of events."""
        return self.last() + 1

    def rows(self, first: int, until: int) -> list[Row]:
        """The rows of the events from ``first`` up to, and without, ``until``, not looked into.

        Their first columns alone, up to the texts. Raises ``IntegrityError`` where one is missing.
        """
        rows: list[Row] = self.store.execute(
            f"SELECT {_FIRST} FROM events e"
            " WHERE e.position >= ? AND e.position < ? ORDER BY e.position",
            (first, until),
        ).fetchall()
        require_whole([row[0] for row in rows], first, until)
        return rows

    def at(self, position: int) -> Stored:
        """The event at a position; raises ``IntegrityError`` if it is missing."""
        row = self.store.one(f"{_SELECT} WHERE e.position = ?", (position,))
        if row is None:
            raise IntegrityError(f"position {position} is missing")
        return self.stored(row)

    def stored(self, row: Row) -> Stored:
        """The event of a row of ``EVENT``; raises ``IntegrityError`` where it is damaged."""
        position, received_at, envelope_id, _, template_id, texts, body, salt, leaf = row
        try:
            if not isinstance(received_at, int) or not is_time(received_at):
                raise IntegrityError(
                    f"its time of reception must be from the year 1 to 9999, got {received_at!r}"
                )
            envelope = self._envelope(row)
            template, values = self._texts(template_id, texts)
            if template is not None and values is not None:
                if body is not None:
                    raise IntegrityError("it has both a body and the texts of a template")
                body = template.fill(values)
            if not isinstance(body, bytes) or not isinstance(salt, bytes):
                raise IntegrityError("its body or its salt is missing")
        except (IntegrityError, ValueError) as error:
            raise IntegrityError(f"position {position}: {error}") from error
        return Stored(
            position,
            received_at,
            envelope,
            envelope_id,
            template,
            template_id,
            values,
            body,
            salt,
            _leaf(position, leaf),
        )

    def leaves(self, start: int, end: int) -> list[bytes]:
        """The hashes of the leaves from ``start`` up to, and without, ``end``."""
        rows = self.store.execute(
            "SELECT position, leaf FROM events WHERE position >= ? AND position < ?"
            " ORDER BY position",
            (start, end),
        ).fetchall()
        if len(rows) != end - start:
            raise IntegrityError(
                f"positions {start} to {end - 1}: expected {end - start} leaves, got {len(rows)}"
            )
        return [_leaf(*row) for row in rows]

    def leaf(self, position: int) -> bytes | None:
        """The hash of the leaf at a position; ``None`` where there is no event."""
        row = self.store.one("SELECT leaf FROM events WHERE position = ?", (position,))
        return None if row is None else _leaf(position, row[0])

    def nodes(self, start: int, end: int) -> list[bytes]:
        """The roots of the perfect subtrees of 256 leaves from number ``start`` up to ``end``."""
        rows = self.store.execute(
            "SELECT number, hash FROM nodes WHERE number >= ? AND number < ? ORDER BY number",
            (start, end),
        ).fetchall()
        if len(rows) != end - start:
            raise IntegrityError(
                f"nodes {start} to {end - 1} of the tree: expected {end - start}, got {len(rows)}"
            )
        for number, node in rows:
            if not isinstance(node, bytes) or len(node) != 32:
                raise IntegrityError(f"node {number} of the tree is damaged")
        return [node for _, node in rows]

    def root(self, size: int) -> bytes:
        """The root over the first ``size`` events, by the leaves and nodes that are stored."""
        return subtree_from(self.leaves, self.nodes)(0, size)

    def adoptions(self, until: int | None = None) -> Iterator[Stored]:
        """The adoptions of definitions up to position ``until``, in order of position."""
        return self._of_kind(Kind.ADOPTION, until)

    def imports(self, until: int | None = None) -> Iterator[Stored]:
        """What was stated of imports up to position ``until``, in order of position."""
        return self._of_kind(Kind.IMPORT, until)

    def verification(self, first: int, until: int) -> int | None:
        """The position of the last verification from ``first`` up to, and without, ``until``."""
        rows = self.store.execute("SELECT id, envelope FROM envelopes").fetchall()
        kind = f'["{Kind.VERIFICATION}"'
        ids = [number for number, text in rows if str(text).startswith(kind)]
        row = self.store.one(
            "SELECT max(position) FROM events WHERE position >= ? AND position < ? AND"
            f" (envelope IN ({holes(len(ids))}) OR envelope IS NULL AND inline LIKE ?)",
            (first, until, *ids, f"{kind}%"),
        )
        return None if row is None else row[0]

    def _of_kind(self, kind: Kind, until: int | None) -> Iterator[Stored]:
        ids = [
            number
            for number, text in self.store.execute("SELECT id, envelope FROM envelopes").fetchall()
            if Envelope.from_json(text).kind == kind
        ]
        rows = self.store.stream(
            f"{_SELECT} WHERE e.position <= ? AND (e.envelope IN ({holes(len(ids))}) OR e.inline LIKE ?)"
            " ORDER BY e.position",
            # An envelope begins with the kind: those of strangers need not be read.
            (LARGEST if until is None else until, *ids, f'["{kind}"%'),
        )
        return (one for one in map(self.stored, rows) if one.kind == kind)

    def received_up_to(self, position: int) -> int | None:
        """The time of reception of the last event up to a position, or ``None``."""
        row = self.store.one(
            "SELECT received_at FROM events WHERE position <= ? ORDER BY position DESC LIMIT 1",
            (min(position, LARGEST),),
        )
        return None if row is None else int(row[0])

    def last_received(self) -> int | None:
        """The time of reception of the last event that vocabularies read, or ``None``."""
        last = self.last()
        while last >= 0:
            rows = self.store.execute(
                f"SELECT {_FIRST} FROM events e WHERE e.position <= ? ORDER BY e.position DESC LIMIT ?",
                (last, _FEW),
            ).fetchall()
            for row in rows:
                if self._envelope(row).kind in READ:
                    return int(row[1])
            last = rows[-1][0] - 1 if rows else -1
        return None

    def _envelope(self, row: Row) -> Envelope:
        number, inline = row[2], row[3]
        if number is None:
            return Envelope.from_json(inline)
        if inline is not None:
            raise IntegrityError("it has both an envelope and the number of one")
        return self.interned.envelope(number)

    def _texts(
        self, template_id: object, texts: object
    ) -> tuple[Template | None, list[str] | None]:
        if template_id is None and texts is None:
            return None, None
        if not isinstance(template_id, int) or not isinstance(texts, str):
            raise IntegrityError("its texts don't fit its template")
        try:
            values = texts_of(texts)
            # Where nothing is escaped a join is quicker than to write them again.
            plain = "\\" not in texts and texts.isprintable() and values
            joined = '","'.join(values) if plain else ""
            if texts != (f'["{joined}"]' if plain else written(values)):
                raise ValueError("they are not written as texts are")
        except (ValueError, TypeError, RecursionError) as error:
            raise IntegrityError(f"its texts are damaged: {error}") from error
        return self.interned.template(template_id), values

    # --- count ---

    def pairs(self) -> list[tuple[int, int]]:
        """The numbers of the templates and envelopes that stand together in some event."""
        pairs: list[tuple[int, int]] = self.store.execute(
            "SELECT DISTINCT template, envelope FROM events"
            " WHERE template IS NOT NULL AND envelope IS NOT NULL"
        ).fetchall()
        return pairs

    def received(self, until: int | None = None) -> tuple[int | None, int | None, int]:
        """When what vocabularies read was received, up to a position: the first and the last time.

        The third number counts the events of which a file stated that time. When definitions were
        adopted doesn't count: the same receipts give the same times in any ledger.
        """
        position = LARGEST if until is None else until
        rows = self.store.execute("SELECT id, envelope FROM envelopes").fetchall()
        known = [(number, Envelope.from_json(text)) for number, text in rows]
        read = [number for number, envelope in known if envelope.kind in READ]
        stated = [number for number, envelope in known if envelope.clock is Clock.STATED]
        found = self.store.one(
            "SELECT min(received_at), max(received_at),"
            f" coalesce(sum(CASE WHEN envelope IN ({holes(len(stated))}) THEN 1 ELSE 0 END), 0)"
            f" FROM events WHERE position <= ? AND envelope IN ({holes(len(read))})",
            (*stated, position, *read),
        )
        assert found is not None
        first, last, count = found
        inline = self.store.stream(
            "SELECT received_at, inline FROM events WHERE position <= ? AND envelope IS NULL",
            (position,),
        )
        for received_at, text in inline:
            envelope = Envelope.from_json(text)
            if envelope.kind in READ:
                first = received_at if first is None else min(first, received_at)
                last = received_at if last is None else max(last, received_at)
                count += envelope.clock is Clock.STATED
        return first, last, count


def require_whole(positions: Sequence[int], first: int, until: int) -> None:
    """Raise ``IntegrityError`` unless positions are all from ``first`` up to, and without, ``until``."""
    if len(positions) < until - first:
        missing = next(
            (at for at, position in enumerate(positions, first) if position != at),
            first + len(positions),
        )
        raise IntegrityError(f"position {missing} is missing; run verify")


def texts_at(position: int, written: str) -> list[str]:
    """The texts of an event as its row has them; raises ``IntegrityError`` where they are damaged."""
    try:
        return texts_of(written)
    except (ValueError, TypeError, RecursionError) as error:
        raise IntegrityError(f"position {position}: its texts are damaged: {error}") from error


def _ends(first: int, until: int) -> tuple[int, int]:
    # No position is beyond what a store counts to.
    return min(first, LARGEST), min(until, LARGEST)


def _within_bytes(events: Iterator[Stored]) -> list[Stored]:
    found: list[Stored] = []
    left = PAGE_BYTES
    for stored in events:
        found.append(stored)
        left -= len(stored.body)
        if left <= 0:
            break
    return found


def _leaf(position: int, value: object) -> bytes:
    if not isinstance(value, bytes) or len(value) != 32:
        raise IntegrityError(f"position {position}: its leaf is damaged")
    return value


def _pages(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while page := list(islice(rows, 2_000)):
        yield page
