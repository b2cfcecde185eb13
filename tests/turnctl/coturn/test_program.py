"""The installed coturn is asked for its version."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.parts import require
from turnctl.coturn.program import NoVersion, installed_version
from turnctl.coturn.versions import Version


def script(tmp_path: Path, text: str) -> str:
    """A program that prints this, by its path."""
    path = tmp_path / "turnserver"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_the_installed_one() -> None:
    """The real turnserver answers."""
    require("turnserver")
    assert Version(4, 6, 1) == installed_version()


def test_what_it_prints_is_read(tmp_path: Path) -> None:
    """The first line of newer versions has a name behind the number."""
    assert Version(4, 18, 0) == installed_version(script(tmp_path, "echo 4.18.0"))


def test_none_is_installed(tmp_path: Path) -> None:
    """No program is not an error."""
    assert installed_version(str(tmp_path / "turnserver")) is None


@pytest.mark.parametrize("text", ["echo nothing", "exit 1"])
def test_no_version(tmp_path: Path, text: str) -> None:
    """A program that prints no version is an error that names the command."""
    with pytest.raises(NoVersion, match=r"turnserver --version: '.*' is not a coturn version"):
        installed_version(script(tmp_path, text))


def test_a_broken_program(tmp_path: Path) -> None:
    """So is a file that the system can't execute."""
    (tmp_path / "turnserver").write_text("#!/nonexistent/interpreter\n")
    (tmp_path / "turnserver").chmod(0o755)
    with pytest.raises(NoVersion, match=r"turnserver --version: .*No such file"):
        installed_version(str(tmp_path / "turnserver"))
