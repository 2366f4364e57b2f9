"""The values that Postledger returns to its users: frozen, typed, ready for JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs

from postledger.arguments import shown
from postledger.postback import Postback
from postledger.times import aware, iso


def plain(value: Any) -> Any:
    """A value as JSON has it: times in ISO 8601, tuples and sets as lists, attrs as objects."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Anchor):
        return str(value)
    if isinstance(value, Decimal):
        # Never in exponents, which people don't read as money.
        return format(value, "f")
    if isinstance(value, frozenset):
        return sorted(value)
    if attrs.has(type(value)):
        return plain(attrs.asdict(value, recurse=False))
    if isinstance(value, Mapping):
        return {name: plain(held) for name, held in value.items()}
    return [plain(held) for held in value] if isinstance(value, tuple) else value


def fields_of(value: object, *names: str) -> dict[str, Any]:
    """Some attributes of a value as JSON has them."""
    return {name: plain(getattr(value, name)) for name in names}


@attrs.frozen
class Anchor:
    """A tree head of the log, kept outside the ledger: its size and its root in hexadecimal.

    Whoever keeps it can show later that none of the first ``size`` events was altered. Raises
    ``ValueError`` for a size below 0 or a root that is not 64 hexadecimal digits.

    >>> anchor = ledger.head()
    >>> ledger.verify(anchor).ok, Anchor.parse(str(anchor)) == anchor
    (True, True)
    """

    size: int
    root: str

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.size, int) or isinstance(self.size, bool) or self.size < 0:
            raise ValueError(f"size must be a whole number of at least 0, got {self.size!r}")
        if not isinstance(self.root, str) or not _ROOT.fullmatch(self.root):
            raise ValueError(f"root must be 64 hexadecimal digits, got {self.root!r}")

    def __str__(self) -> str:
        return f"{self.size}:{self.root}"

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """The anchor of a text ``SIZE:ROOT``; raises ``ValueError``.

        >>> Anchor.parse("11:abc")
        Traceback (most recent call last):
            ...
        ValueError: invalid anchor '11:abc': expected SIZE:ROOT as printed by ingest
        """
        found = _ANCHOR.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ValueError(f"invalid anchor {text!r}: expected SIZE:ROOT as printed by ingest")
        return cls(int(found[1]), found[2].lower())


_ROOT = re.compile(r"[0-9a-f]{64}")
_ANCHOR = re.compile(r"([0-9]{1,19}):([0-9a-fA-F]{64})", re.ASCII)


Body = bytes | bytearray | memoryview
"""The body of a request, as programs have it; the bytes are copied where they could change."""

UNVERIFIED = "unverified"
"""The ``sender`` of a receipt whose sender check failed: it is kept, and moves no state."""

ACCEPTED = "accepted"
"""The ``sender`` of what was unverified, and accepted by the program later."""

SENDER = re.compile(r"[a-z][a-z0-9_-]{0,63}")
"""The name of a sender check: so "Unverified" is never taken for one that passed."""

_TEXT_OR_NONE = (str, type(None))


def _bytes(body: Body) -> bytes:
    if type(body) is bytes:
        return body
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise TypeError(f"body must be bytes as received, got {type(body).__name__}")


