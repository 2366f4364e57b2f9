"""A small seeded traffic of postbacks with every disturbance, for the tests of the audit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from postledger import Receipt

START = datetime(2013, 11, 1, tzinfo=UTC)
CARRIERS = ("0001470", "0001570", "0001140", "0002010")
HANDSETS = ("motol7c", "iphone5", "nexus4", "lumia920")
REASONS = ("Handset setting: mms with pass via xHTML;", "MMS too big for the carrier")


def traffic(messages: int, seed: int = 0, days: int = 12) -> list[Receipt]:
    """The receipts of that many messages, in the order of arrival."""
    random = Random(seed)
    receipts = [r for n in range(messages) for r in _message(random, n, days)]
    receipts += [r for n in range(messages // 20) for r in _noise(random, n, days)]
    return sorted(receipts, key=lambda receipt: receipt.received_at or START)


def _message(random: Random, number: int, days: int) -> Iterator[Receipt]:
    hours = int(random.triangular(0, 24, 15))
    began = START + timedelta(
        days=random.randrange(days), hours=hours, seconds=random.random() * 3600
    )
    route = random.choices(("sms", "binary", "xhtml", "degraded"), (4, 4, 1, 1))[0]
    to = f"1650{random.randrange(10**7):07d}"
    common = {
        "TO": to,
        "TRACKINGID": f"MSG{number:07d}==",
        "SPID": random.choices(CARRIERS, (6, 3, 2, 1))[0],
    }
    if random.random() < 0.7:
        said = {"TRACKINGID": common["TRACKINGID"], "TO": to, "STATUS": "Success"}
        yield _receipt(random, "RESPONSE", said, began - timedelta(milliseconds=300), began)
    yield from _sent(random, route, common, began, number)
    yield from _outcome(random, route, common, began, number)


def _sent(
    random: Random, route: str, common: dict[str, str], at: datetime, number: int
) -> Iterator[Receipt]:
    if random.random() < 0.02:
        return
    said = {"ORIGIN": "SMS_MT", "CODE": "N201", "STATUS": "Message Sent", **common}
    if route != "sms":
        sent_as = "MMS" if route == "binary" else "SMS"
        said |= {"ORIGIN": "MMS_MT", "CODE": "N101", "SENTAS": sent_as, "MMSID": str(number)}
    if route == "degraded":
        said["STATUSDETAILS"] = random.choice(REASONS)
    yield from _perhaps_twice(random, said, at)


def _outcome(
    random: Random, route: str, common: dict[str, str], at: datetime, number: int
) -> Iterator[Receipt]:
    kind = random.choices(("delivered", "refused", "failed", "none", "both"), (80, 6, 3, 9, 2))[0]
    slow = {"0001470": 4, "0001570": 9, "0001140": 40, "0002010": 300}[common["SPID"]]
    after = at + timedelta(seconds=random.lognormvariate(0, 1.1) * slow - 0.2)
    if kind in ("delivered", "both"):
        yield from _perhaps_twice(random, _receipt_of(random, route, common, number, True), after)
    if kind == "refused":
        yield from _perhaps_twice(random, _receipt_of(random, route, common, number, False), after)
    if kind in ("failed", "both"):
        details = f"Database Error: Could not find number {common['TO']} imported"
        said = {"ORIGIN": "MMS_MT", "CODE": "E101", "STATUS": "Message Failed", **common}
        said |= {"MMSID": str(number), "STATUSDETAILS": details}
        yield _receipt(random, "POSTBACK", said, None, after, closed=random.random() < 0.8)


def _receipt_of(
    random: Random, route: str, common: dict[str, str], number: int, delivered: bool
) -> dict[str, str]:
    said = {**common, "AGGREGATORID": "11529-64807"}
    if random.random() < 0.02:
        del said["SPID"]
    if route == "binary":
        status = "Delivered" if delivered else random.choice(("Expired", "Rejected"))
        said |= {"ORIGIN": "MMS_MT", "CODE": "N102", "SENTAS": "MMS", "MMSID": str(number)}
        if random.random() < 0.95:
            said["HANDSET"] = random.choice(HANDSETS)
    else:
        status = "Delivered" if delivered else "Failed"
        said |= {"ORIGIN": "SMS_MT" if route == "sms" else "MMS_MT", "CODE": "N202"}
        if route != "sms":
            said["SENTAS"] = random.choices(("SMS", "MMS"), (30, 1))[0]
    if not delivered:
        said["STATUSDETAILS"] = random.choice(("Absent subscriber", "Blocked", "Handset off"))
    return {**said, "STATUS": f"Message Sent/{status}"}


def _perhaps_twice(random: Random, said: dict[str, str], at: datetime) -> Iterator[Receipt]:
    zone = random.choices(("Z", "-05:00", ""), (6, 6, 0.1))[0]
    received = at + timedelta(seconds=random.expovariate(1))
    if random.random() < 0.03:
        received += timedelta(minutes=random.choice((5, 10, 25)))
    yield _receipt(random, "POSTBACK", said, at, received, zone=zone)
    if random.random() < 0.04:
        yield _receipt(random, "POSTBACK", said, at, received + timedelta(minutes=5), zone=zone)


def _noise(random: Random, number: int, days: int) -> Iterator[Receipt]:
    at = START + timedelta(days=random.randrange(days), seconds=random.randrange(86_400))
    kind = random.randrange(3)
    if kind == 0:
        yield Receipt(f"not a postback {number % 7}".encode(), "text/plain", at)
    elif kind == 1:
        said = {"ORIGIN": "SMS_MO", "CODE": "N211", "FROM": "16505550000", "TEXT": "STOP"}
        yield _receipt(random, "POSTBACK", said, at, at)
    else:
        said = {"ORIGIN": "MMS_MT", "CODE": "N333", "STATUS": "Odd", "MMSID": str(number)}
        yield _receipt(random, "POSTBACK", said, at, at)
    yield _receipt(
        random, "POSTBACK", {"ORIGIN": "MMS_MT", "CODE": "N003", "MMSID": str(number)}, None, at
    )


def _receipt(
    random: Random,
    root: str,
    said: dict[str, str],
    occurred: datetime | None,
    received: datetime,
    *,
    zone: str = "Z",
    closed: bool = True,
) -> Receipt:
    said = dict(said)
    if occurred is not None and root == "POSTBACK":
        local = occurred - timedelta(hours=5) if zone == "-05:00" else occurred
        said["TIMESTAMP"] = local.strftime("%Y-%m-%dT%H:%M:%S") + zone
    last = list(said)[-1]
    leaves = "".join(
        f"  <{k}>{v}</{k}>\n" if closed or k != last else f"  <{k}>{v}\n" for k, v in said.items()
    )
    body = f"<?xml version='1.0'?>\n<{root}>\n{leaves}</{root}>\n"
    return Receipt(body.encode(), "text/xml", received)
