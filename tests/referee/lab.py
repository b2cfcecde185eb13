"""The network of the referee: servers, a router between them and the clients, both browsers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.lab import browser, coturn, firefox, forked, nats, netns
from tests.lab.certs import Authority
from tests.lab.names import hosts
from tests.lab.netns import Namespace
from tests.lab.parts import require
from tests.referee.configuration import NAMES
from tests.referee.server import Place
from tests.referee.trial import Clients

__all__ = ["built"]

FORWARDING = """
table ip forwarding {{
  chain prerouting {{
    type nat hook prerouting priority dstnat
    iifname "wan" meta l4proto {{ tcp, udp }} th dport 20000-60000 dnat to {inner}
  }}
}}
insert rule ip filter forward iifname "wan" ct status dnat accept
"""
"""What the router before a server forwards: every port of the corpus, but for those above."""


@contextlib.contextmanager
def built(directory: Path) -> Iterator[tuple[Place, Clients]]:
    """Servers' namespace, a server's home behind a router, and clients behind another router."""
    require("chromium", "firefox-esr", "certutil", "haproxy", "openssl", root=True)
    authority, stranger = (_authority(directory / name) for name in ("root", "stranger"))
    with contextlib.ExitStack() as stack:
        internet = stack.enter_context(netns.internet())
        site = internet.join("dual-stack")
        _make_symmetric(site)
        home = internet.join("port-restricted")
        home.router.nft(FORWARDING.format(inner=home.client.address))
        # Chromium looks names of UDP URLs up with a dot at the end, so that no domain is added.
        known = NAMES | {f"{name}.": addresses for name, addresses in NAMES.items()}
        for namespace in (site.client, internet.server):
            stack.enter_context(hosts(namespace, known))
        helper = stack.enter_context(_stun(internet.server))
        clients = Clients(
            stack.enter_context(forked.started(site.client, directory / "checks")),
            stack.enter_context(
                browser.scripted(site.client, directory / "chromium", root=authority.root)
            ),
            stack.enter_context(
                firefox.inside(site.client, directory / "firefox", root=authority.root)
            ),
            helper,
            authority.root,
        )
        yield Place(internet.server, home.client, authority, stranger), clients


def _make_symmetric(site: netns.Site) -> None:
    """Give the clients' router the strictest NAT: a peer's packets to a relayed address come from
    a port that nobody knew before, so they arrive only where the relay's ports are open. Behind any
    other NAT the relay's own first packet opens the firewall before it.
    """
    nat = nats.nat("symmetric", wan=site.router.address, client=site.client.address)
    site.router.nft("flush ruleset\n" + nat)
    site.router.nft(nats.firewall6())


def _authority(directory: Path) -> Authority:
    directory.mkdir()
    return Authority(directory)


@contextlib.contextmanager
def _stun(namespace: Namespace) -> Iterator[str]:
    """A healthy server, for the peer that has no relay."""
    with coturn.running(
        netns.SECOND_SERVER, namespace=namespace.name, port=19_000, version="4.18.0"
    ) as server:
        yield f"stun:{server.host}:{server.port}"
