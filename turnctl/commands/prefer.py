"""`turnctl edge prefer`: which TURN server the edge gives new connections to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from turnctl.commands.errors import Failure
from turnctl.deployment.edge.runtime import SERVERS, Edge, NotThere, Refused

__all__ = ["prefer"]

LOOKS = 60
PAUSE = 0.25
"""Fifteen seconds for the edge to find a server that was just started: it looks every two."""


@click.command(short_help="Choose the TURN server that new connections go to.")
@click.argument("server", type=click.Choice(SERVERS))
@click.option(
    "--socket",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="EDGE_SOCKET",
    show_envvar=True,
    default=Path("/run/edge/admin.sock"),
    show_default=True,
    help="The edge's runtime API.",
)
def prefer(server: str, socket: Path) -> int:
    """Let the edge give new TURN connections to SERVER; the others keep those they have.

    Nothing changes unless SERVER answers. An edge that restarts prefers coturn-edge again.

    \b
    Exit status:
      0  done
      2  wrong usage
      3  the edge or SERVER does not answer
    """
    try:
        asyncio.run(_prefer(Edge(socket, port=0), server))
    except NotThere as error:
        raise Failure(f"the edge does not answer: {error}") from error
    except Refused as error:
        raise Failure(f"the edge refuses: {error}") from error
    click.echo(f"new connections go to {server}")
    return 0


async def _prefer(edge: Edge, server: str) -> None:
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(PAUSE)
        # A server that was drained before is up as well, and says so.
        if (await edge.states()).get(server) in {"UP", "DRAIN"}:
            break
    else:
        raise Failure(f"{server} does not answer the edge; everything is as it was")
    # In this order there is a server for every new connection.
    await edge.set_state(server, "ready")
    for other in SERVERS:
        if other != server:
            await edge.set_state(other, "drain")
