"""Where this host's Signalpost has its files and coturn's log: in a data directory, or in the
volumes of a compose project.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from turnctl.coturn.parsing import Conf
from turnctl.doctor import coturnuser, readfile
from turnctl.doctor.containerdata import Container
from turnctl.doctor.dockerengine import Project
from turnctl.doctor.readfile import File

__all__ = ["TURNSERVER", "ContainerStorage", "CoturnLog", "DirectoryStorage", "Obstacle", "Storage"]

TURNSERVER = "coturn/turnserver.conf"
IN_CONTAINER = "/var/lib/signalpost"
"""Where compose.yaml mounts its volumes."""

Obstacle = Callable[[str, File], str | None]
"""Path and file → what keeps coturn's user from reading it, or None."""


@dataclass(frozen=True, slots=True)
class CoturnLog:
    """coturn's log. `place` is its name for people."""

    place: str
    text: str


class Storage(Protocol):
    """Every method raises Unseen when it can't look. None means that there is nothing."""

    @property
    def coturn(self) -> Container | None:
        """The container that coturn runs in."""

    @property
    def owner(self) -> int | None:
        """The uid of the service, if known."""

    def place(self, name: str) -> str:
        """A file's name for people."""

    def file(self, name: str) -> File | None:
        """A file of the data directory. An absolute path is one that coturn sees."""

    def log(self) -> CoturnLog | None:
        """coturn's log."""

    def obstacle(self, conf: Conf) -> Obstacle:
        """What keeps coturn's user from reading a file."""


@dataclass(frozen=True, slots=True)
class DirectoryStorage:
    """A data directory, as `turnctl init` and `make up` make it."""

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
        return readfile.read(self.directory / name)

    def log(self) -> CoturnLog | None:
        path = self.directory / "coturn.log"
        file = readfile.read(path)
        return None if file is None else CoturnLog(str(path), file.content.decode(errors="replace"))

    def obstacle(self, conf: Conf) -> Obstacle:
        return coturnuser.obstacle(coturnuser.coturn_user(conf, Path(conf.place)))


@dataclass(frozen=True, slots=True)
class ContainerStorage:
    """The volumes of compose.yaml. coturn has only its own volume; the service has the rest."""

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

    def log(self) -> CoturnLog | None:
        return CoturnLog("coturn's log", self.project.log("coturn"))

    def obstacle(self, _: Conf) -> Obstacle:
        coturn = self.coturn
        user = None if coturn is None else coturn.user
        return lambda _, file: container_obstacle(user, file)

    def _service(self, name: str) -> str:
        return "coturn" if self._path(name).startswith(f"{IN_CONTAINER}/coturn/") else "signal"

    def _path(self, name: str) -> str:
        return name if name.startswith("/") else f"{IN_CONTAINER}/{name}"


def container_obstacle(user: int | None, file: File) -> str | None:
    """By the mode alone, since the groups of the container's user aren't known."""
    if user in {None, 0}:
        return None
    if file.mode & (0o400 if file.owner == user else 0o044):
        return None
    mode, owner = f"{file.mode:04o}", file.owner
    return f"the container's user {user} can't read it (mode {mode}, owner {owner})"
