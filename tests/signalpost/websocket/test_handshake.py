"""A WebSocket whose handshake lost headers on its way."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from signalpost.errors import UpgradeHeaderMissing
from signalpost.websocket.handshake import require_upgrade
from tests.signalpost.running import running

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "signalpost.v1",
}


def without(*names: str, **other: str) -> CIMultiDict[str]:
    return CIMultiDict({k: v for k, v in HANDSHAKE.items() if k not in names} | other)


@pytest.mark.parametrize(
    "headers",
    [
        without(),
        without(Connection="keep-alive, Upgrade"),
        without(Connection="upgrade", Upgrade="WebSocket"),
        without(*HANDSHAKE),
        without(*HANDSHAKE, Accept="text/html"),
        without("Sec-WebSocket-Protocol"),
    ],
)
def test_passes(headers: CIMultiDict[str]) -> None:
    """A whole handshake, as each browser sends it, and a request that never was one."""
    require_upgrade(headers)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (without("Upgrade", "Connection"), ("Upgrade is missing and Connection is missing",)),
        (without("Upgrade", Connection="close"), ("Upgrade is missing and Connection is 'close'",)),
        (without("Connection"), ("Upgrade is 'websocket' and Connection is missing",)),
        (without(Connection="keep-alive"), ("Connection is 'keep-alive'", "reverse proxy")),
        (without(Upgrade="h2c"), ("Upgrade is 'h2c'",)),
        (without("Sec-WebSocket-Key"), ("lacks Sec-WebSocket-Key",)),
        (without("Sec-WebSocket-Version"), ("lacks Sec-WebSocket-Version",)),
    ],
)
def test_names_what_was_lost(headers: CIMultiDict[str], said: tuple[str, ...]) -> None:
    """Both headers are named, with what is there instead."""
    with pytest.raises(UpgradeHeaderMissing) as refused:
        require_upgrade(headers)
    for text in said:
        assert text in refused.value.message


async def test_over_http() -> None:
    """A WebSocket that a proxy has broken gets 400 with the code."""
    headers = without("Upgrade", "Connection")
    async with running() as run, run.client.get("/v1/signal", headers=headers) as response:
        body = await response.json(content_type=None)
        assert (400, "upgrade-header-missing") == (response.status, body["code"])
        assert "Upgrade: websocket and Connection: Upgrade" in body["detail"]
