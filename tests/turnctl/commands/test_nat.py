"""`turnctl nat` as it is typed, and a real coturn seen through every NAT of the lab."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.lab import coturn, netns
from tests.lab.coturn import Version
from tests.lab.netns import Internet, Kind, Site
from tests.lab.prober import TURNCTL
from tests.lab.responders import issuer
from turnctl.diagnosis.nat import Filtering
from turnctl.diagnosis.nat import Mapping as NatMapping

EXPECTED: Mapping[Kind, tuple[NatMapping, Filtering, bool | None]] = {
    "no-nat": (NatMapping.NONE, Filtering.ENDPOINT_INDEPENDENT, None),
    "full-cone": (NatMapping.ENDPOINT_INDEPENDENT, Filtering.ENDPOINT_INDEPENDENT, True),
    "address-restricted": (NatMapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_DEPENDENT, False),
    "port-restricted": (
        NatMapping.ENDPOINT_INDEPENDENT,
        Filtering.ADDRESS_AND_PORT_DEPENDENT,
        False,
    ),
    "symmetric": (
        NatMapping.ADDRESS_AND_PORT_DEPENDENT,
        Filtering.ADDRESS_AND_PORT_DEPENDENT,
        False,
    ),
    "carrier-grade": (
        NatMapping.ENDPOINT_INDEPENDENT,
        Filtering.ADDRESS_AND_PORT_DEPENDENT,
        False,
    ),
    "udp-blocked": (NatMapping.UNKNOWN, Filtering.UNKNOWN, None),
    "only-80-443": (NatMapping.UNKNOWN, Filtering.UNKNOWN, None),
    "dual-stack": (NatMapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT, False),
    "ipv6-only": (NatMapping.NONE, Filtering.ADDRESS_AND_PORT_DEPENDENT, None),
}

PORT = 3478
FIRST, SECOND = "203.0.113.1", "203.0.113.2"
FIRST6, SECOND6 = "2001:db8::1", "2001:db8::2"
URIS = [f"stun:{FIRST}:{PORT}", f"stun:[{FIRST6}]:{PORT}"]


@pytest.fixture(scope="module")
def internet() -> Iterator[Internet]:
    with netns.internet() as made:
        yield made


@pytest.fixture(scope="module")
def sites(internet: Internet) -> Mapping[Kind, Site]:
    return {kind: internet.join(kind) for kind in netns.KINDS}


def read(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    """The exit status and the JSON report of a `turnctl nat` that was started."""
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode in (0, 1), stderr
    return process.returncode, json.loads(stdout)


def nat(*arguments: str, inside: Site | None = None) -> subprocess.CompletedProcess[str]:
    argv = [TURNCTL, "nat", *arguments]
    if inside is not None:
        return inside.run(argv)
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("version", coturn.VERSIONS)
def test_every_nat_of_the_lab(
    internet: Internet, sites: Mapping[Kind, Site], version: Version
) -> None:
    """A coturn with two addresses tells mapping, filtering and hairpin of each NAT, all at once."""
    lines = [f"listening-ip={address}" for address in (SECOND, FIRST6, SECOND6)]
    lines += ["rfc5780"] if version == "4.18.0" else []
    with coturn.running(
        FIRST, lines=lines, port=PORT, namespace=internet.server.name, version=version
    ):
        started = {
            kind: site.popen([TURNCTL, "nat", "--format", "json", *URIS])
            for kind, site in sites.items()
        }
        done = {kind: read(process) for kind, process in started.items()}
    found = {
        (kind, family["family"]): (family["mapping"], family["filtering"], family["hairpin"])
        for kind, (_, report) in done.items()
        for family in report["families"]
        if "mapping" in family
    }
    firewalled = EXPECTED["ipv6-only"]
    expected = {(kind, site.families[0]): EXPECTED[kind] for kind, site in sites.items()}
    assert {**expected, ("dual-stack", 6): firewalled} == found
    blocked = {"udp-blocked", "only-80-443"}
    assert {kind: int(kind in blocked) for kind in sites} == {k: s for k, (s, _) in done.items()}
    mapped = done["full-cone"][1]["families"][0]["mapped"]
    assert sites["full-cone"].router.address == mapped.rpartition(":")[0]


@pytest.mark.parametrize(
    ("kind", "mapping"),
    [("port-restricted", "endpoint-independent"), ("symmetric", "endpoint-dependent")],
)
def test_two_servers_without_rfc5780(
    internet: Internet, sites: Mapping[Kind, Site], kind: Kind, mapping: str, tmp_path: Path
) -> None:
    """Two plain servers tell the mapping; the filtering stays unknown. A list names both."""
    where = {"port": PORT, "lines": ["no-rfc5780"], "namespace": internet.server.name}
    listed = {"urls": [f"turn:{FIRST}?transport=tcp", f"turns:{SECOND}:443"], "username": "u"}
    path = tmp_path / "ice.json"
    path.write_text(json.dumps({"iceServers": [{**listed, "credential": "c"}]}))
    with coturn.running(FIRST, **where), coturn.running(SECOND, **where):  # type: ignore[arg-type]
        quick = ["--timeout", "1"]
        done = nat("--format", "json", str(path), *quick, inside=sites[kind])
        alone = nat(f"turn:{FIRST}", *quick, inside=sites[kind])
        both = [f"--stun=stun:{FIRST}", f"--stun=stun:{SECOND}"]
        repeated = nat(*both, *quick, inside=sites[kind])
    report = json.loads(done.stdout)
    (family,) = (one for one in report["families"] if "mapping" in one)
    assert "signalpost.nat/1" == report["schema"]
    assert ("two-servers", mapping, "unknown") == (
        family["method"],
        family["mapping"],
        family["filtering"],
    )
    assert (0, 0, 1) == (done.returncode, repeated.returncode, alone.returncode)
    assert f"mapping    {mapping}" in repeated.stdout
    assert "Name a second one with --stun" in alone.stdout


def test_another_address_that_does_not_answer(
    internet: Internet, sites: Mapping[Kind, Site]
) -> None:
    """A firewall before the server's second address is not taken for the NAT's filtering."""
    internet.server.nft(
        f"""
