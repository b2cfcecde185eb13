"""`turnctl doctor`: this host from inside, with cause and cure of what is wrong."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from turnctl.commands import stunservers
from turnctl.commands.errors import Failure, Misuse
from turnctl.commands.output import deliver, report_options
from turnctl.commands.stunservers import Server
from turnctl.coturn.versions import Version, parse_version

if TYPE_CHECKING:
    from turnctl.doctor import Look
    from turnctl.doctor.dockerengine import Project
    from turnctl.doctor.storage import Deployment
    from turnctl.host.addresses import MappedAddress

__all__ = ["doctor"]

SCHEMA = "signalpost.doctor/1"
DIRECTORIES = (Path(".signalpost"), Path("/var/lib/signalpost"))
"""Where `turnctl init` and the containers keep it."""


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
    help="Data directory. Default: that of the containers, .signalpost, /var/lib/signalpost.",
)
@click.option(
    "--compose-project",
    metavar="NAME",
    envvar="COMPOSE_PROJECT_NAME",
    show_envvar=True,
    help="The compose project that has to run. Default: signalpost, if there is one.",
)
@click.option(
    "--container",
    metavar="NAME",
    help="Look at this container alone, however it was started: one that runs coturn.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Look at this turnserver.conf, or compose file (.yaml), alone.",
)
@click.option(
    "--coturn-version",
    metavar="VERSION",
    callback=_version,
    help="coturn that will read the file of --config. Default: the file's head, else the "
    "turnserver installed here, else the newest known.",
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

    What cannot be seen is told as skipped, with its reason. Root sees most.

    \b
    Exit status:
      0  nothing failing was found
      1  a failing finding
      2  wrong usage
      3  there was nothing to look at
    """
    from turnctl.doctor import Unseen, lint, looks

    asked = stunservers.chosen(stun, no_stun)
    started, begun = datetime.datetime.now(datetime.UTC), time.monotonic()
    if config is not None:
        if directory or compose_project or container:
            raise click.UsageError("--config looks at one file: give it alone")
        try:
            made = list(lint.lint(config, coturn_version, _installed))
        except Unseen as error:
            raise Misuse(f"--config {error}") from error
    else:
        if coturn_version is not None:
            raise click.UsageError("--coturn-version goes with --config: here the log tells it")
        if container is not None and directory:
            raise click.UsageError("--container looks at one container: give it alone")
    if config is None and container is not None:
        made = _container(container, partial(_ask, asked))
    elif config is None:
        deployment, project = _found(directory, compose_project)
        ask = partial(_ask, asked)
        try:
            made = list(looks.looks(looks.Host(deployment, project, ask, _installed)))
        finally:
            if not isinstance(project, str):
                project.close()
    elapsed = (time.monotonic() - begun) * 1000
    if format_ == "json":
        text = json.dumps(_document(made, started, elapsed), indent=2, ensure_ascii=False)
    else:
        text = "\n".join(_lines(made, elapsed))
    deliver(f"{text}\n", output)
    return 1 if _verdict(made) == "fail" else 0


def _container(name: str, ask: Callable[[], MappedAddress | str]) -> list[Look]:
    from turnctl.doctor import Unseen, dockerengine, looks

    try:
        project = dockerengine.container(name)
    except Unseen as error:
        raise Failure(f"--container {name}: {error}") from error
    try:
        return list(looks.container_looks(project, ask, _installed))
    finally:
        project.close()


def _found(directory: Path | None, name: str | None) -> tuple[Deployment, Project | str]:
    """What there is here: the directory that was named, else the containers, else a directory."""
    from turnctl.doctor import Unseen, dockerengine, storage

    project: Project | str
    try:
        project = dockerengine.project(name or "signalpost")
        if not project.containers and name is None:
            project = "there is no container of a compose project signalpost"
    except Unseen as error:
        if name is not None:
            raise Failure(f"--compose-project {name}: {error}") from error
        project = str(error)
    if directory is not None:
        if not directory.is_dir():
            raise Misuse(f"--dir {directory}: is no directory; turnctl init makes one")
        return storage.InDirectory(directory), project
    if not isinstance(project, str) and (name is not None or project.service("coturn")):
        return storage.InContainers(project), project
    for place in DIRECTORIES:
        if place.is_dir():
            return storage.InDirectory(place), project
    tried = " nor ".join(map(str, DIRECTORIES))
    raise Failure(f"nothing to look at: neither {tried} is there (--dir), and {project}")


def _ask(asked: tuple[Server, ...]) -> MappedAddress | str:
    from turnctl.host import interfaces

    return interfaces.ask_stun(asked)


def _installed() -> Version | None:
    """The version of the turnserver installed here, None without one."""
    program = shutil.which("turnserver")
    if program is None:
        return None
    try:
        said = subprocess.run(  # noqa: S603  a fixed argument list
            [program, "--version"], capture_output=True, text=True, check=False, timeout=10
        )
        return parse_version(said.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def _verdict(made: Sequence[Look]) -> str:
    verdicts = {one.verdict for one in made}
    return next((one for one in ("fail", "warn") if one in verdicts), "pass")


def _lines(made: Sequence[Look], elapsed: float) -> Iterator[str]:
    from turnctl.reports.text import finding_groups

    for look in made:
        yield f"{look.verdict.upper():<8} {look.name:<14} {look.seen}".rstrip()
        for reason in look.unknown:
            yield f"{'':<8} {'':<14} not seen: {reason}"
    for first, group in finding_groups(one for look in made for one in look.findings):
        yield f"\n{first.severity.upper()}  {first.code}"
        for one in group:
            yield f"  {one.url}: {one.summary}"
        yield f"  → {first.fix}"
    counted = [
        f"{sum(look.verdict == verdict for look in made)} {verdict}"
        for verdict in ("pass", "warn", "fail", "unknown", "skipped")
        if any(look.verdict == verdict for look in made)
    ]
    yield f"\n{_verdict(made).upper()}  looks: {', '.join(counted)}, {elapsed / 1000:.2f} s"


def _document(made: Sequence[Look], started: datetime.datetime, elapsed: float) -> dict[str, Any]:
    """A finding's members are those of `check`; its `url` is the place it was seen at."""
    return {
        "schema": SCHEMA,
        "verdict": _verdict(made),
        "startedAt": started.isoformat(timespec="milliseconds"),
        "elapsedMs": round(elapsed, 3),
        "looks": [
            {
                "name": look.name,
                "verdict": look.verdict,
                "seen": look.seen or None,
                "unknown": list(look.unknown),
            }
            for look in made
        ],
        "findings": [
            {
                "code": one.code,
                "severity": str(one.severity),
                "url": one.url,
                "summary": one.summary,
                "evidence": dict(one.evidence),
                "fix": one.fix,
            }
            for look in made
            for one in look.findings
        ],
    }
