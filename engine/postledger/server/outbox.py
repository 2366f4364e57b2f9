"""The outbox: what is to be sent, in a SQLite file of its own next to the ledger.

Attempts write here and never to the ledger. Each endpoint has its place in the log; it moves in one
transaction with what was taken in up to there. What was sent is deleted: the file holds what is
pending and what is parked, and no history. A message belongs to one or more chains, one for each
delivery that it speaks of. It is due when it is the first of all its chains, so that the messages of one
delivery go out in order, and those of others don't wait for them. Whoever makes the attempts leaves out
the chains in which one is being made: its message may have been skipped meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence, Set
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import attrs

from postledger.address import Address, Location
from postledger.errors import LedgerError, UnknownKey
from postledger.model import plain
from postledger.store.sqlite import OUTBOX, SqliteStore, open_store
from postledger.store.sqlite import translated as translated_of

translated = partial(translated_of, kind=OUTBOX)

SUFFIX = "-outbox"
"""What the name of the ledger's file is followed by."""

MOST_PENDING, MOST_BYTES = 10_000, 64 << 20
"""Nothing more is taken in for an endpoint to which so much is pending already."""

MOST_SENDABLE = 1_000
"""Nothing more is taken in while this many untried messages are due."""

_TIMEOUT = 60.0

# position, leaf: of the last event that was taken in; leaf tells a restored ledger from this one.
# definitions: the hash of those by which it was read. adopting, cursor: the position of the adoption
# whose changes are being taken in, and the last position of which they were.
_TABLES = (
    "CREATE TABLE owner (ledger TEXT NOT NULL) STRICT",
    """CREATE TABLE endpoints (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    identity TEXT NOT NULL UNIQUE,
    shown TEXT NOT NULL,
    feed TEXT NOT NULL,
    position INTEGER NOT NULL,
    leaf BLOB,
    definitions TEXT,
    adopting INTEGER,
    cursor INTEGER NOT NULL DEFAULT -1,
    disabled TEXT
) STRICT""",
    # due: seconds since 1970; none while it waits behind another, or is parked. wait: seconds.
    """CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint INTEGER NOT NULL,
    key TEXT NOT NULL,
    about TEXT NOT NULL,
    position INTEGER NOT NULL,
    content_type TEXT,
    content_encoding TEXT,
    body BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL,
    wait REAL NOT NULL DEFAULT 0,
    parked INTEGER NOT NULL DEFAULT 0,
    problem TEXT,
    UNIQUE (endpoint, key)
) STRICT""",
    "CREATE INDEX messages_due ON messages (endpoint, attempts, due)",
    "CREATE INDEX messages_parked ON messages (endpoint, parked)",
    """CREATE TABLE chains (
    endpoint INTEGER NOT NULL,
    chain TEXT NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (endpoint, chain, message)
) STRICT, WITHOUT ROWID""",
    "CREATE INDEX chains_message ON chains (message)",
)


@attrs.frozen
class Message:
    """What is to be sent: its key, what it is about, its chains, and the bytes with their headers."""

    key: str
    about: str
    chains: tuple[str, ...]
    position: int
    content_type: str | None
    content_encoding: str | None
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class Due:
    """A message whose time has come; ``chains`` are the deliveries that it keeps the order of."""

    seq: int
    key: str
    attempts: int
    chains: frozenset[str]
    content_type: str | None
    content_encoding: str | None
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class Ended:
    """An attempt that ended: ``problem`` is ``None`` where the message was taken.

    ``attempts`` is the number of those before it. ``wait`` are the seconds to the next attempt,
    ``None`` where there is no further one. ``gone`` says that the endpoint wants no more of anything.
    """

    seq: int
    problem: str | None = None
    wait: float | None = None
    attempts: int = 0
    gone: bool = False


@attrs.frozen
class EndpointRow:
    """Where an endpoint stands: its row; see ``_TABLES``."""

    id: int
    shown: str
    feed: str
    position: int
    leaf: bytes | None
    definitions: str | None
    adopting: int | None
    cursor: int
    disabled: str | None


@attrs.frozen
class Waiting:
    """A message that waits or is parked, as it is listed.

    ``about`` is the TRACKINGID. ``status`` is one of these:

    - ``pending``: it is sent when its time comes;
    - ``queued``: it comes after a pending one of the same delivery, and is counted as pending;
    - ``held``: it comes after a parked one of the same delivery;
    - ``parked``: it was refused until the schedule ended.

    ``due`` is the time of the next attempt of a pending one in seconds since 1970, 0 where it is now;
    of others ``None``. ``problem`` is why the last attempt failed.

    >>> from postledger.server.outbox import Waiting
    >>> waiting = Waiting("5e0f", "U01TXzE=", 12, 10, "parked", due=None, problem="HTTP 500")
    >>> waiting.to_dict()["status"]
    'parked'
    """

    key: str
    about: str
    position: int
    attempts: int
    status: str
    due: float | None
    problem: str | None

    @property
    def at(self) -> datetime | None:
        """The time of the next attempt; ``None`` where it is now, or of one that is not pending."""
        return datetime.fromtimestamp(self.due, UTC) if self.due else None

    def to_dict(self) -> dict[str, Any]:
        """The message as JSON has it."""
        return dict(plain(attrs.asdict(self) | {"due": self.at}))


