"""A group whose commands are imported when they run, so that --help is instant."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

__all__ = ["LazyGroup"]


class LazyGroup(click.Group):
    """`sentences` has a sentence for --help by the command's name. The command is the object of
    that name in the module of that name.
    """

    def __init__(self, *args: Any, sentences: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sentences = sentences

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._sentences)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._sentences:
            return None
        command = getattr(import_module(f"turnctl.commands.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101  true of every command module
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._sentences.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self._sentences and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}; the commands are {', '.join(self._sentences)}")
        return super().resolve_command(ctx, args)
