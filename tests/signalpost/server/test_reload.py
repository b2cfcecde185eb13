"""Settings that change while the service runs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from signalpost.config.settings import Auth, Guests, Limits
from signalpost.credentials import Secret
from signalpost.iceservers import Relay
from signalpost.limits import Rate
from tests.signalpost.process import Service, serving
from tests.signalpost.running import API_KEY, BEARER, SETTINGS, Peer, running

CONFIG = """\
metrics: {port: null}
turn:
  secrets_file: turn-secret
  relays: [{host: turn.example.org}]
auth: {id_key: an-id-key-0123456789, api_keys_file: api-key}
limits: {mints_per_user: 999999/s, mints_per_address: 999999/s}
"""


def _secret(number: int) -> str:
    return f"turn-secret-number-{number:04}"


def _write(path: Path, text: str) -> None:
    """As `turnctl` writes secrets: complete, then renamed into place."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.chmod(0o600)
    other.rename(path)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    _write(tmp_path / "turn-secret", _secret(0) + "\n")
    _write(tmp_path / "api-key", API_KEY + "\n")
    path = tmp_path / "signalpost.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def service(config: Path) -> Iterator[Service]:
    with serving(config) as running:
        yield running


def _minted_by(body: dict[str, Any], numbers: range) -> int:
    """Which secret the credential in an answer was minted with."""
    entry = body["iceServers"][1]
    for number in numbers:
        digest = hmac.digest(_secret(number).encode(), entry["username"].encode(), hashlib.sha1)
        if entry["credential"] == base64.b64encode(digest).decode():
            return number
    pytest.fail("the credential is none of the secrets'")


def _mint(service: Service) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(service.get("/v1/ice-servers"))
    return body


def test_a_new_secret_is_noticed(config: Path, service: Service) -> None:
    """A changed secret file is noticed without a signal, and the log tells no secret."""
    assert 0 == _minted_by(_mint(service), range(2))
    _write(config.with_name("turn-secret"), f"{_secret(1)}\n{_secret(0)}\n")
    line = service.event("settings changed")
    assert (["turn.secrets"], 2, 1) == (line["changed"], line["turn_secrets"], line["relays"])
    assert "number" not in str(line)
    assert 1 == _minted_by(_mint(service), range(2))


def test_sighup_is_at_once(service: Service) -> None:
    """SIGHUP has everything read now, and says so when nothing has changed."""
    service.process.send_signal(signal.SIGHUP)
    service.event("settings unchanged")


def test_relays_change(config: Path, service: Service) -> None:
    """Other relays in signalpost.yaml are handed out from then on."""
    config.write_text(
        CONFIG.replace("turn.example.org}", "turn.example.org, udp: 3479, tcp: 3479}")
    )
    service.process.send_signal(signal.SIGHUP)
    assert ["turn.relays"] == service.event("settings changed")["changed"]
    assert "turn:turn.example.org:3479?transport=udp" in _mint(service)["iceServers"][1]["urls"]


def test_what_is_wrong_changes_nothing(config: Path, service: Service) -> None:
    """A wrong change is one line with a start's words, and all of it is left out until mended."""
    _write(config, CONFIG.replace("metrics:", "htpp: {port: 1}\nmetrics:"))
    _write(config.with_name("turn-secret"), f"{_secret(1)}\n")
    service.process.send_signal(signal.SIGHUP)
    line = service.event("settings not changed")
    assert ("error", [f"{config}:1: htpp is unknown; did you mean http?"]) == (
        line["level"],
        line["mistakes"],
    )
    assert 0 == _minted_by(_mint(service), range(2))
    _write(config, CONFIG)
    service.process.send_signal(signal.SIGHUP)
    assert ["turn.secrets"] == service.event("settings changed")["changed"]
    assert 1 == _minted_by(_mint(service), range(2))


def test_a_mode_that_is_mended(config: Path, service: Service) -> None:
    """A secret file opened to others is a mistake, and the chmod that it asks for mends it."""
    config.with_name("turn-secret").chmod(0o644)
    assert "chmod 600" in service.event("settings not changed")["mistakes"][0]
    config.with_name("turn-secret").chmod(0o600)
    service.event("settings unchanged")


def test_a_listener_needs_a_restart(config: Path, service: Service) -> None:
    """A setting that needs a restart is named, and the rest of the change takes effect."""
    config.write_text(CONFIG.replace("port: null", "port: 9999") + "log: {level: warning}\n")
    service.process.send_signal(signal.SIGHUP)
    # `settings changed` is no warning any more.
    assert ["metrics.port"] == service.event("needs a restart")["settings"]
    assert service.answers()


