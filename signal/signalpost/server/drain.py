"""Drain: the service is about to stop, and the peers leave first.

Owns the order: nobody comes in, every peer is asked to leave, what is left is closed. HTTP goes on
all the while, so that `/readyz` can say so and no request is lost; whoever listens closes the
listener afterwards.
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
"""When peers are asked to come back: not before a restart can be over, and each at its own time,
or thousands of handshakes would arrive at once. Promised is that they are back within five seconds.
"""

BODY_SECONDS = 2.0
"""For a request whose body is still arriving when everybody else has gone."""


async def drain(service: Service) -> None:
    """Return when no WebSocket is open and no request is arriving: at once when none is, after
    `http.drain` at the latest (and a second more for clients that do not answer the close, and
    BODY_SECONDS).
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