@attrs.frozen
class Receipt:
    """One HTTP request body as it was received, byte for byte.

    ``received_at`` is an aware datetime; ``None`` means the time of recording. ``imported`` says
    that a file states the time of reception, and this ledger didn't witness it. ``source`` is the name
    that the program gives the endpoint, ``content_encoding`` that of the header. ``sender`` names the
    sender check that passed; it is ``UNVERIFIED`` where the check failed, and empty without one.
    ``query`` says that the bytes are the raw query string of a GET (RFC 3986, section 3.4) and no
    body. Raises ``TypeError`` or ``ValueError`` for what no server receives.

    >>> Receipt(body, content_type="text/xml").received_at is None
    True
    """

    body: bytes = attrs.field(converter=_bytes)
    content_type: str | None = None
    received_at: datetime | None = None
    imported: bool = False
    source: str = ""
    content_encoding: str | None = None
    sender: str = ""
    query: bool = False

    def __attrs_post_init__(self) -> None:
        # One by one and not as ``typed`` fields: one is made for every event.
        if not isinstance(self.content_type, _TEXT_OR_NONE):
            raise TypeError(f"content_type must be text, got {shown(self.content_type)}")
        if not isinstance(self.content_encoding, _TEXT_OR_NONE):
            raise TypeError(f"content_encoding must be text, got {shown(self.content_encoding)}")
        if not isinstance(self.source, str):
            raise TypeError(f"source must be text, got {shown(self.source)}")
        if not isinstance(self.sender, str):
            raise TypeError(f"sender must be text, got {shown(self.sender)}")
        if not isinstance(self.imported, bool):
            raise TypeError(f"imported must be True or False, got {shown(self.imported)}")
        if not isinstance(self.query, bool):
            raise TypeError(f"query must be True or False, got {shown(self.query)}")
        if self.received_at is not None:
            aware(self.received_at, "received_at")


@attrs.frozen
class Event:
    """One event of the log; of a bundle, one ``member`` of it, numbered from 0.

    ``position`` counts from 0 without gaps. ``kind`` is ``receipt``, ``statement`` (of the
    program), ``adoption``, ``import`` or ``verification`` (``erasure`` is reserved). ``reading`` is
    ``recognised``, ``unrecognised`` (readable, but not known to the vocabularies; ``problem`` says
    more where an entry is near), ``unreadable`` (``problem`` says why) or ``unverified`` (its
    sender check failed: it is kept and not read); empty for events that vocabularies don't read.
    ``received_at`` is the time of reception, ``occurred_at`` the provider's TIMESTAMP (``None``
    where there is no readable one), ``imported`` says that a file stated ``received_at``.
    ``source``, ``sender`` and ``query`` are those of the ``Receipt``, but ``sender`` is
    ``accepted`` where ``Ledger.accept`` recorded it again. ``space``, ``chart`` and ``key`` (the
    TRACKINGID or MMSID) name the stream it belongs to. ``repeats`` is the position of the event
    that this one repeats. ``identity`` is equal where two events say the same, ``leaf`` the hash of
    the event in the log's tree: it covers everything that was received, and nothing that was
    derived from it. ``accepted`` says in ``Ledger.events`` that ``Ledger.accept`` recorded an
    unverified event again, which has a position of its own.

    >>> event = next(ledger.events(after=0))
    >>> event.position, event.kind, event.reading, event.chart, event.key
    (1, 'receipt', 'recognised', 'delivery', 'U01TXzgwNjc4')
    """

    position: int
    member: int
    kind: str
    reading: str
    received_at: datetime
    occurred_at: datetime | None
    imported: bool
    source: str
    sender: str
    space: str | None
    chart: str | None
    key: str | None
    content_type: str | None
    content_encoding: str | None
    query: bool
    body: bytes = attrs.field(repr=False)
    postback: Postback | None = attrs.field(repr=False)
    problem: str | None
    repeats: int | None
    identity: bytes = attrs.field(repr=False)
    leaf: bytes = attrs.field(repr=False)
    accepted: bool = False


