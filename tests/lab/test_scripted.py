"""Both browsers as the lab opens them: scripts of a test run in their page, in a site's network."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab import browser, coturn, firefox, netns
from tests.lab.certs import Authority
from tests.lab.coturn import Server
from tests.lab.scripted import Browser, Thrown

GATHER = """
const pc = new RTCPeerConnection({iceServers: [argument], iceTransportPolicy: "relay"});
const relayed = new Promise((found) => {
  pc.onicecandidate = ({candidate}) => candidate?.type === "relay" && found(candidate.address);
});
pc.createDataChannel("");
await pc.setLocalDescription();
const address = await relayed;
pc.close();
return address;
"""


@pytest.fixture(scope="module", params=["Chromium", "Firefox ESR"])
def opened(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,
) -> Iterator[tuple[Browser, Server]]:
    open_one = browser.scripted if request.param == "Chromium" else firefox.inside
    home = tmp_path_factory.mktemp("browser")
    certificate = authority.issue([netns.SERVER])
    with (
        netns.site() as site,
        coturn.running(
            site.server.address, namespace=site.server.name, tls=certificate, version="4.18.0"
        ) as server,
        open_one(site.client, home, root=authority.root) as one,
    ):
        assert (request.param, True) == (one.name, one.version[0].isdigit())
        yield one, server


def test_a_script_gets_its_argument_and_returns_json(opened: tuple[Browser, Server]) -> None:
    assert {"twice": 8} == opened[0].run("return {twice: argument * 2}", 4)


def test_what_a_script_throws_is_raised(opened: tuple[Browser, Server]) -> None:
    with pytest.raises(Thrown) as thrown:
        opened[0].run("new RTCPeerConnection({iceServers: {urls: 'stun:192.0.2.1'}})")
    assert "TypeError" == thrown.value.name


def test_scripts_run_side_by_side(opened: tuple[Browser, Server]) -> None:
    meet = "window.met = (window.met || 0) + 1; while (met < 4) await new Promise(setTimeout)"
    with ThreadPoolExecutor() as pool:
        assert [None] * 4 == list(pool.map(opened[0].run, [meet] * 4))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_it_gathers_a_relay_candidate_through_its_router(
    opened: tuple[Browser, Server], transport: str
) -> None:
    one, server = opened
    credential = server.credential()
    argument = {
        "urls": f"turn:{server.host}:{server.port}?transport={transport}",
        "username": credential.username,
        "credential": credential.password,
    }
    assert server.host == one.run(GATHER, argument)
