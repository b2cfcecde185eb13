"""`turnctl check`: one check, its report and its exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

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
@click.option("-v", "--verbose", is_flag=True, help="Print each step on standard error.")
def check(options: CheckOptions, format_: str, output: Path | None, verbose: bool) -> int:
    """Prove that STUN and TURN work and carry data, or name the cause.

    TARGET is a service's URL, a stun:, turn: or turns: URI, or a JSON file with iceServers (- is
    standard input). Without a TARGET it is http://127.0.0.1:8080.

    \b
    Exit status (--format nagios uses OK 0, WARNING 1, CRITICAL 2, UNKNOWN 3 instead):
      0  no finding of severity fail; there may be warnings
      1  a finding of severity fail
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


def _run(request: Request, observe: Callable[[Observation], None], verbose: bool) -> Report:
    from turnctl.check.examine import examine
    from turnctl.commands.running import run
    from turnctl.reports import trace

    def record(one: Observation) -> None:
        if verbose:
            click.echo(trace.line(one), err=True)
        observe(one)

    return run(examine(request, record))


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
