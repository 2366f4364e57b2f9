"""Where a request comes from."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.server.addresses import Proxies, address_of, networks_of

PROXY, CLIENT, FAKE = "10.0.0.1", "198.51.100.7", "203.0.113.9"
TRUSTED = networks_of(["10.0.0.0/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "expected"),
    [
        (CLIENT, [], 0, CLIENT),
        (CLIENT, [FAKE], 0, CLIENT),
        (CLIENT, [FAKE], TRUSTED, CLIENT),
        (PROXY, [CLIENT], TRUSTED, CLIENT),
        (PROXY, [f"{FAKE}, {CLIENT}"], TRUSTED, CLIENT),
        (PROXY, [FAKE, f"{CLIENT},10.0.0.2"], TRUSTED, CLIENT),
        (PROXY, [f"{FAKE}, {CLIENT}:4711"], 1, CLIENT),
        (PROXY, [f"{FAKE}, {CLIENT}, 10.0.0.2"], 2, CLIENT),
        (None, [CLIENT], 1, CLIENT),
        (PROXY, [], 1, None),
        (PROXY, [], TRUSTED, PROXY),
        (PROXY, ["unknown"], TRUSTED, None),
        (PROXY, [f"{FAKE}, "], TRUSTED, None),
        (PROXY, ["[2001:db8::1]:80"], TRUSTED, "2001:db8::1"),
        (f"::ffff:{CLIENT}", [], 0, CLIENT),
        (None, [], TRUSTED, None),
    ],
)
def test_address_is_read_from_the_right(
    peer: str | None, forwarded: list[str], proxies: Proxies, expected: str | None
) -> None:
    """What a client writes into the header itself stands left of what proxies write, and is not read."""
    found = address_of(peer, forwarded, proxies)
    assert found == (ip_address(expected) if expected else None)


@given(st.lists(st.text(max_size=40), max_size=4))
def test_what_a_client_writes_changes_nothing(made_up: list[str]) -> None:
    """Whatever stands left of what the trusted proxy wrote."""
    expected = ip_address(CLIENT)
    assert address_of(PROXY, [*made_up, CLIENT], TRUSTED) == expected
    assert address_of(PROXY, [", ".join([*made_up, CLIENT])], 1) == expected
    assert address_of(CLIENT, made_up, TRUSTED) == expected
    assert address_of(CLIENT, made_up, 0) == expected
