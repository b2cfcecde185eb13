"""Replies over UDP that not everybody would get: their TTL is too low, or they come from another
address than was asked.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from tests.lab import coturn, netns, prober
from tests.lab.matrix import fault
from tests.lab.prober import Checked, check, write_ice_servers
from tests.lab.soak import some

assert_only = partial(prober.assert_only, beside={"no-tls-443", "no-tcp-fallback"})

Family = Literal[4, 6]

ADDRESSES = {4: netns.SERVER, 6: netns.SERVER6}
FIELD = {4: "ip ttl", 6: "ip6 hoplimit"}


soak = pytest.mark.skipif(not os.environ.get("SOAK"), reason="one of the long tests: make soak")


def low_ttl(port: int, ttl: int, family: Family = 4) -> str:
    """Rules by which every UDP reply of that port leaves with this TTL."""
    table = "ip" if family == 4 else "ip6"
    return f"""
table {table} ttl {{
  chain output {{
    type filter hook output priority mangle
    udp sport {port} {FIELD[family]} set {ttl}
  }}
}}
"""


def low_ttl_once_authenticated(port: int, ttl: int = 1, family: Family = 4) -> str:
    """The same, from the first Allocate with credentials on, to whoever it is, as coturn 4.17 does.

    Without credentials an Allocate has 36 bytes, with them more than 100.
    """
    table = "ip" if family == 4 else "ip6"
    return f"""
table {table} ttl {{
  set low {{ type inet_service; flags dynamic; }}
  chain input {{
    type filter hook input priority filter
    udp dport {port} @th,64,16 0x0003 udp length > 100 add @low {{ udp dport }}
  }}
  chain output {{
    type filter hook output priority mangle
    udp sport @low {FIELD[family]} set {ttl}
  }}
}}
"""


def prove(
    site: netns.Site,
    rules: str,
    server: coturn.Server,
    tmp_path: Path,
    *options: str,
    transports: Sequence[Literal["udp", "tcp"]] = ("udp", "tcp"),
) -> Checked:
    """Check over these transports with the rules loaded in the server's namespace."""
    if rules:
        site.server.nft(rules)
    urls = [server.uri(transport) for transport in transports]
    path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
    return check(*options, path, inside=site.client)


def found(checked: Checked, code: str) -> str:
    """The summary of the one finding with this code."""
    [one] = [f for f in checked.report["findings"] if f["code"] == code]
    return str(one["summary"])


@pytest.mark.parametrize(("family", "version"), some(itertools.product((4, 6), coturn.VERSIONS)))
@fault("reply-ttl-low", "nft sets TTL or hop limit 2, one router away, IPv4 and IPv6")
def test_a_ttl_that_crosses_no_further_router(
    family: Family, version: coturn.Version, tmp_path: Path
) -> None:
    """As near as this the packets arrive: everything works, and for nobody further away."""
    with (
        netns.internet() as net,
        coturn.running(ADDRESSES[family], namespace=net.server.name, version=version) as server,
    ):
        site = net.join("no-nat")
        if family == 6:
            net.number(site.client, "2001:db8::50")
        checked = prove(site, low_ttl(server.port, 2, family), server, tmp_path)
    assert_only("reply-ttl-low", checked)
    assert ["fail", "pass"] == checked.verdicts()
    name = "TTL" if family == 4 else "hop limit"
    assert f"arrive with {name} 1:" in found(checked, "reply-ttl-low")


@pytest.mark.parametrize("version", coturn.VERSIONS)
@fault("reply-ttl-low", "nft sets TTL 2 from the first authenticated Allocate on, one router away")
def test_a_ttl_that_falls_with_the_first_allocation(
    version: coturn.Version, tmp_path: Path
) -> None:
    """The first replies are right, so the last ones are looked at as well."""
    with (
        netns.internet() as net,
        coturn.running(netns.SERVER, namespace=net.server.name, version=version) as server,
    ):
        rules = low_ttl_once_authenticated(server.port, 2)
        checked = prove(net.join("no-nat"), rules, server, tmp_path, transports=("udp",))
    assert_only("reply-ttl-low", checked)
    assert "TTL 1, the first ones with 63" in found(checked, "reply-ttl-low")


@pytest.mark.parametrize(
    ("ttl", "severity"),
    some([(4, "fail"), (11, "fail"), (64, ""), (23, "warn"), (255, ""), (12, "warn"), (27, "")]),
)
@fault("reply-ttl-low", "nft sets TTL 4 to 23, three routers away (from 12 on: warn)")
def test_ttls_that_arrive_through_three_routers(ttl: int, severity: str, tmp_path: Path) -> None:
    """What arrives tells what is left of it. A server that is forty routers away is healthy."""
    with (
        netns.site("carrier-grade") as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
    ):
        checked = prove(site, low_ttl(server.port, ttl), server, tmp_path)
    if severity:
        assert_only("reply-ttl-low", checked, severity)
        assert re.search(rf"\b{ttl - 3}\b", found(checked, "reply-ttl-low"))
    else:
        assert set() == checked.codes("fail", "warn") - {"no-tls-443"}


