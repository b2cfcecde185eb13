"""Configured addresses against those of now."""

from __future__ import annotations

import pytest

from tests.lab import coturn
from turnctl.coturn.parsing import parse
from turnctl.doctor.addresses import judge, look, present
from turnctl.host import interfaces
from turnctl.host.addresses import MappedAddress

SEEN = MappedAddress("198.18.0.7", "stun.example:3478")
PUBLIC = MappedAddress("8.8.8.8", "stun.example:3478")


@pytest.mark.parametrize(
    ("text", "bound", "seen", "expected"),
    [
        ("external-ip=198.18.0.7/10.0.0.5", ["10.0.0.5"], SEEN, []),
        ("external-ip=198.18.0.8/10.0.0.5", ["10.0.0.5"], SEEN, ["external-address-changed"]),
        ("external-ip=198.18.0.8", [], SEEN, ["external-address-changed"]),
        ("external-ip=198.18.0.8/10.0.0.5", ["10.0.0.5"], None, []),
        ("external-ip=2001:db8::1", ["10.0.0.5"], SEEN, []),
        ("", ["10.0.0.5"], PUBLIC, ["external-address-missing"]),
        ("", ["10.0.0.5"], SEEN, []),
        ("", ["9.9.9.9"], PUBLIC, []),
        ("", [], PUBLIC, []),
    ],
)
def test_the_public_address(
    text: str, bound: list[str], seen: MappedAddress | None, expected: list[str]
) -> None:
    """The one configured is the one seen; none is worth a word behind NAT alone."""
    assert expected == [one.code for one in judge(parse("f", text), bound, [], seen)]


def test_an_address_that_is_gone(own_address: str) -> None:
    """The kernel says which are this host's; the others are named."""
    assert present(own_address)
    assert not present("198.51.100.99")
    conf = parse("f", f"listening-ip={own_address}\nrelay-ip=198.51.100.99\nrelay-ip=none\n")
    seen = look(conf, lambda: "no STUN server was asked")
    assert ["address-gone"] == [one.code for one in seen.findings]
    assert "198.51.100.99" in seen.findings[0].summary
    assert ("the address that others see: no STUN server was asked",) == seen.unknown


def test_a_stun_server_is_asked(own_address: str) -> None:
    """A real one: what it sees is compared, and it is named."""
    with coturn.running(own_address) as server:
        conf = parse("f", f"relay-ip={own_address}\nexternal-ip=198.18.0.7/{own_address}\n")
        seen = look(conf, lambda: interfaces.ask_stun([(own_address, server.port)]))
    (one,) = seen.findings
    assert ("external-address-changed", "f:2") == (one.code, one.url)
    assert own_address == one.evidence["seen"]
    assert f"{own_address}; {own_address}:{server.port} sees {own_address}" == seen.seen
