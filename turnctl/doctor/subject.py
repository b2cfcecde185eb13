"""What the looks are given: the storage, and coturn's configuration, log and version from it.

What can't be read is an Unseen in its place. The looks that need it are then skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from turnctl.coturn import commandline
from turnctl.coturn.log import version_in
from turnctl.coturn.parsing import Conf, parse
from turnctl.coturn.versions import Version, version_of_image
from turnctl.doctor.containerdata import Container
from turnctl.doctor.dockerengine import Project
from turnctl.doctor.look import Unseen
from turnctl.doctor.readfile import text_of
from turnctl.doctor.storage import (
    TURNSERVER,
    ContainerStorage,
    CoturnLog,
    DirectoryStorage,
    Storage,
)
from turnctl.doctor.version import KnownVersion
from turnctl.host.addresses import MappedAddress

__all__ = ["Ask", "Installed", "Subject", "of_container", "of_host"]

Ask = Callable[[], MappedAddress | str]
"""Returns the address that a STUN server sees, or why none is known."""
Installed = Callable[[], Version | None]
"""Returns the version of the turnserver installed here, None without one."""


@dataclass(frozen=True, slots=True)
class Subject:
    """`project` is an Unseen if the Docker engine couldn't be asked."""

    storage: Storage
    project: Project | Unseen
    conf: Conf | Unseen
    log: CoturnLog | Unseen
    version: KnownVersion | Unseen
    ask: Ask

    @property
    def host_conf(self) -> Conf | Unseen:
        """The configuration of a coturn that uses the host's own addresses and ports."""
        container = self.storage.coturn
        if container is not None and not container.host_network:
            return Unseen("coturn is behind Docker's bridge, with its own addresses and ports")
        return self.conf


def of_host(storage: Storage, project: Project | Unseen, ask: Ask, installed: Installed) -> Subject:
    """The host's deployment in this storage."""
    try:
        conf: Conf | Unseen = _stored_conf(storage)
    except Unseen as error:
        conf = error
    try:
        log: CoturnLog | Unseen = storage.log() or Unseen("coturn's log: there is none here")
    except Unseen as error:
        log = error
    return Subject(storage, project, conf, log, _version(storage, conf, log, installed), ask)


def of_container(project: Project, ask: Ask, installed: Installed) -> Subject:
    """The only container of this project, which runs coturn."""
    storage = ContainerStorage(project)
    (one,) = project.containers
    try:
        conf: Conf | Unseen = _container_conf(project, one)
    except Unseen as error:
        conf = error
    try:
        log: CoturnLog | Unseen = CoturnLog(f"the log of {one.name}", project.log("coturn"))
    except Unseen as error:
        log = error
    return Subject(storage, project, conf, log, _version(storage, conf, log, installed), ask)


def _stored_conf(storage: Storage) -> Conf:
    place = storage.place(TURNSERVER)
    file = storage.file(TURNSERVER)
    if file is None:
        raise Unseen(f"{place}: there is no such file")
    return parse(place, text_of(place, file.content))


def _container_conf(project: Project, one: Container) -> Conf:
    """The command line, added to the file that it names or else to the first default file there
    is."""
    command = commandline.parse_words(one.command)
    paths = (command.file,) if command.file else commandline.DEFAULT_FILES
    for path in () if command.no_file else paths:
        file = project.file("coturn", path)
        if file is not None:
            place = f"{one.name}:{path}"
            conf = parse(place, text_of(place, file.content))
            return commandline.with_command_line(conf, place, command.lines)
        if command.file:
            raise Unseen(f"{one.name}:{path}: there is no such file")
    return commandline.with_command_line(None, one.name, command.lines)


def _version(
    storage: Storage, conf: Conf | Unseen, log: CoturnLog | Unseen, installed: Installed
) -> KnownVersion | Unseen:
    """The version that runs, or would. The log is the best source."""
    if isinstance(log, CoturnLog) and (version := version_in(log.text)):
        return KnownVersion(version, "from its log")
    container = storage.coturn
    if container is not None and (version := version_of_image(container.image)):
        return KnownVersion(version, f"from the image {container.image}")
    if isinstance(conf, Conf) and conf.made_for is not None:
        return KnownVersion(conf.made_for, f"from {conf.place}")
    if isinstance(storage, DirectoryStorage) and (version := installed()):
        return KnownVersion(version, "from turnserver --version")
    return Unseen("coturn's version: no log, image tag or file has it")
