"""The main job, end to end: a service process, a real coturn, the probe, two peers that call.

Peers and probe are behind NATs of their own, two routers away from the service and the relay.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aioice import Candidate, Connection, TransportPolicy

from signalpost.iceservers import parse_uri
from tests.lab import coturn, netns
from tests.lab.netns import SERVER, Internet, Site
from tests.lab.prober import check

SIGNALPOST = str(Path(sys.executable).with_name("signalpost"))
START_DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """A running service and the coturn that takes its credentials; two clients of both."""

    url: str
    server: coturn.Server
    api_key_file: Path
    sites: tuple[Site, Site]


@pytest.fixture(scope="module")
def internet() -> Iterator[Internet]:
    with netns.internet() as made:
        yield made


@pytest.fixture(scope="module", params=coturn.VERSIONS)
def deployment(
    internet: Internet, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """What `turnctl init` writes, by hand: four secrets and a settings file."""
    folder = tmp_path_factory.mktemp("deployment")
    sites = internet.join("port-restricted"), internet.join("symmetric")
    inside = internet.server.name
    with coturn.running(SERVER, namespace=inside, version=request.param) as server:
        for name, value in {
            "turn-secret": server.secret,
            "api-key": secrets.token_urlsafe(24),
            "token-key": secrets.token_urlsafe(32),
            "id-key": secrets.token_urlsafe(24),
        }.items():
            path = folder / name
            path.touch(0o600)
            path.write_text(value + "\n")
        relay = {"host": server.host, "udp": server.port, "tcp": server.port}
        config = folder / "signalpost.yaml"
        config.write_text(
            json.dumps(  # JSON is YAML
                {
                    "http": {"host": "0.0.0.0", "port": 8080},
                    "metrics": {"port": 9464},
                    "turn": {"secrets_file": "turn-secret", "relays": [relay]},
                    "auth": {
                        "api_keys_file": "api-key",
                        "token_keys_file": "token-key",
                        "id_key_file": "id-key",
                    },
                }
            )
        )
        url = f"http://{SERVER}:8080"
        enter = ["ip", "netns", "exec", inside]
        process = subprocess.Popen([*enter, SIGNALPOST, "serve", "--config", str(config)])
        try:
            coturn.within(inside, lambda: wait_until_ready(url, process))
            yield Deployment(url, server, folder / "api-key", sites)
        finally:
            process.terminate()
            assert 0 == process.wait(60)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        assert process.poll() is None
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{url}/readyz", timeout=5),  # noqa: S310  http, ours
        ):
            return
        time.sleep(0.02)
    raise AssertionError("the service did not become ready")


def test_the_probe_proves_what_the_service_hands_out(deployment: Deployment) -> None:
    """`turnctl check URL` fetches iceServers, and data goes through the relay over UDP and TCP."""
    checked = check(deployment.url, inside=deployment.sites[0].client)
    assert (0, {"no-tls-443"}) == (checked.status, checked.codes("fail", "warn"))
    relays = [url for url in checked.report["urls"] if url["url"].startswith("turn:")]
    assert [True, True] == [0 < url["sent"] == url["received"] for url in relays]
    assert {"udp", "tcp"} == {parse_uri(url["url"]).transport for url in relays}


def test_an_api_key_opens_the_same_door(deployment: Deployment) -> None:
    """--api-key-file is sent to the service; a wrong key is a refusal with its reason."""
    client = deployment.sites[0].client
    key = str(deployment.api_key_file)
    assert 0 == check("--api-key-file", key, deployment.url, inside=client).status
    wrong = deployment.api_key_file.with_name("wrong-key")
    wrong.touch(0o600)
    wrong.write_text("not-a-key-of-this-service\n")
    checked = check("--api-key-file", str(wrong), deployment.url, inside=client)
    assert (1, {"issuer-refused"}) == (checked.status, checked.codes())


class Caller:
    """A native peer: one WebSocket to the service, one ICE agent that may use the relay alone."""

    def __init__(self, signaling: aiohttp.ClientWebSocketResponse) -> None:
        self._signaling = signaling
        self.ice: Connection

    async def hello(self, *, controlling: bool) -> None:
        await self._send(type="hello")
        welcome = await self._receive("welcome")
        servers = [server for server in welcome["iceServers"] if "username" in server]
        uri = parse_uri(servers[0]["urls"][0])
        self.ice = Connection(
            ice_controlling=controlling,
            turn_server=(uri.host, uri.port),
            turn_username=servers[0]["username"],
            turn_password=servers[0]["credential"],
            turn_transport=uri.transport,
            transport_policy=TransportPolicy.RELAY,
        )

    async def join(self, room: str) -> None:
        await self._send(type="join", room=room)
        await self._receive("joined")

    async def joined_by_another(self) -> None:
        await self._receive("peer-joined")

    async def describe(self, room: str) -> None:
        """Gather, and tell the other peer everything at once."""
        await self.ice.gather_candidates()
        data = {
            "username": self.ice.local_username,
            "password": self.ice.local_password,
            "candidates": [candidate.to_sdp() for candidate in self.ice.local_candidates],
        }
        await self._send(type="signal", room=room, data=data)

    async def learn(self) -> None:
        """Take the other peer's description."""
        data = (await self._receive("signal"))["data"]
        self.ice.remote_username, self.ice.remote_password = data["username"], data["password"]
        for candidate in data["candidates"]:
            await self.ice.add_remote_candidate(Candidate.from_sdp(candidate))
        await self.ice.add_remote_candidate(None)

    async def _send(self, **message: Any) -> None:
        await self._signaling.send_str(json.dumps(message))

    async def _receive(self, kind: str) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = await self._signaling.receive_json(timeout=60)
            if message["type"] == kind:
                return message
            assert message["type"] in {"peer-joined"}, message


async def call(url: str, *, first: threading.Event, controlling: bool) -> bytes:
    """One peer's side of a call; what the other one said. The caller is in the room first."""
    async with (
        aiohttp.ClientSession(url) as session,
        session.ws_connect("/v1/signal", protocols=["signalpost.v1"]) as signaling,
    ):
        peer = Caller(signaling)
        await peer.hello(controlling=controlling)
        if controlling:
            await peer.join("lobby")
            first.set()
            await peer.joined_by_another()
        else:
            await asyncio.to_thread(first.wait, 60)
            await peer.join("lobby")
        try:
            await peer.describe("lobby")
            await peer.learn()
            assert {"relay"} == {c.type for c in peer.ice.remote_candidates}
            async with asyncio.timeout(60):
                await peer.ice.connect()
                # Whoever hears the other one's last word has been heard: it may hang up.
                await peer.ice.send(b"ring" if controlling else b"accept")
                heard = await peer.ice.recv()
                await peer.ice.send(b"bye")
                assert b"bye" == await peer.ice.recv()
                return heard
        finally:
            await peer.ice.close()


def test_two_peers_connect_through_the_relay(deployment: Deployment) -> None:
    """Credentials and descriptions come by way of the service, and data by way of the relay, from
    behind one NAT to behind another."""
    first = threading.Event()

    def side(site: Site, *, controlling: bool) -> bytes:
        def run() -> bytes:
            return asyncio.run(call(deployment.url, first=first, controlling=controlling))

        return coturn.within(site.client.name, run)

    caller, callee = deployment.sites
    with ThreadPoolExecutor() as both:
        calling = both.submit(side, caller, controlling=True)
        called = both.submit(side, callee, controlling=False)
        assert (b"accept", b"ring") == (calling.result(180), called.result(180))
