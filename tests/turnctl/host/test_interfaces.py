"""This host's addresses, against its real interfaces and a real STUN server."""

from __future__ import annotations

import socket

from tests.lab import coturn, web
from turnctl.host import interfaces
from turnctl.host.addresses import MappedAddress


def test_the_primary_address_comes_first(own_address: str) -> None:
    """The default route's address comes first, and loopback isn't among them."""
    own = interfaces.own_addresses()
    assert own.v4[0] == own_address
    assert "127.0.0.1" not in own.v4
    assert not [address for address in own.v6 if address.startswith(("fe80", "fd", "::1"))]


def test_stun_sees_the_mapped_address(own_address: str) -> None:
    """The server that answers is named. One that doesn't answer costs no time."""
    with coturn.running(own_address) as server:
        seen = interfaces.ask_stun(
            [(own_address, closed_port(own_address)), (own_address, server.port)]
        )
    assert seen == MappedAddress(own_address, f"{own_address}:{server.port}")


def test_silent_stun_servers_are_named(own_address: str) -> None:
    """Waiting ends, and the reason names the servers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((own_address, 0))
        port = silent.getsockname()[1]
        reason = interfaces.ask_stun([(own_address, port), ("stun.invalid", 3478)])
    assert isinstance(reason, str)
    assert f"{own_address}:{port}, stun.invalid:3478" in reason


def test_no_servers_no_question() -> None:
    """With STUN switched off, no server is asked."""
    assert interfaces.ask_stun([]) == "no STUN server was asked"


def test_a_packet_to_the_own_address_comes_back(own_address: str) -> None:
    """A packet to one of this host's addresses comes back."""
    assert interfaces.udp_comes_back(own_address, own_address, closed_port(own_address))


def test_a_taken_port_is_asked_by_stun(own_address: str) -> None:
    """While coturn has the port, its answer is the proof."""
    with coturn.running(own_address) as server:
        assert interfaces.udp_comes_back(own_address, own_address, server.port)


def test_a_packet_to_nowhere_does_not(own_address: str) -> None:
    """An address that doesn't answer isn't this host's."""
    assert not interfaces.udp_comes_back("203.0.113.250", own_address, closed_port(own_address))


def test_a_connection_to_the_own_address_comes_back(own_address: str) -> None:
    """Over TCP: to a free port, or to coturn on it. Another program's answer proves nothing."""
    with web.serving(web.answering(b"It works!"), host=own_address) as url:
        port = int(url.rpartition(":")[2])
        assert not interfaces.tcp_comes_back(own_address, own_address, port)
    assert interfaces.tcp_comes_back(own_address, own_address, port)
    with coturn.running(own_address) as server:
        assert interfaces.tcp_comes_back(own_address, own_address, server.port)
    assert not interfaces.tcp_comes_back("203.0.113.250", own_address, port)


def closed_port(address: str) -> int:
    """A UDP port that no process listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind((address, 0))
        return int(held.getsockname()[1])
