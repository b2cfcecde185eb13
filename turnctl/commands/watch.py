"""`turnctl watch`: check again and again, export what was found, and say what changed.

Owns the loop and its log. Nothing that a check meets may end the loop: a target that is down is a
finding, and a check that cannot be made is one line and the next check.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import random
import re
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from turnctl.commands import stunservers
from turnctl.commands.errors import Failure, Misuse
from turnctl.commands.options import CheckOptions, Seconds, target_options
from turnctl.commands.stunservers import Server

if TYPE_CHECKING:
    from signalpost.iceservers import IceServer
    from turnctl.diagnosis.changes import Change, Key, Standing
    from turnctl.diagnosis.report import Report
    from turnctl.host.ownaddress import AddressWatch
    from turnctl.reports.exporter import Exporter

__all__ = ["Log", "Loop", "watch"]

JITTER = 0.1
"""Watches that were started together shall not go on asking together."""

MIN_PAUSE = 0.5
"""Seconds between the end of a check and the next, however long it took."""

LONGEST_CHECK = 600.0
"""Seconds: no check takes ten minutes, so one that does hangs, and is given up."""

MAX_INTERVAL = 86_400.0


class _Listen(click.ParamType[tuple[str, int]]):
    name = "HOST:PORT"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})", str(value))
        if not found or int(found[3]) > 65535:
            self.fail(f"{value!r} is not HOST:PORT, as in 127.0.0.1:9465 or [::1]:9465", param, ctx)
        return found[1] or found[2], int(found[3])


@click.command()
@target_options()
@click.option(
    "--interval",
    type=Seconds(1, MAX_INTERVAL),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="From check to check, give or take a tenth.",
)
@click.option(
    "--own-relay",
    is_flag=True,
    help="The relay is on this host: also tell, looking hourly, when clients are led to another "
    "address than this host's.",
)
@stunservers.options
@click.option(
    "--listen",
    type=_Listen(),
    default="127.0.0.1:9465",
    show_default=True,
    help="Where /metrics and /healthz are served; port 0 takes a free one.",
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

    Takes what `check` takes. GET /metrics is for Prometheus; GET /healthz answers 200 while the
    last check did not fail and is younger than three intervals, 503 otherwise. Standard output gets
    a line when a URL's verdict or findings change, as JSON where it is no terminal. STUN servers
    are asked with --own-relay alone.

    \b
    Exit status:
      0  ended by SIGTERM or Ctrl-C
      2  wrong usage
      3  could not start, as when the port of --listen is taken
    """
    from turnctl.reports.exporter import Exporter, listening_socket

    if "-" in options.targets:
        raise Misuse("standard input can be read only once: give watch a file instead of -")
    asked = stunservers.chosen(stun, no_stun)
    request = options.request()  # refuses what is mistyped, before a port is taken
    host, port = listen
    try:
        sock = listening_socket(host, port)
    except OSError as error:
        raise Failure(
            f"--listen {_endpoint(host, port)}: {error.strerror or error}; "
            "give another with --listen HOST:PORT"
        ) from error
    exporter = Exporter(" ".join(request.targets), interval)
    log = Log(sys.stdout.isatty())
    with sock:
        here = _endpoint(*sock.getsockname()[:2])
        beside = [_address_watch(options, asked, log)] if own_relay and asked else []
        loop = Loop(_checks(options), exporter, log, interval)
        started = partial(log.started, request.targets, interval, here)
        asyncio.run(_watch(loop, exporter, sock, beside, started))
    return 0


def _endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _checks(options: CheckOptions) -> Callable[[], Awaitable[Report]]:
    """Reads secret and key files anew for each check: they may be rotated in the meantime."""
    from turnctl.check.examine import examine

    return lambda: examine(options.request(), lambda _: None)


def _address_watch(options: CheckOptions, asked: tuple[Server, ...], log: Log) -> AddressWatch:
    from turnctl.check import targets
    from turnctl.host import interfaces
    from turnctl.host.ownaddress import AddressWatch

    async def servers() -> list[IceServer]:
        request = options.request()
        loaded = [
            await targets.read_target(
                target, request.access, context=request.context, patience=request.options.timeout
            )
            for target in request.targets
        ]
        return [server for source in loaded for server in source.servers]

    return AddressWatch(lambda: interfaces.mapped_address(asked), servers, log.led_astray)