def test_the_command_line_still_beats_the_file(config: Path, service: Service) -> None:
    """--port stays in force over a reload: the file's port is not what the service started with."""
    config.write_text(CONFIG + "http: {port: 9999, drain: 7}\n")
    service.process.send_signal(signal.SIGHUP)
    assert ["http.drain"] == service.event("settings changed")["changed"]
    service.process.send_signal(signal.SIGHUP)
    service.event("settings unchanged")


async def test_twenty_rotations_under_load(config: Path, service: Service) -> None:
    """While the secret changes twenty times no request fails, no WebSocket closes, and no
    credential is minted by a secret older than the last that was announced.
    """
    done = asyncio.Event()
    announced = 0
    answered = 0

    async def ask(client: aiohttp.ClientSession) -> None:
        nonlocal answered
        while not done.is_set():
            known = announced
            async with client.get("/v1/ice-servers") as response:
                assert 200 == response.status
                body = await response.json()
            _minted_by(body, range(known, announced + 2))
            answered += 1

    url = f"http://127.0.0.1:{service.port}"
    async with (
        aiohttp.ClientSession(url) as client,
        client.ws_connect("/v1/signal", protocols=("signalpost.v1",)) as socket,
    ):
        peer = Peer(socket)
        async with asyncio.TaskGroup() as group:
            await peer.ask(type="hello")
            for _ in range(4):
                group.create_task(ask(client))
            for number in range(1, 21):
                secrets = f"{_secret(number)}\n{_secret(number - 1)}\n"
                _write(config.with_name("turn-secret"), secrets)
                service.process.send_signal(signal.SIGHUP)
                await asyncio.to_thread(service.event, "settings changed")
                before, announced = answered, number
                while answered < before + 8:  # noqa: ASYNC110  the tasks above count
                    await asyncio.sleep(0.001)
            done.set()
        assert "joined" == (await peer.ask(type="join", room="r"))["type"]


async def test_counts_are_kept() -> None:
    """A change of limits keeps mint counts, connections and rooms."""
    limits = Limits(mints_per_user=Rate(2, 60), connections_per_address=2)
    async with running(replace(SETTINGS, limits=limits)) as run:
        one, two = await run.peer(run.token("one")), await run.peer(run.token("two"))
        await one.ask(type="join", room="r")
        await run.client.get("/v1/ice-servers")
        await run.client.get("/v1/ice-servers")
        lower = replace(limits, peers_per_room=1, rooms_per_peer=9)
        run.service.change(replace(run.service.settings, limits=lower))
        async with run.client.get("/v1/ice-servers") as response:
            assert 429 == response.status
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await run.connect()
        assert "joined" == (await two.ask(type="join", room="r"))["type"]
        run.service.change(replace(run.service.settings, limits=Limits()))
        async with run.client.get("/v1/ice-servers") as response:
            assert 200 == response.status
        await run.connect()


async def test_keys_change() -> None:
    """A key that is gone is refused from the next request on, a new one is let in."""
    async with running() as run:
        new = Secret("another-api-key-0123456789")
        auth = replace(SETTINGS.auth, api_keys=(new,), guests=Guests.OFF)
        run.service.change(replace(SETTINGS, auth=auth))
        for status, headers in (
            (401, BEARER),
            (401, {}),
            (200, {"Authorization": f"Bearer {new.reveal()}"}),
        ):
            async with run.client.get("/v1/ice-servers", headers=headers) as response:
                assert status == response.status


async def test_everything_else_changes() -> None:
    """Origins, proxies and regions follow too."""
    async with running() as run:
        http = replace(
            SETTINGS.http,
            public_name="new.example.org",
            trusted_proxies=(ip_network("127.0.0.1/32"),),
        )
        turn = replace(SETTINGS.turn, relays=(Relay("eu.example.org", region="eu"),))
        before = run.service.authenticator
        run.service.change(replace(SETTINGS, http=http, turn=turn))
        own = {"Origin": "https://new.example.org", "X-Forwarded-For": "198.51.100.7"}
        async with run.client.get("/v1/ice-servers?shape=draft", headers=own) as response:
            body = await response.json()
        guest = run.service.authenticator.guest("198.51.100.7", own_page=True)
        assert before.guest("198.51.100.7", own_page=True) == guest
        assert body["username"].endswith(f":{guest.user_id}")
        assert "eu.example.org" in body["uris"][0]
        async with run.client.get("/healthz", headers={"Origin": "https://x.example"}) as response:
            assert 403 == response.status


async def test_a_change_that_fails_halfway_changes_nothing() -> None:
    """If a part refuses its settings, the service keeps all of the old ones."""
    async with running() as run:
        before = run.service.settings
        with pytest.raises(ValueError, match="id_key"):
            run.service.change(replace(before, auth=Auth(), limits=Limits(connections=1)))
        assert before is run.service.settings
        assert run.service.connection_quota.take("a")
        assert run.service.connection_quota.take("b")
