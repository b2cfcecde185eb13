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
probe.settimeout(4)
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


def mapped_ports(site: netns.Site, port: int, *servers: str) -> list[str]:
    """The client's mapped port as STUN servers see it, both unless named, from one socket."""
    servers = servers or (site.server.address, site.second_server_address)
    done = site.run([sys.executable, "-c", MAPPED_PORT, str(port), *servers], check=True)
    return done.stdout.split()


def test_coturn_answers_and_ends(own_address: str) -> None:
    """A started coturn accepts TCP at once, and its port is closed after the block."""
    with coturn.running(own_address) as server:
        with socket.create_connection((server.host, server.port), timeout=30):
            pass
        assert "4." in server.log()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port), timeout=30)


def test_coturn_serves_the_certificate(own_address: str, authority: Authority) -> None:
    """With a certificate TURN over TLS is trusted through the test's root."""
    certificate = authority.issue([own_address, "turn.lab.test"])
    context = ssl.create_default_context(cafile=str(authority.root))
    with (
        coturn.running(own_address, tls=certificate) as server,
        socket.create_connection((server.host, server.tls_port or 0), timeout=30) as raw,
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
        connect = f"import socket; socket.create_connection(('{server.host}', {server.port}), 30)"
        assert site.run([sys.executable, "-c", connect]).returncode == 0


def test_namespaces_are_gone_afterwards() -> None:
    """Leaving the block deletes every namespace, also when the test failed."""
    with pytest.raises(ZeroDivisionError), netns.site() as site:
        1 / 0  # noqa: B018
    assert "No such file" in site.run(["true"]).stderr


HOPS = """
import json, socket, sys
family, address = (socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET), sys.argv[2]
level, wanted, kind = (
    (socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, socket.IPV6_HOPLIMIT)
    if family == socket.AF_INET6
    else (socket.IPPROTO_IP, 12, socket.IP_TTL)  # IP_RECVTTL, which the module has no name for
)
with socket.socket(family, socket.SOCK_DGRAM) as own:
    own.setsockopt(level, wanted, 1)
    own.settimeout(40)
    if sys.argv[1] == "server":
        own.bind((address, 53))
        print("ready", flush=True)
    else:
        own.sendto(b"?", (address, 53))
    data, controls, _, sender = own.recvmsg(64, 64)
    left = next(int.from_bytes(v, sys.byteorder) for l, k, v in controls if (l, k) == (level, kind))
    print(64 - left, flush=True)
    if sys.argv[1] == "server":
        own.sendto(data, sender)
"""
"""One datagram there and back over the port of DNS, which every kind lets through: each end prints
how many routers the other one's came through."""

DISTANCES = {"no-nat": 1, "carrier-grade": 3}
"""Routers between client and servers; two behind every other kind."""


@pytest.mark.parametrize("kind", netns.KINDS)
def test_every_packet_crosses_a_router(kind: netns.Kind) -> None:
    """A TTL is counted down, both ways, by the core and by each router of the site."""
    with netns.site(kind) as site:
        for family in site.families:
            address = site.server.address if family == 4 else str(site.server.address6)
            server = site.server.popen([sys.executable, "-c", HOPS, "server", address])
            with server:
                assert server.stdout is not None
                assert "ready\n" == server.stdout.readline()
                client = site.run([sys.executable, "-c", HOPS, "client", address])
                came = server.stdout.read()
            expected = f"{DISTANCES.get(kind, 2)}\n"
            assert (expected, expected) == (came, client.stdout), client.stderr


@pytest.mark.parametrize("family", [4, 6])
def test_on_one_link_there_is_no_router(family: int) -> None:
    """The client beside the servers gets what nobody else does."""
    with netns.internet() as internet:
        site = internet.beside()
        address = netns.SERVER if family == 4 else netns.SERVER6
        server = site.server.popen([sys.executable, "-c", HOPS, "server", address])
        with server:
            assert server.stdout is not None
            assert "ready\n" == server.stdout.readline()
            client = site.run([sys.executable, "-c", HOPS, "client", address])
            assert ("0\n", "0\n") == (server.stdout.read(), client.stdout), client.stderr


def test_this_host_is_two_routers_away(own_address: str) -> None:
    """A client behind a NAT reaches what listens in the tests' own namespace, and hears of it."""
    with netns.around_this_host(own_address) as internet:
        site = internet.join("port-restricted")
        with coturn.running(own_address) as server:
            before = mapped_ports(site, server.port, own_address)
        assert "silent" not in before
        traced = site.run([sys.executable, "-c", REACHES, own_address, "1", "2", "3"])
        assert "1 lost\n2 lost\n3 refused\n" == traced.stdout, traced.stderr


REACHES = """
import socket, sys
for ttl in sys.argv[2:]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.settimeout(10 if ttl == sys.argv[-1] else 0.5)
        own.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, int(ttl))
        own.connect((sys.argv[1], 9))
        try:
            own.send(b"?")
            own.recv(1)
        except ConnectionRefusedError:
            print(ttl, "refused")
        except OSError:
            print(ttl, "lost")
"""
"""Whether a datagram with each TTL arrives at a port of the host that nobody has: it says so."""


@pytest.mark.parametrize("kind", ["no-nat", "port-restricted"])
def test_a_ttl_of_one_reaches_nobody(kind: netns.Kind) -> None:
    """What the servers send with it never arrives, not even where there is no NAT."""
    with (
        netns.site(kind) as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
    ):
        connect = f"import socket; socket.create_connection(('{server.host}', {server.port}), 30)"
        before = mapped_ports(site, server.port, site.server.address)
        site.server.send_with_ttl(1)
        after = mapped_ports(site, server.port, site.server.address)
        assert ("silent" in before, after) == (False, ["silent"])
        assert site.run([sys.executable, "-c", connect]).returncode == 0


def test_sites_meet_over_the_core() -> None:
    """What one site sends another crosses a router too, and the servers see nothing of it."""
    with netns.internet() as internet:
        one, other = internet.join("no-nat"), internet.join("no-nat")
        server = other.client.popen([sys.executable, "-c", HOPS, "server", other.client.address])
        with server:
            assert server.stdout is not None
            assert "ready\n" == server.stdout.readline()
            client = one.run([sys.executable, "-c", HOPS, "client", other.client.address])
            assert ("1\n", "1\n") == (server.stdout.read(), client.stdout), client.stderr
