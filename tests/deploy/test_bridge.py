"""compose.bridge.yaml, as Docker Desktop needs it: a network of Docker's own, published ports."""

from __future__ import annotations

from pathlib import Path

from tests.lab.composed import Composed
from tests.lab.deployment import wait_until
from tests.lab.docker import ROOT, Images, Project
from tests.lab.netns import SERVER
from tests.lab.prober import check

FILES = (ROOT / "compose.yaml", ROOT / "compose.bridge.yaml")


def test_it_carries_data(standing: Composed, tmp_path: Path) -> None:
    """From behind a NAT data goes through at most 100 published ports, and nothing else is wrong
    than that there is no TLS."""
    standing.down()  # it has the same ports
    override = tmp_path / "test.yaml"
    override.write_text("services: {probe: {healthcheck: {interval: 2s}}}")
    settings = {
        **standing.images.environment,
        "DOCKER_HOST": standing.engine,
        "EXTERNAL_IP": SERVER,
        "NO_STUN": "1",
        "PROBE_INTERVAL": "2",
    }
    project = Project("bridge", settings, (*FILES, override))
    site = standing.internet.join("port-restricted")
    with project.up():
        wait_until(
            lambda: project.health("probe") == "healthy",
            lambda: project.compose("logs").stdout,
        )
        done = check(f"http://{SERVER}:8080", inside=site.client)
        assert (0, {"no-tls-443"}) == (done.status, done.codes("fail", "warn")), done.report
        rows = done.report["urls"]
        relayed = [int(row["relayed"].rpartition(":")[2]) for row in rows if row.get("relayed")]
        assert relayed
        assert all(49160 <= port <= 49259 for port in relayed)
        published = project.inspect("coturn")["HostConfig"]["PortBindings"]
        turn = {"3478/udp", "3478/tcp"}
        assert {f"{port}/udp" for port in range(49160, 49260)} == published.keys() - turn


def test_it_says_what_it_needs(images: Images) -> None:
    """Without EXTERNAL_IP it names that instead of coming up half."""
    refused = Project("bridge", images.environment, FILES).compose("config", check=False)
    assert refused.returncode != 0
    assert "set EXTERNAL_IP to this machine's address" in refused.stderr


def test_it_leaves_the_edge_out(images: Images) -> None:
    """With a DOMAIN in .env, whose profile would start what needs the host's network."""
    named = {
        **images.environment,
        "EXTERNAL_IP": "192.0.2.1",
        "DOMAIN": "turn.example.org",
        "COMPOSE_PROFILES": "tls",
    }
    started = Project("bridge", named, FILES).compose("config", "--services").stdout
    assert {"init", "signal", "coturn", "probe"} == set(started.split())
