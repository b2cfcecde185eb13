"""Which address a request comes from, and the key of its limits."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from signalpost.web.addresses import client_address, network_of

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("client", "peer", "headers"),
    [
        ("192.0.2.1", "192.0.2.1", ["203.0.113.9"]),  # no proxy of ours: hearsay
        ("203.0.113.9", "10.0.0.1", ["203.0.113.9"]),
        ("203.0.113.9", "10.0.0.1", ["1.2.3.4, 203.0.113.9"]),  # the left one is spoofed
        ("203.0.113.9", "10.0.0.1", ["1.2.3.4", "203.0.113.9, 10.0.0.2"]),
        ("203.0.113.9", "::ffff:10.0.0.1", ["203.0.113.9"]),
        ("2001:db8::1", "fd00::1", ["2001:db8::1"]),
        ("10.0.0.2", "10.0.0.1", ["10.0.0.2"]),
        ("10.0.0.1", "10.0.0.1", []),
        ("10.0.0.1", "10.0.0.1", [""]),
        ("10.0.0.1", "10.0.0.1", ["203.0.113.9, garbage"]),
        ("10.0.0.1", "10.0.0.1", ["\udcff"]),
    ],
)
def test_client_address(client: str, peer: str, headers: list[str]) -> None:
    """The rightmost hop that isn't a trusted proxy is the client."""
    assert client_address(peer, headers, TRUSTED) == client


def test_nobody_is_trusted_by_default() -> None:
    """Without trusted proxies the header is not even read."""
    assert client_address("10.0.0.1", ["203.0.113.9"], ()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8:0:1::/64", "2001:db8:0:1::5"),
        ("2001:db8:0:1::/64", "2001:db8:0:1:ffff::"),
        ("fe80::/64", "fe80::1%eth0"),
        ("unknown", "unknown"),
    ],
)
def test_network_of(network: str, address: str) -> None:
    """Limits go by the IPv4 address, or by the /64 that one subscriber has."""
    assert network_of(address) == network
