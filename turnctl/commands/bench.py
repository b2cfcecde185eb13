"""`turnctl bench`: how much a relay carries, how fast, and how much it loses."""

from __future__ import annotations

import datetime
from pathlib import Path

import click

from turnctl.commands.errors import Misuse
from turnctl.commands.options import CheckOptions, Seconds, Whole, target_options
from turnctl.commands.output import deliver, report_options

__all__ = ["bench"]

MIN_SIZE, MAX_SIZE = 20, 1400
"""Bytes: a packet holds its number and the time it was sent, and must not be fragmented."""

MAX_PAIRS = 200
"""A pair needs two sockets, and most systems allow 1024 open files."""

MAX_DURATION = 120.0
"""Seconds: a permission lasts 300 and isn't renewed (RFC 8656 section 9)."""


@click.command()
@target_options(without={"relay_only", "stun_echo", "audit"})
@click.option("--pairs", type=Whole(1, MAX_PAIRS), help="Pairs of allocations.")
@click.option(
    "--size",
    type=Whole(MIN_SIZE, MAX_SIZE),
    default=172,
    show_default=True,
    metavar="BYTES",
    help="Payload of a packet. 172 is 20 ms of G.711.",
)
@click.option(
    "--window",
    type=Whole(1, 256),
    help="Packets in flight for each pair. Sends as fast as the relay allows.",
)
@click.option(
    "--rate", type=Whole(1, 10_000), help="Packets per second for each pair, instead of --window."
)
@click.option(
    "--duration",
    type=Seconds(0.2, MAX_DURATION),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to load each URL.",
)
@click.option("--yes", is_flag=True, help="The server is mine, and I accept the load on it.")
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
    """Load a relay and measure allocations and packets per second, round trips, and loss.

    Takes the same TARGETs as `check`, and loads one URL after the other. Packets go from relay to
    relay and back. By default a relay on this machine gets 10 pairs at full speed. Any other relay
    gets 2 pairs with 50 packets per second each; more than that needs --yes.

    \b
    Exit status:
      0  the load went through
      1  the relay refused it, it broke off, or nothing returned
      2  wrong usage
      3  the load could not be made
    """
    from turnctl.commands.running import run
    from turnctl.load.bench import measure
    from turnctl.load.pairs import Measured, Wanted
    from turnctl.reports import load
    from turnctl.reports.progress import progress

    if window is not None and rate is not None:
        raise Misuse("give --window or --rate, not both")
    request = options.request()
    wanted = Wanted(pairs, size, window, rate, duration)
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")

    async def measured() -> list[Measured]:
        with progress(duration) as update:
            return [one async for one in measure(request, wanted, sure=yes, progress=update)]

    rows = run(measured())
    if format_ == "json":
        text = load.as_json(" ".join(request.targets), started, rows)
    else:
        text = "\n".join(load.as_text(rows)) + "\n"
    deliver(text, output)
    failed = any(f.severity == "fail" for row in rows for f in load.findings(row))
    return 1 if failed or any(row.broke for row in rows) else 0
