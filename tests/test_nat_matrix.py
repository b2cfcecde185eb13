"""A healthy server is found healthy from behind every NAT, and peers behind NATs connect as theory
says. One internet with a site of every kind serves all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.lab import coturn, netns
from tests.lab.certs import Authority
from tests.lab.coturn import Server, Version
from tests.lab.netns import Kind, Site
from tests.lab.prober import check, write_ice_servers

ADDRESSES: Mapping[Version, tuple[str, str]] = {
    "4.6.1": ("203.0.113.1", "2001:db8::1"),
    "4.18.0": ("203.0.113.2", "2001:db8::2"),
}
"""Each version's addresses, IPv4 and IPv6."""


@pytest.fixture(scope="module")
def sites() -> Iterator[Mapping[Kind, Site]]:
    with netns.internet() as internet:
        yield {kind: internet.join(kind) for kind in netns.KINDS}


@pytest.fixture(scope="module", params=coturn.VERSIONS)
def server(
    request: pytest.FixtureRequest, sites: Mapping[Kind, Site], authority: Authority
) -> Iterator[Server]:
    """A coturn for both families, over UDP, TCP, and TLS on 443."""
    version: Version = request.param
    address, address6 = ADDRESSES[version]
    with coturn.running(
        address,
        lines=[f"{key}={address6}" for key in ("listening-ip", "relay-ip", "allowed-peer-ip")],
        tls=authority.issue([address, address6]),
        port=3478,
        tls_port=443,
        namespace=sites["no-nat"].server.name,
        version=version,
    ) as running:
        yield running


def urls(server: Server, site: Site) -> list[str]:
    """Every way to the server that the site's families have."""
    address6 = next(six for four, six in ADDRESSES.values() if four == server.host)
    hosts = {4: server.host, 6: f"[{address6}]"}
    return [
        url
        for family in site.families
        for host in [hosts[family]]
        for url in (
            f"turn:{host}:{server.port}?transport=udp",
            f"turn:{host}:{server.port}?transport=tcp",
            f"turns:{host}:{server.tls_port}?transport=tcp",
        )
    ]


BLOCKED: Mapping[Kind, int] = {"udp-blocked": 1, "only-80-443": 2}
"""How many URLs, of those above, the site's own network keeps it from."""


@pytest.mark.parametrize("kind", netns.KINDS)
def test_a_healthy_server_has_no_failing_finding(
    kind: Kind,
    server: Server,
    sites: Mapping[Kind, Site],
    authority: Authority,
    tmp_path: Path,
) -> None:
    """Over UDP, TCP and TLS, whatever the NAT: what the network lets through carries data."""
    site = sites[kind]
    path = write_ice_servers(tmp_path / "ice.json", urls(server, site), server.credential())
    checked = check("--timeout", "3", "--ca", str(authority.root), path, inside=site.client)
    assert (0, set()) == (checked.status, checked.codes("fail")), checked.report["findings"]
    carrying = [url for url in checked.report["urls"] if url["received"] == 20]
    assert len(urls(server, site)) - BLOCKED.get(kind, 0) == len(carrying)
