"""A small internet in network namespaces: sites with clients behind NATs, servers, and a router
between all of them.

    client 10.99.0.2 ── router 10.99.0.1 / 203.0.113.10 ──┐
    client 10.100.0.2 ─ router 10.100.0.1 / 203.0.113.11 ─┴ core ── 203.0.113.1 and 203.0.113.2

No packet gets from a site to the servers, or to another site, without a router that counts its TTL
down: the core alone where there is no NAT, two behind a NAT, three behind two. A server whose
packets do not get that far is found out by every test that has a site.

`site(kind)` gives one site, `internet()` as many as one joins. IPv6 lives in 2001:db8::/32 beside
it: servers at ::1 and ::2, a /64 a site. Names are unique to the test, and everything is torn down
again, also after a failure: deleting a namespace deletes its ends of the veth pairs.
"""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest

from tests.lab import nats
from tests.lab.nats import KINDS, Kind
from tests.lab.parts import MISSING, require

__all__ = [
    "KINDS",
    "PREFIX",
    "SECOND_SERVER",
    "SECOND_SERVER6",
    "SERVER",
    "SERVER6",
    "Internet",
    "Kind",
    "Namespace",
    "Site",
    "around_this_host",
    "internet",
    "site",
]

SERVER, SECOND_SERVER = "203.0.113.1", "203.0.113.2"
CORE, GATEWAY6 = "203.0.113.253", "fe80::1"
"""The router between; over IPv6 it has the same address on each of its links."""
BESIDE, BESIDE6 = "203.0.113.5", "2001:db8::5"
"""The one client that is on the servers' own link."""
NOWHERE = "203.0.113.254"
SERVER6, SECOND_SERVER6 = "2001:db8::1", "2001:db8::2"

