"""The address that a request comes from, and the network that its limits go by.

A header counts only if a configured proxy wrote it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from signalpost.config.settings import Network

__all__ = ["client_address", "is_trusted", "network_of"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    # A dual-stack socket shows IPv4 clients as ::ffff:a.b.c.d.
    return getattr(address, "ipv4_mapped", None) or address


def is_trusted(peer: str, trusted: Sequence[Network]) -> bool:
    """Whether this address belongs to a configured proxy."""
    address = _parse(peer)
    return address is not None and any(address in network for network in trusted)


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The rightmost hop that isn't a trusted proxy. `forwarded_for` are the header's lines.

    A hop that isn't an address ends the walk: nothing to the left of it can be trusted.
    """
    if not trusted:
        return peer
    hops = [hop for line in forwarded_for for hop in line.split(",")]
    current = peer
    while hops:
        if not is_trusted(current, trusted):
            break
        hop = _parse(hops.pop())
        if hop is None:
            break
        current = str(hop)
    return current


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """The network that limits and guest ids go by: the IPv4 address, or a subscriber's IPv6 /64."""
    parsed = _parse(address)
    if parsed is None:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
