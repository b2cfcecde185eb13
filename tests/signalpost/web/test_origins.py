"""Which pages may use the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from signalpost.config.settings import Guests
from tests.signalpost.running import (
    BEARER,
    SETTINGS,
    Running,
    running,
    settings,
)

NAMED = settings(http=replace(SETTINGS.http, public_name="turn.example.org"))
OWN = {"Origin": "https://turn.example.org"}


async def _get(
    run: Running, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    async with run.client.get(path, headers=headers) as response:
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, OWN),
        (403, {}),
        (403, {"Origin": "https://evil.example"}),
        (403, {"Origin": "null"}),
        (403, {"Origin": "https://turn.example.org.evil.example"}),
        (403, {"Origin": "https://eviltrn.example.org"}),
        (403, {"Origin": "https://turn.example.org:8443"}),
        (403, {"Origin": "http://turn.example.org"}),
        (403, {"Origin": "https://evil.example", **BEARER}),
        (200, BEARER),
        (200, {"Sec-Fetch-Site": "same-origin", "Host": "turn.example.org"}),
        (403, {"Sec-Fetch-Site": "same-origin", "Host": "rebound.evil.example"}),
        (403, {"Sec-Fetch-Site": "cross-site", "Host": "turn.example.org"}),
    ],
)
async def test_who_may_call_a_named_service(status: int, headers: dict[str, str]) -> None:
    """With a public name guests come from its own pages only, and foreign pages not at all."""
    async with running(NAMED) as run:
        assert (await _get(run, "/v1/ice-servers", headers))[0] == status


async def test_open_guests() -> None:
    """Open guests need no page, but foreign pages stay out."""
    opened = replace(NAMED, auth=replace(SETTINGS.auth, guests=Guests.OPEN))
    async with running(opened) as run:
        assert (await _get(run, "/v1/ice-servers"))[0] == 200
        assert (await _get(run, "/v1/ice-servers", {"Origin": "https://evil.example"}))[0] == 403
