"""The HTTP endpoints over real sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

import signalpost
from signalpost.config.settings import Limits, MetricsListener, Settings, Turn
from signalpost.iceservers import SHAPES, parse_ice_servers
from signalpost.limits import Rate
from signalpost.tokens import Permission
from tests.signalpost.running import (
    API_KEY,
    BEARER,
    NOW,
    SETTINGS,
    TURN_SECRET,
    Running,
    running,
    settings,
)


async def _get(
    run: Running, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    async with run.client.get(path, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def test_guest() -> None:
    """A guest gets iceServers that the TURN server's secret proves."""
    async with running() as run:
        status, body = await _get(run, "/v1/ice-servers")
        assert (status, body["ttl"], body["expires"]) == (200, 3_600, int(NOW) + 3_600)
        entry = body["iceServers"][1]
        digest = hmac.digest(TURN_SECRET.encode(), entry["username"].encode(), hashlib.sha1)
        assert entry["credential"] == base64.b64encode(digest).decode()
        assert entry["username"].startswith(f"{body['expires']}:")


@pytest.mark.parametrize("shape", SHAPES)
async def test_shapes(shape: str) -> None:
    """Every shape answers 200 with the relay's URLs."""
    async with running() as run:
        status, body = await _get(run, f"/v1/ice-servers?shape={shape}")
        urls = [url for server in parse_ice_servers(body) for url in server.urls]
        assert status == 200
        assert "turn:turn.example.org:3478?transport=udp" in urls


@pytest.mark.parametrize(
    ("query", "headers", "ttl"),
    [
        ("", BEARER, 14_400),
        ("?ttl=60", BEARER, 60),
        ("?ttl=999999", BEARER, 86_400),
        ("?ttl=999999999", BEARER, 86_400),
        ("?ttl=60", {}, 60),
        ("?ttl=999999", {}, 3_600),
    ],
)
async def test_ttl(query: str, headers: dict[str, str], ttl: int) -> None:
    """The caller's kind decides how long a credential lasts, and ?ttl= is capped."""
    async with running() as run:
        assert (await _get(run, f"/v1/ice-servers{query}", headers))[1]["ttl"] == ttl


async def test_one_user_one_id() -> None:
    """A user has one opaque id by token, by API key and over the REST draft."""
    async with running() as run:
        token = {"Authorization": f"bearer {run.token('ann')}"}
        answers = [
            await _get(run, "/v1/ice-servers?shape=draft", token),
            await _get(run, "/v1/ice-servers?shape=draft&user=ann", BEARER),
            await _get(run, f"/turn?service=turn&username=ann&key={API_KEY}"),
        ]
        names = {body["username"].partition(":")[2] for _, body in answers}
        assert names == {run.service.authenticator.user_id("ann")}


@pytest.mark.parametrize(
    ("status", "code", "path", "headers"),
    [
        (400, "bad-parameter", "/v1/ice-servers?shape=round", {}),
        (400, "bad-parameter", "/v1/ice-servers?ttl=0", {}),
        (400, "bad-parameter", "/v1/ice-servers?ttl=-1", {}),
        (400, "bad-parameter", "/v1/ice-servers?ttl=1e3", {}),
        (400, "bad-parameter", "/v1/ice-servers?ttl=" + "9" * 5000, {}),
        (400, "bad-parameter", "/v1/ice-servers?user=", BEARER),
        (400, "bad-parameter", "/turn", {}),
        (400, "bad-parameter", f"/turn?service=stun&key={API_KEY}", {}),
        (401, "unauthorized", "/v1/ice-servers", {"Authorization": "Bearer wrong"}),
        (401, "unauthorized", "/v1/ice-servers", {"Authorization": f"Basic {API_KEY}"}),
        (401, "unauthorized", "/v1/ice-servers", {"Authorization": "Bearer"}),
        (403, "permission-denied", "/v1/ice-servers?user=ann", {}),
        (403, "wrong-key", "/turn?service=turn&key=wrong", {}),
        (403, "wrong-key", "/turn?service=turn", {}),
        (404, "not-found", "/v1/ice-server", {}),
        (405, "method-not-allowed", "/v1/tokens", {}),
        (400, "subprotocol-missing", "/v1/signal", {}),
    ],
)
async def test_problems(status: int, code: str, path: str, headers: dict[str, str]) -> None:
    """Every error is a problem document with its code."""
    async with running() as run, run.client.get(path, headers=headers) as response:
        assert response.content_type == "application/problem+json"
        body = await response.json(content_type=None)
        assert (response.status, body["status"], body["code"]) == (status, status, code)
        assert ("WWW-Authenticate" in response.headers) == (status == 401)


