"""The command group of turnctl."""

from __future__ import annotations

import click

from turnctl.commands.lazy import LazyGroup

__all__ = ["turnctl"]

COMMANDS = {
    "bench": "Load a relay and measure it: packets per second, round trips, loss.",
    "check": "Prove that STUN and TURN work and carry data, or name the cause.",
    "doctor": "Look at this host from inside: containers, ports, configuration, secrets.",
    "edge": "Manage the TLS edge: its certificate, and which TURN server it prefers.",
    "init": "Write the secrets, the configuration and coturn's file for this host.",
    "inspect": "Read a TURN REST credential: its user, its expiry, and whether it's right.",
    "mint": "Make a TURN REST credential.",
    "nat": "Find out how the NAT here behaves, and what that means for calls.",
    "rotate": "Replace the TURN secret while calls continue, or the API, token or id key.",
    "upgrade": "Print the next step of deploy/upgrade, the script that upgrades coturn.",
    "watch": "Check again and again: metrics for Prometheus, and a line for each change.",
}
"""Name → its sentence in --help."""


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"turnctl {version('signalpost')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    sentences=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def turnctl() -> None:
    """Prove from anywhere that STUN and TURN work, or name what is wrong and how to fix it."""
