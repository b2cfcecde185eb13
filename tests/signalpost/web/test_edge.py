"""Behind the edge: one proxy on this host is trusted, and nothing else on it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any

import aiohttp
import pytest

from signalpost.config.settings import Limits
from tests.signalpost.running import API_KEY, SETTINGS, Peer, Running, running

EDGE, NEIGHBOUR = "127.0.0.2", "127.0.0.1"
NAME = "turn.example.org"
BEHIND = replace(
    SETTINGS,
    http=replace(
        SETTINGS.http,
        public_name=NAME,
        allowed_origins=("https://turn.example.org:8443",),
        trusted_proxies=(ip_network("127.0.0.2/32"),),
    ),
    limits=Limits(connections_per_address=1),
)
PAGE = {"Origin": f"https://{NAME}", "Host": NAME}


@dataclass
class Door:
    """A way to the service: the address its connections come from."""

    client: aiohttp.ClientSession
    stack: AsyncExitStack

    async def guest(self, *forwarded: str, **headers: str) -> tuple[int, str]:
        """Status of a mint, and the credential's user id."""
        lines = [*(PAGE | headers).items(), *(("X-Forwarded-For", hop) for hop in forwarded)]
        path = "/v1/ice-servers?shape=draft"
        async with self.client.get(path, headers=lines) as response:
            body: dict[str, Any] = await response.json(content_type=None)
        return response.status, body.get("username", "").partition(":")[2]

    async def socket(self, forwarded: str, **headers: str) -> Peer:
        sent = PAGE | {"X-Forwarded-For": forwarded} | headers
        connecting = self.client.ws_connect(
            "/v1/signal", protocols=("signalpost.v1",), headers=sent
        )
        return Peer(await self.stack.enter_async_context(connecting))


@asynccontextmanager
async def _doors() -> AsyncIterator[tuple[Running, Door, Door]]:
    """The service, the edge's way to it, and that of another program on this host."""
    async with AsyncExitStack() as stack:
        run = await stack.enter_async_context(running(BEHIND))
        doors = []
        for address in (EDGE, NEIGHBOUR):
            session = aiohttp.ClientSession(
                f"http://127.0.0.1:{run.ports.port}",
                connector=aiohttp.TCPConnector(local_addr=(address, 0)),
            )
            client = await stack.enter_async_context(session)
            doors.append(Door(client, await stack.enter_async_context(AsyncExitStack())))
        yield run, doors[0], doors[1]


def _id(run: Running, network: str) -> str:
    return run.service.authenticator.guest(network, own_page=True).user_id


async def test_exactly_the_edge_is_believed() -> None:
    """X-Forwarded-For counts from the edge's address and from no other of the loopback."""
    async with _doors() as (run, edge, neighbour):
        assert (200, _id(run, "198.51.100.7")) == await edge.guest("198.51.100.7")
        assert (200, _id(run, NEIGHBOUR)) == await neighbour.guest("198.51.100.7")


@pytest.mark.parametrize(
    ("network", "forwarded"),
    [
        ("198.51.100.7", ["192.0.2.1", "198.51.100.7"]),  # the client's own line comes first
        ("198.51.100.7", ["127.0.0.2, 198.51.100.7"]),
        ("198.51.100.7", ["::ffff:198.51.100.7"]),  # a dual-stack listener shows IPv4 so
        ("2001:db8:1:2::/64", ["2001:db8:1:2:3:4:5:6"]),
        (EDGE, []),
    ],
)
async def test_the_client_is_the_last_hop(network: str, forwarded: list[str]) -> None:
    """The edge's entry counts, and the client's own doesn't."""
    async with _doors() as (run, edge, _):
        assert (200, _id(run, network)) == await edge.guest(*forwarded)


async def test_limits_of_ipv6_clients() -> None:
    """Two addresses of one /64 share their places, another /64 has its own."""
    async with _doors() as (_, edge, _):
        await edge.socket("2001:db8:1:2::1")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await edge.socket("2001:db8:1:2:ffff::9")
        assert 429 == refused.value.status
        await edge.socket("2001:db8:1:3::1")


@pytest.mark.parametrize("proto", ["http", "https", "gopher"])
async def test_the_forwarded_scheme_does_not_matter(proto: str) -> None:
    """X-Forwarded-Proto opens nothing and closes nothing."""
    async with _doors() as (_, edge, _):
        forwarded = {"X-Forwarded-Proto": proto}
        assert 200 == (await edge.guest("198.51.100.7", **forwarded))[0]
        plain = {"Origin": f"http://{NAME}"}
        assert 403 == (await edge.guest("198.51.100.7", **forwarded, **plain))[0]


SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"Host": NAME, **SAME}),
        (200, {"Host": f"{NAME}:443", **SAME}),
        (200, {"Host": f"{NAME}:8443", **SAME}),  # an allowed origin's page
        (403, {"Host": f"{NAME}:8080", **SAME}),
        (403, {"Host": "rebound.example", **SAME}),
        (403, {"Host": "rebound.example", "X-Forwarded-Host": NAME, **SAME}),
        (403, {"Host": NAME}),
        (403, {"Host": NAME, "Sec-Fetch-Site": "same-site"}),
    ],
)
async def test_own_pages_without_origin(status: int, headers: dict[str, str]) -> None:
    """A same-origin GET has no Origin: Host and Sec-Fetch-Site decide, as the edge passes them."""
    async with _doors() as (_, edge, _):
        sent = {"X-Forwarded-For": "198.51.100.7", **headers}
        async with edge.client.get("/v1/ice-servers", headers=sent) as response:
            assert status == response.status


async def test_websocket_origins() -> None:
    """Over the edge a foreign page's WebSocket is refused before the upgrade, an own one's guest
    is welcomed, and a program without Origin needs a token or key.
    """
    async with _doors() as (_, edge, _):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await edge.socket("198.51.100.1", Origin="https://evil.example")
        assert 403 == refused.value.status
        own = await edge.socket("198.51.100.2")
        assert "welcome" == (await own.ask(type="hello"))["type"]
        for number, token, answer in ((3, None, "error"), (4, API_KEY, "welcome")):
            headers = {"X-Forwarded-For": f"198.51.100.{number}", "Host": NAME}
            socket = await edge.stack.enter_async_context(
                edge.client.ws_connect("/v1/signal", protocols=("signalpost.v1",), headers=headers)
            )
            assert answer == (await Peer(socket).ask(type="hello", token=token))["type"]
