"""`turnctl upgrade --next`: the next step of deploy/upgrade.

deploy/upgrade is a loop on the host, which has the Docker client and maybe nothing else. Each turn
it sends what Docker shows there, gets one step, and runs it. The steps that need no Docker are
taken here, in a container of compose.yaml's `init`: so no container needs Docker's socket.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnctl.commands.errors import Failure, Misuse
from turnctl.commands.options import Whole

if TYPE_CHECKING:
    from turnctl.upgrade.facts import Host
    from turnctl.upgrade.work import Work

__all__ = ["upgrade"]

IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}")
"""Narrower than Docker's references are; no character of it means anything to a shell."""


@click.command(short_help="The next step of deploy/upgrade.")
@click.argument("image")
@click.option("--next", "next_", is_flag=True, help="Print the next step.")
@click.option("--drain", default="7200", metavar="SECONDS", help="How long calls are waited for.")
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
    help="Where the new image is recorded.",
)
@click.option(
    "--http-port", envvar="PORT", show_envvar=True, type=Whole(1, 65535), default=8080,
    show_default=True, help="Of the service.",
)  # fmt: skip
@click.option(
    "--next-port", envvar="TURN_NEXT_PORT", show_envvar=True, type=Whole(1, 65535), default=3479,
    show_default=True, help="Of the relay that an upgrade runs beside.",
)  # fmt: skip
def upgrade(
    image: str,
    next_: bool,
    drain: str,
    directory: Path,
    env_file: Path,
    http_port: int,
    next_port: int,
) -> None:
    """Print the next step of an upgrade of coturn to IMAGE, for the loop in deploy/upgrade.

    Run deploy/upgrade IMAGE on the host instead. Standard input is what Docker shows there; what is
    printed are lines to say, and one step out of a fixed list.
    """
    if not next_:
        raise Misuse(f"run deploy/upgrade {image} on the host; --next is what it asks")
    if not IMAGE.fullmatch(image):
        raise Misuse(f"{image!r} is not an image such as coturn/coturn:4.18.0-r0")
    if not re.fullmatch(r"[0-9]{1,7}", drain):
        raise Misuse(f"RELAY_DRAIN={drain} is not a number of seconds")
    from turnctl.host import files
    from turnctl.upgrade import facts
    from turnctl.upgrade.work import Work

    try:
        host = facts.read(sys.stdin.read())
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"what deploy/upgrade sent cannot be read: {error}") from error
    try:
        with files.locked(directory):
            pass
        _next(Work(directory, env_file, http_port, next_port), host, image, int(drain))
    except files.Unusable as error:
        raise Failure(str(error)) from error


def _next(work: Work, host: Host, image: str, patience: int) -> None:
    """Take steps until one is the host's, and print that."""
    from turnctl.upgrade.facts import Heard
    from turnctl.upgrade.moves import HERE, lines
    from turnctl.upgrade.steps import next_move

    done = Heard()
    while True:
        facts = work.facts(host, image, patience, done)
        move = next_move(facts)
        if move.note is not None or move.over:
            work.keep(move.note)
        said = lines(move)
        if move.step.verb not in HERE:
            click.echo("\n".join(said))
            return
        for line in said[:-1]:
            click.echo(line)
        done = work.do(move.step, replace(facts, note=work.note()))
        # What the host's last command printed has been judged.
        host = replace(host, heard=Heard())
