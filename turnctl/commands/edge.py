"""`turnctl edge`: the commands for HAProxy in front of the service and the relay."""

from __future__ import annotations

import click

from turnctl.commands.lazy import LazyGroup

__all__ = ["edge"]

COMMANDS = {
    "certify": "Get the edge's certificate, renew it, and load it without a restart.",
    "prefer": "Send new clients to one of the edge's TURN servers.",
}
"""Name → its sentence in --help."""


@click.group(cls=LazyGroup, sentences=COMMANDS)
def edge() -> None:
    """The TLS edge of a deployment with a domain: its certificate and its TURN server."""
