"""Two faults at once: both when they can be told apart, the first in the chain otherwise, and never
a third.
"""

from __future__ import annotations

import datetime as dt
import itertools
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from signalpost.credentials import Secret, mint
from tests.lab import coturn, netns
from tests.lab.certs import Authority
from tests.lab.prober import GRACE, check, write_ice_servers
from turnctl.check.probes.relay import ECHO_PACKETS

RELAYS = range(20_000, 20_101)
TO_RELAYS = f'iifname "eth0" udp dport {RELAYS[0]}-{RELAYS[-1]}'
RELAY_TO_RELAY = 'iifname "lo" udp sport 20000-20100 udp dport 20000-20100'


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How one is made: lines of turnserver.conf, rules of a firewall, a wrong credential."""

    lines: tuple[str, ...] = ()
    drops: str = ""
    secret: str = ""
    age: float = 0
    """Seconds since the credential was issued for ten minutes."""
    certificate: dt.timedelta = dt.timedelta(days=30)
    last_port: int = RELAYS[-1]
    own_peer: bool = True
    ttl: int = 64
    """Of the server's replies over UDP; there is one router between."""


FAULTS: Mapping[str, Fault] = {
    "udp-blocked": Fault(drops='iifname "eth0" ip daddr 203.0.113.1 udp dport 3478'),
    "tcp-blocked": Fault(drops='iifname "eth0" tcp dport 3478'),
    "reply-ttl-low": Fault(ttl=2),
    "tls-expired": Fault(certificate=dt.timedelta(days=-1)),
    "srflx-missing": Fault(lines=("no-stun",)),
    "secret-mismatch": Fault(secret="another-secret-than-coturns"),
    "credential-expired": Fault(age=1000),
    "quota-user": Fault(lines=("user-quota=1",)),
    "relay-ports-exhausted": Fault(last_port=RELAYS[0]),
    "relay-address-private": Fault(lines=("external-ip=10.50.0.1",)),
    "permission-refused": Fault(lines=("denied-peer-ip=::",)),
    "own-relay-refused": Fault(lines=("denied-peer-ip=203.0.113.1",), own_peer=False),
    "relay-address-wrong": Fault(lines=("external-ip=203.0.113.99",)),
    "relay-range-blocked": Fault(drops=TO_RELAYS),
    "relay-data-lost": Fault(drops=RELAY_TO_RELAY),
    "refresh-failed": Fault(drops="udp dport 3478 @th,64,16 0x0004"),
}
"""In the order in which a connection meets them."""

EXCLUSIVE = (
    {"relay-range-blocked", "relay-data-lost"},
    {"relay-address-private", "relay-address-wrong"},
    {"permission-refused", "own-relay-refused"},
    {"secret-mismatch", "credential-expired"},
)
"""Pairs that are one: the same line twice, a secret that is wrong whatever the time, a firewall
that closes the relay ports to everybody, the relay included."""


LEAVE_A_WAY = {
    "tcp-blocked",
    "reply-ttl-low",
    "tls-expired",
    "srflx-missing",
    "relay-range-blocked",
}
"""Those beside which every later one shows."""


def pairs() -> list[tuple[str, str]]:
    """All in `make soak`, each fault with its next but one otherwise."""
    names = list(FAULTS)
    everyone = list(itertools.combinations(names, 2))
    if not os.environ.get("SOAK"):
        everyone = [(one, other) for one, other in zip(names, names[2:] + names[:2], strict=True)]
    return [pair for pair in everyone if set(pair) not in EXCLUSIVE]


@pytest.fixture(scope="module")
def site() -> Iterator[netns.Site]:
    with netns.site("no-nat") as made:
        yield made


@pytest.fixture(scope="module")
def reference(site: netns.Site) -> Iterator[str]:
    """The URI of an independent STUN server."""
    with coturn.running(site.second_server_address, namespace=site.server.name) as server:
        yield f"stun:{server.host}:{server.port}"


def firewall(faults: list[Fault]) -> str:
    """What the server's machine drops on its way in, and with which TTL it answers."""
    rules = [f"{fault.drops} drop" for fault in faults if fault.drops]
    chain = ["chain input {", "type filter hook input priority filter", *rules, "}"]
    ttl = f"udp sport 3478 ip ttl set {min(fault.ttl for fault in faults)}"
    chain += ["chain output {", "type filter hook output priority mangle", ttl, "}"]
    return "\n".join(["table inet faults {", *chain, "}", ""])


@pytest.mark.parametrize("pair", pairs(), ids=" and ".join)
def test_two_faults(
    pair: tuple[str, str], site: netns.Site, reference: str, authority: Authority, tmp_path: Path
) -> None:
    """The first in the chain is told, the other where it shows beside it, and nothing else."""
    faults = [FAULTS[name] for name in pair]
    ends = min(fault.certificate for fault in faults)
    ports = (f"min-port={RELAYS[0]}", f"max-port={min(fault.last_port for fault in faults)}")
    address = site.server.address
    with coturn.running(
        address,
        port=3478,
        tls=authority.issue([address], ends=ends),
        tls_port=443,
        lines=[*ports, *(line for fault in faults for line in fault.lines)],
        own_peer=all(fault.own_peer for fault in faults),
        namespace=site.server.name,
    ) as server:
        secret = next(filter(None, (fault.secret for fault in faults)), server.secret)
        issued = time.time() - max(fault.age for fault in faults)
        credential = mint([Secret(secret)], "lab", now=issued, ttl=600)
        urls = [server.uri("udp"), server.uri("tcp"), server.uri("tls")]
        path = write_ice_servers(tmp_path / "ice.json", urls, credential)
        options = ["--timeout", "6", "--ca", str(authority.root), "--stun-echo", reference]
        site.server.nft(firewall(faults))
        try:
            checked = check(*options, path, inside=site.client)
        finally:
            site.server.nft("delete table inet faults")
    first, second = sorted(pair, key=list(FAULTS).index)
    found = checked.codes("fail", "warn") - {"tls-ip-literal"}  # the lab's certificate
    assert first in found, checked.report["findings"]
    assert second in found or first not in LEAVE_A_WAY, checked.report["findings"]
    assert set() == found - set(pair), checked.report["findings"]


def test_a_black_hole_holds_up_nobody(tmp_path: Path) -> None:
    """Beside a URL that swallows everything the others pass, and the check ends with its time."""
    with (
        netns.site() as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
    ):
        site.server.drop('iifname "eth0" ip daddr 203.0.113.2')
        hole = f"turn:{site.second_server_address}:3478"
        urls = [server.uri("udp"), server.uri("tcp"), hole]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        checked = check("--timeout", "8", path, inside=site.client)
    assert ["pass", "pass", "fail"] == checked.verdicts()
    assert [ECHO_PACKETS, ECHO_PACKETS, 0] == [url["received"] for url in checked.report["urls"]]
    assert checked.report["elapsedMs"] < (8 + GRACE) * 1000
