"""What a deployment that came up offers, whichever engine runs it."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

__all__ = ["Running", "Say", "accepts_tcp", "is_ready"]

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Running:
    """`url` is the service's. `ended` waits until something essential ended, and says what."""

    url: str
    ended: Callable[[], Awaitable[str]]


async def is_ready(url: str) -> bool:
    """Whether the service says so itself."""

    def ask() -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer,  # noqa: S310  http, made here
        ):
            return bool(answer.status == 200)
        return False

    return await asyncio.to_thread(ask)


async def accepts_tcp(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
