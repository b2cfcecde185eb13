"""`turnctl edge certify`: keeps the edge's certificate, for as long as it runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

import click

from turnctl.commands.errors import Misuse
from turnctl.commands.options import Whole
from turnctl.deployment.domain import parse as parse_domain
from turnctl.deployment.edge.acme import LETS_ENCRYPT, Acme, Ca
from turnctl.deployment.edge.keeper import Keeper
from turnctl.deployment.edge.runtime import Edge
from turnctl.deployment.edge.source import Own, Source, utc_now

__all__ = ["certify"]

PORT = Whole(1, 65535)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Get the certificate, renew it, load it without a dropped connection.")
@click.option("--domain", envvar="DOMAIN", show_envvar=True, help="The name it is for.")
@click.option(
    "--email", envvar="ACME_EMAIL", show_envvar=True, help="Whom the CA may write to; optional."
)
@click.option(
    "--acme-directory",
    "directory",
    metavar="URL",
    envvar="ACME_DIRECTORY",
    show_envvar=True,
    default=LETS_ENCRYPT,
    show_default=True,
    help="The CA.",
)
@click.option(
    "--acme-ca-file",
    "ca_file",
    type=FILE,
    envvar="ACME_CA_FILE",
    show_envvar=True,
    help="Root that the CA's own HTTPS is checked with, where it is a private one.",
)
@click.option(
    "--acme-port",
    type=PORT,
    envvar="ACME_PORT",
    show_envvar=True,
    default=5002,
    show_default=True,
    help="On 127.0.0.1, where the edge sends the challenges from port 80.",
)
@click.option(
    "--certificate-file",
    type=FILE,
    envvar="CERTIFICATE_FILE",
    show_envvar=True,
    help="A certificate of your own with its chain, PEM: no CA is asked then.",
)
@click.option(
    "--certificate-key-file",
    type=FILE,
    envvar="CERTIFICATE_KEY_FILE",
    show_envvar=True,
    help="Its key, unless it is in the same file.",
)
@click.option(
    "--https-port",
    type=PORT,
    envvar="HTTPS_PORT",
    show_envvar=True,
    default=443,
    show_default=True,
    help="Where the edge serves TLS.",
)
@click.option(
    "--dir",
    "home",
    # acme enters this directory, and is not to read it.
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    default=Path("/var/lib/signalpost"),
    show_default=True,
    help="Data directory: certificates/edge.pem is written, acme/ is lego's.",
)
@click.option(
    "--socket",
    type=FILE,
    envvar="EDGE_SOCKET",
    show_envvar=True,
    default=Path("/run/edge/admin.sock"),
    show_default=True,
    help="The edge's runtime API.",
)
def certify(
    domain: str | None,
    email: str | None,
    directory: str,
    ca_file: Path | None,
    acme_port: int,
    certificate_file: Path | None,
    certificate_key_file: Path | None,
    https_port: int,
    home: Path,
    socket: Path,
) -> int:
    """Get the edge's certificate, renew it, and load it without dropping a connection.

    Runs until SIGTERM or Ctrl-C. SIGHUP renews now. It renews 30 days before the end, or at a third
    of the lifetime of a short one. With --certificate-file it takes over your file whenever that
    changes.

    \b
    Exit status:
      0  ended by SIGTERM or Ctrl-C
      2  wrong usage
    """
    if not domain:
        raise Misuse("no name: give --domain, or set DOMAIN (in .env: DOMAIN=turn.example.org)")
    try:
        domain = parse_domain(domain)
    except ValueError as error:
        raise Misuse(str(error)) from None
    if certificate_key_file and not certificate_file:
        raise Misuse("--certificate-key-file goes with --certificate-file")
    if not directory.startswith("https://"):
        raise Misuse(f"ACME directory {directory!r} is no https:// URL")
    source: Source
    if certificate_file:
        source = Own(domain, certificate_file, certificate_key_file)
    else:
        source = Acme(domain, Ca(directory, email, ca_file), home / "acme", acme_port)
    keeper = Keeper(
        domain,
        home / "certificates" / "edge.pem",
        source,
        Edge(socket, https_port),
        _log,
    )
    asyncio.run(_keep(keeper, source))
    return 0


async def _keep(keeper: Keeper, source: Source) -> None:
    """Until a signal comes; cancelling ends lego too."""
    asked = asyncio.Event()
    task = asyncio.ensure_future(_forever(keeper, asked))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)

    def renew() -> None:
        source.insist()
        asked.set()

    loop.add_signal_handler(signal.SIGHUP, renew)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _forever(keeper: Keeper, asked: asyncio.Event) -> None:
    while True:
        asked.clear()
        pause = await keeper.look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await asked.wait()


def _log(event: str, said: str, detail: str) -> None:
    """One line an event on standard output: text on a terminal, JSON elsewhere."""
    now = utc_now().isoformat(timespec="milliseconds")
    if sys.stdout.isatty():
        click.echo("".join(c if c.isprintable() else " " for c in f"{now} {said}"))
    else:
        entry = {"time": now, "event": event, "message": said, "detail": detail}
        click.echo(json.dumps({key: value for key, value in entry.items() if value}))
