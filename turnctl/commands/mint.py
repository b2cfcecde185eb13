"""`turnctl mint`: makes a TURN REST credential from the shared secret."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from signalpost import credentials
from signalpost.iceservers import IceServer, IceUriError, parse_uri
from signalpost.secretfile import SecretFileError, read_secrets
from turnctl.commands.errors import Misuse
from turnctl.commands.options import Whole

__all__ = ["mint"]

MAX_TTL = 10 * 365 * 86_400


@click.command()
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The shared secret, mode 0600 (- is standard input).",
)
@click.option(
    "--user", default="", help="User name, after the timestamp. coturn counts quotas by it."
)
@click.option(
    "--ttl",
    type=Whole(1, MAX_TTL),
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="How long the credential is valid for new allocations.",
)
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="URI",
    help="Print iceServers with this URL. Can be repeated.",
)
def mint(secret_file: Path, user: str, ttl: int, urls: tuple[str, ...]) -> None:
    """Make a TURN REST credential (draft-uberti-behave-turn-rest-00).

    Prints username, credential and expiry as JSON. With --url it prints iceServers, which you can
    check at once: `turnctl mint … --url turn:HOST | turnctl check -`.
    """
    try:
        for url in urls:
            parse_uri(url)
        made = credentials.mint(read_secrets(secret_file), user, now=time.time(), ttl=ttl)
    except (SecretFileError, IceUriError, ValueError) as error:
        raise Misuse(str(error)) from error
    document: dict[str, object]
    if urls:
        server = IceServer(urls, made.username, made.password)
        document = {"iceServers": [server.as_json()], "ttl": made.ttl, "expires": made.expires}
    else:
        document = {
            "username": made.username,
            "credential": made.password,
            "ttl": made.ttl,
            "expires": made.expires,
        }
    click.echo(json.dumps(document, indent=2))
