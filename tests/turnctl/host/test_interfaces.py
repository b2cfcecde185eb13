"""This host's addresses, against its real interfaces and a real STUN server."""

from __future__ import annotations

import socket

from tests.lab import coturn, web
from turnctl.host import interfaces
from turnctl.host.addresses import MappedAddress


def test_the_primary_address_comes_first(own_address: str) -> None:
    """The address the default route leaves from is the first, and loopback is none of them."""
    own = interfaces.own_addresses()
    assert own.v4[0] == own_address
    assert "127.0.0.1" not in own.v4
    assert not [address for address in own.v6 if address.startswith(("fe80", "fd", "::1"))]


def test_stun_tells_the_mapped_address(own_address: str) -> None:
    """A STUN server that answers is believed and named; a dead one beside it costs nothing."""
    with coturn.running(own_address) as server:
        seen = interfaces.ask_stun(
            [(own_address, closed_port(own_address)), (own_address, server.port)]
        )
    assert seen == MappedAddress(own_address, f"{own_address}:{server.port}")


def test_silent_stun_servers_are_named(own_address: str) -> None:
    """Silence ends, and the reason names who was asked."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((own_address, 0))
        port = silent.getsockname()[1]
        reason = interfaces.ask_stun([(own_address, port), ("stun.invalid", 3478)])
    assert isinstance(reason, str)
    assert f"{own_address}:{port}, stun.invalid:3478" in reason


def test_no_servers_no_question() -> None:
    """With STUN switched off nobody is asked."""
    assert interfaces.ask_stun([]) == "no STUN server was asked"


def test_a_packet_to_the_own_address_comes_back(own_address: str) -> None:
    """Sent to an address of this host a packet is back at once."""
    assert interfaces.udp_comes_back(own_address, own_address, closed_port(own_address))


def test_a_taken_port_is_asked_by_stun(own_address: str) -> None:
    """While coturn has the port, its answer proves the way back."""
    with coturn.running(own_address) as server:
        assert interfaces.udp_comes_back(own_address, own_address, server.port)


def test_a_packet_to_nowhere_does_not(own_address: str) -> None:
    """An address that answers nothing is not taken for this host's."""
    assert not interfaces.udp_comes_back("203.0.113.250", own_address, closed_port(own_address))


def test_a_connection_to_the_own_address_comes_back(own_address: str) -> None:
    """Over TCP: through a port that is free, or to coturn that has it; another program's proves
    nothing."""
    with web.serving(web.answering(b"It works!"), host=own_address) as url:
        port = int(url.rpartition(":")[2])
        assert not interfaces.tcp_comes_back(own_address, own_address, port)
    assert interfaces.tcp_comes_back(own_address, own_address, port)
    with coturn.running(own_address) as server:
        assert interfaces.tcp_comes_back(own_address, own_address, server.port)
    assert not interfaces.tcp_comes_back("203.0.113.250", own_address, port)


def closed_port(address: str) -> int:
    """A UDP port nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind((address, 0))
        return int(held.getsockname()[1])
