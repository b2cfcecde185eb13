"""`turnctl inspect`: reads a TURN REST credential, and finds its issuer's mistake."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import click

from signalpost import credentials
from signalpost.credentials import Verdict
from signalpost.secretfile import SecretFileError, read_secrets
from turnctl.commands.errors import Misuse
from turnctl.diagnosis import mistakes
from turnctl.reports.text import printable

__all__ = ["inspect"]

UNEXPLAINED = (
    "unknown. No known mistake makes this password from this user name and this secret. Most "
    "likely the issuer has another secret"
)


@click.command()
@click.argument("username")
@click.argument("credential", required=False)
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The shared secret, to check whether the credential was made with it.",
)
def inspect(username: str, credential: str | None, secret_file: Path | None) -> int:
    """Read a TURN REST credential: its user, its expiry, and whether it's right.

    With the secret it also finds out why a credential is wrong. It tries the known mistakes of
    issuers, names the one that gives this credential, and says what to change in the issuer.

    \b
    Exit status:
      0  valid, as far as can be seen without the server
      1  expired, wrong, or without a timestamp
      2  wrong usage
    """
    if credential is not None and secret_file is None:
        raise Misuse("checking a credential needs the secret: give --secret-file FILE too")
    if secret_file is not None and credential is None:
        raise Misuse("--secret-file checks a credential: give the credential after the username")
    try:
        secrets = read_secrets(secret_file) if secret_file is not None else []
    except SecretFileError as error:
        raise Misuse(str(error)) from error
    if any("\ud800" <= one <= "\udfff" for one in username + (credential or "")):
        raise Misuse("username and credential must be UTF-8")
    now = time.time()
    parts = credentials.read_username(username)
    found = mistakes.diagnose(secrets, username, credential or "")
    click.echo(f"user     {printable(parts.user) or '(none)'}")
    click.echo(f"expires  {_expiry(parts.expires, now, found)}")
    if parts.expires is None:
        verdict = Verdict.NO_TIMESTAMP
    else:
        alive = credentials.in_32_bits(parts.expires) > now
        verdict = Verdict.VALID if alive else Verdict.EXPIRED
    if credential is not None:
        verdict = credentials.verify(secrets, username, credential, now=now)
    if verdict is Verdict.VALID and found:
        verdict = Verdict.MALFORMED
    click.echo(f"verdict  {verdict}")
    for one in (mistakes.MISTAKES[name] for name in found):
        click.echo(f"cause    {one.said}")
        click.echo(f"fix      {one.fix}")
    if verdict is Verdict.WRONG_PASSWORD and not found:
        click.echo(f"cause    {UNEXPLAINED}")
    return 0 if verdict is Verdict.VALID else 1


def _expiry(expires: int | None, now: float, found: tuple[str, ...]) -> str:
    if expires is None and found:
        return "unknown: coturn finds no time in this name"
    if expires is None:
        return "never: without a timestamp this is a static user's name"
    return f"{_moment(expires)} ({_distance(expires - now)})"


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
