"""What the real-network tests need from this machine: programs and rights.

A test that lacks one is skipped with a reason that names it; under `CI=true` the conftest turns
exactly these skips into failures, so that a gate never passes by leaving the real parts out.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

__all__ = ["MISSING", "find", "require", "unpacked"]

MISSING = "lab part missing: "
"""How the reason of such a skip begins."""

SYSTEM_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
"""Debian keeps nft, iptables and dockerd outside an ordinary user's PATH."""


def find(program: str) -> str | None:
    """The program's path, None when it is not installed."""
    return shutil.which(program, path=SYSTEM_PATH)


def require(*programs: str, root: bool = False) -> None:
    """Skip the calling test unless every program is there, and root's rights when asked for."""
    missing = [program for program in programs if find(program) is None]
    if root and os.geteuid() != 0:
        missing.append("root's rights")
    if missing:
        pytest.skip(MISSING + ", ".join(missing))


def unpacked(tree: Path, program: str) -> list[str]:
    """How to start a program of another Debian's unpacked tree. Skips when it is not there.

    With the tree's own loader and C library: this machine's are older than its programs.
    """
    path = tree / "usr" / program
    loader = next(tree.glob("usr/lib/*/ld-linux-*.so.*"), None)
    if loader is None or not path.exists():
        pytest.skip(f"{MISSING}{path.name} of {tree.name} (python -m tests.lab.provision unpacks)")
    return [str(loader), "--library-path", str(loader.parent), str(path)]
