"""Two faults at once: both when they can be told apart, the first in the chain otherwise."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import pytest

from signalpost.credentials import Secret, mint
from tests.lab import coturn, netns
from tests.lab.certs import Authority
from tests.lab.prober import check, write_ice_servers


def drop(site: netns.Site, rule: str) -> None:
    """A firewall in front of the server."""
    chain = "type filter hook input priority filter"
    site.server.nft(f"table inet firewall {{\n chain input {{\n {chain}\n {rule} drop\n }}\n}}")


def test_an_expired_certificate_and_a_closed_range(authority: Authority, tmp_path: Path) -> None:
    """TLS breaks on one URL, the relay ports are closed on the other: both are told."""
    with netns.site() as site:
        address = site.server.address
        certificate = authority.issue([address], ends=dt.timedelta(days=-1))
        lines = ["min-port=20000", "max-port=20100"]
        with coturn.running(
            address, tls=certificate, lines=lines, namespace=site.server.name
        ) as server:
            drop(site, 'iifname "eth0" udp dport 20000-20100')
            urls = [server.uri("udp"), server.uri("tls")]
            path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
            checked = check("--ca", str(authority.root), path, inside=site.client)
    assert {"tls-expired", "relay-range-blocked"} == checked.codes("fail")


def test_a_blocked_transport_and_a_wrong_secret(tmp_path: Path) -> None:
    """TCP is closed and UDP refuses the credential: each URL tells its own."""
    with (
        netns.site() as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
    ):
        drop(site, f'iifname "eth0" tcp dport {server.port}')
        wrong = mint([Secret("another-secret-than-coturns")], "lab", now=time.time(), ttl=600)
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(tmp_path / "ice.json", urls, wrong)
        checked = check("--timeout", "2", path, inside=site.client)
    assert {"tcp-blocked", "secret-mismatch"} == checked.codes("fail")


@pytest.mark.parametrize("lines", [["denied-peer-ip=::", "user-quota=1"]])
def test_faults_behind_one_another(own_address: str, lines: list[str], tmp_path: Path) -> None:
    """Where the first hides the second, only what was seen is told."""
    with coturn.running(own_address, lines=lines) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        found = check(path).codes("fail")
    assert found
    assert found <= {"quota-user", "permission-refused"}


def test_a_black_hole_holds_up_nobody(tmp_path: Path) -> None:
    """Beside a URL that swallows everything the others pass, within the timeout and a half."""
    with (
        netns.site() as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
    ):
        drop(site, "ip daddr 203.0.113.2")
        hole = f"turn:{site.second_server_address}:3478"
        urls = [server.uri("udp"), server.uri("tcp"), hole]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check("--timeout", "3", path, inside=site.client)
    assert ["warn", "pass", "fail"] == checked.verdicts()
    assert [20, 20, 0] == [url["received"] for url in checked.report["urls"]]
    assert checked.report["elapsedMs"] < 3_500
