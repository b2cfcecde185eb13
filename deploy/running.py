"""A running deployment, with Docker or without, and how to see that it answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from signalpost.iceservers import IceUri, parse_ice_servers, parse_uri

__all__ = ["Running", "Say", "accepts_tcp", "is_ready", "relay_answers"]

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Running:
    """`url` is the service's. `ended` waits until an essential program ends, and says which."""

    url: str
    ended: Callable[[], Awaitable[str]]


# A proxy for the internet can't reach this machine's own service.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


async def is_ready(url: str) -> bool:
    """Whether the service reports that it is ready."""

    def ask() -> bool:
        with contextlib.suppress(OSError), _DIRECT.open(f"{url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
        return False

    return await asyncio.to_thread(ask)


async def relay_answers(url: str) -> bool:
    """Whether the first relay that the service hands out accepts connections."""

    def ask() -> list[IceUri]:
        with (
            contextlib.suppress(OSError, ValueError),
            _DIRECT.open(f"{url}/v1/ice-servers", timeout=2) as answer,
        ):
            servers = parse_ice_servers(json.load(answer))
            return [parse_uri(text) for server in servers for text in server.urls]
        return []

    uris = await asyncio.to_thread(ask)
    return bool(uris) and await accepts_tcp(uris[0].host, uris[0].port)


async def accepts_tcp(host: str, port: int) -> bool:
    """Whether a program listens there."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
