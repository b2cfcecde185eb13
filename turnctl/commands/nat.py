"""`turnctl nat`: how the NAT in front of this machine behaves, and what that means for calls."""

from __future__ import annotations

import datetime
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from signalpost.iceservers import IceUriError, parse_uri
from turnctl.commands.errors import Failure
from turnctl.commands.options import MAX_TIMEOUT, CheckOptions, Seconds, target_options
from turnctl.commands.output import deliver, report_options

__all__ = ["nat"]


def _only_uris(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> Any:
    for text in given:
        try:
            parse_uri(text)
        except IceUriError as error:
            raise click.BadParameter(str(error), ctx, param) from error
    return given


@click.command()
@target_options(
    without={"secret_file", "username", "credential", "relay_only", "stun_echo", "audit"},
    instead={
        "api_key_file": click.option(
            "--api-key-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="An API key of the service that issues the iceServers.",
        ),
        "timeout": click.option(
            "--timeout",
            type=Seconds(0.5, MAX_TIMEOUT),
            default=2.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait for an answer.",
        ),
    },
)
@click.option(
    "--stun",
    multiple=True,
    metavar="URI",
    callback=_only_uris,
    help="A STUN server to ask, such as stun:stun.example.org. Can be repeated.",
)
@report_options("text", "json")
def nat(options: CheckOptions, stun: tuple[str, ...], format_: str, output: Path | None) -> int:
    """Find out how the NAT in front of this machine behaves, and what that means for calls.

    TARGET is a service's URL, a stun:, turn: or turns: URI, or a JSON file with iceServers. One
    server that supports RFC 5780 shows both mapping and filtering; two other servers show the
    mapping.

    \b
    Exit status:
      0  the NAT's behaviour is known
      1  it is unknown: UDP is blocked, or there are too few servers
      2  wrong usage
      3  no server could be asked
    """
    from turnctl.check.nat import examine_nat
    from turnctl.commands.running import run
    from turnctl.reports.nat import as_json, as_text

    request = replace(options, targets=options.targets + stun).request()
    started, begun = datetime.datetime.now(datetime.UTC), time.monotonic()
    found = run(examine_nat(request))
    if not any(one.behaviour for one in found):
        raise Failure("; ".join(f"IPv{one.family}: {one.skipped}" for one in found))
    if format_ == "json":
        started_at = started.isoformat(timespec="milliseconds")
        elapsed_ms = (time.monotonic() - begun) * 1000
        text = as_json(" ".join(request.targets), started_at, elapsed_ms, found)
    else:
        text = as_text(found)
    deliver(text, output)
    return 0 if any(one.behaviour and one.behaviour.is_known for one in found) else 1
