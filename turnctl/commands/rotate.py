"""`turnctl rotate`: replace a secret while calls continue."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from turnctl.commands.errors import Failure
from turnctl.host.files import Unusable
from turnctl.rotation import run
from turnctl.rotation.proofs import RotationError
from turnctl.rotation.steps import Kind

__all__ = ["rotate"]


def _url(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.BadParameter(f"{value!r} isn't a URL such as http://127.0.0.1:8080")
    return value.rstrip("/")


@click.command()
@click.argument("word", type=click.Choice(["turn", "api", "token", "id"]), default="turn")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    default=Path(".signalpost"),
    show_default=True,
    help="Data directory that `turnctl init` made.",
)
@click.option(
    "--service",
    "url",
    metavar="URL",
    callback=_url,
    help="The service. Default: on this host, at the port in signalpost.yaml.",
)
@click.option(
    "--no-wait",
    is_flag=True,
    help="Return once the new secret is in use. A later run, or `turnctl init`, removes the old "
    "one.",
)
@click.option(
    "--revoke", is_flag=True, help="Remove the old secret at once: it leaked, or nobody uses it."
)
@click.option(
    "--yes", is_flag=True, help="For `rotate id`: confirm that every user and guest gets a new id."
)
def rotate(
    word: str, directory: Path, url: str | None, no_wait: bool, revoke: bool, yes: bool
) -> None:
    """Replace the TURN secret while calls continue, or replace the API, token or id key.

    The new secret is added beside the old one, proved by an allocation at every relay, and then
    used. The old one is removed when the last credential made with it has expired. If a run is
    interrupted, even by a power cut, the next one continues it.

    \b
    Exit status:
      0  done; with --no-wait: the new secret is in use
      2  wrong usage
      3  could not continue; what was valid stays valid. Run it again after the fix
    """
    kind = Kind[word.upper()]
    if kind is Kind.ID and (revoke or no_wait):
        raise click.UsageError("the id key is replaced at once: leave out --revoke and --no-wait")
    if kind is not Kind.ID and yes:
        raise click.UsageError("--yes is only for `turnctl rotate id`")
    if not directory.is_dir():
        raise Failure(f"{directory} doesn't exist; give the data directory with --dir")
    try:
        if kind is not Kind.ID:
            run.rotate(kind, directory, url, wait=not no_wait, revoke=revoke, say=click.echo)
            return
        click.echo(run.ID_EFFECT)
        if not yes:
            raise click.UsageError("nothing was changed; give --yes to replace the key")
        run.replace_id_key(directory, url, say=click.echo)
    except KeyboardInterrupt:
        click.echo("stopped; nothing is lost. Run this again to continue.", err=True)
        raise
    except (RotationError, Unusable) as error:
        raise Failure(str(error)) from error
