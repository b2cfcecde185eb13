"""A small internet in network namespaces: a client behind a NAT, and a server on the far side.

    client 10.99.0.2 ── router 10.99.0.1 / 203.0.113.10 ── server 203.0.113.1 and 203.0.113.2

Names are unique to the test, and everything is torn down again, also after a failure: deleting a
namespace deletes its ends of the veth pairs.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.lab.parts import require

__all__ = ["Kind", "Namespace", "Site", "site"]

Kind = Literal["port-restricted", "symmetric", "udp-blocked"]

CLIENT, ROUTER_LAN, ROUTER_WAN = "10.99.0.2", "10.99.0.1", "203.0.113.10"
SERVER, SECOND_SERVER = "203.0.113.1", "203.0.113.2"

_MASQUERADE = {
    "port-restricted": "masquerade",
    "symmetric": "masquerade fully-random",
    "udp-blocked": "masquerade",
}
_FORWARD_FIRST = {"udp-blocked": 'iifname "lan" udp dport != 53 drop'}

# Without the two input rules an unsolicited packet makes a conntrack entry on the router itself,
# and a later punch through the same port pair is then mapped to another port.
_NAT = """
table ip nat {{
  chain postrouting {{
    type nat hook postrouting priority srcnat
    oifname "wan" {masquerade}
  }}
}}
table ip filter {{
  chain input {{
    type filter hook input priority filter
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop
    {first}
    iifname "lan" accept
    ct state established,related accept
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace and the address its programs are reached at."""

    name: str
    address: str

    def _argv(self, argv: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *argv]

    def run(
        self, argv: Sequence[str], *, check: bool = False, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end inside, output captured as text."""
        return subprocess.run(
            self._argv(argv), check=check, timeout=timeout, capture_output=True, text=True
        )

    def popen(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        """Start a command inside; its pid is the command's own, since `ip netns exec` execs."""
        return subprocess.Popen(
            self._argv(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def nft(self, rules: str) -> None:
        """Load nft statements inside, for example a table that drops the relay's ports."""
        subprocess.run(self._argv(["nft", "-f", "-"]), input=rules, check=True, text=True)


@dataclass(frozen=True, slots=True)
class Site:
    """The three namespaces; `run` and `popen` are the client's."""

    client: Namespace
    router: Namespace
    server: Namespace
    second_server_address: str = SECOND_SERVER

    def run(
        self, argv: Sequence[str], *, check: bool = False, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        return self.client.run(argv, check=check, timeout=timeout)

    def popen(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        return self.client.popen(argv)


@contextlib.contextmanager
def site(kind: Kind = "port-restricted") -> Iterator[Site]:
    """A client behind a NAT of this kind; rules and what they behave as were measured."""
    require("ip", "nft", root=True)
    tag = secrets.token_hex(3)
    client = Namespace(f"sp{tag}-client", CLIENT)
    router = Namespace(f"sp{tag}-router", ROUTER_WAN)
    server = Namespace(f"sp{tag}-server", SERVER)
    with contextlib.ExitStack() as stack:
        for namespace in (client, router, server):
            _ip("netns", "add", namespace.name)
            stack.callback(_ip, "netns", "delete", namespace.name)
            _ip("-n", namespace.name, "link", "set", "lo", "up")
        _link(client.name, "eth0", router.name, "lan")
        _link(router.name, "wan", server.name, "eth0")
        _address(client.name, "eth0", f"{CLIENT}/24")
        _address(router.name, "lan", f"{ROUTER_LAN}/24")
        _address(router.name, "wan", f"{ROUTER_WAN}/24")
        _address(server.name, "eth0", f"{SERVER}/24")
        _address(server.name, "eth0", f"{SECOND_SERVER}/24")
        _ip("-n", client.name, "route", "add", "default", "via", ROUTER_LAN)
        router.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
        first = _FORWARD_FIRST.get(kind, "")
        router.nft(_NAT.format(masquerade=_MASQUERADE[kind], first=first))
        yield Site(client, router, server)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _link(left: str, left_device: str, right: str, right_device: str) -> None:
    _ip(
        "link", "add", left_device, "netns", left, "type", "veth",
        "peer", "name", right_device, "netns", right,
    )  # fmt: skip


def _address(namespace: str, device: str, address: str) -> None:
    _ip("-n", namespace, "address", "add", address, "dev", device)
    _ip("-n", namespace, "link", "set", device, "up")
