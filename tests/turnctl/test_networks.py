"""Causes that need a network of their own: several addresses, families, edges, blocked ports."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import coturn, netns
from tests.lab.certs import Authority
from tests.lab.matrix import fault
from tests.lab.names import names
from tests.lab.prober import assert_only, check, write_ice_servers
from tests.lab.responders import turn_responder
from turnctl.check.probes.relay import ECHO_PACKETS
from turnctl.wire.errors import ErrorResponse
from turnctl.wire.links import open_datagram
from turnctl.wire.session import Login, Session

ANY = ["--username", f"{time.time() + 600:.0f}:nobody", "--credential", "none"]

DEADLINE = 60.0


@pytest.fixture
def site() -> Iterator[netns.Site]:
    with netns.site() as made:
        yield made


@fault("own-relay-refused", "denied-peer-ip with the relay's own address")
def test_a_relay_that_refuses_itself(site: netns.Site, tmp_path: Path) -> None:
    """Two clients of one relay cannot talk when it denies its own address."""
    address = site.server.address
    lines = [f"denied-peer-ip={address}"]
    with coturn.running(address, lines=lines, own_peer=False, namespace=site.server.name) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri("tcp")], server.credential())
        assert_only("own-relay-refused", check(path, inside=site.client))


@fault("srflx-missing", "a small TURN server whose Binding has no mapped address")
def test_a_binding_without_address() -> None:
    """STUN answers and says nothing."""
    with turn_responder("no-mapped-address") as port:
        assert_only("srflx-missing", check(*ANY, f"turn:127.0.0.1:{port}"))


@pytest.mark.parametrize("version", coturn.VERSIONS)
@pytest.mark.parametrize("line", ["no-stun", "secure-stun"])
@fault("srflx-missing", "no-stun and secure-stun: Binding unanswered or refused, TURN works")
def test_a_server_without_stun(
    site: netns.Site, line: str, version: coturn.Version, tmp_path: Path
) -> None:
    """The relay works, range and all, with a warning; who asks for STUN alone gets nothing."""
    with coturn.running(
        site.server.address, lines=[line], namespace=site.server.name, version=version
    ) as server:
        urls = [server.uri("udp"), server.uri("tcp"), f"stun:{server.host}:{server.port}"]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check(path, inside=site.client)
    assert_only("srflx-missing", checked)
    assert ["warn", "warn", "fail"] == checked.verdicts()
    assert [ECHO_PACKETS, ECHO_PACKETS, 0] == [url["received"] for url in checked.report["urls"]]
    assert checked.report["urls"][0]["relayPorts"]["samples"] >= 2


@pytest.mark.parametrize("version", coturn.VERSIONS)
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("alternate-server=198.51.100.7:3478", "alternate-server", "198.51.100.7 port 3478"),
        ("no-udp-relay", "allocation-refused", "442"),
    ],
)
@fault("alternate-server", "alternate-server=198.51.100.7:3478")
@fault("allocation-refused", "no-udp-relay")
def test_a_server_that_does_not_relay_itself(
    own_address: str, version: coturn.Version, line: str, code: str, said: str, tmp_path: Path
) -> None:
    """Where it sends clients instead is told, and its error where it says no more."""
    with coturn.running(own_address, lines=[line], version=version) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        checked = check(path)
    assert_only(code, checked)
    assert said in checked.report["findings"][0]["summary"]


@fault("allocation-refused", "a small TURN server that answers 437")
def test_an_error_without_a_cause_of_its_own() -> None:
    """An Allocate error that no other code stands for is told as it is."""
    with turn_responder("mismatch") as port:
        checked = check(*ANY, f"turn:127.0.0.1:{port}")
    assert_only("allocation-refused", checked)
    assert "437" in checked.report["findings"][0]["summary"]


@fault("server-draining", "SIGUSR1 to coturn 4.18.0")
def test_a_server_that_drains(own_address: str, tmp_path: Path) -> None:
    """A coturn that waits for its last call takes no new one."""
    with coturn.running(own_address, version="4.18.0") as server, calling(server):
        os.kill(server.pid, signal.SIGUSR1)
        deadline = time.monotonic() + DEADLINE
        while not drains(server):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        checked = check(path)
    assert_only("server-draining", checked)


def drains(server: coturn.Server) -> bool:
    """It takes no new allocation: a check that began before would meet it half way."""
    try:
        with calling(server):
            return False
    except ErrorResponse:
        return True


@contextmanager
def calling(server: coturn.Server) -> Iterator[None]:
    """Somebody holds an allocation while the block runs."""
    with asyncio.Runner() as runner:
        credential = server.credential("caller")
        session = Session(Login(credential.username, credential.password))
        try:
            runner.run(_allocate(session, server))
            yield
        finally:
            runner.run(session.close())


async def _allocate(session: Session, server: coturn.Server) -> None:
    session.attach(await open_datagram((server.host, server.port), session))
    await session.allocate(patience=DEADLINE)


@fault("client-network-blocks-ports", "a NAT that lets TCP 80 and 443 out alone (warn)")
def test_a_network_that_blocks_ports(authority: Authority, tmp_path: Path) -> None:
    """TURNS on 443 works; the other ports are silent, and so is an independent server."""
    with (
        netns.site("only-80-443") as site,
        coturn.running(
            site.server.address,
            tls=authority.issue([site.server.address]),
            tls_port=443,
            namespace=site.server.name,
        ) as server,
        coturn.running(site.second_server_address, namespace=site.server.name) as reference,
    ):
        urls = [server.uri("tcp"), server.uri("tls")]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        echo = f"stun:{reference.host}:{reference.port}"
        options = ["--timeout", "2", "--ca", str(authority.root), "--stun-echo", echo]
        checked = check(*options, path, inside=site.client)
    assert_only("client-network-blocks-ports", checked, "warn", beside=["tls-ip-literal"])
    assert (0, ["fail", "warn"]) == (checked.status, checked.verdicts())


@fault("tls-proxy-hides-client", "a TLS edge without PROXY protocol (warn)")
def test_an_edge_that_hides_its_clients(
    site: netns.Site, authority: Authority, tmp_path: Path
) -> None:
    """Behind an edge without PROXY protocol every client has the edge's address."""
    certificate = authority.issue([site.server.address])
    with coturn.running(site.server.address, namespace=site.server.name) as server:
        edge = site.server.popen(
            [
                *(sys.executable, "-m", "tests.lab.edge", server.host, "443"),
                *(str(certificate.chain), str(certificate.key), server.host, str(server.port)),
            ]
        )
        try:
            assert edge.stdout is not None
            assert "ready\n" == edge.stdout.readline()
            url = f"turns:{server.host}:443"
            path = write_ice_servers(tmp_path / "ice.json", [url], server.credential())
            checked = check("--ca", str(authority.root), path, inside=site.client)
        finally:
            edge.terminate()
            edge.communicate(timeout=300)
    assert_only("tls-proxy-hides-client", checked, "warn", beside=["tls-ip-literal"])