DEADLINE = 300.0
"""Seconds for a command that ends by itself: only one that hangs takes so long."""
PREFIX = "signalpost-"
"""How the names of the lab's namespaces begin."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace and the addresses its programs are reached at.

    `address` is the IPv4 one, the IPv6 one where there is no other. Without a name it is the one
    that the tests themselves run in.
    """

    name: str
    address: str
    address6: str | None = None

    def _argv(self, argv: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *argv] if self.name else [*argv]

    def run(
        self, argv: Sequence[str], *, check: bool = False, timeout: float = DEADLINE
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end inside, output captured as text."""
        return subprocess.run(
            self._argv(argv), check=check, timeout=timeout, capture_output=True, text=True
        )

    def popen(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        """Start a command inside; its pid is the command's own, since `ip netns exec` execs."""
        return subprocess.Popen(
            self._argv(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def nft(self, rules: str) -> None:
        """Load nft statements inside, for example a table that drops the relay's ports."""
        subprocess.run(self._argv(["nft", "-f", "-"]), input=rules, check=True, text=True)

    def drop(self, rule: str, hook: Literal["input", "output"] = "input") -> None:
        """A firewall that drops what the rule matches, on its way in or out."""
        chain = f"type filter hook {hook} priority filter\n {rule} drop"
        self.nft(f"table inet firewall {{\n chain {hook} {{\n {chain}\n }}\n}}\n")

    def send_with_ttl(self, ttl: int) -> None:
        """Every UDP packet over IPv4 leaves with this TTL, as those of coturn 4.17.1 do with 1."""
        chain = "type filter hook output priority mangle"
        rule = f"meta l4proto udp ip ttl set {ttl}"
        self.nft(f"table ip ttl {{\n chain output {{\n {chain}\n {rule}\n }}\n}}\n")


@dataclass(frozen=True, slots=True)
class Site:
    """A client, the router that the internet sees of it, the servers; `run` is the client's.

    Without a NAT the client is its own router: it forwards nothing, the core does.
    """

    client: Namespace
    router: Namespace
    server: Namespace
    kind: Kind = "port-restricted"
    second_server_address: str = SECOND_SERVER
    second_server_address6: str = SECOND_SERVER6

    @property
    def families(self) -> tuple[Literal[4, 6], ...]:
        """The IP versions that the client can speak with the internet."""
        match self.kind:
            case "ipv6-only":
                return (6,)
            case "dual-stack":
                return (4, 6)
            case _:
                return (4,)

    def run(
        self, argv: Sequence[str], *, check: bool = False, timeout: float = DEADLINE
    ) -> subprocess.CompletedProcess[str]:
        return self.client.run(argv, check=check, timeout=timeout)

    def popen(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        return self.client.popen(argv)


@dataclass(slots=True)
class Internet:
    """The servers' namespace, and the core that sites join. `delay` is tc's, as in "5ms"."""

    server: Namespace
    core: Namespace
    delay: str | None
    _tag: str
    _stack: contextlib.ExitStack
    _network: str = "203.0.113"
    """The first three bytes of what the core connects."""
    _sites: list[Site] = field(default_factory=list)

    def join(self, kind: Kind) -> Site:
        """One more site of this kind."""
        number = len(self._sites)
        make = {"no-nat": self._without_nat, "carrier-grade": self._carrier_grade}
        client, router = make.get(kind, self._behind_router)(kind, number)
        made = Site(client, router, self.server, kind)
        self._sites.append(made)
        return made

    def beside(self) -> Site:
        """The one client between whom and the servers there is no router, IPv4 and IPv6: where even
        a TTL of 1 arrives."""
        client = self._namespace("beside", BESIDE, BESIDE6)
        server, port = self.server.name, "beside"
        _link(client.name, "eth0", server, port)
        for namespace, device in ((client.name, "eth0"), (server, port)):
            _up(namespace, device)
        _address(client.name, "eth0", f"{BESIDE}/24")
        _address(client.name, "eth0", f"{BESIDE6}/128")
        # Neighbour discovery answers for the addresses of that one device alone.
        _address(server, port, f"{GATEWAY6}/64")
        _ip("-n", client.name, "route", "add", "2001:db8::/32", "via", GATEWAY6, "dev", "eth0")
        for address in (BESIDE, BESIDE6):
            _ip("-n", server, "route", "add", address, "dev", port)
        return Site(client, client, self.server, "no-nat")

    def number(self, namespace: Namespace, address: str) -> None:
        """One more address for the servers, or for a client without a NAT. Whoever else has one of
        the same /24 or /64 is reached by it, over the core as everybody."""
        ports = {site.client.name: f"site{number}" for number, site in enumerate(self._sites)}
        port = ports.get(namespace.name, "servers")
        _number(self.core, port, namespace, "eth0", address)
        if ":" in address:
            network = str(ipaddress.ip_network(f"{address}/64", strict=False))
            via = ("via", GATEWAY6, "dev", "eth0")
            _ip("-n", namespace.name, "route", "replace", network, *via)

    def _without_nat(self, kind: Kind, number: int) -> tuple[Namespace, Namespace]:
        client = self._namespace(f"client{number}", f"{self._network}.{10 + number}")
        self._plug(client, "eth0", number)
        return client, client

    def _behind_router(self, kind: Kind, number: int) -> tuple[Namespace, Namespace]:
        wan, lan = f"{self._network}.{10 + number}", f"10.{99 + number}.0"
        wan6, lan6 = f"2001:db8::{10 + number}", f"2001:db8:{99 + number}:"
        with4, with6 = kind != "ipv6-only", kind in {"ipv6-only", "dual-stack"}
        router = self._namespace(f"router{number}", wan if with4 else wan6, wan6 if with6 else None)
        client = self._namespace(
            f"client{number}",
            f"{lan}.2" if with4 else f"{lan6}:2",
            f"{lan6}:2" if with6 else None,
        )
        self._plug(router, "wan", number)
        _link(client.name, "eth0", router.name, "lan")
        _up(client.name, "eth0")
        _up(router.name, "lan")
        if with4:
            _address(router.name, "lan", f"{lan}.1/24")
            _address(client.name, "eth0", f"{lan}.2/24")
            _ip("-n", client.name, "route", "add", "default", "via", f"{lan}.1")
            _forward(router, 4)
            router.nft(nats.nat(kind, wan=wan, client=f"{lan}.2"))
        if with6:
            _address(router.name, "lan", f"{lan6}:1/64")
            _address(client.name, "eth0", f"{lan6}:2/64")
            _forward(router, 6)
            _ip("-n", router.name, "route", "add", "default", "via", GATEWAY6, "dev", "wan")
            _ip("-n", client.name, "route", "add", "default", "via", f"{lan6}:1")
            _ip("-n", self.core.name, "route", "add", f"{lan6}:/64", "via", wan6)
            router.nft(nats.firewall6())
        return client, router

    def _carrier_grade(self, kind: Kind, number: int) -> tuple[Namespace, Namespace]:
        """A home's router behind its carrier's, which the internet sees (RFC 6598 between them)."""
        wan, lan = f"{self._network}.{10 + number}", f"10.{99 + number}.0"
        between = f"100.64.{number}"
        carrier = self._namespace(f"carrier{number}", wan)
        home = self._namespace(f"home{number}", f"{between}.2")
        client = self._namespace(f"client{number}", f"{lan}.2")
        self._plug(carrier, "wan", number)
        _link(home.name, "wan", carrier.name, "lan")
        _link(client.name, "eth0", home.name, "lan")
        for name, device, address in (
            (carrier.name, "lan", f"{between}.1"),
            (home.name, "wan", f"{between}.2"),
            (home.name, "lan", f"{lan}.1"),
            (client.name, "eth0", f"{lan}.2"),
        ):
            _up(name, device)
            _address(name, device, f"{address}/24")
        _ip("-n", home.name, "route", "add", "default", "via", f"{between}.1")
        _ip("-n", client.name, "route", "add", "default", "via", f"{lan}.1")
        for router in (carrier, home):
            _forward(router, 4)
            router.nft(nats.nat(kind, wan=router.address, client=client.address))
        return client, carrier

    def _namespace(self, role: str, address: str, address6: str | None = None) -> Namespace:
        return _namespace(self._stack, self._tag, role, address, address6)

    def _plug(self, namespace: Namespace, device: str, number: int) -> None:
        """Connect a namespace with the core, at its own addresses."""
        # Without IPv4 both are the same.
        known = dict.fromkeys((namespace.address, namespace.address6))
        addresses = [address for address in known if address is not None]
        _wire(self.core, f"site{number}", namespace, device, addresses)
        if not self.server.address.startswith(f"{self._network}."):
            _ip("-n", namespace.name, "route", "add", self.server.address, "dev", device)
        if self.delay:
            delay = ["dev", device, "root", "netem", "delay", self.delay]
            if namespace.run(["tc", "qdisc", "add", *delay]).returncode != 0:
                pytest.skip(f"{MISSING}netem in this kernel")


@contextlib.contextmanager
def internet(*, delay: str | None = None) -> Iterator[Internet]:
    """Servers that sites can join. `delay` is what a packet takes to leave a site."""
    require("ip", "nft", "tc", root=True)
    tag = secrets.token_hex(3)
    with contextlib.ExitStack() as stack:
        core = _core(stack, tag, CORE)
        server = _namespace(stack, tag, "server", SERVER, SERVER6)
        addresses = (SERVER, SECOND_SERVER, SERVER6, SECOND_SERVER6)
        _wire(core, "servers", server, "eth0", addresses)
        _ip("-n", server.name, "route", "add", "2001:db8::/32", "via", GATEWAY6, "dev", "eth0")
        # Packets for somewhere else leave and are lost, as on a real host: without a route coturn
        # 4.6.1 gets an error for a peer's private address, and the allocation relays no more.
        nowhere = ("to", NOWHERE, "lladdr", "02:00:00:00:00:fe", "dev", "eth0")
        _ip("-n", server.name, "neighbour", "add", *nowhere)
        _ip("-n", server.name, "route", "add", "default", "via", NOWHERE)
        yield Internet(server, core, delay, tag, stack)


@contextlib.contextmanager
def around_this_host(address: str) -> Iterator[Internet]:
    """The same around the namespace that the tests themselves run in, whose IPv4 address that is:
    for what binds the ports of this host, as a deployment by Docker does.

    Sites are in 198.18.0.0/15, which is there for tests (RFC 2544), and reach that address alone.
    """
    require("ip", "nft", "tc", root=True)
    tag = secrets.token_hex(3)
    # Another run beside this one must not have the same.
    network = f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}"
    with contextlib.ExitStack() as stack:
        core = _core(stack, tag, f"{network}.253")
        device = f"sp{tag}"
        here = Namespace("", address)
        _ip("link", "add", device, "type", "veth", "peer", "name", "servers", "netns", core.name)
        stack.callback(subprocess.run, ["ip", "link", "delete", device], capture_output=True)
        _sysctl(core, "net.ipv4.neigh.servers.proxy_delay=0")
        _up(core.name, "servers")
        _ip("-n", core.name, "route", "add", address, "dev", "servers")
        _ip("link", "set", device, "up")
        # It has no address of its own: it asks and answers by the one of this host.
        _ip("route", "add", f"{network}.0/24", "dev", device, "src", address)
        yield Internet(here, core, None, tag, stack, network)


@contextlib.contextmanager
def site(kind: Kind = "port-restricted", *, delay: str | None = None) -> Iterator[Site]:
    """A client behind a NAT of this kind; rules and what they behave as were measured."""
    with internet(delay=delay) as made:
        yield made.join(kind)


def _core(stack: contextlib.ExitStack, tag: str, address: str) -> Namespace:
    """The router that everybody is connected with.

    Whoever is in its /24 takes all of it to be on its own link; the core answers ARP for
    those that are on another, and forwards. For an address that nobody has no answer comes, as on
    one wire. Over IPv6 it is the gateway.
    """
    core = _namespace(stack, tag, "core", address, None)
    _sysctl(core, "net.ipv4.conf.all.proxy_arp=1")
    # What ARP asks with, and what ICMP comes from.
    _address(core.name, "lo", f"{address}/32")
    _forward(core, 4)
    _forward(core, 6)
    return core


def _wire(
    core: Namespace, port: str, namespace: Namespace, device: str, addresses: Sequence[str]
) -> None:
    """Connect a namespace with the core, and have its addresses lead there."""
    _link(namespace.name, device, core.name, port)
    # An answer for others would be held back for up to 0.8 s.
    _sysctl(core, f"net.ipv4.neigh.{port}.proxy_delay=0")
    _up(core.name, port)
    _up(namespace.name, device)
    _address(core.name, port, f"{GATEWAY6}/64")
    for address in addresses:
        _number(core, port, namespace, device, address)


def _number(core: Namespace, port: str, namespace: Namespace, device: str, address: str) -> None:
    """Give a namespace an address that the core sends on to it."""
    _address(namespace.name, device, f"{address}/{128 if ':' in address else 24}")
    _ip("-n", core.name, "route", "add", address, "dev", port)


def _namespace(
    stack: contextlib.ExitStack, tag: str, role: str, address: str, address6: str | None
) -> Namespace:
    namespace = Namespace(f"{PREFIX}{tag}-{role}", address, address6)
    _ip("netns", "add", namespace.name)
    stack.callback(_ip, "netns", "delete", namespace.name)
    # Duplicate address detection would keep IPv6 waiting for two seconds.
    _sysctl(namespace, "net.ipv6.conf.default.accept_dad=0")
    _up(namespace.name, "lo")
    return namespace


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _link(left: str, left_device: str, right: str, right_device: str) -> None:
    _ip(
        "link", "add", left_device, "netns", left, "type", "veth",
        "peer", "name", right_device, "netns", right,
    )  # fmt: skip


def _up(namespace: str, device: str) -> None:
    _ip("-n", namespace, "link", "set", device, "up")


def _address(namespace: str, device: str, address: str) -> None:
    _ip("-n", namespace, "address", "add", address, "dev", device)


def _forward(router: Namespace, version: Literal[4, 6]) -> None:
    setting = "net.ipv4.ip_forward" if version == 4 else "net.ipv6.conf.all.forwarding"
    _sysctl(router, f"{setting}=1")


def _sysctl(namespace: Namespace, setting: str) -> None:
    namespace.run(["sysctl", "-qw", setting], check=True)
