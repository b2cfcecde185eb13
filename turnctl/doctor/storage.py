"""Where this host's Signalpost keeps its files and its log: in a data directory, or in the volumes
of a compose project.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from turnctl.doctor import secrets
from turnctl.doctor.containers import Container
from turnctl.doctor.dockerengine import Project
from turnctl.doctor.secrets import File

__all__ = ["Deployment", "InContainers", "InDirectory"]

TURNSERVER = "coturn/turnserver.conf"
IN_CONTAINER = "/var/lib/signalpost"
"""Where compose.yaml mounts its volumes."""


class Deployment(Protocol):
    """Every method raises Unseen when it cannot look; None is that there is nothing there."""

    @property
    def coturn(self) -> Container | None:
        """The container that coturn runs in."""

    @property
    def owner(self) -> int | None:
        """As whom the service runs, where that is known."""

    def place(self, name: str) -> str:
        """The name of a file to people."""

    def file(self, name: str) -> File | None:
        """A file of the data directory, by its path within; an absolute one as coturn sees it."""

    def log(self) -> tuple[str, str] | None:
        """coturn's log: its name and what is in it."""


@dataclass(frozen=True, slots=True)
class InDirectory:
    """As `turnctl init` and `make up` make it."""

    directory: Path

    @property
    def coturn(self) -> None:
        return None

    @property
    def owner(self) -> int | None:
        return self.directory.stat().st_uid

    def place(self, name: str) -> str:
        return str(self.directory / name)

    def file(self, name: str) -> File | None:
        return secrets.read(self.directory / name)

    def log(self) -> tuple[str, str] | None:
        path = self.directory / "coturn.log"
        file = secrets.read(path)
        return None if file is None else (str(path), file.content.decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class InContainers:
    """As compose.yaml makes it: coturn sees its own volume alone, the service everything else."""

    project: Project

    @property
    def coturn(self) -> Container | None:
        return self.project.service("coturn")

    @property
    def owner(self) -> int | None:
        signal = self.project.service("signal")
        return None if signal is None else signal.user

    def place(self, name: str) -> str:
        return f"{self._service(name)}:{self._path(name)}"

    def file(self, name: str) -> File | None:
        return self.project.file(self._service(name), self._path(name))

    def log(self) -> tuple[str, str] | None:
        return "coturn's log", self.project.log("coturn")

    def _service(self, name: str) -> str:
        return "coturn" if self._path(name).startswith(f"{IN_CONTAINER}/coturn/") else "signal"

    def _path(self, name: str) -> str:
        return name if name.startswith("/") else f"{IN_CONTAINER}/{name}"
