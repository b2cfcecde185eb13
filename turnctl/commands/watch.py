"""`turnctl watch`: check again and again, serve metrics, and log what changed."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from turnctl.commands import stunservers
from turnctl.commands.errors import Failure, Misuse
from turnctl.commands.options import CheckOptions, Seconds, target_options
from turnctl.commands.stunservers import Server

if TYPE_CHECKING:
    from signalpost.iceservers import IceServer
    from turnctl.check.watch import Loop
    from turnctl.diagnosis.report import Report
    from turnctl.host.ownaddress import AddressWatch
    from turnctl.reports.exporter import Exporter

__all__ = ["watch"]

MAX_INTERVAL = 86_400.0


class _Listen(click.ParamType[tuple[str, int]]):
    name = "HOST:PORT"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})", str(value))
        if not found or int(found[3]) > 65535:
            self.fail(
                f"{value!r} isn't HOST:PORT, such as 127.0.0.1:9465 or [::1]:9465", param, ctx
            )
        return found[1] or found[2], int(found[3])


@click.command()
@target_options()
@click.option(
    "--interval",
    type=Seconds(1, MAX_INTERVAL),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between checks, varied at random by up to a tenth.",
)
@click.option(
    "--own-relay",
    is_flag=True,
    help="The relay is on this host: also check once an hour that clients are sent to this host's "
    "public address, and warn if not.",
)
@stunservers.options
@click.option(
    "--listen",
    type=_Listen(),
    default="127.0.0.1:9465",
    show_default=True,
    help="Where to serve /metrics and /healthz. Port 0 picks a free port.",
)
def watch(
    options: CheckOptions,
    interval: float,
    listen: tuple[str, int],
    own_relay: bool,
    stun: tuple[Server, ...],
    no_stun: bool,
) -> int:
    """Check TARGETs again and again, until SIGTERM or Ctrl-C.

    Takes the options of `check`, except --format, --output and --verbose. GET /metrics is for
    Prometheus. GET /healthz answers 200 if the last check did not fail and ended less than three
    intervals ago, and 503 otherwise. If a URL's verdict or findings change, standard output gets a
    line: a sentence on a terminal, JSON elsewhere. STUN servers are asked only with --own-relay.

    \b
    Exit status:
      0  ended by SIGTERM or Ctrl-C
      2  wrong usage
      3  could not start, for example because the port of --listen is taken
    """
    from turnctl.check.targets import TargetError
    from turnctl.check.watch import Loop
    from turnctl.host.addresses import host_port
    from turnctl.reports.exporter import Exporter, listening_socket
    from turnctl.reports.watchlog import WatchLog

    if "-" in options.targets:
        raise Misuse("standard input can be read only once: give watch a file instead of -")
    asked = stunservers.chosen(stun, no_stun)
    request = options.request()  # reports wrong usage before a port is taken
    try:
        sock = listening_socket(*listen)
    except OSError as error:
        raise Failure(
            f"--listen {host_port(*listen)}: {error.strerror or error}; "
            "give another with --listen HOST:PORT"
        ) from error
    exporter = Exporter(" ".join(request.targets), interval)
    log = WatchLog(click.echo, terminal=sys.stdout.isatty())
    with sock:
        here = host_port(*sock.getsockname()[:2])
        beside = [_address_watch(options, asked, log.address)] if own_relay and asked else []
        loop = Loop(_checks(options), exporter, log, interval)
        started = partial(log.started, request.targets, interval, here)
        try:
            asyncio.run(_until_signal(loop, exporter, sock, beside, started))
        except TargetError as error:
            raise Misuse(str(error)) from error
    return 0


def _checks(options: CheckOptions) -> Callable[[], Awaitable[Report]]:
    """Each check reads the secret and key files again: they may be rotated in between."""
    from turnctl.check.examine import examine
    from turnctl.check.targets import TargetError

    async def check() -> Report:
        try:
            request = options.request()
        except Misuse as error:
            raise TargetError(error.message) from error
        return await examine(request, lambda _: None)

    return check


def _address_watch(
    options: CheckOptions, asked: tuple[Server, ...], report: Callable[[str | None], None]
) -> AddressWatch:
    from turnctl.check.targets import read_target
    from turnctl.host import interfaces
    from turnctl.host.ownaddress import AddressWatch

    async def servers() -> list[IceServer]:
        request = options.request()
        patience = request.options.timeout
        found = [
            await read_target(target, request.access, context=request.context, patience=patience)
            for target in request.targets
        ]
        return [server for target in found for server in target.servers]

    return AddressWatch(lambda: interfaces.mapped_address(asked), servers, report)


async def _until_signal(
    loop: Loop,
    exporter: Exporter,
    sock: Any,
    beside: Sequence[AddressWatch],
    started: Callable[[], None],
) -> None:
    """Call `started` once a signal may come. Cancelling a check releases its allocations."""
    task = asyncio.ensure_future(loop.forever())
    others = [asyncio.ensure_future(one.forever()) for one in beside]
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    started()
    server = await exporter.serve(sock)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    finally:
        server.close()
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
