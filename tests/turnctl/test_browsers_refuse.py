"""Servers that work for everybody but a browser, each injected and found as the only cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import coturn, netns
from tests.lab.certs import Authority
from tests.lab.matrix import fault
from tests.lab.prober import assert_only, check
from tests.referee import certificates

STATIC = ["lt-cred-mech", "user=alice:gehäim"]


@pytest.mark.parametrize("kind", ["ed25519", "p521", "authority-as-server", "key-agreement-alone"])
@fault("tls-certificate-unfit", "an Ed25519 or P-521 key, CA:TRUE, no digitalSignature")
def test_a_certificate_that_browsers_refuse(
    kind: str, own_address: str, authority: Authority, tmp_path: Path
) -> None:
    """OpenSSL takes it, and Chromium or Firefox does not."""
    made = certificates.make(kind, authority, authority, tmp_path, host=own_address)
    with coturn.running(own_address, tls=made, version="4.18.0") as server:
        credential = server.credential()
        login = ["--username", credential.username, "--credential", credential.password]
        checked = check("--ca", str(authority.root), *login, server.uri("tls"))
    assert_only("tls-certificate-unfit", checked)


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("realm-too-long", ["realm=" + 128 * "r"]),
        ("allocation-lifetime-short", ["max-allocate-lifetime=10"]),
        ("relay-port-low", ["min-port=850", "max-port=900"]),
    ],
)
@fault("realm-too-long", "a realm of 128 characters")
@fault("allocation-lifetime-short", "max-allocate-lifetime=10")
@fault("relay-port-low", "relay ports from 850 to 900")
def test_a_line_that_a_browser_cannot_live_with(
    code: str, lines: list[str], own_address: str
) -> None:
    """Each works for the check itself."""
    with coturn.running(own_address, lines=lines, version="4.18.0") as server:
        credential = server.credential()
        login = ["--username", credential.username, "--credential", credential.password]
        assert_only(code, check(*login, server.uri()))


@fault("credential-not-ascii", "a password with an umlaut")
def test_a_password_with_an_umlaut(own_address: str) -> None:
    """The server takes it, and Firefox does not send it."""
    with coturn.running(own_address, lines=STATIC, auth=False) as server:
        checked = check("--username", "alice", "--credential", "gehäim", server.uri())
    assert_only("credential-not-ascii", checked)


@pytest.mark.parametrize("version", coturn.VERSIONS)
@fault("relay-ipv6-only", "coturn on IPv6 alone, with its default family of relays")
def test_relays_of_ipv6_alone(version: coturn.Version) -> None:
    """Asked for a relay of no family, as browsers do, it has none."""
    ipv4 = "allocation-default-address-family=ipv4"
    with (
        netns.site("dual-stack") as site,
        coturn.running(
            netns.SERVER6, namespace=site.server.name, lines=[ipv4], version=version
        ) as server,
    ):
        credential = server.credential()
        login = ["--username", credential.username, "--credential", credential.password]
        checked = check(*login, server.uri(), inside=site.client)
    assert_only("relay-ipv6-only", checked)
