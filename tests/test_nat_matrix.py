"""A healthy server is found healthy from behind every NAT, and peers behind NATs connect as theory
says. One internet with a site of every kind serves all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.lab import coturn, meetings, nats, netns
from tests.lab.certs import Authority
from tests.lab.coturn import Server, Version
from tests.lab.meetings import Meeting
from tests.lab.netns import Kind, Site
from tests.lab.prober import check, write_ice_servers

ROOT = Path(__file__).parents[1]
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
    carrying = [url for url in checked.report["urls"] if 0 < url["received"] == url["sent"]]
    assert len(urls(server, site)) - BLOCKED.get(kind, 0) == len(carrying)


# --- NAT × NAT ---------------------------------------------------------------------------------

# What theory says, d for direct and r for relay, in the order of KINDS. A direct path needs one
# side whose mapping does not depend on the peer, and that lets in what the other side's mapping
# sends: only a symmetric NAT facing one that filters by port (or another symmetric one) has none.
# IPv6 alone meets IPv6; with everybody else it takes a relay with an IPv4 address.
THEORY: Mapping[Kind, str] = {
    "no-nat": "d d d d d d r r d r",
    "full-cone": "d d d d d d r r d r",
    "address-restricted": "d d d d d d r r d r",
    "port-restricted": "d d d d r d r r d r",
    "symmetric": "d d d r r r r r r r",
    "carrier-grade": "d d d d r d r r d r",
    "udp-blocked": "r r r r r r r r r r",
    "only-80-443": "r r r r r r r r r r",
    "dual-stack": "d d d d r d r r d d",
    "ipv6-only": "r r r r r r r r d d",
}


def test_peers_behind_nats_meet_as_theory_says(
    record_property: Callable[[str, object], None],
) -> None:
    """Each pair of NATs connects, direct where it can be and by relay otherwise; docs say so."""
    words: Mapping[str, Meeting] = {"d": "direct", "r": "relay"}
    expected = {
        (row, column): words[letter]
        for row, letters in THEORY.items()
        for column, letter in zip(netns.KINDS, letters.split(), strict=True)
    }
    assert expected == {(column, row): met for (row, column), met in expected.items()}
    measured = meetings.measure()
    record_property("NAT matrix", meetings.render(measured))
    assert {pair: expected[pair] for pair in measured} == measured
    assert len(netns.KINDS) * (len(netns.KINDS) + 1) // 2 == len(measured)
    assert meetings.render(measured) == (ROOT / "docs" / "nat-matrix.md").read_text()


def test_the_page_about_the_lab_names_every_kind() -> None:
    """docs/lab.md describes each kind in the lab's own words."""
    page = (ROOT / "docs" / "lab.md").read_text()
    rows = [f"| `{kind}` | {nats.DESCRIPTIONS[kind]} |" for kind in netns.KINDS]
    assert [] == [row for row in rows if row not in page]