@pytest.mark.parametrize(("ttl", "version"), some(itertools.product((1, 2), coturn.VERSIONS)))
@fault(
    "reply-ttl-low",
    "nft sets TTL 1 or 2 from the first authenticated Allocate on, two routers away",
)
def test_replies_that_end_on_the_way(ttl: int, version: coturn.Version, tmp_path: Path) -> None:
    """401 arrives, the authenticated Allocate does not, nor does anything after it; TCP works."""
    with (
        netns.site("port-restricted") as site,
        coturn.running(site.server.address, namespace=site.server.name, version=version) as server,
    ):
        rules = low_ttl_once_authenticated(server.port, ttl)
        checked = prove(site, rules, server, tmp_path, "--timeout", "3")
    assert_only("reply-ttl-low", checked)
    assert ["fail", "pass"] == checked.verdicts()
    assert "while TCP still answers" in found(checked, "reply-ttl-low")


@soak
def test_replies_that_end_on_the_way_of_one_url(tmp_path: Path) -> None:
    """A UDP URL alone is enough: the check asks over TCP itself. So does every URL of the port."""
    with (
        netns.site("port-restricted") as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
    ):
        rules = low_ttl_once_authenticated(server.port)
        checked = prove(site, rules, server, tmp_path, "--timeout", "3", transports=("udp",))
        assert_only("reply-ttl-low", checked)
        site.server.nft("flush set ip ttl low")
        stun = f"stun:{server.host}:{server.port}"
        path = write_ice_servers(tmp_path / "ice.json", [server.uri(), stun], server.credential())
        both = check("--timeout", "3", path, inside=site.client)
    assert {"reply-ttl-low"} == both.codes("fail")


@pytest.mark.parametrize("hole", some(("input", "output")))
def test_an_allocate_that_alone_is_lost(hole: Literal["input", "output"], tmp_path: Path) -> None:
    """While Bindings are answered, no TTL is to blame."""
    with (
        netns.site("port-restricted") as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
    ):
        rule = f"udp dport {server.port} @th,64,16 0x0003 udp length > 100"
        if hole == "output":
            rule = f"udp sport {server.port} @th,64,16 0x0103"
        site.server.drop(rule, hole)
        checked = prove(site, "", server, tmp_path, "--timeout", "3")
    assert "reply-ttl-low" not in checked.codes()
    assert 1 == checked.status


@soak
def test_a_server_that_hangs_with_the_first_allocation(tmp_path: Path) -> None:
    """Silence over TCP as well is no matter of TTL."""
    with (
        netns.site("port-restricted") as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
    ):
        site.server.drop(f'iifname "eth0" tcp dport {server.port}')
        rules = low_ttl_once_authenticated(server.port)
        checked = prove(site, rules, server, tmp_path, "--timeout", "3")
    assert "reply-ttl-low" not in checked.codes()
    assert 1 == checked.status


# --- another address ---------------------------------------------------------------------------


@pytest.fixture
def everywhere() -> Iterator[netns.Site]:
    """A client without a NAT, with both families."""
    with netns.internet() as net:
        site = net.join("no-nat")
        net.number(site.client, "2001:db8::50")
        yield site


ANYWHERE = {4: "0.0.0.0", 6: "::"}
PICKED = {4: netns.SERVER, 6: netns.SECOND_SERVER6}
"""Of the server's two addresses the one that the kernel takes as the source on this link."""
ASKED = {4: netns.SECOND_SERVER, 6: netns.SERVER6}


@pytest.mark.parametrize(("family", "version"), some(itertools.product((4, 6), coturn.VERSIONS)))
@fault("reply-from-other-address", "listening-ip=0.0.0.0 or ::, asked at a second address")
def test_answers_from_another_address(
    everywhere: netns.Site, family: Family, version: coturn.Version, tmp_path: Path
) -> None:
    """The kernel picks the source, and not the address that was asked."""
    asked, answers = ASKED[family], PICKED[family]
    lines = [f"listening-ip={ANYWHERE[family]}"]
    with coturn.running(
        answers, lines=lines, namespace=everywhere.server.name, version=version
    ) as server:
        host = asked if family == 4 else f"[{asked}]"
        urls = [f"turn:{host}:{server.port}", f"turn:{host}:{server.port}?transport=tcp"]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check(path, inside=everywhere.client)
    assert_only("reply-from-other-address", checked)
    [one] = [f for f in checked.report["findings"] if f["code"] == "reply-from-other-address"]
    assert f"{answers} port {server.port}" == one["evidence"]["answersFrom"]
    assert f"listening-ip={asked} " in one["fix"]
