"""The main job, end to end: a service process, a real coturn, the probe, two peers that call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aioice import Candidate, Connection, TransportPolicy

from signalpost.iceservers import parse_uri
from tests.lab import coturn
from tests.lab.prober import check

SIGNALPOST = str(Path(sys.executable).with_name("signalpost"))
START_DEADLINE = 15.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """A running service and the coturn that takes its credentials."""

    url: str
    server: coturn.Server
    api_key_file: Path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def deployment(own_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """What `turnctl init` writes, by hand: four secrets and a settings file."""
    folder = tmp_path_factory.mktemp("deployment")
    with coturn.running(own_address) as server:
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
                    "http": {"port": free_port()},
                    "metrics": {"port": free_port()},
                    "turn": {"secrets_file": "turn-secret", "relays": [relay]},
                    "auth": {
                        "api_keys_file": "api-key",
                        "token_keys_file": "token-key",
                        "id_key_file": "id-key",
                    },
                }
            )
        )
        url = f"http://127.0.0.1:{json.loads(config.read_text())['http']['port']}"
        process = subprocess.Popen([SIGNALPOST, "serve", "--config", str(config)])
        try:
            wait_until_ready(url, process)
            yield Deployment(url, server, folder / "api-key")
        finally:
            process.terminate()
            assert 0 == process.wait(10)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        assert process.poll() is None
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{url}/readyz", timeout=1),  # noqa: S310  http, ours
        ):
            return
        time.sleep(0.02)
    raise AssertionError("the service did not become ready")


def test_the_probe_proves_what_the_service_hands_out(deployment: Deployment) -> None:
    """`turnctl check URL` fetches iceServers, and data goes through the relay over UDP and TCP."""
    checked = check(deployment.url)
    assert (0, "pass", set()) == (
        checked.status,
        checked.report["verdict"],
        checked.codes("fail", "warn"),
    )
    relays = [url for url in checked.report["urls"] if url["url"].startswith("turn:")]
    assert [(20, 20), (20, 20)] == [(url["sent"], url["received"]) for url in relays]
    assert {"udp", "tcp"} == {parse_uri(url["url"]).transport for url in relays}


def test_an_api_key_opens_the_same_door(deployment: Deployment) -> None:
    """--api-key-file is sent to the service; a wrong key is a refusal with its reason."""
    assert 0 == check("--api-key-file", str(deployment.api_key_file), deployment.url).status
    wrong = deployment.api_key_file.with_name("wrong-key")
    wrong.touch(0o600)
    wrong.write_text("not-a-key-of-this-service\n")
    checked = check("--api-key-file", str(wrong), deployment.url)
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
            message: dict[str, Any] = await self._signaling.receive_json(timeout=10)
            if message["type"] == kind:
                return message
            assert message["type"] in {"peer-joined"}, message


async def test_two_peers_connect_through_the_relay(deployment: Deployment) -> None:
    """Credentials and descriptions come by way of the service, and data by way of the relay."""
    async with (
        aiohttp.ClientSession(deployment.url) as session,
        session.ws_connect("/v1/signal", protocols=["signalpost.v1"]) as first,
        session.ws_connect("/v1/signal", protocols=["signalpost.v1"]) as second,
    ):
        caller, callee = Caller(first), Caller(second)
        await caller.hello(controlling=True)
        await callee.hello(controlling=False)
        await caller.join("lobby")
        await callee.join("lobby")
        try:
            await asyncio.gather(caller.describe("lobby"), callee.describe("lobby"))
            await asyncio.gather(caller.learn(), callee.learn())
            assert {"relay"} == {c.type for c in caller.ice.remote_candidates}
            async with asyncio.timeout(10):
                await asyncio.gather(caller.ice.connect(), callee.ice.connect())
                await caller.ice.send(b"ring")
                assert b"ring" == await callee.ice.recv()
                await callee.ice.send(b"accept")
                assert b"accept" == await caller.ice.recv()
        finally:
            await asyncio.gather(caller.ice.close(), callee.ice.close())
