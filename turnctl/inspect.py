"""`turnctl inspect`: what a TURN REST credential says, and whether it is right."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import click

from signalpost import credentials
from signalpost.credentials import Verdict
from turnctl.commands import Misuse
from turnctl.secretfile import SecretFileError, read_secrets

__all__ = ["inspect"]


@click.command()
@click.argument("username")
@click.argument("credential", required=False)
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The shared secret: tells whether the credential was made with it.",
)
def inspect(username: str, credential: str | None, secret_file: Path | None) -> int:
    """Read a TURN REST credential: whose it is, until when, and whether it is right.

    \b
    Exit status: 0 valid as far as can be told · 1 expired, wrong, or without timestamp · 2 usage
    """
    if credential is not None and secret_file is None:
        raise Misuse("to judge the credential, give --secret-file FILE too")
    if secret_file is not None and credential is None:
        raise Misuse("--secret-file judges a credential: give it after the username")
    try:
        secrets = read_secrets(secret_file) if secret_file is not None else []
    except SecretFileError as error:
        raise Misuse(str(error)) from error
    now = time.time()
    parts = credentials.read_username(username)
    click.echo(f"user     {parts.user or '(none)'}")
    if parts.expires is None:
        click.echo("expires  never: no timestamp, so this is a static user's name")
        verdict = Verdict.NO_TIMESTAMP
    else:
        click.echo(f"expires  {_moment(parts.expires)} ({_distance(parts.expires - now)})")
        verdict = Verdict.VALID if parts.expires > now else Verdict.EXPIRED
    if credential is not None:
        verdict = credentials.verify(secrets, username, credential, now=now)
    click.echo(f"verdict  {verdict}")
    return 0 if verdict is Verdict.VALID else 1


def _moment(expires: int) -> str:
    try:
        return datetime.datetime.fromtimestamp(expires, datetime.UTC).isoformat()
    except (OverflowError, ValueError):
        return f"Unix time {expires}"


def _distance(seconds: float) -> str:
    whole = abs(int(seconds))
    text = f"{whole // 86_400} d " if whole >= 86_400 else ""
    text += f"{whole % 86_400 // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"in {text}" if seconds > 0 else f"{text} ago"
