"""How long a body takes to read: so much for each byte, whatever it is made of."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from postledger.errors import ReadError
from postledger.templates import LONGEST, split
from postledger.wire import read

TYPES = (
    None,
    "text/xml",
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=boundary",
)
# What begins something that nobody ends.
UNITS = (
    b"<!--", b"<![CDATA[", b"<?", b"<!DOCTYPE [", b"&", b"&#", b"&a", b"<a", b"<a ", b"<a b='", b"</a>",
    b"<a>", b"a", b" ", b"{", b"[", b'"', b'"\\', b'"":1,', b"%", b"=", b";", b"--boundary", b"\r\n",
    b"--boundary\r\n", b"xml=<", b"&xml=", b"encoding ", b"\0",
)  # fmt: skip
# What must stand before it to reach the pieces that repair a body, or say what is wrong with it.
BEFORE = (b"", b"<P>&", b"<P><A></P>", b"<P><A></P><", b"<?xml ", b'{"a":"', b"xml=")

FEW, MANY = 4 << 10, 32 << 10
LEAST = 0.004


def took(call: Callable[[], object]) -> float:
    """The processor's seconds of a call: not those in which others had the processor."""
    began = time.process_time()
    with suppress(ReadError):
        call()
    return time.process_time() - began


def is_linear(few: Callable[[], object], many: Callable[[], object]) -> bool:
    """Whether eight times as much takes far less than sixty-four times as long.

    In one of three runs, as others share the caches.
    """
    return any(took(many) < 24 * max(took(few), LEAST) for _ in range(3))


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("unit", UNITS)
def test_eight_times_the_body_takes_no_more_than_eight_times_as_long(
    unit: bytes, before: bytes
) -> None:
    """As any type; where each beginning is looked through to the end it is sixty-four times."""
    for kind in TYPES:
        few, many = ((before + unit * size)[:size] for size in (FEW, MANY))
        assert is_linear(partial(read, few, kind), partial(read, many, kind)), kind


@pytest.mark.parametrize(
    ("before", "unit", "after", "times"),
    [
        # Names that are empty: markup in two ways, twice the time for each.
        (b"{", b'"":1,', rb'"a":"\u0041"}', 20),
        # Strings in a string, none of which ends.
        (b'{"', rb"\"", b"", 2000),
        (b'{"', rb"\"", b"\\", 2000),
        (b'{"', b'\\"\\\n', b"\\", 1000),
    ],
)
def test_a_template_is_looked_for_in_linear_time(
    before: bytes, unit: bytes, after: bytes, times: int
) -> None:
    """Of bodies that have none in the end."""
    few, many = (before + unit * count + after for count in (times // 8, times))
    assert len(many) <= LONGEST
    assert split(many) is None
    assert is_linear(partial(again, split, few), partial(again, split, many))


def again(call: Callable[[bytes], object], body: bytes) -> None:
    """Call it so often that it can be measured."""
    for _ in range(20):
        call(body)
