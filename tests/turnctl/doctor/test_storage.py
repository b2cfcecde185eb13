"""Where the files are: in a directory, or in the containers of a project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from turnctl.coturn.parsing import parse
from turnctl.doctor.containerdata import Container
from turnctl.doctor.dockerengine import Project
from turnctl.doctor.readfile import File
from turnctl.doctor.storage import (
    ContainerStorage,
    CoturnLog,
    DirectoryStorage,
    container_obstacle,
)


def test_a_directory(tmp_path: Path) -> None:
    """Files by their path within; no log is None."""
    (tmp_path / "api-key").write_text("x")
    storage = DirectoryStorage(tmp_path)
    assert (None, tmp_path.stat().st_uid) == (storage.coturn, storage.owner)
    assert f"{tmp_path}/api-key" == storage.place("api-key")
    file = storage.file("api-key")
    assert file is not None
    assert b"x" == file.content
    assert storage.file("id-key") is None
    assert storage.log() is None
    (tmp_path / "coturn.log").write_text("0: : started\n")
    assert CoturnLog(f"{tmp_path}/coturn.log", "0: : started\n") == storage.log()
    assert storage.obstacle(parse(str(tmp_path / "f"), ""))("x", file) is None


class Fake:
    """A project's containers and files."""

    def __init__(self, *containers: Container, files: Mapping[tuple[str, str], File]) -> None:
        self.containers = containers
        self.files = files

    def service(self, name: str) -> Container | None:
        return next((one for one in self.containers if one.service == name), None)

    def file(self, service: str, path: str) -> File | None:
        return self.files.get((service, path))

    def log(self, service: str) -> str:
        return f"{service} started"


COTURN = Container("coturn", "p-coturn-1", "i", "running", user=65534)
SIGNAL = Container("signal", "p-signal-1", "i", "running", user=10001)


def test_containers() -> None:
    """coturn has its own volume, and the service has everything else."""
    conf, key = File(0o400, 65534, b"conf"), File(0o600, 10001, b"key")
    fake = Fake(
        COTURN,
        SIGNAL,
        files={
            ("coturn", "/var/lib/signalpost/coturn/turnserver.conf"): conf,
            ("signal", "/var/lib/signalpost/api-key"): key,
        },
    )
    storage = ContainerStorage(cast(Project, fake))
    assert (COTURN, 10001) == (storage.coturn, storage.owner)
    assert conf == storage.file("coturn/turnserver.conf")
    assert key == storage.file("api-key")
    assert "signal:/var/lib/signalpost/api-key" == storage.place("api-key")
    assert CoturnLog("coturn's log", "coturn started") == storage.log()
    assert storage.obstacle(parse("f", ""))("x", key) is not None
    assert storage.obstacle(parse("f", ""))("x", conf) is None


@pytest.mark.parametrize(
    ("user", "mode", "owner", "readable"),
    [
        (0, 0o000, 5, True),
        (None, 0o000, 5, True),
        (5, 0o400, 5, True),
        (5, 0o040, 5, False),
        (5, 0o040, 6, True),
        (5, 0o004, 6, True),
        (5, 0o600, 6, False),
    ],
)
def test_what_a_containers_user_can_read(
    user: int | None, mode: int, owner: int, readable: bool
) -> None:
    """By the mode. Its groups aren't known, so a group's right may be its own."""
    assert readable == (container_obstacle(user, File(mode, owner, b"")) is None)
