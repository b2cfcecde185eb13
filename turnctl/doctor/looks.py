"""The list of looks at a host, in the order in which a person would go about it.

A look that raises Unseen is skipped with its reason, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from turnctl.doctor import (
    addresses,
    buffers,
    certificates,
    configuration,
    containers,
    firewall,
    listeners,
    log,
    ports,
    secrets,
    version,
)
from turnctl.doctor.look import Look, Unseen
from turnctl.doctor.subject import Subject

__all__ = ["container_looks", "host_looks"]

Seen = TypeVar("Seen")


def _seen(value: Seen | Unseen) -> Seen:
    if isinstance(value, Unseen):
        raise value
    return value


def _containers(s: Subject) -> Look:
    return containers.look(_seen(s.project))


def _container(s: Subject) -> Look:
    (one,) = _seen(s.project).containers
    return containers.look_at_one(one)


def _configuration(s: Subject) -> Look:
    known = None if isinstance(s.version, Unseen) else s.version.version
    return configuration.look(_seen(s.conf), known)


def _certificates(s: Subject) -> Look:
    conf = _seen(s.conf)
    return certificates.look(conf, s.storage.file, s.storage.obstacle(conf))


def _secrets(s: Subject) -> Look:
    return secrets.look(s.storage, _seen(s.conf))


def _log(s: Subject) -> Look:
    return log.look(_seen(s.log))


def _version(s: Subject) -> Look:
    return version.look(_seen(s.version), None if isinstance(s.conf, Unseen) else s.conf)


def _ports(s: Subject) -> Look:
    return ports.look(s.storage.coturn, _seen(s.conf))


def _listeners(s: Subject) -> Look:
    return listeners.look(_seen(s.host_conf))


def _addresses(s: Subject) -> Look:
    return addresses.look(_seen(s.host_conf), s.ask)


def _firewall(s: Subject) -> Look:
    return firewall.look(_seen(s.host_conf))


def _buffers(_: Subject) -> Look:
    return buffers.look()


HOST: dict[str, Callable[[Subject], Look]] = {
    "containers": _containers,
    "configuration": _configuration,
    "certificates": _certificates,
    "secrets": _secrets,
    "log": _log,
    "version": _version,
    "ports": _ports,
    "listeners": _listeners,
    "addresses": _addresses,
    "firewall": _firewall,
    "buffers": _buffers,
}
CONTAINER = {name: look for name, look in HOST.items() if name not in {"secrets", "buffers"}} | {
    "containers": _container
}


def host_looks(subject: Subject) -> Iterator[Look]:
    """All looks at a deployment and its host."""
    return _made(HOST, subject)


def container_looks(subject: Subject) -> Iterator[Look]:
    """The looks at one container that runs coturn, whoever started it. If it uses host networking,
    the host's side is looked at as well."""
    return _made(CONTAINER, subject)


def _made(looks: dict[str, Callable[[Subject], Look]], subject: Subject) -> Iterator[Look]:
    for name, look in looks.items():
        try:
            yield look(subject)
        except Unseen as error:
            yield Look(name, unknown=(str(error),))
