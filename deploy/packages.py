"""Installs Debian packages."""

from __future__ import annotations

import asyncio
import time

from deploy.processes import Failed, output_of

__all__ = ["install"]

LOCK_PATIENCE, LOCK_PAUSE = 300, 2
"""Seconds to wait for another apt-get or dpkg, and between tries."""


async def install(*packages: str, patience: float | None = None) -> None:
    """Install with apt-get, as root. Each of its two steps may take `patience` seconds. Raises
    Failed."""
    for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        status, output = await _apt(*step, patience=patience)
        if status != 0:
            raise Failed(f"apt-get {step[0]} failed with status {status}:\n{output.strip()}")


async def _apt(*arguments: str, patience: float | None) -> tuple[int, str]:
    """Exit status and output. A machine that has just started may be updating itself. apt-get waits
    only for dpkg's lock, so it is run again while another lock is held.
    """
    argv = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-qq"]
    argv += ["-oAcquire::Retries=3", f"-oDPkg::Lock::Timeout={LOCK_PATIENCE}", *arguments]
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        status, output = await output_of(argv, patience=patience)
        if "Could not get lock" not in output or time.monotonic() > deadline:
            return status, output
        await asyncio.sleep(LOCK_PAUSE)
