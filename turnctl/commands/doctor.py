"""`turnctl doctor`: this host from inside, with the causes of what is wrong and how to fix them."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import click

from turnctl.commands import stunservers
from turnctl.commands.errors import Failure, Misuse
from turnctl.commands.output import deliver, report_options
from turnctl.commands.stunservers import Server
from turnctl.coturn.program import NoVersion, installed_version
from turnctl.coturn.versions import Version, parse_version

__all__ = ["doctor"]


def _version(_: click.Context, __: click.Parameter, value: str | None) -> Version | None:
    try:
        return None if value is None else parse_version(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="Data directory. Default: the containers' volumes, .signalpost or /var/lib/signalpost, "
    "whichever exists first.",
)
@click.option(
    "--compose-project",
    metavar="NAME",
    envvar="COMPOSE_PROJECT_NAME",
    show_envvar=True,
    help="The compose project to look at. Default: signalpost, if there is one.",
)
@click.option(
    "--container",
    metavar="NAME",
    help="Look only at this coturn container, whether Compose started it or not.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Look only at this turnserver.conf or compose file (.yaml).",
)
@click.option(
    "--coturn-version",
    metavar="VERSION",
    callback=_version,
    help="The version of coturn that will read the --config file. Default: the one in the file's "
    "header, then the installed one, then the newest known.",
)
@stunservers.options
@report_options("text", "json")
def doctor(
    directory: Path | None,
    compose_project: str | None,
    container: str | None,
    config: Path | None,
    coturn_version: Version | None,
    stun: tuple[Server, ...],
    no_stun: bool,
    format_: str,
    output: Path | None,
) -> int:
    """Look at this host from inside: containers, ports, configuration, secrets, firewall.

    What can't be looked at is reported as skipped, with the reason. As root it sees everything.

    \b
    Exit status:
      0  no failing finding
      1  a failing finding
      2  wrong usage
      3  nothing to look at
    """
    from turnctl.doctor.report import DoctorReport
    from turnctl.doctor.run import NothingToLookAt, Selection, WrongSelection, run
    from turnctl.host import interfaces

    if config is not None and (directory or compose_project or container):
        raise click.UsageError(
            "--config looks at one file: leave out --dir, --compose-project and --container"
        )
    if config is None and coturn_version is not None:
        raise click.UsageError(
            "--coturn-version goes with --config FILE: a running coturn's log says its version"
        )
    if container is not None and directory:
        raise click.UsageError("--container looks at one container: leave out --dir")
    servers = stunservers.chosen(stun, no_stun)
    selection = Selection(directory, compose_project, container, config, coturn_version)
    started, begun = datetime.datetime.now(datetime.UTC), time.monotonic()
    try:
        looks = run(selection, lambda: interfaces.ask_stun(servers), _installed)
    except WrongSelection as error:
        raise Misuse(str(error)) from error
    except NothingToLookAt as error:
        raise Failure(str(error)) from error
    report = DoctorReport(looks, started, (time.monotonic() - begun) * 1000)
    deliver(report.json() if format_ == "json" else report.text(), output)
    return 1 if report.verdict == "fail" else 0


def _installed() -> Version | None:
    try:
        return installed_version()
    except NoVersion:
        return None
