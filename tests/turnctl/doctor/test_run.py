"""What doctor looks at, by what was named."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnctl.coturn.versions import Version
from turnctl.doctor.run import NothingToLookAt, Selection, WrongSelection, run

NO_ENGINE = "tcp://127.0.0.1:1"


@pytest.fixture(autouse=True)
def without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine answers, wherever one runs."""
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)


def looks(selection: Selection) -> list[str]:
    return [look.name for look in run(selection, lambda: "not asked", lambda: None)]


def test_a_directory(tmp_path: Path) -> None:
    """All looks are made at it."""
    assert "secrets" in looks(Selection(directory=tmp_path))
    with pytest.raises(WrongSelection, match=f"--dir {tmp_path}/none: there is no such directory"):
        looks(Selection(directory=tmp_path / "none"))


def test_one_file(tmp_path: Path) -> None:
    """Only the looks at the file are made, for the version that was named."""
    path = tmp_path / "turnserver.conf"
    path.write_text("realm=r\n")
    assert ["configuration"] == looks(Selection(config=path, version=Version(4, 18, 0)))
    with pytest.raises(WrongSelection, match=r"--config .*none: there is no such file"):
        looks(Selection(config=tmp_path / "none"))


@pytest.mark.parametrize(
    ("selection", "option"),
    [(Selection(container="x"), "--container x"), (Selection(project="x"), "--compose-project x")],
)
def test_no_engine(selection: Selection, option: str) -> None:
    """A container that was named can't be looked at without an engine."""
    with pytest.raises(NothingToLookAt, match=f"{option}: no Docker engine answers"):
        looks(selection)


def test_a_default_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name the working directory's deployment is found."""
    (tmp_path / ".signalpost").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "secrets" in looks(Selection())
