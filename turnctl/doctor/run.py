"""Chooses what doctor looks at: a directory, a compose project's containers, one container, or one
file. Runs the looks at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from turnctl.coturn.versions import Version
from turnctl.doctor import dockerengine, lint
from turnctl.doctor.dockerengine import Project
from turnctl.doctor.look import Look, Unseen
from turnctl.doctor.looks import container_looks, host_looks
from turnctl.doctor.storage import ContainerStorage, DirectoryStorage, Storage
from turnctl.doctor.subject import Ask, Installed, of_container, of_host

__all__ = ["NothingToLookAt", "Selection", "WrongSelection", "run"]

PROJECT = "signalpost"
DIRECTORIES = (Path(".signalpost"), Path("/var/lib/signalpost"))
"""Where `turnctl init` and the containers have the data."""


class WrongSelection(Exception):
    """What was selected can't be looked at. The text names the option."""


class NothingToLookAt(Exception):
    """There is nothing to look at, or the Docker engine can't be asked for it."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the options select. `config` and `container` are used alone. With neither, doctor looks
    at a deployment: the named one, or one that it finds. `version` is the coturn that will read
    `config`."""

    directory: Path | None = None
    project: str | None = None
    container: str | None = None
    config: Path | None = None
    version: Version | None = None


def run(selection: Selection, ask: Ask, installed: Installed) -> tuple[Look, ...]:
    """All looks at the selection. Raises WrongSelection or NothingToLookAt."""
    if selection.config is not None:
        try:
            return lint.lint(selection.config, selection.version, installed)
        except Unseen as error:
            raise WrongSelection(f"--config {error}") from error
    if selection.container is not None:
        return _look_at_container(selection.container, ask, installed)
    project = _project(selection.project)
    try:
        storage = _storage(selection, project)
        return tuple(host_looks(of_host(storage, project, ask, installed)))
    finally:
        if isinstance(project, Project):
            project.close()


def _look_at_container(name: str, ask: Ask, installed: Installed) -> tuple[Look, ...]:
    try:
        project = dockerengine.container(name)
    except Unseen as error:
        raise NothingToLookAt(f"--container {name}: {error}") from error
    try:
        return tuple(container_looks(of_container(project, ask, installed)))
    finally:
        project.close()


def _project(name: str | None) -> Project | Unseen:
    """The named project, else the one called signalpost if it has containers."""
    try:
        project = dockerengine.project(name or PROJECT)
    except Unseen as error:
        if name is not None:
            raise NothingToLookAt(f"--compose-project {name}: {error}") from error
        return error
    if not project.containers and name is None:
        project.close()
        return Unseen(f"the compose project {PROJECT} has no container")
    return project


def _storage(selection: Selection, project: Project | Unseen) -> Storage:
    """The directory that was named, else the project's containers, else a default directory."""
    if selection.directory is not None:
        if not selection.directory.is_dir():
            raise WrongSelection(
                f"--dir {selection.directory}: there is no such directory; turnctl init makes one"
            )
        return DirectoryStorage(selection.directory)
    if isinstance(project, Project) and (
        selection.project is not None or project.service("coturn")
    ):
        return ContainerStorage(project)
    for directory in DIRECTORIES:
        if directory.is_dir():
            return DirectoryStorage(directory)
    reason = project if isinstance(project, Unseen) else "the project has no container coturn"
    tried = " nor ".join(map(str, DIRECTORIES))
    raise NothingToLookAt(
        f"nothing to look at: neither {tried} exists, and {reason}. Give --dir, --compose-project, "
        "--container or --config"
    )
