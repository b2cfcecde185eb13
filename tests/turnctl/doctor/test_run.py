"""What doctor looks at, by what was named."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnctl.coturn.versions import Version
from turnctl.doctor.run import NothingToLookAt, Target, WrongTarget, run

NO_ENGINE = "tcp://127.0.0.1:1"


@pytest.fixture(autouse=True)
def without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine answers, wherever one runs."""
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)


def looks(target: Target) -> list[str]:
    return [look.name for look in run(target, lambda: "not asked", lambda: None)]


def test_a_directory(tmp_path: Path) -> None:
    """All looks are made at it."""
    assert "secrets" in looks(Target(directory=tmp_path))
    with pytest.raises(WrongTarget, match=f"--dir {tmp_path}/none: there is no such directory"):
        looks(Target(directory=tmp_path / "none"))


def test_one_file(tmp_path: Path) -> None:
    """Only the looks at the file are made, for the version that was named."""
    path = tmp_path / "turnserver.conf"
    path.write_text("realm=r\n")
    assert ["configuration"] == looks(Target(config=path, version=Version(4, 18, 0)))
    with pytest.raises(WrongTarget, match=r"--config .*none: there is no such file"):
        looks(Target(config=tmp_path / "none"))


@pytest.mark.parametrize(
    ("target", "option"),
    [(Target(container="x"), "--container x"), (Target(project="x"), "--compose-project x")],
)
def test_no_engine(target: Target, option: str) -> None:
    """A container that was named can't be looked at without an engine."""
    with pytest.raises(NothingToLookAt, match=f"{option}: no Docker engine answers"):
        looks(target)


def test_a_default_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name the working directory's deployment is found."""
    (tmp_path / ".signalpost").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "secrets" in looks(Target())
