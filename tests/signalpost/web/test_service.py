"""The service: other settings while it runs, and the network that a request comes from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiohttp.test_utils import make_mocked_request

from signalpost.access.auth import Kind
from signalpost.credentials import Secret
from signalpost.errors import RateLimited, Unauthorized
from signalpost.web.service import Service
from tests.signalpost.running import API_KEY, SETTINGS

PROXIED = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9"}


async def test_all_parts_change() -> None:
    """Other keys, limits and origins hold at once, and sessions see them too."""
    service = Service.make(SETTINGS)
    assert Kind.SERVER is service.authenticator.bearer(API_KEY).kind
    changed = replace(
        SETTINGS,
        auth=replace(SETTINGS.auth, api_keys=(Secret("another-api-key-0123456789"),)),
        http=replace(SETTINGS.http, public_name="turn.example.org"),
        limits=replace(SETTINGS.limits, peers_per_room=7),
    )
    service.change(changed)
    with pytest.raises(Unauthorized):
        service.authenticator.bearer(API_KEY)
    assert not service.origins.admits("https://evil.example")
    assert (7, changed) == (service.hub.limits.peers_per_room, service.settings)


async def test_settings_that_are_refused_change_nothing() -> None:
    """Without an id key everything stays as it was."""
    service = Service.make(SETTINGS)
    broken = replace(SETTINGS, auth=replace(SETTINGS.auth, id_key=None, api_keys=()))
    with pytest.raises(ValueError, match=r"auth\.id_key is missing"):
        service.change(broken)
    assert SETTINGS is service.settings
    assert Kind.SERVER is service.authenticator.bearer(API_KEY).kind


async def test_only_a_limit_gets_the_hint() -> None:
    """A refusal that has nothing to do with addresses stays as it is."""
    service = Service.make(SETTINGS)
    request = make_mocked_request("GET", "/", headers=PROXIED)
    error = service.with_proxy_hint(Unauthorized("no"), request)
    assert "no" == error.message
    assert "no" in service.with_proxy_hint(RateLimited("no", 1), request).message
