"""The command `signalpost`: serve, and show the effective settings.

Exit status: 0 ended as asked · 2 wrong usage or configuration · 3 a listener cannot be opened.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

import signalpost
from signalpost.config import ConfigError, find_config, load, show
from signalpost.settings import Settings
from signalpost.sources import Sources

__all__ = ["main"]

EXIT_CONFIG = 2
EXIT_LISTEN = 3

_CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: $SIGNALPOST_CONFIG, ./.signalpost/signalpost.yaml or"
    " /var/lib/signalpost/signalpost.yaml, whichever is there first.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(signalpost.__version__, prog_name="signalpost")
def main() -> None:
    """Signaling, TURN credentials and iceServers for WebRTC."""


def _settings(read: Callable[[], Settings]) -> Settings:
    try:
        return read()
    except ConfigError as error:
        for mistake in error.mistakes:
            click.echo(f"signalpost: {mistake}", err=True)
        sys.exit(EXIT_CONFIG)


@main.command()
@_CONFIG
@click.option("--host", help="Address to listen on, instead of http.host.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port, instead of http.port.")
def serve(path: Path | None, host: str | None, port: int | None) -> None:
    """Run the service until SIGTERM or Ctrl-C."""
    path = path or find_config(os.environ)

    def read(opening: Callable[[Path], object]) -> Settings:
        settings = load(path, os.environ, opening)
        http = settings.http
        http = dataclasses.replace(
            http, host=host or http.host, port=http.port if port is None else port
        )
        return dataclasses.replace(settings, http=http)

    sources = Sources(read)
    settings = _settings(sources.load)

    # Imported late: `signalpost config` and --help need none of it.
    import uvloop

    from signalpost import logs
    from signalpost.web import server

    logs.configure(settings.log)
    try:
        uvloop.run(server.serve(settings, sources))
    except server.CannotListen as error:
        click.echo(f"signalpost: {error}", err=True)
        sys.exit(EXIT_LISTEN)


@main.command()
@_CONFIG
def config(path: Path | None) -> None:
    """Print the effective settings, secrets masked."""
    settings = _settings(lambda: load(path or find_config(os.environ), os.environ))
    click.echo(show(settings), nl=False)
