"""Drain: before the service stops, the peers leave.

The service accepts no more peers, asks every peer to leave, then closes the remaining connections.
HTTP goes on meanwhile, so that `/readyz` can report it and no request is lost. The caller closes
the listener afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets

from aiohttp import WSCloseCode

from signalpost.logs import emit
from signalpost.web.service import Service

__all__ = ["drain"]

SOONEST_MS, SPREAD_MS = 1_000, 2_000
"""When peers should return: not before a restart can be over, and each at its own time, otherwise
thousands of handshakes would arrive at once. The promise is that they are back within five seconds.
"""

BODY_SECONDS = 2.0
"""For requests whose body is still arriving when all peers have left."""


async def drain(service: Service) -> None:
    """Return once no WebSocket is open and no request is arriving, at the latest after
    `http.drain`, a second for clients that don't answer the close, and BODY_SECONDS.
    """
    seconds = service.settings.http.drain
    emit(logging.INFO, "stopping", connections=len(service.sockets), drain=seconds)
    service.hub.drain(lambda: SOONEST_MS + secrets.randbelow(SPREAD_MS), seconds * 1000)
    try:
        async with asyncio.timeout(seconds):
            await service.sockets.gone()
    except TimeoutError:
        emit(logging.INFO, "drain is over", connections=len(service.sockets))
        await service.sockets.close(WSCloseCode.GOING_AWAY, b"shutting down")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            await service.bodies.gone()
