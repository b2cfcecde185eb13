"""Relays that work in part: a range half open, refreshes or checks that get lost, a slow path."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.lab import coturn, netns, prober
from tests.lab.matrix import fault
from tests.lab.names import names
from tests.lab.prober import GRACE, check, write_ice_servers
from turnctl.check.probes.relay import ECHO_PACKETS

LIST_ADVICE = {"no-tcp-fallback", "no-tls-443"}
"""What a list should offer besides: the lab's lists are short."""

assert_only = partial(prober.assert_only, beside=LIST_ADVICE)


@pytest.fixture
def site() -> Iterator[netns.Site]:
    with netns.site() as made:
        yield made


@pytest.mark.parametrize("version", coturn.VERSIONS)
@fault("relay-range-blocked", "nft lets 49152-50175 in, a sixteenth of the relay ports")
def test_a_relay_range_that_is_open_in_part(
    site: netns.Site, version: coturn.Version, tmp_path: Path
) -> None:
    """A firewall that was told of a thousand ports: those that are lost lie above."""
    own = site.server.name
    with coturn.running(site.server.address, port=3478, namespace=own, version=version) as server:
        site.server.drop('iifname "eth0" udp dport 50176-65535')
        path = write_ice_servers(tmp_path / "ice.json", [server.uri("tcp")], server.credential())
        checked = check(path, inside=site.client)
    assert_only("relay-range-blocked", checked)
    [found] = [one for one in checked.report["findings"] if one["severity"] == "fail"]
    evidence = found["evidence"]
    assert all(port >= 50176 for port in evidence["lostPorts"])
    assert all(port < 50176 for port in evidence["openPorts"])
    assert 6 == evidence["samples"] == sum(evidence["thirds"].values())
    assert 0.984 == evidence["confidence"]


@pytest.mark.parametrize("version", coturn.VERSIONS)
def test_the_samples_of_an_open_range(
    site: netns.Site, version: coturn.Version, tmp_path: Path
) -> None:
    """A healthy server's report says at how many ports it was sampled, and what that proves."""
    with coturn.running(site.server.address, namespace=site.server.name, version=version) as server:
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check(path, inside=site.client)
    assert set() == checked.codes("fail")
    over_udp, over_tcp = (url["relayPorts"] for url in checked.report["urls"])
    assert over_udp["samples"] in {6, 10, 14}
    assert [] == over_udp["lostPorts"]
    assert [49152, 65535] == over_udp["range"]
    met = [over_udp["thirds"][third] + over_tcp["thirds"][third] for third in ("low", "high")]
    assert over_udp["samples"] == 14 or all(met)
    assert 2 == over_tcp["samples"]


def test_samples_that_a_quota_refuses(site: netns.Site, tmp_path: Path) -> None:
    """What the check asks for beyond a call's needs is no reason to complain of a quota."""
    with coturn.running(
        site.server.address, namespace=site.server.name, lines=["user-quota=6"]
    ) as server:
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        checked = check("-v", path, inside=site.client)
    assert "label=sample" in checked.stderr
    assert "code=486" in checked.stderr
    assert set() == checked.codes("fail", "warn") - LIST_ADVICE
    assert ["connected", "connected"] == [
        "connected" if leg["outcome"] == "ok" else leg["detail"] for leg in checked.report["ice"]
    ]


@pytest.mark.parametrize(
    ("version", "relayed"), [("4.6.1", ["203.0.113.1"]), ("4.18.0", ["203.0.113.1", "2001:db8::1"])]
)
def test_both_families_at_once(version: coturn.Version, relayed: list[str], tmp_path: Path) -> None:
    """A host that relays over both is asked once for both: 4.18.0 gives both, 4.6.1 ignores it."""
    with netns.site("dual-stack") as site:
        four, six = site.server.address, site.server.address6
        lines = [f"listening-ip={six}", f"relay-ip={six}", f"allowed-peer-ip={six}"]
        with (
            coturn.running(
                four, namespace=site.server.name, version=version, lines=lines
            ) as server,
            names(site.client, "turn.lab.test", [four, str(six)]) as name,
        ):
            url = f"turn:{name}:{server.port}"
            path = write_ice_servers(tmp_path / "ice.json", [url], server.credential())
            checked = check(path, inside=site.client)
    assert set() == checked.codes("fail")
    [asked, other] = (one["dualAllocation"] for one in checked.report["urls"])
    assert other is None
    assert "ok" == asked["outcome"]
    assert relayed == [one.rpartition(":")[0].strip("[]") for one in asked["relayed"]]


# Methods of STUN stand after the eight bytes of a UDP header, the magic cookie four bytes later.


@fault("refresh-failed", "nft drops every Refresh over UDP")
def test_a_refresh_that_is_not_answered(site: netns.Site, tmp_path: Path) -> None:
    """Calls would end with the allocation's lifetime, though data passes now."""
    with coturn.running(site.server.address, namespace=site.server.name) as server:
        site.server.drop(f"udp dport {server.port} @th,64,16 0x0004")
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        checked = check("--timeout", "5", path, inside=site.client)
    assert_only("refresh-failed", checked)
    assert [ECHO_PACKETS] == [url["received"] for url in checked.report["urls"]]


@fault("ice-relay-failed", "nft drops STUN between relay ports, and lets all else pass (warn)")
def test_a_relay_that_loses_connectivity_checks(site: netns.Site, tmp_path: Path) -> None:
    """Data passes from relay to relay, and two ICE agents never hear of each other."""
    with coturn.running(site.server.address, namespace=site.server.name) as server:
        relays = "udp sport 49152-65535 udp dport 49152-65535"
        site.server.drop(f'oifname "lo" {relays} @th,96,32 0x2112a442', hook="output")
        path = write_ice_servers(tmp_path / "ice.json", [server.uri("tcp")], server.credential())
        checked = check("--timeout", "5", path, inside=site.client)
    assert_only("ice-relay-failed", checked, "warn")
    assert [ECHO_PACKETS] == [url["received"] for url in checked.report["urls"]]


@fault("deadline-reached", "nft drops ten of eleven requests: each is answered after 0.7 s")
def test_a_path_that_is_too_slow(site: netns.Site, tmp_path: Path) -> None:
    """Answers that come, each late, are no silence: the URL's time is what ended."""
    with coturn.running(site.server.address, namespace=site.server.name) as server:
        site.server.drop(f"udp dport {server.port} numgen inc mod 11 < 10")
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], server.credential())
        checked = check("--timeout", "4", path, inside=site.client)
    assert_only("deadline-reached", checked)
    assert checked.report["elapsedMs"] < (4 + GRACE) * 1000
