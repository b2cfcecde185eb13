"""Which TURN server the edge sends new connections to."""

from __future__ import annotations

import asyncio

from turnctl.deployment.edge.runtime import SERVERS, Edge, NotThere

__all__ = ["prefer"]

LOOKS, PAUSE = 60, 0.25
"""Fifteen seconds for the edge to notice a server that was just started: it looks every two."""


async def prefer(edge: Edge, server: str, *, looks: int = LOOKS) -> None:
    """Send new connections to `server`, one of SERVERS. Open connections stay where they are.

    Raises Refused, and NotThere if the edge or the server doesn't answer; nothing has changed then.
    """
    for look in range(looks):
        if look:
            await asyncio.sleep(PAUSE)
        # A server that was drained earlier is up as well, but its state is DRAIN.
        if (await edge.states()).get(server) in {"UP", "DRAIN"}:
            break
    else:
        raise NotThere(f"{server} doesn't answer the edge; nothing was changed")
    # In this order there is a server for every new connection.
    await edge.set_state(server, "ready")
    for other in SERVERS:
        if other != server:
            await edge.set_state(other, "drain")
