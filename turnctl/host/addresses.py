"""Kinds of IP addresses, and the deny list: the addresses a relay must never send to.

Pure. coturn's configuration, the choice of a relay's address and the findings about a relayed
address share this one table.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "DENIED",
    "AddressRange",
    "DnsAnswer",
    "MappedAddress",
    "OwnAddresses",
    "host_port",
    "is_beside",
    "is_denied",
    "is_documentation",
    "is_private",
    "is_public",
]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Addresses from `first` to `last`, both included, and why a relay must not send there."""

    first: Address
    last: Address
    reason: str

    def __contains__(self, address: Address) -> bool:
        # Addresses of different families can't be compared, so check the version first.
        return address.version == self.first.version and self.first <= address <= self.last  # type: ignore[operator]

    def __str__(self) -> str:
        """coturn's form of a range. It ignores CIDR in 4.6.1 and stops at it from 4.11 on."""
        return f"{self.first}-{self.last}" if self.first != self.last else str(self.first)


def _denied(rows: Iterable[tuple[str, str]]) -> tuple[AddressRange, ...]:
    ranges = []
    for text, reason in rows:
        first, _, last = text.partition("-")
        ranges.append(
            AddressRange(ipaddress.ip_address(first), ipaddress.ip_address(last or first), reason)
        )
    return tuple(ranges)


# The special-purpose registries of RFC 6890, and the clouds' own services. The IPv6 forms that
# embed IPv4 are here because coturn before 4.9 doesn't check them against the IPv4 ranges
# (CVE-2026-27624). No range begins at :: or is 0.0.0.0 alone: coturn reads that as "deny all".
DENIED = _denied(
    (
        ("0.0.0.0-0.255.255.255", "this network (RFC 791)"),
        ("10.0.0.0-10.255.255.255", "private (RFC 1918)"),
        ("100.64.0.0-100.127.255.255", "carrier-grade NAT (RFC 6598)"),
        ("127.0.0.0-127.255.255.255", "loopback"),
        ("168.63.129.16", "Azure's host services"),
        ("169.254.0.0-169.254.255.255", "link-local, and the clouds' metadata services"),
        ("172.16.0.0-172.31.255.255", "private (RFC 1918)"),
        ("192.0.0.0-192.0.0.255", "protocol assignments (RFC 6890)"),
        ("192.0.2.0-192.0.2.255", "documentation (RFC 5737)"),
        ("192.88.99.0-192.88.99.255", "6to4 relay anycast (RFC 7526)"),
        ("192.168.0.0-192.168.255.255", "private (RFC 1918)"),
        ("198.18.0.0-198.19.255.255", "benchmarks (RFC 2544)"),
        ("198.51.100.0-198.51.100.255", "documentation (RFC 5737)"),
        ("203.0.113.0-203.0.113.255", "documentation (RFC 5737)"),
        ("240.0.0.0-255.255.255.255", "reserved, and broadcast"),
        ("::1-::ffff:ffff", "loopback, and IPv4-compatible (RFC 4291)"),
        ("::ffff:0.0.0.0-::ffff:255.255.255.255", "IPv4-mapped (RFC 4291)"),
        ("64:ff9b::-64:ff9b::ffff:ffff", "NAT64 (RFC 6052)"),
        ("64:ff9b:1::-64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "local NAT64 (RFC 8215)"),
        ("100::-100::ffff:ffff:ffff:ffff", "discard (RFC 6666)"),
        ("100:0:0:1::-100:0:0:1:ffff:ffff:ffff:ffff", "dummy prefix (RFC 9780)"),
        ("2001::-2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "protocol assignments, Teredo"),
        ("2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation (RFC 3849)"),
        ("2002::-2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4 (RFC 3056)"),
        ("3fff::-3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "documentation (RFC 9637)"),
        ("5f00::-5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "segment routing (RFC 9602)"),
        ("fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unique local (RFC 4193)"),
        ("fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local (RFC 4291)"),
        ("fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "site-local (RFC 3879)"),
    )
)


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_PRIVATE = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8",
    "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10",
)  # fmt: skip
_DOCUMENTATION = _networks(
    "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


def _parse(address: str | Address) -> Address:
    """The parsed address. An IPv4-mapped one counts as the IPv4 address that it embeds."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def host_port(host: str, port: int) -> str:
    """HOST:PORT as people and URLs write it, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_beside(one: str, other: str) -> bool:
    """Whether both are IPv4 addresses in one /24, as at home or on Docker's bridge."""
    return other != "" and ":" not in one and one.rpartition(".")[0] == other.rpartition(".")[0]


def is_private(address: str | Address) -> bool:
    """Whether only a local network reaches it: RFC 1918, CGNAT, loopback, link-local, ULA.

    Documentation ranges don't count: labs use them as if they were public. Like every function
    here, it raises ValueError when the text isn't an address.
    """
    parsed = _parse(address)
    return any(parsed in network for network in _PRIVATE)


def is_documentation(address: str | Address) -> bool:
    """Whether it is from a range for examples (RFC 5737, 3849, 9637)."""
    parsed = _parse(address)
    return any(parsed in network for network in _DOCUMENTATION)


def is_public(address: str | Address) -> bool:
    """Whether the internet can reach it: global unicast outside every special-purpose range."""
    parsed = _parse(address)
    if parsed.is_multicast or is_denied(parsed):
        return False
    return parsed.version == 4 or parsed in _GLOBAL_UNICAST


def is_denied(address: str | Address) -> bool:
    """Whether the deny list keeps a relay from sending there."""
    parsed = _parse(address)
    return any(parsed in denied for denied in DENIED)


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """What DNS has for a name in one family. `alias` is the name that its CNAME points to.
    `problem` is why there is no answer, which isn't the same as no address."""

    addresses: tuple[str, ...] = ()
    alias: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class OwnAddresses:
    """This host's addresses. The one that the default route uses comes first."""

    v4: tuple[str, ...]
    v6: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MappedAddress:
    """This host's address as a STUN server sees it, and that server."""

    address: str
    server: str
