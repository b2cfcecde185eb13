"""`turnctl bench`: how much a relay carries, how fast, and what it loses."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from turnctl.commands.errors import Failure, Misuse
from turnctl.commands.options import CheckOptions, Seconds, Whole, target_options
from turnctl.commands.output import deliver, report_options

if TYPE_CHECKING:
    from signalpost.iceservers import IceServer
    from turnctl.check.examine import Request
    from turnctl.diagnosis.plan import Probe
    from turnctl.load.pairs import Measured, Wanted

__all__ = ["bench"]

MIN_SIZE, MAX_SIZE = 20, 1400
"""Bytes: a packet carries its number and departure, and shall not be fragmented on the way."""

MAX_PAIRS = 200
"""Two sockets a pair: below the 1024 open files that most systems allow."""

MAX_DURATION = 120.0
"""Seconds: a permission lasts 300 and is not renewed (RFC 8656 section 9)."""

Progress = Callable[["Measured"], None]


@click.command()
@target_options(without={"relay_only", "stun_echo", "audit"})
@click.option("--pairs", type=Whole(1, MAX_PAIRS), help="Pairs of allocations.")
@click.option(
    "--size",
    type=Whole(MIN_SIZE, MAX_SIZE),
    default=172,
    show_default=True,
    metavar="BYTES",
    help="Payload of a packet; 172 is 20 ms of G.711.",
)
@click.option("--window", type=Whole(1, 256), help="Packets a pair keeps under way: all that goes.")
@click.option("--rate", type=Whole(1, 10_000), help="Packets a second and pair, instead.")
@click.option(
    "--duration",
    type=Seconds(0.2, MAX_DURATION),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="For each URL.",
)
@click.option("--yes", is_flag=True, help="The server is mine, and may be loaded.")
@report_options("text", "json")
def bench(
    options: CheckOptions,
    pairs: int | None,
    size: int,
    window: int | None,
    rate: int | None,
    duration: float,
    yes: bool,
    format_: str,
    output: Path | None,
) -> int:
    """Send load through a relay, URL by URL: allocations and packets a second, round trips, loss.

    Takes TARGETs as `check` does. Packets go from relay to relay and back. On this machine 10 pairs
    send all that goes; to others 2 pairs send 50 packets a second each, and more needs --yes.

    \b
    Exit status:
      0  the load was made
      1  it was not granted, broke off, or nothing came back
      2  wrong usage
      3  the run could not be made
    """
    from turnctl.load.pairs import Wanted
    from turnctl.reports import load

    if window is not None and rate is not None:
        raise Misuse("give --window or --rate, not both")
    request = options.request()
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    rows = _run(request, Wanted(pairs, size, window, rate, duration), yes)
    if format_ == "json":
        text = load.as_json(" ".join(request.targets), started, rows)
    else:
        text = "\n".join(load.as_text(rows)) + "\n"
    deliver(text, output)
    failed = any(f.severity == "fail" for row in rows for f in load.findings(row))
    return 1 if failed or any(row.broke for row in rows) else 0


def _run(request: Request, wanted: Wanted, sure: bool) -> list[Measured]:
    from turnctl.check.targets import TargetError
    from turnctl.load.pairs import Limit

    async def run() -> list[Measured]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  we are in it
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with _progress(wanted.duration) as progress:
            return [one async for one in _measure(request, wanted, sure, progress)]

    try:
        return asyncio.run(run())
    except (TargetError, Limit) as error:
        raise Misuse(str(error)) from error
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)


async def _measure(
    request: Request, wanted: Wanted, sure: bool, progress: Progress
) -> AsyncIterator[Measured]:
    from turnctl.load import pairs
    from turnctl.wire import tls

    demands = []
    for probe in await _probes(request):
        address = await _address(probe, request.options.timeout)
        if address is not None:
            try:
                demand = pairs.limit(wanted, own=pairs.is_own(address), sure=sure)
            except pairs.Limit as error:
                raise pairs.Limit(f"{probe.uri.host} {error}") from None
            demands.append((probe, address, demand))
    if not demands:
        raise Failure("no TURN URL of the target has an address to reach: see turnctl check")
    context: ssl.SSLContext = tls.context(request.options.ca, verify=not request.options.insecure)
    for probe, address, demand in demands:
        yield await pairs.run(
            probe,
            address,
            demand,
            patience=request.options.timeout,
            context=context,
            progress=progress,
        )


async def _probes(request: Request) -> list[Probe]:
    """The relays of all targets. Raises TargetError or Failure."""
    from turnctl.check import targets
    from turnctl.diagnosis.plan import make_plan
    from turnctl.wire.outcome import Outcome

    servers: list[IceServer] = []
    for target in request.targets:
        source = await targets.read_target(
            target, request.access, context=request.context, patience=request.options.timeout
        )
        if source.issuer is not None and source.issuer.outcome is not Outcome.OK:
            said = f"{source.issuer.code or ''} {source.issuer.detail}".strip()
            raise Failure(f"target {target}: no iceServers from it: {said}; see turnctl check")
        servers += source.servers
    plan = make_plan(servers, families=request.families, relay_only=True)
    return [probe for probe in plan.probes if probe.uri.relays]


async def _address(probe: Probe, patience: float) -> str | None:
    from turnctl.wire.resolve import ResolutionFailed, resolve

    try:
        return next(iter(await resolve(probe.uri.host, probe.family, patience=patience)), None)
    except ResolutionFailed as error:
        raise Failure(f"{probe.uri.host}: {error}") from error


@contextmanager
def _progress(duration: float) -> Iterator[Progress]:
    """A bar a URL on standard error while it is a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    bars: dict[tuple[str, int], Any] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:

        def progress(one: Measured) -> None:
            key = (one.probe.url, one.probe.family)
            if key not in bars:
                bars[key] = shown.add_task(key[0], total=duration, said="")
            said = (
                f"{len(one.allocate_ms)} allocations, {one.packets_per_second:.0f} packets/s, "
                f"{one.megabits():.1f} Mbit/s, {one.sent - one.received} under way"
            )
            shown.update(bars[key], completed=one.seconds, said=said)

        yield progress
