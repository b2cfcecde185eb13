"""The lab itself: a fixture that lies makes every suite above it lie."""

from __future__ import annotations

import socket
import ssl
import sys

import pytest

from tests.lab import coturn, netns
from tests.lab.certs import Authority

MAPPED_PORT = """
import socket, struct, sys
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.settimeout(1)
probe.bind(("", 40000))
for server in sys.argv[2:]:
    probe.sendto(bytes.fromhex("000100002112a442") + bytes(12), (server, int(sys.argv[1])))
    try:
        answer = probe.recv(2048)
    except TimeoutError:
        print("silent")
    else:
        at = answer.index(bytes.fromhex("00200008"))
        print(struct.unpack("!H", answer[at + 6 : at + 8])[0] ^ 0x2112)
"""


def mapped_ports(site: netns.Site, port: int) -> list[str]:
    """The client's mapped port as two STUN servers see it, from one socket."""
    servers = (site.server.address, site.second_server_address)
    done = site.run([sys.executable, "-c", MAPPED_PORT, str(port), *servers], check=True)
    return done.stdout.split()


def test_coturn_answers_and_ends(own_address: str) -> None:
    """A started coturn accepts TCP at once, and its port is closed after the block."""
    with coturn.running(own_address) as server:
        with socket.create_connection((server.host, server.port), timeout=5):
            pass
        assert "4." in server.log()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port), timeout=5)


def test_coturn_serves_the_certificate(own_address: str, authority: Authority) -> None:
    """With a certificate TURN over TLS is trusted through the test's root."""
    certificate = authority.issue([own_address, "turn.lab.test"])
    context = ssl.create_default_context(cafile=str(authority.root))
    with (
        coturn.running(own_address, tls=certificate) as server,
        socket.create_connection((server.host, server.tls_port or 0), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=own_address) as tls,
    ):
        assert tls.version() in {"TLSv1.2", "TLSv1.3"}


def test_coturn_on_ipv6() -> None:
    """An IPv6 address works like an IPv4 one, and its URI has brackets."""
    with coturn.running(coturn.own_address6()) as server:
        assert f"turn:[{server.host}]:{server.port}?transport=tcp" == server.uri("tcp")


def test_coturn_that_cannot_start_says_why(own_address: str) -> None:
    """A configuration coturn refuses raises with its log, not after the deadline."""
    with (
        pytest.raises(RuntimeError, match="Unknown boolean value"),
        coturn.running(own_address, lines=["fingerprint # why"]),
    ):
        pass


@pytest.mark.parametrize(("kind", "same"), [("port-restricted", True), ("symmetric", False)])
def test_nat_mapping(kind: netns.Kind, same: bool) -> None:
    """Two servers see one mapped port behind a cone, two behind a symmetric NAT."""
    with (
        netns.site(kind) as site,
        coturn.running(site.server.address, namespace=site.server.name) as first,
        coturn.running(site.second_server_address, namespace=site.server.name, port=first.port),
    ):
        ports = mapped_ports(site, first.port)
        assert "silent" not in ports
        assert same is (len(set(ports)) == 1)


def test_udp_blocked_leaves_tcp() -> None:
    """Behind a network that blocks UDP, STUN is silent and TCP connects."""
    with (
        netns.site("udp-blocked") as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
    ):
        assert mapped_ports(site, server.port) == ["silent", "silent"]
        connect = f"import socket; socket.create_connection(('{server.host}', {server.port}), 5)"
        assert site.run([sys.executable, "-c", connect]).returncode == 0


def test_namespaces_are_gone_afterwards() -> None:
    """Leaving the block deletes every namespace, also when the test failed."""
    with pytest.raises(ZeroDivisionError), netns.site() as site:
        1 / 0  # noqa: B018
    assert "No such file" in site.run(["true"]).stderr
