"""The traffic that is measured: seeded postbacks as the specification prints them.

Three postbacks a delivery (the API's answer, the sending, the receipt), some of them missing, some
received again, a few out of order; SMS, binary MMS, links and degraded messages. The stream has no
end and needs no memory but for the messages under way.
"""

from __future__ import annotations

import heapq
import random
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

from postledger import Receipt

Field = tuple[str, str]
Postback = tuple[float, list[Field]]
"""When it arrives, in seconds from the start, and its nodes; a root that is not POSTBACK comes first."""

START = datetime(2026, 1, 1, tzinfo=UTC)
RATE = 20.0
"""Messages a second, by the provider's clock."""

_POSTBACK = (
    "<?xml version='1.0'?>\n"
    '<POSTBACK xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"\n'
    'xsi:noNamespaceSchemaLocation ="http://www.skycore.com/schema/postback.xsd">\n'
    "{}</POSTBACK>\n"
)
_RESPONSE = "<?xml version='1.0'?>\n<RESPONSE>\n{}</RESPONSE>\n"
_REASONS = (
    "Handset setting: mms with pass via xHTML;",
    "Content too large for the handset: 614400 bytes;",
    "Carrier setting: no binary MMS;",
)
_FAILURES = ("Error fetching object(Database Error: Could not find number)", "No route to carrier")


def receipts(seed: int = 5) -> Iterator[Receipt]:
    """Receipts without end, in order of their arrival."""
    for arrives, nodes in _arriving(random.Random(seed)):
        yield Receipt(body_of(nodes), "text/xml", START + timedelta(seconds=round(arrives, 6)))


def body_of(nodes: list[Field]) -> bytes:
    """The XML body of a postback, as the specification prints it."""
    form = _RESPONSE if nodes[0][0] == "STATUS" else _POSTBACK
    return form.format("".join(f"  <{name}>{text}</{name}>\n" for name, text in nodes)).encode()


def _arriving(rng: random.Random) -> Iterator[Postback]:
    """The postbacks of all messages, merged in order of arrival."""
    waiting: list[tuple[float, int, list[Field]]] = []
    tie = count()
    for number in count(1):
        began = number / RATE
        while waiting and waiting[0][0] <= began:
            arrives, _, nodes = heapq.heappop(waiting)
            yield arrives, nodes
        for arrives, nodes in _message(rng, number, began):
            heapq.heappush(waiting, (arrives, next(tie), nodes))
            if rng.random() < 0.02:
                again = arrives + 300 * rng.randint(1, 5)
                heapq.heappush(waiting, (again, next(tie), nodes))


def _message(rng: random.Random, number: int, began: float) -> Iterator[Postback]:
    kind = rng.choices(("sms", "binary", "link", "degraded"), (50, 30, 12, 8))[0]
    prefix = "SMS" if kind == "sms" else "MMS"
    key = b64encode(f"{prefix}_{597879 + number * 7}".encode()).decode()
    to = f"1{rng.randint(2_000_000_000, 9_999_999_999)}"
    mms = [] if kind == "sms" else [("MMSID", str(35_000 + rng.randrange(5_000)))]
    spid = ("SPID", f"{rng.randrange(36) * 10 + 1140:07}")
    yield began, [("STATUS", "Success"), ("TRACKINGID", key), ("TO", to), *mms]
    if mms and rng.random() < 0.05:
        yield began, [("ORIGIN", "MMS_MT"), ("CODE", "N003"), *mms]
    who = [("TO", to), ("TRACKINGID", key), spid]
    sent = began + rng.uniform(0.2, 3.0)
    if mms and rng.random() < 0.02:
        failed = ("STATUSDETAILS", rng.choice(_FAILURES))
        yield sent, [*_head("MMS_MT", "E101"), ("STATUS", "Message Failed"), *mms, *who, failed]
        return
    yield sent + rng.expovariate(2), _sent(kind, mms, who, sent)
    if rng.random() < 0.95:
        done = sent + rng.expovariate(1 / 20)
        yield done + rng.expovariate(2), _receipt(rng, kind, mms, who, done)


def _head(origin: str, code: str) -> list[Field]:
    return [("ORIGIN", origin), ("CODE", code)]


def _sent(kind: str, mms: list[Field], who: list[Field], at: float) -> list[Field]:
    status, time = ("STATUS", "Message Sent"), ("TIMESTAMP", _stamp(at))
    if kind == "sms":
        return [*_head("SMS_MT", "N201"), status, *who, time]
    sent_as = ("SENTAS", "MMS" if kind == "binary" else "SMS")
    why = [("STATUSDETAILS", _REASONS[int(at) % 3])] if kind == "degraded" else []
    return [*_head("MMS_MT", "N101"), sent_as, status, *mms, *who, time, *why]


def _receipt(
    rng: random.Random, kind: str, mms: list[Field], who: list[Field], at: float
) -> list[Field]:
    failed = rng.random() < 0.06
    aggregator = ("AGGREGATORID", f"11529-64807-97508-73852-{97_600 + rng.randrange(40)}")
    time = ("TIMESTAMP", _stamp(at))
    if kind == "binary":
        status = ("STATUS", "Message Sent/Expired" if failed else "Message Sent/Delivered")
        handset = ("HANDSET", f"handset{rng.randrange(100)}")
        head = [*_head("MMS_MT", "N102"), ("SENTAS", "MMS"), status]
        return [*head, *mms, *who, time, handset, aggregator]
    status = ("STATUS", "Message Sent/Failed" if failed else "Message Sent/Delivered")
    why = [("STATUSDETAILS", f"Aggregator said: {rng.randrange(20)}")] if failed else []
    if kind == "sms":
        return [*_head("SMS_MT", "N202"), status, *who, time, aggregator, *why]
    return [*_head("MMS_MT", "N202"), ("SENTAS", "SMS"), status, *who, time, aggregator, *why]


def _stamp(at: float) -> str:
    return (START + timedelta(seconds=int(at))).strftime("%Y-%m-%dT%H:%M:%S+00:00")
