"""`turnctl upgrade --next`: the next step of deploy/upgrade.

deploy/upgrade is a loop on the host, which may have nothing but the Docker client. In each turn it
sends what Docker shows there, gets one step and runs it. The steps that need no Docker run here, in
compose.yaml's `init` container, so no container needs Docker's socket.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnctl.commands.errors import Failure, Misuse
from turnctl.commands.options import Whole

if TYPE_CHECKING:
    from turnctl.setup.choices import Choices

__all__ = ["upgrade"]

IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}")
"""Stricter than Docker's references; none of these characters is special in a shell."""


@click.command(short_help="Print the next step of deploy/upgrade.")
@click.argument("image")
@click.option("--next", "next_", is_flag=True, help="Print the next step.")
@click.option(
    "--drain", default="7200", metavar="SECONDS", help="How long to wait for calls. Default: 7200."
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    default=Path("/var/lib/signalpost"),
    show_default=True,
    help="Data directory.",
)
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, dir_okay=False, readable=False),
    default=Path("/project/.env"),
    show_default=True,
    help="File that records the new image.",
)
@click.option(
    "--http-port", envvar="PORT", show_envvar=True, type=Whole(1, 65535), default=8080,
    show_default=True, help="Port of the service.",
)  # fmt: skip
@click.option(
    "--next-port", envvar="TURN_NEXT_PORT", show_envvar=True, type=Whole(1, 65535), default=3479,
    show_default=True, help="TURN port of the relay that the upgrade starts.",
)  # fmt: skip
@click.option(
    "--edge-socket", envvar="EDGE_SOCKET", show_envvar=True,
    type=click.Path(path_type=Path, dir_okay=False), default=Path("/run/edge/admin.sock"),
    show_default=True, help="The edge's runtime API.",
)  # fmt: skip
def upgrade(
    image: str,
    next_: bool,
    drain: str,
    directory: Path,
    env_file: Path,
    http_port: int,
    next_port: int,
    edge_socket: Path,
) -> None:
    """Print the next step of an upgrade of coturn to IMAGE, for the loop in deploy/upgrade.

    Don't run this yourself: run deploy/upgrade IMAGE on the host, which calls it in a loop. It
    reads what Docker reports there from standard input, and prints messages for the operator and
    one step from a fixed list.
    """
    if not next_:
        raise Misuse(f"run deploy/upgrade {image} on the host; it calls this command with --next")
    if not IMAGE.fullmatch(image):
        raise Misuse(f"{image!r} is not an image such as coturn/coturn:4.18.0-r0")
    if not re.fullmatch(r"[0-9]{1,7}", drain):
        raise Misuse(
            f"--drain (RELAY_DRAIN) {drain!r} is not a whole number of seconds, such as 7200"
        )
    from turnctl.host.files import Unusable
    from turnctl.upgrade.run import next_lines
    from turnctl.upgrade.work import Work

    work = Work(directory, env_file, http_port, next_port, edge_socket, choices_from=_choices_from)
    try:
        printed = next_lines(work, sys.stdin.read(), image, int(drain))
    except Unusable as error:
        raise Failure(str(error)) from error
    click.echo("\n".join(printed))


def _choices_from(arguments: Sequence[str]) -> Choices:
    """init's options from these arguments and compose.yaml's environment. Raises Unusable."""
    from turnctl.commands.init import choices_from
    from turnctl.host.files import Unusable

    try:
        return choices_from(arguments)
    except click.ClickException as error:
        raise Unusable(error.format_message()) from error
