"""Asking: what the pages are made of, read from the ledger in one transaction, and masked.

All of it blocks, so that the pages call it in threads. Nothing here ever writes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from threading import Lock

import attrs

from postledger.address import Address
from postledger.alerts.alert import Alert
from postledger.arguments import FilePath
from postledger.audit.mask import HIDDEN, Mask
from postledger.definitions.definitions import Definitions
from postledger.errors import UnknownKey
from postledger.ledger.connections import Own
from postledger.ledger.ledger import Ledger
from postledger.log.event import Stored
from postledger.log.log import Log
from postledger.model import DELIVERY, Delivery
from postledger.phone import digits_of
from postledger.projections import generations
from postledger.state.patterns import Stream
from postledger.state.row import delivery_of
from postledger.state.search import LEAST_DIGITS, Search, matches, search_of
from postledger.times import time_of

PAGE = 50
"""Deliveries on a page of the list."""

MOST_LOOKED_AT = 2_000
"""Events that one page looks at: where few deliveries fit, it has fewer."""

MOST_MEANT = 2_000
"""Deliveries that a search may mean, of which it is seen whether they may be told, at most."""

_COUNTRY_CODE = 3
"""Digits that the code of a country has at most (E.164, section 6.2.1)."""

_WINDOW = 200
_FRESH = 60.0
_MOST_NAMES = 10_000

Wanted = Callable[[Delivery], bool]


@attrs.frozen
class Line:
    """A delivery as it is listed: masked, with the place of the event that was heard of it last.

    ``name`` is its id as it is shown, ``link`` what a URL asks for it by.
    """

    position: int
    member: int
    heard_at: datetime
    delivery: Delivery
    name: str
    link: dict[str, str]

    @property
    def place(self) -> str:
        """What tells the event from all others: its position and the member."""
        return f"{self.position}.{self.member}"

    @property
    def key(self) -> str:
        """What tells the delivery from others on a page."""
        return hashlib.sha256(repr(sorted(self.link.items())).encode()).hexdigest()[:16]


Place = tuple[int, int]
"""A position, and a member of the event there."""


@attrs.frozen
class Lines:
    """Some of the list, newest first.

    ``older`` is the place to go on before, if there is one. Looked at were the events from ``first`` to
    ``until``; ``is_full`` says that there may be more in them, or that a search found more.
    """

    lines: tuple[Line, ...]
    head: int
    older: Place | None = None
    first: int = 0
    until: int = 0
    is_full: bool = False


class Names:
    """What URLs name deliveries by whose ids would tell a number: hashes that only this process knows."""

    def __init__(self) -> None:
        # A hash of an id that nobody can try out.
        self._secret = secrets.token_bytes(32)
        self._known: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._lock = Lock()

    def of(self, space: str, key: str) -> str:
        """The name of a delivery; the oldest of ten thousand are forgotten."""
        said = f"{len(space)}:{space}{key}".encode("utf-8", "surrogatepass")
        name = hmac.new(self._secret, said, hashlib.sha256).hexdigest()[:32]
        with self._lock:
            self._known[name] = space, key
            while len(self._known) > _MOST_NAMES:
                self._known.popitem(last=False)
        return name

    def meant(self, name: str) -> tuple[str, str]:
        """The space and the id of a name; raises ``UnknownKey``."""
        known = self._known.get(name)
        if known is None:
            raise UnknownKey("this address is known no longer; search for the delivery again")
        return known


class Asking:
    """Reads a ledger for the pages; a path is opened for reading only, at the first question."""

    def __init__(self, ledger: Ledger | FilePath | Address) -> None:
        self._given = ledger
        self._opened = ledger if isinstance(ledger, Ledger) else None
        self._lock = Lock()
        self._mask: tuple[str, Mask] | None = None
        self._checked: tuple[float, tuple[Alert, ...]] | None = None
        self.names = Names()

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        with self._lock:
            if self._opened is None:
                assert not isinstance(self._given, Ledger)
                # guard: the console writes nothing
                self._opened = Ledger(self._given, readonly=True)
            return self._opened

    def close(self) -> None:
        """Close what was opened here."""
        with self._lock:
            if self._opened is not None and self._opened is not self._given:
                self._opened.close()
                self._opened = None

    @contextmanager
    def read(self) -> Iterator[Own]:
        """A read transaction."""
        with self.ledger._connections.read() as own:
            yield own

    def size(self) -> int:
        """How many events the log has."""
        with self.ledger._connections.read_log() as own:
            return own.log.size()

    def mask_of(self, definitions: Definitions) -> Mask:
        """The mask by some definitions."""
        known = self._mask
        if known is None or known[0] != definitions.hash:
            known = self._mask = definitions.hash, Mask.of(definitions, unmask=False)
        return known[1]

    def named(self, mask: Mask, delivery: Delivery) -> tuple[Delivery, str, dict[str, str]]:
        """A delivery masked, its name as it is shown, and what a URL asks for it by."""
        shown = mask.delivery(delivery)
        # A form would send other characters than those that can't be seen.
        is_plain = f"{delivery.tracking_id}{delivery.space}".isprintable()
        # guard: no form names a delivery by what is not seen
        if HIDDEN in (shown.tracking_id, shown.space) or not is_plain:
            name = self.names.of(delivery.space, delivery.tracking_id)
            return shown, shown.tracking_id, {"ref": name}
        link = {"id": delivery.tracking_id}
        return shown, shown.tracking_id, link | ({"space": shown.space} if shown.space else {})

    def alerts(self) -> tuple[Alert, ...]:
        """What a check by the default rules says, at most a minute old."""
        checked = self._checked
        if checked is None or time.monotonic() - checked[0] > _FRESH:
            checked = self._checked = time.monotonic(), self.ledger.check()
        return checked[1]

    # --- the list ---

    def heard(
        self, before: Place | None = None, wanted: Wanted | None = None, most: int = PAGE
    ) -> Lines:
        """The deliveries that were heard of last, before a place: the newest first, each once."""
        with self.read() as own:
            last = own.log.last()
            top = (last + 1, 0) if before is None else min(before, (last + 1, 0))
            until = newest = top[0] if top[1] else top[0] - 1
            lowest = max(0, until - MOST_LOOKED_AT)
            lines: list[Line] = []
            seen: set[Stream] = set()
            while until > lowest and len(lines) < most:
                first = max(lowest + 1, until - _WINDOW + 1)
                heard = self._heard_in(own, (first, until), top, seen, wanted)
                lines += islice(heard, most - len(lines))
                until = first - 1
            # An event may have more members than a page has lines.
            is_full = len(lines) == most
            older = (lines[-1].position, lines[-1].member) if is_full else (until + 1, 0)
            first = older[0]
            left = older if older > (1, 0) else None
            return Lines(tuple(lines), last, left, first, newest, is_full)

    def _heard_in(
        self,
        own: Own,
        between: tuple[int, int],
        top: Place,
        seen: set[Stream],
        wanted: Wanted | None,
    ) -> Iterator[Line]:
        """The lines of the events from one position to another, the last first, below ``top``."""
        reader, mask = own.reader, self.mask_of(own.reader.definitions)
        for stored in newest_first(reader.log, *between):
            said = reader.facts.statements_of(stored)
            # guard: of an event that a page ends in the next one has the rest
            end = min(len(said), top[1]) if stored.position == top[0] else len(said)
            for member in range(end - 1, -1, -1):
                stream = said[member].stream
                if stream[1] != DELIVERY or stream in seen:
                    continue
                seen.add(stream)
                number = reader.index.find(stream)
                row = number and generations.kept_row(own.store, own.generation.table, number)
                if not row:
                    continue
                delivery = delivery_of(stream, row)
                if wanted is None or wanted(delivery):
                    named = self.named(mask, delivery)
                    yield Line(stored.position, member, time_of(stored.received_at), *named)

    def found(self, text: str, most: int = PAGE) -> Lines:
        """The deliveries that a text finds, the newest first."""
        with self.read() as own:
            mask, search = self.mask_of(own.reader.definitions), search_of(text)
            every = islice(self.ledger.deliveries(search=text), MOST_MEANT)
            # guard: a search tells nothing of what is masked
            told = (found for found in every if _is_told(search, mask.delivery(found), found))
            lines = [
                Line(-1, 0, found.first_received_at, *self.named(mask, found))
                for found in islice(told, most + 1)
            ]
            return Lines(tuple(lines[:most]), own.log.last(), is_full=len(lines) > most)


def newest_first(log: Log, first: int, until: int) -> Iterator[Stored]:
    """The events from one position to another, the last first; few are in memory at once."""
    page = log.page(first, until)
    # A page ends early where bodies are large: each of those after it is read by itself.
    # guard: a page of large bodies alone
    for position in range(until, page[-1].position if page else first - 1, -1):
        yield log.at(position)
    yield from reversed(page)


def _is_told(search: Search, shown: Delivery, found: Delivery) -> bool:
    """Whether who searches knew it whole, or is shown what was found.

    More digits than are shown, tried one by one, would tell the rest of a number.
    """
    to = found.to or ""
    number = digits_of(to)
    if found.tracking_id in search.keys or to.casefold() == search.whole:
        return True
    if any(
        number.endswith(digits)
        and (len(digits) == LEAST_DIGITS or len(digits) >= len(number) - _COUNTRY_CODE)
        for digits in search.numbers
    ):
        return True
    key = "" if shown.tracking_id == HIDDEN else shown.tracking_id
    return matches(search, key, shown.to, shown.mms_id, shown.reason, shown.labels.values())


def to_try(text: str) -> str:
    """What to try where a text finds nothing.

    >>> to_try("058")
    'A number is looked for by at least 4 digits, and 058 has fewer: give its last 4, or all of it.'
    """
    search = search_of(text)
    if search.digits:
        return (
            f"A number is looked for by at least {LEAST_DIGITS} digits, and {search.digits} has fewer:"
            f" give its last {LEAST_DIGITS}, or all of it."
        )
    longest = max(search.numbers, key=len, default="")
    if len(longest) > LEAST_DIGITS:
        return (
            f"A number is found whole, or by its last four digits: try {longest[-LEAST_DIGITS:]}."
        )
    return "Try the beginning of the id, or a whole label."
