"""`turnctl edge prefer`: which TURN server the edge sends new connections to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from turnctl.commands.errors import Failure
from turnctl.deployment.edge import prefer as preference
from turnctl.deployment.edge.runtime import SERVERS, SOCKET, Edge, NotThere, Refused

__all__ = ["prefer"]


@click.command(short_help="Choose the TURN server for new connections.")
@click.argument("server", type=click.Choice(SERVERS))
@click.option(
    "--socket",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="EDGE_SOCKET",
    show_envvar=True,
    default=SOCKET,
    show_default=True,
    help="The edge's runtime API.",
)
def prefer(server: str, socket: Path) -> int:
    """Send new TURN connections to SERVER. Open connections stay where they are.

    Nothing changes unless SERVER answers. An edge that restarts prefers coturn-edge again.

    \b
    Exit status:
      0  done
      2  wrong usage
      3  the edge or SERVER doesn't answer
    """
    try:
        asyncio.run(preference.prefer(Edge(socket, port=0), server))
    except NotThere as error:
        raise Failure(str(error)) from error
    except Refused as error:
        raise Failure(f"the edge rejected the command: {error}") from error
    click.echo(f"new connections go to {server}")
    return 0
