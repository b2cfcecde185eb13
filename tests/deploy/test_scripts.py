"""The shell scripts of deploy/: a host with nothing but Docker runs them."""

from __future__ import annotations

import subprocess

import pytest

from tests.lab.docker import ROOT
from tests.lab.parts import require

SCRIPTS = [path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file()]
SHELL = [
    str(path.relative_to(ROOT / "deploy"))
    for path in SCRIPTS
    if path.read_bytes().startswith(b"#!/bin/sh\n")
]


@pytest.mark.parametrize("name", SHELL)
def test_shell_is_portable(name: str) -> None:
    """POSIX sh, and shellcheck finds nothing."""
    require("shellcheck")
    argv = ["shellcheck", "--shell=sh", str(ROOT / "deploy" / name)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)


def test_scripts_can_be_run() -> None:
    """Each is executable."""
    assert {"edge/start", "egress", "setup", "upgrade"} == set(SHELL)
    assert [] == [name for name in SHELL if not (ROOT / "deploy" / name).stat().st_mode & 0o111]
