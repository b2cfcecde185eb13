"""The commands of `signalpost`: run the service, and show the effective settings."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml

import signalpost
from signalpost.config import readers
from signalpost.config.files import SettingsFiles
from signalpost.config.loading import ConfigError, find_config, load, show
from signalpost.config.settings import Settings

__all__ = ["Failure", "command"]

EXIT_CONFIG = 2


class Failure(click.ClickException):
    """The command couldn't do its job. Exit status 3."""

    exit_code = 3


def _reads(read: readers.Reader) -> Callable[..., Any]:
    """A click callback that accepts the same values as a setting."""

    def callback(_: click.Context, __: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        try:
            return read(yaml.ScalarNode("tag:yaml.org,2002:str", value))
        except readers.Unusable as unusable:
            raise click.BadParameter(str(unusable)) from None

    return callback


_CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: $SIGNALPOST_CONFIG, otherwise the first that exists of"
    " ./.signalpost/signalpost.yaml and /var/lib/signalpost/signalpost.yaml.",
)


@click.group("signalpost", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(signalpost.__version__, prog_name="signalpost")
def command() -> None:
    """Signaling, TURN credentials and iceServers for WebRTC."""


def _settings(read: Callable[[], Settings]) -> Settings:
    try:
        return read()
    except ConfigError as error:
        for mistake in error.mistakes:
            click.echo(f"signalpost: {mistake}", err=True)
        sys.exit(EXIT_CONFIG)


@command.command()
@_CONFIG
@click.option(
    "--host",
    metavar="ADDRESS",
    callback=_reads(readers.host),
    help="Address to listen on. Overrides http.host.",
)
@click.option(
    "--port",
    metavar="PORT",
    callback=_reads(readers.integer(0, 65_535)),
    help="Port to listen on. Overrides http.port; 0 picks a free one.",
)
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

    files = SettingsFiles(read)
    settings = _settings(files.load)

    # Imported late: `signalpost config` and --help don't need them, and without the extra `server`
    # they aren't installed.
    try:
        import uvloop

        from signalpost import logs
        from signalpost.server import process as server
    except ModuleNotFoundError as error:
        raise Failure(
            f"{error.name} is not installed: the service needs the extra `server`, as in"
            " pip install '.[server]' in a checkout"
        ) from error

    logs.configure(settings.log)
    try:
        uvloop.run(server.serve(settings, files))
    except server.CannotListen as error:
        raise Failure(str(error)) from None


@command.command()
@_CONFIG
def config(path: Path | None) -> None:
    """Print the effective settings, with secrets masked."""
    settings = _settings(lambda: load(path or find_config(os.environ), os.environ))
    try:
        click.echo(show(settings), nl=False)
    except OSError as error:
        sys.stdout = None  # otherwise writing its buffer would fail again at exit
        raise Failure(f"standard output: {error.strerror}") from None
