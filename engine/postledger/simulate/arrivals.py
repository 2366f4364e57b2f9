"""Arrivals: what is sent about many messages, merged in the order in which it comes."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import count

from postledger.arguments import checked, require, require_least
from postledger.model import Receipt
from postledger.simulate.messages import Message, Sent

_BUNDLE = 5
_PATIENCE = timedelta(seconds=60)

Witness = Callable[[Message], object]
"""Is shown each message as it begins: the place to note the truth about it."""


@checked
def arrivals(
    messages: Iterable[Message],
    *,
    bundled: float = 0.0,
    seed: int = 0,
    witness: Witness = lambda _: None,
) -> Iterator[Receipt]:
    """The receipts of all messages in order of arrival.

    ``messages`` come in the order in which they begin; only what is still on its way is held in
    memory. ``bundled`` is the rate at which postbacks wait for others to be sent with.
    """
    require_least("bundled", bundled, 0, 1)
    rng = random.Random(seed)  # noqa: S311
    return _bundled(_in_order(messages, witness), bundled, rng)


def _in_order(messages: Iterable[Message], witness: Witness) -> Iterator[Sent]:
    waiting: list[tuple[object, int, Sent]] = []
    tie = count()
    for message in messages:
        require("messages", message, Message)
        witness(message)
        # Nothing about a message arrives before it begins.
        while waiting and waiting[0][2].arrives <= message.began:
            yield heapq.heappop(waiting)[2]
        for sent in message.sent:
            heapq.heappush(waiting, (sent.arrives, next(tie), sent))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _bundled(sending: Iterable[Sent], rate: float, rng: random.Random) -> Iterator[Receipt]:
    """Some of what can be bundled waits for more of its kind, for a minute at most."""
    held: list[Sent] = []
    for sent in sending:
        if held and (len(held) == _BUNDLE or sent.arrives - held[0].arrives > _PATIENCE):
            yield _receipt(*held)
            held.clear()
        if sent.form.bundle and sent.spoiled is None and rng.random() < rate:
            held.append(sent)
        else:
            yield _receipt(sent)
    if held:
        yield _receipt(*held)


def _receipt(*sent: Sent) -> Receipt:
    last = sent[-1]
    body = last.body() if len(sent) == 1 else last.form.body(*(one.postback for one in sent))
    return Receipt(body, last.form.content_type, last.arrives, query=last.form.query)
