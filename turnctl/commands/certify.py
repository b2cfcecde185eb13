"""`turnctl edge certify`: gets the edge's certificate and keeps it valid while it runs."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import click

from turnctl.commands.errors import Misuse
from turnctl.commands.options import Option, Whole, options_of
from turnctl.deployment.domain import parse as parse_domain
from turnctl.deployment.edge.keep import Certification, keep
from turnctl.deployment.edge.source import utc_now

__all__ = ["certify"]

_DEFAULT = Certification()
_PORT = Whole(1, 65535)
_FILE = click.Path(path_type=Path, dir_okay=False)


def _option(name: str, variable: str, **more: Any) -> Option:
    return click.option(name, envvar=variable, show_envvar=True, **more)


def _domain(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if not value:
        return None
    try:
        return parse_domain(value)
    except ValueError as error:
        raise Misuse(str(error)) from None


OPTIONS: dict[str, Option] = {
    "domain": _option(
        "--domain", "DOMAIN", callback=_domain, help="Name that the certificate is for."
    ),
    "email": _option("--email", "ACME_EMAIL", help="Contact address for the CA; optional."),
    "acme_directory": _option(
        "--acme-directory",
        "ACME_DIRECTORY",
        metavar="URL",
        default=_DEFAULT.acme_directory,
        show_default=True,
        help="The CA.",
    ),
    "acme_ca_file": _option(
        "--acme-ca-file",
        "ACME_CA_FILE",
        type=_FILE,
        help="Root certificate for a private CA's own HTTPS.",
    ),
    "acme_port": _option(
        "--acme-port",
        "ACME_PORT",
        type=_PORT,
        default=_DEFAULT.acme_port,
        show_default=True,
        help="Port on 127.0.0.1 to which the edge forwards the challenges from port 80.",
    ),
    "certificate_file": _option(
        "--certificate-file",
        "CERTIFICATE_FILE",
        type=_FILE,
        help="Your own certificate with its chain, PEM. No CA is asked then.",
    ),
    "certificate_key_file": _option(
        "--certificate-key-file",
        "CERTIFICATE_KEY_FILE",
        type=_FILE,
        help="Its key, if it is in another file.",
    ),
    "https_port": _option(
        "--https-port",
        "HTTPS_PORT",
        type=_PORT,
        default=_DEFAULT.https_port,
        show_default=True,
        help="Port where the edge serves TLS.",
    ),
    "directory": click.option(
        "--dir",
        "directory",
        # acme may enter this directory but not read it.
        type=click.Path(path_type=Path, file_okay=False, readable=False),
        default=_DEFAULT.directory,
        show_default=True,
        help="Data directory: certificates/edge.pem is written, acme/ is lego's.",
    ),
    "socket": _option(
        "--socket",
        "EDGE_SOCKET",
        type=_FILE,
        default=_DEFAULT.socket,
        show_default=True,
        help="The edge's runtime API.",
    ),
}
"""Field of Certification → its option."""


@click.command(short_help="Get, renew and load the certificate without a dropped connection.")
@options_of(Certification, OPTIONS)
def certify(wanted: Certification) -> int:
    """Get the edge's certificate, renew it, and load it without dropping a connection.

    Runs until SIGTERM or Ctrl-C. SIGHUP renews now. A certificate is renewed 30 days before it
    expires, or when a third of its lifetime is left if that is later. With --certificate-file, your
    file is loaded whenever it changes.

    \b
    Exit status:
      0  ended by SIGTERM or Ctrl-C
      2  wrong usage
    """
    try:
        keeper = wanted.keeper(_log)
    except ValueError as error:
        raise Misuse(str(error)) from None
    asyncio.run(keep(keeper))
    return 0


def _log(event: str, message: str, detail: str) -> None:
    """One line for an event on standard output: text on a terminal, JSON elsewhere."""
    now = utc_now().isoformat(timespec="milliseconds")
    if sys.stdout.isatty():
        click.echo("".join(c if c.isprintable() else " " for c in f"{now} {message}"))
    else:
        entry = {"time": now, "event": event, "message": message, "detail": detail}
        click.echo(json.dumps({key: value for key, value in entry.items() if value}))
