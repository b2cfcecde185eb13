"""Kinds of addresses, and the deny list for the relay's configuration."""

from __future__ import annotations

import ipaddress
import itertools

import pytest

from turnctl.host import addresses


@pytest.mark.parametrize(
    ("address", "private", "documentation", "public"),
    [
        ("8.8.8.8", False, False, True),
        ("2001:4860:4860::8888", False, False, True),
        ("10.0.0.1", True, False, False),
        ("172.31.255.255", True, False, False),
        ("172.32.0.0", False, False, True),
        ("192.168.1.1", True, False, False),
        ("100.64.0.1", True, False, False),
        ("127.0.0.1", True, False, False),
        ("169.254.169.254", True, False, False),
        ("::1", True, False, False),
        ("fd00::1", True, False, False),
        ("fe80::1", True, False, False),
        ("203.0.113.1", False, True, False),
        ("192.0.2.2", False, True, False),
        ("2001:db8::1", False, True, False),
        ("0.0.0.0", False, False, False),
        ("224.0.0.1", False, False, False),
        ("255.255.255.255", False, False, False),
        ("ff02::1", False, False, False),
        ("::", False, False, False),
        ("64:ff9b::808:808", False, False, False),
        ("::ffff:10.0.0.1", True, False, False),
        ("::ffff:8.8.8.8", False, False, True),
    ],
)
def test_classes(address: str, private: bool, documentation: bool, public: bool) -> None:
    """Each address has the kind that decides whether a relay there is reachable."""
    assert (private, documentation, public) == (
        addresses.is_private(address),
        addresses.is_documentation(address),
        addresses.is_public(address),
    )


def test_no_address_raises() -> None:
    """A name isn't an address: an error is better than a wrong kind."""
    with pytest.raises(ValueError, match=r"example\.org"):
        addresses.is_private("example.org")


def test_ranges_are_ordered_and_apart() -> None:
    """Within a family the deny list is sorted, and no ranges overlap."""
    for version in (4, 6):
        ranges = [r for r in addresses.DENIED if r.first.version == version]
        bounds = [(int(r.first), int(r.last)) for r in ranges]
        assert all(first <= last for first, last in bounds)
        assert all(a[1] < b[0] for a, b in itertools.pairwise(sorted(bounds)))
        assert sorted(bounds) == bounds


def test_everything_private_is_denied() -> None:
    """The deny list has every private and documentation range, up to both ends."""
    for network in (*addresses._PRIVATE, *addresses._DOCUMENTATION):
        assert addresses.is_denied(network[0])
        assert addresses.is_denied(network[-1])


def test_no_rule_denies_everybody() -> None:
    """coturn reads a range that begins at ::, or a single 0.0.0.0, as all addresses."""
    assert all(str(r) not in {"::", "0.0.0.0"} for r in addresses.DENIED)
    assert all(r.first != ipaddress.IPv6Address("::") for r in addresses.DENIED)


def test_embedded_ipv4_is_denied_in_ipv6_form() -> None:
    """The IPv6 forms that embed IPv4 have their own ranges, for coturn before 4.9."""
    mapped = ipaddress.IPv6Address("::ffff:127.0.0.1")
    assert any(mapped in denied for denied in addresses.DENIED)


@pytest.mark.parametrize(
    ("host", "port", "shown"),
    [
        ("192.0.2.1", 3478, "192.0.2.1:3478"),
        ("2001:db8::1", 443, "[2001:db8::1]:443"),
        ("turn.example.org", 5349, "turn.example.org:5349"),
    ],
)
def test_an_ipv6_address_stands_in_brackets_before_its_port(
    host: str, port: int, shown: str
) -> None:
    assert shown == addresses.host_port(host, port)
