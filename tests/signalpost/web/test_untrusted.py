"""A proxy in front that http.trusted_proxies lacks: everybody behind it is one guest."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from signalpost.config.settings import Limits
from signalpost.limits import Rate
from signalpost.logs import JsonFormatter
from signalpost.web.untrusted import UntrustedProxy
from tests.signalpost.running import SETTINGS, Running, running

NARROW = replace(SETTINGS, limits=Limits(mints_per_user=Rate(2, 60), connections_per_address=1))
PROXY = "10.0.0.7"
FORWARDED = {"X-Forwarded-For": "198.51.100.7"}


@pytest.mark.parametrize(
    ("peer", "headers", "trusted", "hinted"),
    [
        (PROXY, FORWARDED, [], True),
        (PROXY, FORWARDED, ["10.0.0.8/32"], True),
        (f"::ffff:{PROXY}", FORWARDED, ["10.0.0.8/32"], True),
        (PROXY, FORWARDED, ["10.0.0.0/8"], False),
        (f"::ffff:{PROXY}", FORWARDED, ["10.0.0.0/8"], False),
        (PROXY, {}, [], False),
        (None, FORWARDED, [], False),
    ],
)
def test_hint(peer: str | None, headers: dict[str, str], trusted: list[str], hinted: bool) -> None:
    """Only where a header was ignored."""
    networks = [ip_network(one) for one in trusted]
    assert hinted == ("http.trusted_proxies" in UntrustedProxy().hint(peer, headers, networks))


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    lines = [JsonFormatter().format(record) for record in caplog.records]
    return [json.loads(line) for line in "\n".join(lines).splitlines() if "trusted_proxies" in line]


@pytest.mark.parametrize(("peer", "shown"), [(PROXY, PROXY), ("192.88.99.1", None)])
def test_told_once(peer: str, shown: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """The log has one line; it names a machine of the inner network, and nobody on the internet."""
    untrusted_proxy = UntrustedProxy()
    with caplog.at_level(logging.WARNING, "signalpost"):
        assert (
            untrusted_proxy.hint(peer, FORWARDED, [])
            == untrusted_proxy.hint(peer, FORWARDED, [])
            != ""
        )
    assert [shown] == [line.get("proxy") for line in told(caplog)]


async def mint(run: Running, **headers: str) -> dict[str, Any]:
    async with run.client.get("/v1/ice-servers", headers=headers) as response:
        body: dict[str, Any] = await response.json(content_type=None)
    return body


async def test_in_the_429() -> None:
    """Guests behind such a proxy see the name of the setting. Other guests don't."""
    async with running(NARROW) as run:
        for _ in range(2):
            assert "iceServers" in await mint(run, **FORWARDED)
        refused = await mint(run, **FORWARDED)
        assert "rate-limited" == refused["code"]
        assert "http.trusted_proxies" in refused["detail"]
        assert "trusted" not in (await mint(run))["detail"]


async def test_in_a_websocket() -> None:
    """The same over WebSocket: for credentials, and for places before the upgrade."""
    async with running(NARROW) as run:
        peer = await run.connect(**FORWARDED)
        request = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "signalpost.v1",
        }  # fmt: skip
        async with run.client.get("/v1/signal", headers=request | FORWARDED) as response:
            body = await response.json(content_type=None)
            assert (429, "too-many-connections") == (response.status, body["code"])
            assert "http.trusted_proxies" in body["detail"]
        for _ in range(2):
            await mint(run)
        error = await peer.ask(type="hello")
        assert "rate-limited" == error["code"]
        assert "http.trusted_proxies" in error["message"]


async def test_told_again_after_a_change(caplog: pytest.LogCaptureFixture) -> None:
    """After a change of the settings the operator is told again."""
    async with running(NARROW) as run:
        with caplog.at_level(logging.WARNING, "signalpost"):
            for _ in range(4):
                await mint(run, **FORWARDED)
            run.service.change(replace(NARROW, http=replace(NARROW.http, drain=1)))
            await mint(run, **FORWARDED)
    assert 2 == len(told(caplog))