async def test_no_relays() -> None:
    """Without relays there is nothing to hand out: 404, as the draft says."""
    async with running(settings(turn=Turn(secrets=SETTINGS.turn.secrets))) as run:
        assert (await _get(run, "/v1/ice-servers"))[0] == 404
        assert (await _get(run, f"/turn?service=turn&key={API_KEY}"))[0] == 404


@pytest.mark.parametrize("key", ["key", "api"])
async def test_turn_by_post(key: str) -> None:
    """Janus posts the same parameters as a form, and names the key twice."""
    async with running() as run:
        form = {"service": "turn", key: API_KEY, "username": "ann"}
        async with run.client.post("/turn", data=form) as response:
            body = await response.json()
        assert response.status == 200
        assert set(body) == {"username", "password", "ttl", "uris"}
        assert (type(body["ttl"]), bool(body["uris"])) == (int, True)


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (400, "application/x-www-form-urlencoded; charset=foo", b"a=b"),
        (400, "application/x-www-form-urlencoded", b"a=\xff\xfe"),
        (400, "multipart/form-data; boundary=x", b"--x"),
        (400, "multipart/form-data", b""),
        (400, "application/x-www-form-urlencoded", b"a=b&" * 1_000),
        (403, "text/plain", b"service=turn&key=\xff"),
    ],
)
async def test_turn_by_post_with_garbage(status: int, kind: str, body: bytes) -> None:
    """A body that isn't a form is the sender's mistake, not ours."""
    headers = {"Content-Type": kind}
    async with (
        running() as run,
        run.client.post("/turn", data=body, headers=headers) as response,
    ):
        assert response.status == status


async def test_tokens() -> None:
    """An API key buys a token, and the token buys iceServers."""
    async with running() as run:
        wanted = {"user": "ann", "rooms": ["r"], "permissions": ["ice"], "ttl": 60}
        async with run.client.post("/v1/tokens", json=wanted, headers=BEARER) as response:
            body = await response.json()
        assert (body["ttl"], body["expires"]) == (60, int(NOW) + 60)
        headers = {"Authorization": f"Bearer {body['token']}"}
        assert (await _get(run, "/v1/ice-servers", headers))[0] == 200
        run.clocks.advance(60)
        assert (await _get(run, "/v1/ice-servers", headers))[0] == 401


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (401, b'{"user":"ann"}', {}),
        (401, b'{"user":"ann"}', {"Authorization": "Bearer wrong"}),
        (400, b"", BEARER),
        (400, b"null", BEARER),
        (400, b"{}", BEARER),
        (400, b'{"user":""}', BEARER),
        (400, b'{"user":1}', BEARER),
        (400, b'{"user":"ann","ttl":0}', BEARER),
        (400, b'{"user":"ann","ttl":86401}', BEARER),
        (400, b'{"user":"ann","permissions":["all"]}', BEARER),
        (400, b'{"user":"ann","room":"r"}', BEARER),
        (400, b'{"user":"\\ud800"}', BEARER),
        (400, b'{"user":"\xff"}', BEARER),
        (400, b'{"user":"ann","x":' + b"[" * 20_000, BEARER),
        (413, b" " * 70_000, BEARER),
    ],
)
async def test_token_requests_refused(status: int, body: bytes, headers: dict[str, str]) -> None:
    """A token request without a key or with a wrong body is refused."""
    async with (
        running() as run,
        run.client.post("/v1/tokens", data=body, headers=headers) as response,
    ):
        assert response.content_type == "application/problem+json"
        assert response.status == status


async def test_a_token_buys_no_token() -> None:
    """A user cannot make tokens for others, nor mint without the permission."""
    async with running() as run:
        headers = {"Authorization": f"Bearer {run.token('ann', permissions=[Permission.JOIN])}"}
        async with run.client.post("/v1/tokens", json={"user": "bob"}, headers=headers) as response:
            assert response.status == 403
        assert (await _get(run, "/v1/ice-servers", headers))[0] == 403