@attrs.frozen
class Step:
    """One event in the life of a stream, with what it did.

    ``verdict`` is ``applied``, ``no_effect``, ``contradicts``, ``unrecognised``, or, as arrival has
    it, ``repeated`` (received before) or ``late`` (arrived after an event that follows it).
    ``against`` is the position of the event that this one repeats, or of the one that entered the
    state which it contradicts. ``before`` and ``after`` are the states by region:
    ``{"delivery": "sent", "route": "xhtml"}``. ``part`` is the part of the message that the event is
    about and of how many; ``None`` where it is about all of it. ``number`` is its place in the timeline,
    from 1: *event 3* is the third of those that are known.

    >>> step = ledger.timeline("U01TXzgwNjc4")[-1]
    >>> step.status, str(step.verdict), step.before["delivery"], step.after["delivery"]
    ('Message Sent/Delivered', 'applied', 'sent', 'delivered')
    >>> step.number, step.event.position
    (2, 2)
    """

    number: int
    event: Event
    trigger: str | None
    verdict: str
    against: int | None
    before: Mapping[str, str]
    after: Mapping[str, str]
    findings: tuple[str, ...]
    code: str | None
    status: str | None
    details: str | None
    missing: tuple[str, ...]
    part: tuple[int, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The step as JSON has it."""
        number = fields_of(self, "number")
        event = fields_of(self.event, "position", "member", "received_at", "occurred_at")
        said = fields_of(self, "code", "status", "trigger", "verdict", "against", "before", "after")
        return {**number, **event, **said, **fields_of(self, "details", "findings", "part")}


def part_line(part: tuple[int, int] | None) -> str:
    """A part of a message in words; empty where there is none.

    >>> part_line((1, 2)), part_line(None)
    ('part 1 of 2', '')
    """
    return "part {} of {}".format(*part) if part else ""


def place_line(position: Position, member: int) -> str:
    """Where an event stands in the log, and in a bundle: 7.1 is the second member of position 7.

    >>> place_line(7, 1), place_line(8, 0)
    ('7.1', '8')
    """
    return f"{position}.{member}" if member else str(position)


Timeline = tuple[Step, ...]
"""The steps of a stream in fold order, each repeat behind the event that it repeats; numbered from 1."""


REGIONS = (("route", "route", None), ("reading", "read", "unread"), ("grade", "grade", "none"))
"""Regions next to that of the outcome: the name of each, the field of a delivery that has its state, and
the state that people are not shown, since it goes without saying."""

_UNSAID = {(region, state) for region, _, state in REGIONS}


def states_line(states: Mapping[str, str]) -> str:
    """The states of all regions in one line, apart from what goes without saying.

    >>> states_line({"delivery": "sent", "route": "sms", "reading": "unread", "grade": "carrier"})
    'sent, sms, carrier'
    """
    return ", ".join(state for region, state in states.items() if (region, state) not in _UNSAID)


DELIVERY = "delivery"
"""The chart whose streams are deliveries."""

GOES_WITHOUT_SAYING = tuple((field, state) for _, field, state in REGIONS if state)
"""Fields of a delivery, with the values that people are not shown."""

NOT_SHOWN = {"first_received_at", "chart"}
"""What a delivery has in addition to what JSON has of it."""


_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?")


def is_decimal(text: str) -> bool:
    """Whether a text is an exact decimal, as amounts are: ``-0.0075``, ``1``, ``7.5e-3``.

    Exponents have two digits at most: a text of a few letters must not stand for a number that fills
    the memory.
    """
    return _DECIMAL.fullmatch(text) is not None


@attrs.frozen
class Amount:
    """An amount that a provider states: exact, never a float.

    ``currency`` is the provider's word for it; ``None`` for a plain count, such as that of segments.

    >>> Amount(Decimal("0.0075"), "USD").to_dict()
    {'value': '0.0075', 'currency': 'USD'}
    """

    value: Decimal
    currency: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The amount as JSON has it: the value as a text, so that no reader rounds it."""
        return dict(plain(self))


@attrs.frozen
class Delivery:
    """The state of one delivery, with where it comes from.

    ``state``, ``route``, ``read`` and ``grade`` are those of the chart's regions (``None``: the chart
    has no such region): ``read`` says whether it was read, ``grade`` on whose word it has its outcome,
    the carrier's or the handset's. ``reason`` is why the state is no plain
    success: the details of the outcome, or else of the degrading. The ``*_at`` are by the provider's
    clock, ``first_received_at`` by ours. ``events`` counts the distinct events, ``repeats`` those
    received again. ``findings`` are listed in ``postledger.findings``. ``reason_class`` is the class
    of the reason, where the vocabulary has a table of the provider's codes. ``labels`` are texts such
    as the client's ``reference``, ``amounts`` decimals such as the ``price``, as the vocabulary names
    them.

    >>> delivery = ledger.delivery("TU1TXzU5Nzg3Nw==")
    >>> delivery.state, delivery.route, delivery.reason
    ('delivered', 'degraded', 'Handset setting: mms with pass via xHTML;')
    """

    tracking_id: str
    state: str
    route: str | None
    read: str | None
    grade: str | None
    reason: str | None
    to: str | None
    mms_id: str | None
    spid: str | None
    handset: str | None
    aggregator_id: str | None
    created_at: datetime | None
    sent_at: datetime | None
    outcome_at: datetime | None
    events: int
    repeats: int
    findings: tuple[str, ...]
    first_received_at: datetime = attrs.field(repr=False)
    space: str = ""
    chart: str = DELIVERY
    reason_class: str | None = None
    labels: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    amounts: Mapping[str, Amount] = attrs.field(factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """The delivery as JSON has it: one row of ``deliveries``, and ``show`` without timeline."""
        said: dict[str, Any] = plain(self)
        return {name: value for name, value in said.items() if name not in NOT_SHOWN}


@attrs.frozen
class Content:
    """The state of one saved MMS; ``failures`` names the audios and videos that did not encode.

    >>> content = ledger.content("35674")
    >>> content.state, content.saved, content.failures
    ('failed', True, ('sample.mp3',))
    """

    mms_id: str
    state: str
    saved: bool
    failures: tuple[str, ...]
    events: int
    repeats: int
    findings: tuple[str, ...]
    space: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The content as JSON has it."""
        return dict(plain(self))


@attrs.frozen
class Recorded:
    """What became of one receipt: its event, the verdict on it, the delivery after it.

    ``delivery`` is ``None`` where the event belongs to no delivery. A body that bundles several
    postbacks gives one event each: ``others`` are those behind the first.

    >>> recorded = ledger.record(body)
    >>> str(recorded.verdict), recorded.delivery.state
    ('repeated', 'delivered')
    """

    event: Event
    verdict: str
    delivery: Delivery | None
    others: tuple[Recorded, ...] = ()


@attrs.frozen
class Kept:
    """Where an event is that was just recorded: what ``record`` returns with ``answer=False``.

    ``leaf`` is the hash of the event in the log's tree.

    >>> kept = ledger.record(body, content_type="text/xml", answer=False)
    >>> kept.position == ledger.head().size - 1
    True
    """

    position: int
    leaf: bytes = attrs.field(repr=False)


@attrs.frozen
class StateChanged:
    """One event that changed the state of a delivery.

    ``before`` and ``after`` are the states by region as they were known before and after the event
    was recorded (``before`` is ``None`` where no event said anything of the delivery yet),
    ``delivery`` is the delivery as known after it. ``key`` tells the change from any other, also of a
    ledger that was restored and counts positions again: what a handler stores to act once.

    >>> change = next(ledger.follow(after=1))
    >>> change.delivery.tracking_id, change.before["delivery"], change.after["delivery"]
    ('U01TXzgwNjc4', 'sent', 'delivered')
    """

    delivery: Delivery
    before: Mapping[str, str] | None
    after: Mapping[str, str]
    event: Event
    key: str

    @property
    def position(self) -> int:
        """The position of the event in the log."""
        return self.event.position

    def to_dict(self) -> dict[str, Any]:
        """The change as JSON has it."""
        return {
            **fields_of(self, "key", "position"),
            **fields_of(self.event, "received_at", "occurred_at"),
            **fields_of(self, "before", "after"),
            "delivery": self.delivery.to_dict(),
        }


@attrs.frozen
class Change:
    """One event as a projection is told of it, whatever the event is.

    ``before`` and ``after`` are its delivery as known before and after it was recorded: both ``None``
    where the event belongs to no delivery, equal where it changed nothing.

    >>> class Log:
    ...     name, version, tables = "log", 1, {"log": "position INTEGER, state TEXT"}
    ...
    ...     def apply(self, change, db):
    ...         state = change.after and change.after.state
    ...         db.execute("INSERT INTO log VALUES (?, ?)", (change.position, state))
    >>> ledger.project(Log())
    >>> ledger.query("SELECT state FROM log WHERE position = 2")
    [{'state': 'delivered'}]
    """

    event: Event
    before: Delivery | None
    after: Delivery | None

    @property
    def position(self) -> int:
        """The position of the event in the log."""
        return self.event.position


@attrs.frozen
class Summary:
    """What became of many receipts: each event counts once.

    ``repeated`` counts the events received before, whatever they are; of the new ones,
    ``unrecognised`` are not known to the vocabulary, ``unreadable`` could not be read, ``unverified``
    failed their sender check, and ``recorded`` are all others. All of them are in the log. ``anchor``
    is the head of the log after them: the anchor to keep.

    >>> summary = ledger.record_many([body, b"?"])
    >>> summary.recorded, summary.repeated, summary.unreadable
    (0, 1, 1)
    """

    recorded: int
    repeated: int
    unrecognised: int
    unreadable: int
    unverified: int
    anchor: Anchor

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON has them."""
        return dict(plain(self))


@attrs.frozen
class Tally:
    """How many events or deliveries have something in common: an answer of ``Ledger.tallies``.

    ``hour`` is when the hour began; it, ``source``, ``carrier``, ``route``, ``value`` and ``seconds``
    are ``None`` where they were not asked for, texts that nothing is known of empty. ``count`` is how
    many there are, ``repeats`` how many of their events were received again, ``duration`` the sum of
    their durations, each in whole seconds, and at most ``timedelta.max``.

    >>> for tally in ledger.tallies("deliveries", by=["route", "value"]):
    ...     print(tally.route, tally.value, tally.count)
    binary delivered 1
    degraded delivered 1
    sms delivered 1
    """

    count: int
    repeats: int
    duration: timedelta
    hour: datetime | None = None
    source: str | None = None
    carrier: str | None = None
    route: str | None = None
    value: str | None = None
    seconds: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """What was asked for as JSON has it, the duration in seconds."""
        said = plain(attrs.asdict(self)) | {"duration": self.duration.total_seconds()}
        return {name: value for name, value in said.items() if value is not None}


@attrs.frozen
class Count:
    """How many deliveries have something in common: an answer of ``Ledger.counts``.

    ``by`` are the values that they share, by the name of each; ``None``: it isn't known of them.
    ``delivered`` is how many of them succeeded: for other charts too, those in a final state that
    requires no reason.

    >>> for count in ledger.counts(by=["spid", "day"]):
    ...     print(count.by["spid"], count.by["day"], count.delivered, "of", count.deliveries)
    0001140 2012-06-07 1 of 1
    0001470 2013-11-05 1 of 1
    0001570 2012-06-07 1 of 1
    """

    by: Mapping[str, str | None] = attrs.field(hash=False)
    deliveries: int
    delivered: int

    @property
    def share(self) -> float:
        """The share of those that were delivered, from 0 to 1."""
        return self.delivered / self.deliveries

    def to_dict(self) -> dict[str, Any]:
        """The count as JSON has it."""
        return {**self.by, **fields_of(self, "deliveries", "delivered", "share")}


@attrs.frozen
class Place:
    """Where an event stands, of several ledgers: the name of its ledger, and its position there.

    >>> print(Place("berlin", 12))
    berlin:12
    """

    ledger: str
    position: int

    def __str__(self) -> str:
        return f"{self.ledger}:{self.position}"


Position = int | Place
"""Where an event stands: a position of the log, of several ledgers with the name of its own."""


@attrs.frozen
class Verification:
    """What ``verify`` found: ``problems`` is empty where all holds, ``events`` the size of the log.

    >>> ledger.verify().ok
    True
    """

    events: int
    anchor: Anchor
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The findings of ``verify`` as JSON has them."""
        return fields_of(self, "ok", "events", "anchor", "problems")
