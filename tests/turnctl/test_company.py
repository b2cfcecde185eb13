"""Real lists with dead, silent and refusing URLs beside good ones: each URL is judged as alone."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import coturn, netns
from tests.lab.matrix import fault
from tests.lab.prober import Checked, check, write_ice_servers
from turnctl.diagnosis.rules import LIST_WIDE

SOAK = bool(os.environ.get("SOAK"))
ORDERS = 20 if SOAK else 3
TIMEOUT = "6"
"""Seconds a URL: with fewer a busy machine passes for a silent server."""
AT_ONCE = 5
"""Checks beside each other: they wait more than they work."""

DEAD, SILENT_PORT = 20999, 20998
"""Ports of the server's host: one that refuses, one that a firewall drops."""

RELAYS = "40000-40100"


@dataclass(frozen=True, slots=True)
class Place:
    """A server whose firewall closes the relay ports, and URLs beside its good ones."""

    site: netns.Site
    server: coturn.Server
    directory: Path

    @property
    def good(self) -> list[str]:
        return [self.server.uri("udp"), self.server.uri("tcp")]

    @property
    def bad(self) -> list[str]:
        host, elsewhere = self.server.host, self.site.second_server_address
        return [
            f"turn:{host}:{DEAD}?transport=udp",
            f"turn:{host}:{DEAD}?transport=tcp",
            f"turn:{host}:{SILENT_PORT}?transport=udp",
            f"turn:{host}:{SILENT_PORT}?transport=tcp",
            f"turns:{host}:{DEAD}",
            f"stun:{host}:{SILENT_PORT}",
            f"turn:{elsewhere}:{SILENT_PORT}?transport=udp",
            f"turn:{elsewhere}:{DEAD}?transport=tcp",
        ]

    def judge(self, *urls: str) -> dict[str, tuple[str, frozenset[str]]]:
        """The verdict and the failing and warning codes of each URL."""
        directory = Path(tempfile.mkdtemp(dir=self.directory))
        path = write_ice_servers(directory / "ice.json", urls, self.server.credential())
        checked = check("--timeout", TIMEOUT, path, inside=self.site.client)
        return {url: own(checked, url) for url in urls}


def own(checked: Checked, url: str) -> tuple[str, frozenset[str]]:
    [verdict] = [one["verdict"] for one in checked.report["urls"] if one["url"] == url]
    codes = {one["code"] for one in checked.report["findings"] if one["url"] == url}
    return verdict, frozenset(codes - LIST_WIDE)


@pytest.fixture(scope="module", params=["open", "closed"] if SOAK else ["closed"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    first, last = RELAYS.split("-")
    with (
        netns.site() as site,
        coturn.running(
            site.server.address,
            port=20478,
            lines=[f"min-port={first}", f"max-port={last}"],
            namespace=site.server.name,
        ) as server,
    ):
        rule = f"th dport {SILENT_PORT}"
        site.server.drop(f"meta l4proto {{ tcp, udp }} {rule}")
        if request.param == "closed":
            site.server.nft(
                "table inet range {\n chain input {\n type filter hook input priority 0\n"
                f" udp dport {RELAYS} drop\n }}\n}}\n"
            )
        yield Place(site, server, tmp_path_factory.mktemp("lists"))


@pytest.fixture(scope="module")
def alone(place: Place) -> dict[str, tuple[str, frozenset[str]]]:
    """How each URL is judged by itself."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        judged = pool.map(place.judge, place.good + place.bad)
        return {url: how for one in judged for url, how in one.items()}


@pytest.mark.parametrize("order", range(ORDERS))
def test_order_and_company_change_nothing(
    order: int, place: Place, alone: dict[str, tuple[str, frozenset[str]]]
) -> None:
    """Any choice of them in any order: verdicts and codes are those of each alone."""
    chance = random.Random(order)  # noqa: S311  the same orders in each run
    urls = place.good + chance.sample(place.bad, chance.randint(1, len(place.bad)))
    chance.shuffle(urls)
    assert {url: alone[url] for url in urls} == place.judge(*urls)


@fault("relay-range-blocked", "nft drops the relay ports, with a dead URL of the host listed first")
def test_a_dead_url_hides_no_closed_range(tmp_path: Path) -> None:
    """A port of the same host that nobody listens on says nothing of where STUN is answered."""
    with (
        netns.site() as site,
        coturn.running(
            site.server.address,
            port=20478,
            auth=False,
            lines=[
                *("min-port=40000", "max-port=40100"),
                *("lt-cred-mech", "user=alice:correct-horse"),
            ],
            namespace=site.server.name,
        ) as server,
    ):
        site.server.drop(f"udp dport {RELAYS}")
        urls = [f"turn:{server.host}:{DEAD}?transport=udp", server.uri("udp"), server.uri("tcp")]
        entry = {"urls": urls, "username": "alice", "credential": "correct-horse"}
        path = tmp_path / "ice.json"
        path.write_text(json.dumps({"iceServers": [entry]}))
        checked = check(str(path), inside=site.client)
    assert {"unreachable", "relay-range-blocked"} == checked.codes("fail")
    assert ["fail", "fail", "fail"] == checked.verdicts()
    for url in urls[1:]:
        assert ("fail", frozenset({"relay-range-blocked"})) == own(checked, url)
