"""JavaScript packages for tests, of fixed versions, kept between runs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

from playwright._impl._driver import compute_driver_executable

from tests.lab.parts import find, require

__all__ = ["node", "package"]

KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signalpost-test" / "npm"
PATIENCE = 120


def node() -> str:
    """The Node.js that Playwright's wheel carries, so that none has to be installed."""
    return str(compute_driver_executable()[0])


def package(name: str, version: str) -> Path:
    """The package's folder; it is fetched once. Skips the test where npm is missing."""
    require("npm")
    place = KEPT / f"{name}-{version}"
    if not place.is_dir():
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KEPT) as scratch:
            argv = [str(find("npm")), "install", "--no-audit", "--no-fund", "--ignore-scripts"]
            subprocess.run(
                [*argv, "--prefix", scratch, f"{name}@{version}"],
                check=True,
                timeout=PATIENCE,
                capture_output=True,
            )
            with contextlib.suppress(OSError):  # another worker was faster
                Path(scratch).rename(place)
                Path(scratch).mkdir()  # for its owner to remove
    return place / "node_modules" / name
