"""A data directory from the operator's choices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from turnctl.coturn.versions import Version
from turnctl.host.files import Unusable
from turnctl.setup.choices import Choices, Conflict
from turnctl.setup.initialize import initialize


def choices(home: Path, **more: Any) -> Choices:
    made = Choices(
        directory=home / "data",
        env_file=home / ".env",
        listen=("192.0.2.1",),
        coturn_version=Version(4, 18, 0),
    )
    return replace(made, **more)


def test_the_report_names_every_file(tmp_path: Path) -> None:
    """With what was done to it; the last line says where the relay is."""
    report = initialize(choices(tmp_path), record={"DOMAIN": "turn.example.org"})
    lines = [*report.lines()]
    data = tmp_path / "data"
    assert f"{data / 'turn-secret'}: made" in lines
    assert f"{data / 'coturn' / 'turnserver.conf'}: written for coturn 4.18.0" in lines
    assert f"{tmp_path / '.env'}: DOMAIN=turn.example.org" == lines[-1]
    assert "Relay on port 3478, UDP and TCP, at 192.0.2.1: from --listen." == report.summary()
    assert "DOMAIN=turn.example.org\n" in (tmp_path / ".env").read_text()


def test_again(tmp_path: Path) -> None:
    """Secrets are kept; without anything to record, .env isn't touched."""
    initialize(choices(tmp_path), record={})
    report = initialize(choices(tmp_path), record={})
    assert "kept" == report.files["turn-secret"]
    assert not (tmp_path / ".env").exists()


def test_a_conflict_comes_before_any_file(tmp_path: Path) -> None:
    """Wrong usage changes nothing."""
    with pytest.raises(Conflict):
        initialize(choices(tmp_path, next_port=3478), record={})
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("version", "image", "where"),
    [
        (Version(4, 17, 1), None, "--coturn-version or COTURN_VERSION"),
        (Version(4, 18, 0), "coturn/coturn:4.17.1-r0", "image coturn/coturn:4.17.1-r0"),
    ],
)
def test_a_broken_version(tmp_path: Path, version: Version, image: str | None, where: str) -> None:
    """The text says where the version is from, and no file is written."""
    with pytest.raises(Unusable, match="is broken") as caught:
        initialize(choices(tmp_path, coturn_version=version, coturn_image=image), record={})
    assert where in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_no_turnserver_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version has to be named then."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Conflict, match=r"--coturn-version 4\.18\.0"):
        initialize(choices(tmp_path, coturn_version=None), record={})
