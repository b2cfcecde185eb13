"""The command group. A command's module is imported when that command runs, and not for --help:
starting turnctl has to be instant.
"""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["turnctl"]

COMMANDS = {
    "bench": "Load through the relay: allocations, packets and bits a second, round trips, loss.",
    "check": "Prove that STUN and TURN work and carry data, or name why not.",
    "doctor": "Look at this host from inside: containers, ports, configuration, secrets.",
    "edge": "The TLS edge: its certificate, and which TURN server it prefers.",
    "init": "Write secrets, configuration and coturn's file for this host.",
    "inspect": "Read a TURN REST credential: whose, how long, and whether it is right.",
    "mint": "Make a TURN REST credential.",
    "nat": "Tell how the NAT here behaves, and what that means for calls.",
    "rotate": "Change the TURN secret while calls go on; or the API, token or id key.",
    "upgrade": "The next step of deploy/upgrade, which gives a deployment another coturn.",
    "watch": "Check again and again: metrics for Prometheus, and a line when something changes.",
}
"""Name → what --help says; the command is the object of that name in the module of that name."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"turnctl.commands.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101  ours by construction
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}; there are {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"turnctl {version('signalpost')}")
        ctx.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def turnctl() -> None:
    """Prove from anywhere that STUN and TURN work, or name what is wrong and how to mend it."""
