"""`turnctl check`: one examination, its report and its exit status."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnctl.commands.errors import Misuse
from turnctl.commands.options import CheckOptions, target_options
from turnctl.commands.output import deliver, report_options

if TYPE_CHECKING:
    from turnctl.check.examine import Request
    from turnctl.diagnosis.observations import Observation
    from turnctl.diagnosis.report import Report

__all__ = ["check"]


@click.command()
@target_options()
@report_options("text", "json", "junit", "prometheus", "nagios")
@click.option("-v", "--verbose", is_flag=True, help="Every step as it is made, on standard error.")
def check(options: CheckOptions, format_: str, output: Path | None, verbose: bool) -> int:
    """Prove that STUN and TURN work and carry data, or name why not.

    TARGET is a service's URL, a stun:, turn: or turns: URI, or a JSON file with iceServers (- is
    standard input); http://127.0.0.1:8080 when there is none.

    \b
    Exit status (nagios: that convention's 0 to 3):
      0  a relay carries data, and nothing is wrong with the server
      1  a failing finding
      2  wrong usage
      3  the check could not be made
    """
    from turnctl.reports import nagios

    request = options.request()
    if format_ != "text":
        report = _run(request, lambda _: None, verbose)
        deliver(_render(format_, report), output)
    elif output is None and sys.stdout.isatty():
        report = _on_terminal(request, verbose)
    else:
        report = _as_lines(request, output, verbose)
    if format_ == "nagios":
        return nagios.STATUS[report.verdict]
    return 1 if report.verdict == "fail" else 0


def _render(format_: str, report: Report) -> str:
    from turnctl.reports import json, junit, nagios, prometheus

    formats = {
        "json": json.render,
        "junit": junit.render,
        "nagios": nagios.render,
        "prometheus": prometheus.render,
    }
    return formats[format_](report)


def _on_terminal(request: Request, verbose: bool) -> Report:
    from rich.console import Console

    from turnctl.reports.live import Terminal

    terminal = Terminal(Console(highlight=False))
    terminal.start(" ".join(request.targets))
    try:
        report = _run(request, terminal.observe, verbose)
    finally:
        terminal.stop()
    terminal.finish(report)
    return report


def _as_lines(request: Request, output: Path | None, verbose: bool) -> Report:
    from turnctl.reports.text import Plain

    kept: list[str] = []
    write: Callable[[str], object] = kept.append if output else click.echo
    plain = Plain(write)
    report = _run(request, plain.observe, verbose)
    plain.finish(report)
    if output:
        deliver("\n".join(kept) + "\n", output)
    return report


def _run(request: Request, observe: Callable[[Observation], None], verbose: bool) -> Report:
    from turnctl.check.examine import NothingLeft, examine
    from turnctl.check.targets import TargetError
    from turnctl.reports.text import printable

    def record(one: Observation) -> None:
        if verbose:
            click.echo(printable(_trace(one)), err=True)
        observe(one)

    async def run() -> Report:
        _stop_on_sigterm()
        return await examine(request, record)

    try:
        return asyncio.run(run())
    except (TargetError, NothingLeft) as error:
        raise Misuse(str(error)) from error
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
    except ExceptionGroup as group:
        raise _first(group) from group


def _first(error: Exception) -> Exception:
    """What task groups wrapped: mostly an output that takes no more, which ends the check."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _stop_on_sigterm() -> None:
    """`timeout` and container engines send SIGTERM: it releases allocations as Ctrl-C does."""
    task = asyncio.current_task()
    if task is not None:
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


_UNTOLD = {"username", "usernames", "nonce", "rtts_ms", "url", "family", "at_ms"}
"""Fields that -v leaves out: they belong to the credential, or are told otherwise."""


def _trace(one: Observation) -> str:
    facts = " ".join(
        f"{name}={value:.1f}" if isinstance(value, float) else f"{name}={value}"
        for name in (field.name for field in fields(one))
        if name not in _UNTOLD and (value := getattr(one, name)) not in (None, "", ())
    )
    family = f" IPv{one.family}" if one.family else ""
    return f"{one.at_ms / 1000:.3f} {one.url}{family} {type(one).__name__} {facts}"
