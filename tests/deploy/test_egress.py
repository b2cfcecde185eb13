"""deploy/egress against a real coturn whose own deny list is empty: the kernel alone protects.

client 10.50.0.2, 20.0.0.2, fd50::2, 2a02:50::2 ── server with .1 and ::1 of each
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import select
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.lab import coturn, netns
from tests.lab.docker import ROOT
from tests.lab.netns import Namespace
from tests.lab.parts import require
from turnctl.host.addresses import DENIED
from turnctl.wire.links import open_datagram
from turnctl.wire.session import Login, Session

EGRESS = ROOT / "deploy" / "egress"
SUBNETS = ("10.50.0", "20.0.0", "fd50:", "2a02:50:")
"""Private and public, by what stands before the host's number."""
COTURN_USER = 65534
PATIENCE = 30.0


def host(subnet: str, number: int) -> str:
    return f"{subnet}{':' if ':' in subnet else '.'}{number}"


@dataclass(frozen=True, slots=True)
class Network:
    server: Namespace
    client: Namespace
    turn: coturn.Server

    def egress(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.server.run([str(EGRESS), *arguments])

    def dropped(self) -> int:
        """Packets that the rules have dropped so far."""
        shown = self.egress("show").stdout
        return sum(map(int, re.findall(r"counter packets (\d+)", shown)))


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """A host with a private and a public side, coturn on it as nobody, a client that has both."""
    require("nft", root=True)
    with netns.internet() as internet:
        server, client = internet.server, internet.join("no-nat").client
        for subnet in SUBNETS:
            for namespace, number in ((server, 1), (client, 2)):
                internet.number(namespace, host(subnet, number))
        lines = [
            *(f"listening-ip={host(subnet, 1)}" for subnet in SUBNETS[1:]),
            "relay-ip=2a02:50::1",
        ]
        with coturn.running(
            host(SUBNETS[0], 1),
            relay=host(SUBNETS[1], 1),
            lines=lines,
            namespace=server.name,
            user=COTURN_USER,
        ) as turn:
            yield Network(server, client, turn)


@pytest.fixture
def rules(network: Network) -> Iterator[Network]:
    """The rules installed for one test."""
    assert 0 == network.egress("install").returncode
    yield network
    assert 0 == network.egress("remove").returncode


def listener(namespace: Namespace, address: str, port: int = 0) -> socket.socket:
    """A UDP socket that waits in a namespace for what a relay sends."""

    def make() -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.bind((address, port))
        made.settimeout(PATIENCE)
        return made

    return coturn.within(namespace.name, make)


def relay_to(network: Network, peer: tuple[str, int], arrived: Callable[[], bool]) -> None:
    """From the client's private address, through a relay, to the peer, until `arrived`."""

    async def send() -> None:
        credential = network.turn.credential()
        session = Session(Login(credential.username, credential.password))
        session.attach(await open_datagram((network.turn.host, network.turn.port), session))
        try:
            family = ipaddress.ip_address(peer[0]).version
            await session.allocate(patience=PATIENCE, family=6 if family == 6 else None)
            await session.permit(peer, patience=PATIENCE)
            async with asyncio.timeout(PATIENCE):
                while not arrived():
                    session.send_indication(peer, b"signalpost")
                    await asyncio.sleep(0.02)
        finally:
            await session.close()

    coturn.within(network.client.name, lambda: asyncio.run(send()))


def is_ready(waiting: socket.socket) -> bool:
    """Whether something has come."""
    return bool(select.select([waiting], [], [], 0)[0])


PRIVATE = pytest.mark.parametrize("subnet", [SUBNETS[0], SUBNETS[2]], ids=["IPv4", "IPv6"])
PUBLIC = pytest.mark.parametrize("subnet", [SUBNETS[1], SUBNETS[3]], ids=["IPv4", "IPv6"])


@PRIVATE
def test_without_the_rules_a_relay_reaches_private_hosts(network: Network, subnet: str) -> None:
    """The danger is real: with an empty deny list coturn sends anywhere."""
    with listener(network.client, host(subnet, 2)) as peer:
        relay_to(network, peer.getsockname()[:2], lambda: is_ready(peer))


@PRIVATE
def test_private_hosts_get_nothing(rules: Network, subnet: str) -> None:
    """What a client in the private network sends towards a private host is dropped."""
    with listener(rules.client, host(subnet, 2)) as peer:
        relay_to(rules, peer.getsockname()[:2], lambda: rules.dropped() > 0)
        assert not is_ready(peer)


@PUBLIC
def test_public_hosts_are_reached(rules: Network, subnet: str) -> None:
    """A public peer gets its data, from a client that is in the private network itself."""
    with listener(rules.client, host(subnet, 2)) as peer:
        relay_to(rules, peer.getsockname()[:2], lambda: is_ready(peer))
    assert 0 == rules.dropped()


@pytest.mark.parametrize("address", [host(SUBNETS[0], 1), host(SUBNETS[1], 1), "127.0.0.1"])
def test_services_of_the_host_get_nothing(rules: Network, address: str) -> None:
    """A UDP service of the relay's own host is out of reach at every address of it."""
    with listener(rules.server, address, port=5353) as service:
        if ipaddress.ip_address(address).is_loopback:
            # coturn itself refuses loopback, so coturn's user asks the kernel directly.
            send = ["bash", "-c", f"echo > /dev/udp/{address}/5353"]
            sent = rules.server.run(["setpriv", f"--reuid={COTURN_USER}", "--clear-groups", *send])
            assert "Operation not permitted" in sent.stderr
        else:
            relay_to(rules, (address, 5353), lambda: rules.dropped() > 0)
        assert not is_ready(service)


def test_two_relays_of_the_host_meet(rules: Network) -> None:
    """Relay to relay on the same host works, as for two clients behind symmetric NATs."""

    async def meet() -> None:
        credential = rules.turn.credential()
        came = asyncio.Event()
        sessions = []
        try:
            relayed = []
            for _ in range(2):
                session = Session(Login(credential.username, credential.password))
                sessions.append(session)
                session.attach(await open_datagram((rules.turn.host, rules.turn.port), session))
                relayed.append((await session.allocate(patience=PATIENCE)).relayed)
            near, far = sessions
            far.on_data = lambda _, __: came.set()
            await near.permit(relayed[1], patience=PATIENCE)
            await far.permit(relayed[0], patience=PATIENCE)
            async with asyncio.timeout(PATIENCE):
                while not came.is_set():
                    near.send_indication(relayed[1], b"signalpost")
                    await asyncio.sleep(0.02)
        finally:
            await asyncio.gather(*(session.close() for session in sessions))

    coturn.within(rules.client.name, lambda: asyncio.run(meet()))


def test_other_users_are_free(rules: Network) -> None:
    """The rules hold for coturn's users alone: root sends to a private host as before."""
    with listener(rules.client, host(SUBNETS[0], 2)) as peer:
        with listener(rules.server, host(SUBNETS[0], 1)) as own:
            own.sendto(b"x", peer.getsockname())
        assert b"x" == peer.recv(100)


def test_again_and_beside_other_tables(network: Network) -> None:
    """Installing twice is installing once; other tables stay; removing twice is no error."""
    network.server.nft("table inet theirs {\nchain output {\n}\n}\n")
    theirs = ["nft", "list", "table", "inet", "theirs"]
    before = network.server.run(theirs).stdout
    network.egress("install")
    once = network.egress("show").stdout
    assert 0 == network.egress("install").returncode
    assert once == network.egress("show").stdout
    assert 0 == network.egress("remove").returncode
    assert 0 == network.egress("remove").returncode
    assert 1 == network.egress("show").returncode
    assert before == network.server.run(theirs).stdout


@pytest.mark.parametrize("arguments", [(), ("up",), ("--help",)])
def test_wrong_words_change_nothing(arguments: tuple[str, ...]) -> None:
    """Anything but the three words is answered with them, status 2."""
    done = subprocess.run([str(EGRESS), *arguments], capture_output=True, text=True, check=False)
    assert 2 == done.returncode
    assert "usage: deploy/egress install | remove | show" in done.stderr


def test_ranges_are_those_of_the_deny_list() -> None:
    """The script has every range that coturn's configuration denies, and multicast beside them."""
    text = EGRESS.read_text()
    found = {
        one.strip()
        for block in re.findall(r"^denied[46]='([^']*)'", text, re.MULTILINE)
        for one in block.split(",")
    }
    multicast = {"224.0.0.0-239.255.255.255", "ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
    assert {*map(str, DENIED), *multicast} == found


def test_users_are_those_of_compose() -> None:
    """The script keeps in exactly the users that compose.yaml gives the relays."""
    text = (ROOT / "compose.yaml").read_text()
    relays = set(re.findall(r'image: \$\{COTURN_.*\n    user: "(\d+):', text))
    (users,) = re.findall(r"^users='(.*)'", EGRESS.read_text(), re.MULTILINE)
    assert relays == set(users.split(", "))
