"""DNS records and ports for a deployment with a domain, as this host sees them."""

from __future__ import annotations

from turnctl.coturn.rendering import Limits
from turnctl.coturn.versions import Version
from turnctl.deployment.installation import Installation
from turnctl.deployment.placement import Placement
from turnctl.deployment.relays import relays
from turnctl.setup.network import advice


def installation(domain: str, address: str) -> Installation:
    every = relays(3478, edge_port=3480)
    return Installation(
        version=Version(4, 18, 0),
        realm="signalpost",
        where=Placement((address,), None, "from a test."),
        relays=every,
        handed_out=every[0],
        limits=Limits(),
        http=("127.0.0.1", 8080),
        domain=domain,
        edge_http=80,
        edge_https=443,
    )


def test_a_name_that_points_here() -> None:
    """By this system's resolver. Later runs have nothing to say about it."""
    here = installation("localhost", "127.0.0.1")
    lines = [line for line in advice(here, full=True) if line.startswith("  A ")]
    assert ["  A     127.0.0.1        right"] == lines
    assert [] == [line for line in advice(here, full=False) if line.startswith("  A ")]


def test_a_name_that_is_missing() -> None:
    """The record to create is named on every run, the ports only on the first."""
    here = installation("nobody.invalid", "198.51.100.7")
    first, later = ("\n".join(advice(here, full=full)) for full in (True, False))
    assert "443/tcp" in first
    assert "can't be tested from this host" in first
    assert "443/tcp" not in later
    assert "198.51.100.7" in later