async def test_limit_per_user() -> None:
    """A thousand guest mints from one address are one id, and the one too many is 429."""
    limits = Limits(mints_per_user=Rate(1_000, 3_600), mints_per_address=Rate(5_000, 1))
    async with running(settings(limits=limits)) as run:
        names = set()
        for _ in range(1_000):
            status, body = await _get(run, "/v1/ice-servers?shape=draft")
            assert status == 200
            names.add(body["username"])
        assert len(names) == 1
        async with run.client.get("/v1/ice-servers") as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "4")
        run.clocks.advance(4)
        assert (await _get(run, "/v1/ice-servers"))[0] == 200


async def test_limit_per_address() -> None:
    """Many users of one address share its limit; a back end's address has none."""
    async with running(settings(limits=Limits(mints_per_address=Rate(2, 60)))) as run:
        users = [{"Authorization": f"Bearer {run.token(name)}"} for name in "abc"]
        assert [(await _get(run, "/v1/ice-servers", user))[0] for user in users] == [200, 200, 429]
        path = "/v1/ice-servers?user="
        assert [(await _get(run, path + name, BEARER))[0] for name in "abcd"] == [200] * 4


async def test_forwarded_addresses() -> None:
    """X-Forwarded-For counts only from a trusted proxy: spoofing it buys no second guest id."""
    spoofed = [{"X-Forwarded-For": f"192.0.2.{n}"} for n in range(3)]
    limits = Limits(mints_per_user=Rate(1, 60))
    async with running(settings(limits=limits)) as run:
        assert [(await _get(run, "/v1/ice-servers", h))[0] for h in spoofed] == [200, 429, 429]
    proxied = replace(SETTINGS.http, trusted_proxies=_networks("127.0.0.0/8"))
    async with running(settings(limits=limits, http=proxied)) as run:
        assert [(await _get(run, "/v1/ice-servers", h))[0] for h in spoofed] == [200] * 3


def _networks(*texts: str) -> tuple[Any, ...]:
    from ipaddress import ip_network

    return tuple(map(ip_network, texts))


async def test_health_and_readiness() -> None:
    """Alive is alive; ready needs a usable TURN secret."""
    async with running() as run:
        assert await _get(run, "/healthz") == (200, {"status": "ok"})
        ready = {"status": "ready", "checks": {"secret": "ok"}}
        assert await _get(run, "/readyz") == (200, ready)
    async with running(settings(turn=Turn())) as run:
        not_ready = {"status": "not ready", "checks": {"secret": "failed"}}
        assert await _get(run, "/readyz") == (503, not_ready)


async def test_root() -> None:
    """The root says what this is."""
    async with running() as run:
        status, body = await _get(run, "/")
        assert (status, body["name"], body["version"]) == (
            200,
            "signalpost",
            signalpost.__version__,
        )


async def test_metrics_have_their_own_listener() -> None:
    """Metrics count on their listener, and the public one knows nothing of them."""
    free = replace(SETTINGS, metrics=MetricsListener(port=0))
    async with running(free) as run:
        assert (await _get(run, "/metrics"))[0] == 404
        await _get(run, "/v1/ice-servers")
        await _get(run, "/turn?service=turn&key=wrong")
        await run.peer()
        async with run.client.get(f"http://127.0.0.1:{run.ports.metrics}/metrics") as response:
            text = await response.text()
    lines = text.splitlines()
    assert 'signalpost_credentials_minted_total{audience="guest"} 1.0' in lines
    assert 'signalpost_credentials_minted_total{audience="native"} 1.0' in lines
    assert 'signalpost_refusals_total{code="wrong-key"} 1.0' in lines
    assert "signalpost_websocket_connections 1.0" in lines


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01 garbage\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /v1/ice-servers?ttl=%FF HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
async def test_garbage_instead_of_http(request_bytes: bytes) -> None:
    """Bytes that are not HTTP get an answer without a traceback, and the service goes on."""
    async with running() as run:
        reader, writer = await asyncio.open_connection("127.0.0.1", run.ports.port)
        writer.write(request_bytes)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
        assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
        assert b"Traceback" not in answer
        assert (await _get(run, "/healthz"))[0] == 200


def test_settings_are_shared_safely() -> None:
    """Settings are frozen, so no request can change them for another."""
    with pytest.raises(AttributeError):
        Settings().http.port = 1  # type: ignore[misc]