class Counts(NamedTuple):
    """How many messages wait for an endpoint: pending, behind a parked one, parked."""

    pending: int
    held: int
    parked: int


class Outbox:
    """The outbox of one ledger, over one connection, for one thread at a time."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store

    @classmethod
    def open(cls, ledger: Location, ledger_id: str, *, readonly: bool = False) -> Outbox:
        """The outbox of a ledger, created if it is missing (unless ``readonly``).

        ``ledger_id`` is that of the ledger, in hexadecimal. Raises ``LedgerError`` for the outbox of
        another ledger, or a damaged one. An outbox that is lost, or deleted, is served from the
        beginning: receivers know by the keys what they have.
        """
        path = outbox_of(ledger)
        make = partial(_make, ledger_id)
        store = open_store(path, make, timeout=_TIMEOUT, readonly=readonly, kind=OUTBOX)
        outbox = cls(store)
        try:
            outbox._require_owner(ledger_id)
        except BaseException:
            store.close()
            raise
        return outbox

    def _require_owner(self, ledger_id: str) -> None:
        with translated(self.store.path):
            # guard: the outbox of another ledger is refused
            if self.store.one("SELECT ledger FROM owner") != (ledger_id,):
                raise LedgerError(
                    f"{self.store.path}: the outbox of another ledger; move it away, and all changes"
                    " are sent again, with the same keys"
                )

    def close(self) -> None:
        """Close the file."""
        self.store.close()

    # --- endpoints ---

    def endpoints(self) -> list[EndpointRow]:
        """All endpoints, in the order in which they were added."""
        with translated(self.store.path):
            rows = self.store.execute(f"{_ENDPOINT} ORDER BY id").fetchall()
        return [EndpointRow(*row) for row in rows]

    def endpoint(self, number: int) -> EndpointRow:
        """One endpoint."""
        with translated(self.store.path):
            row = self.store.one(f"{_ENDPOINT} WHERE id = ?", (number,))
        if row is None:
            raise LedgerError(f"{self.store.path}: endpoint {number} is gone")
        return EndpointRow(*row)

    def find(self, identity: str) -> int | None:
        """The number of an endpoint; ``None`` where it is not known."""
        with translated(self.store.path):
            row = self.store.one("SELECT id FROM endpoints WHERE identity = ?", (identity,))
        return None if row is None else int(row[0])

    def add(self, identity: str, shown: str, feed: str, position: int) -> int:
        """Add an endpoint that is served after a position, unless it is known; returns its number."""
        with translated(self.store.path), self.store.write():
            self.store.execute(
                "INSERT INTO endpoints (identity, shown, feed, position) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (identity) DO UPDATE SET shown = excluded.shown",
                (identity, shown, feed, position),
            )
        found = self.find(identity)
        assert found is not None
        return found

    def set_place(self, endpoint: int, **place: object) -> None:
        """Set where an endpoint stands: position, leaf, definitions, adopting, cursor or disabled."""
        with translated(self.store.path), self.store.write():
            self._set_place(endpoint, place)

    def _set_place(self, endpoint: int, place: dict[str, object]) -> None:
        self.store.execute(
            f"UPDATE endpoints SET {', '.join(f'{name} = ?' for name in place)} WHERE id = ?",
            (*place.values(), endpoint),
        )

    # --- what goes through ---

    def take_in(self, endpoint: int, messages: Iterable[Message], **place: object) -> None:
        """Add messages, in their order, and move the endpoint's place, in one transaction."""
        with translated(self.store.path), self.store.write():
            for message in messages:
                self._add(endpoint, message)
            # guard: the place moves with what was taken in
            self._set_place(endpoint, place)

    def _add(self, endpoint: int, message: Message) -> None:
        added = self.store.conn.execute(
            "INSERT INTO messages"
            " (endpoint, key, about, position, content_type, content_encoding, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (endpoint, key) DO NOTHING",
            (
                endpoint,
                message.key,
                message.about,
                message.position,
                message.content_type,
                message.content_encoding,
                message.body,
            ),
        )
        if not added.rowcount:
            # It is pending since before the ledger was restored, or is parked.
            return
        seq = added.lastrowid
        self.store.executemany(
            "INSERT INTO chains (endpoint, chain, message) VALUES (?, ?, ?)",
            [(endpoint, chain, seq) for chain in dict.fromkeys(message.chains)],
        )
        self._free(seq)

    def _free(self, seq: int | None) -> None:
        """Make a message due at once if it is the first of all its chains, and neither due nor parked."""
        self.store.execute(
            "UPDATE messages SET due = 0 WHERE seq = ? AND due IS NULL AND parked = 0"
            # guard: behind another of the same delivery
            f" AND NOT EXISTS ({_EARLIER})",
            (seq, seq),
        )

    def due(
        self, endpoint: int, now: float, *, fresh: int, again: int, busy: Set[str] = frozenset()
    ) -> list[Due]:
        """Messages whose time has come: so many that were never tried, and so many that were.

        Without those of the chains in ``busy``, in which attempts are being made.
        """
        found: list[Due] = []
        with translated(self.store.path):
            for sql, most in ((_FRESH, fresh), (_AGAIN, again)):
                if most > 0:
                    # Of each chain only the first is due.
                    rows = self.store.execute(sql, (endpoint, now, most + len(busy))).fetchall()
                    due = [
                        Due(seq, key, attempts, frozenset(json.loads(chains)), *rest)
                        for seq, key, attempts, chains, *rest in rows
                    ]
                    # guard: behind an attempt that is being made
                    found += [one for one in due if one.chains.isdisjoint(busy)][:most]
        return found

    def next_due(self, endpoint: int, now: float) -> float | None:
        """When the next attempt after now is due; ``None`` where none is."""
        with translated(self.store.path):
            row = self.store.one(
                "SELECT min(due) FROM messages WHERE endpoint = ? AND due > ?", (endpoint, now)
            )
        return None if row is None or row[0] is None else float(row[0])

    def end(self, endpoint: int, ended: Sequence[Ended], now: float) -> None:
        """Keep how attempts ended; of those that were taken nothing is left."""
        with translated(self.store.path), self.store.write():
            for one in ended:
                if one.problem is None:
                    self._remove(one.seq)
                elif one.gone:
                    self._set_place(endpoint, {"disabled": one.problem})
                else:
                    due = None if one.wait is None else now + one.wait
                    self.store.execute(
                        "UPDATE messages SET attempts = attempts + 1, problem = ?, wait = ?, due = ?,"
                        # guard: redriven while the attempt was made
                        " parked = ? WHERE seq = ? AND attempts = ?",
                        (one.problem, one.wait or 0.0, due, due is None, one.seq, one.attempts),
                    )

    def _remove(self, seq: int) -> None:
        """Delete a message; the next ones of its chains may go."""
        chains = self.store.execute(
            "SELECT endpoint, chain FROM chains WHERE message = ?", (seq,)
        ).fetchall()
        self.store.execute("DELETE FROM messages WHERE seq = ?", (seq,))
        self.store.execute("DELETE FROM chains WHERE message = ?", (seq,))
        for chain in chains:
            following = self.store.one(
                "SELECT min(message) FROM chains WHERE endpoint = ? AND chain = ?", chain
            )
            if following is not None and following[0] is not None:
                self._free(following[0])

    def clamp(self, endpoint: int, now: float) -> None:
        """Let nothing wait longer from now than it was to wait at all: the clock may have been wrong."""
        with translated(self.store.path), self.store.write():
            self.store.execute(
                # guard: no attempt waits for a jump of the clock
                "UPDATE messages SET due = ? + wait WHERE endpoint = ? AND due > ? + wait",
                (now, endpoint, now),
            )

    # --- what people do ---

    def skip(self, endpoint: int, key: str) -> None:
        """Give up a message; those behind it go on. Raises ``UnknownKey``."""
        with translated(self.store.path), self.store.write():
            self._remove(self._seq(endpoint, key))

    def skip_parked(self, endpoint: int) -> int:
        """Give up all that is parked; returns how many."""
        with translated(self.store.path), self.store.write():
            parked = self.store.execute(
                "SELECT seq FROM messages WHERE endpoint = ? AND parked = 1", (endpoint,)
            ).fetchall()
            for (seq,) in parked:
                self._remove(seq)
        return len(parked)

    def redrive(self, endpoint: int, key: str | None = None) -> int:
        """Send what was refused, all of it or one message, by a new schedule; returns how many."""
        with translated(self.store.path), self.store.write():
            also = () if key is None else (self._seq(endpoint, key),)
            done = self.store.execute(
                "UPDATE messages SET parked = 0, attempts = 0, due = 0, wait = 0"
                f" WHERE endpoint = ? AND (parked = 1 OR due > 0){' AND seq = ?' if also else ''}",
                (endpoint, *also),
            )
            return done.rowcount

    def enable(self, endpoint: int) -> bool:
        """Send to an endpoint again; returns whether it was disabled."""
        with translated(self.store.path), self.store.write():
            done = self.store.execute(
                "UPDATE endpoints SET disabled = NULL WHERE id = ? AND disabled IS NOT NULL",
                (endpoint,),
            )
            return bool(done.rowcount)

    def forget(self, endpoint: int) -> int:
        """Remove an endpoint with its messages; returns how many there were."""
        with translated(self.store.path), self.store.write():
            self.store.execute("DELETE FROM chains WHERE endpoint = ?", (endpoint,))
            done = self.store.execute("DELETE FROM messages WHERE endpoint = ?", (endpoint,))
            self.store.execute("DELETE FROM endpoints WHERE id = ?", (endpoint,))
            return done.rowcount

    def _seq(self, endpoint: int, key: str) -> int:
        row = self.store.one(
            "SELECT seq FROM messages WHERE endpoint = ? AND key = ?", (endpoint, key)
        )
        if row is None:
            raise UnknownKey(f"no message {key!r} waits for this endpoint")
        return int(row[0])

    # --- what is asked ---

    def has_room(self, endpoint: int) -> bool:
        """Whether more may be taken in; what is parked, or waits behind that, doesn't count."""
        with translated(self.store.path):
            if self.store.one(_SENDABLE, (endpoint, MOST_SENDABLE)) == (MOST_SENDABLE,):
                return False
            # guard: the outbox is bounded
            if self.counts(endpoint).pending >= MOST_PENDING:
                return False
            row = self.store.one(f"{_BLOCKED} {_SIZE}", (endpoint, endpoint))
        return row is None or row[0] < MOST_BYTES

    def counts(self, endpoint: int) -> Counts:
        """How many messages wait for an endpoint."""
        with translated(self.store.path):
            row = self.store.one(
                f"{_BLOCKED} SELECT count(*), total(parked),"
                " (SELECT count(*) FROM blocked) FROM messages WHERE endpoint = ?",
                (endpoint, endpoint),
            )
        assert row is not None
        every, parked, blocked = map(int, row)
        return Counts(pending=every - blocked, held=blocked - parked, parked=parked)

    def waiting(self, endpoint: int, most: int) -> list[Waiting]:
        """At most ``most`` of the messages that wait, the parked ones first."""
        with translated(self.store.path):
            rows = self.store.execute(
                f"{_BLOCKED} SELECT key, about, position, attempts, {_STATUS}, due, problem"
                " FROM messages WHERE endpoint = ? ORDER BY parked DESC, attempts DESC, seq LIMIT ?",
                (endpoint, endpoint, most),
            ).fetchall()
        return [Waiting(*row) for row in rows]