table inet closed {{
  chain input {{
    type filter hook input priority filter
    ip daddr {SECOND} drop
  }}
  chain output {{
    type filter hook output priority filter
    ip saddr {SECOND} drop
  }}
}}
"""
    )
    lines = [f"listening-ip={SECOND}"]
    try:
        with coturn.running(FIRST, lines=lines, port=PORT, namespace=internet.server.name):
            done = nat("--format", "json", URIS[0], inside=sites["full-cone"])
    finally:
        internet.server.nft("delete table inet closed")
    family = json.loads(done.stdout)["families"][0]
    assert (1, "unknown", "unknown") == (done.returncode, family["mapping"], family["filtering"])


# --- the command line --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["ftp://example.org"], 2, "ftp:// is unknown"),
        (["stun:1.2.3"], 2, "not an IPv4 address"),
        (["--stun", "http://example.org"], 2, "must begin with stun:"),
        (["--timeout", "0", "stun:127.0.0.1"], 2, "not a number of seconds from 0.5 to 120"),
        (["--ca", "/nonexistent", "stun:127.0.0.1"], 2, "--ca /nonexistent"),
        (["stun:nowhere.invalid"], 3, "no address of nowhere.invalid"),
        (["--family", "6", "stun:127.0.0.1"], 3, "no address of 127.0.0.1"),
        (["http://127.0.0.1:1"], 3, "(Connection refused). Start the service"),
    ],
)
def test_what_cannot_be_asked(arguments: Sequence[str], status: int, said: str) -> None:
    """Wrong usage ends with 2, no server to ask with 3, and each in one line."""
    done = nat(*arguments)
    assert (status, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    assert said in done.stderr


def test_a_service_hands_out_the_servers(own_address: str) -> None:
    """The TARGET may be a service, as for check; its malformed URLs are check's business."""
    with coturn.running(own_address) as server:
        urls = ["turn://nonsense", server.uri()]
        listed = {"iceServers": [{"urls": urls, "username": "u", "credential": "c"}]}
        with issuer(json.dumps(listed).encode()) as url:
            done = nat("--format", "json", url)
    families = {one["family"]: one for one in json.loads(done.stdout)["families"]}
    assert f"{server.host}:{server.port}" == families[4]["answers"][0]["asked"]
    assert "skipped" in families[6]


def test_a_service_that_refuses() -> None:
    """Its status and its own words are told."""
    with issuer(b'{"detail": "not today"}', status=403) as url:
        done = nat(url)
    assert (3, "") == (done.returncode, done.stdout)
    assert "HTTP 403: not today" in done.stderr