@fault("ipv6-relay-missing", "coturn on IPv6 with an IPv4 relay-ip alone (warn)")
def test_no_relay_over_ipv6(tmp_path: Path) -> None:
    """A server that is reached over IPv6 and relays over IPv4 alone."""
    with netns.site("dual-stack") as site:
        assert site.server.address6 is not None
        with coturn.running(
            site.server.address6, relay=site.server.address, namespace=site.server.name
        ) as server:
            path = write_ice_servers(
                tmp_path / "ice.json", [server.uri("tcp")], server.credential()
            )
            checked = check(path, inside=site.client)
    assert {"ipv6-relay-missing", "no-tls-443"} == checked.codes("warn")
    assert set() == checked.codes("fail")


@fault("ipv6-unreachable", "an AAAA record, and coturn on IPv4 alone")
def test_an_aaaa_record_without_server(tmp_path: Path) -> None:
    """The name has an IPv6 address, and nobody listens there."""
    with netns.site("dual-stack") as site:
        assert site.server.address6 is not None
        addresses = [site.server.address, site.server.address6]
        with (
            coturn.running(site.server.address, namespace=site.server.name) as server,
            names(site.client, "turn.lab.test", addresses) as name,
        ):
            url = f"turn:{name}:{server.port}?transport=tcp"
            path = write_ice_servers(tmp_path / "ice.json", [url], server.credential())
            checked = check(path, inside=site.client)
    assert_only("ipv6-unreachable", checked)
    assert "fail" == checked.verdicts()[1]


@fault("relay-range-unproved", "a check on the server's own host (info)")
def test_the_servers_own_host_proves_no_firewall(own_address: str, tmp_path: Path) -> None:
    """From the server's own host nothing passes the firewall in front of it."""
    with coturn.running(own_address) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        assert "relay-range-unproved" in check(path).codes("info")


@fault("ice-srflx-failed", "a network that lets no UDP reach the server but to its port (info)")
def test_agents_that_cannot_meet(site: netns.Site) -> None:
    """STUN answers, and two agents behind this NAT cannot reach each other without a relay."""
    with coturn.running(site.server.address, namespace=site.server.name) as server:
        checked = check(f"stun:{server.host}:{server.port}", inside=site.client)
    assert_only("ice-srflx-failed", checked, "info")
