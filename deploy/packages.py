"""Debian packages, installed by whoever may."""

from __future__ import annotations

import asyncio
import time

from deploy.processes import Failed, output_of

__all__ = ["install"]

LOCK_PATIENCE, LOCK_PAUSE = 300, 2
"""Seconds for somebody else's apt-get or dpkg to end, and between looks."""


async def install(*packages: str, patience: float | None = None) -> None:
    """With apt-get, as root; each of its two steps may take `patience` seconds. Raises Failed."""
    for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        status, output = await _apt(*step, patience=patience)
        if status != 0:
            raise Failed(f"apt-get {step[0]} failed with status {status}:\n{output.strip()}")


async def _apt(*arguments: str, patience: float | None) -> tuple[int, str]:
    """Status and output. A machine that has just started may be at its own updates: while they hold
    a lock it is tried again, since apt-get by itself waits for dpkg's alone.
    """
    argv = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-qq"]
    argv += ["-oAcquire::Retries=3", f"-oDPkg::Lock::Timeout={LOCK_PATIENCE}", *arguments]
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        status, output = await output_of(argv, patience=patience)
        if "Could not get lock" not in output or time.monotonic() > deadline:
            return status, output
        await asyncio.sleep(LOCK_PAUSE)
