"""`docker compose up` on the ports of a real host, and a client that is not next door: every UDP
packet between them crosses two routers, which is where coturn 4.17 is of no use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.composed import Composed
from tests.lab.deployment import DOMAIN, wait_until
from tests.lab.names import names
from tests.lab.netns import SERVER, Site
from tests.lab.prober import Checked, check
from turnctl.coturn.versions import FIRST_SAFE

RELAYS = [
    f"turn:{DOMAIN}:3478?transport=udp",
    f"turn:{DOMAIN}:3478?transport=tcp",
    f"turns:{DOMAIN}:443?transport=tcp",
]
# As coturn 4.17.1 does it: from the first Allocate with credentials on (without them it has 36
# bytes, with them more than 100), whoever asks.
ONCE_AUTHENTICATED = """
table ip ttl {
  set low { type inet_service; flags dynamic; }
  chain input {
    type filter hook input priority filter
    udp dport 3478 @th,64,16 0x0003 udp length > 100 add @low { udp dport }
  }
  chain output {
    type filter hook output priority mangle
    udp sport @low ip ttl set 1
  }
}
"""


@pytest.fixture(scope="module", params=["port-restricted", "carrier-grade"])
def client(standing: Composed, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Two routers away, and three."""
    site = standing.internet.join(request.param)
    with names(site.client, DOMAIN, [SERVER]):
        yield site


@pytest.fixture
def known(composed: Composed, tmp_path: Path) -> list[str]:
    """What a check is given: the edge's certificate, to be trusted, and the service's key."""
    (tmp_path / "edge.pem").write_text(composed.certificate)
    key = tmp_path / "api-key"
    key.touch(mode=0o600)
    key.write_text(composed.project.compose("exec", "-T", "signal", "cat", "api-key").stdout)
    return ["--ca", str(tmp_path / "edge.pem"), "--api-key-file", str(key)]


def checked(site: Site, known: list[str]) -> Checked:
    """Everything that the service hands out."""
    return check(*known, f"https://{DOMAIN}", inside=site.client)


def test_what_runs_is_what_is_pinned(composed: Composed) -> None:
    """The coturn that the suite runs has the version that compose.yaml names."""
    said = composed.project.compose("exec", "-T", "coturn", "turnserver", "--version").stdout
    assert str(FIRST_SAFE) == said.strip()


def test_every_way_carries_data(composed: Composed, client: Site, known: list[str]) -> None:
    """UDP, TCP and TLS pass, and nothing is wrong."""
    done = checked(client, known)
    assert (0, set()) == (done.status, done.codes("fail", "warn")), done.report["findings"]
    rows = [row for row in done.report["urls"] if row["family"] == 4]
    relays = {row["url"]: row for row in rows if row["url"] in RELAYS}
    assert RELAYS == sorted(relays, key=RELAYS.index)
    assert {"pass"} == {row["verdict"] for row in relays.values()}
    assert all(0 < row["sent"] == row["received"] for row in relays.values())
    assert {client.router.address} == {row["mapped"].split(":")[0] for row in relays.values()}


def test_a_ttl_of_one_is_named(composed: Composed, client: Site, known: list[str]) -> None:
    """401 arrives over UDP, and nothing from the first allocation on: the cause is named, and TCP
    and TLS go on."""
    client.server.nft(ONCE_AUTHENTICATED)
    try:
        done = checked(client, known)
    finally:
        client.server.nft("delete table ip ttl")
    assert {"reply-ttl-low"} == done.codes("fail"), done.report["findings"]
    verdicts = {row["url"]: row["verdict"] for row in done.report["urls"] if row["family"] == 4}
    assert ["fail", "pass", "pass"] == [verdicts[url] for url in RELAYS]


def test_a_ttl_of_one_is_named_on_the_host(composed: Composed) -> None:
    """There is no router between a host and itself: its own check reads the TTL."""
    server = composed.internet.server
    server.send_with_ttl(1)
    try:
        url = f"turn:{SERVER}:3478?transport=udp"
        secret = "--secret-file=/var/lib/signalpost/turn-secret"
        done = composed.project.compose(
            "exec", "-T", "signal", "turnctl", "check", secret, url, check=False
        )
        assert (1, True) == (done.returncode, "FAIL  reply-ttl-low" in done.stdout)
    finally:
        server.nft("delete table ip ttl")


@pytest.mark.parametrize("client", ["port-restricted"], indirect=True)
def test_a_version_that_cannot_answer_is_refused(
    composed: Composed, client: Site, known: list[str]
) -> None:
    """`up` with COTURN_VERSION=4.17.1 ends with one line of init, and no relay runs; with the
    pinned version it comes up again."""
    other = {**composed.project.environment, "COTURN_VERSION": "4.17.1"}
    refused = replace(composed.project, environment=other)
    done = refused.compose("up", "--detach", "--no-build", check=False)
    assert 0 != done.returncode
    said = refused.compose("logs", "--no-log-prefix", "--tail", "2", "init").stdout.splitlines()
    (line,) = [line for line in said if "4.17.1" in line]
    assert said[-1] == line
    assert "coturn 4.17.1 is broken: UDP replies leave with an IP TTL of 1" in line
    assert line.endswith("Use coturn 4.18.0 or later (--coturn-version or COTURN_VERSION)")
    assert "coturn" not in refused.compose("ps", "--services", "--status", "running").stdout
    composed.project.compose("up", "--detach", "--no-build")
    wait_until(
        lambda: 0 == checked(client, known).status,
        lambda: composed.project.compose("logs").stdout,
    )
