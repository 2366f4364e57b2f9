"""Traffic of some days by the real wire: messages of carriers, with outcomes or without."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from random import Random

from postledger import Receipt
from tests.samples import delivered, failed, sent

START = datetime(2026, 3, 2, tzinfo=UTC)


def traffic(
    days: float,
    *,
    seed: int = 0,
    every: int = 300,
    source: str = "skycore",
    carriers: tuple[str, ...] = ("0001470",),
    ratio: float = 0.9,
    stuck: float = 0.02,
    begins: timedelta = timedelta(),
    name: str = "m",
) -> list[Receipt]:
    """The receipts of messages that begin every so many seconds for some days, in order of arrival."""
    rng = Random(seed)

    def of_message(number: int, at: datetime) -> Iterator[Receipt]:
        key, carrier, fate = f"{name}{number}", rng.choice(carriers), rng.random()
        stamp = at.isoformat().replace("+00:00", "Z")
        yield Receipt(sent(key, SPID=carrier, TIMESTAMP=stamp), "text/xml", at, source=source)
        then = at + timedelta(seconds=rng.uniform(1, 240))
        stamp = then.isoformat(timespec="seconds").replace("+00:00", "Z")
        if fate < ratio:
            body = delivered(key, SPID=carrier, TIMESTAMP=stamp)
        elif fate < 1 - stuck:
            body = failed(key).replace(b"0001470", carrier.encode())
        else:
            return
        yield Receipt(body, "text/xml", then, source=source)

    count = int(days * 86_400 / every)
    begin = START + begins
    found = (
        one
        for number in range(count)
        for one in of_message(number, begin + timedelta(seconds=number * every))
    )
    return sorted(found, key=attrgetter("received_at"))
