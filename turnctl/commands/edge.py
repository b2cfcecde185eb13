"""`turnctl edge`: the commands for HAProxy in front of the service and the relay."""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["edge"]

COMMANDS = ("certify", "prefer")


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"turnctl.commands.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101  ours by construction
        return command


@click.group(cls=_Lazy)
def edge() -> None:
    """The TLS edge of a deployment with a domain: its certificate and its TURN server."""
