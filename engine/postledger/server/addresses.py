"""Addresses: where a request comes from, behind proxies that are trusted and others that aren't."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Proxies = int | tuple[Network, ...]
"""The proxies that are trusted: how many stand before this server, or the networks they are in."""

_LONGEST = 100


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks (CIDR, RFC 4632); raises ``ValueError`` for another text.

    >>> networks_of(["192.0.2.0/24", "2001:db8::1"])
    (IPv4Network('192.0.2.0/24'), IPv6Network('2001:db8::1/128'))
    """
    return tuple(map(ip_network, texts))


def is_within(address: Address | None, networks: Iterable[Network]) -> bool:
    """Whether an address is known, and in one of some networks."""
    return address is not None and any(address in network for network in networks)


def address_of(peer: str | None, forwarded: Iterable[str], proxies: Proxies) -> Address | None:
    """The address of the client, or ``None`` where it isn't known.

    ``peer`` is the other end of the connection, ``forwarded`` the values of X-Forwarded-For. Each
    proxy writes at the right end of that header whom it heard, and whatever stands further left
    the client may have made up. So it is read from the right, past trusted proxies alone.

    >>> trusted = networks_of(["10.0.0.0/8"])
    >>> address_of("10.0.0.1", ["203.0.113.9, 198.51.100.7"], trusted)
    IPv4Address('198.51.100.7')
    >>> address_of("198.51.100.7", ["203.0.113.9"], trusted)
    IPv4Address('198.51.100.7')
    """
    hops = [*(hop for line in forwarded for hop in line.split(",")), peer or ""]
    if isinstance(proxies, int):
        return _address(hops[-1 - proxies]) if proxies < len(hops) else None
    address = None
    for hop in reversed(hops):
        address = _address(hop)
        # guard: X-Forwarded-For read past trusted proxies alone
        if not is_within(address, proxies):
            break
    return address


def _address(text: str) -> Address | None:
    """The address that a proxy wrote, maybe with a port: ``192.0.2.1:80``, ``[2001:db8::1]:80``."""
    text = text.strip()
    return _parsed(text) if len(text) <= _LONGEST else None


# Most requests come from few addresses.
@lru_cache(maxsize=1024)
def _parsed(text: str) -> Address | None:
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # One that speaks IPv4 to a socket of IPv6.
    return getattr(address, "ipv4_mapped", None) or address