async def _watch(
    run: Loop,
    exporter: Exporter,
    sock: Any,
    beside: Sequence[AddressWatch],
    started: Callable[[], None],
) -> None:
    """Until a signal comes; `started` is told once it may. Cancelling a check releases its
    allocations.
    """
    task = asyncio.ensure_future(run.forever())
    others = [asyncio.ensure_future(one.forever()) for one in beside]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
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


@dataclass(slots=True)
class Loop:
    """The loop. `check` makes one check; `chance` gives 0 to 1."""

    check: Callable[[], Awaitable[Report]]
    exporter: Exporter
    log: Log
    interval: float
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def forever(self) -> None:
        """Check, tell, wait. The first check may still find that the targets are wrong: Misuse."""
        from turnctl.check.examine import NothingLeft
        from turnctl.check.targets import TargetError

        known: dict[Key, Standing] = {}
        trouble = ""
        first = True
        while True:
            begun = self.clock()
            try:
                async with asyncio.timeout(LONGEST_CHECK):
                    report = await self.check()
            except Exception as error:
                if first and isinstance(error, TargetError | NothingLeft):
                    raise Misuse(str(error)) from error
                self.exporter.broke_off()
                if (said := _said(error)) != trouble:
                    trouble = said
                    self.log.broke_off(said, error)
            else:
                trouble = ""
                known = self._tell(known, report)
            first = False
            await self.sleep(self._pause(begun))

    def _tell(self, known: dict[Key, Standing], report: Report) -> dict[Key, Standing]:
        from turnctl.diagnosis.changes import changes, standings

        self.exporter.checked(report)
        now = standings(report)
        for one in changes(known, now):
            self.log.changed(one)
        return now

    def _pause(self, begun: float) -> float:
        """Seconds to wait: intervals run from start to start."""
        interval = self.interval * (1 - JITTER + 2 * JITTER * self.chance())
        return max(MIN_PAUSE, begun + interval - self.clock())


def _said(error: Exception) -> str:
    """A group tells what went wrong in it first."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, TimeoutError) and not str(error):
        return f"it was not over in {LONGEST_CHECK:g} s"
    return f"{type(error).__name__}: {error}"


class Log:
    """One line an event on standard output: text on a terminal, JSON elsewhere."""

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal

    def started(self, targets: tuple[str, ...], interval: float, listen: str) -> None:
        said = f"watching {' '.join(targets)} every {interval:g} s, http://{listen}/metrics"
        self._write("started", said, targets=list(targets), intervalS=interval, listen=listen)

    def changed(self, one: Change) -> None:
        where = f"{one.url} IPv{one.family}" if one.family else one.url
        codes = " ".join(one.now.codes)
        said = " ".join(filter(None, [one.now.verdict.upper().ljust(4), where, codes]))
        if one.was is not None:
            said += f" (was {' '.join([one.was.verdict.upper(), *one.was.codes])})"
        self._write(
            "changed",
            f"{said}: {one.now.cause}" if one.now.cause else said,
            url=one.url,
            family=one.family,
            verdict=one.now.verdict,
            codes=list(one.now.codes),
            was=one.was.verdict if one.was else None,
            wasCodes=list(one.was.codes) if one.was else None,
            summary=one.now.cause or None,
        )

    def broke_off(self, said: str, error: Exception) -> None:
        frames = "".join(traceback.format_exception(error))
        self._write(
            "broke-off", f"the check could not be made: {said}", error=said, traceback=frames
        )

    def led_astray(self, wrong: str | None) -> None:
        said = f"WARN {wrong}" if wrong else "PASS clients are led to this host again"
        self._write("address", said, verdict="warn" if wrong else "pass", summary=wrong)

    def _write(self, event: str, said: str, **fields: Any) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        if self._terminal:
            # A server's words are quoted in it, and a terminal obeys control characters.
            line = "".join(c if c.isprintable() else " " for c in f"{now} {said}")
        else:
            entry = {"time": now, "event": event, **fields}
            line = json.dumps({k: v for k, v in entry.items() if v is not None})
        try:
            click.echo(line)
        except BrokenPipeError:
            raise  # nobody is there any more
        except OSError:
            pass  # a full disk keeps nobody from asking for the metrics