_ENDPOINT = (
    "SELECT id, shown, feed, position, leaf, definitions, adopting, cursor, disabled FROM endpoints"
)
_EARLIER = (
    "SELECT 1 FROM chains c JOIN chains e"
    " ON e.endpoint = c.endpoint AND e.chain = c.chain AND e.message < c.message"
    " WHERE c.message = ?"
)
_DUE = (
    "SELECT seq, key, attempts,"
    " (SELECT json_group_array(chain) FROM chains WHERE message = seq),"
    " content_type, content_encoding, body FROM messages"
    " WHERE endpoint = ? AND attempts {} 0 AND due <= ? ORDER BY due, seq LIMIT ?"
)
_FRESH, _AGAIN = _DUE.format("="), _DUE.format(">")
_SIZE = "SELECT total(length(body)) FROM messages WHERE endpoint = ? AND seq NOT IN blocked"
_SENDABLE = (
    "SELECT count(*) FROM"
    " (SELECT 1 FROM messages WHERE endpoint = ? AND attempts = 0 AND due <= 0 LIMIT ?)"
)
# Those that are parked, and all that wait behind them.
_BLOCKED = (
    "WITH RECURSIVE blocked (seq) AS ("
    " SELECT seq FROM messages WHERE endpoint = ? AND parked = 1"
    " UNION SELECT e.message FROM blocked b JOIN chains c ON c.message = b.seq"
    " JOIN chains e ON e.endpoint = c.endpoint AND e.chain = c.chain AND e.message > c.message)"
)
_STATUS = (
    "CASE WHEN parked THEN 'parked' WHEN seq IN blocked THEN 'held'"
    " WHEN due IS NULL THEN 'queued' ELSE 'pending' END"
)


def outbox_of(ledger: Location) -> Path:
    """Where the outbox of a ledger is: next to its file, or for one on a server in the working folder."""
    if isinstance(ledger, Address):
        return Path(f"{ledger.name}{SUFFIX}").absolute()
    return ledger.with_name(f"{ledger.name}{SUFFIX}")


def _make(ledger_id: str, store: SqliteStore) -> None:
    for sql in _TABLES:
        store.execute(sql)
    store.execute("INSERT INTO owner VALUES (?)", (ledger_id,))
